//! A chain that is seen worse than it is: it does not tell the code of contracts, its answers come late, or it refuses what it will allow.

use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash, Rejection};
use scale::Encode;
use sdk::chain::{Block, BlockRef, Chain, ChainError, DryRun, Health, Receipt, SharedChain, Signer, Transaction};
use std::sync::Mutex;
use tokio::sync::watch;

/// Another chain, impaired.
pub struct Impaired {
    chain: SharedChain,
    tells_code: bool,
    holds: watch::Sender<bool>,
    holds_blocks: watch::Sender<bool>,
    /// What the next call that is tried is answered with.
    refusal: Mutex<Option<Rejection>>,
}

impl Impaired {
    /// Tells no code: what is left is to ask the peer.
    #[must_use]
    pub fn without_code(chain: SharedChain) -> Self {
        Self { tells_code: false, ..Self::with_late_answers(chain) }
    }

    /// Holds back the answers to transactions, while it is [told to](Self::hold): what one has done is in a block, and told, before whoever
    /// sent it hears that it is.
    #[must_use]
    pub fn with_late_answers(chain: SharedChain) -> Self {
        let (holds, holds_blocks) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { chain, tells_code: true, holds, holds_blocks, refusal: Mutex::default() }
    }

    /// Has the arbiter refuse the next call that is tried, for a reason that has passed when that is tried again. This answer can be
    /// [held back](Self::hold) too.
    pub fn refuse_once(&self, rejection: Rejection) {
        let _was = self.refusal.lock().unwrap().replace(rejection);
    }

    /// Waits while answers are held back.
    async fn released(&self) {
        let_go(&self.holds).await;
    }

    /// Begins to tell of no block from now on, or tells of all that there are.
    pub fn hold_blocks(&self, holds: bool) {
        let _was = self.holds_blocks.send_replace(holds);
    }

    /// Holds answers back from now on, or lets them go.
    pub fn hold(&self, holds: bool) {
        let _was = self.holds.send_replace(holds);
    }
}

async fn let_go(holds: &watch::Sender<bool>) {
    // The sender is here as long as we are.
    drop(holds.subscribe().wait_for(|holds| !holds).await);
}

#[async_trait]
impl Chain for Impaired {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.chain.genesis().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.chain.finalised_head().await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.chain.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.chain.code_hash(contract).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        if self.tells_code { self.chain.code(hash).await } else { Err(ChainError::Unreachable("no code here".into())) }
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        let tried = self.chain.dry_run(origin, transaction).await;
        // Reads are asked by the contract itself.
        let is_read = matches!(transaction, Transaction::Call { contract, .. } if contract == origin);
        let refusal = if is_read { None } else { self.refusal.lock().unwrap().take() };
        let Some(rejection) = refusal else { return tried };
        self.released().await;
        let answer: Result<Result<(), Rejection>, ()> = Ok(Err(rejection));
        Ok(DryRun { returned: answer.encode(), reverted: true, ..tried? })
    }

    async fn submit(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
    ) -> Result<Receipt, ChainError> {
        let done = self.chain.submit(signer, transaction, dry_run).await;
        self.released().await;
        done
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        let_go(&self.holds_blocks).await;
        self.chain.finalised_blocks(from).await
    }

    fn health(&self) -> Health {
        self.chain.health()
    }

    fn dry_runs_in_next_block(&self) -> bool {
        self.chain.dry_runs_in_next_block()
    }
}
