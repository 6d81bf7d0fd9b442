//! Every message in every state, and every way in which a message can be wrong: each meets its own violation, and changes nothing.

use crate::harness::{
    Initiator, RESERVE, Responder, SHARE, World,
    forge::{payment, sign},
    opening, party_terms,
};
use channel::{
    Change, ChannelAccept, Event, FundingCreated, FundingSigned, Input, MAX_REFERENCE, MAX_UPDATES_PER_ROUND, Message,
    Notice, Payment, Reestablish, RefusalCode, Shutdown, State, Update, Violation,
};
use protocol::{
    Hash, Pair, Party, Signature,
    signing::{CloseMutualBody, StateBody},
};

const WRONG: Signature = Signature([1; 64]);

/// One of each, well-formed, and signed by nobody.
pub(crate) fn one_of_each(of: Party) -> Vec<Message> {
    let round = match of {
        Initiator => 4,
        Responder => 3,
    };
    let balances = Pair::new(SHARE, SHARE);
    let body = CloseMutualBody { balances, fee: 0, valid_until: 110 };
    let changes = vec![Change::Transfer(payment(5))];
    vec![
        Message::ChannelOpen(opening()),
        Message::ChannelAccept(ChannelAccept { responder: party_terms(Initiator) }),
        Message::FundingCreated(FundingCreated { nonce: 0, valid_until: 110, signature: WRONG }),
        Message::FundingSigned(FundingSigned { signature: WRONG }),
        Message::FundingLocked,
        Message::Update(Update { round, changes, state_hash: Hash::ZERO, signature: WRONG }),
        Message::UpdateAck { round: 7 - round, signature: WRONG },
        Message::UpdateError { round: 7 - round, code: RefusalCode::APPLICATION },
        Message::Shutdown(Shutdown { body, signature: WRONG }),
        Message::ShutdownAck { valid_until: 201, signature: WRONG },
        Message::ShutdownError { code: RefusalCode::APPLICATION },
        Message::Reestablish(Reestablish {
            round: 9,
            state: State { balances },
            signatures: Some(Pair::new(WRONG, WRONG)),
        }),
        Message::Error { code: RefusalCode::APPLICATION },
    ]
}

/// A world in which `party` is in the state of that name.
fn in_state(name: &str, party: Party) -> World {
    let mut world = World::new();
    world.answer_nonce = name != "initialized, accepted";
    world.open();
    let deliver = |world: &mut World, count: usize| {
        (0..count).for_each(|n| assert!(world.deliver(if n % 2 == 0 { Responder } else { Initiator })));
    };
    match name {
        "initialized" => return world,
        "accepted" => deliver(&mut world, 1),
        "initialized, accepted" | "half_signed" => deliver(&mut world, 2),
        _ => world.run(),
    }
    if matches!(name, "accepted" | "initialized, accepted" | "half_signed" | "signed") {
        return world;
    }
    world.mine();
    if name == "signed, locked" {
        world.wire = Pair::default();
        return world;
    }
    world.run();
    match name {
        "open" => {}
        "open, proposed" => drop(world.pay(party, 5).unwrap()),
        "closing, offered" => world.shutdown(party, 0).unwrap(),
        "closing, agreed" => {
            world.shutdown(party, 0).unwrap();
            world.run();
        }
        "closing, solo" => {
            world.close_solo(party).unwrap();
            world.mine();
        }
        "closed" => {
            world.shutdown(party, 0).unwrap();
            world.run();
            world.mine();
        }
        other => panic!("{other}"),
    }
    world
}

/// What became of a message: `o` out of place, `v` another violation, `.` nothing at all, `s` something was said or told, `C` committed.
fn outcome(name: &str, party: Party, message: Message) -> char {
    let mut world = in_state(name, party);
    let (told, commits) = (world.sides[party].events.len(), world.sides[party].commits);
    world.wire = Pair::default();
    // The harness checks that what is refused changes nothing.
    world.input(party, Input::Peer(message.clone())).unwrap();
    let events = &world.sides[party].events[told..];
    let said = &world.wire[party.peer()];
    let violation = events.iter().find_map(|event| match event {
        Event::Notice(Notice::PeerViolated(violation)) => Some(violation),
        _ => None,
    });
    if let Some(violation) = violation {
        let code = violation.code();
        let answer = match message {
            Message::Update(update) => Message::UpdateError { round: update.round, code },
            Message::Shutdown(_) => Message::ShutdownError { code },
            _ => Message::Error { code },
        };
        assert_eq!(*said, [answer], "the peer is told, once");
        assert_eq!((events.len(), world.sides[party].commits), (1, commits));
        return if matches!(violation, Violation::OutOfPlace { .. }) { 'o' } else { 'v' };
    }
    match (world.sides[party].commits > commits, events.is_empty() && said.is_empty()) {
        (true, _) => 'C',
        (false, true) => '.',
        (false, false) => 's',
    }
}

#[test]
fn every_message_in_every_state_is_taken_or_refused_by_a_typed_violation() {
    // open, accept, created, signed, locked, update, ack, error, shutdown, ack, error, reestablish, error
    let table = [
        ("initialized", Initiator, "ovooooooooooC"),
        ("initialized, accepted", Initiator, "ooooooooooooC"),
        ("accepted", Responder, "oovoooooooooC"),
        ("half_signed", Initiator, "ooovoooooooos"),
        ("signed", Initiator, "ooo.Coooooovs"),
        ("signed", Responder, "ooooCoooooovs"),
        ("signed, locked", Initiator, "ooo.Coooooovs"),
        ("signed, locked", Responder, "ooooCoooooovs"),
        ("open", Initiator, "ooo..vv.v..vs"),
        ("open", Responder, "oooo.vv.v..vs"),
        ("open, proposed", Initiator, "ooo..vvC...vs"),
        ("open, proposed", Responder, "oooo..vC...vs"),
        ("closing, offered", Initiator, "ooo..sv..vsvs"),
        ("closing, offered", Responder, "oooo.sv.vvsvs"),
        ("closing, agreed", Initiator, "ooo..sv.v.svs"),
        ("closing, agreed", Responder, "oooo.sv.v.svs"),
        ("closing, solo", Initiator, "ooo..sv.s.svs"),
        ("closing, solo", Responder, "oooo.sv.s.svs"),
        ("closed", Initiator, "oooooooooooos"),
        ("closed", Responder, "oooooooooooos"),
    ];
    let mut wrong = String::new();
    for (name, party, want) in table {
        let got: String = one_of_each(party).into_iter().map(|message| outcome(name, party, message)).collect();
        if got != want {
            wrong += &format!("(\"{name}\", {party:?}, \"{got}\"),\n");
        }
    }
    assert!(wrong.is_empty(), "the table should say:\n{wrong}");
}

/// What `party` says and tells of one message.
fn refusal(world: &mut World, party: Party, message: Message) -> (Message, Violation) {
    world.wire[party.peer()].clear();
    world.hear(party, message);
    let said = world.steal(party.peer());
    match world.sides[party].events.last() {
        Some(Event::Notice(Notice::PeerViolated(violation))) => (said, violation.clone()),
        other => panic!("{said:?} was said and {other:?} told"),
    }
}

#[test]
fn an_update_that_is_wrong_in_any_way_meets_its_own_violation() {
    for party in Party::BOTH {
        let peer = party.peer();
        let mut world = World::opened();
        let _id = world.pay(peer, 100).unwrap();
        world.run();
        let (agreed, balances) = (world.sides[party].round(), world.agreed(party));
        let round = agreed + 2;
        let sound = world.forge_update(peer, round, &[10, 20]);
        let with = |change: &dyn Fn(&mut Update)| {
            let mut update = sound.clone();
            change(&mut update);
            update
        };
        let (have, want) = (balances[peer], sound.state_hash);
        let long = Payment { amount: 1, reference: vec![0; MAX_REFERENCE + 1] };
        let many = vec![Change::Transfer(payment(1)); MAX_UPDATES_PER_ROUND + 1];
        let other_channel = key_of(peer, protocol::ChannelId([5; 32]), round, want);
        let other_round = sign(peer, world.channel_id(), &StateBody { round: round + 2, state_hash: want });
        let own = sign(party, world.channel_id(), &StateBody { round, state_hash: want });
        let spent = have - RESERVE - 10;
        let cases = [
            (with(&|update| update.round += 1), Violation::WrongParity { got: round + 1, owner: party }),
            (with(&|update| update.round = agreed), Violation::RoundTooOld { got: agreed, have: agreed }),
            (with(&|update| update.round = agreed - 2), Violation::RoundTooOld { got: agreed - 2, have: agreed }),
            (with(&|update| update.changes.clear()), Violation::NoChanges),
            (
                with(&|update| update.changes.clone_from(&many)),
                Violation::TooManyChanges { got: MAX_UPDATES_PER_ROUND + 1 },
            ),
            (with(&|update| update.changes[1] = Change::Transfer(payment(0))), Violation::PaymentOfNothing),
            (
                with(&|update| update.changes[1] = Change::Transfer(long.clone())),
                Violation::ReferenceTooLong { got: MAX_REFERENCE + 1 },
            ),
            (
                with(&|update| update.changes[1] = Change::Transfer(payment(spent + 1))),
                Violation::BelowReserve { have: have - 10, amount: spent + 1, reserve: RESERVE },
            ),
            (
                with(&|update| update.changes[0] = Change::Transfer(payment(u128::MAX))),
                Violation::BelowReserve { have, amount: u128::MAX, reserve: RESERVE },
            ),
            (with(&|update| update.state_hash = Hash::ZERO), Violation::StateHashMismatch { got: Hash::ZERO, want }),
            (
                with(&|update| update.changes[1] = Change::Transfer(payment(21))),
                Violation::StateHashMismatch { got: want, want: world.forge_update(peer, round, &[10, 21]).state_hash },
            ),
            (with(&|update| update.signature = WRONG), Violation::SignatureInvalid),
            (with(&|update| update.signature = other_channel), Violation::SignatureInvalid),
            (with(&|update| update.signature = other_round), Violation::SignatureInvalid),
            (with(&|update| update.signature = own), Violation::SignatureInvalid),
        ];
        for (update, violation) in cases {
            let told = Message::UpdateError { round: update.round, code: RefusalCode::VALIDATION };
            assert_eq!(refusal(&mut world, party, Message::Update(update)), (told, violation));
        }
        // The sound one is taken after all of them.
        world.hear(party, Message::Update(sound));
        assert_eq!(world.sides[party].round(), round);
        assert_eq!(world.agreed(party)[peer], have - 30);
    }
}

/// A signature for another channel.
fn key_of(by: Party, channel: protocol::ChannelId, round: u64, state_hash: Hash) -> Signature {
    sign(by, channel, &StateBody { round, state_hash })
}

#[test]
fn an_acknowledgement_that_is_wrong_in_any_way_meets_its_own_violation() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(party, 10).unwrap();
        let Message::Update(update) = world.steal(party.peer()) else { panic!("the proposal") };
        let round = update.round;
        let signature = sign(party.peer(), world.channel_id(), &StateBody { round, state_hash: update.state_hash });
        let told = Message::Error { code: RefusalCode::VALIDATION };
        let cases = [
            (round + 2, signature, Violation::RoundNotProposed { got: round + 2 }),
            (1, signature, Violation::RoundNotProposed { got: 1 }),
            (round, WRONG, Violation::SignatureInvalid),
            (round, update.signature, Violation::SignatureInvalid),
        ];
        for (round, signature, violation) in cases {
            let got = refusal(&mut world, party, Message::UpdateAck { round, signature });
            assert_eq!(got, (told.clone(), violation));
        }
        world.hear(party, Message::UpdateAck { round, signature });
        assert_eq!(world.sides[party].round(), round);
        // Said twice, it is about a round that is not proposed any more.
        let got = refusal(&mut world, party, Message::UpdateAck { round, signature });
        assert_eq!(got, (told, Violation::RoundNotProposed { got: round }));
    }
}

#[test]
fn a_close_that_is_wrong_in_any_way_meets_its_own_violation() {
    for party in Party::BOTH {
        let peer = party.peer();
        let mut world = World::opened();
        let _id = world.pay(peer, 100).unwrap();
        world.run();
        let (head, agreed) = (world.chain.head(), world.agreed(party));
        let max = head + 2 * world.sides[party].config.close_validity;
        let sound = world.forge_shutdown(peer, 3, head + 10);
        let resigned = |world: &World, change: &dyn Fn(&mut CloseMutualBody)| {
            let mut body = sound.body.clone();
            change(&mut body);
            world.forge_shutdown_to(peer, body)
        };
        let unsigned = Shutdown { signature: WRONG, ..sound.clone() };
        let own = Shutdown { signature: sign(party, world.channel_id(), &sound.body), ..sound.clone() };
        let cases = [
            (
                resigned(&world, &|body| body.valid_until = max + 1),
                Violation::ValidityOutOfBounds { got: max + 1, min: head, max },
                RefusalCode::POLICY,
            ),
            (resigned(&world, &|body| body.balances[party] -= 1), Violation::CloseUnfair, RefusalCode::VALIDATION),
            (resigned(&world, &|body| body.fee += 1), Violation::CloseUnfair, RefusalCode::VALIDATION),
            (resigned(&world, &|body| body.balances[peer] += 1), Violation::CloseUnfair, RefusalCode::VALIDATION),
            (
                resigned(&world, &|body| {
                    body.balances[party] -= 3;
                    body.balances[peer] += 3;
                }),
                Violation::CloseUnfair,
                RefusalCode::VALIDATION,
            ),
            (
                resigned(&world, &|body| {
                    body.balances = agreed;
                    body.balances[party] -= body.fee;
                }),
                Violation::CloseUnfair,
                RefusalCode::VALIDATION,
            ),
            (unsigned, Violation::SignatureInvalid, RefusalCode::VALIDATION),
            (own, Violation::SignatureInvalid, RefusalCode::VALIDATION),
        ];
        for (shutdown, violation, code) in cases {
            let got = refusal(&mut world, party, Message::Shutdown(shutdown));
            assert_eq!(got, (Message::ShutdownError { code }, violation));
            assert_eq!(world.sides[party].state(), "open");
        }
        // One that is too late is no wrong, but it is not signed either.
        let late = resigned(&world, &|body| body.valid_until = head - 1);
        world.hear(party, Message::Shutdown(late));
        assert_eq!(world.steal(peer), Message::ShutdownError { code: RefusalCode::TIMEOUT });
        assert_eq!(world.sides[party].state(), "open");
        // The last block of the bounds is inside them.
        let last = resigned(&world, &|body| body.valid_until = max);
        world.hear(party, Message::Shutdown(last));
        assert!(matches!(world.steal(peer), Message::ShutdownAck { valid_until, .. } if valid_until == max));
    }
}

#[test]
fn a_fee_above_what_a_side_accepts_is_refused() {
    let mut world = World::new();
    world.sides[Responder].config.max_close_fee = 2;
    world.open();
    world.run();
    world.mine();
    world.run();
    let shutdown = world.forge_shutdown(Initiator, 3, world.chain.head() + 10);
    let told = Message::ShutdownError { code: RefusalCode::VALIDATION };
    assert_eq!(refusal(&mut world, Responder, Message::Shutdown(shutdown)), (told, Violation::CloseUnfair));
    let shutdown = world.forge_shutdown(Initiator, 2, world.chain.head() + 10);
    world.hear(Responder, Message::Shutdown(shutdown));
    assert_eq!(world.sides[Responder].state(), "closing");
}

#[test]
fn an_answer_to_a_close_must_be_signed_by_the_peer_over_the_same_close() {
    let mut world = World::opened();
    world.shutdown(Initiator, 0).unwrap();
    let Message::Shutdown(shutdown) = world.steal(Responder) else { panic!("the offer") };
    let valid_until = shutdown.body.valid_until;
    let mut other = shutdown.body.clone();
    other.fee = 1;
    for signature in [WRONG, shutdown.signature, sign(Responder, world.channel_id(), &other)] {
        let got = refusal(&mut world, Initiator, Message::ShutdownAck { valid_until, signature });
        assert_eq!(got, (Message::Error { code: RefusalCode::VALIDATION }, Violation::SignatureInvalid));
    }
    assert_eq!(world.chain.times_asked(Initiator, "channel_close_mutual"), 0);
    let signature = sign(Responder, world.channel_id(), &shutdown.body);
    world.hear(Initiator, Message::ShutdownAck { valid_until, signature });
    assert_eq!(world.chain.times_asked(Initiator, "channel_close_mutual"), 1);
}
