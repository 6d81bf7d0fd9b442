//! Attacks on calls of apps under the lock of a conditional transfer (R8.3g): a payer that has coins and deed parted, and apps that hold up coins.

use super::*;
use crate::harness::{
    LOCK, apps,
    contracts::{call, counter, creation, forced, puppet},
};
use channel::{Acceptance, Outcome, RefusalCode, transfer::AppCall};
use protocol::{
    Pair,
    contracts::{AppOutcome, AppReply, Requirement},
    decode_exact,
};

const AMOUNT: Amount = 100;

/// The calls by which a deed moves with a transfer.
fn with_deed(deed: ContractId) -> LockedCalls {
    let call = |input: &[u8]| vec![AppCall { contract: deed, input: input.to_vec() }];
    LockedCalls { locking: call(&[0]), claiming: call(&[1]), returning: call(&[2]) }
}

/// The initiator offers the transfer with this number, and locks its deed with it.
fn offer_deed(world: &mut World, number: u8, deed: ContractId, blocks: BlockNumber) {
    let offer = Offer { calls: with_deed(deed), ..an_offer(number, AMOUNT, world.chain.head() + blocks) };
    world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 })).unwrap();
    world.run();
}

/// An open channel in which a deed of the initiator's is locked with the transfer number 1, for 20 blocks.
fn locked_in(mut world: World) -> (World, ContractId) {
    let deed = world.create(Initiator, vec![creation(apps::DEED.code, Pair::default(), Initiator.encode())])[0];
    world.sides[Responder].registry.calls = with_deed(deed);
    offer_deed(&mut world, 1, deed, 20);
    assert_eq!((deed_of(&world, Responder, deed), world.open_transfers()), (Some((Initiator, true)), 1));
    (world, deed)
}

fn locked() -> (World, ContractId) {
    locked_in(World::opened())
}

/// Who owns the deed as a side sees it, and whether it is locked.
fn deed_of(world: &World, side: Party, deed: ContractId) -> Option<(Party, bool)> {
    let contracts = world.sides[side].channel.as_ref()?.contracts()?;
    let (owner, locked): (Party, Option<(HashLock, BlockNumber)>) = decode_exact(&contracts.get(&deed)?.state).ok()?;
    Some((owner, locked.is_some()))
}

/// How often the deed was called, as a side was told: once where it is locked, twice where it is claimed after that. So it can be told of a channel that has ended.
fn calls_of(world: &World, side: Party, deed: ContractId) -> usize {
    let is_of = |outcome: &Outcome| matches!(outcome, Outcome::Called { contract, .. } if *contract == deed);
    world.outcomes(side).iter().filter(|outcome| is_of(outcome)).count()
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

/// A payee was started again after the offer was agreed, and its registry of apps keeps no Wasm in a folder: it fetches the code again when it needs it (R7.2b). Its
/// claim asks for the code of nothing: `can_make` takes code that is not here for an app that refuses, and has the calls left out. The payee has the coins, and the
/// deed stays with the payer, which has it back after the expiry, since no pre-image was ever registered. Right would be that the claim waits for the code, which is
/// fetched, as the peer's rounds do: only what the app itself refuses is left out (R8.3g).
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

/// The same by force: the peer does not answer, and the step that ends the transfer leaves out the calls, since the plan with them lacks code that nobody fetches.
/// The payee's deed is claimed later at best. Right would be that the step waits for the code, which is fetched.
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

/// The payer knows the pre-image, as the initiator of a swap does of its source leg. It forces the claim of the coins alone, and refuses the call by which the payee
/// asks for the deed: with a word of its user's. The call is given up without a word to the payee's user, and nobody forces it: the deed stays locked in the
/// payer's name, and goes with the channel. Right would be that what the forced step has left is asked for again, and forced as the transfer would have been, until it
/// is made (R8.3g).
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

/// The payer forces the claim of the coins alone, and says nothing any more. The call that the payee has waiting is forced only where `force_after` is set, which it
/// is not unless a program sets it: the patience that transfers have (`force_transfers_after`) is not kept for what goes with them. Right would be that it is.
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

/// The payer forces the claim of the coins alone, and the payee's process ends right after it has followed that. What waits for a round is not stored, and the forced
/// step is not followed a second time: nobody asks for the deed any more. Right would be that the calls are in a row until they are made.
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

/// The payer, which knows the pre-image, closes alone and forces the claim of the coins alone. `make_up_for` does nothing where the channel is not open, and the row is
/// over with its coins: so the payee forces no call of the deed's, though the pre-image was shown in time and a forced step may be made until the channel is settled.
/// The channel leaves the chain, and the deed is the payer's for ever. Right would be that the payee forces the calls at once while the channel closes.
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

/// A payee lets a deed go by itself, which is its right, and leaves the transfer open. The payer promises the deed anew with another transfer. Then the payee is away.
/// The return of the deed goes with the refund of either transfer, each of which would be made alone, and both not: the second one finds the deed free. `end_of` looks
/// at each by itself, and the step that has both is refused for ever: neither these coins nor any other that is due goes back, nor after a close. Right would be that a
/// step is planned as a whole, and leaves out the calls that an app refuses in it (R8.3g: an app that refuses must not hold up coins).
#[test]
fn a_deed_that_was_promised_twice_holds_up_no_refund() {
    let (mut world, deed) = locked();
    let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Return)).unwrap();
    world.run();
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)));
    offer_deed(&mut world, 2, deed, 20);
    world.offer(Initiator, 3, 7, 20).unwrap();
    world.run();
    assert_eq!((deed_of(&world, Initiator, deed), world.open_transfers()), (Some((Initiator, true)), 3));
    world.disconnect();
    world.mine_blocks(400);
    assert_eq!(world.ours(Initiator), SHARE, "the coins of all three are back");
    assert_eq!(deed_of(&world, Initiator, deed), Some((Initiator, false)));
}

/// The same where the channel was closed: nothing is left of the coins but by hand.
#[test]
fn a_deed_that_was_promised_twice_holds_up_no_coins_of_a_settled_channel() {
    let (mut world, deed) = locked();
    let _id = world.make_one(Responder, call(deed, 0, &apps::DeedInput::Return)).unwrap();
    world.run();
    offer_deed(&mut world, 2, deed, 20);
    world.disconnect();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 400);
    assert!(world.chain.is_closed(), "both refunds were made");
}

/// The step that claims on a settled channel takes more than a block holds, and is made in halves: the claim of the coins first, which is the last coin of the channel.
/// So the channel is gone before the deed's claim comes. Right would be that the calls of apps stand before the end of the coins in a step, so that no part of it ends
/// the channel first, or that a part never parts the two.
#[test]
fn a_forced_claim_in_halves_does_not_end_the_channel_before_the_deed_is_claimed() {
    let (mut world, deed) = locked();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    let mut is_told = false;
    for _ in 0..LOCK + 40 {
        if world.sides[Responder].is_over() {
            break;
        }
        if world.sides[Responder].machine().status().forcing && !is_told {
            is_told = true;
            world.chain.drop_pool();
            let call = protocol::call::CallKind::ChannelForceProgress;
            world.input(Responder, channel::Input::Chain(channel::ChainInput::Undeliverable { call })).unwrap();
        }
        world.mine();
    }
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
    world.sides[Responder].registry.calls = calls.clone();
    let offer = Offer { calls, ..an_offer(1, AMOUNT, world.chain.head() + 20) };
    world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(1), offer, fee: 0 })).unwrap();
    world.run();
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

/// The calls of one transfer are more bytes of states than one forced step takes: eight contracts of 8 KiB are enough. `end_of` asks only whether a step can be
/// planned, which is so for the first of its calls. On a settled channel the first step takes the last coin, and with it the channel ends before the other calls are made.
/// Right would be that the calls of apps go before the end of the coins, or that what does not fit one step is refused when it is offered (R8.3g: they are in the step
/// that ends the transfer).
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
    world.sides[Responder].registry.calls = calls.clone();
    let offer = Offer { calls, ..an_offer(1, AMOUNT, world.chain.head() + 20) };
    world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(1), offer, fee: 0 })).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 1);
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(LOCK + 40);
    assert!(world.chain.is_closed());
    assert_eq!(calls_of(&world, Responder, made[7]), before + 1, "the last call was made before the channel ended");
}
