//! A running channel: rounds proposed, acknowledged, refused, crossing and batched (R6.1 to R6.4).
//!
//! ```text
//!  proposer                               acknowledger
//!  update(n + 2, changes, signature) -->           checks, signs, adopts
//!                                    <-- update_ack(n + 2, signature)
//!  adopts; meanwhile paid amounts wait for the next round
//! ```

use super::{Phase, closing::How, opening::Funding};
use crate::{
    config::Config,
    effect::{Effect, Event},
    error::{Misuse, Violation},
    input::Context,
    machine::{Awaited, Channel, Link, Step, Waiting},
    message::{MAX_UPDATES_PER_ROUND, Message, RefusalCode, Shutdown, Update},
    rounds::next_round,
    state::{Change, MAX_REFERENCE, Payment, PaymentId, State},
};
use protocol::{
    Amount, Hash, Pair, Party, PublicKey, Round, Signature,
    call::{CloseSolo, Payload},
    crypto::{Crypto, Native, SigningKey},
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
    /// Both signatures; none for round 1, which is on chain.
    pub(crate) signatures: Option<Pair<Signature>>,
}

/// A round that this side proposed and the peer has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Proposal {
    pub(crate) update: Update,
    pub(crate) state: State,
    /// The id of its first payment; the others follow.
    pub(crate) first: PaymentId,
    /// The peer is closing and did not answer it: it is said again when that may have changed. Its signature is with the peer all the same.
    #[codec(skip)]
    pub(crate) put_off: bool,
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
    #[codec(skip)]
    refused: Round,
    /// The id of the first payment that waits, or will. The others follow.
    first_queued: PaymentId,
    /// The user asked to close in agreement, at this fee, as soon as everything on its way is answered.
    pub(crate) shutdown_wanted: Option<Amount>,
    /// The user asked to close alone: nothing may be agreed any more, or the close would be on an old state.
    pub(crate) solo_wanted: bool,
    /// The peer's shutdown, put by until our proposal is answered. It counts only if that answer is that the peer is closing.
    #[codec(skip)]
    pub(crate) parked: Option<Shutdown>,
    /// Payments for the next round. Not saved: nobody was told that they are made.
    #[codec(skip)]
    pub(crate) queue: VecDeque<Payment>,
    #[codec(skip)]
    queued_amount: Amount,
}

impl Live {
    pub(crate) fn new(funding: Funding) -> Self {
        let state = funding.first;
        Self {
            agreed: Agreed { round: 1, state, hash: state.hash(), signatures: None },
            funding,
            proposal: None,
            signed: 1,
            refused: 0,
            first_queued: PaymentId(1),
            shutdown_wanted: None,
            solo_wanted: false,
            parked: None,
            queue: VecDeque::new(),
            queued_amount: 0,
        }
    }

    /// The id of the next payment.
    pub(crate) fn next_payment(&self) -> PaymentId {
        let PaymentId(first) = self.first_queued;
        PaymentId(first.saturating_add(u64::try_from(self.queue.len()).unwrap_or(u64::MAX)))
    }

    /// Payments that are neither agreed nor refused.
    pub(crate) fn pending(&self) -> usize {
        let proposed = self.proposal.as_ref().map_or(0, |proposal| proposal.update.changes.len());
        self.queue.len().saturating_add(proposed)
    }

    /// What `me` can pay now, above the reserve.
    pub(crate) fn spendable(&self, me: Party) -> Amount {
        let state = self.proposal.as_ref().map_or(&self.agreed.state, |proposal| &proposal.state);
        state.balances[me].saturating_sub(self.funding.terms.reserve).saturating_sub(self.queued_amount)
    }

    /// The latest agreed state as the arbiter takes it.
    pub(crate) fn close_solo(&self) -> CloseSolo {
        CloseSolo { channel: self.funding.channel, payload: self.payload(), commitment: self.agreed.state.commitment() }
    }

    /// The proof of the latest agreed state; none for round 1, which is on chain.
    pub(crate) fn payload(&self) -> Option<Payload> {
        let Agreed { round, hash, signatures, .. } = self.agreed;
        signatures.map(|signatures| Payload { round, state_hash: hash, signatures })
    }

    /// The proof of a state newer than the one on chain, where this side has one (R5.4).
    pub(crate) fn newer_than(&self, on_chain: &OnChain) -> Option<Payload> {
        let newer = protocol::arbiter::standing(on_chain, self.agreed.round, &self.agreed.hash);
        (newer == Ok(protocol::arbiter::Standing::Newer)).then(|| self.payload()).flatten()
    }

    /// What is told of payments that will not be made: those that wait, and those of a proposal that never came to be.
    pub(crate) fn dropped(self) -> Option<Event> {
        let waiting = ids(self.first_queued, self.queue.len());
        let mut payments = self.proposal.map(|ours| ids(ours.first, ours.update.changes.len())).unwrap_or_default();
        payments.extend(waiting);
        (!payments.is_empty()).then_some(Event::Dropped { payments })
    }

    /// The own proposal, where it is the state on chain: the peer made it co-signed, and answered nobody but the arbiter.
    pub(crate) fn paid_on_chain(&mut self, on_chain: &OnChain) -> Option<Event> {
        let same = |ours: &mut Proposal| {
            on_chain.forced_from.is_none()
                && ours.update.round == on_chain.round
                && ours.update.state_hash == on_chain.state_hash
        };
        let Proposal { update, first, .. } = self.proposal.take_if(same)?;
        Some(Event::Paid { payments: ids(first, update.changes.len()), round: update.round })
    }

    /// An answer that the peer owes to a proposal, where there is one.
    pub(crate) fn awaited(&self) -> Option<Round> {
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

    /// Proposes the next round with everything that waits (R6.3), if something does and no proposal is unanswered.
    pub(crate) fn propose(&mut self, me: Party, domain: &Domain, key: &SigningKey) -> Step {
        if self.proposal.is_some() || self.queue.is_empty() || self.solo_wanted {
            return Step::default();
        }
        let Some(round) = self.next_round(me) else { return Step::default() };
        let count = self.queue.len().min(MAX_UPDATES_PER_ROUND);
        let changes: Vec<_> = self.queue.drain(..count).map(Change::Transfer).collect();
        let first = self.first_queued;
        self.first_queued = PaymentId(first.0.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
        let proposed = changes.iter().map(|Change::Transfer(payment)| payment.amount).sum();
        self.queued_amount = self.queued_amount.saturating_sub(proposed);
        // Whatever waits was checked against the balance when it came, and the peer's rounds only add to that balance.
        let Ok(state) = self.agreed.state.after(me, &changes, self.funding.terms.reserve) else {
            return Step::act(vec![Effect::Notify(Event::Dropped { payments: ids(first, changes.len()) })]);
        };
        let state_hash = state.hash();
        let body = StateBody { round, state_hash };
        let signature = key.sign(&signed_bytes(domain, &self.funding.channel, &body));
        let update = Update { round, changes, state_hash, signature };
        self.signed = round;
        self.proposal = Some(Proposal { update: update.clone(), state, first, put_off: false });
        Step::commit(vec![Effect::Send(Message::Update(update))])
    }

    /// Puts the changes of a proposal that lost back to the front of the queue, to be proposed again on top.
    pub(crate) fn requeue_proposal(&mut self) {
        let Some(proposal) = self.proposal.take() else { return };
        self.first_queued = proposal.first;
        for Change::Transfer(payment) in proposal.update.changes.into_iter().rev() {
            self.queued_amount = self.queued_amount.saturating_add(payment.amount);
            self.queue.push_front(payment);
        }
    }

    /// Adopts a co-signed state.
    pub(crate) fn adopt(&mut self, round: Round, state: State, hash: Hash, signatures: Pair<Signature>) {
        self.agreed = Agreed { round, state, hash, signatures: Some(signatures) };
        self.signed = self.signed.max(round);
        // A peer that agrees to a round has seen its own offer to close expire.
        self.parked = None;
    }

    fn next_round(&self, me: Party) -> Option<Round> {
        next_round(me, self.agreed.round, self.signed.max(self.refused))
    }

    fn enqueue(&mut self, payment: Payment) {
        self.queued_amount = self.queued_amount.saturating_add(payment.amount);
        self.queue.push_back(payment);
    }

    /// The state after the peer's update, and the bytes that it signed.
    fn check_update(
        &self,
        update: &Update,
        peer: Party,
        key: &PublicKey,
        domain: &Domain,
    ) -> Result<(State, Vec<u8>), Violation> {
        let Update { round, changes, state_hash, signature } = update;
        if changes.is_empty() {
            return Err(Violation::NoChanges);
        }
        if changes.len() > MAX_UPDATES_PER_ROUND {
            return Err(Violation::TooManyChanges { got: changes.len() });
        }
        let state = self.agreed.state.after(peer, changes, self.funding.terms.reserve)?;
        let want = state.hash();
        if want != *state_hash {
            return Err(Violation::StateHashMismatch { got: *state_hash, want });
        }
        let message = signed_bytes(domain, &self.funding.channel, &StateBody { round: *round, state_hash: want });
        if !Native.verify(key, &message, signature) {
            return Err(Violation::SignatureInvalid);
        }
        Ok((state, message))
    }

    fn check_payment(&self, me: Party, payment: &Payment, config: &Config) -> Result<(), Misuse> {
        let available = self.spendable(me);
        let max = usize::try_from(config.max_queued).unwrap_or(usize::MAX);
        if payment.amount == 0 {
            Err(Misuse::AmountZero)
        } else if payment.reference.len() > MAX_REFERENCE {
            Err(Misuse::ReferenceTooLong { got: payment.reference.len(), max: MAX_REFERENCE })
        } else if payment.amount > available {
            Err(Misuse::InsufficientBalance { amount: payment.amount, available })
        } else if self.shutdown_wanted.is_some() || self.solo_wanted {
            Err(Misuse::AlreadyClosing)
        } else if self.queue.len() >= max {
            Err(Misuse::QueueFull { max })
        } else if self.next_round(me).is_none() {
            Err(Misuse::RoundsExhausted)
        } else {
            Ok(())
        }
    }
}

/// `count` ids from `first` on.
pub(crate) fn ids(PaymentId(first): PaymentId, count: usize) -> Vec<PaymentId> {
    (first..).take(count).map(PaymentId).collect()
}

impl Channel {
    /// Transition: open -> open
    pub(crate) fn on_user_pay(&mut self, payment: Payment, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let state = self.phase.name();
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        live.check_payment(self.me, &payment, &self.config)?;
        live.enqueue(payment);
        Ok(self.advance(ctx))
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_update(&mut self, update: Update, ctx: &Context<'_>) -> Result<Step, Violation> {
        let (peer, round) = (self.me.peer(), update.round);
        let busy = Step::act(vec![Effect::Send(Message::UpdateError { round, code: RefusalCode::CLOSING })]);
        let out_of_place = self.out_of_place("update");
        let live = match &mut self.phase {
            // A signed close may be on its way: after it nothing else is agreed (R6.5).
            Phase::Closing(..) => return Ok(busy),
            Phase::Open(live) if live.solo_wanted => return Ok(busy),
            Phase::Open(live) => live,
            _ => return Err(out_of_place),
        };
        if Party::owner_of(round) != peer {
            return Err(Violation::WrongParity { got: round, owner: self.me });
        }
        if live.proposal.as_ref().is_some_and(|ours| ours.update.round > round) {
            // Crossing proposals: ours is higher and wins; the peer will sign it and propose again (R6.1).
            let again = live.proposal.as_ref().is_some_and(|ours| ours.put_off).then(|| live.say_again()).flatten();
            return Ok(Step::act(again.into_iter().collect()));
        }
        let have = live.agreed.round.max(live.signed);
        if round <= have {
            // Not only what is agreed counts: the peer may still make co-signed what it refused (R6.1, R6.2).
            return Err(Violation::RoundTooOld { got: round, have });
        }
        let (state, message) = match live.check_update(&update, peer, &self.peer, &self.domain) {
            Ok(checked) => checked,
            Err(violation) => {
                live.refused = live.refused.max(round);
                return Err(violation);
            }
        };
        let state_hash = update.state_hash;

        let signature = ctx.key.sign(&message);
        live.requeue_proposal();
        live.adopt(round, state, state_hash, both(self.me, signature, update.signature));
        let payments = update.changes.into_iter().map(|Change::Transfer(payment)| payment).collect();
        let step = Step::commit(vec![
            Effect::Send(Message::UpdateAck { round, signature }),
            Effect::Notify(Event::Received { payments, round }),
        ]);
        Ok(step.and(self.advance(ctx)))
    }

    /// Transition: open -> open
    pub(crate) fn on_peer_update_ack(
        &mut self,
        round: Round,
        signature: Signature,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let out_of_place = self.out_of_place("update_ack");
        let on_chain = matches!(&self.phase, Phase::Closing(_, How::Solo(solo)) if solo.on_chain.round == round);
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Err(out_of_place) };
        let Some(proposal) = live.proposal.as_ref().filter(|proposal| proposal.update.round == round) else {
            // The chain may have told of it before the peer's answer came.
            return if on_chain { Ok(Step::default()) } else { Err(Violation::RoundNotProposed { got: round }) };
        };
        let Proposal { update, state, first, .. } = proposal;
        let body = StateBody { round, state_hash: update.state_hash };
        if !Native.verify(&self.peer, &signed_bytes(&self.domain, &live.funding.channel, &body), &signature) {
            return Err(Violation::SignatureInvalid);
        }
        let payments = ids(*first, update.changes.len());
        let signatures = both(self.me, update.signature, signature);
        let (state, hash) = (*state, update.state_hash);
        live.proposal = None;
        live.adopt(round, state, hash, signatures);
        Ok(Step::commit(vec![Effect::Notify(Event::Paid { payments, round })]).and(self.advance(ctx)))
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
        let Some(proposal) = live.proposal.as_ref().filter(|proposal| proposal.update.round == round) else {
            // A crossing proposal that has lost meanwhile.
            return Ok(Step::default());
        };
        if code == RefusalCode::CLOSING {
            // The peer's shutdown is here or on its way; should it fail, the very same round is proposed again.
            live.put_off();
            return Ok(self.take_parked(ctx));
        }
        let payments = ids(proposal.first, proposal.update.changes.len());
        live.proposal = None;
        live.parked = None;
        Ok(Step::commit(vec![Effect::Notify(Event::Refused { payments, code })]).and(self.advance(ctx)))
    }

    /// What comes next once nothing is unanswered: the payments that wait, then the shutdown that is wanted.
    pub(crate) fn advance(&mut self, ctx: &Context<'_>) -> Step {
        if self.link != Link::Up {
            return Step::default();
        }
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let step = live.propose(self.me, &self.domain, ctx.key);
        let wanted = live.shutdown_wanted.filter(|_| live.pending() == 0);
        match wanted {
            Some(fee) => step.and(self.offer_shutdown(fee, ctx)),
            None => step,
        }
    }

    /// Says again what the peer did not answer because it was closing, in case that it is not any more.
    pub(crate) fn resume(&mut self) -> Vec<Effect> {
        match &mut self.phase {
            Phase::Open(live) if self.link == Link::Up && live.proposal.as_ref().is_some_and(|ours| ours.put_off) => {
                live.say_again().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Starts or stops the clock for the peer's answer.
    pub(crate) fn watch_answers(&mut self, ctx: &Context<'_>) {
        let awaits = match &self.phase {
            Phase::Open(_) | Phase::Closing(..) if self.link == Link::Syncing => Some(Awaited::Reestablish),
            _ if self.link == Link::Down => None,
            Phase::Open(live) => live.awaited().map(Awaited::Round),
            Phase::Closing(_, How::Offered(_)) => Some(Awaited::Shutdown),
            _ => None,
        };
        if self.waiting.map(|waiting| waiting.of) != awaits {
            self.waiting = awaits.map(|of| Waiting { of, since: ctx.now, told: false });
        }
    }

    /// Answers a shutdown that was put by, once the peer has said that it does close.
    fn take_parked(&mut self, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let Some(parked) = live.parked.take() else { return Step::default() };
        self.on_peer_shutdown(parked, ctx).unwrap_or_else(Self::refuse_shutdown)
    }
}

/// Both signatures in the order of the parties.
pub(crate) fn both(me: Party, ours: Signature, peers: Signature) -> Pair<Signature> {
    match me {
        Party::Initiator => Pair::new(ours, peers),
        Party::Responder => Pair::new(peers, ours),
    }
}
