//! Legs of swaps that carry calls of apps (R8.3g, R8.5c), between real machines: cancelled, crossed, and started again.

use super::{
    link::{
        Initiator, Responder, apps,
        contracts::{call, creation},
    },
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
};
use crate::swaps::policy as of_swaps;
use channel::transfer::{AppCall, LockedCalls, Margins};
use network::{ChainPolicy, RoutingPolicy, SwapCalls, SwapError, SwapId, SwapOrder, SwapStage};
use protocol::{
    Amount, Pair, Party,
    contracts::{ContractId, conditional::HashLock},
    decode_exact,
};
use scale::Encode;

const INITIATOR: usize = 0;
const RESPONDER: usize = 1;
const SOURCE: usize = 0;
const TARGET: usize = 1;
const PAID: Amount = 50;
const GOT: Amount = 100;

fn id(number: u8) -> SwapId {
    SwapId([number; 32])
}

fn policy(asks_user: bool) -> RoutingPolicy {
    let mut policy = of_swaps(false);
    let margins = Margins { register: 4, answer: 2 };
    policy.chain = ChainPolicy { margins, max_lag: 2, ..policy.chain };
    policy.swaps.asks_user = asks_user;
    policy
}

/// An initiator and a responder with a channel on each chain, and so many deeds of `owner`'s in the channel `link`.
fn net(link: usize, owner: Party, count: usize) -> (Net, Vec<ContractId>) {
    let mut net =
        Net::on_two_chains(vec![policy(false), policy(true)], &[(INITIATOR, RESPONDER)], &[(INITIATOR, RESPONDER)]);
    let deeds = (0..count).map(|_| {
        let made = net.links[link].make_one(owner, creation(apps::DEED.code, Pair::default(), owner.encode())).unwrap();
        net.run();
        net.links[link].created_by(owner, made)
    });
    let deeds = deeds.collect();
    (net, deeds)
}

fn of(deed: ContractId) -> LockedCalls {
    let call = |input: &[u8]| vec![AppCall { contract: deed, input: input.to_vec() }];
    LockedCalls { locking: call(&[0]), claiming: call(&[1]), returning: call(&[2]) }
}

fn propose(net: &Net, number: u8, calls: &SwapCalls) -> Result<SwapStage, SwapError> {
    let (source, target) = ((super::link::DOMAIN, PAID), (OTHER_CHAIN, GOT));
    let order = SwapOrder { responder: identity(RESPONDER), source, target, premium: 0 };
    net.node(INITIATOR).act(|router| router.propose_swap_with_calls(id(number), order, calls, &[number; 32]))
}

fn accept(net: &Net, number: u8) {
    let accepted = net.node(RESPONDER).act(|router| router.accept_swap(id(number)).map(|outputs| ((), outputs)));
    assert_eq!(accepted, Ok(()));
}

fn stage(net: &Net, node: usize, number: u8) -> Option<SwapStage> {
    net.node(node).shared().router.swap(&id(number)).map(|swap| swap.stage)
}

/// Who owns the deed, and whether that is locked.
fn deed(net: &Net, link: usize, deed: ContractId) -> (Party, bool) {
    let state = net.links[link].sides[Initiator].machine().contracts().unwrap().get(&deed).unwrap().state.clone();
    let (owner, locked): (Party, Option<(HashLock, u32)>) = decode_exact(&state).unwrap();
    (owner, locked.is_some())
}

/// The responder is asked for two swaps, each with a deed of its own, while a round of its own on the target chain is not answered yet: both target legs wait for the next one. A round has one offer
/// with calls, so that they go in two (R8.3g).
#[test]
fn two_legs_with_calls_that_wait_for_one_round_are_both_locked() {
    let (mut net, deeds) = net(TARGET, Responder, 2);
    for (number, deed) in [(1, deeds[0]), (2, deeds[1])] {
        let calls = SwapCalls { target: of(deed), ..SwapCalls::NONE };
        assert_eq!(propose(&net, number, &calls), Ok(SwapStage::Proposed));
    }
    net.run();
    let _id = net.links[TARGET].pay(Responder, 1).unwrap();
    accept(&net, 1);
    accept(&net, 2);
    let is_heard = |ready: &Ready| *ready != Ready::Message(TARGET, Initiator);
    while let Some(ready) = net.ready().into_iter().find(is_heard) {
        net.step(ready);
    }
    net.run();
    net.settle();
    for number in [1, 2] {
        let stage = stage(&net, INITIATOR, number);
        assert!(matches!(stage, Some(SwapStage::Ended { code: None, .. })), "{number}: {stage:?}");
    }
    assert_eq!([deed(&net, TARGET, deeds[0]), deed(&net, TARGET, deeds[1])], [(Initiator, false); 2]);
}

/// A node that is started again fetches the Wasm of an app when a round needs it (R7.2b). The responder, which is owed the source leg with the initiator's deed, is started again while the target leg is
/// under way: its claim waits for the code.
#[test]
fn a_responder_that_is_started_again_before_it_claims_has_the_deed_as_well() {
    let mut tried = 0;
    for after in 0..200 {
        let (mut net, deeds) = net(SOURCE, Initiator, 1);
        let calls = SwapCalls { source: of(deeds[0]), ..SwapCalls::NONE };
        let _stage = propose(&net, 1, &calls).unwrap();
        net.run();
        accept(&net, 1);
        for _ in 0..after {
            let Some(ready) = net.ready().first().copied() else { break };
            net.step(ready);
        }
        if net.ready().is_empty() {
            break;
        }
        tried += 1;
        net.links[SOURCE].sides[Responder].book.missing = [apps::DEED.code].into();
        net.crash(RESPONDER);
        net.run();
        net.settle();
        let source = net.links[SOURCE].sides[Initiator].machine().state().unwrap().balances.initiator;
        let (owner, _) = deed(&net, SOURCE, deeds[0]);
        assert_eq!(source == SHARE - PAID, owner == Responder, "coins and deed are one leg, after {after} steps");
    }
    assert!(tried > 8, "{tried}");
}

/// Source leg and target leg have a deed each.
#[test]
fn both_legs_carry_calls() {
    let (mut net, deeds) = net(TARGET, Responder, 1);
    let made = net.links[SOURCE].make_one(Initiator, creation(apps::DEED.code, Pair::default(), Initiator.encode()));
    net.run();
    let ours = net.links[SOURCE].created_by(Initiator, made.unwrap());
    let calls = SwapCalls { source: of(ours), target: of(deeds[0]) };
    let _stage = propose(&net, 1, &calls).unwrap();
    net.run();
    accept(&net, 1);
    net.run();
    net.settle();
    assert_eq!((deed(&net, SOURCE, ours), deed(&net, TARGET, deeds[0])), ((Responder, false), (Initiator, false)));
    assert!(matches!(stage(&net, RESPONDER, 1), Some(SwapStage::Ended { code: None, .. })));
}

/// The swap is cancelled while the offer with the deed is on its way: the payee refuses it, and the deed is free.
#[test]
fn an_offer_whose_swap_is_cancelled_meanwhile_leaves_the_deed_free() {
    for after in 0..60 {
        let (mut net, deeds) = net(TARGET, Responder, 1);
        let calls = SwapCalls { target: of(deeds[0]), ..SwapCalls::NONE };
        let _stage = propose(&net, 1, &calls).unwrap();
        net.run();
        accept(&net, 1);
        for _ in 0..after {
            let Some(ready) = net.ready().first().copied() else { break };
            net.step(ready);
        }
        let cancelled = net.node(INITIATOR).act(|router| router.cancel_swap(id(1)).map(|outputs| ((), outputs)));
        net.run();
        net.settle();
        let target = net.links[TARGET].sides[Initiator].machine().state().unwrap().balances.initiator;
        let expected = if target == SHARE { (Responder, false) } else { (Initiator, false) };
        assert_eq!(deed(&net, TARGET, deeds[0]), expected, "after {after}: {cancelled:?}");
    }
}

/// The owner cannot take the deed out of a lock by what it calls meanwhile.
#[test]
fn an_owner_that_calls_its_deed_while_it_is_locked_changes_nothing() {
    for after in 0..60 {
        let (mut net, deeds) = net(TARGET, Responder, 1);
        let calls = SwapCalls { target: of(deeds[0]), ..SwapCalls::NONE };
        let _stage = propose(&net, 1, &calls).unwrap();
        net.run();
        accept(&net, 1);
        for _ in 0..after {
            let Some(ready) = net.ready().first().copied() else { break };
            net.step(ready);
        }
        let _given = net.links[TARGET].make_one(Responder, call(deeds[0], 0, &apps::DeedInput::Return));
        net.run();
        net.settle();
        let target = net.links[TARGET].sides[Initiator].machine().state().unwrap().balances.initiator;
        let expected = if target == SHARE { (Responder, false) } else { (Initiator, false) };
        assert_eq!(deed(&net, TARGET, deeds[0]), expected, "after {after}");
    }
}
