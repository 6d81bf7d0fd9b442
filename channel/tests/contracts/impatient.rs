//! Own calls that wait too long for the peer: they are made by force.

use super::forced::{settle_down, told};
use crate::harness::{
    Initiator, Responder, SHARE, World,
    contracts::{call, counter, of, pays, puppet},
    side::Fate,
};
use channel::{ChangeId, Event, Outcome, Payment};
use protocol::{Party, contracts::ContractId};
use scale::Encode;

/// A world in which one side's own calls do not wait long for the peer.
fn impatient(forcer: Party) -> (World, Vec<ContractId>) {
    let mut world = World::opened_with(forcer, |config| config.force_after = Some(1_000));
    let ids = world.create(forcer, vec![counter(of(forcer, 50), 9), puppet(of(forcer, 50))]);
    (world, ids)
}

#[test]
fn own_calls_that_wait_too_long_are_forced_and_what_waits_before_them_is_given_up() {
    for forcer in Party::BOTH {
        let (mut world, ids) = impatient(forcer);
        let silent = forcer.peer();
        let before = world.pay(forcer, 1).unwrap();
        let calls = world.make(forcer, vec![call(ids[0], 3, &1_u64), call(ids[0], 4, &1_u64)]).unwrap();
        let after = world.pay(forcer, 2).unwrap();
        // The peer is there, and says nothing.
        world.wire[silent].clear();
        world.tick(1_000);
        assert_eq!(world.fate(forcer, before), Fate::Pending, "the clock has only begun");
        world.tick(999);
        assert_eq!(world.fate(forcer, calls[0]), Fate::Pending);
        world.tick(1);
        // The peer holds a signature of the first payment: it may still come (R6.1).
        assert_eq!(world.fate(forcer, before), Fate::Refused);
        assert_eq!(told(&world, forcer, |it| *it == Event::Forcing { changes: calls.clone() }), 1);
        world.mine();
        for id in &calls {
            assert!(matches!(world.fate(forcer, *id), Fate::Forced(_)));
        }
        let Some(Event::Executed { performed, .. }) = world.sides[forcer].events.last() else { panic!("executed") };
        assert!(performed.iter().map(|it| it.change).eq(calls.into_iter().map(Some)));
        settle_down(&mut world);
        assert!(matches!(world.fate(forcer, after), Fate::Paid(_)), "the peer is back");
        world.assert_books();
        assert_eq!(world.sides[forcer].balances().ours, world.told(forcer));
        assert_eq!(world.sides[forcer].balances().ours, SHARE - 100 - 7 - 2);
    }
}

#[test]
fn calls_that_were_never_shown_to_the_peer_are_forced_with_the_link_down() {
    let (mut world, ids) = impatient(Initiator);
    world.disconnect();
    let before = world.pay(Initiator, 1).unwrap();
    let id = world.make_one(Initiator, call(ids[1], 0, &pays(50, 0))).unwrap();
    world.tick(0);
    world.tick(1_000);
    assert_eq!((world.fate(Initiator, before), world.fate(Initiator, id)), (Fate::Dropped, Fate::Forcing));
    world.crash(Initiator);
    world.mine_blocks(2);
    assert_eq!(world.fate(Initiator, id), Fate::Forced(4));
    world.run();
    world.assert_agreed();
    world.assert_no_complaints();
    let _id = world.pay(Responder, 5).unwrap();
    world.run();
    world.assert_agreed();
}

#[test]
fn payments_that_wait_alone_are_never_given_up_for_time() {
    let (mut world, _ids) = impatient(Initiator);
    let id = world.pay(Initiator, 1).unwrap();
    world.wire[Responder].clear();
    for _ in 0..10 {
        world.tick(1_000);
    }
    assert_eq!(world.fate(Initiator, id), Fate::Pending);
    world.disconnect();
    world.run();
    assert!(matches!(world.fate(Initiator, id), Fate::Paid(_)));
}

#[test]
fn the_ids_of_forced_calls_are_those_of_the_changes_that_waited() {
    let (mut world, ids) = impatient(Responder);
    let next = world.sides[Responder].machine().next_change().unwrap();
    let id = world.make_one(Responder, call(ids[0], 0, &9_u64)).unwrap();
    assert_eq!(id, next);
    world.wire[Initiator].clear();
    world.tick(0);
    world.tick(1_000);
    world.crash(Responder);
    assert_eq!(world.sides[Responder].machine().next_change(), Some(ChangeId(next.0 + 1)));
    settle_down(&mut world);
    assert_eq!(world.fate(Responder, id), Fate::Forced(5));
    let payouts = of(Responder, 50);
    let output = 9_u64.encode();
    let done = Outcome::Called { contract: ids[0], value: 0, payouts, output, ended: false };
    assert_eq!(world.outcomes(Responder).last(), Some(&done));
    world.assert_agreed();
    let payment = Payment { amount: 1, reference: Vec::new() };
    assert!(world.make(Responder, vec![channel::Change::Transfer(payment)]).is_ok());
}
