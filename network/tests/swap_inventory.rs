//! What agreed swaps hold of a responder's inventory: no more than a share for one who locks nothing, and not beyond the block until which the target leg may be locked (R8.5f).

use crate::{
    harness::{CHAIN, Msg, OTHER, OTHER_CHAIN, Work, World, hub_policy},
    swaps::{FULL, INITIATOR, RESPONDER, pass, policy, say, stage, words},
    swaps_audit::leg_of,
};
use ::channel::transfer::TransferTerms;
use network::{RoutingPolicy, SwapBody, SwapCode, SwapId, SwapItem, SwapOrder, SwapQuote, SwapStage, SwapTerms};
use protocol::{
    Amount, Hash,
    contracts::{
        ContractId,
        conditional::{HashFunction, Preimage},
    },
    crypto::Native,
    signing::Domain,
};

/// All that the responder swaps at once.
const INVENTORY: Amount = 100_000;
/// What each of these swaps takes of it.
const EACH: Amount = 20_000;

fn responder() -> RoutingPolicy {
    let mut policy = policy(true);
    policy.swaps.quotes[0].inventory = INVENTORY;
    policy.swaps.quotes[0].premium = 0;
    policy
}

/// An initiator and another customer, with channels to a responder on both chains.
fn world(responder: RoutingPolicy) -> World {
    let channels = [(0, 1, FULL, FULL), (2, 1, FULL, FULL)];
    World::on_two_chains(vec![policy(false), responder, policy(false)], &channels, &channels)
}

/// The terms that an initiator would propose now.
fn terms(world: &mut World) -> SwapTerms {
    let order = SwapOrder {
        responder: world.key(RESPONDER),
        source: (CHAIN, EACH / 2),
        target: (OTHER_CHAIN, EACH),
        premium: 0,
    };
    let (id, heads) = (SwapId([200; 32]), world.heads(INITIATOR));
    let router = &mut world.nodes[INITIATOR].router;
    // It is away, and what it would propose now is not.
    heads.into_iter().for_each(|head| drop(router.handle(head)));
    drop(router.propose_swap(id, order, &[9; 32]).unwrap());
    let terms = router.swap(&id).unwrap().terms;
    drop(router.cancel_swap(id).unwrap());
    drop(router.forget_swap(id).unwrap());
    terms
}

/// A proposal with a lock of its own, by number.
fn proposal(terms: SwapTerms, sequence: u64, number: u8) -> SwapItem {
    let lock = Preimage([number; 32]).lock(HashFunction::Sha2_256, &Native);
    let body = Some(SwapBody::Propose { sequence, terms: SwapTerms { lock, ..terms } });
    SwapItem { id: SwapId([number; 32]), number: 1, acknowledges: 0, body }
}

/// Whether the responder agrees to what somebody proposes who does nothing else.
fn is_agreed(world: &mut World, from: usize, sequence: u64, number: u8) -> bool {
    let item = proposal(terms(world), sequence, number);
    say(world, RESPONDER, from, words(item));
    stage(world, RESPONDER, SwapId([number; 32])) == Some(SwapStage::Agreed)
}

/// Proposes one swap after the other: which of them are agreed to.
fn agreed(world: &mut World, from: usize, first: u8, count: u8) -> Vec<bool> {
    let number = if from == INITIATOR { 0 } else { 100 };
    (first..first + count).map(|sequence| is_agreed(world, from, u64::from(sequence), number + sequence)).collect()
}

/// Blocks pass, and nobody but the responder does anything; then the others are back.
fn pass_alone(world: &mut World, blocks: u32) {
    for node in [INITIATOR, 2] {
        world.vanish(node);
    }
    pass(world, blocks);
    for node in [INITIATOR, 2] {
        world.come_back(node);
    }
    world.run();
}

#[test]
fn who_agrees_and_locks_nothing_holds_a_share_of_the_inventory_and_nothing_beyond_the_last_block_for_the_target_leg() {
    let mut world = world(responder());
    assert_eq!(agreed(&mut world, INITIATOR, 1, 4), [true, true, false, false]);
    // Another one has its own share.
    assert_eq!(agreed(&mut world, 2, 1, 1), [true]);
    let lock_by = world.nodes[RESPONDER].router.swap(&SwapId([1; 32])).unwrap().terms.lock_by;
    let left = lock_by - world.other.height;
    pass_alone(&mut world, left);
    assert_eq!(agreed(&mut world, INITIATOR, 5, 1), [false], "it may be locked in this block");
    pass_alone(&mut world, 1);
    for id in [1, 2] {
        let Some(SwapStage::Ended { outcome, code }) = stage(&world, RESPONDER, SwapId([id; 32])) else { panic!() };
        assert_eq!((outcome.target_moved, code), (false, Some(SwapCode::Late)));
    }
    assert_eq!(agreed(&mut world, INITIATOR, 6, 3), [true, true, false]);
}

#[test]
fn what_a_peer_holds_with_nothing_locked_is_counted_again_after_a_start() {
    let mut world = world(responder());
    assert_eq!(agreed(&mut world, INITIATOR, 1, 3), [true, true, false]);
    world.crash(RESPONDER);
    world.run();
    assert_eq!(agreed(&mut world, INITIATOR, 4, 1), [false]);
    pass_alone(&mut world, 12);
    assert_eq!(agreed(&mut world, INITIATOR, 5, 3), [true, true, false]);
}

#[test]
fn a_part_of_the_source_leg_that_its_payer_does_not_take_back_holds_nothing_of_the_inventory() {
    let mut world = world(responder());
    assert_eq!(agreed(&mut world, INITIATOR, 1, 2), [true, true]);
    // Both cancel, and the initiator signs nothing of what is given back: those swaps are not over before the source leg's expiry.
    for id in [1, 2] {
        let terms = world.nodes[RESPONDER].router.swap(&SwapId([id; 32])).unwrap().terms;
        let accept = SwapBody::Accept { sequence: u64::from(id) };
        let leg = leg_of(SwapId([id; 32]), u64::from(id), &accept);
        let part = TransferTerms { amount: 1, lock: terms.lock, expiry: terms.source.expiry };
        let message = Msg::Offer { contract: ContractId([id; 32]), terms: part, premium: 0, instruction: leg };
        world.give(RESPONDER, 0, Work::Message(message));
    }
    pass_alone(&mut world, 12);
    for id in [1, 2] {
        assert_eq!(stage(&world, RESPONDER, SwapId([id; 32])), Some(SwapStage::Clearing(SwapCode::Late)));
    }
    assert_eq!(agreed(&mut world, INITIATOR, 3, 3), [true, true, false]);
}

#[test]
fn what_is_locked_is_of_nobodys_share_and_counts_until_it_is_over() {
    let mut world = world(responder());
    let order = SwapOrder {
        responder: world.key(RESPONDER),
        source: (CHAIN, EACH / 2),
        target: (OTHER_CHAIN, EACH),
        premium: 0,
    };
    let swaps: Vec<_> = (1..=2_u8).map(|number| (SwapId([number; 32]), order, [number; 32])).collect();
    let (_, outputs) = world.nodes[INITIATOR].router.propose_swaps(&swaps);
    world.commit_outside(INITIATOR, outputs);
    let sent = |world: &World| {
        let is_leg = |(from, channel, message): &&(usize, usize, Msg)| {
            *from == RESPONDER && *channel >= OTHER && matches!(message, Msg::Offer { .. })
        };
        world.said.iter().filter(is_leg).count()
    };
    while sent(&world) < 2 {
        let (node, channel) = world.ready().first().copied().unwrap();
        world.step(node, channel);
    }
    // Both target legs are locked: 40,000; the initiator has its share of what is left, and all of it is 100,000.
    world.nodes[INITIATOR].queues.clear();
    assert_eq!(agreed(&mut world, INITIATOR, 3, 3), [true, true, false]);
    assert_eq!(agreed(&mut world, 2, 1, 2), [true, false]);
}

#[test]
fn strangers_have_one_share_together() {
    let hub = RoutingPolicy { chain: policy(false).chain, ..hub_policy() };
    let mut desk = responder();
    desk.swaps.takes_strangers = true;
    // A hub has channels with all of them, and they have none with each other.
    let channels = [(0, 3, FULL, FULL), (3, 1, FULL, FULL), (2, 3, FULL, FULL)];
    let mut world = World::on_two_chains(vec![policy(false), desk, policy(false), hub], &channels, &channels);
    assert_eq!(agreed(&mut world, INITIATOR, 1, 2), [true, true]);
    assert_eq!(agreed(&mut world, 2, 1, 1), [false]);
}

#[test]
fn proposals_that_wait_for_the_user_hold_nothing_of_what_is_quoted() {
    let mut policy = responder();
    policy.swaps.asks_user = true;
    // The quote is for another coin of the same target chain.
    let quote = policy.swaps.quotes[0];
    let other = Domain { genesis: Hash([77; 32]), ..CHAIN };
    policy.swaps.quotes = vec![SwapQuote { source: other, ..quote }];
    let mut world = world(policy.clone());
    assert_eq!(agreed(&mut world, INITIATOR, 1, 5), [false; 5], "the user is asked");
    for id in 1..=5 {
        assert_eq!(stage(&world, RESPONDER, SwapId([id; 32])), Some(SwapStage::Proposed));
    }
    policy.swaps.quotes = vec![quote];
    drop(world.nodes[RESPONDER].router.configure(policy));
    assert_eq!(agreed(&mut world, 2, 1, 2), [true, true]);
    // What the user agrees to counts.
    let outputs = world.nodes[RESPONDER].router.accept_swap(SwapId([1; 32])).unwrap();
    world.commit_outside(RESPONDER, outputs);
    assert_eq!(agreed(&mut world, INITIATOR, 6, 2), [true, false]);
}
