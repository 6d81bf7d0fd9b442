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

use super::{
    Phase,
    live::{Live, Posted, both},
};
use crate::{
    effect::{Effect, Event, Notice},
    error::{Misuse, Violation},
    input::Context,
    machine::{Channel, Link, Step},
    message::RefusalCode,
    operation::{Body, OperationKind, Request},
    state::State,
};
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Hash, Party, Rejection, Round, Signature,
    crypto::{Crypto, Native},
    terms::MAX_DELEGATES,
};
use scale::{Decode, Encode};

/// The operations of a channel: at most one that the user wants, and at most one that this side has signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Operating {
    wanted: Option<Wanted>,
    bound: Option<Bound>,
    /// The highest round this side ever asked in: asked in once only, so that an answer is about one thing only.
    pub(crate) asked_up_to: Round,
    /// The highest round that the peer says it has seen on chain. Not saved: it says so again.
    #[codec(skip)]
    pub(crate) peer_saw: Round,
    /// The highest forced round that the peer says it goes on from. Not saved either. Apart from the above, because a co-signed round may lie
    /// above a forced one that its signer has not seen.
    #[codec(skip)]
    pub(crate) peer_follows: Round,
    /// The peer has something under way that goes first: not to be asked again before the next block.
    #[codec(skip)]
    pub(crate) later: bool,
    /// How often in a row the peer has said so of what is wanted.
    #[codec(skip)]
    postponed: u8,
    /// The round of the peer's operation of which the peer has said that the chain refused it: told once.
    #[codec(skip)]
    refused: Option<Round>,
}

/// What the user wants, and what the peer was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Wanted {
    request: Request,
    asked: Option<Body>,
}

/// What this side has signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Bound {
    body: Body,
    /// What is agreed once it is on chain.
    state: State,
    ours: Signature,
    /// Where this side asked: it holds both signatures, and submits.
    peers: Option<Signature>,
}

impl Operating {
    /// Whether this side has signed something that may still get on chain.
    pub(crate) const fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    /// Whether nothing is wanted and nothing signed.
    pub(crate) const fn is_idle(&self) -> bool {
        self.wanted.is_none() && self.bound.is_none()
    }

    /// The state that is agreed once what this side has signed is on chain.
    pub(crate) fn state(&self) -> Option<&State> {
        self.bound.as_ref().map(|bound| &bound.state)
    }

    /// The same, to be filled with its contracts.
    pub(crate) fn state_mut(&mut self) -> Option<&mut State> {
        self.bound.as_mut().map(|bound| &mut bound.state)
    }

    /// What is under way.
    pub(crate) fn kind(&self) -> Option<OperationKind> {
        let bound = self.bound.as_ref().map(|bound| bound.body.kind());
        bound.or_else(|| self.wanted.as_ref().map(|wanted| wanted.request.kind()))
    }

    /// The last block that may take what this side has signed.
    pub(crate) fn bound_until(&self) -> Option<BlockNumber> {
        self.bound.as_ref().map(|bound| bound.body.valid_until())
    }

    /// What the peer was asked for and has not answered.
    pub(crate) fn asked(&self) -> Option<&Body> {
        self.wanted.as_ref()?.asked.as_ref()
    }

    /// How much of the own agreed balance is on its way out.
    pub(crate) fn takes(&self) -> Amount {
        let wanted = self.wanted.as_ref().map_or(0, |wanted| wanted.request.takes());
        match &self.bound {
            Some(Bound { body: Body::Withdraw(body), peers: Some(_), .. }) => wanted.saturating_add(body.amount),
            _ => wanted,
        }
    }

    /// A crossing proposal of the peer's won: it is asked for again, above that.
    pub(crate) fn lose(&mut self) {
        if let Some(wanted) = &mut self.wanted {
            wanted.asked = None;
        }
    }

    /// What is told of the user's operation when it will not be any more.
    pub(crate) fn give_up(&mut self, code: RefusalCode) -> Option<Event> {
        let bound = self.bound.take().filter(|bound| bound.peers.is_some()).map(|bound| bound.body.kind());
        let operation = self.wanted.take().map(|wanted| wanted.request.kind()).or(bound)?;
        Some(Event::OperationFailed { operation, code })
    }

    /// Takes the user's operation back where nothing of it is signed here.
    pub(crate) fn give_up_unsigned(&mut self, code: RefusalCode) -> Option<Event> {
        let operation = self.wanted.take()?.request.kind();
        Some(Event::OperationFailed { operation, code })
    }

    /// Whether this round is the one that comes after what this side has signed.
    pub(crate) fn is_next(&self, round: Round, state_hash: &Hash) -> bool {
        let body = self.bound.as_ref().map(|bound| &bound.body);
        body.is_some_and(|body| body.round() == round && body.state_hash() == *state_hash)
    }

    /// The state that was signed for, where it is the one that got on chain, and what it goes on from.
    pub(crate) fn executed(&mut self, round: Round, state_hash: &Hash) -> Option<(State, Base)> {
        let same = |bound: &mut Bound| bound.body.round() == round && bound.body.state_hash() == *state_hash;
        self.bound.take_if(same).map(|bound| (bound.state, bound.body.base()))
    }

    /// The state that this side has signed for in `round`.
    pub(crate) fn hash_in(&self, round: Round) -> Option<Hash> {
        self.bound.as_ref().map(|bound| &bound.body).filter(|body| body.round() == round).map(Body::state_hash)
    }

    /// What is told of the operation that led to this state on chain, where this side has signed it.
    pub(crate) fn as_done(&self, posted: &Posted) -> Option<(OperationKind, Event)> {
        let body = &self.bound.as_ref()?.body;
        let is_it = body.round() == posted.at.agreed && body.state_hash() == posted.state_hash;
        is_it.then(|| (body.kind(), body.as_event()))
    }

    /// The peer says that the chain refused an operation of its own that this side has signed: told once.
    fn peer_was_refused(&self, kind: OperationKind, round: Round) -> Option<Effect> {
        let bound = self.bound.as_ref().filter(|bound| bound.peers.is_none())?;
        let is_it = bound.body.kind() == kind && bound.body.round() == round && self.refused != Some(round);
        let until = bound.body.valid_until();
        let told = Notice::OperationRefused { operation: kind, rejection: None, until };
        is_it.then_some(Effect::Notify(Event::Notice(told)))
    }

    /// The call that this side submits, as long as the next block can take it.
    fn submission(&self, me: Party, channel: ChannelId, head: BlockNumber) -> Option<Effect> {
        let Bound { body, ours, peers, .. } = self.bound.as_ref().filter(|bound| head < bound.body.valid_until())?;
        let signatures = both(me, *ours, (*peers)?);
        Some(Effect::Submit(Box::new(body.call(channel, signatures))))
    }
}

impl Live {
    /// Asks the peer for what the user wants, if nothing is unanswered.
    pub(crate) fn ask(&mut self, me: Party, validity: BlockNumber, head: BlockNumber) -> Step {
        if self.out.highest_open().is_some() || self.operating.asked().is_some() || self.operating.later {
            return Step::default();
        }
        let (round, base) = (self.next_round(me), self.agreed.base());
        let Some(Wanted { request, asked }) = &mut self.operating.wanted else { return Step::default() };
        let valid_until = head.saturating_add(validity);
        let body = round
            .and_then(|round| request.body(me, &self.agreed.state, &self.funding.terms, (round, base, valid_until)));
        let Some(body) = body else {
            // It was checked when it came, and what has come since only adds to the own balance; but the peer's may have grown too far.
            let failed = self.operating.give_up_unsigned(RefusalCode::VALIDATION);
            return Step::commit(failed.map(Effect::Notify).into_iter().collect());
        };
        let created = Effect::Send(body.created());
        self.operating.asked_up_to = body.round();
        *asked = Some(body);
        Step::commit(vec![created])
    }
}

impl Channel {
    /// Transition: open -> open
    pub(crate) fn on_user_operation(&mut self, request: Request, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let (me, state) = (self.me, self.phase.name());
        let live = match &mut self.phase {
            Phase::Open(live) => live,
            Phase::Closing(..) => return Err(Misuse::AlreadyClosing),
            _ => return Err(Misuse::NotOpen { state }),
        };
        live.check_store()?;
        if live.shutdown_wanted.is_some() || live.solo_wanted {
            return Err(Misuse::AlreadyClosing);
        }
        let own_bound = live.operating.bound.as_ref().is_some_and(|bound| bound.peers.is_some());
        if live.operating.wanted.is_some() || own_bound {
            return Err(Misuse::OperationPending);
        }
        match &request {
            Request::Deposit { amount: 0 } | Request::Withdraw { amount: 0, .. } => return Err(Misuse::AmountZero),
            Request::Deposit { amount } if live.funding.total.checked_add(*amount).is_none() => {
                return Err(Misuse::WouldBeRefused(Rejection::AmountOverflow));
            }
            Request::Withdraw { amount, .. } if *amount > live.spendable(me) => {
                return Err(Misuse::InsufficientBalance { amount: *amount, available: live.spendable(me) });
            }
            Request::SetDelegates { delegates } if delegates.len() > MAX_DELEGATES => {
                return Err(Misuse::WouldBeRefused(Rejection::TooManyDelegates));
            }
            _ => {}
        }
        if live.next_round(me).is_none() {
            return Err(Misuse::RoundsExhausted);
        }
        live.operating.wanted = Some(Wanted { request, asked: None });
        live.operating.postponed = 0;
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Transition: open -> open (bound)
    pub(crate) fn on_peer_created(&mut self, body: Body, ctx: &Context<'_>) -> Result<Step, Violation> {
        let (peer, kind, round) = (self.me.peer(), body.kind(), body.round());
        let refuse = |code| Ok(Step::act(vec![Effect::Send(kind.error(round, code))]));
        let [name, ..] = kind.names();
        let out_of_place = self.out_of_place(name);
        let live = match &mut self.phase {
            // From before a parting: the peer says it again once both know the same.
            Phase::Open(_) | Phase::Closing(..) if !self.link.is_in_step() => return Ok(Step::default()),
            Phase::Closing(..) => return refuse(RefusalCode::CLOSING),
            Phase::Open(live) if live.solo_wanted => return refuse(RefusalCode::CLOSING),
            Phase::Open(live) if live.outdated.is_some() => return refuse(RefusalCode::OUTDATED),
            // Signed now, it would replace what is forced (R5.4).
            Phase::Open(live) if live.goes_on_by_force() => return refuse(RefusalCode::NOT_NOW),
            Phase::Open(live) => live,
            _ => return Err(out_of_place),
        };
        if let Some(bound) = &live.operating.bound {
            // Said again after a lost connection; or the peer has seen another one end before us.
            let again = bound.peers.is_none() && bound.body == body;
            return if again { Ok(Step::act(self.signed_again())) } else { refuse(RefusalCode::NOT_NOW) };
        }
        if self.outbox.is_full() {
            return refuse(RefusalCode::NOT_NOW);
        }
        if Party::owner_of(round) != peer {
            return Err(Violation::WrongParity { got: round, owner: self.me });
        }
        if live.operating.asked().is_some_and(|ours| ours.round() > round) {
            // Crossing questions: ours is higher and wins; the peer will ask again.
            return Ok(Step::default());
        }
        if live.out.highest_open().is_some() {
            // A question loses to any open proposal: the peer answers that first, and asks again (R6.5a).
            return Ok(Step::act(live.out.say_again(true)));
        }
        if !live.out.may_sign_on(live.agreed.base()) || live.out.all().next().is_some() {
            // The chain may still take a round of ours that was given up for a forced step.
            return refuse(RefusalCode::NOT_NOW);
        }
        if live.is_overtaken_by_chain(round) || (round == live.agreed.round && body.state_hash() == live.agreed.hash) {
            // The latter was said again after a lost connection, and is on chain meanwhile.
            return Ok(Step::default());
        }
        let validity = self.config.operation_validity;
        let (got, min, max) = (body.valid_until(), ctx.head, ctx.head.saturating_add(validity.saturating_mul(2)));
        if got < min {
            // It was too long on its way, or our head is ahead: no wrong, and no use any more.
            return refuse(RefusalCode::NOT_NOW);
        }
        let have = live.agreed.round.max(live.out.signed());
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
        let state = body.state_after(peer, &live.agreed.state, &live.funding.terms)?;

        let ours = ctx.key.sign(&body.signed_bytes(&self.domain, &live.funding.channel));
        live.operating.lose();
        live.undecided = None;
        live.out.note_signed(round);
        let signed = Effect::Send(body.signed(ours));
        live.operating.bound = Some(Bound { body, state, ours, peers: None });
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
        let asked = live.operating.asked().filter(|body| body.round() == round && body.kind() == kind).cloned();
        let Some(body) = asked.filter(|_| is_open && !live.solo_wanted && round > live.out.signed()) else {
            // Said again after a lost connection, or about something that was given up meanwhile.
            let known = round <= live.operating.asked_up_to;
            return if known { Ok(Step::default()) } else { Err(Violation::RoundNotProposed { got: round }) };
        };
        let message = body.signed_bytes(&self.domain, &live.funding.channel);
        if !Native.verify(&self.peer, &message, &signature) {
            return Err(Violation::SignatureInvalid);
        }
        if live.out.all().next().is_some() {
            // The chain may still take a round of ours that was given up: who signs an operation has none open (R6.5a).
            live.operating.lose();
            live.operating.later = true;
            return Ok(Step::commit(Vec::new()));
        }
        if ctx.head >= body.valid_until() {
            // No block can take it any more.
            return Ok(self.ask_anew(ctx));
        }
        // Whoever asks is not asked at the same time, and nothing was agreed since.
        let after = body.state_after(me, &live.agreed.state, &live.funding.terms).ok();
        let Some(state) = after.filter(|_| body.base() == live.agreed.base()) else {
            live.operating.lose();
            return Ok(Step::commit(Vec::new()).and(self.advance(ctx)));
        };
        let ours = ctx.key.sign(&message);
        live.out.note_signed(round);
        live.operating.wanted = None;
        live.operating.bound = Some(Bound { body, state, ours, peers: Some(signature) });
        // Nothing else is agreed to from now on (R6.5), not even by the user.
        let put_off = live.put_off_undecided(RefusalCode::NOT_NOW).into_iter().collect();
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
        live.operating.peer_saw = live.operating.peer_saw.max(round);
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
        if let Some(told) = live.operating.peer_was_refused(kind, round).filter(|_| code == RefusalCode::ON_CHAIN) {
            live.operating.refused = Some(round);
            return Ok(Step::act(vec![told]));
        }
        if live.operating.asked().is_none_or(|body| body.round() != round || body.kind() != kind) {
            // About something that has lost or was given up meanwhile.
            return Ok(Step::default());
        }
        if [RefusalCode::CLOSING, RefusalCode::NOT_NOW, RefusalCode::OVERTAKEN].contains(&code) {
            live.operating.lose();
            live.operating.later = true;
            live.operating.postponed = live.operating.postponed.saturating_add(1);
            let is_late = live.operating.postponed == 2;
            let told = is_late.then_some(Effect::Notify(Event::Notice(Notice::Postponed { round, code })));
            return Ok(Step::commit(told.into_iter().collect()).and(self.advance(ctx)));
        }
        let failed = live.operating.give_up_unsigned(code);
        Ok(Step::commit(failed.map(Effect::Notify).into_iter().collect()).and(self.advance(ctx)))
    }

    /// The arbiter refused a call: where it is the operation that this side submits, the peer hears of it too, since both wait for it (R6.5c).
    pub(crate) fn on_operation_rejected(&self, call: &str, rejection: Rejection) -> Vec<Effect> {
        let Phase::Open(live) = &self.phase else { return Vec::new() };
        let bound = live.operating.bound.as_ref().filter(|bound| bound.peers.is_some());
        let Some(body) = bound.map(|bound| &bound.body).filter(|body| body.kind().call_name() == call) else {
            return Vec::new();
        };
        let (operation, until) = (body.kind(), body.valid_until());
        let refused = Notice::OperationRefused { operation, rejection: Some(rejection), until };
        let say = operation.error(body.round(), RefusalCode::ON_CHAIN);
        vec![Effect::Notify(Event::Notice(refused)), Effect::Send(say)]
    }

    /// The part of a new head that concerns operations: submit again, or go on from the state before where one has expired (R6.5).
    pub(crate) fn on_head_while_operating(&mut self, ctx: &Context<'_>) -> Step {
        let again = Step::act(self.operation_again(ctx.head));
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if live.operating.asked().is_some_and(|body| ctx.head >= body.valid_until()) {
            return self.ask_anew(ctx);
        }
        let Some(bound) = live.operating.bound.take_if(|bound| ctx.head > bound.body.valid_until()) else {
            return again;
        };
        let failed = Event::OperationFailed { operation: bound.body.kind(), code: RefusalCode::TIMEOUT };
        let told = bound.peers.map(|_ours_to_submit| Effect::Notify(failed)).into_iter().collect();
        Step::commit(told).and(self.take_parked(ctx)).and(self.advance(ctx))
    }

    /// Asks in another round for what no block can take any more. Until that can be done the old question stays: the peer may have signed
    /// it and given up a lower round of its own for it, which must not be agreed to now.
    fn ask_anew(&mut self, ctx: &Context<'_>) -> Step {
        match &mut self.phase {
            Phase::Open(live) if self.link == Link::Up && !live.is_blocked() && !self.outbox.is_full() => {
                live.operating.lose();
                Step::commit(Vec::new()).and(self.advance(ctx))
            }
            _ => Step::default(),
        }
    }

    /// Asks for the operation that both signed, as long as the next block can take it.
    pub(crate) fn operation_again(&self, head: BlockNumber) -> Vec<Effect> {
        match &self.phase {
            Phase::Open(live) => live.operating.submission(self.me, live.funding.channel, head).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What an operation says again when the connection is back.
    pub(crate) fn signed_again(&self) -> Vec<Effect> {
        let Phase::Open(live) = &self.phase else { return Vec::new() };
        let asked = live.operating.asked().map(Body::created);
        let bound = live.operating.bound.as_ref().filter(|bound| bound.peers.is_none());
        let signed = bound.map(|bound| bound.body.signed(bound.ours));
        asked.into_iter().chain(signed).map(Effect::Send).collect()
    }
}
