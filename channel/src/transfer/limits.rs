//! How much may be open at once (R8.3b).

use protocol::{Amount, BlockNumber};
use scale::{Decode, Encode};

/// How much a side lets its peer offer (R8.3b). Told to the peer when the channel is opened; more is refused as a part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferLimits {
    /// The most that are open at once.
    pub max_open: u32,
    /// The most coins that they hold together.
    pub max_amount: Amount,
    /// The least amount of one.
    pub min_amount: Amount,
    /// The furthest that an expiry lies above the newest block, in blocks.
    pub max_lock: BlockNumber,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self { max_open: 256, max_amount: Amount::MAX, min_amount: 1, max_lock: 100_800 }
    }
}

impl TransferLimits {
    /// Whether an expiry lies further ahead of the newest block than is taken.
    pub(crate) const fn is_too_far(&self, expiry: BlockNumber, best: BlockNumber) -> bool {
        expiry.saturating_sub(best) > self.max_lock
    }
}
