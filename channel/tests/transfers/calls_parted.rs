//! Calls of apps under the lock of a conditional transfer (R8.3g), where somebody would have coins and deed parted, or an app holds up coins.

use super::*;
use crate::harness::{
    LOCK, apps,
    contracts::{call, counter, forced, puppet},
    deeds::{calls_of, deed, deed_of, with_deeds},
};
use channel::{
    Acceptance, Event, RefusalCode,
    transfer::{AppCall, Verdict},
};
use protocol::{
    Pair,
    contracts::{AppOutcome, AppReply, Requirement},
};

/// An open channel in which a deed of the initiator's is locked with the transfer number 1, for 20 blocks.
fn locked_in(mut world: World) -> (World, ContractId) {
    let deed = world.create(Initiator, vec![deed(Initiator)])[0];
    world.offer_with(1, with_deeds(&[deed]), 20);
    assert_eq!((deed_of(&world, Responder, deed), world.open_transfers()), (Some((Initiator, true)), 1));
    (world, deed)
}

fn locked() -> (World, ContractId) {
    locked_in(World::opened())
}

/// Blocks and words, as many as any patience lasts. The deed as the responder saw it last.
fn wait(world: &mut World, deed: ContractId) -> Option<(Party, bool)> {
    let mut last = deed_of(world, Responder, deed);
    for _ in 0..160 {
        world.run();
        last = deed_of(world, Responder, deed).or(last);
        world.mine();
        last = deed_of(world, Responder, deed).or(last);
    }
    world.run();
    deed_of(world, Responder, deed).or(last)
}

/// A payee was started again after the offer was agreed, and its registry of apps keeps no Wasm in a folder: it fetches the code again when it needs it (R7.2b). Its claim waits for
/// the code: only what the app itself refuses is left out (R8.3g).
#[test]
fn a_payee_whose_code_is_not_here_after_a_start_claims_the_deed_as_well() {
    let (mut world, deed) = locked();
    world.kill(Responder);
    world.sides[Responder].book.missing = [apps::DEED.code].into();
    world.restart(Responder);
    world.run();
    world.claim(Responder, 1).unwrap();
    world.run();
    let last = wait(&mut world, deed);
    assert_eq!((world.ours(Responder), last), (SHARE + AMOUNT, Some((Responder, false))));
}

/// The same by force: the code is fetched before the step is made, though nothing can be agreed.
#[test]
fn a_payee_whose_code_is_not_here_forces_its_claim_with_the_deed() {
    let (mut world, deed) = locked();
    world.kill(Responder);
    world.sides[Responder].book.missing = [apps::DEED.code].into();
    world.restart(Responder);
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(130);
    let seen = world.sides[Responder].fetched.clone();
    assert_eq!(seen, [apps::DEED.code], "the code is asked for before anything is forced");
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)));
}

/// The payer knows the pre-image, as the initiator of a swap does of its source leg. It forces the claim of the coins alone, and refuses the call by which the payee asks for the
/// deed, with a word of its user's. What the forced step has left is asked for again, and forced as the transfer would have been, until it is made (R8.3g).
#[test]
fn a_payer_that_forces_the_claim_alone_cannot_keep_the_deed_by_refusing_the_call_for_it() {
    let (mut world, deed) = locked_in(World::opened_with(Initiator, |config| config.acceptance = Acceptance::Manual));
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    world.run();
    world.mine();
    world.run();
    let round = world.asked(Initiator).expect("the payee asks for the deed");
    world.refuse(Initiator, round, RefusalCode(RefusalCode::APPLICATION.0)).unwrap();
    let last = wait(&mut world, deed);
    assert_eq!((world.ours(Responder), last), (SHARE + AMOUNT, Some((Responder, false))));
}

/// The payer forces the claim of the coins alone, and says nothing any more: what goes with transfers is forced with their patience (`force_transfers_after`), whatever that of other calls is.
#[test]
fn a_payer_that_forces_the_claim_alone_cannot_keep_the_deed_by_silence() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    world.disconnect();
    world.mine_blocks(160);
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)));
}

/// The payer forces the claim of the coins alone, and the payee's process ends right after it has followed that: what is left of the calls is in the row of the transfer.
#[test]
fn a_crash_after_a_forced_claim_alone_loses_no_deed() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    world.crash(Responder);
    let last = wait(&mut world, deed);
    assert_eq!((world.ours(Responder), last), (SHARE + AMOUNT, Some((Responder, false))));
}

/// The payer, which knows the pre-image, closes alone and forces the claim of the coins alone. The payee forces the deed's claim at once while the channel closes: once it is settled, its
/// last coin would end it, and the deed would be the payer's for ever.
#[test]
fn a_payer_that_closes_and_forces_the_claim_alone_cannot_keep_the_deed() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine_blocks(LOCK + 40);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deed), 2, "it was claimed before the channel ended");
}

/// The payer closes alone, and forces nothing: the payee's claim is forced on the settled channel, with the deed.
#[test]
fn a_payer_that_closes_alone_cannot_keep_the_deed() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 40);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, deed), 2, "it was claimed before the channel ended");
}

/// A payee lets a deed go by itself, which is its right, and leaves the transfer open. The payer promises the deed anew with another transfer. Then the payee is away. The return of the
/// deed goes with the refund of either transfer, each of which would be made alone, and both not: the second one finds the deed free. A step is planned as a whole, and leaves out what an app
/// refuses in it, so that neither these coins nor any others are held up (R8.3g).
#[test]
fn a_deed_that_was_promised_twice_holds_up_no_refund() {
    let (mut world, deed) = locked();
    let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Return)).unwrap();
    world.run();
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)));
    world.offer_with(2, with_deeds(&[deed]), 20);
    world.offer(Initiator, 3, 7, 20).unwrap();
    world.run();
    assert_eq!((deed_of(&world, Initiator, deed), world.open_transfers()), (Some((Initiator, true)), 3));
    world.disconnect();
    world.mine_blocks(400);
    let failed = |event: &Event| matches!(event, Event::ForceFailed { .. });
    assert_eq!(world.sides[Initiator].was_told(failed), 0, "no step is refused");
    assert_eq!(world.ours(Initiator), SHARE, "the coins of all three are back");
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)));
}

/// The same where the channel was closed: nothing is left of the coins but by hand.
#[test]
fn a_deed_that_was_promised_twice_holds_up_no_coins_of_a_settled_channel() {
    let (mut world, deed) = locked();
    let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Return)).unwrap();
    world.run();
    world.offer_with(2, with_deeds(&[deed]), 20);
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 400);
    assert!(world.chain.is_closed(), "both refunds were made");
}

/// The step that claims on a settled channel takes more than a block holds, and is made in halves. The calls of apps stand before the end of the coins, which is the last coin of the channel:
/// no part of a step ends the channel before the deed is claimed.
#[test]
fn a_forced_claim_in_halves_does_not_end_the_channel_before_the_deed_is_claimed() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    let is_told = world.force_in_halves(Responder, LOCK + 40, |world| world.sides[Responder].is_over());
    assert!(is_told);
    assert_eq!(calls_of(&world, Responder, deed), 2, "it was claimed before the channel ended");
}

/// A payee forces the deed's claim by itself: the payer knows the pre-image with the block, and the coins are claimed without the deed.
#[test]
fn a_deed_that_is_claimed_alone_by_force_shows_the_pre_image() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.force(Responder, vec![forced(deed, 0, &apps::DeedInput::Claim(secret(1).0))]).unwrap();
    world.mine();
    world.mine();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)));
    world.run();
    world.mine();
    world.run();
    // It cannot give the coins back for it.
    world.fail(Responder, 1).unwrap();
    world.mine_blocks(3);
    world.run();
    assert_eq!((deed_of(&world, Initiator, deed), world.open_transfers()), (Some((Responder, false)), 1));
}

/// An app that counts with each call up to its goal: too many of them is what it refuses.
fn counting(counter: ContractId, by: u64) -> LockedCalls {
    let returning = vec![AppCall { contract: counter, input: by.encode() }];
    LockedCalls { returning, ..LockedCalls::NONE }
}

/// A refund whose calls the app refuses goes by itself, also by force.
#[test]
fn a_refund_whose_app_refuses_is_forced_without_its_calls() {
    let (mut world, made) = World::with(Initiator, vec![counter(Pair::default(), 3)]);
    let calls = counting(made[0], 4);
    world.offer_with(1, calls, 20);
    assert_eq!(world.open_transfers(), 1);
    world.disconnect();
    world.mine_blocks(140);
    assert_eq!(world.ours(Initiator), SHARE);
}

/// The words behind which the pre-image of the transfer number 1 makes an answer of a puppet's: it requires that this pre-image was shown, and keeps nothing.
fn claiming_words() -> Vec<u8> {
    let (preimage, lock) = secret(1);
    let requirement = Some(Requirement::Shown { lock, preimage, before: BlockNumber::from_le_bytes([1; 4]) });
    let answer: AppReply = Ok(AppOutcome { requirement, ..AppOutcome::default() });
    let words = answer.encode();
    let (words, last) = words.split_at(words.len() - 32);
    assert_eq!(last, preimage.0);
    words.to_vec()
}

/// The calls of one transfer are more bytes of states than one forced step takes: eight contracts of 8 KiB are enough. On a settled channel the step that takes the last coin, and with it the
/// channel, is made after those with the calls.
#[test]
fn calls_that_are_too_large_for_one_step_are_made_before_the_channel_ends() {
    let (mut world, made) = World::with(Initiator, (0..8).map(|_| puppet(Pair::default())).collect());
    // All of their states together are more than one step shows.
    let fill: AppReply = Ok(AppOutcome { state: vec![0; 8_000], ..AppOutcome::default() });
    for contract in &made {
        let _id = world.make_one(Initiator, call(*contract, 0, &fill)).unwrap();
        world.run();
    }
    let before = calls_of(&world, Responder, made[7]);
    let words = claiming_words();
    let claiming = made.iter().map(|contract| AppCall { contract: *contract, input: words.clone() }).collect();
    let calls = LockedCalls { claiming, ..LockedCalls::NONE };
    world.offer_with(1, calls, 20);
    assert_eq!(world.open_transfers(), 1);
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 40);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, made[7]), before + 1, "the last call was made before the channel ended");
}

/// An exchange by hand in one channel: the responder offers coins under a lock whose pre-image it knows, and the initiator locks its deed under the same lock. A call that would show the pre-image in a
/// round and nowhere else is not agreed to while a transfer that comes in waits for it: once the registry has it, it is known (R8.3g).
#[test]
fn a_pre_image_that_a_call_shows_is_known_where_coins_come_in_for_it() {
    let (mut world, made) = World::with(Initiator, vec![deed(Initiator)]);
    let deed = made[0];
    world.offer(Responder, 1, AMOUNT, 20).unwrap();
    world.run();
    let (preimage, lock) = secret(1);
    let expiry = world.chain.head() + 20;
    let _id = world.make_one(Initiator, call(deed, 0, &apps::DeedInput::Lock(lock, expiry))).unwrap();
    world.run();
    let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Claim(preimage))).unwrap();
    world.run();
    let is_told = world.sides[Initiator]
        .routed
        .iter()
        .any(|event| matches!(event, TransferEvent::Fulfilled { preimage: told, .. } if *told == preimage));
    let is_kept = deed_of(&world, Initiator, deed) == Some((Initiator, true));
    assert!(is_told || is_kept, "the deed has moved, and nothing tells what opens the coins");
}

/// The calls that return what an offer has locked leave the deed locked, which both sides' users have agreed to by mistake. The payee fails the transfer, which its payer's router is told of as
/// irrevocably absent (I4). What was locked with it is claimed as the transfer itself is (R8.3c): only where the registry has the pre-image.
#[test]
fn a_deed_whose_transfer_has_failed_is_not_claimed_without_the_registry() {
    let begins = vec![deed(Initiator), counter(Pair::default(), 3)];
    let (mut world, made) = World::with(Initiator, begins);
    let deed = made[0];
    let calls = LockedCalls { returning: counting(made[1], 1).returning, ..with_deeds(&[deed]) };
    world.offer_with(1, calls, 20);
    world.fail(Responder, 1).unwrap();
    world.run();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::ByPayee(FailReason(vec![1])))));
    let claim = call(deed, 0, &apps::DeedInput::Claim(secret(1).0));
    let _id = world.make_one(Responder, claim).unwrap();
    world.run();
    world.mine_blocks(3);
    world.run();
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, true)));
}

/// The payer forces the claim of the coins alone while the payee is away.
#[test]
fn a_payee_that_was_away_while_the_claim_was_forced_alone_asks_for_the_deed() {
    let (mut world, deed) = locked();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.kill(Responder);
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine_blocks(3);
    world.restart(Responder);
    for _ in 0..4 {
        world.run();
        world.mine();
    }
    world.run();
    assert_eq!((world.ours(Responder), deed_of(&world, Responder, deed)), (SHARE + AMOUNT, Some((Responder, false))));
}

/// Where `force_after` is set the call that makes up for a forced claim is forced. The user has not made it, and is told of what it did, and of nothing else: no event names
/// a change that the user does not know.
#[test]
fn a_call_that_makes_up_for_a_forced_claim_is_told_of_by_what_it_did_alone() {
    let (mut world, deed) = locked_in(World::opened_with(Responder, |config| config.force_after = Some(40)));
    let contract = world.contract_of(Responder, 1).unwrap();
    world.force_claim(Initiator, contract, 1).unwrap();
    world.mine();
    world.disconnect();
    for _ in 0..160 {
        world.tick(50);
        world.mine();
    }
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)));
    let names_changes = |event: &Event| match event {
        Event::Forcing { changes } | Event::ForceFailed { changes, .. } => !changes.is_empty(),
        _ => false,
    };
    assert_eq!(world.sides[Responder].was_told(names_changes), 0);
}

/// What a payee claims late is agreed to where the payer's router says so: what came in for it is safe (R8.4f). What goes with the claim is judged as the claim is.
#[test]
fn a_late_claim_that_the_payer_would_agree_to_is_not_held_up_by_its_calls() {
    for has_calls in [false, true] {
        let (mut world, deed) = locked();
        if !has_calls {
            let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Return)).unwrap();
            world.run();
        }
        world.disconnect();
        world.sides[Initiator].registry.blind = true;
        world.sides[Initiator].registry.is_unread = true;
        world.sides[Initiator].registry.verdict = Some(Verdict::Agree);
        world.mine_blocks(21);
        world.run();
        world.claim(Responder, 1).unwrap();
        for _ in 0..6 {
            world.run();
            world.mine();
        }
        world.run();
        assert_eq!(world.ours(Responder), SHARE + AMOUNT, "with calls: {has_calls}");
    }
}
