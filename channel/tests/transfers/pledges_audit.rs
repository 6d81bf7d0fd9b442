//! Attacks on pledges (R6.5d): whoever keeps something back, shows it elsewhere, or comes at the wrong moment gains nothing by it.

use super::*;
use crate::harness::forge::sign;
use crate::harness::forge::state_body;
use crate::harness::{LOCK, PENALTY};
use channel::{RefusalCode, State, Update};
use protocol::{
    Base, Round,
    call::Payload,
    event::ArbiterEvent,
    record::{Penalty, Phase as RecordPhase},
};

pub(super) const PREMIUM: Amount = 20;
pub(super) const AMOUNT: Amount = 100;

/// A payer (the initiator) whose payee stakes a premium, and the last block of the pledge.
pub(super) fn staked(world: &mut World, lasts: BlockNumber) -> BlockNumber {
    world.sides[Responder].registry.premium = PREMIUM;
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 30) };
    let until = world.chain.head() + lasts;
    world.offer_staked(Initiator, 1, offer, until).unwrap();
    until
}

/// The payee has pledged, the payer has proposed, and the payee has not heard it.
pub(super) fn proposed(world: &mut World, lasts: BlockNumber) -> (BlockNumber, Update) {
    let until = staked(world, lasts);
    assert!(world.deliver(Responder));
    assert!(world.deliver(Initiator));
    let Message::Update(update) = world.steal(Responder) else { panic!("proposed") };
    (until, update)
}

pub(super) fn held(world: &World) -> Payload {
    world.sides[Initiator].machine().pledge().cloned().expect("the payer holds it")
}

/// The state that is pledged, as the payer knows it.
pub(super) fn pledged_state(world: &mut World, update: &Update) -> State {
    let before = world.sides[Initiator].clone();
    let said = world.wire.clone();
    let signature = sign(Responder, world.channel_id(), &state_body(update.round, update.base, update.state_hash));
    world.hear(Initiator, Message::UpdateAck { round: update.round, signature });
    let state = world.sides[Initiator].machine().state().unwrap().clone();
    world.sides[Initiator] = before;
    world.wire = said;
    assert_eq!(state.hash(), update.state_hash);
    state
}

/// What the chain has of the channel.
pub(super) fn on_chain(world: &World) -> Base {
    world.chain.ledger.channels.first_key_value().unwrap().1.on_chain.at
}

pub(super) fn mine_until(world: &mut World, block: BlockNumber) {
    while world.chain.head() < block {
        world.mine();
        // What is to be shown is shown again as time passes and blocks are seen, also while nothing becomes final.
        for party in Party::BOTH {
            world.sides[party].registry.best = world.sides[party].registry.best.max(world.chain.head());
        }
        world.tick(1_000);
    }
}

/// The round counts: on chain, or agreed by the payer.
pub(super) fn assert_counts(world: &World, round: Round) {
    let agreed = world.sides[Initiator].machine().status().round;
    assert!(on_chain(world).agreed >= round || agreed >= Some(round), "{:?}, {agreed:?}", on_chain(world));
}

pub(super) fn assert_good(world: &World, party: Party) {
    assert!(!world.sides[party].machine().status().stale_store, "{party:?} holds its store for old");
}

pub(super) fn go_on(world: &mut World) {
    world.run();
    world.mine_blocks(3);
    world.run();
    for party in [Initiator, Responder] {
        let _paid = world.pay(party, 1).unwrap();
        world.run();
    }
    let state = |party| world.sides[party].machine().state().unwrap().commitment();
    assert_eq!(world.rounds().0, world.rounds().1);
    assert_eq!(state(Initiator), state(Responder));
}

/// The payee offers to close, and says that it closes: the payer agrees, and is bound by that. It shows the pledge all the same.
#[test]
fn a_payee_that_offers_to_close_has_no_choice_for_it() {
    let mut world = World::opened();
    let (until, update) = proposed(&mut world, 8);
    let shutdown = world.forge_shutdown(Responder, 0, world.chain.head() + 20);
    world.hear(Initiator, Message::Shutdown(shutdown));
    world.hear(Initiator, Message::UpdateError { round: update.round, code: RefusalCode::CLOSING });
    mine_until(&mut world, until);
    assert_counts(&world, update.round);
}

/// The payer shows the pledge with calls that it forces on top: the payee knows the state that it has pledged.
#[test]
fn a_pledge_that_comes_with_forced_calls_is_known_to_whoever_gave_it() {
    for restarts in [false, true] {
        let mut world = World::opened();
        world.offer(Responder, 2, 30, 40).unwrap();
        world.run();
        let contract = world.contract_of(Initiator, 2).unwrap();
        let (_until, update) = proposed(&mut world, 8);
        let state = pledged_state(&mut world, &update);
        let input = ConditionalInput::Claim(secret(2).0).encode();
        let calls = vec![ForcedCall { contract, value: 0, input }];
        let payload = held(&world);
        world.force_by_hand(Initiator, &state, Some(payload), calls);
        if restarts {
            world.kill(Responder);
        }
        world.mine();
        if restarts {
            world.restart(Responder);
        }
        assert_eq!(on_chain(&world), Base { agreed: update.round, steps: 1 });
        for party in [Initiator, Responder] {
            assert_good(&world, party);
        }
        assert!(world.contract_of(Responder, 1).is_some());
    }
}

/// The same, where the payee reads the record.
#[test]
fn a_pledge_that_comes_with_forced_calls_is_known_from_the_record() {
    let mut world = World::opened();
    world.offer(Responder, 2, 30, 40).unwrap();
    world.run();
    let contract = world.contract_of(Initiator, 2).unwrap();
    let (_until, update) = proposed(&mut world, 8);
    let state = pledged_state(&mut world, &update);
    let input = ConditionalInput::Claim(secret(2).0).encode();
    let payload = held(&world);
    world.force_by_hand(Initiator, &state, Some(payload), vec![ForcedCall { contract, value: 0, input }]);
    world.kill(Responder);
    world.mine();
    world.restart_from_record(Responder);
    assert!(world.sides[Responder].machine().contract(&world.contract_of(Responder, 1).unwrap()).is_some());
}

/// The payee's user closes alone, on the newest state that it has, while its pledge is out: that is no fraud.
#[test]
fn a_payee_that_closes_alone_while_its_pledge_is_out_pays_no_penalty() {
    for hears in [false, true] {
        let mut world = World::opened();
        let (_until, update) = proposed(&mut world, 8);
        world.close_solo(Responder).unwrap();
        if hears {
            world.hear(Responder, Message::Update(update.clone()));
        }
        world.mine_blocks(3);
        world.run();
        let record = world.chain.ledger.channels.first_key_value().unwrap().1.clone();
        if let RecordPhase::Closing(closing) = record.phase {
            assert_ne!(closing.penalty, Penalty::Due(Responder), "an honest payee pays {PENALTY}");
        }
        mine_until(&mut world, 100 + 3 * LOCK);
    }
}

/// One endpoint shows blocks that are not there.
#[test]
fn blocks_that_are_not_there_do_not_keep_a_pledge_from_being_shown() {
    let mut world = World::opened();
    let (until, update) = proposed(&mut world, 8);
    world.sides[Initiator].registry.best = until;
    mine_until(&mut world, until);
    assert_counts(&world, update.round);
}

/// The payee closes on the state without it just before the pledge is shown, and the payer hears of that late: finality lags.
#[test]
fn a_payee_that_closes_while_the_payer_shows_the_pledge_has_no_choice_for_it() {
    let mut world = World::opened();
    world.lag[Initiator] = 3;
    let (until, update) = proposed(&mut world, 8);
    let kept = world.kept(Responder);
    mine_until(&mut world, until - 3);
    world.chain.submit(Responder, Call::ChannelCloseSolo(kept));
    world.mine();
    let events = world.chain.block(until - 2).events.clone();
    assert!(events.iter().any(|event| matches!(event, ArbiterEvent::ChannelClosedSolo { .. })));
    // One endpoint tells of it: what is shown costs a fee at most (R6.9a).
    for event in &events {
        let _is_answered = world.answers_in_doubt(Initiator, event);
    }
    mine_until(&mut world, until);
    assert_counts(&world, update.round);
}

/// The payee keeps back its pledge for as long as it may, and a transaction takes the two blocks that it may take (Rg is 2 here).
#[test]
fn a_pledge_that_comes_late_is_used_only_where_there_is_time_to_show_it() {
    let mut world = World::opened();
    let until = staked(&mut world, 8);
    assert!(world.deliver(Responder));
    let pledge = world.steal(Initiator);
    mine_until(&mut world, until - 2);
    world.hear(Initiator, pledge);
    let Some(Message::Update(update)) = world.wire[Responder].pop_back() else {
        return;
    };
    let _new = world.chain.censored.insert("channel_snapshot_solo");
    world.mine();
    world.chain.censored.clear();
    world.mine();
    world.mine();
    assert_counts(&world, update.round);
}

/// Both are honest. What is owed of an older transfer is claimed while an offer waits for its pledge, which would last too long beside it.
#[test]
fn an_offer_whose_pledge_cannot_be_asked_for_holds_up_no_claim() {
    let mut world = World::opened();
    world.offer(Responder, 2, 30, 9).unwrap();
    world.run();
    let until = staked(&mut world, 9);
    world.claim(Initiator, 2).unwrap();
    world.run();
    mine_until(&mut world, until + 2);
    world.run();
    let asked = world.chain.asked.iter().filter(|(_, name)| name.starts_with("preimage")).count();
    assert_eq!(asked, 0, "the claim was agreed");
}

/// The same of a payment: with an honest peer it is made at once.
#[test]
fn an_offer_whose_pledge_cannot_be_asked_for_holds_up_no_payment() {
    let mut world = World::opened();
    world.offer(Responder, 2, 30, 9).unwrap();
    world.run();
    let _until = staked(&mut world, 9);
    let before = world.ours(Responder);
    let _paid = world.pay(Initiator, 5).unwrap();
    world.run();
    world.mine();
    world.run();
    assert_eq!(world.ours(Responder), before + 5);
}

/// A payee that crashes while its pledge is out learns of it from the chain, by blocks or by the record, whatever was shown there.
#[test]
fn a_payee_that_sleeps_learns_of_what_was_shown() {
    for by_record in [false, true] {
        for way in 0..4 {
            for sleeps in [1, 15] {
                let mut world = World::opened();
                let (until, update) = proposed(&mut world, 8);
                let state = pledged_state(&mut world, &update);
                let (channel, payload, kept) = (world.channel_id(), held(&world), world.kept(Initiator));
                world.kill(Responder);
                mine_until(&mut world, until - 4);
                let call = match way {
                    0 => Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }),
                    1 => Call::ChannelCloseSolo(CloseSolo {
                        channel,
                        payload: Some(payload),
                        commitment: state.commitment(),
                    }),
                    _ => Call::ChannelCloseSolo(kept),
                };
                if way < 3 {
                    world.chain.submit(Initiator, call);
                }
                for _ in 0..sleeps {
                    world.mine();
                }
                match by_record {
                    true => world.restart_from_record(Responder),
                    false => world.restart(Responder),
                }
                world.mine_blocks(3);
                assert_good(&world, Responder);
                assert!(
                    on_chain(&world).agreed >= update.round || way == 3 && sleeps == 1,
                    "{way} {:?}",
                    on_chain(&world)
                );
                if on_chain(&world).agreed >= update.round {
                    assert!(world.contract_of(Responder, 1).is_some(), "{way} {by_record} {sleeps}");
                    let offered = world.was_routed(Responder, |it| matches!(it, TransferEvent::Offered(_)));
                    assert!(offered <= 1, "{offered}");
                }
                if way == 0 || way == 3 {
                    go_on(&mut world);
                }
            }
        }
    }
}

/// The payee forces a step on the state before while its pledge is held.
#[test]
fn a_payee_that_forces_a_step_on_the_state_before_has_staked_all_the_same() {
    for hears in [false, true] {
        for crashes in [None, Some(Initiator), Some(Responder)] {
            let mut world = World::opened();
            world.offer(Initiator, 2, 30, 40).unwrap();
            world.run();
            let contract = world.contract_of(Responder, 2).unwrap();
            let (until, update) = proposed(&mut world, 8);
            world.force_claim(Responder, contract, 2).unwrap();
            world.mine();
            if hears {
                world.hear(Responder, Message::Update(update.clone()));
            }
            if let Some(who) = crashes {
                world.crash(who);
            }
            world.run();
            while world.chain.head() < until {
                world.mine();
                world.run();
            }
            assert_counts(&world, update.round);
            world.mine_blocks(6);
            world.run();
            for party in [Initiator, Responder] {
                assert_good(&world, party);
            }
            let accepted = world.was_routed(Initiator, |it| matches!(it, TransferEvent::Accepted { .. }));
            assert!(accepted <= 2, "{accepted}");
            go_on(&mut world);
        }
    }
}

/// What the payer's store says survives its crash: it shows the pledge after a start, by blocks or by the record.
#[test]
fn a_payer_that_crashes_shows_the_pledge_after_its_start() {
    for by_record in [false, true] {
        let mut world = World::opened();
        let (until, update) = proposed(&mut world, 8);
        world.kill(Initiator);
        mine_until(&mut world, until - 2);
        match by_record {
            true => world.restart_from_record(Initiator),
            false => world.restart(Initiator),
        }
        world.mine_blocks(3);
        assert_counts(&world, update.round);
        go_on(&mut world);
        assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
    }
}

/// Finality stands still, and the newest blocks are seen all the same.
#[test]
fn a_pledge_is_shown_while_finality_stands_still() {
    let mut world = World::opened();
    let (until, update) = proposed(&mut world, 8);
    world.lag[Initiator] = 1_000;
    while world.chain.head() < until {
        world.chain.mine();
        world.sides[Initiator].registry.best = world.chain.head();
        world.tell_blocks();
        world.tick(6_000);
    }
    assert_counts(&world, update.round);
}

/// The router hears of each thing once, whatever becomes of the round that the payer proposes: by an answer, by the chain, and after a crash.
#[test]
fn what_is_pledged_is_told_once() {
    for crashes in [None, Some(Initiator), Some(Responder)] {
        for at in 0..10 {
            let mut world = World::opened();
            let (until, update) = proposed(&mut world, 8);
            mine_until(&mut world, until - 8 + at);
            world.hear(Responder, Message::Update(update.clone()));
            if at % 2 == 0 {
                let _lost = world.wire[Initiator].pop_back();
            }
            if let Some(who) = crashes {
                world.crash(who);
            }
            while world.chain.head() < until + 4 {
                world.mine();
            }
            go_on(&mut world);
            let offered = world.was_routed(Responder, |it| matches!(it, TransferEvent::Offered(_)));
            let accepted = world.was_routed(Initiator, |it| matches!(it, TransferEvent::Accepted { .. }));
            let failed = world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. }));
            assert!(offered <= 1 && accepted <= 1 && failed == 0, "{crashes:?} {at}: {offered} {accepted} {failed}");
            assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered), "{crashes:?} {at}");
            assert!(world.contract_of(Responder, 1).is_some());
        }
    }
}

/// The payee has the payer refuse a round of its own while the pledge is held: the counter-round lies above the pledged one, on the state without it.
#[test]
fn a_payee_has_no_choice_by_a_round_that_the_payer_refuses() {
    let mut world = World::opened();
    let (until, update) = proposed(&mut world, 8);
    // It breaks a rule: the payer refuses it, by a signed round without changes.
    let forged = world.forge_update_to(Responder, update.round + 1, Vec::new(), world.agreed(Initiator));
    world.hear(Initiator, Message::Update(forged));
    let counter = world.wire[Responder].iter().find_map(|message| match message {
        Message::Update(counter) if counter.refuses.is_some() => Some(counter.clone()),
        _ => None,
    });
    world.wire[Responder].clear();
    mine_until(&mut world, until + 3);
    assert_counts(&world, update.round);
    // It has staked its premium; much later it would rather not have.
    if let Some(counter) = counter {
        let payload = world.co_signed(Initiator, &counter);
        let channel = world.channel_id();
        world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine_blocks(2);
    }
    assert!(on_chain(&world).agreed == update.round, "{:?}", on_chain(&world));
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
}

/// A node makes one call of a kind at a time for a channel. A payee that forces a step on an older state has the payer show its newest one: what is shown then
/// is the pledge, where it is time for that.
#[test]
fn a_snapshot_of_what_is_agreed_does_not_keep_the_pledge_from_being_shown() {
    let mut world = World::opened();
    world.offer(Initiator, 2, 30, 40).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 2).unwrap();
    let old = world.kept(Responder).payload;
    let state = world.sides[Responder].machine().state().unwrap().clone();
    let _paid = world.pay(Initiator, 1).unwrap();
    world.run();
    let (until, update) = proposed(&mut world, 8);
    mine_until(&mut world, until - 3);
    let input = ConditionalInput::Claim(secret(2).0).encode();
    world.force_by_hand(Responder, &state, old, vec![ForcedCall { contract, value: 0, input }]);
    world.lag[Initiator] = 1_000;
    world.mine();
    let events = world.chain.block(world.chain.head()).events.clone();
    assert!(events.iter().any(|event| matches!(event, ArbiterEvent::ChannelProgressed { .. })), "{events:?}");
    let side = &mut world.sides[Initiator];
    (side.seen, side.registry.best) = (until - 2, until - 2);
    let mut machine = side.machine().clone();
    let ctx = side.context(world.now, world.pace);
    let events = events.into_iter().map(ChainInput::Event);
    let mut made = None;
    for input in events.chain([ChainInput::Head]) {
        let step = machine.handle(Input::Chain(input), &ctx).unwrap();
        for effect in crate::harness::effects_of(step) {
            if let channel::Effect::Submit(call) = effect
                && let Call::ChannelSnapshotSolo(snapshot) = *call
            {
                let _first = made.get_or_insert(snapshot.payload.round);
            }
        }
    }
    assert_eq!(made, Some(update.round), "the one call that is made");
}

/// A payer that has parted from its peer proposes nothing, though the pledge comes after that.
#[test]
fn a_pledge_that_comes_after_a_parting_is_not_used() {
    let mut world = World::opened();
    let _until = staked(&mut world, 8);
    assert!(world.deliver(Responder));
    world.command(Initiator, Command::Leave).unwrap();
    assert!(world.deliver(Initiator));
    let says = world.wire[Responder].iter().any(|message| matches!(message, Message::Update(_)));
    assert!(!says);
}

/// The payee says that its store is old: the payer gives the round up, and shows the pledge.
#[test]
fn a_payee_that_says_that_its_store_is_old_has_staked_all_the_same() {
    for code in [RefusalCode::STALE_STORE, RefusalCode::BUSY, RefusalCode::POLICY, RefusalCode::NOT_NOW] {
        let mut world = World::opened();
        let (until, update) = proposed(&mut world, 8);
        world.hear(Initiator, Message::UpdateError { round: update.round, code });
        mine_until(&mut world, until);
        assert_counts(&world, update.round);
        assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
        go_on(&mut world);
    }
}

/// The payee shows a round of the payer's that lies above the pledged one, and has signed it.
pub(super) fn show_instead(world: &mut World, update: &Update) {
    let payload = world.co_signed(Initiator, update);
    let channel = world.channel_id();
    world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine_blocks(2);
}

/// What the payer has said of rounds that lie above the pledged one.
pub(super) fn said_above(world: &World, round: Round) -> Option<Update> {
    world.wire[Responder].iter().find_map(|message| match message {
        Message::Update(update) if update.round > round => Some(update.clone()),
        _ => None,
    })
}

/// A payee that forces a step has its payer go on above it, while the pledged round may still count.
pub(super) fn forced_beside(world: &mut World) -> (BlockNumber, Update) {
    world.offer(Initiator, 2, 30, 40).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 2).unwrap();
    let (until, update) = proposed(world, 8);
    world.force_claim(Responder, contract, 2).unwrap();
    world.mine();
    // It says that it goes on from there.
    while world.deliver(Initiator) {}
    (until, update)
}

/// As [`a_payee_has_no_choice_by_a_round_that_the_payer_refuses`], where the pledged round was given up for a forced step.
#[test]
fn a_payee_has_no_choice_by_a_forced_step_and_a_round_that_the_payer_refuses() {
    let mut world = World::opened();
    let (until, update) = forced_beside(&mut world);
    let forged = world.forge_update_to(Responder, update.round + 5, Vec::new(), world.agreed(Initiator));
    world.hear(Initiator, Message::Update(forged));
    let counter = said_above(&world, update.round);
    world.wire[Responder].clear();
    mine_until(&mut world, until);
    assert_eq!(on_chain(&world), Base::of(update.round), "the pledge was shown");
    if let Some(counter) = counter {
        show_instead(&mut world, &counter);
    }
    assert_eq!(on_chain(&world), Base::of(update.round));
}

/// The payer pays above the forced step once it is too late for another pledge, and hears later that the first was shown in time.
#[test]
fn a_payee_has_no_choice_by_a_forced_step_and_a_payment() {
    for lag in [0, 1, 3] {
        let mut world = World::opened();
        let (until, update) = forced_beside(&mut world);
        let _paid = world.pay(Initiator, 1).unwrap();
        let mut above = None;
        while world.chain.head() < until + 1 {
            if world.chain.head() >= until - 2 {
                world.lag[Initiator] = lag;
            }
            world.mine();
            world.sides[Initiator].registry.best = world.chain.head();
            // The payee says nothing more.
            above = above.or_else(|| said_above(&world, update.round));
            world.wire = protocol::Pair::default();
        }
        assert_eq!(on_chain(&world), Base::of(update.round), "the pledge was shown");
        // Above the pledged round, once that is known to count, it may pay what it likes.
        if let Some(above) = above.filter(|above| above.base < Base::of(update.round)) {
            show_instead(&mut world, &above);
        }
        assert_eq!(on_chain(&world), Base::of(update.round), "{lag}");
    }
}
