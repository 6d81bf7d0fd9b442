//! Channels of which rows are damaged: what may have gone on by them, or come in, is as if it had.

use crate::{
    forwarding::{DOWN, UP, code, commands, forward_key, key, lock, offered},
    harness::{CHAIN, World, hub_policy},
};
use ::channel::{
    ChangeId, IdempotencyKey,
    transfer::{
        Failure, IncomingTransfer, Intent, LockedCalls, Offer, OutgoingTransfer, Progress, Registered, TransferCommand,
        TransferEvent, TransferLimits, TransferTerms, Verdict,
    },
};
use network::{
    At, FailureCode, Instruction, InvoiceRequest, Opening, PayError, PaymentId, PaymentState, ReceiveError, Restored,
    RestoredChannel, Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy, RowKey, SealKey, Spontaneous,
};
use protocol::{
    contracts::{ContractId, conditional::Preimage},
    crypto::{Native, SigningKey},
};
use scale::Encode;
use std::collections::BTreeMap;

const SECRET: Preimage = Preimage([3; 32]);

fn channel(at: At, peer: u8, is_whole: bool) -> RestoredChannel {
    RestoredChannel { at, peer: key(peer), incoming: Vec::new(), outgoing: Vec::new(), is_whole }
}

/// What came in from peer 1, to go on to peer 2.
fn came_in() -> IncomingTransfer {
    let (incoming, forward) = offered(1);
    IncomingTransfer { instruction: Instruction::Forward(forward).to_bytes().unwrap(), ..incoming }
}

/// What went on because of it.
fn gone_on(progress: Progress) -> OutgoingTransfer {
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    let offer = Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction: vec![5; 100] };
    OutgoingTransfer { change: ChangeId(1), key: forward_key(), offer, contract: None, premium: None, progress }
}

/// A hub at block 100 that was started on these.
fn started(channels: Vec<RestoredChannel>) -> (Router, Vec<RouterOutput>) {
    let mut hub = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
    drop(hub.handle(RouterInput::Tick(100_000)));
    drop(hub.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    let outputs = hub.handle(RouterInput::Restored(Restored { chain: CHAIN, channels, rows: Vec::new() }));
    (hub, outputs)
}

/// Another channel to peer 2 is there, and the time to wait for anybody is over.
fn wait(hub: &mut Router) -> Vec<RouterOutput> {
    let other = At { chain: CHAIN, channel: ::channel::ChannelRef([7; 16]) };
    let mut outputs = hub.handle(RouterInput::ChannelUp { at: other, peer: key(2), limits: TransferLimits::default() });
    outputs.extend(hub.handle(RouterInput::Spendable { at: other, amount: 1_000_000, risked: 1_000_000 }));
    outputs.extend(hub.handle(RouterInput::Tick(900_000)));
    outputs
}

fn shown() -> RouterInput {
    RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, at: Some(101) }
}

#[test]
fn i4_what_may_have_gone_on_unread_goes_on_nowhere_else_is_not_given_back_and_is_claimed_once_it_is_paid() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let (mut hub, outputs) = started(vec![up.clone(), channel(DOWN, 2, false)]);
    assert_eq!(commands(outputs), vec![]);
    let outputs = wait(&mut hub);
    assert_eq!((code(&outputs), commands(outputs)), (None, vec![]));
    let claim = (UP, TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET });
    assert_eq!(commands(hub.handle(shown())), vec![claim]);
    // Where all can be read it was never signed: it goes on.
    let (mut hub, _) = started(vec![up, channel(DOWN, 2, true)]);
    assert!(matches!(commands(wait(&mut hub)).as_slice(), [(_, TransferCommand::Offer { .. })]));
}

/// A router that has said what no store has: whoever was to keep it has broken down (B9).
#[test]
fn a_router_that_is_ahead_of_its_stores_gives_nothing_back_offers_nothing_and_claims_all_the_same() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let down = RestoredChannel { outgoing: vec![gone_on(Progress::Offered)], ..channel(DOWN, 2, true) };
    let (mut hub, _) = started(vec![up, down]);
    drop(wait(&mut hub));
    // The task of the channel to peer 2 tells that what went on is absent for good, and breaks down before it has kept that: by what is kept it may be paid.
    let why = Failure::ByPayee(::channel::transfer::FailReason(vec![1]));
    let failed = RouterInput::Transfer(DOWN, TransferEvent::Failed { key: forward_key(), why: why.clone() });
    assert!(code(&hub.handle(failed)).is_some());
    hub.get_ahead();
    assert!(hub.is_ahead());
    let other = At { chain: CHAIN, channel: ::channel::ChannelRef([8; 16]) };
    drop(hub.handle(RouterInput::ChannelUp { at: other, peer: key(3), limits: TransferLimits::default() }));
    let mut offered = came_in();
    offered.contract = ContractId([9; 32]);
    assert_eq!(hub.handle(RouterInput::Transfer(other, TransferEvent::Offered(offered))), vec![]);
    // It is paid: so is the hub, whatever it had decided, and it says so with each block.
    let claim = RouterOutput::Command {
        at: UP,
        command: TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET },
    };
    assert_eq!(hub.handle(shown()), vec![claim.clone()]);
    assert_eq!(hub.handle(RouterInput::Head { chain: CHAIN, best: 102, finalised: 102 }), vec![claim]);
    assert_eq!(hub.handle(RouterInput::Tick(2_000_000)), vec![]);
}

#[test]
fn what_can_be_read_of_a_damaged_channel_counts() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let down = |progress| RestoredChannel { outgoing: vec![gone_on(progress)], ..channel(DOWN, 2, false) };
    let claim = (UP, TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET });
    let (_, outputs) = started(vec![up.clone(), down(Progress::Fulfilled(SECRET))]);
    assert_eq!(commands(outputs), vec![claim.clone()]);
    let (mut hub, outputs) = started(vec![up.clone(), down(Progress::Offered)]);
    assert_eq!(commands(outputs), vec![]);
    // The channel says nothing by itself.
    assert_eq!(commands(hub.handle(shown())), vec![claim]);
    let (_, outputs) = started(vec![up, down(Progress::Failed(Failure::Expired))]);
    assert!(code(&outputs).is_some(), "it is irrevocably absent");
}

#[test]
fn i5_what_came_in_unread_is_registered_in_time_and_what_went_on_because_of_it_is_remembered() {
    let down = RestoredChannel { outgoing: vec![gone_on(Progress::Offered)], ..channel(DOWN, 2, true) };
    let (mut hub, _) = started(vec![channel(UP, 1, false), down.clone()]);
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    for (best, verdict) in [(134, Verdict::NotYet), (133, Verdict::Agree)] {
        drop(hub.handle(RouterInput::Head { chain: CHAIN, best, finalised: 100 }));
        let silent = Registered::Silent { at: 100 };
        assert_eq!(hub.may_be_claimed(&DOWN, &forward_key(), &terms, silent), verdict, "at {best}");
    }
    let paid = TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    // It expires two blocks after what went on, at least.
    let register =
        RouterOutput::Register { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, expiry: 152, peer: None };
    assert_eq!(hub.handle(RouterInput::Transfer(DOWN, paid.clone())), vec![register]);
    let (mut hub, _) = started(vec![channel(UP, 1, true), down]);
    let forgotten = commands(hub.handle(RouterInput::Transfer(DOWN, paid)));
    assert_eq!(forgotten, vec![(DOWN, TransferCommand::Forget { key: forward_key() })], "what came in has ended");
}

#[test]
fn nothing_goes_on_from_a_channel_of_which_not_all_can_be_read() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, false) };
    let (mut hub, outputs) = started(vec![up, channel(DOWN, 2, true)]);
    assert_eq!((commands(outputs), commands(wait(&mut hub))), (vec![], vec![]));
}

#[test]
fn a_claim_whose_command_was_lost_is_registered_before_its_expiry() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let down = RestoredChannel { outgoing: vec![gone_on(Progress::Fulfilled(SECRET))], ..channel(DOWN, 2, true) };
    let (mut hub, _the_command_is_lost) = started(vec![up, down]);
    let head = |best| RouterInput::Head { chain: CHAIN, best, finalised: best };
    assert_eq!(hub.handle(head(134)), vec![], "whoever is asked by then has its time");
    assert_eq!(hub.handle(head(139)), vec![]);
    let register =
        RouterOutput::Register { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, expiry: 152, peer: Some(key(1)) };
    assert!(hub.handle(head(140)).contains(&register), "Rg before its expiry");
}

#[test]
fn a_part_that_may_have_been_offered_unread_is_neither_offered_again_nor_given_up() {
    let mut world = World::new(
        vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()],
        &[(0, 1, 1_000_000, 0), (0, 1, 900_000, 0), (1, 2, 1_000_000, 0)],
    );
    let invoice = world.invoice(2, 1, Some(50_000), &[1]);
    world.run();
    let _begun = world.pay(0, 1, &invoice, None).unwrap();
    let rows: Vec<(RowKey, Vec<u8>)> = world.nodes[0].store.rows.clone().into_iter().collect();
    let start = |is_whole| {
        let mut payer =
            Router::new(SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]), RoutingPolicy::default());
        drop(payer.handle(RouterInput::Tick(world.now)));
        drop(payer.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
        let of = |number, is_whole| RestoredChannel {
            at: crate::harness::at(number),
            peer: world.key(1),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            is_whole,
        };
        let restored = Restored { chain: CHAIN, channels: vec![of(0, is_whole), of(1, true)], rows: rows.clone() };
        drop(payer.handle(RouterInput::Restored(restored)));
        let up =
            RouterInput::ChannelUp { at: crate::harness::at(1), peer: world.key(1), limits: TransferLimits::default() };
        let mut outputs = payer.handle(up);
        outputs.extend(payer.handle(RouterInput::Spendable { at: crate::harness::at(1), amount: 900_000, risked: 0 }));
        outputs.extend(payer.handle(RouterInput::Tick(world.now + 900_000)));
        (payer, outputs)
    };
    let (mut payer, outputs) = start(false);
    let id = PaymentId([1; 32]);
    assert_eq!((commands(outputs), payer.payment(&id)), (vec![], Some(PaymentState::Pending)));
    let preimage = Preimage([1; 32]);
    let told = payer.handle(RouterInput::Shown { chain: CHAIN, lock: invoice.lock, preimage, at: None });
    assert!(told.contains(&RouterOutput::Notify(RouterNotice::Paid { id, preimage })), "{told:?}");
    let (payer, _) = start(true);
    assert!(matches!(payer.payment(&id), Some(PaymentState::Failed(_))), "it was never signed: {payer:?}");
}

/// A payer at block 100 that was started on these rows of its own, and on the parts of its payment in channel 0.
fn payer(
    world: &World,
    rows: BTreeMap<RowKey, Vec<u8>>,
    outgoing: Vec<OutgoingTransfer>,
) -> (Router, Vec<RouterOutput>) {
    let mut payer =
        Router::new(SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]), RoutingPolicy::default());
    drop(payer.handle(RouterInput::Tick(world.now)));
    drop(payer.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    let at = crate::harness::at(0);
    let channel = RestoredChannel { at, peer: world.key(1), incoming: Vec::new(), outgoing, is_whole: true };
    let outputs = payer.handle(RouterInput::Restored(Restored {
        chain: CHAIN,
        channels: vec![channel],
        rows: rows.into_iter().collect(),
    }));
    (payer, outputs)
}

/// The row of the one payment that there is.
fn payment_row(rows: &BTreeMap<RowKey, Vec<u8>>) -> RowKey {
    rows.keys().find(|key| key.0.first() == Some(&1)).unwrap().clone()
}

#[test]
fn a_payment_whose_row_cannot_be_read_is_not_made_again_by_its_id() {
    let mut world = World::new(
        vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()],
        &[(0, 1, 1_000_000, 0), (1, 2, 1_000_000, 0)],
    );
    let id = PaymentId([1; 32]);
    let order = Spontaneous {
        chain: CHAIN,
        payee: world.key(2),
        hubs: vec![world.key(1)],
        amount: 1_000,
        max_fee: 1_000,
        note: Vec::new(),
    };
    let (_, outputs) = world.nodes[0].router.pay_spontaneously(id, order.clone(), [1; 32]).unwrap();
    world.commit_outside(0, outputs);
    world.run();
    assert_eq!(world.gain(2), 1_000);
    let rows = &mut world.nodes[0].store.rows;
    let payment = payment_row(rows);
    let _before = rows.insert(payment.clone(), vec![1]);
    world.crash(0);
    for _ in 0..4 {
        world.tick(20_000);
        world.run();
    }
    let again = world.nodes[0].router.pay_spontaneously(id, order, [2; 32]);
    assert_eq!(again.map(|(state, _)| state), Err(PayError::Unreadable), "it may be made");
    assert_eq!(world.nodes[0].store.rows.get(&payment), Some(&vec![1]), "its row stays as it is");
}

#[test]
fn a_part_of_a_payment_whose_row_cannot_be_read_stays_and_nothing_else_is_paid_to_its_lock() {
    let mut world = World::new(
        vec![RoutingPolicy::default(), hub_policy(), RoutingPolicy::default()],
        &[(0, 1, 1_000_000, 0), (1, 2, 1_000_000, 0)],
    );
    let (id, preimage) = (PaymentId([1; 32]), Preimage([1; 32]));
    let invoice = world.invoice(2, 1, Some(1_000), &[1]);
    world.run();
    let _begun = world.pay(0, 1, &invoice, None).unwrap();
    let good = world.nodes[0].store.rows.clone();
    world.run();
    let sent = TransferTerms { amount: 1_002, lock: invoice.lock, expiry: 150 };
    let key = IdempotencyKey([&[0xf1][..], &[1; 32], &[0; 4]].concat());
    let offer = Offer { terms: sent, premium: 0, calls: LockedCalls::NONE, instruction: Vec::new() };
    let part = |progress| OutgoingTransfer {
        change: ChangeId(1),
        key: key.clone(),
        offer: offer.clone(),
        contract: None,
        premium: None,
        progress,
    };
    let mut damaged = good.clone();
    let _before = damaged.insert(payment_row(&good), vec![1]);
    let (paid, failed) = (Progress::Fulfilled(preimage), Progress::Failed(Failure::Expired));
    for (progress, is_free) in [(Progress::Offered, false), (paid.clone(), false), (failed, true)] {
        let (mut payer, outputs) = payer(&world, damaged.clone(), vec![part(progress.clone())]);
        assert_eq!(
            commands(outputs),
            vec![],
            "{progress:?}: what has become of it counts once the payment's row can be read"
        );
        let other = payer.pay(PaymentId([2; 32]), &invoice, None, 1_000, [2; 32]).map(|(state, _)| state);
        assert_eq!(other != Err(PayError::SameLock), is_free, "{progress:?}: {other:?}");
    }
    let (mut payer_of_part, _) = payer(&world, damaged, vec![part(Progress::Offered)]);
    let at = crate::harness::at(0);
    let told = payer_of_part.handle(RouterInput::Transfer(at, TransferEvent::Fulfilled { key: key.clone(), preimage }));
    assert_eq!(commands(told), vec![]);
    // Another version of the software can read the row: it has been paid.
    let (payer, outputs) = payer(&world, good, vec![part(paid)]);
    assert_eq!(payer.payment(&id), Some(PaymentState::Paid(preimage)));
    assert_eq!(commands(outputs), vec![(at, TransferCommand::Forget { key })]);
}

/// The two parts, by a channel each, of a payment to node 1 of a world.
pub(crate) fn two_parts(is_spontaneous: bool) -> [IncomingTransfer; 2] {
    let mut world = World::new(vec![RoutingPolicy::default(); 2], &[(0, 1, 600, 0), (0, 1, 600, 0)]);
    let invoice = world.invoice_for(1, 1, Some(1_000), &[], Opening::Held(lock(SECRET)));
    world.run();
    let payer = &mut world.nodes[0].router;
    let (_, outputs) = if is_spontaneous {
        let (payee, note) = (key(2), Vec::new());
        let order = Spontaneous { chain: CHAIN, payee, hubs: Vec::new(), amount: 1_000, max_fee: 0, note };
        payer.pay_spontaneously(PaymentId([1; 32]), order, [1; 32]).unwrap()
    } else {
        payer.pay(PaymentId([1; 32]), &invoice, None, 0, [1; 32]).unwrap()
    };
    let part = |(number, command): (u8, TransferCommand)| match command {
        TransferCommand::Offer { offer: Offer { terms, instruction, .. }, .. } => {
            let (contract, intent) = (ContractId([number; 32]), Intent::Undecided);
            IncomingTransfer { contract, premium: None, terms, calls: LockedCalls::NONE, instruction, intent }
        }
        other => panic!("{other:?}"),
    };
    let parts = (1..).zip(commands(outputs).into_iter().map(|(_, command)| command)).map(part);
    parts.collect::<Vec<_>>().try_into().unwrap()
}

/// A payee at block 100 to whom two parts of a payment have come, by a channel each, and whose invoice cannot be read. `intents` are what it wants of them.
/// What came to it, and what it wants done.
fn payee(is_spontaneous: bool, intents: [Intent; 2]) -> (Router, [IncomingTransfer; 2], Vec<RouterOutput>) {
    let came_in = two_parts(is_spontaneous);
    let lock = came_in[0].terms.lock;
    let channels = came_in.iter().zip(intents).zip([UP, DOWN]).map(|((row, intent), at)| RestoredChannel {
        incoming: vec![IncomingTransfer { intent, ..row.clone() }],
        ..channel(at, 1, true)
    });
    let rows = vec![(RowKey((2_u8, lock).encode()), vec![1])];
    let mut payee =
        Router::new(SigningKey::from_seed(&[2; 32]), SealKey::from_seed(&[2; 32]), RoutingPolicy::default());
    drop(payee.handle(RouterInput::Tick(100_000)));
    drop(payee.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    let mut outputs =
        payee.handle(RouterInput::Restored(Restored { chain: CHAIN, channels: channels.collect(), rows }));
    outputs.extend(wait(&mut payee));
    (payee, came_in, outputs)
}

#[test]
fn what_came_in_for_an_invoice_whose_row_cannot_be_read_is_not_given_back_and_claimed_once_its_pre_image_is_known() {
    let undecided = [Intent::Undecided, Intent::Undecided];
    let (mut payee, parts, outputs) = payee(false, undecided.clone());
    assert_eq!(commands(outputs), vec![], "it may be held, or one of them claimed");
    let claim =
        |at, part: &IncomingTransfer, preimage| (at, TransferCommand::Claim { contract: part.contract, preimage });
    let all = vec![claim(UP, &parts[0], SECRET), claim(DOWN, &parts[1], SECRET)];
    assert_eq!(commands(payee.handle(shown())), all);
    // One of them is claimed: so is the other.
    let (_, parts, outputs) = self::payee(false, [Intent::Claim(SECRET), Intent::Undecided]);
    assert_eq!(commands(outputs), vec![claim(DOWN, &parts[1], SECRET)]);
    // Those of a spontaneous payment have the pre-image with them.
    let (_, parts, outputs) = self::payee(true, undecided);
    let preimage = commands(outputs).into_iter().map(|(_, command)| match command {
        TransferCommand::Claim { preimage, .. } => preimage.lock(parts[0].terms.lock.function, &Native),
        other => panic!("{other:?}"),
    });
    assert_eq!(preimage.collect::<Vec<_>>(), vec![parts[0].terms.lock; 2]);
}

#[test]
fn an_invoice_whose_row_cannot_be_read_is_neither_made_again_nor_paid_anew() {
    let (mut payee, ..) = payee(false, [Intent::Undecided, Intent::Undecided]);
    let request = InvoiceRequest {
        chain: CHAIN,
        amount: None,
        opening: Opening::Held(lock(SECRET)),
        secret: [1; 32],
        least_expiry: 0,
        description: String::new(),
        expires_at: u64::MAX,
        hubs: Vec::new(),
    };
    assert_eq!(payee.add_invoice(request).map(|(_, text, _)| text), Err(ReceiveError::Kept));
    for is_spontaneous in [false, true] {
        let (mut payee, [more, _], _) = self::payee(is_spontaneous, [Intent::Undecided, Intent::Undecided]);
        let part = IncomingTransfer { contract: ContractId([9; 32]), ..more };
        let outputs = payee.handle(RouterInput::Transfer(UP, TransferEvent::Offered(part)));
        assert_eq!(code(&outputs), Some(FailureCode::UnknownOrWrong));
    }
}

#[test]
fn i3_a_pre_image_is_written_down_where_the_row_that_had_it_cannot_be_read() {
    let up = RestoredChannel { incoming: vec![came_in()], ..channel(UP, 1, true) };
    let down = RestoredChannel { outgoing: vec![gone_on(Progress::Offered)], ..channel(DOWN, 2, true) };
    let mut hub = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
    drop(hub.handle(RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }));
    let key = RowKey((4_u8, lock(SECRET)).encode());
    let rows = vec![(key.clone(), vec![9])];
    drop(hub.handle(RouterInput::Restored(Restored { chain: CHAIN, channels: vec![up, down], rows })));
    let outputs = hub.handle(shown());
    let kept = RouterOutput::Row { chain: CHAIN, key, value: Some([&[1][..], &SECRET.0].concat()) };
    assert!(outputs.contains(&kept), "{outputs:?}");
}
