//! Rounds proposed, acknowledged, refused, crossing and batched (R6.1 to R6.4), by themselves or as the user decides.
//!
//! ```text
//!  proposer                               acknowledger
//!  update(n + 2, changes, signature) -->           checks, (asks the user,) signs, adopts
//!                                    <-- update_ack(n + 2, signature)
//!  adopts; meanwhile paid amounts wait for the next round
//!                                    <-- update(n + 3, refuses n, signature)      or refuses it by a counter-round (R6.1a)
//!  update_ack(n + 3, signature)      -->           adopts; what n would have changed is given up, or proposed again
//! ```

use super::{admission::PeerProposal, transfers::Judged};
use crate::{
    channel::Channel,
    config::Acceptance,
    effect::Effect,
    error::{Misuse, Violation},
    event::{Event, Notice},
    input::Context,
    message::{Message, Refusal, RefusalCode, Refused, Update},
    phase::{
        Phase,
        live::{
            Live,
            agreed::{OwnCosigned, both},
            incoming::{Awaits, PendingReview},
            review::{CheckedRound, RoundFault},
        },
    },
    proposal::ProposalId,
    state::{Change, ChangeFault, Outcome, Performed, Results},
    step::{RefusalReply, Step},
    transfer::done::of_update,
};
use protocol::{Hash, Party, Round, Signature};
use std::ops::ControlFlow;

impl Channel {
    /// Transition: open -> open
    pub(crate) fn on_user_changes(&mut self, changes: Vec<Change>, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let (me, state) = (self.me, self.phase.name());
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        if changes.iter().any(Change::is_of_transfer) {
            // They have commands of their own, which keep a row of each (R8.3d).
            return Err(Misuse::Change(ChangeFault::BuiltinNotAccepted));
        }
        live.check_changes(me, &changes, &self.config, ctx)?;
        for change in changes {
            live.outgoing.enqueue(me, change);
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
        let is_pledged = self.phase.live().is_some_and(|live| live.operation.is_pledged_by(&update));
        let proposal = if is_pledged { PeerProposal::Pledged(round) } else { PeerProposal::Round(round) };
        if let ControlFlow::Break(step) = self.admit(proposal, ctx.head)? {
            return Ok(step);
        }
        let out_of_place = self.out_of_place("update");
        let Phase::Open(live) = &mut self.phase else { return Err(out_of_place) };
        if Party::owner_of(round) == self.me {
            return Err(Violation::WrongParity { got: round, owner: self.me });
        }
        if live.is_overtaken_by_chain(round) {
            return Ok(Step::default());
        }
        if live.outgoing.highest_open().is_some_and(|ours| ours > round) {
            // Crossing proposals: ours is higher and wins; the peer will sign it and propose again (R6.1).
            return Ok(Step::act(live.outgoing.say_again(true)));
        }
        if update.base != live.agreed.base() {
            // One of the two has not seen yet what the other has seen on chain.
            return refuse(RefusalCode::NOT_NOW);
        }
        if live.incoming.pending_review().is_some_and(|pending| *pending.update() == update) {
            return Ok(Step::default());
        }
        // Own rounds would run out above it.
        live.check_near(round)?;
        // The one place where the signature is verified: nothing is done, kept or refused for what the peer has not signed.
        if !live.is_signed(&update, &self.peer, &self.domain) {
            return Err(Violation::SignatureInvalid);
        }
        if update.refuses.is_some() {
            // It is always signed: what it refuses is dead then (R6.1a).
            return self.agree_to(update, ctx);
        }
        if live.outgoing.has_counter() {
            // The last round was refused, and that is to be answered first: no other could be refused now, so none is run (R6.1a, R7.4a).
            return refuse(RefusalCode::NOT_NOW);
        }
        if round > live.agreed.round() && round <= live.signed_before(&update) {
            // The chain may still take a higher one of ours, which was given up for a forced step: agreed above it.
            return Ok(self.refuse(&update, Refused::All(RefusalCode::SUPERSEDED), ctx));
        }
        if let Some((place, code)) = Live::unaccepted_code(&update, ctx) {
            let fault = RoundFault { place: Some(place), violation: Violation::CodeNotAccepted(code) };
            return self.refuse_update(&update, fault, ctx);
        }
        if live.is_ahead(&update, &self.config, ctx.head) {
            // Its side sees the chain sooner: it is looked at again with the next head, and refused only where that does not come.
            live.incoming.await_review(update, ctx.now, Awaits::Head);
            return Ok(Step::default());
        }
        if let Some(code) = live.missing_code(&update, ctx) {
            live.incoming.await_review(update, ctx.now, Awaits::Code(code));
            return Ok(Step::act(vec![Effect::FetchCode(code)]));
        }
        let is_automatic =
            self.config.acceptance == Acceptance::Automatic || update.changes.iter().all(Change::is_of_transfer);
        if is_automatic && !live.needs_consent(&update, self.me, ctx) {
            return self.agree_to(update, ctx);
        }
        let checked = live.check_round(&update, self.me.peer(), (&self.domain, &self.config), ctx);
        if let Err(fault) = checked.and_then(|_valid| live.incoming.check_shown(&update).map_err(RoundFault::from)) {
            return self.refuse_update(&update, fault, ctx);
        }
        let proposed = Notice::Proposed { proposal: ProposalId::of(&update), changes: update.changes.clone() };
        live.incoming.show(update, ctx.now);
        Ok(Step::notify(proposed))
    }

    /// An app was fetched, or could not be.
    pub(crate) fn on_code(&mut self, code: Hash, ctx: &Context<'_>) -> Step {
        if ctx.apps.knows(&code) {
            let followed = self.replay_on(ctx);
            if followed.is_commit() {
                return followed.and(self.advance(ctx));
            }
        }
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let Some(shown) = live.incoming.take_review_if(|pending| pending.awaits() == Awaits::Code(code)) else {
            // What goes with transfers may have waited for it.
            self.transfers.want_again(self.phase.live().map(|live| live.agreed.state()));
            return self.advance(ctx);
        };
        let round = shown.update().round;
        if ctx.apps.knows(&code) {
            let answered = self.on_peer_update(shown.into_update(), ctx);
            return answered.unwrap_or_else(|violation| RefusalReply::UpdateError(round).refusing(violation));
        }
        let fault = Violation::Change(ChangeFault::CodeUnknown(code)).into();
        let refused = self.refuse_update(shown.update(), fault, ctx);
        refused.unwrap_or_else(|violation| RefusalReply::UpdateError(round).refusing(violation))
    }

    /// Looks again at a round of the peer's that named a block which this side had not seen (R7.3).
    pub(crate) fn look_again(&mut self, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let config = self.config;
        let is_there = |pending: &PendingReview| match pending.awaits() {
            Awaits::Head => pending.update().height <= config.height_limit(ctx.head),
            Awaits::Judgement => true,
            Awaits::User | Awaits::Code(_) => false,
        };
        let Some(update) = live.incoming.take_review_if(is_there).map(PendingReview::into_update) else {
            return Step::default();
        };
        let round = update.round;
        let answered = self.on_peer_update(update, ctx);
        answered.unwrap_or_else(|violation| RefusalReply::UpdateError(round).refusing(violation))
    }

    /// Checks the peer's round, whose signature was verified when it came, then signs and adopts it.
    fn agree_to(&mut self, update: Update, ctx: &Context<'_>) -> Result<Step, Violation> {
        let round = update.round;
        let out_of_place = self.out_of_place("update");
        let Phase::Open(live) = &mut self.phase else { return Err(out_of_place) };
        let checked = live.check_round(&update, self.me.peer(), (&self.domain, &self.config), ctx);
        let CheckedRound { state, results, requirements, message, height } = match checked {
            Ok(checked) => checked,
            Err(fault) => return self.refuse_update(&update, fault, ctx),
        };
        // What this side has pledged counts if it is shown: nothing is gained by refusing it now.
        let is_pledged = live.operation.is_pledged_by(&update);
        match if is_pledged { Judged::Agreed } else { self.judge(&update, &requirements, ctx) } {
            Judged::Agreed => {}
            Judged::Refused(items) => return Ok(self.refuse(&update, Refused::Some(items), ctx)),
            Judged::Later => {
                if let Phase::Open(live) = &mut self.phase {
                    live.incoming.await_review(update, ctx.now, Awaits::Judgement);
                }
                return Ok(Step::default());
            }
        }
        let out_of_place = self.out_of_place("update");
        let Phase::Open(live) = &mut self.phase else { return Err(out_of_place) };
        let signature = ctx.key.sign(&message);
        let height_now = ctx.head.max(live.agreed.height());
        let refusal = update.refuses.as_ref();
        let refused =
            refusal.map(|refusal| live.outgoing.take_refusal(self.me, refusal, height_now)).unwrap_or_default();
        live.operation.retry_above();
        let signatures = Some(both(self.me, signature, update.signature));
        live.adopt(self.me, (round, update.base), state, update.state_hash, signatures);
        live.agreed.set_height(height);
        live.transfers_done.extend(of_update(&live.funding.channel(), &update));
        let say = Step::commit(vec![Effect::Send(Message::UpdateAck { round, signature })]);
        let received = received(self.me.peer(), round, update.changes, results);
        Ok(say.and(Step::tell(refused.into_iter().chain(received))).and(self.advance(ctx)))
    }

    /// Transition: open -> open
    pub(crate) fn on_user_accept(&mut self, proposal: ProposalId, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let update = self.take_reviewed(proposal)?;
        let round = update.round;
        Ok(self.agree_to(update, ctx).unwrap_or_else(|violation| RefusalReply::UpdateError(round).refusing(violation)))
    }

    /// Refuses a round, whose signature was verified, that breaks a rule or one of this side's own: by a counter-round (R6.1a).
    fn refuse_update(&mut self, update: &Update, fault: RoundFault, ctx: &Context<'_>) -> Result<Step, Violation> {
        let RoundFault { place, violation } = fault;
        let Phase::Open(live) = &self.phase else { return Err(violation) };
        let is_new =
            update.round > live.agreed.round().max(live.signed_before(update)) && update.base == live.agreed.base();
        if !is_new {
            return Err(violation);
        }
        let code = violation.code();
        let items = place.map_or(Refused::All(code), |place| Refused::Some(vec![(place, code)]));
        let told = Step::act(vec![Effect::Notify(Notice::PeerViolated(violation))]);
        Ok(self.refuse(update, items, ctx).and(told))
    }

    /// Refuses a round by a counter-round above it, or says that it cannot be answered now.
    fn refuse(&mut self, update: &Update, items: Refused, ctx: &Context<'_>) -> Step {
        let round = update.round;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let countered = live.counter(self.me, Refusal { round, items }, &self.config, &self.domain, ctx);
        let Some(say) = countered else {
            let code = RefusalCode::NOT_NOW;
            return Step::act(vec![Effect::Send(Message::UpdateError { round, code })]);
        };
        live.operation.retry_above();
        Step::commit(vec![say])
    }

    /// Transition: open -> open
    pub(crate) fn on_user_refuse(
        &mut self,
        proposal: ProposalId,
        code: RefusalCode,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        if code.0 < RefusalCode::APPLICATION.0 {
            return Err(Misuse::CodeReserved { got: code });
        }
        let update = self.take_reviewed(proposal)?;
        Ok(self.refuse(&update, Refused::All(code), ctx))
    }

    /// The part of a tick that concerns a round which waits for the user.
    pub(crate) fn on_tick_while_reviewing(&mut self, ctx: &Context<'_>) -> Step {
        let late = self.config.timeouts.review;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        match live.incoming.take_review_if(|pending| ctx.now.saturating_sub(pending.since()) >= late) {
            Some(pending) => {
                let code = match pending.awaits() {
                    Awaits::User => RefusalCode::TIMEOUT,
                    Awaits::Code(_) => RefusalCode::CODE_UNKNOWN,
                    Awaits::Head => RefusalCode::HEIGHT,
                    Awaits::Judgement => RefusalCode::NOT_NOW,
                };
                self.refuse(pending.update(), Refused::All(code), ctx)
            }
            None => Step::default(),
        }
    }

    /// The round that the user was shown, where it is what the user has decided on.
    fn take_reviewed(&mut self, decided: ProposalId) -> Result<Update, Misuse> {
        let state = self.phase.name();
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        let shown = live.incoming.pending_review().filter(|pending| pending.awaits() == Awaits::User);
        let waits = shown.map(|shown| ProposalId::of(shown.update())).filter(|waits| waits.round == decided.round);
        let waits = waits.ok_or(Misuse::NotProposed { round: decided.round })?;
        if waits != decided {
            return Err(Misuse::OtherProposal { decided, waits });
        }
        let reviewed = live.incoming.take_review_if(|_| true).map(PendingReview::into_update);
        reviewed.ok_or(Misuse::NotProposed { round: decided.round })
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_update_ack(
        &mut self,
        round: Round,
        signature: Signature,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("update_ack");
        let is_being_closed = matches!(self.phase, Phase::Closing(..));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        let Some(ours) = live.outgoing.find_said(round).map(|ours| head_of(ours.update())) else {
            // The chain may have told of it before the peer's answer came, and of calls forced on top of it.
            let on_chain = round > 1 && live.agreed.round() >= round && live.agreed.is_on_chain();
            return if on_chain { Ok(Step::default()) } else { Err(Violation::RoundNotProposed { got: round }) };
        };
        if !live.is_signed(&Update { signature, ..ours.clone() }, &self.peer, &self.domain) {
            return Err(Violation::SignatureInvalid);
        }
        if is_being_closed {
            // What is signed for a close in agreement pays the balances from before; a close alone may be settled before this could be shown. So
            // it counts only when it is on chain (R7.6a).
            return Ok(Step::default());
        }
        if live.outgoing.highest_open().is_some_and(|highest| highest > round) {
            // An honest peer answers the higher one: this one it has refused, or lost to.
            return Ok(Step::default());
        }
        if live.dispute.is_below_a_mark(ours.base) {
            // The chain may take it, or not any more: it counts only when it is there (R7.6a).
            return Ok(Step::default());
        }
        let signatures = Some(both(self.me, ours.signature, signature));
        let told =
            live.adopt_own(OwnCosigned { round, state_hash: ours.state_hash, signatures }, self.me).unwrap_or_default();
        live.dispute.note_calls_answered();
        Ok(Step::tell(told).and(self.advance(ctx)))
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
        if code == RefusalCode::STALE_STORE && live.outgoing.proposal().is_some_and(|ours| ours.round() == round) {
            // The peer's store is old: it signs nothing more but a close.
            let given_up = live.outgoing.give_up_proposal(self.me, |id| !self.transfers.is_ours(id));
            let _old = live.incoming.take_shutdown();
            let told = live.given_up(&given_up, code);
            return Ok(Step::tell(told).and(self.advance(ctx)));
        }
        // Otherwise it is a crossing proposal that has lost meanwhile.
        let Some(times) = live.outgoing.postpone(round) else { return Ok(Step::default()) };
        // The peer's shutdown is here or on its way, or it has not seen yet what we have seen on chain: later the very same round is said again.
        let passes = [RefusalCode::CLOSING, RefusalCode::NOT_NOW, RefusalCode::BUSY].contains(&code);
        let is_late = times == if passes { 2 } else { 1 };
        let told = is_late.then_some(Effect::Notify(Notice::Postponed { round, code }));
        Ok(Step::act(told.into_iter().collect()).and(self.take_deferred_shutdown(ctx)))
    }
}

/// What was signed of a round, without its changes.
fn head_of(update: &Update) -> Update {
    let Update { round, base, height, state_hash, signature, .. } = *update;
    Update { round, base, height, refuses: None, changes: Vec::new(), state_hash, signature }
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
