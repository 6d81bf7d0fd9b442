//! The chain in memory, as the tests of others use it; and the committed test vectors (R3.6), which the contract replays too.

#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use chain::{
    Arbiter, CallError, Chain, ChainError, ChainSignature, NotSigned, Signer, Transaction,
    account::{Scheme, from_uri},
    arbiter::selector,
    testing::{EXISTENTIAL_DEPOSIT, LIMITS, MemoryChain, RICH, Sealing},
};
use futures::{FutureExt, StreamExt};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, PartyId, PublicKey, Rejection, call::Call, decode_exact,
    terms::Limits,
};
use serde_json::Value;
use std::sync::Arc;

const KEY: PublicKey = PublicKey([1; 32]);
const STRANGER: AccountId = AccountId([0xEE; 32]);

fn transfer(to: AccountId, amount: Amount) -> Transaction {
    Transaction::Transfer { to, amount }
}

async fn send(
    chain: &MemoryChain,
    signer: &dyn Signer,
    transaction: Transaction,
) -> Result<chain::Receipt, ChainError> {
    let dry_run = chain.dry_run(&signer.account(), &transaction).await?;
    chain.submit(signer, transaction, &dry_run).await
}

#[tokio::test]
async fn each_transaction_makes_a_block_and_time_passes_when_told_to() {
    let chain = MemoryChain::new();
    let alice = chain.rich("alice");
    let receipt = send(&chain, &alice, transfer(STRANGER, EXISTENTIAL_DEPOSIT)).await.unwrap();
    assert_eq!((receipt.block.number, receipt.fee), (1, 0));
    assert_eq!(chain.free_balance(&STRANGER).await.unwrap(), EXISTENTIAL_DEPOSIT);
    assert_eq!(chain.free_balance(&alice.account()).await.unwrap(), RICH - EXISTENTIAL_DEPOSIT);
    assert_eq!(chain.pass(1_000).number, 1_001);
    assert_eq!(chain.finalised_head().await.unwrap().number, chain.block_number());
    assert_eq!(chain.block_hash(1).await.unwrap(), Some(receipt.block.hash));
    assert_eq!(chain.block_hash(1_002).await.unwrap(), None);
    assert_eq!(chain.total_issuance(), RICH);
}

#[tokio::test]
async fn what_is_sent_at_the_same_time_shares_a_block_and_comes_into_one_also_where_its_sender_has_gone() {
    let chain = MemoryChain::new();
    let (alice, bob) = (chain.rich("alice"), chain.rich("bob"));
    let pay = || transfer(STRANGER, EXISTENTIAL_DEPOSIT);
    let (first, second) = tokio::join!(send(&chain, &alice, pay()), send(&chain, &bob, pay()));
    assert_eq!((first.unwrap().block.number, second.unwrap().block.number), (1, 1));
    assert!(send(&chain, &alice, pay()).now_or_never().is_none(), "given up before it has its receipt");
    assert_eq!((chain.block_number(), chain.free_balance(&STRANGER).await.unwrap()), (2, 3 * EXISTENTIAL_DEPOSIT));
}

#[tokio::test]
async fn transactions_wait_for_a_block_that_is_asked_for_and_share_it() {
    let chain = MemoryChain::builder().sealing(Sealing::Manual).build();
    let alice = chain.rich("alice");
    let two = [1, 2].map(|amount| {
        let (chain, alice) = (chain.clone(), alice.clone());
        tokio::spawn(async move { send(&chain, &alice, transfer(STRANGER, amount * EXISTENTIAL_DEPOSIT)).await })
    });
    chain.waiting(2).await;
    assert_eq!((chain.block_number(), chain.free_balance(&STRANGER).await.unwrap()), (0, 0));
    let _head = chain.pass(1);
    for sent in two {
        assert_eq!(sent.await.unwrap().unwrap().block.number, 1);
    }
    assert_eq!(chain.free_balance(&STRANGER).await.unwrap(), 3 * EXISTENTIAL_DEPOSIT);
}

#[tokio::test]
async fn blocks_are_heard_each_once_and_in_order_whenever_they_come() {
    let chain = MemoryChain::new();
    let _head = chain.pass(2);
    let mut blocks = chain.finalised_blocks(1).await.unwrap();
    for number in [1, 2] {
        assert_eq!(blocks.next().await.unwrap().unwrap().at.number, number);
    }
    assert!(blocks.next().now_or_never().is_none(), "there is no third");
    let (heard, _head) = tokio::join!(blocks.next(), async { chain.pass(1) });
    assert_eq!(heard.unwrap().unwrap().at.number, 3);
}

#[tokio::test]
async fn a_fee_is_paid_for_what_fails_in_its_block_too_and_by_nobody_who_cannot() {
    let chain = MemoryChain::builder().fee(7).sealing(Sealing::Manual).build();
    let alice = chain.rich("alice");
    let all = transfer(STRANGER, RICH - 7);
    let dry_run = chain.dry_run(&alice.account(), &all).await.unwrap();
    let twice = [0, 1].map(|_| {
        let (chain, alice, all, dry_run) =
            (chain.clone(), alice.clone(), transfer(STRANGER, RICH / 2), dry_run.clone());
        tokio::spawn(async move { chain.submit(&alice, all, &dry_run).await })
    });
    chain.waiting(2).await;
    let _head = chain.pass(1);
    let mut failed = 0;
    for sent in twice {
        if let Err(error) = sent.await.unwrap() {
            let cause = ChainError::InsufficientFunds {
                account: alice.account().into(),
                cause: "Token::FundsUnavailable".into(),
            };
            assert_eq!(error, ChainError::FailedInBlock { fee: 7, cause: Box::new(cause) });
            failed += 1;
        }
    }
    assert_eq!(failed, 1, "the second has half and not the fees of both");
    assert_eq!(chain.free_balance(&alice.account()).await.unwrap(), RICH / 2 - 14);
    let pauper = from_uri("//pauper", Scheme::Ecdsa).unwrap();
    let refused = chain.submit(&*pauper, transfer(STRANGER, 0), &dry_run).await.unwrap_err();
    assert!(
        matches!(refused, ChainError::InsufficientFunds { account, .. } if account == pauper.account()),
        "{refused}"
    );
}

/// A wallet that takes its time with the first signature.
struct Slow(chain::signer::Sr25519Signer, tokio::sync::Semaphore);

#[async_trait::async_trait]
impl Signer for Slow {
    fn account(&self) -> AccountId {
        self.0.account()
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        let _unlocked = self.1.acquire().await.map_err(|closed| NotSigned(closed.to_string()))?;
        self.0.sign(payload).await
    }
}

#[tokio::test]
async fn an_accounts_transactions_are_included_in_the_order_of_their_signing_and_a_slow_wallet_holds_up_nobody_else() {
    let chain = MemoryChain::new();
    let (alice, bob) = (chain.rich("alice"), chain.rich("bob"));
    let slow = Slow(alice.clone(), tokio::sync::Semaphore::new(0));
    let pay = || transfer(STRANGER, EXISTENTIAL_DEPOSIT);
    let mut first = Box::pin(send(&chain, &slow, pay()));
    assert!((&mut first).now_or_never().is_none(), "not signed yet");
    let mut second = Box::pin(send(&chain, &alice, pay()));
    assert!((&mut second).now_or_never().is_none(), "behind the first");
    assert_eq!(send(&chain, &bob, pay()).await.unwrap().block.number, 1);
    slow.1.add_permits(1);
    assert_eq!(first.await.unwrap().block.number, 2);
    assert_eq!(second.await.unwrap().block.number, 3);
}

/// An owner who says no.
struct Unwilling;

#[async_trait::async_trait]
impl Signer for Unwilling {
    fn account(&self) -> AccountId {
        STRANGER
    }

    async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        Err(NotSigned("not today".into()))
    }
}

#[tokio::test]
async fn what_is_not_signed_is_not_sent() {
    let chain = MemoryChain::new();
    chain.endow(STRANGER, RICH);
    let refused = send(&chain, &Unwilling, transfer(STRANGER, 1)).await.unwrap_err();
    assert_eq!(refused, ChainError::NotSigned { account: STRANGER.into(), cause: NotSigned("not today".into()) });
    assert_eq!(chain.block_number(), 0);
}

#[tokio::test]
async fn the_arbiter_is_found_again_and_refuses_by_its_own_rules() {
    let chain = MemoryChain::new();
    let (arbiter, alice) = (chain.arbiter().await.unwrap(), chain.rich("alice"));
    assert_eq!(chain.arbiter().await.unwrap().info(), arbiter.info());
    assert_eq!(arbiter.info().limits, LIMITS);
    let owner = PartyId { account: alice.account(), key: KEY };
    let done = arbiter.call(&alice, &Call::VaultDeposit { key: KEY }, 500).await.unwrap();
    assert_eq!((done.vaults[0].owner, done.vaults[0].balance), (owner, 500));
    let too_much = Call::VaultWithdraw { key: KEY, amount: 501 };
    let refused = arbiter.call(&alice, &too_much, 0).await.unwrap_err();
    assert!(matches!(refused, CallError::Rejected(Rejection::VaultBalanceTooLow { .. })), "{refused}");
    let trapped = arbiter.call(&alice, &too_much, 1).await.unwrap_err();
    assert_eq!(trapped, CallError::Chain(ChainError::Failed { cause: "Contracts::ContractTrapped".into() }));
    assert_eq!(arbiter.vault_balance(owner).await.unwrap(), 500);
    assert_eq!(chain.free_balance(&arbiter.info().domain.arbiter).await.unwrap(), 500);
}

#[tokio::test]
async fn an_arbiter_with_unsound_limits_is_refused_and_one_that_is_there_is_not_put_there_again() {
    let chain = MemoryChain::new();
    let deployer = chain.rich("deployer");
    let deploy = |limits| Arbiter::deploy(Arc::new(chain.clone()), &deployer, b"any code".to_vec(), limits, Vec::new());
    let refused = deploy(Limits { validity_max: 0, ..LIMITS }).await.unwrap_err();
    assert_eq!(refused, CallError::Rejected(Rejection::LimitsUnsound));
    let (_arbiter, receipt) = deploy(LIMITS).await.unwrap();
    assert!(receipt.instantiated.is_some());
    let twice = deploy(LIMITS).await.unwrap_err();
    assert_eq!(twice, CallError::Chain(ChainError::Failed { cause: "Contracts::DuplicateContract".into() }));
}

#[tokio::test]
async fn what_is_no_app_is_refused_and_where_nothing_is_nothing_answers() {
    let chain = MemoryChain::new();
    let alice = chain.rich("alice");
    let app = Transaction::Instantiate { code: vec![0], value: 0, data: selector("new").to_vec(), salt: Vec::new() };
    let refused = chain.dry_run(&alice.account(), &app).await.unwrap_err();
    assert!(
        matches!(&refused, ChainError::Failed { cause } if cause.contains("refuses this code as an app")),
        "{refused}"
    );
    let nobody = Transaction::Call { contract: STRANGER, value: 0, data: Vec::new() };
    assert_eq!(chain.dry_run(&alice.account(), &nobody).await, Err(ChainError::NoContract(STRANGER.into())));
}

#[tokio::test]
async fn two_chains_that_are_told_the_same_are_the_same() {
    let [first, second] = [(); 2].map(|()| MemoryChain::new());
    for chain in [&first, &second] {
        let alice = chain.rich("alice");
        let _done = chain.arbiter().await.unwrap().call(&alice, &Call::VaultDeposit { key: KEY }, 1).await.unwrap();
    }
    assert_eq!(first.finalised_head().await.unwrap(), second.finalised_head().await.unwrap());
    let other = MemoryChain::builder().fee(1).build();
    assert_ne!(first.genesis().await.unwrap(), other.genesis().await.unwrap());
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn amount(value: &Value) -> Amount {
    value.as_str().unwrap().parse().unwrap()
}

/// What a read answers, without the byte that says that it did.
async fn read(chain: &MemoryChain, arbiter: AccountId, data: Vec<u8>) -> Vec<u8> {
    let transaction = Transaction::Call { contract: arbiter, value: 0, data };
    let answer = chain.dry_run(&arbiter, &transaction).await.unwrap().returned;
    assert_eq!(answer[0], 0);
    answer[1..].to_vec()
}

fn question(name: &str, arguments: &[u8]) -> Vec<u8> {
    [&selector(name)[..], arguments].concat()
}

#[tokio::test]
async fn the_chain_in_memory_plays_the_vectors_story_byte_for_byte() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/vectors/v1.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let arbiter = AccountId(array(&vectors["domain"]["arbiter"]));
    let limits: Limits = decode_exact(&bytes(&vectors["limits_encoded"])).unwrap();
    let genesis = Hash(array(&vectors["domain"]["genesis"]));
    let chain = MemoryChain::builder().genesis(genesis).arbiter_at(arbiter, limits).build();
    let signers = ["Alice", "Bob", "Charlie"].map(|name| chain.rich(name));
    assert_eq!(read(&chain, arbiter, question("domain", &[])).await, bytes(&vectors["domain_encoded"]));
    let channel = ChannelId(array(&vectors["channel"]["id"]));

    for step in vectors["story"].as_array().unwrap() {
        let message = step["message"].as_str().unwrap();
        let block = BlockNumber::try_from(step["block"].as_u64().unwrap()).unwrap();
        let _head = chain.pass(block - 1 - chain.block_number());
        let (caller, attached) = (AccountId(array(&step["caller"])), amount(&step["attached"]));
        let caller = signers.iter().find(|signer| signer.account() == caller).unwrap();
        let before = chain.free_balance(&arbiter).await.unwrap();
        let transaction = Transaction::Call { contract: arbiter, value: attached, data: bytes(&step["data"]) };
        let receipt = send(&chain, caller, transaction).await.unwrap();
        assert_eq!(receipt.block.number, block);

        let events: Vec<_> = receipt.events.iter().map(|event| event.data.clone()).collect();
        let expected: Vec<_> = step["events"].as_array().unwrap().iter().map(bytes).collect();
        assert_eq!(events, expected, "the events of {message}");
        let paid_out: Amount = step["paid_out"].as_array().unwrap().iter().map(|paid| amount(&paid["amount"])).sum();
        assert_eq!(chain.free_balance(&arbiter).await.unwrap(), before + attached - paid_out, "what {message} pays");
        let record = match &step["record"] {
            Value::Null => vec![0],
            record => [vec![1], bytes(record)].concat(),
        };
        assert_eq!(read(&chain, arbiter, question("channel", &channel.0)).await, record, "the record after {message}");
        for (owner, balance) in step["vaults"].as_object().unwrap() {
            let vault = read(&chain, arbiter, question("vault_balance", &hex::decode(owner).unwrap())).await;
            assert_eq!(vault, amount(balance).to_le_bytes(), "a vault after {message}");
        }
        for wanted in step["reads"].as_array().unwrap() {
            let answer = read(&chain, arbiter, bytes(&wanted["data"])).await;
            assert_eq!(answer, bytes(&wanted["answer"]), "{} after {message}", wanted["message"]);
        }
    }
}
