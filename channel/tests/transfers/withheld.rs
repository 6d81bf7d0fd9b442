//! What a peer keeps back: signed operations until their last block, and rounds until as many as may stand abandoned do.

use super::*;
use crate::harness::{LOCK, opening};
use channel::{ChannelOpen, Notice, RefusalCode};
use protocol::signing::DepositBody;

/// An operation of the initiator's that the responder has signed, and that never comes to the chain by itself.
fn withheld(world: &mut World, operation: Command) {
    for call in ["channel_deposit", "channel_withdraw", "channel_set_delegates"] {
        let _new = world.chain.censored.insert(call);
    }
    world.command(Initiator, operation).unwrap();
    world.run();
    assert_eq!(world.sides[Responder].machine().status().operation.map(|_| ()), Some(()), "the payee is bound by it");
}

/// Case T7.
#[test]
fn an_operation_that_a_peer_withholds_has_run_out_before_an_open_transfer_needs_an_answer() {
    let operations = [
        Command::Deposit { amount: 300 },
        Command::Withdraw { amount: 300, to: None },
        Command::SetDelegates { delegates: Vec::new() },
    ];
    for operation in operations {
        for is_shown_last in [false, true] {
            let mut world = World::opened();
            for party in Party::BOTH {
                world.sides[party].registry.margins = MARGINS;
            }
            let expiry = world.chain.head() + 40;
            world.offer(Initiator, 1, 100, 40).unwrap();
            world.run();
            withheld(&mut world, operation.clone());
            world.claim(Responder, 1).unwrap();
            world.run();
            assert_eq!(world.open_transfers(), 1, "nothing is agreed to while the operation lives");
            // In the last block but one in which it counts it may come to the chain after all, and in no later one is it asked for.
            let last = expiry - MARGINS.forward() - 1;
            world.mine_blocks(last - 2 - world.chain.head());
            if is_shown_last {
                // It is asked for again with each block.
                world.chain.censored.clear();
            }
            world.run();
            for _ in 0..3 {
                world.mine();
                world.run();
            }
            assert!(world.chain.head() < expiry - MARGINS.register, "before anything has to be registered");
            assert_eq!(world.open_transfers(), 0, "{operation:?}: claimed by agreement");
            let moved = if is_shown_last { 300 } else { 0 };
            let payer = match operation {
                Command::Deposit { .. } => SHARE - 100 + moved,
                Command::Withdraw { .. } => SHARE - 100 - moved,
                _ => SHARE - 100,
            };
            assert_eq!((world.ours(Initiator), world.ours(Responder)), (payer, SHARE + 100));
            assert_eq!(world.chain.times_asked(Responder, "preimage_register"), 0, "nobody paid for a registration");
        }
    }
}

/// Case T7: a peer that names a later last block than it may is not signed anything.
#[test]
fn an_operation_that_would_live_while_a_transfer_needs_an_answer_is_not_signed() {
    for over in [0, 1, 20] {
        let mut world = World::opened();
        for party in Party::BOTH {
            world.sides[party].registry.margins = MARGINS;
        }
        let needed = world.chain.head() + 40 - MARGINS.forward();
        world.offer(Initiator, 1, 100, 40).unwrap();
        world.run();
        let (round, base) = (world.sides[Responder].round(), world.base(Responder));
        let round = if Party::owner_of(round + 1) == Initiator { round + 1 } else { round + 2 };
        let state = world.sides[Responder].machine().state().unwrap().clone();
        let mut after = state;
        after.balances[Initiator] += 10;
        let state_hash = after.hash();
        let body = DepositBody { party: Initiator, amount: 10, round, base, state_hash, valid_until: needed + over };
        world.hear(Responder, Message::DepositCreated(body.clone()));
        assert_eq!(world.steal(Initiator), Message::DepositError { round, code: RefusalCode::NOT_NOW });
        assert!(!world.sides[Responder].noticed.iter().any(|it| matches!(it, Notice::PeerViolated(_))));
        // A block less, and it is.
        world.hear(Responder, Message::DepositCreated(DepositBody { valid_until: needed - 1, ..body }));
        let said = world.steal(Initiator);
        assert!(matches!(said, Message::DepositSigned { round: signed, .. } if signed == round), "{said:?}");
    }
}

const MARGINS: channel::transfer::Margins = channel::transfer::Margins { register: 5, answer: 3 };

/// A channel in which many forced steps may stand, with six transfers to the responder in it.
fn with_many_steps() -> World {
    let mut world = World::new();
    world.propose(ChannelOpen { max_forced: 8, ..opening() }).unwrap();
    world.run();
    world.mine();
    for number in 11..=16 {
        world.run();
        world.offer(Initiator, number, 10, 200).unwrap();
    }
    world.run();
    assert_eq!(world.open_transfers(), 6);
    world
}

/// Case T8b.
#[test]
fn with_as_many_abandoned_rounds_as_may_stand_no_more_is_signed_and_what_they_hold_is_made_when_they_are_dead() {
    let mut world = with_many_steps();
    let mut signed = Vec::new();
    for step in 1..=6 {
        // The peer takes each round, answers none, and forces a step on the state before it.
        world.offer(Initiator, step, 20, 150).unwrap();
        world.wire[Responder].clear();
        let contract = world.contract_of(Responder, step + 10).unwrap();
        world.force_claim(Responder, contract, step + 10).unwrap();
        world.mine();
        while world.deliver(Initiator) {}
        world.wire[Responder].clear();
        signed.push(world.sides[Initiator].signed.len());
    }
    let grows: Vec<bool> = signed.windows(2).map(|pair| pair[0] < pair[1]).collect();
    assert_eq!(grows, [true, true, false, false, false], "{signed:?}: four rounds stand, and no more is signed");
    for number in 1..=6 {
        let progress = world.progress(Initiator, number);
        assert!(matches!(progress, Some(Progress::Proposed)), "{number}: {progress:?}");
    }
    let failed = |world: &World| world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. }));
    assert_eq!(failed(&world), 0, "what may still count has not failed");
    // Their bases are below what is mature: they are dead.
    for _ in 0..LOCK + 2 {
        world.mine();
        while world.deliver(Initiator) {}
        world.wire[Responder].clear();
    }
    world.disconnect();
    world.run();
    assert_eq!(world.open_transfers(), 6, "each is made once");
    for number in 1..=6 {
        world.claim(Responder, number).unwrap();
    }
    world.run();
    assert_eq!((world.open_transfers(), failed(&world)), (0, 0));
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 180, SHARE + 180));
    assert_eq!(world.states(), ("open", "open"));
}
