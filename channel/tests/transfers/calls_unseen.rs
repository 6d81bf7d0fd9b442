//! Attacks on calls that go with transfers (R8.3g) where something waits beside them: code that never comes, steps that the chain does not make, the user's own calls.

use super::*;
use crate::harness::{
    LOCK, apps,
    contracts::counter,
    deeds::{calls_of, count_of, deed_of, returning},
};
use channel::{Event, transfer::AppCall};
use protocol::{
    Pair,
    contracts::{AppOutcome, AppReply, CallFault, Requirement},
};

/// Two calls are left of a claim that the payer has forced alone. The code of the one never comes, and the app of the other refuses it. The refusal is taken for final only where nothing waits beside it (`Trial::sort` clears
/// `refused`, `extend_step` truncates it), which here is never; and `waits_for_left` waits for whatever has its code here. The row stays, and no close in agreement is agreed to or offered any more. Right would be that a close waits
/// no longer for what is refused by itself than for code that never comes.
#[test]
fn a_refusal_beside_code_that_never_comes_holds_up_no_close_in_agreement_for_ever() {
    for (refused_first, closes) in [(true, Responder), (true, Initiator), (false, Responder), (false, Initiator)] {
        let mut world = World::opened();
        let deed = deeds(&mut world, 1)[0];
        let other = world.create(Initiator, vec![crate::harness::deeds::deed(Initiator), counter(Pair::default(), 9)]);
        let mut calls = with_deeds(&[deed]);
        // A counter takes no pre-image behind its number, and refuses it.
        let refused = AppCall { contract: other[1], input: 1_u64.encode() };
        calls.claiming.insert(if refused_first { 0 } else { 1 }, refused);
        world.offer_with(1, calls, 20);
        world.leave_deeds_without_code();
        assert!(world.is_closed_in_agreement(closes), "the refused one first: {refused_first}, by {closes:?}");
    }
}

/// The arbiter's app of the deed takes more than a call may take on chain.
fn heavy_on_chain(world: &mut World) {
    world.chain.ledger.apps.register_as(
        apps::DEED.code,
        |_context, _input| Err(CallFault::Failed),
        |_context, _state, _input| Err(CallFault::Failed),
    );
}

/// A call that goes with a claim fits the rules off chain, and the arbiter fails it (it runs out of its weight there). The plan says nothing of that, so that the call is in every step (`extend_step`), and each step is refused as a whole
/// (`on_force_rejected`): the coins of a settled channel are never claimed, the user is told of two events with each block, and cannot claim by hand either, since something is always being forced. Right would be that what
/// the arbiter itself has refused is left out of the next step.
#[test]
fn a_call_that_fails_on_chain_alone_holds_up_no_coins_of_a_settled_channel() {
    let (mut world, _deeds) = locked(1, LOCK + 10);
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    heavy_on_chain(&mut world);
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(4 * LOCK);
    let contract = world.contract_of(Responder, 1);
    let by_hand = contract.map(|contract| world.force_claim(Responder, contract, 1));
    let failed = world.sides[Responder].was_told(|event| matches!(event, Event::ForceFailed { .. }));
    world.mine_blocks(10);
    assert!(world.chain.is_closed(), "the coins are claimed; {failed} steps have failed, by hand {by_hand:?}");
}

/// The same in an open channel with a peer that is away: the step has all that is due, and one call that fails on chain keeps each of the others from being ended, for ever.
#[test]
fn a_call_that_fails_on_chain_alone_holds_up_no_other_transfers() {
    let (mut world, _deeds) = locked(1, 20);
    world.offer(Initiator, 2, 7, 30).unwrap();
    world.run();
    heavy_on_chain(&mut world);
    world.kill(Responder);
    world.mine_blocks(600);
    assert_eq!(world.ours(Initiator), SHARE, "the coins of both are back");
}

/// The same where no block takes the step with the call, not even alone: it is halved down to the call, and given up, and begun anew with the same call in front.
#[test]
fn a_call_that_no_block_takes_holds_up_no_coins() {
    let (mut world, deeds) = locked(1, 20);
    world.offer(Initiator, 2, 7, 30).unwrap();
    world.run();
    world.kill(Responder);
    let call = CallKind::ChannelForceProgress;
    for _ in 0..600 {
        let is_heavy = |world: &World| {
            world.chain.waiting().iter().any(|waiting| match waiting {
                Call::ChannelForceProgress(step) => step.calls.iter().any(|call| call.contract == deeds[0]),
                _ => false,
            })
        };
        if is_heavy(&world) {
            world.chain.drop_pool();
            world.input(Initiator, Input::Chain(ChainInput::Undeliverable { call })).unwrap();
        }
        world.mine();
    }
    assert_eq!(world.ours(Initiator), SHARE, "the coins of both are back");
}

/// No more transfers with calls are open than a side has forced steps, since each may need one (R8.3g). Plain transfers take them all the same: the payer takes three of the payee's, answers nothing, and has the payee force its refunds one by
/// one. Then the payer closes alone. The payee has no step left for its claim with the deed before the channel is settled, and the payer ends it with the last coin. Right would be that plain ends leave the steps that transfers with
/// calls may need.
#[test]
fn steps_that_transfers_with_calls_need_are_not_used_up_by_plain_ones() {
    for plain in [0, 3] {
        let (mut world, deeds) = locked(1, 900);
        let contract = world.contract_of(Responder, 1).unwrap();
        for number in 11..11 + plain {
            world.sides[Initiator].registry.calls = LockedCalls::NONE;
            world.offer(Responder, number, 7, 110 * BlockNumber::from(number - 10)).unwrap();
            world.run();
        }
        world.disconnect();
        world.mine_blocks(450);
        let waits = if plain == 0 { 0 } else { 7 };
        assert_eq!(world.ours(Responder), SHARE - waits, "the last plain one waits: the deed may need the step");
        world.close_solo(Initiator).unwrap();
        world.mine();
        world.claim(Responder, 1).unwrap();
        for _ in 0..4 * LOCK {
            let is_settling = world.chain.waiting().iter().any(|call| matches!(call, Call::ChannelSettle { .. }));
            if is_settling && !world.sides[Initiator].is_over() {
                // The last coin goes in the very block in which the channel is settled.
                let (state, _) = kept_state(&world, Initiator);
                if let Some(mut step) = world.try_forced_step(Initiator, &state, None, vec![claim_of(contract, 1)]) {
                    step.state_hash = None;
                    world.chain.submit(Initiator, Call::ChannelForceProgress(step));
                }
            }
            world.mine();
        }
        assert_eq!(
            calls_of(&world, Responder, deeds[0]),
            2,
            "{plain} plain ones: it was claimed before the channel ended"
        );
    }
}

/// Transfers are refunded by force until the steps are used up, which the user is told of. The peer comes back, everything is agreed, and a year later it is away again: the steps, which count anew, are used up a second time, and no event tells of it
/// (`is_known_rejection` knows the last refusal alone, and nothing that was made since then makes it forget). Right would be that a refusal is known no longer than until something is made.
#[test]
fn what_is_refused_again_after_something_was_made_is_told_of_again() {
    let mut world = World::opened_with(Initiator, |config| config.force_transfers_after = Some(40));
    for episode in 1..=2_usize {
        let first = u8::try_from(episode * 10).unwrap();
        for number in 1..=5 {
            world.offer(Initiator, first + number, 10, 10 + 50 * BlockNumber::from(number)).unwrap();
            world.run();
        }
        world.kill(Responder);
        world.mine_blocks(600);
        let side = &world.sides[Initiator];
        let made = side.was_told(|event| matches!(event, Event::Executed { forced: true, .. }));
        let failed = side.was_told(|event| matches!(event, Event::ForceFailed { .. }));
        assert_eq!((made, failed), (3 * episode, episode), "steps made, and refused for good");
        world.restart(Responder);
        for _ in 0..6 {
            world.run();
            world.mine();
        }
        assert_eq!(world.ours(Initiator), SHARE);
    }
}

/// Two transfers of the payer's are over at once, and the call with which the second returns builds on that of the first: the deed is free, and is locked anew. By force both are made, one after the other (`extend_step`). Off chain each is
/// tried by itself on the agreed state (`ask_for_ends`), though the first one waits for the same round: the second is left out, or dropped where it is left. Right would be that it is tried on top of what waits.
#[test]
fn a_call_that_builds_on_one_of_another_transfer_is_made_in_the_same_round() {
    let made = ["forced", "asked for", "left"].map(|way| {
        let mut world = World::opened();
        let deed = deeds(&mut world, 1)[0];
        let anew = apps::DeedInput::Lock(secret(9).1, world.chain.head() + 5_000);
        world.offer_with(1, with_deeds(&[deed]), 20);
        let call = AppCall { contract: deed, input: anew.encode() };
        world.offer_with(2, LockedCalls { returning: vec![call], ..LockedCalls::NONE }, 21);
        let contracts = [1, 2].map(|number| world.contract_of(Responder, number).unwrap());
        world.disconnect();
        world.mine_blocks(25);
        if way == "left" {
            world.force(Responder, contracts.map(refund).to_vec()).unwrap();
        }
        if way == "forced" {
            world.mine_blocks(130);
        }
        for _ in 0..10 {
            world.mine();
            world.run();
        }
        assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
        (calls_of(&world, Initiator, deed), deed_of(&world, Initiator, deed))
    });
    assert_eq!(made, [(3, Some((Initiator, true))); 3]);
}

/// A contract that an offer's calls name may be a conditional transfer, which no call of a round changes (R8.3). What is claimed with such a call is never asked for: that it is no app is taken for something that passes (`Hindrance::of`), and where nothing is
/// forced the coins are never claimed, though the payer is honest.
#[test]
fn a_call_of_what_is_no_app_holds_up_no_claim() {
    let mut world = World::opened_with(Responder, |config| config.force_transfers_after = None);
    world.offer(Initiator, 2, 7, 2_000).unwrap();
    world.run();
    let named = world.contract_of(Responder, 2).unwrap();
    let claiming = vec![AppCall { contract: named, input: vec![1] }];
    world.offer_with(1, LockedCalls { claiming, ..LockedCalls::NONE }, 40);
    world.claim(Responder, 1).unwrap();
    for _ in 0..30 {
        world.run();
        world.mine();
    }
    assert_eq!(world.ours(Responder), SHARE + AMOUNT);
}

/// Two transfers return by an equal call, and both have expired. The refund of the first is forced alone, and the payer forces what is left of it before the second is due to be forced. The payer takes the call for that of the first
/// (`before`), the payee, which knows of nothing that is left for its peer, for that of the second (`later`). The payee fails the second without the call, and the payer refuses that as a breach of the rules.
#[test]
fn both_sides_know_the_same_of_calls_that_return_once_both_have_expired() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    world.offer_with(2, returning(made[0]), 90);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.mine_blocks(25);
    world.sides[Initiator].registry.blind = true;
    world.force(Responder, vec![refund(contract)]).unwrap();
    for _ in 0..150 {
        world.mine();
        if count_of(&world, Initiator, made[0]) == 1 {
            break;
        }
    }
    assert_eq!(count_of(&world, Initiator, made[0]), 1, "what is left is forced");
    world.run();
    world.fail(Responder, 2).unwrap();
    for _ in 0..20 {
        world.run();
        world.mine();
    }
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0), "it is given back");
    let wrongs = world.sides[Initiator].was_noticed(|notice| matches!(notice, channel::Notice::PeerViolated(_)));
    assert_eq!((count_of(&world, Initiator, made[0]), wrongs), (2, 0));
}

/// The payer gives a payment up that its peer will not answer, forces a refund, and pays on top of that. The peer shows the first payment on chain, which is told as made. The payer forces what is due again, and the peer shows the second payment, which
/// takes the place of the first: that is undone, and nobody is told of it, since the round that made it is not the agreed one any more (`account_for` compares `made_in` with the round of the forced state). The payment counts as paid for ever. Right would be
/// what R6.2a says, whatever was forced in between.
#[test]
fn what_is_undone_is_told_of_though_a_step_was_forced_in_between() {
    let told = [false, true].map(|is_forced| {
        let mut world = World::opened_with(Initiator, |config| config.force_transfers_after = Some(3));
        world.sides[Responder].is_cheat = true;
        world.offer(Initiator, 1, 100, 10).unwrap();
        world.run();
        world.pay_once(Initiator, "first", 5).unwrap();
        let Message::Update(first) = world.steal(Responder) else { panic!("the first payment") };
        let (round, code) = (first.round, channel::RefusalCode::STALE_STORE);
        world.hear(Initiator, Message::UpdateError { round, code });
        for _ in 0..40 {
            world.mine();
            world.wire = Pair::default();
            if world.open_at(Initiator) == 0 {
                break;
            }
        }
        assert_eq!(world.open_at(Initiator), 0, "it is refunded by force");
        let round = world.sides[Initiator].round();
        world.hear(Initiator, Message::ForceProgressLocked { round });
        world.pay_once(Initiator, "second", 7).unwrap();
        let Message::Update(second) = world.steal(Responder) else { panic!("the second payment") };
        assert!(second.base > first.base && second.round > first.round);
        world.kill(Responder);
        world.show_round(&first);
        world.mine();
        let outcome = |world: &World, key: &str| {
            world.sides[Initiator].machine().payment(&IdempotencyKey::from(key)).map(|it| it.outcome)
        };
        assert!(matches!(outcome(&world, "first"), Some(channel::PaymentOutcome::Paid(_))));
        if is_forced {
            world.mine_blocks(6);
            assert_eq!(world.open_at(Initiator), 0, "it is refunded again");
        }
        world.show_round(&second);
        world.mine_blocks(3);
        let paid = SHARE - world.ours(Initiator);
        let undone = matches!(outcome(&world, "first"), Some(channel::PaymentOutcome::Undone(_)));
        let told = world.sides[Initiator].was_told(|event| matches!(event, Event::Undone { .. }));
        (paid, undone, told)
    });
    assert_eq!(told, [(7, true, 1); 2]);
}

/// The words behind which the pre-image of the transfer number 1 makes an answer of a puppet's, which requires that it was shown, and takes it as often as it comes.
fn claiming_words() -> Vec<u8> {
    let (preimage, lock) = secret(1);
    let requirement = Some(Requirement::Shown { lock, preimage, before: BlockNumber::from_le_bytes([1; 4]) });
    let answer: AppReply = Ok(AppOutcome { requirement, ..AppOutcome::default() });
    let words = answer.encode();
    words[..words.len() - 32].to_vec()
}

/// The payer forces the claim of the coins alone. The payee asks for the call, is not answered, and forces it: the round with it is abandoned, and its change waits again. The row is over with the step, and with the last row of a transfer with
/// calls nothing looks through what waits any more (`make_up_anew` returns where `has_any_calls` says no, which it has since 3c7ae25a): once the payer goes on, the call is proposed and made a second time, by the payee itself. Where another transfer
/// with calls is open the change goes from the queue. Right would be that the queue is looked through as long as a change of it was asked for.
#[test]
fn what_waits_for_a_call_that_was_forced_goes_with_the_last_row() {
    let counts = [true, false].map(|has_another| {
        let mut world = World::opened();
        let app = world.create(Initiator, vec![crate::harness::contracts::puppet(Pair::default())])[0];
        if has_another {
            let calls = LockedCalls { claiming: vec![AppCall { contract: app, input: vec![9] }], ..LockedCalls::NONE };
            world.offer_with(2, calls, 3_000);
        }
        let claiming = vec![AppCall { contract: app, input: claiming_words() }];
        world.offer_with(1, LockedCalls { claiming, ..LockedCalls::NONE }, 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.disconnect();
        world.force_claim(Initiator, contract, 1).unwrap();
        world.mine();
        world.mine();
        world.connect();
        while !world.wire[Initiator].iter().any(|message| matches!(message, Message::Update(_))) {
            let _moved = (world.deliver(Responder), world.wire[Responder].is_empty() && world.deliver(Initiator));
        }
        assert_eq!(calls_of(&world, Responder, app), 0, "its round is on its way");
        world.disconnect();
        for _ in 0..200 {
            world.mine();
            if calls_of(&world, Responder, app) > 0 {
                break;
            }
        }
        assert_eq!(calls_of(&world, Responder, app), 1, "it is forced");
        for _ in 0..6 {
            world.run();
            world.mine();
        }
        calls_of(&world, Responder, app)
    });
    assert_eq!(counts, [1, 1], "with another transfer with calls, and without");
}

/// The same of a payer whose router forgets what has failed.
#[test]
fn what_waits_for_a_call_that_was_forced_goes_with_the_last_row_of_the_payers() {
    let counts = [false, true].map(|forgets| {
        let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
        world.offer_with(1, returning(made[0]), 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.leave_what_returns(contract);
        world.connect();
        while !world.wire[Responder].iter().any(|message| matches!(message, Message::Update(_))) {
            let _moved = (world.deliver(Initiator), world.wire[Initiator].is_empty() && world.deliver(Responder));
        }
        world.disconnect();
        if forgets {
            world.command(Initiator, Command::Transfer(TransferCommand::Forget { key: name(1) })).unwrap();
        }
        for _ in 0..200 {
            world.mine();
            if count_of(&world, Initiator, made[0]) == 1 {
                break;
            }
        }
        assert_eq!(count_of(&world, Initiator, made[0]), 1, "it is forced");
        for _ in 0..6 {
            world.run();
            world.mine();
        }
        count_of(&world, Initiator, made[0])
    });
    assert_eq!(counts, [1, 1], "where the row stays, and where it is forgotten");
}

/// The peer says that its store is old, and the user is told that its call is refused. With the next link the round is open again (`reclaim`), and its call waits for the peer as any of the user's: where `force_after` is set this side forces it of itself
/// (`on_tick_while_calling`), though it was told as not made, and the user may have made another one since. Right would be that what was told of as refused is made by the peer's answer alone.
#[test]
fn what_was_told_of_as_refused_is_not_forced() {
    let mut world = World::opened_with(Initiator, |config| config.force_after = Some(1_000));
    let made = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    let id = world.make_one(Initiator, crate::harness::contracts::call(made, 0, &1_u64)).unwrap();
    let Message::Update(update) = world.steal(Responder) else { panic!("the call") };
    world.hear(Initiator, Message::UpdateError { round: update.round, code: channel::RefusalCode::STALE_STORE });
    world.disconnect();
    world.connect();
    for _ in 0..6 {
        let _moved = (world.deliver(Initiator), world.wire[Responder].pop_front());
    }
    world.tick(1);
    world.tick(2_000);
    world.mine_blocks(3);
    let side = &world.sides[Initiator];
    let refused =
        side.was_told(|event| matches!(event, Event::Refused { payments, .. } if payments.ids().contains(&id)));
    let forced = side.was_told(|event| matches!(event, Event::Forcing { changes } if changes.contains(&id)));
    assert_eq!((refused, forced, count_of(&world, Initiator, made)), (1, 0, 0));
}

impl World {
    /// How many transfers are open as a side sees it.
    fn open_at(&self, party: Party) -> usize {
        self.sides[party].machine().contracts().map_or(0, protocol::contracts::Contracts::transfers)
    }

    /// The responder shows a round of the initiator's, with both signatures.
    fn show_round(&mut self, update: &channel::Update) {
        let (channel, payload) = (self.channel_id(), self.co_signed(Initiator, update));
        self.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }
}
