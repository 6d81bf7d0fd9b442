//! Opening, paying, closing in agreement.

use channel::{Event, IdempotencyKey, Payment};
use e2e_tests::{Asked, UNIT, World, numbered, within};
use sdk::node::NodeError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_payments_at_once_share_rounds_and_each_arrives_once_in_order_with_its_own_words() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;

    let payments =
        (1..=1_000_u32).map(|number| Payment { amount: number.into(), reference: number.to_be_bytes().into() });
    let paid = alices.pays_all(payments.collect()).await;
    assert_eq!(bob.events.wait_received(bobs.reference(), 1_000).await, paid);
    let is_receipt = |event: &Event| matches!(event, Event::Received { .. });
    let rounds = bob.events.about(bobs.reference()).into_iter().filter(is_receipt).count();
    assert!(rounds <= 100, "{rounds} rounds for 1,000 payments");
    assert_eq!(bobs.has().await.ours, 100 * UNIT + 500_500);
    assert_eq!(alices.has().await.ours, 100 * UNIT - 500_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_pay_at_once_and_nobody_sees_a_conflict() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let (forth, back) = tokio::join!(alices.pays_all(numbered(3, 500)), bobs.pays_all(numbered(2, 500)));
    assert_eq!(bob.events.wait_received(bobs.reference(), 500).await, forth);
    assert_eq!(alice.events.wait_received(alices.reference(), 500).await, back);
    assert_eq!((alices.has().await.ours, bobs.has().await.ours), (100 * UNIT - 500, 100 * UNIT + 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_waiting_for_a_payment_has_paid_all_the_same() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    {
        // Asked for, and dropped before there is an answer.
        let payment = alices.pay(5, "impatient");
        let _not_yet = futures::FutureExt::now_or_never(payment);
    }
    let _paid = alices.pays(7, "patient").await;
    let amounts: Vec<_> =
        bob.events.wait_received(bobs.reference(), 2).await.into_iter().map(|payment| payment.amount).collect();
    assert_eq!(amounts, [5, 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_by_keys_that_is_asked_for_again_pays_only_what_is_new_and_answers_for_all() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, _bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let payment = |number: u8| (IdempotencyKey::from([number]), Payment { amount: UNIT, reference: vec![number] });
    let first = within("a batch", alices.pay_all_once((0..3).map(payment).collect())).await.unwrap();
    let paid: Vec<_> = first.into_iter().map(Result::unwrap).collect();
    drop(alices);
    alice.stop_and_wait().await;
    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    let alices = alice.channel(&bob, channel).await;
    let again = within("a batch", alices.pay_all_once((1..6).map(payment).collect())).await.unwrap();
    let again: Vec<_> = again.into_iter().map(Result::unwrap).collect();
    assert_eq!(again[..2], paid[1..], "what is known answers");
    assert_eq!(again.len(), 5);
    let received = bob.events.wait_received(channel, 6).await;
    let references: Vec<_> = received.into_iter().map(|payment| payment.reference).collect();
    assert_eq!(references, (0..6).map(|number| vec![number]).collect::<Vec<_>>(), "each once");
    let other = (IdempotencyKey::from([0_u8]), Payment { amount: 2, reference: Vec::new() });
    let refused = within("a refusal", alices.pay_all_once(vec![payment(9), other])).await;
    assert!(matches!(refused, Err(NodeError::Misuse(channel::Misuse::KeyInUse { .. }))), "{refused:?}");
    assert_eq!(alices.payment([9_u8]).await.unwrap(), None);
}
