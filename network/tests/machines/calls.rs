//! Swaps whose target leg carries calls of an app (R8.3g, R8.5c), between real machines: the coins of both legs and the deed move together, or nothing does.

use super::{
    link::{
        Initiator, Responder, apps,
        contracts::call,
        deeds::{deed, deed_of, with_deeds},
    },
    net::{Net, OTHER_CHAIN, SHARE, identity},
    premiums::{Fault, happen},
};
use crate::swaps::policy as of_swaps;
use channel::transfer::{AppCall, LockedCalls, MAX_LOCKED_CALLS, Margins};
use network::{ChainPolicy, RoutingPolicy, SwapCalls, SwapCode, SwapError, SwapId, SwapOrder, SwapStage};
use protocol::{Amount, Party, contracts::ContractId};

const INITIATOR: usize = 0;
const RESPONDER: usize = 1;
const SOURCE: usize = 0;
const TARGET: usize = 1;
const PAID: Amount = 50;
const GOT: Amount = 100;
const ID: SwapId = SwapId([7; 32]);

pub(super) fn policy(asks_user: bool) -> RoutingPolicy {
    let mut policy = of_swaps(false);
    let margins = Margins { register: 4, answer: 2 };
    policy.chain = ChainPolicy { margins, max_lag: 2, ..policy.chain };
    policy.swaps.asks_user = asks_user;
    policy
}

/// An initiator and a responder with so many channels on the target chain, and a deed of the responder's in the first of them.
fn net(asks_user: bool, channels: usize) -> (Net, ContractId) {
    let mut net = Net::on_two_chains(
        vec![policy(false), policy(asks_user)],
        &[(INITIATOR, RESPONDER)],
        &vec![(INITIATOR, RESPONDER); channels],
    );
    let deed = new_deed(&mut net, TARGET, Responder);
    (net, deed)
}

/// A deed of `owner`'s in the channel `link`.
pub(super) fn new_deed(net: &mut Net, link: usize, owner: Party) -> ContractId {
    let made = net.links[link].make_one(owner, deed(owner)).unwrap();
    net.run();
    net.links[link].created_by(owner, made)
}

fn with_deed(deed: ContractId) -> SwapCalls {
    SwapCalls { target: with_deeds(&[deed]), ..SwapCalls::NONE }
}

fn order(premium: Amount) -> SwapOrder {
    let (source, target) = ((super::link::DOMAIN, PAID), (OTHER_CHAIN, GOT));
    SwapOrder { responder: identity(RESPONDER), source, target, premium }
}

fn propose(net: &mut Net, calls: &SwapCalls, premium: Amount) -> Result<SwapStage, SwapError> {
    net.node(INITIATOR).act(|router| router.propose_swap_with_calls(ID, order(premium), calls, &ID.0))
}

/// The responder's user agrees, once it is asked.
fn accept(net: &mut Net) {
    net.run();
    let accepted = net.node(RESPONDER).act(|router| router.accept_swap(ID).map(|outputs| ((), outputs)));
    assert_eq!(accepted, Ok(()));
}

fn stage(net: &Net, node: usize) -> Option<SwapStage> {
    net.node(node).shared().router.swap(&ID).map(|swap| swap.stage)
}

/// What the initiator has in both channels, who owns the deed, and whether that is locked.
fn holdings(net: &Net, deed: ContractId) -> (Amount, Amount, Party, bool) {
    let of = |link: usize| net.links[link].sides[Initiator].machine().state().unwrap().balances.initiator;
    let deeds = Party::BOTH.map(|party| deed_of(&net.links[TARGET], party, deed).unwrap());
    assert_eq!(deeds[0], deeds[1]);
    let (owner, is_locked) = deeds[0];
    (of(SOURCE), of(TARGET), owner, is_locked)
}

const MOVED: (Amount, Amount, Party, bool) = (SHARE - PAID, SHARE + GOT, Initiator, false);
const NONE: (Amount, Amount, Party, bool) = (SHARE, SHARE, Responder, false);

#[test]
fn a_deed_moves_with_the_target_leg_of_a_swap() {
    let (mut net, deed) = net(true, 1);
    assert_eq!(propose(&mut net, &with_deed(deed), 0), Ok(SwapStage::Proposed));
    net.run();
    assert_eq!(net.node(RESPONDER).shared().router.swap_calls(&ID), Some(&with_deed(deed)), "its user is shown them");
    accept(&mut net);
    net.run();
    net.settle();
    assert_eq!(holdings(&net, deed), MOVED);
    for node in [INITIATOR, RESPONDER] {
        assert!(matches!(stage(&net, node), Some(SwapStage::Ended { code: None, .. })), "{:?}", stage(&net, node));
    }
}

#[test]
fn calls_that_no_user_is_asked_about_are_declined() {
    let (mut net, deed) = net(false, 1);
    assert_eq!(propose(&mut net, &with_deed(deed), 0), Ok(SwapStage::Proposed));
    net.run();
    let Some(SwapStage::Ended { code, .. }) = stage(&net, INITIATOR) else { panic!("{:?}", stage(&net, INITIATOR)) };
    assert_eq!((code, holdings(&net, deed)), (Some(SwapCode::Calls), NONE));
}

#[test]
fn calls_that_do_not_fit_a_leg_are_refused_before_anything_is_said() {
    let (mut net, deed) = net(true, 1);
    let one = AppCall { contract: deed, input: vec![0] };
    let many = LockedCalls { locking: vec![one; MAX_LOCKED_CALLS + 1], ..LockedCalls::NONE };
    let many = SwapCalls { source: many, ..SwapCalls::NONE };
    assert_eq!(propose(&mut net, &many, 0), Err(SwapError::Terms(SwapCode::Calls)));
    assert_eq!(propose(&mut net, &with_deed(deed), 5), Err(SwapError::Terms(SwapCode::Premium)));
    assert_eq!(propose(&mut net, &with_deed(deed), 0), Ok(SwapStage::Proposed));
    assert_eq!(propose(&mut net, &SwapCalls::NONE, 0), Err(SwapError::OtherSwap), "other calls are another swap");
    assert_eq!(propose(&mut net, &with_deed(deed), 0), Ok(SwapStage::Proposed));
}

/// What is called is in one channel: with two of them it is not known which.
#[test]
fn a_leg_with_calls_needs_the_one_channel_that_the_two_have() {
    let (mut net, deed) = net(true, 2);
    assert_eq!(propose(&mut net, &with_deed(deed), 0), Ok(SwapStage::Proposed));
    net.run();
    let Some(SwapStage::Ended { code, .. }) = stage(&net, INITIATOR) else { panic!("{:?}", stage(&net, INITIATOR)) };
    assert_eq!((code, holdings(&net, deed)), (Some(SwapCode::Calls), NONE));
}

/// The responder has given the deed away when its leg is to be locked.
#[test]
fn a_leg_whose_calls_the_app_refuses_is_not_locked() {
    let (mut net, deed) = net(true, 1);
    let _stage = propose(&mut net, &with_deed(deed), 0).unwrap();
    net.run();
    let _id = net.links[TARGET].make_one(Responder, call(deed, 0, &apps::DeedInput::Give)).unwrap();
    net.run();
    accept(&mut net);
    net.run();
    net.settle();
    assert_eq!(holdings(&net, deed), (SHARE, SHARE, Initiator, false));
    assert!(matches!(stage(&net, INITIATOR), Some(SwapStage::Ended { code: Some(_), .. })));
}

/// A swap in which something goes wrong after so many steps. False where it was over before.
fn story(after: usize, fault: Fault) -> bool {
    let (mut net, deed) = net(true, 1);
    let _stage = propose(&mut net, &with_deed(deed), 0).unwrap();
    accept(&mut net);
    for _ in 0..after {
        let Some(ready) = net.ready().first().copied() else { return false };
        net.step(ready);
    }
    happen(&mut net, fault);
    net.run();
    net.settle();
    let is_open = (0..net.count()).any(|node| net.node(node).shared().router.open() != (0, 0));
    let context = format!("{fault:?} after {after}");
    assert!(!is_open, "{context}: something is still open");
    let (source, target, owner, is_locked) = holdings(&net, deed);
    // The coins of the target leg and the deed are one leg.
    assert!(!is_locked, "{context}");
    assert_eq!(target == SHARE + GOT, owner == Initiator, "{context}");
    let is_late = matches!(fault, Fault::Away(INITIATOR, 30..));
    if is_late {
        assert!(source == SHARE - PAID || owner == Responder, "{context}: the responder has lost its leg");
    } else {
        assert!([MOVED, NONE].contains(&(source, target, owner, is_locked)), "{context}: {source} {target} {owner:?}");
    }
    true
}

fn stories(fault: Fault) {
    let steps = (0..200).take_while(|after| story(*after, fault)).count();
    assert!(steps > 8, "{steps} steps");
}

#[test]
fn a_crash_at_any_step_moves_both_legs_with_the_deed_or_nothing() {
    [INITIATOR, RESPONDER].into_iter().for_each(|node| stories(Fault::Crash(node)));
}

#[test]
fn whoever_is_away_for_a_while_costs_the_other_one_neither_coins_nor_deed() {
    for node in [INITIATOR, RESPONDER] {
        [2, 30].into_iter().for_each(|blocks| stories(Fault::Away(node, blocks)));
    }
}

#[test]
fn a_connection_that_is_lost_costs_nobody_coins_or_deed() {
    for link in [SOURCE, TARGET] {
        [1, 40].into_iter().for_each(|blocks| stories(Fault::Cut(link, blocks)));
    }
}

#[test]
fn words_that_are_kept_back_cost_nobody_coins_or_deed() {
    for party in Party::BOTH {
        [4, 40].into_iter().for_each(|blocks| stories(Fault::Deaf(TARGET, party, blocks)));
    }
}
