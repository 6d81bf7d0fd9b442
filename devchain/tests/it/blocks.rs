use crate::{NOBODY, UNIT, balance, contract, send, transfer};
use chain::{Chain, ChainError};
use devchain::{DevAccount, DevChain};
use futures::{FutureExt, StreamExt};

#[tokio::test]
async fn producing_blocks_moves_the_number_by_exactly_so_many() {
    let chain = DevChain::new().unwrap();
    assert_eq!(chain.block_number(), 0);
    assert_eq!(chain.produce_block().await.unwrap().number, 1);
    assert_eq!(chain.produce_blocks(0).await.unwrap().number, 1);
    assert_eq!(chain.produce_blocks(41).await.unwrap().number, 42);
    assert_eq!(chain.finalised_head().await.unwrap().number, 42);
}

#[tokio::test]
async fn the_stream_tells_past_blocks_and_then_new_ones_each_once_and_in_order() {
    let chain = DevChain::new().unwrap();
    let _head = chain.produce_blocks(5).await.unwrap();
    let mut blocks = chain.finalised_blocks(3).await.unwrap();
    for number in 3..=5 {
        assert_eq!(blocks.next().await.unwrap().unwrap().at.number, number);
    }
    assert!(blocks.next().now_or_never().is_none());

    let head = chain.produce_blocks(2).await.unwrap();
    assert_eq!(blocks.next().await.unwrap().unwrap().at.number, 6);
    assert_eq!(blocks.next().await.unwrap().unwrap().at, head);
    assert!(blocks.next().now_or_never().is_none());
}

#[tokio::test]
async fn the_stream_from_zero_starts_with_the_genesis_block() {
    let chain = DevChain::new().unwrap();
    let mut blocks = chain.finalised_blocks(0).await.unwrap();
    let first = blocks.next().await.unwrap().unwrap();
    assert_eq!((first.at.number, first.at.hash), (0, chain.genesis().await.unwrap()));
    assert_eq!(first.events, []);
}

#[tokio::test]
async fn a_stream_from_the_future_waits_for_its_first_block() {
    let chain = DevChain::new().unwrap();
    let mut blocks = chain.finalised_blocks(4).await.unwrap();
    let _head = chain.produce_blocks(3).await.unwrap();
    assert!(blocks.next().now_or_never().is_none());
    let _head = chain.produce_blocks(3).await.unwrap();
    assert_eq!(blocks.next().await.unwrap().unwrap().at.number, 4);
}

#[tokio::test]
async fn a_slow_consumer_loses_no_block() {
    let chain = DevChain::new().unwrap();
    let mut blocks = chain.finalised_blocks(1).await.unwrap();
    let _head = chain.produce_blocks(1_500).await.unwrap();
    for number in 1..=1_500 {
        assert_eq!(blocks.next().await.unwrap().unwrap().at.number, number);
    }
}

#[tokio::test]
async fn the_stream_carries_the_events_of_contracts() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let receipt = send(&chain, &DevAccount::Alice.signer(), contract::store(address, b"seen by all")).await.unwrap();
    let mut blocks = chain.finalised_blocks(receipt.block.number).await.unwrap();
    let block = blocks.next().await.unwrap().unwrap();
    assert_eq!(block.at, receipt.block);
    assert_eq!(block.events, receipt.events);
    assert_eq!(block.events.len(), 1);
}

#[tokio::test]
async fn the_stream_says_when_the_chain_has_stopped_and_ends() {
    let chain = DevChain::new().unwrap();
    let other_handle = chain.clone();
    let mut blocks = chain.finalised_blocks(1).await.unwrap();
    drop(chain);
    let _head = other_handle.produce_block().await.unwrap();
    drop(other_handle);
    assert_eq!(blocks.next().await.unwrap().unwrap().at.number, 1);
    assert!(matches!(blocks.next().await, Some(Err(ChainError::Unreachable(_)))));
    assert!(blocks.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_chains_in_one_process_do_not_disturb_each_other() {
    let chains: Vec<_> = (0..4).map(|_| DevChain::new().unwrap()).collect();
    let tasks = chains.iter().zip(1..).map(|(chain, count)| {
        let chain = chain.clone();
        tokio::spawn(async move {
            for _ in 0..count {
                let _receipt = send(&chain, &DevAccount::Alice.signer(), transfer(NOBODY, UNIT)).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for (chain, count) in chains.iter().zip(1..) {
        assert_eq!(chain.block_number(), count);
        assert_eq!(balance(chain, NOBODY).await, u128::from(count) * UNIT);
    }
}
