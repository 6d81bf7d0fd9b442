//! One channel, straight in the arbiter's books, and the two who know what is inside it.

use crate::apps;
pub(crate) use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Mark, Pair, Party, Rejection, Round, StateCommitment,
    arbiter::{Applied, CallContext, Ledger, Plan, Start, plan},
    call::{Call, ForceProgress, ForcedCall, Payload, ProveContractState, ShownContract, SnapshotSolo},
    contracts::{
        CallFault, Code, Contract, ContractId, Contracts, Predictor,
        conditional::{BUILTIN, ConditionalInput, ConditionalTransfer, HashFunction, Preimage},
    },
    crypto::{Native, SigningKey},
    event::ArbiterEvent,
    record::{Closing, OnChain, Penalty, Phase, Record},
    signing::{Domain, StateBody, signed_bytes},
    terms::{CallWeight, Delegate, Destination, Limits, PartyTerms, Terms},
    tree::{MAX_DEPTH, MAX_NODES, ProofError, TreeChange, TreeNode},
};
pub(crate) use scale::Encode;

pub(crate) const DOMAIN: Domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
pub(crate) const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100,
    validity_max: 50,
    max_forced_max: 4,
    call_weight: CallWeight::STANDARD,
};
pub(crate) const CHANNEL: ChannelId = ChannelId([3; 32]);
pub(crate) const TOTAL: Amount = 1_000;
pub(crate) const RESERVE: Amount = 10;
pub(crate) const ROUND: Round = 7;
pub(crate) const NOW: BlockNumber = 100;
pub(crate) const INITIATOR: AccountId = AccountId([11; 32]);
pub(crate) const RESPONDER: AccountId = AccountId([22; 32]);
/// The initiator's delegate, which may also call.
pub(crate) const DELEGATE: AccountId = AccountId([33; 32]);
/// The initiator's delegate, which may slash and snapshot.
pub(crate) const WATCHER: AccountId = AccountId([34; 32]);
pub(crate) const STRANGER: AccountId = AccountId([44; 32]);

pub(crate) const COUNTER: ContractId = ContractId([0xC0; 32]);
pub(crate) const ESCROW: ContractId = ContractId([0x50; 32]);
pub(crate) const PUPPET: ContractId = ContractId([0x60; 32]);
pub(crate) const TRANSFER: ContractId = ContractId([0x1C; 32]);
pub(crate) const SECRET: Preimage = Preimage([77; 32]);
pub(crate) const EXPIRY: BlockNumber = 120;

/// A state, whole.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) balances: Pair<Amount>,
    pub(crate) contracts: Contracts,
    pub(crate) calls_root: Hash,
}

impl State {
    pub(crate) fn commitment(&self) -> StateCommitment {
        let Self { balances, calls_root, .. } = *self;
        StateCommitment { balances, contracts_root: self.contracts.root(), calls_root }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.commitment().hash(&Native)
    }
}

pub(crate) fn contract(code: Code, balance: Amount, state: impl Encode) -> Contract {
    Contract { code, balance, owner: Party::Initiator, state: state.encode() }
}

/// A counter one short of its goal, an escrow, a puppet, and a transfer to the responder; the parties own 300 each beside them.
pub(crate) fn state() -> State {
    let lock = SECRET.lock(HashFunction::Blake2b256, &Native);
    let transfer = ConditionalTransfer { payee: Party::Responder, lock, expiry: EXPIRY };
    let contracts = [
        (COUNTER, contract(Code::Contract(apps::COUNTER.code), 100, (2u64, 3u64))),
        (ESCROW, contract(Code::Contract(apps::ESCROW.code), 100, (Pair::<Amount>::new(60, 40), 110u32))),
        (PUPPET, contract(Code::Contract(apps::PUPPET.code), 100, ())),
        (TRANSFER, contract(Code::Builtin(BUILTIN), 100, transfer)),
    ];
    State { balances: Pair::new(300, 300), contracts: contracts.into_iter().collect(), calls_root: Hash::ZERO }
}

/// Two transfers of 100 whose ids agree in the first two bits, so that there is nothing beside them: one to each party.
pub(crate) const TO_INITIATOR: ContractId = ContractId([0x10; 32]);
pub(crate) const TO_RESPONDER: ContractId = ContractId([0x20; 32]);
pub(crate) const OTHER_SECRET: Preimage = Preimage([78; 32]);

/// A state of these two.
pub(crate) fn two_transfers() -> State {
    let transfer = |payee, secret: Preimage| {
        let lock = secret.lock(HashFunction::Blake2b256, &Native);
        contract(Code::Builtin(BUILTIN), 100, ConditionalTransfer { payee, lock, expiry: EXPIRY })
    };
    let contracts =
        [(TO_INITIATOR, transfer(Party::Initiator, SECRET)), (TO_RESPONDER, transfer(Party::Responder, OTHER_SECRET))];
    State { balances: Pair::new(400, 400), contracts: contracts.into_iter().collect(), calls_root: Hash::ZERO }
}

/// The arbiter with one channel in it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) now: BlockNumber,
}

impl World {
    pub(crate) fn on(state: &State) -> Self {
        let keys = keys();
        let party = |account, key: &SigningKey, delegates| PartyTerms {
            account,
            key: key.public(),
            payout: Destination::Account,
            delegates,
        };
        let delegates = vec![Delegate::caller(DELEGATE), Delegate::defender(WATCHER)];
        let parties =
            Pair::new(party(INITIATOR, &keys.initiator, delegates), party(RESPONDER, &keys.responder, Vec::new()));
        let record = Record {
            terms: Terms { parties, reserve: RESERVE, lock_period: 20, penalty: 5, max_forced: 2 },
            total: TOTAL,
            on_chain: OnChain::agreed(ROUND, state.hash()),
            forced_steps: Pair::default(),
            phase: Phase::Open,
        };
        let channels = [(CHANNEL, record)].into_iter().collect();
        let ledger = Ledger { channels, deployed: apps::deployed(), apps: apps::native(), ..Ledger::default() };
        Self { ledger, now: NOW }
    }

    pub(crate) fn record(&mut self) -> &mut Record {
        self.ledger.channels.get_mut(&CHANNEL).unwrap()
    }

    pub(crate) fn closing(mut self, balances: Pair<Amount>) -> Self {
        let penalty = at_risk(self.record().on_chain.at.agreed);
        self.record().phase = Phase::Closing(Closing { balances, unlock_at: 105, penalty });
        self
    }

    /// Settled, a block ago: only what the contracts hold is left.
    pub(crate) fn residual(mut self, total: Amount) -> Self {
        let counted_from = Pair::new(self.now - 1, self.now - 1);
        self.record().phase = Phase::Residual { counted_from };
        self.record().total = total;
        self
    }

    pub(crate) fn apply(&mut self, caller: AccountId, call: Call) -> Result<Applied, Rejection> {
        let before = self.ledger.clone();
        let ctx = CallContext { domain: DOMAIN, limits: LIMITS, now: self.now, caller };
        let applied = self.ledger.apply(&ctx, call, 0, &|_, _| true);
        if applied.is_err() {
            assert_eq!(self.ledger, before, "a refusal changes nothing");
        }
        applied
    }

    pub(crate) fn force(&mut self, caller: AccountId, call: ForceProgress) -> Result<Applied, Rejection> {
        self.apply(caller, Call::ChannelForceProgress(call))
    }

    /// The step as its caller makes it.
    pub(crate) fn plan(
        &self,
        state: &State,
        payload: Option<Payload>,
        party: Party,
        calls: Vec<ForcedCall>,
    ) -> Result<Plan, Rejection> {
        let record = &self.ledger.channels[&CHANNEL];
        let State { balances, ref contracts, calls_root } = *state;
        let start = Start { channel: CHANNEL, record, payload, balances, contracts, calls_root };
        let shown_at = |lock: &_| self.ledger.preimages.get(lock).copied();
        let mut executor = Predictor::new(&self.ledger.apps, &shown_at);
        plan(&start, party, calls, self.now, &account_of, &mut executor)
    }

    /// As [`World::plan`] on the state on chain, where nothing is wrong.
    pub(crate) fn step(&self, state: &State, party: Party, calls: Vec<ForcedCall>) -> (ForceProgress, State) {
        let Plan { call, contracts, balances, calls_root, state_hash, .. } =
            self.plan(state, None, party, calls).unwrap();
        let after = State { balances, contracts, calls_root };
        assert_eq!(after.hash(), state_hash);
        (call, after)
    }
}

pub(crate) fn account_of(code: &Hash) -> Option<AccountId> {
    [apps::COUNTER, apps::ESCROW, apps::PUPPET].into_iter().find(|app| app.code == *code).map(|app| app.account)
}

pub(crate) fn keys() -> Pair<SigningKey> {
    Pair::new(SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]))
}

/// The responder closed, on this round.
pub(crate) const fn at_risk(closed_on: Round) -> Penalty {
    Penalty::AtRisk { closer: Party::Responder, closed_on }
}

/// A co-signed round that goes on from the one on chain at first.
pub(crate) fn payload(round: Round, state: &State) -> Payload {
    payload_on(Base::of(ROUND), round, state)
}

pub(crate) fn payload_on(base: Base, round: Round, state: &State) -> Payload {
    payload_of(&StateBody { round, base, state_hash: state.hash(), valid_until: None })
}

pub(crate) fn payload_of(body: &StateBody) -> Payload {
    let StateBody { round, base, state_hash, valid_until } = *body;
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    Payload { round, base, state_hash, valid_until, signatures }
}

pub(crate) fn call(contract: ContractId, value: Amount, input: impl Encode) -> ForcedCall {
    ForcedCall { contract, value, input: input.encode() }
}

pub(crate) fn count() -> ForcedCall {
    call(COUNTER, 0, 1u64)
}

pub(crate) fn redeem(amount: Amount) -> ForcedCall {
    call(ESCROW, 0, apps::Tokens::Redeem(amount))
}

/// The leaves of what a step shows, unchanged.
pub(crate) fn unchanged(contracts: &[ShownContract]) -> Vec<TreeChange> {
    let change = |shown: &ShownContract| {
        let leaf = Some(shown.contract.leaf(&Native));
        TreeChange { key: shown.id.key(), before: leaf, after: leaf }
    };
    contracts.iter().map(change).collect()
}
