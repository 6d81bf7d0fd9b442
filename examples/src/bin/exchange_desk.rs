//! An exchange desk: it swaps coins of one chain for coins of another, by itself, at its own rate, as long as it has the coins. Here with a customer, in one process, on two chains in memory.

use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    network::{BlockClock, RoutingPolicy, SwapId, SwapPolicy, SwapQuote},
    node::{NewSwap, RouterGroup, open_on_both},
    protocol::{Amount, Hash, PublicKey},
};

/// Coins of the first chain for so many of the second one, each time.
const RATE: (u64, u64) = (25, 10);
/// What the desk has promised in swaps at once, at most; one customer may have half of it promised before it has locked anything.
const INVENTORY: Amount = 800_000;

/// Both nodes of a party, in one group. On these chains a block comes when somebody makes one: how fast they are is for a ladder of expiries to know.
async fn start(
    chains: [&MemoryChain; 2],
    name: &str,
    policy: RoutingPolicy,
) -> Result<[Node; 2], Box<dyn std::error::Error>> {
    let group = RouterGroup::new(policy);
    let mut nodes = Vec::new();
    for chain in chains {
        let mut config = NodeConfig::for_tests(chain, name).await?;
        config.group = Some(group.clone());
        config.routing.chain.clock = Some(BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 });
        config.policy.share_max = Amount::MAX;
        let node = Node::start(config).await?;
        let _done = node.vault_deposit(2_000_000).await?;
        nodes.push(node);
    }
    <[Node; 2]>::try_from(nodes).map_err(|_other| "two chains".into())
}

/// Whether a channel with this peer is open, as this node sees it.
async fn has_coins(node: &Node, peer: PublicKey) -> Result<bool, Box<dyn std::error::Error>> {
    for channel in node.channels(peer).await? {
        if channel.balances().await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (first, second) = (MemoryChain::new(), MemoryChain::builder().genesis(Hash([2; 32])).build());
    let chains = [&first, &second];
    let [source, target] = [first.arbiter().await?.info().domain, second.arbiter().await?.info().domain];
    let quote = SwapQuote {
        source,
        target,
        rate: RATE,
        amounts: (1_000, 400_000),
        premium: 5_000,
        inventory: INVENTORY,
        expires_at: u64::MAX,
    };
    let swaps = SwapPolicy { quotes: vec![quote], ..SwapPolicy::default() };
    let desk = start(chains, "desk", RoutingPolicy { swaps, ..RoutingPolicy::default() }).await?;
    let customer = start(chains, "customer", RoutingPolicy::default()).await?;

    for (node, desk) in customer.iter().zip(&desk) {
        let _peer = node.connect(&desk.address().ok_or("the desk listens")?).await?;
    }
    let peer = desk[0].identity();
    let [paying, paid] = open_on_both(
        (&customer[0], OpenChannel::new(1_000_000, 0)),
        (&customer[1], OpenChannel::new(10_000, 1_000_000)),
        peer,
    )
    .await?;

    // The desk hears of the block with a channel's opening a little later, and swaps by no channel that is not open for it.
    for node in &desk {
        while !has_coins(node, customer[0].identity()).await? {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    customer[0].ask_swap_quotes(peer).await?;
    let quote = loop {
        match customer[0].swap_quotes(peer).as_deref() {
            Some([quote, ..]) => break *quote,
            _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    for (number, amount) in (1_u8..).zip([100_000, 150_000, 400_000]) {
        let id = SwapId([number; 32]);
        let Some(swap) = NewSwap::quoted(peer, &quote, amount) else { return Err("not within the quote".into()) };
        let _begun = customer[0].propose_swap(id, swap).await?;
        let ended = customer[0].swap_ended(&id).await?;
        println!("swap {number}, {amount} for {}: {:?}", swap.get, ended.stage);
        customer[0].forget_swap(id).await?;
    }
    let [pays, gets] = [paying.balances().await?, paid.balances().await?].map(|has| has.map_or(0, |has| has.ours));
    println!("the customer has {pays} on the first chain, {gets} on the second");
    Ok(())
}
