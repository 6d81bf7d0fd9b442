//! What a side knows outside of the channel when it judges transfers: the newest heads, the registry of pre-images, and whether an own transfer may
//! still be claimed.

use crate::state::{IdempotencyKey, Offer, TransferTerms};

use protocol::{
    BlockNumber,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
};
use std::fmt;

/// What the registry of the channel's arbiter has of a lock, as far as this side has looked (A4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Nobody has looked.
    Unknown,
    /// It was read in the state of this finalised block, with a proof or at two endpoints, and was not there.
    Silent {
        /// The block.
        at: BlockNumber,
    },
    /// It was shown.
    Shown {
        /// The first block in which it was.
        at: BlockNumber,
    },
}

impl Registered {
    /// Whether it was shown before this block.
    #[must_use]
    pub const fn is_shown_before(self, expiry: BlockNumber) -> bool {
        matches!(self, Self::Shown { at } if at < expiry)
    }

    /// Whether it is known that it was not shown before this block, and never will have been: it was read at or after that block.
    #[must_use]
    pub const fn is_silent_at(self, expiry: BlockNumber) -> bool {
        match self {
            Self::Unknown => false,
            Self::Silent { at } | Self::Shown { at } => at >= expiry,
        }
    }
}

/// What a side answers to something of the peer's that depends on more than the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Agree,
    /// It cannot tell yet: it looks again with the next block.
    NotYet,
    /// No.
    Refuse,
}

/// Whether a side stakes coins of its own beside an offer of the peer's (R6.5d).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stake {
    /// No.
    No,
    /// Its router has something to do first: it is told [`TransferEvent::PledgeWanted`](super::TransferEvent::PledgeWanted), and says by
    /// [`TransferCommand::AnswerPledge`](super::TransferCommand::AnswerPledge) when it can tell.
    NotYet,
    /// Yes: it pledges up to this block at most.
    Until(BlockNumber),
}

/// How many blocks things take on a chain (D18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margins {
    /// To get one transaction into a final block in the worst case: `Rg`.
    pub register: BlockNumber,
    /// What a peer has for an answer.
    pub answer: BlockNumber,
}

impl Margins {
    /// `M`: to wait for a peer's answer, and to register without it.
    #[must_use]
    pub const fn forward(self) -> BlockNumber {
        self.register.saturating_add(self.answer)
    }
}

impl Default for Margins {
    fn default() -> Self {
        Self { register: 12, answer: 6 }
    }
}

/// What a side knows outside of the channel. Asked while an input is handled: answers at once, from memory.
pub trait TransferBook: fmt::Debug + Send + Sync {
    /// The newest block that any endpoint shows, carried on by the clock at the least block time (A2). Never below the finalised head.
    fn best(&self) -> BlockNumber;

    /// What takes how long on this chain.
    fn margins(&self) -> Margins;

    /// What the arbiter's registry has of this lock.
    fn registered(&self, lock: &HashLock) -> Registered;

    /// A pre-image of this lock, from wherever it is known: it proves itself (A4).
    fn preimage(&self, lock: &HashLock) -> Option<Preimage>;

    /// Whether the peer may claim the own transfer of this key now: a forwarder agrees where it is safe upstream (A2), an origin where it has not given the
    /// transfer up.
    fn may_be_claimed(&self, key: &IdempotencyKey, terms: &TransferTerms, preimage: &Preimage) -> Verdict;

    /// Whether this side loses coins where it is not paid for this transfer of the peer's, which it claims: what went on because of it is paid, or nothing went
    /// on. Only then is its pre-image worth a registration (B1).
    fn is_owed(&self, _contract: &ContractId) -> bool {
        true
    }

    /// Whether this side takes an offer with these calls of apps (R8.3g): it has agreed to a swap that says so. One without calls is nobody's question.
    fn takes_calls(&self, _offer: &Offer) -> bool {
        false
    }

    /// Whether this side stakes the premium of an offer beside it (R6.5d): it has agreed to a swap that says so, or carries the offer on to somebody who has pledged
    /// as much (R8.5h). `contract` is what the offer would make.
    fn stakes(&self, contract: &ContractId, offer: &Offer) -> Stake;
}

/// For a side without transfers: it takes none, and makes none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTransfers;

impl TransferBook for NoTransfers {
    fn best(&self) -> BlockNumber {
        0
    }

    fn margins(&self) -> Margins {
        Margins::default()
    }

    fn registered(&self, _lock: &HashLock) -> Registered {
        Registered::Unknown
    }

    fn preimage(&self, _lock: &HashLock) -> Option<Preimage> {
        None
    }

    fn may_be_claimed(&self, _key: &IdempotencyKey, _terms: &TransferTerms, _preimage: &Preimage) -> Verdict {
        Verdict::Agree
    }

    fn stakes(&self, _contract: &ContractId, _offer: &Offer) -> Stake {
        Stake::No
    }
}
