//! The arbiter's books, some people with accounts and keys, and the calls that they make.

pub(crate) use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, PartyId, Rejection, Round, Signature,
    StateCommitment,
    arbiter::{Applied, CallContext, Ledger},
    call::{BatchedCall, Call, CloseMutual, CloseSolo, Create, Deposit, Payload, Slash, SnapshotSolo, Withdraw},
    crypto::{Native, SigningKey},
    event::{ArbiterEvent, Payout},
    signing::{CloseMutualBody, CreateBody, DepositBody, Domain, Signed, StateBody, WithdrawBody, signed_bytes},
    terms::{CallWeight, Destination, Limits, PartyTerms, Terms},
};

pub(crate) const DOMAIN: Domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
pub(crate) const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100,
    validity_max: 50,
    max_forced_max: 4,
    call_weight: CallWeight::STANDARD,
};
pub(crate) const NOW: BlockNumber = 100;
pub(crate) const RESERVE: Amount = 10;

/// Somebody with an account and a key.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) key: SigningKey,
}

pub(crate) fn person(number: u8) -> Person {
    Person { account: AccountId([number; 32]), key: SigningKey::from_seed(&[number; 32]) }
}

impl Person {
    pub(crate) fn id(&self) -> PartyId {
        PartyId { account: self.account, key: self.key.public() }
    }

    /// The same account under another's key: who that other signs for without being asked.
    pub(crate) fn under(&self, other: &Self) -> Self {
        Self { account: self.account, key: other.key.clone() }
    }
}

pub(crate) fn alice() -> Person {
    person(0xA1)
}

pub(crate) fn bob() -> Person {
    person(0xB2)
}

pub(crate) fn thief() -> Person {
    person(0xC3)
}

/// A second key of the thief's: the two keys of a channel differ.
pub(crate) fn accomplice() -> Person {
    person(0xC4)
}

/// A channel between two, as they agree on it.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) parties: Pair<Person>,
    pub(crate) payouts: Pair<Destination>,
    pub(crate) reserve: Amount,
    pub(crate) balances: Pair<Amount>,
    pub(crate) shares: Pair<Amount>,
    pub(crate) nonce: u64,
}

/// Alice opens with Bob; each puts in 100.
pub(crate) fn opening() -> Opening {
    Opening {
        parties: Pair::new(alice(), bob()),
        payouts: Pair::new(Destination::Account, Destination::Account),
        reserve: RESERVE,
        balances: Pair::new(100, 100),
        shares: Pair::new(100, 100),
        nonce: 0,
    }
}

impl Opening {
    pub(crate) fn terms(&self) -> Terms {
        let party = |person: &Person, payout| PartyTerms {
            account: person.account,
            key: person.key.public(),
            payout,
            delegates: Vec::new(),
        };
        let Pair { initiator, responder } = &self.parties;
        Terms {
            parties: Pair::new(party(initiator, self.payouts.initiator), party(responder, self.payouts.responder)),
            reserve: self.reserve,
            lock_period: 10,
            penalty: 0,
            max_forced: 1,
        }
    }

    pub(crate) fn channel(&self) -> ChannelId {
        self.terms().channel_id(&DOMAIN, self.nonce, &Native)
    }

    pub(crate) fn sign<T: Signed>(&self, body: &T) -> Pair<Signature> {
        let bytes = signed_bytes(&DOMAIN, &self.channel(), body);
        self.parties.as_ref().map(|person| person.key.sign(&bytes))
    }

    pub(crate) fn create(&self) -> Create {
        let Self { balances, shares, nonce, .. } = *self;
        let body = CreateBody { terms: self.terms(), balances, shares, valid_until: NOW + 20 };
        Create { signatures: self.sign(&body), body, nonce }
    }

    pub(crate) fn deposit(&self, party: Party, amount: Amount, round: Round, after: Pair<Amount>) -> Deposit {
        let state_hash = StateCommitment::of_balances(after).hash(&Native);
        let body = DepositBody { party, amount, round, base: Base::of(1), state_hash, valid_until: NOW + 20 };
        Deposit { channel: self.channel(), signatures: self.sign(&body), body }
    }

    pub(crate) fn withdraw(&self, party: Party, amount: Amount, to: AccountId, round: Round) -> Withdraw {
        let mut after = self.balances;
        after[party] -= amount;
        let state_hash = StateCommitment::of_balances(after).hash(&Native);
        let body = WithdrawBody { party, amount, to, round, base: Base::of(1), state_hash, valid_until: NOW + 20 };
        Withdraw { channel: self.channel(), signatures: self.sign(&body), body }
    }

    pub(crate) fn close_mutual(&self, balances: Pair<Amount>, fee: Amount) -> CloseMutual {
        let body = CloseMutualBody { balances, fee, valid_until: NOW + 20 };
        CloseMutual { channel: self.channel(), signatures: self.sign(&body), body }
    }

    pub(crate) fn payload(&self, round: Round, state: &StateCommitment) -> Payload {
        let (base, state_hash, valid_until) = (Base::of(1), state.hash(&Native), None);
        let body = StateBody { round, base, state_hash, valid_until };
        Payload { round, base, state_hash, valid_until, signatures: self.sign(&body) }
    }
}

/// The books, and which accounts the chain moves nothing to.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) now: BlockNumber,
    pub(crate) refuses: Vec<AccountId>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { ledger: Ledger::default(), now: NOW, refuses: Vec::new() }
    }

    /// Alice and Bob have 1,000 each in their vaults.
    pub(crate) fn with_vaults() -> Self {
        let mut world = Self::new();
        for owner in [alice(), bob()] {
            world.vault_deposit(&owner, 1_000);
        }
        world
    }

    /// As [`World::with_vaults`], with a channel open.
    pub(crate) fn with_channel(opening: &Opening) -> Self {
        let mut world = Self::with_vaults();
        let _opened = world.call(opening.parties.initiator.account, Call::ChannelCreate(opening.create())).unwrap();
        world
    }

    pub(crate) fn vault_deposit(&mut self, owner: &Person, amount: Amount) {
        let key = owner.key.public();
        let _paid_in = self.call_with(owner.account, Call::VaultDeposit { key }, amount).unwrap();
    }

    pub(crate) fn vault(&self, owner: &Person) -> Option<Amount> {
        self.ledger.vaults.get(&owner.id()).copied()
    }

    pub(crate) fn call(&mut self, caller: AccountId, call: Call) -> Result<Applied, Rejection> {
        self.call_with(caller, call, 0)
    }

    pub(crate) fn call_with(&mut self, caller: AccountId, call: Call, attached: Amount) -> Result<Applied, Rejection> {
        let before = self.ledger.clone();
        let ctx = CallContext { domain: DOMAIN, limits: LIMITS, now: self.now, caller };
        let accepts = |to: &AccountId, _amount: Amount| !self.refuses.contains(to);
        let applied = self.ledger.apply(&ctx, call, attached, &accepts);
        match &applied {
            Ok(applied) => {
                let paid: Amount = applied.paid_out.iter().map(|(_, amount)| amount).sum();
                assert_eq!(self.ledger.held() + paid, before.held() + attached, "no coin is made or lost");
            }
            Err(_) => assert_eq!(self.ledger, before, "a refusal changes nothing"),
        }
        applied
    }
}
