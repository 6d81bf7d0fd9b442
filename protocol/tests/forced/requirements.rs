//! What an app requires of a hash lock (R7.1a) is judged as a conditional transfer is (R8.1).

use crate::fixture::*;
use protocol::contracts::{AppOutcome, AppReply, Requirement, conditional::HashLock};

const FUNCTION: HashFunction = HashFunction::Sha2_256;

fn lock() -> HashLock {
    SECRET.lock(FUNCTION, &Native)
}

/// A call of an app that answers with this requirement, and pays the responder 9.
fn requiring(requirement: Requirement) -> ForcedCall {
    let outcome = AppOutcome { payouts: Pair::new(0, 9), requirement: Some(requirement), ..AppOutcome::default() };
    call(PUPPET, 0, AppReply::Ok(outcome))
}

fn shown(preimage: Preimage) -> ForcedCall {
    requiring(Requirement::Shown { lock: lock(), preimage, before: EXPIRY })
}

fn silent() -> ForcedCall {
    requiring(Requirement::Silent { lock: lock(), from: EXPIRY })
}

fn is_refused(world: &World, wrong: &ForcedCall, fault: CallFault) {
    let state = state();
    let (step, _) =
        world.step(&state, Party::Initiator, vec![count(), call(PUPPET, 0, AppReply::Ok(AppOutcome::default()))]);
    let step = ForceProgress { calls: vec![count(), wrong.clone()], ..step };
    let refused = Rejection::CallFailed { round: ROUND + 2, fault };
    assert_eq!(world.clone().force(INITIATOR, step), Err(refused), "in block {}", world.now);
}

#[test]
fn a_call_that_requires_a_pre_image_shows_it_and_counts_before_the_expiry_alone() {
    let state = state();
    let mut world = World { now: EXPIRY - 1, ..World::on(&state) };
    is_refused(&world, &shown(Preimage([78; 32])), CallFault::WrongPreimage);
    let late = World { now: EXPIRY, ..world.clone() };
    is_refused(&late, &shown(SECRET), CallFault::TooLate { expiry: EXPIRY });
    let (step, after) = world.step(&state, Party::Initiator, vec![shown(SECRET)]);
    assert_eq!(after.balances.responder, state.balances.responder + 9);
    let applied = world.force(INITIATOR, step).unwrap();
    assert_eq!(applied.preimages, vec![(lock(), SECRET, EXPIRY - 1)], "the call shows it on chain");
}

#[test]
fn a_pre_image_that_was_shown_in_time_lets_the_call_be_made_at_any_time() {
    let state = state();
    for (shown_at, counts) in [(EXPIRY - 1, true), (EXPIRY, false)] {
        let mut world = World { now: shown_at, ..World::on(&state) };
        let register = Call::PreimageRegister { preimage: SECRET, function: FUNCTION };
        let _applied = world.apply(STRANGER, register).unwrap();
        world.now = EXPIRY + 1_000;
        let (made, refused, fault) = match counts {
            true => (shown(SECRET), silent(), CallFault::ShownInTime),
            false => (silent(), shown(SECRET), CallFault::TooLate { expiry: EXPIRY }),
        };
        is_refused(&world, &refused, fault);
        let (step, after) = world.step(&state, Party::Initiator, vec![made]);
        assert_eq!(after.balances.responder, state.balances.responder + 9);
        let _applied = world.force(INITIATOR, step).unwrap();
    }
}

#[test]
fn a_call_that_requires_silence_waits_for_the_expiry() {
    let state = state();
    let early = World { now: EXPIRY - 1, ..World::on(&state) };
    is_refused(&early, &silent(), CallFault::TooEarly { expiry: EXPIRY, height: EXPIRY - 1 });
    let mut world = World { now: EXPIRY, ..early };
    let (step, _) = world.step(&state, Party::Initiator, vec![silent()]);
    let _applied = world.force(INITIATOR, step).unwrap();
}

#[test]
fn what_a_refused_step_would_have_shown_is_not_shown() {
    let state = state();
    let mut world = World { now: EXPIRY - 1, ..World::on(&state) };
    let (step, _) = world.step(&state, Party::Initiator, vec![shown(SECRET)]);
    let twice = ForceProgress { calls: vec![shown(SECRET), call(PUPPET, 0, ())], ..step };
    let undecodable = Rejection::CallFailed { round: ROUND + 2, fault: CallFault::Undecodable };
    assert_eq!(world.force(INITIATOR, twice), Err(undecodable));
    assert!(world.ledger.preimages.is_empty());
}
