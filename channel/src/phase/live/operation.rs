//! What both parties do on chain while the channel is open (R5.5, R5.7, R6.5), as far as this side has it under way.
//!
//! Invariants: at most one operation is requested and at most one is signed; no round is asked in twice; what is signed stays until it is on chain or
//! its last block is over, but where a close takes its place.

use super::agreed::{Posted, both};
use crate::{
    effect::Effect,
    event::{Event, Notice},
    message::{Message, RefusalCode, Update},
    operation::{OperationBody, OperationKind, OperationRequest},
    pledge::PledgeBody,
    state::{Change, ChangeId, Offer, OwnChanges, State},
};
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Hash, Party, Round, Signature,
    call::Payload,
    signing::{DepositBody, SetDelegatesBody, WithdrawBody},
};
use scale::{Decode, Encode};

/// The operations of a channel: at most one that the user wants, and at most one that this side has signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Operation {
    requested: Option<Requested>,
    signed: Option<SignedOperation>,
    /// The highest round this side ever asked in: asked in once only, so that an answer is about one thing only.
    asked_up_to: Round,
    /// The highest round that this side ever pledged: no other state of the peer's is signed in it.
    pledged_up_to: Round,
    /// The peer's pledge for an own round that is open, signed by both (R6.5d).
    held: Option<Payload>,
    /// Own changes that were agreed in this round, of whose place what this side has pledged may yet take.
    replaceable: Option<(Round, OwnChanges)>,
    /// An own offer that waits for its peer's pledge. Not saved: what the peer has no signature for comes to nothing with a crash.
    #[codec(skip)]
    pledge: Option<Requested>,
    /// The peer's question for a pledge, which waits for this side's router (R8.5h). Not saved: the peer asks again.
    #[codec(skip)]
    put_off: Option<PledgeBody>,
    /// The highest round that the peer says it has seen on chain. Not saved: it says so again.
    #[codec(skip)]
    peer_saw: Round,
    /// The highest forced round that the peer says it goes on from. Not saved either. Apart from the above, because a co-signed round may lie
    /// above a forced one that its signer has not seen.
    #[codec(skip)]
    peer_replayed: Round,
    /// The peer has something under way that goes first: not to be asked again before the next block.
    #[codec(skip)]
    deferred: bool,
    /// How often in a row the peer has said so of what is requested.
    #[codec(skip)]
    postponed: u8,
    /// The round of the peer's operation of which the peer has said that the chain refused it: told once.
    #[codec(skip)]
    refused: Option<Round>,
}

/// What the user wants, and what the peer was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Requested {
    request: OperationRequest,
    asked: Option<OperationBody>,
}

/// What this side has signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct SignedOperation {
    body: OperationBody,
    /// What is agreed once it is on chain.
    state: State,
    ours: Signature,
    /// Where this side asked: it holds both signatures, and submits.
    peers: Option<Signature>,
}

impl Operation {
    /// The user requests an operation. Nothing is asked of the peer yet.
    pub(crate) fn request(&mut self, request: OperationRequest) {
        (self.requested, self.postponed) = (Some(Requested { request, asked: None }), 0);
    }

    /// Whether the user's request is under way: not even signed, or signed and not on chain.
    pub(crate) fn is_own_pending(&self) -> bool {
        self.requested.is_some() || self.signed.as_ref().is_some_and(|signed| signed.peers.is_some())
    }

    /// An own offer waits for its peer's pledge, or none does any more. What the user requests comes first.
    pub(crate) fn want_pledge(&mut self, wanted: Option<(ChangeId, Offer, BlockNumber)>) {
        let request = wanted.map(|(change, offer, until)| OperationRequest::Pledge { change, offer, until });
        if self.pledge.as_ref().map(|pledge| &pledge.request) != request.as_ref() {
            self.pledge = request.map(|request| Requested { request, asked: None });
        }
    }

    /// What the user requested, or else an own offer needs, and the peer was not asked for, where it may be asked now: for one thing at a time.
    pub(crate) fn to_be_asked(&self) -> Option<&OperationRequest> {
        if self.deferred || self.asked().is_some() {
            return None;
        }
        self.requested.as_ref().or(self.pledge.as_ref()).map(|requested| &requested.request)
    }

    /// The peer is asked for what is [to be asked](Self::to_be_asked), by this body.
    pub(crate) fn ask(&mut self, body: OperationBody) {
        if let Some(requested) = self.requested.as_mut().or(self.pledge.as_mut()) {
            self.asked_up_to = body.round();
            requested.asked = Some(body);
        }
    }

    /// The highest round this side ever asked in.
    pub(crate) const fn asked_up_to(&self) -> Round {
        self.asked_up_to
    }

    /// This side has signed what the peer asked for: the peer submits it.
    pub(crate) fn sign_peers(&mut self, body: OperationBody, state: State, ours: Signature) {
        if body.kind() == OperationKind::Pledge {
            self.pledged_up_to = self.pledged_up_to.max(body.round());
        }
        self.put_off = None;
        self.signed = Some(SignedOperation { body, state, ours, peers: None });
    }

    /// This side has signed what it asked for, as the peer has: it submits it.
    pub(crate) fn sign_own(&mut self, body: OperationBody, state: State, ours: Signature, peers: Signature) {
        self.requested = None;
        self.signed = Some(SignedOperation { body, state, ours, peers: Some(peers) });
    }

    /// The peer's question for a pledge is answered later. Says whether it is another one than waits already.
    pub(crate) fn put_off(&mut self, body: PledgeBody) -> bool {
        let is_new = self.put_off.as_ref() != Some(&body);
        self.put_off = Some(body);
        is_new
    }

    /// The question that waits, to be answered now or never.
    pub(crate) const fn take_put_off(&mut self) -> Option<PledgeBody> {
        self.put_off.take()
    }

    /// Whether the peer waits for this side's router to say whether it pledges.
    pub(crate) const fn has_put_off(&self) -> bool {
        self.put_off.is_some()
    }

    /// The peer has pledged for an own round, which is about to be proposed; both have signed it.
    pub(crate) fn hold(&mut self, pledge: Payload) {
        (self.pledge, self.held) = (None, Some(pledge));
    }

    /// What is signed and submitted by nobody here: a pledge for an own round, of the peer's.
    pub(crate) const fn held(&self) -> Option<&Payload> {
        self.held.as_ref()
    }

    /// Whether this side has pledged this state in this round.
    pub(crate) fn is_pledged(&self, round: Round, state_hash: &Hash) -> bool {
        self.given().is_some() && self.is_next(round, state_hash)
    }

    /// Whether this update is the round that this side has pledged: with that offer and nothing else, also of what is in no state, as its instruction.
    pub(crate) fn is_pledged_by(&self, update: &Update) -> bool {
        let is_alone =
            |body: &PledgeBody| matches!(&update.changes[..], [Change::Offer(offer)] if *offer == body.offer);
        self.is_next(update.round, &update.state_hash) && update.refuses.is_none() && self.given().is_some_and(is_alone)
    }

    /// The highest round that this side ever pledged.
    pub(crate) const fn pledged_up_to(&self) -> Round {
        self.pledged_up_to
    }

    /// Own changes are agreed in this round on a base: where what this side has pledged goes on from below it, that may yet take their place.
    pub(crate) fn note_agreed(&mut self, round: Round, changes: OwnChanges) {
        if self.given().is_some_and(|body| body.round > round && body.base.agreed < round) {
            self.replaceable = Some((round, changes));
        }
    }

    /// The changes agreed in this round of whose place what was pledged on this base has taken.
    pub(crate) fn take_replaced(&mut self, agreed: Round, base: Base) -> OwnChanges {
        let replaced = self.replaceable.take().filter(|(round, _)| *round == agreed && base.agreed < *round);
        replaced.map(|(_, changes)| changes).unwrap_or_default()
    }

    /// What this side has pledged: the state after it, and under which name the chain has that.
    pub(crate) fn pledged(&self) -> Option<(Base, &State)> {
        let signed = self.signed.as_ref().filter(|_| self.given().is_some())?;
        Some((Base::of(signed.body.round()), &signed.state))
    }

    /// Drops pledges that no block takes any more, where `is_over`, also what this side has pledged. Says whether anything was dropped.
    pub(crate) fn expire_pledges(&mut self, head: BlockNumber, is_over: bool) -> bool {
        let is_late = |held: &mut Payload| held.valid_until.is_some_and(|until| head > until);
        let _unanswered = self.put_off.take_if(|body| head >= body.valid_until);
        let was_held = self.held.take_if(is_late).is_some();
        let was_given = is_over && self.given().is_some_and(|body| head > body.valid_until);
        if was_given {
            (self.signed, self.replaceable) = (None, None);
        }
        was_held || was_given
    }

    /// The peer's pledge is not used.
    pub(crate) const fn let_go(&mut self) {
        self.held = None;
    }

    /// What this side has pledged.
    pub(crate) fn given(&self) -> Option<&PledgeBody> {
        match &self.signed.as_ref()?.body {
            OperationBody::Pledge(body) => Some(body),
            _ => None,
        }
    }

    /// Takes what this side has pledged, where it is this, with the state after it.
    pub(crate) fn take_pledge(&mut self, round: Round, state_hash: &Hash) -> Option<(PledgeBody, State)> {
        if !self.is_pledged(round, state_hash) {
            return None;
        }
        self.signed.take().and_then(|signed| match signed.body {
            OperationBody::Pledge(body) => Some((body, signed.state)),
            _ => None,
        })
    }

    /// A round is agreed: pledges for rounds up to it are over.
    pub(crate) fn end_pledges(&mut self, round: Round) {
        let _over = self.held.take_if(|held| held.round <= round);
        if self.given().is_some_and(|body| body.round <= round) {
            (self.signed, self.replaceable) = (None, None);
        }
    }

    /// Whether this is what this side has signed for the peer: it is said again.
    pub(crate) fn is_signed_for_peer(&self, body: &OperationBody) -> bool {
        self.signed.as_ref().is_some_and(|signed| signed.peers.is_none() && signed.body == *body)
    }

    /// What both have signed and this side submits.
    pub(crate) fn own_signed(&self) -> Option<&OperationBody> {
        self.signed.as_ref().filter(|signed| signed.peers.is_some()).map(|signed| &signed.body)
    }

    /// The answer to what the peer asked for, where this side has signed it.
    pub(crate) fn signed_message(&self) -> Option<Message> {
        let signed = self.signed.as_ref().filter(|signed| signed.peers.is_none())?;
        Some(signed.body.signed(signed.ours))
    }

    /// Whether the peer holds a signature for a state after an operation of which this is true.
    pub(crate) fn may_count(&self, is_such: impl Fn(&State) -> bool) -> bool {
        self.signed.as_ref().is_some_and(|signed| is_such(&signed.state))
    }

    /// Drops what this side has signed, where no block takes it any more. Returns which it was, and whether this side was to submit it.
    pub(crate) fn expire(&mut self, head: BlockNumber) -> Option<(OperationKind, bool)> {
        let signed = self.signed.take_if(|signed| head > signed.body.valid_until())?;
        Some((signed.body.kind(), signed.peers.is_some()))
    }

    /// The peer has something under way that goes first: it is asked again with the next block.
    pub(crate) fn retry_at_next_block(&mut self) {
        self.retry_above();
        self.deferred = true;
    }

    /// The peer may be asked again.
    pub(crate) const fn retry_now(&mut self) {
        self.deferred = false;
    }

    /// The peer has said that it does not answer now. Returns how often in a row it has said so.
    pub(crate) const fn note_postponed(&mut self) -> u8 {
        self.postponed = self.postponed.saturating_add(1);
        self.postponed
    }

    /// The peer has seen this round on chain.
    pub(crate) fn note_peer_saw(&mut self, round: Round) {
        self.peer_saw = self.peer_saw.max(round);
    }

    /// The peer goes on from this forced round.
    pub(crate) fn note_peer_replayed(&mut self, round: Round) {
        self.peer_replayed = self.peer_replayed.max(round);
    }

    /// The highest round that the peer says it has seen on chain, and the highest forced one that it says it goes on from.
    pub(crate) const fn peer_stands_at(&self) -> (Round, Round) {
        (self.peer_saw, self.peer_replayed)
    }

    /// Whether this side has signed something that may still get on chain.
    pub(crate) const fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// Whether nothing is requested and nothing signed.
    pub(crate) const fn is_idle(&self) -> bool {
        self.requested.is_none() && self.signed.is_none()
    }

    /// The state that is agreed once what this side has signed is on chain.
    pub(crate) fn state(&self) -> Option<&State> {
        self.signed.as_ref().map(|signed| &signed.state)
    }

    /// The same, to be filled with its contracts.
    pub(crate) fn state_mut(&mut self) -> Option<&mut State> {
        self.signed.as_mut().map(|signed| &mut signed.state)
    }

    /// The same, where it goes on from this base.
    pub(crate) fn state_on(&mut self, base: Base) -> Option<&mut State> {
        self.signed.as_mut().filter(|signed| signed.body.base() == base).map(|signed| &mut signed.state)
    }

    /// What is under way: an own offer that waits for its pledge is not.
    pub(crate) fn kind(&self) -> Option<OperationKind> {
        let signed = self.signed.as_ref().map(|signed| signed.body.kind());
        signed.or_else(|| self.requested.as_ref().map(|requested| requested.request.kind()))
    }

    /// The last block that may take what this side has signed.
    pub(crate) fn signed_until(&self) -> Option<BlockNumber> {
        self.signed.as_ref().map(|signed| signed.body.valid_until())
    }

    /// What the peer was asked for and has not answered.
    pub(crate) fn asked(&self) -> Option<&OperationBody> {
        let mut requested = self.requested.iter().chain(&self.pledge);
        requested.find_map(|requested| requested.asked.as_ref())
    }

    /// How much of the own agreed balance is on its way out.
    pub(crate) fn takes(&self) -> Amount {
        let requested = self.requested.as_ref().map_or(0, |requested| requested.request.takes());
        match &self.signed {
            Some(SignedOperation { body: OperationBody::Withdraw(body), peers: Some(_), .. }) => {
                requested.saturating_add(body.amount)
            }
            _ => requested,
        }
    }

    /// A crossing proposal of the peer's won: it is asked for again, above that.
    pub(crate) fn retry_above(&mut self) {
        for requested in [&mut self.requested, &mut self.pledge].into_iter().flatten() {
            requested.asked = None;
        }
    }

    /// What is told of the user's operation when it will not be any more. A pledge of this side's may still be shown to the chain, whatever happens.
    pub(crate) fn give_up(&mut self, code: RefusalCode) -> Option<Event> {
        let signed = self.signed.take_if(|signed| signed.body.kind() != OperationKind::Pledge);
        let signed = signed.filter(|signed| signed.peers.is_some()).map(|signed| signed.body.kind());
        self.pledge = None;
        let operation = self.requested.take().map(|requested| requested.request.kind()).or(signed)?;
        Some(Event::OperationFailed { operation, code })
    }

    /// What is told of the user's operation where the channel has ended unseen: a block may have taken what both have signed.
    pub(crate) fn end_unseen(&mut self) -> Option<Event> {
        let is_own =
            |signed: &mut SignedOperation| signed.peers.is_some() && signed.body.kind() != OperationKind::Pledge;
        let operation = self.signed.take_if(is_own)?.body.kind();
        Some(Event::OperationUnseen { operation })
    }

    /// Takes the user's operation back where nothing of it is signed here.
    pub(crate) fn give_up_unsigned(&mut self, code: RefusalCode) -> Option<Event> {
        self.pledge = None;
        let operation = self.requested.take()?.request.kind();
        Some(Event::OperationFailed { operation, code })
    }

    /// Whether this round is the one that comes after what this side has signed.
    pub(crate) fn is_next(&self, round: Round, state_hash: &Hash) -> bool {
        let body = self.signed.as_ref().map(|signed| &signed.body);
        body.is_some_and(|body| body.round() == round && body.state_hash() == *state_hash)
    }

    /// The state that was signed for, where it is the one that got on chain, and what it goes on from.
    pub(crate) fn executed(&mut self, round: Round, state_hash: &Hash) -> Option<(State, Base)> {
        let same =
            |signed: &mut SignedOperation| signed.body.round() == round && signed.body.state_hash() == *state_hash;
        self.signed.take_if(same).map(|signed| (signed.state, signed.body.base()))
    }

    /// The state that this side has signed for in `round`.
    pub(crate) fn hash_in(&self, round: Round) -> Option<Hash> {
        self.signed
            .as_ref()
            .map(|signed| &signed.body)
            .filter(|body| body.round() == round)
            .map(OperationBody::state_hash)
    }

    /// What is told of the operation that led to this state on chain, where this side has signed it.
    pub(crate) fn as_done(&self, posted: &Posted) -> Option<(OperationKind, Event)> {
        let body = &self.signed.as_ref()?.body;
        let is_it = body.round() == posted.at.agreed && body.state_hash() == posted.state_hash;
        let event = as_event(body).filter(|_| is_it)?;
        Some((body.kind(), event))
    }

    /// The peer says that the chain refused an operation of its own that this side has signed: told once.
    pub(crate) fn peer_was_refused(&mut self, kind: OperationKind, round: Round) -> Option<Notice> {
        let signed = self.signed.as_ref().filter(|signed| signed.peers.is_none())?;
        let is_it = signed.body.kind() == kind && signed.body.round() == round && self.refused != Some(round);
        let until = signed.body.valid_until();
        let told = Notice::OperationRefused { operation: kind, rejection: None, until };
        if is_it {
            self.refused = Some(round);
        }
        is_it.then_some(told)
    }

    /// The call that this side submits, as long as the next block can take it.
    pub(crate) fn submission(&self, me: Party, channel: ChannelId, head: BlockNumber) -> Option<Effect> {
        let SignedOperation { body, ours, peers, .. } =
            self.signed.as_ref().filter(|signed| head < signed.body.valid_until())?;
        let signatures = both(me, *ours, (*peers)?);
        Some(Effect::Submit(Box::new(body.call(channel, signatures))))
    }
}

/// What is told of it once it is final; nothing of a pledge, which is told of as the round that it is for.
fn as_event(body: &OperationBody) -> Option<Event> {
    Some(match body {
        OperationBody::Deposit(DepositBody { party, amount, round, .. }) => {
            Event::Deposited { party: *party, amount: *amount, round: *round }
        }
        OperationBody::Withdraw(WithdrawBody { party, amount, round, .. }) => {
            Event::Withdrawn { party: *party, amount: *amount, round: *round }
        }
        OperationBody::SetDelegates(SetDelegatesBody { delegates, round, .. }) => {
            Event::DelegatesSet { delegates: delegates.clone(), round: *round }
        }
        OperationBody::Pledge(_) => return None,
    })
}
