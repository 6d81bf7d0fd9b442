//! Apps that are not here (yet): fetched, waited for, or done without.

use crate::harness::{
    Initiator, LOCK, PACE, Responder, SHARE, World, apps,
    contracts::{counter, forced, of, pays, puppet},
    side::Fate,
};
use channel::{ChangeFault, Event, Input, Message, Notice, RefusalCode, Violation};
use protocol::{Pair, Party, contracts::Code};

fn settle_down(world: &mut World) {
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    world.run();
}

#[test]
fn an_app_that_is_not_here_is_fetched_and_the_round_goes_on() {
    for owner in Party::BOTH {
        let mut world = World::opened();
        world.sides[owner.peer()].book.missing = [apps::COUNTER.code, apps::PUPPET.code].into();
        let made = world.make(owner, vec![counter(Pair::default(), 3), puppet(of(owner, 5))]).unwrap();
        world.run();
        assert_eq!(world.sides[owner.peer()].fetched, [apps::COUNTER.code, apps::PUPPET.code]);
        assert!(made.iter().all(|id| matches!(world.fate(owner, *id), Fate::Paid(_))));
        world.assert_agreed();
        world.assert_no_complaints();
        // An upgrade needs code as well.
        world.sides[owner.peer()].book.missing = [apps::ESCROW.code].into();
        let contract = world.created_by(owner, made[0]);
        let code = Code::Contract(apps::ESCROW.code);
        let id = world.make_one(owner, channel::Change::UpgradeContract { contract, code, state: None }).unwrap();
        world.run();
        world.consent(owner.peer());
        world.run();
        assert!(matches!(world.fate(owner, id), Fate::Paid(_)));
    }
}

#[test]
fn an_app_that_cannot_be_had_is_a_refusal_with_its_own_code() {
    let mut world = World::opened();
    world.fetch_code = false;
    world.sides[Responder].book.missing = [apps::COUNTER.code].into();
    let id = world.make_one(Initiator, counter(Pair::default(), 3)).unwrap();
    world.run();
    assert_eq!(world.fate(Initiator, id), Fate::Refused);
    let refused = Event::Refused { payments: [id].into(), code: RefusalCode::CODE_UNKNOWN };
    assert_eq!(world.sides[Initiator].was_told(|event| *event == refused), 1);
    let fault = Violation::Change(ChangeFault::CodeUnknown(apps::COUNTER.code));
    assert_eq!(world.sides[Responder].notices().last(), Some(&Notice::PeerViolated(fault)));
    for party in Party::BOTH {
        let _id = world.pay(party, 5).unwrap();
        world.run();
    }
    world.assert_agreed();
}

/// The responder waits for the counter's app, which nobody brings.
fn waiting() -> (World, channel::ChangeId) {
    let mut world = World::opened();
    world.sides[Responder].book.missing = [apps::COUNTER.code].into();
    let id = world.make_one(Initiator, counter(Pair::default(), 3)).unwrap();
    let Message::Update(update) = world.steal(Responder) else { panic!("the round") };
    let side = &mut world.sides[Responder];
    let mut machine = side.channel.take().unwrap();
    // Without the harness, which would bring it at once.
    let step = machine.handle(Input::Peer(Message::Update(update)), &side.context(0, PACE)).unwrap();
    side.channel = Some(machine);
    assert_eq!(step, channel::Step::Act(vec![channel::Effect::FetchCode(apps::COUNTER.code)]));
    (world, id)
}

#[test]
fn an_app_that_takes_too_long_is_a_refusal_and_what_comes_later_is_no_matter() {
    let (mut world, id) = waiting();
    let patience = world.sides[Responder].config.timeouts.review;
    let round = 3;
    assert_eq!(
        world.accept(Responder, round),
        Err(channel::Misuse::NotProposed { round }),
        "there is nothing to decide yet"
    );
    world.tick(patience);
    world.run();
    let refused = Event::Refused { payments: [id].into(), code: RefusalCode::CODE_UNKNOWN };
    assert_eq!(world.sides[Initiator].was_told(|event| *event == refused), 1);
    world.sides[Responder].book.missing.clear();
    world.input(Responder, Input::Code(apps::COUNTER.code)).unwrap();
    world.run();
    assert_eq!(world.rounds(), (4, 4), "both have signed the refusal");
    let _id = world.pay(Responder, 5).unwrap();
    world.run();
    world.assert_balances(SHARE + 5, SHARE - 5);
}

#[test]
fn code_that_nobody_waits_for_changes_nothing() {
    let (mut world, id) = waiting();
    let before = world.sides[Responder].machine().save();
    world.input(Responder, Input::Code(apps::PUPPET.code)).unwrap();
    assert!(before == world.sides[Responder].machine().save());
    // After a broken link the round is said again, and the code asked for again.
    world.disconnect();
    world.input(Responder, Input::Code(apps::COUNTER.code)).unwrap();
    world.run();
    assert_eq!(world.sides[Responder].fetched, [apps::COUNTER.code]);
    assert!(matches!(world.fate(Initiator, id), Fate::Paid(_)));
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn a_forced_step_whose_app_is_not_here_is_followed_once_it_is() {
    for down in Party::BOTH {
        for fetched in [true, false] {
            let (mut world, ids) = World::with(down, vec![puppet(of(down, 50))]);
            world.sides[down].book.missing = [apps::PUPPET.code].into();
            world.fetch_code = fetched;
            let waits = world.pay(down, 3).unwrap();
            world.wire[down.peer()].clear();
            world.force(down.peer(), vec![forced(ids[0], 0, &pays(20, 0))]).unwrap();
            world.mine();
            assert_eq!(world.sides[down].fetched.first(), Some(&apps::PUPPET.code));
            world.force(down.peer(), vec![forced(ids[0], 0, &pays(0, 10))]).unwrap();
            world.mine();
            if !fetched {
                // It says so, agrees to nothing, and goes on when the app is here.
                let cannot = world.sides[down].notices().any(|it| matches!(it, Notice::PendingReplay { .. }));
                assert!(cannot);
                let _id = world.pay(down.peer(), 4).unwrap();
                world.run();
                world.crash(down);
                world.run();
                assert_eq!(world.sides[down].round(), 3 + u64::from(down == Responder));
                world.sides[down].book.missing.clear();
            }
            settle_down(&mut world);
            assert!(matches!(world.fate(down, waits), Fate::Paid(_)));
            assert_eq!(world.outcomes(down).len(), 3);
            world.assert_agreed();
        }
    }
}

#[test]
fn a_side_that_cannot_follow_can_still_be_closed_by_its_peer() {
    let (mut world, ids) = World::with(Initiator, vec![puppet(of(Initiator, 50))]);
    world.sides[Responder].book.missing = [apps::PUPPET.code].into();
    world.fetch_code = false;
    world.force(Initiator, vec![forced(ids[0], 0, &pays(20, 30))]).unwrap();
    settle_down(&mut world);
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 5);
    assert!(world.chain.is_closed());
    world.assert_paid_out(SHARE - 30, SHARE + 30);
    assert!(world.sides[Responder].closed().is_some());
}
