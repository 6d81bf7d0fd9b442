//! Hashes whose pre-images unlock coins (R8.1).

use crate::{crypto::Crypto, primitives::bytes_newtype};
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
