//! Which openings wait for a look into a vault.

use channel::{ChannelRef, FundingCreated};
use protocol::{Amount, BlockNumber, PartyId};
use std::collections::VecDeque;

/// Openings that the initiator has signed, in the order in which that came: whoever is answered first submits first (R5.2).
#[derive(Debug, Default)]
pub(super) struct Unfunded {
    pub(super) waiting: VecDeque<(ChannelRef, FundingCreated)>,
    /// One vault is read at a time.
    pub(super) reading: bool,
    /// What the last one held, and by which block: it serves all openings that come before the next block, as far as it goes.
    pub(super) last: Option<(PartyId, Amount, BlockNumber)>,
}

impl Unfunded {
    /// The connection is gone: what nobody has signed is over.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}
