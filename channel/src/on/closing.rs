//! Closing in agreement (R5.12, R6.5), and what the user may ask for at the end.
//!
//! Whoever has signed a close agrees to nothing else until that close is on chain or has expired: the peer may hold it.

use super::admission::PeerProposal;
use crate::{
    certainty::{Certainty, SoloStep},
    channel::Channel,
    effect::Effect,
    error::{Misuse, Violation},
    event::{CloseReason, Event, Notice},
    input::Context,
    message::{Message, RefusalCode, Shutdown},
    phase::{
        Phase,
        closing::{Agreement, ClosePath},
        live::{agreed::both, wish::CloseWish},
    },
    status::ShutdownStage,
    step::{RefusalReply, Step},
};
use protocol::{
    Amount, BlockNumber, Party, Signature,
    call::Call,
    signing::{CloseMutualBody, signed_bytes},
};
use std::ops::ControlFlow;

/// How many blocks the peer leaves to whoever offered the close before it submits the close itself.
const SUBMIT_GRACE: BlockNumber = 10;

impl Channel {
    /// Transition: open -> closing
    pub(crate) fn on_user_shutdown(&mut self, fee: Amount, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let (me, state) = (self.me, self.phase.name());
        let Phase::Open(live) = &mut self.phase else {
            return Err(if matches!(self.phase, Phase::Closing(..)) {
                Misuse::AlreadyClosing
            } else {
                Misuse::NotOpen { state }
            });
        };
        live.store.check()?;
        if !live.wish.is_none() {
            return Err(Misuse::AlreadyClosing);
        }
        let available = live.agreed.state().balances[me];
        if fee > available {
            return Err(Misuse::FeeTooHigh { fee, available });
        }
        // Conditional transfers end by themselves: it waits for them (R8.3f).
        let held = live.held();
        if held > 0 && live.agreed.state().contracts.transfers() < live.agreed.state().contracts.len() {
            return Err(Misuse::ContractsHoldCoins { held });
        }
        live.wish = CloseWish::Mutual { fee };
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// What is told of a close that was asked for while the peer cannot be reached: it waits, and can be taken back.
    pub(crate) fn shutdown_waits(&self) -> Step {
        match self.shutdown_stage() {
            Some(ShutdownStage::AwaitsPeer) => Step::act(vec![Effect::Notify(Notice::ShutdownAwaitsPeer)]),
            _ => Step::default(),
        }
    }

    /// Answers a shutdown that was deferred, once it is clear that nothing else happens first.
    pub(crate) fn take_deferred_shutdown(&mut self, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let Some(deferred) = live.incoming.take_shutdown() else { return Step::default() };
        let answered = self.on_peer_shutdown(deferred, ctx);
        answered.unwrap_or_else(|violation| RefusalReply::ShutdownError.refusing(violation))
    }

    /// Transition: open -> open
    pub(crate) fn on_user_cancel_shutdown(&mut self) -> Result<Step, Misuse> {
        let (state, stage) = (self.phase.name(), self.shutdown_stage());
        if let Some(ShutdownStage::Offered { until } | ShutdownStage::Agreed { until }) = stage {
            return Err(Misuse::ShutdownSigned { until });
        }
        match &mut self.phase {
            Phase::Open(live) => match live.wish.drop_mutual() {
                true => Ok(Step::commit(Vec::new())),
                false => Err(Misuse::NoShutdown),
            },
            Phase::Closing(..) => Err(Misuse::AlreadyClosing),
            _ => Err(Misuse::NotOpen { state }),
        }
    }

    /// Transition: open -> closing (offered)
    pub(crate) fn offer_shutdown(&mut self, fee: Amount, ctx: &Context<'_>) -> Step {
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if live.held() > 0 {
            // A contract has begun since.
            let _offered = live.wish.drop_mutual();
            let refused = Event::ShutdownRefused { code: RefusalCode::VALIDATION };
            return Step::tell([refused]);
        }
        let mut balances = live.agreed.state().balances;
        // The peer's rounds only add to the balance that the fee was checked against.
        let fee = fee.min(balances[me]);
        balances[me] = balances[me].saturating_sub(fee);
        let valid_until = ctx.head.saturating_add(self.config.close_validity);
        let body = CloseMutualBody { balances, fee, valid_until };
        let signature = ctx.key.sign(&signed_bytes(&self.domain, &live.funding.channel(), &body));
        let shutdown = Shutdown { body, signature };
        let _offered = live.wish.drop_mutual();
        self.move_to_closing(ClosePath::Offered(shutdown.clone()));
        Step::commit(vec![Effect::Send(Message::Shutdown(shutdown))])
    }

    /// Transition: open | closing (offered) -> closing (agreed)
    pub(crate) fn on_peer_shutdown(&mut self, shutdown: Shutdown, ctx: &Context<'_>) -> Result<Step, Violation> {
        let (me, peer) = (self.me, self.me.peer());
        let out_of_place = self.out_of_place("shutdown");
        if let ControlFlow::Break(step) = self.admit(PeerProposal::Shutdown(&shutdown), ctx.head)? {
            return Ok(step);
        }
        if self.waits_for_left(ctx) {
            // What goes with a transfer is gone with the channel (R8.3g).
            return Ok(Step::act(vec![Effect::Send(Message::ShutdownError { code: RefusalCode::NOT_NOW })]));
        }
        let live = match &mut self.phase {
            Phase::Open(live) => live,
            // Crossing offers: the initiator's counts.
            Phase::Closing(_, ClosePath::Offered(_)) if me == Party::Initiator => return Ok(Step::default()),
            // Said again after a lost connection.
            Phase::Closing(_, ClosePath::Agreed(agreement)) if agreement.body == shutdown.body => {
                return Ok(Step::act(self.shutdown_again()));
            }
            // Ours lost to a crossing one, or the peer has seen the last one expire before us: it is as fair as the first.
            Phase::Closing(live, ClosePath::Offered(_) | ClosePath::Agreed(_)) => live,
            _ => return Err(out_of_place),
        };
        let Shutdown { body, signature } = shutdown;
        let (min, max) = (ctx.head, ctx.head.saturating_add(self.config.close_validity.saturating_mul(2)));
        if body.valid_until < min {
            // It was too long on its way, or our head is ahead: no wrong, and no use any more.
            return Ok(Step::act(vec![Effect::Send(Message::ShutdownError { code: RefusalCode::TIMEOUT })]));
        }
        if body.valid_until > max {
            return Err(Violation::ValidityOutOfBounds { got: body.valid_until, min, max });
        }
        let agreed = &live.agreed.state().balances;
        let fair = body.balances[me] == agreed[me]
            && body.balances[peer].checked_add(body.fee) == Some(agreed[peer])
            && body.fee <= self.config.max_close_fee
            && live.held() == 0;
        if !fair && live.agreed.forced().is_some() {
            // It was offered before the calls were forced, and is said again until it expires: no wrong.
            return Ok(Step::act(vec![Effect::Send(Message::ShutdownError { code: RefusalCode::NOT_NOW })]));
        }
        if !fair {
            return Err(Violation::CloseUnfair);
        }
        let message = signed_bytes(&self.domain, &live.funding.channel(), &body);
        if !self.peer.verify(&message, &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let ours = ctx.key.sign(&message);
        let signatures = both(me, ours, signature);
        // Offers that follow one another do not put it off.
        let submit_from = match &self.phase {
            Phase::Closing(_, ClosePath::Agreed(agreement)) => agreement.submit_from,
            _ => ctx.head.saturating_add(SUBMIT_GRACE),
        };
        let valid_until = body.valid_until;
        let bound_until = valid_until.max(self.bound_until());
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.operation.retry_above();
            live.incoming.drop_review();
        }
        self.move_to_closing(ClosePath::Agreed(Agreement { body, signatures, submit_from, bound_until }));
        Ok(Step::commit(vec![Effect::Send(Message::ShutdownAck { valid_until, signature: ours })]))
    }

    /// Transition: closing (offered) -> closing (agreed)
    pub(crate) fn on_peer_shutdown_ack(
        &mut self,
        valid_until: BlockNumber,
        signature: Signature,
    ) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("shutdown_ack");
        let (live, offer) = match &self.phase {
            Phase::Closing(live, ClosePath::Offered(offer)) if offer.body.valid_until == valid_until => (live, offer),
            // Said again after a lost connection, or the answer to an offer that lost to a crossing one or has expired.
            Phase::Closing(..) | Phase::Open(_) => return Ok(Step::default()),
            _ => return Err(out_of_place),
        };
        if !self.peer.verify(&signed_bytes(&self.domain, &live.funding.channel(), &offer.body), &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let signatures = both(self.me, offer.signature, signature);
        let bound_until = offer.body.valid_until;
        let agreement = Agreement { body: offer.body.clone(), signatures, submit_from: 0, bound_until };
        let submit = agreement.submission(live.funding.channel());
        self.move_to_closing(ClosePath::Agreed(agreement));
        Ok(Step::commit(vec![submit]))
    }

    /// The peer refuses to close. Our signature is with it all the same: nothing else until the offer has expired.
    pub(crate) fn on_peer_shutdown_error(&mut self, code: RefusalCode) -> Result<Step, Violation> {
        match self.phase {
            // It waits to be acknowledged: the peer may say it as often as it likes.
            Phase::Closing(..) if self.outbox.holds(|event| matches!(event, Event::ShutdownRefused { .. })) => {
                Ok(Step::default())
            }
            Phase::Closing(..) => Ok(Step::tell([Event::ShutdownRefused { code }])),
            // The answer to an offer that has expired.
            Phase::Open(_) => Ok(Step::default()),
            _ => Err(self.out_of_place("shutdown_error")),
        }
    }

    /// Transition: open | closing (offered) -> open | closing, with a solo close on its way, or waiting for the peer's word
    pub(crate) fn on_user_close_solo(&mut self, certainty: Certainty) -> Result<Step, Misuse> {
        let state = self.phase.name();
        match &self.phase {
            Phase::Signed(signed) if signed.locked => {}
            Phase::Open(live) | Phase::Closing(live, _) if live.store.is_stale() => return Err(Misuse::StaleStore),
            Phase::Open(_) | Phase::Closing(_, ClosePath::Offered(_) | ClosePath::Agreed(_)) => {}
            Phase::Closing(_, ClosePath::Solo(_) | ClosePath::Residual(_)) => return Err(Misuse::AlreadyClosing),
            _ => return Err(Misuse::NotOpen { state }),
        }
        if !self.is_certain(certainty) {
            return Ok(self.defer_close());
        }
        let _none = self.confirmation.take(SoloStep::Close);
        if matches!(self.phase, Phase::Signed(_))
            && let Some(live) = self.take_live()
        {
            // The peer has not said that it sees the channel, but it is on chain: it can be closed.
            self.phase = Phase::Open(live);
        }
        let mut step = Step::commit(Vec::new());
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.wish = CloseWish::Solo;
            let postponed = live.incoming.postpone_review(RefusalCode::CLOSING);
            let failed = live.operation.give_up_unsigned(RefusalCode::CLOSING);
            step = step.and(Step::act(postponed.into_iter().collect())).and(Step::tell(failed));
        }
        Ok(step.and(Step::act(self.solo_again())))
    }

    /// Asks for the solo close that the user wants, as long as it is not on chain.
    pub(crate) fn solo_again(&self) -> Vec<Effect> {
        match &self.phase {
            Phase::Open(live) | Phase::Closing(live, ClosePath::Offered(_) | ClosePath::Agreed(_))
                // What this side has pledged may count yet: a close on the state before it would cost the penalty (R6.5d).
                if live.wish.is_solo() && !live.store.is_stale() && live.operation.pledged().is_none() =>
            {
                vec![Effect::Submit(Box::new(Call::ChannelCloseSolo(live.close_solo())))]
            }
            _ => Vec::new(),
        }
    }

    /// What a close says again when the connection is back.
    pub(crate) fn shutdown_again(&self) -> Vec<Effect> {
        match &self.phase {
            Phase::Closing(_, ClosePath::Offered(offer)) => vec![Effect::Send(Message::Shutdown(offer.clone()))],
            Phase::Closing(_, ClosePath::Agreed(agreement)) => {
                let (valid_until, signature) = (agreement.body.valid_until, agreement.signatures[self.me]);
                vec![Effect::Send(Message::ShutdownAck { valid_until, signature })]
            }
            _ => Vec::new(),
        }
    }

    /// The part of a new head that concerns a close in agreement: submit it, or go on where it has expired (R6.5).
    pub(crate) fn on_head_while_closing(&mut self, ctx: &Context<'_>) -> Step {
        if !matches!(self.phase, Phase::Closing(_, ClosePath::Offered(_) | ClosePath::Agreed(_)))
            || ctx.head <= self.bound_until()
        {
            return Step::act(self.mutual_again(ctx.head));
        }
        if let Some(mut live) = self.take_live() {
            live.outgoing.defer_answers();
            live.operation.retry_now();
            self.phase = Phase::Open(live);
        }
        let expired = Event::ShutdownRefused { code: RefusalCode::TIMEOUT };
        Step::tell([expired]).and(self.advance(ctx))
    }

    /// Asks for the close that both signed, as long as the next block can take it.
    pub(crate) fn mutual_again(&self, head: BlockNumber) -> Vec<Effect> {
        match &self.phase {
            Phase::Closing(live, ClosePath::Agreed(agreement))
                if head >= agreement.submit_from && head < agreement.body.valid_until =>
            {
                vec![agreement.submission(live.funding.channel())]
            }
            _ => Vec::new(),
        }
    }

    /// The last block in which a close in agreement counts that this side signed; 0 where there is none.
    const fn bound_until(&self) -> BlockNumber {
        match &self.phase {
            Phase::Closing(_, ClosePath::Offered(offer)) => offer.body.valid_until,
            Phase::Closing(_, ClosePath::Agreed(agreement)) => agreement.bound_until,
            _ => 0,
        }
    }

    /// Ends the channel's life here.
    pub(crate) fn close(&mut self, reason: CloseReason) -> Step {
        let mut told = Vec::new();
        if let Some(mut live) = self.take_live() {
            told.extend(live.dispute.take_forcing().map(|forcing| forcing.too_late()));
            if matches!(reason, CloseReason::Unseen { .. }) {
                told.extend(live.operation.end_unseen());
            }
            told.extend(live.drop_pending(RefusalCode::CLOSING));
            if live.store.is_doubtful() {
                self.transfers.leave_untold();
            }
        }
        self.phase = Phase::Closed(reason.clone());
        told.push(Event::Closed(reason));
        Step::tell(told)
    }

    pub(crate) fn close_once(&mut self, reason: CloseReason) -> Step {
        if matches!(self.phase, Phase::Closed(_)) { Step::default() } else { self.close(reason) }
    }
}
