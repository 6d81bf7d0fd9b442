//! Swaps as a program makes them, on two chains in memory: asked of nodes that have stopped, and paid out to whom the program names.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod parties;
mod stopped;
mod through_hub;
mod withdrawn;
mod withdrawn_audit;
mod withdrawn_elsewhere;
