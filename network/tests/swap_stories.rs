//! Swaps in processes that start without one of their chains, and in random stories.

use crate::{
    harness::{Crash, CrashPoint, OTHER, Work, World},
    swaps::{ID, INITIATOR, RESPONDER, assert_both_or_none, begun, pass, propose, world},
};

#[test]
fn a_process_that_starts_without_one_of_its_chains_decides_nothing_that_depends_on_it_and_goes_on_once_it_is_there() {
    for who in [INITIATOR, RESPONDER] {
        for after in 0..40 {
            let mut world = begun(after);
            world.lose_second(who);
            // Within the responder's margins.
            pass(&mut world, 3);
            world.join_second(who);
            pass(&mut world, 3);
            pass(&mut world, 260);
            let _moved =
                assert_both_or_none(&world, &format!("{who} starts without its second chain after {after} steps"));
        }
    }
}

/// Those who are there go on for so many blocks.
fn go_on(world: &mut World, blocks: u32) {
    for _ in 0..blocks {
        world.run();
        world.tick(6_000);
        world.advance_both(1, 1);
    }
}

/// A link that breaks, and is up again.
fn break_link(world: &mut World, channel: usize) {
    for node in [INITIATOR, RESPONDER] {
        world.give(node, channel, Work::Down);
    }
    world.link(channel);
}

/// A swap in a story of 200 acts: tasks take turns in any order, words are lost, nodes crash at any time and are away for less than their margins, either side cancels, and runs without its second chain for as long.
fn play(bytes: &[u8]) -> bool {
    let mut world = world();
    world.joins_backwards = bytes.first().is_some_and(|byte| byte % 2 == 1);
    propose(&mut world, ID);
    let (mut blocks, mut absences) = (0, 0);
    for pair in bytes.chunks_exact(2) {
        let (act, which) = (pair[0] % 16, usize::from(pair[1]));
        match act {
            0..=9 => {
                let ready = world.ready();
                if let Some((node, channel)) = ready.get(which % ready.len().max(1)).copied() {
                    world.step(node, channel);
                }
            }
            10 => world.lost_words.push(world.words + 1 + which % 3),
            11 => {
                let crash = if which % 2 == 0 { Crash::Before } else { Crash::After };
                let node = which / 2 % 2;
                world.crashes.push(CrashPoint { node, commit: world.nodes[node].commits + which / 4 % 4, crash });
            }
            12 if blocks < 40 => {
                blocks += 1;
                world.tick(6_000);
                world.advance_both(1, 1);
            }
            13 => {
                break_link(&mut world, [0, OTHER][which % 2]);
            }
            14 if which % 8 == 0 => {
                let who = which / 8 % 2;
                if let Ok(outputs) = world.nodes[who].router.cancel_swap(ID) {
                    world.commit_outside(who, outputs);
                }
            }
            14 if which % 8 == 1 && absences < 2 => {
                absences += 1;
                let who = which / 8 % 2;
                world.lose_second(who);
                go_on(&mut world, 3);
                world.join_second(who);
            }
            15 if which % 4 == 0 && absences < 2 => {
                absences += 1;
                let who = which / 4 % 2;
                world.vanish(who);
                go_on(&mut world, 5);
                world.come_back(who);
            }
            _ => {}
        }
    }
    world.crashes.clear();
    for channel in [0, OTHER] {
        break_link(&mut world, channel);
    }
    pass(&mut world, 4);
    pass(&mut world, 260);
    assert_both_or_none(&world, "a random story")
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 256, ..Default::default() })]

    #[test]
    fn a_swap_in_any_story_moves_both_legs_or_none(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 400)) {
        let _moved = play(&bytes);
    }
}
