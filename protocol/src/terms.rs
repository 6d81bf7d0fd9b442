//! What the parties agree on when they open a channel, and the arbiter's limits on it (R5.1, R5.9, R5.13).

use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, PartyId, PublicKey, Rejection, crypto::Crypto,
    domain::Domain,
};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// The most delegates one party may have: each is read with every dispute call.
pub const MAX_DELEGATES: usize = 8;
/// The most forced steps on one base that an arbiter may be made to allow a party (R5.13). Each leaves up to eight marks in the record (R5.4b),
/// which has to fit one entry of the chain's storage, 16 KiB, and 64 times into a contract's memory, for a batch.
pub const MAX_FORCED_PER_BASE: u8 = 32;

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

/// What a delegate may do for its party (R5.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Power {
    /// Answer with newer co-signed states: slash and snapshot. All that a watchtower needs.
    #[default]
    #[codec(index = 0)]
    Defend,
    /// Also call contracts inside the channel in the party's name, while the channel is closing. Such calls may give the party's coins away.
    #[codec(index = 1)]
    Call,
}

/// An account that may act for a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Delegate {
    /// Whose transactions.
    pub account: AccountId,
    /// What it may do.
    pub power: Power,
}

impl Delegate {
    /// A delegate that can only slash and snapshot.
    #[must_use]
    pub const fn defender(account: AccountId) -> Self {
        Self { account, power: Power::Defend }
    }

    /// A delegate that may also call contracts in its party's name.
    #[must_use]
    pub const fn caller(account: AccountId) -> Self {
        Self { account, power: Power::Call }
    }
}

/// An account of which nothing else is said can only slash and snapshot.
impl From<AccountId> for Delegate {
    fn from(account: AccountId) -> Self {
        Self::defender(account)
    }
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
    /// Accounts that may act for it (at most [`MAX_DELEGATES`]).
    pub delegates: Vec<Delegate>,
}

impl PartyTerms {
    /// The party's account and key: what its vault belongs to (R5.1).
    #[must_use]
    pub const fn id(&self) -> PartyId {
        PartyId { account: self.account, key: self.key }
    }

    /// What `account` may do for this party as its delegate, if it is one.
    #[must_use]
    pub fn power_of(&self, account: &AccountId) -> Option<Power> {
        let is_caller = |delegate: &&Delegate| delegate.account == *account;
        // Named twice, the greater power counts.
        let powers = self.delegates.iter().filter(is_caller).map(|delegate| delegate.power);
        powers.max_by_key(|power| *power == Power::Call)
    }
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
    /// The most forced steps a party may be allowed on one base; at least 1, at most [`MAX_FORCED_PER_BASE`].
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
    /// Checks that the bounds are themselves sound: nothing zero, nothing crossed, no record too large to be kept (R5.13).
    ///
    /// # Errors
    /// [`Rejection::LimitsUnsound`].
    pub const fn check(self) -> Result<Self, Rejection> {
        let sound = self.lock_period_min > 0
            && self.lock_period_min <= self.lock_period_max
            && self.validity_max > 0
            && self.max_forced_max > 0
            && self.max_forced_max <= MAX_FORCED_PER_BASE
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
        self.parties.iter().any(|(_, party)| party.account == *account || party.power_of(account).is_some())
    }

    /// The keys that co-sign.
    #[must_use]
    pub fn keys(&self) -> Pair<PublicKey> {
        self.parties.as_ref().map(|party| party.key)
    }

    /// Account and key of the two parties.
    #[must_use]
    pub fn ids(&self) -> Pair<PartyId> {
        self.parties.as_ref().map(PartyTerms::id)
    }

    /// The id of the channel with this nonce between these parties in this arbiter (R5.2).
    pub fn channel_id(&self, domain: &Domain, nonce: u64, crypto: &impl Crypto) -> ChannelId {
        channel_id(domain, &self.ids(), nonce, crypto)
    }

    /// The longest that a channel with these terms can stay closing, in blocks from `channel_close_solo` to `channel_settle`, for an honest
    /// party that looks often enough (R6.9d): `(1 + F + k)(L + s)`, and `L - 1` more where `k` is not zero.
    ///
    /// - `L` is the lock period.
    /// - `F` is how many forced steps one state can have: `max_forced` of the peer's, and `own_steps` that the honest party itself wants to
    ///   make on one state.
    /// - `k` is `rounds`: how many co-signed rounds can replace the state that was closed on. These are the honest party's open rounds (R6.1a),
    ///   and one for its newest agreed round where that one is not on chain: older ones cannot be shown after it, and before it all of them
    ///   together take no longer than its answer.
    /// - `s` is `settle_within`: how many blocks after `unlock_at` the channel is settled at the latest.
    ///
    /// Each lock ends with its settlement, `s` after it, or starts again. It starts `1 + k + F` times where rounds are shown first and steps
    /// forced on the last of them. Only the steps on a state that another round replaces come on top: from the first of them on no round that
    /// does not include it counts for longer than `L - 1` (R5.4b). The project's model checker holds this, and reaches it.
    #[must_use]
    pub fn longest_dispute(&self, own_steps: u8, rounds: u32, settle_within: BlockNumber) -> BlockNumber {
        let lock = self.lock_period.saturating_add(settle_within);
        let steps = BlockNumber::from(self.max_forced).saturating_add(own_steps.into());
        let locks = steps.saturating_add(rounds).saturating_add(1);
        let replaced = if rounds > 0 { self.lock_period.saturating_sub(1) } else { 0 };
        lock.saturating_mul(locks).saturating_add(replaced)
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

/// The furthest that an opening's nonce may lie above the pair's next one: how many openings of one pair may be under way at once (R5.2).
pub const MAX_NONCE_AHEAD: u64 = 1_024;

/// The id of the channel with this nonce between `parties` in this arbiter (R5.2). Accounts and keys take part, so that a stranger with keys
/// of its own comes to other ids.
pub fn channel_id(domain: &Domain, parties: &Pair<PartyId>, nonce: u64, crypto: &impl Crypto) -> ChannelId {
    let Hash(bytes) = crypto.hash(&(domain.tag(), parties, nonce).encode());
    ChannelId(bytes)
}
