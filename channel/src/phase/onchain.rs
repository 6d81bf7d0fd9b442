//! What the chain says, and how a channel defends itself (R6.9). Only final facts come here (R6.8).

use super::{
    CloseReason, Phase,
    closing::{How, Solo},
    forcing::Progressed,
    live::{Live, Posted},
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
    Amount, Base, BlockNumber, Hash, Pair, Party, Rejection, Round, call::Call, event::Event as ArbiterEvent,
    record::Closing,
};

/// How many blocks the responder leaves to the initiator before it settles itself, so that not both pay for it.
const SETTLE_GRACE: BlockNumber = 2;

/// An operation as the arbiter announces it.
pub(super) struct Operated {
    pub(super) kind: OperationKind,
    pub(super) round: Round,
    pub(super) state_hash: Hash,
    /// What the channel holds after it, where that has changed.
    pub(super) total: Option<Amount>,
    pub(super) event: Event,
}

impl Solo {
    pub(super) const fn new(on_chain: Posted, closing: &Closing) -> Self {
        Self { on_chain, unlock_at: closing.unlock_at, penalty: closing.penalty }
    }
}

impl Channel {
    /// A block is final, and all its events have been told.
    pub(crate) fn on_chain_head(&mut self, ctx: &Context<'_>) -> Step {
        self.sighted = 0;
        let step = self.forget_expired(ctx).and(self.on_head_while_opening(ctx)).and(self.look_again(ctx));
        let step = step.and(self.follow_on(ctx)).and(self.on_head_while_closing(ctx));
        let step = step.and(self.on_head_while_operating(ctx));
        let again =
            [self.solo_again(), self.defence(ctx.head), self.snapshot_again(ctx.head).into_iter().collect()].concat();
        step.and(Step::act(again)).and(self.take_held(ctx)).and(self.force_again(ctx)).and(self.resume(ctx))
    }

    /// One endpoint tells of a block, and nobody confirms it: what is known to need an answer is answered again, and nothing else is done (R6.9a).
    pub(crate) fn on_sighted(&mut self, block: BlockNumber, head: BlockNumber) -> Step {
        self.sighted = block;
        let again = [self.solo_again(), self.defence(head), self.snapshot_again(head).into_iter().collect()];
        Step::act(again.concat())
    }

    /// Whether so much of the chain is not confirmed that nothing may be agreed on what is known: a contract's deadline may be over, or the channel.
    pub(crate) fn is_behind_the_chain(&self, head: BlockNumber) -> bool {
        self.sighted > head.saturating_add(BlockNumber::from(self.config.height_window.behind))
    }

    /// Own rounds that no block takes any more are forgotten (R5.4b).
    fn forget_expired(&mut self, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let floor = live.seen.on_chain.maturity.floor(ctx.head.saturating_add(1), live.funding.terms.lock_period);
        if live.out.expire(floor) { Step::commit(Vec::new()) } else { Step::default() }
    }

    /// The process started: what may have been lost is asked for and told again. Nothing expires here, because what happened
    /// on chain meanwhile is told only after this.
    pub(crate) fn restart_told(&self, ctx: &Context<'_>) -> Step {
        let untaken = self.outbox.again();
        let told = match &self.phase {
            // Even where it was taken: so that the shell can forget the channel.
            Phase::Closed(reason) if !self.outbox.holds(|event| matches!(event, Event::Closed(_))) => {
                Some(Event::Closed(reason.clone()))
            }
            phase => phase.live().and_then(|live| live.outdated).map(|outdated| Event::Notice(outdated.notice())),
        };
        let again = [
            untaken,
            told.map(Effect::Notify).into_iter().collect(),
            self.create_again(ctx.head),
            self.operation_again(ctx.head),
            self.mutual_again(ctx.head),
            self.solo_again(),
            self.defence(ctx.head),
            self.snapshot_again(ctx.head).into_iter().collect(),
        ];
        Step::act(again.concat())
    }

    pub(crate) fn on_chain_event(&mut self, event: ArbiterEvent, ctx: &Context<'_>) -> Step {
        match event {
            ArbiterEvent::ChannelCreated { record } => self.on_chain_created(&record),
            // Of a channel that is not this one, or not any more.
            _ if !self.is_on_chain() => Step::default(),
            ArbiterEvent::ChannelClosedMutually { balances, .. } => self.close_once(CloseReason::Mutual { balances }),
            ArbiterEvent::ChannelSettled { balances, remaining } => self.on_chain_settled(balances, remaining),
            ArbiterEvent::ChannelClosedSolo { at, state_hash, closing } => {
                let solo = Solo::new(Posted { at, state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |outdated| Event::ClosingSolo {
                    round: at.round(),
                    unlock_at: solo.unlock_at,
                    outdated,
                })
            }
            ArbiterEvent::ChannelDeposited { party, amount, total, round, state_hash } => {
                let event = Event::Deposited { party, amount, round };
                let done = Operated { kind: OperationKind::Deposit, round, state_hash, total: Some(total), event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelWithdrawn { party, amount, total, round, state_hash } => {
                let event = Event::Withdrawn { party, amount, round };
                let done = Operated { kind: OperationKind::Withdraw, round, state_hash, total: Some(total), event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelDelegatesSet { delegates, round, state_hash } => {
                let event = Event::DelegatesSet { delegates, round };
                let done = Operated { kind: OperationKind::SetDelegates, round, state_hash, total: None, event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelSnapshotted { round, state_hash } => {
                self.on_chain_snapshotted(&Posted { at: Base::of(round), state_hash }, ctx)
            }
            ArbiterEvent::ChannelProgressed { party, at, state_hash, forced_steps, total, closing, calls } => {
                let posted = Posted { at, state_hash };
                self.on_chain_progressed(Progressed { party, posted, forced_steps, total, closing, calls }, ctx)
            }
            ArbiterEvent::ChannelSlashed { round, state_hash, closing } => {
                let solo = Solo::new(Posted { at: Base::of(round), state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |_| Event::Slashed { round, unlock_at: solo.unlock_at })
            }
        }
    }

    /// Transition: signed | open | closing -> closing (solo). Posts a newer state where there is one.
    pub(super) fn on_chain_closing(&mut self, solo: Solo, ctx: &Context<'_>, event: impl Fn(bool) -> Event) -> Step {
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
        let mut told = vec![event(live.newer_than_chain(ctx.head).is_some())];
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
    fn on_chain_operated(&mut self, done: Operated, ctx: &Context<'_>) -> Step {
        let step = self.take_operated(done);
        // Told again, it is nothing to go on from.
        if step.commit { step.and(self.advance(ctx)) } else { step }
    }

    /// Adopts the state after an operation that is final.
    pub(super) fn take_operated(&mut self, done: Operated) -> Step {
        let Operated { kind, round, state_hash, total, event } = done;
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let on_chain = Posted { at: Base::of(round), state_hash };
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
        if let Some((state, base)) = live.operating.executed(round, &state_hash) {
            let replaced = live.replaced(round, base);
            told.extend(replaced.map(Effect::Notify));
            told.push(Effect::Notify(event));
            live.adopt(me, (round, base), state, state_hash, None);
        } else {
            told.push(Effect::Notify(event.clone()));
            // It carries our signature, and we know of none: our store is old (R6.6).
            let state = guess(&live.agreed.state, &event, live.funding.terms.reserve);
            if let Some(state) = state.filter(|state| state.hash() == state_hash) {
                live.adopt(me, (round, Base::default()), state, state_hash, None);
            }
            told.extend(live.outdate(from, round).into_iter().map(Effect::Notify));
        }
        live.operating.lose();
        told.push(Effect::Send(kind.locked(round)));
        Step::commit(told)
    }

    /// Somebody put a state on chain that both signed. What we hold is newer as a rule; but the peer may have used a round of ours that it
    /// never answered.
    fn on_chain_snapshotted(&mut self, on_chain: &Posted, ctx: &Context<'_>) -> Step {
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if live.is_past(on_chain) {
            // Told again with its block.
            return Step::default();
        }
        live.see(*on_chain);
        if let Some(forcing) = &mut live.forcing {
            forcing.begin_again();
        }
        let (from, round) = (live.agreed.round, on_chain.at.agreed);
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
            None if round > live.out.signed() => told.extend(live.outdate(from, round)),
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
        let answer = live.newer_than_chain(head).and_then(|_newest| live.slash(&solo.penalty, self.me));
        if let Some(call) = answer {
            return vec![Effect::Submit(Box::new(call))];
        }
        let channel = live.funding.channel;
        let grace = match self.me {
            Party::Initiator => 0,
            Party::Responder => SETTLE_GRACE,
        };
        // What is sent now is executed in the next block at the earliest.
        let unlocked = head.saturating_add(1) >= solo.unlock_at.saturating_add(grace);
        if unlocked { vec![Effect::Submit(Box::new(Call::ChannelSettle { channel }))] } else { Vec::new() }
    }

    /// The last block in which a newer state of this side counts for certain, where an older one on chain threatens it: the close can be settled from
    /// the block after it on, or a mark matures, and the newer state with it loses its force (R5.4b, R6.9).
    #[must_use]
    pub fn defend_by(&self, head: BlockNumber) -> Option<BlockNumber> {
        let live = self.phase.live()?;
        let payload = live.newer_than_chain(head)?;
        match &self.phase {
            Phase::Closing(_, How::Solo(solo)) => Some(solo.unlock_at.saturating_sub(1)),
            _ => {
                let marks = live.seen.on_chain.maturity.marks();
                let mark = marks.iter().find(|mark| payload.base < mark.reached)?;
                Some(mark.block.saturating_add(live.funding.terms.lock_period).saturating_sub(1))
            }
        }
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
        let told = Effect::Notify(Event::Notice(Notice::CallRejected { call, rejection }));
        given_up.and(Step::act(vec![told])).and(Step::act(self.on_operation_rejected(call, rejection)))
    }

    pub(super) fn close_once(&mut self, reason: CloseReason) -> Step {
        if matches!(self.phase, Phase::Closed(_)) { Step::default() } else { self.close(reason) }
    }
}

impl Live {
    /// Notes a co-signed state that the arbiter has announced.
    fn see(&mut self, posted: Posted) {
        let Posted { at, state_hash } = posted;
        if !posted.is_forced() && self.seen.on_chain.at != at {
            // The quota of forced steps begins anew with each co-signed state (R5.10).
            self.seen.forced_steps = Pair::default();
            self.seen.on_chain.adopt(at.agreed, state_hash);
            self.unfollowed.clear();
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
