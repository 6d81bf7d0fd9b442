//! A swap between two who have no channel with each other, both legs through a hub that has one with each on both chains, and the premium with them (R8.5h).

use crate::parties::{Chains, ID, all_up, at_once};
use sdk::{
    Node, OpenChannel,
    network::{RoutingPolicy, SwapPolicy, SwapQuote, SwapStage},
    node::NewSwap,
    protocol::{Amount, PublicKey},
};
use std::time::Duration;

const SHARE: Amount = 1_000_000;

fn swapper(quotes: Vec<SwapQuote>) -> RoutingPolicy {
    let swaps = SwapPolicy { quotes, takes_strangers: true, ..SwapPolicy::default() };
    RoutingPolicy { swaps, ..RoutingPolicy::default() }
}

async fn connect(ours: &[Node; 2], theirs: &[Node; 2]) -> PublicKey {
    for (ours, theirs) in ours.iter().zip(theirs) {
        let _peer = ours.connect(&theirs.address().unwrap()).await.unwrap();
    }
    theirs[0].identity()
}

/// A channel on each chain, with as much of both sides in it, that both may pay through.
async fn open(ours: &[Node; 2], theirs: &[Node; 2]) {
    let peer = connect(ours, theirs).await;
    for (ours, theirs) in ours.iter().zip(theirs) {
        let _channel = at_once(ours.open_channel(peer, OpenChannel::new(SHARE, SHARE))).await.unwrap();
        for (node, peer) in [(ours, peer), (theirs, ours.identity())] {
            at_once(all_up(node, peer)).await;
        }
    }
}

/// The hub has told this party that it serves the other one, on both chains.
async fn is_served(party: &[Node; 2], hub: PublicKey, other: PublicKey) {
    for node in party {
        let serves = || node.hub_terms(hub).is_some_and(|terms| terms.serves.contains(&other));
        while !serves() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What the party has in its channels on each chain.
async fn has(party: &[Node; 2], peer: PublicKey) -> [Amount; 2] {
    let mut all = [0, 0];
    for (sum, node) in all.iter_mut().zip(party) {
        for channel in node.channels(peer).await.unwrap() {
            *sum += channel.balances().await.unwrap().map_or(0, |balances| balances.ours);
        }
    }
    all
}

#[tokio::test]
async fn both_legs_and_the_premium_go_through_a_hub() {
    let chains = Chains::new();
    let [source, target] = [&chains.0[0], &chains.0[1]];
    let [source, target] =
        [source.arbiter().await.unwrap(), target.arbiter().await.unwrap()].map(|it| it.info().domain);
    let (rate, amounts, inventory) = ((2, 1), (1, Amount::MAX), 500_000);
    let quote = SwapQuote { source, target, rate, amounts, premium: 10_000, inventory, expires_at: u64::MAX };
    let carries = RoutingPolicy { is_hub: true, carries_premiums: true, ..RoutingPolicy::default() };
    let hub = chains.start("hub", carries, None).await;
    let initiator = chains.start("alice", swapper(Vec::new()), None).await;
    let responder = chains.start("bob", swapper(vec![quote]), None).await;
    for node in hub.iter().chain(&initiator).chain(&responder) {
        let _done = node.vault_deposit(4 * SHARE).await.unwrap();
    }
    for party in [&initiator, &responder] {
        open(party, &hub).await;
    }
    let hubs = hub[0].identity();
    for (party, other) in [(&initiator, &responder), (&responder, &initiator)] {
        at_once(is_served(party, hubs, other[0].identity())).await;
    }
    let peer = connect(&initiator, &responder).await;
    let swap = NewSwap { responder: peer, pay: 1_000, target, get: 2_000, premium: 20 };
    let _begun = initiator[0].propose_swap(ID, swap).await.unwrap();
    let ended = at_once(initiator[0].swap_ended(&ID)).await.unwrap();
    let SwapStage::Ended { outcome, .. } = ended.stage else { panic!("{ended:?}") };
    assert!(outcome.source_moved && outcome.target_moved, "{outcome:?}");
    let _ended = at_once(responder[0].swap_ended(&ID)).await.unwrap();
    // The hub takes no fee here, and claims its own leg last.
    let moved = ([SHARE - 1_000, SHARE + 2_000], [SHARE + 1_000, SHARE - 2_000]);
    let settled = async {
        while (has(&initiator, hubs).await, has(&responder, hubs).await) != moved {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    at_once(settled).await;
}
