//! On chain: forced ends, closes with open transfers, residual channels; and traps 0.2 and 0.3 of the design.

use super::*;
use crate::harness::{LOCK, account, chain::FUNDS};
use channel::{Certainty, Event, Notice, transfer::TransferCommand};

/// The responder shows its pre-image in time, and its peer does not answer.
fn shown_in_time(world: &mut World) {
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    world.kill(Initiator);
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(6);
    assert!(world.chain.preimages.contains_key(&secret(1).1));
}

#[test]
fn a_claim_forced_after_the_expiry_is_followed_by_the_payer_and_its_store_is_not_taken_for_old() {
    let mut world = World::opened();
    shown_in_time(&mut world);
    world.mine_blocks(101);
    assert_eq!(
        world.sides[Responder].was_told(|event| matches!(event, Event::Forcing { .. })),
        1,
        "at leisure, and once"
    );
    world.mine_blocks(2);
    world.restart(Initiator);
    world.run();
    assert!(!world.sides[Initiator].notices().any(|it| matches!(it, Notice::PendingReplay { .. })));
    assert!(!world.sides[Initiator].machine().status().stale_store);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)));
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE + 100));
    let _id = world.pay(Initiator, 5).unwrap();
    world.run();
    assert_eq!(world.ours(Responder), SHARE + 105, "both go on");
}

#[test]
fn a_refund_is_forced_where_the_payee_is_away_and_the_router_is_told_long_before() {
    let mut world = World::opened();
    for number in 1..=20 {
        world.offer(Initiator, number, 10, 6).unwrap();
    }
    world.run();
    world.kill(Responder);
    world.mine_blocks(6);
    assert_eq!(world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. })), 20, "with the expiry");
    world.mine_blocks(103);
    assert_eq!(world.sides[Initiator].was_told(|event| matches!(event, Event::Executed { .. })), 1, "all in one step");
    assert_eq!(world.ours(Initiator), SHARE);
    world.restart(Responder);
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE));
    assert!(world.sides[Responder].machine().incoming_transfers().is_empty());
}

#[test]
fn a_close_alone_with_open_transfers_leaves_each_what_is_its_own() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.offer(Initiator, 2, 50, 6).unwrap();
    world.offer(Responder, 3, 30, 6).unwrap();
    world.run();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.command(Initiator, Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest }).unwrap();
    world.mine_blocks(LOCK + 20);
    assert_eq!(world.states(), ("closed", "closed"));
    let wealth = |party| world.chain.wealth(party);
    assert_eq!((wealth(Initiator), wealth(Responder)), (FUNDS - 100, FUNDS + 100));
    assert_eq!(world.was_routed(Initiator, |it| matches!(it, TransferEvent::Fulfilled { .. })), 1);
    assert_eq!(world.progress(Initiator, 2), Some(Progress::Failed(Failure::Expired)));
    assert_eq!(world.sides[Initiator].was_told(|event| matches!(event, Event::Residual { .. })), 1);
    assert!(world.chain.paid_out.contains_key(&account(Initiator)));
}

#[test]
fn an_offer_in_a_round_that_the_peer_keeps_to_itself_is_not_failed_before_that_round_is_dead() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 30).unwrap();
    // The peer has the round, and its answer never comes.
    let _heard = world.deliver(Responder);
    let kept = world.kept(Responder);
    world.disconnect();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Proposed));
    world.crash(Initiator);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Proposed), "it is not offered a second time");
    // It is put on chain.
    world.show(Responder, &kept);
    world.mine();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
    world.run();
    assert_eq!(world.open_transfers(), 1);
    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 100, SHARE + 100));
}

#[test]
fn a_forced_step_on_a_state_before_the_offer_and_the_offer_put_on_chain_afterwards_are_counted_once() {
    let mut world = World::opened();
    world.offer(Initiator, 9, 10, 60).unwrap();
    world.run();
    world.offer(Initiator, 1, 100, 60).unwrap();
    let _heard = world.deliver(Responder);
    let kept = world.kept(Responder);
    world.disconnect();
    // The payee forces its claim of the other transfer, on the state before.
    let contract = world.contract_of(Responder, 9).unwrap();
    world.force_claim(Initiator, contract, 9).unwrap();
    world.mine();
    assert!(
        matches!(world.progress(Initiator, 1), Some(Progress::Absent(_) | Progress::Proposed)),
        "{:?}",
        world.progress(Initiator, 1)
    );
    assert_eq!(
        world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. })),
        0,
        "the peer still holds a signature"
    );
    world.show(Responder, &kept);
    world.mine();
    world.run();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
    assert_eq!(world.progress(Initiator, 9), Some(Progress::Fulfilled(secret(9).0)));
}

#[test]
fn a_refund_that_was_forced_and_is_undone_by_an_older_round_does_not_let_the_payee_claim_late() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    // The payee co-signs a round that holds the transfer, and keeps it for itself.
    let _id = world.pay(Initiator, 1).unwrap();
    let _heard = world.deliver(Responder);
    let kept = world.kept(Responder);
    world.kill(Responder);
    world.mine_blocks(6);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::Expired)), "its router fails upstream");
    world.command(Initiator, Command::Transfer(TransferCommand::Forget { key: name(1) })).unwrap();
    world.mine_blocks(103);
    assert_eq!(world.ours(Initiator), SHARE, "forced back");
    world.show(Responder, &kept);
    world.mine();
    assert_eq!(world.ours(Initiator), SHARE - 101, "the older round counts, and the transfer with it");
    world.restart(Responder);
    world.run();
    if world.contract_of(Responder, 1).is_some() {
        world.claim(Responder, 1).unwrap();
    }
    world.run();
    world.mine_blocks(4);
    world.run();
    assert_eq!(world.ours(Responder), SHARE + 1, "too late to claim");
    assert_eq!(world.ours(Initiator), SHARE - 1);
}
