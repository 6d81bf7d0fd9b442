//! Swaps between two chains: both legs move, or none, whatever crashes, is lost, or stands still (R8.5).

use crate::harness::{
    CHAIN, Crash, CrashPoint, OTHER, OTHER_CHAIN, Tamper, Work, World, assert_coins_are_kept, assert_nothing_is_open,
    hub_policy,
};
use network::{
    BlockClock, ChainPolicy, RouterInput, RouterNotice, RoutingPolicy, SwapBody, SwapCode, SwapError, SwapId, SwapItem,
    SwapOrder, SwapPolicy, SwapQuote, SwapStage, SwapTerms, SwapWords,
};
use protocol::{Amount, contracts::conditional::HashFunction};

pub(crate) const FULL: Amount = 1_000_000;
pub(crate) const PAID: Amount = 10_000;
pub(crate) const GOT: Amount = 20_000;
pub(crate) const PREMIUM: Amount = 200;
pub(crate) const INITIATOR: usize = 0;
pub(crate) const RESPONDER: usize = 1;

/// Chains whose block times are known, and who swaps two coins of the second for one of the first.
pub(crate) fn policy(responds: bool) -> RoutingPolicy {
    let clock = Some(BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 });
    let quote = SwapQuote {
        source: CHAIN,
        target: OTHER_CHAIN,
        rate: (2, 1),
        amounts: (100, 100_000),
        premium: 10_000,
        inventory: 500_000,
        expires_at: u64::MAX,
    };
    let quotes = if responds { vec![quote] } else { Vec::new() };
    RoutingPolicy {
        chain: ChainPolicy { clock, ..ChainPolicy::default() },
        swaps: SwapPolicy { quotes, ..SwapPolicy::default() },
        ..RoutingPolicy::default()
    }
}

pub(crate) fn world() -> World {
    on_two_chains(vec![policy(false), policy(true)])
}

/// An initiator and a responder with a channel on each chain.
pub(crate) fn on_two_chains(policies: Vec<RoutingPolicy>) -> World {
    World::on_two_chains(policies, &[(0, 1, FULL, FULL)], &[(0, 1, FULL, FULL)])
}

pub(crate) fn order(world: &World) -> SwapOrder {
    SwapOrder { responder: world.key(RESPONDER), source: (CHAIN, PAID), target: (OTHER_CHAIN, GOT), premium: PREMIUM }
}

pub(crate) const ID: SwapId = SwapId([5; 32]);

pub(crate) fn propose(world: &mut World, id: SwapId) {
    let order = order(world);
    let proposed = world.nodes[INITIATOR].router.propose_swap(id, order, &id.0);
    let (stage, outputs) = proposed.unwrap();
    assert_eq!(stage, SwapStage::Proposed);
    world.commit_outside(INITIATOR, outputs);
}

/// A swap that was proposed, so many steps ago.
pub(crate) fn begun(steps: usize) -> World {
    let mut world = world();
    propose(&mut world, ID);
    for _ in 0..steps {
        let Some((node, channel)) = world.ready().first().copied() else { break };
        world.step(node, channel);
    }
    world
}

/// Lets so many blocks pass on both chains, with time for repeated words.
pub(crate) fn pass(world: &mut World, blocks: u32) {
    for _ in 0..blocks {
        world.run();
        world.tick(6_000);
        world.run();
        world.advance_both(1, 1);
        world.run();
    }
}

/// What a node has gained on one chain.
pub(crate) fn gained(world: &World, node: usize, channel: usize) -> i128 {
    let side = &world.nodes[node].store.sides[&channel];
    i128::try_from(side.balance).unwrap() - i128::try_from(FULL).unwrap()
}

/// What the two have gained, on the first chain and on the second.
pub(crate) fn gains(world: &World) -> [(i128, i128); 2] {
    [INITIATOR, RESPONDER].map(|node| (gained(world, node, 0), gained(world, node, OTHER)))
}

const MOVED: [(i128, i128); 2] = [(-10_000, 20_000), (10_000, -20_000)];
const NONE: [(i128, i128); 2] = [(0, 0), (0, 0)];

pub(crate) fn stage(world: &World, node: usize, id: SwapId) -> Option<SwapStage> {
    world.nodes[node].router.swap(&id).map(|swap| swap.stage)
}

pub(crate) fn is_ended(world: &World, node: usize, id: SwapId) -> bool {
    matches!(stage(world, node, id), None | Some(SwapStage::Ended { .. }))
}

/// Both legs moved or none, nobody who kept to the rules has less, and nothing is open.
pub(crate) fn assert_both_or_none(world: &World, context: &str) -> bool {
    assert_nothing_is_open(world);
    assert_coins_are_kept(world);
    for node in [INITIATOR, RESPONDER] {
        assert!(is_ended(world, node, ID), "{context}: node {node} is at {:?}", stage(world, node, ID));
    }
    for node in [INITIATOR, RESPONDER] {
        if let Some(SwapStage::Ended { outcome, .. }) = stage(world, node, ID) {
            let coins = (gained(world, node, 0) != 0, gained(world, node, OTHER).abs() == 20_000);
            assert_eq!((outcome.source_moved, outcome.target_moved), coins, "{context}: node {node} is told otherwise");
        }
    }
    let gains = gains(world);
    let forfeited = [(0, -200), (0, 200)];
    assert!([MOVED, NONE, forfeited].contains(&gains), "{context}: {gains:?}");
    gains == MOVED
}

#[test]
fn both_legs_move_within_eight_flights_and_both_are_told_the_same() {
    let mut world = world();
    propose(&mut world, ID);
    world.run();
    assert!(assert_both_or_none(&world, "all goes well"));
    for node in [INITIATOR, RESPONDER] {
        let Some(SwapStage::Ended { outcome, code: None }) = stage(&world, node, ID) else { panic!("{node}") };
        assert!(outcome.source_moved && outcome.target_moved);
        assert_eq!((outcome.source_block, outcome.target_block), (100, 5_000));
    }
    // Propose, Accept, its acknowledgement; Done and its acknowledgement, of each.
    assert!(world.words <= 10, "{} messages of words", world.words);
    for node in [INITIATOR, RESPONDER] {
        let outputs = world.nodes[node].router.forget_swap(ID).unwrap();
        world.commit_outside(node, outputs);
        assert!(world.nodes[node].store.rows.values().len() <= 2, "the numbers are kept");
    }
}

#[test]
fn a_crash_at_any_commit_of_either_store_ends_with_both_legs_moved_or_none() {
    let mut moved = 0;
    for backwards in [false, true] {
        for node in [INITIATOR, RESPONDER] {
            for crash in [Crash::Before, Crash::After] {
                for after in 0..40 {
                    let mut world = world();
                    world.joins_backwards = backwards;
                    let commit = world.nodes[node].commits + after;
                    world.crashes.push(CrashPoint { node, commit, crash });
                    propose(&mut world, ID);
                    pass(&mut world, 3);
                    pass(&mut world, 260);
                    let context = format!("{backwards} {node} {crash:?} {after}");
                    moved += usize::from(assert_both_or_none(&world, &context));
                }
            }
        }
    }
    assert!(moved > 200, "{moved} of 320 moved although somebody crashed");
}

#[test]
fn any_message_of_words_may_be_lost() {
    for lost in 1..=8 {
        let mut world = world();
        world.lost_words.push(world.words + lost);
        propose(&mut world, ID);
        pass(&mut world, 3);
        pass(&mut world, 260);
        assert!(assert_both_or_none(&world, &format!("message {lost}")), "message {lost}: what is lost is said again");
    }
}

#[test]
fn whoever_vanishes_at_any_step_the_other_one_loses_nothing() {
    for gone in [INITIATOR, RESPONDER] {
        for after in 0..40 {
            let mut world = begun(after);
            world.vanish(gone);
            pass(&mut world, 60);
            // Back after the target leg's expiry, before the source leg's: in time for all that was registered.
            world.come_back(gone);
            pass(&mut world, 240);
            let _moved = assert_both_or_none(&world, &format!("{gone} vanishes after {after} steps"));
        }
    }
}

#[test]
fn a_responder_that_answers_nothing_and_an_initiator_that_waits_are_given_up_in_time() {
    // Nobody answers.
    let mut world = world();
    world.vanish(RESPONDER);
    propose(&mut world, ID);
    pass(&mut world, 30);
    let Some(SwapStage::Ended { code, .. }) = stage(&world, INITIATOR, ID) else { panic!("it waits") };
    assert_eq!(code, Some(SwapCode::Late));
    world.come_back(RESPONDER);
    pass(&mut world, 3);
    assert_eq!(gains(&world), NONE);
    assert_nothing_is_open(&world);
}

#[test]
fn a_cancel_gives_back_what_is_locked_and_comes_too_late_once_the_secret_is_out() {
    // Cancelled by either at any step: both legs or none.
    for who in [INITIATOR, RESPONDER] {
        for after in 0..30 {
            let mut world = begun(after);
            if let Ok(outputs) = world.nodes[who].router.cancel_swap(ID) {
                world.commit_outside(who, outputs);
            }
            pass(&mut world, 3);
            assert_nothing_is_open(&world);
            let _moved = assert_both_or_none(&world, &format!("{who} cancels after {after} steps"));
        }
    }
    let mut world = world();
    propose(&mut world, ID);
    world.run();
    assert_eq!(world.nodes[INITIATOR].router.cancel_swap(ID), Err(SwapError::TooLate));
}

#[test]
fn what_cannot_be_proposed_is_refused_by_name_and_nothing_is_kept() {
    let mut world = world();
    let good = order(&world);
    let mut refused = |order| world.nodes[INITIATOR].router.propose_swap(ID, order, &[1; 32]).unwrap_err();
    let same = SwapOrder { target: (CHAIN, GOT), ..good };
    assert_eq!(refused(same), SwapError::Terms(SwapCode::Chain));
    let nowhere = network::At { ..crate::harness::at(0) }.chain;
    let unknown = protocol::signing::Domain { genesis: protocol::Hash([1; 32]), ..nowhere };
    assert_eq!(refused(SwapOrder { target: (unknown, GOT), ..good }), SwapError::NoChain);
    assert_eq!(refused(SwapOrder { source: (CHAIN, 0), ..good }), SwapError::Terms(SwapCode::Amount));
    assert_eq!(refused(SwapOrder { target: (OTHER_CHAIN, 0), ..good }), SwapError::Terms(SwapCode::Amount));
    assert_eq!(refused(SwapOrder { source: (CHAIN, FULL + 1), ..good }), SwapError::Terms(SwapCode::NoWay));
    assert_eq!(refused(SwapOrder { premium: FULL + 1, ..good }), SwapError::Terms(SwapCode::Premium));
    assert_eq!(world.nodes[INITIATOR].router.swaps().count(), 0);
    propose(&mut world, ID);
    let again = world.nodes[INITIATOR].router.propose_swap(ID, good, &[1; 32]);
    assert_eq!(again, Ok((SwapStage::Proposed, Vec::new())), "asked again, nothing is said twice");
    let other = SwapOrder { premium: 0, ..good };
    assert_eq!(world.nodes[INITIATOR].router.propose_swap(ID, other, &[1; 32]).unwrap_err(), SwapError::OtherSwap);
    // Without known block times no ladder is safe.
    let mut blind = policy(false);
    blind.chain.clock = None;
    let _told = world.nodes[INITIATOR].router.configure(blind);
    let none = world.nodes[INITIATOR].router.propose_swap(SwapId([6; 32]), good, &[2; 32]);
    assert_eq!(none.unwrap_err(), SwapError::NoBlockTime);
}

#[test]
fn what_a_responder_does_not_take_is_declined_by_name_and_nothing_is_locked() {
    let terms_of = |world: &World| world.nodes[INITIATOR].router.swap(&ID).unwrap().terms;
    let declined = |change: &dyn Fn(&mut SwapOrder), want: SwapCode| {
        let mut world = world();
        let mut order = order(&world);
        change(&mut order);
        let (_, outputs) = world.nodes[INITIATOR].router.propose_swap(ID, order, &ID.0).unwrap();
        let _terms = terms_of(&world);
        world.commit_outside(INITIATOR, outputs);
        world.run();
        let Some(SwapStage::Ended { code, .. }) = stage(&world, INITIATOR, ID) else { panic!("not declined") };
        assert_eq!(code, Some(want));
        assert_eq!(world.nodes[RESPONDER].router.swap(&ID), None, "of what is declined nothing is kept");
        assert_eq!(gains(&world), NONE);
    };
    declined(&|order| order.target.1 = GOT + 1, SwapCode::Rate);
    declined(&|order| order.source.1 = 99, SwapCode::Amount);
    declined(&|order| order.premium = PREMIUM - 1, SwapCode::Premium);
    declined(&|order| *order = SwapOrder { source: (CHAIN, 100_001), ..*order }, SwapCode::Amount);
}

/// Words as a peer sends them.
pub(crate) fn words(item: SwapItem) -> Vec<u8> {
    SwapWords::Items(vec![item]).to_bytes()
}

pub(crate) fn say(world: &mut World, to: usize, from: usize, bytes: Vec<u8>) {
    let peer = world.key(from);
    let outputs = world.nodes[to].router.handle(RouterInput::Swap { chain: CHAIN, peer, bytes });
    world.commit_outside(to, outputs);
}

#[test]
fn words_that_are_changed_after_they_were_acknowledged_clear_the_swap_and_lock_nothing() {
    let mut world = world();
    propose(&mut world, ID);
    let terms = world.nodes[INITIATOR].router.swap(&ID).unwrap().terms;
    // The responder has agreed; the initiator says other terms under the same number.
    for _ in 0..2 {
        let (node, channel) = world.ready().first().copied().unwrap();
        world.step(node, channel);
        if stage(&world, RESPONDER, ID).is_some() {
            break;
        }
    }
    assert_eq!(stage(&world, RESPONDER, ID), Some(SwapStage::Agreed));
    let more = SwapTerms { target: network::SwapLeg { amount: GOT + 1, ..terms.target }, ..terms };
    let body = Some(SwapBody::Propose { sequence: 1, terms: more });
    say(&mut world, RESPONDER, INITIATOR, words(SwapItem { id: ID, number: 1, acknowledges: 0, body }));
    pass(&mut world, 3);
    assert!(!assert_both_or_none(&world, "changed"));
    let Some(SwapStage::Ended { code, .. }) = stage(&world, RESPONDER, ID) else { panic!("it goes on") };
    assert_eq!(code, Some(SwapCode::WordsChanged));
}

#[test]
fn numbers_that_are_skipped_or_used_again_are_declined_with_the_next_one() {
    let mut world = world();
    propose(&mut world, ID);
    world.run();
    let terms = world.nodes[INITIATOR].router.swap(&ID).unwrap().terms;
    let lock =
        protocol::contracts::conditional::Preimage([77; 32]).lock(HashFunction::Sha2_256, &protocol::crypto::Native);
    for (sequence, id) in [(1, 61), (3, 62)] {
        let body = Some(SwapBody::Propose { sequence, terms: SwapTerms { lock, ..terms } });
        let item = SwapItem { id: SwapId([id; 32]), number: 1, acknowledges: 0, body };
        say(&mut world, RESPONDER, INITIATOR, words(item));
        assert_eq!(world.nodes[RESPONDER].router.swap(&SwapId([id; 32])), None);
    }
    // Two swaps of one lock.
    let body = Some(SwapBody::Propose { sequence: 2, terms });
    say(&mut world, RESPONDER, INITIATOR, words(SwapItem { id: SwapId([63; 32]), number: 1, acknowledges: 0, body }));
    assert_eq!(world.nodes[RESPONDER].router.swap(&SwapId([63; 32])), None);
    // The next own one is counted from there: the initiator is told that number 2 is used, and takes the next.
    propose(&mut world, SwapId([64; 32]));
    world.run();
    let Some(SwapStage::Ended { code, .. }) = stage(&world, INITIATOR, SwapId([64; 32])) else {
        panic!("not declined")
    };
    assert_eq!(code, Some(SwapCode::Sequence { expected: 3 }));
    propose(&mut world, SwapId([65; 32]));
    world.run();
    let Some(SwapStage::Ended { outcome, .. }) = stage(&world, INITIATOR, SwapId([65; 32])) else { panic!("stuck") };
    assert!(outcome.source_moved && outcome.target_moved);
}

#[test]
fn many_swaps_are_proposed_in_one_message() {
    let mut world = world();
    let order = SwapOrder { source: (CHAIN, 1_000), target: (OTHER_CHAIN, 2_000), premium: 20, ..order(&world) };
    let all: Vec<_> = (0..64_u8).map(|number| (SwapId([number; 32]), order, [number; 32])).collect();
    let before = world.words;
    let (begun, outputs) = world.nodes[INITIATOR].router.propose_swaps(&all);
    assert!(begun.iter().all(|stage| *stage == Ok(SwapStage::Proposed)));
    world.commit_outside(INITIATOR, outputs);
    assert_eq!(world.words - before, 1, "one message for all of them");
    world.run();
    assert_nothing_is_open(&world);
    assert_eq!(gains(&world), [(-64_000, 128_000), (64_000, -128_000)]);
}

#[test]
fn a_responder_goes_on_only_while_there_is_time_and_an_initiator_shows_the_secret_only_then() {
    // The responder sees the source chain further ahead than the initiator does.
    let mut world = world();
    propose(&mut world, ID);
    while stage(&world, RESPONDER, ID).is_none() {
        let (node, channel) = world.ready().first().copied().unwrap();
        world.step(node, channel);
    }
    let ahead = RouterInput::Head { chain: CHAIN, best: 106, finalised: 106 };
    world.give(RESPONDER, 0, Work::Tell(ahead));
    world.run();
    world.advance_both(6, 0);
    pass(&mut world, 3);
    assert!(!assert_both_or_none(&world, "the ladder is too short"));
    let Some(SwapStage::Ended { code: Some(SwapCode::Ladder { have, need }), .. }) = stage(&world, RESPONDER, ID)
    else {
        panic!("{:?}", stage(&world, RESPONDER, ID))
    };
    assert!(need > have);
}

#[test]
fn legs_go_through_a_hub_that_has_channels_on_both_chains() {
    let hub = RoutingPolicy { chain: policy(false).chain, ..hub_policy() };
    let quote = SwapQuote { premium: 0, ..policy(true).swaps.quotes[0] };
    let mut first = policy(false);
    first.swaps.takes_strangers = true;
    let mut second = policy(true);
    second.swaps.takes_strangers = true;
    second.swaps.quotes = vec![quote];
    let channels = [(0, 2, FULL, FULL), (2, 1, FULL, FULL)];
    let mut world = World::on_two_chains(vec![first, second, hub], &channels, &channels);
    let order = SwapOrder { premium: 0, ..order(&world) };
    let (_, outputs) = world.nodes[INITIATOR].router.propose_swap(ID, order, &ID.0).unwrap();
    world.commit_outside(INITIATOR, outputs);
    pass(&mut world, 3);
    assert_nothing_is_open(&world);
    assert_coins_are_kept(&world);
    for node in [INITIATOR, RESPONDER] {
        let Some(SwapStage::Ended { outcome, .. }) = stage(&world, node, ID) else {
            panic!("{:?}", stage(&world, node, ID))
        };
        assert!(outcome.source_moved && outcome.target_moved, "node {node}");
    }
    assert!(world.gain(2) > 0, "the hub takes its fees");
}

/// Goes on until the initiator has the target leg and has begun to claim it.
fn lock_both(world: &mut World) {
    while world.nodes[INITIATOR].store.sides[&OTHER].incoming.is_empty() {
        let (node, channel) = world.ready().first().copied().unwrap();
        world.step(node, channel);
    }
}

#[test]
fn a_swap_whose_source_leg_nobody_claims_is_over_for_the_initiator_once_that_leg_has_expired() {
    let mut world = world();
    propose(&mut world, ID);
    lock_both(&mut world);
    world.vanish(RESPONDER);
    pass(&mut world, 260);
    let Some(SwapStage::Ended { outcome, .. }) = stage(&world, INITIATOR, ID) else {
        panic!("it waits for ever: {:?}", stage(&world, INITIATOR, ID))
    };
    assert!(outcome.target_moved && !outcome.source_moved, "{outcome:?}");
    assert_eq!((gained(&world, INITIATOR, 0), gained(&world, INITIATOR, OTHER)), (0, 20_000));
    assert_eq!(world.nodes[INITIATOR].router.open(), (0, 0));
}

#[test]
fn no_premium_is_staked_beside_a_leg_with_other_words() {
    let mut world = world();
    world.faults.tamper = Some((RESPONDER, Tamper::Words));
    propose(&mut world, ID);
    pass(&mut world, 3);
    assert!(!assert_both_or_none(&world, "given back, it would have cost the premium"));
    assert_eq!(gains(&world), NONE);
}

#[test]
fn a_responder_that_left_a_claim_unanswered_gets_no_premium_by_its_next_leg() {
    let mut world = world();
    propose(&mut world, ID);
    lock_both(&mut world);
    world.vanish(RESPONDER);
    pass(&mut world, 60);
    world.come_back(RESPONDER);
    pass(&mut world, 3);
    assert!(assert_both_or_none(&world, "the first swap"));
    let is_barred = |notice: &RouterNotice| matches!(notice, RouterNotice::ClaimUnanswered { chain: OTHER_CHAIN, .. });
    assert!(world.nodes[INITIATOR].store.notices.iter().any(is_barred));
    propose(&mut world, SwapId([6; 32]));
    pass(&mut world, 3);
    assert_eq!(gains(&world), MOVED.map(|(source, target)| (2 * source, 2 * target)));
}

#[test]
fn no_premium_is_staked_where_finality_lags_too_far_for_the_secret_to_be_shown() {
    // The initiator sees it, and the responder does not, or locks its leg for the sake of the premium.
    let mut world = world();
    world.other.frozen = Some(5_000);
    world.advance_both(0, 18);
    world.run();
    propose(&mut world, ID);
    while world.nodes[RESPONDER].store.sides[&0].incoming.is_empty() {
        let (node, channel) = world.ready().first().copied().unwrap();
        world.step(node, channel);
    }
    let lags = RouterInput::Head { chain: OTHER_CHAIN, best: 5_021, finalised: 5_000 };
    let outputs = world.nodes[INITIATOR].router.handle(lags);
    world.commit_outside(INITIATOR, outputs);
    world.run();
    world.other.frozen = None;
    pass(&mut world, 260);
    assert_eq!(gains(&world), NONE, "the premium is not the responder's");
}
