//! The stored form: it changes only on purpose.

use crate::harness::{Initiator, Responder, SHARE, World, chain::FUNDS, side::Fate};
use channel::{ChangeId, Channel, Command, Event, Input, Payment, PaymentOutcome, PaymentRecord, SavedError};
use scale::Encode;

/// A channel with something of everything: agreed rounds, a deposit on chain, a round that is open, and events that nobody has taken.
fn full_of_things() -> World {
    let mut world = World::opened();
    let _id = world.pay_without_key(Initiator, 100).unwrap();
    world.run();
    world.deposit(Initiator, 50).unwrap();
    world.run();
    world.mine();
    world.run();
    world.sides[Initiator].takes_events = false;
    let _id = world.pay_without_key(Initiator, 5).unwrap();
    world.run();
    // The responder asks for something while the initiator proposes: that waits.
    let _id = world.pay_without_key(Initiator, 7).unwrap();
    world.withdraw(Responder, 20).unwrap();
    assert!(world.deliver(Initiator));
    world
}

#[test]
fn the_stored_form_has_not_changed_by_accident() {
    let world = full_of_things();
    let saved = world.sides[Initiator].machine().save();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/saved-v11-open.bin");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(path, &saved).unwrap();
    }
    let fixture = std::fs::read(path).unwrap();
    assert!(saved == fixture, "version 11 is written in another way now: that needs a new version");
}

#[test]
fn the_stored_form_of_a_payment_with_a_key_has_not_changed_by_accident() {
    let payment = Payment { amount: 5, reference: b"for what".into() };
    let record =
        |outcome| PaymentRecord { change: ChangeId(7), key: Some("order-1".into()), payment: payment.clone(), outcome };
    let head =
        [&7_u64.to_le_bytes()[..], &[1, 7 << 2], b"order-1", &5_u128.to_le_bytes(), &[8 << 2], b"for what"].concat();
    for (outcome, tail) in [
        (PaymentOutcome::Pending, vec![0]),
        (PaymentOutcome::Paid(3), vec![1, 3, 0, 0, 0, 0, 0, 0, 0]),
        (PaymentOutcome::Dropped, vec![3]),
        (PaymentOutcome::Unknown, vec![6]),
    ] {
        assert_eq!(record(outcome).encode(), [head.clone(), tail].concat());
    }
}

#[test]
fn a_stored_channel_goes_on() {
    let mut world = full_of_things();
    let bytes = include_bytes!("fixtures/saved-v11-open.bin");
    let channel = Channel::load(bytes, [], [], []).unwrap();
    assert_eq!(channel.save(), bytes);
    assert_eq!(channel.status().pending, 1);
    world.kill(Initiator);
    world.sides[Initiator].stored = Some(bytes.to_vec());
    world.restart(Initiator);
    for _ in 0..3 {
        world.run();
        world.mine();
    }
    world.run();
    assert_eq!(world.sides[Responder].withdrawn, 20);
    assert_eq!(world.chain.wealth(Initiator) + world.chain.wealth(Responder), 2 * FUNDS - 2 * SHARE - 50 + 20);
    assert_eq!(world.sides[Initiator].sent.values().filter(|(_, fate)| matches!(fate, Fate::Paid(_))).count(), 3);
}

#[test]
fn a_channel_of_a_later_version_or_of_none_is_refused() {
    let mut bytes = full_of_things().sides[Initiator].machine().save();
    bytes[0] = 12;
    assert_eq!(Channel::load(&bytes, [], [], []), Err(SavedError::Newer(12)));
    for older in 1..11 {
        bytes[0] = older;
        assert_eq!(Channel::load(&bytes, [], [], []), Err(SavedError::Older(older)));
    }
    bytes[0] = 0;
    assert!(matches!(Channel::load(&bytes, [], [], []), Err(SavedError::Damaged(_))));
    assert!(matches!(Channel::load(&[], [], [], []), Err(SavedError::Damaged(_))));
}

#[test]
fn what_the_user_has_not_taken_is_delivered_again_and_what_it_has_is_not() {
    let mut world = World::opened();
    world.sides[Responder].takes_events = false;
    for amount in 1..4 {
        let _id = world.pay_without_key(Initiator, amount).unwrap();
        world.run();
    }
    let received = |event: &Event| matches!(event, Event::Received { .. });
    assert_eq!(world.sides[Responder].was_told(received), 3);
    let second = channel::EventNumber(world.sides[Responder].taken.0 - 1);
    world.input(Responder, Input::EventsAcked { up_to: second }).unwrap();
    // Nothing was committed for that: after a crash the older store tells all of it again, by the same numbers.
    let known = world.sides[Responder].taken;
    world.sides[Responder].taken = channel::EventNumber(0);
    world.crash(Responder);
    assert_eq!((world.sides[Responder].was_told(received), world.sides[Responder].taken), (6, known));
    // With the next commit it is noted.
    world.run();
    world.input(Responder, Input::EventsAcked { up_to: second }).unwrap();
    let _id = world.pay(Responder, 1).unwrap();
    world.sides[Responder].taken = channel::EventNumber(0);
    world.crash(Responder);
    assert_eq!(world.sides[Responder].was_told(received), 7, "the third once more");
}

#[test]
fn a_user_that_takes_no_events_stops_its_channel_and_not_its_memory() {
    let mut world = World::opened();
    for party in protocol::Party::BOTH {
        world.sides[party].strict = false;
    }
    world.sides[Responder].takes_events = false;
    let mut paid = 0_u128;
    // Rounds of a payment each: they come to an end long before the coins do.
    world.chain.deposit(Initiator, 100_000);
    world.deposit(Initiator, 100_000).unwrap();
    world.run();
    world.mine();
    world.run();
    while paid < 70_000 {
        for _ in 0..500 {
            let _id = world.pay_without_key(Initiator, 1).unwrap();
        }
        paid += 500;
        world.run();
        if world.sides[Initiator].machine().status().pending > 0 {
            break;
        }
    }
    assert!(paid < 70_000, "it stopped");
    let up_to = world.sides[Responder].taken;
    world.input(Responder, Input::EventsAcked { up_to }).unwrap();
    world.sides[Responder].takes_events = true;
    world.mine();
    world.run();
    world.assert_agreed();
    assert!(world.command(Responder, Command::Leave).is_ok());
}
