//! From `channel_open` to both having seen the channel on chain.
//!
//! ```text
//!  initiator                                   responder
//!  channel_open            ------------------>
//!                          <------------------ channel_accept
//!  [asks the chain for the pair's nonce]
//!  funding_created (signed) ----------------->
//!                          <------------------ funding_signed
//!  [submits channel_create]
//!  funding_locked          <-----------------> funding_locked      each when it is final for itself
//! ```

use crate::{
    channel::Channel,
    config::{Config, Policy},
    effect::Effect,
    error::{Misuse, Violation},
    event::{CloseReason, Event, Notice},
    input::Context,
    message::{ChannelAccept, ChannelOpen, ChannelRef, FundingCreated, FundingSigned, Message, RefusalCode},
    phase::{
        Phase,
        live::Live,
        opening::{AbandonedOpening, Accepted, HalfSigned, Initialized, Signed},
    },
    state::State,
    step::Step,
    units::Millis,
};
use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Pair, Party, PartyId, PublicKey, Rejection,
    call::CallKind,
    crypto::Native,
    record::Record,
    signing::signed_bytes,
    terms::{Destination, Limits, MAX_DELEGATES, PartyTerms},
};
use std::ops::RangeInclusive;

/// How far the two peers' finalised heads may lie apart, in blocks.
const HEAD_SLACK: BlockNumber = 20;

/// A channel to propose.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Names it between the peers: drawn at random.
    pub reference: ChannelRef,
    /// The responder's identity and signing key.
    pub peer: PublicKey,
    /// What is proposed.
    pub open: ChannelOpen,
    /// The arbiter's bounds, to refuse at once what it would refuse.
    pub limits: Limits,
}

impl Channel {
    /// Proposes a channel.
    ///
    /// # Errors
    /// [`Misuse::WouldBeRefused`] for what the arbiter would refuse, [`Misuse::LockTooShort`] for what this side could not defend.
    pub fn propose(request: OpenRequest, config: Config, ctx: &Context<'_>) -> Result<(Self, Step), Misuse> {
        let OpenRequest { reference, peer, open, limits } = request;
        check_terms(&open, &placeholder(peer), &limits).map_err(Misuse::WouldBeRefused)?;
        let (got, min) = (open.lock_period, ctx.pace.least_lock(open.max_forced));
        if got < min {
            return Err(Misuse::LockTooShort { got, min });
        }
        let mut channel = Self::new(reference, Party::Initiator, peer, open.domain, config, {
            Phase::Initialized(Initialized { open: open.clone(), responder: None, deadline: deadline(&config, ctx) })
        });
        channel.transfers.set_limits(Party::Initiator, open.transfers);
        Ok((channel, Step::act(vec![Effect::Send(Message::ChannelOpen(open))])))
    }

    /// Accepts a channel that `peer` proposed, as `responder`, if it suits `policy` (R6.7).
    ///
    /// # Errors
    /// The term that does not suit; the peer is to be told the violation's code.
    pub fn accept(
        reference: ChannelRef,
        peer: PublicKey,
        open: ChannelOpen,
        responder: PartyTerms,
        policy: &Policy,
        config: Config,
        ctx: &Context<'_>,
    ) -> Result<(Self, Step), Violation> {
        policy.check(&open, ctx.pace)?;
        if open.initiator.key != peer {
            return Err(Violation::SignatureInvalid);
        }
        check_terms(&open, &responder, &policy.limits).map_err(Violation::BadTerms)?;
        let domain = open.domain;
        let accept = ChannelAccept { responder: responder.clone(), transfers: config.transfers };
        let accept = Message::ChannelAccept(accept);
        let theirs = open.transfers;
        let phase = Phase::Accepted(Accepted { open, responder, deadline: deadline(&config, ctx) });
        let mut channel = Self::new(reference, Party::Responder, peer, domain, config, phase);
        channel.transfers.set_limits(Party::Initiator, theirs);
        Ok((channel, Step::act(vec![Effect::Send(accept)])))
    }

    /// Transition: initialized -> initialized (nonce asked for)
    pub(crate) fn on_peer_accept(&mut self, accept: ChannelAccept, ctx: &Context<'_>) -> Result<Step, Violation> {
        let deadline = deadline(&self.config, ctx);
        let out_of_place = self.out_of_place("channel_accept");
        let Phase::Initialized(Initialized { open, responder: responder @ None, deadline: until }) = &mut self.phase
        else {
            return Err(out_of_place);
        };
        if accept.responder.key != self.peer.public() {
            return Err(Violation::SignatureInvalid);
        }
        if accept.responder.account == open.initiator.account {
            return Err(Violation::BadTerms(Rejection::PartiesShareAccount));
        }
        if accept.responder.delegates.len() > MAX_DELEGATES {
            return Err(Violation::BadTerms(Rejection::TooManyDelegates));
        }
        let parties = Pair::new(open.initiator.id(), accept.responder.id());
        *responder = Some(accept.responder);
        *until = deadline;
        self.transfers.set_limits(Party::Responder, accept.transfers);
        Ok(Step::act(vec![Effect::AskNonce(parties)]))
    }

    /// Transition: initialized -> half_signed
    pub(crate) fn on_chain_nonce(&mut self, parties: &Pair<PartyId>, nonce: u64, ctx: &Context<'_>) -> Step {
        let Phase::Initialized(Initialized { open, responder: Some(responder), .. }) = &self.phase else {
            return Step::default();
        };
        let valid_until = ctx.head.saturating_add(open.validity);
        let body = open.body(responder, valid_until);
        if body.terms.ids() != *parties {
            return Step::default();
        }
        let channel = body.terms.channel_id(&self.domain, nonce, &Native);
        let signature = ctx.key.sign(&signed_bytes(&self.domain, &channel, &body));
        self.phase = Phase::HalfSigned(HalfSigned { channel, body, nonce, signature });
        let funding = FundingCreated { nonce, valid_until, signature };
        Step::commit(vec![Effect::Send(Message::FundingCreated(funding))])
    }

    /// Transition: accepted -> signed
    pub(crate) fn on_peer_funding_created(
        &mut self,
        funding: FundingCreated,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let Phase::Accepted(Accepted { open, responder, .. }) = &self.phase else {
            return Err(self.out_of_place("funding_created"));
        };
        let (min, max) = valid_until_of(open, ctx.head).into_inner();
        if funding.valid_until < min {
            // It was too long on its way: no wrong, and no use any more.
            let code = RefusalCode::TIMEOUT;
            let told = Step::act(vec![Effect::Send(Message::Error { code })]);
            return Ok(told.and(self.abandon_opening(Some(code))));
        }
        if funding.valid_until > max {
            return Err(Violation::ValidityOutOfBounds { got: funding.valid_until, min, max });
        }
        let body = open.body(responder, funding.valid_until);
        let channel = body.terms.channel_id(&self.domain, funding.nonce, &Native);
        let message = signed_bytes(&self.domain, &channel, &body);
        if !self.peer.verify(&message, &funding.signature) {
            return Err(Violation::SignatureInvalid);
        }
        let signature = ctx.key.sign(&message);
        let signatures = Pair::new(funding.signature, signature);
        self.phase = Phase::Signed(Signed::new(channel, &body, funding.nonce, Some(signatures)));
        let say = Effect::Send(Message::FundingSigned(FundingSigned { signature }));
        Ok(Step::commit(vec![say]).and(Step::tell([Event::Signed { channel }])))
    }

    /// The id that this opening will have, where a responder accepts `funding` (R5.2); none where none is awaited. No two channels may share one.
    #[must_use]
    pub fn offered_id(&self, funding: &FundingCreated) -> Option<ChannelId> {
        let Phase::Accepted(Accepted { open, responder, .. }) = &self.phase else { return None };
        Some(open.body(responder, funding.valid_until).terms.channel_id(&self.domain, funding.nonce, &Native))
    }

    /// Whether this side would sign `funding`: it is of the time that was agreed, and the initiator has signed it. What is not is refused without a look
    /// at the initiator's coins.
    #[must_use]
    pub fn is_signed(&self, funding: &FundingCreated, head: BlockNumber) -> bool {
        let Phase::Accepted(Accepted { open, responder, .. }) = &self.phase else { return false };
        if !valid_until_of(open, head).contains(&funding.valid_until) {
            return false;
        }
        let body = open.body(responder, funding.valid_until);
        let channel = body.terms.channel_id(&self.domain, funding.nonce, &Native);
        self.peer.verify(&signed_bytes(&self.domain, &channel, &body), &funding.signature)
    }

    /// The nonce that this side has named for an opening that is not known to be on chain, and whose it is (R5.2).
    #[must_use]
    pub fn named_nonce(&self) -> Option<(Pair<PartyId>, u64)> {
        match &self.phase {
            _ if self.me == Party::Responder => None,
            Phase::HalfSigned(half) => Some((half.body.terms.ids(), half.nonce)),
            Phase::Signed(signed) => Some((signed.funding.terms().ids(), signed.nonce)),
            _ => None,
        }
    }

    /// The nonce of an opening that both have signed (R5.2), until it is open.
    #[must_use]
    pub const fn signed_nonce(&self) -> Option<u64> {
        match &self.phase {
            Phase::Signed(signed) => Some(signed.nonce),
            _ => None,
        }
    }

    /// Transition: half_signed -> signed
    pub(crate) fn on_peer_funding_signed(&mut self, funding: FundingSigned) -> Result<Step, Violation> {
        let half = match &self.phase {
            Phase::HalfSigned(half) => half,
            // Said again after a lost connection.
            Phase::Signed(_) | Phase::Open(_) | Phase::Closing(..) if self.me == Party::Initiator => {
                return Ok(Step::default());
            }
            _ => return Err(self.out_of_place("funding_signed")),
        };
        let message = signed_bytes(&self.domain, &half.channel, &half.body);
        if !self.peer.verify(&message, &funding.signature) {
            return Err(Violation::SignatureInvalid);
        }
        let channel = half.channel;
        let signatures = Pair::new(half.signature, funding.signature);
        let signed = Signed::new(channel, &half.body, half.nonce, Some(signatures));
        let submit = Step::act(signed.submission().into_iter().collect());
        self.phase = Phase::Signed(signed);
        Ok(Step::tell([Event::Signed { channel }]).and(submit))
    }

    /// Transition: signed -> signed | open
    pub(crate) fn on_peer_funding_locked(&mut self) -> Result<Step, Violation> {
        match &mut self.phase {
            Phase::Signed(signed) => {
                signed.peer_locked = true;
                // It is no further either: so much is its word.
                self.confirmation.peer_stands_at(Base::of(1));
                Ok(Step::commit(Vec::new()).and(self.open_if_locked()))
            }
            // Said again after a lost connection.
            Phase::Open(_) | Phase::Closing(..) => Ok(Step::default()),
            _ => Err(self.out_of_place("funding_locked")),
        }
    }

    /// Transition: signed -> signed | open. The opening is final on chain.
    pub(crate) fn on_chain_created(&mut self, record: &Record) -> Step {
        if !self.is_ours(record) {
            // Another opening that carried the same nonce took the id: ours can never be on chain, and expires.
            return Step::default();
        }
        self.on_opening_final()
    }

    /// Transition: half_signed | signed -> signed | open. What both signed is known to be on chain.
    pub(crate) fn on_opening_final(&mut self) -> Step {
        // The responder may have put on chain what it never answered.
        if let Phase::HalfSigned(half) = &self.phase {
            self.phase = Phase::Signed(Signed::new(half.channel, &half.body, half.nonce, None));
        }
        let Phase::Signed(signed) = &mut self.phase else { return Step::default() };
        if signed.locked {
            return Step::default();
        }
        signed.locked = true;
        Step::commit(vec![Effect::Send(Message::FundingLocked)]).and(self.open_if_locked())
    }

    /// Transition: signed -> open, once both have seen the opening on chain.
    fn open_if_locked(&mut self) -> Step {
        let Phase::Signed(Signed { funding, locked: true, peer_locked: true, .. }) = &self.phase else {
            return Step::default();
        };
        let live = Live::new(funding.clone(), self.store_age());
        let opened = Event::Opened { channel: live.funding.channel(), balances: live.agreed.state().balances };
        self.phase = Phase::Open(live);
        Step::tell([opened])
    }

    /// The opening's part of a new head: submit again, or give up once it has expired.
    pub(crate) fn on_head_while_opening(&mut self, ctx: &Context<'_>) -> Step {
        let rejection = self.abandoned_opening.and_then(|given_up| given_up.rejection);
        match &self.phase {
            Phase::HalfSigned(half) if ctx.head > half.body.valid_until => {
                self.close(CloseReason::OpeningExpired { rejection })
            }
            Phase::Signed(signed) if !signed.locked && ctx.head > signed.valid_until => {
                self.close(CloseReason::OpeningExpired { rejection })
            }
            _ => Step::act(self.create_again(ctx.head)),
        }
    }

    /// Asks for the opening that both signed, as long as the next block can take it.
    pub(crate) fn create_again(&self, head: BlockNumber) -> Vec<Effect> {
        match &self.phase {
            Phase::Signed(signed)
                if self.me == Party::Initiator
                    && !signed.locked
                    && head < signed.valid_until
                    && self.abandoned_opening.is_none() =>
            {
                signed.submission().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The opening that both signed was refused, or cannot get on chain. The user is told that it does not open, so it shall not open behind
    /// the user's back: it is not asked for again, and expires.
    pub(crate) fn abandon_create(&mut self, call: CallKind, rejection: Option<Rejection>) -> Step {
        match &self.phase {
            Phase::Signed(signed)
                if call == CallKind::ChannelCreate && !signed.locked && self.abandoned_opening.is_none() =>
            {
                self.abandoned_opening = Some(AbandonedOpening { rejection });
                Step::commit(Vec::new())
            }
            _ => Step::default(),
        }
    }

    /// Whether a channel has the terms that this side signed. Delegates may have changed since.
    pub(crate) fn has_terms_of(&self, record: &Record) -> bool {
        let signed = match &self.phase {
            Phase::HalfSigned(half) => &half.body.terms,
            Phase::Signed(Signed { funding, .. }) => funding.terms(),
            _ => return false,
        };
        let mut theirs = record.terms.clone();
        for (party, ours) in signed.parties.iter() {
            theirs.parties[party].delegates.clone_from(&ours.delegates);
        }
        theirs == *signed
    }

    /// Whether a channel that was created under our id is the one that this side signed.
    fn is_ours(&self, record: &Record) -> bool {
        let (terms, balances) = match &self.phase {
            Phase::HalfSigned(half) => (&half.body.terms, half.body.balances),
            Phase::Signed(Signed { funding, .. }) => (funding.terms(), funding.first().balances),
            _ => return false,
        };
        record.terms == *terms
            && Some(record.total) == balances.sum()
            && record.on_chain.state_hash == State::of(balances).hash()
    }

    /// The opening's part of a lost connection, of an error, or of a deadline: nothing is lost before both have signed.
    pub(crate) fn abandon_opening(&mut self, code: Option<RefusalCode>) -> Step {
        match self.phase {
            // Nothing of it is stored, so neither is its end.
            Phase::Initialized(_) | Phase::Accepted(_) => {
                self.phase = Phase::Closed(CloseReason::NotOpened { code });
                Step::act(vec![Effect::Notify(Notice::NotOpened { code }), Effect::Forget])
            }
            _ => Step::default(),
        }
    }

    /// Transition: accepted -> closed
    pub(crate) fn refuse_opening(&mut self, code: RefusalCode) -> Step {
        if !matches!(self.phase, Phase::Accepted(_)) {
            return Step::default();
        }
        Step::act(vec![Effect::Send(Message::Error { code })]).and(self.abandon_opening(Some(code)))
    }

    /// What an opening that waits for this side's signature takes out of the initiator's vault, and whose vault that is.
    #[must_use]
    pub fn awaited_share(&self) -> Option<(PartyId, Amount)> {
        let Phase::Accepted(Accepted { open, .. }) = &self.phase else { return None };
        Some((open.initiator.id(), open.shares.initiator))
    }

    /// The deadline of an opening that nobody has signed.
    pub(crate) const fn opening_deadline(&self) -> Option<Millis> {
        match &self.phase {
            Phase::Initialized(Initialized { deadline, .. }) | Phase::Accepted(Accepted { deadline, .. }) => {
                Some(*deadline)
            }
            _ => None,
        }
    }

    /// What an opening says again when the connection is back.
    pub(crate) fn opening_again(&self) -> Vec<Effect> {
        let Phase::Signed(signed) = &self.phase else { return Vec::new() };
        let mut effects = Vec::new();
        if let (Party::Responder, Some(Pair { responder: signature, .. })) = (self.me, signed.signatures) {
            effects.push(Effect::Send(Message::FundingSigned(FundingSigned { signature })));
        }
        if signed.locked {
            effects.push(Effect::Send(Message::FundingLocked));
        }
        effects
    }
}

/// Everything the arbiter checks of an opening before signatures.
fn check_terms(open: &ChannelOpen, responder: &PartyTerms, limits: &Limits) -> Result<(), Rejection> {
    limits.check_validity(open.validity, 0)?;
    open.body(responder, open.validity).check(limits).map(|_total| ())
}

/// A responder that is not known yet: unlike any initiator.
const fn placeholder(peer: PublicKey) -> PartyTerms {
    PartyTerms { account: AccountId([0; 32]), key: peer, payout: Destination::Account, delegates: Vec::new() }
}

/// The last blocks that an opening may name, as a responder sees it.
const fn valid_until_of(open: &ChannelOpen, head: BlockNumber) -> RangeInclusive<BlockNumber> {
    head..=head.saturating_add(open.validity).saturating_add(HEAD_SLACK)
}

const fn deadline(config: &Config, ctx: &Context<'_>) -> Millis {
    ctx.now.saturating_add(config.timeouts.opening)
}
