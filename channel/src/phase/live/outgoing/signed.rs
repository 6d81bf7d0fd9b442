//! What the peer has signatures for in own rounds that are not dead: for a start, which knows nothing else of what was asked for.

use super::{OpenRound, Outgoing};
use crate::{
    state::{Change, ChangeId, State},
    transfer::{IncomingEnd, done::ended_by},
};
use protocol::contracts::ContractId;

impl Outgoing {
    /// The ends of conditional transfers in own rounds that are not dead, with their ids and contracts, and whether they are proposed.
    pub(crate) fn signed_ends(&self) -> Vec<(ChangeId, ContractId, bool)> {
        self.each_signed(|_id, change| ended_by(change).map(|(contract, _end)| contract))
    }

    /// Whether one of these rounds ends this transfer in another way than this.
    pub(crate) fn may_end_otherwise(&self, contract: &ContractId, end: IncomingEnd) -> bool {
        let is_other = |change: &Change| ended_by(change).is_some_and(|(id, how)| id == *contract && how != end);
        self.all().any(|ours| ours.numbered().any(|(_, change)| is_other(change)))
    }

    /// The changes in own rounds that are not dead of which this says something, with that, and whether they are proposed.
    pub(crate) fn signed_of<T>(&self, what: impl Fn(ChangeId) -> Option<T>) -> Vec<(ChangeId, T, bool)> {
        self.each_signed(|id, _change| what(id))
    }

    /// Whether the peer holds a signature for a round that makes this change, or for a state of which this is true, or the change waits for a round: one that was given
    /// up may have come back from a round that is dead.
    pub(crate) fn may_count(&self, change: Option<ChangeId>, is_such: impl Fn(&State) -> bool) -> bool {
        let waits = || change.is_some_and(|id| self.queue.iter().any(|(waiting, _)| *waiting == id));
        change.is_some_and(|id| self.is_signed(id)) || self.all().any(|ours| is_such(ours.state())) || waits()
    }

    /// The ids of what is proposed.
    pub(crate) fn proposed(&self) -> impl Iterator<Item = ChangeId> {
        self.proposal.iter().flat_map(|ours| ours.ids().iter())
    }

    /// What is proposed, and what waits for a round.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (ChangeId, &Change)> {
        let proposed = self.proposal.iter().flat_map(OpenRound::numbered);
        proposed.chain(self.queue.iter().map(|(id, change)| (*id, change)))
    }

    /// Whether the peer holds a signature for a round that makes this change, or goes on from one that has made it and that another one may take the place of.
    pub(crate) fn is_signed(&self, change: ChangeId) -> bool {
        self.all().any(|ours| ours.has(change))
    }

    /// Whether a change is agreed and another own round may take its place; or was, and a round may be agreed that goes on from it.
    pub(crate) fn is_undoable(&self, change: ChangeId) -> bool {
        let is_made = self.made_in.as_ref().is_some_and(|(_, changes)| changes.ids().contains(&change));
        is_made || self.all().any(|ours| ours.is_above(change))
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
