//! The state that the parties agree on, and the changes a round makes to it (R4.1, R4.5).
//!
//! ```text
//!   State before --RoundBuilder: change, change, ..--> State after, and an Outcome for each contract that was touched
//! ```

mod builder;
mod change;
mod ids;
mod outcome;
mod own;
mod transfer;

pub use builder::{MAX_EXECUTIONS_PER_ROUND, MAX_ROUND_BYTES, MAX_ROUND_TIME};
pub(crate) use builder::{RoundBuilder, RoundContext, check_code};
pub(crate) use change::length;
pub use change::{Change, ChangeFault, ChangeId, Creation, MAX_META, MAX_REFERENCE, Payment};
pub(crate) use ids::{Ids, after};
pub use outcome::{Outcome, Performed};
pub(crate) use outcome::{Results, performed};
pub use own::{IdempotencyKey, MAX_KEY, OwnChange, OwnChanges};
pub use transfer::{
    AppCall, FailReason, LockedCalls, MAX_INSTRUCTION, MAX_LOCKED_CALLS, MAX_LOCKED_WORDS, MAX_REASON, Offer,
    TransferTerms,
};

use crate::transfer::marks::CallMarks;
use protocol::{
    Amount, Hash, Pair, StateCommitment,
    contracts::{ContractId, Contracts},
    crypto::Native,
};
use scale::{Decode, Encode, Input, Output};

/// What both parties own, and the contracts between them.
///
/// It travels and is stored as its [`StateCommitment`]: the contracts themselves are known to both, or lie in the store beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What each party owns outside contracts.
    pub balances: Pair<Amount>,
    /// The contracts, as far as they are known here.
    pub contracts: Contracts,
    /// The root that the parties agreed on: of other contracts than the above where those are not known.
    pub contracts_root: Hash,
    /// The root of the round's calls.
    pub calls_root: Hash,
    /// Which calls that go with transfers forced steps have made on the way to it (R8.3g). Stored beside it; nothing commits to it.
    pub(crate) marks: CallMarks,
}

impl State {
    /// Balances alone.
    #[must_use]
    pub fn of(balances: Pair<Amount>) -> Self {
        Self::committed(StateCommitment::of_balances(balances))
    }

    /// What a commitment tells of a state: its contracts are not known, if it has any.
    #[must_use]
    pub fn committed(commitment: StateCommitment) -> Self {
        let StateCommitment { balances, contracts_root, calls_root } = commitment;
        Self { balances, contracts: Contracts::new(), contracts_root, calls_root, marks: CallMarks::new() }
    }

    /// The state of these contracts, to which a round or a forced step leads from this one.
    pub(crate) fn followed_by(&self, balances: Pair<Amount>, contracts: Contracts, calls_root: Hash) -> Self {
        let contracts_root = contracts.root();
        Self { balances, contracts, contracts_root, calls_root, marks: self.marks.clone() }
    }

    /// The same contracts with other balances, after an operation on chain: no calls.
    pub(crate) fn with_balances(&self, balances: Pair<Amount>) -> Self {
        Self { balances, calls_root: Hash::ZERO, ..self.clone() }
    }

    /// What the state's hash commits to (R4.1).
    #[must_use]
    pub const fn commitment(&self) -> StateCommitment {
        let Self { balances, contracts_root, calls_root, .. } = *self;
        StateCommitment { balances, contracts_root, calls_root }
    }

    /// What the parties sign (R4.1).
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.commitment().hash(&Native)
    }

    /// Whether all of its contracts are known here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.contracts.root() == self.contracts_root
    }

    /// Takes the contracts from where they are known, if they are those of this state.
    pub(crate) fn fill(&mut self, known: &Contracts) {
        if known.root() == self.contracts_root {
            self.contracts = known.clone();
        }
    }

    /// What differs between these contracts and others, as the store keeps it.
    pub(crate) fn delta(&self, from: &Contracts) -> Delta {
        let changed = self.contracts.differences(from).into_iter();
        let changes = changed.map(|id| (id, self.contracts.get(&id).cloned())).collect();
        Delta { root: self.contracts_root, changes }
    }
}

impl Encode for State {
    fn encode_to<W: Output + ?Sized>(&self, out: &mut W) {
        self.commitment().encode_to(out);
    }
}

impl Decode for State {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        StateCommitment::decode(input).map(Self::committed)
    }
}

/// How the contracts of one state differ from those of the agreed one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Delta {
    /// Of which state: the root of its contracts.
    pub(crate) root: Hash,
    /// What they are in it; none where they are not there.
    pub(crate) changes: Vec<(ContractId, Option<protocol::contracts::Contract>)>,
}

impl Delta {
    /// The contracts of that state.
    pub(crate) fn on(self, agreed: &Contracts) -> Contracts {
        let mut contracts = agreed.clone();
        for (id, contract) in self.changes {
            contracts.set(id, contract);
        }
        contracts
    }
}
