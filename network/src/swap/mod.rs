//! A swap: two parties exchange coins of two chains over their channels; both legs move, or none (R8.5).
//!
//! ```text
//!   initiator                                                      responder
//!     | -- 1 Propose(terms): both legs, their expiries, the lock ---> |   negotiation
//!     | <- 2 Accept ------------------------------------------------- |
//!     | -- 3 leg 1: a transfer on the source chain -----------------> |   execution
//!     | <- 4 leg 2: a transfer on the target chain ------------------ |
//!     | -- 5 claims leg 2, which shows the pre-image ----------------> |
//!     | <- 6 claims leg 1 ------------------------------------------- |
//!     | -- 7 Done --------------------------------------------------> |   asset clearing
//!     | <- 8 Done --------------------------------------------------- |
//! ```
//!
//! A premium is pledged between 3 and 4: the responder asks for it, the initiator signs first, and leg 2 is the round that it has pledged (R6.5d).
//!
//! *Batch clearing* is what happens to legs that are locked and not confirmed in time: given back by agreement after a `Cancel`, by force from their expiries on.

mod ladder;
mod message;
mod quote;
mod talk;
mod terms;

pub use ladder::{BlockClock, ChainView, Ladder, LadderShort};
pub use message::{MAX_SWAP_ITEMS, SwapBody, SwapItem, SwapWords};
pub use quote::SwapQuote;
pub use talk::{Talk, TalkFault};
pub use terms::{SwapCalls, SwapCode, SwapId, SwapLeg, SwapTerms};
