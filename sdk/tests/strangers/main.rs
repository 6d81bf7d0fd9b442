//! What strangers cost a node, and what becomes of peers that cease to be strangers or become strangers again (R6.9c).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod moves;
mod openings;
mod party;
mod stopped;
