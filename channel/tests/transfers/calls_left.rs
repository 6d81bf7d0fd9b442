//! Attacks on what is left of the calls that go with a conditional transfer (R8.3g): forced steps that are undone, rows with equal calls, calls that are on their way, and
//! channels that are settled before anything is due.

use super::*;
use crate::harness::{
    LOCK, apps,
    contracts::{counter, forced},
    deeds::{calls_of, count_of, deed_of, returning},
    forge::sign,
};
use channel::{Event, Message, Refusal, RefusalCode, Refused, State, Update, transfer::AppCall};
use protocol::{Pair, StateCommitment, contracts::calls_root, signing::StateBody};

/// The payer keeps a payment of the payee's back, which the payee has signed, and forces the claim of coins and deed, as is right. Then it shows the payment with both
/// signatures, which undoes the forced step (R5.4): transfer and deed are locked again. The payee has taken the deed's call out of its row when it followed the step
/// (`note_forced`, `drop_left`), so that it claims the coins alone. The deed stays with the payer. Right would be that a call that is made stays in the row as long as a
/// state with its transfer may count, and is to be made again where that state comes back (`want_left` says so, and finds nothing in the row).
#[test]
fn a_forced_claim_that_is_undone_is_claimed_again_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Initiator);
    let _id = world.pay(Responder, 5).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the payment") };
    world.kill(Initiator);
    let claim = ConditionalInput::Claim(secret(1).0);
    let deed = deed_claim(deeds[0], 1);
    world.force_by_hand(Initiator, &state, payload, vec![deed, forced(contract, 0, &claim)]);
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is followed");
    let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(160);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// The same where the payee forces the claim itself, since the payer does not answer: the payer undoes the payee's own step.
#[test]
fn an_own_forced_claim_that_the_payer_undoes_is_claimed_again_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let _id = world.pay(Responder, 5).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the payment") };
    world.claim(Responder, 1).unwrap();
    world.kill(Initiator);
    for _ in 0..200 {
        if deed_of(&world, Responder, deeds[0]) == Some((Responder, false)) {
            break;
        }
        world.mine();
    }
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "the step is made");
    let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(220);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// The payer's side of it: the payee keeps a payment of the payer's back, forces the refund with the deed's return, and shows the payment. The payer has taken the
/// returning call out of its row, and refunds the coins alone: its deed stays locked for ever.
#[test]
fn a_forced_refund_that_is_undone_is_refunded_again_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Responder);
    let _id = world.pay(Initiator, 5).unwrap();
    let Message::Update(update) = world.steal(Responder) else { panic!("the payment") };
    world.kill(Responder);
    world.mine_blocks(22);
    let deed = ForcedCall { contract: deeds[0], value: 0, input: vec![2] };
    world.force_by_hand(Responder, &state, payload, vec![deed, refund(contract)]);
    world.mine();
    assert_eq!(deed_of(&world, Initiator, deeds[0]), Some((Initiator, false)), "the step is followed");
    let (channel, payload) = (world.channel_id(), world.co_signed(Initiator, &update));
    world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Initiator, deeds[0]), Some((Initiator, true)), "it is undone");
    world.mine_blocks(220);
    assert_eq!(world.ours(Initiator), SHARE - 5, "the coins are back");
    assert_eq!(deed_of(&world, Initiator, deeds[0]), Some((Initiator, false)), "and the deed is free");
}

/// Two transfers return by the same call. The payee forces both refunds with one call: `note_forced` takes the one that was made for that of either row, so that the
/// payer does not make the other. Right would be that each call in the step counts for one call of one row.
#[test]
fn one_forced_call_does_not_stand_for_those_of_two_transfers() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    world.offer_with(2, returning(made[0]), 20);
    let contracts = [1, 2].map(|number| world.contract_of(Responder, number).unwrap());
    world.disconnect();
    world.mine_blocks(25);
    let calls = vec![forced(made[0], 0, &1_u64), refund(contracts[0]), refund(contracts[1])];
    world.force(Responder, calls).unwrap();
    for _ in 0..6 {
        world.mine();
        world.run();
    }
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
    assert_eq!(count_of(&world, Initiator, made[0]), 2, "one for each transfer");
}

/// Calls of two transfers that are equal are left, and the payer crashes at some point while it asks for both. `load` takes both signed calls for those of the first row
/// (`left_of`), so that once the round is agreed the second row has its call yet, and makes it a second time. Right would be that each signed call is of another one that
/// is left.
#[test]
fn a_crash_while_equal_calls_are_asked_for_makes_none_of_them_twice() {
    for at in 0..14 {
        let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
        world.offer_with(1, returning(made[0]), 20);
        world.offer_with(2, returning(made[0]), 20);
        let contracts = [1, 2].map(|number| world.contract_of(Responder, number).unwrap());
        world.disconnect();
        world.mine_blocks(25);
        world.force(Responder, contracts.map(refund).to_vec()).unwrap();
        world.mine();
        world.mine();
        world.connect();
        for step in 0..20 {
            if step == at {
                world.crash(Initiator);
                world.run();
                break;
            }
            let _moved = world.deliver(if step % 2 == 0 { Responder } else { Initiator });
        }
        for _ in 0..6 {
            world.mine();
            world.run();
        }
        assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
        assert_eq!(count_of(&world, Initiator, made[0]), 2, "crash at {at}: one for each transfer");
    }
}

/// A payer's own forced refund takes more than a block holds, and is made in halves: the app's call, then the refund. The second step is followed as one that has left
/// the call out, though the first one made it, and the payer makes it again: its peer loses what the app gives twice. Right would be that what an own step has made before
/// its end counts as made.
#[test]
fn an_own_forced_refund_in_halves_makes_its_calls_once() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 9)]);
    world.offer_with(1, returning(made[0]), 20);
    world.disconnect();
    let is_told = world.force_in_halves(Initiator, 180, |_world| false);
    assert!(is_told);
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    assert_eq!(world.ours(Initiator), SHARE);
    assert_eq!(count_of(&world, Initiator, made[0]), 1);
}

/// Two deeds go with one transfer, and the payer forces the claim of the coins alone. Of the payee's round with both calls it refuses the first by a counter-round, which
/// has the second proposed again, and is silent. What is on its way is not tried a second time, and both are forced.
#[test]
fn a_call_that_is_on_its_way_is_not_taken_for_one_that_is_made() {
    let (mut world, deeds) = locked(2, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    while world.deliver(Responder) {}
    world.mine();
    while world.deliver(Responder) {}
    // What the payee says, as far as it is a round.
    let said = |world: &mut World| {
        let all: Vec<_> = world.wire[Initiator].drain(..).collect();
        all.into_iter().find_map(|message| match message {
            Message::Update(update) => Some(update),
            _ => None,
        })
    };
    let asked = said(&mut world).expect("the payee asks for the deeds");
    assert_eq!(asked.changes.len(), 2);
    let machine = world.sides[Responder].machine();
    let State { balances, contracts_root, .. } = machine.state().unwrap().clone();
    let calls_root = calls_root(&[], &Native);
    let state_hash = StateCommitment { balances, contracts_root, calls_root }.hash(&Native);
    let (base, height) = (world.base(Responder), world.chain.head());
    let round = asked.round + 1;
    assert_eq!(Party::owner_of(round), Initiator);
    let signature = sign(Initiator, world.channel_id(), &StateBody { round, base, state_hash, valid_until: None });
    let items = Refused::Some(vec![(0, RefusalCode::NOT_NOW)]);
    let refuses = Some(Refusal { round: asked.round, items });
    let counter = Update { round, base, height, refuses, changes: Vec::new(), state_hash, signature };
    world.hear(Responder, Message::Update(counter));
    assert!(said(&mut world).is_some(), "the second one is asked for again");
    for _ in 0..260 {
        world.mine();
        while world.deliver(Responder) {}
        world.wire[Initiator].clear();
    }
    let owned = deeds.iter().map(|deed| deed_of(&world, Responder, *deed)).collect::<Vec<_>>();
    assert_eq!(owned, [Some((Responder, false)); 2]);
}

/// The payer closes alone, and the channel is settled long before the transfer expires. The payee wants to claim, knows the pre-image, and registers it only shortly before
/// the expiry: so it forces nothing while the channel closes. On the settled channel the payer forces the claim of the last coins alone, which ends the channel and the
/// deed with it. Right would be that a payee with calls registers the pre-image and forces its claim while the channel closes, as `force_ends` does with what is shown.
#[test]
fn a_payee_claims_its_deed_before_a_channel_that_closes_is_settled() {
    let (mut world, deeds) = locked(1, 4 * LOCK);
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 4);
    // Whatever of it is open yet, the payer claims for the payee.
    if !world.chain.is_closed() && !world.sides[Initiator].is_over() {
        let _made_already = world.force_claim(Initiator, contract, 1);
    }
    world.mine_blocks(4 * LOCK);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deeds[0]), 2, "it was claimed before the channel ended");
}

/// More transfers with calls become due while a channel closes than the payee has forced steps left, since its user has made some. What is refused for that is tried with each block:
/// each try tells the user of a step that is forced and of one that has failed, and both are stored until they are acknowledged. Right would be that no step is begun whose
/// quota is used up.
#[test]
fn a_quota_that_is_used_up_while_closing_is_not_tried_in_each_block() {
    let mut world = World::opened();
    let counter = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    let deeds = deeds(&mut world, 3);
    for (number, deed) in (1..).zip(&deeds) {
        world.offer_with(number, with_deeds(&[*deed]), 14 + 6 * BlockNumber::from(number));
    }
    assert_eq!(world.open_transfers(), 3);
    world.disconnect();
    world.mine_blocks(6);
    world.close_solo(Initiator).unwrap();
    world.mine();
    for _ in 0..2 {
        world.force(Responder, vec![forced(counter, 0, &1_u64)]).unwrap();
        world.mine();
    }
    for number in 1..=3 {
        world.claim(Responder, number).unwrap();
    }
    world.mine_blocks(5 * LOCK);
    assert!(world.chain.is_closed());
    let failed = world.sides[Responder].was_told(|event| matches!(event, Event::ForceFailed { .. }));
    for deed in &deeds {
        assert_eq!(calls_of(&world, Responder, *deed), 2, "it was claimed before the channel ended");
    }
    assert!(failed <= 1, "{failed} times");
}

/// The payer forces the claim of the coins alone, refuses the payee's round that asks for the deed, and offers a close in agreement in the same block. The transfer is not in
/// the agreed state any more, and what is left of its calls waits for the next block: nothing of that holds up `on_peer_shutdown` (nor `advance`, where the payee itself wants
/// to close), so that the payee signs, and the deed goes with the channel. Right would be that a close in agreement waits for calls that are left as it does for an open
/// transfer (R8.3f).
#[test]
fn a_close_in_agreement_waits_for_calls_that_are_left() {
    for payee_closes in [false, true] {
        let mut world = World::opened_with(Initiator, |config| config.acceptance = channel::Acceptance::Manual);
        let deeds = deeds(&mut world, 1);
        world.offer_with(1, with_deeds(&deeds), 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.force_claim(Initiator, contract, 1).unwrap();
        world.mine();
        world.run();
        world.mine();
        world.run();
        let round = world.asked(Initiator).expect("the payee asks for the deed");
        world.refuse(Initiator, round, RefusalCode(RefusalCode::APPLICATION.0)).unwrap();
        world.run();
        let closes = if payee_closes { Responder } else { Initiator };
        let _closes = world.shutdown(closes, 0);
        world.run();
        for _ in 0..160 {
            world.mine();
            world.run();
        }
        let calls = calls_of(&world, Responder, deeds[0]);
        assert_eq!(calls, 2, "the payee closes: {payee_closes}; it was claimed before the channel ended");
    }
}

/// The channel is settled with two transfers in it: the first has a deed with it and expires late, the second is plain and expires soon. The payer forces the claim of the
/// first alone, so that the deed's call is left. On a settled channel `force_ends` looks at what has expired alone: the payee waits for the expiry of a transfer that is over,
/// the payer refunds the second one, which is the last coin, and the deed is gone with the channel. Right would be that what is left of calls on a settled channel is
/// forced at once, whenever its transfer would have expired: the registry has its pre-image (R8.3e: on a settled channel at once).
#[test]
fn what_is_left_of_calls_on_a_settled_channel_is_forced_at_once() {
    let (mut world, deeds) = locked(1, 6 * LOCK);
    world.offer(Initiator, 2, 7, 3 * LOCK).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 4);
    assert!(!world.sides[Initiator].is_over());
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine_blocks(4 * LOCK);
    assert!(world.chain.is_closed(), "the second one is refunded");
    assert_eq!(calls_of(&world, Responder, deeds[0]), 2, "it was claimed before the channel ended");
}

/// The payee is away while the payer closes alone, and comes back to a settled channel, on which its claim is due at once. The code of the deed's app is not here after the start,
/// and comes some blocks later: `extend_step` takes code that is not here for a step that the arbiter would not make, leaves the deed's call out, and the claim of the last
/// coins alone ends the channel. Right would be that a step waits for code that is being fetched, for some blocks at least, as what is asked for off chain does.
#[test]
fn a_step_on_a_settled_channel_waits_for_code_that_is_fetched() {
    let (mut world, deeds) = locked(1, LOCK + 10);
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(LOCK + 9);
    assert!(world.chain.preimages.contains_key(&secret(1).1), "it is shown in time");
    world.kill(Responder);
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 4);
    assert!(!world.chain.is_closed(), "the claim is open on the settled channel");
    world.sides[Responder].book.missing = [apps::DEED.code].into();
    world.fetch_code = false;
    world.restart(Responder);
    world.fetch_code = true;
    world.mine_blocks(10);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deeds[0]), 2, "it was claimed before the channel ended");
}

/// While the channel closes the payee forces what is claimed with calls one by one, as each pre-image is shown, until its forced steps are used up. Then the payer forces the
/// claims of all others alone: nothing is left with which the payee could force their calls, and the channel is settled without them. Right would be that the pre-images are
/// shown and the claims forced together, and that a step is kept for what the peer may leave.
#[test]
fn steps_that_are_used_up_one_by_one_while_closing_leave_no_deed_behind() {
    let mut world = World::opened();
    let deeds = deeds(&mut world, 3);
    for (number, deed) in (1..).zip(&deeds) {
        world.offer_with(number, with_deeds(&[*deed]), 14 + 6 * BlockNumber::from(number));
    }
    let last = [2, 3].map(|number| (number, world.contract_of(Responder, number).unwrap()));
    world.disconnect();
    for number in 1..=3 {
        world.claim(Responder, number).unwrap();
    }
    world.mine_blocks(6);
    world.close_solo(Initiator).unwrap();
    let mut is_forced = false;
    for _ in 0..6 * LOCK {
        let is_first = calls_of(&world, Responder, deeds[0]) == 2;
        if is_first && !is_forced && !world.sides[Initiator].is_over() {
            is_forced = true;
            let claims = last.map(|(number, contract)| claim_of(contract, number));
            // They may be claimed already.
            let _made_or_not = world.force(Initiator, claims.to_vec());
        }
        world.mine();
    }
    assert!(is_forced && world.chain.is_closed());
    let made: Vec<_> = deeds.iter().map(|deed| calls_of(&world, Responder, *deed)).collect();
    assert_eq!(made, [2; 3], "each was claimed before the channel ended");
}

/// A payee that crashes at any point after a claim was forced alone asks for everything that is left.
#[test]
fn a_crash_at_any_point_leaves_no_deed_behind() {
    for crashed in Party::BOTH {
        for at in 0..14 {
            let (mut world, deeds) = locked(2, 20);
            let contract = world.contract_of(Responder, 1).unwrap();
            world.force_claim(Initiator, contract, 1).unwrap();
            world.mine();
            for step in 0..at {
                let _moved = world.deliver(if step % 2 == 0 { Responder } else { Initiator });
                if step == 5 {
                    world.mine();
                }
            }
            world.crash(crashed);
            for _ in 0..6 {
                world.run();
                world.mine();
            }
            world.run();
            let owned: Vec<_> = deeds.iter().map(|deed| deed_of(&world, Responder, *deed)).collect();
            assert_eq!(owned, [Some((Responder, false)); 2], "{crashed:?} at {at}");
            assert!(world.sides[Responder].machine().incoming_transfers().is_empty(), "its row has ended");
        }
    }
}

/// A claim that is forced alone, and undone before the payee has its deed, is claimed with the deed again.
#[test]
fn a_claim_that_was_forced_alone_and_is_undone_is_claimed_with_its_deed() {
    let (mut world, deeds) = locked(1, 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Initiator);
    let _id = world.pay(Responder, 5).unwrap();
    let Message::Update(update) = world.steal(Initiator) else { panic!("the payment") };
    world.kill(Initiator);
    let claim = ConditionalInput::Claim(secret(1).0);
    world.force_by_hand(Initiator, &state, payload, vec![forced(contract, 0, &claim)]);
    world.mine();
    let (channel, payload) = (world.channel_id(), world.co_signed(Responder, &update));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine_blocks(220);
    assert_eq!(world.ours(Responder), SHARE + AMOUNT - 5, "the coins are claimed");
    assert_eq!(deed_of(&world, Responder, deeds[0]), Some((Responder, false)), "and the deed with them");
}

/// What returns is two calls, of which the second needs the first: the deed is free, and is locked anew. In a refund of the payer's both are made in their order. Where the
/// payee forces the refund alone, `ask_for_ends` tries each call that is left by itself on the agreed state: the app refuses the second one as long as the first is only
/// asked for, and `drop_left` erases it. Right would be that what is left is tried in its order, each call on top of those before it.
#[test]
fn what_is_left_is_made_in_its_order() {
    for is_parted in [false, true] {
        let mut world = World::opened();
        let deed = deeds(&mut world, 1)[0];
        let anew = apps::DeedInput::Lock(secret(9).1, world.chain.head() + 500);
        let mut calls = with_deeds(&[deed]);
        calls.returning.push(AppCall { contract: deed, input: anew.encode() });
        world.offer_with(1, calls, 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.disconnect();
        world.mine_blocks(25);
        if is_parted {
            world.force(Responder, vec![refund(contract)]).unwrap();
        }
        for _ in 0..6 {
            world.mine();
            world.run();
        }
        assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
        let called = calls_of(&world, Initiator, deed);
        assert_eq!((called, deed_of(&world, Initiator, deed)), (3, Some((Initiator, true))), "parted: {is_parted}");
    }
}
