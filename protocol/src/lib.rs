//! The words and rules of state channels, shared by the arbiter contract and the peers.
//!
//! It knows nothing of ink, tokio or any node: bytes, hashes and pure functions only, `no_std` with `alloc`.
//!
//! ```text
//!                         signing::signed_bytes (R3.5)
//!   Terms, StateCommitment ------------------------> CoSigned<T>
//!                                                        |
//!   Record + call + now --> arbiter::{create, ..} <------'
//!                                  |
//!                                  '--> Outcome { record, payouts, event } | Rejection
//! ```
//!
//! The names that matter: [`terms::Terms`] (what a channel is), [`StateCommitment`] (what a state hash covers),
//! [`signing::CoSigned`] (both signed, checked), [`record::Record`] (what the arbiter stores), [`Rejection`] (every way it says no).
//!
//! ```
//! use protocol::{Pair, StateCommitment, crypto::Native};
//!
//! let state = StateCommitment::of_balances(Pair::new(70, 30));
//! assert_eq!(state.hash(&Native), state.hash(&Native));
//! assert_eq!(state.balances.sum(), Some(100));
//! ```

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod arbiter;
mod base;
pub mod call;
pub mod contracts;
pub mod crypto;
mod domain;
pub mod event;
mod party;
mod primitives;
pub mod record;
mod rejection;
pub mod signing;
mod state;
pub mod terms;
pub mod tree;

pub use base::{Base, Mark, Maturity};
pub use party::{Pair, Party, PartyId};
pub use primitives::{AccountId, Amount, BlockNumber, ChannelId, Hash, PublicKey, Round, Signature, decode_exact};
pub use rejection::Rejection;
pub use state::StateCommitment;
