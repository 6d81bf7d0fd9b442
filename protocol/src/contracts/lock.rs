//! Hashes whose pre-images unlock coins (R8.1), and what a call may require of one (R7.1a).

use crate::{BlockNumber, crypto::Crypto, primitives::bytes_newtype};
use core::fmt;
use scale::{Decode, Encode, MaxEncodedLen};

bytes_newtype!(
    /// What unlocks. Of one length, so that no chain can hold one that another cannot.
    Preimage, 32
);

/// How a pre-image is hashed (R8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum HashFunction {
    /// blake2b-256, as everything here.
    #[codec(index = 0)]
    Blake2b256,
    /// sha2-256, as other chains have it.
    #[codec(index = 1)]
    Sha2_256,
}

/// A hash whose pre-image unlocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct HashLock {
    /// How it was made.
    pub function: HashFunction,
    /// The hash itself.
    pub digest: crate::Hash,
}

impl Preimage {
    /// The lock that this opens.
    pub fn lock(&self, function: HashFunction, crypto: &impl Crypto) -> HashLock {
        let digest = match function {
            HashFunction::Blake2b256 => crypto.hash(&self.0),
            HashFunction::Sha2_256 => crypto.sha2_256(&self.0),
        };
        HashLock { function, digest }
    }
}

/// A fact of the registry of pre-images (R8.2) without which a call has not happened. The registry is one for all channels of an arbiter, and its facts are final at
/// the block that they name: so a call that requires one of them may be made by force at any time after that block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Requirement {
    /// The pre-image was shown before this block. Where it was not shown yet, the call shows it.
    #[codec(index = 0)]
    Shown {
        /// The lock.
        lock: HashLock,
        /// What opens it.
        preimage: Preimage,
        /// The first block in which it is too late.
        before: BlockNumber,
    },
    /// This block has come, and the pre-image was not shown before it.
    #[codec(index = 1)]
    Silent {
        /// The lock.
        lock: HashLock,
        /// The first block in which it is too late to show it.
        from: BlockNumber,
    },
}
