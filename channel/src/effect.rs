//! Everything a channel wants done. Each may be done twice without harm.

use crate::{
    error::Violation,
    message::{Message, RefusalCode},
    phase::CloseReason,
    state::{Payment, PaymentId},
};
use protocol::{AccountId, Amount, BlockNumber, ChannelId, Pair, Rejection, Round, call::Call};

/// What a channel wants done, in order, after it was committed (R6.4).
pub type Effects = Vec<Effect>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say it to the peer.
    Send(Message),
    /// Call the arbiter. The same call may be asked for again while it is under way; once is enough.
    Submit(Box<Call>),
    /// Find out how many channels these two have opened, at the finalised head.
    AskNonce(Pair<AccountId>),
    /// Tell the user.
    Notify(Event),
}

/// What a user is told. Where not said otherwise it is told once; after a crash it may be told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both parties have signed the opening; it is on its way to the chain.
    Signed {
        /// The channel's id on chain.
        channel: ChannelId,
    },
    /// The channel is open and both have seen it on chain.
    Opened {
        /// The channel's id on chain.
        channel: ChannelId,
        /// First balances.
        balances: Pair<Amount>,
    },
    /// Own payments are agreed: they cannot be undone.
    Paid {
        /// Which, in the order in which they were made.
        payments: Vec<PaymentId>,
        /// The round that holds them.
        round: Round,
    },
    /// The peer's payments are agreed: they cannot be undone.
    Received {
        /// Each with its own amount and reference.
        payments: Vec<Payment>,
        /// The round that holds them.
        round: Round,
    },
    /// The peer refused a round; its payments are not made. Until a higher round is agreed they may still appear (R6.1).
    Refused {
        /// Which.
        payments: Vec<PaymentId>,
        /// Why.
        code: RefusalCode,
    },
    /// Payments that waited will not be made: the channel closes.
    Dropped {
        /// Which.
        payments: Vec<PaymentId>,
    },
    /// The peer refused to close in agreement.
    ShutdownRefused {
        /// Why.
        code: RefusalCode,
    },
    /// Somebody closes alone.
    ClosingSolo {
        /// The round closed on.
        round: Round,
        /// The first block in which it can be settled.
        unlock_at: BlockNumber,
        /// Whether this side holds a newer state (and, unless told otherwise, posts it).
        outdated: bool,
    },
    /// A close was answered with a newer state.
    Slashed {
        /// The newer round.
        round: Round,
        /// The first block in which it can be settled.
        unlock_at: BlockNumber,
    },
    /// The channel has ended.
    Closed(CloseReason),
    /// Something this side or its peer should know about, while the channel goes on.
    Notice(Notice),
}

/// Troubles that end nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The peer broke the protocol; it was told, and what it said was ignored.
    PeerViolated(Violation),
    /// The peer says that it cannot go on.
    PeerError(RefusalCode),
    /// The arbiter refused a call made for this channel.
    CallRejected {
        /// The call's name.
        call: &'static str,
        /// The arbiter's reason.
        rejection: Rejection,
    },
    /// The peer has not answered in time.
    PeerSilent,
    /// The peer holds a newer state than this side: this side's store is old and must not be used on chain (R6.6). It was brought up to date.
    CaughtUp {
        /// From which round.
        from: Round,
        /// To which.
        to: Round,
    },
}
