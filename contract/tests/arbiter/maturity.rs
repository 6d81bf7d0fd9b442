//! A signature from before a forced step undoes it within one lock period, and never after (R5.4b).

use crate::{force_progress::agreed, harness::*};
use protocol::{
    Base, BlockNumber, Pair, Party, Rejection,
    call::Call,
    contracts::conditional::{ConditionalInput, HashFunction, Preimage},
};

/// A channel in which the initiator forced two rounds on round 6, the state that this came to, and the block of it.
async fn forced() -> (World, Channel, Inside, BlockNumber) {
    let (mut world, channel) = World::open().await;
    let base = agreed(&world, 6);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    let block = world.now();
    let tip = world.force(&channel.step_on_chain(&base, Party::Initiator, vec![count(1), count(2)])).await;
    (world, channel, tip, block)
}

/// The mark of that step.
const MARK: Base = Base { agreed: 6, steps: 2 };

/// Brings a round on each of these bases, around the block in which the mark becomes mature.
async fn around(world: &World, block: BlockNumber, make: impl Fn(&World, &Inside) -> Call) {
    let mature = block + LOCK_PERIOD;
    for now in [mature - 1, mature, mature + 1] {
        for (agreed_on, steps) in [(1, 0), (6, 0), (6, 1), (6, 2), (6, 3), (7, 0)] {
            let mut world = world.fork_for(&(now, agreed_on, steps)).await;
            world.travel_to(now).await;
            let state = agreed(&world, 9).from(agreed_on, steps);
            let (call, got) = (make(&world, &state), state.base);
            if now < mature || got >= MARK {
                let _done = world.accept(Actor::Responder, &call, 0).await;
            } else {
                world.refuse(Actor::Responder, &call, 0, Rejection::BaseTooOld { got, floor: MARK }).await;
            }
        }
    }
}

#[tokio::test]
async fn from_a_lock_period_after_a_forced_step_on_an_open_channel_takes_only_rounds_that_go_on_from_it() {
    let (world, channel, _tip, block) = forced().await;
    for &message in WhileOpen::ALL {
        println!("by {message:?}");
        around(&world, block, |world, state| message.with(world, &channel, state)).await;
    }
}

#[tokio::test]
async fn from_a_lock_period_after_a_forced_step_on_a_closing_channel_takes_only_rounds_that_go_on_from_it() {
    let (mut world, channel, tip, block) = forced().await;
    let _done = world.accept(Actor::Initiator, &channel.close_solo_on_chain(tip.commitment()), 0).await;
    for &message in WhileClosing::ALL {
        println!("by {message:?}");
        around(&world, block, |world, state| message.with(world, &channel, state)).await;
    }
}

#[tokio::test]
async fn a_claim_made_by_force_in_time_is_not_undone_by_what_was_signed_before_it() {
    let (mut world, channel) = World::open().await;
    let secret = Preimage([0x5E; 32]);
    let expiry = world.now() + 10;
    let locked = transfer(10 * UNIT, Party::Responder, &secret, HashFunction::Sha2_256, expiry);
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(TRANSFER, locked)]);
    let block = world.now();
    let claim = vec![call(TRANSFER, 0, &ConditionalInput::Claim(secret))];
    let tip = world.force(&channel.step(&base, Party::Responder, claim)).await;
    // Proposals of the payer's that were refused: it signs them now, one after the other, and each goes on from before the claim.
    let refused = |round| base.at(round).from(6, 0).state();
    world.travel_to(block + LOCK_PERIOD).await;
    let too_old = Rejection::BaseTooOld { got: Base::of(6), floor: Base { agreed: 6, steps: 1 } };
    for round in [7, 8, 9, 1_000] {
        world.refuse(Actor::Initiator, &channel.snapshot(&refused(round)), 0, too_old).await;
        world.refuse(Actor::Initiator, &channel.close_solo(&refused(round)), 0, too_old).await;
    }
    let _done = world.accept(Actor::Responder, &channel.close_solo_on_chain(tip.commitment()), 0).await;
    let unlock_at = world.recorded(&channel).closing().unwrap().unlock_at;
    world.refuse(Actor::Initiator, &channel.slash(&refused(1_001)), 0, too_old).await;
    world.travel_to(unlock_at).await;
    let done = world.accept(Actor::Responder, &channel.settle(), 0).await;
    let paid: Vec<_> = done.events[0].payouts.iter().map(|payout| payout.amount).collect();
    assert_eq!(paid, [80 * UNIT, 80 * UNIT]);
}

#[tokio::test]
async fn a_mark_outlives_the_replacement_of_its_chain() {
    let (mut world, channel, _tip, block) = forced().await;
    // Within the lock period a round from before takes the chain's place.
    let replaced = agreed(&world, 9).from(6, 0);
    let _done = world.accept(Actor::Responder, &channel.snapshot(&replaced.state()), 0).await;
    assert_eq!(world.recorded(&channel).on_chain.at, Base::of(9));
    assert_eq!(world.recorded(&channel).on_chain.maturity.highest(), MARK);
    for now in [block + LOCK_PERIOD - 1, block + LOCK_PERIOD] {
        let mut world = world.fork_for(&now).await;
        world.travel_to(now).await;
        let from_before = channel.snapshot(&agreed(&world, 11).from(6, 1).state());
        if now < block + LOCK_PERIOD {
            let _done = world.accept(Actor::Responder, &from_before, 0).await;
        } else {
            let got = Base { agreed: 6, steps: 1 };
            world.refuse(Actor::Responder, &from_before, 0, Rejection::BaseTooOld { got, floor: MARK }).await;
            // What goes on from the replacement is above the mark.
            let _done =
                world.accept(Actor::Responder, &channel.snapshot(&agreed(&world, 11).from(9, 0).state()), 0).await;
        }
    }
}

#[tokio::test]
async fn each_step_matures_by_itself() {
    let (mut world, channel, tip, first) = forced().await;
    world.travel_to(first + 7).await;
    let second = world.now();
    let _tip = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![count(1)])).await;
    for (now, floor) in [
        (first + LOCK_PERIOD - 1, Base::default()),
        (first + LOCK_PERIOD, MARK),
        (second + LOCK_PERIOD - 1, MARK),
        (second + LOCK_PERIOD, Base { steps: 3, ..MARK }),
    ] {
        let world = world.fork_for(&now).await;
        world.travel_to(now).await;
        for base in [Base::of(6), MARK, Base { steps: 3, ..MARK }] {
            let mut world = world.fork_for(&base).await;
            let call = channel.snapshot(&agreed(&world, 9).from(base.agreed, base.steps).state());
            if base >= floor {
                let _done = world.accept(Actor::Responder, &call, 0).await;
            } else {
                world.refuse(Actor::Responder, &call, 0, Rejection::BaseTooOld { got: base, floor }).await;
            }
        }
    }
}

#[tokio::test]
async fn at_most_eight_marks_for_each_allowed_step_are_kept_and_those_of_the_lowest_round_go_first() {
    // One forced step is allowed on each co-signed round, so eight marks are kept; each round on chain allows another step.
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    (body.terms.max_forced, body.terms.lock_period) = (1, 100);
    let channel = world.create(&body).await;
    for round in 2..=11 {
        let base = agreed(&world, round).from(round - 1, 0);
        let _tip = world.force(&channel.step(&base, Party::Initiator, vec![count(1)])).await;
        let marks = world.recorded(&channel).on_chain.maturity.marks().to_vec();
        let from = round.saturating_sub(7).max(2);
        let expected: Vec<_> = (from..=round).map(|agreed| Base { agreed, steps: 1 }).collect();
        assert_eq!(marks.iter().map(|mark| mark.reached).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_state_with_an_expiry_counts_up_to_its_block_in_each_message_that_shows_it() {
    let (mut world, channel) = World::open().await;
    let base = agreed(&world, 6);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&agreed(&world, 4).state()), 0).await;
    let valid_until = world.now() + 5;
    let state = State { valid_until: Some(valid_until), ..base.state() };
    let step = |world: &World| {
        let mut call = world.blind(&channel.step(&base, Party::Responder, vec![count(1)]));
        call.payload = Some(channel.payload(&state));
        Call::ChannelForceProgress(call)
    };
    let mut closing = world.fork().await;
    let close = channel.close_solo_on_chain(agreed(&closing, 4).commitment());
    let _done = closing.accept(Actor::Initiator, &close, 0).await;
    for now in [valid_until - 1, valid_until, valid_until + 1] {
        let expired = Rejection::Expired { valid_until, now };
        for call in [channel.snapshot(&state), channel.close_solo(&state), step(&world)] {
            let mut world = world.fork_for(&(now, call.name())).await;
            world.travel_to(now).await;
            if now > valid_until {
                world.refuse(Actor::Responder, &call, 0, expired).await;
            } else {
                let _done = world.accept(Actor::Responder, &call, 0).await;
            }
        }
        for call in [channel.slash(&state), step(&closing)] {
            let mut world = closing.fork_for(&(now, call.name())).await;
            world.travel_to(now).await;
            if now > valid_until {
                world.refuse(Actor::Responder, &call, 0, expired).await;
            } else {
                let _done = world.accept(Actor::Responder, &call, 0).await;
            }
        }
    }
}

#[tokio::test]
async fn the_state_on_chain_is_known_although_its_expiry_is_past() {
    // Nobody can be kept from closing on what is on chain already by the time that it took.
    let (mut world, channel) = World::open().await;
    let state = State { valid_until: Some(world.now()), ..State::new(6, 30 * UNIT, 130 * UNIT) };
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&state), 0).await;
    world.travel_to(world.now() + 5).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&state), 0).await;
    let known = Rejection::RoundAlreadyKnown { round: 6 };
    world.refuse(Actor::Initiator, &channel.slash(&state), 0, known).await;
}
