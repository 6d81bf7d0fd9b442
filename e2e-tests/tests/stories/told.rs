//! What a user was told is on disk (R6.4), and whoever waits is told what is so.

use e2e_tests::{UNIT, World, terms, within};
use futures::FutureExt;
use sdk::{
    node::{ChannelHandle, Node, Storage},
    store::{Durability, StoreHandle},
};

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
