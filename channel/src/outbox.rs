//! Events that the user has not taken yet: stored with the commit that they tell of, so that no crash loses one (R6.4a).
//!
//! ```text
//!   handle --> commit (channel and outbox) --> Deliver { number, event } --> the user has it --> EventsTaken { up_to }
//!                                          ^-- a crash here: after Restarted every event not taken is delivered again
//! ```
//!
//! Numbers only grow and are never used again. A user that keeps the last number it has taken gets each event exactly once; any other at
//! least once. Taking events needs no commit of its own: the next one will do.

use crate::effect::{Effect, Event};
use scale::{Decode, Encode};
use std::collections::VecDeque;

/// How much may wait to be taken, counted in payments told of: past it nothing more is agreed, so that memory stays bounded.
pub(crate) const MAX_UNTAKEN: usize = 1 << 16;

/// Numbers the events of one channel, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct EventNumber(pub u64);

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Outbox {
    /// The number of the last event ever told.
    last: EventNumber,
    /// In ascending order.
    untaken: VecDeque<(EventNumber, Event)>,
}

impl Outbox {
    /// Keeps what a committed step tells of, and numbers it.
    pub(crate) fn keep(&mut self, effects: &mut [Effect]) {
        for effect in effects {
            if let Effect::Notify(event) = effect
                && !matches!(event, Event::Notice(_))
            {
                let number = EventNumber(self.last.0.saturating_add(1));
                self.last = number;
                self.untaken.push_back((number, event.clone()));
                let event = std::mem::replace(event, Event::Message(Vec::new()));
                *effect = Effect::Deliver { number, event };
            }
        }
    }

    pub(crate) fn take(&mut self, up_to: EventNumber) {
        while self.untaken.pop_front_if(|(number, _)| *number <= up_to).is_some() {}
    }

    /// Everything that has not been taken, once more.
    pub(crate) fn again(&self) -> Vec<Effect> {
        let deliver =
            |(number, event): &(EventNumber, Event)| Effect::Deliver { number: *number, event: event.clone() };
        self.untaken.iter().map(deliver).collect()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.untaken.len() >= MAX_UNTAKEN
            || self.untaken.iter().map(|(_, event)| event.weight()).sum::<usize>() >= MAX_UNTAKEN
    }

    pub(crate) fn holds(&self, test: impl Fn(&Event) -> bool) -> bool {
        self.untaken.iter().any(|(_, event)| test(event))
    }
}
