//! A running channel's data: what is agreed, what is proposed, what waits, and what this side's signatures still allow the peer (R6.1 to R6.5).

use super::{
    forcing::{Forcing, Unfollowed},
    opening::Funding,
    operating::Operating,
};
use crate::{
    config::Config,
    effect::{Effect, Event},
    error::{Misuse, Violation},
    input::{Context, Millis},
    machine::Step,
    message::{MAX_UPDATES_PER_ROUND, Message, RefusalCode, Shutdown, Update},
    rounds::next_round,
    state::{
        Change, ChangeFault, ChangeId, Draft, MAX_META, MAX_REFERENCE, Outcome, Payment, Place, Results, State,
        check_code, length, performed,
    },
};
use protocol::{
    Amount, BlockNumber, Hash, Pair, Party, PublicKey, Round, Signature,
    call::{CloseSolo, Payload},
    contracts::{Code, ContractId, MAX_INPUT},
    crypto::{Crypto, Native},
    record::OnChain,
    signing::{Domain, StateBody, signed_bytes},
};
use scale::{Decode, Encode};
use std::collections::VecDeque;

/// The latest agreed state, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Agreed {
    pub(crate) round: Round,
    pub(crate) state: State,
    pub(crate) hash: Hash,
    /// Both signatures; none for a state that is on chain, as that of round 1 is.
    pub(crate) signatures: Option<Pair<Signature>>,
    /// Where the arbiter computed it for one side alone: nobody has agreed, but it counts until a co-signed state replaces it (R5.4).
    pub(crate) forced: Option<Forced>,
    /// The highest height that a round named so far: the next one names none below (R7.3).
    pub(crate) height: BlockNumber,
}

/// A state that is not co-signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forced {
    /// The first round of the forced chain.
    pub(crate) from: Round,
    /// Who forced the last step.
    pub(crate) by: Party,
    /// The height that counted before the chain of them: it counts again where a co-signed state replaces them.
    pub(crate) height: BlockNumber,
}

/// What the arbiter has of the channel, as far as it was announced: what a forced step goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Seen {
    pub(crate) on_chain: OnChain,
    pub(crate) forced_steps: Pair<u8>,
}

/// A round that this side proposed and the peer has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Proposal {
    pub(crate) update: Update,
    pub(crate) state: State,
    pub(crate) results: Results,
    /// The id of its first change; the others follow.
    pub(crate) first: ChangeId,
    /// The agreed round that it goes on from.
    pub(crate) on: Round,
    /// The peer is closing and did not answer it: it is said again when that may have changed. Its signature is with the peer all the same.
    #[codec(skip)]
    pub(crate) put_off: bool,
}

/// A round that this side proposed and goes on without: refused, or beaten by a crossing operation. The peer holds the signature and may
/// still put that state on chain, until a higher round is agreed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Disowned {
    pub(crate) round: Round,
    pub(crate) state: State,
    results: Results,
    /// The id of its first change, told of already or not.
    whole_first: ChangeId,
    /// The id of the first one that was not told of.
    first: ChangeId,
    payments: u32,
    /// The agreed round that it goes on from.
    on: Round,
    /// The height that counts once it is agreed.
    height: BlockNumber,
    /// The user was told that its changes are not made; else they wait again, or are forced.
    refused: bool,
}

/// The most rounds that may be disowned at once: the peer may use any of them, so all are kept.
pub(crate) const MAX_DISOWNED: usize = 256;

/// The furthest that a round may lie above the last one that both know of: the peer's rounds that got lost are far fewer, and rounds must not
/// run out.
const MAX_ROUND_JUMP: Round = 1 << 16;

/// The peer's round, shown to the user, who decides; or put by until its app is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undecided {
    pub(crate) update: Update,
    pub(crate) since: Millis,
    /// The code that has to be fetched first.
    pub(crate) lacks: Option<Hash>,
}

/// A round of ours that the peer has signed, as the arbiter or the peer shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) round: Round,
    pub(crate) state_hash: Hash,
    /// None where it is on chain.
    pub(crate) signatures: Option<Pair<Signature>>,
}

/// A channel that is open or closing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Live {
    pub(crate) funding: Funding,
    pub(crate) agreed: Agreed,
    pub(crate) proposal: Option<Proposal>,
    /// The highest round this side has ever signed (R6.2). The peer may make it co-signed at any time: nothing below is agreed to any more.
    pub(crate) signed: Round,
    /// The highest round of the peer's that was refused here. The peer agrees to nothing below it.
    pub(crate) refused: Round,
    pub(crate) disowned: Vec<Disowned>,
    /// How many of the proposal's payments, from its first on, a lower round of ours has made on chain meanwhile.
    settled: u32,
    /// What is under way on chain while the channel is open (R6.5).
    pub(crate) operating: Operating,
    pub(crate) seen: Seen,
    /// Forced steps that are on chain, in order, and that this side cannot compute yet.
    pub(crate) unfollowed: Vec<Unfollowed>,
    /// The calls that this side is forcing.
    pub(crate) forcing: Option<Forcing>,
    /// The peer showed a state that this side signed and does not remember: from which round to which (R6.6).
    pub(crate) outdated: Option<(Round, Round)>,
    /// The id of the first change that waits, or will. The others follow.
    pub(crate) first_queued: ChangeId,
    /// The user asked to close in agreement, at this fee, as soon as everything on its way is answered.
    pub(crate) shutdown_wanted: Option<Amount>,
    /// The user asked to close alone: nothing may be agreed any more, or the close would be on an old state.
    pub(crate) solo_wanted: bool,
    /// The peer's shutdown, put by until our proposal is answered. It counts only if that answer is that the peer is closing.
    #[codec(skip)]
    pub(crate) parked: Option<Shutdown>,
    /// The peer's round that waits for the user. Nothing is signed, so nothing is saved: the peer says it again.
    #[codec(skip)]
    pub(crate) undecided: Option<Undecided>,
    /// The highest round that the user was asked about, and the hash of what it was told of it. The user decides by the round's number, so no
    /// number may come to mean anything else.
    #[codec(skip)]
    shown: Option<(Round, Hash)>,
    /// How many payments at the front of the queue were proposed before; their ids lie right below `first_queued`. A crash forgets them, and
    /// gives their ids to no other: the peer holds a signature for them.
    #[codec(skip)]
    requeued: u64,
    /// Changes for the next round. Not saved: nobody was told that they are made.
    #[codec(skip)]
    pub(crate) queue: VecDeque<Change>,
    #[codec(skip)]
    queued_amount: Amount,
    /// Since when own calls have waited for the peer.
    #[codec(skip)]
    pub(crate) calls_wait_since: Option<Millis>,
}

impl Live {
    pub(crate) fn new(funding: Funding) -> Self {
        let (state, hash) = (funding.first.clone(), funding.first.hash());
        Self {
            agreed: Agreed { round: 1, state, hash, signatures: None, forced: None, height: 0 },
            seen: Seen {
                on_chain: OnChain { round: 1, forced_from: None, state_hash: hash },
                forced_steps: Pair::default(),
            },
            unfollowed: Vec::new(),
            forcing: None,
            funding,
            proposal: None,
            signed: 1,
            refused: 0,
            disowned: Vec::new(),
            settled: 0,
            operating: Operating::default(),
            outdated: None,
            first_queued: ChangeId(1),
            shutdown_wanted: None,
            solo_wanted: false,
            parked: None,
            undecided: None,
            shown: None,
            requeued: 0,
            queue: VecDeque::new(),
            queued_amount: 0,
            calls_wait_since: None,
        }
    }

    /// The id of the next change.
    pub(crate) fn next_change(&self) -> ChangeId {
        after(self.queue_first(), self.queue.len())
    }

    /// Changes that are neither agreed nor refused.
    pub(crate) fn pending(&self) -> usize {
        let proposed = self.proposal.as_ref().map_or(0, |proposal| proposal.update.changes.len());
        self.queue.len().saturating_add(proposed)
    }

    /// What `me` can pay now, above the reserve.
    pub(crate) fn spendable(&self, me: Party) -> Amount {
        // As a rule what is proposed leaves less; but the peer may have put a lower round of ours on chain that leaves less still.
        let agreed = self.agreed.state.balances[me];
        let ours = self.proposal.as_ref().map_or(agreed, |proposal| proposal.state.balances[me].min(agreed));
        let kept = self.funding.terms.reserve.saturating_add(self.operating.takes());
        ours.saturating_sub(kept).saturating_sub(self.queued_amount)
    }

    /// What contracts hold of the agreed total.
    pub(crate) fn held(&self) -> Amount {
        self.funding.total.saturating_sub(self.agreed.state.balances.sum().unwrap_or(Amount::MAX))
    }

    /// The latest agreed state as the arbiter takes it.
    pub(crate) fn close_solo(&self) -> CloseSolo {
        CloseSolo { channel: self.funding.channel, payload: self.payload(), commitment: self.agreed.state.commitment() }
    }

    /// The proof of the latest agreed state; none for one that is on chain.
    pub(crate) fn payload(&self) -> Option<Payload> {
        let Agreed { round, hash, signatures, .. } = self.agreed;
        signatures.map(|signatures| Payload { round, state_hash: hash, signatures })
    }

    /// The proof of a state newer than the one on chain, where this side has one (R5.4).
    pub(crate) fn newer_than(&self, on_chain: &OnChain) -> Option<Payload> {
        let newer = protocol::arbiter::standing(on_chain, self.agreed.round, &self.agreed.hash);
        (newer == Ok(protocol::arbiter::Standing::Newer)).then(|| self.payload()).flatten()
    }

    /// What is told of what will not be: payments, and the user's operation.
    pub(crate) fn drop_pending(&mut self, code: RefusalCode) -> Vec<Event> {
        let mut events = self.drop_payments();
        events.extend(self.operating.give_up(code));
        events
    }

    /// What is told of payments that will not be made: those that wait, and those of a proposal that never came to be.
    pub(crate) fn drop_payments(&mut self) -> Vec<Event> {
        let waiting = ids(self.queue_first(), self.queue.len());
        (self.first_queued, self.requeued) = (self.next_change(), 0);
        self.queue.clear();
        self.queued_amount = 0;
        let proposal = self.proposal.take();
        let mut payments = proposal.map(|ours| self.take_ids(&ours)).unwrap_or_default();
        payments.extend(waiting);
        if payments.is_empty() { Vec::new() } else { vec![Event::Dropped { payments }] }
    }

    /// Whether the chain has a co-signed state that counts before the one agreed here.
    pub(crate) fn is_behind(&self, on_chain: &OnChain) -> bool {
        match self.agreed.forced {
            _ if on_chain.forced_from.is_some() => false,
            Some(Forced { from, .. }) => on_chain.round >= from && on_chain.state_hash != self.agreed.hash,
            None => on_chain.round > self.agreed.round,
        }
    }

    /// A round that this side signed and that the chain has: the peer made it co-signed, and answered nobody but the arbiter. None where the
    /// chain tells of nothing new; otherwise the state is the agreed one from now on, and what is told of its changes.
    pub(crate) fn adopt_from_chain(&mut self, on_chain: &OnChain, me: Party) -> Option<Vec<Event>> {
        let OnChain { round, state_hash, forced_from: None } = *on_chain else { return None };
        self.adopt_own(Own { round, state_hash, signatures: None }, me)
    }

    /// Adopts a round of ours that both have signed, answered or not. None where this side does not know it.
    pub(crate) fn adopt_own(&mut self, own: Own, me: Party) -> Option<Vec<Event>> {
        let Own { round, state_hash, signatures } = own;
        let same = |ours: &mut Proposal| ours.update.round == round && ours.update.state_hash == state_hash;
        if let Some(mut proposal) = self.proposal.take_if(same) {
            let mut told: Vec<_> = self.replaced(round, proposal.on).into_iter().collect();
            told.extend(self.told_of(me, &mut proposal, round));
            self.adopt(round, proposal.state, state_hash, signatures);
            return Some(told);
        }
        let at = self.disowned.iter().position(|ours| ours.round == round && ours.state.hash() == state_hash)?;
        let Disowned { state, results, whole_first, first, payments, on, height, .. } = self.disowned.swap_remove(at);
        let mut told: Vec<_> = self.replaced(round, on).into_iter().collect();
        self.agreed.height = height;
        self.adopt(round, state, state_hash, signatures);
        let count = usize::try_from(payments).unwrap_or(usize::MAX);
        let end = after(first, count);
        told.extend(self.made_already(first, end, me));
        told.extend(self.paid_on_chain(me, first, count, round, (whole_first, results)));
        Some(told)
    }

    /// These changes are agreed, in a round that this side had gone on without. Those that are proposed again, on top of what was agreed then,
    /// count once and are told of once; those that wait again, or are being forced, are not made once more.
    fn made_already(&mut self, first: ChangeId, end: ChangeId, me: Party) -> Option<Event> {
        if let Some(again) = &self.proposal {
            let ends = after(again.first, again.update.changes.len());
            if again.first < end && first < ends {
                let settled = u32::try_from(ends.min(end).0.saturating_sub(again.first.0)).unwrap_or(u32::MAX);
                self.settled = self.settled.max(settled);
            }
        }
        let waiting = self.queue_first();
        if waiting < end {
            let _made = self.unqueue(me, usize::try_from(end.0.saturating_sub(waiting.0)).unwrap_or(usize::MAX));
        }
        let forcing = self.forcing.take_if(|forcing| forcing.holds(first, end))?;
        let (next, rest) = forcing.after(end);
        if rest.is_empty() {
            return None;
        }
        let payments = ids(next, rest.len());
        if after(next, rest.len()) != self.queue_first() {
            return Some(Event::Dropped { payments });
        }
        self.requeued = self.requeued.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
        for change in rest.into_iter().rev() {
            self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
            self.queue.push_front(change);
        }
        None
    }

    /// What is told where a co-signed state, made `on` an agreed round, takes the place of forced ones that it does not go on from (R5.4).
    pub(crate) fn replaced(&self, round: Round, on: Round) -> Option<Event> {
        let Forced { from, .. } = self.agreed.forced?;
        let forced = from.max(on.saturating_add(1));
        (forced <= self.agreed.round).then_some(Event::Replaced { forced, round })
    }

    /// What is told of own changes that this side gives up: where the peer holds a signature for them they may still appear (R6.1).
    pub(crate) fn given_up(&self, given_up: Vec<ChangeId>, code: RefusalCode) -> Vec<Event> {
        let shown = |id: &ChangeId| {
            self.disowned.iter().any(|ours| {
                let count = usize::try_from(ours.payments).unwrap_or(usize::MAX);
                (ours.first..after(ours.first, count)).contains(id)
            })
        };
        let (refused, dropped): (Vec<_>, Vec<_>) = given_up.into_iter().partition(shown);
        let refused = (!refused.is_empty()).then_some(Event::Refused { payments: refused, code });
        let dropped = (!dropped.is_empty()).then_some(Event::Dropped { payments: dropped });
        refused.into_iter().chain(dropped).collect()
    }

    /// Takes so many changes off the front of the queue.
    pub(crate) fn unqueue(&mut self, me: Party, count: usize) -> Vec<Change> {
        let count = count.min(self.queue.len());
        let changes: Vec<_> = self.queue.drain(..count).collect();
        let amount = changes.iter().map(|change| change.takes(me)).fold(0, Amount::saturating_add);
        self.queued_amount = self.queued_amount.saturating_sub(amount);
        self.count_out(count);
        changes
    }

    /// Tells of changes once, also where another round that was disowned holds them as well.
    fn paid_on_chain(
        &mut self,
        me: Party,
        first: ChangeId,
        count: usize,
        round: Round,
        (whole_first, results): (ChangeId, Results),
    ) -> Vec<Event> {
        let end = after(first, count);
        for other in self.disowned.iter_mut().filter(|other| (first..end).contains(&other.first)) {
            let told = u32::try_from(end.0.saturating_sub(other.first.0)).unwrap_or(u32::MAX);
            other.payments = other.payments.saturating_sub(told);
            other.first = end;
        }
        agreed_events(me, round, ids(first, count), (whole_first, results), first..end)
    }

    /// What is told of a proposal that is agreed, or on chain.
    pub(crate) fn told_of(&mut self, me: Party, proposal: &mut Proposal, round: Round) -> Vec<Event> {
        self.agreed.height = self.height_after(&proposal.update);
        let changes = self.take_ids(proposal);
        let told =
            changes.first().copied().unwrap_or(proposal.first)..after(proposal.first, proposal.update.changes.len());
        let results = (proposal.first, std::mem::take(&mut proposal.results));
        agreed_events(me, round, changes, results, told)
    }

    /// Whether what is proposed would name a higher height were it made now.
    pub(crate) fn height_moved(&self, head: BlockNumber) -> bool {
        self.proposal.as_ref().is_some_and(|ours| ours.update.height < head.max(self.agreed.height))
    }

    /// The height that counts once a round on top of what is agreed is agreed.
    fn height_after(&self, update: &Update) -> BlockNumber {
        let executes = update.changes.iter().any(Change::executes);
        if executes { self.agreed.height.max(update.height) } else { self.agreed.height }
    }

    /// The id of the first change that waits, or will.
    pub(crate) fn queue_first(&self) -> ChangeId {
        ChangeId(self.first_queued.0.saturating_sub(self.requeued))
    }

    /// So many payments have left the front of the queue.
    fn count_out(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.first_queued.0 = self.first_queued.0.saturating_add(count.saturating_sub(self.requeued));
        self.requeued = self.requeued.saturating_sub(count);
    }

    /// Whether nothing may be proposed now: something on chain, the user, or the peer goes first.
    pub(crate) fn is_blocked(&self) -> bool {
        self.solo_wanted
            || self.outdated.is_some()
            || self.undecided.is_some()
            || self.forcing.is_some()
            || !self.unfollowed.is_empty()
            || self.operating.is_bound()
            || self.awaits_lock()
    }

    /// Whether calls are being forced, or were and this side has not followed, or the peer has not said that it has: what it asks for now does not
    /// go on from there.
    pub(crate) fn goes_on_by_force(&self) -> bool {
        self.forcing.is_some() || !self.unfollowed.is_empty() || (self.agreed.forced.is_some() && self.awaits_lock())
    }

    /// Takes what waits for the user back: something else goes first, and later the peer says it again.
    pub(crate) fn put_off_undecided(&mut self, code: RefusalCode) -> Option<Effect> {
        let Undecided { update: Update { round, .. }, .. } = self.undecided.take()?;
        Some(Effect::Send(Message::UpdateError { round, code }))
    }

    /// Has a round shown to the user.
    pub(crate) fn show(&mut self, update: Update, now: Millis) {
        self.shown = Some((update.round, Native.hash(&update.encode())));
        self.undecided = Some(Undecided { update, since: now, lacks: None });
    }

    /// Whether the user may be asked about this round: no number that it was told may come to mean anything else.
    pub(crate) fn check_shown(&self, update: &Update) -> Result<(), Violation> {
        match self.shown {
            Some((round, hash))
                if update.round < round || (update.round == round && Native.hash(&update.encode()) != hash) =>
            {
                Err(Violation::RoundTooOld { got: update.round, have: round })
            }
            _ => Ok(()),
        }
    }

    /// Whether a round of the peer's lies so near that rounds do not run out.
    pub(crate) fn check_near(&self, round: Round) -> Result<(), Violation> {
        let have = self.agreed.round.max(self.signed);
        if round > have.saturating_add(MAX_ROUND_JUMP) {
            return Err(Violation::RoundTooFar { got: round, have });
        }
        Ok(())
    }

    /// Whether the agreed state is on chain and the peer has not said that it sees it there.
    pub(crate) const fn awaits_lock(&self) -> bool {
        let Agreed { round, signatures, forced, .. } = &self.agreed;
        let saw = if forced.is_some() { self.operating.peer_follows } else { self.operating.peer_saw };
        signatures.is_none() && *round > 1 && saw < *round
    }

    /// Whether a proposal of the peer's in `round` lost to one that the chain told of before the peer's answer came.
    pub(crate) const fn is_overtaken_by_chain(&self, round: Round) -> bool {
        self.agreed.signatures.is_none() && round < self.agreed.round
    }

    /// Whether this side has given up a round above this one without a word to the peer, which may still use it, and cannot know.
    pub(crate) fn is_overtaken_by_disowned(&self, round: Round) -> bool {
        round > self.agreed.round && self.disowned.iter().any(|ours| !ours.refused && ours.round > round)
    }

    /// The round of one's own that the peer has not answered, update or operation.
    pub(crate) fn rival(&self) -> Option<Round> {
        let proposed = self.proposal.as_ref().map(|ours| ours.update.round);
        proposed.max(self.operating.asked().map(crate::operation::Body::round))
    }

    /// The hash of a round that this side goes on without for other reasons than a refusal, and that its peer may have answered all the same:
    /// it was disowned while the answer was on its way. None where something higher is signed.
    pub(crate) fn left_behind(&self, round: Round) -> Option<Hash> {
        let free = self.proposal.is_none() && self.signed == round;
        let ours = self.disowned.iter().find(|ours| ours.round == round && !ours.refused);
        ours.filter(|_| free).map(|ours| ours.state.hash())
    }

    /// An answer that the peer owes to a proposal, where there is one.
    pub(crate) fn unanswered(&self) -> Option<Round> {
        self.proposal.as_ref().filter(|ours| !ours.put_off).map(|ours| ours.update.round)
    }

    /// While a close is under way no answer to a proposal is owed.
    pub(crate) fn put_off(&mut self) {
        if let Some(ours) = &mut self.proposal {
            ours.put_off = true;
        }
    }

    /// Says a proposal again that the peer did not answer.
    pub(crate) fn say_again(&mut self) -> Option<Effect> {
        let proposal = self.proposal.as_mut()?;
        proposal.put_off = false;
        Some(Effect::Send(Message::Update(proposal.update.clone())))
    }

    /// Where the next round of `proposer`'s is made.
    pub(crate) fn place<'a>(
        &self,
        proposer: Party,
        round: Round,
        height: BlockNumber,
        config: &Config,
        ctx: &Context<'a>,
    ) -> Place<'a> {
        let (channel, reserve, max_contracts) =
            (self.funding.channel, self.funding.terms.reserve, config.max_contracts);
        Place { channel, round, height, proposer, reserve, max_contracts, apps: ctx.apps }
    }

    /// Proposes the next round with what waits (R6.3), if something does and no proposal is unanswered. What cannot be made on the agreed
    /// state is given up.
    pub(crate) fn propose(&mut self, me: Party, config: &Config, domain: &Domain, ctx: &Context<'_>) -> Step {
        if self.proposal.is_some() || self.queue.is_empty() {
            return Step::default();
        }
        if self.disowned.len() >= MAX_DISOWNED {
            let waiting = ids(self.queue_first(), self.queue.len());
            let _dropped = self.drop_payments();
            let told = self.given_up(waiting, RefusalCode::VALIDATION);
            return Step::commit(told.into_iter().map(Effect::Notify).collect());
        }
        let Some(round) = self.next_round(me) else { return Step::default() };
        let height = ctx.head.max(self.agreed.height);
        let mut step = Step::default();
        loop {
            let first = self.queue_first();
            let mut draft = Draft::new(self.place(me, round, height, config, ctx), &self.agreed.state);
            let mut count: usize = 0;
            let mut fault = None;
            for change in self.queue.iter().take(MAX_UPDATES_PER_ROUND) {
                if let Err(why) = draft.make(change) {
                    fault = Some(why);
                    break;
                }
                count = count.saturating_add(1);
            }
            let finished = draft.finish();
            let (changes, state, results) = match (count, fault, finished) {
                (1.., _, Ok((state, results))) => (self.unqueue(me, count), state, results),
                // The first one cannot be made: the peer's rounds or the clock have overtaken it.
                (_, fault, finished) => {
                    let Some(fault) = fault.or(finished.err()) else { return step };
                    let _given_up = self.unqueue(me, 1);
                    step = step.and(Step::commit(vec![Effect::Notify(Event::Failed { change: first, fault })]));
                    continue;
                }
            };
            let state_hash = state.hash();
            let body = StateBody { round, state_hash };
            let signature = ctx.key.sign(&signed_bytes(domain, &self.funding.channel, &body));
            let update = Update { round, height, changes, state_hash, signature };
            self.signed = round;
            let on = self.agreed.round;
            self.proposal = Some(Proposal { update: update.clone(), state, results, first, on, put_off: false });
            return step.and(Step::commit(vec![Effect::Send(Message::Update(update))]));
        }
    }

    /// Puts the changes of a proposal that lost back to the front of the queue, to be proposed again on top.
    pub(crate) fn requeue_proposal(&mut self, me: Party) {
        let Some(proposal) = self.proposal.take() else { return };
        let settled = usize::try_from(self.settled).unwrap_or(usize::MAX);
        let again = self.disown(&proposal, false).len();
        self.requeued = self.requeued.saturating_add(u64::try_from(again).unwrap_or(u64::MAX));
        for change in proposal.update.changes.into_iter().skip(settled).rev() {
            self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
            self.queue.push_front(change);
        }
    }

    /// Goes on without a proposal whose signature is with the peer.
    pub(crate) fn disown(&mut self, proposal: &Proposal, refused: bool) -> Vec<ChangeId> {
        let Proposal { update, state, results, first: whole_first, on, .. } = proposal;
        let first = after(*whole_first, usize::try_from(self.settled).unwrap_or(usize::MAX));
        let changes = self.take_ids(proposal);
        let payments = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let (round, state, results) = (update.round, state.clone(), results.clone());
        let (whole_first, on, height) = (*whole_first, *on, self.height_after(update));
        self.disowned.push(Disowned { round, state, results, whole_first, first, payments, on, height, refused });
        changes
    }

    /// The payments of a proposal that is not unanswered any more, without those that were told of.
    pub(crate) fn take_ids(&mut self, proposal: &Proposal) -> Vec<ChangeId> {
        let settled = usize::try_from(std::mem::take(&mut self.settled)).unwrap_or(usize::MAX);
        ids(after(proposal.first, settled), proposal.update.changes.len().saturating_sub(settled))
    }

    /// Adopts a state that both signed, or that is on chain.
    pub(crate) fn adopt(&mut self, round: Round, state: State, hash: Hash, signatures: Option<Pair<Signature>>) {
        let height = self.agreed.height;
        self.agreed = Agreed { round, state, hash, signatures, forced: None, height };
        self.signed = self.signed.max(round);
        self.disowned.retain(|ours| ours.round > round);
        // A peer that agrees to a round has seen its own offer to close expire.
        self.parked = None;
    }

    pub(crate) fn next_round(&self, me: Party) -> Option<Round> {
        let forced_by = self.agreed.forced.map(|forced| forced.by);
        let signed = self.signed.max(self.refused).max(self.operating.asked_up_to);
        next_round(me, self.agreed.round, forced_by, signed)
    }

    pub(crate) fn enqueue(&mut self, me: Party, change: Change) {
        self.queued_amount = self.queued_amount.saturating_add(change.takes(me));
        self.queue.push_back(change);
    }

    /// What comes of the peer's round.
    pub(crate) fn check_round(
        &self,
        update: &Update,
        peer: Party,
        key: &PublicKey,
        (domain, config): (&Domain, &Config),
        ctx: &Context<'_>,
    ) -> Result<Checked, Violation> {
        let Update { round, height, changes, state_hash, signature } = update;
        let (got, have) = (*round, self.agreed.round.max(self.signed));
        if got <= have {
            // Not only what is agreed counts: the peer may still make co-signed what it refused (R6.1, R6.2).
            return Err(Violation::RoundTooOld { got, have });
        }
        self.check_near(got)?;
        if changes.is_empty() {
            return Err(Violation::NoChanges);
        }
        if changes.len() > MAX_UPDATES_PER_ROUND {
            return Err(Violation::TooManyChanges { got: changes.len() });
        }
        let executes = changes.iter().any(Change::executes);
        if executes {
            let (window, head) = (config.height_window, ctx.head);
            // One's own head may lie behind; but the height of what is agreed never goes down.
            let (min, max) = (self.agreed.height.max(head.saturating_sub(window)), head.saturating_add(window));
            if *height < min || *height > max.max(self.agreed.height) {
                return Err(Violation::HeightOutOfWindow { got: *height, min, max });
            }
        }
        let mut draft = Draft::new(self.place(peer, *round, *height, config, ctx), &self.agreed.state);
        for change in changes {
            draft.make(change)?;
        }
        let (state, results) = draft.finish()?;
        let want = state.hash();
        if want != *state_hash {
            return Err(Violation::StateHashMismatch { got: *state_hash, want });
        }
        let message = signed_bytes(domain, &self.funding.channel, &StateBody { round: *round, state_hash: want });
        if !Native.verify(key, &message, signature) {
            return Err(Violation::SignatureInvalid);
        }
        let height = if executes { *height } else { self.agreed.height };
        Ok(Checked { state, results, message, height })
    }

    /// The first code that the peer's round needs and that is not here.
    pub(crate) fn lacks(&self, update: &Update, ctx: &Context<'_>) -> Option<Hash> {
        let code = |change: &Change| match change {
            Change::CreateContract(creation) => Some(creation.code),
            Change::UpgradeContract { code, .. } => Some(*code),
            Change::CallContract { contract, .. } => self.agreed.state.contracts.get(contract).map(|known| known.code),
            _ => None,
        };
        update.changes.iter().filter_map(code).find_map(|code| match code {
            Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
            _ => None,
        })
    }

    /// A code that the peer wants to begin with, and that this side takes no part in.
    pub(crate) fn unwelcome(update: &Update, ctx: &Context<'_>) -> Option<Hash> {
        let code = |change: &Change| match change {
            Change::CreateContract(crate::state::Creation { code: Code::Contract(code), .. })
            | Change::UpgradeContract { code: Code::Contract(code), .. } => Some(*code),
            _ => None,
        };
        update.changes.iter().filter_map(code).find(|code| !ctx.apps.accepts(code))
    }

    /// Whether the peer's round touches what is ours to give: then the user decides, whoever decides otherwise.
    pub(crate) fn needs_consent(&self, update: &Update, me: Party, ctx: &Context<'_>) -> bool {
        let worthless = |id: &ContractId| {
            let contract = self.agreed.state.contracts.get(id);
            contract.is_some_and(|contract| match contract.code {
                Code::Contract(code) => contract.balance == 0 && ctx.apps.worthless_when_empty(&code),
                Code::Builtin(_) => false,
            })
        };
        update.changes.iter().any(|change| match change {
            Change::CreateContract(creation) => creation.coins[me] > 0,
            Change::RemoveContract { contract, .. } => !worthless(contract),
            Change::UpgradeContract { .. } => true,
            Change::Transfer(_) | Change::CallContract { .. } | Change::Meta(_) => false,
        })
    }

    /// Whether the user may have these changes wait for the next round.
    pub(crate) fn check_changes(
        &self,
        me: Party,
        changes: &[Change],
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<(), Misuse> {
        let available = self.spendable(me);
        let max = usize::try_from(config.max_queued).unwrap_or(usize::MAX);
        let amount = changes.iter().map(|change| change.takes(me)).fold(0, Amount::saturating_add);
        if self.outdated.is_some() {
            return Err(Misuse::StoreOutdated);
        }
        if changes.is_empty() {
            return Err(Misuse::AmountZero);
        }
        changes.iter().try_for_each(|change| self.check_change(change, ctx))?;
        if amount > available {
            Err(Misuse::InsufficientBalance { amount, available })
        } else if self.shutdown_wanted.is_some() || self.solo_wanted {
            Err(Misuse::AlreadyClosing)
        } else if changes.len() > max.saturating_sub(self.queue.len()) {
            Err(Misuse::QueueFull { max })
        } else if self.next_round(me).is_none() {
            Err(Misuse::RoundsExhausted)
        } else if self.disowned.len() >= MAX_DISOWNED {
            Err(Misuse::TooManyRefused { max: MAX_DISOWNED })
        } else {
            Ok(())
        }
    }

    /// What can be told of one change before its turn comes.
    fn check_change(&self, change: &Change, ctx: &Context<'_>) -> Result<(), Misuse> {
        let input = |input: &[u8]| match input.len() <= MAX_INPUT {
            true => Ok(()),
            false => Err(Misuse::Change(ChangeFault::Call(protocol::contracts::CallFault::TooLarge))),
        };
        let code = |code: &Code| check_code(code, ctx.apps).map_err(Misuse::Change);
        let known = |id: &ContractId| {
            let proposed = self.proposal.as_ref().is_some_and(|ours| ours.state.contracts.get(id).is_some());
            let known = proposed || self.agreed.state.contracts.get(id).is_some();
            if known { Ok(()) } else { Err(Misuse::ContractUnknown(*id)) }
        };
        match change {
            Change::Transfer(payment) if payment.amount == 0 => Err(Misuse::AmountZero),
            Change::Transfer(Payment { reference, .. }) if reference.len() > MAX_REFERENCE => {
                Err(Misuse::ReferenceTooLong { got: reference.len(), max: MAX_REFERENCE })
            }
            Change::Transfer(_) => Ok(()),
            Change::CreateContract(creation) => code(&creation.code).and_then(|()| input(&creation.input)),
            Change::CallContract { contract, input: words, .. } => known(contract).and_then(|()| input(words)),
            Change::RemoveContract { contract, .. } => known(contract),
            Change::UpgradeContract { contract, code: new, .. } => known(contract).and_then(|()| code(new)),
            Change::Meta(words) if words.len() > MAX_META => {
                Err(Misuse::Change(ChangeFault::MetaTooLong { got: length(words) }))
            }
            Change::Meta(_) => Ok(()),
        }
    }

    /// What a change would do, were its turn next.
    pub(crate) fn try_change(
        &self,
        me: Party,
        change: &Change,
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<Option<Outcome>, ChangeFault> {
        let before = self.proposal.as_ref().map_or(&self.agreed.state, |ours| &ours.state);
        let round = self.next_round(me).unwrap_or(Round::MAX);
        let mut draft = Draft::new(self.place(me, round, ctx.head.max(self.agreed.height), config, ctx), before);
        draft.make(change)?;
        let (_state, results) = draft.finish()?;
        Ok(results.into_iter().next().map(|(_, outcome)| outcome))
    }
}

/// A round of the peer's that breaks no rule.
pub(crate) struct Checked {
    pub(crate) state: State,
    pub(crate) results: Results,
    /// What it signed, and what is to be signed.
    pub(crate) message: Vec<u8>,
    /// The height that counts from now on.
    pub(crate) height: BlockNumber,
}

/// What is told of own changes that are agreed, those that paid and those that touched contracts.
fn agreed_events(
    me: Party,
    round: Round,
    changes: Vec<ChangeId>,
    (first, results): (ChangeId, Results),
    told: std::ops::Range<ChangeId>,
) -> Vec<Event> {
    let performed = performed(me, first, results, &told);
    let executed = (!performed.is_empty()).then_some(Event::Executed { round, forced: false, performed });
    let paid = (!changes.is_empty()).then_some(Event::Paid { payments: changes, round });
    executed.into_iter().chain(paid).collect()
}

/// The id that follows `count` ids from `first` on.
fn after(ChangeId(first): ChangeId, count: usize) -> ChangeId {
    ChangeId(first.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// `count` ids from `first` on.
pub(crate) fn ids(ChangeId(first): ChangeId, count: usize) -> Vec<ChangeId> {
    (first..).take(count).map(ChangeId).collect()
}

/// Both signatures in the order of the parties.
pub(crate) fn both(me: Party, ours: Signature, peers: Signature) -> Pair<Signature> {
    match me {
        Party::Initiator => Pair::new(ours, peers),
        Party::Responder => Pair::new(peers, ours),
    }
}
