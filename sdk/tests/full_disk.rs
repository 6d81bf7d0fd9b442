//! What those hear who ask just as the disk takes nothing more (R6.9e).
//!
//! The limit that stands for the full disk is the whole process's, so this story has a program of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Resource, Rlimit, setrlimit};
use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    node::{NodeError, Storage},
    store::{Durability, StoreHandle},
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::{runtime::Builder, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// The failure is noted before anybody is left without an answer: nobody takes a channel that is there, and defended, for one that is unknown.
#[test]
fn whoever_asks_while_the_store_fails_is_told_that_it_has() {
    const CALLERS: usize = 3_500;
    let _told = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).unwrap();
    let nodes = Builder::new_current_thread().enable_all().build().unwrap();
    let callers = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (_bob, _alice, channel) = nodes.block_on(async {
        let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
        let mut config = NodeConfig::for_tests(&chain, "alice").await.unwrap();
        config.storage = Storage::Disk(StoreHandle::open(kept.path(), Durability::Immediate).unwrap());
        let alice = Node::start(config).await.unwrap();
        let _done = alice.vault_deposit(2_000_000).await.unwrap();
        let peer = alice.connect(&bob.address().unwrap()).await.unwrap();
        let channel = alice.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
        let _paid = channel.pay(1, "").await.unwrap();
        (bob, alice, channel)
    });
    // Nothing of the node has a turn while its program asks.
    let asked: Vec<_> = callers.block_on(async {
        let mut asked = Vec::new();
        for number in 0..CALLERS {
            let channel = channel.clone();
            let mut paying = Box::pin(async move { channel.pay_once(number.to_be_bytes().to_vec(), 1, "").await });
            assert!(futures::poll!(&mut paying).is_pending());
            asked.push(callers.spawn(paying));
        }
        asked
    });
    setrlimit(Resource::Fsize, Rlimit { current: Some(1_024), maximum: None }).unwrap();
    let answers =
        nodes.block_on(async { timeout(PATIENCE, futures::future::join_all(asked)).await.expect("nobody hangs") });
    for answer in answers {
        let answer = answer.unwrap();
        assert!(matches!(answer, Err(NodeError::DefendOnly(_))), "{answer:?}");
    }
}
