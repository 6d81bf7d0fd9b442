//! What a chain bounds besides weight: the bytes of one entry of storage, and a contract's memory (R5.13, R5.14a).

use crate::harness::*;
use protocol::{
    AccountId, BlockNumber, Pair, Party,
    call::{BatchedCall, Call, MAX_BATCH},
    signing::{SetDelegatesBody, WithdrawBody},
    terms::{Delegate, Limits, MAX_DELEGATES},
};

/// Long enough that no mark matures before all are made.
const LONG: BlockNumber = 1_200;

/// As many forced steps on one base as leave a record of a size that a batch can take 64 times.
const MOST: u8 = 32;

/// A channel on whose record so many forced steps of these parties in turn are marked, each of which forces as often as it may on each
/// co-signed round; and the state that it stands at.
async fn marked(max_forced: u8, marks: usize, parties: &[Party]) -> (World, Channel, Inside) {
    let limits = Limits { max_forced_max: max_forced, lock_period_max: LONG, validity_max: LONG, ..LIMITS };
    let mut world = World::deployed_as(wasm(), limits).await;
    world.fund().await;
    let mut body = create_body(world.now());
    (body.terms.max_forced, body.terms.lock_period) = (max_forced, LONG);
    let channel = world.create(&body).await;
    let counter = (COUNTER, world.apps.counting(10 * UNIT, 0, u64::MAX));
    let agreed = |round| Inside::new(round, Pair::new(80 * UNIT, 70 * UNIT), [counter.clone()]);
    let on_one_round = usize::from(max_forced) * parties.len();
    let mut tip = agreed(4);
    for mark in 0..marks {
        let party = parties[mark % parties.len()];
        let step = if mark % on_one_round == 0 {
            channel.step(&agreed(6 + 2 * (mark / on_one_round) as u64), party, vec![count(1)])
        } else {
            channel.step_on_chain(&tip, party, vec![count(1)])
        };
        let (call, after) = world.plan(&step).unwrap();
        world.hurry(party.into(), &Call::ChannelForceProgress(call)).await;
        tip = after;
    }
    assert_eq!(world.recorded(&channel).on_chain.maturity.marks().len(), marks);
    (world, channel, tip)
}

#[tokio::test]
async fn a_party_that_forces_often_enough_keeps_its_peer_from_closing() {
    const TOO_LARGE: &str = "Contracts::ValueTooLarge";
    let (mut world, channel, tip) = marked(u8::MAX, 1_004, &[Party::Initiator]).await;
    let close = channel.close_solo_on_chain(tip.commitment());
    world.fails_on_chain(Actor::Responder, &close, 0, TOO_LARGE).await;
    let step = channel.step_on_chain(&tip, Party::Responder, vec![count(1)]);
    let (step, _after) = world.plan(&step).unwrap();
    world.fails_on_chain(Actor::Responder, &Call::ChannelForceProgress(step), 0, TOO_LARGE).await;
    // On a state without contracts nothing can be forced, and marks go only when a step is: it stays so for ever.
    let newest = State::new(101, 60 * UNIT, 100 * UNIT).from(50, 0);
    let _done = world.accept(Actor::Responder, &channel.snapshot(&newest), 0).await;
    world.travel_to(world.now() + LONG).await;
    let close = channel.close_solo_on_chain(newest.commitment);
    world.fails_on_chain(Actor::Responder, &close, 0, TOO_LARGE).await;
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
    let (mut world, channel, _tip) = marked(MOST, 8 * usize::from(MOST), &Party::BOTH).await;
    for calls in [
        delegations(&channel, 100, MAX_BATCH, world.now()),
        withdrawals(&channel, 200, MAX_BATCH, world.now()),
        delegations(&channel, 300, MAX_BATCH, world.now()),
    ] {
        let done = world.accept(Actor::Responder, &Call::Batch(calls), 0).await;
        assert_eq!(done.events.len(), MAX_BATCH);
    }
    let record = world.recorded(&channel);
    assert_eq!(record.on_chain.maturity.marks().len(), 8 * usize::from(MOST));
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
