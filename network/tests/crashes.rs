//! A forwarder's invariants (I1 to I11), each with a crash before and after every commit. The harness looks at what leaves a node as it leaves
//! (`harness/oracle.rs`): I1, I2, I3, I6, I7, I8, I9; the modelled channel refuses what I4 and I5 forbid.

use crate::harness::{Crash, CrashPoint, Msg, World, assert_ended_well, hub_policy};
use ::channel::transfer::Progress;
use network::{FailureCode, Invoice, PaymentState, RouterNotice, RoutingPolicy};
use protocol::contracts::conditional::Preimage;

const PAYER: usize = 0;
const HUB: usize = 1;
const PAYEE: usize = 2;
const AMOUNT: u128 = 50_000;

/// Payer, hub and payee, and an invoice of the payee's.
fn scene() -> (World, Invoice) {
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    let mut world = World::new(policies, &[(0, 1, 1_000_000, 1_000_000), (1, 2, 1_000_000, 1_000_000)]);
    let invoice = world.invoice(PAYEE, 1, Some(AMOUNT), &[HUB]);
    world.run();
    (world, invoice)
}

/// Pays, and asks again as long as a crash has kept the payment from being written down.
fn pay(world: &mut World, invoice: &Invoice) {
    for _ in 0..3 {
        if world.payment(PAYER, 1).is_none() {
            let _state = world.pay(PAYER, 1, invoice, None);
        }
        world.run();
    }
}

/// Tells the story once for each place where each of these nodes can crash, and looks at each end.
fn everywhere(nodes: &[usize], story: impl Fn(&mut World, &Invoice), check: impl Fn(&World)) {
    let (mut world, invoice) = scene();
    let first: Vec<usize> = world.nodes.iter().map(|node| node.commits).collect();
    story(&mut world, &invoice);
    world.settle();
    check(&world);
    for node in nodes {
        for commit in first[*node]..world.nodes[*node].commits {
            for crash in [Crash::Before, Crash::After] {
                let (mut world, invoice) = scene();
                world.crashes = vec![CrashPoint { node: *node, commit, crash }];
                story(&mut world, &invoice);
                world.settle();
                check(&world);
            }
        }
    }
}

fn is_over(world: &World) {
    assert_ended_well(world, &[(PAYER, PAYEE, 1, AMOUNT)]);
    assert!(world.gain(HUB) >= 0, "the hub lost {}", -world.gain(HUB));
    if let Some(PaymentState::Paid(preimage)) = world.payment(PAYER, 1) {
        assert_eq!(preimage, Preimage([1; 32]));
        assert_eq!(world.gain(HUB), 51, "the fee: 1 and a thousandth");
        assert_eq!(world.gain(PAYEE), 50_000);
    } else {
        assert_eq!((world.gain(PAYER), world.gain(HUB), world.gain(PAYEE)), (0, 0, 0));
    }
}

#[test]
fn i1_i2_what_goes_on_leaves_after_what_came_in_is_committed_and_with_its_row() {
    everywhere(&[HUB], pay, |world| {
        is_over(world);
        assert!(matches!(world.payment(PAYER, 1), Some(PaymentState::Paid(_))), "a crash of the hub fails nothing");
    });
}

#[test]
fn i3_a_pre_image_is_committed_before_its_claim_is_acknowledged() {
    everywhere(&[PAYER, HUB, PAYEE], pay, is_over);
}

/// The hub's link to the payer breaks as soon as the payee has shown the pre-image.
fn payer_vanishes(world: &mut World, invoice: &Invoice) {
    let _state = world.pay(PAYER, 1, invoice, None);
    while let Some((node, channel)) = world.ready().first().copied() {
        world.step(node, channel);
        let is_shown = world.said.iter().any(|(node, _, said)| *node == PAYEE && matches!(said, Msg::Claim(..)));
        if is_shown && !world.nodes[PAYER].is_away {
            world.vanish(PAYER);
        }
    }
}

#[test]
fn i4_once_a_pre_image_is_known_what_came_in_is_claimed_by_the_registry_if_need_be() {
    let story = |world: &mut World, invoice: &Invoice| {
        payer_vanishes(world, invoice);
        for _ in 0..40 {
            world.advance(1);
            world.run();
        }
    };
    everywhere(&[HUB, PAYEE], story, |world| {
        is_over(world);
        if world.gain(PAYEE) > 0 {
            assert!(!world.registered_by.is_empty(), "nobody registered, and yet it was paid");
        }
    });
    let (mut world, invoice) = scene();
    story(&mut world, &invoice);
    let barred = |notice: &RouterNotice| matches!(notice, RouterNotice::ClaimUnanswered { .. });
    assert!(world.nodes[HUB].store.notices.iter().any(barred), "the operator is told (B1)");
    assert_eq!(world.gain(HUB), 51);
}

#[test]
fn i4_nothing_is_given_back_while_what_went_on_may_still_be_paid() {
    let story = |world: &mut World, invoice: &Invoice| {
        // The payee takes the offer, and is gone.
        let _state = world.pay(PAYER, 1, invoice, None);
        while let Some((node, channel)) = world.ready().first().copied() {
            if node == PAYEE {
                world.vanish(PAYEE);
            } else {
                world.step(node, channel);
            }
        }
        let sent = world.nodes[HUB].store.sides[&1].own.values().next().map(|open| open.terms.expiry);
        let Some(expiry) = sent else { return };
        while world.view.height + 1 < expiry {
            world.advance(1);
            world.tick(61_000);
            world.run();
            let is_open = world.nodes[HUB].store.sides[&0].incoming.len();
            assert_eq!(is_open, 1, "given back before it was certain");
        }
        world.advance(1);
        world.run();
    };
    let check = |world: &World| {
        is_over(world);
        if let Some(PaymentState::Failed(code)) = world.payment(PAYER, 1) {
            assert!(matches!(code, FailureCode::HeldTooLong | FailureCode::PeerAway | FailureCode::Expiry), "{code:?}");
        }
    };
    everywhere(&[HUB], story, check);
}

#[test]
fn i5_what_went_on_is_remembered_until_what_came_in_has_ended() {
    let story = |world: &mut World, invoice: &Invoice| {
        payer_vanishes(world, invoice);
        let rows = world.nodes[HUB].store.sides[&1].outgoing.values();
        let came_in = world.nodes[HUB].store.sides[&0].incoming.len();
        if came_in == 1 && rows.len() > 0 {
            let is_paid = |row: &::channel::transfer::OutgoingTransfer| matches!(row.progress, Progress::Fulfilled(_));
            assert!(world.nodes[HUB].store.sides[&1].outgoing.values().all(is_paid));
        }
        assert_eq!(came_in, world.nodes[HUB].store.sides[&1].outgoing.len(), "forgotten too early");
        // It comes back, and everything is paid without the chain.
        world.come_back(PAYER);
        world.run();
    };
    everywhere(&[HUB], story, |world| {
        is_over(world);
        assert!(world.registered_by.is_empty());
    });
}

#[test]
fn i9_after_two_crashes_there_is_one_offer_for_an_origin() {
    let (mut world, invoice) = scene();
    let first = world.nodes[HUB].commits;
    pay(&mut world, &invoice);
    let last = world.nodes[HUB].commits;
    for one in first..last {
        for other in one + 1..last + 4 {
            let (mut world, invoice) = scene();
            let point = |commit| CrashPoint { node: HUB, commit, crash: Crash::After };
            world.crashes = vec![point(one), point(other)];
            pay(&mut world, &invoice);
            world.settle();
            is_over(&world);
            let offers = world.nodes[HUB].store.sides[&1].own.len();
            assert!(offers <= 1, "offered {offers} times");
        }
    }
}

#[test]
fn i10_equal_locks_and_amounts_are_told_apart_by_channel_and_contract() {
    // Two channels on either side, two parts under one lock, of one size.
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    let full = 1_000_000;
    let channels = [(0, 1, 60_000, full), (0, 1, 60_000, full), (1, 2, full, full), (1, 2, full, full)];
    let scene = || {
        let mut world = World::new(policies.clone(), &channels);
        let invoice = world.invoice(PAYEE, 1, Some(100_000), &[HUB]);
        world.run();
        (world, invoice)
    };
    let (mut world, invoice) = scene();
    let first = world.nodes[HUB].commits;
    pay(&mut world, &invoice);
    for commit in first..world.nodes[HUB].commits {
        for crash in [Crash::Before, Crash::After] {
            let (mut world, invoice) = scene();
            world.crashes = vec![CrashPoint { node: HUB, commit, crash }];
            pay(&mut world, &invoice);
            world.settle();
            assert_ended_well(&world, &[(PAYER, PAYEE, 1, 100_000)]);
            assert!(world.gain(HUB) == 0 || world.gain(HUB) == 103, "{}", world.gain(HUB));
        }
    }
    world.settle();
    assert_eq!(world.gain(HUB), 103, "two parts, two fees, each rounded up");
    assert_eq!(world.gain(PAYEE), 100_000);
}
