//! `channel_force_progress` (R5.10): whoever is left alone goes on by itself.

use crate::harness::{apps::bytes, *};
use protocol::{
    arbiter::{plan, Base, Plan},
    call::{Call, ForcedCall},
    contracts::{Code, Contract, ContractId, Contracts, Predictor},
    Amount, Hash, Pair, Party, StateCommitment,
};

const COUNTER: ContractId = ContractId([0xC0; 32]);

#[tokio::test]
async fn a_forced_step_runs_the_deployed_app() {
    let (mut world, channel) = World::open().await;
    let counter = Contract {
        code: Code::Contract(world.apps.counter.code),
        balance: 5 * UNIT,
        owner: Party::Initiator,
        state: bytes(&counter::State { count: 0, goal: 3 }),
    };
    let contracts: Contracts = [(COUNTER, counter)].into_iter().collect();
    let balances = Pair::new(85 * UNIT, 70 * UNIT);
    let commitment = StateCommitment { balances, contracts_root: contracts.root(), calls_root: Hash::ZERO };
    let state = State { round: 6, commitment };
    let record = world.record(&channel).await.unwrap();
    let base = Base {
        channel: channel.id,
        record: &record,
        payload: Some(channel.payload(&state)),
        balances,
        contracts: &contracts,
        calls_root: Hash::ZERO,
    };
    let call = |value: Amount, by: u64| ForcedCall { contract: COUNTER, value, input: bytes(&by) };
    let native = world.apps.native();
    let mut predictor = Predictor { apps: &native, shown_at: &|_lock| None };
    let calls = vec![call(UNIT, 1), call(0, 2)];
    let deployed = |code: &Hash| world.apps.account_of(code);
    let Plan { call, balances, .. } = plan(&base, Party::Initiator, calls, world.now(), &deployed, &mut predictor).unwrap();
    assert_eq!(balances, Pair::new(90 * UNIT, 70 * UNIT));
    let done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(call), 0).await;
    println!("{:?}", done.receipt.weight);
    let record = world.record(&channel).await.unwrap();
    assert_eq!((record.round, record.forced_from), (8, Some(7)));
}
