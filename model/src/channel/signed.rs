//! Rounds that a party has signed.

use super::Content;
use crate::chain::{both_sign, payload};
use protocol::{
    Base, BlockNumber, ChannelId, Hash, Pair, Round, StateCommitment,
    arbiter::{Candidate, Standing, standing},
    call::{Payload, SetDelegates},
    crypto::Native,
    record::Record,
    signing::{SetDelegatesBody, StateBody},
};

/// A round, as it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signed {
    /// Its number.
    pub round: Round,
    /// What it goes on from.
    pub base: Base,
    /// What it says.
    pub content: Content,
    /// The last block of an operation on chain; none for a state.
    pub operation: Option<BlockNumber>,
}

impl Signed {
    /// A state.
    #[must_use]
    pub const fn state(round: Round, base: Base, content: Content) -> Self {
        Self { round, base, content, operation: None }
    }

    fn candidate(&self) -> Candidate {
        // Which state it is matters only where the round is on chain already, and then it is not newer.
        Candidate { round: self.round, base: self.base, state_hash: Hash::ZERO, valid_until: None }
    }

    /// Whether the arbiter would take it in block `now` as newer than what it has.
    pub(crate) fn is_newer(&self, record: &Record, now: BlockNumber) -> bool {
        standing(&record.on_chain, &record.terms, &self.candidate(), now) == Ok(Standing::Newer)
    }

    /// The state as evidence, signed by both.
    pub(crate) fn payload(&self, commitment: &StateCommitment) -> Payload {
        let state_hash = commitment.hash(&Native);
        payload(StateBody { round: self.round, base: self.base, state_hash, valid_until: None })
    }

    /// The operation, signed by both: a change of delegates, the smallest one.
    pub(crate) fn operation(&self, channel: ChannelId, commitment: &StateCommitment) -> Option<SetDelegates> {
        let body = SetDelegatesBody {
            delegates: Pair::default(),
            round: self.round,
            base: self.base,
            state_hash: commitment.hash(&Native),
            valid_until: self.operation?,
        };
        let signatures = both_sign(&body);
        Some(SetDelegates { channel, body, signatures })
    }
}
