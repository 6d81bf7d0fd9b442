//! Listens for the newest blocks, whoever shows them (R8.30).

use super::Shared;
use crate::chain::{BestBlock, SharedChain, arbiter::PreimageShown};
use futures::{StreamExt, stream::BoxStream};
use protocol::decode_exact;
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep};

/// How long to wait before a chain is asked again that shows nothing more.
const AGAIN: Duration = Duration::from_secs(3);

/// Listens until it is dropped.
pub(super) async fn newest(shared: &Shared, chain: &SharedChain) {
    let mut asks_time = true;
    loop {
        if asks_time && let Ok(least) = chain.least_block_time().await {
            shared.state().heads.set_least(least);
            asks_time = false;
        }
        match chain.best_blocks().await {
            Ok(blocks) => listen(shared, blocks).await,
            Err(error) => tracing::debug!(%error, "nobody shows the newest blocks: asking again"),
        }
        tick(shared, AGAIN).await;
    }
}

async fn listen(shared: &Shared, mut blocks: BoxStream<'static, BestBlock>) {
    loop {
        let least = shared.state().heads.least();
        tokio::select! {
            block = blocks.next() => match block {
                Some(block) => on_block(shared, block),
                None => return,
            },
            // By the clock there is another block now.
            () = passed(least) => shared.review(),
        }
    }
}

/// Waits for so long, and has others look again at each block that there may be meanwhile.
async fn tick(shared: &Shared, long: Duration) {
    let (least, over) = (shared.state().heads.least(), sleep(long));
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            () = passed(least) => shared.review(),
        }
    }
}

async fn passed(least: Option<Duration>) {
    match least {
        Some(least) => sleep(least).await,
        None => pending().await,
    }
}

fn on_block(shared: &Shared, BestBlock { number, events }: BestBlock) {
    shared.state().heads.show(number, Instant::now());
    // Whoever announced them: pre-images prove themselves.
    shared.hear(events.iter().filter_map(|event| decode_exact::<PreimageShown>(&event.data).ok()));
    shared.review();
}
