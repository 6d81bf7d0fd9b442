//! What a user may ask of a channel and cannot have.

use crate::Witness;
use channel::{Certainty, MAX_REFERENCE, Misuse};
use e2e_tests::{Asked, Proxy, UNIT, World, within};
use sdk::node::NodeError;

fn misuse<T: std::fmt::Debug>(result: Result<T, NodeError>) -> Misuse {
    match result {
        Err(NodeError::Misuse(misuse)) => misuse,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_cannot_be_made_are_refused_at_once_with_the_numbers() {
    let witness = Witness::new().await;
    let (alices, available) = (&witness.alices, 90 * UNIT);
    for amount in [available + 1, 100 * UNIT, u128::MAX] {
        let refused = misuse(within("the refusal", alices.pay(amount, "")).await);
        assert_eq!(refused, Misuse::InsufficientBalance { amount, available });
    }
    assert_eq!(misuse(within("the refusal", alices.pay(0, "")).await), Misuse::AmountZero);
    let long = vec![7; MAX_REFERENCE + 1];
    let refused = misuse(within("the refusal", alices.pay(1, long)).await);
    assert_eq!(refused, Misuse::ReferenceTooLong { got: MAX_REFERENCE + 1, max: MAX_REFERENCE });

    // To the last coin above the reserve, and with the longest reference.
    let _paid = within("a payment", alices.pay(available, vec![7; MAX_REFERENCE])).await.unwrap();
    let refused = misuse(within("the refusal", alices.pay(1, "")).await);
    assert_eq!(refused, Misuse::InsufficientBalance { amount: 1, available: 0 });
    let _paid = witness.bobs.pays(available, "all back").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_beyond_what_may_wait_are_refused_until_some_are_agreed() {
    let world = World::new().await;
    let (alice, bob) =
        (world.start_with("alice", |config| config.channels.max_queued = 10).await, world.start("bob").await);
    for actor in [&alice, &bob] {
        let _done = within("a deposit", actor.node.vault_deposit(100 * UNIT)).await.unwrap();
    }
    let proxy = Proxy::before(bob.socket()).await;
    alice.connect_at(&bob, proxy.address()).await;
    let (alices, bobs) = alice.open(&bob).await;
    proxy.stall();
    // One is on its way, ten wait.
    let waiting: Vec<_> = (0..11)
        .map(|_| {
            let alices = alices.clone();
            tokio::spawn(async move { alices.pay(1, "patience").await })
        })
        .collect();
    e2e_tests::until("eleven payments to be taken", || async {
        (alices.has().await.spendable == 90 * UNIT - 11).then_some(())
    })
    .await;
    let refused = misuse(within("the refusal", alices.pay(1, "one too many")).await);
    assert_eq!(refused, Misuse::QueueFull { max: 10 });
    proxy.mend();
    for payment in waiting {
        let _paid = within("what waited", payment).await.unwrap().unwrap();
    }
    let _paid = alices.pays(1, "now there is room").await;
    assert_eq!(bob.events.wait_received(bobs.reference(), 12).await.len(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_too_high_a_fee_is_refused_and_the_channel_stays_open() {
    let witness = Witness::new().await;
    let fee = 100 * UNIT + 1;
    let refused = misuse(within("the refusal", witness.alices.close(fee)).await);
    assert_eq!(refused, Misuse::FeeTooHigh { fee, available: 100 * UNIT });
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_has_ended_is_told_as_such() {
    let witness = Witness::new().await;
    let (alices, bobs) = witness.alice.open(&witness.bob).await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = witness.bob.events.wait_end(bobs.reference()).await;
    for channel in [&alices, &bobs] {
        let refused = within("the refusal", channel.pay(1, "too late")).await.unwrap_err();
        let expected =
            matches!(refused, NodeError::UnknownChannel | NodeError::Misuse(Misuse::NotOpen { state: "closed" }));
        assert!(expected, "{refused}");
    }
    e2e_tests::until("the channel to be forgotten", || async {
        matches!(alices.status().await, Err(NodeError::UnknownChannel)).then_some(())
    })
    .await;
    assert!(matches!(within("the refusal", alices.close(0)).await, Err(NodeError::UnknownChannel)));
    assert!(matches!(
        within("the refusal", alices.close_solo(Certainty::ConfirmedByPeer)).await,
        Err(NodeError::UnknownChannel)
    ));
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_stopped_says_so() {
    let witness = Witness::new().await;
    let alices = witness.alices.clone();
    witness.alice.stop();
    e2e_tests::until("the node to have stopped", || async {
        matches!(alices.balances().await, Err(NodeError::Stopped)).then_some(())
    })
    .await;
    assert!(matches!(within("the refusal", alices.pay(1, "")).await, Err(NodeError::Stopped)));
    assert!(matches!(within("the refusal", alices.close(0)).await, Err(NodeError::Stopped)));
}
