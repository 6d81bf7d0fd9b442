//! Instantiation and the free reads.

use crate::harness::*;
use devchain::DevChain;
use protocol::{
    AccountId, ChannelId, Hash, Pair, Rejection,
    call::{Call, Read},
    decode_exact,
    record::Record,
    signing::Domain,
    terms::{CallWeight, Limits},
};
use scale::{Decode, Encode};
use sdk::chain::{Arbiter, CallError, Chain, Transaction, arbiter::selector};
use std::sync::Arc;

mutations! {
    /// Limits with which the arbiter could not keep its promises (R5.13).
    Unsound {
        /// Closes that nobody could answer.
        NoLockPeriod,
        /// No lock period would fit.
        MinimumAboveMaximum,
        /// Nothing co-signed would ever count for longer than a moment.
        NoValidity,
        /// Nobody could ever force anything.
        NoForcedSteps,
        NothingAtAll,
    }
}

#[tokio::test]
async fn an_arbiter_with_unsound_limits_is_not_instantiated() {
    let chain = DevChain::new().unwrap();
    for &unsound in Unsound::ALL {
        let mut limits = LIMITS;
        match unsound {
            Unsound::NoLockPeriod => limits.lock_period_min = 0,
            Unsound::MinimumAboveMaximum => limits.lock_period_min = limits.lock_period_max + 1,
            Unsound::NoValidity => limits.validity_max = 0,
            Unsound::NoForcedSteps => limits.max_forced_max = 0,
            Unsound::NothingAtAll => {
                limits = Limits {
                    lock_period_min: 0,
                    lock_period_max: 0,
                    validity_max: 0,
                    max_forced_max: 0,
                    call_weight: CallWeight::STANDARD,
                };
            }
        }
        let signer = Actor::Deployer.dev().signer();
        let refused = Arbiter::deploy(Arc::new(chain.clone()), &signer, wasm(), limits, Vec::new()).await;
        assert_eq!(refused.map(drop), Err(CallError::Rejected(Rejection::LimitsUnsound)), "{unsound:?}");

        // The same in a block: the fee is paid, and there is no contract.
        let data = [&selector("new")[..], &(chain.genesis().await.unwrap(), limits).encode()].concat();
        let transaction = Transaction::Instantiate { code: wasm(), value: 0, data, salt: Vec::new() };
        let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
        assert_eq!((refusal(&dry_run), dry_run.instantiated), (Some(Rejection::LimitsUnsound), None));
        let refused = chain.submit(&signer, transaction, &dry_run).await.unwrap_err();
        assert!(matches!(refused, sdk::chain::ChainError::FailedInBlock { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn limits_whose_minimum_is_their_maximum_are_sound() {
    let chain = DevChain::new().unwrap();
    let limits = Limits {
        lock_period_min: 1,
        lock_period_max: 1,
        validity_max: 1,
        max_forced_max: 1,
        call_weight: CallWeight::STANDARD,
    };
    let signer = Actor::Deployer.dev().signer();
    let (arbiter, _receipt) = Arbiter::deploy(Arc::new(chain), &signer, wasm(), limits, Vec::new()).await.unwrap();
    assert_eq!(arbiter.info().limits, limits);
}

/// What a read answers.
async fn read<T: Decode>(world: &World, read: Read) -> T {
    let data = [&selector(read.name())[..], &read.arguments()].concat();
    let transaction = Transaction::Call { contract: world.address(), value: 0, data };
    let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await.unwrap();
    assert!(!dry_run.reverted);
    decode_exact::<Result<T, ()>>(&dry_run.returned).unwrap().unwrap()
}

#[tokio::test]
async fn the_reads_tell_what_the_arbiter_is() {
    let world = World::deployed().await;
    assert_eq!(read::<Limits>(&world, Read::Limits).await, LIMITS);
    let domain = Domain { genesis: world.chain.genesis().await.unwrap(), arbiter: world.address() };
    assert_eq!(read::<Domain>(&world, Read::Domain).await, domain);
    assert_eq!(read::<u16>(&world, Read::Version).await, 1);
}

#[tokio::test]
async fn the_reads_tell_what_the_arbiter_holds() {
    let (world, channel) = World::open().await;
    let record = read::<Option<Record>>(&world, Read::Channel(channel.id)).await;
    assert_eq!(record.as_ref(), world.ledger.channels.get(&channel.id));
    assert_eq!(read::<u128>(&world, Read::VaultBalance(Actor::Initiator.id())).await, VAULT - SHARES.initiator);
    assert_eq!(read::<u64>(&world, Read::PairNonce(accounts())).await, 1);
    assert_eq!(world.arbiter.next_channel_id(accounts()).await, Ok(world.next_channel(&accounts()).id));
}

#[tokio::test]
async fn the_reads_of_what_is_not_there_answer_nothing() {
    let (world, _channel) = World::open().await;
    assert_eq!(read::<Option<Record>>(&world, Read::Channel(ChannelId([7; 32]))).await, None);
    assert_eq!(read::<u128>(&world, Read::VaultBalance(AccountId([7; 32]))).await, 0);
    let reversed = Pair::new(accounts().responder, accounts().initiator);
    assert_eq!(read::<u64>(&world, Read::PairNonce(reversed)).await, 0);
}

#[tokio::test]
async fn a_read_sent_as_a_transaction_changes_nothing() {
    let (world, channel) = World::open().await;
    let before = world.snapshot().await;
    let data = [&selector("channel")[..], &channel.id.encode()].concat();
    let transaction = Transaction::Call { contract: world.address(), value: 0, data };
    let stranger = Actor::Stranger.dev().signer();
    let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await.unwrap();
    let receipt = world.chain.submit(&stranger, transaction, &dry_run).await.unwrap();
    let mut expected = before;
    expected.issuance -= receipt.fee;
    *expected.free.get_mut(&Actor::Stranger.id()).unwrap() -= receipt.fee;
    assert_eq!(world.snapshot().await, expected);
}

#[tokio::test]
async fn bytes_that_are_no_call_are_undone() {
    let (world, channel) = World::open().await;
    let before = world.snapshot().await;
    let settle = world.arbiter.transaction(&channel.settle(), 0);
    let Transaction::Call { data: settle, .. } = settle else { unreachable!() };
    let cut = settle[..settle.len() - 1].to_vec();
    for data in [Vec::new(), vec![0; 3], vec![0; 4], selector("channel_create").to_vec(), cut] {
        let transaction = Transaction::Call { contract: world.address(), value: 0, data };
        let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await;
        assert!(!dry_run.is_ok_and(|dry_run| !dry_run.reverted));
    }
    assert_eq!(world.snapshot().await, before);
}

#[tokio::test]
async fn only_messages_that_take_coins_take_them() {
    let (world, channel) = World::open().await;
    let before = world.snapshot().await;
    let state = State::new(6, 30 * UNIT, 130 * UNIT);
    for call in [
        Call::VaultWithdraw { amount: UNIT },
        channel.close_mutual(BALANCES, 0, world.now()),
        channel.close_solo(&state),
        channel.slash(&state),
        channel.settle(),
    ] {
        let transaction = world.arbiter.transaction(&call, 1);
        let dry_run = world.chain.dry_run(&Actor::Initiator.id(), &transaction).await;
        assert!(!dry_run.is_ok_and(|dry_run| !dry_run.reverted), "{} took a coin", call.name());
    }
    assert_eq!(world.snapshot().await, before);
}

#[tokio::test]
async fn an_arbiter_made_for_another_chain_says_so_and_takes_no_signature_of_this_one() {
    let chain = DevChain::new().unwrap();
    let deployer = Actor::Deployer.dev().signer();
    let data = [&selector("new")[..], &(Hash([9; 32]), LIMITS).encode()].concat();
    let transaction = Transaction::Instantiate { code: wasm(), value: 0, data, salt: Vec::new() };
    let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
    let address = chain.submit(&deployer, transaction, &dry_run).await.unwrap().instantiated.unwrap();
    let attached = Arbiter::attach(Arc::new(chain.clone()), address, None).await;
    assert!(matches!(attached, Err(CallError::NotAnArbiter { .. })));
}
