//! Reads what the registry has of locks, in the state after final blocks that count (R8.31). What cannot be read, or is not confirmed where there are
//! several endpoints, is no fact: it is read again with the next head.

use super::Shared;
use crate::chain::{Arbiter, BlockRef, CallError, ChainError};
use futures::{StreamExt, stream};
use protocol::{BlockNumber, contracts::conditional::HashLock};

/// How many locks are read in one go.
const MOST: usize = 256;
/// How many of them at once.
const AT_ONCE: usize = 16;
/// In how many blocks pre-images are looked for in one go.
const MOST_BLOCKS: usize = 16;

/// Reads until it is dropped.
pub(super) async fn run(shared: &Shared, arbiter: &Arbiter) {
    let mut changed = shared.work.subscribe();
    loop {
        let _seen = *changed.borrow_and_update();
        // Before a block was told, one that is final for two endpoints does as well.
        let told = shared.state().heads.told();
        let at = match told {
            Some(at) => Ok(at),
            None => arbiter.finalised_head().await,
        };
        match at {
            Ok(at) => look(shared, arbiter, at).await,
            Err(error) => tracing::debug!(%error, "no block to read the registry at"),
        }
        // The sender is here as long as we are.
        let _changed = changed.changed().await;
    }
}

/// Reads what is due with this head, and was not tried with it.
async fn look(shared: &Shared, arbiter: &Arbiter, at: BlockRef) {
    let due = shared.state().facts.take_due(at.number, MOST);
    if !due.is_empty()
        && let Err(error) = read(shared, arbiter, at, due).await
    {
        tracing::warn!(%error, block = at.number, "the registry cannot be read at this block: with the next one again");
        shared.wake();
    }
    let missing = shared.state().facts.take_missing(at.number, MOST_BLOCKS);
    for block in missing {
        if let Err(error) = find(shared, arbiter, block).await {
            tracing::warn!(%error, block, "the pre-images shown in a block cannot be read: with the next one again");
        }
    }
}

async fn read(shared: &Shared, arbiter: &Arbiter, at: BlockRef, due: Vec<HashLock>) -> Result<(), ChainError> {
    arbiter.chain().confirm_final(at).await?;
    let mut reads = Vec::with_capacity(due.len());
    for lock in due {
        reads.push(async move { (lock, arbiter.confirmed_shown_at(lock, at).await) });
    }
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    while let Some((lock, answer)) = reads.next().await {
        match answer {
            Ok(shown) => shared.state().facts.read(&lock, at.number, shown),
            // What one lock meets, the others meet as well, and each would be waited for.
            Err(CallError::Chain(error)) => return Err(error),
            Err(error) => tracing::error!(?lock, %error, "the registry's answer makes no sense"),
        }
    }
    shared.review();
    Ok(())
}

/// Looks for pre-images where they were shown. Whoever tells the block cannot make them up.
async fn find(shared: &Shared, arbiter: &Arbiter, block: BlockNumber) -> Result<(), ChainError> {
    let mut blocks = arbiter.chain().finalised_blocks(block).await?;
    let ended = || ChainError::Unreachable("the stream of blocks ended".into());
    let block = blocks.next().await.ok_or_else(ended)??;
    shared.hear(block.events.iter().filter_map(|event| arbiter.preimage(event)));
    Ok(())
}
