//! What a hub takes upon itself (B1, B2, B6, D5), at each bound.

use crate::{
    forwarding::{DOWN, UP, code, hub, key, offer, offered, onward},
    harness::{CHAIN, hub_policy},
};
use ::channel::{
    IdempotencyKey,
    transfer::{
        IncomingEnd, IncomingTransfer, Intent, Registered, TransferCommand, TransferEvent, TransferLimits,
        TransferTerms, Verdict,
    },
};
use network::{ChainPolicy, FailureCode, Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy};
use protocol::{
    contracts::{ContractId, conditional::Preimage},
    crypto::SigningKey,
};
use std::cell::Cell;

thread_local! {
    /// The number of the next transfer.
    static NUMBER: Cell<u8> = const { Cell::new(1) };
}

/// Offers transfers with these expiries of what comes in, each under a lock of its own; says what each is given back with.
fn offers(router: &mut Router, expiries: impl IntoIterator<Item = u32>) -> Vec<Option<FailureCode>> {
    let mut codes = Vec::new();
    for expiry in expiries {
        let number = NUMBER.replace(NUMBER.get() + 1);
        let (mut incoming, mut forward) = offered(number);
        incoming.terms.lock = crate::forwarding::lock(Preimage([number; 32]));
        (incoming.terms.expiry, forward.expiry) = (expiry, expiry - 2);
        let outputs = offer(router, (incoming, forward));
        codes.push(code(&outputs));
        assert_eq!(onward(&outputs).is_none(), code(&outputs).is_some());
    }
    codes
}

fn with(chain: ChainPolicy) -> RoutingPolicy {
    RoutingPolicy { chain, ..hub_policy() }
}

#[test]
fn no_more_expire_in_any_window_than_a_tenth_of_what_the_chain_registers_meanwhile() {
    // 4 a block, 5 blocks, a tenth: 2 in any 12 blocks.
    let chain = ChainPolicy { registrations_per_block: 4, inclusion: 5, ..ChainPolicy::default() };
    let mut router = hub(with(chain));
    let limits = Some(FailureCode::Limits);
    assert_eq!(offers(&mut router, [150, 161, 150, 155, 161]), vec![None, None, limits, limits, limits]);
    let load = router.load(CHAIN);
    // What is given back is never registered: it does not count, whether its payer signs that or not.
    assert_eq!((load.crowded_bound, load.open, load.crowded), (2, 2, 2));
    for contract in [3, 4, 5] {
        let ended = TransferEvent::Ended { contract: ContractId([contract; 32]), end: IncomingEnd::Failed };
        drop(router.handle(RouterInput::Transfer(UP, ended)));
    }
    assert_eq!(router.load(CHAIN).crowded, 2);
    assert_eq!(offers(&mut router, [173]), vec![None], "beyond the window");
}

#[test]
fn no_more_is_open_than_the_reserve_pays_registrations_for() {
    let chain = ChainPolicy { registration_cost: 10, reserve: 30, ..ChainPolicy::default() };
    let mut router = hub(with(chain));
    assert_eq!(offers(&mut router, [150, 170, 190, 210]), vec![None, None, None, Some(FailureCode::Limits)]);
    let load = router.load(CHAIN);
    assert_eq!((load.cost, load.reserve), (30, 30));
}

#[test]
fn a_peer_has_no_more_open_than_it_has_brought_and_risks_and_eight_at_least() {
    let chain = ChainPolicy { registration_cost: 1_000, ..ChainPolicy::default() };
    for (risked, allowed) in [(0, 8), (8_999, 8), (9_000, 9), (12_500, 12)] {
        let mut router = hub(with(chain));
        drop(router.handle(RouterInput::Spendable { at: UP, amount: 0, risked }));
        let codes = offers(&mut router, (0..13).map(|number| 150 + 20 * number));
        assert_eq!(codes.iter().filter(|code| code.is_none()).count(), allowed, "{risked} at risk");
    }
}

#[test]
fn a_peer_that_offers_faster_than_it_may_waits() {
    let policy = RoutingPolicy { burst: 3, offers_per_second: 2, ..hub_policy() };
    let mut router = hub(policy);
    let limits = Some(FailureCode::Limits);
    assert_eq!(offers(&mut router, [150; 5]), vec![None, None, None, limits, limits]);
    drop(router.handle(RouterInput::Tick(200_499)));
    assert_eq!(offers(&mut router, [150]), vec![limits]);
    drop(router.handle(RouterInput::Tick(201_000)));
    assert_eq!(offers(&mut router, [150; 3]), vec![None, None, limits]);
}

#[test]
fn a_peer_that_leaves_a_claim_unanswered_offers_nothing_more_until_it_is_let() {
    let mut router = hub(hub_policy());
    let (mut incoming, forward) = offered(200);
    incoming.terms.lock = incoming_lock();
    drop(offer(&mut router, (incoming, forward)));
    assert_eq!(claimed_by(&mut router, 200).len(), 1, "it is claimed where it came in");
    // It comes in with 152, and Rg is 12.
    let before = router.handle(RouterInput::Head { chain: CHAIN, best: 139, finalised: 139 });
    assert_eq!(before, vec![]);
    let outputs = router.handle(RouterInput::Head { chain: CHAIN, best: 140, finalised: 140 });
    let told = |output: &RouterOutput| matches!(output, RouterOutput::Notify(notice @ RouterNotice::ClaimUnanswered { .. }) if notice.is_durable());
    assert!(outputs.iter().any(told), "{outputs:?}");
    assert_eq!(offers(&mut router, [190]), vec![Some(FailureCode::NotServed)]);
    // A row remembers it.
    let rows = outputs.into_iter().filter_map(|output| match output {
        RouterOutput::Row { key, value: Some(value), .. } => Some((key, value)),
        _ => None,
    });
    let restored = network::Restored { chain: CHAIN, channels: Vec::new(), rows: rows.collect() };
    let mut again = hub(hub_policy());
    drop(again.handle(RouterInput::Restored(restored)));
    assert_eq!(offers(&mut again, [190]), vec![Some(FailureCode::NotServed)]);
    assert_eq!(again.let_offer(CHAIN, key(1)).len(), 1);
    assert_eq!(offers(&mut again, [190]), vec![None]);
}

/// The next one claims what goes on from the transfer with this number, and it is agreed to. What the hub wants done.
fn claimed_by(router: &mut Router, number: u8) -> Vec<RouterOutput> {
    let mut outputs = refused_to(router, number);
    let claimed = TransferEvent::Claimed { key: key_of(number) };
    outputs.extend(router.handle(RouterInput::Transfer(DOWN, claimed)));
    outputs
}

/// The next one's claim is refused: its pre-image is known.
fn refused_to(router: &mut Router, number: u8) -> Vec<RouterOutput> {
    let fulfilled = TransferEvent::Fulfilled { key: key_of(number), preimage: Preimage([3; 32]) };
    router.handle(RouterInput::Transfer(DOWN, fulfilled))
}

/// The key of what goes on from the transfer with this number.
fn key_of(number: u8) -> IdempotencyKey {
    let mut other = hub(hub_policy());
    match crate::forwarding::commands(offer(&mut other, offered(number))).pop() {
        Some((DOWN, TransferCommand::Offer { key, .. })) => key,
        other => panic!("{other:?}"),
    }
}

/// A hub, and the hub after it that refuses what it cannot claim in time any more: that is its right, and costs nobody anything (R8.4f).
#[test]
fn a_late_claim_that_a_hub_has_refused_is_not_registered_and_bars_nobody() {
    let mut router = hub(hub_policy());
    let (mut incoming, forward) = offered(200);
    incoming.terms.lock = incoming_lock();
    drop(offer(&mut router, (incoming, forward)));
    // It came in with 152 and `M` is 18: from 134 on no claim of what went on is agreed to.
    drop(router.handle(RouterInput::Head { chain: CHAIN, best: 136, finalised: 136 }));
    let terms = TransferTerms { amount: 10_000, lock: incoming_lock(), expiry: 150 };
    let verdict = router.may_be_claimed(&DOWN, &key_of(200), &terms, Registered::Unknown);
    assert_eq!(verdict, Verdict::NotYet);
    // All the same it is asked for upstream, whose peer may refuse it for the same reason.
    let (at, claim) = crate::forwarding::commands(refused_to(&mut router, 200)).pop().unwrap();
    assert!(matches!(claim, TransferCommand::Claim { .. }));
    assert!(!router.is_owed(&UP, &ContractId([200; 32])));
    let refused = RouterInput::Refused { at, command: claim, why: network::CommandRefusal::NotOpen };
    assert_eq!(router.handle(refused), vec![], "it is not worth a registration");
    for best in 137..146 {
        let outputs = router.handle(RouterInput::Head { chain: CHAIN, best, finalised: best });
        assert_eq!(outputs, vec![], "at {best}");
    }
    assert_eq!(offers(&mut router, [190]), vec![None], "its peer is served as before");
    // Once what went on is paid, what came in is owed, and registered at once.
    drop(claimed_by(&mut router, 200));
    assert!(router.is_owed(&UP, &ContractId([200; 32])));
    let outputs = router.handle(RouterInput::Head { chain: CHAIN, best: 146, finalised: 146 });
    assert!(matches!(outputs.as_slice(), [RouterOutput::Register { expiry: 152, peer: Some(_), .. }]), "{outputs:?}");
    assert_eq!(offers(&mut router, [190]), vec![None], "it had no time to answer");
}

/// A claim of before a start comes late to the peer: what is owed is registered, and nobody is to blame.
#[test]
fn a_hub_that_comes_back_too_late_for_an_answer_registers_and_bars_nobody() {
    let (incoming, forward) = offered(1);
    let instruction = network::Instruction::Forward(forward).to_bytes().unwrap();
    let intent = Intent::Claim(Preimage([3; 32]));
    let lock = incoming_lock();
    let terms = TransferTerms { lock, ..incoming.terms };
    let row = IncomingTransfer { terms, instruction, intent, ..incoming };
    let up =
        network::RestoredChannel { at: UP, peer: key(1), incoming: vec![row], outgoing: Vec::new(), is_whole: true };
    let restored = network::Restored { chain: CHAIN, channels: vec![up], rows: Vec::new() };
    let (seed, seal) = (SigningKey::from_seed(&[9; 32]), network::SealKey::from_seed(&[9; 32]));
    let mut router = Router::new(seed, seal, hub_policy());
    drop(router.handle(RouterInput::Head { chain: CHAIN, best: 138, finalised: 138 }));
    drop(router.handle(RouterInput::Restored(restored)));
    for best in [139, 140] {
        assert_eq!(router.handle(RouterInput::Head { chain: CHAIN, best, finalised: best }), vec![]);
    }
    let outputs = router.handle(RouterInput::Head { chain: CHAIN, best: 141, finalised: 141 });
    assert!(matches!(outputs.as_slice(), [RouterOutput::Register { expiry: 152, peer: Some(_), .. }]), "{outputs:?}");
}

/// What is remembered of a peer cannot be read: it may have said that the peer left a claim unanswered.
#[test]
fn a_peer_whose_row_cannot_be_read_offers_nothing_until_it_is_let() {
    let mut first = hub(hub_policy());
    let rows = first.let_offer(CHAIN, key(1)).into_iter().filter_map(|output| match output {
        RouterOutput::Row { key, .. } => Some((key, vec![9, 9])),
        _ => None,
    });
    let restored = network::Restored { chain: CHAIN, channels: Vec::new(), rows: rows.collect() };
    let mut router = hub(hub_policy());
    let told = router.handle(RouterInput::Restored(restored));
    assert!(matches!(told.as_slice(), [RouterOutput::Notify(RouterNotice::RowUnreadable { .. })]));
    drop(router.handle(RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() }));
    assert_eq!(offers(&mut router, [190]), vec![Some(FailureCode::NotServed)]);
    let rows = router.let_offer(CHAIN, key(1));
    assert_eq!(rows.len(), 1, "it is written again");
    drop(router.handle(RouterInput::ChannelUp { at: UP, peer: key(1), limits: TransferLimits::default() }));
    assert_eq!(offers(&mut router, [190]), vec![None]);
}

/// Strangers that fill what a hub can register in time would keep out the peers that it lives on.
#[test]
fn half_of_what_may_expire_together_and_of_the_reserve_is_kept_for_peers_that_bring_revenue() {
    // 4 in any 12 blocks, and a reserve for 4.
    let crowd = ChainPolicy { registrations_per_block: 8, inclusion: 5, ..ChainPolicy::default() };
    let poor = ChainPolicy { registration_cost: 10, reserve: 40, ..ChainPolicy::default() };
    for (chain, apart) in [(crowd, 1), (poor, 20)] {
        let mut router = hub(RoutingPolicy { revenue: 1, ..with(chain) });
        let limits = Some(FailureCode::Limits);
        let expiries = |count: u32| (0..count).map(move |number| 150 + apart * number);
        assert_eq!(offers(&mut router, expiries(3)), vec![None, None, limits], "{chain:?}");
        // The one that was given back has ended, and the first is paid for: its peer has brought something, and may use the rest.
        let first = NUMBER.get() - 3;
        let preimage = Preimage([first; 32]);
        let lock = crate::forwarding::lock(preimage);
        drop(router.handle(RouterInput::Shown { chain: CHAIN, lock, preimage, at: None }));
        for (contract, end) in [(first + 2, IncomingEnd::Failed), (first, IncomingEnd::Claimed)] {
            let ended = TransferEvent::Ended { contract: ContractId([contract; 32]), end };
            drop(router.handle(RouterInput::Transfer(UP, ended)));
        }
        assert_eq!(offers(&mut router, expiries(4)), vec![None, None, None, limits], "{chain:?}");
    }
}

fn incoming_lock() -> protocol::contracts::conditional::HashLock {
    crate::forwarding::lock(Preimage([3; 32]))
}

#[test]
fn half_of_places_and_coins_is_kept_for_peers_that_bring_revenue() {
    let limits = TransferLimits { max_open: 4, ..TransferLimits::default() };
    let policy = RoutingPolicy { revenue: 1, ..hub_policy() };
    let mut router = hub(policy.clone());
    drop(router.handle(RouterInput::ChannelUp { at: DOWN, peer: key(2), limits }));
    assert_eq!(offers(&mut router, [150; 3]), vec![None, None, Some(FailureCode::Limits)]);
    // The first is paid for: its peer has brought something, and may use the rest.
    let preimage = Preimage([1; 32]);
    let lock = crate::forwarding::lock(preimage);
    drop(router.handle(RouterInput::Shown { chain: CHAIN, lock, preimage, at: None }));
    drop(router.handle(RouterInput::Transfer(
        UP,
        TransferEvent::Ended { contract: ContractId([1; 32]), end: IncomingEnd::Claimed },
    )));
    assert_eq!(offers(&mut router, [150; 3]), vec![None, None, Some(FailureCode::Limits)]);
    // Coins: half of those that are there.
    let mut router = hub(policy);
    drop(router.handle(RouterInput::Spendable { at: DOWN, amount: 39_999, risked: 0 }));
    assert_eq!(offers(&mut router, [150; 3]), vec![None, None, Some(FailureCode::Limits)]);
}

#[test]
fn places_that_are_not_paid_for_in_advance_are_not_given() {
    let mut router = hub(RoutingPolicy { slot_fee: 5, ..hub_policy() });
    assert_eq!(offers(&mut router, [150]), vec![Some(FailureCode::Fee)]);
    // What is for the hub itself needs no place: its peer pays for nothing.
    let number = NUMBER.replace(NUMBER.get() + 1);
    let mut incoming = IncomingTransfer {
        instruction: network::Instruction::Deliver(vec![1]).to_bytes().unwrap(),
        ..offered(number).0
    };
    incoming.terms.lock = crate::forwarding::lock(Preimage([number; 32]));
    let outputs = router.handle(RouterInput::Transfer(UP, TransferEvent::Offered(incoming)));
    assert_eq!(code(&outputs), Some(FailureCode::UnknownOrWrong), "nobody sealed it");
    drop(router.handle(RouterInput::Transfer(UP, TransferEvent::Prepaid { amount: 11 })));
    assert_eq!(offers(&mut router, [150, 170, 190]), vec![None, None, Some(FailureCode::Fee)]);
}
