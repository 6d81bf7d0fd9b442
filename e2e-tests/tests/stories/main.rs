//! What users live through with their channels, from end to end.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod alike;
mod answers;
mod away;
mod behind;
mod closing;
mod connections;
mod contracts;
mod defended;
mod hub_damaged;
mod in_memory;
mod lied_to;
mod many;
mod narrow;
mod openings;
mod operations;
mod payments;
mod redial;
mod restart;
mod swaps;
mod the_same;
mod told;

use e2e_tests::World;

/// A world on a chain of its own.
async fn world() -> Option<World> {
    Some(World::new().await.with_program(env!("CARGO_BIN_EXE_e2e-peer")))
}
