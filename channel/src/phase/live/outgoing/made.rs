//! Own changes that are agreed, and of whose round another own one, or a forced step, may take the place (R6.2a).

use super::{OpenRound, Outgoing};
use crate::state::OwnChanges;
use protocol::{Party, Round};

impl Outgoing {
    /// The changes of an own round that is agreed, and of its base, that were not told of before, or were told of as undone. Those that wait once more do not any more, and those of
    /// another round that it takes the place of, and that neither it nor its base has, are undone.
    pub(crate) fn account_for(&mut self, me: Party, ours: &OpenRound, agreed: Round) -> (OwnChanges, OwnChanges) {
        let replaced = self.made_in.take().filter(|(round, _)| *round == agreed && ours.base().agreed < *round);
        let undone = replaced.map(|(_, changes)| changes.only(|id| !ours.has(id))).unwrap_or_default();
        self.made.retain(|id| !undone.ids().contains(id));
        let mut new = ours.own_changes();
        if !self.made.is_empty() {
            new = new.only(|id| !self.made.contains(&id));
        }
        if !self.undone.is_empty() {
            new = ours.with_below(&new, |id| self.undone.get(&id).map(Vec::as_slice));
            self.undone.retain(|id, _| !ours.has(*id));
        }
        self.note_undone(&undone);
        self.remove_queued(me, ours.ids());
        self.note_made(ours);
        if self.proposal.is_some() || self.counter.is_some() || !self.abandoned.is_empty() {
            self.made.extend(new.ids());
            self.made_in = Some((ours.round(), ours.own_changes()));
        }
        (new, undone)
    }

    /// These changes were told of as undone: they are told of again where a round is agreed that makes them, or has them in its base.
    pub(crate) fn note_undone(&mut self, undone: &OwnChanges) {
        if !undone.is_empty() {
            self.made.retain(|id| !undone.ids().contains(id));
            self.undone.extend(undone.iter().map(|own| (own.id, own.reference.to_vec())));
            self.forget_undone();
        }
    }

    pub(super) fn forget_undone(&mut self) {
        if !self.undone.is_empty() {
            let undone = std::mem::take(&mut self.undone);
            self.undone = undone.into_iter().filter(|(id, _)| self.is_signed(*id)).collect();
        }
    }
}
