//! Cases of `docs/catalogue.md`, "Payments across channels", that no other file here is about.

use crate::{
    forwarding::{DOWN, UP, code, commands, key, offered, onward},
    harness::{CHAIN, Msg, Work, World, assert_ended_well, hub_policy},
};
use ::channel::transfer::{
    IncomingTransfer, Intent, LockedCalls, Offer, Progress, TransferCommand, TransferEvent, TransferLimits,
    TransferTerms,
};
use network::{
    FailureCode, Instruction, InvoiceError, InvoiceRequest, InvoiceState, Opening, PayError, PaymentId, PaymentState,
    Restored, RestoredChannel, RouteFailure, Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy, SealKey,
    Spontaneous,
};
use protocol::{
    BlockNumber, Hash,
    contracts::{ContractId, conditional::Preimage},
    crypto::SigningKey,
};

const FULL: u128 = 1_000_000;
const PATIENCE: u64 = 30_000;

fn line() -> World {
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    World::new(policies, &[(0, 1, FULL, FULL), (1, 2, FULL, FULL)])
}

/// Case T5c: the payee of a payment asks for it under the lock of an invoice of the payer's own, and pays that one by another channel of the same hub.
#[test]
fn a_node_that_is_payer_and_payee_of_one_lock_pays_and_is_paid_once_each() {
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    let mut world = World::new(policies, &[(0, 1, FULL, 0), (0, 1, 0, FULL), (1, 2, FULL, FULL)]);
    let own = world.invoice(0, 1, Some(3_000), &[1]);
    assert_eq!(world.pay(0, 9, &own, None), Err(PayError::Payee), "nobody pays itself");
    let theirs = world.invoice_for(2, 1, Some(1_000), &[1], Opening::Held(own.lock));
    world.run();
    assert_eq!(world.pay(0, 1, &theirs, None), Ok(PaymentState::Pending));
    world.run();
    assert_eq!(world.nodes[2].router.invoice(&own.lock), Some(InvoiceState::Held { amount: 1_000 }));
    assert_eq!(world.pay(2, 2, &own, None), Ok(PaymentState::Pending));
    world.run();
    let paid = Some(PaymentState::Paid(Preimage([1; 32])));
    assert_eq!(world.payment(2, 2), paid, "by the other channel: the two are told apart");
    assert_eq!(world.nodes[0].router.invoice(&own.lock), Some(InvoiceState::Paid { amount: 3_000, open_parts: 0 }));
    // Who held the other one has the pre-image now.
    let is_known =
        world.nodes[2].router.settle(own.lock, Preimage([1; 32])).map(|outputs| world.commit_outside(2, outputs));
    assert_eq!(is_known, Ok(()));
    world.run();
    assert_eq!(world.payment(0, 1), paid);
    world.crash(0);
    world.crash(1);
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 1_000), (2, 0, 2, 3_000)]);
    assert_eq!((world.gain(0), world.gain(1), world.gain(2)), (2_000 - 2, 2 + 4, -2_000 - 4));
    assert!(world.registered_by.is_empty(), "nobody had to go to the chain");
}

/// Case T10b.
#[test]
fn a_part_whose_channel_is_down_until_it_expires_is_unlocked_by_one_registration_and_the_hub_has_each_upstream() {
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    let channels = [(0, 1, 50_000, FULL), (0, 1, 40_000, FULL), (1, 2, 45_000, 0), (1, 2, 60_000, 0)];
    let mut world = World::new(policies, &channels);
    let invoice = world.invoice(2, 1, Some(80_000), &[1]);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending));
    // The payee has both parts, and its channel 3 is cut before the claim by it has left.
    let claimed = |world: &World| world.said.iter().any(|(node, _, said)| *node == 2 && matches!(said, Msg::Claim(..)));
    while !claimed(&world) {
        let (node, channel) = world.ready().first().copied().expect("the payee claims");
        world.step(node, channel);
    }
    let cut = world.said.iter().find(|(node, _, said)| *node == 2 && matches!(said, Msg::Claim(..))).unwrap().1;
    let cut = if cut == 2 { 3 } else { 2 };
    for node in [1, 2] {
        let _lost = world.nodes[node].queues.remove(&cut);
        world.give(node, cut, Work::Down);
    }
    let command = world.nodes[2].store.sides[&cut].incoming.values().next().expect("a part is open").clone();
    assert_eq!(command.intent, Intent::Undecided);
    world.crash(2);
    for node in [1, 2] {
        let _lost = world.nodes[node].queues.remove(&cut);
        world.give(node, cut, Work::Down);
    }
    world.run();
    assert_eq!(world.nodes[1].store.sides[&cut].own.values().filter(|open| open.end.is_none()).count(), 1);
    let expiry = world.nodes[1].store.sides[&cut].own.values().next().unwrap().terms.expiry;
    while world.view.height < expiry {
        world.advance(1);
        world.run();
    }
    assert_eq!(world.registered_by.len(), 1, "{:?}", world.registered_by);
    assert_eq!(world.registered_by[0].1, invoice.lock);
    assert_eq!((world.gain(2), world.gain(1)), (80_000, 83), "each part, and each fee");
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 80_000)]);
    assert_eq!((world.gain(2), world.gain(1)), (80_000, 83));
}

/// A hub that starts with a transfer that came in and has not gone on, at a time of which it knows.
fn restarted(begun_at: u64) -> (Router, Vec<RouterOutput>) {
    let mut hub = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
    let (mut incoming, forward) = offered(1);
    incoming.instruction = Instruction::Forward(forward).to_bytes().unwrap();
    let channel =
        |at, peer, incoming| RestoredChannel { at, peer: key(peer), incoming, outgoing: vec![], is_whole: true };
    let channels = vec![channel(UP, 1, vec![incoming]), channel(DOWN, 2, vec![])];
    let mut outputs = hub.handle(RouterInput::Tick(begun_at));
    outputs.extend(hub.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    outputs.extend(hub.handle(RouterInput::Restored(Restored { chain: CHAIN, channels, rows: vec![] })));
    outputs.extend(hub.handle(RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() }));
    outputs.extend(hub.handle(RouterInput::Spendable { at: UP, amount: FULL, risked: FULL }));
    (hub, outputs)
}

/// Case T12c.
#[test]
fn what_came_in_before_a_start_waits_for_the_next_peer_as_long_as_the_policy_says_and_is_then_given_back() {
    assert_eq!(RoutingPolicy::default().patience, PATIENCE);
    for begun_at in [0, 1_000_000] {
        let (mut hub, outputs) = restarted(begun_at);
        assert_eq!((code(&outputs), onward(&outputs)), (None, None));
        // Where the time is not known at the start, the first tick tells.
        let since = if begun_at == 0 { 500_000 } else { begun_at };
        for now in [since, since + 1, since + PATIENCE - 1] {
            let outputs = hub.handle(RouterInput::Tick(now));
            assert_eq!(code(&outputs), None, "too early: {now}");
        }
        let outputs = hub.handle(RouterInput::Tick(since + PATIENCE));
        assert_eq!(code(&outputs), Some(FailureCode::PeerAway));
        // A next peer that comes now is too late: it does not go on as well.
        let up = RouterInput::ChannelUp { at: DOWN, peer: key(2), limits: TransferLimits::default() };
        let mut outputs = hub.handle(up);
        outputs.extend(hub.handle(RouterInput::Spendable { at: DOWN, amount: FULL, risked: FULL }));
        outputs.extend(hub.handle(RouterInput::Tick(since + 2 * PATIENCE)));
        assert_eq!((code(&outputs), onward(&outputs)), (None, None));

        let (mut hub, _) = restarted(begun_at);
        let _outputs = hub.handle(RouterInput::Tick(since + PATIENCE - 1));
        let up = RouterInput::ChannelUp { at: DOWN, peer: key(2), limits: TransferLimits::default() };
        let mut outputs = hub.handle(up);
        outputs.extend(hub.handle(RouterInput::Spendable { at: DOWN, amount: FULL, risked: FULL }));
        assert!(onward(&outputs).is_some(), "in time it goes on");
    }
}

/// Case T12c, of a payer.
#[test]
fn a_part_that_was_never_signed_before_a_start_is_given_up_after_the_patience_of_the_policy_and_not_at_once() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending));
    // The row is there, the command has come to no channel; then the hub is gone.
    world.vanish(1);
    world.crash(0);
    world.run();
    assert!(world.nodes[0].store.sides[&0].own.is_empty());
    for millis in [1, PATIENCE - 2] {
        world.tick(millis);
        world.run();
        assert_eq!(world.payment(0, 1), Some(PaymentState::Pending));
    }
    world.tick(1);
    world.run();
    assert_eq!(world.payment(0, 1), Some(PaymentState::Failed(FailureCode::PeerAway)));
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 1_000)]);
    assert_eq!(world.gain(0), 0);
}

/// A node at block 100 with a channel to the payer.
fn payee(policy: RoutingPolicy) -> Router {
    let mut router = Router::new(SigningKey::from_seed(&[2; 32]), SealKey::from_seed(&[2; 32]), policy);
    for input in [
        RouterInput::Tick(100_000),
        RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 },
        RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() },
        RouterInput::Spendable { at: UP, amount: FULL, risked: FULL },
    ] {
        drop(router.handle(input));
    }
    router
}

/// The same of a payer.
fn payer() -> Router {
    let mut router =
        Router::new(SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]), RoutingPolicy::default());
    for input in [
        RouterInput::Tick(100_000),
        RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 },
        RouterInput::ChannelUp { at: DOWN, peer: key(2), limits: TransferLimits::default() },
        RouterInput::Spendable { at: DOWN, amount: FULL, risked: FULL },
    ] {
        drop(router.handle(input));
    }
    router
}

/// What the payer offered comes to the payee with another expiry: what the payee does about it.
fn delivered(payee: &mut Router, offer: &Offer, number: u8, expiry: BlockNumber) -> Vec<(Place, TransferCommand)> {
    let terms = TransferTerms { expiry, ..offer.terms };
    let row = IncomingTransfer {
        contract: ContractId([number; 32]),
        premium: None,
        terms,
        calls: LockedCalls::NONE,
        instruction: offer.instruction.clone(),
        intent: Intent::Undecided,
    };
    commands(payee.handle(RouterInput::Transfer(UP, TransferEvent::Offered(row))))
}

type Place = network::At;

fn reason(said: &[(Place, TransferCommand)]) -> Option<FailureCode> {
    match said {
        [(UP, TransferCommand::Fail { reason, .. })] => Some(RouteFailure::from_reason(reason).code),
        _ => None,
    }
}

fn is_claimed(said: &[(Place, TransferCommand)]) -> bool {
    matches!(said, [(UP, TransferCommand::Claim { .. })])
}

/// Case B3b, and B4b: also one that is over.
#[test]
fn a_part_that_expires_sooner_than_its_invoice_allows_is_given_back() {
    let margin = RoutingPolicy::default().chain.margins.forward();
    for (asked, least) in [(0, margin), (margin + 30, margin + 30)] {
        let mut node = payee(RoutingPolicy::default());
        let request = InvoiceRequest {
            chain: CHAIN,
            amount: Some(500),
            opening: Opening::AtOnce(Preimage([7; 32])),
            secret: [8; 32],
            least_expiry: asked,
            description: String::new(),
            expires_at: 1_000,
            hubs: vec![],
        };
        let (invoice, _, _) = node.add_invoice(request).unwrap();
        assert_eq!(invoice.least_expiry, least);
        let mut payer = payer();
        let (_, outputs) = payer.pay(PaymentId([1; 32]), &invoice, None, 0, [1; 32]).unwrap();
        let offer = onward(&outputs).expect("it is offered");
        assert!(offer.terms.expiry >= 100 + least);
        for (number, expiry) in (1..).zip([0, 50, 100, 100 + margin - 1, 100 + least - 1]) {
            let said = delivered(&mut node, &offer, number, expiry);
            assert_eq!(reason(&said), Some(FailureCode::Expiry), "{expiry}: {said:?}");
            assert_eq!(node.invoice(&invoice.lock), Some(InvoiceState::Open));
        }
        assert!(is_claimed(&delivered(&mut node, &offer, 9, 100 + least)), "and in time it is taken");
    }
}

/// Case B3b.
#[test]
fn a_spontaneous_part_that_expires_within_the_margin_is_given_back() {
    let margin = RoutingPolicy::default().chain.margins.forward();
    let mut node = payee(RoutingPolicy::default());
    let gift = Spontaneous { chain: CHAIN, payee: key(2), hubs: vec![], amount: 500, max_fee: 0, note: vec![] };
    let (_, outputs) = payer().pay_spontaneously(PaymentId([1; 32]), gift, [1; 32]).unwrap();
    let offer = onward(&outputs).expect("it is offered");
    for (number, expiry) in (1..).zip([0, 100, 100 + margin - 1]) {
        let said = delivered(&mut node, &offer, number, expiry);
        assert_eq!(reason(&said), Some(FailureCode::Expiry), "{expiry}: {said:?}");
    }
    assert!(is_claimed(&delivered(&mut node, &offer, 9, 100 + margin)));
}

/// Case B4b: a channel refuses what lies too far ahead, and leaves to the router what is over.
#[test]
fn what_comes_in_with_an_expiry_that_is_over_is_given_back_by_a_hub() {
    for expiry in [0, 99, 100, 100 + RoutingPolicy::default().chain.margins.forward()] {
        let mut hub = crate::forwarding::hub(hub_policy());
        let (mut incoming, mut forward) = offered(1);
        (incoming.terms.expiry, forward.expiry) = (expiry, expiry.saturating_sub(2));
        let outputs = crate::forwarding::offer(&mut hub, (incoming, forward));
        assert_eq!((code(&outputs), onward(&outputs)), (Some(FailureCode::Expiry), None), "{expiry}");
    }
}

/// Case B9c.
#[test]
fn an_invoice_of_another_chain_or_arbiter_is_refused_by_the_router_and_nothing_is_kept() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    world.run();
    let said = world.said.len();
    let mut other_chain = invoice.clone();
    other_chain.asset.registry.genesis = Hash([1; 32]);
    let mut other_arbiter = invoice.clone();
    other_arbiter.asset.registry.arbiter.0[0] ^= 1;
    for other in [other_chain, other_arbiter] {
        assert_eq!(world.pay(0, 1, &other, None), Err(PayError::Invoice(InvoiceError::OtherChain)));
        world.run();
        assert_eq!((world.payment(0, 1), world.said.len()), (None, said));
        assert!(world.nodes[0].store.rows.keys().all(|key| key.0[0] != 1), "a row was kept");
    }
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending), "the id is free");
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 1_000)]);
}

/// Case B11b.
#[test]
fn a_payment_whose_hub_never_comes_back_is_pending_until_its_expiry_and_failed_from_then_on_after_one_attempt() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending));
    let is_open = |world: &World| {
        let rows = &world.nodes[0].store.sides[&0].outgoing;
        rows.values().any(|row| row.progress == Progress::Offered)
    };
    while !is_open(&world) {
        let (node, channel) = world.ready().first().copied().expect("the hub accepts it");
        if node == 1 && !world.nodes[1].store.sides[&0].incoming.is_empty() {
            world.vanish(1);
        } else {
            world.step(node, channel);
        }
    }
    if !world.nodes[1].is_away {
        world.vanish(1);
    }
    let expiry = world.nodes[0].store.sides[&0].own.values().next().unwrap().terms.expiry;
    while world.view.height + 1 < expiry {
        world.advance(1);
        world.tick(61_000);
        world.run();
        if world.view.height.is_multiple_of(7) {
            world.crash(0);
            world.run();
        }
        assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending), "block {}", world.view.height);
        assert_eq!(world.pay(0, 2, &invoice, None), Err(PayError::SameLock), "nor is it made by another name");
    }
    world.advance(1);
    world.run();
    let failed = Some(PaymentState::Failed(FailureCode::HeldTooLong));
    assert_eq!(world.payment(0, 1), failed);
    world.crash(0);
    world.advance(50);
    world.run();
    assert_eq!(world.payment(0, 1), failed);
    let offers = world.nodes[0].store.sides[&0].own.len();
    assert_eq!((offers, world.gain(0)), (1, 0), "one attempt, and all coins are back");
    let told = |notice: &&RouterNotice| matches!(notice, RouterNotice::PaymentFailed { .. });
    assert_eq!(world.nodes[0].store.notices.iter().filter(told).count(), 1);
}
