//! Blocks that one endpoint has told, in their order, until a second one has said the same of each (R6.9a).

use crate::chain::{Block, ChainError, SharedChain};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// How many blocks a second endpoint is asked about at once.
const AT_ONCE: usize = 16;
/// How long the first of them may take while more blocks are there: less than from one block to the next, so that whoever takes as long for each
/// holds nobody up for good.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before a second endpoint is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A block, and whether a second endpoint has the same.
type Judged = (Block, Result<(), ChainError>);

/// Blocks that are not confirmed.
pub(super) struct Unconfirmed {
    chain: SharedChain,
    asked: FuturesOrdered<BoxFuture<'static, Judged>>,
    /// Since when the first of them is waited for.
    since: Instant,
    /// Nobody has confirmed the first of them.
    in_doubt: bool,
    /// There were more blocks than can be asked about: they are to be read once more.
    passed_over: bool,
}

impl Unconfirmed {
    pub(super) fn new(chain: SharedChain) -> Self {
        Self { chain, asked: FuturesOrdered::new(), since: Instant::now(), in_doubt: false, passed_over: false }
    }

    /// Asks a second endpoint about a block. Where too many wait, the block is passed over.
    pub(super) fn ask(&mut self, block: Block) {
        if self.asked.is_empty() {
            self.since = Instant::now();
        }
        if self.passed_over || self.asked.len() >= AT_ONCE {
            self.passed_over = true;
            return;
        }
        let chain = Arc::clone(&self.chain);
        self.asked.push_back(async move { judged(&chain, block).await }.boxed());
    }

    /// Asks once more about the first block, which nobody has confirmed.
    pub(super) fn ask_again(&mut self, block: Block) {
        self.in_doubt = true;
        let chain = Arc::clone(&self.chain);
        let later = async move {
            sleep(AGAIN).await;
            judged(&chain, block).await
        };
        self.asked.push_front(later.boxed());
    }

    /// What comes of asking about the first block. None once it has taken too long, and where there is none.
    pub(super) async fn next(&mut self) -> Option<Judged> {
        if self.in_doubt {
            return self.heard().await;
        }
        let until = self.since.checked_add(PATIENCE).unwrap_or(self.since);
        tokio::select! {
            biased;
            judged = self.asked.next() => self.note(judged),
            () = sleep_until(until) => {
                self.in_doubt = true;
                None
            }
        }
    }

    async fn heard(&mut self) -> Option<Judged> {
        let judged = self.asked.next().await;
        self.note(judged)
    }

    /// The same, where it is known already.
    pub(super) fn known(&mut self) -> Option<Judged> {
        let judged = self.asked.next().now_or_never().flatten();
        self.note(judged)
    }

    fn note(&mut self, judged: Option<Judged>) -> Option<Judged> {
        if let Some((_, Ok(()))) = &judged {
            (self.since, self.in_doubt) = (Instant::now(), false);
        }
        judged
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether nobody has confirmed the first block within a moment.
    pub(super) const fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether more blocks are to be read. In doubt all of them are, for what needs an answer; otherwise only so many as can be asked about.
    pub(super) fn takes_more(&self) -> bool {
        self.in_doubt || self.asked.len() < AT_ONCE
    }

    /// Whether all blocks are told but those that were passed over.
    pub(super) fn is_over(&self) -> bool {
        self.passed_over && self.asked.is_empty()
    }
}

async fn judged(chain: &SharedChain, block: Block) -> Judged {
    let verdict = chain.confirm(&block).await;
    (block, verdict)
}
