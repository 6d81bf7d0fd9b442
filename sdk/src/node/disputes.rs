//! What one endpoint has said of a channel and nobody has confirmed (R6.9a): remembered as long as it is in doubt, so that the answer to it is made
//! again with each block. Nothing of it is stored.

use channel::{Channel, UnconfirmedDispute};
use protocol::{
    BlockNumber, Party,
    call::{Call, CallKind},
};
use std::collections::BTreeMap;

/// The calls that answer disputes: what was said of one of them before is as doubtful as the dispute.
pub(super) const ANSWERS: [CallKind; 2] = [CallKind::ChannelSlash, CallKind::ChannelSnapshotSolo];

/// The disputes of one channel: one of a close by each side and one of a forced step, so that none that was made up stands before one that is true,
/// and so that no number of them takes more than this.
#[derive(Debug, Default)]
pub(super) struct UnconfirmedDisputes(BTreeMap<Option<Party>, Claim>);

#[derive(Debug)]
struct Claim {
    dispute: UnconfirmedDispute,
    /// The one that has to be answered the soonest, whoever told it: a close that one endpoint makes up, of a low state and far from its end, must not
    /// have the true one answered late.
    soonest: UnconfirmedDispute,
    /// The first block of which it was said, and the last.
    first: BlockNumber,
    last: BlockNumber,
}

impl UnconfirmedDisputes {
    /// Notes what is said of a block. Of two of one kind the one of the lower state is kept: whatever answers the other answers it.
    pub(super) fn hear(&mut self, block: BlockNumber, dispute: &UnconfirmedDispute) {
        let heard = self.0.entry(dispute.closer()).or_insert_with(|| Claim {
            dispute: dispute.clone(),
            soonest: dispute.clone(),
            first: block,
            last: block,
        });
        heard.last = heard.last.max(block);
        if dispute.answer_by(block, 0) < heard.soonest.answer_by(heard.first, 0) {
            heard.soonest = dispute.clone();
        }
        if dispute.at() < heard.dispute.at() {
            heard.dispute = dispute.clone();
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
        self.0.values().filter_map(|heard| channel.answer_to(&heard.dispute)).collect()
    }

    /// The last block in which an answer counts for certain, where one is wanted: to what is known with `head`, or else to what is not confirmed.
    pub(super) fn defend_by(&self, channel: &Channel, head: BlockNumber) -> Option<BlockNumber> {
        channel.defend_by(head).or_else(|| self.answer_by(channel))
    }

    fn answer_by(&self, channel: &Channel) -> Option<BlockNumber> {
        let lock_period = channel.terms()?.lock_period;
        let wanted = self.0.values().filter(|heard| channel.answer_to(&heard.dispute).is_some());
        wanted.map(|heard| heard.soonest.answer_by(heard.first, lock_period)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{
        Base, Hash, Pair,
        event::ArbiterEvent,
        record::{Closing, Penalty},
    };

    fn close(round: u64, closer: Party, unlock_at: BlockNumber) -> UnconfirmedDispute {
        let penalty = Penalty::AtRisk { closer, closed_on: round };
        let closing = Closing { balances: Pair::new(1, 1), unlock_at, penalty };
        UnconfirmedDispute::of_event(&ArbiterEvent::ChannelClosedSolo {
            at: Base::of(round),
            state_hash: Hash::ZERO,
            closing,
        })
        .unwrap()
    }

    #[test]
    fn however_many_closes_are_told_one_of_each_side_is_kept_of_the_lowest_state() {
        let mut disputes = UnconfirmedDisputes::default();
        for round in (1..1_000).rev() {
            for closer in Party::BOTH {
                disputes.hear(7, &close(round, closer, 100 + u32::try_from(round).unwrap()));
            }
        }
        assert_eq!(disputes.0.len(), 2);
        assert!(disputes.0.values().all(|heard| heard.dispute.at() == Base::of(1)));
    }

    #[test]
    fn a_close_that_was_made_up_does_not_have_the_true_one_answered_late() {
        let (made_up, there) = (close(0, Party::Initiator, 1_000_000), close(5, Party::Initiator, 100));
        for told in [[&made_up, &there], [&there, &made_up]] {
            let mut disputes = UnconfirmedDisputes::default();
            told.into_iter().for_each(|dispute| disputes.hear(7, dispute));
            let heard = disputes.0.values().next().unwrap();
            assert_eq!((heard.dispute.at(), heard.soonest.answer_by(heard.first, 20)), (Base::of(0), 99));
        }
    }

    #[test]
    fn what_is_known_for_certain_is_not_in_doubt_any_more() {
        let mut disputes = UnconfirmedDisputes::default();
        disputes.hear(7, &close(5, Party::Initiator, 100));
        disputes.hear(9, &close(6, Party::Initiator, 100));
        disputes.know(8);
        assert_eq!(disputes.0.len(), 1, "one of a later block is in doubt");
        disputes.know(9);
        assert!(disputes.0.is_empty());
    }
}
