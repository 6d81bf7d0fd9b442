//! Two parties, with a node and a channel on each of two chains.

use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    network::{BlockClock, RoutingPolicy, SwapId},
    node::{NewSwap, RouterGroup, Storage, open_on_both},
    protocol::{Amount, Hash, PublicKey},
    store::{Durability, StoreHandle},
};
use std::{future::Future, path::Path, time::Duration};

pub(crate) const ID: SwapId = SwapId([5; 32]);

/// The source chain, and the target chain.
pub(crate) struct Chains(pub(crate) [MemoryChain; 2]);

pub(crate) struct Parties {
    pub(crate) initiator: [Node; 2],
    pub(crate) responder: [Node; 2],
    pub(crate) swap: NewSwap,
}

impl Chains {
    pub(crate) fn new() -> Self {
        Self([MemoryChain::new(), MemoryChain::builder().genesis(Hash([2; 32])).build()])
    }

    /// Both nodes of a party in a group of their own, with what is kept in this directory.
    pub(crate) async fn start(&self, name: &str, policy: RoutingPolicy, kept: Option<&Path>) -> [Node; 2] {
        let group = RouterGroup::new(policy);
        let mut nodes = Vec::new();
        for (chain, place) in self.0.iter().zip(["source", "target"]) {
            let mut config = NodeConfig::for_tests(chain, name).await.unwrap();
            config.group = Some(group.clone());
            config.routing.chain.clock = Some(BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 });
            config.policy.share_max = Amount::MAX;
            if let Some(kept) = kept {
                let store = StoreHandle::open(&kept.join(name).join(place), Durability::Immediate);
                config.storage = Storage::Disk(store.unwrap());
            }
            nodes.push(Node::start(config).await.unwrap());
        }
        <[Node; 2]>::try_from(nodes).unwrap_or_else(|_other| unreachable!("two chains"))
    }

    /// Both parties start, and open a channel on each chain; the initiator's nodes keep what they know in this directory.
    pub(crate) async fn meet(&self, policy: RoutingPolicy, kept: Option<&Path>) -> Parties {
        let initiator = self.start("alice", RoutingPolicy::default(), kept).await;
        let responder = self.start("bob", policy, None).await;
        for node in initiator.iter().chain(&responder) {
            let _done = node.vault_deposit(2_000_000).await.unwrap();
        }
        connect(&initiator, &responder).await;
        let peer = responder[0].identity();
        let [paying, paid] = [OpenChannel::new(1_000_000, 0), OpenChannel::new(10_000, 1_000_000)];
        let _channels = open_on_both((&initiator[0], paying), (&initiator[1], paid), peer).await.unwrap();
        // The responder has seen the channels too, on both chains.
        for node in &responder {
            at_once(all_up(node, initiator[0].identity())).await;
        }
        let target = self.0[1].arbiter().await.unwrap().info().domain;
        let swap = NewSwap { responder: peer, pay: 1_000, target, get: 2_000, premium: 0 };
        Parties { initiator, responder, swap }
    }
}

pub(crate) async fn connect(ours: &[Node; 2], theirs: &[Node; 2]) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        let peer = ours.connect(&theirs.address().unwrap()).await.unwrap();
        // Either side swaps by channels alone that are up for it.
        for (node, peer) in [(ours, peer), (theirs, ours.identity())] {
            at_once(all_up(node, peer)).await;
        }
    }
}

pub(crate) async fn all_up(node: &Node, peer: PublicKey) {
    for channel in node.channels(peer).await.unwrap() {
        while channel.status().await.unwrap().waits_for.is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// It is answered long before this; what is never answered fails the test.
pub(crate) async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), answer).await.unwrap()
}
