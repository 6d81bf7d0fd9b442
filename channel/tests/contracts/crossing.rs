//! What one side refuses by a rule of its own, while a round of its own is on its way: both go on.

use crate::harness::{
    Initiator, Responder, World, apps,
    contracts::{counter, escrow, puppet},
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
    let _both = (Initiator, Responder);
}
