//! What the user gets of what was agreed.

use channel::{ChangeId, Outcome};
use protocol::{Amount, Pair, Round, contracts::ContractId};

/// A contract that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreationReceipt {
    /// Its id.
    pub contract: ContractId,
    /// The round that holds its beginning.
    pub round: Round,
}

/// A call that is agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractCallReceipt {
    /// The round that holds it.
    pub round: Round,
    /// What the contract paid.
    pub payouts: Pair<Amount>,
    /// What it answered, SCALE-encoded.
    pub output: Vec<u8>,
    /// Whether it ended with the call.
    pub ended: bool,
}

/// Changes that are agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesReceipt {
    /// The round that holds the last.
    pub round: Round,
    /// What each did, in order; payments have no outcome.
    pub outcomes: Vec<Outcome>,
}

/// Payments that are agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentsReceipt {
    /// The first of them; the others follow.
    pub first: ChangeId,
    /// The round that holds the last.
    pub round: Round,
}

/// A payment that is agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentReceipt {
    /// The payment's id.
    pub payment: ChangeId,
    /// The round that holds it.
    pub round: Round,
}
