//! Where a signed round goes on from (R3.5a), and which bases the chain still takes (R5.4b).

use crate::{BlockNumber, Round};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// The state that a signed round goes on from (R3.5a): the newest co-signed round, and how many forced rounds after that one are included.
///
/// Bases compare by the co-signed round first, then by the forced rounds. Co-signed rounds on chain only rise, and each carries at most one
/// forced chain, so a base names one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Base {
    /// The co-signed round.
    pub agreed: Round,
    /// How many forced rounds after it.
    pub steps: u32,
}

impl Base {
    /// The co-signed round itself, without forced rounds.
    #[must_use]
    pub const fn of(agreed: Round) -> Self {
        Self { agreed, steps: 0 }
    }

    /// The number of the last round that it includes.
    #[must_use]
    pub fn round(self) -> Round {
        self.agreed.saturating_add(Round::from(self.steps))
    }
}

/// How many marks a channel keeps for each forced step that its terms allow a party (R5.4b).
const MARKS_PER_STEP: usize = 8;

/// One forcing transaction: the state after it, and its block (R5.4b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Mark {
    /// The state after it.
    pub reached: Base,
    /// The block of the transaction. The mark is mature from a lock period later on.
    pub block: BlockNumber,
}

/// The forcing transactions of a channel, by which old signatures lose their force (R5.4b). Marks outlive the replacement of their chain.
///
/// Marks ascend, in what they reached and in their blocks, since the state on chain only rises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Maturity {
    /// The highest mark that was mature when a mark was last added.
    floor: Base,
    /// The marks above it.
    marks: Vec<Mark>,
}

impl Maturity {
    /// The least base of a co-signed round that counts in block `now`: the highest mature mark (R5.4b).
    #[must_use]
    pub fn floor(&self, now: BlockNumber, lock_period: BlockNumber) -> Base {
        let mature = self.marks.iter().rev().find(|mark| mark.is_mature(now, lock_period));
        mature.map_or(self.floor, |mark| mark.reached.max(self.floor))
    }

    /// The highest state that a forcing transaction ever reached, mature or not: a round whose base is below it loses its force one day
    /// (R7.6a).
    #[must_use]
    pub fn highest(&self) -> Base {
        self.marks.last().map_or(self.floor, |mark| mark.reached.max(self.floor))
    }

    /// The marks that were not mature when the last one was added, in ascending order.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Adds the mark of a forcing transaction in block `now`. At most `8 x max_forced` marks are kept: beyond that those of the lowest
    /// co-signed round go first.
    pub(crate) fn add(&mut self, reached: Base, now: BlockNumber, lock_period: BlockNumber, max_forced: u8) {
        self.floor = self.floor(now, lock_period);
        let floor = self.floor;
        self.marks.retain(|mark| mark.reached > floor);
        self.marks.push(Mark { reached, block: now });
        let most = MARKS_PER_STEP.saturating_mul(usize::from(max_forced));
        let beyond = self.marks.len().saturating_sub(most);
        let _oldest = self.marks.drain(..beyond);
    }
}

impl Mark {
    const fn is_mature(&self, now: BlockNumber, lock_period: BlockNumber) -> bool {
        now >= self.block.saturating_add(lock_period)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    const L: BlockNumber = 10;

    fn base(agreed: Round, steps: u32) -> Base {
        Base { agreed, steps }
    }

    #[test]
    fn bases_compare_by_the_agreed_round_first() {
        assert!(base(3, 9) < base(4, 0));
        assert!(base(3, 1) < base(3, 2));
        assert_eq!(base(3, 2).round(), 5);
    }

    #[test]
    fn a_mark_is_mature_from_a_lock_period_later_on_and_not_a_block_before() {
        let mut maturity = Maturity::default();
        maturity.add(base(3, 1), 100, L, 2);
        assert_eq!(maturity.floor(109, L), base(0, 0));
        assert_eq!(maturity.floor(110, L), base(3, 1));
        assert_eq!(maturity.floor(111, L), base(3, 1));
        assert_eq!(maturity.highest(), base(3, 1));
    }

    #[test]
    fn each_mark_matures_by_itself_and_mature_ones_are_kept_as_the_floor() {
        let mut maturity = Maturity::default();
        maturity.add(base(3, 1), 100, L, 2);
        maturity.add(base(3, 2), 105, L, 2);
        assert_eq!(maturity.floor(112, L), base(3, 1));
        maturity.add(base(5, 1), 112, L, 2);
        assert_eq!(maturity.marks().len(), 2, "the first is the floor by now");
        assert_eq!(maturity.floor(112, L), base(3, 1));
        assert_eq!(maturity.floor(115, L), base(3, 2));
        assert_eq!(maturity.floor(122, L), base(5, 1));
    }

    #[test]
    fn beyond_eight_marks_for_each_allowed_step_those_of_the_lowest_round_go_first() {
        let mut maturity = Maturity::default();
        for at in 0..9 {
            maturity.add(base(3 + Round::from(at), 1), 100 + at, L, 1);
        }
        assert_eq!(maturity.marks().len(), 8);
        assert_eq!(maturity.marks().first().map(|mark| mark.reached), Some(base(4, 1)));
    }

    #[test]
    fn blocks_at_the_end_of_the_range_do_not_overflow() {
        let mut maturity = Maturity::default();
        maturity.add(base(3, 1), BlockNumber::MAX - 1, L, 1);
        assert_eq!(maturity.floor(BlockNumber::MAX - 1, L), base(0, 0));
        assert_eq!(maturity.floor(BlockNumber::MAX, L), base(3, 1), "the last block there is");
    }
}
