//! What one side refuses by a rule of its own, while a round of its own is on its way: both go on.

use crate::harness::{
    Initiator, Responder, World, apps,
    contracts::{call, counter, escrow, forced, puppet},
    side::Fate,
};
use channel::Event;
use protocol::{Pair, Party};

#[test]
fn a_round_that_crosses_one_which_is_refused_is_answered_all_the_same() {
    for refuser in Party::BOTH {
        type Trouble = fn(&mut World, Party);
        let troubles: [(Trouble, channel::Change); 4] = [
            (|world, party| world.sides[party].book.refused = [apps::PUPPET.code].into(), puppet(Pair::default())),
            (|world, party| world.sides[party].book.missing = [apps::COUNTER.code].into(), counter(Pair::default(), 3)),
            (|world, party| world.lag[party] = 30, escrow(1_000)),
            (|_, _| {}, puppet(Pair::default())),
        ];
        for (at, (trouble, change)) in troubles.into_iter().enumerate() {
            let mut world = World::opened_with(refuser, |config| config.max_contracts = if at == 3 { 0 } else { 9 });
            world.fetch_code = false;
            trouble(&mut world, refuser);
            world.mine_blocks(31);
            let refused = world.make_one(refuser.peer(), change).unwrap();
            let ours = world.pay(refuser, 5).unwrap();
            world.run();
            assert_eq!(world.fate(refuser.peer(), refused), Fate::Refused);
            assert!(
                matches!(world.fate(refuser, ours), Fate::Paid(_)),
                "{refuser:?} {at}: {:?}",
                world.fate(refuser, ours)
            );
            let _id = world.pay(refuser.peer(), 5).unwrap();
            world.run();
            world.assert_agreed();
        }
    }
}

#[test]
fn a_round_that_names_an_old_height_is_made_again_at_the_present_one() {
    for by in Party::BOTH {
        let mut world = World::opened();
        let id = world.make_one(by, escrow(1_000)).unwrap();
        let after = world.pay(by, 3).unwrap();
        world.disconnect();
        world.mine_blocks(60);
        world.run();
        assert!(matches!(world.fate(by, id), Fate::Paid(_)), "{:?}", world.fate(by, id));
        assert!(matches!(world.fate(by, after), Fate::Paid(_)));
        assert_eq!(world.sides[by].was_told(|event| matches!(event, Event::Refused { .. })), 0);
        world.assert_agreed();
    }
}

fn settle_down(world: &mut World) {
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    world.run();
}

#[test]
fn a_side_that_meets_its_peer_before_it_sees_the_next_forced_step_goes_on_once_it_does() {
    for behind in Party::BOTH {
        let (mut world, ids) = World::with(Initiator, vec![counter(Pair::default(), 100)]);
        world.disconnect();
        world.force(behind.peer(), vec![forced(ids[0], 0, &1_u64)]).unwrap();
        world.mine();
        world.lag[behind] = 3;
        world.force(behind.peer(), vec![forced(ids[0], 0, &1_u64)]).unwrap();
        world.mine();
        // Both are on forced states, and not on the same.
        world.run();
        world.lag[behind] = 0;
        settle_down(&mut world);
        for party in Party::BOTH {
            let id = world.pay(party, 5).unwrap();
            world.run();
            assert!(matches!(world.fate(party, id), Fate::Paid(_)), "{behind:?} {party:?}");
        }
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn a_close_said_again_after_calls_were_forced_is_no_wrong() {
    for closer in Party::BOTH {
        let mut world = World::opened_with(closer, |config| config.close_validity = 8);
        let ids = world.create(closer, vec![counter(Pair::default(), 100)]);
        world.shutdown(closer, 0).unwrap();
        world.disconnect();
        world.force(closer.peer(), vec![forced(ids[0], 1, &1_u64)]).unwrap();
        world.mine();
        for _ in 0..3 {
            settle_down(&mut world);
        }
        assert_eq!(world.states(), ("open", "open"));
        let _id = world.pay(closer, 5).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn a_close_that_was_put_by_is_refused_for_now_when_calls_are_forced() {
    for forcer in Party::BOTH {
        let closer = forcer.peer();
        let mut world = World::new();
        world.sides[forcer].config.force_after = Some(100);
        world.sides[closer].config.close_validity = 8;
        world.open();
        world.run();
        world.mine();
        world.run();
        let ids = world.create(closer, vec![counter(Pair::default(), 100)]);
        let id = world.make_one(forcer, call(ids[0], 1, &1_u64)).unwrap();
        world.shutdown(closer, 0).unwrap();
        assert!(world.deliver(forcer));
        world.tick(0);
        world.tick(100);
        assert_eq!(world.fate(forcer, id), Fate::Forcing);
        for _ in 0..4 {
            settle_down(&mut world);
        }
        assert_eq!(world.fate(forcer, id), Fate::Forced(world.sides[forcer].round()));
        assert_eq!(world.states(), ("open", "open"));
        let _id = world.pay(closer, 5).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn what_lies_below_a_round_given_up_for_a_forced_step_is_proposed_again_above_it() {
    // The step is given up as well: nothing but the round's number is left, which the other side never saw.
    let mut world = World::opened_with(Responder, |config| config.force_after = Some(100));
    let ids = world.create(Initiator, vec![escrow(105)]);
    let mine = world.make_one(Responder, call(ids[0], 9, &apps::Tokens::Issue)).unwrap();
    let theirs = world.pay(Initiator, 3).unwrap();
    let (higher, lower) =
        (world.sides[Responder].signed.last_key_value(), world.sides[Initiator].signed.last_key_value());
    assert!(higher > lower);
    world.disconnect();
    world.tick(0);
    world.tick(100);
    let _new = world.chain.censored.insert("channel_force_progress");
    world.chain.drop_pool();
    world.mine_blocks(10);
    assert_eq!(world.fate(Responder, mine), Fate::ForceFailed);
    world.run();
    assert!(matches!(world.fate(Initiator, theirs), Fate::Paid(_)), "{:?}", world.fate(Initiator, theirs));
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn an_operation_below_a_round_given_up_for_a_forced_step_is_asked_for_again_above_it() {
    let (mut world, ids) = World::with(Responder, vec![counter(Pair::default(), 2)]);
    // The initiator's round lies far above the step, and its call cannot be made any more after it.
    let _seven = world.pay(Initiator, 1).unwrap();
    world.wire[Responder].clear();
    world.hear(Initiator, channel::Message::UpdateError { round: 7, code: channel::RefusalCode::APPLICATION });
    let lost = world.make_one(Initiator, call(ids[0], 0, &2_u64)).unwrap();
    world.wire[Responder].clear();
    world.force(Responder, vec![forced(ids[0], 0, &1_u64)]).unwrap();
    world.mine();
    world.run();
    assert_eq!(world.fate(Initiator, lost), Fate::Failed);
    world.deposit(Responder, 20).unwrap();
    settle_down(&mut world);
    assert_eq!(world.sides[Responder].deposited, 20);
    world.assert_agreed();
}
