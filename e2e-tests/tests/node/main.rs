//! Stories told on a real node. `just e2e` builds one and tells them; without a node (`CONTRACTS_NODE` is not set) they are skipped, and say so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod accounts;
mod connection;
mod deploying;
mod liar;
mod lies;
mod swaps;
mod the_same;

use e2e_tests::{NodeChain, World};

/// A world on a node, where a node is configured.
async fn world() -> Option<World<NodeChain>> {
    Some(World::on(NodeChain::start().await?).await.with_program(env!("CARGO_BIN_EXE_e2e-peer")))
}

#[tokio::test]
async fn a_node_is_configured_or_every_story_here_is_skipped() {
    if let Some(chain) = NodeChain::start_bare().await {
        println!("telling stories on a real node, {}", chain.url());
    }
}
