//! Both sides propose at once: the higher round wins, the loser's payments follow, and no user hears of it (R6.1).

use crate::harness::{Initiator, Responder, SHARE, World, side::Fate};
use channel::{Message, RefusalCode};
use protocol::{Party, Round};

#[test]
fn of_two_crossing_proposals_the_higher_wins_and_the_others_payments_follow() {
    let mut world = World::opened();
    let loser = world.pay(Initiator, 10).unwrap();
    let winner = world.pay(Responder, 3).unwrap();
    world.run();
    assert_eq!(world.sides[Responder].sent[&winner].1, Fate::Paid(4), "the responder's 4 beats the initiator's 3");
    assert_eq!(world.sides[Initiator].sent[&loser].1, Fate::Paid(7));
    world.assert_balances(SHARE - 7, SHARE + 7);
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn payments_that_wait_behind_a_losing_proposal_keep_their_order() {
    let mut world = World::opened();
    for amount in 1..=5 {
        let _id = world.pay(Initiator, amount).unwrap();
        let _id = world.pay(Responder, 10 * amount).unwrap();
    }
    world.run();
    world.assert_balances(SHARE + 135, SHARE - 135);
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn crossing_proposals_never_break_the_reserve() {
    // Each side spends everything it has, both at once, again and again.
    let mut world = World::opened();
    for _ in 0..10 {
        for party in Party::BOTH {
            let spendable = world.sides[party].balances().spendable;
            if spendable > 0 {
                let _id = world.pay(party, spendable).unwrap();
            }
        }
        world.run();
        world.assert_agreed();
    }
    world.assert_no_complaints();
}

#[test]
fn a_proposal_put_off_is_said_again_to_a_peer_that_proposes_below_it() {
    let mut world = World::opened();
    let id = world.pay(Responder, 10).unwrap();
    let Message::Update(first) = world.steal(Initiator) else { panic!("the proposal") };
    let (round, code) = (first.round, RefusalCode::CLOSING);
    world.hear(Responder, Message::UpdateError { round, code });
    assert_eq!(world.sides[Responder].sent[&id].1, Fate::Pending);
    // The peer goes on instead, with a round that the one put off would beat.
    let below = world.forge_update(Initiator, round - 1, &[5]);
    world.hear(Responder, Message::Update(below));
    assert_eq!(world.steal(Initiator), Message::Update(first));
    assert_eq!(world.sides[Responder].round(), 1);
}

/// How often each side won a round.
fn wins(world: &World) -> (usize, usize) {
    let rounds = |party: Party| {
        let mut rounds: Vec<Round> = world.sides[party].paid().into_iter().map(|(_, round)| round).collect();
        rounds.dedup();
        assert!(rounds.is_sorted());
        rounds.len()
    };
    (rounds(Initiator), rounds(Responder))
}

/// Both sides pay without pause until `rounds` rounds are agreed, with messages delivered by `schedule`.
fn storm(rounds: usize, mut schedule: impl FnMut(&mut World, usize)) -> World {
    let mut world = World::opened();
    for party in Party::BOTH {
        world.sides[party].strict = false;
    }
    let mut step = 0;
    while world.sides[Initiator].signed.len() < rounds {
        for party in Party::BOTH {
            // Always one in the queue: whenever a side may propose, it does.
            while world.sides[party].machine().status().pending < 2 && world.sides[party].balances().spendable > 0 {
                let _id = world.pay(party, 1).unwrap();
            }
        }
        schedule(&mut world, step);
        step += 1;
        assert!(step < 20 * rounds, "the storm stands still");
    }
    world.run();
    world.assert_agreed();
    world.assert_no_complaints();
    world
}

#[test]
fn a_storm_of_conflicts_leaves_both_sides_their_share_of_rounds() {
    let world = storm(5_000, |world, _| {
        let _delivered = (world.deliver(Initiator), world.deliver(Responder));
    });
    let (initiator, responder) = wins(&world);
    let all = initiator + responder;
    assert!(initiator * 5 >= all * 2 && responder * 5 >= all * 2, "{initiator} and {responder} of {all}");
}

#[test]
fn a_hundred_thousand_rounds_of_conflict_with_operations_in_between_reach_no_user() {
    let mut begun = 0_u32;
    let world = storm(100_000, |world, step| {
        if step % 5_000 == 0 {
            // Now the one and now the other, or both at once; one puts in what the other takes out.
            for party in Party::BOTH {
                let begins = match party {
                    Initiator if step % 10_000 == 0 => world.deposit(party, 3),
                    Responder if step % 15_000 == 0 => world.deposit(party, 2),
                    _ => world.withdraw(party, 1),
                };
                begun += u32::from(begins.is_ok());
            }
        }
        let _delivered = (world.deliver(Initiator), world.deliver(Responder));
        let waits = |party: Party| world.sides[party].machine().status().operation.is_some();
        if step % 8 == 7 && (waits(Initiator) || waits(Responder)) {
            world.mine();
        }
    });
    assert!(begun > 20, "{begun} operations");
    let (initiator, responder) = wins(&world);
    let all = initiator + responder;
    assert!(initiator * 5 >= all * 2 && responder * 5 >= all * 2, "{initiator} and {responder} of {all}");
}

#[test]
fn a_storm_is_fair_on_links_that_are_slower_one_way() {
    for slow in Party::BOTH {
        let world = storm(3_000, |world, step| {
            let _fast = world.deliver(slow.peer());
            if step % 3 == 0 {
                let _slow = world.deliver(slow);
            }
        });
        let (initiator, responder) = wins(&world);
        let all = initiator + responder;
        assert!(initiator * 5 >= all * 2 && responder * 5 >= all * 2, "{initiator} and {responder} of {all}");
    }
}

#[test]
fn a_storm_with_a_link_that_breaks_now_and_then_counts_each_payment_once() {
    let world = storm(2_000, |world, step| {
        if step % 17 == 16 {
            world.disconnect();
            world.connect();
        }
        let _delivered = (world.deliver(Initiator), world.deliver(Responder));
    });
    let (initiator, responder) = wins(&world);
    assert!(initiator > 100 && responder > 100, "{initiator} and {responder}");
}
