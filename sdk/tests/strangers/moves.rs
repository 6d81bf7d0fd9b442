//! Peers whose tasks move between the strangers' thread and the others (R6.9c): with their first channel on chain, and back with their last.

use crate::party::{PATIENCE, until};
use sdk::{
    EventStream, Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    channel::Event,
    keys::{Identity, PeerAddress},
    node::{Cause, Notification},
    protocol::PublicKey,
    transport::{ConnectionTimeouts, Session, dial},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::time::timeout;

async fn start(chain: &MemoryChain, name: &str, set: impl FnOnce(&mut NodeConfig)) -> (Node, EventStream) {
    let mut config = NodeConfig::for_tests(chain, name).await.unwrap();
    set(&mut config);
    Node::start_with_events(config).await.unwrap()
}

/// The references of the next payments that this node receives from a peer.
async fn received(events: &mut EventStream, from: PublicKey, count: usize) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    while received.len() < count {
        let event = timeout(PATIENCE, events.next()).await.expect("an event").unwrap();
        if let Notification::Event(Event::Received { payments, .. }) = event.event
            && event.peer == from
        {
            received.extend(payments.into_iter().map(|payment| payment.reference));
        }
    }
    received
}

/// Six times a peer becomes known by a channel and a stranger again with its end, on one connection; what it says around each move arrives once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_outlives_its_moves_and_loses_nothing() {
    let chain = MemoryChain::new();
    let (alice, _events) = start(&chain, "alice", |config| config.redial = None).await;
    let (bob, mut heard) = start(&chain, "bob", |_| {}).await;
    let _done = alice.vault_deposit(20_000_000).await.unwrap();
    let peer = alice.connect(&bob.address().unwrap()).await.unwrap();
    for round in 0..6_u32 {
        let opening = alice.open_channel(peer, OpenChannel::new(1_000_000, 0));
        let channel = timeout(PATIENCE, opening).await.expect("an opening").unwrap();
        let paying: Vec<_> = (0..40_u32)
            .map(|number| {
                let channel = channel.clone();
                async move { channel.pay(1, [round.to_be_bytes(), number.to_be_bytes()].concat()).await }
            })
            .collect();
        for paid in timeout(PATIENCE, futures::future::join_all(paying)).await.expect("payments") {
            let _paid = paid.unwrap();
        }
        let said = received(&mut heard, alice.identity(), 40).await;
        assert!(said.is_sorted(), "round {round}");
        let _ended = timeout(PATIENCE, channel.close(0)).await.expect("a close").unwrap();
        until("the end at Bob", async || bob.channels(alice.identity()).await.unwrap().is_empty()).await;
    }
}

/// Strangers who shake hands as fast as they can.
fn flood(to: &PeerAddress, over: &Arc<AtomicBool>, count: &Arc<AtomicUsize>) {
    for number in 0..8 {
        let (to, over, count) = (to.clone(), Arc::clone(over), Arc::clone(count));
        drop(tokio::spawn(async move {
            let mut seed = [number; 32];
            while !over.load(Ordering::SeqCst) {
                let made = count.fetch_add(1, Ordering::SeqCst);
                seed.iter_mut().zip(made.to_le_bytes()).for_each(|(to, from)| *to = from);
                let _gone = dial(&Identity::from_seed(&seed), &to, ConnectionTimeouts::default()).await;
            }
        }));
    }
}

/// From the address that the flood comes from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_a_channel_comes_back_and_a_newcomer_opens_beside_a_flood_of_handshakes() {
    let chain = MemoryChain::new();
    let (alice, _events) = start(&chain, "alice", |_| {}).await;
    let (carol, _more) = start(&chain, "carol", |_| {}).await;
    let (bob, _heard) = start(&chain, "bob", |_| {}).await;
    let _done = alice.vault_deposit(2_000_000).await.unwrap();
    let _done = carol.vault_deposit(2_000_000).await.unwrap();
    let at = bob.address().unwrap();
    let peer = alice.connect(&at).await.unwrap();
    let channel = alice.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
    let (over, count) = (Arc::default(), Arc::default());
    flood(&at, &over, &count);
    for _ in 0..10 {
        // The later connection takes the place of the one before.
        let _peer = timeout(PATIENCE, alice.connect(&at)).await.expect("a connection").unwrap();
        let _paid = timeout(PATIENCE, channel.pay(1, "")).await.expect("a payment").unwrap();
    }
    let _peer = timeout(PATIENCE, carol.connect(&at)).await.expect("a connection").unwrap();
    let opened = timeout(PATIENCE, carol.open_channel(peer, OpenChannel::new(1_000_000, 0))).await;
    let _paid = opened.expect("an opening").unwrap().pay(1, "").await.unwrap();
    over.store(true, Ordering::SeqCst);
    assert!(count.load(Ordering::SeqCst) > 20, "there was a flood");
}

async fn stranger(to: &PeerAddress, number: u8) -> Session {
    dial(&Identity::from_seed(&[number; 32]), to, ConnectionTimeouts::default()).await.unwrap()
}

/// A peer whose last channel has ended takes a place among strangers, if it stays connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_has_become_a_stranger_again_gives_way_like_any_other() {
    let chain = MemoryChain::new();
    let (alice, _events) = start(&chain, "alice", |config| config.redial = None).await;
    let (bob, _heard) = start(&chain, "bob", |config| {
        (config.limits.strangers, config.limits.strangers_per_address) = (1, 1);
    })
    .await;
    let _done = alice.vault_deposit(2_000_000).await.unwrap();
    let at = bob.address().unwrap();
    let peer = alice.connect(&at).await.unwrap();
    let channel = alice.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
    let _ended = timeout(PATIENCE, channel.close(0)).await.expect("a close").unwrap();
    until("the end at Bob", async || bob.channels(alice.identity()).await.unwrap().is_empty()).await;
    let _one = stranger(&at, 1).await;
    until("a place", async || bob.counters().of(Cause::StrangerDisplaced) == 1).await;
}

/// Two at once under one identity, again and again: the later one is served, and the node goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_of_one_stranger_leave_one() {
    let chain = MemoryChain::new();
    let (bob, _heard) = start(&chain, "bob", |_| {}).await;
    let at = bob.address().unwrap();
    for _ in 0..50 {
        let (_one, _other) = tokio::join!(stranger(&at, 1), stranger(&at, 1));
    }
    let (mut sender, mut receiver) = stranger(&at, 1).await.split();
    sender.send(&scale::Encode::encode(&sdk::node::Packet::Ping)).await.unwrap();
    let pong = timeout(PATIENCE, receiver.recv()).await.expect("a pong").unwrap();
    assert_eq!(pong, scale::Encode::encode(&sdk::node::Packet::Pong));
}

/// A program that is not asynchronous itself may have a runtime for one call. Whatever runtime a connection is dialled in, its socket is watched by the one of the peer's task.
#[test]
fn a_connection_that_was_dialled_from_another_runtime_lives_on() {
    let nodes = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let chain = MemoryChain::new();
    let (alice, bob) = nodes.block_on(async {
        let (alice, _events) = start(&chain, "alice", |config| config.redial = None).await;
        let (bob, _heard) = start(&chain, "bob", |_| {}).await;
        let _done = alice.vault_deposit(2_000_000).await.unwrap();
        (alice, bob)
    });
    let at = bob.address().unwrap();
    let for_one_call = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let peer = for_one_call.block_on(async { alice.connect(&at).await.unwrap() });
    let opening = async { timeout(PATIENCE, alice.open_channel(peer, OpenChannel::new(1_000_000, 0))).await };
    let channel = nodes.block_on(opening).expect("something is heard on the connection").unwrap();
    drop(for_one_call);
    let paid = nodes.block_on(async { timeout(PATIENCE, channel.pay(1, "")).await });
    let _paid = paid.expect("the connection lives on").unwrap();
}
