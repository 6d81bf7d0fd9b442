//! Closing in agreement (R5.12, R6.5), and what the user may ask for at the end.
//!
//! Whoever has signed a close agrees to nothing else until that close is on chain or has expired: the peer may hold it.

use super::{
    Phase,
    certainty::{Certainty, SoloStep},
    live::{Live, Posted, both},
};
use crate::{
    effect::{Effect, Event},
    error::{Misuse, Violation},
    input::Context,
    machine::{Answer, Channel, Step},
    message::{Message, RefusalCode, Shutdown},
};
use protocol::{
    Amount, BlockNumber, Pair, Party, Signature,
    call::{Call, CloseMutual},
    crypto::{Crypto, Native},
    record::Penalty,
    signing::{CloseMutualBody, signed_bytes},
};
use scale::{Decode, Encode};

/// How a channel is being closed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum How {
    /// This side signed a close; the peer has not answered.
    #[codec(index = 0)]
    Offered(Shutdown),
    /// Both signed; awaited on chain.
    #[codec(index = 1)]
    Agreed(Agreement),
    /// Somebody closed alone, on chain.
    #[codec(index = 2)]
    Solo(Solo),
    /// Paid out, while contracts still hold coins (R5.11).
    #[codec(index = 3)]
    Residual(Residual),
}

/// A channel that was settled and is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Residual {
    /// What each party was paid so far; none where that happened in blocks that were not read (R6.9b).
    pub(crate) balances: Option<Pair<Amount>>,
}

/// A close that both signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Agreement {
    pub(crate) body: CloseMutualBody,
    pub(crate) signatures: Pair<Signature>,
    /// From which block on this side submits it: the one who offered at once, the other when that seems not to happen.
    pub(crate) submit_from: BlockNumber,
    /// The last block in which any close that this side signed counts: until then it agrees to nothing else.
    pub(crate) bound_until: BlockNumber,
}

/// A close by one side, as the arbiter has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Solo {
    pub(crate) on_chain: Posted,
    pub(crate) unlock_at: BlockNumber,
    /// Whether the closer stands to pay a penalty, as the arbiter has it (R5.9).
    pub(crate) penalty: Penalty,
}

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
        live.check_store()?;
        if live.shutdown_wanted.is_some() || live.solo_wanted {
            return Err(Misuse::AlreadyClosing);
        }
        let available = live.agreed.state.balances[me];
        if fee > available {
            return Err(Misuse::FeeTooHigh { fee, available });
        }
        let held = live.held();
        if held > 0 {
            return Err(Misuse::ContractsHoldCoins { held });
        }
        live.shutdown_wanted = Some(fee);
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Transition: open -> closing (offered)
    pub(crate) fn offer_shutdown(&mut self, fee: Amount, ctx: &Context<'_>) -> Step {
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if live.held() > 0 {
            // A contract has begun since.
            live.shutdown_wanted = None;
            let refused = Event::ShutdownRefused { code: RefusalCode::VALIDATION };
            return Step::commit(vec![Effect::Notify(refused)]);
        }
        let mut balances = live.agreed.state.balances;
        // The peer's rounds only add to the balance that the fee was checked against.
        let fee = fee.min(balances[me]);
        balances[me] = balances[me].saturating_sub(fee);
        let valid_until = ctx.head.saturating_add(self.config.close_validity);
        let body = CloseMutualBody { balances, fee, valid_until };
        let signature = ctx.key.sign(&signed_bytes(&self.domain, &live.funding.channel, &body));
        let shutdown = Shutdown { body, signature };
        live.shutdown_wanted = None;
        self.move_to_closing(How::Offered(shutdown.clone()));
        Step::commit(vec![Effect::Send(Message::Shutdown(shutdown))])
    }

    /// Transition: open | closing (offered) -> closing (agreed)
    pub(crate) fn on_peer_shutdown(&mut self, shutdown: Shutdown, ctx: &Context<'_>) -> Result<Step, Violation> {
        let (me, peer) = (self.me, self.me.peer());
        let out_of_place = self.out_of_place("shutdown");
        let live = match &mut self.phase {
            // From before a parting: the peer says it again once both know the same.
            Phase::Open(_) | Phase::Closing(..) if !self.link.is_in_step() => return Ok(Step::default()),
            Phase::Open(Live { solo_wanted: true, .. }) | Phase::Closing(_, How::Solo(_) | How::Residual(_)) => {
                return Ok(Step::act(vec![Effect::Send(Message::ShutdownError { code: RefusalCode::CLOSING })]));
            }
            // Its balances are those from before.
            Phase::Open(live) | Phase::Closing(live, _) if live.goes_on_by_force() => {
                return Ok(Step::act(vec![Effect::Send(Message::ShutdownError { code: RefusalCode::NOT_NOW })]));
            }
            Phase::Open(live) if live.out.unanswered().is_some() || live.operating.is_bound() => {
                // The peer refuses our proposal, or has signed it: its answer decides. Or it has seen before us that an operation expired.
                live.parked = Some(shutdown);
                return Ok(Step::default());
            }
            Phase::Open(live) => live,
            // Crossing offers: the initiator's counts.
            Phase::Closing(_, How::Offered(_)) if me == Party::Initiator => return Ok(Step::default()),
            // Said again after a lost connection.
            Phase::Closing(_, How::Agreed(agreement)) if agreement.body == shutdown.body => {
                return Ok(Step::act(self.shutdown_again()));
            }
            // Ours lost to a crossing one, or the peer has seen the last one expire before us: it is as fair as the first.
            Phase::Closing(live, How::Offered(_) | How::Agreed(_)) => live,
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
        let agreed = &live.agreed.state.balances;
        let fair = body.balances[me] == agreed[me]
            && body.balances[peer].checked_add(body.fee) == Some(agreed[peer])
            && body.fee <= self.config.max_close_fee
            && live.held() == 0;
        if !fair && live.agreed.forced.is_some() {
            // It was offered before the calls were forced, and is said again until it expires: no wrong.
            return Ok(Step::act(vec![Effect::Send(Message::ShutdownError { code: RefusalCode::NOT_NOW })]));
        }
        if !fair {
            return Err(Violation::CloseUnfair);
        }
        let message = signed_bytes(&self.domain, &live.funding.channel, &body);
        if !Native.verify(&self.peer, &message, &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let ours = ctx.key.sign(&message);
        let signatures = both(me, ours, signature);
        // Offers that follow one another do not put it off.
        let submit_from = match &self.phase {
            Phase::Closing(_, How::Agreed(agreement)) => agreement.submit_from,
            _ => ctx.head.saturating_add(SUBMIT_GRACE),
        };
        let valid_until = body.valid_until;
        let bound_until = valid_until.max(self.bound_until());
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.operating.lose();
            live.undecided = None;
        }
        self.move_to_closing(How::Agreed(Agreement { body, signatures, submit_from, bound_until }));
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
            Phase::Closing(live, How::Offered(offer)) if offer.body.valid_until == valid_until => (live, offer),
            // Said again after a lost connection, or the answer to an offer that lost to a crossing one or has expired.
            Phase::Closing(..) | Phase::Open(_) => return Ok(Step::default()),
            _ => return Err(out_of_place),
        };
        if !Native.verify(&self.peer, &signed_bytes(&self.domain, &live.funding.channel, &offer.body), &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let signatures = both(self.me, offer.signature, signature);
        let bound_until = offer.body.valid_until;
        let agreement = Agreement { body: offer.body.clone(), signatures, submit_from: 0, bound_until };
        let submit = agreement.submission(live.funding.channel);
        self.move_to_closing(How::Agreed(agreement));
        Ok(Step::commit(vec![submit]))
    }

    /// The peer refuses to close. Our signature is with it all the same: nothing else until the offer has expired.
    pub(crate) fn on_peer_shutdown_error(&mut self, code: RefusalCode) -> Result<Step, Violation> {
        match self.phase {
            Phase::Closing(..) => Ok(Step::act(vec![Effect::Notify(Event::ShutdownRefused { code })])),
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
            Phase::Open(live) | Phase::Closing(live, _) if live.is_outdated() => return Err(Misuse::StoreOutdated),
            Phase::Open(_) | Phase::Closing(_, How::Offered(_) | How::Agreed(_)) => {}
            Phase::Closing(_, How::Solo(_) | How::Residual(_)) => return Err(Misuse::AlreadyClosing),
            _ => return Err(Misuse::NotOpen { state }),
        }
        if !self.is_certain(certainty) {
            return Ok(self.hold_close());
        }
        self.waits_no_more(SoloStep::Close);
        if matches!(self.phase, Phase::Signed(_))
            && let Some(live) = self.take_live()
        {
            // The peer has not said that it sees the channel, but it is on chain: it can be closed.
            self.phase = Phase::Open(live);
        }
        let mut effects = Vec::new();
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.solo_wanted = true;
            effects.extend(live.put_off_undecided(RefusalCode::CLOSING));
            let failed = live.operating.give_up_unsigned(RefusalCode::CLOSING);
            effects.extend(failed.map(Effect::Notify));
        }
        effects.extend(self.solo_again());
        Ok(Step::commit(effects))
    }

    /// Asks for the solo close that the user wants, as long as it is not on chain.
    pub(crate) fn solo_again(&self) -> Vec<Effect> {
        match &self.phase {
            Phase::Open(live) | Phase::Closing(live, How::Offered(_) | How::Agreed(_))
                if live.solo_wanted && !live.is_outdated() =>
            {
                vec![Effect::Submit(Box::new(Call::ChannelCloseSolo(live.close_solo())))]
            }
            _ => Vec::new(),
        }
    }

    /// What a close says again when the connection is back.
    pub(crate) fn shutdown_again(&self) -> Vec<Effect> {
        match &self.phase {
            Phase::Closing(_, How::Offered(offer)) => vec![Effect::Send(Message::Shutdown(offer.clone()))],
            Phase::Closing(_, How::Agreed(agreement)) => {
                let (valid_until, signature) = (agreement.body.valid_until, agreement.signatures[self.me]);
                vec![Effect::Send(Message::ShutdownAck { valid_until, signature })]
            }
            _ => Vec::new(),
        }
    }

    /// The part of a new head that concerns a close in agreement: submit it, or go on where it has expired (R6.5).
    pub(crate) fn on_head_while_closing(&mut self, ctx: &Context<'_>) -> Step {
        if !matches!(self.phase, Phase::Closing(_, How::Offered(_) | How::Agreed(_))) || ctx.head <= self.bound_until()
        {
            return Step::act(self.mutual_again(ctx.head));
        }
        if let Some(mut live) = self.take_live() {
            live.out.put_off();
            live.operating.later = false;
            self.phase = Phase::Open(live);
        }
        let expired = Event::ShutdownRefused { code: RefusalCode::TIMEOUT };
        Step::commit(vec![Effect::Notify(expired)]).and(self.advance(ctx))
    }

    /// Asks for the close that both signed, as long as the next block can take it.
    pub(crate) fn mutual_again(&self, head: BlockNumber) -> Vec<Effect> {
        match &self.phase {
            Phase::Closing(live, How::Agreed(agreement))
                if head >= agreement.submit_from && head < agreement.body.valid_until =>
            {
                vec![agreement.submission(live.funding.channel)]
            }
            _ => Vec::new(),
        }
    }

    /// The last block in which a close in agreement counts that this side signed; 0 where there is none.
    const fn bound_until(&self) -> BlockNumber {
        match &self.phase {
            Phase::Closing(_, How::Offered(offer)) => offer.body.valid_until,
            Phase::Closing(_, How::Agreed(agreement)) => agreement.bound_until,
            _ => 0,
        }
    }

    pub(crate) fn move_to_closing(&mut self, how: How) {
        if let Some(live) = self.take_live() {
            self.phase = Phase::Closing(live, how);
        }
    }

    /// What the peer hears when a shutdown that was put by turns out wrong.
    pub(crate) fn refuse_shutdown(violation: Violation) -> Step {
        Answer::ShutdownError.refusing(violation)
    }
}

impl Agreement {
    fn submission(&self, channel: protocol::ChannelId) -> Effect {
        let (body, signatures) = (self.body.clone(), self.signatures);
        Effect::Submit(Box::new(Call::ChannelCloseMutual(CloseMutual { channel, body, signatures })))
    }
}
