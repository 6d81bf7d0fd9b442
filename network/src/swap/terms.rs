//! What is swapped, and why a swap comes to nothing.

use channel::transfer::LockedCalls;
use protocol::{
    Amount, BlockNumber, Hash,
    contracts::conditional::HashLock,
    crypto::{Crypto, Native},
    signing::Domain,
};
use scale::{Decode, Encode};

/// The name of a swap, drawn at random by its initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct SwapId(pub [u8; 32]);

/// What one of the two pays the other on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SwapLeg {
    /// The chain and the arbiter whose native coins are paid.
    pub chain: Domain,
    /// How much arrives, in the chain's smallest unit.
    pub amount: Amount,
    /// The expiry of the transfer as it arrives.
    pub expiry: BlockNumber,
}

/// What both agree to before anything is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SwapTerms {
    /// What locks both legs. The initiator knows what opens it.
    pub lock: HashLock,
    /// The initiator pays the responder. The messages of a swap travel between the two nodes of this chain.
    pub source: SwapLeg,
    /// The responder pays the initiator.
    pub target: SwapLeg,
    /// Coins of the initiator's on the target chain that the responder gets where the target leg is locked and not claimed (A7).
    pub premium: Amount,
    /// The last block of the target chain in which the target leg may be locked.
    pub lock_by: BlockNumber,
}

/// The calls of apps that go with the legs of a swap, under its lock (R8.3g). What is called is in the one channel that the two have with each other on a leg's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SwapCalls {
    /// With the source leg: the initiator locks, the responder claims.
    pub source: LockedCalls,
    /// With the target leg: the responder locks, the initiator claims.
    pub target: LockedCalls,
}

impl SwapCalls {
    /// None.
    pub const NONE: Self = Self { source: LockedCalls::NONE, target: LockedCalls::NONE };

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.source.is_none() && self.target.is_none()
    }

    /// Whether these can be the calls of a swap with such terms at all.
    ///
    /// # Errors
    /// [`SwapCode::Calls`] where they are more than go with one transfer, or have too many words; [`SwapCode::Premium`] where a premium is to be staked beside them.
    pub fn check(&self, terms: &SwapTerms) -> Result<(), SwapCode> {
        let fits = |calls: &LockedCalls| calls.are_few() && calls.can_return();
        if !fits(&self.source) || !fits(&self.target) {
            return Err(SwapCode::Calls);
        }
        if terms.premium > 0 && !self.target.is_none() {
            return Err(SwapCode::Premium);
        }
        Ok(())
    }
}

impl SwapTerms {
    /// Whether these can be the terms of a swap at all.
    ///
    /// # Errors
    /// [`SwapCode::Chain`] where both legs are in one registry, [`SwapCode::Amount`] where a leg is of nothing.
    pub fn check(&self) -> Result<(), SwapCode> {
        if self.source.chain == self.target.chain {
            return Err(SwapCode::Chain);
        }
        if self.source.amount == 0 || self.target.amount == 0 {
            return Err(SwapCode::Amount);
        }
        if self.lock_by >= self.target.expiry {
            return Err(SwapCode::Ladder { have: self.target.expiry, need: self.lock_by.saturating_add(1) });
        }
        Ok(())
    }

    /// What a leg says that was locked because of these words of its peer's.
    #[must_use]
    pub fn acknowledged<T: Encode>(words: &T) -> Hash {
        Native.hash(&(b"isc-swap-words", words).encode())
    }
}

/// Why a swap is declined, or comes to nothing. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
pub enum SwapCode {
    /// The responder gives another rate, or none for these chains.
    #[error("the rate is outside of what is quoted")]
    #[codec(index = 0)]
    Rate,
    /// An amount is zero, below what is swapped at least, or above what is swapped at most.
    #[error("the amount does not fit")]
    #[codec(index = 1)]
    Amount,
    /// One of the chains is not served, or both legs are in one registry.
    #[error("the chains do not fit")]
    #[codec(index = 2)]
    Chain,
    /// The expiries leave one side too little time.
    #[error("the ladder of expiries is too short: it ends at block {have}, and block {need} is needed")]
    #[codec(index = 3)]
    Ladder {
        /// Where it ends.
        have: BlockNumber,
        /// Where it would have to.
        need: BlockNumber,
    },
    /// Another swap or payment has the lock, or its pre-image is known.
    #[error("the lock is in use")]
    #[codec(index = 4)]
    LockUsed,
    /// The proposal's number was used before, or one was skipped.
    #[error("the swap's number is not the next one: that is {expected}")]
    #[codec(index = 5)]
    Sequence {
        /// The next one.
        expected: u64,
    },
    /// As many swaps are open as may be, or as many coins as are there for swaps.
    #[error("no more can be swapped now")]
    #[codec(index = 6)]
    Inventory,
    /// The premium is not what is asked for.
    #[error("the premium does not fit")]
    #[codec(index = 7)]
    Premium,
    /// Somebody decided against it.
    #[error("it was declined")]
    #[codec(index = 8)]
    Declined,
    /// It took too long: the target leg may not be locked any more.
    #[error("it took too long")]
    #[codec(index = 9)]
    Late,
    /// No channel carries the leg.
    #[error("no channel carries the leg")]
    #[codec(index = 10)]
    NoWay,
    /// The initiator cancelled it.
    #[error("it was cancelled")]
    #[codec(index = 11)]
    Cancelled,
    /// A leg was given back.
    #[error("a leg was given back")]
    #[codec(index = 12)]
    LegFailed,
    /// A chain does not finalise in time, or its least block time is not known.
    #[error("a chain stands still, or has no fixed block time")]
    #[codec(index = 13)]
    ChainStalled,
    /// The peer said other words under a number that it had used.
    #[error("the peer changed its words")]
    #[codec(index = 14)]
    WordsChanged,
    /// A leg was locked whose terms are not those agreed to.
    #[error("a leg has other terms")]
    #[codec(index = 15)]
    OtherTerms,
    /// Calls of apps go with it that nobody has agreed to, or that cannot go with a leg: it needs the one channel that the two have with each other.
    #[error("the calls of apps that go with a leg do not fit")]
    #[codec(index = 16)]
    Calls,
}
