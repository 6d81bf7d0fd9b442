//! `Builtin(1)`: conditional transfers, executed by the arbiter itself (R8.1, R8.2).

use crate::harness::*;
use protocol::{
    Amount, BlockNumber, Pair, Party, Rejection,
    call::{Call, ForcedCall},
    contracts::{
        CallFault, Code, Contract, ContractId,
        conditional::{ConditionalInput, HashFunction, Preimage},
    },
};

const SECRET: Preimage = Preimage([0x5E; 32]);
const AMOUNT: Amount = 10 * UNIT;
const OUTSIDE: Pair<Amount> = Pair::new(80 * UNIT, 70 * UNIT);
const FUNCTIONS: [HashFunction; 2] = [HashFunction::Blake2b256, HashFunction::Sha2_256];

/// An open channel with a transfer to the responder on chain, and its expiry.
async fn locked_with(function: HashFunction) -> (World, Channel, Inside, BlockNumber) {
    let (mut world, channel) = World::open().await;
    let expiry = world.now() + 30;
    let contract = transfer(AMOUNT, Party::Responder, &SECRET, function, expiry);
    let base = Inside::new(6, OUTSIDE, [(TRANSFER, contract)]);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    (world, channel, base, expiry)
}

async fn locked() -> (World, Channel, Inside, BlockNumber) {
    locked_with(HashFunction::Blake2b256).await
}

fn claim() -> Vec<ForcedCall> {
    vec![call(TRANSFER, 0, &ConditionalInput::Claim(SECRET))]
}

fn refund() -> Vec<ForcedCall> {
    vec![call(TRANSFER, 0, &ConditionalInput::Refund)]
}

fn register(function: HashFunction) -> Call {
    Call::PreimageRegister { preimage: SECRET, function }
}

fn failed(fault: CallFault) -> Rejection {
    Rejection::CallFailed { round: 7, fault }
}

fn paid(to: Party) -> Pair<Amount> {
    let mut balances = OUTSIDE;
    balances[to] += AMOUNT;
    balances
}

#[tokio::test]
async fn a_pre_image_shown_before_expiry_pays_the_payee_whoever_shows_it() {
    for function in FUNCTIONS {
        let (world, channel, base, expiry) = locked_with(function).await;
        for party in Party::BOTH {
            for block in [world.now(), expiry - 1] {
                let mut world = world.fork_for(&(function, party, block)).await;
                world.travel_to(block).await;
                let (done, after) = world.force_as(party.into(), &channel.step_on_chain(&base, party, claim())).await;
                assert_eq!((after.balances, after.contracts.len()), (paid(Party::Responder), 0));
                let [shown] = &done.preimages[..] else { panic!("a claim shows its pre-image") };
                assert_eq!((shown.function, shown.preimage, shown.shown_at), (function, SECRET, block));
            }
        }
    }
}

#[tokio::test]
async fn from_expiry_on_a_claim_is_too_late_and_registers_nothing() {
    for function in FUNCTIONS {
        let (world, channel, base, expiry) = locked_with(function).await;
        for block in [expiry, expiry + 1, expiry + 1_000] {
            let mut world = world.fork_for(&(function, block)).await;
            world.travel_to(block).await;
            let too_late = failed(CallFault::TooLate { expiry });
            world.refuse_step(&channel.step_on_chain(&base, Party::Responder, claim()), too_late).await;
            let lock = SECRET.lock(function, &protocol::crypto::Native);
            assert_eq!(world.arbiter.preimage_shown_at(lock).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn the_payer_has_its_coins_back_from_expiry_on_whoever_asks_and_not_a_block_earlier() {
    let (world, channel, base, expiry) = locked().await;
    for party in Party::BOTH {
        for height in [world.now(), expiry - 1, expiry, expiry + 1, expiry + 1_000] {
            let mut world = world.fork_for(&(party, height)).await;
            world.travel_to(height).await;
            let step = channel.step_on_chain(&base, party, refund());
            if height < expiry {
                world.refuse_step(&step, failed(CallFault::TooEarly { expiry, height })).await;
            } else {
                let after = world.force(&step).await;
                assert_eq!((after.balances, after.contracts.len()), (paid(Party::Initiator), 0));
            }
        }
    }
}

#[tokio::test]
async fn a_pre_image_shown_in_time_counts_for_ever_and_one_shown_at_expiry_never() {
    for function in FUNCTIONS {
        let (world, channel, base, expiry) = locked_with(function).await;
        for block in [expiry - 1, expiry] {
            let mut world = world.fork_for(&(function, block)).await;
            world.travel_to(block).await;
            let _done = world.accept(Actor::Stranger, &register(function), 0).await;
            world.travel_to(expiry + 500).await;
            let claims = channel.step_on_chain(&base, Party::Responder, claim());
            let refunds = channel.step_on_chain(&base, Party::Initiator, refund());
            if block < expiry {
                world.refuse_step(&refunds, failed(CallFault::ShownInTime)).await;
                let after = world.force(&claims).await;
                assert_eq!(after.balances, paid(Party::Responder));
            } else {
                world.refuse_step(&claims, failed(CallFault::TooLate { expiry })).await;
                let after = world.force(&refunds).await;
                assert_eq!(after.balances, paid(Party::Initiator));
            }
        }
    }
}

#[tokio::test]
async fn a_pre_image_shown_for_the_other_hash_function_is_not_shown() {
    let (mut world, channel, base, expiry) = locked().await;
    let _done = world.accept(Actor::Responder, &register(HashFunction::Sha2_256), 0).await;
    world.travel_to(expiry).await;
    let too_late = failed(CallFault::TooLate { expiry });
    world.refuse_step(&channel.step_on_chain(&base, Party::Responder, claim()), too_late).await;
    let _after = world.force(&channel.step_on_chain(&base, Party::Initiator, refund())).await;
}

#[tokio::test]
async fn a_claim_whose_forced_chain_is_replaced_is_made_again_long_after_expiry() {
    // R8.2: the peer holds round 7, in which nothing was claimed, and may still put it in the claim's place.
    let (mut world, channel, base, expiry) = locked().await;
    world.travel_to(expiry - 1).await;
    let _after = world.force(&channel.step_on_chain(&base, Party::Responder, claim())).await;
    let instead = base.at(7);
    for message in [channel.snapshot(&instead.state()), channel.close_solo(&instead.state())] {
        let mut world = world.fork_for(&message.name()).await;
        let _done = world.accept(Actor::Initiator, &message, 0).await;
        assert_eq!(world.recorded(&channel).on_chain.state_hash, instead.state().hash());
        world.travel_to(expiry + 300).await;
        let refunds = channel.step_on_chain(&instead, Party::Initiator, refund());
        world.refuse_step(&refunds, Rejection::CallFailed { round: 8, fault: CallFault::ShownInTime }).await;
        let after = world.force(&channel.step_on_chain(&instead, Party::Responder, claim())).await;
        assert_eq!(after.balances, paid(Party::Responder));
    }
}

#[tokio::test]
async fn a_claim_in_a_step_that_is_refused_registers_nothing() {
    let (mut world, channel, base, expiry) = locked().await;
    let calls = [claim(), vec![call(TRANSFER, 0, &ConditionalInput::Refund)]].concat();
    let step = channel.step_on_chain(&base, Party::Responder, calls);
    // It ended with the claim.
    world.refuse_step(&step, Rejection::ContractNotShown { contract: TRANSFER }).await;
    world.travel_to(expiry).await;
    let _after = world.force(&channel.step_on_chain(&base, Party::Initiator, refund())).await;
}

#[tokio::test]
async fn one_pre_image_pays_in_every_channel_and_every_transfer_with_its_lock() {
    // R8.2: a forwarder that is claimed from in one channel claims in the other, however late.
    let (mut world, channel, base, expiry) = locked().await;
    let other = world.create(&create_body(world.now())).await;
    let again = ContractId([0x1D; 32]);
    let blake = HashFunction::Blake2b256;
    let upstream = Inside::new(
        6,
        Pair::new(70 * UNIT, 70 * UNIT),
        [
            (TRANSFER, transfer(AMOUNT, Party::Initiator, &SECRET, blake, expiry)),
            (again, transfer(AMOUNT, Party::Responder, &SECRET, blake, expiry + 10)),
        ],
    );
    let _done = world.accept(Actor::Initiator, &other.snapshot(&upstream.state()), 0).await;
    world.travel_to(expiry - 1).await;
    let _after = world.force(&channel.step_on_chain(&base, Party::Responder, claim())).await;
    world.travel_to(expiry + 100).await;
    let both = [claim(), vec![call(again, 0, &ConditionalInput::Claim(SECRET))]].concat();
    let (done, after) = world.force_as(Actor::Initiator, &other.step_on_chain(&upstream, Party::Initiator, both)).await;
    assert_eq!((after.balances, after.contracts.len()), (Pair::new(80 * UNIT, 80 * UNIT), 0));
    assert!(done.preimages.iter().all(|shown| shown.shown_at == expiry - 1));
    assert_eq!(done.preimages.len(), 2);
}

#[tokio::test]
async fn while_closing_a_claim_moves_the_closing_balances_and_a_delegate_may_make_it() {
    for who in [Actor::Responder, Actor::RespondersDelegate] {
        let (mut world, channel, base, expiry) = locked().await;
        let _done = world.accept(Actor::Initiator, &channel.close_solo_on_chain(base.commitment()), 0).await;
        world.travel_to(expiry - 1).await;
        let _done = world.force_as(who, &channel.step_on_chain(&base, Party::Responder, claim())).await;
        let closing = world.recorded(&channel).closing().unwrap().clone();
        assert_eq!((closing.balances, closing.unlock_at), (paid(Party::Responder), expiry - 1 + LOCK_PERIOD));
        world.travel_to(closing.unlock_at).await;
        let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
        assert_eq!(world.record(&channel).await, None, "nothing is left inside");
    }
}

mutations! {
    /// One thing wrong with the claim of a transfer, before its expiry.
    Mutation {
        WrongPreimage,
        PreimageOfTheOtherFunction,
        /// A transfer takes what it was made with.
        CoinsAttached,
        OneCoinAttached,
        InputEmpty,
        InputUnknown,
        InputTooShort,
        InputTooLong,
        StateEmpty,
        StateTooShort,
        StateTooLong,
        StateOfNoParty,
        StateOfNoFunction,
        BuiltinZero,
        BuiltinTwo,
        BuiltinTheLast,
    }
}

impl Mutation {
    fn make(self, world: &World, contract: &mut Contract, call: &mut ForcedCall) -> Rejection {
        let unknown = |contract: &mut Contract, number| {
            contract.code = Code::Builtin(number);
            failed(CallFault::BuiltinUnknown(number))
        };
        match self {
            Self::WrongPreimage => {
                call.input[32] ^= 1;
                failed(CallFault::WrongPreimage)
            }
            Self::PreimageOfTheOtherFunction => {
                let function = HashFunction::Sha2_256;
                let mut other = transfer(AMOUNT, Party::Responder, &SECRET, function, world.now() + 30);
                // The digest is right, the function is not the one it was made with.
                other.state[1] = 0;
                *contract = other;
                failed(CallFault::WrongPreimage)
            }
            Self::CoinsAttached => {
                call.value = UNIT;
                failed(CallFault::TakesNoCoins)
            }
            Self::OneCoinAttached => {
                call.value = 1;
                failed(CallFault::TakesNoCoins)
            }
            Self::InputEmpty => {
                call.input.clear();
                failed(CallFault::Malformed)
            }
            Self::InputUnknown => {
                call.input = vec![2];
                failed(CallFault::Malformed)
            }
            Self::InputTooShort => {
                let _last = call.input.pop();
                failed(CallFault::Malformed)
            }
            Self::InputTooLong => {
                call.input.push(0);
                failed(CallFault::Malformed)
            }
            Self::StateEmpty => {
                contract.state.clear();
                failed(CallFault::Malformed)
            }
            Self::StateTooShort => {
                let _last = contract.state.pop();
                failed(CallFault::Malformed)
            }
            Self::StateTooLong => {
                contract.state.push(0);
                failed(CallFault::Malformed)
            }
            Self::StateOfNoParty => {
                contract.state[0] = 2;
                failed(CallFault::Malformed)
            }
            Self::StateOfNoFunction => {
                contract.state[1] = 2;
                failed(CallFault::Malformed)
            }
            Self::BuiltinZero => unknown(contract, 0),
            Self::BuiltinTwo => unknown(contract, 2),
            Self::BuiltinTheLast => unknown(contract, 255),
        }
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_claim_of_a_transfer_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel) = World::open().await;
    let blake = HashFunction::Blake2b256;
    let healthy = transfer(AMOUNT, Party::Responder, &SECRET, blake, world.now() + 30);
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (mut contract, mut calls) = (healthy.clone(), claim());
        let rejection = mutation.make(&world, &mut contract, &mut calls[0]);
        // Both signed the state, however it is.
        let base = Inside::new(6, OUTSIDE, [(TRANSFER, contract)]);
        world.refuse_step(&channel.step(&base, Party::Responder, calls), rejection).await;
    }
}

#[tokio::test]
async fn transfers_on_the_edge_of_what_makes_sense_are_executed() {
    let (world, channel) = World::open().await;
    let now = world.now();
    let sha = HashFunction::Sha2_256;
    let at = |amount, expiry| transfer(amount, Party::Initiator, &SECRET, sha, expiry);
    let cases = [
        ("of no coins", at(0, now + 9), claim(), Party::Initiator),
        ("expired from the very first block", at(AMOUNT, 0), refund(), Party::Responder),
        ("that never expires", at(AMOUNT, BlockNumber::MAX), claim(), Party::Initiator),
        ("of all there is", at(TOTAL, now + 1), claim(), Party::Initiator),
        (
            "that the payee itself owns",
            Contract { owner: Party::Initiator, ..at(AMOUNT, now + 9) },
            claim(),
            Party::Initiator,
        ),
    ];
    for (what, contract, calls, to) in cases {
        let mut world = world.fork_for(&what).await;
        let amount = contract.balance;
        let outside = if amount == TOTAL { Pair::default() } else { Pair::new(TOTAL - amount, 0) };
        let base = Inside::new(6, outside, [(TRANSFER, contract)]);
        let after = world.force(&channel.step(&base, Party::Responder, calls)).await;
        assert_eq!(after.balances[to], outside[to] + amount, "a transfer {what}");
    }
}

#[tokio::test]
async fn an_account_named_for_a_builtin_is_not_looked_at() {
    let (mut world, channel, base, _expiry) = locked().await;
    let mut call = world.blind(&channel.step_on_chain(&base, Party::Responder, claim()));
    call.contracts[0].app = Some(world.apps.hostile.account);
    let _done = world.accept(Actor::Responder, &Call::ChannelForceProgress(call), 0).await;
}

#[tokio::test]
async fn as_many_transfers_as_a_step_has_calls_are_claimed_at_once() {
    // A hub whose peer falls silent shortly before many transfers expire (R8.3) has few steps, and needs one.
    let (mut world, channel) = World::open().await;
    let expiry = world.now() + 9;
    let secret = |n: u8| Preimage([n; 32]);
    let id = |n: u8| ContractId(protocol::crypto::Crypto::hash(&protocol::crypto::Native, &[n]).0);
    let lock = |n: u8| (id(n), transfer(UNIT, Party::Responder, &secret(n), HashFunction::Sha2_256, expiry));
    let base = Inside::new(6, Pair::new(20 * UNIT, 20 * UNIT), (0..120).map(lock));
    let claims = (0..64).map(|n| call(id(n), 0, &ConditionalInput::Claim(secret(n)))).collect();
    let after = world.force(&channel.step(&base, Party::Responder, claims)).await;
    assert_eq!((after.balances, after.contracts.len()), (Pair::new(20 * UNIT, 84 * UNIT), 56));
    assert_eq!((world.ledger.preimages.len(), after.round), (64, 6 + 64));
}
