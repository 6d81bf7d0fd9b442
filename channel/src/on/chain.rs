//! What the chain says, and how a channel defends itself (R6.9). Only final facts come here (R6.8).

use super::progress::ExecutedSteps;
use crate::{
    channel::{Channel, UnconfirmedHead},
    effect::Effect,
    event::{CloseReason, Event, Notice},
    input::Context,
    message::RefusalCode,
    operation::{OperationKind, with_less, with_more},
    phase::{
        Phase,
        closing::{ClosePath, Solo},
        live::agreed::Posted,
    },
    state::State,
    step::Step,
};
use protocol::{
    Amount, Base, BlockNumber, Hash, Party, Rejection, Round,
    call::{Call, CallKind},
    event::ArbiterEvent,
};

/// How many blocks the responder leaves to the initiator before it settles itself, so that not both pay for it.
const SETTLE_GRACE: BlockNumber = 2;

/// An operation as the arbiter announces it.
pub(crate) struct ExecutedOperation {
    pub(crate) kind: OperationKind,
    pub(crate) round: Round,
    pub(crate) state_hash: Hash,
    /// What the channel holds after it, where that has changed.
    pub(crate) total: Option<Amount>,
    pub(crate) event: Event,
}

impl Channel {
    /// A block is final, and all its events have been told.
    pub(crate) fn on_chain_head(&mut self, ctx: &Context<'_>) -> Step {
        self.unconfirmed_head = UnconfirmedHead::default();
        let step = self.forget_expired(ctx).and(self.expire_pledges(ctx)).and(self.on_head_while_opening(ctx));
        let step = step.and(self.on_head_while_transferring(ctx)).and(self.look_again(ctx));
        let step = step.and(self.replay_on(ctx)).and(self.on_head_while_closing(ctx));
        let step = step.and(self.on_head_while_operating(ctx));
        let again = [self.solo_again(), self.shown_again(ctx.transfers.best(), ctx)].concat();
        step.and(Step::act(again)).and(self.take_held(ctx)).and(self.force_again(ctx)).and(self.resume(ctx))
    }

    /// One endpoint tells of a block, and nobody confirms it: what is known to need an answer is answered again, and nothing else is done (R6.9a).
    pub(crate) fn on_unconfirmed_head(&mut self, block: BlockNumber, ctx: &Context<'_>) -> Step {
        self.unconfirmed_head = UnconfirmedHead { block, head: ctx.head };
        Step::act([self.solo_again(), self.shown_again(block, ctx)].concat())
    }

    /// What is shown to the chain again with each block. A pledge goes before what is agreed: it lies above that, and of one kind one call is made at a time.
    pub(crate) fn shown_again(&self, best: BlockNumber, ctx: &Context<'_>) -> Vec<Effect> {
        let others = [self.defence(ctx.head), self.snapshot_again(ctx.head).into_iter().collect()].concat();
        let pledge = self.pledge_again(best, ctx);
        // Where the newest block, which may be made up, says that it is over, what is agreed goes first in every second block.
        let goes_first = others.is_empty() || !self.is_pledge_over_by(best) || best.is_multiple_of(2);
        if goes_first && !pledge.is_empty() { pledge } else { others }
    }

    /// Whether no block takes the pledge that is held, were this one final.
    pub(crate) fn is_pledge_over_by(&self, best: BlockNumber) -> bool {
        let until = self.phase.live().and_then(|live| live.open_pledge()?.valid_until);
        until.is_some_and(|until| best >= until)
    }

    /// Own rounds that no block takes any more are forgotten (R5.4b).
    fn forget_expired(&mut self, ctx: &Context<'_>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let floor = live.dispute.floor(ctx.head, live.funding.terms().lock_period);
        if live.outgoing.expire(floor) { Step::commit(Vec::new()) } else { Step::default() }
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
                let done =
                    ExecutedOperation { kind: OperationKind::Deposit, round, state_hash, total: Some(total), event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelWithdrawn { party, amount, total, round, state_hash } => {
                let event = Event::Withdrawn { party, amount, round };
                let done =
                    ExecutedOperation { kind: OperationKind::Withdraw, round, state_hash, total: Some(total), event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelDelegatesSet { delegates, round, state_hash } => {
                let event = Event::DelegatesSet { delegates, round };
                let done =
                    ExecutedOperation { kind: OperationKind::SetDelegates, round, state_hash, total: None, event };
                self.on_chain_operated(done, ctx)
            }
            ArbiterEvent::ChannelSnapshotted { round, state_hash } => {
                self.on_chain_snapshotted(&Posted { at: Base::of(round), state_hash }, ctx)
            }
            ArbiterEvent::ChannelProgressed { party, at, state_hash, forced_steps, total, closing, calls } => {
                let posted = Posted { at, state_hash };
                self.on_chain_progressed(ExecutedSteps { party, posted, forced_steps, total, closing, calls }, ctx)
            }
            ArbiterEvent::ChannelSlashed { round, state_hash, closing } => {
                let solo = Solo::new(Posted { at: Base::of(round), state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |_| Event::Slashed { round, unlock_at: solo.unlock_at })
            }
        }
    }

    /// Transition: signed | open | closing -> closing (solo). Posts a newer state where there is one.
    pub(crate) fn on_chain_closing(&mut self, solo: Solo, ctx: &Context<'_>, event: impl Fn(bool) -> Event) -> Step {
        if matches!(&self.phase, Phase::Closing(_, ClosePath::Solo(known)) if *known == solo) {
            return Step::default();
        }
        let is_past = self.phase.live().is_some_and(|live| live.dispute.is_past(&solo.on_chain));
        if is_past || matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_))) {
            // Told again with its block, and answered since.
            return Step::default();
        }
        self.move_to_closing(ClosePath::Solo(solo));
        let me = self.me;
        let Phase::Closing(live, _) = &mut self.phase else { return Step::default() };
        live.dispute.see(&solo.on_chain);
        let mut told = vec![event(live.newer_than_chain(ctx.head).is_some())];
        let mut stale = Step::default();
        if live.is_behind(&solo.on_chain) {
            let (from, round) = (live.agreed.round(), solo.on_chain.at.agreed);
            match live.adopt_from_chain(&solo.on_chain, me) {
                Some(events) => told.extend(events),
                // It carries our signature, and we know of none: our store is old (R6.6).
                None if round > live.outgoing.signed() => stale = live.note_stale(from, round),
                None => {}
            }
        }
        // Nothing but a state counts any more.
        told.extend(live.operation.give_up(RefusalCode::CLOSING));
        live.incoming.drop_review();
        Step::tell(told).and(stale).and(Step::act(self.shown_again(ctx.transfers.best(), ctx)))
    }

    /// Transition: open (bound) -> open. A deposit, a withdrawal or other delegates are final: the state after it is the agreed one.
    fn on_chain_operated(&mut self, done: ExecutedOperation, ctx: &Context<'_>) -> Step {
        let step = self.take_operated(done);
        // Told again, it is nothing to go on from.
        if step.is_commit() { step.and(self.advance(ctx)) } else { step }
    }

    /// Adopts the state after an operation that is final.
    pub(crate) fn take_operated(&mut self, done: ExecutedOperation) -> Step {
        let ExecutedOperation { kind, round, state_hash, total, event } = done;
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let on_chain = Posted { at: Base::of(round), state_hash };
        if !live.is_behind(&on_chain) {
            // Told again.
            return Step::default();
        }
        live.dispute.see(&on_chain);
        let from = live.agreed.round();
        if let Some(total) = total {
            let _before = live.funding.set_total(total);
        }
        if let Event::DelegatesSet { delegates, .. } = &event {
            live.funding.set_delegates(delegates.as_ref().map(Vec::as_slice));
        }
        let step = if let Some((state, base)) = live.operation.executed(round, &state_hash) {
            let told = live.replaced(round, base).into_iter().chain([event]);
            live.adopt(me, (round, base), state, state_hash, None);
            Step::tell(told)
        } else {
            // It carries our signature, and we know of none: our store is old (R6.6).
            let state = reconstruct(live.agreed.state(), &event, live.funding.terms().reserve);
            if let Some(state) = state.filter(|state| state.hash() == state_hash) {
                live.adopt(me, (round, Base::default()), state, state_hash, None);
            }
            Step::tell([event]).and(live.note_stale(from, round))
        };
        live.operation.retry_above();
        step.and(Step::act(kind.locked(round).map(Effect::Send).into_iter().collect()))
    }

    /// Somebody put a state on chain that both signed. What we hold is newer as a rule; but the peer may have used a round of ours that it
    /// never answered.
    fn on_chain_snapshotted(&mut self, on_chain: &Posted, ctx: &Context<'_>) -> Step {
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if live.dispute.is_past(on_chain) {
            // Told again with its block.
            return Step::default();
        }
        live.dispute.see(on_chain);
        live.dispute.force_anew();
        let (from, round) = (live.agreed.round(), on_chain.at.agreed);
        if !live.is_behind(on_chain) {
            return Step::commit(Vec::new());
        }
        let told = match live.adopt_from_chain(on_chain, me) {
            Some(events) => {
                live.operation.note_peer_saw(round);
                live.operation.retry_above();
                Step::tell(events)
            }
            None if round > live.outgoing.signed() => live.note_stale(from, round),
            None => return Step::commit(Vec::new()),
        };
        told.and(self.advance(ctx))
    }

    /// What defends the channel now: a newer state against the one on chain, or settling once the lock has run out.
    pub(crate) fn defence(&self, head: BlockNumber) -> Vec<Effect> {
        let Phase::Closing(live, ClosePath::Solo(solo)) = &self.phase else { return Vec::new() };
        if !self.config.defend {
            return Vec::new();
        }
        let answer = live.newer_than_chain(head).and_then(|_newest| live.slash(&solo.penalty, self.me));
        if let Some(call) = answer {
            return vec![Effect::Submit(Box::new(call))];
        }
        let channel = live.funding.channel();
        let grace = match self.me {
            Party::Initiator => 0,
            Party::Responder => SETTLE_GRACE,
        };
        // What is sent now is executed in the next block at the earliest.
        let unlocked = head.saturating_add(1) >= solo.unlock_at.saturating_add(grace);
        if unlocked { vec![Effect::Submit(Box::new(Call::ChannelSettle { channel }))] } else { Vec::new() }
    }

    /// The last block in which a newer state of this side counts for certain, where an older one on chain threatens it: the close can be settled from
    /// the block after it on, or a mark matures, and the newer state with it loses its force (R5.4b, R6.9). Or the last one that takes a pledge of the peer's that
    /// is to be shown (R6.5d).
    #[must_use]
    pub fn defend_by(&self, head: BlockNumber) -> Option<BlockNumber> {
        let pledge =
            self.phase.live()?.pledge_to_show().and_then(|held| held.valid_until).filter(|until| head < *until);
        let settled = match &self.phase {
            Phase::Closing(_, ClosePath::Solo(solo)) => solo.unlock_at.saturating_sub(1),
            _ => BlockNumber::MAX,
        };
        pledge.map(|until| until.min(settled)).into_iter().chain(self.counts_until(head)).min()
    }

    /// The same of what is agreed alone.
    fn counts_until(&self, head: BlockNumber) -> Option<BlockNumber> {
        let live = self.phase.live()?;
        let payload = live.newer_than_chain(head)?;
        match &self.phase {
            Phase::Closing(_, ClosePath::Solo(solo)) => Some(solo.unlock_at.saturating_sub(1)),
            _ => {
                let marks = live.dispute.on_chain().maturity.marks();
                let mark = marks.iter().find(|mark| payload.base < mark.reached)?;
                Some(mark.block.saturating_add(live.funding.terms().lock_period).saturating_sub(1))
            }
        }
    }

    /// Whether this was the last refusal that the user was told of. It is from now on.
    pub(crate) fn is_known_rejection(&mut self, call: CallKind, rejection: Rejection) -> bool {
        self.last_rejection.replace((call, rejection)) == Some((call, rejection))
    }

    /// The arbiter refused a call. Where it is asked for again with each head, the user is told once.
    pub(crate) fn on_chain_rejected(&mut self, call: CallKind, rejection: Rejection, ctx: &Context<'_>) -> Step {
        if let Some(step) = self.on_force_rejected(call, rejection, ctx) {
            return step;
        }
        let given_up = self.abandon_create(call, Some(rejection));
        let known = self.is_known_rejection(call, rejection);
        if known || matches!(self.phase, Phase::Closed(_)) || self.is_other_half(call) {
            return given_up;
        }
        let told = Effect::Notify(Notice::CallRejected { call, rejection });
        given_up.and(Step::act(vec![told])).and(Step::act(self.on_operation_rejected(call, rejection)))
    }
}

/// The state after an operation that this side does not remember, as far as it can be told from the one before.
fn reconstruct(state: &State, event: &Event, reserve: Amount) -> Option<State> {
    match event {
        Event::Deposited { party, amount, .. } => with_more(state, *party, *amount),
        Event::Withdrawn { party, amount, .. } => with_less(state, *party, *amount, reserve),
        _ => Some(state.with_balances(state.balances)),
    }
}
