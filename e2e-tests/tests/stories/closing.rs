//! The ways in which channels end.

use channel::{CloseReason, Misuse};
use e2e_tests::{Asked, UNIT, World, numbered, stories, within};
use futures::future::join_all;
use protocol::{Pair, terms::Destination};
use sdk::{chain::CallError, node::NodeError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_on_an_old_state_is_slashed_by_the_node_itself_and_costs_the_penalty() {
    stories::a_close_on_an_old_state_is_slashed_by_the_node_itself_and_costs_the_penalty(&World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_alone_on_the_latest_state_is_settled_after_the_lock_period() {
    stories::a_close_alone_on_the_latest_state_is_settled_after_the_lock_period(&World::new().await).await;
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
