//! Calls that the arbiter makes because the peer does not answer (R5.10), and following those of the peer (R7.6).
//!
//! ```text
//!  Force(calls) | calls that waited too long --> with each head: plan, submit channel_force_progress, until it is final or refused
//!  ChannelProgressed (final) --> run the same calls on the state they went on from: the forced state is what both go on from
//!       |                        where this side holds a newer co-signed state, that replaces the forced one (R5.4, R6.9)
//!       '--> force_progress_locked <-> force_progress_locked      each when it is final for itself; then rounds go on above it (R6.1)
//! ```

use super::{
    CloseReason, Phase,
    certainty::{Certainty, SoloStep},
    closing::{How, Residual, Solo},
    live::{Agreed, Forced, Live, Posted},
    outgoing::Ids,
};
use crate::{
    effect::{Effect, Event, Notice},
    error::{Misuse, Violation},
    input::Context,
    machine::{Channel, Step},
    message::{Message, RefusalCode},
    state::{Change, ChangeId, Outcome, Performed, State},
};
use protocol::{
    Amount, Base, BlockNumber, Hash, Maturity, Pair, Party, Rejection, Round,
    arbiter::{MAX_FORCED_CALLS, MAX_FORCED_INPUTS, Start, follow, plan_fitting},
    call::{Call, ForcedCall, Payload, SnapshotSolo},
    contracts::{CallFault, Code, Predictor},
    record::{Closing, OnChain, Phase as RecordPhase, Record},
};
use scale::{Decode, Encode};

/// The call that forces.
const FORCE: &str = "channel_force_progress";
/// How often the arbiter may refuse one forced step for reasons that may pass, as long as nothing else happens on chain.
const MAX_REFUSALS: u8 = 8;

/// The calls that this side is forcing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forcing {
    calls: Vec<ForcedCall>,
    /// The ids of the calls, in their order, where they are changes that waited.
    ids: Vec<ChangeId>,
    #[codec(skip)]
    refusals: u8,
    /// How often it was refused since something else came on chain before it: what its peer is fast enough for is bounded by the peer's quota.
    #[codec(skip)]
    in_vain: u8,
    /// How often the number of calls in one step was halved, because the chain could not make the step.
    #[codec(skip)]
    halved: u32,
}

impl Forcing {
    const fn of(calls: Vec<ForcedCall>, ids: Vec<ChangeId>) -> Self {
        Self { calls, ids, refusals: 0, in_vain: 0, halved: 0 }
    }

    /// Whether the arbiter has not refused them so far.
    pub(super) const fn is_wanted(&self) -> bool {
        self.refusals == 0
    }

    /// The arbiter has refused them; whether they are to be tried again.
    const fn is_tried_again(&mut self) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        self.in_vain = self.in_vain.saturating_add(1);
        self.in_vain < MAX_REFUSALS
    }

    /// Something else has come on chain: what was refused because of it is to be tried on what is there now.
    pub(super) const fn begin_again(&mut self) {
        self.in_vain = 0;
    }

    /// The calls to make in the next step, if they fit one.
    fn next(&self) -> &[ForcedCall] {
        let most = self.calls.len().checked_shr(self.halved).unwrap_or(0).max(1);
        self.calls.get(..most).unwrap_or(&self.calls)
    }

    /// So many of the calls, if there are.
    pub(super) fn first_calls(&self, count: usize) -> Option<Vec<ForcedCall>> {
        self.calls.get(..count).map(<[_]>::to_vec)
    }

    /// The changes that are made in this way.
    pub(super) fn changes(&self) -> &[ChangeId] {
        &self.ids
    }

    /// The calls that are changes, each with its id.
    pub(super) fn into_calls(self) -> impl DoubleEndedIterator<Item = (ChangeId, ForcedCall)> {
        self.ids.into_iter().zip(self.calls)
    }

    /// What is told where the channel has ended before the arbiter made them.
    pub(super) fn too_late(&self) -> Event {
        Event::ForceFailed { changes: self.ids.clone(), rejection: Rejection::ChannelUnknown }
    }
}

/// A forced step that the arbiter has made and that is not followed yet: an app may have to be fetched first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Unfollowed {
    pub(super) party: Party,
    pub(super) posted: Posted,
    pub(super) calls: Vec<ForcedCall>,
    /// Its block (R7.3).
    pub(super) height: BlockNumber,
    /// What the channel held before it.
    pub(super) total: Amount,
    pub(super) is_residual: bool,
}

/// Why a forced step cannot be followed.
enum Lost {
    /// This app is not here.
    Lacks(Hash),
    /// No state that is known here leads to it: this side's store is old.
    Unknown,
}

/// What the arbiter announced of a forced step.
pub(crate) struct Progressed {
    pub(crate) party: Party,
    pub(crate) posted: Posted,
    pub(crate) forced_steps: Pair<u8>,
    pub(crate) total: Amount,
    pub(crate) closing: Option<Closing>,
    pub(crate) calls: Vec<ForcedCall>,
}

impl Channel {
    /// Transition: open | closing (solo) -> the same, with a forced step on its way, or waiting for the peer's word
    pub(crate) fn on_user_force(
        &mut self,
        calls: Vec<ForcedCall>,
        certainty: Certainty,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        let state = self.phase.name();
        let (Phase::Open(live) | Phase::Closing(live, How::Solo(_) | How::Residual(_))) = &mut self.phase else {
            return Err(Misuse::NotOpen { state });
        };
        live.check_store()?;
        if live.forcing.is_some() {
            return Err(Misuse::AlreadyForcing);
        }
        if live.solo_wanted && matches!(self.phase, Phase::Open(_)) {
            return Err(Misuse::AlreadyClosing);
        }
        let forcing = Forcing::of(calls, Vec::new());
        // What is known to be refused is said at once.
        let submit = self.plan_of(&forcing, ctx).map_err(Misuse::WouldBeRefused)?;
        // What is settled is on chain, whatever is stored here.
        let is_settled = matches!(self.phase, Phase::Closing(_, How::Residual(_)));
        if !is_settled && !self.is_certain(certainty) {
            return self.hold_force(forcing.calls);
        }
        self.waits_no_more(SoloStep::Force);
        Ok(self.begin_forcing(forcing).and(Step::act(vec![submit])))
    }

    /// The part of a tick that concerns own calls which the peer leaves unanswered.
    pub(crate) fn on_tick_while_calling(&mut self, ctx: &Context<'_>) -> Step {
        let Some(patience) = self.config.force_after else { return Step::default() };
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let free = !live.solo_wanted && live.outdated.is_none();
        let free = free && live.forcing.is_none() && live.unfollowed.is_empty();
        if !free || !live.out.calls_wait() {
            live.calls_wait_since = None;
            return Step::default();
        }
        let since = *live.calls_wait_since.get_or_insert(ctx.now);
        if ctx.now.saturating_sub(since) < patience {
            return Step::default();
        }
        live.calls_wait_since = None;
        let mut bytes = 0_usize;
        let mut count = 0_usize;
        let fits = |change: &Change| {
            (bytes, count) = (bytes.saturating_add(change.bytes()), count.saturating_add(1));
            bytes <= MAX_FORCED_INPUTS && count <= MAX_FORCED_CALLS
        };
        let (given_up, calls) = live.out.take_calls(me, fits);
        let (ids, calls) = calls.into_iter().unzip();
        let told = live.given_up(&given_up, RefusalCode::TIMEOUT);
        let told = Step::commit(told.into_iter().map(Effect::Notify).collect());
        let step = told.and(self.begin_forcing(Forcing::of(calls, ids)));
        step.and(self.force_again(ctx))
    }

    fn begin_forcing(&mut self, forcing: Forcing) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let changes = forcing.ids.clone();
        live.forcing = Some(forcing);
        // Were it signed now, it would replace what is forced (R5.4).
        live.operating.lose();
        let undecided = live.put_off_undecided(RefusalCode::NOT_NOW);
        // It was offered on the balances from before.
        let code = RefusalCode::NOT_NOW;
        let parked = live.parked.take().map(|_shutdown| Effect::Send(Message::ShutdownError { code }));
        let told = Effect::Notify(Event::Forcing { changes });
        Step::commit(undecided.into_iter().chain(parked).chain([told]).collect())
    }

    /// Asks for the forced step that is wanted, on what is on chain now, as long as it is not made.
    pub(crate) fn force_again(&mut self, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, How::Solo(_) | How::Residual(_))) = &self.phase else {
            return Step::default();
        };
        let is_free = live.unfollowed.is_empty() || live.newer_than_chain(ctx.head).is_some();
        // An old store makes no claim of its own (R6.6a).
        let is_free = is_free && live.outdated.is_none();
        let Some(forcing) = live.forcing.as_ref().filter(|_| is_free) else {
            return Step::default();
        };
        match self.plan_of(forcing, ctx) {
            Ok(submit) => Step::act(vec![submit]),
            Err(rejection) => self.give_up_forcing(rejection, ctx),
        }
    }

    fn give_up_forcing(&mut self, rejection: Rejection, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let Some(forcing) = live.forcing.take() else { return Step::default() };
        // Nothing was forced on top of it: what was abandoned for it is as good as ever.
        let base = live.agreed.base();
        let _open_again = live.out.reclaim(self.me, base);
        let failed = Event::ForceFailed { changes: forcing.ids, rejection };
        Step::commit(vec![Effect::Notify(failed)]).and(self.advance(ctx))
    }

    /// What the arbiter's refusal of a forced step means: some reasons pass, and it is planned anew with the next head. So may that of an app,
    /// which was found willing here, in the next block: a node tries a call in the block that is there.
    pub(crate) fn on_force_rejected(&mut self, call: &str, rejection: Rejection, ctx: &Context<'_>) -> Option<Step> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return None };
        let forcing = live.forcing.as_mut().filter(|_| call == FORCE)?;
        let is_tried_again = forcing.is_tried_again();
        let may_pass = match rejection {
            Rejection::CallFailed { fault, .. } => fault == CallFault::Refused,
            Rejection::ForcedStepsUsedUp { .. }
            | Rejection::CannotAttach { .. }
            | Rejection::CallsTooLarge
            | Rejection::StepTooLarge
            | Rejection::MayNotForce { .. } => false,
            _ => true,
        };
        if may_pass && is_tried_again {
            return Some(Step::default());
        }
        Some(self.give_up_forcing(rejection, ctx))
    }

    /// The chain could not make a forced step, though the rules allow it: it takes more than a block holds, say. Fewer calls are tried; where one
    /// alone is too much, the user is told.
    pub(crate) fn on_force_undeliverable(&mut self, call: &str, ctx: &Context<'_>) -> Option<Step> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return None };
        let forcing = live.forcing.as_mut().filter(|_| call == FORCE)?;
        if forcing.next().len() > 1 {
            forcing.halved = forcing.halved.saturating_add(1);
            return Some(Step::default());
        }
        if forcing.is_tried_again() {
            return Some(Step::default());
        }
        Some(self.give_up_forcing(Rejection::StepTooLarge, ctx))
    }

    /// The forced step as it would be made in the next block. What it comes to is left to the arbiter to say: apps may look at the height.
    fn plan_of(&self, forcing: &Forcing, ctx: &Context<'_>) -> Result<Effect, Rejection> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Err(Rejection::NotOpen) };
        let payload = live.newer_than_chain(ctx.head);
        if !live.unfollowed.is_empty() && payload.is_none() {
            return Err(Rejection::RoundTooOld { got: live.agreed.round, have: live.seen.on_chain.round() });
        }
        let record = self.record(live);
        let height = ctx.head.saturating_add(1);
        let is_residual = matches!(record.phase, RecordPhase::Residual { .. });
        if is_residual && payload.is_some() {
            return Err(Rejection::StateFinal);
        }
        let quota = &live.seen.forced_steps;
        let is_used_up = !is_residual && quota[self.me] >= record.terms.max_forced && payload.is_none();
        let deployed = |code: &Hash| ctx.apps.deployed(code);
        let mut executor = Predictor { apps: ctx.apps, shown_at: &|_| None };
        let start = start(live, &live.agreed.state, payload, &record);
        // As many as one step can make; the others are made by steps after it.
        let planned = plan_fitting(&start, self.me, forcing.next(), height, &deployed, &mut executor)?;
        if let Some(payload) = start.payload.filter(|_| self.is_open() && live.is_in_danger()) {
            // In the last block that may include the step its calls may be too late, and a newer state that came with them would be lost with them:
            // then it goes alone (R7.6a).
            let last = ctx.head.saturating_add(ctx.pace.include_within);
            if plan_fitting(&start, self.me, forcing.next(), last, &deployed, &mut executor).is_err() {
                return Ok(live.snapshot(payload));
            }
        }
        let mut call = planned.call;
        if is_used_up {
            return Err(Rejection::ForcedStepsUsedUp { max: record.terms.max_forced });
        }
        call.state_hash = None;
        Ok(Effect::Submit(Box::new(Call::ChannelForceProgress(call))))
    }

    /// The record on chain, as far as planning looks at it.
    fn record(&self, live: &Live) -> Record {
        let phase = match &self.phase {
            Phase::Closing(_, How::Residual(_)) => RESIDUAL,
            _ => RecordPhase::Open,
        };
        let (terms, total, forced_steps) = (live.funding.terms.clone(), live.funding.total, live.seen.forced_steps);
        Record { terms, total, on_chain: live.seen.on_chain.clone(), forced_steps, phase }
    }

    /// What replaces a forced chain that is older than what this side holds, while the channel is open (R6.9).
    pub(crate) fn snapshot_again(&self, head: BlockNumber) -> Option<Effect> {
        let (Phase::Open(live) | Phase::Closing(live, How::Offered(_) | How::Agreed(_))) = &self.phase else {
            return None;
        };
        // Calls that are being forced carry the newer state with them: alone it would only undo an own claim (R7.6a).
        let is_carried = self.is_open() && live.forcing.as_ref().is_some_and(Forcing::is_wanted);
        let wanted = self.config.defend && live.is_in_danger() && !is_carried;
        Some(live.snapshot(live.newer_than_chain(head).filter(|_| wanted)?))
    }

    const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Transition: open | closing -> the same, on the forced state.
    pub(crate) fn on_chain_progressed(&mut self, step: Progressed, ctx: &Context<'_>) -> Step {
        let is_residual = matches!(self.phase, Phase::Closing(_, How::Residual(_)));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let Progressed { party, posted, forced_steps, total, closing, calls } = step;
        if live.has_seen(&posted) {
            // Told again, or followed by others in its block, which is told again.
            return Step::default();
        }
        if let Some(forcing) = &mut live.forcing {
            forcing.begin_again();
        }
        live.seen.on_chain.force(posted.at, posted.state_hash, ctx.head, &live.funding.terms);
        live.seen.forced_steps = forced_steps;
        let before = std::mem::replace(&mut live.funding.total, total);
        live.unfollowed.push(Unfollowed { party, posted, calls, height: ctx.head, total: before, is_residual });
        if let Some(closing) = &closing {
            self.move_to_closing(How::Solo(Solo::new(posted, closing)));
        }
        let mut step = Step::commit(Vec::new()).and(self.follow_on(ctx));
        if self.phase.live().is_some_and(|live| !live.unfollowed.is_empty() && !live.replaces_forced(ctx.head)) {
            step = step
                .and(Step::act(vec![Effect::Notify(Event::Notice(Notice::CannotFollow { round: posted.at.round() }))]));
        }
        step = step
            .and(Step::act(self.snapshot_again(ctx.head).into_iter().collect()))
            .and(Step::act(self.defence(ctx.head)));
        step.and(self.end_residual()).and(self.advance(ctx))
    }

    /// Follows what the arbiter has made, as far as the apps are here.
    pub(crate) fn follow_on(&mut self, ctx: &Context<'_>) -> Step {
        let mut step = Step::default();
        loop {
            let (me, record) = match &self.phase {
                Phase::Open(live) | Phase::Closing(live, _) => (self.me, self.record(live)),
                _ => return step,
            };
            let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return step };
            if live.replaces_forced(ctx.head) {
                return step;
            }
            let Some(next) = live.unfollowed.first().cloned() else { return step };
            match live.follow(record, &next, me, ctx) {
                Ok(told) => {
                    let _followed = live.unfollowed.remove(0);
                    step = step.and(self.on_followed(&next, told));
                }
                Err(Lost::Lacks(code)) => return step.and(Step::act(vec![Effect::FetchCode(code)])),
                Err(Lost::Unknown) => {
                    live.unfollowed.clear();
                    let (from, to) = (live.agreed.round, next.posted.at.round());
                    let cannot = Event::Notice(Notice::CannotFollow { round: to });
                    let told = std::iter::once(cannot).chain(live.outdate(from, to)).map(Effect::Notify);
                    return step.and(Step::commit(told.collect()));
                }
            }
        }
    }

    fn on_followed(&mut self, made: &Unfollowed, told: Vec<Event>) -> Step {
        if made.is_residual {
            self.pay_residual(&told);
        }
        let mut effects: Vec<_> = told.into_iter().map(Effect::Notify).collect();
        // Also while a close is offered: it may come to nothing.
        if !matches!(self.phase, Phase::Closing(_, How::Solo(_) | How::Residual(_))) {
            effects.push(Effect::Send(Message::ForceProgressLocked { round: made.posted.at.round() }));
        }
        Step::commit(effects)
    }

    /// What a residual channel's contracts pay leaves the channel at once (R5.11).
    fn pay_residual(&mut self, told: &[Event]) {
        let Phase::Closing(_, How::Residual(Residual { balances: Some(balances) })) = &mut self.phase else { return };
        for event in told {
            let Event::Executed { performed, .. } = event else { continue };
            for Performed { outcome, .. } in performed {
                if let Outcome::Called { payouts, .. } = outcome {
                    for (party, amount) in payouts.iter() {
                        balances[party] = balances[party].saturating_add(*amount);
                    }
                }
            }
        }
    }

    /// With its last coin a residual channel ends (R5.11).
    pub(super) fn end_residual(&mut self) -> Step {
        match &self.phase {
            Phase::Closing(live, How::Residual(Residual { balances })) if live.funding.total == 0 => {
                let agreed = live.agreed.state.balances;
                self.close(
                    balances.map_or(CloseReason::Unseen { agreed }, |balances| CloseReason::Settled { balances }),
                )
            }
            _ => Step::default(),
        }
    }

    /// Transition: closing (solo) -> closed, or closing (residual) where contracts still hold coins.
    pub(crate) fn on_chain_settled(&mut self, balances: Pair<Amount>, remaining: Amount) -> Step {
        if remaining == 0 {
            return self.close_once(CloseReason::Settled { balances });
        }
        if matches!(self.phase, Phase::Closing(_, How::Residual(_))) {
            // A channel is settled once: told again, with steps after it.
            return Step::default();
        }
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        live.funding.total = remaining;
        live.solo_wanted = false;
        // Forced steps count anew, and no state but this one counts any more (R5.11).
        live.seen.forced_steps = Pair::default();
        live.seen.on_chain.maturity = Maturity::default();
        let mut told = live.drop_pending(RefusalCode::CLOSING);
        told.push(Event::Residual { balances, held: remaining });
        self.move_to_closing(How::Residual(Residual { balances: Some(balances) }));
        Step::commit(told.into_iter().map(Effect::Notify).collect())
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_force_progress_locked(&mut self, round: Round, ctx: &Context<'_>) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("force_progress_locked");
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        live.operating.peer_follows = live.operating.peer_follows.max(round);
        Ok(self.advance(ctx))
    }
}

/// A settled channel, as far as planning looks at it.
const RESIDUAL: RecordPhase = RecordPhase::Residual { counted_from: Pair::new(0, 0) };

/// What a forced step goes on from, with `state` the co-signed state shown, or the one on chain.
const fn start<'a>(live: &'a Live, state: &'a State, payload: Option<Payload>, record: &'a Record) -> Start<'a> {
    let (channel, balances, calls_root) = (live.funding.channel, state.balances, state.calls_root);
    Start { channel, record, payload, balances, contracts: &state.contracts, calls_root }
}

impl Live {
    /// Whether the peer may make a newer state that this side holds lose its force, by steps on an older one (R5.4b).
    fn is_in_danger(&self) -> bool {
        self.seen.on_chain.is_forced() || self.is_below_a_mark(self.agreed.named)
    }

    fn snapshot(&self, payload: Payload) -> Effect {
        let channel = self.funding.channel;
        Effect::Submit(Box::new(Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload })))
    }

    /// Whether the arbiter was past this state, or at it, when it was last heard of. Co-signed states come in the order of their rounds, and
    /// forced ones in the order of theirs above the co-signed one below them (R5.4).
    fn has_seen(&self, posted: &Posted) -> bool {
        posted.at <= self.seen.on_chain.at
    }

    /// Whether the arbiter was past this state when it was last heard of.
    pub(super) fn is_past(&self, posted: &Posted) -> bool {
        posted.at < self.seen.on_chain.at
    }

    /// The arbiter has made these calls: they are not forced any more. Their ids, where they are changes that waited.
    fn take_forced(&mut self, calls: &[ForcedCall]) -> Vec<ChangeId> {
        let Some(mut forcing) = self.forcing.take_if(|forcing| forcing.calls.starts_with(calls)) else {
            return Vec::new();
        };
        let left = forcing.calls.split_off(calls.len());
        let ids_left = forcing.ids.split_off(calls.len().min(forcing.ids.len()));
        if !left.is_empty() {
            self.forcing = Some(Forcing::of(left, ids_left));
        }
        forcing.ids
    }

    /// Whether this side holds a state that counts before forced steps which it has not followed: then they will not be followed (R5.4).
    fn replaces_forced(&self, head: BlockNumber) -> bool {
        self.unfollowed.iter().all(|made| !made.is_residual) && self.newer_than_chain(head).is_some()
    }

    /// Makes the forced state the agreed one, if it can be computed from a state that is known here.
    fn follow(&mut self, record: Record, made: &Unfollowed, me: Party, ctx: &Context<'_>) -> Result<Vec<Event>, Lost> {
        let Unfollowed { party, posted, calls, height, total, is_residual } = made;
        let steps = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let before = Base { steps: posted.at.steps.saturating_sub(steps), ..posted.at };
        let phase = if *is_residual { RESIDUAL } else { RecordPhase::Open };
        let on_chain = OnChain { at: before, ..record.on_chain.clone() };
        let record = Record { on_chain, total: *total, phase, ..record };
        let mut executor = Predictor { apps: ctx.apps, shown_at: &|_| None };
        let mut run = |state: &State| {
            let start = start(self, state, None, &record);
            let followed = follow(&start, *party, calls, *height, &mut executor).ok()?;
            (followed.state_hash == posted.state_hash).then_some(followed)
        };
        // Either from what is agreed, or from a round of ours that the peer has signed and shown to the arbiter only.
        let ours = self.out.all().map(|ours| (Base::of(ours.round()), &ours.state));
        let below = self.agreed.below.iter().map(|below| (below.at, &below.state));
        let states = std::iter::once((self.agreed.base(), &self.agreed.state)).chain(ours).chain(below);
        let states: Vec<_> = states.filter(|(known, _)| *known == before).map(|(_, state)| state).collect();
        let found = states.iter().find_map(|state| {
            let shown = Posted { at: before, state_hash: state.hash() };
            run(state).map(|followed| (shown, followed))
        });
        let Some((shown, followed)) = found else {
            let codes = calls.iter().flat_map(|call| states.iter().filter_map(|it| it.contracts.get(&call.contract)));
            let lacks = codes.filter_map(|contract| match contract.code {
                Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
                _ => None,
            });
            return Err(lacks.into_iter().next().map_or(Lost::Unknown, Lost::Lacks));
        };
        let mut told = Vec::new();
        let is_below = self.agreed.below.as_ref().is_some_and(|below| below.at == before);
        if is_below && before < self.agreed.base() {
            // The agreed round has lost its force (R5.4b): it was not shown within a lock period.
            let changes = self.agreed.made.iter().map(|id| (id, &[][..])).collect();
            told.push(Event::Undone { changes, round: posted.at.round() });
        } else if shown.state_hash != self.agreed.hash {
            told.extend(self.adopt_from_chain(&shown, me).ok_or(Lost::Unknown)?);
        }
        self.out.bury(me, posted.at.agreed);
        self.out.abandon_below(me, posted.at);
        self.operating.lose();
        (self.undecided, self.parked) = (None, None);
        let height_before = self.agreed.forced.map_or(self.agreed.height, |forced| forced.height);
        let state = State::whole(followed.balances, followed.contracts, followed.calls_root);
        self.agreed = Agreed {
            round: posted.at.round(),
            named: Base::default(),
            state,
            hash: posted.state_hash,
            signatures: None,
            below: None,
            made: Ids::default(),
            forced: Some(Forced { at: posted.at, by: *party, height: height_before }),
            height: self.agreed.height.max(*height),
        };
        let ids = if *party == me { self.take_forced(calls) } else { Vec::new() };
        let performed = followed.executed.into_iter().enumerate().map(|(at, (contract, value, done))| Performed {
            by: *party,
            change: ids.get(at).copied(),
            outcome: Outcome::Called { contract, value, payouts: done.payouts, output: done.output, ended: done.ended },
        });
        told.push(Event::Executed { round: posted.at.round(), forced: true, performed: performed.collect() });
        Ok(told)
    }
}
