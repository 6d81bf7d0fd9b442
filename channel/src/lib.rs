//! The peer's side of a channel as a pure state machine: no clock, no randomness, no I/O, no async.
//!
//! ```text
//!   peer's message --.
//!   finalised event --+--> Channel::handle --> Effects: Send, Submit, Notify, ..
//!   clock tick ------+          |
//!   user's command --'          '--> the channel itself, to be committed before any effect leaves the process (R6.4)
//! ```
//!
//! The names that matter: [`Channel`] (one channel, whole), [`Input`] (everything that can happen to it), [`Effect`] (everything
//! it wants done), [`Message`] (what peers say to each other), [`Violation`] and [`Misuse`] (who did what wrong).
//!
//! [`Channel::handle`] decides before it changes anything: when it returns a refusal, the channel is as it was.

mod config;
mod effect;
mod error;
mod input;
mod machine;
mod message;
mod phase;
mod rounds;
mod saved;
mod state;

pub use config::{Config, Policy, PolicyRefusal, Timeouts};
pub use effect::{Effect, Effects, Event, Notice};
pub use error::{Misuse, Violation};
pub use input::{ChainInput, Command, Context, Input, Millis};
pub use machine::{Balances, Channel, OpenRequest, Status, Step};
pub use message::{
    ChannelAccept, ChannelOpen, ChannelRef, FundingCreated, FundingSigned, MAX_UPDATES_PER_ROUND, Message, Reestablish,
    RefusalCode, Shutdown, Update,
};
pub use phase::CloseReason;
pub use saved::SavedError;
pub use state::{Change, MAX_REFERENCE, Payment, PaymentId, State};
