//! An initiator that was away for longer than its swap: back after the target leg has expired, or both have, it ends the swap by itself, and says what became of it (R8.5d).

use crate::{
    harness::{Crash, CrashPoint, Flight, World},
    swaps::{INITIATOR, assert_both_or_none, begun, pass},
};

/// The initiator vanishes after so many steps, is away for so many blocks, and perhaps crashes once more as it is back.
fn away(after: usize, flight: Flight, blocks: u32, crash: Option<(usize, Crash)>) -> (World, String) {
    let context = format!("after {after} steps, {flight:?}, for {blocks} blocks, {crash:?}");
    let mut world = begun(after);
    world.vanish_with(INITIATOR, flight);
    pass(&mut world, blocks);
    if let Some((more, crash)) = crash {
        let commit = world.nodes[INITIATOR].commits + more;
        world.crashes.push(CrashPoint { node: INITIATOR, commit, crash });
    }
    world.come_back(INITIATOR);
    pass(&mut world, 4);
    (world, context)
}

#[test]
fn an_initiator_that_is_back_after_the_target_leg_has_expired_ends_the_swap_and_says_what_became_of_it() {
    let mut moved = 0;
    for flight in [Flight::Arrives, Flight::Lost, Flight::WithoutClaims] {
        // The target leg expires 35 blocks after the proposal, the source leg 206 blocks after it.
        for blocks in [12, 36, 45, 120, 204, 206, 300] {
            for after in 0..40 {
                let (mut world, context) = away(after, flight, blocks, None);
                pass(&mut world, 260_u32.saturating_sub(blocks));
                moved += usize::from(assert_both_or_none(&world, &context));
            }
        }
    }
    assert!(moved > 0, "{moved}");
}

#[test]
fn whatever_crashes_as_an_initiator_is_back_too_late_its_swap_ends_at_once() {
    for crash in [Crash::Before, Crash::After] {
        for blocks in [45, 300] {
            for after in (0..40).step_by(2) {
                for more in 0..10 {
                    let (mut world, context) = away(after, Flight::Arrives, blocks, Some((more, crash)));
                    pass(&mut world, 260_u32.saturating_sub(blocks));
                    let _moved = assert_both_or_none(&world, &context);
                }
            }
        }
    }
}
