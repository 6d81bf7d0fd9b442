//! Payments: in parts, once by their id, whatever crashes.

use crate::{
    forwarding::{DOWN, UP, commands, key},
    harness::{CHAIN, Crash, CrashPoint, World, assert_ended_well, hub_policy},
    unread::two_parts,
};
use ::channel::{
    ChangeId, IdempotencyKey,
    transfer::{FailReason, Failure, OutgoingTransfer, Progress, TransferCommand, TransferEvent, TransferLimits},
};
use network::{
    At, FailureCode, InvoiceState, Opening, PayError, PaymentId, PaymentState, ReceiveError, Restored, RestoredChannel,
    Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy, SealKey, Spontaneous,
};
use protocol::contracts::{
    ContractId,
    conditional::{HashFunction, Preimage},
};
use protocol::{
    Hash,
    crypto::{Native, SigningKey},
    signing::Domain,
};
use std::collections::BTreeMap;

const FULL: u128 = 1_000_000;

fn line() -> World {
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    World::new(policies, &[(0, 1, FULL, FULL), (1, 2, FULL, FULL)])
}

/// Two channels to the hub and two from it, none of which has enough alone.
fn wide() -> World {
    let policies = vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()];
    World::new(policies, &[(0, 1, 50_000, FULL), (0, 1, 40_000, FULL), (1, 2, 45_000, 0), (1, 2, 60_000, 0)])
}

/// Three hubs, none of which can carry all of it: the greatest wants more for its places than the payer gives, and the two others carry it for that together.
#[test]
fn a_payment_in_parts_goes_through_the_cheaper_hubs() {
    let dear = RoutingPolicy { slot_fee: 5_000, ..hub_policy() };
    let policies = vec![RoutingPolicy::default(), dear, hub_policy(), hub_policy(), RoutingPolicy::default()];
    let to_hubs = [(0, 1, 60_000, FULL), (0, 2, 45_000, FULL), (0, 3, 40_000, FULL)];
    let to_payee = [(1, 4, FULL, 0), (2, 4, FULL, 0), (3, 4, FULL, 0)];
    let mut world = World::new(policies, &[to_hubs, to_payee].concat());
    let invoice = world.invoice(4, 1, Some(80_000), &[1, 2, 3]);
    world.run();
    assert_eq!(world.pay_within(0, 1, &invoice, None, 82), Err(PayError::Fees { needed: 83, allowed: 82 }));
    assert_eq!(world.pay_within(0, 1, &invoice, None, 5_000), Ok(PaymentState::Pending));
    world.run();
    world.settle();
    assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    assert_eq!((world.gain(4), world.gain(1), world.gain(2) + world.gain(3)), (80_000, 0, 83));
}

#[test]
fn a_payment_asked_for_again_is_made_once() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    for _ in 0..3 {
        let _state = world.pay(0, 1, &invoice, None);
    }
    world.run();
    let paid = PaymentState::Paid(Preimage([1; 32]));
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(paid));
    world.crash(0);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(paid), "from its row");
    let other = world.invoice(2, 2, Some(1_000), &[1]);
    assert_eq!(world.pay(0, 1, &other, None), Err(PayError::OtherPayment));
    assert_eq!(world.pay(0, 2, &invoice, None), Err(PayError::SameLock));
    world.settle();
    assert_eq!(world.gain(2), 1_000);
    let told = world.nodes[0].store.notices.iter().filter(|notice| matches!(notice, RouterNotice::Paid { .. })).count();
    assert_eq!(told, 1);
    assert!(world.nodes[0].router.forget_payment(PaymentId([1; 32])).is_some());
    assert_eq!(world.payment(0, 1), None);
}

#[test]
fn a_payment_in_parts_arrives_whole_or_not_at_all_wherever_anybody_crashes() {
    let told = |world: &mut World| {
        let invoice = world.invoice(2, 1, Some(80_000), &[1]);
        world.run();
        invoice
    };
    let story = |world: &mut World, invoice: &network::Invoice| {
        for _ in 0..3 {
            if world.payment(0, 1).is_none() {
                let _state = world.pay(0, 1, invoice, None);
            }
            world.run();
        }
    };
    let mut world = wide();
    let invoice = told(&mut world);
    let first: Vec<usize> = world.nodes.iter().map(|node| node.commits).collect();
    story(&mut world, &invoice);
    world.settle();
    assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    assert_ended_well(&world, &[(0, 2, 1, 80_000)]);
    assert_eq!((world.gain(2), world.gain(1)), (80_000, 83));
    for (node, first) in first.into_iter().enumerate() {
        for commit in first..world.nodes[node].commits {
            for crash in [Crash::Before, Crash::After] {
                let mut world = wide();
                let invoice = told(&mut world);
                world.crashes = vec![CrashPoint { node, commit, crash }];
                story(&mut world, &invoice);
                world.settle();
                assert_ended_well(&world, &[(0, 2, 1, 80_000)]);
                let gain = world.gain(2);
                assert!(gain == 0 || gain == 80_000, "a part came alone: {gain}");
                let is_paid = matches!(world.payment(0, 1), Some(PaymentState::Paid(_)));
                assert_eq!(is_paid, gain > 0);
            }
        }
    }
}

/// Two hubs, neither of which can carry all of it: each carries a part, whoever crashes.
#[test]
fn a_payment_goes_in_parts_through_several_hubs_whole_or_not_at_all_wherever_anybody_crashes() {
    let world = || {
        let policies = vec![RoutingPolicy::default(), hub_policy(), hub_policy(), RoutingPolicy::default()];
        World::new(policies, &[(0, 1, 50_000, FULL), (0, 2, 40_000, FULL), (1, 3, FULL, 0), (2, 3, FULL, 0)])
    };
    let story = |world: &mut World| {
        let invoice = world.invoice(3, 1, Some(80_000), &[1, 2]);
        world.run();
        for _ in 0..3 {
            let _state = world.pay(0, 1, &invoice, None);
            world.run();
        }
        world.settle();
        assert_ended_well(world, &[(0, 3, 1, 80_000)]);
        let gain = world.gain(3);
        assert!(gain == 0 || gain == 80_000, "a part came alone: {gain}");
        assert_eq!(matches!(world.payment(0, 1), Some(PaymentState::Paid(_))), gain > 0);
    };
    let mut whole = world();
    story(&mut whole);
    assert_eq!(whole.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    assert!(whole.gain(1) > 0 && whole.gain(2) > 0, "both have carried a part");
    for node in 0..4 {
        for commit in 0..whole.nodes[node].commits {
            for crash in [Crash::Before, Crash::After] {
                let mut world = world();
                world.crashes = vec![CrashPoint { node, commit, crash }];
                story(&mut world);
            }
        }
    }
}

#[test]
fn what_cannot_be_paid_is_refused_by_its_name_and_nothing_is_kept() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    let open = world.invoice(2, 2, None, &[1]);
    let far = world.invoice(2, 3, Some(5_000_000), &[1]);
    let elsewhere = world.invoice(2, 4, Some(10), &[2]);
    let own = world.invoice(0, 5, Some(10), &[1]);
    world.run();
    assert_eq!(world.pay(0, 1, &open, None), Err(PayError::Amount));
    assert_eq!(world.pay(0, 1, &open, Some(0)), Err(PayError::Amount));
    assert_eq!(world.pay(0, 1, &invoice, Some(999)), Err(PayError::Amount));
    assert_eq!(world.pay(0, 1, &invoice, Some(2_001)), Err(PayError::Amount));
    assert_eq!(world.pay(0, 1, &far, None), Err(PayError::NoWay(FailureCode::Liquidity)));
    assert_eq!(world.pay(0, 1, &elsewhere, None), Err(PayError::NoWay(FailureCode::PeerAway)));
    assert_eq!(world.pay(0, 1, &own, None), Err(PayError::Payee));
    let dear = world.nodes[0].router.pay(PaymentId([1; 32]), &invoice, None, 1, [1; 32]);
    assert_eq!(dear.map(|_| ()), Err(PayError::Fees { needed: 2, allowed: 1 }));
    world.tick(4_000_000);
    world.run();
    assert!(matches!(world.pay(0, 1, &invoice, None), Err(PayError::Invoice(network::InvoiceError::Expired { .. }))));
    assert!(world.nodes[0].store.rows.keys().all(|key| key.0[0] != 1), "a row was kept");
}

#[test]
fn an_invoice_is_paid_once_and_up_to_twice_its_amount() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    assert_eq!(world.pay(0, 1, &invoice, Some(2_000)), Ok(PaymentState::Pending));
    world.run();
    assert_eq!(world.gain(2), 2_000);
    let lock = invoice.lock;
    assert_eq!(world.nodes[2].router.invoice(&lock), Some(InvoiceState::Paid { amount: 2_000, open_parts: 0 }));
    // Somebody else has the same invoice: the hub.
    assert_eq!(world.pay(1, 2, &invoice, None), Ok(PaymentState::Pending));
    world.run();
    assert_eq!(world.payment(1, 2), Some(PaymentState::Failed(FailureCode::UnknownOrWrong)));
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 2_000)]);
}

#[test]
fn parts_that_do_not_come_to_the_total_are_given_back_after_a_minute() {
    let mut world = wide();
    let invoice = world.invoice(2, 1, Some(80_000), &[1]);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending));
    // One of the two parts never leaves the payer.
    let _work = world.nodes[0].queues.remove(&1);
    world.run();
    world.tick(59_000);
    world.run();
    assert_eq!(world.nodes[2].store.sides.values().map(|side| side.incoming.len()).sum::<usize>(), 1);
    world.tick(2_000);
    world.run();
    assert_eq!(world.nodes[2].store.sides.values().map(|side| side.incoming.len()).sum::<usize>(), 0);
    world.crash(0);
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 80_000)]);
    assert_eq!(world.payment(0, 1), Some(PaymentState::Failed(FailureCode::HeldTooLong)));
}

fn held(world: &mut World) -> network::Invoice {
    let opening = Opening::Held(Preimage([1; 32]).lock(HashFunction::Sha2_256, &Native));
    let invoice = world.invoice_for(2, 1, Some(1_000), &[1], opening);
    let _state = world.pay(0, 1, &invoice, None);
    world.run();
    assert_eq!(world.nodes[2].router.invoice(&invoice.lock), Some(InvoiceState::Held { amount: 1_000 }));
    invoice
}

#[test]
fn what_is_held_is_settled_by_the_user_after_a_crash_as_well() {
    for crash in [false, true] {
        let mut world = line();
        let invoice = held(&mut world);
        if crash {
            world.crash(2);
            world.run();
        }
        let lock = invoice.lock;
        let wrong = world.nodes[2].router.settle(lock, Preimage([2; 32]));
        assert_eq!(wrong, Err(ReceiveError::WrongPreimage));
        let outputs = world.nodes[2].router.settle(lock, Preimage([1; 32])).unwrap();
        world.commit_outside(2, outputs);
        world.run();
        assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
        assert_eq!(world.nodes[2].router.cancel(lock), Err(ReceiveError::PaidAlready));
        world.settle();
        assert_ended_well(&world, &[(0, 2, 1, 1_000)]);
        let told =
            world.nodes[2].store.notices.iter().filter(|notice| matches!(notice, RouterNotice::Held { .. })).count();
        assert_eq!(told, 1);
    }
}

#[test]
fn what_is_held_is_given_back_when_it_is_cancelled_or_the_expiry_comes_near() {
    for by_user in [true, false] {
        let mut world = line();
        let invoice = held(&mut world);
        if by_user {
            let outputs = world.nodes[2].router.cancel(invoice.lock).unwrap();
            world.commit_outside(2, outputs);
        } else {
            let side = &world.nodes[2].store.sides[&1];
            let expiry = side.incoming.values().next().unwrap().terms.expiry;
            world.advance(expiry - 36 - world.view.height - 1);
            world.run();
            assert_eq!(world.payment(0, 1), Some(PaymentState::Pending), "one block too early");
            world.advance(1);
        }
        world.run();
        assert!(matches!(world.payment(0, 1), Some(PaymentState::Failed(_))));
        assert_eq!(world.nodes[2].router.settle(invoice.lock, Preimage([1; 32])), Err(ReceiveError::NotHeld));
        world.settle();
        assert_ended_well(&world, &[(0, 2, 1, 1_000)]);
    }
}

fn gift(world: &World, amount: u128) -> Spontaneous {
    let (payee, hub) = (world.key(2), world.key(1));
    Spontaneous { chain: CHAIN, payee, hubs: vec![hub], amount, max_fee: 1_000, note: b"thanks".to_vec() }
}

#[test]
fn a_spontaneous_payment_arrives_with_its_note_and_the_hub_cannot_read_it() {
    let mut world = wide();
    let payment = gift(&world, 80_000);
    let id = PaymentId([1; 32]);
    let (state, outputs) = world.nodes[0].router.pay_spontaneously(id, payment.clone(), [1; 32]).unwrap();
    assert_eq!(state, PaymentState::Pending);
    world.commit_outside(0, outputs);
    world.run();
    let again = world.nodes[0].router.pay_spontaneously(id, payment, [2; 32]);
    assert!(matches!(again, Ok((PaymentState::Paid(_), _))), "{again:?}");
    let received = world.nodes[2].store.notices.iter().find_map(|notice| match notice {
        RouterNotice::Received { amount, note, .. } => Some((*amount, note.clone())),
        _ => None,
    });
    assert_eq!(received, Some((80_000, b"thanks".to_vec())));
    let said = format!("{:?}", world.said);
    let spelt = format!("{:?}", b"thanks");
    assert!(!said.contains(spelt.trim_matches(|c| c == '[' || c == ']')), "the note went in the clear");
    world.settle();
    assert_ended_well(&world, &[(0, 2, 1, 80_000)]);
}

#[test]
fn a_payee_that_takes_nothing_spontaneous_gives_it_back() {
    let policies = vec![
        RoutingPolicy::default(),
        hub_policy(),
        RoutingPolicy { takes_spontaneous: false, ..RoutingPolicy::default() },
    ];
    let mut world = World::new(policies, &[(0, 1, FULL, FULL), (1, 2, FULL, FULL)]);
    let payment = gift(&world, 1_000);
    let (_, outputs) = world.nodes[0].router.pay_spontaneously(PaymentId([1; 32]), payment, [1; 32]).unwrap();
    world.commit_outside(0, outputs);
    world.run();
    assert_eq!(world.payment(0, 1), Some(PaymentState::Failed(FailureCode::UnknownOrWrong)));
    world.settle();
    assert_ended_well(&world, &[]);
}

#[test]
fn without_hubs_in_the_invoice_whoever_says_that_it_serves_the_payee_is_asked() {
    let mut world = line();
    let invoice = world.invoice(2, 1, Some(1_000), &[]);
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending));
    world.run();
    assert_eq!(world.gain(2), 1_000);
}

#[test]
fn fees_change_while_running_and_payers_follow() {
    let mut world = line();
    let fee = network::Fee { base: 7, parts_per_million: 0 };
    world.nodes[1].policy = RoutingPolicy { fee, ..hub_policy() };
    let policy = world.nodes[1].policy.clone();
    let outputs = world.nodes[1].router.configure(policy);
    world.commit_outside(1, outputs);
    world.tick(5_000);
    world.run();
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    let _state = world.pay(0, 1, &invoice, None);
    world.run();
    assert_eq!((world.gain(2), world.gain(1)), (1_000, 7));
    let earned = world.nodes[1].router.earned(CHAIN);
    assert_eq!(earned.iter().map(|earned| earned.amount).sum::<u128>(), 7);
    world.crash(1);
    world.run();
    let earned = world.nodes[1].router.earned(CHAIN);
    assert_eq!(earned.iter().map(|earned| earned.amount).sum::<u128>(), 7, "from its row");
    let _unused = world.nodes[1].router.handle(RouterInput::Tick(0));
}

#[test]
fn what_is_held_is_given_back_in_its_block_although_a_part_of_it_is_gone_after_a_restart() {
    let mut world = wide();
    let lock = Preimage([1; 32]).lock(HashFunction::Blake2b256, &Native);
    let invoice = world.invoice_for(2, 1, Some(80_000), &[1], Opening::Held(lock));
    world.run();
    let _begun = world.pay(0, 1, &invoice, None);
    world.run();
    assert_eq!(world.nodes[2].router.invoice(&lock), Some(InvoiceState::Held { amount: 80_000 }));
    // The state that held it does not count any more.
    let side = world.nodes[2].store.sides.values_mut().find(|side| !side.incoming.is_empty()).unwrap();
    let _superseded = side.incoming.pop_first();
    world.crash(2);
    world.run();
    assert!(matches!(world.nodes[2].router.invoice(&lock), Some(InvoiceState::Held { .. })));
    world.advance(60);
    world.run();
    assert_eq!(world.nodes[2].router.invoice(&lock), Some(InvoiceState::Cancelled));
}

/// A payer with two channels to a hub whose payment by the first one is over and forgotten, and was made again, of this invoice, by the second one. Then it starts
/// anew, with the row of the old part still there.
fn made_again(end: TransferEvent, again: u8) -> (Router, Vec<RouterOutput>, PaymentId) {
    let mut world = World::new(
        vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()],
        &[(0, 1, FULL, 0), (0, 1, 900_000, 0), (1, 2, FULL, 0)],
    );
    let (first, second) = (world.invoice(2, 1, Some(1_000), &[1]), world.invoice(2, 2, Some(1_000), &[1]));
    world.run();
    let (id, key, here) = (PaymentId([1; 32]), world.key(1), |number| crate::harness::at(number));
    let payer = &mut world.nodes[0].router;
    let mut rows = BTreeMap::new();
    let mut offers = Vec::new();
    let mut take = |outputs: Vec<RouterOutput>| {
        for output in outputs {
            match output {
                RouterOutput::Row { key, value: Some(value), .. } => drop(rows.insert(key, value)),
                RouterOutput::Row { key, value: None, .. } => drop(rows.remove(&key)),
                RouterOutput::Command { at, command: TransferCommand::Offer { key, offer, .. } } => {
                    offers.push((at, key, offer));
                }
                _ => {}
            }
        }
    };
    take(payer.pay(id, &first, None, 1_000, [1; 32]).unwrap().1);
    take(payer.handle(RouterInput::Transfer(here(0), end.clone())));
    take(payer.forget_payment(id).unwrap());
    take(payer.handle(RouterInput::ChannelDown(here(0))));
    let invoice = if again == 1 { &first } else { &second };
    take(payer.pay(id, invoice, None, 1_000, [2; 32]).unwrap().1);
    let places: Vec<_> = offers.iter().map(|(at, key, _)| (*at, key.clone())).collect();
    assert_eq!(places, vec![(here(0), part()), (here(1), part())]);
    let old = match end {
        TransferEvent::Failed { why, .. } => Progress::Failed(why),
        TransferEvent::Fulfilled { preimage, .. } => Progress::Fulfilled(preimage),
        other => panic!("{other:?}"),
    };
    let channels = offers.into_iter().zip([old, Progress::Offered]).map(|((at, key_of, offer), progress)| {
        let (change, contract, premium) = (ChangeId(1), Some(ContractId([1; 32])), None);
        let row = OutgoingTransfer { change, key: key_of, offer, contract, premium, progress };
        RestoredChannel { at, peer: key, incoming: Vec::new(), outgoing: vec![row], is_whole: true }
    });
    let restored = Restored { chain: CHAIN, channels: channels.collect(), rows: rows.into_iter().collect() };
    let mut payer =
        Router::new(SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]), RoutingPolicy::default());
    drop(payer.handle(RouterInput::Tick(world.now)));
    drop(payer.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    let outputs = payer.handle(RouterInput::Restored(restored));
    (payer, outputs, id)
}

fn part() -> IdempotencyKey {
    IdempotencyKey([&[0xf1][..], &[1; 32], &[0; 4]].concat())
}

#[test]
fn a_part_of_a_forgotten_payment_says_nothing_of_the_one_that_was_made_again_by_its_id() {
    let failed = |why| TransferEvent::Failed { key: part(), why };
    let unknown = FailReason(vec![1, 3]);
    let paid = TransferEvent::Fulfilled { key: part(), preimage: Preimage([1; 32]) };
    let cases = [
        (failed(Failure::Expired), 1),
        (failed(Failure::Expired), 2),
        (failed(Failure::ByPayee(unknown)), 1),
        (paid.clone(), 2),
    ];
    for (end, again) in cases {
        let (mut payer, outputs, id) = made_again(end.clone(), again);
        assert_eq!(payer.payment(&id), Some(PaymentState::Pending), "{end:?}: it is under way by another channel");
        let forget = TransferCommand::Forget { key: part() };
        let commands = commands(outputs);
        assert_eq!(commands, vec![(crate::harness::at(0), forget)], "{end:?}");
        let preimage = Preimage([again; 32]);
        let done = TransferEvent::Fulfilled { key: part(), preimage };
        let told = payer.handle(RouterInput::Transfer(crate::harness::at(1), done));
        assert!(told.contains(&RouterOutput::Notify(RouterNotice::Paid { id, preimage })), "{told:?}");
    }
    // Of the very same invoice it is paid, while the other part is under way.
    let (mut payer, _, id) = made_again(paid, 1);
    assert_eq!(payer.payment(&id), Some(PaymentState::Paid(Preimage([1; 32]))));
    assert_eq!(payer.forget_payment(id), None);
}

#[test]
fn coins_of_one_chain_do_not_make_up_for_those_of_another() {
    let [one, other] = two_parts(true);
    let elsewhere = Domain { genesis: Hash([9; 32]), ..CHAIN };
    for (chain, is_paid) in [(CHAIN, true), (elsewhere, false)] {
        let mut payee =
            Router::new(SigningKey::from_seed(&[2; 32]), SealKey::from_seed(&[2; 32]), RoutingPolicy::default());
        drop(payee.handle(RouterInput::Tick(100_000)));
        let mut outputs = Vec::new();
        for (at, part) in [(UP, &one), (At { chain, ..DOWN }, &other)] {
            drop(payee.handle(RouterInput::Head { chain: at.chain, best: 100, finalised: 100 }));
            drop(payee.handle(RouterInput::ChannelUp { at, peer: key(1), limits: TransferLimits::default() }));
            outputs.extend(payee.handle(RouterInput::Transfer(at, TransferEvent::Offered(part.clone()))));
        }
        let received = outputs.iter().any(|it| matches!(it, RouterOutput::Notify(RouterNotice::Received { .. })));
        assert_eq!(received, is_paid, "{outputs:?}");
    }
}
