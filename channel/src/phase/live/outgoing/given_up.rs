//! Changes that the user was told of as refused, and that the peer may make all the same (R6.1).

use super::{OpenRound, Outgoing};
use crate::state::{ChangeId, OwnChanges};
use protocol::Party;
use std::collections::BTreeSet;

impl Outgoing {
    /// Goes on without a proposal that the peer will not answer: its changes are given up.
    pub(crate) fn give_up_proposal(&mut self, me: Party, is_users: impl Fn(ChangeId) -> bool) -> OwnChanges {
        let Some(ours) = self.abandon(me, |_| true) else { return OwnChanges::default() };
        let (ids, all) = (ours.ids().clone(), ours.own_changes());
        // What was told of already is not told of again.
        let changes = all.only(|id| !self.is_told(id));
        self.remove_queued(me, &ids);
        self.given_up.extend(ids.iter().filter(|id| is_users(*id)));
        changes
    }

    /// Changes that were taken out of the queue are given up: those that the peer holds a signature for may still appear.
    pub(super) fn give_up(&mut self, changes: &OwnChanges, is_users: impl Fn(ChangeId) -> bool) {
        let signed: Vec<_> = changes.ids().iter().copied().filter(|id| is_users(*id) && self.is_signed(*id)).collect();
        self.given_up.extend(signed);
    }

    /// Changes that were to be forced are given up.
    pub(crate) fn give_up_forced(&mut self, changes: &[ChangeId]) {
        let signed: Vec<_> = changes.iter().copied().filter(|id| self.is_signed(*id)).collect();
        self.given_up.extend(signed);
    }

    /// Forgets changes that no round holds any more which the peer may make.
    pub(super) fn forget_given_up(&mut self) {
        if !self.given_up.is_empty() {
            let signed: BTreeSet<_> = self.all().flat_map(|ours| ours.ids().iter()).collect();
            self.given_up.retain(|id| signed.contains(id));
        }
    }

    /// Forgets changes that are made.
    pub(super) fn note_made(&mut self, ours: &OpenRound) {
        self.given_up.retain(|id| !ours.ids().contains(*id));
    }

    /// Whether this change was told of as made, or as refused: nothing else is told of it, or done for it.
    pub(super) fn is_told(&self, id: ChangeId) -> bool {
        self.made.contains(&id) || self.given_up.contains(&id)
    }
}
