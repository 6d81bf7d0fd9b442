//! What a hub decides about one transfer, asked directly.

use crate::harness::{CHAIN, hub_policy};
use ::channel::{
    ChangeId, ChannelRef,
    transfer::{
        FailReason, Failure, IncomingEnd, IncomingTransfer, Intent, LockedCalls, Offer, OutgoingTransfer, Progress,
        Registered, TransferCommand, TransferEvent, TransferLimits, TransferTerms, Verdict,
    },
};
use network::{
    At, CommandRefusal, FailureCode, Forward, Instruction, Restored, RestoredChannel, RouteFailure, Router,
    RouterInput, RouterOutput, RoutingPolicy, SealKey,
};
use protocol::{
    AccountId, Hash, PublicKey,
    contracts::{
        ContractId,
        conditional::{HashFunction, HashLock, Preimage},
    },
    crypto::{Native, SigningKey},
    signing::Domain,
};

pub(crate) const UP: At = At { chain: CHAIN, channel: ChannelRef([1; 16]) };
pub(crate) const DOWN: At = At { chain: CHAIN, channel: ChannelRef([2; 16]) };
const SECRET: Preimage = Preimage([3; 32]);

pub(crate) fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

pub(crate) fn lock(preimage: Preimage) -> HashLock {
    preimage.lock(HashFunction::Blake2b256, &Native)
}

/// A hub at block 100 with a channel to peer 1 and one to peer 2.
pub(crate) fn hub(policy: RoutingPolicy) -> Router {
    let mut router = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), policy);
    let mut told = vec![RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 }, RouterInput::Tick(100_000)];
    for (at, peer) in [(UP, 1), (DOWN, 2)] {
        told.push(RouterInput::ChannelUp { at, peer: key(peer), limits: TransferLimits::default() });
        told.push(RouterInput::Spendable { at, amount: 1_000_000, risked: 1_000_000 });
    }
    told.push(RouterInput::Tick(200_000));
    told.into_iter().for_each(|input| drop(router.handle(input)));
    router
}

/// What peer 1 offers, to go on to peer 2.
pub(crate) fn offered(contract: u8) -> (IncomingTransfer, Forward) {
    let forward = Forward { next: key(2), chain: None, amount: 10_000, expiry: 150, inner: vec![5; 100] };
    let terms = TransferTerms { amount: 10_011, lock: lock(SECRET), expiry: 152 };
    let incoming = IncomingTransfer {
        contract: ContractId([contract; 32]),
        premium: None,
        terms,
        calls: LockedCalls::NONE,
        instruction: Vec::new(),
        intent: Intent::Undecided,
    };
    (incoming, forward)
}

pub(crate) fn offer(router: &mut Router, (mut incoming, forward): (IncomingTransfer, Forward)) -> Vec<RouterOutput> {
    incoming.instruction = Instruction::Forward(forward).to_bytes().unwrap();
    router.handle(RouterInput::Transfer(UP, TransferEvent::Offered(incoming)))
}

/// The code by which a transfer is given back.
pub(crate) fn code(outputs: &[RouterOutput]) -> Option<FailureCode> {
    outputs.iter().find_map(|output| match output {
        RouterOutput::Command { at: UP, command: TransferCommand::Fail { reason, .. } } => {
            Some(RouteFailure::from_reason(reason).code)
        }
        _ => None,
    })
}

/// What goes on.
pub(crate) fn onward(outputs: &[RouterOutput]) -> Option<Offer> {
    outputs.iter().find_map(|output| match output {
        RouterOutput::Command { command: TransferCommand::Offer { offer, .. }, .. } => Some(offer.clone()),
        _ => None,
    })
}

pub(crate) fn commands(outputs: Vec<RouterOutput>) -> Vec<(At, TransferCommand)> {
    let command = |output| match output {
        RouterOutput::Command { at, command } => Some((at, command)),
        _ => None,
    };
    outputs.into_iter().filter_map(command).collect()
}

pub(crate) fn forward_key() -> ::channel::IdempotencyKey {
    let mut hub = hub(hub_policy());
    match commands(offer(&mut hub, offered(1))).pop() {
        Some((_, TransferCommand::Offer { key, .. })) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn i6_i7_i8_what_goes_on_has_the_lock_and_no_more_than_what_came_in() {
    let mut hub = hub(hub_policy());
    let outputs = offer(&mut hub, offered(1));
    let offer = onward(&outputs).expect("it goes on");
    assert_eq!(offer.terms, TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 });
    assert_eq!(offer.instruction, vec![5; 100]);
    assert_eq!(outputs.len(), 1);
    let key = forward_key();
    assert!(key.0.len() <= ::channel::MAX_KEY);
}

/// Each thing that can be wrong with a transfer, and the word that it is given back with.
#[test]
fn what_cannot_go_on_is_given_back_by_its_own_name_and_nothing_else_happens() {
    let other = Domain { genesis: Hash([1; 32]), arbiter: AccountId([1; 32]) };
    type Change = fn(&mut IncomingTransfer, &mut Forward);
    let cases: [(Change, FailureCode); 9] = [
        (|incoming, _| incoming.terms.amount = 10_010, FailureCode::Fee),
        (|_, forward| forward.amount = 0, FailureCode::Fee),
        (|_, forward| forward.amount = u128::MAX, FailureCode::Fee),
        (|incoming, _| incoming.terms.expiry = 151, FailureCode::Expiry),
        (|_, forward| forward.expiry = 117, FailureCode::Expiry),
        (|incoming, forward| (incoming.terms.expiry, forward.expiry) = (200_902, 200_901), FailureCode::Expiry),
        (|_, forward| forward.next = key(3), FailureCode::PeerAway),
        (|incoming, forward| (incoming.terms.amount, forward.amount) = (9_000_000, 1_000_001), FailureCode::Liquidity),
        (|_, forward| forward.chain = Some(CHAIN), FailureCode::OtherRegistry),
    ];
    for (place, (change, expected)) in cases.into_iter().enumerate() {
        let mut hub = hub(hub_policy());
        let (mut incoming, mut forward) = offered(1);
        change(&mut incoming, &mut forward);
        if expected == FailureCode::OtherRegistry {
            forward.chain = Some(other);
        }
        let outputs = offer(&mut hub, (incoming, forward));
        assert_eq!((code(&outputs), outputs.len()), (Some(expected), 1), "case {place}");
        assert_eq!(hub.open(), (1, 0));
    }
}

#[test]
fn words_that_nobody_knows_are_given_back() {
    for instruction in [vec![], vec![1], vec![1, 2, 3], vec![2, 0], vec![7; 900]] {
        let mut hub = hub(hub_policy());
        let incoming = IncomingTransfer { instruction, ..offered(1).0 };
        let outputs = hub.handle(RouterInput::Transfer(UP, TransferEvent::Offered(incoming)));
        assert_eq!(code(&outputs), Some(FailureCode::UnknownOrWrong));
    }
}

#[test]
fn a_node_that_is_no_hub_carries_nothing_on() {
    let mut node = hub(RoutingPolicy::default());
    assert_eq!(code(&offer(&mut node, offered(1))), Some(FailureCode::OtherRegistry));
}

#[test]
fn nothing_goes_on_while_finality_lags() {
    let mut hub = hub(hub_policy());
    drop(hub.handle(RouterInput::Head { chain: CHAIN, best: 121, finalised: 100 }));
    assert_eq!(code(&offer(&mut hub, offered(1))), Some(FailureCode::ChainStalled));
}

#[test]
fn a_lock_whose_pre_image_is_known_is_refused() {
    let mut hub = hub(hub_policy());
    assert!(onward(&offer(&mut hub, offered(1))).is_some());
    let shown = RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, at: None };
    assert_eq!(commands(hub.handle(shown)).len(), 1);
    assert_eq!(code(&offer(&mut hub, offered(2))), Some(FailureCode::HashUsed));
    assert_eq!(hub.preimage(&lock(SECRET)), Some(SECRET));
}

#[test]
fn i4_a_false_pre_image_is_none() {
    let mut hub = hub(hub_policy());
    drop(offer(&mut hub, offered(1)));
    let shown = RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: Preimage([4; 32]), at: Some(101) };
    assert_eq!(hub.handle(shown), vec![]);
    assert_eq!(hub.preimage(&lock(SECRET)), None);
}

#[test]
fn i4_what_was_refused_by_one_channel_goes_by_another_and_is_given_back_by_the_last() {
    let mut hub = hub(hub_policy());
    let more = At { chain: CHAIN, channel: ChannelRef([3; 16]) };
    drop(hub.handle(RouterInput::ChannelUp { at: more, peer: key(2), limits: TransferLimits::default() }));
    drop(hub.handle(RouterInput::Spendable { at: more, amount: 900_000, risked: 0 }));
    let first = commands(offer(&mut hub, offered(1))).pop().unwrap();
    assert_eq!(first.0, DOWN, "the one with the most coins");
    let refused = RouterInput::Refused { at: DOWN, command: first.1.clone(), why: CommandRefusal::Coins };
    let second = commands(hub.handle(refused)).pop().unwrap();
    assert_eq!((second.0, &second.1), (more, &first.1), "the same offer by the same key");
    let refused = RouterInput::Refused { at: more, command: second.1, why: CommandRefusal::Limits };
    assert_eq!(code(&hub.handle(refused)), Some(FailureCode::Limits));
    assert_eq!(hub.open(), (1, 0));
}

#[test]
fn i4_a_channel_that_goes_away_fails_nothing_that_went_on_by_it() {
    let mut hub = hub(hub_policy());
    drop(offer(&mut hub, offered(1)));
    assert_eq!(hub.handle(RouterInput::ChannelDown(DOWN)), vec![]);
    assert_eq!(hub.handle(RouterInput::ChannelClosed(DOWN)), vec![]);
    drop(hub.handle(RouterInput::Tick(900_000)));
    assert_eq!(commands(hub.handle(RouterInput::Head { chain: CHAIN, best: 400, finalised: 400 })), vec![]);
    let why = Failure::Expired;
    let outputs = hub.handle(RouterInput::Transfer(DOWN, TransferEvent::Failed { key: forward_key(), why }));
    assert_eq!(code(&outputs), Some(FailureCode::HeldTooLong));
}

#[test]
fn i5_the_row_of_what_went_on_is_forgotten_once_what_came_in_has_ended() {
    for end in [IncomingEnd::Claimed, IncomingEnd::Superseded] {
        let mut hub = hub(hub_policy());
        drop(offer(&mut hub, offered(1)));
        let key = forward_key();
        let paid = TransferEvent::Fulfilled { key: key.clone(), preimage: SECRET };
        let claim = TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET };
        assert_eq!(commands(hub.handle(RouterInput::Transfer(DOWN, paid.clone()))), vec![(UP, claim)]);
        assert_eq!(hub.handle(RouterInput::Transfer(DOWN, paid)), vec![], "told again, it is known");
        let ended = TransferEvent::Ended { contract: ContractId([1; 32]), end };
        assert_eq!(
            commands(hub.handle(RouterInput::Transfer(UP, ended))),
            vec![(DOWN, TransferCommand::Forget { key })]
        );
        assert_eq!(hub.open(), (0, 0));
        let earned: u128 = hub.earned(CHAIN).iter().map(|earned| earned.amount).sum();
        assert_eq!(earned, if end == IncomingEnd::Claimed { 11 } else { 0 });
    }
}

#[test]
fn i5_what_came_in_may_end_first_and_what_went_on_is_forgotten_when_it_is_over() {
    let mut hub = hub(hub_policy());
    drop(offer(&mut hub, offered(1)));
    drop(hub.handle(RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, at: Some(101) }));
    let ended = TransferEvent::Ended { contract: ContractId([1; 32]), end: IncomingEnd::Claimed };
    assert_eq!(commands(hub.handle(RouterInput::Transfer(UP, ended))), vec![]);
    let key = forward_key();
    let paid = TransferEvent::Fulfilled { key: key.clone(), preimage: SECRET };
    assert_eq!(commands(hub.handle(RouterInput::Transfer(DOWN, paid))), vec![(DOWN, TransferCommand::Forget { key })]);
    assert_eq!(hub.open(), (0, 0));
}

#[test]
fn the_payees_own_words_are_passed_on() {
    let mut hub = hub(hub_policy());
    drop(offer(&mut hub, offered(1)));
    let words = RouteFailure { code: FailureCode::UnknownOrWrong, inner: vec![1, 2, 3] };
    let why = Failure::ByPayee(words.to_reason());
    let outputs = hub.handle(RouterInput::Transfer(DOWN, TransferEvent::Failed { key: forward_key(), why }));
    let fail = TransferCommand::Fail { contract: ContractId([1; 32]), reason: words.to_reason() };
    assert_eq!(commands(outputs), vec![(UP, fail)]);
    let unknown = RouteFailure::from_reason(&FailReason(vec![9; 9]));
    assert_eq!(unknown.code, FailureCode::UnknownOrWrong);
}

#[test]
fn i11_a_channel_that_cannot_claim_has_the_pre_image_registered() {
    let mut hub = hub(hub_policy());
    drop(offer(&mut hub, offered(1)));
    let paid = TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    let (at, command) = commands(hub.handle(RouterInput::Transfer(DOWN, paid))).pop().unwrap();
    drop(hub.handle(RouterInput::Transfer(DOWN, TransferEvent::Claimed { key: forward_key() })));
    let outputs = hub.handle(RouterInput::Refused { at, command, why: CommandRefusal::NotOpen });
    assert_eq!(
        outputs,
        vec![RouterOutput::Register {
            chain: CHAIN,
            lock: lock(SECRET),
            preimage: SECRET,
            expiry: 152,
            peer: Some(key(1))
        }]
    );
}

#[test]
fn i3_a_pre_image_that_was_only_seen_is_written_down_until_nobody_needs_it() {
    let mut router = hub(hub_policy());
    let (incoming, forward) = offered(1);
    drop(offer(&mut router, (incoming.clone(), forward.clone())));
    let shown = RouterInput::Shown { chain: CHAIN, lock: lock(SECRET), preimage: SECRET, at: None };
    let rows = router.handle(shown.clone()).into_iter().filter_map(|output| match output {
        RouterOutput::Row { key, value: Some(value), .. } => Some((key, value)),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(router.handle(shown), vec![], "seen again, it is known");
    // A crash before the channel had the command: the row says it.
    let instruction = Instruction::Forward(forward.clone()).to_bytes().unwrap();
    let offer = Offer {
        terms: TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 },
        premium: 0,
        calls: LockedCalls::NONE,
        instruction: forward.inner,
    };
    let own = OutgoingTransfer {
        change: ChangeId(1),
        key: forward_key(),
        offer,
        contract: None,
        premium: None,
        progress: Progress::Proposed,
    };
    let up = RestoredChannel {
        at: UP,
        peer: key(1),
        incoming: vec![IncomingTransfer { instruction, ..incoming }],
        outgoing: vec![],
        is_whole: true,
    };
    let down = RestoredChannel { at: DOWN, peer: key(2), incoming: vec![], outgoing: vec![own], is_whole: true };
    let mut again = Router::new(SigningKey::from_seed(&[9; 32]), SealKey::from_seed(&[9; 32]), hub_policy());
    let outputs =
        again.handle(RouterInput::Restored(Restored { chain: CHAIN, channels: vec![up, down], rows: rows.clone() }));
    let claim = TransferCommand::Claim { contract: ContractId([1; 32]), preimage: SECRET };
    assert_eq!(commands(outputs), vec![(UP, claim)]);
    let ended = TransferEvent::Ended { contract: ContractId([1; 32]), end: IncomingEnd::Claimed };
    drop(again.handle(RouterInput::Transfer(UP, ended)));
    let paid = TransferEvent::Fulfilled { key: forward_key(), preimage: SECRET };
    let outputs = again.handle(RouterInput::Transfer(DOWN, paid));
    assert!(outputs.contains(&RouterOutput::Row { chain: CHAIN, key: rows[0].0.clone(), value: None }), "{outputs:?}");
    assert_eq!(again.open(), (0, 0));
}

/// A2: what went on may be claimed while there is time to claim what came in, or if that is safe already.
#[test]
fn a_claim_is_agreed_to_only_while_what_came_in_is_safe() {
    let mut hub = hub(hub_policy());
    drop(offer(&mut hub, offered(1)));
    let key = forward_key();
    let terms = TransferTerms { amount: 10_000, lock: lock(SECRET), expiry: 150 };
    let silent = |at| Registered::Silent { at };
    // What came in expires at 152, and the margin is 18.
    for (best, registered, verdict) in [
        (133, silent(133), Verdict::Agree),
        (134, silent(134), Verdict::NotYet),
        (149, silent(149), Verdict::NotYet),
        (149, Registered::Shown { at: 148 }, Verdict::Agree),
        (150, Registered::Unknown, Verdict::NotYet),
        (150, silent(150), Verdict::Refuse),
        // Too late for what went on, and in time for what came in: that is safe.
        (160, Registered::Shown { at: 150 }, Verdict::Agree),
        (160, Registered::Shown { at: 152 }, Verdict::Refuse),
        (160, Registered::Shown { at: 149 }, Verdict::Agree),
    ] {
        // The final head hides the newest: only the newest counts.
        drop(hub.handle(RouterInput::Head { chain: CHAIN, best, finalised: 100 }));
        assert_eq!(hub.may_be_claimed(&DOWN, &key, &terms, registered), verdict, "at {best}, {registered:?}");
    }
    let ended = TransferEvent::Ended { contract: ContractId([1; 32]), end: IncomingEnd::Claimed };
    drop(hub.handle(RouterInput::Transfer(UP, ended)));
    assert_eq!(hub.may_be_claimed(&DOWN, &key, &terms, silent(100)), Verdict::NotYet, "the expiry is over");
}

#[test]
fn one_transfer_takes_microseconds_however_many_are_open() {
    let policy = RoutingPolicy {
        chain: network::ChainPolicy { registrations_per_block: 1_000_000, ..hub_policy().chain },
        burst: 1_000_000,
        ..hub_policy()
    };
    let mut hub = hub(policy);
    let limits = TransferLimits { max_open: 100_000, ..TransferLimits::default() };
    drop(hub.handle(RouterInput::ChannelUp { at: DOWN, peer: key(2), limits }));
    drop(hub.handle(RouterInput::Spendable { at: DOWN, amount: u128::MAX / 2, risked: 0 }));
    let mut many = |count: u32| {
        let first = u32::try_from(hub.open().0).unwrap();
        let began = std::time::Instant::now();
        for number in first..first + count {
            let (mut incoming, forward) = offered(1);
            incoming.contract.0[..4].copy_from_slice(&number.to_le_bytes());
            incoming.terms.lock.digest.0[..4].copy_from_slice(&number.to_le_bytes());
            assert!(onward(&offer(&mut hub, (incoming, forward))).is_some());
        }
        began.elapsed() / count
    };
    let few = many(1_000);
    let _between = many(18_000);
    let last = many(1_000);
    println!("an offer takes {few:?} among 1,000 and {last:?} among 20,000");
    // No scan: twenty times as many would take twenty times as long.
    assert!(last < few * 8 + std::time::Duration::from_micros(20), "{few:?}, then {last:?}");
}
