//! What a chain bounds besides weight: the bytes of one entry of storage, and a contract's memory (R5.13, R5.14a).

use crate::harness::*;
use protocol::{
    AccountId, BlockNumber, Pair, Party,
    call::{BatchedCall, Call, MAX_BATCH},
    signing::{SetDelegatesBody, WithdrawBody},
    terms::{Delegate, Limits, MAX_DELEGATES, MAX_FORCED_PER_BASE},
};

/// Long enough that no mark matures before all are made.
const LONG: BlockNumber = 1_200;

/// A channel on whose record as many forced steps are marked as it keeps, where a party may force so often on one co-signed round.
async fn marked(max_forced: u8) -> (World, Channel) {
    let limits = Limits { max_forced_max: max_forced, lock_period_max: LONG, validity_max: LONG, ..LIMITS };
    let mut world = World::deployed_as(wasm(), limits).await;
    world.fund().await;
    let mut body = create_body(world.now());
    (body.terms.max_forced, body.terms.lock_period) = (max_forced, LONG);
    let channel = world.create(&body).await;
    let counter = (COUNTER, world.apps.counting(10 * UNIT, 0, u64::MAX));
    for round in (6..).step_by(2).take(4) {
        let mut tip = Inside::new(round, Pair::new(80 * UNIT, 70 * UNIT), [counter.clone()]);
        let _done = world.accept(Actor::Initiator, &channel.snapshot(&tip.state()), 0).await;
        for step in 0..2 * usize::from(max_forced) {
            let party = Party::BOTH[step % 2];
            let (call, after) = world.plan(&channel.step_on_chain(&tip, party, vec![count(1)])).unwrap();
            world.hurry(party.into(), &Call::ChannelForceProgress(call)).await;
            tip = after;
        }
    }
    (world, channel)
}

/// As many delegates as a party may have.
fn crowd(first: u8) -> Vec<Delegate> {
    (0..MAX_DELEGATES as u8).map(|number| Delegate::caller(AccountId([first.wrapping_add(number); 32]))).collect()
}

/// So many changes of all delegates, one after the other.
fn delegations(channel: &Channel, first: u64, count: usize, now: BlockNumber) -> Vec<BatchedCall> {
    let make = |number| {
        let state = State::new(first + number, 80 * UNIT, 80 * UNIT).from(u64::MAX, 0);
        let (round, base, state_hash) = (state.round, state.base, state.hash());
        let delegates = Pair::new(crowd(round as u8), crowd((round + 100) as u8));
        let body = SetDelegatesBody { delegates, round, base, state_hash, valid_until: now + 9 };
        BatchedCall::SetDelegates(channel.set_delegates(body))
    };
    (0..count as u64).map(make).collect()
}

/// So many withdrawals of a coin, one after the other.
fn withdrawals(channel: &Channel, first: u64, count: usize, now: BlockNumber) -> Vec<BatchedCall> {
    let make = |number| {
        let state = State::new(first + number, 80 * UNIT, 80 * UNIT).from(u64::MAX, 0);
        let (round, base, state_hash) = (state.round, state.base, state.hash());
        let (party, amount, to, valid_until) = (Party::Responder, 1, Actor::Responder.id(), now + 9);
        let body = WithdrawBody { party, amount, to, round, base, state_hash, valid_until };
        BatchedCall::Withdraw(channel.withdraw(body))
    };
    (0..count as u64).map(make).collect()
}

#[tokio::test]
async fn a_batch_runs_out_of_memory_in_no_call_where_records_are_as_large_as_can_be() {
    let (mut world, channel) = marked(MAX_FORCED_PER_BASE).await;
    for calls in [
        delegations(&channel, 100, MAX_BATCH, world.now()),
        withdrawals(&channel, 200, MAX_BATCH, world.now()),
        delegations(&channel, 300, MAX_BATCH, world.now()),
    ] {
        let done = world.accept(Actor::Responder, &Call::Batch(calls), 0).await;
        assert_eq!(done.events.len(), MAX_BATCH);
    }
    let record = world.recorded(&channel);
    assert_eq!(record.on_chain.maturity.marks().len(), 8 * usize::from(MAX_FORCED_PER_BASE));
    assert!(record.terms.parties.iter().all(|(_, party)| party.delegates.len() == MAX_DELEGATES));
    // It still can be closed, and a close makes it larger.
    let close = channel.close_solo(&State::new(501, 60 * UNIT, 90 * UNIT).from(u64::MAX, 0));
    let _done = world.accept(Actor::Responder, &close, 0).await;
}

#[tokio::test]
async fn a_batch_that_runs_out_of_memory_in_the_middle_leaves_nothing_behind() {
    // Where there are 16 pages no batch does. So the same arbiter has as few as show it.
    let mut world = World::deployed_as(wasm_with_pages(5), LIMITS).await;
    world.fund().await;
    let channel = world.create(&create_body(world.now())).await;
    let mut fitted = Vec::new();
    for size in [1, 8, 16, 24, 32, 40, 48, 56, MAX_BATCH] {
        let mut world = world.fork_for(&size).await;
        let calls = Call::Batch(delegations(&channel, 2, size, world.now()));
        let transaction = world.arbiter.transaction(&calls, 0);
        let fits = sdk::chain::Chain::dry_run(&world.chain, &Actor::Responder.id(), &transaction).await.is_ok();
        if fits {
            let _done = world.accept(Actor::Responder, &calls, 0).await;
        } else {
            world.fails_on_chain(Actor::Responder, &calls, 0, "Contracts::ContractTrapped").await;
        }
        fitted.push(fits);
    }
    assert!(fitted.is_sorted_by(|fewer, more| fewer >= more) && fitted[0] && !fitted[8], "{fitted:?}");
}

#[tokio::test]
async fn a_list_of_calls_that_takes_more_memory_than_there_is_breaks_off_and_changes_nothing() {
    let (mut world, channel) = World::open().await;
    let settle = BatchedCall::Settle(channel.id);
    let most = (64 * 1024 - 4 - 4) / 33;
    let list = Call::Batch(vec![settle; most]);
    world.fails_on_chain(Actor::Initiator, &list, 0, "Contracts::ContractTrapped").await;
}
