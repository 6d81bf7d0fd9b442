//! Calls of apps that the chain alone does not make: it has limits of its own, and a step is made whole or not at all (R8.3g).

use super::Transfers;
use protocol::{call::ForcedCall, contracts::ContractId};
use std::collections::BTreeSet;

/// Calls that stand in no forced step until one is made: what they do then may be something else. Not stored: after a start they are tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut(BTreeSet<(ContractId, Vec<u8>)>);

impl LeftOut {
    pub(super) const fn new() -> Self {
        Self(BTreeSet::new())
    }
}

impl Transfers {
    /// The chain has refused a step for this call: the next one is made without it, at once.
    pub(crate) fn leave_out(&mut self, call: &ForcedCall) {
        let ForcedCall { contract, input, .. } = call;
        if self.goes_with_any(call) {
            let _new = self.left_out.0.insert((*contract, input.clone()));
            self.wants.forget_try();
        }
    }

    /// Whether forced steps are made without this call.
    pub(crate) fn is_left_out(&self, call: &ForcedCall) -> bool {
        self.left_out.0.iter().any(|(contract, input)| *contract == call.contract && *input == call.input)
    }

    /// A forced step was made.
    pub(super) fn try_all_again(&mut self) {
        self.left_out.0.clear();
    }
}
