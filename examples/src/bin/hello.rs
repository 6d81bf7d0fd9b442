//! The shortest way through a channel: two nodes in one process, on a chain in memory.

use sdk::{Node, NodeConfig, OpenChannel, chain::testing::MemoryChain};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chain = MemoryChain::new();
    let alice = Node::start(NodeConfig::for_tests(&chain, "alice").await?).await?;
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await?).await?;

    let peer = alice.connect(&bob.address().ok_or("Bob listens")?).await?;
    let _done = alice.vault_deposit(1_000_000).await?; // coins that Alice may put into channels
    let channel = alice.open_channel(peer, OpenChannel::new(1_000_000, 0)).await?;
    for cup in 1..=3 {
        let paid = channel.pay(25_000, format!("coffee {cup}")).await?; // signed by both: it cannot be undone
        println!("coffee {cup} is paid in round {}", paid.round);
    }
    println!("{}", channel.close(0).await?); // both are paid out on chain
    Ok(())
}
