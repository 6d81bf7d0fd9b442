//! States with contracts in them, and forced steps that go on from such states (R5.10).

use super::{Actor, Apps, Channel, State, World, apps::value, signing::OPENING};
use protocol::{
    AccountId, Amount, Base, BlockNumber, Hash, Pair, Party, Rejection, Round, StateCommitment,
    arbiter::{Plan, Start, plan},
    call::{Call, ForceProgress, ForcedCall, ProveContractState, ShownContract},
    contracts::{
        Code, Contract, ContractId, Contracts, Predictor,
        conditional::{BUILTIN, ConditionalTransfer, HashFunction, HashLock, Preimage},
    },
    crypto::Native,
    record::Record,
    tree::TreeChange,
};
use scale::{Decode, Encode};
use sdk::chain::arbiter::FinalisedCall;
use std::collections::BTreeSet;

pub(crate) const COUNTER: ContractId = ContractId([0xC0; 32]);
pub(crate) const ESCROW: ContractId = ContractId([0x5E; 32]);
pub(crate) const HOSTILE: ContractId = ContractId([0x66; 32]);
/// A conditional transfer.
pub(crate) const TRANSFER: ContractId = ContractId([0x1C; 32]);

/// A state of a channel, whole.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    pub(crate) round: Round,
    /// What it goes on from.
    pub(crate) base: Base,
    /// What the parties own outside contracts.
    pub(crate) balances: Pair<Amount>,
    pub(crate) contracts: Contracts,
    pub(crate) calls_root: Hash,
}

impl Inside {
    pub(crate) fn new(
        round: Round,
        balances: Pair<Amount>,
        contracts: impl IntoIterator<Item = (ContractId, Contract)>,
    ) -> Self {
        Self { round, base: OPENING, balances, contracts: contracts.into_iter().collect(), calls_root: Hash::ZERO }
    }

    /// The same in another round.
    pub(crate) fn at(&self, round: Round) -> Self {
        Self { round, ..self.clone() }
    }

    /// The same, gone on from another state.
    pub(crate) fn from(&self, agreed: Round, steps: u32) -> Self {
        Self { base: Base { agreed, steps }, ..self.clone() }
    }

    pub(crate) fn commitment(&self) -> StateCommitment {
        let (balances, contracts_root) = (self.balances, self.contracts.root());
        StateCommitment { balances, contracts_root, calls_root: self.calls_root }
    }

    pub(crate) fn state(&self) -> State {
        State { base: self.base, ..State::of(self.round, self.commitment()) }
    }

    pub(crate) fn contract(&self, id: ContractId) -> Contract {
        self.contracts.get(&id).expect("it stands there").clone()
    }

    /// A contract's own state.
    pub(crate) fn state_of<T: Decode>(&self, id: ContractId) -> T {
        value(&self.contract(id).state)
    }

    /// All coins in it.
    pub(crate) fn coins(&self) -> Amount {
        self.balances.sum().unwrap() + self.contracts.held()
    }

    /// That a contract stands in it as it does (R5.16).
    pub(crate) fn claim(&self, channel: &Channel, id: ContractId) -> ProveContractState {
        let contract = self.contract(id);
        let leaf = Some(contract.leaf(&Native));
        let proof = self.contracts.prove(&[TreeChange { key: id.key(), before: leaf, after: leaf }]);
        ProveContractState { channel: channel.id, commitment: self.commitment(), id, contract, proof }
    }
}

/// Where the arbiter has the state from that a step goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The step shows it, co-signed.
    AsPayload,
    OnChain,
}

/// A forced step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) channel: Channel,
    pub(crate) base: Inside,
    pub(crate) shown: Shown,
    /// Who makes the calls.
    pub(crate) party: Party,
    pub(crate) calls: Vec<ForcedCall>,
}

impl Channel {
    /// Calls that `party` makes on a co-signed state.
    pub(crate) fn step(&self, base: &Inside, party: Party, calls: Vec<ForcedCall>) -> Step {
        Step { channel: *self, base: base.clone(), shown: Shown::AsPayload, party, calls }
    }

    /// Calls that `party` makes on the state on chain.
    pub(crate) fn step_on_chain(&self, base: &Inside, party: Party, calls: Vec<ForcedCall>) -> Step {
        Step { shown: Shown::OnChain, ..self.step(base, party, calls) }
    }
}

/// A call of a contract.
pub(crate) fn call(contract: ContractId, value: Amount, input: &impl Encode) -> ForcedCall {
    ForcedCall { contract, value, input: input.encode() }
}

/// Counts on by so much.
pub(crate) fn count(by: u64) -> ForcedCall {
    call(COUNTER, 0, &by)
}

/// A conditional transfer of so much (R8.1), owned by its payer.
pub(crate) fn transfer(
    balance: Amount,
    payee: Party,
    preimage: &Preimage,
    function: HashFunction,
    expiry: BlockNumber,
) -> Contract {
    let lock = preimage.lock(function, &Native);
    let state = ConditionalTransfer { payee, lock, expiry }.encode();
    Contract { code: Code::Builtin(BUILTIN), balance, owner: payee.peer(), state }
}

impl Apps {
    /// A counter of the initiator's that holds so much and has come so far.
    pub(crate) fn counting(&self, balance: Amount, count: u64, goal: u64) -> Contract {
        let code = Code::Contract(self.counter.code);
        Contract { code, balance, owner: Party::Initiator, state: counter::State { count, goal }.encode() }
    }

    /// An escrow of the responder's with these tokens, and the coins behind them.
    pub(crate) fn escrowing(&self, tokens: Pair<Amount>, deadline: BlockNumber) -> Contract {
        let (code, state) = (Code::Contract(self.escrow.code), escrow::State { tokens, deadline }.encode());
        Contract { code, balance: tokens.sum().unwrap(), owner: Party::Responder, state }
    }

    /// The app that does everything wrong.
    pub(crate) fn hostile(&self, balance: Amount, state: Vec<u8>) -> Contract {
        Contract { code: Code::Contract(self.hostile.code), balance, owner: Party::Responder, state }
    }
}

impl World {
    /// The record as the rules in memory have it, which is the one on chain.
    pub(crate) fn recorded(&self, channel: &Channel) -> Record {
        self.ledger.channels[&channel.id].clone()
    }

    /// A step as its caller makes it, and the state that it comes to.
    pub(crate) fn plan(&self, step: &Step) -> Result<(ForceProgress, Inside), Rejection> {
        let Step { channel, base, shown, party, calls } = step;
        let record = self.recorded(channel);
        let payload = (*shown == Shown::AsPayload).then(|| channel.payload(&base.state()));
        let Inside { balances, ref contracts, calls_root, round, base } = *base;
        let on = Start { channel: channel.id, record: &record, payload, balances, contracts, calls_root };
        let shown_at = |lock: &HashLock| self.ledger.preimages.get(lock).copied();
        let mut predictor = Predictor::new(&self.ledger.apps, &shown_at);
        let deployed = |code: &Hash| self.account_of(code);
        let planned = plan(&on, *party, calls.clone(), self.now(), &deployed, &mut predictor)?;
        let Plan { call, contracts, balances, calls_root, state_hash, .. } = planned;
        let after = Inside { round: round + calls.len() as Round, base, balances, contracts, calls_root };
        assert_eq!(after.state().hash(), state_hash, "the plan's parts are those of its state");
        Ok((call, after))
    }

    /// A step as somebody makes it who does not look where it leads.
    pub(crate) fn blind(&self, step: &Step) -> ForceProgress {
        let Step { channel, base, shown, party, calls } = step;
        let ids: BTreeSet<ContractId> = calls.iter().map(|call| call.contract).collect();
        let known = ids.into_iter().filter(|id| base.contracts.get(id).is_some());
        let contracts: Vec<ShownContract> = known.map(|id| self.shown(base, id)).collect();
        let changes = contracts.iter().map(|ShownContract { id, contract, .. }| {
            let before = Some(contract.leaf(&Native));
            let ends = matches!(contract.code, Code::Builtin(_));
            TreeChange { key: id.key(), before, after: if ends { None } else { before } }
        });
        ForceProgress {
            channel: channel.id,
            party: *party,
            payload: (*shown == Shown::AsPayload).then(|| channel.payload(&base.state())),
            commitment: base.commitment(),
            proof: base.contracts.prove(&changes.collect::<Vec<_>>()),
            contracts,
            calls: calls.clone(),
            state_hash: None,
        }
    }

    /// A contract of a state as a step shows it.
    pub(crate) fn shown(&self, base: &Inside, id: ContractId) -> ShownContract {
        let contract = base.contract(id);
        let app = match &contract.code {
            Code::Contract(code) => self.account_of(code),
            Code::Builtin(_) => None,
        };
        ShownContract { id, contract, app }
    }

    /// Forces a step that succeeds; it comes to the state that its caller planned, and no coin is made or lost by it.
    pub(crate) async fn force_as(&mut self, who: Actor, step: &Step) -> (FinalisedCall, Inside) {
        let (call, after) = self.plan(step).unwrap_or_else(|rejection| panic!("it cannot be planned: {rejection}"));
        let done = self.accept(who, &Call::ChannelForceProgress(call), 0).await;
        if let Some(record) = self.ledger.channels.get(&step.channel.id) {
            assert_eq!((record.on_chain.round(), record.on_chain.state_hash), (after.round, after.state().hash()));
        }
        let left: Amount = done.events[0].payouts.iter().map(|payout| payout.amount).sum();
        assert_eq!(after.coins() + left, step.base.coins(), "coins were made or lost");
        (done, after)
    }

    /// As [`World::force_as`], by the party itself.
    pub(crate) async fn force(&mut self, step: &Step) -> Inside {
        self.force_as(step.party.into(), step).await.1
    }

    /// Forces a step that is refused, by the party itself.
    pub(crate) async fn refuse_step(&mut self, step: &Step, rejection: Rejection) {
        self.refuse_step_of(step.party.into(), step, rejection).await;
    }

    /// As [`World::refuse_step`], by somebody else.
    pub(crate) async fn refuse_step_of(&mut self, who: Actor, step: &Step, rejection: Rejection) {
        let call = Call::ChannelForceProgress(self.blind(step));
        self.refuse(who, &call, 0, rejection).await;
    }

    /// Where code stands: one of the apps that are always there, or another that the test has deployed.
    fn account_of(&self, code: &Hash) -> Option<AccountId> {
        let known = || self.ledger.deployed.iter().find(|(_, stands)| *stands == code).map(|(account, _)| *account);
        self.apps.account_of(code).or_else(known)
    }

    /// Says that code stands at an account: of an app that the test has deployed, or of one of the apps for a second time.
    pub(crate) fn know_app_at(&mut self, account: AccountId, code: Hash) {
        let _new = self.ledger.deployed.insert(account, code);
    }
}
