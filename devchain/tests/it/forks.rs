use crate::{NOBODY, UNIT, balance, contract, send, transfer};
use chain::Chain;
use devchain::{DevAccount, DevChain};
use futures::StreamExt;

#[tokio::test]
async fn a_fork_has_the_same_past_and_a_future_of_its_own() {
    let chain = DevChain::new().unwrap();
    let _receipt = send(&chain, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT)).await.unwrap();
    let fork = chain.fork().await.unwrap();
    assert_eq!(fork.finalised_head().await.unwrap(), chain.finalised_head().await.unwrap());

    let _receipt = send(&fork, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT)).await.unwrap();
    assert_eq!((balance(&chain, NOBODY).await, balance(&fork, NOBODY).await), (UNIT, 2 * UNIT));
    assert_eq!((chain.block_number(), fork.block_number()), (1, 2));

    // Both go on alike where they are used alike.
    let fork = chain.fork().await.unwrap();
    assert_eq!(fork.produce_blocks(5).await.unwrap(), chain.produce_blocks(5).await.unwrap());
}

#[tokio::test]
async fn a_fork_outlives_its_chain_and_tells_the_shared_past() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let fork = chain.fork().await.unwrap();
    drop(chain);
    let mut blocks = fork.finalised_blocks(1).await.unwrap();
    assert_eq!(blocks.next().await.unwrap().unwrap().at.number, 1);
    let receipt = send(&fork, &DevAccount::Alice.signer(), contract::store(address, b"alive")).await.unwrap();
    assert_eq!(receipt.block.number, 2);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let untouched = chain.fork().await.unwrap();
    let alice = DevAccount::Alice.id();
    for transaction in [transfer(NOBODY, UNIT), contract::store(address, b"never"), contract::instantiate(b"other")] {
        let _dry_run = chain.dry_run(&alice, &transaction).await.unwrap();
    }
    let failing = chain.dry_run(&alice, &contract::trap(address)).await;
    assert!(failing.is_err());
    // The hash of the next block covers the whole state.
    assert_eq!(chain.produce_block().await.unwrap(), untouched.produce_block().await.unwrap());
}
