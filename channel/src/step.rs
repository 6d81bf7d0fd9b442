//! What a handler makes of an input.

use crate::{
    effect::{Effect, Effects},
    error::Violation,
    event::{Event, Notice},
    message::{Message, RefusalCode},
    operation::OperationKind,
    state::ChangeId,
};
use protocol::{Round, contracts::ContractId};

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// What to do, in order, after committing.
    pub effects: Effects,
    /// Whether the channel must be committed before any of it (R6.4).
    pub commit: bool,
    /// The contracts of the agreed state that have changed since the last commit: what [`Channel::contract`] has of each is to be committed
    /// with it, or its absence. In ascending order.
    pub contracts: Vec<ContractId>,
    /// The payments with a key that have changed since the last commit, likewise: [`Channel::kept_payments`] has them, or has them no more.
    pub payments: Vec<ChangeId>,
}

impl Step {
    pub(crate) const fn act(effects: Effects) -> Self {
        Self { effects, commit: false, contracts: Vec::new(), payments: Vec::new() }
    }

    pub(crate) const fn commit(effects: Effects) -> Self {
        Self { effects, commit: true, contracts: Vec::new(), payments: Vec::new() }
    }

    pub(crate) fn and(mut self, later: Self) -> Self {
        self.effects.extend(later.effects);
        self.commit |= later.commit;
        self
    }
}

/// How a refused message is answered: a proposal with its own error, the rest with error.
pub(crate) enum Answer {
    UpdateError(Round),
    OperationError(OperationKind, Round),
    ShutdownError,
    Error,
}

impl Answer {
    pub(crate) const fn to(message: &Message) -> Self {
        match message {
            Message::Update(update) => Self::UpdateError(update.round),
            Message::DepositCreated(body) => Self::OperationError(OperationKind::Deposit, body.round),
            Message::WithdrawCreated(body) => Self::OperationError(OperationKind::Withdraw, body.round),
            Message::SetDelegatesCreated(body) => Self::OperationError(OperationKind::SetDelegates, body.round),
            Message::Shutdown(_) => Self::ShutdownError,
            _ => Self::Error,
        }
    }

    /// What the peer hears of its violation: the one place where that is said.
    pub(crate) fn refusing(self, violation: Violation) -> Step {
        let say = self.with(violation.code());
        Step::act(vec![Effect::Send(say), Effect::Notify(Event::Notice(Notice::PeerViolated(violation)))])
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
