//! Parting and coming back, words of the application, a link that is told of twice, and stores that are too old.

use crate::harness::{Fate, Initiator, LOCK, RESERVE, Responder, SHARE, World};
use channel::{CloseReason, Command, Event, Input, MAX_INBAND, Message, Misuse, Notice, RefusalCode, Stage, Violation};
use protocol::{Pair, Party, call::Call};

fn left(world: &World, party: Party) -> Vec<Party> {
    let by = |notice: &Notice| match notice {
        Notice::Left { by } => Some(*by),
        _ => None,
    };
    world.sides[party].noticed.iter().filter_map(by).collect()
}

#[test]
fn two_that_part_keep_the_channel_and_either_may_come_back() {
    for leaver in Party::BOTH {
        for comes_back in Party::BOTH {
            let mut world = World::opened();
            let _id = world.pay(Initiator, 10).unwrap();
            world.run();
            world.command(leaver, Command::Leave).unwrap();
            world.run();
            assert_eq!(world.states(), ("disconnected", "disconnected"));
            for party in Party::BOTH {
                assert_eq!(left(&world, party), [leaver]);
                assert_eq!(world.sides[party].machine().status().phase, Stage::Open);
            }
            let id = world.pay(leaver, 5).unwrap();
            world.run();
            assert_eq!(world.sides[leaver].sent[&id].1, Fate::Pending, "it waits");
            world.command(comes_back, Command::Rejoin).unwrap();
            world.run();
            assert_eq!(world.states(), ("open", "open"));
            assert!(matches!(world.sides[leaver].sent[&id].1, Fate::Paid(_)));
            world.assert_agreed();
            world.assert_no_complaints();
        }
    }
}

#[test]
fn two_that_leave_at_once_or_with_a_round_in_flight_lose_nothing() {
    for both in [false, true] {
        for delivered in 0..6 {
            let mut world = World::opened();
            let ids = [Initiator, Responder].map(|party| (party, world.pay(party, 20).unwrap()));
            let _ends = (0..delivered).all(|turn| world.deliver(if turn % 2 == 0 { Initiator } else { Responder }));
            world.command(Initiator, Command::Leave).unwrap();
            if both {
                world.command(Responder, Command::Leave).unwrap();
            }
            world.run();
            assert_eq!(world.states(), ("disconnected", "disconnected"));
            // A new connection brings both back.
            world.disconnect();
            world.run();
            for (party, id) in ids {
                assert!(matches!(world.sides[party].sent[&id].1, Fate::Paid(_)));
            }
            world.assert_agreed();
            world.assert_no_complaints();
        }
    }
}

#[test]
fn leaving_is_refused_without_a_channel_or_a_connection_and_done_alone_where_nobody_answers() {
    let mut world = World::new();
    world.open();
    assert_eq!(world.command(Initiator, Command::Leave), Err(Misuse::NotOpen { state: "initialized" }));
    world.run();
    world.mine();
    world.run();
    assert!(world.command(Initiator, Command::Rejoin).is_ok(), "it has not parted");
    world.command(Initiator, Command::Leave).unwrap();
    let _lost = world.steal(Responder);
    assert_eq!(world.command(Initiator, Command::Leave), Err(Misuse::Disconnected));
    let patience = world.sides[Initiator].config.timeouts.leave;
    world.tick(patience - 1);
    assert_eq!(world.sides[Initiator].state(), "open");
    world.tick(1);
    assert_eq!((world.sides[Initiator].state(), left(&world, Initiator)), ("disconnected", vec![Initiator]));
    world.disconnect();
    assert_eq!(world.command(Initiator, Command::Leave), Err(Misuse::Disconnected));
    assert_eq!(world.command(Initiator, Command::Rejoin), Err(Misuse::Disconnected));
    world.run();
    assert_eq!(world.states(), ("open", "open"));
}

#[test]
fn a_close_on_chain_is_seen_by_those_who_have_parted() {
    let mut world = World::opened();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Initiator, 100).unwrap();
    world.run();
    world.command(Responder, Command::Leave).unwrap();
    world.run();
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    world.mine_blocks(2 * LOCK + 5);
    world.assert_paid_out(SHARE - 100, SHARE + 100);
}

#[test]
fn a_connection_told_of_twice_changes_nothing_and_starts_no_endless_talk() {
    for first in Party::BOTH {
        let mut world = World::opened();
        world.disconnect();
        world.linked = true;
        for party in [first, first, first.peer(), first.peer(), first, first.peer()] {
            world.input(party, Input::LinkUp).unwrap();
        }
        let before = world.messages;
        world.deliver_all();
        for party in Party::BOTH {
            world.input(party, Input::LinkUp).unwrap();
        }
        world.deliver_all();
        assert!(world.messages - before <= 4, "{} messages", world.messages - before);
        let _id = world.pay(first, 1).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn words_of_the_application_reach_its_peer_and_change_nothing() {
    let mut world = World::opened();
    let heard = |world: &World| world.sides[Responder].was_noticed(|notice| matches!(notice, Notice::Message(_)));
    world.command(Initiator, Command::SendMessage(b"hello".to_vec())).unwrap();
    world.run();
    assert_eq!(world.sides[Responder].was_noticed(|notice| *notice == Notice::Message(b"hello".to_vec())), 1);
    world.command(Initiator, Command::SendMessage(vec![7; MAX_INBAND])).unwrap();
    world.run();
    assert_eq!(heard(&world), 2);
    let got = MAX_INBAND + 1;
    let too_long = world.command(Initiator, Command::SendMessage(vec![7; got]));
    assert_eq!(too_long, Err(Misuse::InbandTooLong { got, max: MAX_INBAND }));
    world.hear(Responder, Message::Inband(vec![7; got]));
    assert_eq!(world.sides[Responder].notices().last(), Some(&Notice::PeerViolated(Violation::InbandTooLong { got })));
    assert_eq!((heard(&world), world.rounds()), (2, (1, 1)));
    world.disconnect();
    assert_eq!(world.command(Initiator, Command::SendMessage(Vec::new())), Err(Misuse::Disconnected));
}

#[test]
fn words_may_be_said_from_the_opening_on_chain_to_the_end_and_not_before() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder));
    let words = b"before it opens".to_vec();
    for (by, to) in [(Initiator, Responder), (Responder, Initiator)] {
        let state = world.sides[by].channel.as_ref().unwrap().status().phase.name();
        assert_eq!(world.command(by, Command::SendMessage(words.clone())), Err(Misuse::NotOpen { state }));
        // Nor does whoever says it all the same have it told: neither has put in anything yet.
        let state = world.sides[to].channel.as_ref().unwrap().status().phase.name();
        world.hear(to, Message::Inband(words.clone()));
        let refused = Notice::PeerViolated(Violation::OutOfPlace { message: "inband_message", state });
        assert_eq!(world.sides[to].notices().last(), Some(&refused));
        assert_eq!(world.sides[to].was_noticed(|notice| matches!(notice, Notice::Message(_))), 0);
    }
    let mut world = World::opened();
    for (by, to) in [(Initiator, Responder), (Responder, Initiator)] {
        world.command(by, Command::SendMessage(b"while it is open".to_vec())).unwrap();
        world.run();
        assert_eq!(world.sides[to].was_noticed(|notice| matches!(notice, Notice::Message(_))), 1);
    }
    world.close_solo(Initiator).unwrap();
    world.mine();
    world.command(Responder, Command::SendMessage(b"while it closes".to_vec())).unwrap();
    world.run();
    assert_eq!(world.sides[Initiator].was_noticed(|notice| matches!(notice, Notice::Message(_))), 2);
    world.mine_blocks(LOCK + 5);
    let late = world.command(Responder, Command::SendMessage(b"after all".to_vec()));
    assert_eq!(late, Err(Misuse::NotOpen { state: "closed" }));
}

/// One side's store is put back to before two agreed rounds, and the two meet.
fn outdated(old: Party) -> World {
    let mut world = World::opened();
    let _id = world.pay(Initiator, 10).unwrap();
    world.run();
    let copy = world.sides[old].copy();
    for payer in [old.peer(), old] {
        let _id = world.pay(payer, 20).unwrap();
        world.run();
    }
    world.disconnect();
    let side = &mut world.sides[old];
    (side.stored, side.kept) = copy;
    side.agreed = 0;
    side.channel = side.load();
    // What it paid later it has forgotten, and its user as well.
    side.sent.clear();
    side.keys.clear();
    world.connect();
    world.run();
    assert!(world.sides[old].machine().status().stale_store);
    world
}

#[test]
fn a_side_whose_store_is_old_signs_no_more_rounds_and_both_users_learn_why() {
    for old in Party::BOTH {
        let mut world = outdated(old);
        let told = |world: &World| {
            world.sides[old].notices().filter(|notice| matches!(notice, Notice::StaleStore { .. })).count()
        };
        assert_eq!(told(&world), 1);
        // After a restart it still knows.
        world.crash(old);
        assert_eq!(told(&world), 2);
        world.run();
        assert_eq!(world.pay(old, 1), Err(Misuse::StaleStore));
        assert_eq!(world.deposit(old, 1), Err(Misuse::StaleStore));
        assert_eq!(world.shutdown(old, 0), Err(Misuse::StaleStore));
        assert_eq!(world.close_solo(old), Err(Misuse::StaleStore));
        let id = world.pay(old.peer(), 1).unwrap();
        world.run();
        let refused = |event: &Event| match event {
            Event::Refused { payments, code: RefusalCode::STALE_STORE } => payments.ids() == [id],
            _ => false,
        };
        assert_eq!(world.sides[old.peer()].was_told(refused), 1);
        world.withdraw(old.peer(), 5).unwrap();
        world.run();
        assert_eq!(world.sides[old.peer()].was_told(|event| matches!(event, Event::OperationFailed { .. })), 1);
        // The peer's offer to close is fair, and taken.
        world.shutdown(old.peer(), 0).unwrap();
        world.run();
        world.mine();
        let balances = Pair::new(SHARE - 10, SHARE + 10);
        for party in Party::BOTH {
            assert_eq!(world.sides[party].closed(), Some(CloseReason::Mutual { balances }));
        }
    }
}

#[test]
fn a_side_whose_store_is_old_still_answers_a_close_on_an_older_state() {
    for old in Party::BOTH {
        let mut world = World::opened();
        let first = world.sides[old].machine().evidence().unwrap();
        let cheat = old.peer();
        let _id = world.pay(cheat, 100).unwrap();
        world.run();
        let copy = world.sides[old].stored.clone();
        let _id = world.pay(cheat, 200).unwrap();
        world.run();
        world.disconnect();
        let side = &mut world.sides[old];
        (side.stored, side.agreed) = (copy, 0);
        side.channel = side.load();
        world.connect();
        world.run();
        assert!(world.sides[old].machine().status().stale_store);
        world.kill(cheat);
        world.chain.submit(cheat, Call::ChannelCloseSolo(first));
        world.mine_blocks(2 * LOCK + 5);
        assert!(world.chain.is_closed());
        assert!(world.chain.wealth(old) >= 4_000 + SHARE + 300);
    }
}

#[test]
fn an_operation_on_chain_that_the_store_does_not_know_shows_that_it_is_old() {
    for old in Party::BOTH {
        let mut world = World::opened();
        let copy = world.sides[old].stored.clone();
        world.deposit(old, 100).unwrap();
        world.run();
        world.kill(old);
        world.sides[old].stored = copy;
        world.mine();
        world.restart(old);
        world.run();
        assert!(world.sides[old].machine().status().stale_store);
        // What it can tell of the state it knows.
        assert_eq!(world.sides[old].balances().ours, SHARE + 100);
        assert_eq!(world.sides[old].balances().spendable, SHARE + 100 - RESERVE);
        world.shutdown(old.peer(), 0).unwrap();
        world.run();
        world.mine();
        assert!(matches!(world.sides[old].closed(), Some(CloseReason::Mutual { .. })));
    }
}

#[test]
fn every_state_that_outlives_its_connection_is_disconnected_without_one() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    assert_eq!(world.sides[Initiator].state(), "half_signed");
    world.disconnect();
    let phase = |world: &World, party: Party| world.sides[party].machine().status().phase.name();
    assert_eq!((world.sides[Initiator].state(), phase(&world, Initiator)), ("disconnected", "half_signed"));
    assert_eq!(world.sides[Responder].state(), "closed", "nothing was signed there");

    let mut world = World::new();
    world.open();
    world.run();
    world.disconnect();
    assert_eq!((world.sides[Responder].state(), phase(&world, Responder)), ("disconnected", "signed"));
    world.run();
    world.mine();
    world.run();
    world.close_solo(Initiator).unwrap();
    world.mine();
    world.disconnect();
    assert_eq!((world.sides[Responder].state(), phase(&world, Responder)), ("disconnected", "closing"));
    world.mine_blocks(LOCK + 5);
    assert_eq!(world.states(), ("closed", "closed"));
}

#[test]
fn each_answer_has_its_own_patience() {
    let silent = |world: &World, party: Party| {
        world.sides[party].notices().filter(|notice| **notice == Notice::PeerSilent).count()
    };
    let configured = |set: &dyn Fn(&mut channel::Timeouts)| {
        let mut world = World::new();
        set(&mut world.sides[Initiator].config.timeouts);
        world
    };
    let open = |world: &mut World| {
        world.open();
        world.run();
        world.mine();
        world.run();
    };
    type Set = fn(&mut channel::Timeouts);
    type Wait = fn(&mut World);
    let cases: [(&str, Set, Wait); 4] = [
        ("answer", |timeouts| timeouts.answer = 5, |world| drop(world.pay(Initiator, 1))),
        ("operation", |timeouts| timeouts.operation = 5, |world| world.deposit(Initiator, 1).unwrap()),
        ("shutdown", |timeouts| timeouts.shutdown = 5, |world| world.shutdown(Initiator, 0).unwrap()),
        (
            "locked",
            |timeouts| timeouts.locked = 5,
            |world| {
                world.deposit(Initiator, 1).unwrap();
                world.run();
                world.lag[Responder] = 3;
                world.mine();
            },
        ),
    ];
    for (name, set, wait) in cases {
        let mut world = configured(&set);
        open(&mut world);
        wait(&mut world);
        world.tick(4);
        assert_eq!(silent(&world, Initiator), 0, "{name}");
        world.tick(1);
        assert_eq!(silent(&world, Initiator), 1, "{name}");
    }
    let mut world = configured(&|timeouts| timeouts.funding_signed = 5);
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    world.tick(5);
    assert_eq!(silent(&world, Initiator), 1, "funding_signed");
    let mut world = configured(&|timeouts| timeouts.funding_locked = 5);
    world.open();
    world.run();
    world.lag[Responder] = 3;
    world.mine();
    world.tick(5);
    assert_eq!(silent(&world, Initiator), 1, "funding_locked");
    let mut world = configured(&|timeouts| timeouts.reestablish = 5);
    open(&mut world);
    world.disconnect();
    world.connect();
    world.tick(5);
    assert_eq!(silent(&world, Initiator), 1, "reestablish");
}
