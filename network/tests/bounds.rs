//! What a hub takes upon itself (B1, B2, B6, D5), at each bound.

use crate::{
    forwarding::{DOWN, UP, code, hub, key, offer, offered, onward},
    harness::{CHAIN, hub_policy},
};
use ::channel::transfer::{IncomingEnd, TransferEvent, TransferLimits};
use network::{ChainPolicy, FailureCode, Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy};
use protocol::contracts::{ContractId, conditional::Preimage};
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
    assert_eq!((load.crowded_bound, load.open), (2, 5));
    // What is given back counts until it has ended.
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
    assert_eq!((load.cost, load.reserve), (40, 30));
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
    let shown = RouterInput::Shown { chain: CHAIN, lock: incoming_lock(), preimage: Preimage([3; 32]), at: None };
    drop(router.handle(shown));
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
    drop(router.handle(RouterInput::Prepaid { at: UP, amount: 11 }));
    assert_eq!(offers(&mut router, [150, 170, 190]), vec![None, None, Some(FailureCode::Fee)]);
}
