//! What goes out: own changes that wait, the own rounds that the peer may still make co-signed, and the ids by which the user knows its changes.
//!
//! ```text
//!   enqueue --> queue --propose--> proposal --(acknowledged)--> agreed
//!                 ^                   |
//!                 '--- requeue -------+-- a higher round is agreed: it is dead
//!                                     '-- a forced step goes on from another state: abandoned, until it is dead or expired
//! ```
//!
//! At most one proposal and one counter-round (R6.1a) are open on the agreed state. Beside them stand abandoned rounds, few and only after forced
//! steps: the peer holds this side's signature on them, and the chain takes them until the step has stood for a lock period (R5.4b).

use super::live::{Live, Own, Posted};
use crate::{
    config::Config,
    effect::{Effect, Event},
    input::Context,
    machine::Step,
    message::{MAX_UPDATES_PER_ROUND, Message, Refusal, RefusalCode, Refused, Update},
    rounds::{first_above, next_round},
    state::{Change, ChangeId, Draft, OwnChanges, Payment, Results, State, performed},
};
use protocol::{
    Amount, Base, BlockNumber, Hash, Pair, Party, Round,
    call::ForcedCall,
    signing::{Domain, signed_bytes},
};
use scale::{Decode, Encode};
use std::collections::{BTreeMap, VecDeque};

/// The most abandoned rounds: a proposal and a counter-round on each of two states. Beyond it nothing is signed until one of them is dead (R6.2a).
const MAX_ABANDONED: usize = 4;

/// Ids of a round's changes in the order of the changes, as runs of consecutive ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Ids(Vec<(ChangeId, u32)>);

impl Ids {
    fn push(&mut self, id: ChangeId) {
        match self.0.last_mut() {
            Some((first, count)) if after(*first, *count) == id && *count < u32::MAX => {
                *count = count.saturating_add(1)
            }
            _ => self.0.push((id, 1)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ChangeId> {
        self.0.iter().flat_map(|(ChangeId(first), count)| (*first..).take(to_usize(*count)).map(ChangeId))
    }

    pub(crate) fn contains(&self, id: ChangeId) -> bool {
        self.0.iter().any(|(first, count)| (*first..after(*first, *count)).contains(&id))
    }

    /// The highest one: they ascend.
    fn last(&self) -> Option<ChangeId> {
        self.0.last().map(|(first, count)| after(*first, count.saturating_sub(1)))
    }

    /// The id of the change at this place.
    fn at(&self, place: u32) -> Option<ChangeId> {
        let mut left = place;
        for (first, count) in &self.0 {
            match left.checked_sub(*count) {
                Some(beyond) => left = beyond,
                None => return Some(after(*first, left)),
            }
        }
        None
    }
}

impl FromIterator<ChangeId> for Ids {
    fn from_iter<I: IntoIterator<Item = ChangeId>>(iter: I) -> Self {
        let mut ids = Self::default();
        iter.into_iter().for_each(|id| ids.push(id));
        ids
    }
}

fn after(ChangeId(first): ChangeId, count: u32) -> ChangeId {
    ChangeId(first.saturating_add(u64::from(count)))
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// An own round that is signed and not dead: the peer may make it co-signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct OpenRound {
    pub(crate) update: Update,
    pub(crate) state: State,
    results: Results,
    ids: Ids,
    /// The peer does not answer it now: it is said again when that may have changed.
    #[codec(skip)]
    put_off: bool,
    /// How often the peer said so.
    #[codec(skip)]
    postponed: u8,
}

impl OpenRound {
    pub(crate) const fn round(&self) -> Round {
        self.update.round
    }

    /// The height that counts once it is agreed, on top of `agreed` (R7.3).
    fn height_after(&self, agreed: BlockNumber) -> BlockNumber {
        let executes = self.update.changes.iter().any(Change::executes);
        if executes { agreed.max(self.update.height) } else { agreed }
    }

    /// Its changes as the user knows them.
    fn own_changes(&self) -> OwnChanges {
        self.ids.iter().zip(self.update.changes.iter().map(Change::reference)).collect()
    }

    /// Its changes with their ids, in the order in which they are made.
    fn changes(self) -> impl DoubleEndedIterator<Item = (ChangeId, Change)> {
        self.ids.iter().collect::<Vec<_>>().into_iter().zip(self.update.changes)
    }

    fn is(&self, round: Round, hash: &Hash) -> bool {
        self.update.round == round && self.update.state_hash == *hash
    }
}

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
    /// The least id that no proposed change ever had.
    first_unproposed: ChangeId,
    /// Changes that were agreed in one open round while another one holds them as well: told of already.
    made: Vec<ChangeId>,
    /// The last own round that was agreed while others were abandoned, with its changes: another may yet take its place.
    made_in: Option<(Round, OwnChanges)>,
    /// Changes for the next round. They are not saved, since nobody was told that they are made: payments with a key come back from where those
    /// are kept (R6.3c), others are gone after a crash.
    #[codec(skip)]
    queue: VecDeque<(ChangeId, Change)>,
    #[codec(skip)]
    queued_amount: Amount,
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
            made_in: None,
            queue: VecDeque::new(),
            queued_amount: 0,
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
        let proposed = self.proposal.as_ref().map_or(0, |proposal| proposal.update.changes.len());
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

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut OpenRound> {
        self.proposal.iter_mut().chain(&mut self.counter).chain(&mut self.abandoned)
    }

    /// The highest own round that the peer has to answer.
    pub(crate) fn highest_open(&self) -> Option<Round> {
        self.open().map(OpenRound::round).max()
    }

    /// The own round that an answer is owed to.
    pub(crate) fn unanswered(&self) -> Option<Round> {
        self.open().find(|ours| !ours.put_off).map(OpenRound::round)
    }

    /// Whether an own counter-round is open: until it is answered no other is signed (R6.1a).
    pub(crate) const fn has_counter(&self) -> bool {
        self.counter.is_some()
    }

    /// Whether a round on this base may be signed beside what is open.
    pub(crate) fn may_sign_on(&self, base: Base) -> bool {
        self.abandoned.len() < MAX_ABANDONED && !self.abandoned.iter().any(|ours| ours.update.base >= base)
    }

    /// An own call of a contract that waits for the peer.
    pub(crate) fn calls_wait(&self) -> bool {
        let proposed = self.proposal.iter().flat_map(|ours| &ours.update.changes);
        proposed.chain(self.queue.iter().map(|(_, change)| change)).any(is_call)
    }

    /// An open round, or one that was abandoned.
    pub(crate) fn find(&self, round: Round) -> Option<&OpenRound> {
        self.all().find(|ours| ours.round() == round)
    }

    pub(crate) fn enqueue(&mut self, me: Party, change: Change) {
        self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
        let id = self.next_change();
        self.queue.push_back((id, change));
    }

    /// Payments with a key that were on their way before a crash, in the order of their ids: those that are not proposed wait again.
    pub(crate) fn restore(&mut self, me: Party, pending: impl Iterator<Item = (ChangeId, Payment)>) {
        for (id, payment) in pending {
            if !self.proposal.as_ref().is_some_and(|ours| ours.ids.contains(id)) {
                let change = Change::Transfer(payment);
                self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
                self.queue.push_back((id, change));
            }
        }
    }

    /// Payments that are neither agreed nor refused, with their ids.
    pub(crate) fn waiting_payments(&self) -> impl Iterator<Item = (ChangeId, &Payment)> {
        let proposed = self.proposal.iter().flat_map(|ours| ours.ids.iter().zip(&ours.update.changes));
        let waiting = self.queue.iter().map(|(id, change)| (*id, change));
        proposed.chain(waiting).filter_map(|(id, change)| match change {
            Change::Transfer(payment) => Some((id, payment)),
            _ => None,
        })
    }

    /// Takes so many changes off the front of the queue.
    fn unqueue(&mut self, me: Party, count: usize) -> Vec<(ChangeId, Change)> {
        let count = count.min(self.queue.len());
        let changes: Vec<_> = self.queue.drain(..count).collect();
        let amount = changes.iter().map(|(_, change)| change.takes(me)).fold(0, Amount::saturating_add);
        self.queued_amount = self.queued_amount.saturating_sub(amount);
        if let Some((last, _)) = changes.last() {
            self.first_unproposed = self.first_unproposed.max(after(*last, 1));
        }
        changes
    }

    /// Puts changes back to the front of the queue, to be proposed again before what waits.
    fn requeue(&mut self, me: Party, changes: impl DoubleEndedIterator<Item = (ChangeId, Change)>) {
        for (id, change) in changes.rev().filter(|(id, _)| !self.made.contains(id)).collect::<Vec<_>>() {
            self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
            self.queue.push_front((id, change));
        }
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
        self.abandoned.retain(|ours| ours.update.base >= floor);
        self.forget_made();
        self.abandoned.len() < before
    }

    fn forget_made(&mut self) {
        if self.abandoned.is_empty() && self.proposal.is_none() && self.counter.is_none() {
            self.made_in = None;
            self.made.clear();
        }
    }

    /// Goes on without the own open rounds that do not go on from `base`: what they would have changed waits again.
    pub(crate) fn abandon_below(&mut self, me: Party, base: Base) {
        let _abandoned = self.abandon(me, |ours| ours.update.base < base);
        if let Some(ours) = self.counter.take_if(|ours| ours.update.base < base) {
            self.abandoned.push(ours);
        }
    }

    /// Goes on without the proposal, though the peer holds its signature.
    fn abandon(&mut self, me: Party, which: impl Fn(&OpenRound) -> bool) -> Option<&OpenRound> {
        let ours = self.proposal.take_if(|ours| which(ours))?;
        self.requeue(me, ours.clone().changes());
        self.abandoned.push(ours);
        self.abandoned.last()
    }

    /// Goes on without a proposal that the peer will not answer: its changes are given up.
    pub(crate) fn give_up_proposal(&mut self, me: Party) -> OwnChanges {
        let Some(ours) = self.abandon(me, |_| true) else { return OwnChanges::default() };
        let (ids, changes) = (ours.ids.clone(), ours.own_changes());
        self.remove_queued(me, &ids);
        changes
    }

    /// What was abandoned for a forced step that came to nothing, or because the peer would not answer, is an open proposal again. Says whether
    /// there was such a one.
    pub(crate) fn reclaim(&mut self, me: Party, base: Base) -> bool {
        if self.proposal.is_some() {
            return false;
        }
        let is_proposal = |ours: &OpenRound| ours.update.base == base && ours.update.refuses.is_none();
        if let Some(at) = self.abandoned.iter().position(is_proposal) {
            let ours = self.abandoned.swap_remove(at);
            self.remove_queued(me, &ours.ids);
            self.proposal = Some(OpenRound { put_off: true, postponed: 0, ..ours });
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
        let has_moved = height > ours.update.height;
        for (place, (id, change)) in (0_u32..).zip(ours.changes()) {
            match all.or(some.get(&place).copied()) {
                Some(code) if code != RefusalCode::OVERTAKEN && !(code == RefusalCode::HEIGHT && has_moved) => {
                    if self.made.contains(&id) {
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
        ours.put_off = true;
        ours.postponed = ours.postponed.saturating_add(1);
        Some(ours.postponed)
    }

    /// While a close is under way no answer is owed.
    pub(crate) fn put_off(&mut self) {
        for ours in self.proposal.iter_mut().chain(&mut self.counter) {
            ours.put_off = true;
        }
    }

    /// Says again what the peer did not answer: everything, or only what was put off.
    pub(crate) fn say_again(&mut self, only_put_off: bool) -> Vec<Effect> {
        let open = self.proposal.iter_mut().chain(&mut self.counter).filter(|ours| ours.put_off || !only_put_off);
        let say = |ours: &mut OpenRound| {
            ours.put_off = false;
            Effect::Send(Message::Update(ours.update.clone()))
        };
        open.map(say).collect()
    }

    /// Everything that waits is given up, and the proposal with it.
    pub(crate) fn drop_all(&mut self) -> OwnChanges {
        let next = self.next_change();
        let proposed: Vec<_> = self.proposal.take().into_iter().flat_map(OpenRound::changes).collect();
        let waiting = std::mem::take(&mut self.queue);
        let all = proposed.iter().chain(&waiting).map(|(id, change)| (*id, change.reference()));
        let dropped = all.filter(|(id, _)| !self.made.contains(id)).collect();
        (self.first_unproposed, self.queued_amount) = (next, 0);
        dropped
    }

    /// Takes the first calls in a row that wait, as many as `fits` allows, for a forced step: the proposal is abandoned for it, and what stands
    /// before the calls is given up.
    pub(crate) fn take_calls(
        &mut self,
        me: Party,
        mut fits: impl FnMut(&Change) -> bool,
    ) -> (OwnChanges, Vec<(ChangeId, ForcedCall)>) {
        let _abandoned = self.abandon(me, |_| true);
        let before = self.queue.iter().take_while(|(_, change)| !is_call(change)).count();
        let given_up = self.unqueue(me, before).iter().collect();
        let count = self.queue.iter().take_while(|(_, change)| is_call(change) && fits(change)).count();
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

    /// Whether the peer holds a signature for a change that this side gives up: then it may still appear.
    pub(crate) fn may_appear(&self, id: ChangeId) -> bool {
        self.abandoned.iter().any(|ours| ours.ids.contains(id))
    }

    /// Takes an own round out that both have signed.
    fn take(&mut self, round: Round, hash: &Hash) -> Option<OpenRound> {
        if let Some(ours) = self.proposal.take_if(|ours| ours.is(round, hash)) {
            return Some(ours);
        }
        if let Some(ours) = self.counter.take_if(|ours| ours.is(round, hash)) {
            return Some(ours);
        }
        let at = self.abandoned.iter().position(|ours| ours.is(round, hash))?;
        Some(self.abandoned.swap_remove(at))
    }

    /// The changes of an own round that is agreed and that were not told of before. Those that wait once more do not any more, and those of
    /// another round that it takes the place of without making them are undone.
    fn account_for(&mut self, me: Party, ours: &OpenRound, agreed: Round) -> (OwnChanges, OwnChanges) {
        let replaced = self.made_in.take().filter(|(round, _)| *round == agreed && ours.update.base.agreed < *round);
        let undone = replaced.map(|(_, changes)| changes.only(|id| !ours.ids.contains(id))).unwrap_or_default();
        let mut new = ours.own_changes();
        if !self.made.is_empty() {
            new = new.only(|id| !self.made.contains(&id));
        }
        self.made.retain(|id| !undone.ids().contains(id));
        self.remove_queued(me, &ours.ids);
        if self.proposal.is_some() || self.counter.is_some() || !self.abandoned.is_empty() {
            self.made.extend(new.ids());
            self.made_in = Some((ours.round(), ours.own_changes()));
        }
        (new, undone)
    }
}

const fn is_call(change: &Change) -> bool {
    matches!(change, Change::CallContract { .. })
}

impl Live {
    /// The next round of one's own, where rounds have not run out.
    pub(crate) fn next_round(&self, me: Party) -> Option<Round> {
        let forced_by = self.agreed.forced.map(|forced| forced.by);
        next_round(me, self.agreed.round, forced_by, self.out.signed().max(self.operating.asked_up_to))
    }

    /// Proposes the next round with what waits (R6.3), if something does and nothing is unanswered. What cannot be made on the agreed state is
    /// given up.
    pub(crate) fn propose(&mut self, me: Party, config: &Config, domain: &Domain, ctx: &Context<'_>) -> Step {
        let base = self.agreed.base();
        if self.out.highest_open().is_some() || self.out.queue.is_empty() || !self.out.may_sign_on(base) {
            return Step::default();
        }
        let Some(round) = self.next_round(me) else { return Step::default() };
        let height = ctx.head.max(self.agreed.height);
        let mut step = Step::default();
        loop {
            if self.out.queue.is_empty() {
                return step;
            }
            let mut draft = Draft::new(self.place(me, round, height, config, ctx), &self.agreed.state);
            let mut count: usize = 0;
            let mut fault = None;
            for (_, change) in self.out.queue.iter().take(MAX_UPDATES_PER_ROUND) {
                if let Err(why) = draft.make(change) {
                    fault = Some(why);
                    break;
                }
                count = count.saturating_add(1);
            }
            let (changes, state, results) = match (count, fault, draft.finish()) {
                (1.., _, Ok((state, results))) => (self.out.unqueue(me, count), state, results),
                // The first one cannot be made: the peer's rounds or the clock have overtaken it.
                (_, fault, finished) => {
                    let Some(fault) = fault.or(finished.err()) else { return step };
                    let changes = self.out.unqueue(me, 1).iter().collect();
                    step = step.and(Step::commit(vec![Effect::Notify(Event::Failed { changes, fault })]));
                    continue;
                }
            };
            let (ids, changes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
            let place = (round, base, height);
            let ours = self.sign_round(place, None, changes, (state, results, ids), (domain, ctx));
            let say = Effect::Send(Message::Update(ours.update.clone()));
            self.out.proposal = Some(ours);
            return step.and(Step::commit(vec![say]));
        }
    }

    /// Refuses a round of the peer's by a counter-round above it (R6.1a). None where nothing may be signed now.
    pub(crate) fn counter(
        &mut self,
        me: Party,
        refusal: Refusal,
        config: &Config,
        domain: &Domain,
        ctx: &Context<'_>,
    ) -> Option<Effect> {
        let base = self.agreed.base();
        if self.out.has_counter() || self.operating.is_bound() || !self.out.may_sign_on(base) {
            return None;
        }
        let highest = refusal.round.max(self.agreed.round).max(self.out.signed()).max(self.operating.asked_up_to);
        let round = first_above(me, highest)?;
        let draft = Draft::new(self.place(me, round, self.agreed.height, config, ctx), &self.agreed.state);
        let (state, results) = draft.finish().ok()?;
        let place = (round, base, self.agreed.height);
        let ours = self.sign_round(place, Some(refusal), Vec::new(), (state, results, Vec::new()), (domain, ctx));
        let say = Effect::Send(Message::Update(ours.update.clone()));
        self.out.counter = Some(ours);
        Some(say)
    }

    fn sign_round(
        &mut self,
        (round, base, height): (Round, Base, BlockNumber),
        refuses: Option<Refusal>,
        changes: Vec<Change>,
        (state, results, ids): (State, Results, Vec<ChangeId>),
        (domain, ctx): (&Domain, &Context<'_>),
    ) -> OpenRound {
        let state_hash = state.hash();
        let body = self.body(round, base, state_hash);
        let signature = ctx.key.sign(&signed_bytes(domain, &self.funding.channel, &body));
        self.out.note_signed(round);
        let update = Update { round, base, height, refuses, changes, state_hash, signature };
        OpenRound { update, state, results, ids: ids.into_iter().collect(), put_off: false, postponed: 0 }
    }

    /// A round of ours that the chain has: the peer made it co-signed, and answered nobody but the arbiter. None where the chain tells of
    /// nothing new; otherwise the state is the agreed one from now on, and what is told of its changes.
    pub(crate) fn adopt_from_chain(&mut self, posted: &Posted, me: Party) -> Option<Vec<Event>> {
        let Posted { at: Base { agreed: round, steps: 0 }, state_hash } = *posted else { return None };
        self.adopt_own(Own { round, state_hash, signatures: None }, me)
    }

    /// Adopts a round of ours that both have signed, answered or not. None where this side does not know it.
    pub(crate) fn adopt_own(&mut self, own: Own, me: Party) -> Option<Vec<Event>> {
        let Own { round, state_hash, signatures } = own;
        let mut ours = self.out.take(round, &state_hash)?;
        let base = ours.update.base;
        let mut told: Vec<_> = self.replaced(round, base).into_iter().collect();
        let told_of = self.out.made.clone();
        let (new, undone) = self.out.account_for(me, &ours, self.agreed.round);
        if !undone.is_empty() {
            told.push(Event::Undone { changes: undone, round });
        }
        let results = std::mem::take(&mut ours.results);
        let state = std::mem::replace(&mut ours.state, State::of(Pair::default()));
        self.adopt(me, (round, base), state, state_hash, signatures);
        self.agreed.height = ours.height_after(self.agreed.height);
        self.agreed.made = ours.ids.clone();
        self.stop_forcing(&ours.ids, me);
        let id = |place| ours.ids.at(place).filter(|id| !told_of.contains(id));
        let performed = performed(me, results, id);
        told.extend((!performed.is_empty()).then_some(Event::Executed { round, forced: false, performed }));
        told.extend((!new.is_empty()).then_some(Event::Paid { payments: new, round }));
        Some(told)
    }

    /// What is told of own changes that this side gives up: where the peer holds a signature for them they may still appear (R6.1).
    pub(crate) fn given_up(&self, given_up: &OwnChanges, code: RefusalCode) -> Vec<Event> {
        let refused = given_up.only(|id| self.out.may_appear(id));
        let dropped = given_up.only(|id| !self.out.may_appear(id));
        let refused = (!refused.is_empty()).then_some(Event::Refused { payments: refused, code });
        let dropped = (!dropped.is_empty()).then_some(Event::Dropped { payments: dropped });
        refused.into_iter().chain(dropped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_in_runs_and_found_by_place() {
        let ids: Ids = [3, 4, 5, 9, 10].map(ChangeId).into_iter().collect();
        assert_eq!(ids.0, vec![(ChangeId(3), 3), (ChangeId(9), 2)]);
        assert_eq!(ids.at(0), Some(ChangeId(3)));
        assert_eq!(ids.at(3), Some(ChangeId(9)));
        assert_eq!(ids.at(5), None);
        assert!(ids.contains(ChangeId(10)) && !ids.contains(ChangeId(6)));
        assert_eq!(ids.iter().map(|ChangeId(id)| id).collect::<Vec<_>>(), vec![3, 4, 5, 9, 10]);
    }
}
