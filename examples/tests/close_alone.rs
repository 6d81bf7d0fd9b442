//! How a program that uses channels is tested: on the chain in memory, where time passes when told to.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use anyhow::Result;
use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    channel::{Certainty, CloseReason, Event},
};

/// Closes alone, lets the lock run out, and is paid.
async fn close_alone() -> Result<CloseReason> {
    let chain = MemoryChain::new();
    let (alice, mut events) = Node::start_with_events(NodeConfig::for_tests(&chain, "alice").await?).await?;
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await?).await?;
    let peer = alice.connect(&bob.address().expect("it listens")).await?;
    let _done = alice.vault_deposit(1_000).await?;
    let channel = alice.open_channel(peer, OpenChannel::new(1_000, 0)).await?;
    let closing = tokio::spawn({
        let channel = channel.clone();
        async move { channel.close_solo(Certainty::ConfirmedByPeer).await }
    });
    loop {
        if let Some(Event::ClosingSolo { unlock_at, .. }) = events.next().await?.event.event() {
            let _head = chain.pass(unlock_at - chain.block_number()); // settled by the node itself
            return Ok(closing.await??);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_closes_alone_is_paid_once_the_lock_has_run_out() {
    let closed = tokio::time::timeout(std::time::Duration::from_secs(60), close_alone()).await;
    let CloseReason::Settled { balances } = closed.unwrap().unwrap() else { panic!("not settled") };
    assert_eq!((balances.initiator, balances.responder), (1_000, 0));
}
