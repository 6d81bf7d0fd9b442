//! `batch` (R5.18): several calls at once, each by itself. `preimages_register` (R8.2): several pre-images at once.

use crate::harness::*;
use protocol::{
    Amount, ChannelId, Pair, Party, Rejection, StateCommitment,
    call::{BatchedCall, Call, MAX_BATCH, MAX_PREIMAGES},
    contracts::conditional::{HashFunction, Preimage},
    record::Phase,
    signing::{CloseMutualBody, DepositBody, SetDelegatesBody, WithdrawBody},
};

const OLD: State = State::new(2, 150 * UNIT, 10 * UNIT);
const NEWEST: State = State::new(5, 30 * UNIT, 130 * UNIT);

/// So many channels of the same two, all open. Each locks 7 units, so that the vaults are enough for all of them.
async fn many(size: usize) -> (World, Vec<Channel>) {
    let mut world = World::funded().await;
    let mut channels = Vec::new();
    for _ in 0..size {
        let mut body = create_body(world.now());
        (body.terms.reserve, body.terms.penalty) = (UNIT, UNIT);
        (body.shares, body.balances) = (Pair::new(4 * UNIT, 3 * UNIT), Pair::new(4 * UNIT, 3 * UNIT));
        channels.push(world.create(&body).await);
    }
    (world, channels)
}

const fn small(round: u64) -> State {
    State::new(round, 2 * UNIT, 5 * UNIT)
}

#[tokio::test]
async fn as_many_closes_as_a_batch_takes_are_answered_in_one_transaction() {
    let (mut world, channels) = many(MAX_BATCH).await;
    let closes = channels.iter().map(|channel| BatchedCall::CloseSolo(channel.close_solo_on(&small(2)))).collect();
    let done = world.accept(Actor::Initiator, &Call::Batch(closes), 0).await;
    assert_eq!(done.events.len(), MAX_BATCH);
    let slashes = channels.iter().map(|channel| channel.batched_slash(&small(5))).collect();
    let done = world.accept(Actor::RespondersDelegate, &Call::Batch(slashes), 0).await;
    assert_eq!(done.events.len(), MAX_BATCH);
    assert!(world.ledger.channels.values().all(|record| record.on_chain.at.agreed == 5));
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let settles = channels.iter().map(|channel| BatchedCall::Settle(channel.id)).collect();
    let _done = world.accept(Actor::Responder, &Call::Batch(settles), 0).await;
    assert!(world.ledger.channels.is_empty());
}

#[tokio::test]
async fn a_batch_takes_1_to_64_calls() {
    let (mut world, channels) = many(1).await;
    let settle = BatchedCall::Settle(channels[0].id);
    for got in [0, MAX_BATCH + 1, MAX_BATCH * 20] {
        let call = Call::Batch(vec![settle.clone(); got]);
        let length = Rejection::ListLength { got: u32::try_from(got).unwrap(), max: 64 };
        world.refuse(Actor::Initiator, &call, 0, length).await;
    }
    // What the calls themselves refuse does not refuse the batch.
    for size in [1, MAX_BATCH] {
        let done = world.accept(Actor::Initiator, &Call::Batch(vec![settle.clone(); size]), 0).await;
        assert_eq!(done.events, []);
    }
}

#[tokio::test]
async fn what_one_call_of_a_batch_refuses_leaves_nothing_behind_and_stops_no_other() {
    let (world, channels) = many(3).await;
    let [first, second, third] = channels[..] else { unreachable!() };
    let good = [first.batched_close(&small(2)), third.batched_close(&small(2))];
    let mut forged = second.close_solo_on(&small(2));
    forged.payload.as_mut().unwrap().signatures.responder.0[3] ^= 1;
    let (too_much, valid_until) = (VAULT * 2, world.now() + 9);
    let body = DepositBody {
        party: Party::Initiator,
        amount: too_much,
        round: 2,
        base: OPENING,
        state_hash: small(2).hash(),
        valid_until,
    };
    let mut lost = world.create_with(&create_body(valid_until), 7);
    lost.body.shares.initiator += 1;
    for (refused, rejection) in [
        (BatchedCall::CloseSolo(forged), Rejection::SignatureInvalid { party: Party::Responder }),
        (second.batched_slash(&small(2)), Rejection::NotClosing),
        (BatchedCall::Settle(ChannelId([7; 32])), Rejection::ChannelUnknown),
        (BatchedCall::Settle(second.id), Rejection::NotClosing),
        (second.batched_close(&State::new(2, 100 * UNIT, 0)), Rejection::BalancesExceedTotal { total: 7 * UNIT }),
        (BatchedCall::Create(lost), Rejection::SumMismatch { got: Some(TOTAL + 1), want: TOTAL }),
        (
            BatchedCall::Deposit(second.deposit(body)),
            Rejection::VaultTooLow { party: Party::Initiator, have: VAULT - 12 * UNIT, need: too_much },
        ),
        // The first one's channel, closed by then.
        (first.batched_close(&small(4)), Rejection::NotOpen),
    ] {
        let mut world = world.fork_for(&rejection).await;
        let second_before = world.recorded(&second);
        let calls = vec![good[0].clone(), refused, good[1].clone()];
        // The answer, the events, the records and all coins are compared with the rules in memory.
        let done = world.accept(Actor::Initiator, &Call::Batch(calls), 0).await;
        assert_eq!(done.events.iter().map(|event| event.channel).collect::<Vec<_>>(), [first.id, third.id]);
        assert_eq!(world.recorded(&second), second_before);
    }
}

#[tokio::test]
async fn as_many_calls_as_a_batch_takes_may_all_be_forged_and_each_is_answered() {
    // Where two signatures fail together each is checked by itself: the most that a call can need of the contract's memory.
    let (mut world, channels) = many(MAX_BATCH).await;
    let closes = channels.iter().map(|channel| channel.batched_close(&small(2))).collect();
    let _done = world.accept(Actor::Initiator, &Call::Batch(closes), 0).await;
    let slashes = channels.iter().map(|channel| {
        let mut slash = channel.slash_with(&small(5));
        slash.payload.signatures.responder.0[3] ^= 1;
        BatchedCall::Slash(slash)
    });
    let before = world.ledger.clone();
    let done = world.accept(Actor::Responder, &Call::Batch(slashes.collect()), 0).await;
    assert_eq!((done.events.len(), world.ledger), (0, before));
}

#[tokio::test]
async fn a_batch_answers_for_each_call_what_became_of_it() {
    let (world, channels) = many(2).await;
    let calls = Call::Batch(vec![
        channels[0].batched_close(&small(2)),
        BatchedCall::Settle(channels[1].id),
        channels[0].batched_slash(&small(3)),
    ]);
    let transaction = world.arbiter.transaction(&calls, 0);
    let dry_run = sdk::chain::Chain::dry_run(&world.chain, &Actor::Initiator.id(), &transaction).await.unwrap();
    // Ok of the decoding, Ok of the message, three answers: done, refused by number 11, done.
    assert_eq!(dry_run.returned, [0, 0, 12, 0, 1, 11, 0]);
}

#[tokio::test]
async fn a_close_whose_fee_cannot_be_paid_leaves_the_channel_to_the_calls_after_it() {
    let (world, channel) = World::open().await;
    let fee = EXISTENTIAL_DEPOSIT - 1;
    let valid_until = world.now();
    let close = |fee| CloseMutualBody { balances: Pair::new(TOTAL - fee, 0), fee, valid_until };
    let calls = [fee, fee, 0].map(|fee| BatchedCall::CloseMutual(channel.close_mutual_as(close(fee))));
    // An account that does not exist cannot pay for a transaction, so a dry run is as near as one gets.
    let transaction = world.arbiter.transaction(&Call::Batch(calls.to_vec()), 0);
    let pauper = protocol::AccountId([0x0B; 32]);
    let dry_run = sdk::chain::Chain::dry_run(&world.chain, &pauper, &transaction).await.unwrap();
    // Three answers: refused by number 61 twice, and done.
    assert_eq!(dry_run.returned, [0, 0, 12, 1, 61, 1, 61, 0]);
}

#[tokio::test]
async fn every_message_but_the_forced_step_may_be_in_a_batch_and_does_there_what_it_does_alone() {
    let (world, channel) = World::open().await;
    let (base, valid_until, state_hash) = (OPENING, world.now() + 20, NEWEST.hash());
    let to = Actor::Stranger.id();
    let (party, amount, round) = (Party::Initiator, UNIT, NEWEST.round);
    let close = CloseMutualBody { balances: Pair::new(TOTAL - UNIT, 0), fee: UNIT, valid_until };
    let delegates = Pair::default();
    let singles: [(BatchedCall, Call); 7] = [
        {
            let create = world.create_with(&create_body(valid_until), 1);
            (BatchedCall::Create(create.clone()), Call::ChannelCreate(create))
        },
        {
            let close = channel.close_mutual_as(close);
            (BatchedCall::CloseMutual(close.clone()), Call::ChannelCloseMutual(close))
        },
        (channel.batched_close(&NEWEST), channel.close_solo(&NEWEST)),
        {
            let body = DepositBody { party, amount, round, base, state_hash, valid_until };
            let deposit = channel.deposit(body);
            (BatchedCall::Deposit(deposit.clone()), Call::ChannelDeposit(deposit))
        },
        {
            let body = WithdrawBody { party, amount, to, round, base, state_hash, valid_until };
            let withdraw = channel.withdraw(body);
            (BatchedCall::Withdraw(withdraw.clone()), Call::ChannelWithdraw(withdraw))
        },
        (BatchedCall::SnapshotSolo(channel.snapshot_with(&NEWEST)), channel.snapshot(&NEWEST)),
        {
            let set = channel.set_delegates(SetDelegatesBody { delegates, round, base, state_hash, valid_until });
            (BatchedCall::SetDelegates(set.clone()), Call::ChannelSetDelegates(set))
        },
    ];
    for (batched, single) in singles {
        same(&world, batched, single).await;
    }
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&OLD), 0).await;
    same(&world, channel.batched_slash(&NEWEST), channel.slash(&NEWEST)).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    same(&world, BatchedCall::Settle(channel.id), channel.settle()).await;
}

/// A call in a batch and the same call alone: same events, same storage, same coins.
async fn same(world: &World, batched: BatchedCall, single: Call) {
    let mut alone = world.fork_for(&single.name()).await;
    let by_itself = alone.accept(Actor::Initiator, &single, 0).await;
    let mut together = world.fork().await;
    let in_a_batch = together.accept(Actor::Initiator, &Call::Batch(vec![batched]), 0).await;
    assert_eq!(in_a_batch.events, by_itself.events);
    assert_eq!(in_a_batch.receipt.storage_deposit, by_itself.receipt.storage_deposit);
    assert_eq!(together.ledger, alone.ledger);
}

#[tokio::test]
async fn calls_of_one_channel_in_one_batch_see_what_the_earlier_ones_did() {
    let (mut world, channel) = World::open().await;
    let close = CloseMutualBody { balances: Pair::new(TOTAL, 0), fee: 0, valid_until: world.now() };
    let calls = vec![
        BatchedCall::SnapshotSolo(channel.snapshot_with(&OLD)),
        // A newer state, and then the older one again.
        channel.batched_close(&NEWEST),
        channel.batched_slash(&OLD),
        BatchedCall::CloseMutual(channel.close_mutual_as(close)),
        BatchedCall::Settle(channel.id),
    ];
    let done = world.accept(Actor::Initiator, &Call::Batch(calls), 0).await;
    assert_eq!(done.events.len(), 3);
    assert!(world.ledger.channels.is_empty());
}

#[tokio::test]
async fn a_channel_may_be_opened_and_closed_in_one_batch() {
    let mut world = World::funded().await;
    let create = world.create_with(&create_body(world.now()), 0);
    let channel = world.next_channel(&parties());
    let opening = StateCommitment::of_balances(BALANCES);
    let calls = vec![BatchedCall::Create(create), BatchedCall::CloseSolo(channel.close_solo_with(opening))];
    let _done = world.accept(Actor::Initiator, &Call::Batch(calls), 0).await;
    assert!(matches!(world.recorded(&channel).phase, Phase::Closing(_)));
}

#[tokio::test]
async fn a_batch_makes_each_call_for_its_caller_and_for_nobody_else() {
    let (mut world, channels) = many(2).await;
    let call = Call::Batch(channels.iter().map(|channel| channel.batched_close(&small(2))).collect());
    let before = world.ledger.channels.clone();
    let done = world.accept(Actor::Stranger, &call, 0).await;
    assert_eq!((done.events.len(), &world.ledger.channels), (0, &before), "a stranger closes nothing");
    let done = world.accept(Actor::Responder, &call, 0).await;
    assert_eq!(done.events.len(), 2);
}

/// So many different ones.
fn preimages(size: usize) -> Vec<Preimage> {
    (0..size).map(|number| Preimage([u8::try_from(number).unwrap_or(255); 32])).collect()
}

#[tokio::test]
async fn up_to_64_pre_images_are_shown_in_one_transaction_and_each_is_announced() {
    for function in [HashFunction::Blake2b256, HashFunction::Sha2_256] {
        for size in [1, 8, MAX_PREIMAGES] {
            let mut world = World::deployed().await;
            let block = world.now();
            let call = Call::PreimagesRegister { preimages: preimages(size), function };
            let transaction = world.arbiter.transaction(&call, 0);
            let dry_run = sdk::chain::Chain::dry_run(&world.chain, &Actor::Stranger.id(), &transaction).await.unwrap();
            let answer: Result<Result<Vec<u32>, Rejection>, ()> = protocol::decode_exact(&dry_run.returned).unwrap();
            assert_eq!(answer, Ok(Ok(vec![block; size])));
            let before = world.snapshot().await.info;
            let done = world.accept(Actor::Stranger, &call, 0).await;
            assert_eq!(done.preimages.len(), size);
            assert_eq!(world.ledger.preimages.len(), size);
            let after = world.snapshot().await.info;
            assert_eq!(usize::try_from(after.items - before.items).unwrap(), size);
            let deposit = Amount::try_from(done.receipt.storage_deposit).unwrap();
            assert_eq!(deposit, after.deposit - before.deposit);
        }
    }
}

#[tokio::test]
async fn of_pre_images_shown_together_each_keeps_its_first_block() {
    let mut world = World::deployed().await;
    let function = HashFunction::Blake2b256;
    let first = world.now();
    let _done =
        world.accept(Actor::Stranger, &Call::PreimageRegister { preimage: Preimage([1; 32]), function }, 0).await;
    world.travel_to(first + 7).await;
    let preimages = vec![Preimage([0; 32]), Preimage([1; 32]), Preimage([2; 32]), Preimage([0; 32])];
    let done = world.accept(Actor::Initiator, &Call::PreimagesRegister { preimages, function }, 0).await;
    let blocks: Vec<_> = done.preimages.iter().map(|shown| shown.shown_at).collect();
    assert_eq!(blocks, [first + 7, first, first + 7, first + 7]);
}

#[tokio::test]
async fn no_pre_images_and_more_than_64_are_refused() {
    let mut world = World::deployed().await;
    for got in [0, MAX_PREIMAGES + 1, 1_000] {
        let call = Call::PreimagesRegister { preimages: preimages(got), function: HashFunction::Sha2_256 };
        let length = Rejection::ListLength { got: u32::try_from(got).unwrap(), max: 64 };
        world.refuse(Actor::Stranger, &call, 0, length).await;
    }
}
