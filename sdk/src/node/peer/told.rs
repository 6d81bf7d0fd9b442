//! Payments that whoever asked for them is told of once they are agreed, and that are kept with what comes next (R6.4c).
//!
//! ```text
//!   the peer's signature --> told --> taken, and the next payment asked for --> one commit for both --> its proposal leaves
//!                              '----> taken, or nobody is there, or anything else comes in ----------> commit
//! ```

use super::Peer;
use crate::node::config::Told;
use channel::{ChannelRef, Event, Step};
use std::sync::Arc;
use tokio::sync::Notify;

impl Peer {
    /// Answers whoever waits for payments that this step tells of, where the user wants to know so soon.
    pub(super) fn tell_of_agreed(&mut self, reference: ChannelRef, step: &Step) {
        if self.config.told == Told::OnceKept || self.config.store().is_none() {
            return;
        }
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        for event in step.events() {
            if let Event::Paid { payments, round } = event
                && slot.has_waiting()
            {
                slot.answer_agreed(payments.ids(), *round, self.unkept.tell());
            }
        }
    }

    /// What the commit is to wait for, once: somebody was told of a payment and may ask for the next one in the same turn, and nothing else would be held up.
    /// Whatever comes in ends it.
    pub(super) fn awaits_taking(&mut self) -> Option<Arc<Notify>> {
        let may_wait = self.steps.only_tell() && self.answers_held.is_empty() && !self.stopping;
        self.unkept.awaited(may_wait)
    }
}
