//! More attacks on pledges (R6.5d): on what else a party does while one is held or given.

use super::pledges_audit::{assert_counts, assert_good, forced_beside, go_on, mine_until, on_chain, proposed, staked};
use super::*;
use crate::harness::effects_of;
use channel::{ChainInput, Effect, Input, Notice, WaitReason};
use protocol::{
    Base, Round,
    event::ArbiterEvent,
    record::{Penalty, Phase as RecordPhase},
};

fn penalty(world: &World) -> Option<Penalty> {
    match &world.chain.ledger.channels.first_key_value().unwrap().1.phase {
        RecordPhase::Closing(closing) => Some(closing.penalty),
        _ => None,
    }
}

/// The rounds that calls of a kind show, in the order in which a party makes them for these inputs.
fn shown(world: &World, party: Party, inputs: Vec<Input>) -> Vec<(&'static str, Round)> {
    let side = &world.sides[party];
    let mut machine = side.machine().clone();
    let ctx = side.context(world.now, world.pace);
    let mut made = Vec::new();
    for input in inputs {
        for effect in effects_of(machine.handle(input, &ctx).unwrap()) {
            if let Effect::Submit(call) = effect {
                match *call {
                    Call::ChannelSnapshotSolo(call) => made.push(("snapshot", call.payload.round)),
                    Call::ChannelSlash(call) => made.push(("slash", call.payload.round)),
                    _ => {}
                }
            }
        }
    }
    made
}

/// The payer's account closes on an old state, by another hand than its machine's, and its peer is away: its machine does not show what makes its own penalty due.
#[test]
fn a_payer_does_not_show_a_pledge_against_itself() {
    for is_pledged in [false, true] {
        let mut world = World::opened();
        let _paid = world.pay(Responder, 1).unwrap();
        world.run();
        let old = world.kept(Initiator);
        for party in Party::BOTH {
            let _paid = world.pay(party, 1).unwrap();
            world.run();
        }
        let _until = pledged_up_to(&mut world, is_pledged);
        world.kill(Responder);
        world.chain.submit(Initiator, Call::ChannelCloseSolo(old));
        world.mine_blocks(3);
        assert_ne!(penalty(&world), Some(Penalty::Due(Initiator)), "made due by its own machine, {is_pledged}");
    }
}

/// The payer's user closes alone while a pledge is held.
#[test]
fn a_payer_that_closes_alone_while_it_holds_a_pledge_loses_nothing() {
    for at in 0..9 {
        let mut world = World::opened();
        let (until, update) = proposed(&mut world, 8);
        mine_until(&mut world, until - 8 + at);
        world.close_solo(Initiator).unwrap();
        mine_until(&mut world, until + 2);
        assert_counts(&world, update.round);
        assert_eq!(on_chain(&world).agreed, update.round, "{at}");
        if let Some(penalty) = penalty(&world) {
            assert!(!matches!(penalty, Penalty::Due(_)), "{at} {penalty:?}");
        }
    }
}

/// The payee closes on a state that is older than what is agreed, and the close is final when no block takes the pledge any more while the head is not so
/// far: finality lags. What is agreed is shown.
#[test]
fn a_pledge_that_is_over_does_not_keep_what_is_agreed_from_being_shown_against_a_close() {
    for is_pledged in [false, true] {
        close_while_finality_lags(is_pledged);
    }
}

/// A pledge for the payer's offer, or a block that it would last up to.
fn pledged_up_to(world: &mut World, is_pledged: bool) -> BlockNumber {
    if is_pledged { proposed(world, 8).0 } else { world.chain.head() + 8 }
}

fn close_while_finality_lags(is_pledged: bool) {
    let mut world = World::opened();
    let _paid = world.pay(Initiator, 1).unwrap();
    world.run();
    let old = world.kept(Responder);
    for party in Party::BOTH {
        let _paid = world.pay(party, 1).unwrap();
        world.run();
    }
    let until = pledged_up_to(&mut world, is_pledged);
    let agreed = world.rounds().0;
    // What the payer shows before is kept out of the blocks by whoever makes them.
    let _new = world.chain.censored.insert("channel_snapshot_solo");
    mine_until(&mut world, until - 3);
    world.lag[Initiator] = 4;
    world.chain.submit(Responder, Call::ChannelCloseSolo(old));
    for _ in 0..5 {
        world.mine();
    }
    // The close is final at until - 2; the newest block is until + 2; finality stands still from now on.
    assert_eq!(world.sides[Initiator].state(), "closing");
    assert!(world.sides[Initiator].seen < until && world.chain.head() > until);
    world.lag[Initiator] = 1_000;
    for block in 0..10 {
        world.chain.mine();
        world.sides[Initiator].registry.best = world.chain.head();
        world.tell_blocks();
        let head = world.chain.head();
        world.input(Initiator, Input::Chain(ChainInput::UnconfirmedHead(head))).unwrap();
        world.tick(6_000);
        let _ = block;
    }
    assert!(on_chain(&world).agreed >= agreed, "{:?} < {agreed}: an old state stands, {is_pledged}", on_chain(&world));
}

/// The same where the close is in doubt.
#[test]
fn a_pledge_that_is_over_does_not_keep_what_is_agreed_from_being_shown_against_a_close_in_doubt() {
    for is_pledged in [false, true] {
        close_in_doubt(is_pledged);
    }
}

fn close_in_doubt(is_pledged: bool) {
    let mut world = World::opened();
    let _paid = world.pay(Initiator, 1).unwrap();
    world.run();
    let old = world.kept(Responder);
    for party in Party::BOTH {
        let _paid = world.pay(party, 1).unwrap();
        world.run();
    }
    let until = pledged_up_to(&mut world, is_pledged);
    let agreed = world.rounds().0;
    let _new = world.chain.censored.insert("channel_snapshot_solo");
    mine_until(&mut world, until - 1);
    world.lag[Initiator] = 1_000;
    world.mine_blocks(2);
    world.sides[Initiator].registry.best = world.chain.head();
    world.chain.submit(Responder, Call::ChannelCloseSolo(old));
    world.mine();
    let closed = world.chain.block(world.chain.head()).events.clone();
    assert!(closed.iter().any(|event| matches!(event, ArbiterEvent::ChannelClosedSolo { .. })));
    for _ in 0..5 {
        world.chain.mine();
        let head = world.chain.head();
        world.sides[Initiator].registry.best = head;
        world.input(Initiator, Input::Chain(ChainInput::UnconfirmedHead(head))).unwrap();
        for event in &closed {
            let _is_answered = world.answers_in_doubt(Initiator, event);
        }
        world.chain.mine();
    }
    assert!(on_chain(&world).agreed >= agreed, "{:?} < {agreed}: an old state stands, {is_pledged}", on_chain(&world));
}

/// A payee has forced a step on an older state, and the pledge cannot be shown any more by the newest blocks: the agreed state is.
#[test]
fn a_pledge_that_is_over_does_not_keep_what_is_agreed_from_being_shown_against_a_step() {
    for is_pledged in [false, true] {
        step_while_finality_lags(is_pledged);
    }
}

fn step_while_finality_lags(is_pledged: bool) {
    let mut world = World::opened();
    world.offer(Initiator, 2, 30, 60).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 2).unwrap();
    let old = world.kept(Responder).payload;
    let state = world.sides[Responder].machine().state().unwrap().clone();
    let _paid = world.pay(Initiator, 1).unwrap();
    world.run();
    let until = pledged_up_to(&mut world, is_pledged);
    let agreed = world.rounds().0;
    mine_until(&mut world, until - 3);
    world.lag[Initiator] = 4;
    let input = ConditionalInput::Claim(secret(2).0).encode();
    let _new = world.chain.censored.insert("channel_snapshot_solo");
    world.chain.drop_pool();
    world.force_by_hand(Responder, &state, old, vec![ForcedCall { contract, value: 0, input }]);
    for _ in 0..5 {
        world.mine();
    }
    world.chain.censored.clear();
    assert_eq!(on_chain(&world).steps, 1);
    world.lag[Initiator] = 1_000;
    for _ in 0..10 {
        world.chain.mine();
        world.sides[Initiator].registry.best = world.chain.head();
        let head = world.chain.head();
        world.input(Initiator, Input::Chain(ChainInput::UnconfirmedHead(head))).unwrap();
        world.tick(6_000);
    }
    assert!(on_chain(&world).agreed >= agreed, "{:?} < {agreed}: an old state stands, {is_pledged}", on_chain(&world));
}

/// A payer starts while its peer's step on an older state is known: what it shows first is the pledge. A node makes one call of a kind at a time.
#[test]
fn a_payer_that_starts_shows_the_pledge_before_what_is_agreed() {
    let mut world = World::opened();
    world.offer(Initiator, 2, 30, 60).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 2).unwrap();
    let old = world.kept(Responder).payload;
    let state = world.sides[Responder].machine().state().unwrap().clone();
    let _paid = world.pay(Initiator, 1).unwrap();
    world.run();
    let (_until, update) = proposed(&mut world, 8);
    let input = ConditionalInput::Claim(secret(2).0).encode();
    world.force_by_hand(Responder, &state, old, vec![ForcedCall { contract, value: 0, input }]);
    world.mine();
    assert_eq!(on_chain(&world).steps, 1);
    let made = shown(&world, Initiator, vec![Input::Chain(ChainInput::Head)]);
    assert_eq!(made.first(), Some(&("snapshot", update.round)), "{made:?}");
    let made = shown(&world, Initiator, vec![Input::Restarted, Input::Chain(ChainInput::Head)]);
    assert_eq!(made.first(), Some(&("snapshot", update.round)), "{made:?}");
}

/// The same of a close on an older state.
#[test]
fn a_payer_that_starts_slashes_by_the_pledge_before_what_is_agreed() {
    let mut world = World::opened();
    let _paid = world.pay(Initiator, 1).unwrap();
    world.run();
    let old = world.kept(Responder);
    for party in Party::BOTH {
        let _paid = world.pay(party, 1).unwrap();
        world.run();
    }
    let (_until, update) = proposed(&mut world, 8);
    world.chain.submit(Responder, Call::ChannelCloseSolo(old));
    world.mine();
    let made = shown(&world, Initiator, vec![Input::Chain(ChainInput::Head)]);
    assert_eq!(made.first(), Some(&("slash", update.round)), "{made:?}");
    let made = shown(&world, Initiator, vec![Input::Restarted, Input::Chain(ChainInput::Head)]);
    assert_eq!(made.first(), Some(&("slash", update.round)), "{made:?}");
}

/// A payee forces a step on the state before while the payer sleeps, and the payer reads the record: its pledge takes the place of that step.
#[test]
fn a_payer_that_reads_the_record_of_a_forced_step_shows_its_pledge() {
    let mut world = World::opened();
    world.offer(Initiator, 2, 30, 60).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 2).unwrap();
    let (until, update) = proposed(&mut world, 8);
    world.kill(Initiator);
    world.force_claim(Responder, contract, 2).unwrap();
    world.mine_blocks(2);
    assert_eq!(on_chain(&world).steps, 1);
    mine_until(&mut world, until - 4);
    world.restart_from_record(Initiator);
    mine_until(&mut world, until);
    assert_good(&world, Initiator);
    assert_counts(&world, update.round);
}

/// A payee whose store was put back from between its pledge and its answer: the payer shows the state after it, and the payee knows that its store is old.
fn old_store(is_over: bool) {
    let mut world = World::opened();
    let until = staked(&mut world, 8);
    assert!(world.deliver(Responder));
    let old = world.sides[Responder].clone();
    world.run();
    world.kill(Responder);
    world.sides[Responder] = old;
    world.kill(Responder);
    if is_over {
        mine_until(&mut world, until + 2);
    }
    world.restart(Responder);
    world.connect();
    world.run();
    world.mine_blocks(12);
    world.run();
    let status = world.sides[Responder].machine().status();
    let complaints: Vec<_> =
        world.sides[Responder].notices().filter(|it| matches!(it, Notice::PeerViolated(_))).cloned().collect();
    let asked = (world.pay(Responder, 1), world.pay(Initiator, 1));
    world.run();
    world.mine_blocks(3);
    world.run();
    assert!(
        status.stale_store || status.round == Some(world.rounds().0),
        "{asked:?} {:?} {status:?} {complaints:?}",
        world.rounds()
    );
}

#[test]
fn a_payee_with_an_old_store_from_when_it_had_pledged_hears_that_it_is_old() {
    old_store(false);
}

#[test]
fn a_payee_with_an_old_store_from_when_it_had_pledged_hears_that_it_is_old_when_the_pledge_is_over() {
    old_store(true);
}

/// What the chain shows of it tells the payee too.
#[test]
fn a_payee_with_an_old_store_from_when_it_had_pledged_learns_from_the_chain_that_it_is_old() {
    let mut world = World::opened();
    let until = staked(&mut world, 8);
    assert!(world.deliver(Responder));
    let old = world.sides[Responder].clone();
    world.run();
    let kept = world.kept(Initiator);
    world.kill(Responder);
    world.sides[Responder] = old;
    world.kill(Responder);
    mine_until(&mut world, until + 2);
    world.restart(Responder);
    world.show(Initiator, &kept);
    world.mine_blocks(2);
    let status = world.sides[Responder].machine().status();
    assert!(status.stale_store || status.round == Some(world.rounds().0), "{:?} {status:?}", world.rounds());
}

/// Who has pledged agrees to the round, whatever its user or its router wants since: else the payer has to go to the chain for it.
#[test]
fn who_has_pledged_agrees_though_it_would_not_pledge_now() {
    let mut bad = Vec::new();
    for way in 0..4 {
        let mut world = World::opened();
        let _until = staked(&mut world, 8);
        assert!(world.deliver(Responder));
        match way {
            0 => world.shutdown(Responder, 0).unwrap(),
            1 => world.sides[Responder].registry.premium = 0,
            2 => world.sides[Responder].registry.best += 1_000,
            _ => {}
        }
        world.run();
        if world.contract_of(Responder, 1).is_none() {
            bad.push(way);
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// An offer whose pledge lasts longer than an operation may holds up nothing.
#[test]
fn an_offer_whose_pledge_lasts_longer_than_operations_holds_up_no_payment() {
    for who in Party::BOTH {
        let mut world = World::opened_with(who, |config| config.operation_validity = 5);
        let _until = staked(&mut world, 20);
        let _paid = world.pay(Initiator, 5).unwrap();
        world.run();
        let told = format!("{who:?} {:?}", world.progress(Initiator, 1));
        world.mine();
        world.run();
        assert_eq!(world.sides[Initiator].machine().status().pending, 0, "{told}");
    }
}

/// The pledged round was given up for a forced step, and the pledge could not be shown: the router is told what becomes of the offer once it is known.
#[test]
fn an_offer_is_told_as_failed_only_once_its_round_cannot_count_any_more() {
    let mut world = World::opened();
    let (until, update) = forced_beside(&mut world);
    let payload = world.co_signed(Initiator, &update);
    let channel = world.channel_id();
    let _new = world.chain.censored.insert("channel_snapshot_solo");
    mine_until(&mut world, until + 2);
    world.chain.censored.clear();
    let failed = world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. }));
    world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine_blocks(3);
    assert_eq!(on_chain(&world), Base::of(update.round));
    assert_eq!(failed, 0, "told too early");
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
}

/// The payer's user forces a step while a pledge is held.
#[test]
fn a_payer_that_forces_while_it_holds_a_pledge_goes_on() {
    for at in 0..9 {
        let mut world = World::opened();
        world.offer(Responder, 2, 30, 60).unwrap();
        world.run();
        let contract = world.contract_of(Initiator, 2).unwrap();
        let (until, update) = proposed(&mut world, 8);
        mine_until(&mut world, until - 8 + at);
        let forced = world.force_claim(Initiator, contract, 2);
        while world.chain.head() < until + 6 {
            world.mine();
        }
        world.run();
        for party in Party::BOTH {
            assert_good(&world, party);
        }
        assert_eq!(on_chain(&world).agreed, update.round, "{at} {forced:?}");
        go_on(&mut world);
        assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered), "{at}");
    }
}

/// Nothing that a payee says afterwards keeps the payer waiting when its pledge is over.
#[test]
fn nothing_is_held_up_when_a_pledge_is_over() {
    for way in 0..6 {
        let mut world = World::opened();
        let (until, update) = proposed(&mut world, 8);
        let _new = world.chain.censored.insert("channel_snapshot_solo");
        match way {
            0 => {
                let shutdown = world.forge_shutdown(Responder, 0, world.chain.head() + 4);
                world.hear(Initiator, Message::Shutdown(shutdown));
            }
            1 => world.disconnect(),
            2 => world.crash(Initiator),
            3 => world.crash(Responder),
            4 => world.shutdown(Initiator, 0).unwrap(),
            _ => {}
        }
        mine_until(&mut world, until + 1);
        let status = world.sides[Initiator].machine().status();
        assert!(status.waits_for != Some(WaitReason::Pledge), "{way} {status:?}");
        world.chain.censored.clear();
        if !world.linked {
            world.connect();
        }
        world.run();
        world.mine_blocks(3);
        world.run();
        let _ = update;
        if way != 4 {
            go_on(&mut world);
        } else {
            world.mine_blocks(20);
            world.run();
            assert_eq!(world.sides[Initiator].state(), world.sides[Responder].state());
        }
    }
}

/// Both want to close in agreement while a pledge is out, whatever is lost.
#[test]
fn a_close_in_agreement_waits_for_a_pledge_and_is_made_after_it() {
    for who in Party::BOTH {
        for at in 0..5 {
            let mut world = World::opened();
            let until = staked(&mut world, 8);
            for step in 0..at {
                let _was_there = world.deliver(if step % 2 == 0 { Responder } else { Initiator });
            }
            let asked = world.shutdown(who, 0);
            for _ in 0..60 {
                world.run();
                if world.chain.is_closed() {
                    break;
                }
                if world.chain.head() > until + 3
                    && world.contract_of(Responder, 1).is_some()
                    && matches!(world.progress(Initiator, 1), Some(Progress::Offered))
                {
                    let _claimed = world.claim(Responder, 1);
                    world.run();
                }
                world.mine();
            }
            let status = |party| world.sides[party].machine().status();
            assert!(
                world.chain.is_closed(),
                "{who:?} {at} {asked:?} {:?} {:?} {:?}",
                world.progress(Initiator, 1),
                status(Initiator),
                status(Responder)
            );
        }
    }
}

/// What a payee has pledged is over in each phase in which it may find itself.
#[test]
fn what_is_pledged_is_over_in_each_phase() {
    for way in 0..4 {
        for crashes in [false, way < 2] {
            let mut world = World::opened();
            let until = staked(&mut world, 8);
            assert!(world.deliver(Responder));
            let _kept = world.steal(Initiator);
            match way {
                0 => world.close_solo(Responder).unwrap(),
                1 => {
                    let kept = world.kept(Initiator);
                    world.chain.submit(Initiator, Call::ChannelCloseSolo(kept));
                }
                2 => {
                    let shutdown = world.forge_shutdown(Initiator, 0, world.chain.head() + 20);
                    world.hear(Responder, Message::Shutdown(shutdown));
                }
                _ => world.shutdown(Responder, 0).unwrap(),
            }
            world.mine();
            if crashes {
                world.crash(Responder);
            }
            mine_until(&mut world, until + 1);
            if !world.linked {
                world.connect();
                if way > 1 {
                    world.run();
                }
            }
            world.mine_blocks(2);
            let status = world.sides[Responder].machine().status();
            assert_eq!(status.operation, None, "{way} {crashes} {status:?}");
            match way {
                0 | 1 => {
                    assert!(penalty(&world).is_some());
                    world.mine_blocks(60);
                    assert!(world.chain.is_closed());
                }
                _ => assert_eq!(world.sides[Responder].state(), "closing", "{way} {status:?}"),
            }
        }
    }
}
