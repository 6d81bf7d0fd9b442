//! The ways in which channels end.

use channel::{CloseReason, Event, Misuse};
use e2e_tests::{Asked, UNIT, World, numbered, signer, within};
use futures::future::join_all;
use protocol::{Pair, call::Call, terms::Destination};
use sdk::{chain::CallError, node::NodeError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_on_an_old_state_is_slashed_by_the_node_itself_and_costs_the_penalty() {
    let world = World::new().await;
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    // Bob signs a round of Alice's last: so he provably holds it.
    let _paid = alices.pays(UNIT, "change").await;

    let _done =
        within("Bob's close", world.arbiter.call(&signer("bob"), &Call::ChannelCloseSolo(old), 0)).await.unwrap();
    let outdated = |event: &Event| match event {
        Event::ClosingSolo { round, outdated, .. } => Some((*round, *outdated)),
        _ => None,
    };
    assert_eq!(alice.events.wait("the close", alices.reference(), outdated).await, (1, true));
    let slashed = |event: &Event| match event {
        Event::Slashed { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the slash", alices.reference(), slashed).await;
    assert_eq!(bob.events.wait("the slash", bobs.reference(), slashed).await, unlock_at);
    let ends = tokio::spawn({
        let (alices, bobs) = (alices.clone(), bobs.clone());
        async move { tokio::join!(alices.closed(), bobs.closed()) }
    });
    let balances = Pair::new(144 * UNIT, 56 * UNIT);
    world.pass_until(unlock_at - 1).await;
    let (alices_end, bobs_end) = within("the end", ends).await.unwrap();
    assert_eq!(
        (alices_end.unwrap(), bobs_end.unwrap()),
        (CloseReason::Settled { balances }, CloseReason::Settled { balances })
    );
    let gain = i128::try_from(44 * UNIT).unwrap();
    world.coins().await.check(&before, &world.recorder, &[(alice.account(), gain), (bob.account(), -gain)]);
    assert_eq!((world.recorder.count("channel_slash"), world.recorder.count("channel_settle")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_alone_on_the_latest_state_is_settled_after_the_lock_period() {
    let world = World::new().await;
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = alices.pays(30 * UNIT, "for something").await;

    let closing = tokio::spawn({
        let bobs = bobs.clone();
        async move { bobs.close_solo().await }
    });
    let unlock_at = |event: &Event| match event {
        Event::ClosingSolo { unlock_at, outdated: false, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the close", alices.reference(), unlock_at).await;
    let refused = within("a payment", alices.pay(1, "too late")).await.unwrap_err();
    assert!(matches!(refused, NodeError::Misuse(Misuse::NotOpen { state: "closing" })), "{refused}");

    // Alice opened, so her node settles first; Bob's would two blocks later.
    world.pass_until(unlock_at - 1).await;
    let balances = Pair::new(70 * UNIT, 130 * UNIT);
    assert_eq!(within("the end", closing).await.unwrap().unwrap(), CloseReason::Settled { balances });
    assert_eq!(alice.events.wait_end(alices.reference()).await, CloseReason::Settled { balances });
    let gain = i128::try_from(30 * UNIT).unwrap();
    world.coins().await.check(&before, &world.recorder, &[(alice.account(), -gain), (bob.account(), gain)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payouts_go_to_the_vault_where_a_party_wants_them_there() {
    let world = World::new().await;
    let alice = world.start_with("alice", |config| config.payout = Destination::Vault).await;
    let bob = world.start_rich("bob", 100 * UNIT).await;
    let _done = within("a deposit", alice.node.vault_deposit(100 * UNIT)).await.unwrap();
    alice.connect(&bob).await;
    let (alices, _bobs) = alice.open(&bob).await;
    let _paid = alices.pays(10 * UNIT, "").await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    assert_eq!(alice.node.vault_balance().await.unwrap(), 90 * UNIT);
    assert_eq!(bob.node.vault_balance().await.unwrap(), 0);

    // Out of the vault the next channel is paid, and the rest goes back to the account.
    let refused = within("a withdrawal", alice.node.vault_withdraw(91 * UNIT)).await.unwrap_err();
    let NodeError::Call(CallError::Rejected(rejection)) = refused else { panic!("{refused}") };
    assert_eq!(rejection, protocol::Rejection::VaultBalanceTooLow { have: 90 * UNIT, need: 91 * UNIT });
    let _done = within("a withdrawal", alice.node.vault_withdraw(90 * UNIT)).await.unwrap();
    assert_eq!(alice.node.vault_balance().await.unwrap(), 0);
}

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
    assert_eq!(world.recorder.count("channel_close_mutual"), 1);
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
