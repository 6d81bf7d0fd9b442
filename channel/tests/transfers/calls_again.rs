//! Attacks on what is made up anew of calls that go with transfers (R8.3g): what waits for a round, and what is being forced.

use super::*;
use crate::harness::{
    contracts::counter,
    deeds::{deed_of, returning},
};
use channel::Event;
use protocol::Pair;

/// A change that makes a call which was left waits behind two offers with calls, of which a round has one. The payee forces the call, so that the change goes from the queue, and its id is
/// given to the claim of another transfer (`unqueue_one` raises no `first_unproposed`, and `asked_calls` keeps what the id was). The payer undoes the forced call by the round with the
/// first offer, which it has kept back: the claim counts as the change that makes the call which is left again (`left_call_of`), is marked so once it is proposed (`mark_asked`), and
/// nothing else asks for the call (`is_asked`). The row is over, and the deed is the payer's. Right would be that no id is given twice.
#[test]
fn an_id_of_a_change_that_waited_is_given_to_no_other() {
    let [without, with] = [false, true].map(after_a_call_that_is_undone);
    let right = (Some((Responder, false)), 0);
    assert_eq!((without, with), (right, right), "the deed, and the rows of what waits for it");
}

/// Who has the deed in the end, and how many rows the payee has then of the transfer with it; where `claims`, another transfer is claimed meanwhile.
fn after_a_call_that_is_undone(claims: bool) -> (Option<(Party, bool)>, usize) {
    let mut world = World::opened_with(Initiator, |config| {
        config.defend = false;
        config.force_transfers_after = None;
    });
    let deed = deeds(&mut world, 1)[0];
    let counter = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    world.sides[Initiator].registry.calls = returning(counter);
    world.offer_with(2, LockedCalls::NONE, 2_000);
    world.offer_with(1, with_deeds(&[deed]), 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let claim = claim_of(contract, 1);
    let (state, payload) = kept_state(&world, Initiator);
    world.force_by_hand(Initiator, &state, payload, vec![claim]);
    world.mine();
    assert!(world.contract_of(Responder, 1).is_some(), "the deed's call is left");
    // The payer has not said yet that it goes on from there.
    let expiry = world.chain.head() + 2_000;
    for number in [3, 4] {
        let offer = Offer { calls: returning(counter), ..an_offer(number, AMOUNT, expiry) };
        world
            .command(Responder, Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 }))
            .unwrap();
    }
    while world.wire[Initiator].iter().all(|message| !matches!(message, Message::Update(_))) {
        assert!(world.deliver(Responder), "the payer says that it follows");
    }
    while world.deliver(Initiator) {}
    let Message::UpdateAck { .. } = world.steal(Responder) else { panic!("the answer") };
    let (_, offered) = kept_state(&world, Initiator);
    if claims {
        world.claim(Responder, 2).unwrap();
    }
    for _ in 0..180 {
        world.mine();
        world.wire = Pair::default();
        if deed_of(&world, Responder, deed) == Some((Responder, false)) {
            break;
        }
    }
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "the call is forced");
    let round = world.sides[Responder].round();
    world.hear(Responder, Message::ForceProgressLocked { round });
    let channel = world.channel_id();
    let payload = offered.expect("it is signed");
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "the forced call is undone");
    world.disconnect();
    for _ in 0..300 {
        world.run();
        world.mine();
    }
    (deed_of(&world, Responder, deed), usize::from(world.contract_of(Responder, 1).is_some()))
}

/// Ends of plain transfers are being forced in an open channel, and the peer closes it alone before they are made: they are dropped without a word (`force_again`), though the user was told
/// that they are being forced. Right would be that whatever is told of as being forced is told of as made or as given up.
#[test]
fn what_is_told_of_as_being_forced_comes_to_an_end_that_is_told_of() {
    let mut world = World::opened();
    world.offer_with(1, LockedCalls::NONE, 20);
    world.disconnect();
    for _ in 0..200 {
        world.mine();
        if world.sides[Initiator].machine().status().forcing {
            break;
        }
    }
    world.chain.drop_pool();
    world.close_solo(Responder).unwrap();
    world.mine_blocks(3);
    let side = &world.sides[Initiator];
    let begun = side.was_told(|event| matches!(event, Event::Forcing { .. }));
    let ended =
        side.was_told(|event| matches!(event, Event::ForceFailed { .. } | Event::Executed { forced: true, .. }));
    assert_eq!((side.machine().status().forcing, begun, ended), (false, 1, 1));
}

/// A call that is left is a call that waits. It was forced as the user's own are where `force_after` is set, and what was asked for it was then asked for ever: once the forced steps were undone
/// nobody wanted the transfer that was open again. It is none of the user's: what is left of a transfer is forced as the transfer would have been.
#[test]
fn a_call_that_is_left_is_not_forced_as_the_users_calls_are() {
    for waits in [false, true] {
        let right = (SHARE + AMOUNT - 5, Some((Responder, false)));
        assert_eq!(after_a_left_call_that_waited(waits), right, "{waits}");
    }
}

/// What the payee has in the end, and who has the deed; where the call `waits`, it has done so for longer than the payee's patience with its own calls.
fn after_a_left_call_that_waited(waits: bool) -> (Amount, Option<(Party, bool)>) {
    let mut world = World::new();
    world.sides[Responder].config.force_after = Some(1_000);
    world.sides[Initiator].config.defend = false;
    for party in Party::BOTH {
        world.sides[party].config.force_transfers_after = None;
    }
    world.open();
    world.run();
    world.mine();
    world.run();
    let deed = deeds(&mut world, 1)[0];
    world.offer_with(1, with_deeds(&[deed]), 40);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Initiator);
    let _id = world.pay(Responder, 5).unwrap();
    assert!(world.deliver(Initiator));
    let Message::UpdateAck { .. } = world.steal(Responder) else { panic!("the answer") };
    let (_, paid) = kept_state(&world, Initiator);
    world.claim(Responder, 1).unwrap();
    let claim = claim_of(contract, 1);
    world.force_by_hand(Initiator, &state, payload, vec![claim]);
    world.mine();
    let round = world.sides[Responder].round();
    world.hear(Responder, Message::ForceProgressLocked { round });
    assert!(
        world.wire[Initiator].iter().any(|message| matches!(message, Message::Update(_))),
        "what is left is asked for"
    );
    world.wire = Pair::default();
    if waits {
        world.tick(1);
        world.tick(2_000);
        world.mine();
        assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "it is not forced");
    }
    let (channel, payload) = (world.channel_id(), paid.expect("it is signed"));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "it is undone");
    world.disconnect();
    for _ in 0..150 {
        world.run();
        world.mine();
    }
    (world.ours(Responder), deed_of(&world, Responder, deed))
}
