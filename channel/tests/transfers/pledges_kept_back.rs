//! What a hub needs of pledges (R8.5h): a question that waits until its router can answer it, and a round that is kept back once the peer has pledged for it.

use super::{
    pledges_audit::{PREMIUM, assert_good},
    *,
};
use channel::{Event, WaitReason};

const AMOUNT: Amount = 100;

/// The initiator has the responder's pledge, and keeps the round back.
fn kept_back(world: &mut World, lasts: BlockNumber) -> BlockNumber {
    world.sides[Responder].registry.premium = PREMIUM;
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 30) };
    let until = world.chain.head() + lasts;
    let before = (world.ours(Initiator), world.ours(Responder));
    let (key, pledged_until, is_kept_back) = (name(1), until, true);
    let staked = TransferCommand::OfferStaked { key, offer, pledged_until, is_kept_back };
    world.command(Initiator, Command::Transfer(staked)).unwrap();
    world.run();
    assert!(world.sides[Initiator].routed.contains(&TransferEvent::Pledged { key: name(1), valid_until: until }));
    assert_eq!((world.ours(Initiator), world.ours(Responder)), before, "nothing is locked");
    assert_eq!(world.sides[Initiator].machine().status().waits_for, Some(WaitReason::Pledge));
    assert_eq!(world.sides[Initiator].machine().pledge(), None, "nobody is to show it");
    until
}

fn release(world: &mut World) {
    world.command(Initiator, Command::Transfer(TransferCommand::Release { key: name(1) })).unwrap();
}

fn assert_locked(world: &World) {
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - AMOUNT, SHARE - PREMIUM));
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
    assert!(world.contract_of(Responder, 1).is_some());
}

fn assert_goes_on(world: &mut World) {
    world.run();
    for party in Party::BOTH {
        let _paid = world.pay(party, 5).unwrap();
        world.run();
        assert_good(world, party);
    }
    assert_eq!(world.rounds().0, world.rounds().1);
}

#[test]
fn a_round_that_is_kept_back_is_agreed_once_it_is_released() {
    let mut world = World::opened();
    let _until = kept_back(&mut world, 10);
    world.mine_blocks(2);
    world.run();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Proposed));
    assert!(world.contract_of(Responder, 1).is_none());
    release(&mut world);
    // Asked for twice, or of something that is not there, it changes nothing.
    release(&mut world);
    world.command(Initiator, Command::Transfer(TransferCommand::Release { key: name(9) })).unwrap();
    world.run();
    assert_locked(&world);
    assert_goes_on(&mut world);
    assert_eq!(world.chain.times_asked(Initiator, "channel_snapshot_solo"), 0);
    world.assert_no_complaints();
}

/// Neither a lost connection nor a crash of either side has the round said, or lost.
#[test]
fn what_is_kept_back_outlives_crashes_and_lost_connections() {
    for (kind, is_released_before) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        let mut world = World::opened();
        let _until = kept_back(&mut world, 10);
        if is_released_before && kind != 1 {
            world.disconnect();
        }
        if is_released_before {
            release(&mut world);
        }
        match kind {
            0 => world.disconnect(),
            1 => world.crash(Initiator),
            _ => world.crash(Responder),
        }
        if !world.linked {
            world.connect();
        }
        world.run();
        if !is_released_before {
            assert!(world.contract_of(Responder, 1).is_none(), "{kind}");
            release(&mut world);
            world.run();
        }
        assert_locked(&world);
        assert_goes_on(&mut world);
    }
}

#[test]
fn what_is_never_released_comes_to_nothing_with_the_pledge() {
    for crashes in [false, true] {
        let mut world = World::opened();
        let until = kept_back(&mut world, 8);
        if crashes {
            world.crash(Initiator);
            world.connect();
            world.run();
        }
        while world.chain.head() <= until {
            assert_eq!(world.progress(Initiator, 1), Some(Progress::Proposed));
            world.mine();
        }
        world.mine();
        world.run();
        assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::TooLate)));
        assert_eq!(world.chain.times_asked(Initiator, "channel_snapshot_solo"), 0, "it was not to be shown");
        release(&mut world);
        world.run();
        assert_goes_on(&mut world);
        assert_eq!(world.ours(Initiator) + world.ours(Responder), 2 * SHARE);
    }
}

/// Whatever the payee does after it has pledged: once the round is released it counts, as the payer then answers by the pledge.
#[test]
fn a_payee_is_held_to_its_pledge_whatever_it_does_while_the_round_is_kept_back() {
    for (deed, is_late) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        let mut world = World::opened();
        world.offer(Responder, 2, 30, 60).unwrap();
        world.offer(Initiator, 3, 30, 60).unwrap();
        world.run();
        let theirs = world.contract_of(Responder, 3).unwrap();
        let kept = world.kept(Responder);
        let until = kept_back(&mut world, 9);
        match deed {
            // It closes on the state before.
            0 => world.chain.submit(Responder, Call::ChannelCloseSolo(kept)),
            // It forces a step on the state before.
            1 => {
                let input = ConditionalInput::Claim(secret(3).0).encode();
                let calls = vec![ForcedCall { contract: theirs, value: 0, input }];
                let state = world.sides[Responder].machine().state().unwrap().clone();
                world.force_by_hand(Responder, &state, Some(kept.payload.unwrap()), calls);
            }
            // It does not answer.
            _ => world.kill(Responder),
        }
        if deed != 2 {
            world.kill(Responder);
        }
        world.mine_blocks(2);
        if is_late {
            while world.chain.head() + 3 < until {
                world.mine();
            }
        }
        assert_eq!(world.chain.times_asked(Initiator, "channel_slash"), 0, "{deed}");
        let defends_by = |world: &World| world.sides[Initiator].machine().defend_by(world.chain.head());
        assert_eq!(defends_by(&world), None, "{deed}");
        release(&mut world);
        let last = defends_by(&world).expect("it is to be shown");
        assert!(last <= until && world.sides[Initiator].machine().pledge().is_some(), "{deed}");
        while world.chain.head() <= until {
            world.mine();
        }
        world.mine_blocks(3);
        let shown = world.chain.times_asked(Initiator, "channel_snapshot_solo")
            + world.chain.times_asked(Initiator, "channel_slash");
        assert!(shown > 0, "{deed} {is_late}");
        assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered), "{deed} {is_late}");
        let machine = world.sides[Initiator].machine();
        let row = machine.outgoing_transfer(&name(1)).unwrap();
        assert!(machine.contract(&row.contract.unwrap()).is_some(), "{deed} {is_late}");
    }
}

/// A pledge that lasts longer than the lock period could be made worthless while the round is kept back.
#[test]
fn a_round_is_not_kept_back_beyond_the_lock_period() {
    let mut world = World::opened();
    let lock_period = world.sides[Initiator].machine().terms().unwrap().lock_period;
    let head = world.chain.head();
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, head + 200) };
    for (more, is_taken) in [(1, false), (0, true)] {
        let (key, pledged_until, is_kept_back) = (name(1), head + lock_period + more, true);
        let staked = TransferCommand::OfferStaked { key, offer: offer.clone(), pledged_until, is_kept_back };
        let done = world.command(Initiator, Command::Transfer(staked));
        assert_eq!(done.is_ok(), is_taken, "{done:?}");
        if !is_taken {
            assert!(matches!(done, Err(Misuse::PledgeTooLong { .. })), "{done:?}");
        }
    }
}

/// The payer of a question that waits for the payee's router, and the contract that the offer would make.
fn put_off(world: &mut World, lasts: BlockNumber) -> ContractId {
    world.sides[Responder].registry.premium = PREMIUM;
    world.sides[Responder].registry.asks_first = true;
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 30) };
    let until = world.chain.head() + lasts;
    world.offer_staked(Initiator, 1, offer.clone(), until).unwrap();
    world.run();
    let wanted = world.sides[Responder].routed.iter().find_map(|event| match event {
        TransferEvent::PledgeWanted { contract, offer: of, valid_until } => {
            assert_eq!((of, *valid_until), (&offer, until));
            Some(*contract)
        }
        _ => None,
    });
    assert_eq!(world.sides[Responder].machine().status().waits_for, Some(WaitReason::PledgeQuestion));
    wanted.expect("its router was asked")
}

fn answer(world: &mut World, contract: ContractId) {
    world.command(Responder, Command::Transfer(TransferCommand::AnswerPledge { contract })).unwrap();
    world.run();
}

#[test]
fn a_question_that_was_put_off_is_answered_as_the_router_says_then() {
    for premium in [PREMIUM, 0] {
        let mut world = World::opened();
        let contract = put_off(&mut world, 10);
        // Nothing of this side's crosses it.
        let _paid = world.pay(Responder, 7).unwrap();
        world.run();
        assert_eq!(world.ours(Responder), SHARE);
        // About another one, it is not.
        answer(&mut world, ContractId([9; 32]));
        assert_eq!(world.sides[Responder].machine().status().waits_for, Some(WaitReason::PledgeQuestion));
        let registry = &mut world.sides[Responder].registry;
        (registry.premium, registry.asks_first) = (premium, false);
        answer(&mut world, contract);
        answer(&mut world, contract);
        if premium > 0 {
            assert_eq!(world.contract_of(Responder, 1), Some(contract));
            assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - AMOUNT + 7, SHARE - PREMIUM - 7));
        } else {
            let refused = Failure::Refused(channel::RefusalCode::POLICY);
            assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(refused)));
        }
        assert_goes_on(&mut world);
        world.assert_no_complaints();
    }
}

/// A question that nobody answers holds nothing up for longer than the pledge would last; nor does one that was lost with the connection.
#[test]
fn a_question_that_is_never_answered_is_over_with_its_last_block() {
    for how in 0..4 {
        let mut world = World::opened();
        let contract = put_off(&mut world, 8);
        let _paid = world.pay(Responder, 7).unwrap();
        match how {
            0 => {}
            1 => {
                world.disconnect();
                world.connect();
            }
            2 => world.crash(Responder),
            _ => world.crash(Initiator),
        }
        if !world.linked {
            world.connect();
        }
        world.run();
        world.mine_blocks(9);
        world.run();
        assert_ne!(world.sides[Responder].machine().status().waits_for, Some(WaitReason::PledgeQuestion), "{how}");
        answer(&mut world, contract);
        assert_goes_on(&mut world);
        assert!(world.contract_of(Responder, 1).is_none(), "{how}");
        let lost: Vec<_> =
            world.sides[Responder].events.iter().filter(|it| matches!(it, Event::Dropped { .. })).collect();
        assert!(lost.is_empty() || how == 2, "{lost:?}");
    }
}

/// A round with a premium that nobody has pledged for is not agreed to while the router has not said that it stakes.
#[test]
fn a_round_whose_stake_is_not_prepared_is_refused() {
    let mut world = World::opened();
    let contract = put_off(&mut world, 10);
    let before = world.sides[Responder].clone();
    world.sides[Responder].registry.asks_first = false;
    world.command(Responder, Command::Transfer(TransferCommand::AnswerPledge { contract })).unwrap();
    assert!(world.deliver(Initiator));
    let Message::Update(update) = world.steal(Responder) else { panic!("proposed") };
    world.sides[Responder] = before;
    world.hear(Responder, Message::Update(update));
    assert_eq!(world.sides[Responder].machine().balances().unwrap().ours, SHARE);
    assert!(world.contract_of(Responder, 1).is_none());
}
