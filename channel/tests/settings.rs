//! Settings that are one side's alone, changed while the channel lives.

use crate::harness::{
    Initiator, LOCK, Responder, SHARE, World,
    contracts::{call, counter, pays, puppet},
};
use channel::{Acceptance, Command, Config, Event, Misuse, RefusalCode};
use protocol::{Pair, Party};

/// Changes a setting of a running channel.
fn set(world: &mut World, party: Party, change: impl Fn(&mut Config)) -> Result<(), Misuse> {
    let mut config = *world.sides[party].machine().config();
    change(&mut config);
    world.command(party, Command::Configure(Box::new(config)))
}

#[test]
fn other_settings_count_at_once_and_after_a_crash_and_the_same_ones_are_no_change() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let commits = world.sides[party].commits;
        set(&mut world, party, |_same| {}).unwrap();
        assert_eq!(world.sides[party].commits, commits);
        set(&mut world, party, |config| config.acceptance = Acceptance::Manual).unwrap();
        assert_eq!(world.sides[party].commits, commits + 1);
        world.crash(party);
        world.run();
        let _id = world.pay(party.peer(), 30).unwrap();
        world.run();
        let round = world.asked(party).unwrap();
        // What was shown still waits for the user.
        set(&mut world, party, |config| config.acceptance = Acceptance::Automatic).unwrap();
        world.run();
        assert_eq!(world.rounds(), (1, 1));
        world.accept(party, round).unwrap();
        world.run();
        let _id = world.pay(party.peer(), 5).unwrap();
        world.run();
        let (ours, peers) = (SHARE + 35, SHARE - 35);
        if party == Initiator {
            world.assert_balances(ours, peers)
        } else {
            world.assert_balances(peers, ours)
        }
        world.assert_agreed();
    }
}

#[test]
fn a_fee_above_a_ceiling_that_was_lowered_is_refused() {
    let mut world = World::opened();
    set(&mut world, Responder, |config| config.max_close_fee = 3).unwrap();
    world.shutdown(Initiator, 4).unwrap();
    world.run();
    let refused = |event: &Event| *event == Event::ShutdownRefused { code: RefusalCode::VALIDATION };
    assert_eq!(world.sides[Initiator].was_told(refused), 1);
    // It is kept until the user has it, as what becomes of the other wishes is.
    let known = std::mem::take(&mut world.sides[Initiator].taken);
    world.sides[Initiator].takes_events = false;
    world.crash(Initiator);
    assert_eq!((world.sides[Initiator].was_told(refused), world.sides[Initiator].taken), (2, known));
    // However often the peer says so, one waits.
    for _ in 0..10 {
        world.hear(Initiator, channel::Message::ShutdownError { code: RefusalCode::BUSY });
    }
    assert_eq!(world.sides[Initiator].was_told(|event| matches!(event, Event::ShutdownRefused { .. })), 2);
    let mut world = World::opened();
    set(&mut world, Responder, |config| config.max_close_fee = 3).unwrap();
    world.shutdown(Initiator, 3).unwrap();
    world.run();
    world.mine();
    assert!(world.chain.is_closed());
}

#[test]
fn calls_that_wait_are_forced_once_that_is_wanted() {
    let (mut world, ids) = World::with(Initiator, vec![puppet(Pair::new(50, 0))]);
    world.kill(Responder);
    let _id = world.make_one(Initiator, call(ids[0], 0, &pays(1, 0))).unwrap();
    world.input(Initiator, channel::Input::Tick).unwrap();
    world.now += 1_000_000;
    world.input(Initiator, channel::Input::Tick).unwrap();
    assert_eq!(world.chain.times_asked(Initiator, "channel_force_progress"), 0);
    set(&mut world, Initiator, |config| config.force_after = Some(1_000)).unwrap();
    world.input(Initiator, channel::Input::Tick).unwrap();
    world.now += 1_000;
    world.input(Initiator, channel::Input::Tick).unwrap();
    assert_eq!(world.chain.times_asked(Initiator, "channel_force_progress"), 1);
}

#[test]
fn a_side_that_begins_to_defend_answers_an_old_close_at_once() {
    let mut world = World::opened_with(Initiator, |config| config.defend = false);
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Responder, 40).unwrap();
    world.run();
    // Its own machine would answer what another hand has closed.
    world.kill(Responder);
    world.chain.submit(Responder, protocol::call::Call::ChannelCloseSolo(old));
    world.mine_blocks(3);
    assert_eq!(world.chain.times_asked(Initiator, "channel_slash"), 0);
    set(&mut world, Initiator, |config| config.defend = true).unwrap();
    assert_eq!(world.chain.times_asked(Initiator, "channel_slash"), 1);
    world.mine_blocks(LOCK + 5);
    assert!(world.chain.wealth(Initiator) >= world.chain.wealth(Responder) + 80);
    assert_eq!(set(&mut world, Initiator, |config| config.defend = false), Err(Misuse::NotOpen { state: "closed" }));
}

#[test]
fn a_round_that_waits_for_its_block_is_answered_where_more_patience_is_set() {
    let mut world = World::opened();
    world.lag[Initiator] = 2;
    world.mine_blocks(2);
    let _id = world.make_one(Responder, counter(Pair::default(), 9)).unwrap();
    world.run();
    assert_eq!(world.rounds(), (1, 1));
    set(&mut world, Initiator, |config| config.height_window.ahead = 2).unwrap();
    world.run();
    assert!(world.rounds().0 > 1);
    world.assert_agreed();
}
