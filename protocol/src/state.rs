//! The state of a channel as the two parties sign it (section 4).

use crate::{Amount, Hash, Pair, crypto::Crypto};
use scale::{Decode, Encode, MaxEncodedLen};

/// What a state hash commits to (R4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct StateCommitment {
    /// What each party owns outside contracts.
    pub balances: Pair<Amount>,
    /// The root of the contracts' tree (R4.2); [`Hash::ZERO`] where there are none.
    pub contracts_root: Hash,
    /// The root of the last round's calls; [`Hash::ZERO`] where there were none.
    pub calls_root: Hash,
}

impl StateCommitment {
    /// A state of balances alone, without contracts.
    #[must_use]
    pub const fn of_balances(balances: Pair<Amount>) -> Self {
        Self { balances, contracts_root: Hash::ZERO, calls_root: Hash::ZERO }
    }

    /// `state_hash`, which is what the parties sign (R4.1).
    pub fn hash(&self, crypto: &impl Crypto) -> Hash {
        crypto.hash(&self.encode())
    }
}
