//! What a change of a round says about a conditional transfer (R8.3).

use protocol::{Amount, BlockNumber, contracts::conditional::HashLock};
use scale::{Decode, Encode};

/// The longest instruction of an offer, in bytes.
pub const MAX_INSTRUCTION: usize = 1_024;
/// The longest reason of a failure, in bytes.
pub const MAX_REASON: usize = 512;

/// What a conditional transfer says; both sides see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferTerms {
    /// What the payee gets, in coins of the payer's; more than none.
    pub amount: Amount,
    /// What unlocks it.
    pub lock: HashLock,
    /// The first block in which showing the pre-image is too late.
    pub expiry: BlockNumber,
}

/// A conditional transfer that a party offers to its peer: the peer is the payee.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// Its terms.
    pub terms: TransferTerms,
    /// What the *payee* stakes beside it, under the same lock and expiry: back to the payee with the pre-image, the payer's without. Zero where none is.
    pub premium: Amount,
    /// What the payee's router is told, at most [`MAX_INSTRUCTION`] bytes. It is in no hash, and no chain sees it.
    pub instruction: Vec<u8>,
}

/// Why a transfer comes to nothing, in the words of whoever fails it: at most [`MAX_REASON`] bytes, which a router reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct FailReason(pub Vec<u8>);
