//! What a channel's rules promise, searched: one party keeps to the rules, the other does whatever the arbiter lets it, in any order, before and
//! after each of its peer's transactions. Every step on chain is made by the rules of [`protocol::arbiter`] themselves.
//!
//! | model | what moves | what is bounded |
//! |---|---|---|
//! | [`channel`] | signing and disputing: proposals, counter-rounds, operations, late answers, forced steps, claims, stops, old stores | rounds signed; not time |
//! | [`Dispute`] | a dispute over a fixed past, with an app and a conditional transfer inside | the past, the blocks |
//! | [`peers`] | two honest peers without a chain: crossing, refusals, lost connections | proposals, disturbances |
//!
//! Signatures are abstracted: a party's signature is the message's hash with the party's number, and only what both signed is ever shown. Hashes,
//! trees and proofs are real. Fees are left out.
//!
//! What must hold is in each model's `properties`. In [`channel`]: the honest party is paid the least of its newest agreed state and its own open
//! rounds at least, whoever closes below what it held pays the penalty and nobody else does, an agreed round stays usable, a claim made with the
//! margin of R5.4b stands, and no dispute outlasts [`Terms::longest_dispute`](protocol::terms::Terms::longest_dispute). [`Rules`] and
//! [`channel::Habit`] are rules broken on purpose: each has a test in which the search finds what goes wrong.
//!
//! A fixed past:
//!
//! ```text
//!   Scenario (history, terms, bounds)
//!      |                     .-- Malicious(move)   anything with anything ever co-signed, at any time
//!   World (record, inside) --+-- Submit, Include   what the honest party wants; included some blocks later, perhaps in vain
//!                            '-- Tick              a block passes: never while the honest party sleeps beyond its delay
//! ```
//!
//! Block numbers only grow there and no step leads back, so that every path is finite, and "always ended at the horizon" says that every path ends.

mod chain;
pub mod channel;
mod dispute;
mod honest;
pub mod peers;
mod scenario;
mod world;

pub use chain::Rules;
pub use dispute::{Action, Dispute};
pub use honest::Policy;
pub use scenario::{Agreed, Scenario, scenarios};
pub use world::{Calls, Inside, Move, World};
