//! Forced progress by the rules alone (R5.10, R5.16, section 8): every refusal by its own mutation, every phase, contracts that end, and
//! steps that peers plan.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

#[path = "../support/apps.rs"]
mod apps;
mod bounds;
mod builtin;
mod closers;
mod fixture;
mod maturity;
mod mutations;
mod plans;
mod requirements;
mod steps;
