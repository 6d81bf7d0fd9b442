//! Routers over modelled channels, crashed wherever a crash can be: what the network crate promises, as stories.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests: a panic is a failure, and a failure is what they look for"
)]

mod harness;

mod announcements;
mod bounds;
mod cases;
mod claims;
mod claims_audit;
mod crashes;
mod decoders;
mod forwarding;
mod fuzzed;
mod invoices;
mod machines;
mod outcomes;
mod paying;
mod places_audit;
mod pledges;
mod pledges_audit;
mod property;
mod seals;
mod swap_inventory;
mod swap_returns;
mod swap_stories;
mod swaps;
mod swaps_audit;
mod unread;
