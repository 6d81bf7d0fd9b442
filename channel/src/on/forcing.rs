//! Calls that the arbiter makes because the peer does not answer (R5.10), and following those of the peer (R7.6).
//!
//! ```text
//!  Force(calls) | calls that waited too long --> with each head: plan, submit channel_force_progress, until it is final or refused
//!  ChannelProgressed (final) --> run the same calls on the state they went on from: the forced state is what both go on from
//!       |                        where this side holds a newer co-signed state, that replaces the forced one (R5.4, R6.9)
//!       '--> force_progress_locked <-> force_progress_locked      each when it is final for itself; then rounds go on above it (R6.1)
//! ```

use crate::{
    certainty::{Certainty, SoloStep},
    channel::Channel,
    effect::Effect,
    error::{Misuse, Violation},
    event::Event,
    input::Context,
    message::{Message, RefusalCode},
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, forcing::Forcing, replay::start},
    },
    state::Change,
    step::Step,
    transfer::Registered,
    wait::Act,
};
use protocol::{
    BlockNumber, Hash, Rejection, Round,
    arbiter::{MAX_FORCED_CALLS, MAX_FORCED_INPUTS, plan_fitting},
    call::{Call, CallKind, ForcedCall},
    contracts::{CallFault, Predictor, conditional::HashLock},
    record::{Phase as RecordPhase, Record},
};

impl Channel {
    /// Transition: open | closing (solo) -> the same, with a forced step on its way, or waiting for the peer's word
    pub(crate) fn on_user_force(
        &mut self,
        calls: Vec<ForcedCall>,
        certainty: Certainty,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        let state = self.phase.name();
        let is_settled = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        let (Phase::Open(live) | Phase::Closing(live, ClosePath::Solo(_) | ClosePath::Residual(_))) = &mut self.phase
        else {
            return Err(Misuse::NotOpen { state });
        };
        // What is settled is on chain, whatever is stored here.
        if !is_settled || !live.is_as_on_chain() {
            live.store.check()?;
        }
        if live.dispute.forcing().is_some() {
            return Err(Misuse::AlreadyForcing);
        }
        if live.wish.is_solo() && matches!(self.phase, Phase::Open(_)) {
            return Err(Misuse::AlreadyClosing);
        }
        let forcing = Forcing::of(calls, Vec::new());
        // What is known to be refused is said at once.
        let submit = self.plan_of(&forcing, ctx).map_err(Misuse::WouldBeRefused)?;
        if !is_settled && !self.is_certain(certainty) {
            return self.defer_force(forcing.into_all_calls());
        }
        let _none = self.confirmation.take(SoloStep::Force);
        Ok(self.begin_forcing(forcing).and(Step::act(vec![submit])))
    }

    /// The part of a tick that concerns own calls which the peer leaves unanswered.
    pub(crate) fn on_tick_while_calling(&mut self, ctx: &Context<'_>) -> Step {
        let Some(patience) = self.config.force_after else { return Step::default() };
        let me = self.me;
        let is_free = self.waits_for(Act::Force, ctx.head).is_none();
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        // What is left of a transfer is forced as the transfer would have been (R8.3g).
        let is_users = |id| !self.transfers.is_ours(id);
        if !is_free || !live.outgoing.calls_wait(is_users) {
            live.dispute.note_calls_answered();
            return Step::default();
        }
        if !live.dispute.calls_waited(ctx.now, patience) {
            return Step::default();
        }
        // Nobody has asked for it by name: what transfers with calls may need goes first.
        if !self.may_spare_a_step(ctx) {
            return Step::default();
        }
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let mut bytes = 0_usize;
        let mut count = 0_usize;
        let fits = |change: &Change| {
            (bytes, count) = (bytes.saturating_add(change.bytes()), count.saturating_add(1));
            bytes <= MAX_FORCED_INPUTS && count <= MAX_FORCED_CALLS
        };
        let (given_up, calls) = live.outgoing.take_calls(me, is_users, fits);
        let (ids, calls) = calls.into_iter().unzip();
        let told = live.given_up(&given_up, RefusalCode::TIMEOUT);
        let step = Step::tell(told).and(self.begin_forcing(Forcing::of(calls, ids)));
        step.and(self.force_again(ctx))
    }

    pub(crate) fn begin_forcing(&mut self, forcing: Forcing) -> Step {
        // What is refused from here on is something new.
        let _told = self.last_rejection.take_if(|(call, _)| *call == CallKind::ChannelForceProgress);
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let changes = forcing.changes().to_vec();
        live.dispute.force(forcing);
        // Were it signed now, it would replace what is forced (R5.4).
        live.operation.retry_above();
        let postponed = live.incoming.postpone_review(RefusalCode::NOT_NOW);
        // It was offered on the balances from before.
        let code = RefusalCode::NOT_NOW;
        let deferred = live.incoming.take_shutdown().map(|_shutdown| Effect::Send(Message::ShutdownError { code }));
        let say = postponed.into_iter().chain(deferred).collect();
        Step::commit(say).and(Step::tell([Event::Forcing { changes }]))
    }

    /// Asks for the forced step that is wanted, on what is on chain now, as long as it is not made.
    pub(crate) fn force_again(&mut self, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, ClosePath::Solo(_) | ClosePath::Residual(_))) = &self.phase
        else {
            return Step::default();
        };
        let is_free = live.dispute.pending_replay().is_none() || live.newer_than_chain(ctx.head).is_some();
        // An old store makes no claim of its own (R6.6a), but where the state is final.
        let is_free = is_free && (!live.store.is_doubtful() || self.is_settled_as_known());
        let Some(forcing) = live.dispute.forcing().filter(|_| is_free) else {
            return Step::default();
        };
        if forcing.are_ends() {
            let ends = self.ends_to_force(live, ctx).calls;
            if !ends.is_empty() {
                return self.renew_forcing(ends, ctx);
            }
            if self.plan_of(forcing, ctx).is_ok() {
                // Rounds have made meanwhile what can be made again.
                let _made = self.stop_forcing();
                return Step::commit(Vec::new()).and(self.advance(ctx));
            }
        }
        self.submit_forced(ctx)
    }

    /// What ends transfers is made up anew, and submitted.
    fn renew_forcing(&mut self, ends: Vec<ForcedCall>, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let is_new = live.dispute.forcing_mut().is_some_and(|forcing| forcing.renew(ends));
        let kept = if is_new { Step::commit(Vec::new()) } else { Step::default() };
        kept.and(self.submit_forced(ctx))
    }

    /// Submits the step that is wanted, or gives it up where the arbiter would refuse it.
    fn submit_forced(&mut self, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Step::default() };
        let Some(forcing) = live.dispute.forcing() else { return Step::default() };
        match self.plan_of(forcing, ctx) {
            Ok(submit) => Step::act(vec![submit]),
            Err(rejection) => self.give_up_forcing(rejection, ctx),
        }
    }

    fn give_up_forcing(&mut self, rejection: Rejection, ctx: &Context<'_>) -> Step {
        let Some(forcing) = self.stop_forcing() else { return Step::default() };
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.outgoing.give_up_forced(forcing.changes());
        }
        let failed = Event::ForceFailed { changes: forcing.changes().to_vec(), rejection };
        Step::tell([failed]).and(self.advance(ctx))
    }

    /// Nothing is forced any more. What was.
    fn stop_forcing(&mut self) -> Option<Forcing> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return None };
        let forcing = live.dispute.take_forcing()?;
        // Nothing was forced on top of it: what was abandoned for it is as good as ever.
        let base = live.agreed.base();
        let _open_again = live.outgoing.reclaim(self.me, base);
        Some(forcing)
    }

    /// What the arbiter's refusal of a forced step means: some reasons pass, and it is planned anew with the next head. So may that of an app,
    /// which was found willing here, in the next block: a node tries a call in the block that is there.
    pub(crate) fn on_force_rejected(
        &mut self,
        call: CallKind,
        rejection: Rejection,
        ctx: &Context<'_>,
    ) -> Option<Step> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return None };
        let forcing = live.dispute.forcing_mut().filter(|_| call == CallKind::ChannelForceProgress)?;
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
        if let Rejection::CallFailed { round, .. } = rejection
            && forcing.are_ends()
        {
            // Each call of a step is a round.
            let from = live.newer_than_chain(ctx.head).map_or(live.dispute.on_chain().round(), |payload| payload.round);
            let place = round.checked_sub(from.saturating_add(1)).and_then(|place| usize::try_from(place).ok());
            let failed = live.dispute.forcing().zip(place).and_then(|(forcing, place)| forcing.next().get(place));
            failed.into_iter().for_each(|call| self.transfers.leave_out(call));
        }
        Some(self.give_up_forcing(rejection, ctx))
    }

    /// The chain could not make a forced step, though the rules allow it: it takes more than a block holds, say. Fewer calls are tried; where one
    /// alone is too much, the user is told.
    pub(crate) fn on_force_undeliverable(&mut self, call: CallKind, ctx: &Context<'_>) -> Option<Step> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return None };
        let forcing = live.dispute.forcing_mut().filter(|_| call == CallKind::ChannelForceProgress)?;
        if forcing.halve() || forcing.is_tried_again() {
            return Some(Step::default());
        }
        if forcing.are_ends() {
            forcing.next().iter().for_each(|call| self.transfers.leave_out(call));
        }
        Some(self.give_up_forcing(Rejection::StepTooLarge, ctx))
    }

    /// The forced step as it would be made in the next block. What it comes to is left to the arbiter to say: apps may look at the height.
    pub(crate) fn plan_of(&self, forcing: &Forcing, ctx: &Context<'_>) -> Result<Effect, Rejection> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Err(Rejection::NotOpen) };
        let payload = live.newer_than_chain(ctx.head);
        if live.dispute.pending_replay().is_some() && payload.is_none() {
            return Err(Rejection::RoundTooOld { got: live.agreed.round(), have: live.dispute.on_chain().round() });
        }
        let record = self.record(live);
        let height = ctx.head.saturating_add(1);
        let is_residual = matches!(record.phase, RecordPhase::Residual { .. });
        if is_residual && payload.is_some() {
            return Err(Rejection::StateFinal);
        }
        let steps = live.dispute.forced_steps()[self.me];
        let is_anew = match record.phase {
            // It is counted anew with each lock period (R5.11).
            RecordPhase::Residual { counted_from } => {
                height >= counted_from[self.me].saturating_add(record.terms.lock_period)
            }
            RecordPhase::Open | RecordPhase::Closing(_) => payload.is_some(),
        };
        if !is_anew && steps >= record.terms.max_forced {
            return Err(Rejection::ForcedStepsUsedUp { max: record.terms.max_forced });
        }
        let deployed = |code: &Hash| ctx.apps.deployed(code);
        let shown_at = |lock: &HashLock| match ctx.transfers.registered(lock) {
            Registered::Shown { at } => Some(at),
            Registered::Unknown | Registered::Silent { .. } => None,
        };
        let mut executor = Predictor::new(ctx.apps, &shown_at);
        let start = start(live, live.agreed.state(), payload, &record);
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
        call.state_hash = None;
        Ok(Effect::Submit(Box::new(Call::ChannelForceProgress(call))))
    }

    /// The record on chain, as far as planning looks at it.
    pub(crate) fn record(&self, live: &Live) -> Record {
        let phase = match &self.phase {
            Phase::Closing(_, ClosePath::Residual(_)) => {
                RecordPhase::Residual { counted_from: live.dispute.counted_from() }
            }
            _ => RecordPhase::Open,
        };
        let (terms, total, forced_steps) =
            (live.funding.terms().clone(), live.funding.total(), live.dispute.forced_steps());
        Record { terms, total, on_chain: live.dispute.on_chain().clone(), forced_steps, phase }
    }

    /// What replaces a forced chain that is older than what this side holds, while the channel is open (R6.9).
    pub(crate) fn snapshot_again(&self, head: BlockNumber) -> Option<Effect> {
        let (Phase::Open(live) | Phase::Closing(live, ClosePath::Offered(_) | ClosePath::Agreed(_))) = &self.phase
        else {
            return None;
        };
        // Calls that are being forced carry the newer state with them: alone it would only undo an own claim (R7.6a).
        let is_carried = self.is_open() && live.dispute.is_forcing_wanted();
        let wanted = self.config.defend && live.is_in_danger() && !is_carried;
        Some(live.snapshot(live.newer_than_chain(head).filter(|_| wanted)?))
    }

    const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_force_progress_locked(&mut self, round: Round, ctx: &Context<'_>) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("force_progress_locked");
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        live.operation.note_peer_replayed(round);
        Ok(self.advance(ctx))
    }
}
