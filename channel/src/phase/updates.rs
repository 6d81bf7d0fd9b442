//! Rounds proposed, acknowledged, refused, crossing and batched (R6.1 to R6.4), by themselves or as the user decides.
//!
//! ```text
//!  proposer                               acknowledger
//!  update(n + 2, changes, signature) -->           checks, (asks the user,) signs, adopts
//!                                    <-- update_ack(n + 2, signature)
//!  adopts; meanwhile paid amounts wait for the next round
//! ```

use super::{
    Phase,
    closing::How,
    live::{Checked, Live, Own, Undecided, both},
};
use crate::{
    config::Acceptance,
    effect::{Effect, Event},
    error::{Misuse, Violation},
    input::Context,
    machine::{Answer, Awaited, Channel, Link, Step, Waiting},
    message::{Message, RefusalCode, Update},
    state::{Change, ChangeFault, Outcome, Performed, Results},
};
use protocol::{
    Hash, Party, Round, Signature,
    crypto::{Crypto, Native},
    signing::{StateBody, signed_bytes},
};

impl Channel {
    /// Transition: open -> open
    pub(crate) fn on_user_changes(&mut self, changes: Vec<Change>, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let (me, state) = (self.me, self.phase.name());
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        live.check_changes(me, &changes, &self.config, ctx)?;
        for change in changes {
            live.enqueue(me, change);
        }
        Ok(self.advance(ctx))
    }

    /// What a change of one's own would do on top of what is agreed and proposed; nothing changes. None for a payment.
    ///
    /// # Errors
    /// [`Misuse::NotOpen`], [`Misuse::Change`].
    pub fn try_change(&self, change: &Change, ctx: &Context<'_>) -> Result<Option<Outcome>, Misuse> {
        let state = self.phase.name();
        let Phase::Open(live) = &self.phase else { return Err(Misuse::NotOpen { state }) };
        live.try_change(self.me, change, &self.config, ctx).map_err(Misuse::Change)
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_update(&mut self, update: Update, ctx: &Context<'_>) -> Result<Step, Violation> {
        let round = update.round;
        let refuse = |code| Ok(Step::act(vec![Effect::Send(Message::UpdateError { round, code })]));
        let out_of_place = self.out_of_place("update");
        let live = match &mut self.phase {
            // From before a parting: the peer says it again once both know the same.
            Phase::Open(_) | Phase::Closing(..) if !self.link.is_in_step() => return Ok(Step::default()),
            // A signed close may be on its way: after it nothing else is agreed (R6.5).
            Phase::Closing(..) => return refuse(RefusalCode::CLOSING),
            Phase::Open(live) if live.solo_wanted => return refuse(RefusalCode::CLOSING),
            Phase::Open(live) if live.outdated.is_some() => return refuse(RefusalCode::OUTDATED),
            // So may be a signed operation, or a forced step, which the peer has not seen yet.
            Phase::Open(live) if live.operating.is_bound() || live.goes_on_by_force() => {
                return refuse(RefusalCode::NOT_NOW);
            }
            Phase::Open(_) if self.outbox.is_full() => return refuse(RefusalCode::NOT_NOW),
            Phase::Open(live) => live,
            _ => return Err(out_of_place),
        };
        if Party::owner_of(round) == self.me {
            return Err(Violation::WrongParity { got: round, owner: self.me });
        }
        if live.is_overtaken_by_chain(round) {
            return Ok(Step::default());
        }
        if live.rival().is_some_and(|ours| ours > round) {
            // Crossing proposals: ours is higher and wins; the peer will sign it and propose again (R6.1).
            let again = live.proposal.as_ref().is_some_and(|ours| ours.put_off).then(|| live.say_again()).flatten();
            return Ok(Step::act(again.into_iter().collect()));
        }
        if live.is_overtaken_by_disowned(round) {
            return refuse(RefusalCode::OVERTAKEN);
        }
        if live.undecided.as_ref().is_some_and(|shown| shown.update == update) {
            return Ok(Step::default());
        }
        // Nothing is remembered of such a round: own rounds would run out above it.
        live.check_near(round)?;
        if let Some(code) = Live::unwelcome(&update, ctx) {
            return self.refuse_update(round, Violation::CodeNotAccepted(code), ctx);
        }
        if let Some(code) = live.lacks(&update, ctx) {
            live.undecided = Some(Undecided { update, since: ctx.now, lacks: Some(code) });
            return Ok(Step::act(vec![Effect::FetchCode(code)]));
        }
        if self.config.acceptance == Acceptance::Automatic && !live.needs_consent(&update, self.me, ctx) {
            return self.agree_to(update, ctx);
        }
        let rules = (&self.domain, &self.config);
        let checked = live.check_round(&update, self.me.peer(), &self.peer, rules, ctx);
        if let Err(violation) = checked.and_then(|_valid| live.check_shown(&update)) {
            return self.refuse_update(round, violation, ctx);
        }
        let proposed = Event::Proposed { round, changes: update.changes.clone() };
        live.show(update, ctx.now);
        Ok(Step::act(vec![Effect::Notify(proposed)]))
    }

    /// An app was fetched, or could not be.
    pub(crate) fn on_code(&mut self, code: Hash, ctx: &Context<'_>) -> Step {
        if ctx.apps.knows(&code) {
            let followed = self.follow_on(ctx);
            if followed.commit {
                return followed.and(self.advance(ctx));
            }
        }
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let Some(shown) = live.undecided.take_if(|shown| shown.lacks == Some(code)) else { return Step::default() };
        let round = shown.update.round;
        if ctx.apps.knows(&code) {
            let answered = self.on_peer_update(shown.update, ctx);
            return answered.unwrap_or_else(|violation| Answer::UpdateError(round).refusing(violation));
        }
        let violation = Violation::Change(ChangeFault::CodeUnknown(code));
        let refused = self.refuse_update(round, violation, ctx);
        refused.unwrap_or_else(|violation| Answer::UpdateError(round).refusing(violation))
    }

    /// Checks the peer's round, signs and adopts it.
    fn agree_to(&mut self, update: Update, ctx: &Context<'_>) -> Result<Step, Violation> {
        let round = update.round;
        let out_of_place = self.out_of_place("update");
        let Phase::Open(live) = &mut self.phase else { return Err(out_of_place) };
        let rules = (&self.domain, &self.config);
        let checked = live.check_round(&update, self.me.peer(), &self.peer, rules, ctx);
        let Checked { state, results, message, height } = match checked {
            Ok(checked) => checked,
            Err(violation) => return self.refuse_update(round, violation, ctx),
        };

        let signature = ctx.key.sign(&message);
        live.requeue_proposal(self.me);
        live.operating.lose();
        live.adopt(round, state, update.state_hash, Some(both(self.me, signature, update.signature)));
        live.agreed.height = height;
        let mut effects = vec![Effect::Send(Message::UpdateAck { round, signature })];
        effects.extend(received(self.me.peer(), round, update.changes, results).map(Effect::Notify));
        Ok(Step::commit(effects).and(self.advance(ctx)))
    }

    /// Transition: open -> open
    pub(crate) fn on_user_accept(&mut self, round: Round, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let update = self.take_undecided(round)?;
        Ok(self.agree_to(update, ctx).unwrap_or_else(|violation| Answer::UpdateError(round).refusing(violation)))
    }

    /// Refuses a round that breaks a rule. Its proposer agrees to nothing below it (R6.1): that is to be remembered.
    fn refuse_update(&mut self, round: Round, violation: Violation, ctx: &Context<'_>) -> Result<Step, Violation> {
        match &mut self.phase {
            // No rule of the protocol, but one of this side's own: the peer is honest and waits for no answer to what it crossed.
            Phase::Open(live)
                if round > live.refused.max(live.signed) && violation.code() != RefusalCode::VALIDATION =>
            {
                live.refused = round;
                live.requeue_proposal(self.me);
                live.operating.lose();
                let refused = Step::commit(Vec::new()).and(Answer::UpdateError(round).refusing(violation));
                Ok(refused.and(self.advance(ctx)))
            }
            Phase::Open(live) if round > live.refused.max(live.signed) => {
                live.refused = round;
                Ok(Step::commit(Vec::new()).and(Answer::UpdateError(round).refusing(violation)))
            }
            _ => Err(violation),
        }
    }

    /// Transition: open -> open
    pub(crate) fn on_user_refuse(
        &mut self,
        round: Round,
        code: RefusalCode,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        if code.0 < RefusalCode::APPLICATION.0 {
            return Err(Misuse::CodeReserved { got: code });
        }
        let _update = self.take_undecided(round)?;
        Ok(self.refuse_round(round, code, ctx))
    }

    /// The part of a tick that concerns a round which waits for the user.
    pub(crate) fn on_tick_while_undecided(&mut self, ctx: &Context<'_>) -> Step {
        let late = self.config.timeouts.decision;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        match live.undecided.take_if(|shown| ctx.now.saturating_sub(shown.since) >= late) {
            Some(Undecided { update, lacks, .. }) => {
                let code = if lacks.is_some() { RefusalCode::CODE_UNKNOWN } else { RefusalCode::TIMEOUT };
                self.refuse_round(update.round, code, ctx)
            }
            None => Step::default(),
        }
    }

    fn take_undecided(&mut self, round: Round) -> Result<Update, Misuse> {
        let state = self.phase.name();
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        let shown = live.undecided.take_if(|shown| shown.update.round == round && shown.lacks.is_none());
        shown.map(|shown| shown.update).ok_or(Misuse::NotProposed { round })
    }

    /// Refuses a valid round. One's own lower proposal crossed it, and the peer took no notice: it is made again above.
    fn refuse_round(&mut self, round: Round, code: RefusalCode, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        live.refused = live.refused.max(round);
        live.requeue_proposal(self.me);
        live.operating.lose();
        Step::commit(vec![Effect::Send(Message::UpdateError { round, code })]).and(self.advance(ctx))
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_update_ack(
        &mut self,
        round: Round,
        signature: Signature,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("update_ack");
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        let Some(proposal) = live.proposal.as_ref().filter(|proposal| proposal.update.round == round) else {
            if let Some(state_hash) = live.left_behind(round) {
                return self.answered_late(Own { round, state_hash, signatures: None }, signature, ctx);
            }
            // The chain may have told of it before the peer's answer came, and of calls forced on top of it.
            let on_chain = round > 1 && live.agreed.round >= round && live.agreed.signatures.is_none();
            return if on_chain { Ok(Step::default()) } else { Err(Violation::RoundNotProposed { got: round }) };
        };
        let update = &proposal.update;
        let body = StateBody { round, state_hash: update.state_hash };
        if !Native.verify(&self.peer, &signed_bytes(&self.domain, &live.funding.channel, &body), &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let signatures = both(self.me, update.signature, signature);
        let Some(mut proposal) = live.proposal.take() else { return Ok(Step::default()) };
        let told = live.told_of(self.me, &mut proposal, round);
        live.adopt(round, proposal.state, proposal.update.state_hash, Some(signatures));
        live.calls_wait_since = None;
        Ok(Step::commit(told.into_iter().map(Effect::Notify).collect()).and(self.advance(ctx)))
    }

    /// The answer to a round that was given up for a forced step while the answer was on its way. It is as good as ever: both have signed it, and
    /// it counts before what was forced without it (R5.4).
    fn answered_late(&mut self, own: Own, signature: Signature, ctx: &Context<'_>) -> Result<Step, Violation> {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Ok(Step::default()) };
        let message = signed_bytes(
            &self.domain,
            &live.funding.channel,
            &StateBody { round: own.round, state_hash: own.state_hash },
        );
        if !Native.verify(&self.peer, &message, &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let signatures = Some(both(self.me, ctx.key.sign(&message), signature));
        let told = live.adopt_own(Own { signatures, ..own }, self.me).unwrap_or_default();
        Ok(Step::commit(told.into_iter().map(Effect::Notify).collect()).and(self.advance(ctx)))
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_update_error(
        &mut self,
        round: Round,
        code: RefusalCode,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("update_error");
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        if live.proposal.as_ref().is_none_or(|ours| ours.update.round != round) {
            // A crossing proposal that has lost meanwhile.
            return Ok(Step::default());
        }
        if code == RefusalCode::CLOSING || code == RefusalCode::NOT_NOW {
            // The peer's shutdown is here or on its way, or it has not seen yet what we have seen on chain: later the very same round is
            // proposed again.
            live.put_off();
            return Ok(self.take_parked(ctx));
        }
        if code == RefusalCode::OVERTAKEN || (code == RefusalCode::HEIGHT && live.height_moved(ctx.head)) {
            // It cannot be agreed to any more. Or it was long on its way: said again it names the same height for ever (R6.2), made again the
            // present one.
            live.requeue_proposal(self.me);
            return Ok(Step::commit(Vec::new()).and(self.advance(ctx)));
        }
        let Some(proposal) = live.proposal.take() else { return Ok(Step::default()) };
        let payments = live.disown(&proposal, true);
        live.parked = None;
        Ok(Step::commit(vec![Effect::Notify(Event::Refused { payments, code })]).and(self.advance(ctx)))
    }

    /// What comes next once nothing is unanswered: the operation that is wanted, the payments that wait, then the shutdown.
    pub(crate) fn advance(&mut self, ctx: &Context<'_>) -> Step {
        if self.link != Link::Up || self.outbox.is_full() {
            return Step::default();
        }
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if live.is_blocked() {
            return Step::default();
        }
        let step = live.ask(self.me, self.config.operation_validity, ctx.head);
        if live.operating.asked().is_some() {
            return step;
        }
        let step = step.and(live.propose(self.me, &self.config, &self.domain, ctx));
        let wanted = live.shutdown_wanted.filter(|_| live.pending() == 0 && live.operating.is_idle());
        match wanted {
            Some(fee) => step.and(self.offer_shutdown(fee, ctx)),
            None => step,
        }
    }

    /// Says again what the peer did not answer because something else was under way, in case that it is not any more.
    pub(crate) fn resume(&mut self, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if self.link != Link::Up {
            return Step::default();
        }
        live.operating.later = false;
        let again = live.proposal.as_ref().is_some_and(|ours| ours.put_off).then(|| live.say_again()).flatten();
        Step::act(again.into_iter().collect()).and(self.advance(ctx))
    }

    /// Starts or stops the clock for the peer's answer.
    pub(crate) fn watch_answers(&mut self, ctx: &Context<'_>) {
        let awaits = match (&self.phase, self.link) {
            (_, Link::Down | Link::Left) => None,
            (_, Link::Leaving) => Some(Awaited::LeaveAck),
            (Phase::Open(_) | Phase::Closing(..), Link::Syncing) => Some(Awaited::Reestablish),
            (Phase::HalfSigned(_), _) => Some(Awaited::FundingSigned),
            (Phase::Signed(signed), _) if signed.locked => Some(Awaited::FundingLocked),
            (Phase::Open(live), _) => live.awaited(),
            (Phase::Closing(_, How::Offered(_)), _) => Some(Awaited::Shutdown),
            _ => None,
        };
        if self.waiting.map(|waiting| waiting.of) != awaits {
            self.waiting = awaits.map(|of| Waiting { of, since: ctx.now, told: false });
        }
    }

    /// Answers a shutdown that was put by, once it is clear that nothing else happens first.
    pub(crate) fn take_parked(&mut self, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let Some(parked) = live.parked.take() else { return Step::default() };
        self.on_peer_shutdown(parked, ctx).unwrap_or_else(Self::refuse_shutdown)
    }
}

/// What is told of the peer's round: payments, and what was done to contracts.
fn received(peer: Party, round: Round, changes: Vec<Change>, results: Results) -> impl Iterator<Item = Event> {
    let payments: Vec<_> = changes
        .into_iter()
        .filter_map(|change| match change {
            Change::Transfer(payment) => Some(payment),
            _ => None,
        })
        .collect();
    let done = |(_, outcome)| Performed { by: peer, change: None, outcome };
    let performed: Vec<_> = results.into_iter().map(done).collect();
    let received = (!payments.is_empty()).then_some(Event::Received { payments, round });
    let executed = (!performed.is_empty()).then_some(Event::Executed { round, forced: false, performed });
    received.into_iter().chain(executed)
}

impl Live {
    /// What the peer owes an answer to, where there is something.
    fn awaited(&self) -> Option<Awaited> {
        let asked = self.operating.asked().map(|body| Awaited::Operation(body.round()));
        let locked = self.awaits_lock().then_some(Awaited::Locked(self.agreed.round));
        self.unanswered().map(Awaited::Round).or(asked).or(locked)
    }
}
