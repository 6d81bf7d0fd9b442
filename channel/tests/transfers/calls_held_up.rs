//! Attacks on the steps that transfers with calls take (R8.3g): what holds up refunds of transfers without calls, and what holds up a close.

use super::*;
use crate::harness::{
    contracts::{call, counter, puppet},
    deeds::{calls_of, returning, with_deeds},
};
use channel::transfer::AppCall;
use protocol::{
    Pair,
    contracts::{AppOutcome, AppReply, Requirement},
};

/// The payee has shown the pre-images of all transfers with calls in time, so that nobody refunds them, and never claims them: they take no step of their payer's, and hold up its refunds.
#[test]
fn transfers_whose_pre_image_was_shown_hold_up_no_refund_of_their_payer() {
    let open = [false, true].map(|shows| {
        let mut world = World::opened();
        let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        if shows {
            for number in 1..=3 {
                world.offer_with(number, returning(app), 50);
            }
        }
        world.sides[Responder].registry.calls = LockedCalls::NONE;
        world.offer(Initiator, 11, 7, 20).unwrap();
        world.run();
        world.kill(Responder);
        if shows {
            for number in 1..=3 {
                let (preimage, lock) = secret(number);
                world.chain.submit(Responder, Call::PreimageRegister { preimage, function: lock.function });
            }
        }
        world.mine_blocks(1_000);
        world.sides[Initiator].machine().contracts().unwrap().transfers()
    });
    assert_eq!(open, [0, 3], "what is plain was refunded");
}

/// Claims that came too late: the registry was silent at their expiry, and their payer does not take its coins back. They take no step of their payee's, and hold up its refunds.
#[test]
fn claims_that_are_too_late_hold_up_no_refund() {
    let open = [false, true].map(|claims| {
        let mut world = World::opened();
        let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        if claims {
            for number in 1..=3 {
                world.offer_with(number, returning(app), 50);
            }
        }
        world.sides[Initiator].registry.calls = LockedCalls::NONE;
        world.offer(Responder, 11, 7, 20).unwrap();
        world.run();
        world.disconnect();
        if claims {
            (1..=3).for_each(|number| world.claim(Responder, number).unwrap());
        }
        world.kill(Initiator);
        let _never = world.chain.censored.insert("preimage_register");
        world.mine_blocks(1_000);
        SHARE - world.ours(Responder)
    });
    assert_eq!(open, [0, 0], "the payee's own coins are back");
}

impl World {
    /// The initiator closes alone, and claims the coins of its transfer for their payee as soon as anybody may settle: the payee decides to claim so many blocks after the close.
    /// How often the deed was called, as the payee was told.
    fn close_and_claim_alone(mut self, contract: ContractId, deed: ContractId, after: BlockNumber) -> usize {
        self.close_solo(Initiator).unwrap();
        self.mine_blocks(1 + after);
        self.claim(Responder, 1).unwrap();
        for _ in 0..80 {
            let is_settling = self.chain.waiting().iter().any(|call| matches!(call, Call::ChannelSettle { .. }));
            if is_settling && !self.sides[Initiator].is_over() {
                let (state, _) = kept_state(&self, Initiator);
                if let Some(mut step) = self.try_forced_step(Initiator, &state, None, vec![claim_of(contract, 1)]) {
                    step.state_hash = None;
                    self.chain.submit(Initiator, Call::ChannelForceProgress(step));
                }
            }
            self.mine();
        }
        calls_of(&self, Responder, deed)
    }
}

/// Calls of the user's that the peer leaves unanswered are forced by themselves, as many as there are steps: none is left for a deed whose coins the peer claims alone.
#[test]
fn own_calls_that_are_forced_by_themselves_leave_the_steps_that_deeds_need() {
    let ends = [None, Some(1_000)].map(|force_after| {
        let mut world = World::opened_with(Responder, |config| config.force_after = force_after);
        let locked = deeds(&mut world, 1);
        let app = world.create(Responder, vec![counter(Pair::default(), 900)])[0];
        world.offer_with(1, with_deeds(&locked), 900);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.disconnect();
        for _ in 0..3 {
            let _id = world.make_one(Responder, call(app, 0, &1_u64)).unwrap();
            world.tick(1);
            world.tick(2_000);
            world.mine_blocks(2);
        }
        world.close_and_claim_alone(contract, locked[0], 2)
    });
    assert_eq!(ends, [2; 2], "calls of the deed: while own calls wait, and where they are forced");
}

/// Two refunds take one step, and the chain makes what is forced then in halves alone. The peer closes, and the halves go on: no step is left for a deed that is claimed later.
#[test]
fn halves_that_go_on_in_a_close_leave_the_step_that_a_deed_needs() {
    let ends = [false, true].map(|halves| {
        let mut world = World::opened_with(Initiator, |config| config.force_transfers_after = None);
        let locked = deeds(&mut world, 1);
        world.offer_with(1, with_deeds(&locked), 900);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.sides[Initiator].registry.calls = LockedCalls::NONE;
        for number in 10..20 {
            world.offer(Responder, number, 1, if number < 12 { 100 } else { 300 }).unwrap();
            world.run();
        }
        world.disconnect();
        for steps in 0..2_usize {
            for _ in 0..500 {
                if world.sides[Responder].machine().status().forcing {
                    break;
                }
                world.mine();
            }
            assert!(world.sides[Responder].machine().status().forcing);
            if steps == 0 {
                world.mine_blocks(2);
            }
        }
        world.chain.drop_pool();
        if halves {
            let call = CallKind::ChannelForceProgress;
            world.input(Responder, Input::Chain(ChainInput::Undeliverable { call })).unwrap();
        }
        world.close_and_claim_alone(contract, locked[0], 8)
    });
    assert_eq!(ends, [2; 2], "calls of the deed: beside a whole step, and beside halves");
}

/// A pre-image that ends with this block, and words behind which it makes an answer that requires another lock to be silent at that block.
fn words_of_later(from: BlockNumber) -> (Preimage, HashLock, Vec<u8>) {
    let preimage = Preimage([&[1; 28][..], &from.to_le_bytes()].concat().try_into().unwrap());
    let lock = preimage.lock(HashFunction::Sha2_256, &Native);
    let other = HashLock { digest: protocol::Hash([&[0; 4][..], &[1; 28]].concat().try_into().unwrap()), ..lock };
    let requirement = Some(Requirement::Silent { lock: other, from });
    let answer: AppReply = Ok(AppOutcome { requirement, ..AppOutcome::default() });
    let whole = answer.encode();
    let (words, rest) = whole.split_at(whole.len() - 32);
    assert_eq!(rest, preimage.0);
    (preimage, lock, words.to_vec())
}

/// The call that goes with a claim requires a lock to be silent at a block that comes long before the claim is late. It is no call that an app refuses, and what it requires will be met: the
/// claim does not go without it, or what is left of it is made once that block is there.
#[test]
fn a_call_that_is_too_early_is_not_left_out_for_good() {
    let made = [0, 40].map(|blocks| {
        let mut world = World::opened();
        let app = world.create(Initiator, vec![puppet(Pair::default())])[0];
        let head = world.chain.head();
        let (preimage, lock, input) = words_of_later(head + blocks);
        let calls = LockedCalls { claiming: vec![AppCall { contract: app, input }], ..LockedCalls::NONE };
        world.sides[Responder].registry.calls = calls.clone();
        let terms = TransferTerms { amount: AMOUNT, lock, expiry: head + 200 };
        let offer = Offer { terms, calls, ..an_offer(1, AMOUNT, head + 200) };
        world.command(Initiator, Command::Transfer(TransferCommand::Offer { key: name(1), offer, fee: 0 })).unwrap();
        world.run();
        let contract = *world.sides[Responder].machine().incoming_transfers().keys().next().unwrap();
        world.command(Responder, Command::Transfer(TransferCommand::Claim { contract, preimage })).unwrap();
        for _ in 0..600 {
            world.run();
            world.mine();
        }
        assert_eq!(world.ours(Responder), SHARE + AMOUNT, "the coins are claimed");
        calls_of(&world, Responder, app)
    });
    assert_eq!(made, [1, 1], "calls of the app: of one whose block is there, and of one that is early");
}
