//! What became of the changes of a round that touched contracts: both sides are told.

use super::ChangeId;
use protocol::{
    Amount, Pair, Party,
    contracts::{Code, ContractId},
};
use scale::{Decode, Encode};

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// A contract began.
    #[codec(index = 0)]
    Created {
        /// Its id from now on.
        contract: ContractId,
        /// Its code.
        code: Code,
        /// What it holds.
        balance: Amount,
    },
    /// A contract was called.
    #[codec(index = 1)]
    Called {
        /// The contract's id.
        contract: ContractId,
        /// The coins that the caller attached.
        value: Amount,
        /// What it paid.
        payouts: Pair<Amount>,
        /// What it answered.
        output: Vec<u8>,
        /// Whether it ended with the call.
        ended: bool,
    },
    /// A contract was removed.
    #[codec(index = 2)]
    Removed {
        /// The contract's id.
        contract: ContractId,
        /// Who got what.
        shares: Pair<Amount>,
    },
    /// A contract goes on with other code.
    #[codec(index = 3)]
    Upgraded {
        /// The contract's id.
        contract: ContractId,
        /// The new code.
        code: Code,
    },
    /// Somebody said something.
    #[codec(index = 4)]
    Noted(Vec<u8>),
}

/// What a party did, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Performed {
    /// The party that made the change.
    pub by: Party,
    /// Which of the own changes it was; none for the peer's, and for a step forced by hand.
    pub change: Option<ChangeId>,
    /// What it did.
    pub outcome: Outcome,
}

impl Performed {
    /// What it weighs in the outbox: a long answer as much as several short ones.
    pub(crate) fn weight(&self) -> usize {
        let bytes = match &self.outcome {
            Outcome::Called { output: bytes, .. } | Outcome::Noted(bytes) => bytes.len(),
            _ => 0,
        };
        bytes.div_ceil(256).max(1)
    }
}

/// Outcomes of a round's changes, each with the place of its change in the round.
pub(crate) type Results = Vec<(u32, Outcome)>;

/// The outcomes of own changes; `id` gives the id of the change at each place, and none where it was told of already.
pub(crate) fn performed(by: Party, results: Results, id: impl Fn(u32) -> Option<ChangeId>) -> Vec<Performed> {
    let own = |(place, outcome)| Some(Performed { by, change: Some(id(place)?), outcome });
    results.into_iter().filter_map(own).collect()
}
