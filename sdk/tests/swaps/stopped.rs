//! Swaps and payments asked of nodes that have stopped: each question is answered by name, at once; nobody waits for ever.

use crate::parties::{Chains, ID, Parties, at_once};
use sdk::{
    network::{RoutingPolicy, SwapError, SwapId, SwapPolicy, SwapStage},
    node::SwapFailed,
};

/// The responder has heard of the swap, and its user has not answered.
async fn proposed() -> Parties {
    let swaps = SwapPolicy { asks_user: true, ..SwapPolicy::default() };
    let parties = Chains::new().meet(RoutingPolicy { swaps, ..RoutingPolicy::default() }, None).await;
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
