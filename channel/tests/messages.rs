//! Every way in which a message can be wrong: each meets its own violation, and changes nothing.

use crate::harness::{
    Initiator, RESERVE, Responder, World,
    forge::{payment, sign, state_body},
};
use channel::{
    Change, MAX_REFERENCE, MAX_UPDATES_PER_ROUND, Message, Notice, Payment, Refusal, RefusalCode, Refused, Shutdown,
    Update, Violation,
};
use protocol::{Hash, Party, Signature, signing::CloseMutualBody};

const WRONG: Signature = Signature([1; 64]);

/// What `party` says and tells of one message.
fn refusal(world: &mut World, party: Party, message: Message) -> (Message, Violation) {
    world.wire[party.peer()].clear();
    world.hear(party, message);
    let said = world.steal(party.peer());
    match world.sides[party].noticed.last() {
        Some(Notice::PeerViolated(violation)) => (said, violation.clone()),
        other => panic!("{said:?} was said and {other:?} told"),
    }
}

/// A channel in which the peer of `party` has paid 100, and the agreed round.
fn prepared(party: Party) -> (World, protocol::Round) {
    let mut world = World::opened();
    let _id = world.pay(party.peer(), 100).unwrap();
    world.run();
    let agreed = world.sides[party].round();
    (world, agreed)
}

#[test]
fn an_update_that_is_wrong_in_any_way_meets_its_own_violation() {
    for party in Party::BOTH {
        let peer = party.peer();
        let (mut world, agreed) = prepared(party);
        let balances = world.agreed(party);
        let round = agreed + 2;
        let sound = world.forge_update(peer, round, &[10, 20]);
        let with = |change: &dyn Fn(&mut Update)| {
            let mut update = sound.clone();
            change(&mut update);
            update
        };
        let (have, want) = (balances[peer], sound.state_hash);
        let old = |round| world.forge_update(peer, round, &[10, 20]);
        let long = Payment { amount: 1, reference: vec![0; MAX_REFERENCE + 1] };
        let many = vec![Change::Transfer(payment(1)); MAX_UPDATES_PER_ROUND + 1];
        let base = world.base(party);
        let body = state_body(round, base, want);
        let other_channel = sign(peer, protocol::ChannelId([5; 32]), &body);
        let other_round = sign(peer, world.channel_id(), &state_body(round + 2, base, want));
        let other_base = sign(peer, world.channel_id(), &state_body(round, protocol::Base::of(agreed - 2), want));
        let own = sign(party, world.channel_id(), &body);
        let zero = sign(peer, world.channel_id(), &state_body(round, base, Hash::ZERO));
        let spent = have - RESERVE - 10;
        let cases = [
            // Of these the peer has signed nothing that counts: they are refused without a signature.
            (with(&|update| update.round += 1), Violation::WrongParity { got: round + 1, owner: party }),
            (old(agreed), Violation::RoundTooOld { got: agreed, have: agreed }),
            (old(agreed - 2), Violation::RoundTooOld { got: agreed - 2, have: agreed }),
            (with(&|update| update.round = agreed), Violation::SignatureInvalid),
            (with(&|update| update.signature = WRONG), Violation::SignatureInvalid),
            (with(&|update| update.signature = other_channel), Violation::SignatureInvalid),
            (with(&|update| update.signature = other_round), Violation::SignatureInvalid),
            (with(&|update| update.signature = other_base), Violation::SignatureInvalid),
            (with(&|update| update.signature = own), Violation::SignatureInvalid),
        ];
        for (update, violation) in cases {
            let told = Message::UpdateError { round: update.round, code: RefusalCode::VALIDATION };
            assert_eq!(refusal(&mut world, party, Message::Update(update)), (told, violation));
        }
        // These the peer has signed: both sign a counter-round, and what was refused is dead (R6.1a).
        let second = |code| Refused::Some(vec![(1, code)]);
        let (all, validation) = (Refused::All(RefusalCode::VALIDATION), RefusalCode::VALIDATION);
        let refused_by_both = with(&|update| {
            update.refuses = Some(Refusal { round: agreed, items: all.clone() });
        });
        let cases = [
            (with(&|update| update.changes.clear()), all.clone(), Violation::NoChanges),
            (refused_by_both, all.clone(), Violation::NoChanges),
            (
                with(&|update| update.changes.clone_from(&many)),
                all.clone(),
                Violation::TooManyChanges { got: MAX_UPDATES_PER_ROUND + 1 },
            ),
            (
                with(&|update| update.changes[1] = Change::Transfer(payment(0))),
                second(validation),
                Violation::PaymentOfNothing,
            ),
            (
                with(&|update| update.changes[1] = Change::Transfer(long.clone())),
                second(validation),
                Violation::ReferenceTooLong { got: MAX_REFERENCE + 1 },
            ),
            (
                with(&|update| update.changes[1] = Change::Transfer(payment(spent + 1))),
                second(validation),
                Violation::BelowReserve { have: have - 10, amount: spent + 1, reserve: RESERVE },
            ),
            (
                with(&|update| update.changes[0] = Change::Transfer(payment(u128::MAX))),
                Refused::Some(vec![(0, validation)]),
                Violation::BelowReserve { have, amount: u128::MAX, reserve: RESERVE },
            ),
            (
                with(&|update| (update.state_hash, update.signature) = (Hash::ZERO, zero)),
                all.clone(),
                Violation::StateHashMismatch { got: Hash::ZERO, want },
            ),
            (
                with(&|update| update.changes[1] = Change::Transfer(payment(21))),
                all.clone(),
                Violation::StateHashMismatch { got: want, want: world.forge_update(peer, round, &[10, 21]).state_hash },
            ),
        ];
        for (update, items, violation) in cases {
            let (mut world, _) = prepared(party);
            world.hear(party, Message::Update(update));
            let told = world.sides[party].notices().last();
            assert_eq!(told, Some(&Notice::PeerViolated(violation)));
            let Message::Update(counter) = world.steal(peer) else { panic!("a counter-round") };
            assert_eq!(counter.refuses, Some(Refusal { round, items }));
            assert_eq!((counter.round, counter.base, counter.changes), (round + 1, base, Vec::new()));
            assert_eq!(world.sides[party].round(), agreed, "nothing is agreed before the peer has signed it as well");
        }
        // The sound one is taken after all of them.
        world.hear(party, Message::Update(sound));
        assert_eq!(world.sides[party].round(), round);
        assert_eq!(world.agreed(party)[peer], have - 30);
    }
}

#[test]
fn an_acknowledgement_that_is_wrong_in_any_way_meets_its_own_violation() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(party, 10).unwrap();
        let Message::Update(update) = world.steal(party.peer()) else { panic!("the proposal") };
        let round = update.round;
        let signature = sign(party.peer(), world.channel_id(), &state_body(round, update.base, update.state_hash));
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
