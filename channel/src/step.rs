//! What a handler makes of an input.

use crate::{
    effect::{Effect, Effects},
    error::Violation,
    event::{Event, EventNumber, Notice},
    message::{Message, RefusalCode},
    operation::OperationKind,
    state::ChangeId,
    transfer::{TransferEvent, TransferId},
};
use protocol::{Round, contracts::ContractId};

/// What became of an input.
///
/// What a step does to the channel decides which it is: where something has changed that a crash may not undo, it is a commit. An event is told by a
/// commit only, so that none is ever told that a crash could undo.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Nothing has changed that a crash may not undo: the effects are carried out in order.
    Act(Effects),
    /// The channel has changed: it is to be durable before any of the effects (R6.4).
    Commit(Commit),
}

/// A change of the channel that is to be stored, and what follows once it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Commit {
    effects: Effects,
    contracts: Vec<ContractId>,
    payments: Vec<ChangeId>,
    transfers: Vec<TransferId>,
}

impl Commit {
    /// The contracts of the agreed state that have changed since the last commit: what [`Channel::contract`](crate::Channel::contract) has of each is
    /// to be stored with the channel, or its absence. In ascending order.
    #[must_use]
    pub fn contracts(&self) -> &[ContractId] {
        &self.contracts
    }

    /// The payments with a key that have changed since the last commit, likewise:
    /// [`Channel::kept_payments`](crate::Channel::kept_payments) has them, or has them no more.
    #[must_use]
    pub fn payments(&self) -> &[ChangeId] {
        &self.payments
    }

    /// The conditional transfers that have changed since the last commit, likewise: [`Channel::transfer`](crate::Channel::transfer) has their rows, or has
    /// them no more.
    #[must_use]
    pub fn transfers(&self) -> &[TransferId] {
        &self.transfers
    }

    /// What to do, in order, now that the channel and the rows it names are durable: to be asked for no sooner.
    #[must_use]
    pub fn committed(self) -> Effects {
        self.effects
    }

    /// Names what is to be stored beside the channel. Returns the effects, whose events are to be numbered.
    pub(crate) fn complete(&mut self, rows: ChangedRows) -> &mut [Effect] {
        let ChangedRows { contracts, payments, transfers } = rows;
        (self.contracts, self.payments, self.transfers) = (contracts, payments, transfers);
        &mut self.effects
    }
}

/// What is to be stored beside the channel.
pub(crate) struct ChangedRows {
    pub(crate) contracts: Vec<ContractId>,
    pub(crate) payments: Vec<ChangeId>,
    pub(crate) transfers: Vec<TransferId>,
}

impl Default for Step {
    fn default() -> Self {
        Self::Act(Vec::new())
    }
}

impl Step {
    pub(crate) const fn act(effects: Effects) -> Self {
        Self::Act(effects)
    }

    pub(crate) fn commit(effects: Effects) -> Self {
        Self::Commit(Commit { effects, ..Commit::default() })
    }

    /// Tells the user durably: always a commit. The outbox numbers the events.
    pub(crate) fn tell(events: impl IntoIterator<Item = Event>) -> Self {
        let deliver = |event| Effect::Deliver { number: EventNumber::UNNUMBERED, event };
        Self::commit(events.into_iter().map(deliver).collect())
    }

    /// Tells the user in passing.
    pub(crate) fn notify(notice: Notice) -> Self {
        Self::act(vec![Effect::Notify(notice)])
    }

    /// This step and a later one: a commit where one of them is.
    pub(crate) fn and(mut self, later: Self) -> Self {
        if later.is_commit() && !self.is_commit() {
            self = Self::commit(std::mem::take(self.effects_mut()));
        }
        self.effects_mut().extend(match later {
            Self::Act(effects) | Self::Commit(Commit { effects, .. }) => effects,
        });
        self
    }

    /// Whether the channel is to be stored.
    #[must_use]
    pub const fn is_commit(&self) -> bool {
        matches!(self, Self::Commit(_))
    }

    /// The events that it tells of, for whoever has to note something before they are told.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.effects().iter().filter_map(|effect| match effect {
            Effect::Deliver { event, .. } => Some(event),
            _ => None,
        })
    }

    /// What it tells in passing.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.effects().iter().filter_map(|effect| match effect {
            Effect::Notify(notice) => Some(notice),
            _ => None,
        })
    }

    /// What a router is to know of transfers: asked for before the commit, so that what the router makes of it is in the same one.
    pub fn transfers(&self) -> impl Iterator<Item = &TransferEvent> {
        self.effects().iter().filter_map(|effect| match effect {
            Effect::Transfer(event) => Some(event),
            _ => None,
        })
    }

    /// How many effects it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.effects().len()
    }

    /// Whether it has no effects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.effects().is_empty()
    }

    /// The connection of its time is gone: what was to be sent on it never is.
    pub fn drop_messages(&mut self) {
        self.effects_mut().retain(|effect| !matches!(effect, Effect::Send(_)));
    }

    const fn effects(&self) -> &Effects {
        match self {
            Self::Act(effects) | Self::Commit(Commit { effects, .. }) => effects,
        }
    }

    pub(crate) const fn effects_mut(&mut self) -> &mut Effects {
        match self {
            Self::Act(effects) | Self::Commit(Commit { effects, .. }) => effects,
        }
    }
}

/// How a refused message is answered: a proposal with its own error, the rest with error.
pub(crate) enum RefusalReply {
    UpdateError(Round),
    OperationError(OperationKind, Round),
    ShutdownError,
    Error,
}

impl RefusalReply {
    pub(crate) const fn to(message: &Message) -> Self {
        match message {
            Message::Update(update) => Self::UpdateError(update.round),
            Message::DepositCreated(body) => Self::OperationError(OperationKind::Deposit, body.round),
            Message::WithdrawCreated(body) => Self::OperationError(OperationKind::Withdraw, body.round),
            Message::SetDelegatesCreated(body) => Self::OperationError(OperationKind::SetDelegates, body.round),
            Message::PledgeCreated(body) => Self::OperationError(OperationKind::Pledge, body.round),
            Message::Shutdown(_) => Self::ShutdownError,
            _ => Self::Error,
        }
    }

    /// What the peer hears of its violation: the one place where that is said.
    pub(crate) fn refusing(self, violation: Violation) -> Step {
        let say = self.with(violation.code());
        Step::act(vec![Effect::Send(say), Effect::Notify(Notice::PeerViolated(violation))])
    }

    pub(crate) const fn with(self, code: RefusalCode) -> Message {
        match self {
            Self::UpdateError(round) => Message::UpdateError { round, code },
            Self::OperationError(kind, round) => kind.error(round, code),
            Self::ShutdownError => Message::ShutdownError { code },
            Self::Error => Message::Error { code },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_commit_where_one_of_its_parts_is_and_what_is_told_durably_always_is() {
        let (event, notice) = (Event::ShutdownRefused { code: RefusalCode::CLOSING }, Notice::PeerSilent);
        assert!(!Step::notify(notice.clone()).is_commit());
        assert!(Step::tell([event.clone()]).is_commit());
        let both = Step::notify(notice.clone()).and(Step::tell([event.clone()])).and(Step::notify(notice.clone()));
        assert!(both.is_commit());
        assert_eq!(both.events().collect::<Vec<_>>(), [&event]);
        let Step::Commit(commit) = both else { panic!("a commit") };
        let effects = commit.committed();
        assert!(matches!(&effects[..], [Effect::Notify(_), Effect::Deliver { .. }, Effect::Notify(_)]), "in order");
    }
}
