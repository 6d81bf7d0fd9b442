//! Where a signature counts, and what all signed bytes begin with (R3.5).

use crate::{AccountId, Hash};
use scale::{Decode, Encode, MaxEncodedLen};

/// Starts all signed bytes.
pub const TAG: [u8; 16] = *b"ink-statechannel";
/// The version of signed bytes, records and rules. Changing any of them changes this.
pub const VERSION: u16 = 1;

/// Where a signature counts: one arbiter on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Domain {
    /// The hash of the chain's first block.
    pub genesis: Hash,
    /// The arbiter contract's address.
    pub arbiter: AccountId,
}

impl Domain {
    /// What starts the signed bytes and the hashed bytes of a channel id.
    pub(crate) const fn tag(&self) -> ([u8; 16], u16, &Self) {
        (TAG, VERSION, self)
    }
}
