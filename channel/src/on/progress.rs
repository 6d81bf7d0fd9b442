//! Forced steps that are on chain, each side's and in each phase, and what they pay (R5.10, R5.11).

use crate::{
    channel::Channel,
    effect::Effect,
    event::{CloseReason, Event, Notice},
    input::Context,
    message::{Message, RefusalCode},
    phase::{
        Phase,
        closing::{ClosePath, Residual, Solo},
        live::{agreed::Posted, dispute::PendingReplay, replay::ReplayError},
    },
    state::{Outcome, Performed},
    step::Step,
};
use protocol::{Amount, Pair, Party, call::ForcedCall, record::Closing};

/// What the arbiter announced of a forced step.
pub(crate) struct ExecutedSteps {
    pub(crate) party: Party,
    pub(crate) posted: Posted,
    pub(crate) forced_steps: Pair<u8>,
    pub(crate) total: Amount,
    pub(crate) closing: Option<Closing>,
    pub(crate) calls: Vec<ForcedCall>,
}

impl Channel {
    /// Transition: open | closing -> the same, on the forced state.
    pub(crate) fn on_chain_progressed(&mut self, step: ExecutedSteps, ctx: &Context<'_>) -> Step {
        let is_residual = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let ExecutedSteps { party, posted, forced_steps, total, closing, calls } = step;
        if live.dispute.has_seen(&posted) {
            // Told again, or followed by others in its block, which is told again.
            return Step::default();
        }
        live.dispute.see_forced((&posted, party), forced_steps, ctx.head, live.funding.terms());
        let before = live.funding.set_total(total);
        let made = PendingReplay { party, posted, calls, height: ctx.head, total: before, is_residual };
        live.dispute.await_replay(made);
        if let Some(closing) = &closing {
            self.move_to_closing(ClosePath::Solo(Solo::new(posted, closing)));
        }
        let mut step = Step::commit(Vec::new()).and(self.replay_on(ctx));
        if self
            .phase
            .live()
            .is_some_and(|live| live.dispute.pending_replay().is_some() && !live.replaces_forced(ctx.head))
        {
            step = step.and(Step::act(vec![Effect::Notify(Notice::PendingReplay { round: posted.at.round() })]));
        }
        step = step.and(Step::act(self.shown_again(ctx.transfers.best(), ctx)));
        step.and(self.end_residual()).and(self.advance(ctx))
    }

    /// Follows what the arbiter has made, as far as the apps are here.
    pub(crate) fn replay_on(&mut self, ctx: &Context<'_>) -> Step {
        let mut step = Step::default();
        loop {
            let (me, record) = match &self.phase {
                Phase::Open(live) | Phase::Closing(live, _) => (self.me, self.record(live)),
                _ => return step,
            };
            let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return step };
            if live.replaces_forced(ctx.head) {
                return step;
            }
            let Some(next) = live.dispute.pending_replay().cloned() else { return step };
            match live.replay(record, &next, me, ctx) {
                Ok(told) => {
                    live.dispute.note_replayed();
                    // The step may have begun with the round of an offer: its row has its contract from here on.
                    self.transfers.take_done(me, std::mem::take(&mut live.transfers_done));
                    let contracts = live.agreed.state().contracts.clone();
                    self.transfers.note_forced(&next, me, (&contracts, live.agreed.marks_mut()));
                    step = step.and(self.on_replayed(&next, told));
                }
                Err(ReplayError::Lacks(code)) => return step.and(Step::act(vec![Effect::FetchCode(code)])),
                Err(ReplayError::Unknown) => {
                    live.dispute.drop_replay();
                    let (from, to) = (live.agreed.round(), next.posted.at.round());
                    let cannot = Step::notify(Notice::PendingReplay { round: to });
                    return step.and(cannot).and(live.note_stale(from, to));
                }
            }
        }
    }

    fn on_replayed(&mut self, made: &PendingReplay, told: Vec<Event>) -> Step {
        if made.is_residual {
            self.pay_residual(&told);
        }
        let mut say = Vec::new();
        // Also while a close is offered: it may come to nothing.
        if !matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_) | ClosePath::Residual(_))) {
            say.push(Effect::Send(Message::ForceProgressLocked { round: made.posted.at.round() }));
        }
        Step::tell(told).and(Step::act(say))
    }

    /// What a residual channel's contracts pay leaves the channel at once (R5.11).
    fn pay_residual(&mut self, told: &[Event]) {
        let Phase::Closing(_, ClosePath::Residual(Residual { balances: Some(balances) })) = &mut self.phase else {
            return;
        };
        for event in told {
            let Event::Executed { performed, .. } = event else { continue };
            for Performed { outcome, .. } in performed {
                if let Outcome::Called { payouts, .. } = outcome {
                    for (party, amount) in payouts.iter() {
                        balances[party] = balances[party].saturating_add(*amount);
                    }
                }
            }
        }
    }

    /// With its last coin a residual channel ends (R5.11).
    pub(crate) fn end_residual(&mut self) -> Step {
        match &self.phase {
            Phase::Closing(live, ClosePath::Residual(Residual { balances })) if live.funding.total() == 0 => {
                let agreed = live.agreed.state().balances;
                self.close(
                    balances.map_or(CloseReason::Unseen { agreed }, |balances| CloseReason::Settled { balances }),
                )
            }
            _ => Step::default(),
        }
    }

    /// Transition: closing (solo) -> closed, or closing (residual) where contracts still hold coins.
    pub(crate) fn on_chain_settled(&mut self, balances: Pair<Amount>, remaining: Amount) -> Step {
        if remaining == 0 {
            return self.close_once(CloseReason::Settled { balances });
        }
        if matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_))) {
            // A channel is settled once: told again, with steps after it.
            return Step::default();
        }
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let _before = live.funding.set_total(remaining);
        live.wish.drop_solo();
        live.dispute.settle();
        let mut told = live.drop_pending(RefusalCode::CLOSING);
        told.push(Event::Residual { balances, held: remaining });
        self.move_to_closing(ClosePath::Residual(Residual { balances: Some(balances) }));
        Step::tell(told)
    }
}
