//! A side was away for longer than anybody keeps the states of blocks: what it derives from the channel's record instead of the events (R6.9b).

use crate::harness::{
    Initiator, LOCK, PENALTY, Responder, SHARE, VALIDITY, World,
    chain::GENESIS,
    contracts::{forced, pays, puppet},
};
use channel::{CloseReason, Event, Notice, OperationKind, Stage, Status};
use protocol::{
    Amount, Base, Pair, Party,
    call::Call,
    event::ArbiterEvent,
    record::{Closing, Penalty},
    terms::Delegate,
};

/// What a side knows of its channel.
#[derive(Debug, PartialEq)]
struct View {
    status: Status,
    balances: Option<(Amount, Amount)>,
    evidence: Option<protocol::call::CloseSolo>,
    state: Option<channel::State>,
}

fn view(world: &World, party: Party) -> View {
    let machine = world.sides[party].machine();
    View {
        status: machine.status(),
        balances: machine.balances().map(|balances| (balances.ours, balances.peers)),
        evidence: machine.evidence(),
        state: machine.state().cloned(),
    }
}

/// A side that missed `story` comes back without its blocks, and knows what it would have known with them. The world of the former.
fn comes_back(party: Party, begin: impl Fn() -> World, story: impl Fn(&mut World)) -> World {
    let worlds = [World::restart, World::restart_from_record].map(|restart| {
        let mut world = begin();
        world.kill(party);
        story(&mut world);
        restart(&mut world, party);
        world
    });
    let [with, without] = worlds;
    assert_eq!(view(&without, party), view(&with, party), "what the record tells is what the events told");
    let last = without.chain.head();
    assert_eq!(skipped(&without, party), vec![last]);
    without
}

/// Up to which blocks a side was told that it skipped some.
fn skipped(world: &World, party: Party) -> Vec<protocol::BlockNumber> {
    let events = world.sides[party].events.iter();
    let told = events.filter_map(|event| match event {
        Event::BlocksSkipped { from, to } => {
            assert!(*from > GENESIS && from <= to);
            Some(*to)
        }
        _ => None,
    });
    told.collect()
}

fn was_told(world: &World, party: Party, test: impl Fn(&Event) -> bool) -> bool {
    world.sides[party].was_told(test) > 0
}

#[test]
fn an_old_close_that_was_not_seen_is_slashed_from_the_record() {
    for party in Party::BOTH {
        let begin = || {
            let mut world = World::opened();
            let _id = world.pay(party.peer(), 41).unwrap();
            world.run();
            // By agreeing to this one the cheat has shown that it held a newer state than the first.
            let _id = world.pay(party, 1).unwrap();
            world.run();
            world
        };
        let cheat = party.peer();
        let story = |world: &mut World| {
            // The first state, which both hold.
            let closing = protocol::call::CloseSolo {
                channel: world.sides[cheat].machine().channel_id().unwrap(),
                payload: None,
                commitment: channel::State::of(Pair::new(SHARE, SHARE)).commitment(),
            };
            world.kill(cheat);
            world.chain.submit(cheat, Call::ChannelCloseSolo(closing));
            world.mine_blocks(3);
        };
        let mut world = comes_back(party, begin, story);
        assert!(was_told(&world, party, |event| matches!(event, Event::ClosingSolo { outdated: true, .. })));
        assert!(world.chain.times_asked(party, "channel_slash") > 0);
        world.mine_blocks(2 * LOCK);
        let mut paid = Pair::new(SHARE, SHARE);
        paid[party] += 40 + PENALTY;
        paid[cheat] -= 40 + PENALTY;
        world.assert_paid_out(paid.initiator, paid.responder);
        assert_eq!(world.sides[party].closed(), Some(CloseReason::Settled { balances: paid }));
    }
}

#[test]
fn a_round_of_ones_own_that_the_peer_showed_to_the_chain_alone_is_agreed_and_paid() {
    let begin = || {
        let mut world = World::opened();
        let _id = world.pay(Initiator, 40).unwrap();
        // The peer has it, signs, and answers nobody.
        assert!(world.deliver(Responder));
        world
    };
    let mut world = comes_back(Initiator, begin, |world| {
        world.close_solo(Responder).unwrap();
        world.mine_blocks(2);
    });
    let paid = world.sides[Initiator].paid();
    assert_eq!(paid.len(), 1, "the payment is made: {paid:?}");
    assert!(was_told(&world, Initiator, |event| matches!(event, Event::ClosingSolo { outdated: false, .. })));
    world.mine_blocks(2 * LOCK);
    world.assert_paid_out(SHARE - 40, SHARE + 40);
}

#[test]
fn an_operation_that_got_on_chain_unseen_is_told_of_as_it_was_signed() {
    for party in Party::BOTH {
        for kind in [OperationKind::Deposit, OperationKind::Withdraw, OperationKind::SetDelegates] {
            let begin = || {
                let mut world = World::opened();
                match kind {
                    OperationKind::Deposit => world.deposit(party, 500).unwrap(),
                    OperationKind::Withdraw => world.withdraw(party, 300).unwrap(),
                    OperationKind::SetDelegates => {
                        let delegates = vec![Delegate::defender(protocol::AccountId([77; 32]))];
                        world.command(party, channel::Command::SetDelegates { delegates }).unwrap();
                    }
                    OperationKind::Pledge => unreachable!("it is no user's"),
                }
                world.run();
                world
            };
            for away in Party::BOTH {
                let mut world = comes_back(away, begin, |world| world.mine_blocks(VALIDITY * 3));
                let done = |event: &Event| match (event, kind) {
                    (Event::Deposited { party: by, amount, .. }, OperationKind::Deposit) => {
                        (*by, *amount) == (party, 500)
                    }
                    (Event::Withdrawn { party: by, amount, .. }, OperationKind::Withdraw) => {
                        (*by, *amount) == (party, 300)
                    }
                    (Event::DelegatesSet { delegates, .. }, OperationKind::SetDelegates) => delegates[party].len() == 1,
                    _ => false,
                };
                assert_eq!(world.sides[away].was_told(done), 1, "{away:?}: {party:?} {kind:?}");
                assert!(!was_told(&world, away, |event| matches!(event, Event::OperationFailed { .. })));
                world.run();
                let _id = world.pay(away, 10).unwrap();
                world.run();
                world.assert_agreed();
                world.assert_no_complaints();
            }
        }
    }
}

#[test]
fn an_opening_that_got_on_chain_unseen_is_open() {
    for away in Party::BOTH {
        let begin = || {
            let mut world = World::new();
            world.open();
            world.run();
            assert_eq!(world.states(), ("signed", "signed"));
            world
        };
        let mut world = comes_back(away, begin, |world| world.mine_blocks(VALIDITY * 3));
        world.run();
        assert_eq!(world.states(), ("open", "open"));
        let _id = world.pay(away, 10).unwrap();
        world.run();
        world.assert_agreed();
    }
}

#[test]
fn an_opening_that_the_peer_closed_at_once_is_answered_and_settled() {
    let begin = || {
        let mut world = World::new();
        world.open();
        world.run();
        world
    };
    let mut world = comes_back(Responder, begin, |world| {
        world.mine();
        world.close_solo(Initiator).unwrap();
        world.mine_blocks(2);
    });
    assert_eq!(world.sides[Responder].machine().status().phase, Stage::Closing);
    world.mine_blocks(2 * LOCK);
    world.assert_paid_out(SHARE, SHARE);
}

#[test]
fn an_opening_that_nobody_put_on_chain_is_awaited_until_it_expires() {
    let begin = || {
        let mut world = World::new();
        let _new = world.chain.censored.insert("channel_create");
        world.open();
        world.run();
        world
    };
    let mut world = comes_back(Responder, begin, |world| world.mine_blocks(3));
    assert_eq!(world.sides[Responder].machine().status().phase, Stage::Signed);
    world.mine_blocks(VALIDITY);
    assert_eq!(world.sides[Responder].closed(), Some(CloseReason::OpeningExpired { rejection: None }));
}

#[test]
fn an_end_that_was_not_seen_is_told_as_unknown() {
    for solo in [false, true] {
        let mut world = World::opened();
        let _id = world.pay(Responder, 40).unwrap();
        world.run();
        if solo {
            world.close_solo(Responder).unwrap();
        } else {
            world.shutdown(Responder, 0).unwrap();
            world.run();
        }
        world.kill(Initiator);
        world.mine_blocks(3 * LOCK);
        assert!(world.chain.is_closed());
        world.restart_from_record(Initiator);
        let agreed = Pair::new(SHARE + 40, SHARE - 40);
        assert_eq!(world.sides[Initiator].closed(), Some(CloseReason::Unseen { agreed }));
        assert_eq!(skipped(&world, Initiator), vec![world.chain.head()]);
        world.assert_reckoned(None);
    }
}

#[test]
fn an_opening_whose_channel_came_and_went_unseen_is_not_said_never_to_have_been() {
    let mut world = World::new();
    world.open();
    world.run();
    world.kill(Responder);
    world.mine();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(2 * LOCK);
    assert!(world.chain.is_closed());
    world.restart_from_record(Responder);
    let agreed = Pair::new(SHARE, SHARE);
    assert_eq!(world.sides[Responder].closed(), Some(CloseReason::Unseen { agreed }));
}

/// A puppet with fifty coins of each party's.
fn rich() -> (World, protocol::contracts::ContractId) {
    let (world, ids) = World::with(Initiator, vec![puppet(Pair::new(50, 50))]);
    (world, ids[0])
}

#[test]
fn own_calls_that_were_forced_unseen_are_run_again_in_their_block() {
    for party in Party::BOTH {
        let begin = || {
            let (mut world, contract) = rich();
            let calls = vec![forced(contract, 5, &pays(30, 0)), forced(contract, 0, &pays(0, 20))];
            world.force(party, calls).unwrap();
            world
        };
        let mut world = comes_back(party, begin, |world| world.mine_blocks(4));
        assert!(was_told(&world, party, |event| matches!(event, Event::Executed { forced: true, .. })));
        world.run();
        let _id = world.pay(party, 1).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn calls_of_the_peer_that_nobody_can_show_are_not_followed_and_nothing_is_signed_on_them() {
    for party in Party::BOTH {
        let (mut world, contract) = rich();
        world.kill(party);
        world.force(party.peer(), vec![forced(contract, 0, &pays(30, 0))]).unwrap();
        world.mine_blocks(3);
        world.restart_from_record(party);
        let to = world.sides[party.peer()].round();
        assert!(world.sides[party].notices().any(|notice| *notice == Notice::PendingReplay { round: to }));
        assert!(world.sides[party].machine().status().stale_store);
        world.run();
        assert_eq!(world.pay(party, 1), Err(channel::Misuse::StaleStore));
        let _id = world.pay(party.peer(), 1).unwrap();
        world.run();
        assert!(world.sides[party].round() < to, "nothing is agreed");
    }
}

#[test]
fn calls_of_the_peer_below_a_newer_state_are_replaced_though_nobody_can_show_them() {
    for party in Party::BOTH {
        let (mut world, contract) = rich();
        let (old, payload) = {
            let machine = world.sides[party].machine();
            (machine.state().cloned().unwrap(), machine.evidence().unwrap().payload)
        };
        let _id = world.pay(party.peer(), 7).unwrap();
        world.run();
        let agreed = world.sides[party].round();
        world.kill(party);
        world.kill(party.peer());
        world.force_by_hand(party.peer(), &old, payload, vec![forced(contract, 0, &pays(30, 0))]);
        world.mine();
        world.restart_from_record(party);
        assert!(!world.sides[party].machine().status().stale_store);
        assert!(world.chain.times_asked(party, "channel_snapshot_solo") > 0);
        world.mine();
        world.restart(party.peer());
        world.run();
        assert_eq!(world.sides[party].round(), agreed);
        let _id = world.pay(party, 1).unwrap();
        world.run();
        assert!(world.sides[party].round() > agreed);
    }
}

#[test]
fn a_channel_that_was_settled_unseen_while_contracts_hold_coins_goes_on_paying_them() {
    for party in Party::BOTH {
        let (mut world, contract) = rich();
        world.close_solo(party.peer()).unwrap();
        world.kill(party);
        world.mine_blocks(2 * LOCK);
        world.restart_from_record(party);
        assert!(was_told(&world, party, |event| *event == Event::ResidualUnseen { held: 100 }));
        world.force(party, vec![forced(contract, 0, &pays(60, 40))]).unwrap();
        world.mine();
        assert!(matches!(world.sides[party].closed(), Some(CloseReason::Unseen { .. })));
        world.assert_paid_out(SHARE + 10, SHARE - 10);
    }
}

#[test]
fn events_that_come_after_the_record_and_are_in_it_are_told_once() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(party, 40).unwrap();
        world.run();
        world.deposit(party, 500).unwrap();
        world.run();
        world.sides[party].asleep = true;
        world.mine();
        world.close_solo(party.peer()).unwrap();
        world.mine_blocks(2);
        world.sides[party].asleep = false;
        let (from, to) = (world.sides[party].seen + 1, world.chain.head());
        // The record was read at the last block, and the blocks can be read all the same.
        world.sides[party].seen = to;
        world.tell_record(party, from);
        let known = view(&world, party);
        for number in from..=to {
            world.sides[party].seen = number;
            world.tell_block(party, number);
        }
        assert_eq!(view(&world, party), known);
        let told = world.sides[party].was_told(|event| matches!(event, Event::Deposited { .. }));
        assert_eq!((told, world.sides[party].was_told(|event| matches!(event, Event::ClosingSolo { .. }))), (1, 1));
    }
}

#[test]
fn a_close_that_was_answered_unconfirmed_and_never_was_closes_nothing() {
    let mut world = World::opened();
    for payer in [Responder, Initiator] {
        let _id = world.pay(payer, 40).unwrap();
        world.run();
    }
    let closing = Closing {
        balances: Pair::new(SHARE, SHARE),
        unlock_at: world.chain.head() + LOCK,
        penalty: Penalty::AtRisk { closer: Responder, closed_on: 1 },
    };
    let state_hash = channel::State::of(closing.balances).hash();
    let forged = ArbiterEvent::ChannelClosedSolo { at: Base::of(1), state_hash, closing: closing.clone() };
    let newer = ArbiterEvent::ChannelClosedSolo { at: Base::of(99), state_hash, closing: closing.clone() };
    let own = Closing { penalty: Penalty::AtRisk { closer: Initiator, closed_on: 1 }, ..closing };
    let own = ArbiterEvent::ChannelClosedSolo { at: Base::of(1), state_hash, closing: own };
    for event in [newer, own] {
        assert!(
            !world.answers_in_doubt(Initiator, &event),
            "there is nothing to show, or it costs the penalty: {event:?}"
        );
    }
    assert!(world.answers_in_doubt(Initiator, &forged));
    // The arbiter refuses it.
    world.mine();
    world.tell_record(Initiator, GENESIS + 1);
    let _id = world.pay(Initiator, 1).unwrap();
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    world.assert_agreed();
}
