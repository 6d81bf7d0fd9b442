//! A co-signed state replaces a whole forced chain, from the chain's first round on, whichever message brings it (R5.4).

use super::*;
use protocol::{Base, Rejection, call::Call};

/// What both agreed on instead of what was forced.
fn instead(world: &World, round: Round) -> Inside {
    Inside::new(round, Pair::new(30 * UNIT, 100 * UNIT), [(COUNTER, world.apps.counting(30 * UNIT, 500, 1_000))])
}

/// Brings rounds around the forced chain 7 to 9 by one message.
async fn around(world: &World, channel: &Channel, make: impl Fn(&World, &Inside) -> Call, forces: bool) {
    for round in 6..=10 {
        let mut world = world.fork_for(&round).await;
        let state = instead(&world, round);
        let call = make(&world, &state);
        if round < 7 {
            // Not even the state that the chain was forced on: nobody takes a forced step back by showing it again.
            let too_old = Rejection::RoundTooOld { got: round, have: 6 };
            world.refuse(Actor::Responder, &call, 0, too_old).await;
            continue;
        }
        let _done = world.accept(Actor::Responder, &call, 0).await;
        let record = world.recorded(channel);
        if forces {
            assert_eq!(record.on_chain.at, Base { agreed: round, steps: 1 });
            assert_eq!(record.forced_steps, Pair::new(0, 1), "counted anew");
        } else {
            assert_eq!((record.on_chain.at, record.on_chain.state_hash), (Base::of(round), state.state().hash()));
            assert_eq!(record.forced_steps, Pair::default());
        }
    }
}

#[tokio::test]
async fn each_message_with_a_co_signed_state_replaces_a_forced_chain_of_an_open_channel_from_its_first_round_on() {
    let (world, channel, _tip) = forced().await;
    for &message in WhileOpen::ALL {
        println!("by {message:?}");
        let make = |world: &World, state: &Inside| message.with(world, &channel, state);
        around(&world, &channel, make, message == WhileOpen::ForceProgress).await;
    }
}

#[tokio::test]
async fn each_message_with_a_co_signed_state_replaces_a_forced_chain_of_a_closing_channel_from_its_first_round_on() {
    let (mut world, channel, tip) = forced().await;
    let _done = world.accept(Actor::Initiator, &channel.close_solo_on_chain(tip.commitment()), 0).await;
    for &message in WhileClosing::ALL {
        println!("by {message:?}");
        let make = |world: &World, state: &Inside| message.with(world, &channel, state);
        around(&world, &channel, make, message == WhileClosing::ForceProgress).await;
    }
}

#[tokio::test]
async fn a_chain_forced_while_closing_is_replaced_from_its_first_round_on_and_the_balances_with_it() {
    let (mut world, channel, base) = closing(Party::Initiator).await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![call(COUNTER, 20 * UNIT, &1u64), count(1)]);
    let after = world.force(&step).await;
    assert_eq!(world.recorded(&channel).closing().unwrap().balances, Pair::new(65 * UNIT, 70 * UNIT));
    assert_eq!(after.round, 8);
    let state = instead(&world, 7);
    let _done = world.accept(Actor::RespondersDelegate, &channel.slash(&state.state()), 0).await;
    let record = world.recorded(&channel);
    assert_eq!(record.on_chain.at, Base::of(7), "the round goes down");
    assert_eq!(record.closing().unwrap().balances, state.balances);
}

#[tokio::test]
async fn nothing_forced_counts_once_it_was_replaced() {
    let (mut world, channel, tip) = forced().await;
    let state = instead(&world, 7);
    let _done = world.accept(Actor::Responder, &channel.snapshot(&state.state()), 0).await;
    let on_the_forced_state = channel.step_on_chain(&tip, Party::Initiator, vec![count(1)]);
    world.refuse_step(&on_the_forced_state, Rejection::CommitmentMismatch).await;
    let close = channel.close_solo_on_chain(tip.commitment());
    world.refuse(Actor::Initiator, &close, 0, Rejection::CommitmentMismatch).await;
    // The round that replaced the chain's first cannot be replaced by the one that the chain began on, nor by itself.
    let again = Rejection::RoundAlreadyKnown { round: 7 };
    world.refuse(Actor::Responder, &channel.snapshot(&state.state()), 0, again).await;
    let another = Rejection::RoundHasOtherState { round: 7 };
    world.refuse(Actor::Initiator, &channel.snapshot(&tip.at(7).state()), 0, another).await;
}

#[tokio::test]
async fn a_close_on_a_payload_ends_the_forced_chain_so_that_its_own_round_is_no_answer() {
    // Two cases that were once wrong elsewhere: after "force, close on a payload" the payload's round counts once.
    let (mut world, channel, _tip) = forced().await;
    let state = instead(&world, 8);
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&state.state()), 0).await;
    assert_eq!(world.recorded(&channel).on_chain.at, Base::of(8));
    let known = Rejection::RoundAlreadyKnown { round: 8 };
    world.refuse(Actor::Responder, &channel.slash(&state.state()), 0, known).await;
}

#[tokio::test]
async fn a_forced_step_on_a_payload_begins_a_new_chain_so_that_the_payload_is_too_old_to_close_on() {
    let (mut world, channel, _tip) = forced().await;
    let state = instead(&world, 13);
    let _after = world.force(&channel.step(&state, Party::Responder, vec![count(1)])).await;
    assert_eq!(world.recorded(&channel).on_chain.at, Base { agreed: 13, steps: 1 });
    let too_old = Rejection::RoundTooOld { got: 13, have: 13 };
    world.refuse(Actor::Initiator, &channel.close_solo(&state.state()), 0, too_old).await;
}

#[tokio::test]
async fn a_state_forced_by_one_party_does_not_outlive_the_others_newer_one_even_by_force() {
    // Elsewhere a forced step on a payload climbs only above the tip; here it is exactly snapshot and then step.
    let (mut world, channel, _tip) = forced().await;
    let state = instead(&world, 7);
    let after = world.force(&channel.step(&state, Party::Responder, vec![count(9)])).await;
    let record = world.recorded(&channel);
    assert_eq!((after.round, record.on_chain.at), (8, Base { agreed: 7, steps: 1 }));
    assert_eq!(after.state_of::<counter::State>(COUNTER).count, 509);
}
