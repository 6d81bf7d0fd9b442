//! What is told once both have signed (R6.4c), and the end of the node right after it.

use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    channel::PaymentOutcome,
    node::{Storage, Told},
    store::{Durability, StoreHandle},
};
use std::path::Path;

async fn alice(chain: &MemoryChain, kept: &Path) -> NodeConfig {
    let mut config = NodeConfig::for_tests(chain, "alice").await.unwrap();
    let store = loop {
        match StoreHandle::open(kept, Durability::Immediate) {
            Ok(store) => break store,
            // A node that was dropped lets go of it in its own time.
            Err(_in_use) => tokio::task::yield_now().await,
        }
    };
    (config.told, config.storage) = (Told::OnceAgreed, Storage::Disk(store));
    config
}

/// What has become of a payment, as the store has it, where the node is let go of in the very turn in which its program is told.
async fn kept_after(end: impl AsyncFnOnce(Node)) -> PaymentOutcome {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
    let node = Node::start(alice(&chain, kept.path()).await).await.unwrap();
    let _done = node.vault_deposit(2_000_000).await.unwrap();
    let peer = node.connect(&bob.address().unwrap()).await.unwrap();
    let channel = node.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
    let _paid = channel.pay_once("before", 1, "").await.unwrap();
    let told = channel.pay_once("coffee", 5, "").await.unwrap();
    drop(channel);
    end(node).await;

    let node = Node::start(alice(&chain, kept.path()).await).await.unwrap();
    let [channel] = &node.channels(peer).await.unwrap()[..] else { panic!("there is one channel") };
    let kept = channel.payment("coffee").await.unwrap().unwrap().outcome;
    let _peer = node.connect(&bob.address().unwrap()).await.unwrap();
    assert_eq!(channel.pay_once("coffee", 5, "").await.unwrap(), told, "what was told is so");
    assert_eq!(channel.balances().await.unwrap().unwrap().ours, 1_000_000 - 6, "and paid once");
    kept
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_told_is_kept_where_the_node_is_stopped_in_the_same_turn() {
    let kept = kept_after(|node: Node| node.stop()).await;
    assert!(matches!(kept, PaymentOutcome::Paid(_)), "{kept:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_told_is_kept_where_the_node_is_dropped_in_the_same_turn() {
    let kept = kept_after(async |node: Node| drop(node)).await;
    assert!(matches!(kept, PaymentOutcome::Paid(_)), "{kept:?}");
}
