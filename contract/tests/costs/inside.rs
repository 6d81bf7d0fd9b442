//! A channel with contracts in it, and forced steps in them.

use crate::harness::*;
use protocol::{
    Amount, Hash, Pair, Party, Rejection, Round, StateCommitment,
    arbiter::{Plan, Start, plan},
    call::{Call, ForcedCall},
    contracts::{
        AppOutcome, CallFault, Code, Contract, ContractId, Contracts, Predictor,
        conditional::{BUILTIN, ConditionalInput, ConditionalTransfer, HashFunction, Preimage},
    },
    crypto::{Crypto, Native},
    tree::TreeChange,
};
use scale::Encode;
use sdk::chain::arbiter::FinalisedCall;
use tokio::sync::OnceCell;

/// The round of the state that forced steps go on from.
pub(crate) const BASE: Round = 6;
/// What unlocks a conditional transfer: each has its own, as those of many payments have.
pub(crate) const fn preimage(contract: ContractId) -> Preimage {
    Preimage(contract.0)
}

/// The contracts of a channel, and what its parties own beside them.
#[derive(Clone)]
pub(crate) struct Inside {
    pub(crate) contracts: Contracts,
    pub(crate) balances: Pair<Amount>,
    pub(crate) calls_root: Hash,
}

/// What a forced step goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// A co-signed state that it shows.
    Payload,
    /// The state on chain.
    Chain,
}

impl Inside {
    /// The channel's coins, with `held` of them in contracts, the initiator's share being the smaller for it.
    pub(crate) fn new(contracts: Contracts) -> Self {
        let held = contracts.held();
        let balances = Pair::new(BALANCES.initiator - held, BALANCES.responder);
        Self { contracts, balances, calls_root: Hash::ZERO }
    }

    pub(crate) fn commitment(&self) -> StateCommitment {
        StateCommitment { balances: self.balances, contracts_root: self.contracts.root(), calls_root: self.calls_root }
    }

    pub(crate) fn state(&self) -> State {
        State::of(BASE, self.commitment())
    }

    /// The initiator's forced step in the next block.
    pub(crate) async fn plan(
        &self,
        world: &World,
        channel: &Channel,
        from: From,
        calls: Vec<ForcedCall>,
    ) -> Result<Plan, Rejection> {
        let record = world.record(channel).await.unwrap();
        let start = Start {
            channel: channel.id,
            record: &record,
            payload: (from == From::Payload).then(|| channel.payload(&self.state())),
            balances: self.balances,
            contracts: &self.contracts,
            calls_root: self.calls_root,
        };
        let shown_at = |lock: &_| world.ledger.preimages.get(lock).copied();
        let mut predictor = Predictor::new(&world.ledger.apps, &shown_at);
        let deployed = |code: &Hash| {
            let stands = world.ledger.deployed.iter().find(|(_, stands)| *stands == code);
            stands.map(|(account, _)| *account)
        };
        plan(&start, Party::Initiator, calls, world.now(), &deployed, &mut predictor)
    }

    /// Makes that step.
    pub(crate) async fn force(
        &mut self,
        world: &mut World,
        channel: &Channel,
        from: From,
        calls: Vec<ForcedCall>,
    ) -> FinalisedCall {
        let Plan { call, contracts, balances, calls_root, .. } = self.plan(world, channel, from, calls).await.unwrap();
        (self.contracts, self.balances, self.calls_root) = (contracts, balances, calls_root);
        let call = Call::ChannelForceProgress(call);
        world.accept(Actor::Initiator, &call, 0).await
    }
}

/// An open channel whose state on chain is the one with these contracts, where `from` says so.
pub(crate) async fn opened(inside: &Inside, from: From) -> (World, Channel) {
    static OPEN: OnceCell<(World, Channel)> = OnceCell::const_new();
    let (open, channel) = OPEN.get_or_init(World::open).await;
    let mut world = open.fork().await;
    if from == From::Chain {
        let _done = world.accept(Actor::Initiator, &channel.snapshot(&inside.state()), 0).await;
    }
    teach(&mut world);
    (world, *channel)
}

/// Tells the rules in memory that the hostile app, told to behave, minds no bytes after that: it is what takes input of any length.
fn teach(world: &mut World) {
    let call = |_: &_, state: &[u8], input: &[u8]| match input {
        [0, ..] => Ok(Ok(AppOutcome { state: state.to_vec(), ..AppOutcome::default() })),
        _ => Err(CallFault::Failed),
    };
    world.ledger.apps.register_as(world.apps.hostile.code, |_, _| Err(CallFault::Failed), call);
}

/// The id of the `index`-th contract: hashes, as ids are.
pub(crate) fn id(index: u32) -> ContractId {
    ContractId(Native.hash(&index.to_le_bytes()).0)
}

/// A counter that holds some coins and is far from its goal.
pub(crate) fn counter(world: &World, balance: Amount, goal: u64) -> Contract {
    let code = Code::Contract(world.apps.counter.code);
    Contract { code, balance, owner: Party::Initiator, state: counter::State { count: 0, goal }.encode() }
}

/// An app that gives back its state as it is and minds no input.
pub(crate) fn echo(world: &World, state: usize) -> Contract {
    let code = Code::Contract(world.apps.hostile.code);
    Contract { code, balance: 0, owner: Party::Initiator, state: vec![7; state] }
}

/// A conditional transfer to the initiator of one unit.
pub(crate) fn transfer(contract: ContractId) -> Contract {
    transfer_of(contract, UNIT)
}

/// The same of any amount.
pub(crate) fn transfer_of(contract: ContractId, balance: Amount) -> Contract {
    let lock = preimage(contract).lock(HashFunction::Blake2b256, &Native);
    let state = ConditionalTransfer { payee: Party::Initiator, lock, expiry: 1_000 };
    Contract { code: Code::Builtin(BUILTIN), balance, owner: Party::Responder, state: state.encode() }
}

/// A conditional transfer to the other party that has expired: the initiator may have it back.
pub(crate) fn expired(contract: ContractId) -> Contract {
    let lock = preimage(contract).lock(HashFunction::Blake2b256, &Native);
    let state = ConditionalTransfer { payee: Party::Responder, lock, expiry: 1 };
    Contract { code: Code::Builtin(BUILTIN), balance: UNIT, owner: Party::Initiator, state: state.encode() }
}

/// The premium of a transfer: coins of its payee's own under the transfer's lock.
pub(crate) fn premium_of(transfer: ContractId) -> Contract {
    let lock = preimage(transfer).lock(HashFunction::Blake2b256, &Native);
    let state = ConditionalTransfer { payee: Party::Initiator, lock, expiry: 1_000 };
    Contract { code: Code::Builtin(BUILTIN), balance: UNIT, owner: Party::Initiator, state: state.encode() }
}

pub(crate) fn refund(contract: ContractId) -> ForcedCall {
    ForcedCall { contract, value: 0, input: ConditionalInput::Refund.encode() }
}

/// Claims a contract by the pre-image of a transfer.
pub(crate) fn claim_by(contract: ContractId, transfer: ContractId) -> ForcedCall {
    ForcedCall { contract, value: 0, input: ConditionalInput::Claim(preimage(transfer)).encode() }
}

pub(crate) fn count(contract: ContractId, by: u64) -> ForcedCall {
    ForcedCall { contract, value: 0, input: by.encode() }
}

pub(crate) fn echo_call(contract: ContractId, input: usize) -> ForcedCall {
    ForcedCall { contract, value: 0, input: vec![0; input] }
}

pub(crate) fn claim(contract: ContractId) -> ForcedCall {
    ForcedCall { contract, value: 0, input: ConditionalInput::Claim(preimage(contract)).encode() }
}

/// Contracts without coins that nobody calls, from the `from`-th on until there are `until`: they make the tree as deep as it would be.
pub(crate) fn crowd(contracts: &mut Contracts, from: u32, until: u32) {
    let idle = Contract { code: Code::Builtin(BUILTIN), balance: 0, owner: Party::Initiator, state: Vec::new() };
    for index in from..until {
        contracts.insert(id(index), idle.clone());
    }
}

/// How many bytes the proof of a change of one contract takes.
pub(crate) fn proof_bytes(contracts: &Contracts, id: &ContractId) -> usize {
    let change = TreeChange { key: id.key(), before: Some(Hash::ZERO), after: Some(Hash::ZERO) };
    contracts.prove(&[change]).encoded_size()
}
