//! Time passes: answers that are late, and decisions.

use crate::{
    channel::{Awaited, Channel},
    effect::Effect,
    event::Notice,
    input::Context,
    message::{Message, RefusalCode},
    step::Step,
};

impl Channel {
    /// Deadlines.
    pub(crate) fn on_tick(&mut self, ctx: &Context<'_>) -> Step {
        if self.opening_deadline().is_some_and(|deadline| ctx.now >= deadline) {
            let code = RefusalCode::TIMEOUT;
            return Step::act(vec![Effect::Send(Message::Error { code })]).and(self.abandon_opening(Some(code)));
        }
        let best = ctx.transfers.best();
        let pledge = if self.pledge_again(best, ctx).is_empty() { Vec::new() } else { self.shown_again(best, ctx) };
        let decided = self.on_tick_while_reviewing(ctx).and(self.on_tick_while_calling(ctx)).and(Step::act(pledge));
        let timeouts = self.config.timeouts;
        let late = match &mut self.waiting {
            Some(waiting)
                if !waiting.told && ctx.now.saturating_sub(waiting.since) >= waiting.of.timeout(&timeouts) =>
            {
                waiting.told = true;
                waiting.of
            }
            _ => return decided,
        };
        decided.and(match late {
            Awaited::LeaveAck => self.leave_unanswered(),
            _ => Step::act(vec![Effect::Notify(Notice::PeerSilent)]),
        })
    }
}
