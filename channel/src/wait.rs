//! Why a channel stands still: the one place that decides whether something may be proposed or agreed to now.
//!
//! ```text
//!   what this side wants --advance--> waits_for(Propose) --+                     +--> none: it goes on
//!   a tick, own calls wait ---------> waits_for(Force) ----+--> the first reason +
//!   the peer's proposal ---admit----> waits_for(Agree..) --+                     +--> some: deferred, or refused with a code
//! ```
//!
//! Each reason says which acts it stops ([`WaitReason::stops`]), so that what differs between the acts stands in one table.

use crate::{
    channel::{Channel, LinkState},
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, incoming::Awaits},
    },
};
use protocol::BlockNumber;
use std::fmt;

/// What has to happen before the channel goes on. Where several things have to, the first of them in the order of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitReason {
    /// The channel is not open yet.
    Opening,
    /// The peer cannot be reached.
    Disconnected,
    /// The two have parted: one of them has to come back.
    Left,
    /// What both know is being compared (R6.6).
    Reestablishing,
    /// The peer has to answer that this side leaves; what it proposes meanwhile is agreed to.
    Leaving,
    /// A close by one side is on chain, or contracts still hold coins after it.
    ClosingOnChain,
    /// A close in agreement is signed: it gets on chain, or its last block passes (R6.5).
    ClosingMutual,
    /// The user closes alone: that has to get on chain.
    ClosingSolo,
    /// This side's store is older than what it has signed, or may be: nothing is agreed any more but a close (R6.6a).
    StaleStore,
    /// Calls are being forced (R5.10).
    Forcing,
    /// Forced steps are on chain that this side has not replayed: an app may have to be fetched first.
    PendingReplay,
    /// The peer has to say that it goes on from a forced state, which is agreed here.
    PeerReplay,
    /// A deposit, a withdrawal or other delegates are signed: they get on chain, or their last block passes (R6.5). Or this side has pledged: the round for which it
    /// has comes, or the pledge's last block passes (R6.5d).
    Operation,
    /// The peer has to answer the own round that it has pledged, or the pledge's last block passes: until then it may count, and nothing else is signed (R6.5d).
    Pledge,
    /// This side's router has to say whether it pledges for an offer of the peer's (R8.5h): until then nothing crosses the peer's question.
    PledgeQuestion,
    /// The user has to acknowledge events ([`Input::EventsAcked`](crate::Input::EventsAcked)): too many wait.
    EventsUnacknowledged,
    /// A second endpoint has to confirm what one alone tells of the chain (R6.9a): no round of the peer's is agreed to before.
    ChainUnconfirmed,
    /// The peer has to say that it sees on chain what is agreed here.
    PeerLock,
    /// The user has to accept or refuse a round of the peer's.
    PendingReview,
    /// An app has to be fetched, which a round of the peer's needs.
    PendingCode,
    /// A block has to be seen, which a round of the peer's names (R7.3), or with which its transfers can be judged (R8.3c).
    PendingBlock,
    /// The peer has to answer an own round.
    Answer,
    /// The peer has said that it answers an own round later: the round is said again.
    Postponed,
    /// The peer has to answer what it was asked for: a deposit, a withdrawal or other delegates.
    OperationAnswer,
}

/// What a reason may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Anything at all: for whoever looks at the channel.
    Any,
    /// This side proposes what comes next.
    Propose,
    /// This side asks in a higher round for an operation that no block can take any more.
    AskAnew,
    /// This side forces calls that have waited too long, without being told to.
    Force,
    /// A round of the peer's is agreed to.
    AgreeToRound,
    /// The round of the peer's that this side has pledged is agreed to (R6.5d).
    AgreeToPledged,
    /// An operation of the peer's is agreed to.
    AgreeToOperation,
    /// A close that the peer offers is agreed to.
    AgreeToShutdown,
}

impl WaitReason {
    /// Every reason, in the order in which they are looked at.
    pub const ALL: [Self; 24] = [
        Self::Opening,
        Self::Disconnected,
        Self::Left,
        Self::Reestablishing,
        Self::Leaving,
        Self::ClosingOnChain,
        Self::ClosingMutual,
        Self::ClosingSolo,
        Self::StaleStore,
        Self::Forcing,
        Self::PendingReplay,
        Self::PeerReplay,
        Self::Operation,
        Self::Pledge,
        Self::PledgeQuestion,
        Self::EventsUnacknowledged,
        Self::ChainUnconfirmed,
        Self::PeerLock,
        Self::PendingReview,
        Self::PendingCode,
        Self::PendingBlock,
        Self::Answer,
        Self::Postponed,
        Self::OperationAnswer,
    ];

    /// Whether this act has to wait for that.
    const fn stops(self, act: Act) -> bool {
        use Act::{AgreeToPledged, AgreeToRound, AgreeToShutdown, Any, AskAnew, Force, Propose};
        match self {
            Self::Opening | Self::ClosingOnChain | Self::ClosingSolo | Self::Forcing | Self::PendingReplay => true,
            // Calls are forced because of such a peer.
            Self::Disconnected | Self::Left | Self::Reestablishing | Self::PeerReplay => !matches!(act, Force),
            Self::Operation => !matches!(act, Force | AgreeToPledged),
            Self::Pledge => true,
            // A close in agreement pays what both know of; a crossing one may be answered.
            Self::ClosingMutual | Self::StaleStore => !matches!(act, AgreeToShutdown),
            Self::EventsUnacknowledged => !matches!(act, Force | AgreeToShutdown),
            Self::ChainUnconfirmed => matches!(act, Any | AgreeToRound | AgreeToPledged),
            Self::PledgeQuestion
            | Self::Leaving
            | Self::PeerLock
            | Self::PendingReview
            | Self::PendingCode
            | Self::PendingBlock => {
                matches!(act, Any | Propose | AskAnew)
            }
            // What is asked anew was asked before: it does not wait for its own answer.
            Self::Answer => matches!(act, Any | Propose | AgreeToShutdown),
            Self::Postponed | Self::OperationAnswer => matches!(act, Any | Propose),
        }
    }

    /// Its name, for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Disconnected => "disconnected",
            Self::Left => "left",
            Self::Reestablishing => "reestablishing",
            Self::Leaving => "leaving",
            Self::ClosingOnChain => "closing_on_chain",
            Self::ClosingMutual => "closing_mutual",
            Self::ClosingSolo => "closing_solo",
            Self::StaleStore => "stale_store",
            Self::Forcing => "forcing",
            Self::PendingReplay => "pending_replay",
            Self::PeerReplay => "peer_replay",
            Self::Operation => "operation",
            Self::Pledge => "pledge",
            Self::PledgeQuestion => "pledge_question",
            Self::EventsUnacknowledged => "events_unacknowledged",
            Self::ChainUnconfirmed => "chain_unconfirmed",
            Self::PeerLock => "peer_lock",
            Self::PendingReview => "pending_review",
            Self::PendingCode => "pending_code",
            Self::PendingBlock => "pending_block",
            Self::Answer => "answer",
            Self::Postponed => "postponed",
            Self::OperationAnswer => "operation_answer",
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Channel {
    /// The first reason why this act has to wait now, while `head` is the newest finalised block.
    pub(crate) fn waits_for(&self, act: Act, head: BlockNumber) -> Option<WaitReason> {
        WaitReason::ALL.into_iter().find(|reason| reason.stops(act) && self.has_to_wait(*reason, head))
    }

    fn has_to_wait(&self, reason: WaitReason, head: BlockNumber) -> bool {
        match reason {
            WaitReason::Opening => self.phase.live().is_none() && !matches!(self.phase, Phase::Closed(_)),
            WaitReason::Disconnected => self.link == LinkState::Down && self.phase.outlives_the_link(),
            WaitReason::Left => self.link == LinkState::Left && self.phase.outlives_the_link(),
            WaitReason::Reestablishing => self.link == LinkState::Syncing,
            WaitReason::Leaving => self.link == LinkState::Leaving,
            WaitReason::ClosingOnChain => {
                matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_) | ClosePath::Residual(_)))
            }
            WaitReason::ClosingMutual => {
                matches!(self.phase, Phase::Closing(_, ClosePath::Offered(_) | ClosePath::Agreed(_)))
            }
            WaitReason::EventsUnacknowledged => self.outbox.is_full(),
            WaitReason::ChainUnconfirmed => self.is_behind_the_chain(head),
            _ => match &self.phase {
                Phase::Open(live) => live.has_to_wait(reason),
                // A close may still be agreed to on what is agreed, unless that is about to change.
                Phase::Closing(live, _) => {
                    matches!(reason, WaitReason::Forcing | WaitReason::PendingReplay | WaitReason::PeerReplay)
                        && live.has_to_wait(reason)
                }
                _ => false,
            },
        }
    }
}

impl Live {
    /// Whether a reason that lies in the running channel itself holds.
    fn has_to_wait(&self, reason: WaitReason) -> bool {
        let awaits = |test: fn(Awaits) -> bool| self.incoming.pending_review().is_some_and(|it| test(it.awaits()));
        match reason {
            WaitReason::ClosingSolo => self.wish.is_solo(),
            WaitReason::StaleStore => self.store.is_doubtful(),
            WaitReason::Forcing => self.dispute.forcing().is_some(),
            WaitReason::PendingReplay => self.dispute.pending_replay().is_some(),
            WaitReason::PeerReplay => self.agreed.forced().is_some() && self.awaits_lock(),
            WaitReason::PeerLock => self.agreed.forced().is_none() && self.awaits_lock(),
            WaitReason::Operation => self.operation.is_signed(),
            WaitReason::Pledge => self.open_pledge().is_some(),
            WaitReason::PledgeQuestion => self.operation.has_put_off(),
            WaitReason::PendingReview => awaits(|it| it == Awaits::User),
            WaitReason::PendingCode => awaits(|it| matches!(it, Awaits::Code(_))),
            WaitReason::PendingBlock => awaits(|it| matches!(it, Awaits::Head | Awaits::Judgement)),
            WaitReason::Answer => self.outgoing.unanswered().is_some(),
            WaitReason::Postponed => self.outgoing.unanswered().is_none() && self.outgoing.highest_open().is_some(),
            WaitReason::OperationAnswer => self.operation.asked().is_some(),
            _ => false,
        }
    }
}
