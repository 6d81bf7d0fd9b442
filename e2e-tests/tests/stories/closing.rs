//! The ways in which channels end.

use channel::{CloseReason, Event, Misuse, Notice};
use e2e_tests::{Asked, UNIT, World, account, numbered, signer, within};
use futures::future::join_all;
use protocol::{
    Pair,
    call::{Call, CallKind},
};
use sdk::{
    chain::{Chain, Transaction},
    node::NodeError,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_close_at_once_and_the_channel_is_closed_once() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = bobs.pays(UNIT, "").await;
    let (a, b) = within("both closes", async { tokio::join!(alices.close(0), bobs.close(0)) }).await;
    let ended = CloseReason::Mutual { balances: Pair::new(101 * UNIT, 99 * UNIT) };
    // Whoever was later may have been told only that the channel is closing, or is gone.
    let both = [a, b];
    assert!(both.iter().any(|closed| matches!(closed, Ok(reason) if *reason == ended)), "{both:?}");
    for closed in both {
        match closed {
            Ok(reason) => assert_eq!(reason, ended),
            Err(NodeError::Misuse(Misuse::AlreadyClosing) | NodeError::UnknownChannel) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(alice.events.wait_end(alices.reference()).await, ended);
    assert_eq!(bob.events.wait_end(bobs.reference()).await, ended);
    world.recorder.quiet().await;
    assert_eq!(world.recorder.count("channel_close_mutual").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_on_their_way_are_made_before_a_close_in_agreement() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let paying = tokio::spawn({
        let alices = alices.clone();
        async move { alices.pays_all(numbered(1_000, 200)).await }
    });
    let spent = 90 * UNIT - 200_000;
    e2e_tests::until("all payments to be taken", || async { (alices.has().await.spendable == spent).then_some(()) })
        .await;
    let closed = within("the close", alices.close(0)).await;
    let paid = paying.await.unwrap();
    let balances = Pair::new(100 * UNIT - 200_000, 100 * UNIT + 200_000);
    assert_eq!(closed.unwrap(), CloseReason::Mutual { balances });
    assert_eq!(bob.events.wait_received(bobs.reference(), 200).await, paid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_in_agreement_while_the_peer_pays_loses_no_payment() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let paying = join_all((0..200_u32).map(|number| bobs.pay(1_000, number.to_be_bytes())));
    let (paid, closed) = within("payments and the close", async { tokio::join!(paying, alices.close(0)) }).await;
    let made = paid.iter().filter(|paid| paid.is_ok()).count();
    for refused in paid.into_iter().filter_map(Result::err) {
        let expected = matches!(
            refused,
            NodeError::Misuse(Misuse::NotOpen { .. }) | NodeError::PaymentDropped(_) | NodeError::UnknownChannel
        );
        assert!(expected, "{refused}");
    }
    let _ended = alice.events.wait_end(alices.reference()).await;
    let received = alice.events.received(alices.reference()).len();
    assert_eq!(made, received, "what was told to be paid was received, and nothing else");
    let made = 1_000 * u128::try_from(made).unwrap();
    assert_eq!(closed.unwrap(), CloseReason::Mutual { balances: Pair::new(100 * UNIT + made, 100 * UNIT - made) });
}

/// Alice has spent what her account had. Without coins for a fee a node cannot answer: its user has to know, and until when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_coins_for_the_fee_of_a_defence_is_told_by_when_it_must_have_some() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    let (chain, owner) = (&world.chain, account("alice"));
    let away = |amount| Transaction::Transfer { to: account("peer9"), amount };
    let hers = signer("alice");
    let mut fee = UNIT / 100;
    // Once to learn what a transfer costs, and once for all but less than an answer costs.
    for left in [UNIT, UNIT / 800] {
        let has = chain.free_balance(&owner).await.unwrap();
        let amount = has - left - fee;
        let dry_run = chain.dry_run(&owner, &away(amount)).await.unwrap();
        fee = within("the transfer", chain.submit(&hers, away(amount), &dry_run)).await.unwrap().fee;
    }

    let close = Call::ChannelCloseSolo(old);
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &close, 0)).await.unwrap();
    let closing = |event: &Event| match event {
        Event::ClosingSolo { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the close", alices.reference(), closing).await;
    let failed = |notice: &Notice| match notice {
        Notice::CallFailed { call, cause, until } => Some((*call, cause.clone(), *until)),
        _ => None,
    };
    let (call, cause, until) = alice.events.wait_notice("the word of it", alices.reference(), failed).await;
    assert_eq!((call, until), (CallKind::ChannelSlash, Some(unlock_at - 1)));
    assert!(cause.contains("send it coins first"), "{cause}");

    world.fund(owner, UNIT).await;
    let slashed = |event: &Event| matches!(event, Event::Slashed { .. }).then_some(());
    alice.events.wait("the slash", alices.reference(), slashed).await;
    let told = alice.events.notices(alices.reference());
    assert_eq!(told.iter().filter_map(failed).count(), 1, "once for each cause");
}
