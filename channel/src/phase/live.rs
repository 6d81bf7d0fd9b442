//! A running channel's data: what is agreed, what is proposed, what waits, and what this side's signatures still allow the peer (R6.1 to R6.5).

use super::{
    forcing::{Forcing, Unfollowed},
    opening::Funding,
    operating::Operating,
    outgoing::{Ids, Outgoing},
};
use crate::{
    config::Config,
    effect::{Effect, Event},
    error::{Misuse, Violation},
    input::{Context, Millis},
    message::{MAX_UPDATES_PER_ROUND, Message, RefusalCode, Refused, Shutdown, Update},
    state::{
        Change, ChangeFault, ChangeId, Draft, MAX_META, MAX_REFERENCE, Outcome, Payment, Place, Results, State,
        check_code, length,
    },
};
use protocol::{
    Amount, Base, BlockNumber, Hash, Pair, Party, PublicKey, Round, Signature,
    arbiter::{Candidate, Standing, standing},
    call::{CloseSolo, Payload},
    contracts::{Code, ContractId, MAX_INPUT},
    crypto::{Crypto, Native},
    record::OnChain,
    signing::{Domain, StateBody, signed_bytes},
};
use scale::{Decode, Encode};

/// The latest agreed state, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Agreed {
    pub(crate) round: Round,
    /// What the round names as its base, where it is co-signed (R3.5a).
    pub(crate) named: Base,
    pub(crate) state: State,
    pub(crate) hash: Hash,
    /// Both signatures; none for a state that is on chain, as that of round 1 is.
    pub(crate) signatures: Option<Pair<Signature>>,
    /// What it goes on from, where it is not on chain: should it lose its force (R5.4b), the chain is followed from there.
    pub(crate) below: Option<Below>,
    /// The own changes that it made.
    pub(crate) made: Ids,
    /// Where the arbiter computed it for one side alone: nobody has agreed, but it counts until a co-signed state replaces it (R5.4).
    pub(crate) forced: Option<Forced>,
    /// The highest height that a round named so far: the next one names none below (R7.3).
    pub(crate) height: BlockNumber,
}

/// The state that the agreed one goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Below {
    pub(crate) at: Base,
    pub(crate) state: State,
}

/// A state that is not co-signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forced {
    /// The co-signed round on chain below it, and how many forced rounds after that.
    pub(crate) at: Base,
    /// Who forced the last step.
    pub(crate) by: Party,
    /// The height that counted before the chain of them: it counts again where a co-signed state replaces them.
    pub(crate) height: BlockNumber,
}

/// A state that the arbiter has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Posted {
    /// Its co-signed round, and how many forced rounds after it.
    pub(crate) at: Base,
    pub(crate) state_hash: Hash,
}

impl Posted {
    pub(crate) const fn is_forced(&self) -> bool {
        self.at.steps > 0
    }
}

impl Agreed {
    /// What a round names that goes on from this state (R3.5a).
    pub(crate) fn base(&self) -> Base {
        self.forced.map_or(Base::of(self.round), |forced| forced.at)
    }
}

/// What the arbiter has of the channel, as far as it was announced: what a forced step goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Seen {
    pub(crate) on_chain: OnChain,
    pub(crate) forced_steps: Pair<u8>,
}

/// The furthest that a round may lie above the last one that both know of: the peer's rounds that got lost are far fewer, and rounds must not
/// run out.
const MAX_ROUND_JUMP: Round = 1 << 16;

/// The peer's round, shown to the user, who decides; or put by until its app is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undecided {
    pub(crate) update: Update,
    pub(crate) since: Millis,
    pub(crate) awaits: Awaits,
}

/// What a round of the peer's that is not answered waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The user, who was shown it.
    User,
    /// This app, which has to be fetched first.
    Code(Hash),
    /// The block that it names, which this side has not seen (R7.3).
    Head,
}

/// A round of ours that the peer has signed, as the arbiter or the peer shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) round: Round,
    pub(crate) state_hash: Hash,
    /// None where it is on chain.
    pub(crate) signatures: Option<Pair<Signature>>,
}

/// What a side knows of a store of its own that is older than what it has signed (R6.6a).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Outdated {
    /// What was stored.
    pub(crate) from: Round,
    /// What was shown.
    pub(crate) to: Round,
}

/// A channel that is open or closing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Live {
    pub(crate) funding: Funding,
    pub(crate) agreed: Agreed,
    /// Own rounds and changes.
    pub(crate) out: Outgoing,
    /// What is under way on chain while the channel is open (R6.5).
    pub(crate) operating: Operating,
    pub(crate) seen: Seen,
    /// Forced steps that are on chain, in order, and that this side cannot compute yet.
    pub(crate) unfollowed: Vec<Unfollowed>,
    /// The calls that this side is forcing.
    pub(crate) forcing: Option<Forcing>,
    /// The peer showed a state that this side signed and does not remember: from which round to which (R6.6).
    pub(crate) outdated: Option<Outdated>,
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
    /// The highest round that the user was asked about, and the hash of what it was told of it. The user decides by the round's number, so no
    /// number may come to mean anything else.
    #[codec(skip)]
    pub(super) shown: Option<(Round, Hash)>,
    /// Since when own calls have waited for the peer.
    #[codec(skip)]
    pub(crate) calls_wait_since: Option<Millis>,
}

impl Live {
    pub(crate) fn new(funding: Funding) -> Self {
        let (state, hash) = (funding.first.clone(), funding.first.hash());
        Self {
            agreed: Agreed {
                round: 1,
                named: Base::default(),
                state,
                hash,
                signatures: None,
                below: None,
                made: Ids::default(),
                forced: None,
                height: 0,
            },
            seen: Seen { on_chain: OnChain::agreed(1, hash), forced_steps: Pair::default() },
            unfollowed: Vec::new(),
            forcing: None,
            funding,
            out: Outgoing::new(),
            operating: Operating::default(),
            outdated: None,
            shutdown_wanted: None,
            solo_wanted: false,
            parked: None,
            undecided: None,
            shown: None,
            calls_wait_since: None,
        }
    }

    /// The id of the next change.
    pub(crate) fn next_change(&self) -> ChangeId {
        self.out.next_change()
    }

    /// Changes that are neither agreed nor refused.
    pub(crate) fn pending(&self) -> usize {
        self.out.pending()
    }

    /// What `me` can pay now, above the reserve.
    pub(crate) fn spendable(&self, me: Party) -> Amount {
        // As a rule what is proposed leaves less; but the peer may have put a lower round of ours on chain that leaves less still.
        let agreed = self.agreed.state.balances[me];
        let ours = self.out.proposal().map_or(agreed, |proposal| proposal.state.balances[me].min(agreed));
        let kept = self.funding.terms.reserve.saturating_add(self.operating.takes());
        ours.saturating_sub(kept).saturating_sub(self.out.queued_amount())
    }

    /// What contracts hold of the agreed total.
    pub(crate) fn held(&self) -> Amount {
        self.funding.total.saturating_sub(self.agreed.state.balances.sum().unwrap_or(Amount::MAX))
    }

    /// The latest agreed state as the arbiter takes it.
    pub(crate) fn close_solo(&self) -> CloseSolo {
        CloseSolo { channel: self.funding.channel, payload: self.payload(), commitment: self.agreed.state.commitment() }
    }

    /// The proof of the latest agreed state; none for one that is on chain.
    pub(crate) fn payload(&self) -> Option<Payload> {
        let Agreed { round, named, hash, signatures, .. } = self.agreed;
        signatures.map(|signatures| Payload { round, base: named, state_hash: hash, valid_until: None, signatures })
    }

    /// The proof of a state that takes the place of the one on chain in the block after `head`, where this side has one (R5.4).
    pub(crate) fn newer_than_chain(&self, head: BlockNumber) -> Option<Payload> {
        let payload = self.payload()?;
        let on_chain = &self.seen.on_chain;
        let standing = standing(on_chain, &self.funding.terms, &Candidate::from(&payload), head.saturating_add(1));
        (standing == Ok(Standing::Newer)).then_some(payload)
    }

    /// Whether a forced step on chain lies above what a round goes on from: then the peer's answer to it counts only once the round is on chain
    /// itself (R7.6a).
    pub(crate) fn is_below_a_mark(&self, base: Base) -> bool {
        base < self.seen.on_chain.maturity.highest()
    }

    /// What is told of what will not be: payments, and the user's operation.
    pub(crate) fn drop_pending(&mut self, code: RefusalCode) -> Vec<Event> {
        let mut events = self.drop_payments();
        events.extend(self.operating.give_up(code));
        events
    }

    /// What is told of payments that will not be made: those that wait, and those of a proposal that never came to be.
    pub(crate) fn drop_payments(&mut self) -> Vec<Event> {
        let payments = self.out.drop_all();
        if payments.is_empty() { Vec::new() } else { vec![Event::Dropped { payments }] }
    }

    /// Whether the chain has a co-signed state that counts before the one agreed here.
    pub(crate) fn is_behind(&self, posted: &Posted) -> bool {
        !posted.is_forced() && posted.at > self.agreed.base()
    }

    /// What is told where a co-signed state takes the place of forced ones that are not in its base (R5.4).
    pub(crate) fn replaced(&self, round: Round, base: Base) -> Option<Event> {
        let Forced { at, .. } = self.agreed.forced?;
        let kept = if base.agreed == at.agreed { base.steps } else { 0 };
        let forced = Base { steps: kept, ..at }.round().saturating_add(1);
        (kept < at.steps).then_some(Event::Replaced { forced, round })
    }

    /// These changes are agreed: calls among them are not forced any more. Others that were to be forced with them wait again.
    pub(crate) fn stop_forcing(&mut self, made: &Ids, me: Party) {
        let is_made = |id: &ChangeId| made.contains(*id);
        let Some(forcing) = self.forcing.take_if(|forcing| forcing.changes().iter().any(is_made)) else { return };
        let rest: Vec<_> = forcing.into_calls().filter(|(id, _)| !is_made(id)).collect();
        self.out.return_calls(me, rest.into_iter());
    }

    /// Whether nothing may be proposed now: something on chain, the user, or the peer goes first.
    pub(crate) fn is_blocked(&self) -> bool {
        self.solo_wanted
            || self.outdated.is_some()
            || self.undecided.is_some()
            || self.forcing.is_some()
            || !self.unfollowed.is_empty()
            || self.operating.is_bound()
            || self.awaits_lock()
    }

    /// Whether calls are being forced, or were and this side has not followed, or the peer has not said that it has: what it asks for now does not
    /// go on from there.
    pub(crate) fn goes_on_by_force(&self) -> bool {
        self.forcing.is_some() || !self.unfollowed.is_empty() || (self.agreed.forced.is_some() && self.awaits_lock())
    }

    /// Takes what waits for the user back: something else goes first, and later the peer says it again.
    pub(crate) fn put_off_undecided(&mut self, code: RefusalCode) -> Option<Effect> {
        let Undecided { update: Update { round, .. }, .. } = self.undecided.take()?;
        Some(Effect::Send(Message::UpdateError { round, code }))
    }

    /// Has a round shown to the user.
    pub(crate) fn show(&mut self, update: Update, now: Millis) {
        self.shown = Some((update.round, Native.hash(&update.encode())));
        self.undecided = Some(Undecided { update, since: now, awaits: Awaits::User });
    }

    /// Whether the user may be asked about this round: no number that it was told may come to mean anything else.
    pub(crate) fn check_shown(&self, update: &Update) -> Result<(), Violation> {
        match self.shown {
            Some((round, hash))
                if update.round < round || (update.round == round && Native.hash(&update.encode()) != hash) =>
            {
                Err(Violation::RoundTooOld { got: update.round, have: round })
            }
            _ => Ok(()),
        }
    }

    /// Whether a round of the peer's lies so near that rounds do not run out.
    pub(crate) fn check_near(&self, round: Round) -> Result<(), Violation> {
        let have = self.agreed.round.max(self.out.signed());
        if round > have.saturating_add(MAX_ROUND_JUMP) {
            return Err(Violation::RoundTooFar { got: round, have });
        }
        Ok(())
    }

    /// Whether the agreed state is on chain and the peer has not said that it sees it there.
    pub(crate) const fn awaits_lock(&self) -> bool {
        let Agreed { round, signatures, forced, .. } = &self.agreed;
        let saw = if forced.is_some() { self.operating.peer_follows } else { self.operating.peer_saw };
        signatures.is_none() && *round > 1 && saw < *round
    }

    /// Whether a proposal of the peer's in `round` lost to one that the chain told of before the peer's answer came.
    pub(crate) const fn is_overtaken_by_chain(&self, round: Round) -> bool {
        self.agreed.signatures.is_none() && round < self.agreed.round
    }

    /// Where the next round of `proposer`'s is made.
    pub(crate) fn place<'a>(
        &self,
        proposer: Party,
        round: Round,
        height: BlockNumber,
        config: &Config,
        ctx: &Context<'a>,
    ) -> Place<'a> {
        let (channel, reserve, max_contracts) =
            (self.funding.channel, self.funding.terms.reserve, config.max_contracts);
        Place { channel, round, height, proposer, reserve, max_contracts, apps: ctx.apps }
    }

    /// Adopts a state that both signed, or that is on chain.
    pub(crate) fn adopt(
        &mut self,
        me: Party,
        (round, named): (Round, Base),
        state: State,
        hash: Hash,
        signatures: Option<Pair<Signature>>,
    ) {
        // What was forced and is not in its base has not happened: the height from before counts again (R7.3).
        let replaced = self.agreed.forced.filter(|forced| named < forced.at);
        let height = replaced.map_or(self.agreed.height, |forced| forced.height);
        let at = self.agreed.base();
        let before = std::mem::replace(&mut self.agreed.state, State::of(Pair::default()));
        let below = (signatures.is_some() && at == named).then_some(Below { at, state: before });
        let made = Ids::default();
        self.agreed = Agreed { round, named, state, hash, signatures, below, made, forced: None, height };
        self.out.note_signed(round);
        self.out.bury(me, round);
        self.out.abandon_below(me, Base::of(round));
        // A peer that agrees to a round has seen its own offer to close expire.
        self.parked = None;
    }

    /// What comes of the peer's round, whose signature the caller has verified: what a round changes is executed for nobody else.
    pub(crate) fn check_round(
        &self,
        update: &Update,
        peer: Party,
        (domain, config): (&Domain, &Config),
        ctx: &Context<'_>,
    ) -> Result<Checked, Wrong> {
        let Update { round, base, height, refuses, changes, state_hash, .. } = update;
        let (got, have) = (*round, self.agreed.round.max(self.out.signed()));
        if got <= have {
            // Not only what is agreed counts: the peer may still make co-signed what it refused (R6.1, R6.2).
            return Err(Violation::RoundTooOld { got, have }.into());
        }
        if *base != self.agreed.base() {
            return Err(Violation::WrongBase { got: *base, want: self.agreed.base() }.into());
        }
        self.check_near(got)?;
        if changes.is_empty() == refuses.is_none() {
            return Err(Violation::NoChanges.into());
        }
        let refused = match refuses.as_ref().map(|refusal| &refusal.items) {
            Some(Refused::Some(items)) => items.len(),
            Some(Refused::All(_)) | None => 0,
        };
        let got = changes.len().max(refused);
        if got > MAX_UPDATES_PER_ROUND {
            return Err(Violation::TooManyChanges { got }.into());
        }
        let executes = changes.iter().any(Change::executes);
        if executes {
            // Not before its block is there: no deadline comes nearer than the user sees it. But the height of what is agreed never goes down.
            let behind = ctx.head.saturating_sub(BlockNumber::from(config.height_window.behind));
            let (min, max) = (self.agreed.height.max(behind), config.height_limit(ctx.head));
            if *height < min || *height > max.max(self.agreed.height) {
                return Err(Violation::HeightOutOfWindow { got: *height, min, max }.into());
            }
        }
        let mut draft = Draft::new(self.place(peer, *round, *height, config, ctx), &self.agreed.state);
        for (place, change) in (0_u32..).zip(changes) {
            draft.make(change).map_err(|fault| Wrong { place: Some(place), violation: fault.into() })?;
        }
        let (state, results) = draft.finish().map_err(Violation::from)?;
        let want = state.hash();
        if want != *state_hash {
            return Err(Violation::StateHashMismatch { got: *state_hash, want }.into());
        }
        let message = signed_bytes(domain, &self.funding.channel, &self.body(*round, *base, want));
        let height = if executes { *height } else { self.agreed.height };
        Ok(Checked { state, results, message, height })
    }

    /// Whether a round names a block that this side is about to see, as far as it can tell, and has not seen (R7.3).
    pub(crate) fn is_ahead(&self, update: &Update, config: &Config, head: BlockNumber) -> bool {
        let first = config.height_limit(head).max(self.agreed.height);
        let last = head.saturating_add(BlockNumber::from(config.height_window.behind));
        update.changes.iter().any(Change::executes) && update.height > first && update.height <= last
    }

    /// What both sign of a round.
    pub(crate) const fn body(&self, round: Round, base: Base, state_hash: Hash) -> StateBody {
        StateBody { round, base, state_hash, valid_until: None }
    }

    /// Whether the peer signed this round, whatever it changes.
    pub(crate) fn is_signed(&self, update: &Update, key: &PublicKey, domain: &Domain) -> bool {
        let body = self.body(update.round, update.base, update.state_hash);
        Native.verify(key, &signed_bytes(domain, &self.funding.channel, &body), &update.signature)
    }

    /// The first code that the peer's round needs and that is not here.
    pub(crate) fn lacks(&self, update: &Update, ctx: &Context<'_>) -> Option<Hash> {
        let code = |change: &Change| match change {
            Change::CreateContract(creation) => Some(creation.code),
            Change::UpgradeContract { code, .. } => Some(*code),
            Change::CallContract { contract, .. } => self.agreed.state.contracts.get(contract).map(|known| known.code),
            _ => None,
        };
        update.changes.iter().filter_map(code).find_map(|code| match code {
            Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
            _ => None,
        })
    }

    /// A code that the peer wants to begin with, and that this side takes no part in, with the place of the change.
    pub(crate) fn unwelcome(update: &Update, ctx: &Context<'_>) -> Option<(u32, Hash)> {
        let code = |change: &Change| match change {
            Change::CreateContract(crate::state::Creation { code: Code::Contract(code), .. })
            | Change::UpgradeContract { code: Code::Contract(code), .. } => Some(*code),
            _ => None,
        };
        let codes = (0_u32..).zip(&update.changes).filter_map(|(place, change)| Some((place, code(change)?)));
        codes.into_iter().find(|(_, code)| !ctx.apps.accepts(code))
    }

    /// Whether the peer's round touches what is ours to give: then the user decides, whoever decides otherwise.
    pub(crate) fn needs_consent(&self, update: &Update, me: Party, ctx: &Context<'_>) -> bool {
        let worthless = |id: &ContractId| {
            let contract = self.agreed.state.contracts.get(id);
            contract.is_some_and(|contract| match contract.code {
                Code::Contract(code) => contract.balance == 0 && ctx.apps.worthless_when_empty(&code),
                Code::Builtin(_) => false,
            })
        };
        update.changes.iter().any(|change| match change {
            Change::CreateContract(creation) => creation.coins[me] > 0,
            Change::RemoveContract { contract, .. } => !worthless(contract),
            Change::UpgradeContract { .. } => true,
            Change::Transfer(_) | Change::CallContract { .. } | Change::Meta(_) => false,
        })
    }

    /// Whether the user may have these changes wait for the next round.
    pub(crate) fn check_changes(
        &self,
        me: Party,
        changes: &[Change],
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<(), Misuse> {
        let available = self.spendable(me);
        let max = usize::try_from(config.max_queued).unwrap_or(usize::MAX);
        let amount = changes.iter().map(|change| change.takes(me)).fold(0, Amount::saturating_add);
        self.check_store()?;
        if changes.is_empty() {
            return Err(Misuse::NoChanges);
        }
        changes.iter().try_for_each(|change| self.check_change(change, ctx))?;
        if amount > available {
            Err(Misuse::InsufficientBalance { amount, available })
        } else if self.shutdown_wanted.is_some() || self.solo_wanted {
            Err(Misuse::AlreadyClosing)
        } else if changes.len() > max.saturating_sub(self.out.queued()) {
            Err(Misuse::QueueFull { max })
        } else if self.next_round(me).is_none() {
            Err(Misuse::RoundsExhausted)
        } else {
            Ok(())
        }
    }

    /// What can be told of one change before its turn comes.
    fn check_change(&self, change: &Change, ctx: &Context<'_>) -> Result<(), Misuse> {
        let input = |input: &[u8]| match input.len() <= MAX_INPUT {
            true => Ok(()),
            false => Err(Misuse::Change(ChangeFault::Call(protocol::contracts::CallFault::TooLarge))),
        };
        let code = |code: &Code| check_code(code, ctx.apps).map_err(Misuse::Change);
        let known = |id: &ContractId| {
            let proposed = self.out.proposal().is_some_and(|ours| ours.state.contracts.get(id).is_some());
            let known = proposed || self.agreed.state.contracts.get(id).is_some();
            if known { Ok(()) } else { Err(Misuse::ContractUnknown(*id)) }
        };
        match change {
            Change::Transfer(payment) if payment.amount == 0 => Err(Misuse::AmountZero),
            Change::Transfer(Payment { reference, .. }) if reference.len() > MAX_REFERENCE => {
                Err(Misuse::ReferenceTooLong { got: reference.len(), max: MAX_REFERENCE })
            }
            Change::Transfer(_) => Ok(()),
            Change::CreateContract(creation) => code(&creation.code).and_then(|()| input(&creation.input)),
            Change::CallContract { contract, input: words, .. } => known(contract).and_then(|()| input(words)),
            Change::RemoveContract { contract, .. } => known(contract),
            Change::UpgradeContract { contract, code: new, .. } => known(contract).and_then(|()| code(new)),
            Change::Meta(words) if words.len() > MAX_META => {
                Err(Misuse::Change(ChangeFault::MetaTooLong { got: length(words) }))
            }
            Change::Meta(_) => Ok(()),
        }
    }

    /// What a change would do, were its turn next.
    pub(crate) fn try_change(
        &self,
        me: Party,
        change: &Change,
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<Option<Outcome>, ChangeFault> {
        let before = self.out.proposal().map_or(&self.agreed.state, |ours| &ours.state);
        let round = self.next_round(me).unwrap_or(Round::MAX);
        let mut draft = Draft::new(self.place(me, round, ctx.head.max(self.agreed.height), config, ctx), before);
        draft.make(change)?;
        let (_state, results) = draft.finish()?;
        Ok(results.into_iter().next().map(|(_, outcome)| outcome))
    }
}

/// What is wrong with a round of the peer's.
pub(crate) struct Wrong {
    /// The place of the change that is to blame, where it is one.
    pub(crate) place: Option<u32>,
    pub(crate) violation: Violation,
}

impl From<Violation> for Wrong {
    fn from(violation: Violation) -> Self {
        Self { place: None, violation }
    }
}

/// A round of the peer's that breaks no rule.
pub(crate) struct Checked {
    pub(crate) state: State,
    pub(crate) results: Results,
    /// What it signed, and what is to be signed.
    pub(crate) message: Vec<u8>,
    /// The height that counts from now on.
    pub(crate) height: BlockNumber,
}

/// Both signatures in the order of the parties.
pub(crate) fn both(me: Party, ours: Signature, peers: Signature) -> Pair<Signature> {
    match me {
        Party::Initiator => Pair::new(ours, peers),
        Party::Responder => Pair::new(peers, ours),
    }
}
