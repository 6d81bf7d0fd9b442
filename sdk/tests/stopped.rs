//! Swaps and payments asked of nodes that have stopped: each question is answered by name, at once; nobody waits for ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    network::{BlockClock, RoutingPolicy, SwapError, SwapId, SwapPolicy, SwapStage},
    node::{NewSwap, RouterGroup, SwapFailed, open_on_both},
    protocol::{Amount, Hash},
};
use std::{future::Future, time::Duration};

const ID: SwapId = SwapId([5; 32]);

/// Two chains, and two parties with a node and a channel on each.
struct Parties {
    initiator: [Node; 2],
    responder: [Node; 2],
    swap: NewSwap,
}

async fn start(chains: [&MemoryChain; 2], name: &str, policy: RoutingPolicy) -> [Node; 2] {
    let group = RouterGroup::new(policy);
    let mut nodes = Vec::new();
    for chain in chains {
        let mut config = NodeConfig::for_tests(chain, name).await.unwrap();
        config.group = Some(group.clone());
        config.routing.chain.clock = Some(BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 });
        config.policy.share_max = Amount::MAX;
        let node = Node::start(config).await.unwrap();
        let _done = node.vault_deposit(2_000_000).await.unwrap();
        nodes.push(node);
    }
    <[Node; 2]>::try_from(nodes).unwrap_or_else(|_other| unreachable!("two chains"))
}

/// The responder's user is asked about every swap.
async fn meet() -> Parties {
    let (first, second) = (MemoryChain::new(), MemoryChain::builder().genesis(Hash([2; 32])).build());
    let chains = [&first, &second];
    let swaps = SwapPolicy { asks_user: true, ..SwapPolicy::default() };
    let initiator = start(chains, "alice", RoutingPolicy::default()).await;
    let responder = start(chains, "bob", RoutingPolicy { swaps, ..RoutingPolicy::default() }).await;
    for (ours, theirs) in initiator.iter().zip(&responder) {
        let _peer = ours.connect(&theirs.address().unwrap()).await.unwrap();
    }
    let peer = responder[0].identity();
    let shares = [OpenChannel::new(1_000_000, 0), OpenChannel::new(10_000, 1_000_000)];
    let [paying, paid] = shares;
    let _channels = open_on_both((&initiator[0], paying), (&initiator[1], paid), peer).await.unwrap();
    let target = second.arbiter().await.unwrap().info().domain;
    let swap = NewSwap { responder: peer, pay: 1_000, target, get: 2_000, premium: 0 };
    Parties { initiator, responder, swap }
}

/// It is answered long before this; what is never answered fails the test.
async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), answer).await.unwrap()
}

/// The responder has heard of the swap, and its user has not answered.
async fn proposed() -> Parties {
    let parties = meet().await;
    let mut notices = parties.responder[0].routing_notices();
    let stage = parties.initiator[0].propose_swap(ID, parties.swap).await.unwrap();
    assert_eq!(stage, SwapStage::Proposed);
    while parties.responder[0].swap(&ID).is_none() {
        let _notice = at_once(notices.next()).await.unwrap();
    }
    parties
}

#[tokio::test]
async fn a_node_that_has_stopped_answers_whatever_is_asked_about_swaps_at_once() {
    let Parties { initiator: [node, _other], responder, swap } = proposed().await;
    let (waiting, mut notices) = (node.clone(), node.routing_notices());
    let waits = tokio::spawn(async move { waiting.swap_ended(&ID).await });
    node.clone().stop().await;
    assert!(matches!(at_once(waits).await.unwrap(), Err(SwapFailed::Stopped)));
    while at_once(notices.next()).await.is_some() {}
    assert!(matches!(at_once(node.propose_swap(ID, swap)).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.propose_swaps(&[(SwapId([6; 32]), swap)])).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.accept_swap(ID)).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.decline_swap(ID)).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.cancel_swap(ID)).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.forget_swap(ID)).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.ask_swap_quotes(swap.responder)).await, Err(SwapFailed::Stopped)));
    assert!(matches!(at_once(node.swap_ended(&ID)).await, Err(SwapFailed::Stopped)));
    assert_eq!(node.swap_quotes(swap.responder), None);
    assert_eq!(node.swap(&ID).unwrap().stage, SwapStage::Proposed, "nothing of it was done");
    // The peer's nodes run: there it goes on.
    responder[0].decline_swap(ID).await.unwrap();
    assert!(at_once(responder[0].swap_ended(&ID)).await.is_ok());
}

#[tokio::test]
async fn swaps_with_a_chain_whose_node_has_stopped_are_refused_by_name_and_can_be_called_off() {
    let Parties { initiator: [node, other], responder: [source, target], swap } = proposed().await;
    let waiting = node.clone();
    let waits = tokio::spawn(async move { waiting.swap_ended(&ID).await });
    other.stop().await;
    target.stop().await;
    let is_gone = |answer: &Result<(), SwapFailed>| matches!(answer, Err(SwapFailed::Swap(SwapError::NoChain)));
    assert!(matches!(at_once(waits).await.unwrap(), Err(SwapFailed::Swap(SwapError::NoChain))));
    let another = SwapId([6; 32]);
    let begun = at_once(node.propose_swap(another, swap)).await;
    assert!(matches!(begun, Err(SwapFailed::Swap(SwapError::NoChain))));
    let begun = at_once(node.propose_swaps(&[(another, swap), (ID, swap)])).await.unwrap();
    assert_eq!(begun, vec![Err(SwapError::NoChain), Ok(SwapStage::Proposed)], "what is known is told");
    assert_eq!(node.swap(&another), None);
    assert!(is_gone(&at_once(source.accept_swap(ID)).await));
    assert_eq!(source.swap(&ID).unwrap().stage, SwapStage::Proposed);
    // Nothing is locked: either of the two may call it off.
    at_once(node.cancel_swap(ID)).await.unwrap();
    assert!(!matches!(node.swap(&ID).unwrap().stage, SwapStage::Proposed | SwapStage::Agreed));
}

#[tokio::test]
async fn what_the_source_chains_node_has_to_keep_is_refused_where_that_has_stopped() {
    let Parties { initiator: _running, responder: [source, target], .. } = proposed().await;
    source.stop().await;
    let is_gone = |answer: &Result<(), SwapFailed>| matches!(answer, Err(SwapFailed::Swap(SwapError::NoChain)));
    assert!(is_gone(&at_once(target.accept_swap(ID)).await));
    assert!(is_gone(&at_once(target.decline_swap(ID)).await));
    assert!(is_gone(&at_once(target.cancel_swap(ID)).await));
    assert!(is_gone(&at_once(target.forget_swap(ID)).await));
    assert!(matches!(at_once(target.swap_ended(&ID)).await, Err(SwapFailed::Swap(SwapError::NoChain))));
    assert_eq!(target.swap(&ID).unwrap().stage, SwapStage::Proposed);
}
