//! What one endpoint says of a channel and nobody confirms (R6.9a): a pure question, and nothing that a channel ever takes in.
//!
//! ```text
//!   an event or a record in doubt --> UnconfirmedDispute --> Channel::answer_to --> a call that shows the chain a newer state of this side's, or none
//! ```
//!
//! Such a call lets go of nothing that is signed or held here, and makes nothing known here. Where the endpoint's word is false the arbiter refuses it, or it
//! puts the state on chain that both agreed to last: either costs a fee at most. So nothing has to be taken back once the truth is known.

use crate::{
    channel::Channel,
    phase::{Phase, closing::ClosePath},
};
use protocol::{
    Base, BlockNumber, Party,
    call::{Call, SnapshotSolo},
    event::ArbiterEvent,
    record::{Closing, Phase as RecordPhase, Record},
};

/// Where a channel stands on chain, as one endpoint has it: as far as that may have to be answered before a second one says so too (R6.9a).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnconfirmedDispute {
    /// The state on chain.
    at: Base,
    /// The close that waits, if one does; otherwise somebody has forced a step.
    closing: Option<Closing>,
}

impl UnconfirmedDispute {
    /// What an event says, where it is of a close or of a forced step.
    #[must_use]
    pub fn of_event(event: &ArbiterEvent) -> Option<Self> {
        match event {
            ArbiterEvent::ChannelClosedSolo { at, closing, .. } => {
                Some(Self { at: *at, closing: Some(closing.clone()) })
            }
            ArbiterEvent::ChannelSlashed { round, closing, .. } => {
                Some(Self { at: Base::of(*round), closing: Some(closing.clone()) })
            }
            ArbiterEvent::ChannelProgressed { at, closing, .. } => Some(Self { at: *at, closing: closing.clone() }),
            _ => None,
        }
    }

    /// What a record says, where it is of a close or has marks of forced steps.
    #[must_use]
    pub fn of_record(record: &Record) -> Option<Self> {
        let at = record.on_chain.at;
        match &record.phase {
            RecordPhase::Closing(closing) => Some(Self { at, closing: Some(closing.clone()) }),
            RecordPhase::Open if record.on_chain.maturity.marks().is_empty() => None,
            RecordPhase::Open => Some(Self { at, closing: None }),
            RecordPhase::Residual { .. } => None,
        }
    }

    /// The state on chain.
    #[must_use]
    pub const fn at(&self) -> Base {
        self.at
    }

    /// Who has closed; none where somebody has forced a step.
    #[must_use]
    pub fn closer(&self) -> Option<Party> {
        self.closing.as_ref().map(|closing| closing.penalty.closer())
    }

    /// The last block in which an answer counts for certain, where a forced step was seen in block `seen`, in a channel with this lock period.
    #[must_use]
    pub fn answer_by(&self, seen: BlockNumber, lock_period: BlockNumber) -> BlockNumber {
        let from = self.closing.as_ref().map_or(seen.saturating_add(lock_period), |closing| closing.unlock_at);
        from.saturating_sub(1)
    }
}

impl Channel {
    /// The call that shows the arbiter a newer state than an unconfirmed dispute says it has, where this side has one and would defend the channel with it: a
    /// slash against a close, a snapshot against a forced step, by which the newest round would lose its force meanwhile (R5.4b).
    ///
    /// None where a close is confirmed: it is answered as it is known to be.
    #[must_use]
    pub fn answer_to(&self, dispute: &UnconfirmedDispute) -> Option<Call> {
        let (Phase::Open(live) | Phase::Closing(live, ClosePath::Offered(_) | ClosePath::Agreed(_))) = &self.phase
        else {
            return None;
        };
        let is_below = live.open_pledge().is_some_and(|held| dispute.at < Base::of(held.round));
        if let Some(closing) = dispute.closing.as_ref().filter(|_| self.config.defend && is_below)
            && !self.is_pledge_over_by(self.unconfirmed_head.block)
            && let Some(call) = live.slash_by_pledge(self.unconfirmed_head.head, &closing.penalty, self.me)
        {
            // What the peer has pledged, and keeps back, lies above what is agreed.
            return Some(call);
        }
        if !self.config.defend || dispute.at >= live.agreed.base() {
            return None;
        }
        match &dispute.closing {
            Some(closing) => live.slash(&closing.penalty, self.me),
            // Calls that are being forced carry the newer state with them (R7.6a).
            None if live.dispute.is_forcing_wanted() => None,
            None => {
                let (channel, payload) = (live.funding.channel(), live.payload()?);
                Some(Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }))
            }
        }
    }
}
