//! Finalised blocks, each once and in order: first those that exist, then those that come.

use super::{RemoteChain, endpoints::DIAL_AGAIN, node::FinalBlock};
use crate::{Block, ChainError};
use futures::{
    StreamExt,
    future::try_join_all,
    stream::{self, BoxStream},
};
use protocol::{BlockNumber, Hash};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;

/// How many blocks are asked for at once when catching up.
const AT_ONCE: u32 = 16;
/// How often in a row blocks are asked for in vain before another endpoint is asked: one may tell of a head, and have no blocks.
const TRIES: u32 = 3;

struct Position {
    chain: RemoteChain,
    head: watch::Receiver<crate::BlockRef>,
    next: BlockNumber,
    /// The hash of the block before, once one was told.
    parent: Option<Hash>,
    /// Read, and not told yet.
    ready: VecDeque<Arc<FinalBlock>>,
    /// How often in a row blocks were asked for in vain.
    tries: u32,
}

/// Every block from `from` on. Lost connections are nobody's business but the client's; what it cannot mend ends the stream with an error.
pub(super) fn follow(chain: RemoteChain, from: BlockNumber) -> BoxStream<'static, Result<Block, ChainError>> {
    let head = chain.node.head.subscribe();
    let position = Position { chain, head, next: from, parent: None, ready: VecDeque::new(), tries: 0 };
    stream::unfold(Some(position), |position| async {
        let mut position = position?;
        match position.advance().await {
            Ok(block) => Some((Ok(block), Some(position))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Position {
    async fn advance(&mut self) -> Result<Block, ChainError> {
        loop {
            if let Some(block) = self.ready.pop_front() {
                return self.tell(&block);
            }
            let newest = self.head.borrow_and_update().number;
            if newest < self.next {
                // The sender lives as long as `chain`.
                let _changed = self.head.changed().await;
                continue;
            }
            let last = newest.min(self.next.saturating_add(AT_ONCE).saturating_sub(1));
            let blocks = (self.next..=last).map(|number| self.chain.node.block(number));
            match try_join_all(blocks).await {
                Ok(blocks) => {
                    self.tries = 0;
                    self.ready.extend(blocks);
                }
                Err(ChainError::Unreachable(cause)) => {
                    tracing::warn!(cause, next = self.next, "blocks could not be read: asking again");
                    self.tries = self.tries.wrapping_add(1);
                    if self.tries.is_multiple_of(TRIES) {
                        self.chain.node.endpoints.leave(&cause).await;
                    }
                    tokio::time::sleep(DIAL_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn tell(&mut self, block: &FinalBlock) -> Result<Block, ChainError> {
        let at = block.at;
        if let Some(expected) = self.parent.replace(at.hash).filter(|expected| *expected != block.parent) {
            // Two endpoints, or one before and after a restart, told two histories.
            return Err(ChainError::WrongChain {
                url: "the endpoint".into(),
                block: at.number.saturating_sub(1),
                expected,
                found: block.parent,
            });
        }
        self.next = at.number.saturating_add(1);
        Ok(Block { at, events: block.events.of_contracts() })
    }
}
