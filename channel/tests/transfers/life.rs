//! Offered, claimed, failed, refunded: by agreement.

use super::*;
use channel::{
    Balances, Notice, WaitReason,
    transfer::{IncomingEnd, TransferCommand},
};

#[test]
fn a_transfer_is_offered_and_claimed_and_both_routers_are_told() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    assert_eq!(world.sides[Initiator].balances().spendable, SHARE - RESERVE - 100, "also before it is agreed");
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 100, SHARE));
    assert_eq!(world.open_transfers(), 1);
    let contract = world.contract_of(Responder, 1).unwrap();
    let row = world.sides[Responder].machine().incoming_transfers()[&contract].clone();
    assert_eq!((row.instruction.clone(), row.intent.clone()), (vec![1; 3], Intent::Undecided));
    assert_eq!(world.sides[Responder].routed, [TransferEvent::Offered(row)]);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));

    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 100, SHARE + 100));
    assert_eq!(world.open_transfers(), 0);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)));
    let told = &world.sides[Initiator].routed;
    assert_eq!(
        told[..],
        [
            TransferEvent::Accepted { key: name(1), contract },
            TransferEvent::Fulfilled { key: name(1), preimage: secret(1).0 },
            TransferEvent::Claimed { key: name(1) }
        ]
    );
    let ended = TransferEvent::Ended { contract, end: IncomingEnd::Claimed };
    assert_eq!(world.sides[Responder].routed[1..], [ended]);
    assert!(world.sides[Responder].machine().incoming_transfers().is_empty());

    world.command(Initiator, Command::Transfer(TransferCommand::Forget { key: name(1) })).unwrap();
    assert_eq!(world.progress(Initiator, 1), None);
    assert!(world.sides[Initiator].transfers.is_empty(), "its row is gone");
    assert!(world.sides[Initiator].noticed.is_empty() && world.sides[Responder].noticed.is_empty());
    assert_eq!(world.sides[Initiator].was_told(|event| matches!(event, channel::Event::Paid { .. })), 0);
}

/// One change offers and pays: what a place costs moves with its offer, whatever comes of that, and never without it.
#[test]
fn what_a_place_costs_moves_with_its_offer_and_does_not_come_back() {
    let mut world = World::opened();
    let expiry = world.chain.head() + 20;
    let offer = |world: &mut World, number: u8, fee: Amount| {
        let (key, offer) = (name(number), an_offer(number, 100, expiry));
        world.command(Initiator, Command::Transfer(TransferCommand::Offer { key, offer, fee }))
    };
    let refused = offer(&mut world, 1, SHARE - RESERVE - 99);
    assert!(matches!(refused, Err(Misuse::InsufficientBalance { .. })), "{refused:?}");
    for _ in 0..2 {
        offer(&mut world, 1, 7).unwrap();
    }
    assert_eq!(world.sides[Initiator].balances().spendable, SHARE - RESERVE - 107, "also before it is agreed");
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 107, SHARE + 7));
    let told = &world.sides[Responder].routed;
    assert!(matches!(told[..], [TransferEvent::Prepaid { amount: 7 }, TransferEvent::Offered(_)]), "{told:?}");
    world.fail(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 7, SHARE + 7));
    // The peer cannot be reached: neither is made.
    offer(&mut world, 2, 5).unwrap();
    world.disconnect();
    world.connect();
    world.run();
    let is_made = world.progress(Initiator, 2) == Some(Progress::Offered);
    let (amount, fee) = if is_made { (100, 5) } else { (0, 0) };
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 7 - amount - fee, SHARE + 7 + fee));
    let change = channel::Change::PaidOffer { fee: 1, offer: an_offer(1, 1, 1) };
    assert_eq!(change.encode()[..17], [&[10][..], &1_u128.encode()].concat()[..], "the bytes of SPEC");
}

#[test]
fn a_payee_gives_a_transfer_back_with_its_reason() {
    let mut world = World::opened();
    world.offer(Responder, 2, 50, 20).unwrap();
    world.run();
    world.fail(Initiator, 2).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE, SHARE));
    let why = Failure::ByPayee(FailReason(vec![2]));
    assert_eq!(world.progress(Responder, 2), Some(Progress::Failed(why.clone())));
    assert_eq!(world.sides[Responder].routed.last(), Some(&TransferEvent::Failed { key: name(2), why }));
}

#[test]
fn an_expired_transfer_goes_back_by_agreement_once_both_have_read_the_registry() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 5).unwrap();
    world.run();
    world.mine_blocks(4);
    world.run();
    assert_eq!(world.open_transfers(), 1, "not before");
    world.mine();
    world.run();
    assert_eq!(world.open_transfers(), 0);
    assert_eq!(world.ours(Initiator), SHARE);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::Expired)));
    assert_eq!(world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. })), 1, "told once");
}

#[test]
fn many_are_offered_in_one_round_and_claimed_in_another() {
    let mut world = World::opened();
    for number in 1..=50 {
        world.offer(Initiator, number, 10, 30).unwrap();
    }
    world.run();
    assert!(world.sides[Initiator].round() <= 5, "the first, and the others while it was unanswered");
    let before = world.sides[Responder].round();
    for number in 1..=50 {
        world.claim(Responder, number).unwrap();
    }
    world.run();
    let after = world.sides[Responder].round();
    assert!(after <= before + 5, "{before} to {after}");
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 500, SHARE + 500));
}

#[test]
fn one_offer_is_made_however_often_it_is_asked_for() {
    let mut world = World::opened();
    let offer = an_offer(1, 100, world.chain.head() + 20);
    for _ in 0..3 {
        world
            .command(
                Initiator,
                Command::Transfer(TransferCommand::Offer { key: name(1), offer: offer.clone(), fee: 0 }),
            )
            .unwrap();
        world.run();
    }
    assert_eq!(world.open_transfers(), 1);
    let other = Offer { instruction: vec![9], ..offer };
    let taken =
        world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(1), offer: other, fee: 0 }));
    assert!(matches!(taken, Err(Misuse::KeyInUse { .. })));
}

#[test]
fn crossing_offers_of_both_sides_are_all_made() {
    let mut world = World::opened();
    for number in 1..=5 {
        world.offer(Initiator, number, 10, 30).unwrap();
        world.offer(Responder, number + 10, 20, 30).unwrap();
    }
    world.run();
    assert_eq!(world.open_transfers(), 10);
    for number in 1..=5 {
        world.claim(Responder, number).unwrap();
        world.claim(Initiator, number + 10).unwrap();
    }
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE + 50, SHARE - 50));
}

#[test]
fn a_close_in_agreement_waits_for_the_open_transfers_and_nothing_new_begins() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    world.run();
    world.command(Responder, Command::Shutdown { fee: 0 }).unwrap();
    world.run();
    assert_eq!(world.states(), ("open", "open"));
    world.offer(Initiator, 2, 100, 20).unwrap();
    world.run();
    let why = Failure::Refused(channel::RefusalCode::CLOSING);
    assert_eq!(world.progress(Initiator, 2), Some(Progress::Failed(why)));
    world.claim(Responder, 1).unwrap();
    world.run();
    world.mine_blocks(2);
    world.run();
    assert_eq!(world.states(), ("closed", "closed"));
    assert_eq!(world.chain.wealth(Responder), crate::harness::chain::FUNDS + 100);
}

#[test]
fn deposits_and_withdrawals_go_on_beside_open_transfers_and_are_over_before_one_needs_an_answer() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    world.run();
    world.command(Initiator, Command::Deposit { amount: 300 }).unwrap();
    world.run();
    let calls = world.chain.asked.iter().filter(|(_, name)| *name == "channel_deposit").count();
    assert_eq!(calls, 1);
    world.mine_blocks(2);
    world.run();
    assert_eq!(world.ours(Initiator), SHARE - 100 + 300);
    world.claim(Responder, 1).unwrap();
    world.run();
    let Balances { ours, .. } = world.sides[Responder].balances();
    assert_eq!(ours, SHARE + 100);
    assert!(!world.sides[Initiator].noticed.iter().any(|it| matches!(it, Notice::PeerViolated(_))));
    let waits = world.sides[Initiator].machine().status().waits_for;
    assert!(waits.is_none_or(|it| it != WaitReason::PendingBlock));
}
