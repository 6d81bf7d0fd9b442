//! What the peer has signatures for in own rounds that are not dead: for a start, which knows nothing else of what was asked for.

use super::{OpenRound, Outgoing};
use crate::state::{Change, ChangeId};
use protocol::contracts::ContractId;

impl Outgoing {
    /// The ends of conditional transfers in own rounds that are not dead, with their ids and contracts, and whether they are proposed.
    pub(crate) fn signed_ends(&self) -> Vec<(ChangeId, ContractId, bool)> {
        self.each_signed(|_id, change| match change {
            Change::Claim { contract, .. } | Change::Fail { contract, .. } | Change::Refund { contract, .. } => {
                Some(*contract)
            }
            _ => None,
        })
    }

    /// The changes in own rounds that are not dead of which this says something, with that, and whether they are proposed.
    pub(crate) fn signed_of<T>(&self, what: impl Fn(ChangeId) -> Option<T>) -> Vec<(ChangeId, T, bool)> {
        self.each_signed(|id, _change| what(id))
    }

    fn each_signed<T>(&self, of: impl Fn(ChangeId, &Change) -> Option<T>) -> Vec<(ChangeId, T, bool)> {
        let proposal = self.proposal.as_ref().map(OpenRound::round);
        let mut signed = Vec::new();
        for ours in self.all() {
            let is_proposed = Some(ours.round()) == proposal;
            signed.extend(ours.numbered().filter_map(|(id, change)| Some((id, of(id, change)?, is_proposed))));
        }
        signed
    }
}
