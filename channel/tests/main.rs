//! Two machines, a simulated arbiter, a link that breaks and a clock that is told: what the channel crate promises, as stories.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests: a panic is a failure, and a failure is what they look for"
)]

mod harness;

mod attacks;
mod audit;
mod certainty;
mod conflicts;
mod contracts;
mod crash;
mod decisions;
mod doubts;
mod fuzzed;
mod hostile;
mod keys;
mod leaving;
mod messages;
mod once;
mod openings;
mod operation_attacks;
mod operations;
mod phases;
mod product;
mod property;
mod reestablish;
mod refusals;
mod resync;
mod settings;
mod stored;
mod stories;
mod transfers;
mod vectors;
mod waits;
