//! A lost connection, and finding each other again: the newest state wins (R6.6).

use super::{
    Phase,
    closing::How,
    live::{Live, ids},
};
use crate::{
    effect::{Effect, Event, Notice},
    error::Violation,
    input::Context,
    machine::{Channel, Link, Step},
    message::{Message, Reestablish, RefusalCode},
    state::State,
};
use protocol::{
    Hash, Pair, Round, Signature,
    crypto::Native,
    signing::{CoSigned, StateBody},
};

/// A state that is newer than ours, and that both signed.
struct CoSignedState {
    round: Round,
    state: State,
    state_hash: Hash,
    signatures: Pair<Signature>,
}

impl Channel {
    /// The connection is there. A channel that runs compares notes first; an opening says its last words again.
    pub(crate) fn on_link_up(&mut self, _ctx: &Context<'_>) -> Step {
        let Some(ours) = self.reestablish() else {
            self.link = Link::Up;
            return Step::act(self.opening_again());
        };
        self.link = Link::Syncing;
        Step::act(vec![Effect::Send(ours)])
    }

    /// The connection is gone. What was never signed by us is forgotten; everything else waits.
    pub(crate) fn on_link_down(&mut self) -> Step {
        self.link = Link::Down;
        if let Phase::Open(live) = &mut self.phase {
            // The peer says it again, if it still wants it.
            live.parked = None;
        }
        self.abandon_opening(None)
    }

    pub(crate) fn on_peer_error(&mut self, code: RefusalCode) -> Step {
        let told = Step::act(vec![Effect::Notify(Event::Notice(Notice::PeerError(code)))]);
        told.and(self.abandon_opening(Some(code)))
    }

    /// Transition: disconnected -> open | closing (or signed -> open, where the peer is ahead)
    pub(crate) fn on_peer_reestablish(&mut self, theirs: Reestablish, ctx: &Context<'_>) -> Result<Step, Violation> {
        let newer = match &self.phase {
            Phase::Open(live) | Phase::Closing(live, _) => self.check_newer(live, &theirs)?,
            // The peer is open already, so it has seen the opening on chain.
            Phase::Signed(signed) => self.check_newer(&Live::new(signed.funding.clone()), &theirs)?,
            _ => return Err(self.out_of_place("reestablish")),
        };
        let mut step = Step::default();
        if matches!(self.phase, Phase::Signed(_)) {
            step = self.on_peer_funding_locked()?;
            if self.phase.live().is_none() {
                return Ok(step);
            }
        }
        if self.link != Link::Syncing {
            step = step.and(Step::act(self.reestablish().map(Effect::Send).into_iter().collect()));
        }
        step = step.and(newer.map_or_else(Step::default, |newer| self.catch_up(newer)));
        self.link = Link::Up;
        let mut again = Vec::new();
        if let Phase::Open(live) = &mut self.phase {
            again.extend(live.say_again());
        }
        again.extend(self.shutdown_again());
        Ok(step.and(Step::act(again)).and(self.advance(ctx)))
    }

    /// What this side knows, for a peer that may know less or more.
    fn reestablish(&self) -> Option<Message> {
        let agreed = &self.phase.live()?.agreed;
        Some(Message::Reestablish(Reestablish {
            round: agreed.round,
            state: agreed.state,
            signatures: agreed.signatures,
        }))
    }

    /// The peer's state, where it is newer than `live`'s and co-signed.
    fn check_newer(&self, live: &Live, theirs: &Reestablish) -> Result<Option<CoSignedState>, Violation> {
        let Reestablish { round, state, signatures } = *theirs;
        let have = live.agreed.round;
        let state_hash = state.hash();
        if round == have && state_hash != live.agreed.hash {
            return Err(Violation::StateHashMismatch { got: state_hash, want: live.agreed.hash });
        }
        if round <= have {
            return Ok(None);
        }
        if state.balances.sum() != Some(live.funding.total) {
            return Err(Violation::WrongTotal { got: state.balances.sum(), want: live.funding.total });
        }
        let signatures = signatures.ok_or(Violation::SignatureInvalid)?;
        let (channel, keys) = (live.funding.channel, live.funding.terms.keys());
        let body = StateBody { round, state_hash };
        let _: CoSigned<_> = CoSigned::check(&self.domain, &channel, &keys, body, signatures, &Native)
            .map_err(|_rejection| Violation::SignatureInvalid)?;
        Ok(Some(CoSignedState { round, state, state_hash, signatures }))
    }

    /// Adopts the peer's newer state: its answer to our proposal was lost, or our store is old.
    fn catch_up(&mut self, newer: CoSignedState) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let CoSignedState { round, state, state_hash, signatures } = newer;
        let (from, proposal) = (live.agreed.round, live.proposal.take());
        live.adopt(round, state, state_hash, signatures);
        let event = match (proposal, &self.phase) {
            (Some(ours), _) if ours.update.round == round => {
                Some(Event::Paid { payments: ids(ours.first, ours.update.changes.len()), round })
            }
            // The chain has told of it already.
            (_, Phase::Closing(_, How::Solo(solo))) if solo.on_chain.round == round => None,
            // A round of ours that we do not remember: this side's store is older than what it has signed.
            _ => Some(Event::Notice(Notice::CaughtUp { from, to: round })),
        };
        Step::commit(event.into_iter().map(Effect::Notify).collect())
    }

    /// Deadlines.
    pub(crate) fn on_tick(&mut self, ctx: &Context<'_>) -> Step {
        if self.opening_deadline().is_some_and(|deadline| ctx.now >= deadline) {
            let code = RefusalCode::TIMEOUT;
            return Step::act(vec![Effect::Send(Message::Error { code })]).and(self.abandon_opening(Some(code)));
        }
        let late = self.config.timeouts.answer;
        match &mut self.waiting {
            Some(waiting) if !waiting.told && ctx.now.saturating_sub(waiting.since) >= late => {
                waiting.told = true;
                Step::act(vec![Effect::Notify(Event::Notice(Notice::PeerSilent))])
            }
            _ => Step::default(),
        }
    }
}
