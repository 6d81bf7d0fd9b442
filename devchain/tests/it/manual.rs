use crate::{NOBODY, UNIT, balance, contract, failed_in_block, send, transfer};
use chain::{Chain, ChainError, Receipt, Signer, Transaction, signer::Sr25519Signer};
use devchain::{DevAccount, DevChain, Sealing};
use subxt_signer::sr25519::Keypair;
use tokio::task::JoinHandle;

type Submission = JoinHandle<Result<Receipt, ChainError>>;

/// Submits and returns once the transaction is in the pool, which then holds `count`.
async fn pooled(chain: &DevChain, signer: &Sr25519Signer, transaction: Transaction, count: usize) -> Submission {
    let (sender, signer) = (chain.clone(), signer.clone());
    let submission = tokio::spawn(async move { send(&sender, &signer, transaction).await });
    chain.pool_filled(count).await.unwrap();
    submission
}

fn manual() -> DevChain {
    DevChain::builder().sealing(Sealing::Manual).build().unwrap()
}

#[tokio::test]
async fn transactions_wait_for_their_block_and_keep_their_order_in_it() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    chain.set_sealing(Sealing::Manual).await.unwrap();
    let (alice, bob) = (DevAccount::Alice.signer(), DevAccount::Bob.signer());
    let first = pooled(&chain, &bob, contract::store(address, b"first"), 1).await;
    let second = pooled(&chain, &alice, contract::store(address, b"second"), 2).await;
    let third = pooled(&chain, &bob, contract::store(address, b"third"), 3).await;
    assert_eq!((chain.block_number(), chain.pool_length()), (1, 3));

    let head = chain.produce_block().await.unwrap();
    assert_eq!((head.number, chain.pool_length()), (2, 0));
    for (submission, stored) in [(first, "first"), (second, "second"), (third, "third")] {
        let receipt = submission.await.unwrap().unwrap();
        assert_eq!(receipt.block, head);
        assert_eq!(receipt.events[0].data, stored.as_bytes());
    }
    let mut blocks = chain.finalised_blocks(2).await.unwrap();
    let block = futures::StreamExt::next(&mut blocks).await.unwrap().unwrap();
    let data: Vec<_> = block.events.into_iter().map(|event| event.data).collect();
    assert_eq!(data, [b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]);
}

#[tokio::test]
async fn turning_to_sealing_on_submission_seals_what_waits() {
    let chain = manual();
    let waiting = pooled(&chain, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT), 1).await;
    chain.set_sealing(Sealing::OnSubmit).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().block.number, 1);
}

#[tokio::test]
async fn a_transaction_refused_in_its_block_holds_up_no_later_one_of_its_account() {
    let poor = Sr25519Signer::new(Keypair::from_uri(&"//Poor".parse().unwrap()).unwrap());
    let chain = DevChain::builder().endow(poor.account(), 2 * UNIT).build().unwrap();
    let fee = send(&chain.fork().await.unwrap(), &poor, transfer(NOBODY, UNIT)).await.unwrap().fee;
    chain.set_sealing(Sealing::Manual).await.unwrap();
    // The first leaves the existential deposit, so nothing for the second's fee; then coins come in, and the third takes the
    // nonce that was the second's.
    let most = 2 * UNIT - UNIT / 1_000 - fee;
    let first = pooled(&chain, &poor, transfer(NOBODY, most), 1).await;
    let second = pooled(&chain, &poor, transfer(NOBODY, UNIT), 2).await;
    let gift = pooled(&chain, &DevAccount::Alice.signer(), transfer(poor.account(), 5 * UNIT), 3).await;
    let third = pooled(&chain, &poor, transfer(NOBODY, UNIT), 4).await;

    assert_eq!(chain.produce_block().await.unwrap().number, 1);
    assert_eq!(first.await.unwrap().unwrap().block.number, 1);
    let refused = second.await.unwrap();
    assert!(
        matches!(&refused, Err(ChainError::InsufficientFunds { account, .. }) if *account == poor.account()),
        "{refused:?}"
    );
    assert_eq!(gift.await.unwrap().unwrap().block.number, 1);

    chain.pool_filled(1).await.unwrap();
    assert_eq!(chain.produce_block().await.unwrap().number, 2);
    assert_eq!(third.await.unwrap().unwrap().block.number, 2);
    assert_eq!(balance(&chain, NOBODY).await, most + UNIT);
}

#[tokio::test]
async fn what_does_not_fit_into_a_block_goes_into_the_next() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    chain.set_sealing(Sealing::Manual).await.unwrap();
    let alice = DevAccount::Alice.signer();
    let small = contract::store(address, b"small");
    let dry_run = chain.dry_run(&alice.account(), &small).await.unwrap();
    // A block holds 3.75 MiB of transactions. These trap, since the contract has no room for so much input.
    let mut submissions = Vec::new();
    for count in 1..=4 {
        let (sender, alice, dry_run) = (chain.clone(), alice.clone(), dry_run.clone());
        let large = Transaction::Call { contract: address, value: 0, data: vec![0; 1_200_000] };
        submissions.push(tokio::spawn(async move { sender.submit(&alice, large, &dry_run).await }));
        chain.pool_filled(count).await.unwrap();
    }
    let last = pooled(&chain, &alice, small, 5).await;

    let _head = chain.produce_block().await.unwrap();
    assert_eq!(chain.pool_length(), 2);
    let head = chain.produce_block().await.unwrap();
    assert_eq!(chain.pool_length(), 0);
    assert_eq!(last.await.unwrap().unwrap().block, head);
    for submission in submissions {
        assert!(matches!(failed_in_block(submission.await.unwrap()), ChainError::Failed { .. }));
    }
}

#[tokio::test]
async fn a_submission_that_nobody_waits_for_any_more_is_included_all_the_same() {
    let chain = manual();
    let waiting = pooled(&chain, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT), 1).await;
    waiting.abort();
    let _head = chain.produce_block().await.unwrap();
    assert_eq!(balance(&chain, NOBODY).await, UNIT);
}
