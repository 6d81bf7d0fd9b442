//! Ends of channels with contracts in them: closes, calls by force while closing, and what is left when the parties are paid out.

use crate::harness::{
    Initiator, LOCK, Responder, SHARE, World,
    contracts::{call, counter, forced, of, pays, puppet},
    side::Fate,
};
use channel::{CloseReason, Event, Message, Misuse, Notice, RefusalCode, Violation};
use protocol::{Pair, Party, Rejection, contracts::ContractId};

fn settle_down(world: &mut World) {
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    world.run();
}

/// A puppet that holds coins of both.
fn rich() -> (World, ContractId) {
    let (world, ids) = World::with(Initiator, vec![puppet(Pair::new(60, 40))]);
    (world, ids[0])
}

/// Closed by one side and settled, with a hundred coins in the puppet.
fn residual(closer: Party) -> (World, ContractId) {
    let (mut world, contract) = rich();
    world.close_solo(closer).unwrap();
    world.mine_blocks(LOCK + 4);
    world.run();
    assert_eq!(world.states(), ("closing", "closing"));
    for party in Party::BOTH {
        let balances = Pair::new(SHARE - 60, SHARE - 40);
        assert_eq!(world.sides[party].events.last(), Some(&Event::Residual { balances, held: 100 }));
    }
    (world, contract)
}

#[test]
fn a_channel_does_not_close_in_agreement_while_contracts_hold_coins() {
    let (mut world, contract) = rich();
    for party in Party::BOTH {
        assert_eq!(world.shutdown(party, 0), Err(Misuse::ContractsHoldCoins { held: 100 }));
    }
    // Nor by a close that the peer signs all the same.
    let valid_until = world.chain.head() + 10;
    let close = world.forge_shutdown(Responder, 0, valid_until);
    world.hear(Initiator, Message::Shutdown(close));
    let violated = Notice::PeerViolated(Violation::CloseUnfair);
    assert_eq!(world.sides[Initiator].notices().last(), Some(&violated));
    world.wire = Pair::default();
    let _id = world.make_one(Initiator, call(contract, 0, &pays(1, 99))).unwrap();
    world.run();
    world.shutdown(Initiator, 2).unwrap();
    world.run();
    world.mine();
    world.assert_reckoned(None);
    world.assert_paid_out(SHARE - 59 - 2 + 2, SHARE + 59);
}

#[test]
fn a_contract_that_begins_before_a_close_is_offered_ends_the_wish() {
    let (mut world, _ids) = World::with(Initiator, vec![counter(Pair::default(), 3)]);
    let theirs = world.make_one(Responder, puppet(of(Responder, 5))).unwrap();
    let ours = world.pay(Initiator, 5).unwrap();
    world.shutdown(Initiator, 0).unwrap();
    world.run();
    assert!(matches!(world.fate(Responder, theirs), Fate::Paid(_)));
    assert!(matches!(world.fate(Initiator, ours), Fate::Paid(_)));
    let refused = Event::ShutdownRefused { code: RefusalCode::VALIDATION };
    assert_eq!(world.sides[Initiator].was_told(|event| *event == refused), 1);
    assert_eq!(world.states(), ("open", "open"));
    world.assert_agreed();
}

#[test]
fn while_closing_forced_calls_count_and_the_lock_begins_anew() {
    for closer in Party::BOTH {
        for forcer in Party::BOTH {
            let (mut world, contract) = rich();
            world.close_solo(closer).unwrap();
            world.mine_blocks(5);
            world.force(forcer, vec![forced(contract, 0, &pays(70, 30))]).unwrap();
            world.mine();
            let at = world.chain.head();
            assert_eq!(world.rounds(), (4, 4));
            world.mine_blocks(LOCK - 2);
            assert_eq!(world.states(), ("closing", "closing"));
            world.mine_blocks(4);
            assert!(world.chain.head() > at + LOCK);
            world.assert_reckoned(None);
            world.assert_paid_out(SHARE + 10, SHARE - 10);
        }
    }
}

#[test]
fn a_forced_step_on_its_way_when_the_channel_closes_is_made_while_closing() {
    for closer in Party::BOTH {
        let (mut world, contract) = rich();
        // The close comes first in the block: the step is planned anew on top of it.
        world.close_solo(closer).unwrap();
        let calls = vec![forced(contract, 0, &pays(0, 100))];
        if closer == Initiator {
            world.force(Responder, calls).unwrap();
        } else {
            world.force(Initiator, calls).unwrap();
        }
        world.mine_blocks(2 * LOCK);
        world.assert_reckoned(None);
        world.assert_paid_out(SHARE - 60, SHARE + 60);
    }
}

#[test]
fn a_settled_channel_whose_contracts_hold_coins_pays_what_they_release_until_the_last() {
    for closer in Party::BOTH {
        let (mut world, contract) = residual(closer);
        assert_eq!(world.chain.wealth(Initiator) + world.chain.wealth(Responder), 2 * 5_000 - 100);
        world.force(Initiator, vec![forced(contract, 0, &pays(10, 20))]).unwrap();
        world.mine();
        assert_eq!(world.states(), ("closing", "closing"));
        world.crash(Responder);
        world.crash(Initiator);
        world.force(Responder, vec![forced(contract, 0, &pays(0, 5)), forced(contract, 0, &pays(40, 25))]).unwrap();
        world.mine();
        let balances = Pair::new(SHARE - 60 + 50, SHARE - 40 + 50);
        for party in Party::BOTH {
            assert_eq!(world.sides[party].closed(), Some(CloseReason::Settled { balances }));
        }
        world.assert_reckoned(None);
        world.assert_no_complaints();
    }
}

#[test]
fn a_residual_channel_can_be_emptied_by_who_has_used_all_forced_steps() {
    // On it only steps that pay nothing are counted (R5.11).
    let (mut world, contract) = rich();
    for _ in 0..3 {
        world.force(Initiator, vec![forced(contract, 0, &pays(1, 0))]).unwrap();
        settle_down(&mut world);
    }
    world.close_solo(Responder).unwrap();
    world.mine_blocks(LOCK + 4);
    assert!(world.is_residual(Initiator));
    // Three steps within a lock period, whatever they pay.
    for paid in [2, 0, 2] {
        world.force(Initiator, vec![forced(contract, 0, &pays(paid, 0))]).unwrap();
        world.mine();
    }
    let used_up = Misuse::WouldBeRefused(Rejection::ForcedStepsUsedUp { max: 3 });
    assert_eq!(world.force(Initiator, vec![forced(contract, 0, &pays(2, 0))]), Err(used_up));
    // Others follow with the next lock period, and the peer's were never counted.
    world.mine_blocks(LOCK);
    world.force(Initiator, vec![forced(contract, 0, &pays(13, 80))]).unwrap();
    world.mine();
    assert!(world.sides[Responder].closed().is_some());
    world.assert_reckoned(None);
}

#[test]
fn a_residual_channel_does_nothing_but_force() {
    let (mut world, contract) = residual(Initiator);
    let payment = channel::Payment { amount: 1, reference: Vec::new() };
    let closing = Misuse::AlreadyClosing;
    use channel::{Certainty, Command};
    for (command, misuse) in [
        (Command::Pay(payment), Misuse::NotOpen { state: "closing" }),
        (Command::Make(vec![call(contract, 0, &pays(1, 1))]), Misuse::NotOpen { state: "closing" }),
        (Command::Shutdown { fee: 0 }, closing.clone()),
        (Command::CloseSolo { certainty: Certainty::ConfirmedByPeer }, closing.clone()),
        (Command::Deposit { amount: 1 }, closing.clone()),
        (Command::Withdraw { amount: 1, to: None }, closing.clone()),
        // What is outside the contracts is paid out already.
        (
            Command::Force { calls: vec![forced(contract, 1, &pays(1, 1))], certainty: Certainty::ConfirmedByPeer },
            Misuse::WouldBeRefused(Rejection::CannotAttach { have: 0, value: 1, reserve: 10 }),
        ),
    ] {
        assert_eq!(world.command(Initiator, command), Err(misuse));
    }
    let asked = world.chain.asked.len();
    world.mine_blocks(10);
    assert_eq!(world.chain.asked.len(), asked, "and nothing by itself");
}

#[test]
fn what_waits_when_the_channel_is_settled_is_dropped() {
    let (mut world, contract) = rich();
    world.wire[Responder].clear();
    let proposed = world.make_one(Initiator, call(contract, 0, &pays(1, 0))).unwrap();
    world.wire[Responder].clear();
    let waits = world.pay(Initiator, 3).unwrap();
    world.close_solo(Responder).unwrap();
    world.mine_blocks(LOCK + 4);
    assert!(world.is_residual(Initiator));
    assert_eq!((world.fate(Initiator, proposed), world.fate(Initiator, waits)), (Fate::Dropped, Fate::Dropped));
    assert_eq!(world.sides[Initiator].machine().status().pending, 0);
    world.force(Responder, vec![forced(contract, 0, &pays(60, 40))]).unwrap();
    world.mine();
    world.assert_reckoned(None);
}

#[test]
fn calls_that_are_being_forced_when_the_channel_ends_are_told_of() {
    let mut world = World::opened_with(Initiator, |config| config.force_after = Some(10));
    let ids = world.create(Initiator, vec![counter(Pair::default(), 9)]);
    let id = world.make_one(Initiator, call(ids[0], 0, &1_u64)).unwrap();
    world.wire[Responder].clear();
    let _new = world.chain.censored.insert("channel_force_progress");
    world.tick(0);
    world.tick(10);
    assert_eq!(world.fate(Initiator, id), Fate::Forcing);
    world.close_solo(Responder).unwrap();
    world.mine_blocks(LOCK + 4);
    assert_eq!(world.fate(Initiator, id), Fate::ForceFailed);
    let rejection = Rejection::ChannelUnknown;
    let failed = Event::ForceFailed { changes: vec![id], rejection };
    assert_eq!(world.sides[Initiator].was_told(|event| *event == failed), 1);
    world.assert_reckoned(None);
}

#[test]
fn a_close_on_a_forced_state_pays_what_was_forced() {
    for closer in Party::BOTH {
        let (mut world, contract) = rich();
        world.force(Responder, vec![forced(contract, 10, &pays(25, 85))]).unwrap();
        world.mine();
        world.close_solo(closer).unwrap();
        world.mine_blocks(LOCK + 4);
        world.assert_reckoned(None);
        world.assert_paid_out(SHARE - 35, SHARE + 35);
    }
}
