//! Whose turn it is: what this side does next once nothing is unanswered, and what it waits for meanwhile.

use crate::{
    channel::{Awaited, Channel, LinkState, PendingAnswer},
    input::Context,
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, proposing::Latest},
    },
    step::Step,
    wait::Act,
};

impl Channel {
    /// What comes next once nothing is unanswered: the operation that is wanted, the payments that wait, then the shutdown.
    pub(crate) fn advance(&mut self, ctx: &Context<'_>) -> Step {
        if self.waits_for(Act::Propose, ctx.head).is_some() {
            return Step::default();
        }
        self.drop_late_offers(ctx);
        self.ask_for_ends(ctx);
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let (latest, longest) =
            (ctx.head.saturating_add(self.config.operation_validity), self.config.longest_pledge(ctx.head));
        // It is over for this side only once a final block says so.
        let lag = ctx.transfers.best().saturating_sub(ctx.head);
        let until = self.transfers.operations_until(ctx.head, ctx.transfers.margins()).saturating_sub(lag);
        live.want_pledge();
        let step = if until.min(latest) > ctx.head.saturating_add(2) {
            live.ask(self.me, Latest { operation: until.min(latest), pledge: until.min(longest) }, &self.config, ctx)
        } else {
            Step::default()
        };
        if live.operation.asked().is_some() {
            return step;
        }
        let step = step.and(live.propose(self.me, &self.config, &self.domain, ctx));
        live.outgoing.mark_proposed(|ids, state| self.transfers.mark_asked(ids.iter(), &mut state.marks));
        let is_idle = live.pending() == 0
            && live.outgoing.highest_open().is_none()
            && live.operation.is_idle()
            && live.agreed.state().contracts.transfers() == 0;
        let wanted = live.wish.fee().filter(|_| is_idle);
        match wanted.filter(|_| !self.waits_for_left(ctx)) {
            Some(fee) => step.and(self.offer_shutdown(fee, ctx)),
            None => step,
        }
    }

    /// Says again what the peer did not answer because something else was under way, in case that it is not any more.
    pub(crate) fn resume(&mut self, ctx: &Context<'_>) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if self.link != LinkState::Up {
            return Step::default();
        }
        live.operation.retry_now();
        let again = live.outgoing.say_again(true);
        Step::act(again).and(self.advance(ctx))
    }

    /// What was to be said of open rounds was not: it is said again when there is room.
    pub(crate) fn put_off_rounds(&mut self) -> Step {
        if let Phase::Open(live) = &mut self.phase {
            live.outgoing.defer_answers();
        }
        Step::default()
    }

    /// Starts or stops the clock for the peer's answer.
    pub(crate) fn watch_answers(&mut self, ctx: &Context<'_>) {
        let awaits = match (&self.phase, self.link) {
            (_, LinkState::Down | LinkState::Left) => None,
            (_, LinkState::Leaving) => Some(Awaited::LeaveAck),
            (Phase::Open(_) | Phase::Closing(..), LinkState::Syncing) => Some(Awaited::Reestablish),
            (Phase::HalfSigned(_), _) => Some(Awaited::FundingSigned),
            (Phase::Signed(signed), _) if signed.locked => Some(Awaited::FundingLocked),
            (Phase::Open(live), _) => live.awaited(),
            (Phase::Closing(_, ClosePath::Offered(_)), _) => Some(Awaited::Shutdown),
            _ => None,
        };
        if self.waiting.map(|waiting| waiting.of) != awaits {
            self.waiting = awaits.map(|of| PendingAnswer { of, since: ctx.now, told: false });
        }
    }
}

impl Live {
    /// What the peer owes an answer to, where there is something.
    fn awaited(&self) -> Option<Awaited> {
        let asked = self.operation.asked().map(|body| Awaited::Operation(body.round()));
        let locked = self.awaits_lock().then_some(Awaited::Locked(self.agreed.round()));
        self.outgoing.unanswered().map(Awaited::Round).or(asked).or(locked)
    }
}
