//! Who takes part, and what they agree on unless a test says otherwise.

use devchain::DevAccount;
use protocol::{
    AccountId, Amount, BlockNumber, Pair, Party, PartyId, PublicKey,
    call::Call,
    crypto::SigningKey,
    signing::CreateBody,
    terms::{CallWeight, Delegate, Destination, Limits, PartyTerms, Terms},
};

/// One unit of the chain's coin.
pub(crate) const UNIT: Amount = 1_000_000_000_000;
/// The least an account may hold: the chain refuses to make a new one with less.
pub(crate) const EXISTENTIAL_DEPOSIT: Amount = UNIT / 1_000;

/// The bounds that the tests' arbiter is instantiated with: small, so that each boundary is near.
pub(crate) const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100,
    validity_max: 50,
    max_forced_max: 4,
    call_weight: CallWeight::STANDARD,
};

/// What each party has in its vault in [`World::funded`](super::World::funded).
pub(crate) const VAULT: Amount = 500 * UNIT;
/// What each party puts in.
pub(crate) const SHARES: Pair<Amount> = Pair::new(100 * UNIT, 60 * UNIT);
/// The first balances: opening pushes 10 units to the responder.
pub(crate) const BALANCES: Pair<Amount> = Pair::new(90 * UNIT, 70 * UNIT);
/// The sum of either.
pub(crate) const TOTAL: Amount = 160 * UNIT;
pub(crate) const RESERVE: Amount = 10 * UNIT;
pub(crate) const PENALTY: Amount = 5 * UNIT;
pub(crate) const LOCK_PERIOD: BlockNumber = 20;

/// An account of the chain with a part to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    Initiator,
    Responder,
    /// May defend the channel for the initiator, and call in its name.
    InitiatorsDelegate,
    /// May defend the channel for the responder, and call in its name.
    RespondersDelegate,
    /// Has nothing to do with the channel.
    Stranger,
    /// Uploaded the arbiter, and is not heard of again.
    Deployer,
}

impl Actor {
    pub(crate) const ALL: [Self; 6] = [
        Self::Initiator,
        Self::Responder,
        Self::InitiatorsDelegate,
        Self::RespondersDelegate,
        Self::Stranger,
        Self::Deployer,
    ];
    /// Whoever may answer a close of [`terms`] (R5.9).
    pub(crate) const DEFENDERS: [Self; 4] =
        [Self::Initiator, Self::Responder, Self::InitiatorsDelegate, Self::RespondersDelegate];

    pub(crate) fn dev(self) -> DevAccount {
        match self {
            Self::Initiator => DevAccount::Alice,
            Self::Responder => DevAccount::Bob,
            Self::InitiatorsDelegate => DevAccount::Charlie,
            Self::RespondersDelegate => DevAccount::Dave,
            Self::Stranger => DevAccount::Eve,
            Self::Deployer => DevAccount::Ferdie,
        }
    }

    pub(crate) fn id(self) -> AccountId {
        self.dev().id()
    }

    /// The key under which its coins lie in the arbiter: for a party the one that it signs states with.
    pub(crate) fn key(self) -> PublicKey {
        match self {
            Self::Initiator => keys().initiator.public(),
            Self::Responder => keys().responder.public(),
            other => SigningKey::from_seed(&other.id().0).public(),
        }
    }

    /// What its vault belongs to (R5.1).
    pub(crate) fn vault(self) -> PartyId {
        PartyId { account: self.id(), key: self.key() }
    }

    pub(crate) fn vault_deposit(self) -> Call {
        Call::VaultDeposit { key: self.key() }
    }

    pub(crate) fn vault_withdraw(self, amount: Amount) -> Call {
        Call::VaultWithdraw { key: self.key(), amount }
    }
}

impl From<Party> for Actor {
    fn from(party: Party) -> Self {
        match party {
            Party::Initiator => Self::Initiator,
            Party::Responder => Self::Responder,
        }
    }
}

/// The two parties, as vaults and nonces belong to them.
pub(crate) fn parties() -> Pair<PartyId> {
    Pair::new(Actor::Initiator.vault(), Actor::Responder.vault())
}

/// The keys that the two parties sign states with: not those of their accounts.
pub(crate) fn keys() -> Pair<SigningKey> {
    Pair::new(SigningKey::from_seed(&[0xA1; 32]), SigningKey::from_seed(&[0xB2; 32]))
}

/// A key that no party has.
pub(crate) fn strangers_key() -> SigningKey {
    SigningKey::from_seed(&[0xEE; 32])
}

/// Healthy terms.
pub(crate) fn terms() -> Terms {
    let party = |account: Actor, key: &SigningKey, delegate: Actor| PartyTerms {
        account: account.id(),
        key: key.public(),
        payout: Destination::Account,
        delegates: vec![Delegate::caller(delegate.id())],
    };
    let keys = keys();
    Terms {
        parties: Pair::new(
            party(Actor::Initiator, &keys.initiator, Actor::InitiatorsDelegate),
            party(Actor::Responder, &keys.responder, Actor::RespondersDelegate),
        ),
        reserve: RESERVE,
        lock_period: LOCK_PERIOD,
        penalty: PENALTY,
        max_forced: 3,
    }
}

/// A healthy opening that counts until `valid_until`.
pub(crate) fn create_body(valid_until: BlockNumber) -> CreateBody {
    CreateBody { terms: terms(), balances: BALANCES, shares: SHARES, valid_until }
}
