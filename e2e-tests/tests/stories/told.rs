//! What a user was told is on disk (R6.4), and whoever waits is told what is so; where a user wants to know once it is agreed (R6.4c), it is as safe there as a
//! payment whose answer was lost.

use channel::{ChannelRef, PaymentOutcome};
use e2e_tests::{UNIT, World, numbered, terms, within};
use futures::FutureExt;
use sdk::{
    keys::PeerAddress,
    node::{ChannelHandle, Node, PaymentReceipt, Storage, Told},
    store::{Durability, StoreHandle},
};
use std::thread;

/// Alice with a store that is watched, and a channel with Bob, who is away.
struct Watched {
    store: StoreHandle,
    _alice: Node,
    channel: ChannelHandle,
}

impl Watched {
    async fn new(world: &World) -> Self {
        let bob = world.start_rich("bob", 200 * UNIT).await;
        let mut config = world.config("alice");
        let store = StoreHandle::open(&world.store_of("alice"), Durability::Immediate).unwrap();
        config.storage = Storage::Disk(store.clone());
        let alice = within("a node to start", Node::start(config)).await.unwrap();
        let _done = within("a deposit", alice.vault_deposit(200 * UNIT)).await.unwrap();
        let peer = within("a connection", alice.connect(&bob.address())).await.unwrap();
        let channel = within("a channel", alice.open_channel(peer, terms())).await.unwrap();
        bob.stop_and_wait().await;
        e2e_tests::until("the connection to be lost", async || {
            (!channel.status().await.unwrap().connected).then_some(())
        })
        .await;
        Self { store, _alice: alice, channel }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_payment_that_is_known_by_its_key_is_on_disk() {
    let world = World::new().await;
    let Watched { store, channel, .. } = &Watched::new(&world).await;
    for number in 0..20_u32 {
        let before = store.counters().batches;
        let paying = channel.pay_once(number.to_be_bytes(), 1, "");
        futures::pin_mut!(paying);
        assert!(paying.as_mut().now_or_never().is_none(), "Bob is away");
        let asked = if number % 2 == 0 {
            within("the payment", channel.payment(number.to_be_bytes())).await.unwrap().is_some()
        } else {
            !within("the payments", channel.payments()).await.unwrap().is_empty()
        };
        assert!(asked && store.counters().batches > before, "payment {number} was told of before it was on disk");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_close_that_was_taken_back_is_taken_back_on_disk() {
    let world = World::new().await;
    let Watched { store, channel, .. } = &Watched::new(&world).await;
    for _ in 0..5 {
        let closing = channel.close(0);
        futures::pin_mut!(closing);
        assert!(closing.as_mut().now_or_never().is_none(), "Bob is away");
        let _stage = e2e_tests::until("the close to wait", async || channel.status().await.unwrap().shutdown).await;
        let before = store.counters().batches;
        within("the close to be taken back", channel.cancel_close()).await.unwrap();
        assert!(store.counters().batches > before, "it was said to be taken back before that was on disk");
    }
}

const KEY: &[u8] = b"the coffee";

/// Alice in a runtime of her own, which is gone as soon as she is told of a payment: none of her tasks has another turn.
fn pay_and_crash(world: &World, bob: &PeerAddress, told: Told) -> (ChannelRef, PaymentReceipt) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = world.config("alice");
        config.told = told;
        config.storage = Storage::Disk(StoreHandle::open(&world.store_of("alice"), Durability::Immediate).unwrap());
        let alice = within("a node to start", Node::start(config)).await.unwrap();
        let _done = within("a deposit", alice.vault_deposit(200 * UNIT)).await.unwrap();
        let peer = within("a connection", alice.connect(bob)).await.unwrap();
        let channel = within("a channel", alice.open_channel(peer, terms())).await.unwrap();
        let paid = within("the payment", channel.pay_once(KEY, UNIT, "coffee")).await.unwrap();
        (channel.reference(), paid)
    })
}

/// What Alice's store has of the payment that she was told of before she crashed. It is made once, whatever that is.
async fn kept_of_what_was_told(told: Told) -> PaymentOutcome {
    let world = World::new().await;
    let bob = world.start_rich("bob", 200 * UNIT).await;
    let crashed = tokio::task::block_in_place(|| {
        thread::scope(|scope| scope.spawn(|| pay_and_crash(&world, &bob.address(), told)).join())
    });
    let (reference, paid) = crashed.unwrap();

    let alice = world.start("alice").await;
    let channel = alice.channel(&bob, reference).await;
    let kept = channel.payment(KEY).await.unwrap().unwrap().outcome;
    let again = tokio::spawn({
        let channel = channel.clone();
        async move { channel.pay_once(KEY, UNIT, "coffee").await }
    });
    alice.connect(&bob).await;
    let again = within("the same payment", again).await.unwrap().unwrap();
    assert_eq!(again, paid, "what was told is so");
    assert_eq!(channel.payment(KEY).await.unwrap().unwrap().outcome, PaymentOutcome::Paid(paid.round));
    let _next = within("another payment", channel.pay(UNIT, "cake")).await.unwrap();
    let received = bob.events.wait_received(reference, 2).await;
    let references: Vec<_> = received.iter().map(|payment| payment.reference.as_slice()).collect();
    assert_eq!(references, [&b"coffee"[..], b"cake"], "each once");
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_once_kept_is_paid_after_a_crash() {
    assert!(matches!(kept_of_what_was_told(Told::OnceKept).await, PaymentOutcome::Paid(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_once_agreed_is_pending_after_a_crash_and_then_paid_once() {
    assert_eq!(kept_of_what_was_told(Told::OnceAgreed).await, PaymentOutcome::Pending);
}

/// How many commits Alice makes for twenty payments in a row, up to when she is told of the last, and how many once she has asked for something else.
async fn commits_of_twenty(told: Told, pay: impl AsyncFn(&ChannelHandle)) -> (u64, u64) {
    let world = World::new().await;
    let bob = world.start_rich("bob", 200 * UNIT).await;
    let mut config = world.config("alice");
    let store = StoreHandle::open(&world.store_of("alice"), Durability::Immediate).unwrap();
    (config.told, config.storage) = (told, Storage::Disk(store.clone()));
    let alice = within("a node to start", Node::start(config)).await.unwrap();
    let _done = within("a deposit", alice.vault_deposit(200 * UNIT)).await.unwrap();
    let peer = within("a connection", alice.connect(&bob.address())).await.unwrap();
    let channel = within("a channel", alice.open_channel(peer, terms())).await.unwrap();
    within("a first payment", pay(&channel)).await;
    // An answer about the channel tells of nothing that is not on disk.
    let _kept = channel.status().await.unwrap();
    let before = store.counters().batches;
    for _ in 0..20 {
        within("a payment", pay(&channel)).await;
    }
    let told = store.counters().batches;
    let _kept = channel.status().await.unwrap();
    (told - before, store.counters().batches - before)
}

async fn pay_one(channel: &ChannelHandle) {
    let _paid = channel.pay(1, "").await.unwrap();
}

async fn pay_two(channel: &ChannelHandle) {
    let _paid = channel.pay_all(numbered(1, 2)).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn payments_in_a_row_that_are_told_of_once_agreed_are_kept_with_the_next_one() {
    // What comes from elsewhere meanwhile, a block or the tick of a second, is kept by itself, and what is agreed by then with it.
    let (told, _all) = commits_of_twenty(Told::OnceKept, pay_one).await;
    assert!(told >= 40, "{told}");
    for (told, all) in
        [commits_of_twenty(Told::OnceAgreed, pay_one).await, commits_of_twenty(Told::OnceAgreed, pay_two).await]
    {
        assert!((20..30).contains(&told), "{told}");
        assert!((21..31).contains(&all), "{all}, the last one by itself");
    }
}
