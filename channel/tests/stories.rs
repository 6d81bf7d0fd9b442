//! A channel's life as its users know it: opened, paid through, closed.

use crate::harness::{
    Initiator, LOCK, PENALTY, RESERVE, Responder, SHARE, TOTAL, VALIDITY, World, chain::FUNDS, forge::create_call,
    opening, party_terms, side::Fate,
};
use channel::{ChangeId, CloseReason, Event, MAX_UPDATES_PER_ROUND, Message, Misuse, Notice, RefusalCode};
use protocol::{
    Amount, Pair, Party, Rejection,
    call::{Call, CallKind, CloseSolo, Slash},
};

fn told_closed(world: &World, reason: &CloseReason) {
    for party in Party::BOTH {
        assert_eq!(world.sides[party].closed().as_ref(), Some(reason));
        assert_eq!(world.sides[party].was_told(|event| matches!(event, Event::Closed(_))), 1);
    }
}

/// Both were told in passing that an opening took too long, and nothing of it is stored.
fn told_not_opened(world: &World) {
    let code = Some(RefusalCode::TIMEOUT);
    for party in Party::BOTH {
        let side = &world.sides[party];
        assert_eq!(side.closed(), Some(CloseReason::NotOpened { code }));
        assert_eq!(side.noticed.iter().filter(|notice| **notice == Notice::NotOpened { code }).count(), 1);
        assert_eq!((side.was_told(|event| matches!(event, Event::Closed(_))), side.stored.is_none()), (0, true));
    }
}

#[test]
fn a_channel_opens_once_both_have_seen_it_on_chain() {
    let mut world = World::new();
    world.open();
    world.run();
    assert_eq!(world.states(), ("signed", "signed"));
    assert_eq!(world.sides[Initiator].machine().balances(), None);
    world.mine();
    assert_eq!(world.states(), ("signed", "signed"), "each waits for the other to say that it has seen it");
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    assert_eq!(world.rounds(), (1, 1));
    world.assert_balances(SHARE, SHARE);
    for party in Party::BOTH {
        assert_eq!(world.chain.ledger.vaults[&party_terms(party).id()], FUNDS - SHARE);
        let opened = Event::Opened { channel: world.channel_id(), balances: Pair::new(SHARE, SHARE) };
        assert_eq!(world.sides[party].was_told(|event| *event == opened), 1);
    }
    world.assert_no_complaints();
}

#[test]
fn a_channel_may_be_funded_by_one_side_and_pushed_to_the_other() {
    let mut world = World::new();
    let mut open = opening();
    open.shares = Pair::new(TOTAL, 0);
    world.propose(open).unwrap();
    world.run();
    world.mine();
    world.run();
    world.assert_balances(SHARE, SHARE);
    assert_eq!(world.chain.ledger.vaults[&party_terms(Responder).id()], FUNDS);
}

#[test]
fn payments_go_both_ways() {
    let mut world = World::opened();
    let first = world.pay(Initiator, 100).unwrap();
    world.run();
    let second = world.pay(Responder, 30).unwrap();
    world.run();
    world.assert_balances(SHARE - 70, SHARE + 70);
    assert_eq!(world.sides[Initiator].sent[&first].1, Fate::Paid(3));
    assert_eq!(world.sides[Responder].sent[&second].1, Fate::Paid(6));
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn payments_made_while_a_round_is_in_flight_share_the_next_one() {
    let mut world = World::opened();
    let made: Vec<_> = (0..900).map(|_| world.pay(Initiator, 1).unwrap()).collect();
    world.run();
    assert_eq!(world.rounds(), (5, 5), "one round for the first, one for all others");
    assert_eq!(world.sides[Initiator].sent[&made[0]].1, Fate::Paid(3));
    assert!(made[1..].iter().all(|id| world.sides[Initiator].sent[id].1 == Fate::Paid(5)));
    assert_eq!(world.sides[Responder].received.len(), 900);
    world.assert_balances(SHARE - 900, SHARE + 900);
    // Each reported once, with its own reference, in order: the books say so.
    world.assert_agreed();
}

#[test]
fn a_round_carries_at_most_as_many_payments_as_allowed() {
    let mut world = World::new();
    let mut open = opening();
    let (rich, many) = (40_000, Amount::try_from(MAX_UPDATES_PER_ROUND).unwrap() + 2);
    open.shares = Pair::new(rich, 0);
    open.balances = Pair::new(rich - RESERVE, RESERVE);
    world.sides[Initiator].strict = false;
    world.sides[Responder].strict = false;
    world.chain.deposit(Initiator, rich);
    world.propose(open).unwrap();
    world.run();
    world.mine();
    world.run();
    for _ in 0..many {
        let _id = world.pay(Initiator, 1).unwrap();
    }
    world.run();
    assert_eq!(world.rounds(), (7, 7), "one, then as many as fit, then the last");
    let last = world.sides[Initiator].sent.values().filter(|(_, fate)| *fate == Fate::Paid(7)).count();
    assert_eq!(last, 1);
    world.assert_books();
}

#[test]
fn a_payment_below_the_reserve_of_nothing_or_with_a_long_reference_is_refused_to_the_user() {
    let mut world = World::opened();
    let available = SHARE - RESERVE;
    assert_eq!(world.pay(Initiator, 0), Err(Misuse::AmountZero));
    assert_eq!(
        world.pay(Initiator, available + 1),
        Err(Misuse::InsufficientBalance { amount: available + 1, available })
    );
    let _first = world.pay(Initiator, available - 1).unwrap();
    // What is on its way cannot be spent again.
    assert_eq!(world.pay(Initiator, 2), Err(Misuse::InsufficientBalance { amount: 2, available: 1 }));
    let _second = world.pay(Initiator, 1).unwrap();
    assert_eq!(world.pay(Initiator, 1), Err(Misuse::InsufficientBalance { amount: 1, available: 0 }));
    world.run();
    world.assert_balances(RESERVE, TOTAL - RESERVE);
    world.assert_agreed();
}

#[test]
fn the_queue_is_bounded() {
    let mut world = World::new();
    world.sides[Initiator].config.max_queued = 3;
    world.open();
    world.run();
    world.mine();
    world.run();
    // One in flight, three wait.
    (0..4).for_each(|_| assert!(world.pay(Initiator, 1).is_ok()));
    assert_eq!(world.pay(Initiator, 1), Err(Misuse::QueueFull { max: 3 }));
    world.run();
    assert!(world.pay(Initiator, 1).is_ok());
    world.run();
    world.assert_agreed();
}

#[test]
fn either_side_closes_in_agreement_with_and_without_a_fee() {
    for (by, fee) in [(Initiator, 0), (Responder, 0), (Initiator, 4), (Responder, 4)] {
        let mut world = World::opened();
        let _id = world.pay(Initiator, 100).unwrap();
        world.run();
        world.shutdown(by, fee).unwrap();
        world.run();
        assert_eq!(world.states(), ("closing", "closing"));
        world.mine();
        world.run();
        let mut balances = Pair::new(SHARE - 100, SHARE + 100);
        balances[by] -= fee;
        told_closed(&world, &CloseReason::Mutual { balances });
        // Whoever offered submits, and so earns its own fee back.
        world.assert_paid_out(SHARE - 100, SHARE + 100);
        assert_eq!(world.chain.times_asked(by.peer(), "channel_close_mutual"), 0);
        world.assert_no_complaints();
    }
}

#[test]
fn a_close_that_the_chain_lost_is_asked_for_again_by_whoever_offered_it() {
    let mut world = World::opened();
    world.shutdown(Responder, 0).unwrap();
    world.run();
    world.chain.drop_pool();
    world.mine_blocks(2);
    assert_eq!(world.states(), ("closed", "closed"));
    assert_eq!(world.chain.times_asked(Initiator, "channel_close_mutual"), 0);
}

#[test]
fn a_shutdown_waits_for_the_payments_before_it() {
    let mut world = World::opened();
    let made: Vec<_> = (0..5).map(|_| world.pay(Initiator, 10).unwrap()).collect();
    world.shutdown(Initiator, 0).unwrap();
    assert_eq!(world.pay(Initiator, 1), Err(Misuse::AlreadyClosing));
    assert_eq!(world.shutdown(Initiator, 0), Err(Misuse::AlreadyClosing));
    world.run();
    world.mine();
    assert!(made.iter().all(|id| matches!(world.sides[Initiator].sent[id].1, Fate::Paid(_))));
    world.assert_paid_out(SHARE - 50, SHARE + 50);
    world.assert_no_complaints();
}

#[test]
fn a_fee_that_the_payments_before_it_used_up_is_what_is_left() {
    let mut world = World::opened();
    let _id = world.pay(Initiator, SHARE - RESERVE).unwrap();
    world.shutdown(Initiator, SHARE).unwrap();
    world.run();
    world.mine();
    told_closed(&world, &CloseReason::Mutual { balances: Pair::new(0, TOTAL - RESERVE) });
    assert_eq!(world.shutdown(Initiator, 0), Err(Misuse::NotOpen { state: "closed" }));
    world.assert_no_complaints();

    let mut world = World::opened();
    let too_much = Misuse::FeeTooHigh { fee: SHARE + 1, available: SHARE };
    assert_eq!(world.shutdown(Initiator, SHARE + 1), Err(too_much));
}

#[test]
fn crossing_shutdowns_become_the_initiators() {
    let mut world = World::opened();
    world.shutdown(Initiator, 2).unwrap();
    world.shutdown(Responder, 3).unwrap();
    world.run();
    world.mine();
    told_closed(&world, &CloseReason::Mutual { balances: Pair::new(SHARE - 2, SHARE) });
    world.assert_paid_out(SHARE, SHARE);
    world.assert_no_complaints();
}

#[test]
fn a_shutdown_that_crosses_a_proposal_ends_the_channel_without_it() {
    for by in Party::BOTH {
        let mut world = World::opened();
        let id = world.pay(by.peer(), 50).unwrap();
        world.shutdown(by, 0).unwrap();
        world.run();
        assert_eq!(world.states(), ("closing", "closing"));
        world.mine();
        world.run();
        told_closed(&world, &CloseReason::Mutual { balances: Pair::new(SHARE, SHARE) });
        assert_eq!(world.sides[by.peer()].sent[&id].1, Fate::Dropped, "the payer is told");
        world.assert_paid_out(SHARE, SHARE);
        world.assert_books();
        world.assert_no_complaints();
    }
}

#[test]
fn a_solo_close_on_the_latest_state_is_settled_without_a_penalty() {
    for by in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(Responder, 250).unwrap();
        world.run();
        world.close_solo(by).unwrap();
        assert_eq!(world.pay(by, 1), Err(Misuse::AlreadyClosing));
        world.mine();
        assert_eq!(world.states(), ("closing", "closing"));
        let unlock_at = world.chain.head() + LOCK;
        let round = world.rounds().0;
        for party in Party::BOTH {
            let told = Event::ClosingSolo { round, unlock_at, outdated: false };
            assert_eq!(world.sides[party].was_told(|event| *event == told), 1);
        }
        world.mine_blocks(LOCK - 1);
        assert_eq!(world.states(), ("closing", "closing"), "one block before unlock_at");
        world.mine();
        told_closed(&world, &CloseReason::Settled { balances: Pair::new(SHARE + 250, SHARE - 250) });
        world.assert_paid_out(SHARE + 250, SHARE - 250);
        world.assert_no_complaints();
        for party in Party::BOTH {
            assert_eq!(world.sides[party].notices().count(), 0, "no call was refused");
        }
    }
}

/// `closer` puts the state before `newest` on chain; what the arbiter pays in the end.
fn close_on_an_old_state(closer: Party, newest: Party) -> World {
    let mut world = World::opened();
    let _first = world.pay(Initiator, 100).unwrap();
    world.run();
    let old = world.sides[closer].machine().evidence().unwrap();
    let _newest = world.pay(newest, 40).unwrap();
    world.run();
    world.chain.submit(closer, Call::ChannelCloseSolo(old));
    world.mine();
    for party in Party::BOTH {
        let outdated = |event: &Event| matches!(event, Event::ClosingSolo { outdated: true, .. });
        assert_eq!(world.sides[party].was_told(outdated), 1, "{party:?} knows better");
    }
    world.mine();
    for party in Party::BOTH {
        assert_eq!(world.sides[party].was_told(|event| matches!(event, Event::Slashed { .. })), 1);
    }
    world.mine_blocks(LOCK + 2);
    world
}

#[test]
fn closing_on_an_old_state_is_slashed_and_costs_the_penalty_when_the_peer_proposed_the_newer_round() {
    for closer in Party::BOTH {
        let world = close_on_an_old_state(closer, closer.peer());
        let mut balances = Pair::new(SHARE - 100, SHARE + 100);
        balances[closer.peer()] += PENALTY;
        balances[closer.peer()] -= 40;
        balances[closer] += 40;
        balances[closer] -= PENALTY;
        told_closed(&world, &CloseReason::Settled { balances });
        world.assert_paid_out(balances.initiator, balances.responder);
    }
}

#[test]
fn closing_before_ones_own_newest_round_is_corrected_without_a_penalty() {
    for closer in Party::BOTH {
        let world = close_on_an_old_state(closer, closer);
        let mut balances = Pair::new(SHARE - 100, SHARE + 100);
        balances[closer.peer()] += 40;
        balances[closer] -= 40;
        told_closed(&world, &CloseReason::Settled { balances });
    }
}

#[test]
fn a_closer_that_slashes_itself_pays_the_penalty_all_the_same() {
    let mut world = World::opened();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Responder, 40).unwrap();
    world.run();
    let newest = world.sides[Initiator].machine().evidence().unwrap();
    // The responder sleeps: only the cheat itself slashes.
    world.kill(Responder);
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    world.mine_blocks(2);
    assert_eq!(world.chain.times_asked(Initiator, "channel_slash"), 0, "its machine does not do it");
    let CloseSolo { channel, payload: Some(payload), commitment } = newest else { panic!("a proof") };
    world.chain.submit(Initiator, Call::ChannelSlash(Slash { channel, payload, commitment }));
    world.mine_blocks(LOCK + 2);
    world.assert_paid_out(SHARE + 40 - PENALTY, SHARE - 40 + PENALTY);
    world.restart(Responder);
    told_closed(&world, &CloseReason::Settled { balances: Pair::new(SHARE + 40 - PENALTY, SHARE - 40 + PENALTY) });
}

#[test]
fn a_side_that_only_reports_neither_slashes_nor_settles() {
    let mut world = World::new();
    for party in Party::BOTH {
        world.sides[party].config.defend = false;
    }
    world.open();
    world.run();
    world.mine();
    world.run();
    let old = world.sides[Initiator].machine().evidence().unwrap();
    let _id = world.pay(Initiator, 40).unwrap();
    world.run();
    world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
    world.mine_blocks(LOCK + 10);
    assert_eq!(world.states(), ("closing", "closing"));
    assert_eq!(world.sides[Responder].was_told(|event| matches!(event, Event::ClosingSolo { outdated: true, .. })), 1);
}

#[test]
fn an_answer_that_does_not_come_ends_an_opening_that_nobody_signed() {
    // The accept is lost on the way: the initiator gives up, and says so.
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder));
    let _lost = world.steal(Initiator);
    let patience = world.sides[Initiator].config.timeouts.opening;
    world.tick(patience - 1);
    assert_eq!(world.states(), ("initialized", "accepted"));
    world.tick(1);
    told_not_opened(&world);

    // The chain does not say the nonce.
    let mut world = World::new();
    world.answer_nonce = false;
    world.open();
    world.run();
    assert_eq!(world.states(), ("initialized", "accepted"));
    world.tick(patience);
    told_not_opened(&world);
}

#[test]
fn an_opening_that_never_reaches_the_chain_expires_on_both_sides() {
    let mut world = World::new();
    let _new = world.chain.censored.insert("channel_create");
    world.open();
    world.run();
    world.mine_blocks(VALIDITY);
    assert_eq!(world.states(), ("signed", "signed"), "in its last block it still counts");
    world.mine();
    told_closed(&world, &CloseReason::OpeningExpired { rejection: None });
    assert_eq!(world.chain.ledger.vaults[&party_terms(Initiator).id()], FUNDS);
    assert!(world.chain.times_asked(Initiator, "channel_create") > 1, "it was asked for again and again");
}

#[test]
fn the_initiator_opens_when_the_responder_puts_the_opening_on_chain_without_answering() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    let Some(&Message::FundingCreated(created)) = world.wire[Responder].front() else { panic!("the signature") };
    assert!(world.deliver(Responder));
    assert_eq!(world.states(), ("half_signed", "signed"));
    let Message::FundingSigned(signed) = world.steal(Initiator) else { panic!("the answer") };
    let create = create_call(&opening(), created, signed);
    world.chain.submit(Responder, create);
    world.mine();
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    let _id = world.pay(Initiator, 10).unwrap();
    world.run();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 2);
    world.assert_paid_out(SHARE - 10, SHARE + 10);
}

#[test]
fn an_opening_that_the_chain_refused_is_told_once_and_does_not_open_behind_the_users_back() {
    let mut world = World::new();
    world.chain.empty_vault(Responder);
    world.open();
    world.run();
    world.mine_blocks(5);
    let rejection = Rejection::VaultTooLow { party: Responder, have: 0, need: SHARE };
    let notice = Notice::CallRejected { call: CallKind::ChannelCreate, rejection };
    assert_eq!(world.sides[Initiator].notices().collect::<Vec<_>>(), [&notice]);
    assert_eq!(world.sides[Responder].notices().count(), 0);
    world.chain.deposit(Responder, FUNDS);
    let asked = world.chain.times_asked(Initiator, "channel_create");
    // Not even after a restart.
    world.crash(Initiator);
    world.run();
    world.mine_blocks(2);
    assert_eq!(world.states(), ("signed", "signed"));
    world.mine_blocks(VALIDITY + 2);
    assert_eq!(world.chain.times_asked(Initiator, "channel_create"), asked);
    let told = world.sides[Initiator].closed();
    assert_eq!(told, Some(CloseReason::OpeningExpired { rejection: Some(rejection) }), "the reason is kept");
}

#[test]
fn a_close_in_agreement_that_never_gets_on_chain_expires_and_the_channel_goes_on() {
    let mut world = World::opened();
    let _new = world.chain.censored.insert("channel_close_mutual");
    world.shutdown(Initiator, 0).unwrap();
    world.run();
    let validity = world.sides[Initiator].config.close_validity;
    let _refused = world.pay(Responder, 5).unwrap_err();
    world.mine_blocks(validity - 1);
    let asked = world.chain.times_asked(Initiator, "channel_close_mutual");
    world.mine();
    assert_eq!(world.states(), ("closing", "closing"), "in its last block it still counts");
    assert_eq!(world.chain.times_asked(Initiator, "channel_close_mutual"), asked, "the next block is too late");
    assert!(world.chain.times_asked(Responder, "channel_close_mutual") > 0, "the peer tries too, in the end");
    world.mine();
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    let _id = world.pay(Responder, 5).unwrap();
    let _id = world.pay(Initiator, 25).unwrap();
    world.run();
    world.assert_balances(SHARE - 20, SHARE + 20);
    world.chain.censored.clear();
    world.shutdown(Responder, 0).unwrap();
    world.run();
    world.mine();
    world.assert_paid_out(SHARE - 20, SHARE + 20);
    world.assert_no_complaints();
}

#[test]
fn a_payment_that_met_a_shutdown_is_made_when_that_shutdown_expires() {
    for by in Party::BOTH {
        let mut world = World::opened();
        let _new = world.chain.censored.insert("channel_close_mutual");
        let id = world.pay(by.peer(), 50).unwrap();
        world.shutdown(by, 0).unwrap();
        world.run();
        assert_eq!(world.sides[by.peer()].sent[&id].1, Fate::Pending);
        let validity = world.sides[by].config.close_validity;
        for _ in 0..=validity + 1 {
            world.mine();
            world.run();
        }
        assert!(matches!(world.sides[by.peer()].sent[&id].1, Fate::Paid(_)));
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn rounds_are_refused_to_the_user_and_to_the_peer_while_closing() {
    let mut world = World::opened();
    world.shutdown(Initiator, 0).unwrap();
    assert_eq!(world.pay(Initiator, 1), Err(Misuse::NotOpen { state: "closing" }));
    assert_eq!(world.shutdown(Initiator, 0), Err(Misuse::AlreadyClosing));
    let update = world.forge_update(Responder, 4, &[10]);
    world.hear(Initiator, Message::Update(update));
    assert_eq!(world.steal(Responder), Message::UpdateError { round: 4, code: RefusalCode::CLOSING });
    assert_eq!(world.sides[Initiator].round(), 1);
}

#[test]
fn a_silent_peer_is_told_of_once_for_each_answer_that_is_late() {
    let mut world = World::opened();
    let patience = world.sides[Initiator].config.timeouts.answer;
    let silent = |world: &World| world.sides[Initiator].was_noticed(|notice| *notice == Notice::PeerSilent);
    let _id = world.pay(Initiator, 1).unwrap();
    // Paying on does not make the peer's silence any shorter.
    for _ in 0..10 {
        world.tick(patience / 10 - 1);
        assert_eq!(silent(&world), 0);
        let _id = world.pay(Initiator, 1).unwrap();
        world.mine();
    }
    world.tick(10);
    assert_eq!(silent(&world), 1);
    world.tick(patience);
    assert_eq!(silent(&world), 1);
    world.run();
    // All is answered: nobody is silent.
    world.tick(patience * 2);
    assert_eq!(silent(&world), 1);
    world.shutdown(Initiator, 0).unwrap();
    world.run();
    world.tick(patience * 2);
    assert_eq!(silent(&world), 1);
    world.assert_agreed();
}

#[test]
fn ids_name_payments_in_the_order_of_their_making() {
    let mut world = World::opened();
    assert_eq!(world.pay(Initiator, 1), Ok(ChangeId(1)));
    assert_eq!(world.pay(Responder, 1), Ok(ChangeId(1)), "each side counts its own");
    assert_eq!(world.pay(Initiator, 1), Ok(ChangeId(2)));
    world.run();
    assert_eq!(world.sides[Initiator].machine().next_change(), Some(ChangeId(3)));
    world.assert_agreed();
}
