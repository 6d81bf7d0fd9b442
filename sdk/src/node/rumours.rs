//! What one endpoint has said of a channel and nobody has confirmed (R6.9a): remembered as long as it is in doubt, so that the answer to it is made
//! again with each block. Nothing of it is stored.

use channel::{Channel, Rumour};
use protocol::{
    BlockNumber, Party,
    call::{Call, CallKind},
};
use std::collections::BTreeMap;

/// The calls that answer rumours: what was said of one of them before is as doubtful as the rumour.
pub(super) const ANSWERS: [CallKind; 2] = [CallKind::ChannelSlash, CallKind::ChannelSnapshotSolo];

/// The rumours of one channel: one of a close by each side and one of a forced step, so that none that was made up stands before one that is true,
/// and so that no number of them takes more than this.
#[derive(Debug, Default)]
pub(super) struct Rumours(BTreeMap<Option<Party>, Heard>);

#[derive(Debug)]
struct Heard {
    rumour: Rumour,
    /// The one that has to be answered the soonest, whoever told it: a close that one endpoint makes up, of a low state and far from its end, must not
    /// have the true one answered late.
    soonest: Rumour,
    /// The first block of which it was said, and the last.
    first: BlockNumber,
    last: BlockNumber,
}

impl Rumours {
    /// Notes what is said of a block. Of two of one kind the one of the lower state is kept: whatever answers the other answers it.
    pub(super) fn hear(&mut self, block: BlockNumber, rumour: &Rumour) {
        let heard = self.0.entry(rumour.closer()).or_insert_with(|| Heard {
            rumour: rumour.clone(),
            soonest: rumour.clone(),
            first: block,
            last: block,
        });
        heard.last = heard.last.max(block);
        if rumour.answer_by(block, 0) < heard.soonest.answer_by(heard.first, 0) {
            heard.soonest = rumour.clone();
        }
        if rumour.at() < heard.rumour.at() {
            heard.rumour = rumour.clone();
        }
    }

    /// What happened up to this block is known for certain now.
    pub(super) fn know(&mut self, block: BlockNumber) {
        self.0.retain(|_, heard| heard.last > block);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What answers them, by what `channel` holds now.
    pub(super) fn answers(&self, channel: &Channel) -> Vec<Call> {
        self.0.values().filter_map(|heard| channel.answer_to(&heard.rumour)).collect()
    }

    /// The last block in which an answer counts for certain, where one is wanted: to what is known with `head`, or else to what is not confirmed.
    pub(super) fn defend_by(&self, channel: &Channel, head: BlockNumber) -> Option<BlockNumber> {
        channel.defend_by(head).or_else(|| self.answer_by(channel))
    }

    fn answer_by(&self, channel: &Channel) -> Option<BlockNumber> {
        let lock_period = channel.terms()?.lock_period;
        let wanted = self.0.values().filter(|heard| channel.answer_to(&heard.rumour).is_some());
        wanted.map(|heard| heard.soonest.answer_by(heard.first, lock_period)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{
        Base, Hash, Pair,
        event::Event,
        record::{Closing, Penalty},
    };

    fn close(round: u64, closer: Party, unlock_at: BlockNumber) -> Rumour {
        let penalty = Penalty::AtRisk { closer, closed_on: round };
        let closing = Closing { balances: Pair::new(1, 1), unlock_at, penalty };
        Rumour::of_event(&Event::ChannelClosedSolo { at: Base::of(round), state_hash: Hash::ZERO, closing }).unwrap()
    }

    #[test]
    fn however_many_closes_are_told_one_of_each_side_is_kept_of_the_lowest_state() {
        let mut rumours = Rumours::default();
        for round in (1..1_000).rev() {
            for closer in Party::BOTH {
                rumours.hear(7, &close(round, closer, 100 + u32::try_from(round).unwrap()));
            }
        }
        assert_eq!(rumours.0.len(), 2);
        assert!(rumours.0.values().all(|heard| heard.rumour.at() == Base::of(1)));
    }

    #[test]
    fn a_close_that_was_made_up_does_not_have_the_true_one_answered_late() {
        let (made_up, there) = (close(0, Party::Initiator, 1_000_000), close(5, Party::Initiator, 100));
        for told in [[&made_up, &there], [&there, &made_up]] {
            let mut rumours = Rumours::default();
            told.into_iter().for_each(|rumour| rumours.hear(7, rumour));
            let heard = rumours.0.values().next().unwrap();
            assert_eq!((heard.rumour.at(), heard.soonest.answer_by(heard.first, 20)), (Base::of(0), 99));
        }
    }

    #[test]
    fn what_is_known_for_certain_is_no_rumour_any_more() {
        let mut rumours = Rumours::default();
        rumours.hear(7, &close(5, Party::Initiator, 100));
        rumours.hear(9, &close(6, Party::Initiator, 100));
        rumours.know(8);
        assert_eq!(rumours.0.len(), 1, "one of a later block is in doubt");
        rumours.know(9);
        assert!(rumours.0.is_empty());
    }
}
