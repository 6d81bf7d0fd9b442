//! What the parties agree on when they open a channel, and the arbiter's limits on it (R5.1, R5.9, R5.13).

use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, PublicKey, Rejection, crypto::Crypto, signing::Domain,
};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// The most delegates one party may have: each is read with every dispute call.
pub const MAX_DELEGATES: usize = 8;

/// Where a payout goes (R5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Destination {
    /// To the account itself; where that transfer fails, to its vault.
    #[codec(index = 0)]
    Account,
    /// To the account's balance inside the arbiter.
    #[codec(index = 1)]
    Vault,
}

/// One party of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct PartyTerms {
    /// Pays its share from its vault and receives its payouts.
    pub account: AccountId,
    /// Signs its states.
    pub key: PublicKey,
    /// Where its payouts go.
    pub payout: Destination,
    /// Accounts that may defend it (at most [`MAX_DELEGATES`]).
    pub delegates: Vec<AccountId>,
}

/// What both parties sign at opening and what never changes afterwards, delegates apart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Terms {
    /// The two parties.
    pub parties: Pair<PartyTerms>,
    /// The least each party keeps in the channel (R4.4).
    pub reserve: Amount,
    /// How many blocks a solo close waits for an answer.
    pub lock_period: BlockNumber,
    /// What a party pays for closing on an old state, at most `reserve` (R5.9).
    pub penalty: Amount,
    /// How often each party may force progress on one co-signed base (R5.10).
    pub max_forced: u8,
}

/// Bounds the arbiter is instantiated with (R5.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Limits {
    /// The shortest lock period, in blocks; at least 1.
    pub lock_period_min: BlockNumber,
    /// The longest lock period, in blocks.
    pub lock_period_max: BlockNumber,
    /// How many blocks ahead a `valid_until` may lie; at least 1.
    pub validity_max: BlockNumber,
    /// The most forced steps a party may be allowed on one base; at least 1.
    pub max_forced_max: u8,
    /// The most that one call of an app may use (R7.1).
    pub call_weight: CallWeight,
}

/// What executing something may use, in the chain's two measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct CallWeight {
    /// Picoseconds of computation.
    pub ref_time: u64,
    /// Bytes of proof.
    pub proof_size: u64,
}

impl CallWeight {
    /// A fortieth of a block of two seconds, and a tenth of one of five megabytes.
    pub const STANDARD: Self = Self { ref_time: 50_000_000_000, proof_size: 500_000 };
}

impl Limits {
    /// Checks that the bounds are themselves sound: nothing zero, nothing crossed (R5.13).
    ///
    /// # Errors
    /// [`Rejection::LimitsUnsound`].
    pub const fn check(self) -> Result<Self, Rejection> {
        let sound = self.lock_period_min > 0
            && self.lock_period_min <= self.lock_period_max
            && self.validity_max > 0
            && self.max_forced_max > 0
            && self.call_weight.ref_time > 0
            && self.call_weight.proof_size > 0;
        if sound { Ok(self) } else { Err(Rejection::LimitsUnsound) }
    }

    /// Checks a `valid_until` against the clock: not past (R5.3), not further ahead than the arbiter allows (R5.13).
    ///
    /// # Errors
    /// [`Rejection::Expired`] when `now > valid_until`, [`Rejection::ExpiryTooFar`] when it lies too far ahead.
    pub const fn check_validity(&self, valid_until: BlockNumber, now: BlockNumber) -> Result<(), Rejection> {
        match valid_until.checked_sub(now) {
            None => Err(Rejection::Expired { valid_until, now }),
            Some(ahead) if ahead > self.validity_max => {
                Err(Rejection::ExpiryTooFar { valid_until, max: now.saturating_add(self.validity_max) })
            }
            Some(_) => Ok(()),
        }
    }
}

impl Terms {
    /// The party that `account` is, if it is one.
    #[must_use]
    pub fn party_of(&self, account: &AccountId) -> Option<Party> {
        Party::BOTH.into_iter().find(|&party| self.parties[party].account == *account)
    }

    /// Whether `account` may defend this channel: a party, or a delegate of either side (R5.9).
    #[must_use]
    pub fn may_defend(&self, account: &AccountId) -> bool {
        self.parties.iter().any(|(_, party)| party.account == *account || party.delegates.contains(account))
    }

    /// The keys that co-sign.
    #[must_use]
    pub fn keys(&self) -> Pair<PublicKey> {
        self.parties.as_ref().map(|party| party.key)
    }

    /// The accounts of the two parties.
    #[must_use]
    pub fn accounts(&self) -> Pair<AccountId> {
        self.parties.as_ref().map(|party| party.account)
    }

    /// The id of the `nonce`-th channel between these accounts in this arbiter (R5.2).
    pub fn channel_id(&self, domain: &Domain, nonce: u64, crypto: &impl Crypto) -> ChannelId {
        channel_id(domain, &self.accounts(), nonce, crypto)
    }

    /// Checks the terms against the arbiter's limits (R5.9, R5.13).
    ///
    /// # Errors
    /// One rejection for each term that is out of bounds.
    pub fn check(&self, limits: &Limits) -> Result<(), Rejection> {
        let Pair { initiator, responder } = &self.parties;
        if initiator.account == responder.account {
            return Err(Rejection::PartiesShareAccount);
        }
        if initiator.key == responder.key {
            return Err(Rejection::PartiesShareKey);
        }
        if self.lock_period < limits.lock_period_min || self.lock_period > limits.lock_period_max {
            return Err(Rejection::LockPeriodOutOfBounds {
                got: self.lock_period,
                min: limits.lock_period_min,
                max: limits.lock_period_max,
            });
        }
        if self.max_forced == 0 || self.max_forced > limits.max_forced_max {
            return Err(Rejection::MaxForcedOutOfBounds { got: self.max_forced, max: limits.max_forced_max });
        }
        if self.penalty > self.reserve {
            return Err(Rejection::PenaltyAboveReserve { penalty: self.penalty, reserve: self.reserve });
        }
        if self.parties.iter().any(|(_, party)| party.delegates.len() > MAX_DELEGATES) {
            return Err(Rejection::TooManyDelegates);
        }
        Ok(())
    }
}

/// The id of the `nonce`-th channel between `accounts` in this arbiter (R5.2).
pub fn channel_id(domain: &Domain, accounts: &Pair<AccountId>, nonce: u64, crypto: &impl Crypto) -> ChannelId {
    let Hash(bytes) = crypto.hash(&(domain.tag(), accounts, nonce).encode());
    ChannelId(bytes)
}
