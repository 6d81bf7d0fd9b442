//! Swapped coins, paid out to an account that is not the party's own (R8.5g): once for each swap, whatever crashes.

use crate::parties::{Chains, ID, Parties, at_once, connect};
use sdk::{
    Node,
    network::{RoutingPolicy, SwapId, SwapPolicy, SwapQuote},
    node::SwapFailed,
    protocol::{AccountId, Amount},
};
use std::path::Path;

/// Somebody without a node.
const PAYEE: AccountId = AccountId([77; 32]);

/// A responder that swaps two coins of the target chain for one of the source chain.
async fn meet(chains: &Chains, kept: &Path) -> Parties {
    let [source, target] = [0, 1].map(|chain: usize| chains.0[chain].clone());
    let quote = SwapQuote {
        source: source.arbiter().await.unwrap().info().domain,
        target: target.arbiter().await.unwrap().info().domain,
        rate: (2, 1),
        amounts: (1, Amount::MAX),
        premium: 0,
        inventory: 500_000,
        expires_at: u64::MAX,
    };
    let swaps = SwapPolicy { quotes: vec![quote], ..SwapPolicy::default() };
    chains.meet(RoutingPolicy { swaps, ..RoutingPolicy::default() }, Some(kept)).await
}

/// What the payee has beyond what it had.
async fn paid(chains: &Chains, before: Amount) -> Amount {
    has(chains).await - before
}

async fn has(chains: &Chains) -> Amount {
    chains.0[1].arbiter().await.unwrap().chain().free_balance(&PAYEE).await.unwrap()
}

#[tokio::test]
async fn swapped_coins_are_paid_out_once_to_the_account_that_is_named() {
    let (chains, directory) = (Chains::new(), tempfile::tempdir().unwrap());
    // An account that exists takes any amount.
    chains.0[1].endow(PAYEE, 1_000_000_000_000);
    let before = has(&chains).await;
    let Parties { initiator: [source, target], responder: _running, swap } = meet(&chains, directory.path()).await;
    let unknown = at_once(target.withdraw_swapped(&ID, PAYEE)).await;
    assert!(matches!(unknown, Err(SwapFailed::Swap(_))));
    let _begun = source.propose_swap(ID, swap).await.unwrap();
    assert!(matches!(at_once(source.withdraw_swapped(&ID, PAYEE)).await, Err(SwapFailed::OtherChain)));
    let round = at_once(target.withdraw_swapped(&ID, PAYEE)).await.unwrap();
    assert_eq!(paid(&chains, before).await, swap.get);
    let again = at_once(target.withdraw_swapped(&ID, PAYEE)).await.unwrap();
    assert_eq!((again, paid(&chains, before).await), (round, swap.get));
    // Another swap is another withdrawal.
    let another = SwapId([6; 32]);
    let _begun = source.propose_swap(another, swap).await.unwrap();
    let later = at_once(target.withdraw_swapped(&another, PAYEE)).await.unwrap();
    assert!(later > round);
    assert_eq!(paid(&chains, before).await, 2 * swap.get);
    target.forget_swap(ID).await.unwrap();
    assert!(matches!(at_once(target.withdraw_swapped(&ID, PAYEE)).await, Err(SwapFailed::Swap(_))), "it is forgotten");
}

/// Both nodes of the initiator end, and start again from what they have kept.
async fn restart(chains: &Chains, nodes: [Node; 2], responder: &[Node; 2], kept: &Path) -> [Node; 2] {
    for node in nodes {
        node.stop().await;
    }
    let nodes = chains.start("alice", RoutingPolicy::default(), Some(kept)).await;
    connect(&nodes, responder).await;
    nodes
}

#[tokio::test]
async fn a_withdrawal_of_swapped_coins_is_made_once_whenever_the_nodes_start_anew() {
    let (chains, directory) = (Chains::new(), tempfile::tempdir().unwrap());
    chains.0[1].endow(PAYEE, 1_000_000_000_000);
    let before = has(&chains).await;
    let Parties { mut initiator, responder, swap } = meet(&chains, directory.path()).await;
    let mut rounds = Vec::new();
    for number in 0..6_u8 {
        let id = SwapId([100 + number; 32]);
        let _begun = initiator[0].propose_swap(id, swap).await.unwrap();
        let _ended = at_once(initiator[0].swap_ended(&id)).await.unwrap();
        // It is asked for, and the nodes end soon after that: before anything was asked of the peer, or later.
        let target = initiator[1].clone();
        let asks = tokio::spawn(async move { target.withdraw_swapped(&id, PAYEE).await });
        for _ in 0..number * 8 {
            tokio::task::yield_now().await;
        }
        initiator = restart(&chains, initiator, &responder, directory.path()).await;
        let _told_or_not = at_once(asks).await;
        rounds.push(at_once(initiator[1].withdraw_swapped(&id, PAYEE)).await.unwrap());
        initiator = restart(&chains, initiator, &responder, directory.path()).await;
        assert_eq!(at_once(initiator[1].withdraw_swapped(&id, PAYEE)).await.unwrap(), rounds[usize::from(number)]);
        assert_eq!(paid(&chains, before).await, swap.get * (Amount::from(number) + 1), "swap {number}");
    }
}
