//! A crash at every commit of either side, and after each of its effects: no transfer is made twice, lost or paid twice.

use super::*;

/// A story with two transfers to claim, one to fail and one that expires; a crash of `party` at its `commit`-th commit, after `effects` of its effects.
fn story(party: Party, commit: usize, effects: usize) -> Option<usize> {
    let mut world = World::opened();
    world.plan_crash(party, commit, effects, false);
    let mut done = std::collections::BTreeSet::new();
    for step in 0..60 {
        for number in 1..=4 {
            let blocks = if number == 4 { 12 } else { 60 };
            if done.insert(number) && world.offer(Initiator, number, 10, blocks).is_err() {
                let _again = done.remove(&number);
            }
            if let Some(Progress::Failed(Failure::PeerAway)) = world.progress(Initiator, number) {
                world.command(Initiator, Command::Transfer(TransferCommand::Forget { key: name(number) })).unwrap();
                let _again = done.remove(&number);
            }
        }
        let before = world.messages;
        let _some = [world.deliver(Initiator), world.deliver(Responder)];
        for number in [1, 2, 3] {
            let undecided =
                |row: &IncomingTransfer| row.terms.lock == secret(number).1 && row.intent == Intent::Undecided;
            if world.sides[Responder].machine().incoming_transfers().values().any(undecided) {
                if number == 3 {
                    world.fail(Responder, number).unwrap()
                } else {
                    world.claim(Responder, number).unwrap()
                }
            }
        }
        if world.messages == before || step % 5 == 4 {
            world.run();
            world.mine();
        }
    }
    world.run();
    world.mine_blocks(20);
    world.run();
    assert_eq!(world.open_transfers(), 0);
    assert_eq!(
        (world.ours(Initiator), world.ours(Responder)),
        (SHARE - 20, SHARE + 20),
        "{party:?} {commit} {effects}"
    );
    for (number, fulfilled) in [(1, true), (2, true), (3, false), (4, false)] {
        let progress = world.progress(Initiator, number);
        assert_eq!(matches!(progress, Some(Progress::Fulfilled(_))), fulfilled, "{number}: {progress:?}");
    }
    world.crashed_with
}

#[test]
fn a_crash_at_any_commit_and_effect_changes_nothing_of_what_comes_of_transfers() {
    let mut crashes = 0;
    for party in Party::BOTH {
        for commit in 0.. {
            let Some(with) = story(party, commit, 0) else { break };
            crashes += 1;
            for effects in 1..=with {
                let _crashed = story(party, commit, effects);
                crashes += 1;
            }
        }
    }
    assert!(crashes > 40, "{crashes}");
}

#[test]
fn rows_that_are_missing_are_damage() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 10, 20).unwrap();
    world.run();
    let side = &world.sides[Initiator];
    let bytes = side.stored.clone().unwrap();
    let load = |rows: Vec<channel::transfer::TransferRow>| {
        channel::Channel::load(&bytes, side.rows.clone(), side.kept.values().cloned(), rows)
    };
    assert!(load(side.transfers.values().cloned().collect()).is_ok());
    assert!(matches!(load(Vec::new()), Err(channel::SavedError::Damaged(_))));
    let twice = side.transfers.values().chain(side.transfers.values()).cloned().collect();
    assert!(matches!(load(twice), Err(channel::SavedError::Damaged(_))));
    let row: &OutgoingTransfer = side.machine().outgoing_transfer(&name(1)).unwrap();
    assert_eq!(row.progress, Progress::Offered);
}
