//! A disk that takes nothing more right after a program was told of a payment that both have signed and that is not kept (R6.4c, R6.9e).
//!
//! The limit that stands for the full disk is the whole process's, so this story has a program of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Resource, Rlimit, setrlimit};
use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    channel::{Event, PaymentOutcome},
    node::{NodeError, Notification, Storage, Told},
    store::{Durability, StoreHandle},
};
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// No file of this process can be written beyond so many bytes.
fn limit_files(to: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: to, maximum: None }).unwrap();
}

async fn alice(chain: &MemoryChain, kept: &Path) -> NodeConfig {
    let mut config = NodeConfig::for_tests(chain, "alice").await.unwrap();
    let store = StoreHandle::open(kept, Durability::Immediate).unwrap();
    (config.told, config.storage) = (Told::OnceAgreed, Storage::Disk(store));
    config
}

/// Nobody hangs, nobody is told of a payment that was not made, and what was told is so after the disk is mended: each payment once by its key.
#[tokio::test(flavor = "current_thread")]
async fn what_was_told_stands_and_what_follows_is_refused_where_the_disk_is_full() {
    let _told = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).unwrap();
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (bob, mut heard) = Node::start_with_events(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
    let node = Node::start(alice(&chain, kept.path()).await).await.unwrap();
    let _done = node.vault_deposit(2_000_000).await.unwrap();
    let peer = node.connect(&bob.address().unwrap()).await.unwrap();
    let channel = node.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
    let told = channel.pay_once("first", 1, "first").await.unwrap();

    limit_files(Some(1_024));
    let paying = ["second", "third", "second"].map(|key| channel.pay_once(key, 1, key));
    let refused = timeout(PATIENCE, futures::future::join_all(paying)).await.expect("nobody hangs");
    for refused in refused {
        assert!(matches!(refused, Err(NodeError::DefendOnly(_))), "{refused:?}");
    }
    drop(channel);
    timeout(PATIENCE, node.stop()).await.expect("the node stops");
    limit_files(None);

    let node = Node::start(alice(&chain, kept.path()).await).await.unwrap();
    let [channel] = &node.channels(peer).await.unwrap()[..] else { panic!("there is one channel") };
    assert_eq!(channel.payment("first").await.unwrap().unwrap().outcome, PaymentOutcome::Pending);
    let _peer = node.connect(&bob.address().unwrap()).await.unwrap();
    for key in ["second", "third", "first"] {
        let paid = timeout(PATIENCE, channel.pay_once(key, 1, key)).await.expect("a payment").unwrap();
        assert!(key != "first" || paid == told, "what was told is so");
    }
    let mut received = Vec::new();
    while received.len() < 3 {
        let event = timeout(PATIENCE, heard.next()).await.expect("an event").unwrap();
        if let Notification::Event(Event::Received { payments, .. }) = event.event {
            received.extend(payments.into_iter().map(|payment| payment.reference));
        }
    }
    assert_eq!(received, [&b"first"[..], b"second", b"third"].map(<[u8]>::to_vec), "each once");
    assert_eq!(channel.balances().await.unwrap().unwrap().ours, 1_000_000 - 3);
}
