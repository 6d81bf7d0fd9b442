//! A chain over a socket: any node of it will do, and several for fail-over. Nothing that a node says is trusted further than its finality.
//!
//! ```text
//!   RemoteChain --- reads, dry runs ------------------.
//!        |--------- submit: nonce, sign, send, wait --+--> endpoints: the first that is up and serves the
//!        |--------- finalised_blocks: catch up, go on-+    right chain; a lost one gives way to the next
//!        |                                            |
//!        '- tasks:  finalised heads, health ----------+
//!                   sent transactions in final blocks-'
//! ```
//!
//! A transaction's fate is decided by the final blocks alone: it is in one, or its era is over. What nodes tell about their pools only makes
//! that faster. So a broken socket, a node that restarts and an endpoint that forgets cost time and nothing else.
//!
//! What calls, events and errors look like comes from the node's metadata when it is needed; nothing is generated or kept.

mod balance;
mod best;
mod blocks;
mod confirm;
mod dispatch;
mod dry_run;
mod endless;
mod endpoints;
mod era;
mod events;
mod extensions;
mod extrinsic;
mod follow;
#[doc(hidden)]
pub mod for_test_only;
mod link;
mod node;
mod nonces;
mod refusal;
mod runtime;
mod settings;
mod submit;
mod tracker;
mod wire;

pub use settings::Settings;

use super::{
    AddressFormat, BestBlock, Block, BlockRef, Chain, ChainError, DryRun, Health, Receipt, Signer, Transaction,
    Urgency, Weight,
};
use async_trait::async_trait;
use futures::stream::BoxStream;
use node::Node;
use protocol::{AccountId, Amount, BlockNumber, Hash};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// A chain that is reached through nodes. Clones share everything; the connection ends with the last one.
#[derive(Clone)]
pub struct RemoteChain {
    node: Arc<Node>,
    _tasks: Arc<Tasks>,
}

struct Tasks([JoinHandle<()>; 3]);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl RemoteChain {
    /// Connects to the first endpoint that is up and serves the right chain.
    ///
    /// # Errors
    /// [`ChainError::BadUrl`], [`ChainError::WrongChain`], [`ChainError::Unreachable`].
    pub async fn connect(settings: Settings) -> Result<Self, ChainError> {
        let node = Arc::new(Node::connect(settings).await?);
        let tasks = [
            tokio::spawn(follow::heads(Arc::downgrade(&node))),
            tokio::spawn(follow::transactions(Arc::downgrade(&node))),
            tokio::spawn(follow::laggards(Arc::downgrade(&node))),
        ];
        Ok(Self { node, _tasks: Arc::new(Tasks(tasks)) })
    }

    /// How well the chain is seen, as it changes.
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.node.health.subscribe()
    }

    /// Waits until block `number` is final; answers which final block is the newest then.
    pub async fn reached(&self, number: BlockNumber) -> BlockRef {
        let mut head = self.node.head.subscribe();
        loop {
            let newest = *head.borrow_and_update();
            if newest.number >= number {
                return newest;
            }
            // The sender is here as long as we are.
            let _changed = head.changed().await;
        }
    }
}

impl fmt::Debug for RemoteChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteChain")
            .field("genesis", &self.node.genesis)
            .field("head", &self.node.head())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Chain for RemoteChain {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        Ok(self.node.genesis)
    }

    async fn address_format(&self) -> Result<AddressFormat, ChainError> {
        self.node.runtime(self.node.head()).await?.address_format()
    }

    async fn largest_amount(&self) -> Result<Amount, ChainError> {
        Ok(self.node.runtime(self.node.head()).await?.balances.most())
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        Ok(self.node.head())
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        self.node.final_hash(number).await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.node.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.node.code_hash(contract).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        self.node.code(hash).await
    }

    async fn transaction_limit(&self) -> Result<Option<Weight>, ChainError> {
        self.node.runtime(self.node.head()).await?.transaction_limit()
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        self.node.written(self.node.dry_run(origin, transaction, self.node.head()).await)
    }

    async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError> {
        self.node.fee(transaction, required).await
    }

    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
        urgency: Urgency,
    ) -> Result<Receipt, ChainError> {
        self.node.written(submit::submit(&self.node, signer, transaction, dry_run, urgency).await)
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        Ok(blocks::follow(self.clone(), from))
    }

    async fn best_blocks(&self) -> Result<BoxStream<'static, BestBlock>, ChainError> {
        Ok(best::follow(self.clone()))
    }

    /// None as well where the settings say that blocks are made on demand.
    async fn least_block_time(&self) -> Result<Option<Duration>, ChainError> {
        if self.node.settings.stalled_after.is_none() {
            return Ok(None);
        }
        Ok(self.node.runtime(self.node.head()).await?.least_block_time())
    }

    /// None as well where the settings say that blocks are made on demand.
    async fn block_time(&self) -> Result<Option<Duration>, ChainError> {
        if self.node.settings.stalled_after.is_none() {
            return Ok(None);
        }
        Ok(self.node.runtime(self.node.head()).await?.block_time())
    }

    async fn confirm(&self, block: &Block) -> Result<(), ChainError> {
        self.node.confirm(block).await
    }

    async fn confirm_at(&self, at: BlockRef) -> Result<(), ChainError> {
        self.node.confirm_at(at).await
    }

    async fn confirm_final(&self, at: BlockRef) -> Result<(), ChainError> {
        self.node.confirm_final(at).await
    }

    async fn leave_endpoint(&self, why: &ChainError) {
        self.node.endpoints.leave(&why.to_string()).await;
    }

    async fn confirmed_read(&self, contract: &AccountId, data: Vec<u8>, at: BlockRef) -> Result<Vec<u8>, ChainError> {
        self.node.written(self.node.confirmed_read(contract, data, at).await)
    }

    fn health(&self) -> Health {
        self.node.health.borrow().clone()
    }

    /// A node executes dry runs on the state that a block has left, with that block's number.
    fn dry_runs_in_next_block(&self) -> bool {
        false
    }
}
