//! A lost connection, and finding each other again: the newest state wins (R6.6).

use crate::{
    channel::{Channel, LinkState},
    effect::Effect,
    error::Violation,
    event::Notice,
    input::Context,
    message::{Message, Reestablish, RefusalCode},
    phase::{
        Phase,
        live::{Live, agreed::OwnCosigned, stale::StoreAge},
    },
    state::State,
    step::Step,
};
use protocol::{
    Base, Hash, Pair, Round, Signature, StateCommitment,
    crypto::Native,
    signing::{CoSigned, StateBody},
};

/// The message that is answered by reestablish_ack.
const REESTABLISH: &str = "reestablish";

/// A state that is newer than ours, and that both signed.
struct CoSignedState {
    round: Round,
    base: Base,
    state: StateCommitment,
    state_hash: Hash,
    signatures: Pair<Signature>,
    /// It is our own proposal: the answer was lost. Otherwise we have forgotten that we signed it.
    ours: bool,
}

impl Channel {
    /// The connection is there. A channel that runs compares notes first; an opening says its last words again.
    pub(crate) fn on_link_up(&mut self) -> Step {
        match self.link {
            LinkState::Down | LinkState::Left => self.begin_to_sync(),
            LinkState::Syncing | LinkState::Up | LinkState::Leaving => Step::default(),
        }
    }

    pub(crate) fn begin_to_sync(&mut self) -> Step {
        let Some(ours) = self.reestablish() else {
            self.link = LinkState::Up;
            return Step::act(self.opening_again());
        };
        self.link = LinkState::Syncing;
        Step::act(vec![Effect::Send(Message::Reestablish(ours))])
    }

    /// The connection is gone. What was never signed by us is forgotten; everything else waits.
    pub(crate) fn on_link_down(&mut self) -> Step {
        self.link = LinkState::Down;
        self.forget_unsaved();
        self.drop_unsigned_offers();
        self.abandon_opening(None)
    }

    /// Forgets what the peer says again, if it still wants it.
    pub(crate) fn forget_unsaved(&mut self) {
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.incoming.forget();
            live.operation.retry_now();
            let _asked_again = live.operation.take_put_off();
        }
    }

    pub(crate) fn on_peer_error(&mut self, code: RefusalCode) -> Step {
        let told = Step::act(vec![Effect::Notify(Notice::PeerError(code))]);
        told.and(self.abandon_opening(Some(code)))
    }

    /// Transition: disconnected -> open | closing (or signed -> open, where the peer is ahead). `name` says whether it is to be answered.
    pub(crate) fn on_peer_reestablish(
        &mut self,
        theirs: Reestablish,
        name: &'static str,
        ctx: &Context<'_>,
    ) -> Result<Step, Violation> {
        let newer = match &self.phase {
            Phase::Open(live) | Phase::Closing(live, _) => self.check_newer(live, &theirs)?,
            // The peer is open already, so it has seen the opening on chain.
            Phase::Signed(signed) => {
                self.check_newer(&Live::new(signed.funding.clone(), StoreAge::default()), &theirs)?
            }
            _ => return Err(self.out_of_place(name)),
        };
        self.confirmation.peer_stands_at(theirs.at);
        let mut step = Step::default();
        if matches!(self.phase, Phase::Signed(_)) {
            step = self.on_peer_funding_locked()?;
            if self.phase.live().is_none() {
                return Ok(step);
            }
        }
        // Where ours is on its way to the peer it is the answer; an answer is not answered, or two would go on for ever.
        if self.link != LinkState::Syncing && name == REESTABLISH {
            let answer = self.reestablish().map(Message::ReestablishAck);
            step = step.and(Step::act(answer.map(Effect::Send).into_iter().collect()));
        }
        step = step.and(newer.map_or_else(Step::default, |newer| self.catch_up(newer)));
        self.link = LinkState::Up;
        let mut again = Vec::new();
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            live.operation.note_peer_saw(theirs.at.round());
            // One that is on chain and not co-signed: this side may not have seen it yet.
            if theirs.signatures.is_none() {
                live.operation.note_peer_replayed(theirs.at.round());
            }
        }
        if let Phase::Open(live) = &mut self.phase {
            let base = live.agreed.base();
            // What was put aside because the peer would not answer is as good as ever.
            if live.dispute.forcing().is_none() && live.outgoing.reclaim(self.me, base) {
                step = step.and(Step::commit(Vec::new()));
            }
            again.extend(live.outgoing.say_again(false));
        }
        again.extend(self.signed_again());
        again.extend(self.shutdown_again());
        Ok(step.and(Step::act(again)).and(self.take_held(ctx)).and(self.advance(ctx)))
    }

    /// What this side knows, for a peer that may know less or more.
    fn reestablish(&self) -> Option<Reestablish> {
        let agreed = &self.phase.live()?.agreed;
        let (at, base) = (agreed.base(), agreed.named());
        Some(Reestablish { at, base, state: agreed.state().commitment(), signatures: agreed.signatures() })
    }

    /// The peer's state, where it is newer than `live`'s and co-signed.
    fn check_newer(&self, live: &Live, theirs: &Reestablish) -> Result<Option<CoSignedState>, Violation> {
        let Reestablish { at, base, state, signatures } = *theirs;
        let (round, have) = (at.agreed, live.agreed.base());
        let state_hash = state.hash(&Native);
        let theirs_on_chain = signatures.is_none() && at.round() > 1;
        if at == have && state_hash != live.agreed.hash() && at.steps == 0 && !theirs_on_chain {
            return Err(Violation::StateHashMismatch { got: state_hash, want: live.agreed.hash() });
        }
        // A state after an operation has no signatures of its own; a round that was pledged has, where the peer has this side's answer: a store without it is old.
        let is_next = signatures.is_none() && live.operation.is_next(round, &state_hash);
        if at <= have || at.steps > 0 || theirs_on_chain || is_next {
            // Ours is newer or the same; or the peer has seen on chain what we have not seen yet, and the chain will tell.
            return Ok(None);
        }
        let ours = live.outgoing.find_said(round).is_some_and(|ours| ours.update().state_hash == state_hash);
        let (channel, keys) = (live.funding.channel(), live.funding.terms().keys());
        let body = StateBody { round, base, state_hash, valid_until: None };
        let co_signed = signatures
            .filter(|&signatures| CoSigned::check(&self.domain, &channel, &keys, body, signatures, &Native).is_ok());
        let Some(signatures) = co_signed else {
            let (got, want) = (state.balances.sum(), live.funding.total());
            return Err(if got.is_some_and(|got| got <= want) {
                Violation::SignatureInvalid
            } else {
                Violation::WrongTotal { got, want }
            });
        };
        if !ours && round <= live.outgoing.signed() {
            // A round of ours that the peer has refused or let go; we went on without it, and so does it (R6.1).
            return Err(Violation::RoundTooOld { got: round, have: live.outgoing.signed() });
        }
        let is_closing = matches!(self.phase, Phase::Closing(..));
        if (ours && is_closing)
            || live.dispute.is_below_a_mark(base)
            || live.outgoing.highest_open().is_some_and(|highest| highest > round)
        {
            // It counts only once it is on chain (R7.6a).
            return Ok(None);
        }
        Ok(Some(CoSignedState { round, base, state, state_hash, signatures, ours }))
    }

    /// Adopts the peer's newer state: its answer to our proposal was lost, or our store is old.
    fn catch_up(&mut self, newer: CoSignedState) -> Step {
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let CoSignedState { round, base, state, state_hash, signatures, ours } = newer;
        let from = live.agreed.round();
        if ours
            && let Some(events) = live.adopt_own(OwnCosigned { round, state_hash, signatures: Some(signatures) }, me)
        {
            return Step::tell(events);
        }
        let events = live.replaced(round, base);
        let mut state = State::committed(state);
        state.fill(&live.agreed.state().contracts);
        if state.is_whole() {
            // What was left of calls in these contracts still is.
            state.marks = live.agreed.state().marks.clone();
        }
        let told = Step::tell(events).and(live.note_stale(from, round));
        if live.store.is_doubtful() && state.contracts_root == Hash::ZERO {
            // What we signed and forgot may have changed it.
            let total = state.balances.sum().unwrap_or(live.funding.total());
            let _before = live.funding.set_total(total);
        }
        live.adopt(me, (round, base), state, state_hash, Some(signatures));
        told
    }
}
