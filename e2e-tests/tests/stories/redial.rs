//! Peers that find each other again by themselves.

use e2e_tests::{Actor, Asked, Direction, Proxy, UNIT, World, until, within};
use sdk::node::{Backoff, ChannelHandle, Node, NodeConfig, Owner, StartError, Storage};
use std::time::Duration;

/// Soon, so that stories are short.
fn soon(config: &mut NodeConfig) {
    config.redial = Some(Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100) });
}

/// Alice, who dials lost peers again, with a channel to Bob, who listens behind a proxy.
async fn couple(world: &World) -> (Actor, Actor, Proxy, ChannelHandle) {
    let (alice, bob) = (world.start_with("alice", soon).await, world.start_with("bob", soon).await);
    for actor in [&alice, &bob] {
        let _done = within("a deposit", actor.node.vault_deposit(200 * UNIT)).await.unwrap();
    }
    let proxy = Proxy::before(bob.socket()).await;
    alice.connect_at(&bob, proxy.address()).await;
    let (alices, _bobs) = alice.open(&bob).await;
    (alice, bob, proxy, alices)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_again_however_often_it_is_lost() {
    let world = World::new().await;
    let (_alice, bob, proxy, alices) = couple(&world).await;
    for _ in 0..5 {
        proxy.cut();
        let _paid = alices.pays(UNIT, "").await;
    }
    assert_eq!(bob.events.wait_received(alices.reference(), 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_is_dialled_until_it_does() {
    let world = World::new().await;
    let (_alice, _bob, proxy, alices) = couple(&world).await;
    // Whoever dials now is let in and hears nothing but noise.
    proxy.damage(Direction::Back);
    proxy.cut();
    proxy.ended(4).await;
    proxy.mend();
    let _paid = alices.pays(UNIT, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_again_finds_the_peers_of_its_channels() {
    let world = World::new().await;
    let (alice, bob, _proxy, alices) = couple(&world).await;
    let channel = alices.reference();
    alice.stop_and_wait().await;
    let alice = world.start_with("alice", soon).await;
    let alices = alice.channel(&bob, channel).await;
    until("the channel to be back", || async {
        (alices.status().await.unwrap().state == channel::Stage::Open).then_some(())
    })
    .await;
    let _paid = alices.pays(UNIT, "after the restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_channel_nobody_is_dialled_again() {
    let world = World::new().await;
    let (alice, bob, proxy, alices) = couple(&world).await;
    let _closed = within("the close", alices.close(0)).await.unwrap();
    proxy.cut();
    proxy.ended(1).await;
    // Both have forgotten each other: the next to dial is who is told to.
    until("Alice to forget Bob", || async {
        alice.node.channels(bob.identity()).await.unwrap().is_empty().then_some(())
    })
    .await;
    alice.stop_and_wait().await;
    let alice = world.start_with("alice", soon).await;
    alice.connect_at(&bob, proxy.address()).await;
    assert_eq!(proxy.connections(), 2, "the one that was cut, and the one just made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_another_node_is_refused_and_left_as_it_is() {
    let world = World::new().await;
    let (alice, bob, _proxy, alices) = couple(&world).await;
    let channel = alices.reference();
    alice.stop_and_wait().await;
    let mut config = world.config("mallory");
    config.storage = Storage::Disk(world.free_store_of("alice").await);
    let owner = |name| Owner { identity: world.config(name).identity.public(), domain: world.arbiter.info().domain };
    match Node::start(config).await {
        Err(StartError::ForeignStore { store, node, .. }) => {
            assert_eq!((store, node), (owner("alice"), owner("mallory")))
        }
        other => panic!("{other:?}"),
    }
    let alice = world.start_with("alice", soon).await;
    let _paid = alice.channel(&bob, channel).await.pays(UNIT, "").await;
}
