//! What is left of the calls that go with transfers, and what was asked for of it (R8.3g).

use crate::state::{AppCall, ChangeId};
use protocol::contracts::ContractId;
use std::collections::{BTreeMap, BTreeSet};

/// What is left, and what was asked for of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftCalls {
    /// Transfers that have ended without all of their calls, by their contracts.
    pub(super) of: BTreeSet<ContractId>,
    /// Calls that wait for a round or for an answer to it. Not stored: they are found in the rounds that were signed.
    pub(super) asked: BTreeMap<ChangeId, (ContractId, AppCall)>,
}

impl LeftCalls {
    pub(super) const fn new() -> Self {
        Self { of: BTreeSet::new(), asked: BTreeMap::new() }
    }

    /// Whether calls of this transfer are left.
    pub(super) fn is_of(&self, contract: &ContractId) -> bool {
        self.of.contains(contract)
    }

    /// Forgets which changes made calls, but for those of which this is true.
    pub(super) fn retain_asked(&mut self, is_known: impl Fn(ChangeId) -> bool) {
        self.asked.retain(|id, _| is_known(*id));
    }
}
