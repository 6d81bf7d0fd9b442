//! One side lies, the other is a machine: whatever is said, the machine never ends with less than its last agreed balance.

use crate::harness::{
    Initiator, LOCK, PENALTY, Responder, SHARE, VALIDITY, World,
    forge::{create_call, sign},
    opening,
    side::Fate,
};
use channel::{CloseReason, Event, Message, Notice, RefusalCode, Shutdown, Update, Violation};
use protocol::{
    Pair, Party, Rejection,
    call::{Call, CallKind, CloseMutual},
    signing::CloseMutualBody,
};

/// Takes the update that `from` has just sent off the wire.
fn stolen_update(world: &mut World, from: Party) -> Update {
    match world.steal(from.peer()) {
        Message::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

/// Everything still said is heard, and the chain goes on until the channel is settled.
fn end(world: &mut World, cheat: Party) {
    world.wire[cheat].clear();
    world.mine_blocks(3 * LOCK);
}

#[test]
fn a_refused_proposal_cannot_be_brought_back_to_undo_a_later_payment() {
    for victim in Party::BOTH {
        let (mut world, cheat) = (World::opened(), victim.peer());
        let id = world.pay(victim, 40).unwrap();
        let kept = stolen_update(&mut world, victim);
        let code = RefusalCode::VALIDATION;
        world.hear(victim, Message::UpdateError { round: kept.round, code });
        assert_eq!(world.sides[victim].sent[&id].1, Fate::Pending, "nothing is refused without a counter-round");

        // The cheat offers to pay 500 in a round below the kept one, to get goods for it: nothing below an open round is agreed to.
        let below = match victim {
            Initiator => 2,
            Responder => 3,
        };
        assert!(below < kept.round);
        let payment = world.forge_update(cheat, below, &[500]);
        world.hear(victim, Message::Update(payment));
        let believed = world.agreed(victim)[victim];
        assert_eq!(believed, SHARE);

        // Then it makes the kept round co-signed.
        let mut balances = Pair::new(SHARE, SHARE);
        balances[victim] -= 40;
        balances[cheat] += 40;
        let evidence = world.co_sign(victim, &kept, balances);
        world.chain.submit(cheat, Call::ChannelCloseSolo(evidence));
        end(&mut world, cheat);
        let got = world.chain.wealth(victim);
        // What the victim itself signed away may be gone, and nothing else.
        assert!(got + 40 >= 4_000 + believed, "{victim:?} believed {believed} and has {got}");
    }
}

#[test]
fn after_a_refusal_both_sides_go_on_above_the_refused_round() {
    for payer in Party::BOTH {
        let (mut world, refuser) = (World::opened(), payer.peer());
        let _id = world.pay(payer, 40).unwrap();
        // The refuser hears it wrong, as if its own copy had been broken on the way: a round that its peer has not signed is only put off.
        let sound = stolen_update(&mut world, payer);
        let mut update = sound.clone();
        update.state_hash.0[0] ^= 1;
        world.hear(refuser, Message::Update(update));
        world.run();
        assert_eq!(world.sides[payer].round(), 1);
        // It hears other changes than were signed: both sign that this is not agreed, and the payment is given up.
        let mut update = sound;
        update.changes.push(update.changes[0].clone());
        world.hear(refuser, Message::Update(update));
        world.run();
        assert_eq!(world.sides[payer].was_told(|event| matches!(event, Event::Refused { .. })), 1);
        let _id = world.pay(refuser, 25).unwrap();
        world.run();
        let _id = world.pay(payer, 5).unwrap();
        world.run();
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] += 20;
        balances[refuser] -= 20;
        world.assert_balances(balances.initiator, balances.responder);
        world.assert_agreed();
    }
}

#[test]
fn an_own_shutdown_binds_as_long_as_the_peer_may_use_it_whatever_the_peer_answers() {
    let mut world = World::opened();
    world.shutdown(Responder, 0).unwrap();
    let Message::Shutdown(kept) = world.steal(Initiator) else { panic!("the offer") };
    // The cheat crosses it with an offer that is over at once.
    let head = world.chain.head();
    let over = world.forge_shutdown(Initiator, 0, head);
    world.hear(Responder, Message::Shutdown(over));
    world.mine_blocks(2);
    // It pays 500, gets goods, and uses what it kept.
    let payment = world.forge_update(Initiator, 3, &[500]);
    world.hear(Responder, Message::Update(payment));
    let believed = world.agreed(Responder).responder;
    let theirs = sign(Initiator, world.channel_id(), &kept.body);
    let channel = world.channel_id();
    let signatures = Pair::new(theirs, kept.signature);
    world.chain.submit(Initiator, Call::ChannelCloseMutual(CloseMutual { channel, body: kept.body, signatures }));
    end(&mut world, Initiator);
    assert!(world.chain.is_closed());
    assert!(world.chain.wealth(Responder) >= 4_000 + believed, "{} for {believed}", world.chain.wealth(Responder));
}

#[test]
fn a_close_that_has_expired_is_worth_nothing() {
    let mut world = World::opened();
    let _new = world.chain.censored.insert("channel_close_mutual");
    world.shutdown(Responder, 0).unwrap();
    let Message::Shutdown(Shutdown { body, signature }) = world.steal(Initiator) else { panic!("the offer") };
    let validity = world.sides[Responder].config.close_validity;
    world.mine_blocks(validity + 1);
    assert_eq!(world.states(), ("open", "open"));
    let payment = world.forge_update(Initiator, 3, &[500]);
    world.hear(Responder, Message::Update(payment));
    assert_eq!(world.agreed(Responder).responder, SHARE + 500);

    world.chain.censored.clear();
    let channel = world.channel_id();
    let signatures = Pair::new(sign(Initiator, channel, &body), signature);
    let valid_until = body.valid_until;
    world.chain.submit(Initiator, Call::ChannelCloseMutual(CloseMutual { channel, body, signatures }));
    world.mine();
    let now = world.chain.head();
    let rejection = Rejection::Expired { valid_until, now };
    assert_eq!(world.chain.block(now).rejected, [(Initiator, CallKind::ChannelCloseMutual, rejection)]);
}

#[test]
fn nothing_of_the_peers_is_signed_once_a_solo_close_is_on_its_way() {
    // A newer round of the peer's own would cost the closer the penalty.
    for closer in Party::BOTH {
        let (mut world, cheat) = (World::opened(), closer.peer());
        world.close_solo(closer).unwrap();
        let round = match cheat {
            Initiator => 3,
            Responder => 4,
        };
        let update = world.forge_update(cheat, round, &[1]);
        world.hear(closer, Message::Update(update));
        assert_eq!(world.steal(cheat), Message::UpdateError { round, code: RefusalCode::CLOSING });
        assert_eq!(world.sides[closer].round(), 1);
        let close = world.forge_shutdown(cheat, 0, world.chain.head() + 10);
        world.hear(closer, Message::Shutdown(close));
        assert_eq!(world.steal(cheat), Message::ShutdownError { code: RefusalCode::CLOSING });
        // Not even after a crash.
        world.crash(closer);
        let update = world.forge_update(cheat, round, &[1]);
        world.hear(closer, Message::Update(update));
        assert_eq!(world.sides[closer].round(), 1);
        end(&mut world, cheat);
        world.assert_paid_out(SHARE, SHARE);
    }
}

#[test]
fn a_payment_that_the_peer_closes_on_without_answering_is_reported_as_paid() {
    for payer in Party::BOTH {
        for code in [None, Some(RefusalCode::CLOSING)] {
            let (mut world, cheat) = (World::opened(), payer.peer());
            let id = world.pay(payer, 40).unwrap();
            let kept = stolen_update(&mut world, payer);
            if let Some(code) = code {
                world.hear(payer, Message::UpdateError { round: kept.round, code });
            }
            let mut balances = Pair::new(SHARE, SHARE);
            balances[payer] -= 40;
            balances[cheat] += 40;
            let evidence = world.co_sign(payer, &kept, balances);
            world.chain.submit(cheat, Call::ChannelCloseSolo(evidence));
            end(&mut world, cheat);
            world.assert_paid_out(balances.initiator, balances.responder);
            assert_eq!(world.sides[payer].sent[&id].1, Fate::Paid(kept.round), "it is paid out, so it is paid");
        }
    }
}

#[test]
fn a_payment_in_flight_when_the_channel_ends_without_it_is_reported_as_dropped() {
    for payer in Party::BOTH {
        let (mut world, cheat) = (World::opened(), payer.peer());
        let (first, second) = (world.pay(payer, 40).unwrap(), world.pay(payer, 2).unwrap());
        let _kept = stolen_update(&mut world, payer);
        let old = world.sides[payer].machine().evidence().unwrap();
        world.chain.submit(cheat, Call::ChannelCloseSolo(old));
        end(&mut world, cheat);
        world.assert_paid_out(SHARE, SHARE);
        for id in [first, second] {
            assert_eq!(world.sides[payer].sent[&id].1, Fate::Dropped);
        }
    }
}

#[test]
fn an_opening_of_other_terms_under_the_same_id_is_not_taken_for_ones_own() {
    // Both openings carry the pair's nonce 0, so both have the same id on chain; only one gets there.
    let mut world = World::new();
    let mut other = opening();
    other.penalty = 0;
    other.balances = Pair::new(SHARE + 500, SHARE - 500);
    other.shares = other.balances;
    world.propose(other.clone()).unwrap();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    let Some(&Message::FundingCreated(created)) = world.wire[Responder].front() else { panic!("the signature") };
    assert!(world.deliver(Responder));
    let Message::FundingSigned(signed) = world.steal(Initiator) else { panic!("the answer") };
    let call = create_call(&other, created, signed);

    // A second machine of the responder, with the usual terms.
    for party in Party::BOTH {
        world.sides[party].channel = None;
        world.sides[party].stored = None;
    }
    world.open();
    let _new = world.chain.censored.insert("channel_create");
    world.run();
    world.chain.censored.clear();
    assert_eq!(world.states(), ("signed", "signed"));
    world.chain.submit(Initiator, call);
    world.mine();
    world.run();
    assert_eq!(world.states(), ("signed", "signed"), "these terms are not on chain");
    world.mine_blocks(VALIDITY);
    assert!(matches!(world.sides[Responder].closed(), Some(CloseReason::OpeningExpired { .. })));
}

#[test]
fn a_peer_cannot_use_an_unfair_close() {
    let mut world = World::opened();
    let valid_until = world.chain.head() + 10;
    for (balances, fee) in [
        (Pair::new(SHARE + 1, SHARE - 1), 0),
        (Pair::new(SHARE, SHARE - 1), 1),
        (Pair::new(SHARE, SHARE), 1),
        (Pair::new(SHARE - 1, SHARE), 0),
        (Pair::new(u128::MAX, SHARE), SHARE + 1),
    ] {
        let close = world.forge_shutdown_to(Initiator, CloseMutualBody { balances, fee, valid_until });
        world.hear(Responder, Message::Shutdown(close));
        assert_eq!(world.steal(Initiator), Message::ShutdownError { code: RefusalCode::VALIDATION });
        let violated = Notice::PeerViolated(Violation::CloseUnfair);
        assert_eq!(world.sides[Responder].noticed.last(), Some(&violated));
        assert_eq!(world.sides[Responder].state(), "open");
    }
}

#[test]
fn a_cheat_that_comes_back_after_the_lock_ran_out_is_still_slashed_and_fined() {
    let mut world = World::opened();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Responder, 300).unwrap();
    world.run();
    // The defender sleeps through the whole lock; the cheat's settle is late.
    let _new = world.chain.censored.insert("channel_settle");
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    let _slash = world.chain.censored.insert("channel_slash");
    world.kill(Responder);
    world.mine_blocks(LOCK + 5);
    world.chain.censored.clear();
    world.restart(Responder);
    world.mine_blocks(LOCK + 5);
    world.assert_paid_out(SHARE + 300 - PENALTY, SHARE - 300 + PENALTY);
}

#[test]
fn a_payment_agreed_while_the_own_close_is_on_its_way_is_shown_by_the_payer_itself() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        let (id, waits) = (world.pay(payer, 40).unwrap(), world.pay(payer, 1).unwrap());
        world.close_solo(payer).unwrap();
        assert!(world.deliver(payer.peer()) && world.deliver(payer));
        assert!(matches!(world.sides[payer].sent[&id].1, Fate::Paid(_)));
        assert!(world.wire[payer.peer()].is_empty(), "nothing more is proposed");
        // The payee is gone for good: the payer keeps its word and gets the rest, without a penalty.
        world.kill(payer.peer());
        world.mine_blocks(2 * LOCK + 5);
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] -= 40;
        balances[payer.peer()] += 40;
        world.assert_paid_out(balances.initiator, balances.responder);
        assert_eq!(world.sides[payer].sent[&waits].1, Fate::Dropped);
    }
}

#[test]
fn an_answer_that_comes_after_the_chain_has_told_of_it_is_no_wrong() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        let id = world.pay(payer, 40).unwrap();
        assert!(world.deliver(payer.peer()));
        world.close_solo(payer).unwrap();
        // The payee shows the round on chain before its answer arrives.
        world.mine_blocks(2);
        assert!(matches!(world.sides[payer].sent[&id].1, Fate::Paid(_)));
        world.run();
        world.mine_blocks(LOCK + 2);
        world.assert_books();
        world.assert_no_complaints();
    }
}

#[test]
fn a_closer_whose_peer_never_answers_still_gets_its_coins() {
    // The closer's account closed on an old state by another hand; showing the newer round would cost the penalty, so its machine just settles.
    let mut world = World::opened();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Responder, 40).unwrap();
    world.run();
    world.kill(Responder);
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    world.mine_blocks(LOCK + 5);
    assert_eq!(world.chain.times_asked(Initiator, "channel_slash"), 0);
    world.assert_paid_out(SHARE, SHARE);
}

#[test]
fn a_peer_that_stays_in_signed_cannot_be_moved_by_a_bad_reestablish() {
    let mut world = World::new();
    world.open();
    world.run();
    world.mine();
    assert_eq!(world.states(), ("signed", "signed"));
    world.wire = Pair::default();
    let bad = world.forge_reestablish(Initiator, 5, Pair::new(SHARE + 500, SHARE - 500));
    // The harness checks that a refused message changes nothing.
    world.hear(Responder, Message::Reestablish(bad));
    assert_eq!(world.steal(Initiator), Message::Error { code: RefusalCode::VALIDATION });
    assert_eq!(world.sides[Responder].was_told(|event| matches!(event, Event::Opened { .. })), 0);
    world.disconnect();
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    for party in Party::BOTH {
        assert_eq!(world.sides[party].was_told(|event| matches!(event, Event::Opened { .. })), 1);
    }
}
