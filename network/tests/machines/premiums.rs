//! A premium that a hub carries on (R8.5h), between real machines: whatever either end keeps back, the hub has both premiums staked or none, and nobody who keeps to the
//! rules has less than before.

use super::{
    link::{Initiator, Responder},
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
};
use crate::swaps::policy as of_swaps;
use channel::transfer::Margins;
use network::{ChainPolicy, RoutingPolicy, SwapCode, SwapError, SwapId, SwapOrder, SwapQuote, SwapStage};
use protocol::{Amount, BlockNumber, Party, signing::Domain};

pub(super) const INITIATOR: usize = 0;
const HUB: usize = 1;
const RESPONDER: usize = 2;
/// The channels: one on the source chain, and two on the target chain, with the hub.
const SOURCE: usize = 0;
const TO_INITIATOR: usize = 1;
const TO_RESPONDER: usize = 2;
pub(super) const PAID: Amount = 50;
pub(super) const GOT: Amount = 100;
pub(super) const PREMIUM: Amount = 20;
pub(super) const ID: SwapId = SwapId([6; 32]);

pub(super) fn chain() -> Domain {
    super::link::DOMAIN
}

fn policies(carries: bool) -> Vec<RoutingPolicy> {
    [false, false, true].map(|responds| policy(responds, carries)).to_vec()
}

/// Of a party that carries nothing for others.
pub(super) fn desk(responds: bool) -> RoutingPolicy {
    RoutingPolicy { is_hub: false, ..policy(responds, false) }
}

pub(super) fn policy(responds: bool, carries_premiums: bool) -> RoutingPolicy {
    let mut policy = of_swaps(false);
    let margins = Margins { register: 4, answer: 2 };
    policy.chain = ChainPolicy { margins, max_lag: 2, ..policy.chain };
    policy.is_hub = true;
    policy.carries_premiums = carries_premiums;
    policy.revenue = 0;
    if responds {
        policy.swaps.quotes = vec![SwapQuote {
            source: chain(),
            target: OTHER_CHAIN,
            rate: (2, 1),
            amounts: (1, 100_000),
            premium: 200_000,
            inventory: 500_000,
            expires_at: u64::MAX,
        }];
    }
    policy
}

fn net(carries: bool) -> Net {
    let ends = [(INITIATOR, HUB), (HUB, RESPONDER)];
    Net::on_two_chains(policies(carries), &[(INITIATOR, RESPONDER)], &ends)
}

fn propose(net: &mut Net) -> Result<SwapStage, SwapError> {
    let order = SwapOrder {
        responder: identity(RESPONDER),
        source: (chain(), PAID),
        target: (OTHER_CHAIN, GOT),
        premium: PREMIUM,
    };
    net.node(INITIATOR).act(|router| router.propose_swap(ID, order, &ID.0))
}

fn stage(net: &Net, node: usize) -> Option<SwapStage> {
    net.node(node).shared().router.swap(&ID).map(|swap| swap.stage)
}

/// What a side of a channel has there in the end, by what is agreed or what the chain paid.
pub(super) fn has(net: &Net, link: usize, party: Party) -> Amount {
    net.links[link].sides[party].machine().state().unwrap().balances[party]
}

/// What each has gained on the target chain: initiator, hub, responder.
fn gains(net: &Net) -> [i128; 3] {
    let signed = |amount: Amount| i128::try_from(amount).unwrap() - i128::try_from(SHARE).unwrap();
    let hub = signed(has(net, TO_INITIATOR, Responder)) + signed(has(net, TO_RESPONDER, Initiator));
    [signed(has(net, TO_INITIATOR, Initiator)), hub, signed(has(net, TO_RESPONDER, Responder))]
}

const MOVED: [i128; 3] = [100, 0, -100];
const NONE: [i128; 3] = [0, 0, 0];
const FORFEITED: [i128; 3] = [-20, 0, 20];

#[test]
fn a_swap_with_a_premium_goes_through_a_hub() {
    let mut net = net(true);
    assert_eq!(propose(&mut net), Ok(SwapStage::Proposed));
    net.run();
    net.settle();
    for node in [INITIATOR, RESPONDER] {
        let Some(SwapStage::Ended { outcome, code: None }) = stage(&net, node) else {
            panic!("{node}: {:?}", stage(&net, node))
        };
        assert!(outcome.source_moved && outcome.target_moved);
    }
    assert_eq!(gains(&net), MOVED);
    assert_eq!((has(&net, SOURCE, Initiator), has(&net, SOURCE, Responder)), (SHARE - PAID, SHARE + PAID));
}

/// A hub that carries none, or has not said that it does.
#[test]
fn a_swap_with_a_premium_is_not_begun_where_no_hub_carries_it() {
    let mut net = net(false);
    assert_eq!(propose(&mut net), Err(SwapError::Terms(SwapCode::Premium)));
}

/// Both legs have moved, or neither; who has not claimed what was locked has lost its premium to the responder, and the hub has what it had.
fn assert_fair(net: &Net, is_late: bool, context: &str) {
    let gains = gains(net);
    let source = (has(net, SOURCE, Initiator), has(net, SOURCE, Responder));
    let is_open = (0..net.count()).any(|node| net.node(node).shared().router.open() != (0, 0));
    assert!(!is_open, "{context}: something is still open");
    let is_paid = source == (SHARE - PAID, SHARE + PAID);
    assert!(is_paid || source == (SHARE, SHARE), "{context}: {source:?}");
    if is_late {
        // An initiator that is away from showing the pre-image to the expiry of its leg has nobody else to blame, and nobody else loses.
        assert!(gains[1] >= 0 && (gains[2] >= 0 || is_paid), "{context}: {gains:?}");
    } else if is_paid {
        assert_eq!(gains, MOVED, "{context}");
    } else {
        assert!([NONE, FORFEITED].contains(&gains), "{context}: {gains:?}");
    }
    for link in &net.links {
        for party in Party::BOTH {
            assert!(!link.sides[party].machine().status().stale_store, "{context}");
        }
    }
}

/// Blocks pass, with time for whatever is said again.
pub(super) fn pass(net: &mut Net, blocks: BlockNumber) {
    for _ in 0..blocks {
        net.tick(6_000);
        net.mine();
        while let Some(ready) = net.ready().first().copied() {
            net.step(ready);
        }
    }
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A process ends, and begins again at once.
    Crash(usize),
    /// A process ends, and is back after so many blocks.
    Away(usize, BlockNumber),
    /// A connection is lost for so many blocks.
    Cut(usize, BlockNumber),
    /// Nothing that is said to this side of a channel arrives for so many blocks, which nobody notices.
    Deaf(usize, Party, BlockNumber),
    /// Finality lags at a node for so many blocks, as far as is tolerated.
    Lag(usize, BlockNumber),
}

/// A swap in which something goes wrong after so many steps. False where it was over before.
fn story(after: usize, fault: Fault) -> bool {
    let mut net = net(true);
    let _stage = propose(&mut net).unwrap();
    for _ in 0..after {
        let Some(ready) = net.ready().first().copied() else { return false };
        net.step(ready);
    }
    happen(&mut net, fault);
    net.run();
    net.settle();
    let is_late = matches!(fault, Fault::Away(INITIATOR, 30..));
    assert_fair(&net, is_late, &format!("{fault:?} after {after}"));
    true
}

/// Something goes wrong, and is over.
pub(super) fn happen(net: &mut Net, fault: Fault) {
    match fault {
        Fault::Crash(node) => net.crash(node),
        Fault::Away(node, blocks) => {
            net.vanish(node);
            pass(net, blocks);
            net.come_back(node);
        }
        Fault::Cut(link, blocks) => {
            net.cut(link);
            pass(net, blocks);
        }
        Fault::Deaf(link, party, blocks) => {
            for _ in 0..blocks {
                let is_heard = |ready: &Ready| *ready != Ready::Message(link, party);
                while let Some(ready) = net.ready().into_iter().find(is_heard) {
                    net.step(ready);
                }
                net.tick(6_000);
                net.mine();
            }
            net.cut(link);
        }
        Fault::Lag(node, blocks) => {
            net.lag[node] = 2;
            net.run();
            pass(net, blocks);
            net.lag[node] = 0;
        }
    }
}

fn stories(fault: Fault) {
    let steps = (0..200).take_while(|after| story(*after, fault)).count();
    assert!(steps > 20, "{steps} steps");
}

#[test]
fn a_crash_at_any_step_of_a_swap_with_a_premium_through_a_hub_costs_nobody_anything() {
    [INITIATOR, HUB, RESPONDER].into_iter().for_each(|node| stories(Fault::Crash(node)));
}

#[test]
fn whoever_is_away_for_a_while_costs_nobody_else_anything() {
    for node in [INITIATOR, HUB, RESPONDER] {
        for blocks in [2, 8, 30] {
            // A hub that is away for longer than its margins is on its own.
            if node == HUB && blocks > 2 {
                continue;
            }
            stories(Fault::Away(node, blocks));
        }
    }
}

#[test]
fn a_connection_that_is_lost_costs_nobody_anything() {
    for link in [SOURCE, TO_INITIATOR, TO_RESPONDER] {
        for blocks in [1, 10, 40] {
            stories(Fault::Cut(link, blocks));
        }
    }
}

/// Whoever keeps back its words, whichever they are and for however long.
#[test]
fn words_that_are_kept_back_cost_nobody_anything() {
    for link in [TO_INITIATOR, TO_RESPONDER] {
        for party in Party::BOTH {
            for blocks in [4, 12, 40] {
                stories(Fault::Deaf(link, party, blocks));
            }
        }
    }
}

#[test]
fn finality_that_lags_as_far_as_is_tolerated_costs_nobody_anything() {
    [INITIATOR, HUB, RESPONDER].into_iter().for_each(|node| stories(Fault::Lag(node, 30)));
}
