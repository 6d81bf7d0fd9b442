//! What is left of the calls that go with transfers, and what was asked for of it (R8.3g). The calls themselves are in the rows, as they were offered.

use crate::state::{AppCall, ChangeId};
use protocol::contracts::ContractId;
use scale::{Decode, Encode};
use std::collections::BTreeMap;

/// Which calls of a transfer were made by force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Made {
    /// Whether the transfer has ended without the others.
    pub(super) has_ended: bool,
    /// A bit for each call that was made, or that there is no need for.
    pub(super) calls: u8,
}

/// What is left, and what was asked for of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftCalls {
    /// By the contracts of transfers. Stored with the channel.
    pub(super) made: BTreeMap<ContractId, Made>,
    /// Calls that wait for a round or for an answer to it. Not stored: they are found in the rounds that were signed.
    pub(super) asked: BTreeMap<ChangeId, (ContractId, AppCall)>,
}

impl LeftCalls {
    pub(super) const fn new() -> Self {
        Self { made: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// Whether this transfer has ended without all of its calls.
    pub(super) fn is_of(&self, contract: &ContractId) -> bool {
        self.made.get(contract).is_some_and(|made| made.has_ended)
    }

    /// The transfers that have.
    pub(super) fn all(&self) -> Vec<ContractId> {
        self.made.iter().filter(|(_, made)| made.has_ended).map(|(contract, _)| *contract).collect()
    }

    /// Whether a call, by its place, was made.
    pub(super) fn is_made(&self, contract: &ContractId, place: usize) -> bool {
        self.made.get(contract).is_some_and(|made| made.calls & bit(place) != 0)
    }

    /// A call was made, by its place.
    pub(super) fn make(&mut self, contract: ContractId, place: usize) {
        self.made.entry(contract).or_default().calls |= bit(place);
    }

    /// Calls of this transfer that are equal to this one and were asked for.
    pub(super) fn asked_for(&self, contract: &ContractId, call: &AppCall) -> usize {
        self.asked.values().filter(|(of, asked)| of == contract && asked == call).count()
    }

    /// Forgets what has no row, by whether this is true of it.
    pub(super) fn retain(&mut self, has_row: impl Fn(&ContractId) -> bool) {
        self.made.retain(|contract, _| has_row(contract));
    }

    /// Forgets which changes made calls, but for those of which this is true.
    pub(super) fn retain_asked(&mut self, is_known: impl Fn(ChangeId) -> bool) {
        self.asked.retain(|id, _| is_known(*id));
    }
}

/// The bit of a place: a transfer has at most eight calls of a kind.
fn bit(place: usize) -> u8 {
    u32::try_from(place).ok().and_then(|place| 1_u8.checked_shl(place)).unwrap_or(0)
}
