//! What the peer has signatures for in own rounds that are not dead: for a start, which knows nothing else of what was asked for.

use super::{OpenRound, Outgoing};
use crate::state::{AppCall, Change, ChangeId};
use protocol::contracts::ContractId;

impl Outgoing {
    /// The ends of conditional transfers in own rounds that are not dead, with their ids and contracts, and whether they are proposed.
    pub(crate) fn signed_ends(&self) -> Vec<(ChangeId, ContractId, bool)> {
        let proposal = self.proposal.as_ref().map(OpenRound::round);
        let ends = self.all().flat_map(|ours| {
            let is_proposed = Some(ours.round()) == proposal;
            ours.numbered().filter_map(move |(id, change)| match change {
                Change::Claim { contract, .. } | Change::Fail { contract, .. } | Change::Refund { contract, .. } => {
                    Some((id, *contract, is_proposed))
                }
                _ => None,
            })
        });
        ends.collect()
    }

    /// The calls of apps without coins in own rounds that are not dead, with their ids, and whether they are proposed.
    pub(crate) fn signed_calls(&self) -> Vec<(ChangeId, AppCall, bool)> {
        let proposal = self.proposal.as_ref().map(OpenRound::round);
        let calls = self.all().flat_map(|ours| {
            let is_proposed = Some(ours.round()) == proposal;
            ours.numbered().filter_map(move |(id, change)| match change {
                Change::CallContract { contract, value: 0, input } => {
                    Some((id, AppCall { contract: *contract, input: input.clone() }, is_proposed))
                }
                _ => None,
            })
        });
        calls.collect()
    }
}
