//! The arbiter's rules, held against the real contract: its Wasm runs on the contracts node's own runtime in the process.
//!
//! Each message has one healthy case and enums of mutations; each mutation names the one error it must meet. All calls go
//! through [`harness::World`], which compares every one of them with the rules in memory, coin by coin.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod artefact;
mod batch;
mod callers;
mod close_mutual;
mod close_solo;
mod conditional;
mod create;
mod delegates;
mod deploy;
mod deposit;
mod exhausted;
mod force_progress;
mod harness;
mod hostile_app;
mod identity;
mod maturity;
mod no_calls;
mod orders;
mod payouts;
mod preimages;
mod random;
mod requirements;
mod residual;
mod residual_forced;
#[path = "../../../protocol/tests/support/script.rs"]
mod script;
mod set_delegates;
mod settle;
mod slash;
mod snapshot_solo;
mod vault;
mod vectors;
mod withdraw;
