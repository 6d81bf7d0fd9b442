//! What the peer has signatures for in own rounds that are not dead: for a start, which knows nothing else of what was asked for.

use super::{OpenRound, Outgoing};
use crate::state::{AppCall, Change, ChangeId};
use protocol::contracts::ContractId;

impl Outgoing {
    /// The ends of conditional transfers in own rounds that are not dead, with their ids and contracts, and whether they are proposed.
    pub(crate) fn signed_ends(&self) -> Vec<(ChangeId, ContractId, bool)> {
        self.each_signed(|change| match change {
            Change::Claim { contract, .. } | Change::Fail { contract, .. } | Change::Refund { contract, .. } => {
                Some(*contract)
            }
            _ => None,
        })
    }

    /// The calls of apps without coins in own rounds that are not dead, with their ids, and whether they are proposed.
    pub(crate) fn signed_calls(&self) -> Vec<(ChangeId, AppCall, bool)> {
        self.each_signed(|change| match change {
            Change::CallContract { contract, value: 0, input } => {
                Some(AppCall { contract: *contract, input: input.clone() })
            }
            _ => None,
        })
    }

    fn each_signed<T>(&self, of: impl Fn(&Change) -> Option<T>) -> Vec<(ChangeId, T, bool)> {
        let proposal = self.proposal.as_ref().map(OpenRound::round);
        let mut signed = Vec::new();
        for ours in self.all() {
            let is_proposed = Some(ours.round()) == proposal;
            signed.extend(ours.numbered().filter_map(|(id, change)| Some((id, of(change)?, is_proposed))));
        }
        signed
    }
}
