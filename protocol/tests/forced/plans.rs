//! What peers plan is what the arbiter makes of it: at the same height, to the same state hash, however many contracts there are.

use crate::{apps, fixture::*};
use std::collections::{BTreeMap, BTreeSet};

/// The `number`-th of many contracts: counters, escrows and transfers by turns.
fn nth(number: u32) -> (ContractId, Contract) {
    let id = ContractId::derive(&CHANNEL, 5, number, &Native);
    let lock = SECRET.lock(HashFunction::Sha2_256, &Native);
    let transfer = ConditionalTransfer { payee: Party::Initiator, lock, expiry: EXPIRY };
    let one = match number % 3 {
        0 => contract(Code::Contract(apps::COUNTER.code), 1, (0u64, 1u64)),
        1 => contract(Code::Contract(apps::ESCROW.code), 1, (Pair::<Amount>::new(1, 0), EXPIRY)),
        _ => contract(Code::Builtin(BUILTIN), 1, transfer),
    };
    (id, one)
}

/// Takes everything out of the `number`-th contract.
fn empty(number: u32) -> ForcedCall {
    let id = nth(number).0;
    match number % 3 {
        0 => call(id, 0, 1u64),
        1 => call(id, 0, apps::Tokens::Redeem(1)),
        _ => call(id, 0, ConditionalInput::Claim(SECRET)),
    }
}

fn many(contracts: u32) -> State {
    let coins = Amount::from(contracts);
    State {
        balances: Pair::new(500, TOTAL - 500 - coins),
        contracts: (0..contracts).map(nth).collect(),
        calls_root: Hash::ZERO,
    }
}

fn by_id(contracts: &Contracts) -> BTreeMap<ContractId, Contract> {
    contracts.iter().map(|(id, contract)| (*id, contract.clone())).collect()
}

#[test]
fn a_plan_for_any_number_of_contracts_is_accepted_with_the_very_same_state_hash() {
    for contracts in 1..=300 {
        let state = many(contracts);
        let mut world = World::on(&state);
        // The first, the last, and one in between, in whatever order the ids have.
        let called: BTreeSet<u32> = [0, contracts / 2, contracts - 1].into();
        let (call, after) = world.step(&state, Party::Initiator, called.iter().copied().map(empty).collect());
        let applied = world.force(INITIATOR, call).unwrap();
        assert_eq!(world.record().on_chain.state_hash, after.hash(), "{contracts} contracts");
        let [(_, ArbiterEvent::ChannelProgressed { state_hash, at, .. }, _)] = applied.events[..] else { panic!() };
        assert_eq!((state_hash, at), (after.hash(), Base { agreed: ROUND, steps: called.len() as u32 }));
        // Transfers that ended are gone; everything else is as it was, but for what was called.
        let ended = called.iter().filter(|number| **number % 3 == 2).count();
        assert_eq!(after.contracts.len(), state.contracts.len() - ended);
        assert_eq!(after.contracts.iter().collect::<BTreeMap<_, _>>().len(), after.contracts.len());
        let rebuilt: Contracts = by_id(&after.contracts).into_iter().collect();
        assert_eq!(rebuilt.root(), after.contracts.root());
        assert_eq!(after.balances.sum().unwrap() + after.contracts.held(), TOTAL);
    }
}

#[test]
fn contracts_are_emptied_step_by_step_until_none_is_left_that_can_end() {
    let mut state = many(40);
    let mut world = World::on(&state);
    world.record().terms.max_forced = 40;
    for number in 0..40 {
        let (call, after) = world.step(&state, Party::Initiator, vec![empty(number)]);
        let _applied = world.force(INITIATOR, call).unwrap();
        state = after;
        assert_eq!(world.record().on_chain.state_hash, state.hash());
    }
    assert_eq!((state.contracts.len(), state.contracts.held()), (27, 0));
    assert_eq!(state.balances, Pair::new(540, 460));
    assert_eq!(world.record().on_chain.at, Base { agreed: ROUND, steps: 40 });
}

#[test]
fn a_peer_follows_a_step_from_what_the_arbiter_announced() {
    let state = many(20);
    let mut world = World::on(&state);
    let (call, after) = world.step(&state, Party::Responder, vec![empty(3), empty(5)]);
    let applied = world.force(RESPONDER, call).unwrap();
    let [(_, ArbiterEvent::ChannelProgressed { party, calls, state_hash, .. }, _)] = &applied.events[..] else {
        panic!()
    };
    let followed = World::on(&state).plan(&state, None, *party, calls.clone()).unwrap();
    assert_eq!((followed.state_hash, followed.balances), (*state_hash, after.balances));
    assert_eq!(by_id(&followed.contracts), by_id(&after.contracts));
}

#[test]
fn what_is_planned_for_one_block_is_refused_in_another_where_the_contract_looks_at_it() {
    let state = many(5);
    let mut world = World::on(&state);
    let (call, _) = world.step(&state, Party::Initiator, vec![empty(2)]);
    world.now = EXPIRY;
    let late = CallFault::TooLate { expiry: EXPIRY };
    assert_eq!(world.force(INITIATOR, call), Err(Rejection::CallFailed { round: ROUND + 1, fault: late }));
}

#[test]
fn a_contract_that_is_not_there_cannot_be_called() {
    let state = many(5);
    let id = nth(5).0;
    let planned = World::on(&state).plan(&state, None, Party::Initiator, vec![empty(5)]);
    assert_eq!(planned.map(drop), Err(Rejection::ContractNotShown { contract: id }));
}

#[test]
fn ids_are_derived_from_channel_round_and_place() {
    let id = |channel, round, index| ContractId::derive(&ChannelId([channel; 32]), round, index, &Native);
    let ids = [id(1, 2, 3), id(2, 2, 3), id(1, 3, 3), id(1, 2, 4)];
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 4);
    let bytes = [&b"contract"[..], &[1; 32], &2u64.to_le_bytes(), &3u32.to_le_bytes()].concat();
    assert_eq!(id(1, 2, 3).0, protocol::crypto::Crypto::hash(&Native, &bytes).0);
}
