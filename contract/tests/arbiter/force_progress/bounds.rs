//! Every bound of a forced step, at its edge and one beyond (R4.4, R5.10, R5.13).

use super::*;
use protocol::{
    AccountId, Amount, Rejection,
    arbiter::{MAX_FORCED_ANSWERS, MAX_FORCED_CALLS, MAX_FORCED_INPUTS, MAX_FORCED_STEP},
    call::{Call, ForcedCall},
    contracts::{CallFault, ContractId, MAX_INPUT, MAX_OUTPUT, MAX_STATE},
    event::ArbiterEvent,
    terms::{Delegate, MAX_DELEGATES},
};
use scale::Encode;

/// A channel in which the hostile app stands, which takes any input that begins well.
async fn with_hostile(state: usize) -> (World, Channel, Inside) {
    let (world, channel) = World::open().await;
    let contract = world.apps.hostile(10 * UNIT, vec![7; state]);
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(HOSTILE, contract)]);
    (world, channel, base)
}

/// "Behave", in so many bytes.
fn behave(bytes: usize) -> ForcedCall {
    ForcedCall { contract: HOSTILE, value: 0, input: vec![0; bytes] }
}

fn failed(fault: CallFault) -> Rejection {
    Rejection::CallFailed { round: 7, fault }
}

#[tokio::test]
async fn each_party_may_force_as_often_as_agreed_on_one_base_and_not_once_more() {
    let max = terms().max_forced;
    for closes in [false, true] {
        let (mut world, channel, base) = if closes { closing(Party::Responder).await } else { open().await };
        let mut tip = base;
        for step in 1..=max {
            for party in Party::BOTH {
                tip = world.force(&channel.step_on_chain(&tip, party, vec![count(1)])).await;
                assert_eq!(world.recorded(&channel).forced_steps[party], step);
            }
        }
        for party in Party::BOTH {
            let step = channel.step_on_chain(&tip, party, vec![count(1)]);
            world.refuse_step(&step, Rejection::ForcedStepsUsedUp { max }).await;
        }
        if closes {
            // A delegate is no way round it: its steps are its principal's.
            let step = channel.step_on_chain(&tip, Party::Initiator, vec![count(1)]);
            let used_up = Rejection::ForcedStepsUsedUp { max };
            world.refuse_step_of(Actor::InitiatorsDelegate, &step, used_up).await;
        }
        // On a newer base both may again: each is at one, or at none, of three.
        let newer = agreed(&world, 8);
        let mut tip = world.force(&channel.step(&newer, Party::Initiator, vec![count(1)])).await;
        assert_eq!(world.recorded(&channel).forced_steps, Pair::new(1, 0));
        for party in [Party::Initiator, Party::Responder] {
            tip = world.force(&channel.step_on_chain(&tip, party, vec![count(1)])).await;
        }
        assert_eq!(world.recorded(&channel).forced_steps, Pair::new(2, 1));
    }
}

#[tokio::test]
async fn a_delegates_steps_count_for_its_principal() {
    let (mut world, channel, base) = closing(Party::Responder).await;
    let mut tip = base;
    for who in [Actor::InitiatorsDelegate, Actor::Initiator, Actor::InitiatorsDelegate] {
        let step = channel.step_on_chain(&tip, Party::Initiator, vec![count(1)]);
        tip = world.force_as(who, &step).await.1;
    }
    assert_eq!(world.recorded(&channel).forced_steps, Pair::new(3, 0));
    let step = channel.step_on_chain(&tip, Party::Initiator, vec![count(1)]);
    world.refuse_step(&step, Rejection::ForcedStepsUsedUp { max: 3 }).await;
    let _after = world.force(&Step { party: Party::Responder, ..step }).await;
}

#[tokio::test]
async fn showing_the_base_again_does_not_count_the_steps_anew() {
    let (mut world, channel, base) = open().await;
    let tip = world.force(&channel.step(&base, Party::Initiator, vec![count(1)])).await;
    let again = channel.step(&base, Party::Initiator, vec![count(1)]);
    world.refuse_step(&again, Rejection::RoundTooOld { got: 6, have: 6 }).await;
    let _after = world.force(&channel.step_on_chain(&tip, Party::Initiator, vec![count(1)])).await;
    assert_eq!(world.recorded(&channel).forced_steps, Pair::new(2, 0));
}

#[tokio::test]
async fn a_step_makes_as_many_calls_as_allowed_with_as_much_input_and_all_of_it_is_announced() {
    let (mut world, channel, base) = with_hostile(0).await;
    let each = MAX_FORCED_INPUTS / MAX_FORCED_CALLS;
    let mut calls = vec![behave(each); MAX_FORCED_CALLS];
    calls[0] = behave(each + MAX_FORCED_INPUTS % MAX_FORCED_CALLS);
    let full = channel.step(&base, Party::Initiator, calls.clone());
    let mut one_more = full.clone();
    one_more.calls.push(behave(0));
    world.refuse_step(&one_more, Rejection::CallsTooLarge).await;
    let mut one_byte_more = full.clone();
    one_byte_more.calls[63] = behave(each + 1);
    world.refuse_step(&one_byte_more, Rejection::CallsTooLarge).await;

    let (done, after) = world.force_as(Actor::Initiator, &full).await;
    assert_eq!(after.round, 6 + 64);
    let ArbiterEvent::ChannelProgressed { calls: announced, .. } = &done.events[0].event else {
        panic!("it progressed")
    };
    assert_eq!(*announced, calls);
}

#[tokio::test]
async fn one_call_takes_so_much_input_and_not_a_byte_more() {
    let (mut world, channel, base) = with_hostile(3).await;
    let step = |bytes| channel.step(&base, Party::Responder, vec![behave(bytes)]);
    world.refuse_step(&step(MAX_INPUT + 1), failed(CallFault::TooLarge)).await;
    let _after = world.force(&step(MAX_INPUT)).await;
}

#[tokio::test]
async fn a_contracts_state_is_so_long_and_not_a_byte_longer_before_and_after_a_call() {
    let (mut world, channel, base) = with_hostile(MAX_STATE + 1).await;
    let step = channel.step(&base, Party::Responder, vec![behave(1)]);
    world.refuse_step(&step, failed(CallFault::TooLarge)).await;

    let (mut world, channel, base) = with_hostile(MAX_STATE).await;
    let max = u32::try_from(MAX_STATE).unwrap();
    let grow = |bytes: u32| vec![call(HOSTILE, 0, &hostile::Input::State(bytes))];
    let step = channel.step(&base, Party::Responder, grow(max + 1));
    world.refuse_step(&step, failed(CallFault::TooLarge)).await;
    let tip = world.force(&channel.step(&base, Party::Responder, vec![behave(MAX_INPUT)])).await;
    let tip = world.force(&channel.step_on_chain(&tip, Party::Responder, grow(max))).await;
    assert_eq!(tip.contract(HOSTILE).state.len(), MAX_STATE);
}

#[tokio::test]
async fn coins_are_attached_down_to_the_reserve_and_not_one_further() {
    let (world, channel, base) = open().await;
    for party in Party::BOTH {
        let have = base.balances[party];
        for (value, accepted) in [(have - RESERVE, true), (have - RESERVE + 1, false), (have + 1, false)] {
            let mut world = world.fork_for(&(party, value)).await;
            let step = channel.step_on_chain(&base, party, vec![call(COUNTER, value, &1u64)]);
            if accepted {
                let after = world.force(&step).await;
                assert_eq!(after.balances[party], RESERVE);
            } else {
                world.refuse_step(&step, Rejection::CannotAttach { have, value, reserve: RESERVE }).await;
            }
        }
    }
    // The reserve holds for all calls of a step together.
    let mut world = world.fork().await;
    let value = 75 * UNIT / 2;
    let twice = vec![call(COUNTER, value, &1u64), call(COUNTER, value + 1, &1u64)];
    let have = 85 * UNIT - value;
    let cannot = Rejection::CannotAttach { have, value: value + 1, reserve: RESERVE };
    world.refuse_step(&channel.step_on_chain(&base, Party::Initiator, twice), cannot).await;
}

#[tokio::test]
async fn whoever_is_below_the_reserve_may_call_without_coins_but_not_with_any() {
    let (mut world, channel) = World::open().await;
    let counter = world.apps.counting(5 * UNIT, 0, 9);
    let base = Inside::new(6, Pair::new(RESERVE - 1, 145 * UNIT + 1 - RESERVE), [(COUNTER, counter)]);
    let step = |value| channel.step(&base, Party::Initiator, vec![call(COUNTER, value, &1u64)]);
    let cannot = Rejection::CannotAttach { have: RESERVE - 1, value: 1, reserve: RESERVE };
    world.refuse_step(&step(1), cannot).await;
    let _after = world.force(&step(0)).await;
}

#[tokio::test]
async fn what_contracts_pay_may_come_to_the_total_and_not_to_one_more() {
    // R4.4: both signed contracts that claim to hold more than there is.
    for (excess, closes) in [(0, false), (1, false), (0, true), (1, true)] {
        let (mut world, channel) = World::open().await;
        let hostile = world.apps.hostile(10 * UNIT + excess, Vec::new());
        let base = Inside::new(6, Pair::new(90 * UNIT, 60 * UNIT), [(HOSTILE, hostile)]);
        if closes {
            let _done = world.accept(Actor::Responder, &channel.close_solo(&base.state()), 0).await;
        }
        let pay = call(HOSTILE, 0, &hostile::Input::Pay(3 * UNIT, 7 * UNIT + excess));
        let step = channel.step(&base, Party::Initiator, vec![pay]);
        if excess == 0 {
            let after = world.force(&step).await;
            assert_eq!(after.balances.sum(), Some(TOTAL));
        } else {
            world.refuse_step(&step, Rejection::BalancesExceedTotal { total: TOTAL }).await;
        }
    }
}

#[tokio::test]
async fn a_contract_pays_all_that_it_holds_and_not_one_more() {
    let (world, channel, base) = with_hostile(0).await;
    for (initiator, responder, fault) in [
        (4 * UNIT, 6 * UNIT, None),
        (4 * UNIT + 1, 6 * UNIT, Some(CallFault::PaysTooMuch { balance: 10 * UNIT })),
        (0, Amount::MAX, Some(CallFault::PaysTooMuch { balance: 10 * UNIT })),
        (1, Amount::MAX, Some(CallFault::Overflow)),
    ] {
        let mut world = world.fork_for(&(initiator, responder)).await;
        let pay = call(HOSTILE, 0, &hostile::Input::Pay(initiator, responder));
        let step = channel.step(&base, Party::Initiator, vec![pay]);
        match fault {
            None => assert_eq!(world.force(&step).await.contract(HOSTILE).balance, 0),
            Some(fault) => world.refuse_step(&step, failed(fault)).await,
        }
    }
}

#[tokio::test]
async fn a_call_sees_the_coins_attached_to_it_and_may_pay_them_back() {
    let (mut world, channel, base) = with_hostile(0).await;
    let pay = |value, back| vec![call(HOSTILE, value, &hostile::Input::Pay(back, 0))];
    let too_much = failed(CallFault::PaysTooMuch { balance: 12 * UNIT });
    let step = channel.step(&base, Party::Initiator, pay(2 * UNIT, 12 * UNIT + 1));
    world.refuse_step(&step, too_much).await;
    let after = world.force(&channel.step(&base, Party::Initiator, pay(2 * UNIT, 12 * UNIT))).await;
    assert_eq!(after.balances.initiator, 90 * UNIT);
}

#[tokio::test]
async fn a_contract_that_claims_all_coins_there_could_be_takes_no_more() {
    let (mut world, channel) = World::open().await;
    let hostile = world.apps.hostile(Amount::MAX, Vec::new());
    let base = Inside::new(6, Pair::new(90 * UNIT, 60 * UNIT), [(HOSTILE, hostile)]);
    let step = channel.step(&base, Party::Initiator, vec![call(HOSTILE, 1, &hostile::Input::Behave)]);
    world.refuse_step(&step, failed(CallFault::Overflow)).await;
}

#[tokio::test]
async fn the_last_round_there_is_can_be_forced_and_none_after_it() {
    let (mut world, channel, base) = open().await;
    let base = base.at(Round::MAX - 1);
    let two = channel.step(&base, Party::Initiator, vec![count(1), count(1)]);
    world.refuse_step(&two, Rejection::AmountOverflow).await;
    let tip = world.force(&channel.step(&base, Party::Initiator, vec![count(1)])).await;
    assert_eq!(tip.round, Round::MAX);
    let none_left = channel.step_on_chain(&tip, Party::Initiator, vec![count(1)]);
    world.refuse_step(&none_left, Rejection::AmountOverflow).await;
    // It still can be agreed on, and closed.
    let _done = world.accept(Actor::Responder, &channel.snapshot(&tip.state()), 0).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(tip.commitment()), 0).await;
}

#[tokio::test]
async fn tokens_move_until_the_block_before_the_deadline_and_are_redeemed_from_it_on() {
    // R7.3: on chain the height is the current block.
    let (mut world, channel) = World::open().await;
    let deadline = world.now() + 5;
    let escrow = world.apps.escrowing(Pair::new(20 * UNIT, 10 * UNIT), deadline);
    let base = Inside::new(6, Pair::new(70 * UNIT, 60 * UNIT), [(ESCROW, escrow)]);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    let move_some = call(ESCROW, 0, &escrow::Input::Move(8 * UNIT));
    let issue_some = call(ESCROW, 2 * UNIT, &escrow::Input::Issue);
    let redeem_all = call(ESCROW, 0, &escrow::Input::Redeem(20 * UNIT));
    for block in [deadline - 1, deadline, deadline + 1] {
        for (calls, refused) in
            [(&move_some, block >= deadline), (&issue_some, block >= deadline), (&redeem_all, false)]
        {
            let mut world = world.fork_for(&(block, calls.input[0])).await;
            world.travel_to(block).await;
            let step = channel.step_on_chain(&base, Party::Initiator, vec![calls.clone()]);
            if refused {
                world.refuse_step(&step, failed(CallFault::Refused)).await;
            } else {
                let _after = world.force(&step).await;
            }
        }
    }
}

#[tokio::test]
async fn an_output_is_as_long_as_allowed_and_not_a_byte_longer() {
    let max = u32::try_from(MAX_OUTPUT).unwrap();
    let answer = |bytes| vec![call(HOSTILE, 0, &hostile::Input::Output(bytes))];
    for state in [0, MAX_STATE] {
        let (mut world, channel, base) = with_hostile(state).await;
        let step = channel.step(&base, Party::Responder, answer(max + 1));
        world.refuse_step(&step, failed(CallFault::OutputTooLong)).await;
        let _after = world.force(&channel.step(&base, Party::Responder, answer(max))).await;
    }
}

/// The `number`-th of many contracts: their ids differ in their first six bits.
fn nth(number: usize) -> ContractId {
    let mut id = ContractId([0; 32]);
    id.0[0] = u8::try_from(number << 2).unwrap();
    id
}

/// A channel with contracts in these states, each among so many others that agree with it in ever more bits, and as many delegates as there
/// may be: whatever else takes the arbiter's memory.
async fn crowded(states: &[usize], others: usize) -> (World, Channel, Inside) {
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    let delegates = |party: u8| {
        (0..MAX_DELEGATES as u8).map(|number| Delegate::defender(AccountId([party + number; 32]))).collect()
    };
    body.terms.parties.initiator.delegates = delegates(100);
    body.terms.parties.responder.delegates = delegates(200);
    let channel = world.create(&body).await;
    let apps = world.apps;
    let contracts = states.iter().enumerate().flat_map(|(number, bytes)| {
        let others = (6..6 + others).map(move |bit| {
            let mut id = nth(number);
            id.0[bit / 8] ^= 0x80 >> (bit % 8);
            (id, apps.hostile(0, Vec::new()))
        });
        std::iter::once((nth(number), apps.hostile(0, vec![7; *bytes]))).chain(others)
    });
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), contracts.collect::<Vec<_>>());
    (world, channel, base)
}

#[tokio::test]
async fn a_step_has_as_many_bytes_as_allowed_and_not_one_more() {
    let states = |last| [MAX_STATE, MAX_STATE, MAX_STATE, last];
    let calls: Vec<_> = (0..4).map(|number| ForcedCall { contract: nth(number), ..behave(1) }).collect();
    let others = 3;
    let (world, channel, base) = crowded(&states(0), others).await;
    let shown = world.blind(&channel.step(&base, Party::Initiator, calls.clone()));
    let nodes: usize = shown.proof.nodes.iter().map(Encode::encoded_size).sum();
    // R3.2: what is counted for the step, each contract and each call besides their bytes.
    let rest = MAX_FORCED_STEP - (384 + 4 * (120 + 52 + 1) + 3 * MAX_STATE + nodes);
    let (mut world, channel, base) = crowded(&states(rest + 1), others).await;
    let step = channel.step(&base, Party::Initiator, calls.clone());
    world.refuse_step(&step, Rejection::StepTooLarge).await;
    let (mut world, channel, base) = crowded(&states(rest), others).await;
    let _after = world.force(&channel.step(&base, Party::Initiator, calls)).await;
}

#[tokio::test]
async fn a_call_runs_after_answers_of_so_many_bytes_and_not_after_one_more_whatever_else_is_large() {
    // As many contracts, calls and nodes of the proof as there may be; and states as long as a step takes them.
    for (states, others, behaving, answering, input) in
        [(vec![0; 64], 15, 47, 17, 160), (vec![MAX_STATE; 3], 3, 16, 1, 512)]
    {
        let (mut world, channel, base) = crowded(&states, others).await;
        let behaving = (0..behaving).map(|number| ForcedCall { contract: nth(number % states.len()), ..behave(input) });
        let answers = |contract, bytes: usize| {
            let mut answer = call(contract, 0, &hostile::Input::Output(u32::try_from(bytes).unwrap()));
            answer.input.resize(input, 0);
            answer
        };
        let mut calls: Vec<_> = behaving.collect();
        let before = calls.len() * states[0] + (answering - 1) * MAX_OUTPUT;
        assert_eq!(before, MAX_FORCED_ANSWERS, "so much is answered before the last call");
        calls.extend(vec![answers(nth(0), MAX_OUTPUT); answering]);
        let mut one_more = calls.clone();
        one_more[1] = answers(one_more[1].contract, 1);
        let step = channel.step(&base, Party::Initiator, one_more);
        assert_eq!(world.plan(&step).map(drop), Err(Rejection::StepTooLarge));
        world.refuse_step(&step, Rejection::StepTooLarge).await;
        // What the last call answers is not asked any more.
        let after = world.force(&channel.step(&base, Party::Initiator, calls.clone())).await;
        assert_eq!(after.round, 6 + calls.len() as Round);
    }
}

#[tokio::test]
async fn whatever_call_may_be_made_fits_a_step_of_its_own() {
    let (mut world, channel, base) = crowded(&[MAX_STATE], 58).await;
    assert_eq!(base.contracts.depth(&nth(0)), 64);
    let mut largest = call(nth(0), 0, &hostile::Input::Output(u32::try_from(MAX_OUTPUT).unwrap()));
    largest.input.resize(MAX_INPUT, 0);
    let _after = world.force(&channel.step(&base, Party::Initiator, vec![largest])).await;
}

#[tokio::test]
async fn a_step_beyond_the_arbiters_buffer_breaks_off_without_a_number_and_changes_nothing() {
    // The call's arguments pass through 64 KiB of the contract's memory before anything can count them. No planner makes such a step.
    let (mut world, channel, base) = crowded(&[MAX_STATE; 4], 0).await;
    let calls = |count| (0..count).map(|number| ForcedCall { contract: nth(number), ..behave(1) }).collect::<Vec<_>>();
    let four = channel.step(&base, Party::Initiator, calls(4));
    assert_eq!(world.plan(&four).map(drop), Err(Rejection::StepTooLarge));
    let blind = Call::ChannelForceProgress(world.blind(&four));
    world.fails_on_chain(Actor::Initiator, &blind, 0, "Contracts::OutputBufferTooSmall").await;
    let _after = world.force(&channel.step(&base, Party::Initiator, calls(3))).await;
}
