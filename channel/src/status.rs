//! What a channel says of itself.

use crate::{
    certainty::SoloStep,
    channel::{Channel, LinkState},
    event::CloseReason,
    operation::OperationKind,
    phase::{Phase, closing::ClosePath},
    stage::Stage,
    wait::{Act, WaitReason},
};
use protocol::{Amount, BlockNumber, ChannelId, Round};

/// What a channel is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How far it has come; [`Stage::Disconnected`] where it cannot go on without its peer.
    pub state: Stage,
    /// The same, but what it goes on with instead of [`Stage::Disconnected`].
    pub phase: Stage,
    /// Why nothing is proposed or agreed to now; none where the channel is free to go on, or has ended.
    pub waits_for: Option<WaitReason>,
    /// Whether the peer can be reached and both know the same.
    pub connected: bool,
    /// The id on chain, once known.
    pub channel: Option<ChannelId>,
    /// The latest agreed round, once there is one.
    pub round: Option<Round>,
    /// How it ended.
    pub closed: Option<CloseReason>,
    /// Own changes made and neither agreed nor refused yet, payments and others.
    pub pending: usize,
    /// What is under way on chain while the channel is open.
    pub operation: Option<OperationKind>,
    /// The last block that may take the operation this side has signed: nothing else is agreed before it is on chain or that block is over (R6.5).
    pub operation_until: Option<BlockNumber>,
    /// How far a close in agreement has come.
    pub shutdown: Option<ShutdownStage>,
    /// Whether calls are being forced.
    pub forcing: bool,
    /// What waits until the peer has said where it stands, since the stored state may be old (R6.6b).
    pub awaits_peer_confirmation: Option<SoloStep>,
    /// Whether this side's store is older than what it has signed (R6.6a), or may be since it was copied.
    pub stale_store: bool,
}

/// Who has what, as far as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Agreed.
    pub ours: Amount,
    /// Agreed.
    pub peers: Amount,
    /// What can be paid now: agreed, above the reserve, and not on its way.
    pub spendable: Amount,
}

/// How far a close in agreement that the user asked for has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownStage {
    /// Nothing is signed: the peer cannot be reached.
    AwaitsPeer,
    /// Nothing is signed: own changes are to be answered first.
    AwaitsChanges,
    /// Nothing is signed: a deposit, a withdrawal or other delegates go first.
    AwaitsOperation,
    /// Nothing is signed: the chain, or a round that waits for one's own user, goes first.
    AwaitsTurn,
    /// Signed, and with the peer: nothing else is agreed until it is on chain, or this block is over.
    Offered {
        /// The last block that takes it.
        until: BlockNumber,
    },
    /// Signed by both, and on its way to the chain until this block is over.
    Agreed {
        /// The last block that takes it.
        until: BlockNumber,
    },
}

impl Channel {
    /// What the channel is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let live = self.phase.live();
        let parted = matches!(self.link, LinkState::Down | LinkState::Left) && self.phase.outlives_the_link();
        Status {
            state: if parted { Stage::Disconnected } else { self.phase.stage() },
            phase: self.phase.stage(),
            waits_for: self.waits_for(Act::Any, self.unconfirmed_head.head),
            connected: self.link == LinkState::Up,
            channel: self.channel_id(),
            round: live.map(|live| live.agreed.round()),
            closed: match &self.phase {
                Phase::Closed(reason) => Some(reason.clone()),
                _ => None,
            },
            pending: live.map_or(0, |live| live.pending()),
            operation: live.and_then(|live| live.operation.kind()),
            operation_until: live.and_then(|live| live.operation.signed_until()),
            shutdown: self.shutdown_stage(),
            forcing: live.is_some_and(|live| live.dispute.forcing().is_some()),
            awaits_peer_confirmation: self.confirmation.waiting(),
            stale_store: live.is_some_and(|live| live.store.is_doubtful()),
        }
    }

    /// Whether a deposit, a withdrawal or other delegates that this side has asked for are under way: not even signed, or signed and not final on chain.
    #[must_use]
    pub fn is_operation_pending(&self) -> bool {
        self.phase.live().is_some_and(|live| live.operation.is_own_pending())
    }

    /// Who has what; none before the channel is open and after it has ended.
    #[must_use]
    pub fn balances(&self) -> Option<Balances> {
        let live = self.phase.live()?;
        let balances = &live.agreed.state().balances;
        Some(Balances { ours: balances[self.me], peers: balances[self.me.peer()], spendable: live.spendable(self.me) })
    }

    /// How far the close in agreement has come that the user asked for, or that the peer's has become.
    pub(crate) fn shutdown_stage(&self) -> Option<ShutdownStage> {
        match &self.phase {
            Phase::Open(live) if live.wish.fee().is_some() => Some(if self.link != LinkState::Up {
                ShutdownStage::AwaitsPeer
            } else if live.pending() > 0 || live.outgoing.highest_open().is_some() {
                ShutdownStage::AwaitsChanges
            } else if !live.operation.is_idle() {
                ShutdownStage::AwaitsOperation
            } else {
                ShutdownStage::AwaitsTurn
            }),
            Phase::Closing(_, ClosePath::Offered(offer)) => {
                Some(ShutdownStage::Offered { until: offer.body.valid_until })
            }
            Phase::Closing(_, ClosePath::Agreed(agreed)) => {
                Some(ShutdownStage::Agreed { until: agreed.body.valid_until })
            }
            _ => None,
        }
    }
}
