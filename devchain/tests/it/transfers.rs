use crate::{NOBODY, UNIT, balance, failed_in_block, send, transfer};
use async_trait::async_trait;
use chain::{Chain, ChainError, ChainSignature, NotSigned, Signer, Weight, signer::Sr25519Signer};
use devchain::{DEV_ENDOWMENT, DevAccount, DevChain};
use futures::future::join_all;
use protocol::AccountId;
use std::collections::BTreeSet;
use subxt_signer::{ecdsa, sr25519};

#[tokio::test]
async fn a_transfer_costs_its_amount_and_its_fee_and_nothing_else() {
    let chain = DevChain::new().unwrap();
    let issuance = chain.total_issuance().await.unwrap();
    let receipt = send(&chain, &DevAccount::Alice.signer(), transfer(DevAccount::Bob.id(), 3 * UNIT)).await.unwrap();

    assert!(receipt.fee > 0);
    assert_eq!(receipt.storage_deposit, 0);
    assert_eq!(receipt.events, []);
    assert_eq!(receipt.block, chain.finalised_head().await.unwrap());
    // Version, address, signature, era, nonce, tip, call; the fee counts each byte.
    assert!(receipt.length > 140, "{}", receipt.length);
    assert!(receipt.weight.ref_time > 0);
    assert_eq!(balance(&chain, DevAccount::Alice.id()).await, DEV_ENDOWMENT - 3 * UNIT - receipt.fee);
    assert_eq!(balance(&chain, DevAccount::Bob.id()).await, DEV_ENDOWMENT + 3 * UNIT);
    assert_eq!(chain.total_issuance().await.unwrap(), issuance - receipt.fee);
}

#[tokio::test]
async fn what_an_inclusion_will_cost_is_known_to_a_few_bytes_and_never_too_little() {
    let chain = DevChain::new().unwrap();
    let transaction = transfer(NOBODY, 3 * UNIT);
    let told = chain.fee(&transaction, Weight::default()).await.unwrap();
    let paid = send(&chain, &DevAccount::Alice.signer(), transaction).await.unwrap().fee;
    assert!((paid..=paid + paid / 1_000).contains(&told), "told {told}, paid {paid}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_submissions_of_one_account_at_once_all_get_their_own_nonce() {
    let chain = DevChain::new().unwrap();
    let alice = DevAccount::Alice.signer();
    let submissions = (0..50).map(|_| {
        let (chain, alice) = (chain.clone(), alice.clone());
        tokio::spawn(async move { send(&chain, &alice, transfer(NOBODY, UNIT)).await })
    });
    let receipts: Vec<_> = join_all(submissions).await.into_iter().map(|done| done.unwrap().unwrap()).collect();

    let fees: u128 = receipts.iter().map(|receipt| receipt.fee).sum();
    assert_eq!(balance(&chain, NOBODY).await, 50 * UNIT);
    assert_eq!(balance(&chain, DevAccount::Alice.id()).await, DEV_ENDOWMENT - 50 * UNIT - fees);
    let blocks: BTreeSet<_> = receipts.iter().map(|receipt| receipt.block.number).collect();
    assert_eq!(u32::try_from(blocks.len()).unwrap(), chain.block_number());
}

#[tokio::test]
async fn an_account_without_coins_is_told_so_and_no_block_is_made() {
    let chain = DevChain::new().unwrap();
    let pauper = Sr25519Signer::new(sr25519::Keypair::from_uri(&"//Pauper".parse().unwrap()).unwrap());
    let transaction = transfer(DevAccount::Bob.id(), UNIT);

    let dry = chain.dry_run(&pauper.account(), &transaction).await;
    let cause = "Token::FundsUnavailable".to_owned();
    assert_eq!(dry, Err(ChainError::InsufficientFunds { account: pauper.account().into(), cause }));

    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &transaction).await.unwrap();
    let sent = chain.submit(&pauper, transaction, &dry_run).await;
    assert!(
        matches!(&sent, Err(ChainError::InsufficientFunds { account, .. }) if *account == pauper.account()),
        "{sent:?}"
    );
    assert_eq!(chain.block_number(), 0);
    assert_eq!(balance(&chain, DevAccount::Bob.id()).await, DEV_ENDOWMENT);
}

#[tokio::test]
async fn a_transfer_that_fails_when_executed_costs_its_fee_only() {
    let chain = DevChain::new().unwrap();
    let alice = DevAccount::Alice.signer();
    let healthy = chain.dry_run(&alice.account(), &transfer(NOBODY, UNIT)).await.unwrap();
    let too_little = transfer(NOBODY, 1);
    let failed = ChainError::Failed { cause: "Token::BelowMinimum".into() };

    assert_eq!(chain.dry_run(&alice.account(), &too_little).await, Err(failed.clone()));
    assert_eq!(failed_in_block(chain.submit(&alice, too_little, &healthy).await), failed);
    assert_eq!(chain.block_number(), 1);
    assert_eq!(balance(&chain, NOBODY).await, 0);
    assert!(balance(&chain, DevAccount::Alice.id()).await < DEV_ENDOWMENT);
}

#[tokio::test]
async fn the_faucet_endows_by_a_transfer() {
    let chain = DevChain::new().unwrap();
    let receipt = chain.endow(NOBODY, 1_000_000 * UNIT).await.unwrap();
    assert_eq!(receipt.block.number, 1);
    assert_eq!(balance(&chain, NOBODY).await, 1_000_000 * UNIT);
}

struct EcdsaSigner(ecdsa::Keypair);

#[async_trait]
impl Signer for EcdsaSigner {
    fn account(&self) -> AccountId {
        AccountId(sp_core::hashing::blake2_256(&self.0.public_key().0))
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        Ok(ChainSignature::Ecdsa(self.0.sign(payload).0))
    }
}

#[tokio::test]
async fn an_ecdsa_account_can_send() {
    let signer = EcdsaSigner(ecdsa::dev::alice());
    let chain = DevChain::builder().endow(signer.account(), 10 * UNIT).build().unwrap();
    let receipt = send(&chain, &signer, transfer(NOBODY, UNIT)).await.unwrap();
    assert_eq!(balance(&chain, NOBODY).await, UNIT);
    assert_eq!(balance(&chain, signer.account()).await, 9 * UNIT - receipt.fee);
}

/// Signs for an account with somebody else's key.
struct Impostor;

#[async_trait]
impl Signer for Impostor {
    fn account(&self) -> AccountId {
        DevAccount::Alice.id()
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        DevAccount::Bob.signer().sign(payload).await
    }
}

/// A wallet whose owner says no.
struct Unwilling;

#[async_trait]
impl Signer for Unwilling {
    fn account(&self) -> AccountId {
        DevAccount::Alice.id()
    }

    async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        Err(NotSigned("not today".into()))
    }
}

#[tokio::test]
async fn what_its_owner_does_not_sign_is_not_sent_and_holds_up_nothing() {
    let chain = DevChain::new().unwrap();
    let refused = send(&chain, &Unwilling, transfer(NOBODY, UNIT)).await;
    let (account, cause) = (DevAccount::Alice.id(), NotSigned("not today".into()));
    assert_eq!(refused, Err(ChainError::NotSigned { account: account.into(), cause }));
    assert_eq!(chain.block_number(), 0);
    let _receipt = send(&chain, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT)).await.unwrap();
}

#[tokio::test]
async fn a_signature_by_another_key_is_refused_and_changes_nothing() {
    let chain = DevChain::new().unwrap();
    let refused = send(&chain, &Impostor, transfer(NOBODY, UNIT)).await;
    let cause = "Transaction has a bad signature".to_owned();
    assert_eq!(refused, Err(ChainError::Invalid { cause }));
    assert_eq!(chain.block_number(), 0);
    assert_eq!(balance(&chain, DevAccount::Alice.id()).await, DEV_ENDOWMENT);
    // The refused signature has not used up a nonce.
    let _receipt = send(&chain, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT)).await.unwrap();
}
