//! What the chain says, and how a channel defends itself (R6.9). Only final facts come here (R6.8).

use super::{
    CloseReason, Phase,
    closing::{How, Solo},
    forcing::Progressed,
    live::{Live, Seen},
};
use crate::{
    effect::{Effect, Event, Notice},
    input::Context,
    machine::{Channel, Step},
    message::RefusalCode,
    operation::{OperationKind, with_less, with_more},
    state::State,
};
use protocol::{
    Amount, BlockNumber, Hash, Pair, Party, Rejection, Round,
    call::{Call, Slash},
    event::Event as ArbiterEvent,
    record::{Closing, OnChain, Penalty},
};

/// How many blocks the responder leaves to the initiator before it settles itself, so that not both pay for it.
const SETTLE_GRACE: BlockNumber = 2;

/// An operation as the arbiter announces it.
struct Done {
    kind: OperationKind,
    round: Round,
    state_hash: Hash,
    /// What the channel holds after it, where that has changed.
    total: Option<Amount>,
    event: Event,
}

impl Solo {
    pub(super) const fn new(on_chain: OnChain, closing: &Closing) -> Self {
        let closer = match closing.penalty {
            Penalty::AtRisk(closer) | Penalty::Due(closer) => Some(closer),
        };
        Self { on_chain, unlock_at: closing.unlock_at, closer }
    }
}

impl Channel {
    /// A block is final, and all its events have been told.
    pub(crate) fn on_chain_head(&mut self, ctx: &Context<'_>) -> Step {
        let step = self.on_head_while_opening(ctx).and(self.follow_on(ctx)).and(self.on_head_while_closing(ctx));
        let step = step.and(self.on_head_while_operating(ctx));
        let again = [self.solo_again(), self.defence(ctx.head), self.snapshot_again().into_iter().collect()].concat();
        step.and(Step::act(again)).and(self.force_again(ctx)).and(self.resume(ctx))
    }

    /// The process started: what may have been lost is asked for and told again. Nothing expires here, because what happened
    /// on chain meanwhile is told only after this.
    pub(crate) fn on_restarted(&self, ctx: &Context<'_>) -> Step {
        let untaken = self.outbox.again();
        let told = match &self.phase {
            // Even where it was taken: so that the shell can forget the channel.
            Phase::Closed(reason) if !self.outbox.holds(|event| matches!(event, Event::Closed(_))) => {
                Some(Event::Closed(reason.clone()))
            }
            phase => phase
                .live()
                .and_then(|live| live.outdated)
                .map(|(from, to)| Event::Notice(Notice::CaughtUp { from, to })),
        };
        let again = [
            untaken,
            told.map(Effect::Notify).into_iter().collect(),
            self.create_again(ctx.head),
            self.operation_again(ctx.head),
            self.mutual_again(ctx.head),
            self.solo_again(),
            self.defence(ctx.head),
            self.snapshot_again().into_iter().collect(),
        ];
        Step::act(again.concat())
    }

    pub(crate) fn on_chain_event(&mut self, event: ArbiterEvent, ctx: &Context<'_>) -> Step {
        match event {
            ArbiterEvent::ChannelCreated { record } => self.on_chain_created(&record),
            ArbiterEvent::ChannelClosedMutually { balances, .. } => self.close_once(CloseReason::Mutual { balances }),
            ArbiterEvent::ChannelSettled { balances, remaining } => self.on_chain_settled(balances, remaining),
            ArbiterEvent::ChannelClosedSolo { round, state_hash, forced_from, closing } => {
                let solo = Solo::new(OnChain { round, forced_from, state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |outdated| Event::ClosingSolo {
                    round,
                    unlock_at: solo.unlock_at,
                    outdated,
                })
            }
            ArbiterEvent::ChannelDeposited { party, amount, total, round, state_hash } => {
                let event = Event::Deposited { party, amount, round };
                let done = Done { kind: OperationKind::Deposit, round, state_hash, total: Some(total), event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelWithdrawn { party, amount, total, round, state_hash } => {
                let event = Event::Withdrawn { party, amount, round };
                let done = Done { kind: OperationKind::Withdraw, round, state_hash, total: Some(total), event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelDelegatesSet { delegates, round, state_hash } => {
                let event = Event::DelegatesSet { delegates, round };
                let done = Done { kind: OperationKind::SetDelegates, round, state_hash, total: None, event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelSnapshotted { round, state_hash } => {
                self.on_chain_snapshotted(&OnChain { round, forced_from: None, state_hash }, ctx)
            }
            ArbiterEvent::ChannelProgressed {
                party,
                round,
                forced_from,
                state_hash,
                forced_steps,
                total,
                closing,
                calls,
            } => {
                let on_chain = OnChain { round, forced_from, state_hash };
                self.on_chain_progressed(Progressed { party, on_chain, forced_steps, total, closing, calls }, ctx)
            }
            ArbiterEvent::ChannelSlashed { round, state_hash, closing } => {
                let solo = Solo::new(OnChain { round, forced_from: None, state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |_| Event::Slashed { round, unlock_at: solo.unlock_at })
            }
        }
    }

    /// Transition: signed | open | closing -> closing (solo). Posts a newer state where there is one.
    fn on_chain_closing(&mut self, solo: Solo, ctx: &Context<'_>, event: impl Fn(bool) -> Event) -> Step {
        if matches!(&self.phase, Phase::Closing(_, How::Solo(known)) if *known == solo) {
            return Step::default();
        }
        let is_past = self.phase.live().is_some_and(|live| live.is_past(&solo.on_chain));
        if is_past || matches!(self.phase, Phase::Closing(_, How::Residual(_))) {
            // Told again with its block, and answered since.
            return Step::default();
        }
        self.move_to_closing(How::Solo(solo));
        let me = self.me;
        let Phase::Closing(live, _) = &mut self.phase else { return Step::default() };
        live.see(solo.on_chain);
        let mut told = vec![event(live.newer_than(&solo.on_chain).is_some())];
        if live.is_behind(&solo.on_chain) {
            told.extend(live.adopt_from_chain(&solo.on_chain, me).into_iter().flatten());
        }
        // Nothing but a state counts any more.
        told.extend(live.operating.give_up(RefusalCode::CLOSING));
        live.undecided = None;
        let told = told.into_iter().map(Effect::Notify).collect();
        Step::commit(told).and(Step::act(self.defence(ctx.head)))
    }

    /// Transition: open (bound) -> open. A deposit, a withdrawal or other delegates are final: the state after it is the agreed one.
    fn on_chain_operated(&mut self, done: Done, ctx: &Context<'_>) -> Step {
        let Done { kind, round, state_hash, total, event } = done;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let on_chain = OnChain { round, forced_from: None, state_hash };
        if !live.is_behind(&on_chain) {
            // Told again.
            return Step::default();
        }
        live.see(on_chain);
        let from = live.agreed.round;
        let terms = &mut live.funding.terms;
        live.funding.total = total.unwrap_or(live.funding.total);
        if let Event::DelegatesSet { delegates, .. } = &event {
            for (party, theirs) in delegates.iter() {
                terms.parties[party].delegates.clone_from(theirs);
            }
        }
        let mut told = Vec::new();
        if let Some((state, on)) = live.operating.executed(round, &state_hash) {
            let replaced = live.replaced(round, on);
            if let (Some(_), Some(forced)) = (&replaced, live.agreed.forced) {
                live.agreed.height = forced.height;
            }
            told.extend(replaced.map(Effect::Notify));
            told.push(Effect::Notify(event));
            live.adopt(round, state, state_hash, None);
        } else {
            told.push(Effect::Notify(event.clone()));
            // It carries our signature, and we know of none: our store is old (R6.6).
            let state = guess(&live.agreed.state, &event, live.funding.terms.reserve);
            if let Some(state) = state.filter(|state| state.hash() == state_hash) {
                live.adopt(round, state, state_hash, None);
            }
            told.extend(live.outdate(from, round).into_iter().map(Effect::Notify));
        }
        live.operating.lose();
        told.push(Effect::Send(kind.locked(round)));
        Step::commit(told).and(self.advance(ctx))
    }

    /// Somebody put a state on chain that both signed. What we hold is newer as a rule; but the peer may have used a round of ours that it
    /// never answered.
    fn on_chain_snapshotted(&mut self, on_chain: &OnChain, ctx: &Context<'_>) -> Step {
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if live.is_past(on_chain) {
            // Told again with its block.
            return Step::default();
        }
        live.see(*on_chain);
        let (from, round) = (live.agreed.round, on_chain.round);
        if !live.is_behind(on_chain) {
            return Step::commit(Vec::new());
        }
        let mut told = Vec::new();
        match live.adopt_from_chain(on_chain, me) {
            Some(events) => {
                live.operating.peer_saw = live.operating.peer_saw.max(round);
                live.operating.lose();
                told.extend(events);
            }
            None if round > live.signed => told.extend(live.outdate(from, round)),
            None => return Step::commit(Vec::new()),
        }
        Step::commit(told.into_iter().map(Effect::Notify).collect()).and(self.advance(ctx))
    }

    /// What defends the channel now: a newer state against the one on chain, or settling once the lock has run out.
    pub(super) fn defence(&self, head: BlockNumber) -> Vec<Effect> {
        let Phase::Closing(live, How::Solo(solo)) = &self.phase else { return Vec::new() };
        if !self.config.defend {
            return Vec::new();
        }
        let channel = live.funding.channel;
        if let Some(payload) = live.newer_than(&solo.on_chain) {
            // This side's own account closed on an old state, by another hand than ours, where a round of the peer's is newer: showing it would
            // cost the penalty, so it is left to the peer. A round of our own is agreed and costs nothing: it is shown.
            if solo.closer != Some(self.me) || Party::owner_of(payload.round) == self.me {
                let commitment = live.agreed.state.commitment();
                return vec![Effect::Submit(Box::new(Call::ChannelSlash(Slash { channel, payload, commitment })))];
            }
        }
        let grace = match self.me {
            Party::Initiator => 0,
            Party::Responder => SETTLE_GRACE,
        };
        // What is sent now is executed in the next block at the earliest.
        let unlocked = head.saturating_add(1) >= solo.unlock_at.saturating_add(grace);
        if unlocked { vec![Effect::Submit(Box::new(Call::ChannelSettle { channel }))] } else { Vec::new() }
    }

    /// The arbiter refused a call. Where it is asked for again with each head, the user is told once.
    pub(crate) fn on_chain_rejected(&mut self, call: &'static str, rejection: Rejection, ctx: &Context<'_>) -> Step {
        if let Some(step) = self.on_force_rejected(call, rejection, ctx) {
            return step;
        }
        let given_up = self.give_up_creating(call, Some(rejection));
        let known = self.last_rejection.replace((call, rejection)) == Some((call, rejection));
        if known || matches!(self.phase, Phase::Closed(_)) {
            return given_up;
        }
        given_up.and(Step::act(vec![Effect::Notify(Event::Notice(Notice::CallRejected { call, rejection }))]))
    }

    pub(super) fn close_once(&mut self, reason: CloseReason) -> Step {
        if matches!(self.phase, Phase::Closed(_)) { Step::default() } else { self.close(reason) }
    }
}

impl Live {
    /// Notes a co-signed state that the arbiter has announced.
    fn see(&mut self, on_chain: OnChain) {
        if self.seen.on_chain != on_chain {
            // The quota of forced steps begins anew with each co-signed state (R5.10).
            let forced_steps = if on_chain.forced_from.is_some() { self.seen.forced_steps } else { Pair::default() };
            self.seen = Seen { on_chain, forced_steps };
            if on_chain.forced_from.is_none() {
                self.unfollowed.clear();
            }
        }
    }
}

/// The state after an operation that this side does not remember, as far as it can be told from the one before.
fn guess(state: &State, event: &Event, reserve: Amount) -> Option<State> {
    match event {
        Event::Deposited { party, amount, .. } => with_more(state, *party, *amount),
        Event::Withdrawn { party, amount, .. } => with_less(state, *party, *amount, reserve),
        _ => Some(state.with_balances(state.balances)),
    }
}
