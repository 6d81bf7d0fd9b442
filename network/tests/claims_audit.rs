//! Claims that peers leave unanswered where that could be gained by: heads that nobody takes back, a clock that is taken back with every block, starts, and an
//! operator's word; and splits of payments.
//!
//! The transfer comes in by peer 1 and expires in block 152; its pre-image has to be registered from 140 on, and who is asked after 134 has not its time.

use crate::{
    forwarding::{DOWN, UP, code, commands, forward_key, hub, key, lock, offer, offered, onward},
    harness::{CHAIN, World, hub_policy},
};
use ::channel::{
    ChangeId, IdempotencyKey,
    transfer::{
        IncomingEnd, IncomingTransfer, Intent, LockedCalls, Offer, OutgoingTransfer, Progress, TransferCommand,
        TransferEvent, TransferLimits, TransferTerms,
    },
};
use network::{
    ChainPolicy, FailureCode, Fee, Forward, Instruction, PayError, PaymentState, Restored, RestoredChannel, Router,
    RouterInput, RouterNotice, RouterOutput, RoutingPolicy, RowKey, SealKey,
};
use protocol::{
    contracts::{ContractId, conditional::Preimage},
    crypto::SigningKey,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const SECRET: Preimage = Preimage([3; 32]);
const DUE: u32 = 140;
const EXPIRY: u32 = 152;
const FULL: u128 = 1_000_000;

/// A hub that has paid for what it carried on, and has asked its peer for the same.
fn owed() -> Router {
    let mut router = hub(hub_policy());
    drop(offer(&mut router, offered(1)));
    claim(&mut router, forward_key(), SECRET);
    router
}

/// The next one claims, and it is agreed to.
fn claim(router: &mut Router, key: IdempotencyKey, preimage: Preimage) {
    let fulfilled = TransferEvent::Fulfilled { key: key.clone(), preimage };
    drop(router.handle(RouterInput::Transfer(DOWN, fulfilled)));
    drop(router.handle(RouterInput::Transfer(DOWN, TransferEvent::Claimed { key })));
}

fn show(router: &mut Router, best: u32, finalised: u32) -> Vec<RouterOutput> {
    router.handle(RouterInput::Head { chain: CHAIN, best, finalised })
}

/// The peer agrees to the claim.
fn answer(router: &mut Router, number: u8) {
    let ended = TransferEvent::Ended { contract: ContractId([number; 32]), end: IncomingEnd::Claimed };
    drop(router.handle(RouterInput::Transfer(UP, ended)));
}

fn registers(outputs: &[RouterOutput]) -> bool {
    outputs.iter().any(|output| matches!(output, RouterOutput::Register { .. }))
}

fn bars(outputs: &[RouterOutput]) -> bool {
    outputs.iter().any(|output| matches!(output, RouterOutput::Notify(RouterNotice::ClaimUnanswered { .. })))
}

/// What peer 1 offers under this number, to expire with this block.
fn numbered(number: u8, expiry: u32) -> (IncomingTransfer, Forward) {
    let (incoming, forward) = offered(number);
    let forward = Forward { expiry: expiry - 2, ..forward };
    let terms = TransferTerms { expiry, lock: lock(Preimage([number; 32])), ..incoming.terms };
    (IncomingTransfer { terms, ..incoming }, forward)
}

fn is_refused(router: &mut Router, number: u8) -> bool {
    code(&offer(router, numbered(number, 192))) == Some(FailureCode::NotServed)
}

/// R8.30: an endpoint that shows blocks which are not there decides nothing. Its last word stands when it is lost, so that nothing may ever be taken back.
#[test]
fn nobody_is_barred_by_a_head_that_is_never_taken_back() {
    for lie in [DUE, EXPIRY - 1, 5_000] {
        let mut router = owed();
        // The chain is at 105, and an endpoint shows this.
        assert!(!bars(&show(&mut router, lie, 102)), "an endpoint shows {lie}");
        // The peer answers in block 110, thirty blocks before its time is over.
        assert!(!bars(&show(&mut router, lie, 107)));
        answer(&mut router, 1);
        let barred_at = (108..=DUE + 5).find(|finalised| bars(&show(&mut router, lie, *finalised)));
        assert_eq!(barred_at, None, "an endpoint has shown {lie}");
    }
}

/// Likewise what is owed is registered while it is in time, as final blocks say.
#[test]
fn what_is_owed_is_registered_whatever_an_endpoint_goes_on_showing() {
    for lie in [DUE, EXPIRY - 1, EXPIRY, 5_000] {
        let mut router = owed();
        let registered_at = (100..EXPIRY - 3).find(|finalised| registers(&show(&mut router, lie, *finalised)));
        assert!(registered_at.is_some(), "an endpoint shows {lie}, and nothing is registered before {EXPIRY}");
    }
}

/// Likewise what becomes owed while an endpoint shows such blocks: it was agreed to in time, and is told late.
#[test]
fn what_becomes_owed_under_a_head_that_stands_is_registered() {
    for lie in [DUE, DUE + 5, EXPIRY - 2] {
        let mut router = hub(hub_policy());
        drop(offer(&mut router, offered(1)));
        drop(show(&mut router, lie, 102));
        claim(&mut router, forward_key(), SECRET);
        let registered_at = (103..DUE + 2).find(|finalised| registers(&show(&mut router, lie, *finalised)));
        assert!(registered_at.is_some(), "an endpoint shows {lie}");
    }
}

/// The operator lets a peer offer again whose claim is open yet. A head that falls by a block (the clock of R8.30 has every head fall that came a little late) does
/// not undo that.
#[test]
fn who_is_let_is_not_barred_again_by_the_same_claim() {
    let mut router = owed();
    assert!(registers(&show(&mut router, DUE, 137)));
    drop(show(&mut router, DUE + 4, DUE + 1));
    assert!(is_refused(&mut router, 4), "it is barred");
    drop(router.let_offer(CHAIN, key(1)));
    assert!(!is_refused(&mut router, 2));
    assert!(!bars(&show(&mut router, DUE + 5, DUE + 1)), "without a fall it stays so");
    let told = show(&mut router, DUE + 4, DUE + 2);
    assert!(!bars(&told), "block {DUE} has been final before and after");
    assert!(!is_refused(&mut router, 3));
}

/// Likewise before that block is final.
#[test]
fn who_is_let_before_the_block_is_final_is_not_barred_by_a_fall_that_leaves_it() {
    let mut router = owed();
    assert!(registers(&show(&mut router, DUE + 1, 137)));
    drop(router.let_offer(CHAIN, key(1)));
    drop(show(&mut router, DUE + 2, 137));
    drop(show(&mut router, DUE + 1, 138));
    assert!(!bars(&show(&mut router, DUE + 4, DUE + 1)));
    assert!(!is_refused(&mut router, 2));
}

/// Without any lie: a block is late, the clock goes on, and its head falls when the block comes. A peer that waits for that each time has the hub pay a
/// registration each time, unless it is barred for it.
#[test]
fn who_answers_whenever_the_clock_is_taken_back_does_not_go_on_forever() {
    let mut router = hub(hub_policy());
    let (mut paid, mut is_served) = (0, 0);
    for number in 1..=20_u8 {
        let expiry = 152 + 20 * u32::from(number);
        let due = expiry - 12;
        drop(show(&mut router, due - 10, due - 13));
        let outputs = offer(&mut router, numbered(number, expiry));
        let Some((_, TransferCommand::Offer { key, .. })) = commands(outputs.clone()).pop() else { break };
        assert!(onward(&outputs).is_some());
        is_served += 1;
        claim(&mut router, key, Preimage([number; 32]));
        drop(show(&mut router, due - 2, due - 5));
        // Twice the least block time passes without a block: then it is there.
        paid += u32::from(registers(&show(&mut router, due, due - 5)));
        drop(show(&mut router, due - 1, due - 4));
        answer(&mut router, number);
        drop(show(&mut router, due + 5, due + 2));
    }
    assert!(paid < 20, "{paid} registrations of {is_served} transfers, and it is served yet");
}

/// Rows of the router's own, as a store has them.
fn keep(rows: &mut BTreeMap<RowKey, Vec<u8>>, outputs: Vec<RouterOutput>) {
    for output in outputs {
        match output {
            RouterOutput::Row { key, value: Some(value), .. } => drop(rows.insert(key, value)),
            RouterOutput::Row { key, value: None, .. } => drop(rows.remove(&key)),
            _ => {}
        }
    }
}

/// What came in from peer 1 and is claimed, and what went on and is paid.
fn channels() -> Vec<RestoredChannel> {
    let (incoming, forward) = offered(1);
    let instruction = Instruction::Forward(forward).to_bytes().unwrap();
    let came_in = IncomingTransfer { instruction, intent: Intent::Claim(SECRET), ..incoming };
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    let offer = Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction: vec![5; 100] };
    let progress = Progress::Fulfilled(SECRET);
    let gone_on =
        OutgoingTransfer { change: ChangeId(1), key: forward_key(), offer, contract: None, premium: None, progress };
    let up = RestoredChannel { at: UP, peer: key(1), incoming: vec![came_in], outgoing: Vec::new(), is_whole: true };
    let down =
        RestoredChannel { at: DOWN, peer: key(2), incoming: Vec::new(), outgoing: vec![gone_on], is_whole: true };
    vec![up, down]
}

fn bare() -> Router {
    Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy())
}

/// A start between a claim's block and its finality: the peer has not answered, the hub has paid.
#[test]
fn a_start_before_the_block_is_final_lets_nobody_off() {
    let (mut router, mut rows) = (owed(), BTreeMap::new());
    let told = show(&mut router, DUE, 137);
    assert!(registers(&told));
    keep(&mut rows, told);
    let mut again = bare();
    drop(again.handle(RouterInput::Tick(100_000)));
    drop(show(&mut again, DUE + 1, 138));
    let restored = Restored { chain: CHAIN, channels: channels(), rows: rows.into_iter().collect() };
    drop(again.handle(RouterInput::Restored(restored)));
    drop(again.handle(RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() }));
    (DUE + 2..EXPIRY + 6).for_each(|best| drop(show(&mut again, best, best - 3)));
    assert!(is_refused(&mut again, 2), "it never answered, and it was asked long before {}", DUE - 6);
}

/// A node starts with the last final block for its newest one, and hears of the newest after that. Who is asked then has not its time.
#[test]
fn a_start_by_the_final_block_gives_nobody_time_that_is_over() {
    for lag in [3, 10] {
        let mut router = bare();
        drop(router.handle(RouterInput::Tick(100_000)));
        // The newest block is 137: whoever is asked now may refuse.
        drop(show(&mut router, 137 - lag, 137 - lag));
        let restored = Restored { chain: CHAIN, channels: channels(), rows: Vec::new() };
        drop(router.handle(RouterInput::Restored(restored)));
        drop(router.handle(RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() }));
        let barred_at = (137..EXPIRY).find(|best| bars(&show(&mut router, *best, best - lag)));
        assert_eq!(barred_at, None, "finality is {lag} behind");
    }
}

/// The cheapest hub wants so much time that nobody takes a transfer for so long, however much it could carry: two others can carry all of it.
#[test]
fn a_hub_that_is_cheap_and_cannot_be_used_keeps_no_payment_in_parts_from_being_made() {
    let slow = RoutingPolicy { fee: Fee::default(), delta: 1_000_000, ..hub_policy() };
    let policies = vec![RoutingPolicy::default(), hub_policy(), hub_policy(), slow, RoutingPolicy::default()];
    for carries in [40_000, 70_000, 90_000] {
        let to_hubs = [(0, 1, 60_000, FULL), (0, 2, 45_000, FULL), (0, 3, carries, FULL)];
        let to_payee = [(1, 4, FULL, 0), (2, 4, FULL, 0), (3, 4, FULL, 0)];
        let mut world = World::new(policies.clone(), &[to_hubs, to_payee].concat());
        let invoice = world.invoice(4, 1, Some(80_000), &[1, 2, 3]);
        world.run();
        assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending), "it could carry {carries}");
        world.run();
        world.settle();
        assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    }
}

/// Where no channel can be used, it is said why.
#[test]
fn a_payment_that_only_a_slow_hub_could_carry_is_not_begun_for_its_time() {
    let slow = RoutingPolicy { delta: 1_000_000, ..hub_policy() };
    let policies = vec![RoutingPolicy::default(), slow, RoutingPolicy::default()];
    let mut world = World::new(policies, &[(0, 1, FULL, FULL), (1, 2, FULL, 0)]);
    let invoice = world.invoice(2, 1, Some(80_000), &[1]);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Err(PayError::NoWay(FailureCode::Expiry)));
}

/// Two cheap hubs that have no coins for the payee take the parts that there are: two others can carry all of it.
#[test]
fn hubs_that_are_cheap_and_have_no_coins_keep_no_payment_in_parts_from_being_made() {
    let payer = RoutingPolicy { max_parts: 3, ..RoutingPolicy::default() };
    let free = RoutingPolicy { fee: Fee::default(), ..hub_policy() };
    let policies = vec![payer, hub_policy(), hub_policy(), free.clone(), free, RoutingPolicy::default()];
    let to_hubs = [(0, 1, 45_100, FULL), (0, 2, 40_100, FULL), (0, 3, 30_000, FULL), (0, 4, 30_000, FULL)];
    let to_payee = [(1, 5, FULL, 0), (2, 5, FULL, 0), (3, 5, 0, FULL), (4, 5, 0, FULL)];
    let mut world = World::new(policies, &[to_hubs, to_payee].concat());
    let invoice = world.invoice(5, 1, Some(84_000), &[]);
    world.run();
    assert_eq!(world.pay(0, 1, &invoice, None), Ok(PaymentState::Pending));
    world.run();
    world.settle();
    assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
}

/// A head that falls costs as much as there are claims, not more; and nothing is kept of what has ended.
#[test]
fn a_head_that_falls_takes_as_long_as_there_are_claims() {
    let time = |count: u32| {
        let chain = ChainPolicy { registrations_per_block: 1_000_000, ..ChainPolicy::default() };
        let mut router = hub(RoutingPolicy { chain, burst: 1_000_000, ..hub_policy() });
        let limits = TransferLimits { max_open: 100_000, ..TransferLimits::default() };
        drop(router.handle(RouterInput::ChannelUp { at: DOWN, peer: key(2), limits }));
        drop(router.handle(RouterInput::Spendable { at: DOWN, amount: u128::MAX / 2, risked: 0 }));
        for number in 0..count {
            let (mut incoming, forward) = offered(1);
            let mut preimage = SECRET;
            preimage.0[..4].copy_from_slice(&number.to_le_bytes());
            incoming.contract.0[..4].copy_from_slice(&number.to_le_bytes());
            incoming.terms.lock = lock(preimage);
            let (_, command) = commands(offer(&mut router, (incoming, forward))).pop().unwrap();
            let TransferCommand::Offer { key, .. } = command else { panic!("{command:?}") };
            claim(&mut router, key, preimage);
        }
        drop(show(&mut router, DUE, 130));
        let began = Instant::now();
        for _ in 0..10 {
            drop(show(&mut router, DUE - 1, 130));
            let told = show(&mut router, DUE, 130);
            assert_eq!(told.len(), usize::try_from(count).unwrap(), "each once");
        }
        began.elapsed() / 10 / count
    };
    let (few, many) = (time(1_000), time(20_000));
    assert!(many < few * 8 + Duration::from_micros(20), "{few:?} of 1,000, and {many:?} of 20,000");
}

/// Heads as far as numbers go, in whatever order.
#[test]
fn the_greatest_heads_there_are_break_nothing() {
    let all = [0, 1, 100, DUE - 1, DUE, EXPIRY, u32::MAX - 1, u32::MAX];
    for first in all {
        for second in all {
            let mut router = owed();
            drop(show(&mut router, first, 0));
            drop(show(&mut router, second, 0));
            claim(&mut router, forward_key(), SECRET);
            drop(show(&mut router, first, second.min(120)));
            for best in 120..EXPIRY {
                drop(show(&mut router, best, 100));
            }
            answer(&mut router, 1);
            drop(show(&mut router, first, second));
            drop(show(&mut router, u32::MAX, u32::MAX));
            assert_eq!(router.load(CHAIN).open, 0);
        }
    }
}

/// A hub with a great channel asks for more than the payer allows. It alone could carry all of a payment, so it is what is planned (one channel that carries all of it was taken
/// whatever it costs), and the payment is refused for its fees; two others carry it in parts for a hundredth of that. Right would be that one channel is taken
/// only where it is within the budget, and else what is split.
#[test]
fn a_hub_that_is_too_dear_keeps_no_payment_from_being_made_in_parts() {
    let dear = RoutingPolicy { fee: Fee { base: 20_000, parts_per_million: 0 }, ..hub_policy() };
    let policies = vec![RoutingPolicy::default(), hub_policy(), hub_policy(), dear, RoutingPolicy::default()];
    let to_payee = [(1, 4, FULL, 0), (2, 4, FULL, 0), (3, 4, FULL, 0)];
    for carries in [60_000, 110_000] {
        let to_hubs = [(0, 1, 60_000, FULL), (0, 2, 45_000, FULL), (0, 3, carries, FULL)];
        let mut world = World::new(policies.clone(), &[to_hubs, to_payee].concat());
        let invoice = world.invoice(4, 1, Some(80_000), &[1, 2, 3]);
        world.run();
        assert_eq!(
            world.pay_within(0, 1, &invoice, None, 1_000),
            Ok(PaymentState::Pending),
            "the dear one could carry {carries}"
        );
        world.run();
        world.settle();
        assert_eq!(world.payment(0, 1), Some(PaymentState::Paid(Preimage([1; 32]))));
    }
}

/// The same, where one more hub is cheap and carries next to nothing: the greatest channel first is too dear, the cheapest ones first use up the parts that there are. Two others
/// carry it for a hundredth of what the dear one takes.
#[test]
fn a_dear_hub_and_a_small_cheap_one_keep_no_payment_from_being_made_in_parts() {
    let dear = RoutingPolicy { fee: Fee { base: 20_000, parts_per_million: 0 }, ..hub_policy() };
    let cheap = RoutingPolicy { fee: Fee { base: 0, parts_per_million: 0 }, ..hub_policy() };
    let payer = RoutingPolicy { max_parts: 2, ..RoutingPolicy::default() };
    let policies = vec![payer, hub_policy(), hub_policy(), dear, RoutingPolicy::default(), cheap];
    let to_payee = [(1, 4, FULL, 0), (3, 4, FULL, 0), (5, 4, FULL, 0)];
    let to_hubs = [(0, 1, 60_000, FULL), (0, 1, 45_000, FULL), (0, 3, 110_000, FULL), (0, 5, 2_000, FULL)];
    let mut world = World::new(policies, &[&to_hubs[..], &to_payee].concat());
    let invoice = world.invoice(4, 1, Some(80_000), &[1, 3, 5]);
    world.run();
    assert_eq!(world.pay_within(0, 1, &invoice, None, 1_000), Ok(PaymentState::Pending));
}
