//! Connections that cross, break, stall and lie.

use channel::{Event, Stage};
use e2e_tests::{Actor, Asked, Direction, Proxy, UNIT, World, numbered, within};
use sdk::node::{ChannelHandle, NodeConfig, NodeError, PaymentReceipt};
use std::time::Duration;

/// Alice with a channel to Bob through a proxy.
async fn through_a_proxy(world: &World) -> (Actor, Actor, Proxy, ChannelHandle, ChannelHandle) {
    through_a_proxy_with(world, |_config| {}).await
}

async fn through_a_proxy_with(
    world: &World,
    change: impl Fn(&mut NodeConfig),
) -> (Actor, Actor, Proxy, ChannelHandle, ChannelHandle) {
    let (alice, bob) = (world.start_with("alice", &change).await, world.start_with("bob", &change).await);
    for actor in [&alice, &bob] {
        let _done = within("a deposit", actor.node.vault_deposit(200 * UNIT)).await.unwrap();
    }
    let proxy = Proxy::before(bob.socket()).await;
    alice.connect_at(&bob, proxy.address()).await;
    let (alices, bobs) = alice.open(&bob).await;
    (alice, bob, proxy, alices, bobs)
}

/// A payment whose end is awaited later.
fn pay_later(channel: &ChannelHandle, amount: u128) -> tokio::task::JoinHandle<Result<PaymentReceipt, NodeError>> {
    let channel = channel.clone();
    tokio::spawn(async move { channel.pay(amount, "later").await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_dials_resolve_to_one_connection() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 1_000 * UNIT).await, world.start_rich("bob", 1_000 * UNIT).await);
    let (to_bob, to_alice) = (Proxy::before(bob.socket()).await, Proxy::before(alice.socket()).await);
    for _ in 0..10 {
        let (_a, _b) =
            tokio::join!(alice.connect_at(&bob, to_bob.address()), bob.connect_at(&alice, to_alice.address()));
    }
    // All but one have ended, and the one that is left was dialled by the lower identity.
    let (kept, gone) = if alice.identity() < bob.identity() { (&to_bob, &to_alice) } else { (&to_alice, &to_bob) };
    kept.ended(9).await;
    gone.ended(10).await;

    let (alices, bobs) = e2e_tests::until("a channel over what is left", || async {
        let ours = alice.try_open(&bob, e2e_tests::terms()).await.ok()?;
        let bobs = bob.view_of(&alice, ours.reference()).await;
        Some((ours, bobs))
    })
    .await;
    let _paid = alices.pays(UNIT, "").await;
    let _paid = bobs.pays(UNIT, "").await;
}

/// The listener hears last of what was dialled first, when its dialler has let go of that long ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_comes_late_takes_no_place_of_one_that_was_dialled_after_it() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    let proxy = Proxy::before(bob.socket()).await;
    // Her hello passes, and her proof waits.
    proxy.stall_after(Direction::Forth, 1);
    alice.connect_at(&bob, proxy.address()).await;
    alice.connect(&bob).await;
    let (alices, bobs) = alice.open(&bob).await;
    proxy.mend();
    proxy.ended(1).await;
    for _ in 0..50 {
        let _paid = (alices.pays(1, "").await, bobs.pays(1, "").await);
    }
    assert_eq!(proxy.passed(Direction::Back), 51, "the reply to the hello, and nothing that counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_count_exactly_once_however_often_the_connection_breaks() {
    let world = World::new().await;
    let (alice, bob, proxy, alices, bobs) = through_a_proxy(&world).await;
    let channel = alices.reference();
    let paying = tokio::spawn({
        let alices = alices.clone();
        async move { alices.pays_all(numbered(1_000, 400)).await }
    });
    let back = tokio::spawn({
        let bobs = bobs.clone();
        async move { bobs.pays_all(numbered(1_000, 400)).await }
    });
    // Cut it as soon as anything has passed, again and again, each time somewhere else.
    for round in 1..=20 {
        let passed = proxy.passed(Direction::Forth);
        e2e_tests::until("something to pass", || async {
            (proxy.passed(Direction::Forth) > passed + round * 40 || paying.is_finished()).then_some(())
        })
        .await;
        proxy.cut();
        alice.connect_at(&bob, proxy.address()).await;
    }
    let (paid, back) = within("all payments", async { tokio::join!(paying, back) }).await;
    let (bobs_part, alices_part) =
        (bob.events.wait_received(channel, 400).await, alice.events.wait_received(channel, 400).await);
    assert!(bobs_part == paid.unwrap(), "what Bob received is what Alice paid");
    assert!(alices_part == back.unwrap(), "what Alice received is what Bob paid");
    assert_eq!((alices.has().await.ours, bobs.has().await.ours), (100 * UNIT, 100 * UNIT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_damaged_on_the_way_end_the_connection_and_cost_nothing() {
    let world = World::new().await;
    let (alice, bob, proxy, alices, bobs) = through_a_proxy(&world).await;
    for (number, direction) in (1..).zip([Direction::Forth, Direction::Back, Direction::Forth]) {
        proxy.damage(direction);
        let payment = pay_later(&alices, UNIT);
        proxy.ended(number).await;
        proxy.mend();
        alice.connect_at(&bob, proxy.address()).await;
        let _paid = within("the payment", payment).await.unwrap().unwrap();
    }
    assert_eq!(bob.events.wait_received(bobs.reference(), 3).await.len(), 3);
    assert_eq!(bobs.has().await.ours, 103 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_silent_for_too_long_is_given_up_by_both() {
    let world = World::new().await;
    let (alice, bob, proxy, alices, bobs) = through_a_proxy_with(&world, |config| {
        config.ping_interval = Duration::from_millis(500);
        config.timeouts.idle = Duration::from_secs(2);
    })
    .await;
    proxy.stall();
    let payment = pay_later(&alices, UNIT);
    for channel in [&alices, &bobs] {
        e2e_tests::until("the silence to be noticed", || async {
            (channel.status().await.unwrap().state == Stage::Disconnected).then_some(())
        })
        .await;
    }
    proxy.cut();
    proxy.mend();
    bob.connect(&alice).await;
    let _paid = within("the payment", payment).await.unwrap().unwrap();
    assert_eq!(bobs.has().await.ours, 101 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dials_again_gets_through_although_the_old_connection_seems_alive() {
    let world = World::new().await;
    let impatient = |config: &mut NodeConfig| config.ping_interval = Duration::from_millis(500);
    let (alice, bob, proxy, alices, bobs) = through_a_proxy_with(&world, impatient).await;
    for dialler_is_alice in [true, false] {
        proxy.stall();
        let payment = pay_later(&alices, UNIT);
        if dialler_is_alice {
            alice.connect(&bob).await;
        } else {
            bob.connect(&alice).await;
        }
        let _paid = within("the payment over the new connection", payment).await.unwrap().unwrap();
        // And back to a connection through the proxy.
        proxy.cut();
        proxy.mend();
        alice.connect_at(&bob, proxy.address()).await;
        let _paid = alices.pays(UNIT, "").await;
    }
    assert_eq!(bobs.has().await.ours, 104 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_holds_up_nobody_else() {
    let world = World::new().await;
    let (alice, _bob, proxy, alices, _bobs) = through_a_proxy(&world).await;
    let mallory = world.start_rich("mallory", 200 * UNIT).await;
    let _done = within("a deposit", alice.node.vault_deposit(200 * UNIT)).await.unwrap();
    proxy.stall();
    let stuck: Vec<_> = (0..50).map(|_| pay_later(&alices, 1_000)).collect();
    alice.connect(&mallory).await;
    let (other, _theirs) = alice.open(&mallory).await;
    for _ in 0..20 {
        let _paid = other.pays(UNIT, "").await;
    }
    let _ended = within("the other channel's close", other.close(0)).await.unwrap();
    assert!(stuck.iter().all(|payment| !payment.is_finished()));
    let notices = alice.events.about(alices.reference());
    assert!(!notices.iter().any(|event| matches!(event, Event::Closed(_))), "{notices:?}");
    proxy.mend();
    for payment in stuck {
        let _paid = within("what was stuck", payment).await.unwrap().unwrap();
    }
}
