//! Which changes make calls that forced steps have left (R8.3g).

use crate::{state::ChangeId, transfer::marks::LeftCall};
use protocol::contracts::ContractId;
use std::collections::BTreeMap;

/// Changes that make calls which were left, and that wait for a round or for an answer to it. Stored with the channel as far as they are in rounds that were signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AskedCalls(BTreeMap<ChangeId, LeftCall>);

impl AskedCalls {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This change makes that call.
    pub(super) fn ask(&mut self, change: ChangeId, call: LeftCall) {
        let _none = self.0.insert(change, call);
    }

    /// The call that a change makes.
    pub(super) fn of(&self, change: ChangeId) -> Option<LeftCall> {
        self.0.get(&change).copied()
    }

    /// Whether a call, by its place, is made by one of them that waits, as this says.
    pub(super) fn is_asked(&self, contract: ContractId, place: u8, waits: impl Fn(ChangeId) -> bool) -> bool {
        self.0.iter().any(|(id, asked)| *asked == (contract, place) && waits(*id))
    }

    /// This change makes no call.
    pub(super) fn forget(&mut self, change: ChangeId) {
        let _call = self.0.remove(&change);
    }

    /// Forgets changes, but for those of which this is true.
    pub(super) fn retain(&mut self, is_known: impl Fn(ChangeId) -> bool) {
        self.0.retain(|id, _| is_known(*id));
    }
}
