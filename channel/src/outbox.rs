//! Events that the user has not acknowledged yet: stored with the commit that they tell of, so that no crash loses one (R6.4a).
//!
//! ```text
//!   handle --> commit (channel and outbox) --> Deliver { number, event } --> the user has it --> EventsAcked { up_to }
//!                                          ^-- a crash here: after Restarted every unacknowledged event is delivered again
//! ```
//!
//! Numbers only grow and are never used again. A user that keeps the last number it has acknowledged gets each event exactly
//! once; any other at least once. An acknowledgement needs no commit of its own: the next one will do.

use crate::{
    effect::Effect,
    event::{Event, EventNumber},
    proposal::ProposalId,
    state::Change,
};
use protocol::Party;
use scale::{Decode, Encode, Input};
use std::collections::VecDeque;

/// How much may wait for its acknowledgement, counted in payments that the events report: past it nothing more is agreed, so that memory stays bounded.
pub(crate) const MAX_UNACKNOWLEDGED: usize = 1 << 16;

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct Outbox {
    /// The number of the last event ever told.
    last: EventNumber,
    /// In ascending order.
    unacknowledged: VecDeque<(EventNumber, Event)>,
}

impl Outbox {
    /// Keeps what a committed step tells of, and numbers it.
    pub(crate) fn keep(&mut self, effects: &mut [Effect]) {
        for effect in effects {
            if let Effect::Deliver { number: number @ EventNumber::UNNUMBERED, event } = effect {
                self.last = EventNumber(self.last.0.saturating_add(1));
                *number = self.last;
                self.unacknowledged.push_back((self.last, event.clone()));
            }
        }
    }

    pub(crate) fn ack(&mut self, up_to: EventNumber) {
        while self.unacknowledged.pop_front_if(|(number, _)| *number <= up_to).is_some() {}
    }

    /// Every unacknowledged event, once more.
    pub(crate) fn again(&self) -> Vec<Effect> {
        let deliver =
            |(number, event): &(EventNumber, Event)| Effect::Deliver { number: *number, event: event.clone() };
        self.unacknowledged.iter().map(deliver).collect()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.unacknowledged.len() >= MAX_UNACKNOWLEDGED
            || self.unacknowledged.iter().map(|(_, event)| event.weight()).sum::<usize>() >= MAX_UNACKNOWLEDGED
    }

    pub(crate) fn holds(&self, test: impl Fn(&Event) -> bool) -> bool {
        self.unacknowledged.iter().any(|(_, event)| test(event))
    }
}

impl Decode for Outbox {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        let (last, stored) = <(EventNumber, Vec<(EventNumber, Stored)>)>::decode(input)?;
        let unacknowledged = stored.into_iter().filter_map(|(number, stored)| Some((number, stored.0?))).collect();
        Ok(Self { last, unacknowledged })
    }
}

/// An event as it may lie in a store: none where it is one of those that earlier versions kept by accident, and that are told in passing now
/// ([`Notice::Proposed`](crate::Notice::Proposed), [`Notice::Left`](crate::Notice::Left), [`Notice::Message`](crate::Notice::Message)).
struct Stored(Option<Event>);

impl Decode for Stored {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        match input.read_byte()? {
            10 => <(ProposalId, Vec<Change>)>::decode(input).map(|_proposed| Self(None)),
            15 => Party::decode(input).map(|_left| Self(None)),
            16 => Vec::<u8>::decode(input).map(|_message| Self(None)),
            index => Event::decode(&mut Indexed { index: Some(index), rest: input }).map(|event| Self(Some(event))),
        }
    }
}

/// An input whose first byte was looked at.
struct Indexed<'a, I> {
    index: Option<u8>,
    rest: &'a mut I,
}

impl<I: Input> Input for Indexed<'_, I> {
    fn remaining_len(&mut self) -> Result<Option<usize>, scale::Error> {
        let looked_at = usize::from(self.index.is_some());
        Ok(self.rest.remaining_len()?.map(|rest| rest.saturating_add(looked_at)))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), scale::Error> {
        match (into.split_first_mut(), self.index) {
            (Some((first, others)), Some(index)) => {
                (*first, self.index) = (index, None);
                self.rest.read(others)
            }
            _ => self.rest.read(into),
        }
    }

    fn descend_ref(&mut self) -> Result<(), scale::Error> {
        self.rest.descend_ref()
    }

    fn ascend_ref(&mut self) {
        self.rest.ascend_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::decode_exact;

    #[test]
    fn what_earlier_versions_kept_by_accident_is_not_told_again_and_everything_else_is() {
        let message = (16_u8, b"words".to_vec()).encode();
        let left = (15_u8, Party::Responder).encode();
        let proposed = (10_u8, (3_u64, [7_u8; 32], Vec::<Change>::new())).encode();
        let kept = Event::ShutdownRefused { code: crate::RefusalCode::CLOSING };
        let stored: Vec<_> = [message, left, kept.encode(), proposed].into_iter().zip(1_u64..).collect();
        let mut bytes = (EventNumber(4), scale::Compact(4_u32)).encode();
        stored.into_iter().for_each(|(event, number)| bytes.extend([number.encode(), event].concat()));
        let outbox = decode_exact::<Outbox>(&bytes).unwrap();
        assert_eq!(outbox.again(), [Effect::Deliver { number: EventNumber(3), event: kept }]);
        assert_eq!(decode_exact::<Outbox>(&outbox.encode()), Ok(outbox), "as it is stored now");
        bytes.truncate(bytes.len() - 1);
        assert!(decode_exact::<Outbox>(&bytes).is_err());
    }
}
