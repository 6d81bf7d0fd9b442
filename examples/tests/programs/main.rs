//! The programs as their users run them: processes of their own, on a real node, talking over sockets. Without a node (`CONTRACTS_NODE` is not
//! set) what needs one is skipped, and says so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod bad_input;
mod desk;
mod dispute;
mod payments;
mod stage;
