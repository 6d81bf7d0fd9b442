//! Legs of swaps that carry calls of apps (R8.3g, R8.5c), between real machines: cancelled, crossed, and started again.

use super::{
    calls::{new_deed, policy},
    link::{
        Initiator, Responder, apps,
        contracts::call,
        deeds::{deed_of, with_deeds},
    },
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
};
use network::{SwapCalls, SwapError, SwapId, SwapOrder, SwapStage};
use protocol::{Amount, Party, contracts::ContractId};

const INITIATOR: usize = 0;
const RESPONDER: usize = 1;
const SOURCE: usize = 0;
const TARGET: usize = 1;
const PAID: Amount = 50;
const GOT: Amount = 100;

fn id(number: u8) -> SwapId {
    SwapId([number; 32])
}

/// An initiator and a responder with a channel on each chain, and so many deeds of `owner`'s in the channel `link`.
fn net(link: usize, owner: Party, count: usize) -> (Net, Vec<ContractId>) {
    let mut net =
        Net::on_two_chains(vec![policy(false), policy(true)], &[(INITIATOR, RESPONDER)], &[(INITIATOR, RESPONDER)]);
    let deeds = (0..count).map(|_| new_deed(&mut net, link, owner)).collect();
    (net, deeds)
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
fn owner_of(net: &Net, link: usize, deed: ContractId) -> (Party, bool) {
    deed_of(&net.links[link], Initiator, deed).unwrap()
}

/// As many steps as there are, up to this number.
fn steps(net: &mut Net, most: usize) {
    for _ in 0..most {
        let Some(ready) = net.ready().first().copied() else { return };
        net.step(ready);
    }
}

/// A swap with the responder's deed that is accepted, and so many steps later.
fn under_way(after: usize) -> (Net, ContractId) {
    let (mut net, deeds) = net(TARGET, Responder, 1);
    let calls = SwapCalls { target: with_deeds(&deeds), ..SwapCalls::NONE };
    let _stage = propose(&net, 1, &calls).unwrap();
    net.run();
    accept(&net, 1);
    steps(&mut net, after);
    (net, deeds[0])
}

/// The deed is where the coins of the target leg are.
fn is_with_the_coins(net: &Net, deed: ContractId, context: &str) {
    let target = net.links[TARGET].sides[Initiator].machine().state().unwrap().balances.initiator;
    let expected = if target == SHARE { (Responder, false) } else { (Initiator, false) };
    assert_eq!(owner_of(net, TARGET, deed), expected, "{context}");
}

/// The responder is asked for two swaps, each with a deed of its own, while a round of its own on the target chain is not answered yet: both target legs wait for the next one. A round has one offer
/// with calls, so that they go in two (R8.3g).
#[test]
fn two_legs_with_calls_that_wait_for_one_round_are_both_locked() {
    let (mut net, deeds) = net(TARGET, Responder, 2);
    for (number, deed) in [(1, deeds[0]), (2, deeds[1])] {
        let calls = SwapCalls { target: with_deeds(&[deed]), ..SwapCalls::NONE };
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
    assert_eq!([owner_of(&net, TARGET, deeds[0]), owner_of(&net, TARGET, deeds[1])], [(Initiator, false); 2]);
}

/// A node that is started again fetches the Wasm of an app when a round needs it (R7.2b). The responder, which is owed the source leg with the initiator's deed, is started again while the target leg is
/// under way: its claim waits for the code.
#[test]
fn a_responder_that_is_started_again_before_it_claims_has_the_deed_as_well() {
    let mut tried = 0;
    for after in 0..200 {
        let (mut net, deeds) = net(SOURCE, Initiator, 1);
        let calls = SwapCalls { source: with_deeds(&deeds), ..SwapCalls::NONE };
        let _stage = propose(&net, 1, &calls).unwrap();
        net.run();
        accept(&net, 1);
        steps(&mut net, after);
        if net.ready().is_empty() {
            break;
        }
        tried += 1;
        net.links[SOURCE].sides[Responder].book.missing = [apps::DEED.code].into();
        net.crash(RESPONDER);
        net.run();
        net.settle();
        let source = net.links[SOURCE].sides[Initiator].machine().state().unwrap().balances.initiator;
        let (owner, _) = owner_of(&net, SOURCE, deeds[0]);
        assert_eq!(source == SHARE - PAID, owner == Responder, "coins and deed are one leg, after {after} steps");
    }
    assert!(tried > 8, "{tried}");
}

/// Source leg and target leg have a deed each.
#[test]
fn both_legs_carry_calls() {
    let (mut net, deeds) = net(TARGET, Responder, 1);
    let ours = new_deed(&mut net, SOURCE, Initiator);
    let calls = SwapCalls { source: with_deeds(&[ours]), target: with_deeds(&deeds) };
    let _stage = propose(&net, 1, &calls).unwrap();
    net.run();
    accept(&net, 1);
    net.run();
    net.settle();
    assert_eq!(
        (owner_of(&net, SOURCE, ours), owner_of(&net, TARGET, deeds[0])),
        ((Responder, false), (Initiator, false))
    );
    assert!(matches!(stage(&net, RESPONDER, 1), Some(SwapStage::Ended { code: None, .. })));
}

/// The swap is cancelled while the offer with the deed is on its way: the payee refuses it, and the deed is free.
#[test]
fn an_offer_whose_swap_is_cancelled_meanwhile_leaves_the_deed_free() {
    for after in 0..60 {
        let (mut net, deed) = under_way(after);
        let cancelled = net.node(INITIATOR).act(|router| router.cancel_swap(id(1)).map(|outputs| ((), outputs)));
        net.run();
        net.settle();
        is_with_the_coins(&net, deed, &format!("after {after}: {cancelled:?}"));
    }
}

/// The owner cannot take the deed out of a lock by what it calls meanwhile.
#[test]
fn an_owner_that_calls_its_deed_while_it_is_locked_changes_nothing() {
    for after in 0..60 {
        let (mut net, deed) = under_way(after);
        let _given = net.links[TARGET].make_one(Responder, call(deed, 0, &apps::DeedInput::Return));
        net.run();
        net.settle();
        is_with_the_coins(&net, deed, &format!("after {after}"));
    }
}
