//! What goes out: own changes that wait, the own rounds that the peer may still make co-signed, and the ids by which the user knows its changes.
//!
//! ```text
//!   enqueue --> queue --propose--> proposal --(acknowledged)--> agreed
//!                 ^                   |
//!                 '--- requeue -------+-- a higher round is agreed: it is dead
//!                                     '-- a forced step goes on from another state: abandoned, until it is dead or expired
//! ```
//!
//! Invariants: at most one proposal and one counter-round (R6.1a) are open on the agreed state. Beside them stand abandoned rounds, few and only after forced
//! steps: the peer holds this side's signature on them, and the chain takes them until the step has stood for a lock period (R5.4b).

mod given_up;
mod made;
mod signed;
mod staked;

pub(crate) use staked::PledgeUse;

use super::open_round::OpenRound;
use crate::{
    effect::Effect,
    event::Event,
    message::{MAX_UPDATES_PER_ROUND, Message, Refusal, RefusalCode, Refused},
    state::{Change, ChangeId, Ids, Offer, OwnChanges, Payment, State, after},
};
use protocol::{Amount, Base, BlockNumber, Hash, Party, Round, call::ForcedCall};
use scale::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most abandoned rounds: a proposal and a counter-round on each of two states. Beyond it nothing is signed until one of them is dead (R6.2a).
const MAX_ABANDONED: usize = 4;

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Outgoing {
    /// Own changes, unanswered.
    proposal: Option<OpenRound>,
    /// The refusal of a round of the peer's, unanswered (R6.1a). It makes no changes.
    counter: Option<OpenRound>,
    /// Rounds that this side goes on without, and that the chain may still take.
    abandoned: Vec<OpenRound>,
    /// The highest round this side has ever signed (R6.2). Nothing at or below it is agreed to.
    signed: Round,
    /// The least id that no change ever had which was proposed, or of which a row is kept.
    first_unproposed: ChangeId,
    /// Changes that were agreed in one open round while another one holds them as well: told of already.
    made: Vec<ChangeId>,
    /// Changes that were told of as undone, and that an open round makes or has in its base, with what the user calls them, as far as that is known here.
    undone: BTreeMap<ChangeId, Vec<u8>>,
    /// The last own round that was agreed while others were abandoned, with its changes: another may yet take its place.
    made_in: Option<(Round, OwnChanges)>,
    /// The user's changes that it was told of as refused, in rounds that the peer may make all the same, as long as there are such: nothing else is done for them.
    given_up: BTreeSet<ChangeId>,
    /// Changes for the next round. They are not saved, since nobody was told that they are made: payments with a key come back from where those
    /// are kept (R6.3c), others are gone after a crash.
    #[codec(skip)]
    queue: VecDeque<(ChangeId, Change)>,
    #[codec(skip)]
    queued_amount: Amount,
    /// Until when the pledges for own offers last beside which the peer stakes something (R6.5d). Not saved either: what the peer has no signature for comes to
    /// nothing with a crash.
    #[codec(skip)]
    pledged_until: BTreeMap<ChangeId, PledgeUse>,
}

impl Outgoing {
    pub(crate) const fn new() -> Self {
        Self {
            proposal: None,
            counter: None,
            abandoned: Vec::new(),
            signed: 1,
            first_unproposed: ChangeId(1),
            made: Vec::new(),
            undone: BTreeMap::new(),
            made_in: None,
            queue: VecDeque::new(),
            queued_amount: 0,
            given_up: BTreeSet::new(),
            pledged_until: BTreeMap::new(),
        }
    }

    /// The highest round this side has ever signed.
    pub(crate) const fn signed(&self) -> Round {
        self.signed
    }

    pub(crate) fn note_signed(&mut self, round: Round) {
        self.signed = self.signed.max(round);
    }

    /// The id of the next change.
    pub(crate) fn next_change(&self) -> ChangeId {
        let last = self.queue.back().map(|(id, _)| after(*id, 1));
        last.unwrap_or(self.first_unproposed).max(self.first_unproposed)
    }

    /// Changes that wait for a round.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Changes that are neither agreed nor refused.
    pub(crate) fn pending(&self) -> usize {
        let proposed = self.proposal.as_ref().map_or(0, |proposal| proposal.update().changes.len());
        self.queue.len().saturating_add(proposed)
    }

    /// What the changes that wait take out of the own balance.
    pub(crate) const fn queued_amount(&self) -> Amount {
        self.queued_amount
    }

    /// Own changes that the peer has not answered.
    pub(crate) const fn proposal(&self) -> Option<&OpenRound> {
        self.proposal.as_ref()
    }

    /// The rounds that the peer has to answer, the lower one first.
    fn open(&self) -> impl Iterator<Item = &OpenRound> {
        self.proposal.iter().chain(&self.counter)
    }

    /// Every own round that the peer may still make co-signed.
    pub(crate) fn all(&self) -> impl Iterator<Item = &OpenRound> {
        self.open().chain(&self.abandoned)
    }

    /// Does this with the ids of what is proposed, and with the state after it.
    pub(crate) fn mark_proposed(&mut self, mark: impl FnOnce(&Ids, &mut State)) {
        if let Some(ours) = &mut self.proposal {
            ours.with_state(mark);
        }
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut OpenRound> {
        self.proposal.iter_mut().chain(&mut self.counter).chain(&mut self.abandoned)
    }

    /// The highest own round that the peer has to answer.
    pub(crate) fn highest_open(&self) -> Option<Round> {
        self.open().map(OpenRound::round).max()
    }

    /// The own round that an answer is owed to.
    pub(crate) fn unanswered(&self) -> Option<Round> {
        self.open().find(|ours| !ours.is_deferred() && !ours.is_kept_back()).map(OpenRound::round)
    }

    /// Whether an own counter-round is open: until it is answered no other is signed (R6.1a).
    pub(crate) const fn has_counter(&self) -> bool {
        self.counter.is_some()
    }

    /// Whether a round on this base may be signed beside what is open.
    pub(crate) fn may_sign_on(&self, base: Base) -> bool {
        self.abandoned.len() < MAX_ABANDONED && !self.abandoned.iter().any(|ours| ours.base() >= base)
    }

    /// Whether a call of the user's waits for the peer.
    pub(crate) fn calls_wait(&self, is_users: impl Fn(ChangeId) -> bool) -> bool {
        self.waiting().any(|(id, change)| is_call(change) && is_users(id) && !self.given_up.contains(&id))
    }

    /// An open round, or one that was abandoned.
    pub(crate) fn find(&self, round: Round) -> Option<&OpenRound> {
        self.all().find(|ours| ours.round() == round)
    }

    /// The same, where the peer has heard of it: its answer to what is kept back is none.
    pub(crate) fn find_said(&self, round: Round) -> Option<&OpenRound> {
        self.find(round).filter(|ours| !ours.is_kept_back())
    }

    pub(crate) fn enqueue(&mut self, me: Party, change: Change) {
        self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
        let id = self.next_change();
        self.queue.push_back((id, change));
    }

    /// Takes one change out of the queue, where it is there.
    pub(crate) fn unqueue_one(&mut self, me: Party, id: ChangeId) {
        self.remove_queued(me, &std::iter::once(id).collect());
    }

    /// Payments with a key that were on their way before a crash, in the order of their ids: those that are not proposed wait again.
    pub(crate) fn restore(&mut self, me: Party, pending: impl Iterator<Item = (ChangeId, Payment)>) {
        for (id, payment) in pending {
            if !self.proposal.as_ref().is_some_and(|ours| ours.ids().contains(id)) {
                let change = Change::Transfer(payment);
                self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
                self.queue.push_back((id, change));
            }
        }
    }

    /// Payments that are neither agreed nor refused, with their ids.
    pub(crate) fn waiting_payments(&self) -> impl Iterator<Item = (ChangeId, &Payment)> {
        let proposed = self.proposal.iter().flat_map(OpenRound::numbered);
        let waiting = self.queue.iter().map(|(id, change)| (*id, change));
        proposed.chain(waiting).filter_map(|(id, change)| match change {
            Change::Transfer(payment) => Some((id, payment)),
            _ => None,
        })
    }

    /// The first changes that wait, as many as a round may carry, up to one that waits for a pledge: that is alone in its round. Of offers with calls of apps a round has
    /// one: the peer's router hears of it with the round (R8.3g).
    pub(crate) fn next_changes(&self) -> impl Iterator<Item = &Change> {
        let changes = self.queue.iter().take(MAX_UPDATES_PER_ROUND).map(|(_, change)| change);
        let mut has_calls = false;
        changes.take_while(move |change| {
            let Some((offer, _fee)) = change.offered() else { return true };
            let is_second = has_calls && !offer.calls.is_none();
            has_calls |= !offer.calls.is_none();
            offer.premium == 0 && !is_second
        })
    }

    /// The proposal was signed: it is open from now on.
    pub(crate) fn set_proposal(&mut self, ours: OpenRound) {
        self.signed = self.signed.max(ours.round());
        self.proposal = Some(ours);
    }

    /// The counter-round was signed: it is open from now on.
    pub(crate) fn set_counter(&mut self, ours: OpenRound) {
        self.signed = self.signed.max(ours.round());
        self.counter = Some(ours);
    }

    /// Own changes that were told of as made while another open round holds them as well.
    pub(crate) fn made(&self) -> Vec<ChangeId> {
        self.made.clone()
    }

    /// Takes so many changes off the front of the queue.
    pub(crate) fn unqueue(&mut self, me: Party, count: usize) -> Vec<(ChangeId, Change)> {
        let count = count.min(self.queue.len());
        let changes: Vec<_> = self.queue.drain(..count).collect();
        let amount = changes.iter().map(|(_, change)| change.takes(me)).fold(0, Amount::saturating_add);
        self.queued_amount = self.queued_amount.saturating_sub(amount);
        if let Some((last, _)) = changes.last() {
            self.first_unproposed = self.first_unproposed.max(after(*last, 1));
        }
        changes
    }

    /// What waits is kept by a row of its own: its ids are given to nothing else, also after a crash.
    pub(crate) fn keep_ids(&mut self) {
        self.first_unproposed = self.next_change();
    }

    /// Puts changes back to the front of the queue, to be proposed again before what waits.
    fn requeue(&mut self, me: Party, changes: impl DoubleEndedIterator<Item = (ChangeId, Change)>) {
        for (id, change) in changes.rev().filter(|(id, _)| !self.is_told(*id)).collect::<Vec<_>>() {
            self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
            self.queue.push_front((id, change));
        }
    }

    /// Takes offers of conditional transfers out of the queue, those of which this is true. Returns their ids.
    pub(crate) fn unqueue_offers(&mut self, me: Party, which: impl Fn(&Offer) -> bool) -> Vec<ChangeId> {
        let is_one = |change: &Change| change.offered().is_some_and(|(offer, _)| which(offer));
        let ids: Vec<_> = self.queue.iter().filter(|(_, change)| is_one(change)).map(|(id, _)| *id).collect();
        if let Some(last) = ids.last() {
            self.first_unproposed = self.first_unproposed.max(after(*last, 1));
            self.remove_queued(me, &ids.iter().copied().collect());
        }
        ids
    }

    /// The changes that wait for a round and of which this is true.
    pub(crate) fn queued_that(&self, mut is_such: impl FnMut(ChangeId, &Change) -> bool) -> Vec<ChangeId> {
        self.queue.iter().filter(|(id, change)| is_such(*id, change)).map(|(id, _)| *id).collect()
    }

    /// Whether this change waits for a round.
    pub(crate) fn is_queued(&self, id: ChangeId) -> bool {
        self.queue.iter().any(|(waiting, _)| *waiting == id)
    }

    /// Whether this change is proposed.
    pub(crate) fn is_proposed(&self, id: ChangeId) -> bool {
        self.proposal.as_ref().is_some_and(|ours| ours.ids().contains(id))
    }

    /// Takes these changes out of the queue, wherever they stand.
    fn remove_queued(&mut self, me: Party, gone: &Ids) {
        // The queue is in the order of the ids.
        let Some(last) = gone.last() else { return };
        if self.queue.front().is_some_and(|(id, _)| *id <= last) {
            self.queue.retain(|(id, _)| !gone.contains(*id));
            self.queued_amount = self.queue.iter().map(|(_, change)| change.takes(me)).fold(0, Amount::saturating_add);
        }
    }

    /// A higher round is agreed: own rounds up to it are dead, and what they would have changed waits again.
    pub(crate) fn bury(&mut self, me: Party, round: Round) {
        self.abandoned.retain(|ours| ours.round() > round);
        let _dead = self.counter.take_if(|ours| ours.round() <= round);
        if let Some(ours) = self.proposal.take_if(|ours| ours.round() <= round) {
            self.requeue(me, ours.changes());
        }
        self.forget_made();
    }

    /// The chain will never take what goes on from a state below `floor` (R5.4b). Says whether anything was dropped.
    pub(crate) fn expire(&mut self, floor: Base) -> bool {
        let before = self.abandoned.len();
        self.abandoned.retain(|ours| ours.base() >= floor);
        self.forget_made();
        self.abandoned.len() < before
    }

    fn forget_made(&mut self) {
        self.forget_given_up();
        self.forget_undone();
        if self.abandoned.is_empty() && self.proposal.is_none() && self.counter.is_none() {
            self.made_in = None;
            self.made.clear();
        }
    }

    /// Goes on without the own open rounds that do not go on from `base`: what they would have changed waits again.
    pub(crate) fn abandon_below(&mut self, me: Party, base: Base) {
        let _abandoned = self.abandon(me, |ours| ours.base() < base);
        if let Some(ours) = self.counter.take_if(|ours| ours.base() < base) {
            self.abandoned.push(ours);
        }
    }

    /// Goes on without the proposal, though the peer holds its signature.
    fn abandon(&mut self, me: Party, which: impl Fn(&OpenRound) -> bool) -> Option<&OpenRound> {
        let ours = self.proposal.take_if(|ours| which(ours))?;
        // The peer has pledged for what is kept back, and has to be held to that: it is not offered in another round.
        if !ours.is_kept_back() {
            self.requeue(me, ours.clone().changes());
        }
        self.abandoned.push(ours);
        self.abandoned.last()
    }

    /// What was abandoned for a forced step that came to nothing, or because the peer would not answer, is an open proposal again. Says whether
    /// there was such a one.
    pub(crate) fn reclaim(&mut self, me: Party, base: Base) -> bool {
        if self.proposal.is_some() {
            return false;
        }
        let is_proposal = |ours: &OpenRound| ours.base() == base && ours.update().refuses.is_none();
        if let Some(at) = self.abandoned.iter().position(is_proposal) {
            let ours = self.abandoned.swap_remove(at);
            self.remove_queued(me, ours.ids());
            self.proposal = Some(ours.reopened());
            return true;
        }
        false
    }

    /// What the peer refused by a counter-round, now that both have signed it (R6.1a): what it lists is given up, or waits again where the
    /// reason may be gone; everything else waits again. `height` is the one that would be named now.
    pub(crate) fn take_refusal(&mut self, me: Party, refusal: &Refusal, height: BlockNumber) -> Vec<Event> {
        let Some(ours) = self.proposal.take_if(|ours| ours.round() == refusal.round) else { return Vec::new() };
        let (all, some) = match &refusal.items {
            Refused::All(code) => (Some(*code), BTreeMap::new()),
            Refused::Some(items) => (None, items.iter().copied().collect::<BTreeMap<_, _>>()),
        };
        let mut given_up: Vec<(RefusalCode, OwnChanges)> = Vec::new();
        let mut places = BTreeMap::new();
        let mut again = Vec::new();
        let has_moved = height > ours.update().height;
        for (place, (id, change)) in (0_u32..).zip(ours.changes()) {
            match all.or(some.get(&place).copied()) {
                Some(code) if code != RefusalCode::SUPERSEDED && !(code == RefusalCode::HEIGHT && has_moved) => {
                    if self.is_told(id) {
                        continue;
                    }
                    let at = *places.entry(code.0).or_insert(given_up.len());
                    match given_up.get_mut(at) {
                        Some((_, changes)) => changes.push(id, change.reference()),
                        None => given_up.push((code, [(id, change.reference())].into_iter().collect())),
                    }
                }
                _ => again.push((id, change)),
            }
        }
        self.requeue(me, again.into_iter());
        given_up.into_iter().map(|(code, payments)| Event::Refused { payments, code }).collect()
    }

    /// The peer does not answer this round now. Says how often it has said so, where the round is open.
    pub(crate) fn postpone(&mut self, round: Round) -> Option<u8> {
        let ours = self.proposal.iter_mut().chain(&mut self.counter).find(|ours| ours.round() == round)?;
        Some(ours.postpone())
    }

    /// While a close is under way no answer is owed.
    pub(crate) fn defer_answers(&mut self) {
        for ours in self.proposal.iter_mut().chain(&mut self.counter) {
            ours.defer();
        }
    }

    /// Says again what the peer did not answer: everything, or only what was put off.
    pub(crate) fn say_again(&mut self, only_deferred: bool) -> Vec<Effect> {
        let is_said = |ours: &&mut OpenRound| !ours.is_kept_back() && (ours.is_deferred() || !only_deferred);
        let open = self.proposal.iter_mut().chain(&mut self.counter).filter(is_said);
        open.map(|ours| Effect::Send(Message::Update(ours.say()))).collect()
    }

    /// Everything that waits is given up, and the proposal with it.
    pub(crate) fn drop_all(&mut self) -> OwnChanges {
        let next = self.next_change();
        let proposed: Vec<_> = self.proposal.take().into_iter().flat_map(OpenRound::changes).collect();
        let waiting = std::mem::take(&mut self.queue);
        let all = proposed.iter().chain(&waiting).map(|(id, change)| (*id, change.reference()));
        let dropped = all.filter(|(id, _)| !self.is_told(*id)).collect();
        (self.first_unproposed, self.queued_amount) = (next, 0);
        self.forget_made();
        dropped
    }

    /// Takes the user's first calls in a row that wait, as many as `fits` allows, for a forced step: the proposal is abandoned for it, and what stands
    /// before the calls is given up.
    pub(crate) fn take_calls(
        &mut self,
        me: Party,
        is_users: impl Fn(ChangeId) -> bool,
        mut fits: impl FnMut(&Change) -> bool,
    ) -> (OwnChanges, Vec<(ChangeId, ForcedCall)>) {
        let _abandoned = self.abandon(me, |_| true);
        let is_taken = |(id, change): &(ChangeId, Change)| is_call(change) && is_users(*id);
        let before = self.queue.iter().take_while(|waiting| !is_taken(waiting)).count();
        let given_up: OwnChanges = self.unqueue(me, before).iter().collect();
        self.give_up(&given_up, &is_users);
        let count = self.queue.iter().take_while(|waiting| is_taken(waiting) && fits(&waiting.1)).count();
        let call = |(id, change)| match change {
            Change::CallContract { contract, value, input } => Some((id, ForcedCall { contract, value, input })),
            _ => None,
        };
        (given_up, self.unqueue(me, count).into_iter().filter_map(call).collect())
    }

    /// Calls that were to be forced wait again, before everything else.
    pub(crate) fn return_calls(&mut self, me: Party, calls: impl DoubleEndedIterator<Item = (ChangeId, ForcedCall)>) {
        let change =
            |(id, ForcedCall { contract, value, input })| (id, Change::CallContract { contract, value, input });
        self.requeue(me, calls.map(change));
    }

    /// Takes an own round out that both have signed.
    pub(crate) fn take(&mut self, round: Round, hash: &Hash) -> Option<OpenRound> {
        if let Some(ours) = self.proposal.take_if(|ours| ours.is(round, hash)) {
            return Some(ours);
        }
        if let Some(ours) = self.counter.take_if(|ours| ours.is(round, hash)) {
            return Some(ours);
        }
        let at = self.abandoned.iter().position(|ours| ours.is(round, hash))?;
        Some(self.abandoned.swap_remove(at))
    }
}

const fn is_call(change: &Change) -> bool {
    matches!(change, Change::CallContract { .. })
}
