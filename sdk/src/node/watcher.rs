//! Follows the finalised chain and tells every peer's task (R6.8, R6.9): blocks missed while down come first.

use super::{Peers, peer::PeerInput};
use crate::{
    chain::{Arbiter, BlockRef, ChainError, arbiter::ArbiterEvent},
    store::{Batch, StoreHandle, Table},
};
use futures::StreamExt;
use protocol::BlockNumber;
use scale::Encode;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Where the store keeps the number of the next block to look at.
pub(super) const NEXT_BLOCK: &[u8] = b"next-block";
/// How many blocks without anything for us may be looked at again after a crash: saves a durable write for each of them.
const SAVE_EVERY: BlockNumber = 64;
/// How long to wait before asking a chain again that could not be reached.
const RETRY: Duration = Duration::from_secs(3);

/// A finalised block with what the arbiter announced in it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) at: BlockRef,
    pub(super) events: Vec<ArbiterEvent>,
    /// Held until everything that came of the block is committed.
    _held: mpsc::Sender<Infallible>,
}

/// Follows the chain from block `next` on until the node is gone.
pub(super) async fn watch(
    arbiter: Arc<Arbiter>,
    store: Option<StoreHandle>,
    peers: std::sync::Weak<Peers>,
    mut next: BlockNumber,
) {
    while peers.strong_count() > 0 {
        if let Err(error) = follow(&arbiter, store.as_ref(), &peers, &mut next).await {
            tracing::warn!(%error, next, "the chain was lost: asking again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow(
    arbiter: &Arbiter,
    store: Option<&StoreHandle>,
    peers: &std::sync::Weak<Peers>,
    next: &mut BlockNumber,
) -> Result<(), ChainError> {
    let mut blocks = arbiter.chain().finalised_blocks(*next).await?;
    while let Some(block) = blocks.next().await {
        let block = block?;
        let events: Vec<_> = block.events.iter().filter_map(|event| arbiter.event(event)).collect();
        let at = block.at;
        let Some(peers) = peers.upgrade() else { return Ok(()) };
        let save = !events.is_empty() || at.number % SAVE_EVERY == 0;
        let (held, mut let_go) = mpsc::channel(1);
        let block = Arc::new(Watched { at, events, _held: held });
        peers.set_head(at.number);
        for inbox in peers.all() {
            let _stopped = inbox.send(PeerInput::Block(Arc::clone(&block))).await;
        }
        drop((peers, block));
        *next = at.number.saturating_add(1);
        if let (Some(store), true) = (store, save) {
            let _none = let_go.recv().await;
            let batch = Batch::default().put(Table::Meta, NEXT_BLOCK, next.encode());
            if let Err(error) = store.commit(batch).await {
                tracing::error!(%error, "could not note the last block");
            }
        }
    }
    Err(ChainError::Unreachable("the stream of blocks ended".into()))
}
