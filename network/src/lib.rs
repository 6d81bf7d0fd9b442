//! What crosses channels: a router that carries conditional transfers on, pays, and is paid. No clock, no randomness, no I/O, no async.
//!
//! ```text
//!   a peer's task:  gather --> Channel::handle --> TransferEvents --> Router::handle --> Outputs
//!                                   ^                                                      |
//!                                   '----- commands for this peer's channels, same commit --+--> rows, same commit
//!                                          commands for other peers' channels <-- after it -'
//! ```
//!
//! The names that matter: [`Router`] (one for a process, across chains), [`RouterInput`] (what it is told), [`RouterOutput`] (what it wants done),
//! [`Invoice`] (what a payee asks for), [`RoutingPolicy`] (what a hub risks and takes).
//!
//! What a shell owes to a router:
//! 1. One router, behind a lock, called by each peer's task at the end of its gathering. What it answers belongs to *that* call: rows go into the
//!    caller's commit, which nobody else's overtakes that was answered later; commands for the caller's own channels are applied in the same commit, and
//!    those for others leave once it is durable (I1).
//! 2. A command for another peer's channel is applied by that peer's task, or answered by [`RouterInput::Refused`]: which says that nothing was signed.
//!    None is dropped silently, but by a crash or with the router itself.
//! 3. At start the time and the heads come first, then [`RouterInput::Restored`], with every row of every channel, closed and damaged ones as well, before any
//!    link is up. Its rows are committed before its commands leave.
//! 4. Where a commit fails, the router is thrown away and built again from the store (B9); where somebody breaks down before a commit, it is told that it is ahead
//!    ([`Router::get_ahead`]), and does no more than claim until it is built again. Commands of the former router that no task has applied
//!    yet are dropped before that: none of them may come to a channel afterwards.
//! 5. Events of a channel come in the order in which it said them, each with its commit, and after the first [`RouterInput::ChannelUp`] of a channel
//!    that [`RouterInput::Restored`] did not name.
//! 6. [`Router::may_be_claimed`] and [`Router::preimage`] are asked by the channels' transfer books while an input is handled.
//! 7. A durable [`RouterNotice`] belongs to the caller's commit like a row, and is told to the user once it is.
//! 8. With each head it is told what the registry has of the locks that [`Router::unseen`] names ([`RouterInput::Shown`]).

mod announce;
mod fees;
mod instruction;
mod invoice;
mod keys;
mod router;
mod seal;
mod swap;

pub use announce::{Announcement, AnnouncementError, HubTerms, MAX_ANNOUNCEMENT, MAX_HUBS_KEPT, MAX_SERVED};
pub use fees::Fee;
pub use instruction::{Delivery, FailureCode, Forward, Instruction, RouteFailure, StakedForward, SwapInstruction};
pub use invoice::{Asset, AssetKind, Invoice, InvoiceError, MAX_DESCRIPTION, MAX_HUBS, PREFIX};
pub use keys::PaymentId;
pub use router::{
    At, ChainPolicy, CommandRefusal, Earned, HubLoad, InvoiceRequest, InvoiceState, Millis, Opening, Origin, PayError,
    PaymentState, ReceiveError, Restored, RestoredChannel, Router, RouterInput, RouterNotice, RouterOutput,
    RoutingPolicy, RowKey, Spontaneous, SwapError, SwapEvent, SwapOrder, SwapOutcome, SwapPolicy, SwapRole, SwapStage,
    SwapState,
};
pub use seal::SealKey;
pub use swap::{
    BlockClock, ChainView, Ladder, LadderShort, MAX_SWAP_ITEMS, SwapBody, SwapCalls, SwapCode, SwapId, SwapItem,
    SwapLeg, SwapQuote, SwapTerms, SwapWords, Talk, TalkFault,
};
