//! Addresses that are not the arbiter's.

use crate::Witness;
use devchain::{DevAccount, DevChain};
use e2e_tests::{LIMITS, World, arbiter_code, within};
use protocol::{
    AccountId, Hash,
    terms::{CallWeight, Limits},
};
use scale::Encode;
use sdk::chain::{
    Arbiter, CallError, Chain, ChainError, ContractEvent, SharedChain, Signer, Transaction, arbiter::selector,
};
use std::sync::Arc;

async fn deploy(chain: &DevChain, code: Vec<u8>, data: Vec<u8>) -> AccountId {
    let signer = DevAccount::Dave.signer();
    let transaction = Transaction::Instantiate { code, value: 0, data, salt: b"not the arbiter".to_vec() };
    let dry_run = chain.dry_run(&signer.account(), &transaction).await.unwrap();
    let receipt = within("a deployment", chain.submit(&signer, transaction, &dry_run)).await.unwrap();
    receipt.instantiated.unwrap()
}

async fn attach(chain: &DevChain, address: AccountId, code_hash: Option<Hash>) -> CallError {
    let shared: SharedChain = Arc::new(chain.clone());
    within("the refusal", Arbiter::attach(shared, address, code_hash)).await.unwrap_err()
}

fn cause_of(error: CallError, at: AccountId) -> String {
    match error {
        CallError::NotAnArbiter { address, cause } => {
            assert_eq!(address, at);
            cause
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_a_contract_is_no_arbiter() {
    let world = World::new().await;
    let nowhere = AccountId([7; 32]);
    assert_eq!(attach(&world.chain, nowhere, None).await, CallError::Chain(ChainError::NoContract(nowhere.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contracts_that_answer_something_else_or_nothing_are_no_arbiters() {
    let world = World::new().await;
    let mute = r#"(module (import "env" "memory" (memory 1 1)) (func (export "deploy")) (func (export "call")))"#;
    // Answers everything with: yes, version 99.
    let other = r#"(module
        (import "env" "memory" (memory 1 1))
        (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
        (data (i32.const 0) "\00\63\00")
        (func (export "deploy"))
        (func (export "call") (call $return (i32.const 0) (i32.const 0) (i32.const 3))))"#;
    let traps =
        r#"(module (import "env" "memory" (memory 1 1)) (func (export "deploy")) (func (export "call") unreachable))"#;
    for (wat, told) in [
        (mute, "it does not answer the arbiter's reads"),
        (other, "it speaks version 99, this SDK version 1"),
        (traps, "Contracts::ContractTrapped"),
    ] {
        let address = deploy(&world.chain, wat::parse_str(wat).unwrap(), Vec::new()).await;
        let cause = cause_of(attach(&world.chain, address, None).await, address);
        assert!(cause.contains(told), "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arbiter_that_was_made_for_another_chain_is_refused() {
    let world = World::new().await;
    let elsewhere = Hash([9; 32]);
    let data = [&selector("new")[..], &(elsewhere, LIMITS).encode()].concat();
    let address = deploy(&world.chain, arbiter_code(), data).await;
    let cause = cause_of(attach(&world.chain, address, None).await, address);
    let genesis = world.chain.genesis().await.unwrap();
    assert_eq!(cause, format!("it was made for chain {elsewhere}, this is {genesis}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arbiter_of_other_code_than_expected_is_refused() {
    let world = World::new().await;
    let info = *world.arbiter.info();
    let address = info.domain.arbiter;
    let expected = Hash([9; 32]);
    let cause = cause_of(attach(&world.chain, address, Some(expected)).await, address);
    assert_eq!(cause, format!("its code hash is {}, expected was {expected}", info.code_hash));
    let shared: SharedChain = Arc::new(world.chain.clone());
    let attached = Arbiter::attach(shared, address, Some(info.code_hash)).await.unwrap();
    assert_eq!(*attached.info(), info);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arbiter_with_unsound_limits_cannot_be_deployed() {
    let world = World::new().await;
    for limits in [
        Limits { lock_period_min: 0, ..LIMITS },
        Limits { lock_period_max: LIMITS.lock_period_min - 1, ..LIMITS },
        Limits { validity_max: 0, ..LIMITS },
        Limits { max_forced_max: 0, ..LIMITS },
    ] {
        let shared: SharedChain = Arc::new(world.chain.clone());
        let (signer, code) = (DevAccount::Dave.signer(), arbiter_code());
        let refused = Arbiter::deploy(shared, &signer, code, limits, b"unsound".to_vec()).await.unwrap_err();
        assert_eq!(refused, CallError::Rejected(protocol::Rejection::LimitsUnsound));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_different_arbiters_have_no_channels_and_the_others_go_on() {
    let witness = Witness::new().await;
    let shared: SharedChain = witness.world.recorder.clone();
    let (signer, code) = (DevAccount::Dave.signer(), arbiter_code());
    let deployed = Arbiter::deploy(shared, &signer, code, LIMITS, b"another".to_vec());
    let (other, _receipt) = within("another arbiter", deployed).await.unwrap();
    let stranger = witness.world.start_with("mallory", |config| {
        let (identity, storage) = (e2e_tests::identity("mallory"), config.storage.clone());
        let rest = sdk::node::NodeConfig::new(identity, Arc::clone(&config.signer), Arc::new(other), storage);
        config.arbiter = rest.arbiter;
        config.policy = rest.policy;
    });
    let stranger = stranger.await;
    let _done = within("a deposit", stranger.node.vault_deposit(200 * e2e_tests::UNIT)).await.unwrap();
    stranger.connect(&witness.bob).await;
    let refused = stranger.try_open(&witness.bob, e2e_tests::terms()).await.unwrap_err();
    let sdk::node::NodeError::Ended(reason) = refused else { panic!("{refused}") };
    assert_eq!(reason, channel::CloseReason::NotOpened { code: Some(channel::RefusalCode::POLICY) });
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arbiter_whose_calls_would_not_fit_a_transaction_is_neither_deployed_nor_attached_to() {
    let chain = DevChain::new().unwrap();
    let shared: SharedChain = Arc::new(chain.clone());
    let limit = shared.transaction_limit().await.unwrap().unwrap();
    let half = CallWeight { ref_time: limit.ref_time / 2, proof_size: limit.proof_size / 2 };
    let limits = |call_weight| Limits { call_weight, ..LIMITS };
    let (code, signer) = (arbiter_code(), DevAccount::Dave.signer());
    for asked in
        [CallWeight { ref_time: half.ref_time + 1, ..half }, CallWeight { proof_size: half.proof_size + 1, ..half }]
    {
        let refused = Err(CallError::CallsTooHeavy { asked, limit });
        let deployed = Arbiter::deploy(shared.clone(), &signer, code.clone(), limits(asked), Vec::new());
        assert_eq!(within("the refusal", deployed).await.map(drop), refused);
        // Somebody else's tool may put it there all the same.
        let data = [&selector("new")[..], &(shared.genesis().await.unwrap(), limits(asked)).encode()].concat();
        let address = deploy(&chain, code.clone(), data).await;
        let attached = within("the refusal", Arbiter::attach(shared.clone(), address, None)).await;
        assert_eq!(attached.map(drop), refused);
    }
    let deployed = within("a deployment", Arbiter::deploy(shared, &signer, code, limits(half), Vec::new())).await;
    assert_eq!(deployed.unwrap().0.info().limits.call_weight, half);
}

/// An event is known by its length and by what its bytes mean; whoever pays into a vault chooses the key that is announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_of_vaults_and_pre_images_is_never_taken_for_news_of_a_channel() {
    let world = World::new().await;
    let contract = world.arbiter.info().domain.arbiter;
    let mut seen = [0; 2];
    for length in [80, 69] {
        for (kind, fill) in (0..=u8::MAX).flat_map(|kind| [0, 1, 4, 32, 0xff].map(|fill| (kind, fill))) {
            let mut data = vec![fill; length];
            data[32] = kind;
            let event = ContractEvent { contract, topics: Vec::new(), data };
            assert_eq!(world.arbiter.event(&event), None, "{event:?}");
            seen[0] += usize::from(world.arbiter.vault(&event).is_some());
            seen[1] += usize::from(world.arbiter.preimage(&event).is_some());
        }
    }
    // Every one of that length is a vault's; a pre-image's names one of two functions.
    assert_eq!(seen, [256 * 5, 2 * 5]);
}
