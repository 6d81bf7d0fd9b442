//! Deploying and attaching.

use crate::world;
use devchain::DevAccount;
use e2e_tests::{LIMITS, NodeChain, TestChain, arbiter_code, within};
use protocol::{AccountId, Hash, Rejection, terms::Limits};
use scale::Encode;
use sdk::chain::{
    Arbiter, CallError, ChainError, RemoteChain, Signer, Transaction,
    arbiter::{code_hash, selector},
    deploy::{Deployment, address, ensure},
    remote::Settings,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploying_twice_finds_the_arbiter_of_the_first_time_and_pays_nothing() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let signer = DevAccount::Bob.signer();
    let deploy = |salt: &[u8]| {
        let salt = salt.to_vec();
        let (signer, client) = (signer.clone(), chain.client());
        async move { within("a deployment", ensure(client, &signer, arbiter_code(), LIMITS, salt)).await.unwrap() }
    };
    let first = deploy(b"").await;
    let receipt = first.receipt.unwrap();
    let genesis = chain.client().genesis().await.unwrap();
    let expected = address(&signer.account(), &arbiter_code(), genesis, LIMITS, b"");
    assert_eq!((receipt.instantiated, first.arbiter.info().domain.arbiter), (Some(expected), expected));
    assert_eq!(first.arbiter.info().code_hash, code_hash(&arbiter_code()));
    assert!(receipt.fee > 0 && receipt.storage_deposit > 0);

    let paid = chain.client().free_balance(&signer.account()).await.unwrap();
    let second = deploy(b"").await;
    assert_eq!((second.receipt, second.arbiter.info()), (None, first.arbiter.info()));
    assert_eq!(chain.client().free_balance(&signer.account()).await.unwrap(), paid);
    let other = deploy(b"another").await;
    assert_ne!(other.arbiter.info().domain.arbiter, expected);
    assert!(other.receipt.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploying_twice_at_once_gives_one_arbiter() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let signer = DevAccount::Bob.signer();
    let deploy = || ensure(chain.client(), &signer, arbiter_code(), LIMITS, Vec::new());
    let (one, other) = within("two deployments", async { tokio::join!(deploy(), deploy()) }).await;
    assert_eq!(one.unwrap().arbiter.info(), other.unwrap().arbiter.info());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_file_leads_to_its_arbiter_and_to_no_other() {
    let Some(world) = world().await else { return };
    let info = *world.arbiter.info();
    let file = Deployment {
        endpoints: vec![world.chain.url()],
        genesis: info.domain.genesis,
        arbiter: info.domain.arbiter,
        code_hash: info.code_hash,
        block: 1,
    };
    let settings = Settings::for_instant_seal("");
    let attached = within("attaching", file.connect_with(settings.clone())).await.unwrap();
    assert_eq!(*attached.info(), info);

    let wrong_chain = Deployment { genesis: Hash([1; 32]), ..file.clone() };
    let refused = within("the refusal", wrong_chain.connect_with(settings.clone())).await.unwrap_err();
    let CallError::Chain(ChainError::WrongChain { block: 0, expected, found, .. }) = refused else {
        panic!("{refused}")
    };
    assert_eq!((expected, found), (Hash([1; 32]), info.domain.genesis));

    let nobody = Deployment { arbiter: AccountId([1; 32]), ..file.clone() };
    let refused = within("the refusal", nobody.connect_with(settings.clone())).await.unwrap_err();
    assert_eq!(refused, CallError::Chain(ChainError::NoContract(AccountId([1; 32]).into())));

    let other_code = Deployment { code_hash: Hash([1; 32]), ..file };
    let refused = within("the refusal", other_code.connect_with(settings)).await.unwrap_err();
    assert!(matches!(refused, CallError::NotAnArbiter { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contracts_that_are_no_arbiters_or_older_ones_are_refused_by_name() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let mute = r#"(module (import "env" "memory" (memory 1 1)) (func (export "deploy")) (func (export "call")))"#;
    // Answers everything with: yes, version 0.
    let older = r#"(module
        (import "env" "memory" (memory 1 1))
        (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
        (data (i32.const 0) "\00\00\00")
        (func (export "deploy"))
        (func (export "call") (call $return (i32.const 0) (i32.const 0) (i32.const 3))))"#;
    for (wat, told) in
        [(mute, "it does not answer the arbiter's reads"), (older, "it speaks version 0, this SDK version 1")]
    {
        let address = deploy(&chain, wat::parse_str(wat).unwrap(), Vec::new()).await;
        let refused = Arbiter::attach(chain.client(), address, None).await.unwrap_err();
        assert!(refused.to_string().contains(told), "{refused}");
    }
    let elsewhere = Hash([9; 32]);
    let data = [&selector("new")[..], &(elsewhere, LIMITS).encode()].concat();
    let address = deploy(&chain, arbiter_code(), data).await;
    let refused = Arbiter::attach(chain.client(), address, None).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("it was made for chain {elsewhere}")), "{refused}");

    let unsound = Limits { lock_period_min: 0, ..LIMITS };
    let signer = DevAccount::Dave.signer();
    let refused = Arbiter::deploy(chain.client(), &signer, arbiter_code(), unsound, Vec::new());
    assert_eq!(refused.await.unwrap_err(), CallError::Rejected(Rejection::LimitsUnsound));
    let no_code = Arbiter::deploy(chain.client(), &signer, b"no code".to_vec(), LIMITS, Vec::new());
    let CallError::Chain(ChainError::Failed { cause }) = no_code.await.unwrap_err() else { panic!() };
    assert!(cause.contains("Contracts::CodeRejected ("), "{cause}");
}

async fn deploy(chain: &NodeChain, code: Vec<u8>, data: Vec<u8>) -> AccountId {
    let signer = DevAccount::Dave.signer();
    let transaction = Transaction::Instantiate { code, value: 0, data, salt: b"not the arbiter".to_vec() };
    let client = chain.client();
    let dry_run = client.dry_run(&signer.account(), &transaction).await.unwrap();
    let receipt = within("a deployment", client.submit(&signer, transaction, &dry_run)).await.unwrap();
    assert_eq!(receipt.instantiated, dry_run.instantiated);
    receipt.instantiated.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_is_not_the_one_expected_is_refused_before_anything_is_sent() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let settings = Settings { genesis: Some(Hash([7; 32])), ..Settings::new(chain.url()) };
    let refused = within("the refusal", RemoteChain::connect(settings)).await.unwrap_err();
    assert!(matches!(refused, ChainError::WrongChain { block: 0, .. }), "{refused}");
}
