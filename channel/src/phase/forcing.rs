//! Calls that the arbiter makes because the peer does not answer (R5.10), and following those of the peer.
//!
//! ```text
//!  Force(calls) | calls that waited too long --> with each head: plan, submit channel_force_progress, until it is final or refused
//!  ChannelProgressed (final) --> run the same calls on the state they went on from: the forced state is what both go on from
//!       |                        where this side holds a newer co-signed state, that replaces the forced one (R5.4, R6.9)
//!       '--> force_progress_locked <-> force_progress_locked      each when it is final for itself; then rounds go on above it (R6.1)
//! ```

use super::{
    CloseReason, Phase,
    closing::{How, Residual, Solo},
    live::{Agreed, Forced, Live, MAX_DISOWNED, Seen},
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
    AccountId, Amount, BlockNumber, Hash, Pair, Party, Rejection, Round,
    arbiter::{Base, MAX_FORCED_CALLS, MAX_FORCED_INPUTS, Plan, plan},
    call::{Call, ForcedCall, Payload, SnapshotSolo},
    contracts::{CallFault, Code, Predictor},
    record::{Closing, OnChain, Phase as RecordPhase, Record},
};
use scale::{Decode, Encode};

/// The call that forces.
const FORCE: &str = "channel_force_progress";
/// How often the arbiter may refuse one forced step for reasons that may pass.
const MAX_REFUSALS: u8 = 8;

/// The calls that this side is forcing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forcing {
    calls: Vec<ForcedCall>,
    /// The id of the first, where they are changes that waited; the others follow.
    first: Option<ChangeId>,
    #[codec(skip)]
    refusals: u8,
}

impl Forcing {
    /// Whether any of its calls is one of these changes.
    pub(super) fn holds(&self, from: ChangeId, to: ChangeId) -> bool {
        self.ids().iter().any(|id| (from..to).contains(id))
    }

    /// Its calls from a change on, as changes, and the id of the first.
    pub(super) fn after(self, end: ChangeId) -> (ChangeId, Vec<Change>) {
        let first = self.first.unwrap_or(end);
        let skip = usize::try_from(end.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let change = |ForcedCall { contract, value, input }| Change::CallContract { contract, value, input };
        (end.max(first), self.calls.into_iter().skip(skip).map(change).collect())
    }

    /// What is told where the channel has ended before the arbiter made them.
    pub(super) fn too_late(&self) -> Event {
        Event::ForceFailed { changes: self.ids(), rejection: Rejection::ChannelUnknown }
    }

    fn ids(&self) -> Vec<ChangeId> {
        self.first.map(|first| super::live::ids(first, self.calls.len())).unwrap_or_default()
    }
}

/// A forced step that the arbiter has made and that is not followed yet: an app may have to be fetched first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Unfollowed {
    party: Party,
    on_chain: OnChain,
    calls: Vec<ForcedCall>,
    /// Its block (R7.3).
    height: BlockNumber,
    /// What the channel held before it.
    total: Amount,
    is_residual: bool,
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
    pub(crate) on_chain: OnChain,
    pub(crate) forced_steps: Pair<u8>,
    pub(crate) total: Amount,
    pub(crate) closing: Option<Closing>,
    pub(crate) calls: Vec<ForcedCall>,
}

impl Channel {
    /// Transition: open | closing (solo) -> the same, with a forced step on its way
    pub(crate) fn on_user_force(&mut self, calls: Vec<ForcedCall>, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let state = self.phase.name();
        let (Phase::Open(live) | Phase::Closing(live, How::Solo(_) | How::Residual(_))) = &mut self.phase else {
            return Err(Misuse::NotOpen { state });
        };
        if live.outdated.is_some() {
            return Err(Misuse::StoreOutdated);
        }
        if live.forcing.is_some() {
            return Err(Misuse::AlreadyForcing);
        }
        if live.solo_wanted && matches!(self.phase, Phase::Open(_)) {
            return Err(Misuse::AlreadyClosing);
        }
        let forcing = Forcing { calls, first: None, refusals: 0 };
        // What is known to be refused is said at once.
        let submit = self.plan_of(&forcing, ctx).map_err(Misuse::BadTerms)?;
        Ok(self.begin_forcing(forcing).and(Step::act(vec![submit])))
    }

    /// The part of a tick that concerns own calls which the peer leaves unanswered.
    pub(crate) fn on_tick_while_calling(&mut self, ctx: &Context<'_>) -> Step {
        let Some(patience) = self.config.force_after else { return Step::default() };
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let free = !live.solo_wanted && live.outdated.is_none() && !live.operating.is_bound();
        let free = free && live.forcing.is_none() && live.unfollowed.is_empty();
        if !free || !live.calls_wait() {
            live.calls_wait_since = None;
            return Step::default();
        }
        let since = *live.calls_wait_since.get_or_insert(ctx.now);
        if ctx.now.saturating_sub(since) < patience || live.disowned.len() >= MAX_DISOWNED {
            return Step::default();
        }
        live.calls_wait_since = None;
        let (given_up, first, calls) = live.take_calls(me);
        let told = live.given_up(given_up, RefusalCode::TIMEOUT);
        let told = Step::commit(told.into_iter().map(Effect::Notify).collect());
        let step = told.and(self.begin_forcing(Forcing { calls, first: Some(first), refusals: 0 }));
        step.and(self.force_again(ctx))
    }

    fn begin_forcing(&mut self, forcing: Forcing) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let changes = forcing.ids();
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
        let Some(forcing) = live.forcing.as_ref().filter(|_| live.unfollowed.is_empty()) else {
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
        let failed = Event::ForceFailed { changes: forcing.ids(), rejection };
        Step::commit(vec![Effect::Notify(failed)]).and(self.advance(ctx))
    }

    /// What the arbiter's refusal of a forced step means: some reasons pass, and it is planned anew with the next head. So may that of an app,
    /// which was found willing here, in the next block: a node tries a call in the block that is there.
    pub(crate) fn on_force_rejected(&mut self, call: &str, rejection: Rejection, ctx: &Context<'_>) -> Option<Step> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return None };
        let forcing = live.forcing.as_mut().filter(|_| call == FORCE)?;
        forcing.refusals = forcing.refusals.saturating_add(1);
        let may_pass = match rejection {
            Rejection::CallFailed { fault, .. } => fault == CallFault::Refused,
            Rejection::ForcedStepsUsedUp { .. }
            | Rejection::CannotAttach { .. }
            | Rejection::CallsTooLarge
            | Rejection::MayNotForce { .. } => false,
            _ => true,
        };
        if may_pass && forcing.refusals < MAX_REFUSALS {
            return Some(Step::default());
        }
        Some(self.give_up_forcing(rejection, ctx))
    }

    /// The forced step as it would be made in the next block. What it comes to is left to the arbiter to say: apps may look at the height.
    fn plan_of(&self, forcing: &Forcing, ctx: &Context<'_>) -> Result<Effect, Rejection> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Err(Rejection::NotOpen) };
        if !live.unfollowed.is_empty() {
            return Err(Rejection::RoundTooOld { got: live.agreed.round, have: live.seen.on_chain.round });
        }
        let payload = live.newer_than(&live.seen.on_chain);
        let record = self.record(live);
        let calls = forcing.calls.clone();
        let height = ctx.head.saturating_add(1);
        let is_residual = record.phase == RecordPhase::Residual;
        if is_residual && payload.is_some() {
            return Err(Rejection::StateFinal);
        }
        let is_used_up = live.seen.forced_steps[self.me] >= record.terms.max_forced && payload.is_none();
        let deployed = |code: &Hash| ctx.apps.deployed(code);
        let mut executor = Predictor { apps: ctx.apps, shown_at: &|_| None };
        let base = base(live, &live.agreed.state, payload, &record);
        let Plan { mut call, executed, .. } = plan(&base, self.me, calls, height, &deployed, &mut executor)?;
        // On a residual channel only steps that pay nothing are counted (R5.11).
        let pays = executed.iter().any(|(_, _, done)| done.payouts != Pair::default());
        if is_used_up && !(is_residual && pays) {
            return Err(Rejection::ForcedStepsUsedUp { max: record.terms.max_forced });
        }
        call.state_hash = None;
        Ok(Effect::Submit(Box::new(Call::ChannelForceProgress(call))))
    }

    /// The record on chain, as far as planning looks at it.
    fn record(&self, live: &Live) -> Record {
        let OnChain { round, forced_from, state_hash } = live.seen.on_chain;
        let phase = match &self.phase {
            Phase::Closing(_, How::Residual(_)) => RecordPhase::Residual,
            _ => RecordPhase::Open,
        };
        let (terms, total, forced_steps) = (live.funding.terms.clone(), live.funding.total, live.seen.forced_steps);
        Record { terms, total, round, forced_from, state_hash, forced_steps, phase }
    }

    /// What replaces a forced chain that is older than what this side holds, while the channel is open (R6.9).
    pub(crate) fn snapshot_again(&self) -> Option<Effect> {
        let Phase::Open(live) = &self.phase else { return None };
        let wanted = self.config.defend && live.seen.on_chain.forced_from.is_some();
        let payload = live.newer_than(&live.seen.on_chain).filter(|_| wanted)?;
        let channel = live.funding.channel;
        Some(Effect::Submit(Box::new(Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }))))
    }

    /// Transition: open | closing -> the same, on the forced state.
    pub(crate) fn on_chain_progressed(&mut self, step: Progressed, ctx: &Context<'_>) -> Step {
        let is_residual = matches!(self.phase, Phase::Closing(_, How::Residual(_)));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let Progressed { party, on_chain, forced_steps, total, closing, calls } = step;
        if live.has_seen(&on_chain) {
            // Told again, or followed by others in its block, which is told again.
            return Step::default();
        }
        live.seen = Seen { on_chain, forced_steps };
        let before = std::mem::replace(&mut live.funding.total, total);
        if is_residual || live.newer_than(&on_chain).is_none() {
            live.unfollowed.push(Unfollowed { party, on_chain, calls, height: ctx.head, total: before, is_residual });
        } else {
            // What this side holds counts before the whole chain of them (R5.4).
            live.unfollowed.clear();
        }
        if let Some(closing) = &closing {
            self.move_to_closing(How::Solo(Solo::new(on_chain, closing)));
        }
        let mut step = Step::commit(Vec::new()).and(self.follow_on(ctx));
        if self.phase.live().is_some_and(|live| !live.unfollowed.is_empty()) {
            step = step
                .and(Step::act(vec![Effect::Notify(Event::Notice(Notice::CannotFollow { round: on_chain.round }))]));
        }
        step = step.and(Step::act(self.snapshot_again().into_iter().collect())).and(Step::act(self.defence(ctx.head)));
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
            let Some(next) = live.unfollowed.first().cloned() else { return step };
            match live.follow(record, &next, me, ctx) {
                Ok(told) => {
                    let _followed = live.unfollowed.remove(0);
                    step = step.and(self.on_followed(&next, told));
                }
                Err(Lost::Lacks(code)) => return step.and(Step::act(vec![Effect::FetchCode(code)])),
                Err(Lost::Unknown) => {
                    live.unfollowed.clear();
                    let (from, to) = (live.agreed.round, next.on_chain.round);
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
            effects.push(Effect::Send(Message::ForceProgressLocked { round: made.on_chain.round }));
        }
        Step::commit(effects)
    }

    /// What a residual channel's contracts pay leaves the channel at once (R5.11).
    fn pay_residual(&mut self, told: &[Event]) {
        let Phase::Closing(_, How::Residual(residual)) = &mut self.phase else { return };
        for event in told {
            let Event::Executed { performed, .. } = event else { continue };
            for Performed { outcome, .. } in performed {
                if let Outcome::Called { payouts, .. } = outcome {
                    for (party, amount) in payouts.iter() {
                        residual.balances[party] = residual.balances[party].saturating_add(*amount);
                    }
                }
            }
        }
    }

    /// With its last coin a residual channel ends (R5.11).
    fn end_residual(&mut self) -> Step {
        match &self.phase {
            Phase::Closing(live, How::Residual(Residual { balances })) if live.funding.total == 0 => {
                let balances = *balances;
                self.close(CloseReason::Settled { balances })
            }
            _ => Step::default(),
        }
    }

    /// Transition: closing (solo) -> closed, or closing (residual) where contracts still hold coins.
    pub(crate) fn on_chain_settled(&mut self, balances: Pair<Amount>, remaining: Amount) -> Step {
        if remaining == 0 {
            return self.close_once(CloseReason::Settled { balances });
        }
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if live.funding.total == remaining && matches!(self.phase, Phase::Closing(_, How::Residual(_))) {
            return Step::default();
        }
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        live.funding.total = remaining;
        live.solo_wanted = false;
        // Forced steps count anew, and no state but this one counts any more (R5.11).
        live.seen.forced_steps = Pair::default();
        let mut told = live.drop_pending(RefusalCode::CLOSING);
        told.push(Event::Residual { balances, held: remaining });
        self.move_to_closing(How::Residual(Residual { balances }));
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

/// How far the arbiter has come: the last co-signed round, and the last round.
fn progress(on_chain: &OnChain) -> (Round, Round) {
    (on_chain.forced_from.map_or(on_chain.round, |from| from.saturating_sub(1)), on_chain.round)
}

/// What a forced step goes on from, with `state` the co-signed state shown, or the one on chain.
const fn base<'a>(live: &'a Live, state: &'a State, payload: Option<Payload>, record: &'a Record) -> Base<'a> {
    let (channel, balances, calls_root) = (live.funding.channel, state.balances, state.calls_root);
    Base { channel, record, payload, balances, contracts: &state.contracts, calls_root }
}

impl Live {
    /// Whether the arbiter was past this state, or at it, when it was last heard of. Co-signed states come in the order of their rounds, and
    /// forced ones in the order of theirs above the co-signed one below them (R5.4).
    fn has_seen(&self, on_chain: &OnChain) -> bool {
        progress(on_chain) <= progress(&self.seen.on_chain)
    }

    /// Whether the arbiter was past this state when it was last heard of.
    pub(super) fn is_past(&self, on_chain: &OnChain) -> bool {
        progress(on_chain) < progress(&self.seen.on_chain)
    }

    /// Whether a call of one's own waits for the peer.
    fn calls_wait(&self) -> bool {
        let proposed = self.proposal.as_ref().map(|ours| &ours.update.changes);
        proposed.into_iter().flatten().chain(&self.queue).any(|change| matches!(change, Change::CallContract { .. }))
    }

    /// Takes the first calls in a row that wait, as many as one forced step can make, out of everything that waits: what stands before them is
    /// given up.
    fn take_calls(&mut self, me: Party) -> (Vec<ChangeId>, ChangeId, Vec<ForcedCall>) {
        self.requeue_proposal(me);
        let before = self.queue.iter().take_while(|change| !matches!(change, Change::CallContract { .. })).count();
        let given_up = super::live::ids(self.queue_first(), before);
        let _changes = self.unqueue(me, before);
        let first = self.queue_first();
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for change in self.queue.iter().take(MAX_FORCED_CALLS) {
            bytes = bytes.saturating_add(change.bytes());
            if !matches!(change, Change::CallContract { .. }) || bytes > MAX_FORCED_INPUTS {
                break;
            }
            count = count.saturating_add(1);
        }
        let call = |change| match change {
            Change::CallContract { contract, value, input } => Some(ForcedCall { contract, value, input }),
            _ => None,
        };
        let calls = self.unqueue(me, count).into_iter().filter_map(call).collect();
        (given_up, first, calls)
    }

    /// Makes the forced state the agreed one, if it can be computed from a state that is known here.
    fn follow(&mut self, record: Record, made: &Unfollowed, me: Party, ctx: &Context<'_>) -> Result<Vec<Event>, Lost> {
        let Unfollowed { party, on_chain, calls, height, total, is_residual } = made;
        let steps = Round::try_from(calls.len()).unwrap_or(Round::MAX);
        let round = on_chain.round.saturating_sub(steps);
        let phase = if *is_residual { RecordPhase::Residual } else { RecordPhase::Open };
        let record = Record { round, total: *total, phase, ..record };
        let known = |code: &Hash| Some(AccountId(code.0));
        let mut executor = Predictor { apps: ctx.apps, shown_at: &|_| None };
        let mut run = |state: &State| {
            let base = base(self, state, None, &record);
            let plan = plan(&base, *party, calls.clone(), *height, &known, &mut executor).ok()?;
            (plan.state_hash == on_chain.state_hash).then_some(plan)
        };
        // Either from what is agreed, or from a round of ours that the peer has signed and shown to the arbiter only.
        let ours = self.proposal.as_ref().map(|ours| (ours.update.round, &ours.state));
        let ours = ours.into_iter().chain(self.disowned.iter().map(|ours| (ours.round, &ours.state)));
        let states = std::iter::once((self.agreed.round, &self.agreed.state)).chain(ours);
        let states: Vec<_> = states.filter(|(known, _)| *known == round).map(|(_, state)| state).collect();
        let found = states.iter().find_map(|state| {
            let shown = OnChain { round, forced_from: None, state_hash: state.hash() };
            run(state).map(|plan| (shown, plan))
        });
        let Some((shown, plan)) = found else {
            let codes = calls.iter().flat_map(|call| states.iter().filter_map(|it| it.contracts.get(&call.contract)));
            let lacks = codes.filter_map(|contract| match contract.code {
                Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
                _ => None,
            });
            return Err(lacks.into_iter().next().map_or(Lost::Unknown, Lost::Lacks));
        };
        let mut told = Vec::new();
        if shown.state_hash != self.agreed.hash {
            told.extend(self.adopt_from_chain(&shown, me).ok_or(Lost::Unknown)?);
        }
        self.requeue_proposal(me);
        self.operating.lose();
        (self.undecided, self.parked) = (None, None);
        let from = on_chain.forced_from.unwrap_or(on_chain.round);
        let before = self.agreed.forced.map_or(self.agreed.height, |forced| forced.height);
        let state = State::whole(plan.balances, plan.contracts, plan.calls_root);
        self.agreed = Agreed {
            round: on_chain.round,
            state,
            hash: on_chain.state_hash,
            signatures: None,
            forced: Some(Forced { from, by: *party, height: before }),
            height: self.agreed.height.max(*height),
        };
        self.disowned.retain(|ours| ours.round >= from);
        let forcing = self.forcing.take_if(|forcing| *party == me && forcing.calls == *calls);
        let first = forcing.and_then(|forcing| forcing.first);
        let performed = plan.executed.into_iter().enumerate().map(|(at, (contract, value, done))| Performed {
            by: *party,
            change: first.map(|first| ChangeId(first.0.saturating_add(u64::try_from(at).unwrap_or(u64::MAX)))),
            outcome: Outcome::Called { contract, value, payouts: done.payouts, output: done.output, ended: done.ended },
        });
        told.push(Event::Executed { round: on_chain.round, forced: true, performed: performed.collect() });
        Ok(told)
    }
}
