//! Deposits, withdrawals and other delegates while the channel is open (R5.5, R5.7, R6.5).
//!
//! ```text
//!  asker                                  acknowledger
//!  deposit_created(body, no signature) -->          checks, signs: bound
//!                                      <-- deposit_signed(round, signature)
//!  signs: bound; submits
//!  deposit_locked                     <-> deposit_locked      each when it is final for itself: the state after it is agreed
//! ```
//!
//! The acknowledger signs first. So whoever asks has signed nothing while a crossing proposal may still win, and can simply ask again above
//! it; and whoever has signed is bound: it agrees to nothing else until the operation is final or its `valid_until` is over, because a state
//! agreed meanwhile would lack the coins that came, or promise those that left. An operation that expires leaves nothing behind: its body is
//! no state, its round is never used again, and the channel goes on from the state before it.

use super::{admission::PeerProposal, pledges::Pledging};
use crate::{
    channel::{Channel, LinkState},
    effect::Effect,
    error::{Misuse, Violation},
    event::{Event, Notice},
    input::Context,
    message::RefusalCode,
    operation::{OperationBody, OperationKind, OperationRequest},
    phase::Phase,
    step::Step,
    transfer::TransferEvent,
    wait::Act,
};
use protocol::{BlockNumber, Party, Rejection, Round, Signature, call::CallKind, terms::MAX_DELEGATES};
use std::ops::ControlFlow;

impl Channel {
    /// Transition: open -> open
    pub(crate) fn on_user_operation(&mut self, request: OperationRequest, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let (me, state) = (self.me, self.phase.name());
        let live = match &mut self.phase {
            Phase::Open(live) => live,
            Phase::Closing(..) => return Err(Misuse::AlreadyClosing),
            _ => return Err(Misuse::NotOpen { state }),
        };
        live.store.check()?;
        if !live.wish.is_none() {
            return Err(Misuse::AlreadyClosing);
        }
        if live.operation.is_own_pending() {
            return Err(Misuse::OperationPending);
        }
        match &request {
            OperationRequest::Deposit { amount: 0 } | OperationRequest::Withdraw { amount: 0, .. } => {
                return Err(Misuse::AmountZero);
            }
            OperationRequest::Deposit { amount } if live.funding.total().checked_add(*amount).is_none() => {
                return Err(Misuse::WouldBeRefused(Rejection::AmountOverflow));
            }
            OperationRequest::Withdraw { amount, .. } if *amount > live.spendable(me) => {
                return Err(Misuse::InsufficientBalance { amount: *amount, available: live.spendable(me) });
            }
            OperationRequest::SetDelegates { delegates } if delegates.len() > MAX_DELEGATES => {
                return Err(Misuse::WouldBeRefused(Rejection::TooManyDelegates));
            }
            _ => {}
        }
        if live.next_round(me).is_none() {
            return Err(Misuse::RoundsExhausted);
        }
        live.operation.request(request);
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Transition: open -> open (bound)
    pub(crate) fn on_peer_created(&mut self, body: OperationBody, ctx: &Context<'_>) -> Result<Step, Violation> {
        let round = body.round();
        let answered = self.answer_created(body, ctx)?;
        let Phase::Open(live) = &mut self.phase else { return Ok(answered) };
        let has_lost = live.operation.asked().is_some_and(|ours| ours.round() < round);
        if !has_lost || self.link != LinkState::Up {
            return Ok(answered);
        }
        // Crossing questions: the peer's is higher and wins. It does not answer this side's, which is asked anew once the peer has its answer, whatever that is.
        live.operation.retry_above();
        Ok(Step::commit(Vec::new()).and(answered).and(self.advance(ctx)))
    }

    fn answer_created(&mut self, body: OperationBody, ctx: &Context<'_>) -> Result<Step, Violation> {
        let (peer, kind, round) = (self.me.peer(), body.kind(), body.round());
        let refuse = |code| Ok(Step::act(vec![Effect::Send(kind.error(round, code))]));
        if let ControlFlow::Break(step) = self.admit(PeerProposal::Operation(&body), ctx.head)? {
            return Ok(step);
        }
        let [name, ..] = kind.names();
        let out_of_place = self.out_of_place(name);
        let Phase::Open(live) = &mut self.phase else { return Err(out_of_place) };
        if Party::owner_of(round) != peer {
            return Err(Violation::WrongParity { got: round, owner: self.me });
        }
        if live.operation.asked().is_some_and(|ours| ours.round() > round) {
            // Crossing questions: ours is higher and wins; the peer will ask again.
            return Ok(Step::default());
        }
        if live.outgoing.highest_open().is_some() {
            // A question loses to any open proposal: the peer answers that first, and asks again (R6.5a).
            return Ok(Step::act(live.outgoing.say_again(true)));
        }
        if !live.may_sign(kind) {
            // The chain may still take a round of ours that was given up for a forced step.
            return refuse(RefusalCode::NOT_NOW);
        }
        if live.is_overtaken_by_chain(round)
            || (round == live.agreed.round() && body.state_hash() == live.agreed.hash())
        {
            // The latter was said again after a lost connection, and is on chain meanwhile.
            return Ok(Step::default());
        }
        let validity = self.config.operation_validity;
        let (got, min, max) = (body.valid_until(), ctx.head, ctx.head.saturating_add(validity.saturating_mul(2)));
        if got < min {
            // It was too long on its way, or our head is ahead: no wrong, and no use any more.
            return refuse(RefusalCode::NOT_NOW);
        }
        let have = live.agreed.round().max(live.highest_signed());
        if round <= have {
            return Err(Violation::RoundTooOld { got: round, have });
        }
        live.check_near(round)?;
        if got > max {
            return Err(Violation::ValidityOutOfBounds { got, min, max });
        }
        if body.base() != live.agreed.base() {
            // One of the two has not seen yet what the other has seen on chain.
            return refuse(RefusalCode::NOT_NOW);
        }
        if got > self.transfers.operations_until(ctx.head, ctx.transfers.margins()) {
            // A peer that keeps it back would have this side's claims registered (R8.3f).
            return refuse(RefusalCode::NOT_NOW);
        }
        let context = live.round_context(peer, round, live.agreed.height(), &self.config, ctx);
        let state = body.state_after(context, live.agreed.state(), live.funding.terms())?;
        if let OperationBody::Pledge(pledge) = &body {
            match self.judge_pledge(pledge, ctx) {
                Ok(Pledging::Now) => {}
                Ok(Pledging::NotYet(contract)) => return Ok(self.put_off_pledge(contract, pledge.clone())),
                Err(code) => return refuse(code),
            }
        }
        let out_of_place = self.out_of_place(name);
        let Phase::Open(live) = &mut self.phase else { return Err(out_of_place) };
        let ours = ctx.key.sign(&body.signed_bytes(&self.domain, &live.funding.channel()));
        live.operation.retry_above();
        live.incoming.drop_review();
        if body.kind() != OperationKind::Pledge {
            // Of a pledged round it is known that this side has signed it once the round is agreed, or on chain: a store from before that is old (R6.6).
            live.outgoing.note_signed(round);
        }
        let signed = Effect::Send(body.signed(ours));
        live.operation.sign_peers(body, state, ours);
        if let Some(given) = self.given_pledge() {
            self.transfers.tell(TransferEvent::PledgeGiven(given));
        }
        Ok(Step::commit(vec![signed]))
    }

    /// Transition: open -> open (bound)
    pub(crate) fn on_peer_signed(
        &mut self,
        kind: OperationKind,
        round: Round,
        signature: Signature,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let (me, [_, name, ..]) = (self.me, kind.names());
        let out_of_place = self.out_of_place(name);
        let is_open = matches!(self.phase, Phase::Open(_));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        let asked = live.operation.asked().filter(|body| body.round() == round && body.kind() == kind).cloned();
        let Some(body) = asked.filter(|_| is_open && !live.wish.is_solo() && round > live.outgoing.signed()) else {
            // Said again after a lost connection, or about something that was given up meanwhile.
            let known = round <= live.operation.asked_up_to();
            return if known { Ok(Step::default()) } else { Err(Violation::RoundNotProposed { got: round }) };
        };
        let message = body.signed_bytes(&self.domain, &live.funding.channel());
        if !self.peer.verify(&message, &signature) {
            return Err(Violation::SignatureInvalid);
        }
        if !live.may_sign(kind) {
            // The chain may still take a round of ours that was given up: who signs an operation has none open (R6.5a).
            live.operation.retry_at_next_block();
            return Ok(Step::commit(Vec::new()));
        }
        if ctx.head >= body.valid_until() {
            // No block can take it any more.
            return Ok(self.ask_anew(ctx));
        }
        // Whoever asks is not asked at the same time, and nothing was agreed since.
        let context = live.round_context(me, round, live.agreed.height(), &self.config, ctx);
        let after = body.state_after(context, live.agreed.state(), live.funding.terms()).ok();
        let Some(state) = after.filter(|_| body.base() == live.agreed.base()) else {
            live.operation.retry_above();
            return Ok(Step::commit(Vec::new()).and(self.advance(ctx)));
        };
        if let OperationBody::Pledge(pledge) = &body {
            return Ok(self.on_pledged(pledge, state, signature, ctx));
        }
        let ours = ctx.key.sign(&message);
        live.outgoing.note_signed(round);
        live.operation.sign_own(body, state, ours, signature);
        // Nothing else is agreed to from now on (R6.5), not even by the user.
        let put_off = live.incoming.postpone_review(RefusalCode::NOT_NOW).into_iter().collect();
        Ok(Step::commit(put_off).and(Step::act(self.operation_again(ctx.head))))
    }

    /// Transition: open -> open, once both have it on chain (R6.5b)
    pub(crate) fn on_peer_locked(
        &mut self,
        kind: OperationKind,
        round: Round,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let [.., name, _] = kind.names();
        let out_of_place = self.out_of_place(name);
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        live.operation.note_peer_saw(round);
        Ok(self.advance(ctx))
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_operation_error(
        &mut self,
        kind: OperationKind,
        (round, code): (Round, RefusalCode),
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let [.., name] = kind.names();
        let out_of_place = self.out_of_place(name);
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        if code == RefusalCode::ON_CHAIN
            && let Some(told) = live.operation.peer_was_refused(kind, round)
        {
            return Ok(Step::act(vec![Effect::Notify(told)]));
        }
        if live.operation.asked().is_none_or(|body| body.round() != round || body.kind() != kind) {
            // About something that has lost or was given up meanwhile.
            return Ok(Step::default());
        }
        if [RefusalCode::CLOSING, RefusalCode::NOT_NOW, RefusalCode::SUPERSEDED].contains(&code) {
            live.operation.retry_at_next_block();
            let is_late = live.operation.note_postponed() == 2;
            let told = is_late.then_some(Effect::Notify(Notice::Postponed { round, code }));
            return Ok(Step::commit(told.into_iter().collect()).and(self.advance(ctx)));
        }
        if kind == OperationKind::Pledge {
            return Ok(self.on_pledge_refused(code, ctx));
        }
        let failed = live.operation.give_up_unsigned(code);
        Ok(Step::tell(failed).and(self.advance(ctx)))
    }

    /// The arbiter refused a call: where it is the operation that this side submits, the peer hears of it too, since both wait for it (R6.5c).
    pub(crate) fn on_operation_rejected(&self, call: CallKind, rejection: Rejection) -> Vec<Effect> {
        let Phase::Open(live) = &self.phase else { return Vec::new() };
        let Some(body) = live.operation.own_signed().filter(|body| body.kind().call() == call) else {
            return Vec::new();
        };
        let (operation, until) = (body.kind(), body.valid_until());
        let refused = Notice::OperationRefused { operation, rejection: Some(rejection), until };
        let say = operation.error(body.round(), RefusalCode::ON_CHAIN);
        vec![Effect::Notify(refused), Effect::Send(say)]
    }

    /// The part of a new head that concerns operations: submit again, or go on from the state before where one has expired (R6.5).
    pub(crate) fn on_head_while_operating(&mut self, ctx: &Context<'_>) -> Step {
        let again = Step::act(self.operation_again(ctx.head));
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if live.operation.asked().is_some_and(|body| ctx.head >= body.valid_until()) {
            return self.ask_anew(ctx);
        }
        let Some((operation, is_ours)) = live.operation.expire(ctx.head) else { return again };
        let failed = Event::OperationFailed { operation, code: RefusalCode::TIMEOUT };
        Step::tell(is_ours.then_some(failed)).and(self.take_deferred_shutdown(ctx)).and(self.advance(ctx))
    }

    /// Asks in another round for what no block can take any more. Until that can be done the old question stays: the peer may have signed
    /// it and given up a lower round of its own for it, which must not be agreed to now.
    fn ask_anew(&mut self, ctx: &Context<'_>) -> Step {
        let is_free = self.waits_for(Act::AskAnew, ctx.head).is_none();
        match &mut self.phase {
            Phase::Open(live) if is_free => {
                live.operation.retry_above();
                Step::commit(Vec::new()).and(self.advance(ctx))
            }
            _ => Step::default(),
        }
    }

    /// Asks for the operation that both signed, as long as the next block can take it.
    pub(crate) fn operation_again(&self, head: BlockNumber) -> Vec<Effect> {
        match &self.phase {
            Phase::Open(live) => live.operation.submission(self.me, live.funding.channel(), head).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What an operation says again when the connection is back.
    pub(crate) fn signed_again(&self) -> Vec<Effect> {
        let Phase::Open(live) = &self.phase else { return Vec::new() };
        let asked = live.operation.asked().map(OperationBody::created);
        let signed = live.operation.signed_message();
        asked.into_iter().chain(signed).map(Effect::Send).collect()
    }
}
