//! Conditional transfers between the two peers of a channel (R8.3): coins that the payee has for a pre-image, and the payer again without one.
//!
//! ```text
//!            offer, co-signed                claim(pre-image), co-signed
//!   payer ---------------------> contract ------------------------------> payee's
//!                                   |  fail, co-signed (the payee's own wish)  --> payer's
//!                                   '- refund, co-signed (expired, the registry proved silent) --> payer's
//! ```
//!
//! Each is a `Builtin(1)` of the arbiter (R8.1) in the channel's state, so that either side can have it executed on chain. Off chain nothing is judged by a
//! height that the peer names: each side looks at the heads and the registry that it sees itself ([`TransferBook`]).
//!
//! What becomes of a transfer across channels is decided elsewhere, by a router: it hears [`TransferEvent`]s and answers with commands. The rows
//! ([`IncomingTransfer`], [`OutgoingTransfer`]) lie in the store, and all that a router has to know after a crash can be read from them.

mod book;
mod command;
pub(crate) mod done;
mod limits;
pub(crate) mod marks;
pub(crate) mod room;
mod row;

pub use crate::state::{
    AppCall, FailReason, LockedCalls, MAX_INSTRUCTION, MAX_LOCKED_CALLS, MAX_LOCKED_WORDS, MAX_REASON, Offer,
    TransferTerms,
};
pub use book::{Margins, NoTransfers, Registered, Stake, TransferBook, Verdict};
pub use command::TransferCommand;
pub use limits::TransferLimits;
pub use row::{
    Failure, GivenPledge, IncomingEnd, IncomingTransfer, Intent, OutgoingTransfer, PledgesLast, Progress,
    TransferEvent, TransferId, TransferRow,
};
