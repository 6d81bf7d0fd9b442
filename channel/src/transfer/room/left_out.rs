//! Calls of apps that the chain alone does not make: it has limits of its own, and a step is made whole or not at all (R8.3g).

use protocol::{call::ForcedCall, contracts::ContractId};
use std::collections::BTreeSet;

/// Calls that stand in no forced step until one is made: what they do then may be something else. Not stored: after a start they are tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut(BTreeSet<(ContractId, Vec<u8>)>);

impl LeftOut {
    pub(super) const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// The chain has refused a step for this call.
    pub(super) fn insert(&mut self, call: &ForcedCall) {
        let _new = self.0.insert((call.contract, call.input.clone()));
    }

    /// Whether forced steps are made without this call.
    pub(super) fn contains(&self, call: &ForcedCall) -> bool {
        self.0.iter().any(|(contract, input)| *contract == call.contract && *input == call.input)
    }

    /// A forced step was made.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
