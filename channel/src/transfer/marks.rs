//! Which calls of apps that go with transfers were made by forced steps on the way to a state (R8.3g). Each state has its own marks: a state that takes the place of
//! forced steps has none of those that they have left.

use crate::state::AppCall;
use protocol::contracts::ContractId;
use scale::{Decode, Encode};
use std::collections::BTreeMap;

/// A call, with its place among those of its kind.
pub(crate) type PlacedCall = (u8, AppCall);
/// A call of the transfer with this contract, by its place.
pub(crate) type LeftCall = (ContractId, u8);

/// The calls that go with one of the two ways in which a transfer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// With a claim: the payee's.
    Claim,
    /// With a failure or a refund: the payer's.
    Return,
}

/// What is known of the calls of one transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Marks {
    /// Whether a forced step has ended the transfer for this side: what was not made by then is left.
    has_ended: bool,
    /// A bit for each call that claims and that was made, or that there is no need for.
    claiming: u8,
    /// The same of those that return.
    returning: u8,
}

/// What is known of the calls of transfers, by their contracts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct CallMarks(BTreeMap<ContractId, Marks>);

impl CallMarks {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a forced step has ended this transfer for this side.
    pub(crate) fn has_ended(&self, contract: &ContractId) -> bool {
        self.0.get(contract).is_some_and(|marks| marks.has_ended)
    }

    /// The transfers of which that is so.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &ContractId> {
        self.0.iter().filter(|(_, marks)| marks.has_ended).map(|(contract, _)| contract)
    }

    /// A forced step has ended this transfer for this side.
    pub(crate) fn end(&mut self, contract: ContractId) {
        self.0.entry(contract).or_default().has_ended = true;
    }

    /// Whether a call, by its place, was made.
    pub(crate) fn is_made(&self, contract: &ContractId, kind: EndKind, place: usize) -> bool {
        let made = self.0.get(contract).map_or(0, |marks| match kind {
            EndKind::Claim => marks.claiming,
            EndKind::Return => marks.returning,
        });
        made & bit(place) != 0
    }

    /// A call was made, by its place.
    pub(crate) fn make(&mut self, contract: ContractId, kind: EndKind, place: usize) {
        let marks = self.0.entry(contract).or_default();
        match kind {
            EndKind::Claim => marks.claiming |= bit(place),
            EndKind::Return => marks.returning |= bit(place),
        }
    }

    /// Forgets transfers, but for those of which this is true.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&ContractId) -> bool) {
        self.0.retain(|contract, _| is_known(contract));
    }
}

/// The bit of a place: a transfer has at most eight calls of a kind.
fn bit(place: usize) -> u8 {
    u32::try_from(place).ok().and_then(|place| 1_u8.checked_shl(place)).unwrap_or(0)
}
