//! Opening, paying, closing in agreement.

use channel::{Event, Payment};
use e2e_tests::{Asked, UNIT, World, numbered};

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
