//! Which openings wait for a look into a vault.

use channel::{ChannelRef, FundingCreated};
use protocol::{Amount, BlockNumber, PartyId};
use std::collections::VecDeque;

/// Openings that the initiator has signed, in the order in which that came: whoever is answered first submits first (R5.2).
#[derive(Debug, Default)]
pub(super) struct Unfunded {
    pub(super) waiting: VecDeque<(ChannelRef, FundingCreated)>,
    /// One vault is read at a time: since which head.
    pub(super) reading: Option<BlockNumber>,
    /// What the last one held, and by which block: it serves all openings that come before the next block.
    pub(super) last: Option<(PartyId, Amount, BlockNumber)>,
    /// How many vaults were read since this block: an account is only a name to somebody who signs for it.
    reads: (BlockNumber, usize),
}

impl Unfunded {
    /// Whether this vault holds a share, as far as that is known by this block.
    pub(super) fn known(&self, (owner, share): (PartyId, Amount), head: BlockNumber) -> Option<bool> {
        self.last.filter(|(of, _, by)| (*of, *by) == (owner, head)).map(|(_, has, _)| share <= has)
    }

    /// Counts a look into a vault, where there may be one more by this block.
    pub(super) fn may_read(&mut self, head: BlockNumber, most: usize) -> bool {
        if self.reads.0 != head {
            self.reads = (head, 0);
        }
        let may = self.reads.1 < most;
        self.reads.1 = self.reads.1.saturating_add(usize::from(may));
        may
    }

    /// The connection is gone: what nobody has signed is over.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{AccountId, PublicKey};

    #[test]
    fn what_a_vault_holds_counts_for_its_block_also_where_it_is_too_little() {
        let owner = |account| PartyId { account: AccountId([account; 32]), key: PublicKey([1; 32]) };
        let unfunded = Unfunded { last: Some((owner(1), 5, 7)), ..Unfunded::default() };
        assert_eq!(unfunded.known((owner(1), 5), 7), Some(true));
        assert_eq!(unfunded.known((owner(1), 6), 7), Some(false));
        assert_eq!(unfunded.known((owner(2), 5), 7), None);
        assert_eq!(unfunded.known((owner(1), 5), 8), None);
    }

    #[test]
    fn so_many_vaults_are_read_in_a_block_and_no_more() {
        let mut unfunded = Unfunded::default();
        assert_eq!([7, 7, 7, 8].map(|head| unfunded.may_read(head, 2)), [true, true, false, true]);
    }
}
