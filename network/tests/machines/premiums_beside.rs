//! Attacks on swaps with a premium through a hub (R8.5h) by what else goes through the same hub: another swap the other way, others that come to nothing, and what another hub announces.

use super::{
    link::{Initiator, Responder},
    net::{Net, OTHER_CHAIN, Ready, SHARE, identity},
    premiums_attack::{AMOUNT, DELTA, Dice, PREMIUM, ask, carried, corrupt, hear, policy},
};
use channel::{Message, RefusalCode};
use network::{Announcement, HubTerms, RouterInput, RoutingPolicy, SwapId, SwapOrder, SwapQuote, SwapStage};
use protocol::{Amount, BlockNumber, crypto::SigningKey, signing::Domain};

const CHAIN: Domain = super::link::DOMAIN;
const SWAP_PAID: Amount = 50;
const HUB: usize = 1;

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

fn propose(net: &mut Net, (from, to): (usize, usize), id: SwapId) -> Result<SwapStage, network::SwapError> {
    let order = SwapOrder {
        responder: identity(to),
        source: (CHAIN, SWAP_PAID),
        target: (OTHER_CHAIN, AMOUNT),
        premium: PREMIUM,
    };
    net.node(from).act(|router| router.propose_swap(id, order, &id.0))
}

fn stage(net: &Net, node: usize, id: SwapId) -> Option<SwapStage> {
    net.node(node).shared().router.swap(&id).map(|swap| swap.stage)
}

fn has_moved(net: &Net, node: usize, id: SwapId) -> bool {
    matches!(stage(net, node, id), Some(SwapStage::Ended { code: None, .. }))
}

/// *Sequence:* two parties that have channels with the same hub on the target chain each propose a swap with a premium to the other one at once, and both have locked their source legs. Each asks the hub for a pledge, and the hub
/// puts both questions off. *Loss:* in neither of its channels the hub may ask anything while it has put off what its peer asks (R6.5d), so that each of the two questions waits for the answer to the other one. After the time for
/// an answer the hub refuses both, and both swaps come to nothing, by nobody's fault; meanwhile nothing goes through either channel that the hub proposes. *Right:* whatever is said in which order, one of the two swaps goes
/// through, or both do: a question that cannot be carried on, since its next one waits for an answer itself, is refused at once, or the one in the higher round wins.
#[test]
fn of_two_swaps_both_ways_through_the_same_hub_one_goes_through() {
    let (one, other) = (SwapId([6; 32]), SwapId([7; 32]));
    let mut lost = Vec::new();
    for seed in 0..40_u64 {
        let policies = vec![responding(), policy(), responding()];
        let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, HUB), (HUB, 2)]);
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let _stage = propose(&mut net, (0, 2), one).unwrap();
        let _stage = propose(&mut net, (2, 0), other).unwrap();
        for _ in 0..400 {
            let ready = net.ready();
            if ready.is_empty() {
                break;
            }
            net.step(ready[usize::try_from(dice.roll(ready.len() as u64)).unwrap()]);
        }
        net.run();
        net.settle();
        if !has_moved(&net, 0, one) && !has_moved(&net, 2, other) {
            lost.push((seed, stage(&net, 0, one), stage(&net, 2, other)));
        }
    }
    assert!(lost.is_empty(), "{} of 40: {:?}", lost.len(), lost.first());
}

/// *Sequence:* somebody has channels with a responder's hub, and proposes sixteen swaps with a premium, one after the other, whose target legs it refuses to pledge for; its own coins come back each time.
/// Then somebody else, who keeps to the rules, has a swap with the same responder. *Loss:* the hub counts the sixteen refusals against the responder, who has asked for what both had agreed to,
/// and refuses whatever it asks for until their time is over: nobody can swap for a premium with that responder through that hub, for as long as the stranger likes,
/// who has paid nothing for it. *Right:* what the one that is to pledge refuses is counted against that one, or not against whoever asks for somebody else.
#[test]
fn what_one_initiator_refuses_does_not_keep_the_responder_from_another() {
    // Somebody who refuses, the hub, the responder, and somebody who pledges.
    let mut net = Net::with(policy(), 4, &[(0, HUB), (HUB, 2), (3, HUB)]);
    for (link, party) in [(0, Initiator), (1, Responder), (2, Initiator)] {
        corrupt(&mut net.links[link], party);
    }
    let head = net.head();
    let (expiry, until): (BlockNumber, BlockNumber) = (head + 40, head + 16);
    let mut refused = 0;
    for number in 1..=16 {
        ask(
            &mut net.links[1],
            Responder,
            number,
            carried(number, identity(0), expiry, until, Vec::new()),
            until - DELTA,
        );
        hear(&mut net, 1, Initiator);
        let Some(Message::PledgeCreated(body)) = net.links[0].wire[Initiator].pop_front() else { break };
        net.links[0].hear(Responder, Message::PledgeError { round: body.round, code: RefusalCode::POLICY });
        net.carry_out_all();
        hear(&mut net, 1, Responder);
        refused += 1;
        // What an offer takes out of the bucket comes back.
        net.tick(1_000);
    }
    assert_eq!(refused, 16, "the responder has asked for so many that were refused");
    let honest = carried(40, identity(3), expiry, until, Vec::new());
    ask(&mut net.links[1], Responder, 40, honest, until - DELTA);
    hear(&mut net, 1, Initiator);
    let is_asked = matches!(net.links[2].wire[Initiator].front(), Some(Message::PledgeCreated(_)));
    assert!(is_asked, "the hub does not ask whoever would pledge: {:?}", net.links[1].wire[Responder]);
}

/// A swap with a premium by an honest hub, where another one, which has a channel with the initiator and none with the responder, says that it serves the responder, at these terms. How it has ended.
fn beside(delta: BlockNumber, pledge_delta: Option<BlockNumber>) -> Result<(), Option<SwapStage>> {
    let id = SwapId([6; 32]);
    let policies = vec![policy(), policy(), responding(), policy()];
    let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, HUB), (HUB, 2), (0, 3)]);
    let signer = SigningKey::from_seed(&[53; 32]);
    let terms = HubTerms {
        fee: network::Fee::default(),
        slot_fee: 0,
        delta,
        least_expiry: 6,
        min_amount: 1,
        max_amount: Amount::MAX,
        pledge_delta,
    };
    let announcement = Announcement {
        chain: OTHER_CHAIN,
        hub: identity(3),
        sequence: u64::MAX,
        terms,
        serves: vec![identity(2)],
        valid_until: u64::MAX,
    };
    let bytes = announcement.sign(&signer).unwrap();
    net.node(0).tell([RouterInput::Announced { peer: identity(3), bytes }]);
    let _stage = propose(&mut net, (0, 2), id).map_err(|_refused| None)?;
    net.run();
    net.settle();
    if has_moved(&net, 0, id) { Ok(()) } else { Err(stage(&net, 0, id)) }
}

/// *Sequence:* a hub that does not carry this swap says that it serves the responder, and that it needs as many blocks between what comes in and what goes on as are still reckoned with, or more. *Right:* a
/// swap goes by another hub all the same.
#[test]
fn blocks_between_what_comes_in_and_what_goes_on_do_not_keep_swaps_from_going_by_another_hub() {
    for delta in [2, 1_000, 1_008, 1_009, BlockNumber::MAX] {
        for pledge_delta in [None, Some(2 * DELTA + 1), Some(BlockNumber::MAX)] {
            assert_eq!(beside(delta, pledge_delta), Ok(()), "{delta} {pledge_delta:?}");
        }
    }
}

/// *Sequence:* the same hub says that it needs twice as many blocks between two pledges as others, which is still reckoned with. *Loss:* the initiator puts the last block in which the target leg may be locked (`lock_by`) so far
/// ahead that no pledge lasts until then: here the lock period of the honest hub's channel is shorter (R8.5h); elsewhere it may be the longest pledge, of twice the validity of an operation (R6.5a), where
/// blocks come fast. The swap comes to nothing, after its source leg was locked. *Right:* what a hub says that does not carry the leg keeps no swap from going by one that does: the initiator
/// reckons with no more blocks than the pledges that it can give, and those by which the leg can come, allow; or declines to propose before anything is locked.
#[test]
fn blocks_between_two_pledges_do_not_keep_swaps_from_going_by_another_hub() {
    for pledge_delta in [Some(DELTA), Some(2 * DELTA)] {
        assert_eq!(beside(2, pledge_delta), Ok(()), "{pledge_delta:?}");
    }
}

/// *Sequence:* two parties use one id for the swaps that each proposes to the other one at the same time, from the same chain. *Right:* both end, and neither loses anything.
#[test]
fn one_id_for_two_swaps_at_once_costs_nobody_anything() {
    let id = SwapId([6; 32]);
    let policies = vec![responding(), policy(), responding()];
    let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, HUB), (HUB, 2)]);
    let _stage = propose(&mut net, (0, 2), id).unwrap();
    let _stage = propose(&mut net, (2, 0), id).unwrap();
    net.run();
    net.settle();
    for _ in 0..80 {
        net.tick(6_000);
        net.mine();
        net.run();
    }
    for node in [0, 2] {
        assert!(
            matches!(stage(&net, node, id), Some(SwapStage::Ended { .. })),
            "of {node}: {:?}",
            stage(&net, node, id)
        );
    }
    for link in 0..3 {
        let state = net.links[link].sides[Initiator].machine().state().unwrap();
        assert_eq!((state.balances[Initiator], state.balances[Responder]), (SHARE, SHARE), "channel {link}");
    }
}

/// *Sequence:* an initiator cancels its swap and forgets it while the responder's word of agreement is on its way; later the responder proposes a swap itself. *Loss:* the word is about a swap that is not known any
/// more, and its number is not counted, so that the responder's proposal is declined for its number, and comes to nothing. *Right:* a word of agreement counts among the peer's numbers
/// whenever it is heard, also about a swap that is forgotten; or what may still be agreed to is not forgotten.
#[test]
fn a_word_of_agreement_about_a_swap_that_is_forgotten_counts_among_the_numbers() {
    let (id, own) = (SwapId([6; 32]), SwapId([7; 32]));
    let policies = vec![responding(), policy(), responding()];
    let mut net = Net::on_two_chains(policies, &[(0, 2)], &[(0, HUB), (HUB, 2)]);
    let _stage = propose(&mut net, (0, 2), id).unwrap();
    while stage(&net, 2, id).is_none() {
        net.step(Ready::Wish(0));
    }
    assert_eq!(stage(&net, 2, id), Some(SwapStage::Agreed));
    net.node(0).act(|router| router.cancel_swap(id).map(|said| ((), said))).unwrap();
    let forgotten = net.node(0).act(|router| router.forget_swap(id).map(|said| ((), said)));
    net.run();
    net.settle();
    let _stage = propose(&mut net, (2, 0), own).unwrap();
    net.run();
    net.settle();
    let ended = stage(&net, 2, own);
    assert!(has_moved(&net, 2, own), "forgotten: {forgotten:?}; {ended:?}");
}
