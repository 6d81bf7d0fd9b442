//! What is no call of a message (R5.14a): undone whole, without a number, each in its way.

use crate::harness::*;
use devchain::DevChain;
use protocol::{
    Pair, Party, Rejection,
    call::{BatchedCall, Call, ProveContractState, Read},
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Crypto, Native},
    signing::{CloseMutualBody, DepositBody, SetDelegatesBody, WithdrawBody},
};
use scale::Encode;
use sdk::chain::{Chain, ChainError, Transaction, arbiter::selector};

/// What ink! answers to bytes that are no message with its arguments: `Err(LangError::CouldNotReadInput)`.
const NOT_READ: [u8; 2] = [1, 1];

/// An open channel, and one call of each message; each would be read.
async fn one_of_each() -> (World, Channel, Vec<Call>) {
    let (world, channel) = World::open().await;
    let state = State::new(6, 30 * UNIT, 130 * UNIT);
    let (party, amount, to, round, base) = (Party::Initiator, UNIT, Actor::Initiator.id(), state.round, state.base);
    let (state_hash, valid_until, function) = (state.hash(), world.now() + 9, HashFunction::Sha2_256);
    let delegates = Pair::default();
    let counter = (COUNTER, world.apps.counting(10 * UNIT, 0, 9));
    let inside = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [counter]);
    let step = channel.step(&inside, Party::Initiator, vec![count(1)]);
    let calls = vec![
        Actor::Initiator.vault_deposit(),
        Actor::Initiator.vault_withdraw(UNIT),
        world.create_call(&create_body(valid_until)),
        Call::ChannelCloseMutual(channel.close_mutual_as(CloseMutualBody { balances: BALANCES, fee: 0, valid_until })),
        channel.close_solo(&state),
        channel.slash(&state),
        channel.settle(),
        Call::ChannelDeposit(channel.deposit(DepositBody { party, amount, round, base, state_hash, valid_until })),
        Call::ChannelWithdraw(channel.withdraw(WithdrawBody {
            party,
            amount,
            to,
            round,
            base,
            state_hash,
            valid_until,
        })),
        channel.snapshot(&state),
        Call::ChannelSetDelegates(channel.set_delegates(SetDelegatesBody {
            delegates,
            round,
            base,
            state_hash,
            valid_until,
        })),
        Call::ChannelForceProgress(world.blind(&step)),
        Call::PreimageRegister { preimage: Preimage([1; 32]), function },
        Call::PreimagesRegister { preimages: vec![Preimage([1; 32]), Preimage([2; 32])], function },
        Call::Batch(vec![BatchedCall::SnapshotSolo(channel.snapshot_with(&state)), BatchedCall::Settle(channel.id)]),
    ];
    assert_eq!(calls.iter().map(Call::name).collect::<Vec<_>>(), Call::NAMES, "each message once");
    (world, channel, calls)
}

fn data(call: &Call) -> Vec<u8> {
    [&selector(call.name())[..], &call.arguments()].concat()
}

/// Whether the arbiter takes these bytes for a message with its arguments; whatever it then makes of them.
async fn is_read(world: &World, data: Vec<u8>) -> bool {
    let transaction = Transaction::Call { contract: world.address(), value: 0, data };
    let dry_run = world.chain.dry_run(&Actor::Initiator.id(), &transaction).await.unwrap();
    dry_run.returned != NOT_READ
}

#[tokio::test]
async fn a_message_with_bytes_after_its_arguments_is_refused_and_changes_nothing() {
    let (world, _channel, calls) = one_of_each().await;
    for call in &calls {
        let healthy = data(call);
        assert!(is_read(&world, healthy.clone()).await, "{}", call.name());
        for after in [vec![0], vec![0xFF; 33], healthy.clone()] {
            println!("{} with {} bytes after it", call.name(), after.len());
            let world = world.fork().await;
            world.not_read(Actor::Initiator, [&healthy[..], &after].concat(), &NOT_READ).await;
        }
    }
}

#[tokio::test]
async fn a_read_with_bytes_after_its_arguments_is_refused_and_one_without_arguments_minds_none() {
    let (world, channel, _calls) = one_of_each().await;
    let inside = Inside::new(6, BALANCES, [(COUNTER, world.apps.counting(0, 0, 9))]);
    let claim: ProveContractState = inside.claim(&channel, COUNTER);
    let digest = Native.hash(&[1; 32]);
    for read in [
        Read::Channel(channel.id),
        Read::VaultBalance(Actor::Initiator.vault()),
        Read::PairNonce(parties()),
        Read::ProveContractState(claim),
        Read::PreimageShownAt(HashLock { function: HashFunction::Blake2b256, digest }),
    ] {
        let healthy = [&selector(read.name())[..], &read.arguments()].concat();
        assert!(is_read(&world, healthy.clone()).await, "{}", read.name());
        assert!(!is_read(&world, [&healthy[..], &[0]].concat()).await, "{}", read.name());
    }
    for read in [Read::Limits, Read::Domain, Read::Version] {
        assert!(is_read(&world, [&selector(read.name())[..], &[0]].concat()).await, "{}", read.name());
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_or_break_off_within_one_are_refused_and_change_nothing() {
    let (world, _channel, calls) = one_of_each().await;
    let cut = calls.iter().map(|call| {
        let mut data = data(call);
        let _last = data.pop();
        data
    });
    let others = [Vec::new(), vec![0; 3], vec![0; 4], vec![0xFF; 100], selector("channel_create").to_vec()];
    for data in others.into_iter().chain(cut) {
        println!("with {}", hex::encode(&data));
        let world = world.fork().await;
        world.not_read(Actor::Initiator, data, &NOT_READ).await;
    }
}

#[tokio::test]
async fn lists_that_claim_to_be_longer_than_their_bytes_are_refused_and_take_no_memory() {
    let (world, channel, _calls) = one_of_each().await;
    // 2^30 - 1 entries, and 2^32 - 1.
    for count in [vec![0xFE, 0xFF, 0xFF, 0xFF], vec![0x03, 0xFF, 0xFF, 0xFF, 0xFF]] {
        for message in ["batch", "preimages_register"] {
            world.not_read(Actor::Stranger, [&selector(message)[..], &count].concat(), &NOT_READ).await;
        }
        // The proof's nodes, the calls and the contracts of a forced step.
        let step = world.blind(&channel.step(&Inside::new(6, BALANCES, []), Party::Initiator, Vec::new()));
        let head = (step.channel, step.party, step.payload, step.commitment).encode();
        for empty in 0..3 {
            let data = [&selector("channel_force_progress")[..], &head, &vec![0; empty], &count].concat();
            world.not_read(Actor::Stranger, data, &NOT_READ).await;
        }
    }
}

#[tokio::test]
async fn an_arbiter_is_not_instantiated_with_bytes_after_its_arguments() {
    let chain = DevChain::new().unwrap();
    let arguments = (chain.genesis().await.unwrap(), LIMITS).encode();
    for (after, instantiated) in [(&[][..], true), (&[0], false)] {
        let data = [&selector("new")[..], &arguments, after].concat();
        let transaction = Transaction::Instantiate { code: wasm(), value: 0, data, salt: Vec::new() };
        let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
        assert_eq!(dry_run.instantiated.is_some(), instantiated);
        if !instantiated {
            assert_eq!((dry_run.reverted, &dry_run.returned[..]), (true, &NOT_READ[..]));
        }
    }
}

#[tokio::test]
async fn coins_with_a_message_that_takes_none_break_it_off() {
    let (world, _channel, calls) = one_of_each().await;
    for call in &calls {
        if matches!(call, Call::VaultDeposit { .. } | Call::ChannelCreate(_) | Call::ChannelDeposit(_)) {
            continue;
        }
        for coins in [1, UNIT] {
            let mut world = world.fork_for(&(call.name(), coins)).await;
            world.fails_on_chain(Actor::Initiator, call, coins, "Contracts::ContractTrapped").await;
        }
    }
}

#[tokio::test]
async fn coins_with_a_read_break_it_off_and_with_bytes_that_are_no_message_they_come_back() {
    let (world, channel, _calls) = one_of_each().await;
    let reads = [Read::Channel(channel.id), Read::VaultBalance(Actor::Initiator.vault()), Read::Limits, Read::Version];
    for read in reads {
        let data = [&selector(read.name())[..], &read.arguments()].concat();
        let transaction = Transaction::Call { contract: world.address(), value: UNIT, data };
        let dry_run = world.chain.dry_run(&Actor::Initiator.id(), &transaction).await;
        assert_eq!(dry_run, Err(ChainError::Failed { cause: "Contracts::ContractTrapped".into() }), "{}", read.name());
    }
    for data in [Vec::new(), vec![0xFF; 4], [&selector("vault_deposit")[..], &[7; 31]].concat()] {
        let before = world.snapshot().await;
        let transaction = Transaction::Call { contract: world.address(), value: UNIT, data };
        let dry_run = world.chain.dry_run(&Actor::Initiator.id(), &transaction).await.unwrap();
        assert_eq!((dry_run.reverted, &dry_run.returned[..]), (true, &NOT_READ[..]));
        let failed = world.chain.submit(&Actor::Initiator.dev().signer(), transaction, &dry_run).await.unwrap_err();
        let ChainError::FailedInBlock { fee, .. } = failed else { panic!("{failed}") };
        let mut expected = before;
        *expected.free.get_mut(&Actor::Initiator.id()).unwrap() -= fee;
        expected.issuance -= fee;
        assert_eq!(world.snapshot().await, expected);
    }
}

#[tokio::test]
async fn a_message_larger_than_the_buffer_breaks_off() {
    const BUFFER: usize = 64 * 1024;
    let (mut world, channel, _calls) = one_of_each().await;
    let fill = |bytes| {
        // A forced step without contracts and calls, but for one input of so many bytes.
        let base = Inside::new(6, BALANCES, []);
        let call = protocol::call::ForcedCall { contract: COUNTER, value: 0, input: vec![0; bytes] };
        let mut step = world.blind(&channel.step(&base, Party::Initiator, Vec::new()));
        step.calls.push(call);
        Call::ChannelForceProgress(step)
    };
    let without = data(&fill(BUFFER / 2)).len() - BUFFER / 2;
    let (fits, too_large) = (fill(BUFFER - without), fill(BUFFER - without + 1));
    assert_eq!((data(&fits).len(), data(&too_large).len()), (BUFFER, BUFFER + 1));
    world.refuse(Actor::Initiator, &fits, 0, protocol::Rejection::CallsTooLarge).await;
    world.fails_on_chain(Actor::Initiator, &too_large, 0, "Contracts::OutputBufferTooSmall").await;
}

#[tokio::test]
async fn a_step_that_would_need_more_memory_than_a_contract_has_is_refused_by_its_number() {
    // Each call of an app makes its state anew. The rules' own bound lies below what the memory takes (R3.2).
    let (mut world, channel) = World::open().await;
    let large = world.apps.hostile(10 * UNIT, vec![7; protocol::contracts::MAX_STATE]);
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(HOSTILE, large)]);
    let step = |calls| channel.step(&base, Party::Initiator, vec![call(HOSTILE, 0, &hostile::Input::Behave); calls]);
    let too_many = Call::ChannelForceProgress(world.blind(&step(64)));
    world.refuse(Actor::Initiator, &too_many, 0, Rejection::StepTooLarge).await;
    let _after = world.force(&step(16)).await;
}
