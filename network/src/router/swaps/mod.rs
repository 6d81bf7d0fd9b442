//! Swaps: negotiated in words, executed by transfers on two chains, cleared where one side stops (R8.5).
//!
//! ```text
//!   Proposed --Accept--> Agreed --both legs over--> Ended
//!       |                  |                          ^
//!       '---Decline, late--+--Cancel, late, a leg that was given back--> Clearing --nothing locked any more--'
//! ```
//!
//! The row of a swap is in the store of its *source* chain, and says what was agreed to and what became of the source leg. What became of the target leg is in the
//! rows of the target chain's channels alone: two stores cannot be committed at once, so nothing that decides about coins follows from both. What is to be done is
//! derived from the rows of both chains each time, also after a start; as long as one of them has not joined, nothing is decided that depends on it (R8.5e).

pub(super) mod clear;
pub(super) mod early;
pub(super) mod kinds;
pub(super) mod legs;
pub(super) mod negotiate;
pub(super) mod restored;
pub(super) mod tables;

mod ask;
mod asked_early;
mod counts;
mod inventory;
