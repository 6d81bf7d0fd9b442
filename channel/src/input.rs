//! Everything that can happen to a channel.

use crate::{message::Message, state::Payment};
use protocol::{AccountId, Amount, BlockNumber, Pair, Rejection, crypto::SigningKey, event::Event as ArbiterEvent};

/// Milliseconds since an origin that the caller chooses and keeps.
pub type Millis = u64;

/// What the machine may know of its surroundings at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Signs this side's states.
    pub key: &'a SigningKey,
    /// Now.
    pub now: Millis,
    /// The newest finalised block.
    pub head: BlockNumber,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The peer said something.
    Peer(Message),
    /// The user wants something.
    User(Command),
    /// The chain has something new, and it is final (R6.8).
    Chain(ChainInput),
    /// Time has passed.
    Tick,
    /// The peer can be reached (again).
    LinkUp,
    /// The peer cannot be reached any more.
    LinkDown,
    /// The process started with this channel from its store: derive again what may have been lost.
    Restarted,
}

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pay the peer.
    Pay(Payment),
    /// Close in agreement. The fee, out of one's own balance, goes to whoever submits the close.
    Shutdown {
        /// In coins; zero where the submitter pays for itself.
        fee: Amount,
    },
    /// Close alone, on the latest agreed state.
    CloseSolo,
}

/// What the chain has, all of it final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainInput {
    /// A new block; its events have been told already.
    Head,
    /// The arbiter announced something about this channel.
    Event(ArbiterEvent),
    /// The answer to [`Effect::AskNonce`](crate::Effect::AskNonce).
    Nonce {
        /// Of whom.
        accounts: Pair<AccountId>,
        /// How many channels they have opened.
        nonce: u64,
    },
    /// The arbiter refused a call that this channel asked for.
    Rejected {
        /// The call's name.
        call: &'static str,
        /// The arbiter's reason.
        rejection: Rejection,
    },
}
