//! Cases of `docs/catalogue.md`, "Payments across channels", that no other file here is about.

use super::*;
use crate::harness::{LOCK, chain::FUNDS};
use channel::{Change, Message, RefusalCode, Update};
use protocol::Pair;

impl World {
    /// The next round that is this party's to propose, as its peer sees it.
    fn next_round_of(&self, party: Party) -> protocol::Round {
        let next = self.sides[party.peer()].round() + 1;
        if Party::owner_of(next) == party { next } else { next + 1 }
    }
}

/// Case T1d: the payee registers nothing, and shows its pre-image to its peer alone.
#[test]
fn a_claim_in_any_block_around_the_expiry_is_agreed_to_by_the_payers_own_heads_whatever_height_the_round_names() {
    for distance in -20_i64..=20 {
        for (lag, height) in [(0, 0), (0, BlockNumber::MAX), (3, 0), (3, BlockNumber::MAX)] {
            let mut world = World::opened();
            let expiry = world.chain.head() + 30;
            world.offer(Initiator, 1, 100, 30).unwrap();
            world.run();
            let contract = world.contract_of(Responder, 1).unwrap();
            world.lag[Initiator] = lag;
            let at = BlockNumber::try_from(i64::from(expiry) + distance).unwrap();
            world.mine_blocks(at - world.chain.head());
            let claim = vec![Change::Claim { contract, preimage: secret(1).0, calls: Vec::new() }];
            let balances = Pair::new(SHARE - 100, SHARE + 100);
            let update = world.forge_update_to(Responder, world.next_round_of(Responder), claim, balances);
            world.hear(Initiator, Message::Update(Update { height, ..update }));
            let left = world.sides[Initiator].machine().contracts().unwrap().transfers();
            assert_eq!(left == 0, distance < 0, "{distance} blocks from the expiry, the payer {lag} blocks behind");
        }
    }
}

/// Case T1d: a payer that asks for its coins back, and names whatever height it likes.
#[test]
fn a_refund_in_any_block_around_the_expiry_is_agreed_to_by_the_payees_own_final_head_whatever_height_the_round_names() {
    for distance in -20_i64..=20 {
        for (lag, height) in [(0, 0), (0, BlockNumber::MAX), (3, 0), (3, BlockNumber::MAX)] {
            let mut world = World::opened();
            let expiry = world.chain.head() + 30;
            world.offer(Initiator, 1, 100, 30).unwrap();
            world.run();
            let contract = world.contract_of(Responder, 1).unwrap();
            // The payer's own machine sees no block: it asks for nothing by itself.
            (world.lag[Initiator], world.lag[Responder]) = (BlockNumber::from(u16::MAX), lag);
            let at = BlockNumber::try_from(i64::from(expiry) + distance).unwrap();
            world.mine_blocks(at - world.chain.head());
            let refund = vec![Change::Refund { contract, calls: Vec::new() }];
            let round = world.next_round_of(Initiator);
            let update = world.forge_update_to(Initiator, round, refund, Pair::new(SHARE, SHARE));
            world.hear(Responder, Message::Update(Update { height, ..update }));
            let left = world.sides[Responder].machine().contracts().unwrap().transfers();
            let is_over = distance >= i64::from(lag);
            assert_eq!(left == 0, is_over, "{distance} blocks from the expiry, the payee {lag} blocks behind");
            let registered = world.chain.times_asked(Responder, "preimage_register");
            assert_eq!(registered, 0, "a payee without a pre-image has nothing to show");
        }
    }
}

/// Case T4b.
#[test]
fn a_claim_that_is_agreed_and_then_forced_on_the_state_before_it_is_paid_once() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 60).unwrap();
    world.run();
    let old = world.sides[Responder].clone();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE + 100));
    // The payee puts an old copy of its store back, forces the claim from it, and then has its newest store again.
    world.kill(Responder);
    let newest = std::mem::replace(&mut world.sides[Responder], old);
    world.sides[Responder].signed.clear();
    world.kill(Responder);
    world.restart(Responder);
    world.force_claim(Responder, contract, 1).unwrap();
    world.kill(Responder);
    world.sides[Responder] = newest;
    world.restart(Responder);
    world.mine_blocks(LOCK + 5);
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 100, SHARE + 100));
    world.shutdown(Initiator, 0).unwrap();
    world.run();
    world.mine();
    assert!(world.chain.is_closed());
    assert_eq!((world.chain.wealth(Initiator), world.chain.wealth(Responder)), (FUNDS - 100, FUNDS + 100));
}

/// Case T5c, and B5b.
#[test]
fn two_transfers_with_one_lock_and_one_amount_in_one_channel_are_told_apart_and_each_is_paid_once() {
    let mut world = World::opened();
    let offer = an_offer(1, 100, world.chain.head() + 60);
    for key in [1, 2] {
        let command = TransferCommand::Offer { key: name(key), offer: offer.clone(), fee: 0 };
        world.command(Initiator, Command::Transfer(command)).unwrap();
    }
    world.run();
    let contracts: Vec<_> = world.sides[Responder].machine().incoming_transfers().keys().copied().collect();
    assert_eq!(contracts.len(), 2);
    let preimage = secret(1).0;
    let claim = |contract| Command::Transfer(TransferCommand::Claim { contract, preimage });
    world.command(Responder, claim(contracts[0])).unwrap();
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (1, SHARE + 100), "one of them");
    let fulfilled = |world: &World| world.was_routed(Initiator, |it| matches!(it, TransferEvent::Fulfilled { .. }));
    assert_eq!(fulfilled(&world), 1);
    assert_eq!(world.command(Responder, claim(contracts[0])), Err(Misuse::TransferUnknown(contracts[0])), "it is over");
    world.command(Responder, claim(contracts[1])).unwrap();
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE + 200));
    assert_eq!(fulfilled(&world), 2);
}

/// Case T9d.
#[test]
fn a_payee_whose_forced_claim_is_replaced_by_an_older_round_makes_it_again_by_itself() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    // The payer co-signs a round that holds the transfer, and keeps it for itself.
    let _id = world.pay(Responder, 1).unwrap();
    let _heard = world.deliver(Initiator);
    let kept = world.kept(Initiator);
    world.kill(Initiator);
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(110);
    assert_eq!(world.ours(Responder), SHARE + 100, "forced, once the transfer has long expired");
    world.show(Initiator, &kept);
    world.mine();
    assert_eq!(world.ours(Responder), SHARE - 1, "the older round counts, and the transfer with it");
    world.mine_blocks(110);
    assert_eq!(world.ours(Responder), SHARE - 1 + 100, "nobody had to ask for it again");
}

/// Case B6.
#[test]
fn offers_beyond_the_agreed_sum_or_below_the_agreed_amount_are_refused_one_by_one() {
    let sum = TransferLimits { max_amount: 25, ..TransferLimits::default() };
    let least = TransferLimits { min_amount: 11, ..TransferLimits::default() };
    for (limits, made) in [(sum, 2), (least, 0)] {
        let mut world = World::opened_with_wrong_limits(limits);
        for number in 1..=3 {
            world.offer(Initiator, number, 10, 20).unwrap();
        }
        let _id = world.pay(Initiator, 7).unwrap();
        world.run();
        assert_eq!(world.open_transfers(), made);
        let refused = Some(Progress::Failed(Failure::Refused(RefusalCode::LIMITS)));
        let count = (1..=3).filter(|number| world.progress(Initiator, *number) == refused).count();
        assert_eq!(count, 3 - made);
        assert_eq!(world.ours(Responder), SHARE + 7, "the payment among them is made");
    }
}

/// Case B11a.
#[test]
fn a_peer_that_claims_and_fails_one_transfer_in_one_round_is_refused() {
    for is_claim_first in [true, false] {
        for balances in [Pair::new(SHARE - 100, SHARE + 100), Pair::new(SHARE, SHARE)] {
            let mut world = World::opened();
            world.offer(Initiator, 1, 100, 60).unwrap();
            world.run();
            let contract = world.contract_of(Responder, 1).unwrap();
            let claim = Change::Claim { contract, preimage: secret(1).0, calls: Vec::new() };
            let fail = Change::Fail { contract, reason: FailReason(vec![1]), calls: Vec::new() };
            let changes = if is_claim_first { vec![claim, fail] } else { vec![fail, claim] };
            let update = world.forge_update_to(Responder, world.next_round_of(Responder), changes, balances);
            world.hear(Initiator, Message::Update(update));
            assert_eq!(world.sides[Initiator].machine().contracts().unwrap().transfers(), 1, "not agreed to");
            assert_eq!(world.ours(Initiator), SHARE - 100);
        }
    }
}

/// Case B11a: the payee says one thing in a round that crosses one of the payer's, and the other thing in the next.
#[test]
fn a_payee_that_claims_in_one_of_two_crossing_rounds_and_fails_in_the_other_ends_the_transfer_once() {
    for (is_claim_first, payer_wins) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut world = World::opened();
        world.offer(Responder, 1, 100, 60).unwrap();
        world.run();
        let contract = world.contract_of(Initiator, 1).unwrap();
        let claim =
            (Change::Claim { contract, preimage: secret(1).0, calls: Vec::new() }, Pair::new(SHARE + 100, SHARE - 100));
        let fail = (Change::Fail { contract, reason: FailReason(vec![1]), calls: Vec::new() }, Pair::new(SHARE, SHARE));
        let (first, second) = if is_claim_first { (claim, fail) } else { (fail, claim) };
        // The payer's own round is on its way meanwhile: the higher one of the two wins (R6.1).
        let _id = world.pay(Responder, 1).unwrap();
        let own = world.wire[Initiator].back().cloned();
        let Some(Message::Update(own)) = own else { panic!("{own:?}") };
        let next = if payer_wins { own.round - 1 } else { own.round + 1 };
        assert_eq!(Party::owner_of(next), Initiator);
        world.wire[Initiator].clear();
        let update = world.forge_update_to(Initiator, next, vec![first.0], first.1);
        world.hear(Responder, Message::Update(update));
        let open = |world: &World| world.sides[Responder].machine().contracts().unwrap().transfers();
        assert_eq!(open(&world) == 0, !payer_wins, "what loses is not agreed to");
        // The other thing, as soon as a round of the payee's may come again.
        let next = world.sides[Responder].signed.keys().max().unwrap() + 1;
        let next = if Party::owner_of(next) == Initiator { next } else { next + 1 };
        let update = world.forge_update_to(Initiator, next, vec![second.0], second.1);
        world.hear(Responder, Message::Update(update));
        assert_eq!(open(&world), 0);
        let ours = world.ours(Responder);
        let is_paid = is_claim_first != payer_wins;
        assert_eq!(ours, if is_paid { SHARE - 100 } else { SHARE }, "one of the two was made");
        let progress = world.progress(Responder, 1);
        let is_known = matches!(progress, Some(Progress::Fulfilled(preimage)) if preimage == secret(1).0);
        assert_eq!(is_known, is_claim_first || is_paid, "a pre-image that was heard is never given up: {progress:?}");
        let told = |test: fn(&TransferEvent) -> bool| world.was_routed(Responder, test);
        let fulfilled = told(|it| matches!(it, TransferEvent::Fulfilled { .. }));
        let failed = told(|it| matches!(it, TransferEvent::Failed { .. }));
        assert_eq!((fulfilled, failed), if is_known { (1, 0) } else { (0, 1) }, "the router hears one thing");
    }
}

/// A payer that does not keep to what the payee has said offers a transfer with this expiry.
fn offered_with_expiry(expiry: BlockNumber, most: BlockNumber) -> World {
    let mut world = World::opened_with_wrong_limits(TransferLimits { max_lock: most, ..TransferLimits::default() });
    world.lag[Initiator] = BlockNumber::from(u16::MAX);
    let payer = &mut world.sides[Initiator].registry;
    (payer.best, payer.margins.register, payer.margins.answer) = (0, 0, 0);
    if expiry > 100_000 {
        payer.best = expiry - 1;
    }
    let command = TransferCommand::Offer { key: name(1), offer: an_offer(1, 100, expiry), fee: 0 };
    world.command(Initiator, Command::Transfer(command)).unwrap();
    assert!(world.deliver(Responder));
    world
}

/// Case B4b: the machine takes an offer that is over as any other; its router is told, and has it given back.
#[test]
fn an_offer_that_is_over_is_told_to_the_router_and_can_be_given_back() {
    for expiry in [1, 50] {
        let mut world = offered_with_expiry(expiry, 1_000);
        let contract = world.contract_of(Responder, 1).expect("it is open");
        let told = |it: &TransferEvent| matches!(it, TransferEvent::Offered(row) if row.terms.expiry == expiry);
        assert_eq!(world.was_routed(Responder, told), 1);
        assert_eq!(world.chain.times_asked(Responder, "preimage_register"), 0);
        let reason = FailReason(vec![2]);
        world.command(Responder, Command::Transfer(TransferCommand::Fail { contract, reason })).unwrap();
        world.run();
        assert_eq!((world.open_transfers(), world.ours(Initiator), world.ours(Responder)), (0, SHARE, SHARE));
        assert!(matches!(world.progress(Initiator, 1), Some(Progress::Failed(_))));
        assert_eq!(world.states(), ("open", "open"));
    }
}

/// Case B4b: what expires further ahead than this side has said that it takes is refused by its place in the round.
#[test]
fn an_offer_that_expires_further_ahead_than_was_agreed_is_refused_and_its_own_side_does_not_make_it() {
    let refused = Some(Progress::Failed(Failure::Refused(RefusalCode::LIMITS)));
    for (ahead, is_refused) in [(1_000, false), (1_001, true), (BlockNumber::MAX - 200, true)] {
        let head = World::opened().chain.head();
        let mut world = offered_with_expiry(head + ahead, 1_000);
        world.run();
        assert_eq!(world.progress(Initiator, 1) == refused, is_refused, "{ahead} blocks ahead");
        assert_eq!(world.open_transfers(), usize::from(!is_refused));
        assert_eq!(world.was_routed(Responder, |_| true), usize::from(!is_refused));
    }
    let limits = TransferLimits { max_lock: 50, ..TransferLimits::default() };
    let mut world = World::opened_with(Responder, |config| config.transfers = limits);
    assert!(matches!(world.offer(Initiator, 1, 100, 51), Err(Misuse::TransferLimits { .. })));
    world.offer(Initiator, 1, 100, 50).unwrap();
}
