//! Swaps with somebody who keeps to no rule, and after a store was damaged: nobody loses coins, and nobody is kept from swapping.

use crate::{
    harness::{CHAIN, Msg, OTHER, OTHER_CHAIN, Work, World, at, hub_policy},
    swaps::{
        FULL, GOT, ID, INITIATOR, PAID, PREMIUM, RESPONDER, assert_both_or_none, gained, order, pass, policy, propose,
        say, stage, words, world,
    },
};
use ::channel::transfer::{Intent, LockedCalls, Offer, Registered, Stake, TransferCommand, TransferTerms, Verdict};
use network::{
    At, ChainView, Instruction, Ladder, Restored, RestoredChannel, Router, RouterInput, RouterOutput, RoutingPolicy,
    SealKey, SwapBody, SwapCode, SwapId, SwapInstruction, SwapItem, SwapLeg, SwapOrder, SwapStage, SwapTerms,
    SwapWords,
};
use protocol::{
    Amount, PublicKey,
    contracts::{
        ContractId,
        conditional::{HashFunction, Preimage},
    },
    crypto::{Crypto, Native, SigningKey},
    signing::Domain,
};
use scale::Encode;

/// The words by which the responder agrees.
const ACCEPTED: SwapBody = SwapBody::Accept { sequence: 1 };

fn is_staked(router: &Router, at: &At, offer: &Offer) -> bool {
    // Which offer it stakes for is decided once it is asked.
    router.stakes(at, &ContractId([1; 32]), offer) != Stake::No
}

/// What opens the swap of [`ID`].
pub(crate) fn secret() -> Preimage {
    Preimage(Native.hash(&(b"isc-swap", &ID.0).encode()).0)
}

/// Only this node does what it has to do: the other one keeps to no rule.
fn drive(world: &mut World, node: usize) {
    while let Some(channel) = world.ready().into_iter().find(|(ready, _)| *ready == node).map(|(_, channel)| channel) {
        world.step(node, channel);
    }
}

fn step_until(world: &mut World, is_there: impl Fn(&World) -> bool) {
    while !is_there(world) {
        let (node, channel) = world.ready().first().copied().expect("it never happens");
        world.step(node, channel);
    }
}

/// Both have agreed as the responder sees it, and the initiator does nothing more of its own.
fn agreed() -> (World, SwapTerms) {
    let mut world = world();
    propose(&mut world, ID);
    step_until(&mut world, |world| stage(world, RESPONDER, ID) == Some(SwapStage::Agreed));
    world.nodes[INITIATOR].queues.clear();
    drive(&mut world, RESPONDER);
    world.nodes[INITIATOR].queues.clear();
    let terms = world.nodes[RESPONDER].router.swap(&ID).unwrap().terms;
    (world, terms)
}

/// What a leg says whose receiver agreed by these words.
fn leg(sequence: u64, words: &SwapBody) -> Vec<u8> {
    leg_of(ID, sequence, words)
}

pub(crate) fn leg_of(id: SwapId, sequence: u64, words: &SwapBody) -> Vec<u8> {
    let acknowledges = SwapTerms::acknowledged(words);
    Instruction::Swap(SwapInstruction { id, source: CHAIN, sequence, acknowledges }).to_bytes().unwrap()
}

fn offer(world: &mut World, (to, channel): (usize, usize), number: u8, offer: Offer) -> ContractId {
    let contract = ContractId([number; 32]);
    let Offer { terms, premium, instruction, .. } = offer;
    world.give(to, channel, Work::Message(Msg::Offer { contract, terms, premium, instruction }));
    contract
}

fn of_source(terms: &SwapTerms, amount: Amount, instruction: Vec<u8>) -> Offer {
    let terms = TransferTerms { amount, lock: terms.lock, expiry: terms.source.expiry };
    Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction }
}

/// The target legs that a node has sent off.
fn sent(world: &World, node: usize) -> Vec<TransferTerms> {
    let of = |(from, channel, message): &(usize, usize, Msg)| match message {
        Msg::Offer { terms, .. } if *from == node && *channel >= OTHER => Some(*terms),
        _ => None,
    };
    world.said.iter().filter_map(of).collect()
}

fn intent(world: &World, node: usize, channel: usize) -> Option<Intent> {
    world.nodes[node].store.sides[&channel].incoming.values().next().map(|row| row.intent.clone())
}

#[test]
fn a_transfer_that_is_given_back_is_no_part_of_a_leg_after_a_start() {
    let (mut world, terms) = agreed();
    let wrong = of_source(&terms, PAID - 1, leg(9, &ACCEPTED));
    let given_back = offer(&mut world, (RESPONDER, 0), 1, wrong);
    drive(&mut world, RESPONDER);
    assert!(matches!(intent(&world, RESPONDER, 0), Some(Intent::Fail(_))));
    // The initiator does not let the responder give it back, and waits for it to start anew.
    world.crash(RESPONDER);
    drive(&mut world, RESPONDER);
    let rest = of_source(&terms, 1, leg(1, &ACCEPTED));
    let _rest = offer(&mut world, (RESPONDER, 0), 2, rest);
    drive(&mut world, RESPONDER);
    assert_eq!(sent(&world, RESPONDER), [], "for one coin");
    // Nor does the swap come to nothing with it.
    world.give(RESPONDER, 0, Work::Message(Msg::FailAck(given_back)));
    drive(&mut world, RESPONDER);
    assert_eq!(stage(&world, RESPONDER, ID), Some(SwapStage::Agreed));
}

/// The responder has sent the target leg off, and the initiator does nothing more of its own.
fn locked() -> (World, SwapTerms) {
    let mut world = world();
    propose(&mut world, ID);
    step_until(&mut world, |world| !sent(world, RESPONDER).is_empty());
    let terms = world.nodes[RESPONDER].router.swap(&ID).unwrap().terms;
    (world, terms)
}

#[test]
fn a_source_leg_is_not_given_back_before_the_target_chain_has_joined() {
    for (is_claimed_at_once, joins_backwards) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut world, terms) = locked();
        world.joins_backwards = joins_backwards;
        let body = Some(SwapBody::Cancel(SwapCode::Cancelled));
        say(&mut world, RESPONDER, INITIATOR, words(SwapItem { id: ID, number: 2, acknowledges: 1, body }));
        drive(&mut world, RESPONDER);
        if is_claimed_at_once {
            // The target leg's row says so, and the source leg's does not yet.
            world.register_on(INITIATOR, OTHER_CHAIN, terms.lock, secret());
            while world.ready().contains(&(RESPONDER, OTHER)) {
                world.step(RESPONDER, OTHER);
            }
        }
        // The source chain's store says that the swap comes to nothing.
        world.crash(RESPONDER);
        drive(&mut world, RESPONDER);
        assert!(!matches!(intent(&world, RESPONDER, 0), Some(Intent::Fail(_))), "it is owed");
        world.register_on(INITIATOR, OTHER_CHAIN, terms.lock, secret());
        drive(&mut world, RESPONDER);
        assert_eq!(intent(&world, RESPONDER, 0), Some(Intent::Claim(secret())));
    }
}

/// A node started from its store, the channels of one chain, or of both, damaged: what went out by those is not known.
pub(crate) fn restarted(world: &World, node: usize, damaged: &[Domain]) -> (Router, Vec<RouterOutput>) {
    let this = &world.nodes[node];
    let seed = [this.seed; 32];
    let mut router = Router::new(SigningKey::from_seed(&seed), SealKey::from_seed(&seed), this.policy.clone());
    let mut outputs = router.handle(RouterInput::Tick(world.now));
    for (chain, height) in [(CHAIN, world.view.height), (OTHER_CHAIN, world.other.height)] {
        outputs.extend(router.handle(RouterInput::Head { chain, best: height, finalised: height }));
    }
    for (chain, channel, rows) in [(CHAIN, 0, &this.store.rows), (OTHER_CHAIN, OTHER, &this.store.other_rows)] {
        let (side, is_whole) = (&this.store.sides[&channel], !damaged.contains(&chain));
        let restored = RestoredChannel {
            at: at(channel),
            peer: world.key(world.peer(node, channel)),
            incoming: side.incoming.values().filter(|_| is_whole).cloned().collect(),
            outgoing: side.outgoing.values().filter(|_| is_whole).cloned().collect(),
            is_whole,
        };
        let rows = rows.clone().into_iter().collect();
        outputs.extend(router.handle(RouterInput::Restored(Restored { chain, channels: vec![restored], rows })));
    }
    (router, outputs)
}

fn fails(outputs: &[RouterOutput]) -> bool {
    outputs.iter().any(|output| matches!(output, RouterOutput::Command { command: TransferCommand::Fail { .. }, .. }))
}

#[test]
fn i4_a_source_leg_whose_target_leg_may_have_gone_on_unread_is_kept_and_claimed_once_that_is_paid() {
    let (world, terms) = locked();
    let (mut router, mut outputs) = restarted(&world, RESPONDER, &[OTHER_CHAIN]);
    let late = terms.lock_by + 1;
    outputs.extend(router.handle(RouterInput::Head { chain: OTHER_CHAIN, best: late, finalised: late }));
    outputs.extend(router.handle(RouterInput::Tick(world.now + 900_000)));
    assert!(!fails(&outputs), "{outputs:?}");
    let shown = RouterInput::Shown { chain: OTHER_CHAIN, lock: terms.lock, preimage: secret(), at: Some(late) };
    let claims = |output: &RouterOutput| matches!(output, RouterOutput::Command { at: to, command: TransferCommand::Claim { .. } } if *to == at(0));
    let outputs = router.handle(shown);
    assert!(outputs.iter().any(claims), "{outputs:?}");
}

#[test]
fn a_target_leg_whose_source_leg_cannot_be_read_is_paid_only_while_that_can_be_claimed() {
    let (world, terms) = locked();
    let (mut router, _) = restarted(&world, RESPONDER, &[CHAIN]);
    let (key, row) = world.nodes[RESPONDER].store.sides[&OTHER].outgoing.iter().next().unwrap();
    let mut verdict = |best| {
        drop(router.handle(RouterInput::Head { chain: CHAIN, best, finalised: best }));
        router.may_be_claimed(&at(OTHER), key, &row.offer.terms, Registered::Silent { at: 5_000 })
    };
    let margin = policy(true).chain.margins.forward();
    assert_eq!(verdict(terms.source.expiry - margin - 1), Verdict::Agree);
    assert_eq!(verdict(terms.source.expiry - margin), Verdict::NotYet);
}

#[test]
fn a_swap_whose_row_cannot_be_read_is_not_begun_anew() {
    let (mut world, terms) = locked();
    for rows in [INITIATOR, RESPONDER].map(|node| world.nodes[node].store.rows.clone()) {
        assert!(rows.keys().any(|key| key.0.first() == Some(&5)));
    }
    for node in [INITIATOR, RESPONDER] {
        let rows = &mut world.nodes[node].store.rows;
        rows.iter_mut().filter(|(key, _)| key.0.first() == Some(&5)).for_each(|(_, row)| row.truncate(3));
    }
    let order = order(&world);
    let (mut initiator, _) = restarted(&world, INITIATOR, &[]);
    assert!(initiator.propose_swap(ID, order, &[9; 32]).is_err());
    let (mut responder, _) = restarted(&world, RESPONDER, &[]);
    let body = Some(SwapBody::Propose { sequence: 2, terms });
    let bytes = words(SwapItem { id: ID, number: 1, acknowledges: 0, body });
    let outputs = responder.handle(RouterInput::Swap { chain: CHAIN, peer: world.key(INITIATOR), bytes });
    assert_eq!(outputs, vec![]);
}

/// The initiator has locked the source leg, and the responder says what it likes.
pub(crate) fn waits(policies: Vec<RoutingPolicy>) -> (World, SwapTerms) {
    let mut world = World::on_two_chains(policies, &[(0, 1, FULL, FULL)], &[(0, 1, FULL, FULL)]);
    propose(&mut world, ID);
    let is_locked = |world: &World| {
        world
            .said
            .iter()
            .any(|(from, channel, message)| (*from, *channel) == (INITIATOR, 0) && matches!(message, Msg::Offer { .. }))
    };
    step_until(&mut world, is_locked);
    world.nodes[RESPONDER].queues.clear();
    let terms = world.nodes[INITIATOR].router.swap(&ID).unwrap().terms;
    (world, terms)
}

pub(crate) fn of_target(terms: &SwapTerms, words: u64) -> Offer {
    let proposed = SwapBody::Propose { sequence: 1, terms: *terms };
    let leg = leg(words, &proposed);
    let terms = TransferTerms { amount: GOT, lock: terms.lock, expiry: terms.target.expiry };
    Offer { terms, premium: PREMIUM, calls: LockedCalls::NONE, instruction: leg }
}

#[test]
fn no_premium_is_staked_beside_what_is_not_taken_for_the_target_leg() {
    let policies = || vec![policy(false), policy(true)];
    let (mut world, terms) = waits(policies());
    let stakes = |world: &World, offer: &Offer| is_staked(&world.nodes[INITIATOR].router, &at(OTHER), offer);
    let good = of_target(&terms, 1);
    assert!(stakes(&world, &good));
    assert!(!stakes(&world, &of_target(&terms, 2)), "it would be given back, and the premium is the responder's");
    assert!(!stakes(&world, &Offer { instruction: Vec::new(), ..good.clone() }));
    // A chain whose finality stands still: the pre-image would not be shown.
    let head = |best| RouterInput::Head { chain: OTHER_CHAIN, best, finalised: 5_000 };
    for (best, is_staked) in [(terms.lock_by, true), (terms.lock_by + 1, false)] {
        drop(world.nodes[INITIATOR].router.handle(head(best)));
        assert_eq!(stakes(&world, &good), is_staked, "{best}");
    }
    let (mut world, terms) = waits(policies());
    let wrong = Offer { instruction: vec![1, 2, 3], ..of_target(&terms, 1) };
    let _wrong = offer(&mut world, (INITIATOR, OTHER), 1, wrong);
    drive(&mut world, INITIATOR);
    assert_eq!(gained(&world, INITIATOR, OTHER), 0);
}

#[test]
fn no_premium_is_staked_for_a_hub_or_before_a_block_is_known() {
    let (world, terms) = waits(vec![policy(false), policy(true)]);
    let good = of_target(&terms, 1);
    let mut router = restarted(&world, INITIATOR, &[]).0;
    assert!(is_staked(&router, &at(OTHER), &good));
    let hubs = at(OTHER + 1);
    let limits = ::channel::transfer::TransferLimits::default();
    drop(router.handle(RouterInput::ChannelUp { at: hubs, peer: PublicKey([9; 32]), limits }));
    assert!(!is_staked(&router, &hubs, &good), "a hub of the source leg knows the lock");
}

#[test]
fn a_target_leg_with_a_premium_is_not_given_back_for_a_bound_of_the_initiators() {
    // The responder has used up its offers; or it was barred before.
    let first = RoutingPolicy { burst: 0, ..policy(false) };
    let mut world = World::on_two_chains(vec![first, policy(true)], &[(0, 1, FULL, FULL)], &[(0, 1, FULL, FULL)]);
    propose(&mut world, ID);
    pass(&mut world, 3);
    pass(&mut world, 260);
    assert!(assert_both_or_none(&world, "the initiator's bounds"));
}

#[test]
fn a_target_leg_goes_through_no_hub_that_has_it_expire_too_late_for_the_source_leg() {
    // The hub is the initiator's friend.
    let hub = RoutingPolicy { chain: policy(false).chain, delta: 600, ..hub_policy() };
    let mut second = policy(true);
    second.swaps.quotes[0].premium = 0;
    let mut first = policy(false);
    for policy in [&mut first, &mut second] {
        policy.swaps.takes_strangers = true;
    }
    let channels = [(0, 2, FULL, FULL), (2, 1, FULL, FULL)];
    let mut world = World::on_two_chains(vec![first, second, hub], &[(0, 1, FULL, FULL)], &channels);
    let order = SwapOrder { premium: 0, ..order(&world) };
    let (_, outputs) = world.nodes[INITIATOR].router.propose_swap(ID, order, &ID.0).unwrap();
    let honest = world.nodes[INITIATOR].router.swap(&ID).unwrap().terms;
    drop(outputs);
    let clock = policy(false).chain.clock.unwrap();
    let view = |best| ChainView {
        best,
        clock,
        finality: 3,
        margins: policy(false).chain.margins,
        lag_of_pledge: None,
        pledge_delta: 0,
    };
    let shortest = Ladder::shortest(&view(100), &view(5_000), 30_000, 30_000, 0).unwrap();
    assert!(honest.source.expiry > shortest.source, "an honest initiator leaves time for its hub");
    // This one says nothing of it.
    let source = SwapLeg { expiry: shortest.source, ..honest.source };
    let body = Some(SwapBody::Propose { sequence: 1, terms: SwapTerms { source, ..honest } });
    say(&mut world, RESPONDER, INITIATOR, words(SwapItem { id: ID, number: 1, acknowledges: 0, body }));
    drive(&mut world, RESPONDER);
    let proposed = of_source(&SwapTerms { source, ..honest }, PAID, leg(1, &ACCEPTED));
    let _leg = offer(&mut world, (RESPONDER, 0), 1, proposed);
    drive(&mut world, RESPONDER);
    for terms in sent(&world, RESPONDER) {
        let ladder = Ladder { lock_by: honest.lock_by, target: terms.expiry, source: source.expiry };
        assert_eq!(ladder.check(&view(100), &view(5_000), 30_000), Ok(()), "{terms:?}");
    }
}

#[test]
fn a_swap_that_would_leave_the_initiator_the_choice_for_long_is_declined() {
    let mut base = world();
    propose(&mut base, SwapId([9; 32]));
    let terms = base.nodes[INITIATOR].router.swap(&SwapId([9; 32])).unwrap().terms;
    let lock = Preimage([77; 32]).lock(HashFunction::Sha2_256, &Native);
    let source = SwapLeg { expiry: terms.source.expiry + 9_000, ..terms.source };
    let target = SwapLeg { expiry: terms.target.expiry + 1_000, ..terms.target };
    for (lock_by, is_taken) in [(terms.lock_by + 1_000, false), (terms.lock_by, false), (terms.lock_by + 4, true)] {
        let target = if is_taken { SwapLeg { expiry: terms.target.expiry + 4, ..target } } else { target };
        let mut world = world();
        let body = Some(SwapBody::Propose { sequence: 1, terms: SwapTerms { lock, source, target, lock_by, ..terms } });
        say(&mut world, RESPONDER, INITIATOR, words(SwapItem { id: ID, number: 1, acknowledges: 0, body }));
        assert_eq!(stage(&world, RESPONDER, ID).is_some(), is_taken, "until {lock_by}, {}", target.expiry);
    }
}

#[test]
fn swaps_with_ids_in_any_order_are_heard_in_the_order_of_their_numbers() {
    let mut world = world();
    let order = SwapOrder { source: (CHAIN, 1_000), target: (OTHER_CHAIN, 2_000), premium: 20, ..order(&world) };
    let all: Vec<_> = (0..64_u8).map(|number| (SwapId([255 - number; 32]), order, [number; 32])).collect();
    let (begun, outputs) = world.nodes[INITIATOR].router.propose_swaps(&all);
    assert!(begun.iter().all(Result::is_ok));
    world.commit_outside(INITIATOR, outputs);
    world.run();
    assert_eq!(gained(&world, RESPONDER, 0), 64_000);
}

#[test]
fn a_swap_whose_source_leg_expires_after_the_target_leg_was_claimed_is_over() {
    let (mut world, _) = locked();
    world.vanish(RESPONDER);
    pass(&mut world, 300);
    let Some(SwapStage::Ended { outcome, .. }) = stage(&world, INITIATOR, ID) else {
        panic!("{:?}", stage(&world, INITIATOR, ID))
    };
    assert!(outcome.target_moved && !outcome.source_moved);
}

/// A proposal of a peer's own making, by number.
fn proposal(terms: SwapTerms, number: u8) -> SwapItem {
    let lock = Preimage([number; 32]).lock(HashFunction::Sha2_256, &Native);
    let body = Some(SwapBody::Propose { sequence: u64::from(number), terms: SwapTerms { lock, ..terms } });
    SwapItem { id: SwapId([number; 32]), number: 1, acknowledges: 0, body }
}

#[test]
fn swaps_that_come_to_nothing_keep_nobody_from_swapping() {
    let second = RoutingPolicy { max_kept: 4, ..policy(true) };
    let policies = vec![policy(false), second];
    let mut world = World::on_two_chains(policies, &[(0, 1, FULL, FULL)], &[(0, 1, FULL, FULL)]);
    let order = order(&world);
    let (_, outputs) = world.nodes[INITIATOR].router.propose_swap(SwapId([99; 32]), order, &[9; 32]).unwrap();
    drop(outputs);
    let terms = world.nodes[INITIATOR].router.swap(&SwapId([99; 32])).unwrap().terms;
    for number in 1..=20 {
        say(&mut world, RESPONDER, INITIATOR, words(proposal(terms, number)));
        let id = SwapId([number; 32]);
        assert_eq!(stage(&world, RESPONDER, id), Some(SwapStage::Agreed), "swap {number}");
        let body = Some(SwapBody::Cancel(SwapCode::Cancelled));
        say(&mut world, RESPONDER, INITIATOR, words(SwapItem { id, number: 2, acknowledges: 1, body }));
        assert!(matches!(stage(&world, RESPONDER, id), Some(SwapStage::Ended { .. })));
    }
    assert!(world.nodes[RESPONDER].router.swaps().count() <= 4);
    assert!(world.nodes[RESPONDER].store.rows.len() <= 6, "{:?}", world.nodes[RESPONDER].store.rows.keys());
}

#[test]
fn strangers_have_no_more_kept_than_a_policy_says_and_none_has_quotes_kept_that_nobody_asked_for() {
    let mut second = RoutingPolicy { max_kept: 4, ..policy(true) };
    second.swaps.takes_strangers = true;
    let policies = vec![policy(false), second];
    let mut world = World::on_two_chains(policies, &[(0, 1, FULL, FULL)], &[(0, 1, FULL, FULL)]);
    let order = order(&world);
    let _begun = world.nodes[INITIATOR].router.propose_swap(SwapId([99; 32]), order, &[9; 32]).unwrap();
    let terms = world.nodes[INITIATOR].router.swap(&SwapId([99; 32])).unwrap().terms;
    let too_much = SwapTerms { target: SwapLeg { amount: FULL, ..terms.target }, ..terms };
    for number in 1..=50 {
        let peer = SigningKey::from_seed(&[100 + number; 32]).public();
        let item =
            SwapItem { body: Some(SwapBody::Propose { sequence: 1, terms: too_much }), ..proposal(terms, number) };
        let quotes = SwapWords::Quotes(policy(true).swaps.quotes).to_bytes();
        for bytes in [words(item), quotes] {
            let outputs = world.nodes[RESPONDER].router.handle(RouterInput::Swap { chain: CHAIN, peer, bytes });
            let rows = outputs.into_iter().filter(|output| matches!(output, RouterOutput::Row { .. }));
            world.commit_outside(RESPONDER, rows.collect());
        }
        assert_eq!(world.nodes[RESPONDER].router.quotes(CHAIN, peer), None);
    }
    assert!(world.nodes[RESPONDER].store.rows.len() <= 4, "{}", world.nodes[RESPONDER].store.rows.len());
}

#[test]
fn what_is_said_again_is_acknowledged_and_written_down_once() {
    let (mut world, terms) = agreed();
    let item = SwapItem { body: Some(SwapBody::Propose { sequence: 1, terms }), ..proposal(terms, 1) };
    let bytes = words(SwapItem { id: ID, ..item });
    let peer = world.key(INITIATOR);
    let outputs = world.nodes[RESPONDER].router.handle(RouterInput::Swap { chain: CHAIN, peer, bytes });
    assert!(matches!(outputs.as_slice(), [RouterOutput::Tell { .. }]), "{outputs:?}");
}

#[test]
fn a_swap_waits_for_the_first_block_of_either_chain_after_a_start() {
    for missing in [CHAIN, OTHER_CHAIN] {
        let (mut world, terms) = agreed();
        let whole = of_source(&terms, PAID, leg(1, &ACCEPTED));
        let _leg = offer(&mut world, (RESPONDER, 0), 1, whole);
        let (node, channel) = world.ready().into_iter().find(|(node, _)| *node == RESPONDER).unwrap();
        world.step(node, channel);
        let this = &world.nodes[RESPONDER];
        let seed = [this.seed; 32];
        let mut router = Router::new(SigningKey::from_seed(&seed), SealKey::from_seed(&seed), this.policy.clone());
        drop(router.handle(RouterInput::Tick(world.now)));
        let head = |chain| {
            let best = if chain == CHAIN { 100 } else { 5_000 };
            RouterInput::Head { chain, best, finalised: best }
        };
        for chain in [CHAIN, OTHER_CHAIN].into_iter().filter(|chain| *chain != missing) {
            drop(router.handle(head(chain)));
        }
        for (chain, channel, rows) in [(CHAIN, 0, &this.store.rows), (OTHER_CHAIN, OTHER, &this.store.other_rows)] {
            let incoming = this.store.sides[&channel].incoming.values().cloned().collect();
            let peer = world.key(INITIATOR);
            let restored = RestoredChannel { at: at(channel), peer, incoming, outgoing: Vec::new(), is_whole: true };
            let rows = rows.clone().into_iter().collect();
            let outputs = router.handle(RouterInput::Restored(Restored { chain, channels: vec![restored], rows }));
            assert!(!fails(&outputs), "{outputs:?}");
            let limits = ::channel::transfer::TransferLimits::default();
            drop(router.handle(RouterInput::ChannelUp { at: at(channel), peer, limits }));
            drop(router.handle(RouterInput::Spendable { at: at(channel), amount: FULL, risked: FULL }));
        }
        let outputs = router.handle(head(missing));
        let is_offer = |output: &RouterOutput| {
            matches!(
                output,
                RouterOutput::Command {
                    command: TransferCommand::Offer { .. } | TransferCommand::OfferStaked { .. },
                    ..
                }
            )
        };
        assert!(outputs.iter().any(is_offer), "{outputs:?}");
    }
}
