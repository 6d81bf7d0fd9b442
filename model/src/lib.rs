//! Every dispute over one channel, up to a bound: one party follows the defence policy (R6.9), the other does whatever the arbiter lets it,
//! in any order, before and after each of its peer's transactions. Every step is made by the rules of [`protocol::arbiter`] themselves.
//!
//! ```text
//!   Scenario (history, terms, bounds)
//!      |                     .-- Malicious(move)   anything with anything ever co-signed, at any time
//!   World (record, inside) --+-- Submit, Include   what the honest party wants; included some blocks later, perhaps in vain
//!                            '-- Tick              a block passes: never while the honest party sleeps beyond its delay
//! ```
//!
//! Signatures are abstracted: a party's signature is the message's hash with the party's number, and only what the history holds is ever
//! shown. Hashes, trees and proofs are real. Fees are left out.
//!
//! What is checked of every state ([`Dispute`]): coins are neither made nor lost; where the dispute has ended the honest party has at least
//! what its last co-signed state gives it; it ends before [`Scenario::horizon`], and the lock restarts no more often than
//! [`Scenario::most_locks`]. Block numbers only grow and no step leads back, so that every path is finite, and "always ended at the horizon"
//! says that every path ends.

mod chain;
mod dispute;
mod honest;
mod scenario;
mod world;

pub use chain::Rules;
pub use dispute::{Action, Dispute};
pub use honest::Policy;
pub use scenario::{Agreed, Scenario, scenarios};
pub use world::{Calls, Inside, Move, World};
