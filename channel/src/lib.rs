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
//!
//! What a shell owes to a channel:
//! 1. A [`Step::Commit`] gives its effects away by [`Commit::committed`], which is asked for once [`Channel::save`] is durable, together with the
//!    rows that it names. Effects of later steps wait for those before them.
//! 2. Effects are carried out in order. What is to be sent goes out on the connection of its time, or never.
//! 3. [`Effect::Deliver`] is followed by [`Input::EventsAcked`] once the user has the event. An unacknowledged event is delivered again
//!    after a restart, by the same number: nothing that was committed is ever lost to the user.
//! 4. After a restart [`Input::Restarted`] comes first, then every block since the last one whose effects were committed, then the link.
//! 5. A connection that is replaced is a [`Input::LinkDown`] and a [`Input::LinkUp`].

mod apps;
mod certainty;
mod channel;
mod config;
mod effect;
mod error;
mod event;
mod input;
mod keys;
mod machine;
mod message;
mod on;
mod operation;
mod outbox;
mod payments;
mod phase;
mod pledge;
mod proposal;
mod refusal;
mod rounds;
mod saved;
mod stage;
mod state;
mod status;
mod step;
pub mod transfer;
mod units;
mod wait;

pub use apps::{AppBook, NoApps};
pub use certainty::{Certainty, SoloStep};
pub use channel::Channel;
pub use config::{Acceptance, Config, HeightWindow, Pace, Policy, PolicyRefusal, Timeouts};
pub use effect::{Effect, Effects};
pub use error::{Misuse, Violation};
pub use event::{CloseReason, Event, EventNumber, Notice};
pub use input::{ChainInput, Command, Context, Input};
pub use message::{
    ChannelAccept, ChannelOpen, ChannelRef, FundingCreated, FundingSigned, MAX_INBAND, MAX_UPDATES_PER_ROUND, Message,
    Reestablish, Refusal, RefusalCode, Refused, Shutdown, Update,
};
pub use on::{opening::OpenRequest, unconfirmed::UnconfirmedDispute};
pub use operation::OperationKind;
pub use payments::{MAX_REMEMBERED, PaymentOutcome, PaymentRecord};
pub use pledge::PledgeBody;
pub use proposal::ProposalId;
pub use saved::{Evidence, SavedError};
pub use stage::Stage;
pub use state::{
    Change, ChangeFault, ChangeId, Creation, IdempotencyKey, MAX_EXECUTIONS_PER_ROUND, MAX_KEY, MAX_META,
    MAX_REFERENCE, MAX_ROUND_BYTES, MAX_ROUND_TIME, Outcome, OwnChange, OwnChanges, Payment, Performed, State,
};
pub use status::{Balances, ShutdownStage, Status};
pub use step::{Commit, Step};
pub use units::Millis;
pub use wait::WaitReason;
