//! Attacks on what a swap's coins are paid out by (R8.5g), where one channel refuses and another one pays.

use crate::parties::{Chains, ID, Parties, all_up, at_once, connect};
use sdk::{
    Node, NodeConfig, OpenChannel,
    network::{RoutingPolicy, SwapPolicy, SwapQuote},
    protocol::{AccountId, Amount},
};

/// Somebody without a node.
const PAYEE: AccountId = AccountId([77; 32]);

async fn has(chains: &Chains) -> Amount {
    chains.0[1].arbiter().await.unwrap().chain().free_balance(&PAYEE).await.unwrap()
}

/// A responder that swaps two coins of the target chain for one of the source chain.
async fn responding(chains: &Chains) -> RoutingPolicy {
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
    RoutingPolicy { swaps, ..RoutingPolicy::default() }
}

async fn connect_one(node: &Node, other: &Node) {
    let peer = node.connect(&other.address().unwrap()).await.unwrap();
    at_once(all_up(node, peer)).await;
    at_once(all_up(other, node.identity())).await;
}

/// *Sequence:* a swap has brought a party its coins on the target chain, where it has a channel with the other party, out of which it has paid them on by now, and one with somebody else. It has them paid
/// out to an account: the first channel refuses, since it has not as many coins, and the second one pays. Then anything happens in the first channel, and the node starts anew. *Loss:* that the
/// withdrawal is noted and forgotten again for the first channel is written with the first channel's next commit, after the row of the second channel's withdrawal, and erases that row: asked
/// again, the node pays the account once more. *Right:* it is paid once for each swap, whatever crashes (R8.5g): what was noted for a channel that refused is never
/// written, or erases nothing that another channel's step has written meanwhile.
#[tokio::test]
async fn what_a_second_channel_has_paid_out_is_not_erased_by_the_first_one_that_refused() {
    let (chains, directory) = (Chains::new(), tempfile::tempdir().unwrap());
    // An account that exists takes any amount.
    chains.0[1].endow(PAYEE, 1_000_000_000_000);
    let before = has(&chains).await;
    let met = chains.meet(responding(&chains).await, Some(directory.path())).await;
    let Parties { initiator, responder, swap } = met;
    // Somebody else, on the target chain alone.
    let mut config = NodeConfig::for_tests(&chains.0[1], "carol").await.unwrap();
    config.policy.share_max = Amount::MAX;
    let other = Node::start(config).await.unwrap();
    let _done = other.vault_deposit(2_000_000).await.unwrap();
    let peer = initiator[1].connect(&other.address().unwrap()).await.unwrap();
    let _channel = at_once(initiator[1].open_channel(peer, OpenChannel::new(300_000, 300_000))).await.unwrap();
    connect_one(&initiator[1], &other).await;
    let _begun = initiator[0].propose_swap(ID, swap).await.unwrap();
    let _ended = at_once(initiator[0].swap_ended(&ID)).await.unwrap();
    let first = initiator[1].channels(responder[1].identity()).await.unwrap().remove(0);
    // What is left in the first channel is less than what the swap has brought.
    let spendable = first.balances().await.unwrap().unwrap().spendable;
    let _paid = at_once(first.pay(spendable - swap.get + 1, "most of it")).await.unwrap();
    let round = at_once(initiator[1].withdraw_swapped(&ID, PAYEE)).await.unwrap();
    assert_eq!(has(&chains).await - before, swap.get);
    // Something else happens in the first channel.
    let _paid = at_once(first.pay(1, "a little")).await.unwrap();
    for node in initiator {
        node.stop().await;
    }
    let initiator = chains.start("alice", RoutingPolicy::default(), Some(directory.path())).await;
    connect(&initiator, &responder).await;
    connect_one(&initiator[1], &other).await;
    let again = at_once(initiator[1].withdraw_swapped(&ID, PAYEE)).await;
    let paid = has(&chains).await - before;
    assert_eq!(paid, swap.get, "paid twice: round {round}, and {again:?}");
    assert_eq!(again.unwrap(), round);
}
