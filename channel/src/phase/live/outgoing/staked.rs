//! Own offers beside which the peer stakes something: they wait for the peer's pledge (R6.5d), and may be kept back once they have it (R8.5h).

use super::{OpenRound, Outgoing};
use crate::state::{Change, ChangeId, Offer};
use protocol::{BlockNumber, Party, Round};
use std::collections::BTreeSet;

/// What becomes of an own offer that waits for the peer's pledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PledgeUse {
    /// The last block of the pledge.
    pub(crate) until: BlockNumber,
    /// Whether the round is kept back once the peer has pledged for it.
    pub(crate) is_kept_back: bool,
}

impl Outgoing {
    /// An offer beside which the peer stakes something: it waits for the peer's pledge.
    pub(crate) fn enqueue_staked(&mut self, me: Party, offer: Offer, pledge: PledgeUse) {
        let waits = self.all().flat_map(|ours| ours.ids().iter()).chain(self.queue.iter().map(|(id, _)| *id));
        let waits: BTreeSet<_> = waits.collect();
        self.pledged_until.retain(|id, _| waits.contains(id));
        let _new = self.pledged_until.insert(self.next_change(), pledge);
        self.enqueue(me, Change::Offer(offer));
    }

    /// The change in front of the queue, where it is an offer beside which the peer stakes something, and what becomes of it with the peer's pledge.
    pub(crate) fn next_staked(&self) -> Option<(ChangeId, &Offer, PledgeUse)> {
        let (id, change) = self.queue.front()?;
        let (offer, _fee) = change.offered().filter(|(offer, _)| offer.premium > 0)?;
        Some((*id, offer, self.pledged_until.get(id).copied()?))
    }

    /// Takes offers out of the queue for which no pledge can come in time any more. Returns their ids.
    pub(crate) fn unqueue_unpledged(&mut self, me: Party, is_in_time: impl Fn(BlockNumber) -> bool) -> Vec<ChangeId> {
        let is_late = |(id, change): &(ChangeId, Change)| {
            let is_staked = change.offered().is_some_and(|(offer, _)| offer.premium > 0);
            is_staked && !self.pledged_until.get(id).is_some_and(|pledge| is_in_time(pledge.until))
        };
        let late: Vec<_> = self.queue.iter().filter(|change| is_late(change)).map(|(id, _)| *id).collect();
        self.remove_queued(me, &late.iter().copied().collect());
        late
    }

    /// What is kept back of these changes may be said: its round, where there is one. What still waits for its pledge is said as soon as that is here.
    pub(crate) fn release(&mut self, id: ChangeId) -> Option<Round> {
        if let Some(pledge) = self.pledged_until.get_mut(&id) {
            pledge.is_kept_back = false;
        }
        let ours = self.all_mut().find(|ours| ours.is_kept_back() && ours.ids().contains(id))?;
        ours.release();
        Some(ours.round())
    }

    /// What is kept back and will never be said is as if it had not been: the peer has no signature for it. Returns the changes that were in it.
    pub(crate) fn drop_kept_back(&mut self) -> Vec<ChangeId> {
        let mut gone: Vec<OpenRound> = self.proposal.take_if(|ours| ours.is_kept_back()).into_iter().collect();
        gone.extend(self.abandoned.extract_if(.., |ours| ours.is_kept_back()));
        self.forget_made();
        gone.iter().flat_map(|ours| ours.ids().iter()).collect()
    }
}
