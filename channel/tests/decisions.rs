//! The user's own say: rounds shown to it, and accepted or refused with a code that the payer learns.

use crate::harness::{Fate, Initiator, LOCK, Responder, SHARE, World};
use channel::{Acceptance, Change, Command, Event, Message, Misuse, Notice, Payment, ProposalId, RefusalCode};
use protocol::{Party, Round};

/// A channel in which `party` decides itself.
fn asked(party: Party) -> World {
    let mut world = World::new();
    world.sides[party].config.acceptance = Acceptance::Manual;
    world.open();
    world.run();
    world.mine();
    world.run();
    world
}

/// The rounds that `party` was shown, in order.
fn shown(world: &World, party: Party) -> Vec<Round> {
    let proposed = |notice: &Notice| match notice {
        Notice::Proposed { proposal, .. } => Some(proposal.round),
        _ => None,
    };
    world.sides[party].noticed.iter().filter_map(proposed).collect()
}

fn refusals(world: &World, party: Party) -> Vec<RefusalCode> {
    let refused = |event: &Event| match event {
        Event::Refused { code, .. } => Some(*code),
        _ => None,
    };
    world.sides[party].events.iter().filter_map(refused).collect()
}

#[test]
fn a_round_that_the_user_accepts_is_agreed_and_not_before() {
    for payee in Party::BOTH {
        let (mut world, payer) = (asked(payee), payee.peer());
        let id = world.pay(payer, 30).unwrap();
        world.run();
        let round = shown(&world, payee)[0];
        let payment = world.sides[payer].sent[&id].0.clone();
        let proposed =
            Notice::Proposed { proposal: world.shown(payee, round), changes: vec![Change::Transfer(payment)] };
        assert_eq!(world.sides[payee].was_noticed(|notice| *notice == proposed), 1);
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Pending);
        assert_eq!(world.sides[payee].round(), 1);
        assert_eq!(world.accept(payee, round + 2), Err(Misuse::NotProposed { round: round + 2 }));
        world.accept(payee, round).unwrap();
        assert_eq!(world.accept(payee, round), Err(Misuse::NotProposed { round }));
        world.run();
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Paid(round));
        world.assert_agreed();
    }
}

#[test]
fn a_round_that_the_user_refuses_is_not_and_the_payer_learns_the_code() {
    for payee in Party::BOTH {
        let (mut world, payer) = (asked(payee), payee.peer());
        let id = world.pay(payer, 30).unwrap();
        world.run();
        let (round, code) = (shown(&world, payee)[0], RefusalCode(200));
        let reserved = RefusalCode(127);
        assert_eq!(world.refuse(payee, round, reserved), Err(Misuse::CodeReserved { got: reserved }));
        world.refuse(payee, round, code).unwrap();
        world.run();
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Refused);
        assert_eq!(refusals(&world, payer), [code]);
        // The channel goes on, both ways, above the refused round: also after a crash of the one who refused.
        world.crash(payee);
        world.run();
        let _id = world.pay(payee, 5).unwrap();
        world.run();
        assert!(world.sides[payee].round() > round);
        let second = world.pay(payer, 7).unwrap();
        world.run();
        let round = *shown(&world, payee).last().unwrap();
        world.accept(payee, round).unwrap();
        world.run();
        assert_eq!(world.sides[payer].sent[&second].1, Fate::Paid(round));
        world.assert_agreed();
    }
}

#[test]
fn a_decision_on_something_else_with_the_same_number_is_refused_and_changes_nothing() {
    let mut world = asked(Responder);
    let first = world.pay(Initiator, 30).unwrap();
    let Message::Update(shown) = world.steal(Responder) else { panic!("the round") };
    let decided = ProposalId::of(&shown);
    // What is in it counts, whatever else is the same.
    let mut others = vec![shown.clone(); 4];
    others[0].base.steps += 1;
    others[1].height += 1;
    others[2].changes = vec![Change::Transfer(Payment { amount: 300, reference: Vec::new() })];
    others[3].state_hash = protocol::Hash::ZERO;
    assert!(others.iter().all(|other| ProposalId::of(other) != decided && other.round == decided.round));
    // The user looks at one round, and by the time of its decision the peer has another one there: here after a crash, which forgets what was shown.
    world.crash(Responder);
    world.run();
    let waits = world.shown(Responder, decided.round);
    let other = ProposalId::of(&others[2]);
    let refused = Err(Misuse::OtherProposal { decided: other, waits });
    assert_eq!(world.command(Responder, Command::Accept { proposal: other }), refused);
    let code = RefusalCode::APPLICATION;
    assert_eq!(world.command(Responder, Command::Refuse { proposal: other, code }), refused);
    world.run();
    assert_eq!(world.sides[Initiator].sent[&first].1, Fate::Pending);
    assert_eq!(waits, decided, "the same is named the same");
    world.command(Responder, Command::Accept { proposal: waits }).unwrap();
    world.run();
    assert_eq!(world.sides[Initiator].sent[&first].1, Fate::Paid(decided.round));
    world.assert_agreed();
}

#[test]
fn a_round_that_nobody_decides_on_is_refused_in_the_end() {
    let mut world = asked(Responder);
    let id = world.pay(Initiator, 30).unwrap();
    world.run();
    let patience = world.sides[Responder].config.timeouts.review;
    world.tick(patience - 1);
    world.run();
    assert_eq!(world.sides[Initiator].sent[&id].1, Fate::Pending);
    world.tick(1);
    world.run();
    assert_eq!(refusals(&world, Initiator), [RefusalCode::TIMEOUT]);
    let round = shown(&world, Responder)[0];
    assert_eq!(world.accept(Responder, round), Err(Misuse::NotProposed { round }));
    let _id = world.pay(Responder, 5).unwrap();
    world.run();
    world.assert_balances(SHARE + 5, SHARE - 5);
}

#[test]
fn an_own_payment_that_crosses_a_round_under_consideration_is_made_after_the_decision() {
    for payee in Party::BOTH {
        for accepted in [true, false] {
            let (mut world, payer) = (asked(payee), payee.peer());
            let theirs = world.pay(payer, 30).unwrap();
            let ours = world.pay(payee, 4).unwrap();
            world.run();
            let waiting = world.pay(payee, 2).unwrap();
            if let Some(&round) = shown(&world, payee).last() {
                let _late = match accepted {
                    true => world.accept(payee, round),
                    false => world.refuse(payee, round, RefusalCode::APPLICATION),
                };
            }
            world.run();
            // Where the payee's own round had won, the payer's was shown only after it.
            if world.sides[payer].sent[&theirs].1 == Fate::Pending {
                let round = *shown(&world, payee).last().unwrap();
                let _late = world.accept(payee, round);
                world.run();
            }
            for id in [ours, waiting] {
                assert!(matches!(world.sides[payee].sent[&id].1, Fate::Paid(_)), "{payee:?} {accepted}");
            }
            world.assert_agreed();
        }
    }
}

#[test]
fn a_round_under_consideration_is_shown_again_after_a_broken_link_and_signed_by_nobody_meanwhile() {
    let mut world = asked(Responder);
    let id = world.pay(Initiator, 30).unwrap();
    world.run();
    let round = shown(&world, Responder)[0];
    world.disconnect();
    assert_eq!(world.accept(Responder, round), Err(Misuse::NotProposed { round }));
    world.run();
    assert_eq!(shown(&world, Responder), [round, round]);
    world.crash(Responder);
    world.run();
    assert_eq!(shown(&world, Responder), [round, round, round]);
    world.accept(Responder, round).unwrap();
    world.run();
    assert_eq!(world.sides[Initiator].sent[&id].1, Fate::Paid(round));
    world.assert_agreed();
}

#[test]
fn a_user_that_closes_alone_has_decided() {
    let mut world = asked(Responder);
    let id = world.pay(Initiator, 30).unwrap();
    world.run();
    let round = shown(&world, Responder)[0];
    world.close_solo(Responder).unwrap();
    assert_eq!(world.steal(Initiator), Message::UpdateError { round, code: RefusalCode::CLOSING });
    assert_eq!(world.accept(Responder, round), Err(Misuse::NotProposed { round }));
    world.mine_blocks(LOCK + 5);
    assert_eq!(world.sides[Initiator].sent[&id].1, Fate::Dropped);
    world.assert_paid_out(SHARE, SHARE);
}

#[test]
fn a_user_may_refuse_for_ever_and_nothing_of_it_is_left() {
    let mut world = asked(Responder);
    for at in 0..300 {
        let id = world.pay(Initiator, 1).unwrap();
        world.run();
        let round = *shown(&world, Responder).last().unwrap();
        world.refuse(Responder, round, RefusalCode::APPLICATION).unwrap();
        world.run();
        assert_eq!(world.sides[Initiator].sent[&id].1, Fate::Refused, "the {at}th");
        // Both have signed the refusal: what was refused is dead.
        assert_eq!(world.rounds().0, world.rounds().1);
        assert!(world.rounds().0 > round);
    }
    world.assert_balances(SHARE, SHARE);
    world.assert_agreed();
}
