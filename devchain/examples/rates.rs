//! How fast the embedded chain is on this machine: `cargo run -p ink-state-channels-devchain --example rates`.

use chain::{Chain, ChainError, Transaction};
use devchain::{DevAccount, DevChain};
use futures::future::join_all;
use std::time::Instant;

const CHAINS: u32 = 20;
const EMPTY_BLOCKS: u32 = 5_000;
const TRANSFERS_EACH: u32 = 200;

#[tokio::main]
async fn main() -> Result<(), ChainError> {
    let start = Instant::now();
    for _ in 0..CHAINS {
        drop(DevChain::new()?);
    }
    println!("DevChain::new        {:>8.1} ms", start.elapsed().as_secs_f64() * 1e3 / f64::from(CHAINS));

    let chain = DevChain::new()?;
    let start = Instant::now();
    let _head = chain.produce_blocks(EMPTY_BLOCKS).await?;
    println!("empty blocks         {:>8.0} per second", f64::from(EMPTY_BLOCKS) / start.elapsed().as_secs_f64());

    let start = Instant::now();
    drop(chain.fork().await?);
    println!("fork                 {:>8.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let start = Instant::now();
    for _ in 0..TRANSFERS_EACH {
        transfer(&chain, DevAccount::Alice).await?;
    }
    let rate = f64::from(TRANSFERS_EACH) / start.elapsed().as_secs_f64();
    println!("transfers, one sender after another   {rate:>8.0} per second");

    let start = Instant::now();
    let before = chain.block_number();
    let senders = DevAccount::ALL.into_iter().cycle().take(120).map(|sender| {
        let chain = chain.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                transfer(&chain, sender).await?;
            }
            Ok::<_, ChainError>(())
        })
    });
    for done in join_all(senders.collect::<Vec<_>>()).await {
        done.map_err(|error| ChainError::Unreachable(error.to_string()))??;
    }
    let rate = 2_400.0 / start.elapsed().as_secs_f64();
    let blocks = chain.block_number().saturating_sub(before);
    println!("transfers, 120 submissions at a time  {rate:>8.0} per second, {blocks} blocks for 2400");
    Ok(())
}

async fn transfer(chain: &DevChain, sender: DevAccount) -> Result<(), ChainError> {
    let transfer = Transaction::Transfer { to: DevAccount::Bob.id(), amount: 1_000_000_000 };
    let dry_run = chain.dry_run(&sender.id(), &transfer).await?;
    chain.submit(&sender.signer(), transfer, &dry_run).await.map(drop)
}
