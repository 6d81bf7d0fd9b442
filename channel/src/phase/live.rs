//! A running channel's data: what is agreed, what is proposed, what waits, and what this side's signatures still allow the peer (R6.1 to R6.5).

use super::{opening::Funding, operating::Operating};
use crate::{
    config::Config,
    effect::{Effect, Event},
    error::{Misuse, Violation},
    input::Millis,
    machine::Step,
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
    /// Both signatures; none for a state that is on chain, as that of round 1 is.
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

/// A round that this side proposed and goes on without: refused, or beaten by a crossing operation. The peer holds the signature and may
/// still put that state on chain, until a higher round is agreed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Disowned {
    round: Round,
    state: State,
    first: PaymentId,
    payments: u32,
    /// The user was told that its payments are not made; else they wait again.
    refused: bool,
}

/// The most rounds that may be disowned at once: the peer may use any of them, so all are kept.
pub(crate) const MAX_DISOWNED: usize = 256;

/// The peer's round, shown to the user, who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undecided {
    pub(crate) update: Update,
    pub(crate) since: Millis,
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
    /// The peer showed a state that this side signed and does not remember: from which round to which (R6.6).
    pub(crate) outdated: Option<(Round, Round)>,
    /// The id of the first payment that waits, or will. The others follow.
    pub(crate) first_queued: PaymentId,
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
    /// How many payments at the front of the queue were proposed before; their ids lie right below `first_queued`. A crash forgets them, and
    /// gives their ids to no other: the peer holds a signature for them.
    #[codec(skip)]
    requeued: u64,
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
            disowned: Vec::new(),
            settled: 0,
            operating: Operating::default(),
            outdated: None,
            first_queued: PaymentId(1),
            shutdown_wanted: None,
            solo_wanted: false,
            parked: None,
            undecided: None,
            requeued: 0,
            queue: VecDeque::new(),
            queued_amount: 0,
        }
    }

    /// The id of the next payment.
    pub(crate) fn next_payment(&self) -> PaymentId {
        after(self.queue_first(), self.queue.len())
    }

    /// Payments that are neither agreed nor refused.
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
        (self.first_queued, self.requeued) = (self.next_payment(), 0);
        self.queue.clear();
        self.queued_amount = 0;
        let proposal = self.proposal.take();
        let mut payments = proposal.map(|ours| self.take_ids(&ours)).unwrap_or_default();
        payments.extend(waiting);
        if payments.is_empty() { Vec::new() } else { vec![Event::Dropped { payments }] }
    }

    /// A round that this side signed and that the chain has: the peer made it co-signed, and answered nobody but the arbiter. None where the
    /// chain tells of nothing new; otherwise the state is the agreed one from now on, and what is told of its payments.
    pub(crate) fn adopt_from_chain(&mut self, on_chain: &OnChain) -> Option<Option<Event>> {
        let OnChain { round, state_hash, forced_from: None } = *on_chain else { return None };
        let same = |ours: &mut Proposal| ours.update.round == round && ours.update.state_hash == state_hash;
        if let Some(proposal) = self.proposal.take_if(same) {
            let payments = self.take_ids(&proposal);
            self.adopt(round, proposal.state, state_hash, None);
            return Some(Some(Event::Paid { payments, round }));
        }
        let at = self.disowned.iter().position(|ours| ours.round == round && ours.state.hash() == state_hash)?;
        let Disowned { state, first, payments, refused, .. } = self.disowned.swap_remove(at);
        self.adopt(round, state, state_hash, None);
        let count = usize::try_from(payments).unwrap_or(usize::MAX);
        let end = after(first, count);
        let waiting = self.queue_first();
        if let Some(again) = self.proposal.as_ref().filter(|again| !refused && again.first <= first) {
            // They are proposed again already, on top of what was agreed then: nothing is paid twice, and they are not proposed once more.
            let told = after(again.first, usize::try_from(self.settled).unwrap_or(usize::MAX)).max(first);
            let most = u32::try_from(again.update.changes.len()).unwrap_or(u32::MAX);
            let settled = u32::try_from(end.0.saturating_sub(again.first.0)).unwrap_or(u32::MAX);
            self.settled = self.settled.max(settled.min(most));
            let count = usize::try_from(end.0.saturating_sub(told.0)).unwrap_or(usize::MAX);
            return Some(self.paid_on_chain(told, count, round));
        }
        if refused || waiting >= end {
            return Some(self.paid_on_chain(first, count, round));
        }
        // They wait at the front again.
        let count = usize::try_from(end.0.saturating_sub(waiting.0)).unwrap_or(usize::MAX).min(self.queue.len());
        for payment in self.queue.drain(..count) {
            self.queued_amount = self.queued_amount.saturating_sub(payment.amount);
        }
        self.count_out(count);
        Some(self.paid_on_chain(waiting, count, round))
    }

    /// Tells of payments once, also where another round that was disowned holds them as well.
    fn paid_on_chain(&mut self, first: PaymentId, count: usize, round: Round) -> Option<Event> {
        let end = after(first, count);
        for other in self.disowned.iter_mut().filter(|other| (first..end).contains(&other.first)) {
            let told = u32::try_from(end.0.saturating_sub(other.first.0)).unwrap_or(u32::MAX);
            other.payments = other.payments.saturating_sub(told);
            other.first = end;
        }
        (count > 0).then(|| Event::Paid { payments: ids(first, count), round })
    }

    /// The id of the first payment that waits, or will.
    fn queue_first(&self) -> PaymentId {
        PaymentId(self.first_queued.0.saturating_sub(self.requeued))
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
            || self.operating.is_bound()
            || self.awaits_lock()
    }

    /// Whether the agreed state is on chain and the peer has not said that it sees it there.
    pub(crate) const fn awaits_lock(&self) -> bool {
        self.agreed.signatures.is_none() && self.agreed.round > 1 && self.operating.peer_saw < self.agreed.round
    }

    /// Whether a proposal of the peer's in `round` lost to one that the chain told of before the peer's answer came.
    pub(crate) const fn is_overtaken_by_chain(&self, round: Round) -> bool {
        self.agreed.signatures.is_none() && round < self.agreed.round
    }

    /// The round of one's own that the peer has not answered, update or operation.
    pub(crate) fn rival(&self) -> Option<Round> {
        let proposed = self.proposal.as_ref().map(|ours| ours.update.round);
        proposed.max(self.operating.asked().map(crate::operation::Body::round))
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

    /// Proposes the next round with everything that waits (R6.3), if something does and no proposal is unanswered.
    pub(crate) fn propose(&mut self, me: Party, domain: &Domain, key: &SigningKey) -> Step {
        if self.proposal.is_some() || self.queue.is_empty() {
            return Step::default();
        }
        if self.disowned.len() >= MAX_DISOWNED {
            let dropped = self.drop_payments();
            return Step::commit(dropped.into_iter().map(Effect::Notify).collect());
        }
        let Some(round) = self.next_round(me) else { return Step::default() };
        let count = self.queue.len().min(MAX_UPDATES_PER_ROUND);
        let changes: Vec<_> = self.queue.drain(..count).map(Change::Transfer).collect();
        let first = self.queue_first();
        self.count_out(count);
        let proposed = changes.iter().map(|Change::Transfer(payment)| payment.amount).sum();
        self.queued_amount = self.queued_amount.saturating_sub(proposed);
        // Whatever waits was checked against the balance when it came, and the peer's rounds only add to that balance.
        let Ok(state) = self.agreed.state.after(me, &changes, self.funding.terms.reserve) else {
            return Step::commit(vec![Effect::Notify(Event::Dropped { payments: ids(first, changes.len()) })]);
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
        let settled = usize::try_from(self.settled).unwrap_or(usize::MAX);
        let again = self.disown(&proposal, false).len();
        self.requeued = self.requeued.saturating_add(u64::try_from(again).unwrap_or(u64::MAX));
        for Change::Transfer(payment) in proposal.update.changes.into_iter().skip(settled).rev() {
            self.queued_amount = self.queued_amount.saturating_add(payment.amount);
            self.queue.push_front(payment);
        }
    }

    /// Goes on without a proposal whose signature is with the peer.
    pub(crate) fn disown(&mut self, proposal: &Proposal, refused: bool) -> Vec<PaymentId> {
        let Proposal { update, state, first, .. } = proposal;
        let first = after(*first, usize::try_from(self.settled).unwrap_or(usize::MAX));
        let payments = self.take_ids(proposal);
        let count = u32::try_from(payments.len()).unwrap_or(u32::MAX);
        self.disowned.push(Disowned { round: update.round, state: *state, first, payments: count, refused });
        payments
    }

    /// The payments of a proposal that is not unanswered any more, without those that were told of.
    pub(crate) fn take_ids(&mut self, proposal: &Proposal) -> Vec<PaymentId> {
        let settled = usize::try_from(std::mem::take(&mut self.settled)).unwrap_or(usize::MAX);
        ids(after(proposal.first, settled), proposal.update.changes.len().saturating_sub(settled))
    }

    /// Adopts a state that both signed, or that is on chain.
    pub(crate) fn adopt(&mut self, round: Round, state: State, hash: Hash, signatures: Option<Pair<Signature>>) {
        self.agreed = Agreed { round, state, hash, signatures };
        self.signed = self.signed.max(round);
        self.disowned.retain(|ours| ours.round > round);
        // A peer that agrees to a round has seen its own offer to close expire.
        self.parked = None;
    }

    pub(crate) fn next_round(&self, me: Party) -> Option<Round> {
        next_round(me, self.agreed.round, self.signed.max(self.refused).max(self.operating.asked_up_to))
    }

    pub(crate) fn enqueue(&mut self, payment: Payment) {
        self.queued_amount = self.queued_amount.saturating_add(payment.amount);
        self.queue.push_back(payment);
    }

    /// The state after the peer's round, and the bytes that it signed.
    pub(crate) fn check_round(
        &mut self,
        update: &Update,
        peer: Party,
        key: &PublicKey,
        domain: &Domain,
    ) -> Result<(State, Vec<u8>), Violation> {
        let (got, have) = (update.round, self.agreed.round.max(self.signed));
        if got <= have {
            // Not only what is agreed counts: the peer may still make co-signed what it refused (R6.1, R6.2).
            return Err(Violation::RoundTooOld { got, have });
        }
        self.check_update(update, peer, key, domain)
    }

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

    pub(crate) fn check_payments(&self, me: Party, payments: &[Payment], config: &Config) -> Result<(), Misuse> {
        let available = self.spendable(me);
        let max = usize::try_from(config.max_queued).unwrap_or(usize::MAX);
        let too_long = payments.iter().map(|payment| payment.reference.len()).find(|&got| got > MAX_REFERENCE);
        let amount = payments.iter().fold(0, |sum: Amount, payment| sum.saturating_add(payment.amount));
        if self.outdated.is_some() {
            Err(Misuse::StoreOutdated)
        } else if payments.is_empty() || payments.iter().any(|payment| payment.amount == 0) {
            Err(Misuse::AmountZero)
        } else if let Some(got) = too_long {
            Err(Misuse::ReferenceTooLong { got, max: MAX_REFERENCE })
        } else if amount > available {
            Err(Misuse::InsufficientBalance { amount, available })
        } else if self.shutdown_wanted.is_some() || self.solo_wanted {
            Err(Misuse::AlreadyClosing)
        } else if payments.len() > max.saturating_sub(self.queue.len()) {
            Err(Misuse::QueueFull { max })
        } else if self.next_round(me).is_none() {
            Err(Misuse::RoundsExhausted)
        } else if self.disowned.len() >= MAX_DISOWNED {
            Err(Misuse::TooManyRefused { max: MAX_DISOWNED })
        } else {
            Ok(())
        }
    }
}

/// The id that follows `count` ids from `first` on.
fn after(PaymentId(first): PaymentId, count: usize) -> PaymentId {
    PaymentId(first.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// `count` ids from `first` on.
pub(crate) fn ids(PaymentId(first): PaymentId, count: usize) -> Vec<PaymentId> {
    (first..).take(count).map(PaymentId).collect()
}

/// Both signatures in the order of the parties.
pub(crate) fn both(me: Party, ours: Signature, peers: Signature) -> Pair<Signature> {
    match me {
        Party::Initiator => Pair::new(ours, peers),
        Party::Responder => Pair::new(peers, ours),
    }
}
