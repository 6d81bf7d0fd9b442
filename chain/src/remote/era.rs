//! For which blocks a transaction is valid.

use crate::BlockRef;
use protocol::BlockNumber;

/// For which blocks a transaction is valid, and how it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Era {
    /// A final block: the transaction is valid after it.
    pub(super) from: BlockRef,
    /// For how many blocks, counting that one. A power of two.
    pub(super) blocks: u32,
}

/// The longest validity, a power of two: a bound on what is waited for.
pub(super) const LONGEST: u32 = 1_024;
/// The shortest that there is.
const SHORTEST: u32 = 4;

/// The longest validity on a chain that remembers the hashes of so many of its blocks.
pub(super) fn era_within(remembered: BlockNumber) -> u32 {
    let blocks = remembered.clamp(SHORTEST, LONGEST);
    // The power of two that is no more than that.
    blocks.checked_ilog2().and_then(|power| 1_u32.checked_shl(power)).unwrap_or(SHORTEST)
}

impl Era {
    /// An era after `head` of at least `least` blocks, and longer where the best block is far ahead of the final one; of `most` at most, a power of two.
    pub(super) fn new(head: BlockRef, best: BlockNumber, (least, most): (u32, u32)) -> Self {
        let ahead = best.saturating_sub(head.number).saturating_mul(2);
        let blocks = least.saturating_add(ahead).clamp(SHORTEST, most);
        Self { from: head, blocks: blocks.checked_next_power_of_two().unwrap_or(most) }
    }

    /// An era after `from` that lasts for `least` blocks beyond the best one, and for `most` altogether where that is less.
    pub(super) fn short(from: BlockRef, best: BlockNumber, (least, most): (u32, u32)) -> Self {
        let blocks = best.saturating_sub(from.number).saturating_add(least).clamp(SHORTEST, most);
        Self { from, blocks: blocks.checked_next_power_of_two().unwrap_or(most) }
    }

    /// The last block that can take the transaction.
    pub(super) const fn last(&self) -> BlockNumber {
        self.from.number.saturating_add(self.blocks).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Hash;

    fn era(head: BlockNumber, best: BlockNumber, least: u32) -> (u32, BlockNumber) {
        let era = Era::new(BlockRef { number: head, hash: Hash::ZERO }, best, (least, LONGEST));
        (era.blocks, era.last())
    }

    #[test]
    fn an_era_is_a_power_of_two_and_ends_before_its_length_is_over() {
        assert_eq!(era(100, 100, 64), (64, 163));
        assert_eq!(era(100, 100, 65), (128, 227));
        assert_eq!(era(0, 0, 0), (4, 3));
        assert_eq!(era(0, 0, u32::MAX), (LONGEST, LONGEST - 1));
    }

    #[test]
    fn an_era_is_no_longer_than_the_chain_remembers_its_blocks() {
        assert_eq!([0, 4, 250, 256, 2_400, u32::MAX].map(era_within), [4, 4, 128, 256, LONGEST, LONGEST]);
        let long = Era::new(BlockRef { number: 100, hash: Hash::ZERO }, 100, (200, era_within(250)));
        assert_eq!(long.blocks, 128);
    }

    #[test]
    fn a_short_era_lasts_for_a_retry_beyond_the_best_block_and_no_longer_whatever_that_is_said_to_be() {
        let short = |best| Era::short(BlockRef { number: 100, hash: Hash::ZERO }, best, (8, 64)).blocks;
        assert_eq!([100, 104, 110, 130, 1_000_000, 90].map(short), [8, 16, 32, 64, 64, 8]);
    }

    #[test]
    fn an_era_is_longer_where_finality_lags() {
        assert_eq!(era(100, 130, 64), (128, 227));
        assert_eq!(era(100, 100_000, 64).0, LONGEST);
        assert_eq!(era(100, 90, 64).0, 64, "a best block below the final one is another endpoint's");
    }
}
