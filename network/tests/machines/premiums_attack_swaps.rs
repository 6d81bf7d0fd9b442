//! Attacks on swaps with a premium through hubs (R8.5h): by a responder that asks twice, and by hubs that ask for too much.

use super::{
    link::{Initiator, Responder},
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
    premiums_attack::{AMOUNT, DELTA, PREMIUM, ask, policy},
};
use channel::Message;
use network::{Announcement, HubTerms, RouterInput, RoutingPolicy, SwapId, SwapOrder, SwapQuote, SwapStage};
use protocol::{Amount, BlockNumber, crypto::SigningKey, signing::Domain};

const CHAIN: Domain = super::link::DOMAIN;
const ID: SwapId = SwapId([6; 32]);
const SWAP_PAID: Amount = 50;

fn responding() -> RoutingPolicy {
    let mut policy = policy();
    policy.swaps.quotes = vec![SwapQuote {
        source: CHAIN,
        target: OTHER_CHAIN,
        rate: (2, 1),
        amounts: (1, 100_000),
        premium: 200_000,
        inventory: 500_000,
        expires_at: u64::MAX,
    }];
    policy
}

fn propose(net: &mut Net, responder: usize) -> Result<SwapStage, network::SwapError> {
    let order = SwapOrder {
        responder: identity(responder),
        source: (CHAIN, SWAP_PAID),
        target: (OTHER_CHAIN, AMOUNT),
        premium: PREMIUM,
    };
    net.node(0).act(|router| router.propose_swap(ID, order, &ID.0))
}

/// *Sequence:* somebody who has a channel with the initiator, and nothing else to do with the swap, announces that it needs very many blocks between two pledges. *Loss:*
/// no swap with a premium can be proposed any more, through whichever hub. *Right:* what counts is the hub that may carry the leg: that serves the responder,
/// and whose blocks are within what is sensible.
#[test]
fn a_hub_that_announces_nonsense_does_not_keep_swaps_from_going_by_another() {
    // Initiator, hub, responder, and somebody else.
    let policies = vec![policy(), policy(), responding(), policy()];
    for pledge_delta in [DELTA, 1_000, BlockNumber::MAX] {
        let mut net = Net::on_two_chains(policies.clone(), &[(0, 2)], &[(0, 1), (1, 2), (0, 3)]);
        let signer = SigningKey::from_seed(&[53; 32]);
        assert_eq!(signer.public(), identity(3));
        let terms = HubTerms {
            fee: network::Fee::default(),
            slot_fee: 0,
            delta: 2,
            least_expiry: 6,
            min_amount: 1,
            max_amount: Amount::MAX,
            pledge_delta: Some(pledge_delta),
        };
        let announcement = Announcement {
            chain: OTHER_CHAIN,
            hub: identity(3),
            sequence: u64::MAX,
            terms,
            serves: Vec::new(),
            valid_until: u64::MAX,
        };
        let bytes = announcement.sign(&signer).unwrap();
        net.node(0).tell([RouterInput::Announced { peer: identity(3), bytes }]);
        assert_eq!(propose(&mut net, 2), Ok(SwapStage::Proposed), "{pledge_delta}");
        net.run();
        net.settle();
        let stage = net.node(0).shared().router.swap(&ID).map(|swap| swap.stage);
        assert!(matches!(stage, Some(SwapStage::Ended { code: None, .. })), "{pledge_delta}: {stage:?}");
    }
}

/// *Sequence:* a hub, which may be the initiator's friend, announces that it needs a thousand blocks between two pledges. *Loss:* the responder, by whose own policy a target leg
/// of this swap lasts a few dozen blocks at most, agrees to one that may be locked, and taken, in the next thousand: the option lasts as long as a stranger says, at
/// the premium that was quoted. *Right:* a responder has a bound of its own for what hubs may add.
#[test]
fn a_responder_does_not_grant_as_many_blocks_as_a_hub_likes() {
    let mut hub = policy();
    hub.chain.max_lag = 1_000;
    let mut net = Net::on_two_chains(vec![policy(), hub, responding()], &[(0, 2)], &[(0, 1), (1, 2)]);
    let head = net.head();
    let Ok(_stage) = propose(&mut net, 2) else {
        // The initiator has the same bound.
        return;
    };
    for _ in 0..6 {
        let Some(ready) = net.ready().first().copied() else { break };
        net.step(ready);
    }
    let swap = net.node(2).shared().router.swap(&ID).expect("it has heard of it");
    let (stage, lock_by) = (swap.stage, swap.terms.lock_by);
    assert!(matches!(stage, SwapStage::Ended { .. }) || lock_by < head + 200, "{stage:?}: {lock_by}, {head}");
}

/// *Sequence:* the responder of a swap asks for the initiator's pledge through two hubs at once, with the same words. The initiator pledges to both, since nothing has arrived;
/// both legs are locked, and the initiator is away until they have expired. *Loss:* it forfeits two premiums, and has agreed to one. *Right:* while a pledge of its own for
/// a leg may count, it gives no other one for it.
#[test]
fn an_initiator_stakes_its_premium_once() {
    let policies = vec![policy(), policy(), responding(), policy()];
    let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, 1), (1, 2), (0, 3), (3, 2)]);
    let _stage = propose(&mut net, 2).unwrap();
    // The responder's first question.
    let mut body = None;
    for link in [2, 4] {
        net.links[link].sides[Responder].is_cheat = true;
        net.links[link].sides[Responder].strict = false;
    }
    while body.is_none() {
        let ready = net.ready().first().copied().expect("it asks");
        net.step(ready);
        body = [2, 4].into_iter().find_map(|link| match net.links[link].wire[Initiator].front() {
            Some(Message::PledgeCreated(body)) => Some((link, body.clone())),
            _ => None,
        });
    }
    let (asked, body) = body.unwrap();
    let other = 6 - asked;
    net.links[other].routes[Responder] = None;
    ask(&mut net.links[other], Responder, 9, body.offer, body.valid_until);
    // Both questions are answered before either round is proposed.
    let is_early = |net: &Net, ready: &Ready| match ready {
        Ready::Message(link @ (2 | 4), Initiator) => {
            !matches!(net.links[*link].wire[Initiator].front(), Some(Message::Update(_)))
        }
        _ => true,
    };
    while let Some(ready) = net.ready().into_iter().find(|ready| is_early(&net, ready)) {
        net.step(ready);
    }
    let pledged = [2, 4].map(|link| matches!(net.links[link].wire[Initiator].front(), Some(Message::Update(_))));
    // Both rounds are agreed, and those that the hubs have kept back; then the initiator's process is away.
    for link in [2, 4] {
        while net.links[link].deliver(Initiator) {}
    }
    net.carry_out_all();
    for link in [1, 3] {
        // What it is told of the second one is not heard before it has agreed to both.
        while net.links[link].deliver(Initiator) {}
    }
    net.vanish(0);
    for _ in 0..150 {
        net.tick(6_000);
        net.mine();
        while let Some(ready) = net.ready().first().copied() {
            net.step(ready);
        }
    }
    net.come_back(0);
    net.run();
    net.settle();
    let has = |link: usize| net.links[link].sides[Initiator].machine().state().unwrap().balances[Initiator];
    let lost = 2 * SHARE - (has(1) + has(3)).min(2 * SHARE);
    assert!(lost <= PREMIUM, "it has lost {lost}; pledged in both: {pledged:?}");
}

/// *Sequence:* as above, but it is the blocks between what comes in and what goes on (`delta`) of which it announces very many. *Right:* as above.
#[test]
fn a_hub_that_announces_another_nonsense_does_not_keep_swaps_from_going_by_another() {
    let policies = vec![policy(), policy(), responding(), policy()];
    for delta in [2, 1_000, BlockNumber::MAX] {
        let mut net = Net::on_two_chains(policies.clone(), &[(0, 2)], &[(0, 1), (1, 2), (0, 3)]);
        let signer = SigningKey::from_seed(&[53; 32]);
        let terms = HubTerms {
            fee: network::Fee::default(),
            slot_fee: 0,
            delta,
            least_expiry: 6,
            min_amount: 1,
            max_amount: Amount::MAX,
            pledge_delta: None,
        };
        let announcement = Announcement {
            chain: OTHER_CHAIN,
            hub: identity(3),
            sequence: u64::MAX,
            terms,
            serves: Vec::new(),
            valid_until: u64::MAX,
        };
        let bytes = announcement.sign(&signer).unwrap();
        net.node(0).tell([RouterInput::Announced { peer: identity(3), bytes }]);
        assert_eq!(propose(&mut net, 2), Ok(SwapStage::Proposed), "{delta}");
        net.run();
        net.settle();
        let stage = net.node(0).shared().router.swap(&ID).map(|swap| swap.stage);
        assert!(matches!(stage, Some(SwapStage::Ended { code: None, .. })), "{delta}: {stage:?}");
    }
}

/// *Sequence:* an initiator cancels its swap while the responder's word of agreement is on its way; later the responder proposes a swap itself. *Loss:* the word of agreement is
/// not counted, so that the proposal is declined for its number, and comes to nothing. *Right:* a word of agreement counts among the peer's numbers whenever it is heard.
#[test]
fn a_word_of_agreement_that_crosses_a_cancellation_counts_among_the_numbers() {
    let policies = vec![responding(), policy(), responding()];
    let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, 1), (1, 2)]);
    assert_eq!(propose(&mut net, 2), Ok(SwapStage::Proposed));
    let stage = |net: &Net, node: usize, id: SwapId| net.node(node).shared().router.swap(&id).map(|swap| swap.stage);
    while stage(&net, 2, ID).is_none() {
        net.step(Ready::Wish(0));
    }
    assert_eq!(stage(&net, 2, ID), Some(SwapStage::Agreed));
    net.node(0).act(|router| router.cancel_swap(ID).map(|said| ((), said))).unwrap();
    net.run();
    net.settle();
    let own = SwapId([7; 32]);
    let order = SwapOrder {
        responder: identity(0),
        source: (CHAIN, SWAP_PAID),
        target: (OTHER_CHAIN, AMOUNT),
        premium: PREMIUM,
    };
    let proposed = net.node(2).act(|router| router.propose_swap(own, order, &own.0));
    assert_eq!(proposed, Ok(SwapStage::Proposed));
    net.run();
    net.settle();
    let ended = stage(&net, 2, own);
    assert!(
        !matches!(ended, Some(SwapStage::Ended { code: Some(network::SwapCode::Sequence { .. }), .. })),
        "{ended:?}"
    );
}
