//! A round as it is shown to a user who decides on it (R6.3a): by its number and by what is in it.

use crate::message::Update;
use protocol::{
    Hash, Round,
    crypto::{Crypto, Native},
};
use scale::{Decode, Encode};
use std::fmt;

/// Names a round that waits for a decision. Whoever decides names what was shown: a number alone could come to mean something else meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ProposalId {
    /// Its number.
    pub round: Round,
    /// The hash of its number, its base, its height, its changes and the hash of the state after them, SCALE-encoded in this order.
    pub content: Hash,
}

impl ProposalId {
    /// What names this round.
    #[must_use]
    pub fn of(update: &Update) -> Self {
        let Update { round, base, height, changes, state_hash, .. } = update;
        Self { round: *round, content: Native.hash(&(round, base, height, changes, state_hash).encode()) }
    }
}

impl fmt::Debug for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {} ({})", self.round, self.content)
    }
}
