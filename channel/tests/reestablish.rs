//! The link breaks at every message: both sides find each other again, and agree on the newest (R6.6).

use crate::harness::{Initiator, Responder, SHARE, World, side::Fate};
use channel::{CloseReason, Message, Notice, RefusalCode};
use protocol::{Pair, Party};

/// Runs `begin`, lets `delivered` messages through in turns, breaks the link, and mends it. Says whether there was something to lose.
fn broken_after(world: &mut World, delivered: usize, begin: impl Fn(&mut World)) -> bool {
    begin(world);
    for turn in 0..delivered {
        let first = if turn % 2 == 0 { Responder } else { Initiator };
        if !world.deliver(first) && !world.deliver(first.peer()) {
            return false;
        }
    }
    world.disconnect();
    world.run();
    true
}

#[test]
fn a_payment_exchange_survives_a_broken_link_at_every_message() {
    for crossing in [false, true] {
        for by in Party::BOTH {
            for delivered in 0.. {
                let mut world = World::opened();
                let more = broken_after(&mut world, delivered, |world| {
                    let _id = world.pay(by, 10).unwrap();
                    let _id = world.pay(by, 20).unwrap();
                    if crossing {
                        let _id = world.pay(by.peer(), 3).unwrap();
                    }
                });
                world.run();
                world.assert_agreed();
                world.assert_no_complaints();
                let paid = world.sides[by].sent.values().filter(|(_, fate)| matches!(fate, Fate::Paid(_))).count();
                assert_eq!(paid, 2, "after {delivered} messages");
                if !more {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_lost_acknowledgement_does_not_make_a_payment_twice() {
    let mut world = World::opened();
    let id = world.pay(Initiator, 100).unwrap();
    assert!(world.deliver(Responder));
    let Message::UpdateAck { .. } = world.steal(Initiator) else { panic!("the acknowledgement") };
    assert_eq!(world.rounds(), (1, 3));
    world.disconnect();
    world.connect();
    assert_eq!(world.sides[Initiator].sent[&id].1, Fate::Pending);
    world.run();
    assert_eq!(world.sides[Initiator].sent[&id].1, Fate::Paid(3));
    world.assert_balances(SHARE - 100, SHARE + 100);
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn payments_made_while_disconnected_wait_for_the_link() {
    let mut world = World::opened();
    world.disconnect();
    assert_eq!(world.states(), ("disconnected", "disconnected"));
    let _id = world.pay(Initiator, 10).unwrap();
    let _id = world.pay(Responder, 20).unwrap();
    world.run();
    world.assert_balances(SHARE + 10, SHARE - 10);
    world.assert_agreed();
}

#[test]
fn a_shutdown_wanted_while_disconnected_happens_when_the_link_is_back() {
    let mut world = World::opened();
    world.disconnect();
    world.shutdown(Initiator, 0).unwrap();
    world.crash(Initiator);
    world.run();
    world.mine();
    assert!(matches!(world.sides[Initiator].closed(), Some(CloseReason::Mutual { .. })));
    world.assert_paid_out(SHARE, SHARE);
}

#[test]
fn an_opening_survives_a_broken_link_at_every_message_or_costs_nothing() {
    for mined_first in [false, true] {
        for delivered in 0.. {
            let mut world = World::new();
            let more = broken_after(&mut world, delivered, World::open);
            if mined_first {
                // Broken again, and both see the chain while they cannot talk.
                world.disconnect();
            }
            world.mine();
            world.run();
            world.mine_blocks(40);
            world.run();
            let states = world.states();
            assert!(
                states == ("open", "open") || states.0 == "closed" && matches!(states.1, "closed" | "none"),
                "{states:?} after {delivered} messages"
            );
            if states == ("open", "open") {
                let _id = world.pay(Responder, 10).unwrap();
                let _id = world.pay(Initiator, 30).unwrap();
                world.run();
                world.assert_agreed();
                world.assert_balances(SHARE - 20, SHARE + 20);
            } else {
                assert!(world.chain.is_closed());
            }
            if !more {
                assert_eq!(states, ("open", "open"));
                break;
            }
        }
    }
}

#[test]
fn the_last_words_of_an_opening_are_said_again() {
    // funding_locked of either side, or of both, is lost after both have seen the channel on chain.
    for lost in [[true, false], [false, true], [true, true]] {
        let mut world = World::new();
        world.open();
        world.run();
        world.mine();
        for (party, lost) in [(Initiator, lost[0]), (Responder, lost[1])] {
            if lost {
                world.wire[party].clear();
            }
        }
        world.deliver_all();
        world.disconnect();
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        // Both can pay at once.
        for party in Party::BOTH {
            let _id = world.pay(party, 5).unwrap();
            world.run();
        }
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn a_shutdown_survives_a_broken_link_at_every_message() {
    for crossing in [false, true] {
        for paying in [false, true] {
            for by in Party::BOTH {
                for delivered in 0.. {
                    let mut world = World::opened();
                    let more = broken_after(&mut world, delivered, |world| {
                        if paying {
                            let _id = world.pay(by.peer(), 10).unwrap();
                        }
                        world.shutdown(by, 0).unwrap();
                        if crossing {
                            world.shutdown(by.peer(), 1).unwrap();
                        }
                    });
                    for _ in 0..15 {
                        world.run();
                        world.mine();
                    }
                    for party in Party::BOTH {
                        assert!(matches!(world.sides[party].closed(), Some(CloseReason::Mutual { .. })));
                    }
                    world.assert_books();
                    world.assert_no_complaints();
                    if !more {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn a_shutdown_put_by_and_forgotten_with_the_link_is_not_answered_later() {
    // The responder pays, the initiator closes; the responder puts the close by, the link breaks, the close expires.
    let mut world = World::opened();
    let _new = world.chain.censored.insert("channel_close_mutual");
    let id = world.pay(Responder, 10).unwrap();
    world.shutdown(Initiator, 0).unwrap();
    assert!(world.deliver(Responder));
    world.disconnect();
    let validity = world.sides[Initiator].config.close_validity;
    world.mine_blocks(validity + 1);
    world.run();
    assert!(matches!(world.sides[Responder].sent[&id].1, Fate::Paid(_)));
    assert_eq!(world.states(), ("open", "open"));
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn a_shutdown_put_by_is_forgotten_when_the_peer_answers_as_if_it_had_expired() {
    for lagging in Party::BOTH {
        let (mut world, ahead) = (World::opened(), lagging.peer());
        let _new = world.chain.censored.insert("channel_close_mutual");
        world.lag[lagging] = 5;
        world.mine_blocks(6);
        let id = world.pay(lagging, 10).unwrap();
        world.shutdown(ahead, 0).unwrap();
        assert!(world.deliver(lagging), "the close is put by");
        while world.sides[ahead].state() == "closing" {
            world.mine();
        }
        // For the lagging side the close would still count.
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        assert!(matches!(world.sides[lagging].sent[&id].1, Fate::Paid(_)));
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn a_payment_that_met_a_shutdown_is_made_once_both_have_seen_it_expire() {
    // One side lags behind the chain: the other offers, pays or closes anew when for the lagging one the close still counts.
    for lagging in Party::BOTH {
        for offering in Party::BOTH {
            let mut world = World::opened();
            let _new = world.chain.censored.insert("channel_close_mutual");
            world.lag[lagging] = 5;
            world.mine_blocks(6);
            world.shutdown(offering, 0).unwrap();
            world.run();
            assert_eq!(world.states(), ("closing", "closing"));
            while world.sides[lagging.peer()].state() == "closing" {
                world.mine();
                world.run();
            }
            assert_eq!(world.sides[lagging].state(), "closing");
            let id = world.pay(lagging.peer(), 10).unwrap();
            world.run();
            assert_eq!(world.sides[lagging.peer()].sent[&id].1, Fate::Pending);
            for _ in 0..7 {
                world.mine();
                world.run();
            }
            assert!(matches!(world.sides[lagging.peer()].sent[&id].1, Fate::Paid(_)), "{lagging:?} lags");
            world.assert_agreed();
            world.assert_no_complaints();
        }
    }
}

#[test]
fn a_close_offered_anew_while_the_peer_still_holds_to_the_expired_one_is_agreed() {
    for lagging in Party::BOTH {
        for broken in [false, true] {
            let (mut world, ahead) = (World::opened(), lagging.peer());
            let _new = world.chain.censored.insert("channel_close_mutual");
            world.lag[lagging] = 5;
            world.mine_blocks(6);
            world.shutdown(ahead, 0).unwrap();
            world.run();
            while world.sides[ahead].state() == "closing" {
                world.mine();
                world.run();
            }
            assert_eq!(world.sides[lagging].state(), "closing");
            world.chain.censored.clear();
            if broken {
                // The lagging side says again that it agrees, to the old close; that must not be taken for the new one.
                world.disconnect();
            }
            world.shutdown(ahead, 2).unwrap();
            world.run();
            world.mine_blocks(7);
            let mut balances = Pair::new(SHARE, SHARE);
            balances[ahead] -= 2;
            assert_eq!(world.sides[lagging].closed(), Some(CloseReason::Mutual { balances }));
            world.assert_no_complaints();
        }
    }
}

#[test]
fn a_store_that_is_older_than_what_was_agreed_is_brought_up_to_date() {
    for old in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(Initiator, 10).unwrap();
        world.run();
        let copy = world.sides[old].copy();
        let _id = world.pay(old.peer(), 20).unwrap();
        world.run();
        let _id = world.pay(old, 5).unwrap();
        world.run();
        let (from, to) = (3, world.rounds().0);
        let known = world.sides[old].agreed;
        world.disconnect();
        (world.sides[old].stored, world.sides[old].kept) = copy;
        world.sides[old].agreed = from;
        world.sides[old].channel = world.sides[old].load();
        world.connect();
        world.run();
        assert_eq!(world.rounds(), (known, known));
        assert!(world.sides[old].notices().any(|notice| *notice == Notice::StaleStore { from, to }));
        assert_eq!(world.sides[old.peer()].notices().count(), 0);
        let balances = world.agreed(old);
        world.assert_balances(balances.initiator, balances.responder);
    }
}

#[test]
fn a_reestablished_state_must_be_co_signed_whole_and_the_same_for_the_same_round() {
    use channel::Violation;
    let mut world = World::opened();
    let _id = world.pay(Initiator, 10).unwrap();
    world.run();
    let other = Pair::new(SHARE + 490, SHARE - 490);
    let mut cases = Vec::new();
    let newer = world.forge_reestablish(Initiator, 5, other);
    cases.push((newer.clone(), Violation::SignatureInvalid));
    let unsigned = channel::Reestablish { signatures: None, ..newer };
    let more = world.forge_reestablish(Initiator, 5, Pair::new(SHARE + 1, SHARE));
    cases.push((more, Violation::WrongTotal { got: Some(2 * SHARE + 1), want: 2 * SHARE }));
    let overflow = world.forge_reestablish(Initiator, 5, Pair::new(u128::MAX, SHARE));
    cases.push((overflow, Violation::WrongTotal { got: None, want: 2 * SHARE }));
    let same = world.forge_reestablish(Initiator, 3, other);
    let (got, want) = (same.state.hash(&protocol::crypto::Native), channel::State::of(world.agreed(Responder)).hash());
    cases.push((same, Violation::StateHashMismatch { got, want }));
    for (reestablish, violation) in cases {
        world.disconnect();
        world.connect();
        world.wire = Pair::default();
        world.hear(Responder, Message::Reestablish(reestablish));
        assert_eq!(world.sides[Responder].notices().last(), Some(&Notice::PeerViolated(violation)));
        assert_eq!(world.steal(Initiator), Message::Error { code: RefusalCode::VALIDATION });
        assert!(!world.sides[Responder].machine().status().connected, "nothing is agreed with such a peer");
    }
    // One that claims to be on chain, by force, is left to the chain to confirm: nothing comes of it.
    world.disconnect();
    world.connect();
    world.wire = Pair::default();
    world.hear(Responder, Message::Reestablish(unsigned));
    assert_eq!(world.sides[Responder].round(), 3);
    world.disconnect();
    world.run();
    world.assert_agreed();
}

#[test]
fn the_two_stop_comparing_notes_whichever_side_notices_the_link_first() {
    for early in Party::BOTH {
        let mut world = World::opened();
        world.disconnect();
        // The early side's words reach the other before that one knows of the link.
        world.linked = true;
        world.input(early, channel::Input::LinkUp).unwrap();
        world.deliver_all();
        world.input(early.peer(), channel::Input::LinkUp).unwrap();
        world.deliver_all();
        assert!(
            world.sides[early].machine().status().connected && world.sides[early.peer()].machine().status().connected
        );
        let _id = world.pay(early, 1).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
    }
}
