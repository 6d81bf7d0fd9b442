//! Every block so far, and the stream of those to come.

use crate::errors;
use chain::{Block, BlockRef, ChainError};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use protocol::BlockNumber;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// The finalised blocks, by number. It only grows: number, hash and contract events of each.
#[derive(Default)]
pub(crate) struct History {
    blocks: RwLock<Vec<Arc<Block>>>,
}

impl History {
    /// A history that starts with `genesis`.
    pub(crate) fn new(genesis: BlockRef) -> Self {
        Self { blocks: RwLock::new(vec![Arc::new(Block { at: genesis, events: Vec::new() })]) }
    }

    /// A copy that goes its own way.
    pub(crate) fn fork(&self) -> Self {
        Self { blocks: RwLock::new(self.blocks.read().unwrap_or_else(PoisonError::into_inner).clone()) }
    }

    pub(crate) fn push(&self, block: Block) {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(block));
    }

    pub(crate) fn block(&self, number: BlockNumber) -> Option<Arc<Block>> {
        let index = usize::try_from(number).ok()?;
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }
}

/// Every block from `from` on, each once and in order. The consumer may be as slow as it likes: it reads from the history,
/// and `head` only wakes it. When the chain stops, the stream says so once and ends.
pub(crate) fn follow(
    history: Arc<History>,
    head: watch::Receiver<BlockRef>,
    from: BlockNumber,
) -> BoxStream<'static, Result<Block, ChainError>> {
    stream::unfold(Some((history, head, from)), |position| async move {
        let (history, mut head, number) = position?;
        loop {
            // Whether the chain still runs is asked before the history, so that its last block is not missed.
            let running = head.has_changed().is_ok();
            if let Some(block) = history.block(number) {
                let next = number.checked_add(1).map(|next| (history, head, next));
                return Some((Ok(Block::clone(&block)), next));
            }
            if !running {
                return Some((Err(errors::stopped()), None));
            }
            // An error means that it has just stopped: look once more.
            drop(head.changed().await);
        }
    })
    .boxed()
}
