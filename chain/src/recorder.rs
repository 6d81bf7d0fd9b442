//! A chain that notes what every transaction through it cost: for whoever has to account for fees and deposits.

use super::{
    AddressFormat, BestBlock, Block, BlockRef, Chain, ChainError, DryRun, Health, Receipt, SharedChain, Signer,
    Transaction, Urgency, Weight, arbiter, counting::Counted,
};
use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash, call::Call};

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// One transaction that is in a block, and what it cost its signer apart from coins it moved.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// The arbiter's message, or what else it was.
    pub what: &'static str,
    /// Who paid.
    pub signer: AccountId,
    /// What was paid for inclusion.
    pub fee: Amount,
    /// None where it failed in its block: somebody else was faster, say.
    pub receipt: Option<Receipt>,
}

impl RecordedCall {
    /// The storage deposit taken from its signer, or given back where negative.
    #[must_use]
    pub fn deposit(&self) -> i128 {
        self.receipt.as_ref().map_or(0, |receipt| receipt.storage_deposit)
    }
}

/// Passes everything on, and remembers.
pub struct Recorder {
    inner: SharedChain,
    entries: Mutex<Vec<RecordedCall>>,
    /// How many submissions are under way, their dry runs included.
    under_way: watch::Sender<usize>,
}

impl Recorder {
    /// Passes everything on to `inner`.
    #[must_use]
    pub fn new(inner: SharedChain) -> Self {
        Self { inner, entries: Mutex::default(), under_way: watch::Sender::new(0) }
    }

    /// Waits until no submission is under way. A channel may tell of a transaction's event before whoever sent it has its receipt, and
    /// before its entry is here.
    pub async fn quiet(&self) {
        let mut under_way = self.under_way.subscribe();
        // The sender is here as long as we are.
        let _none = under_way.wait_for(|count| *count == 0).await;
    }

    /// How often a message of the arbiter was in a block, once no submission is under way.
    pub async fn count(&self, message: &str) -> usize {
        self.quiet().await;
        self.entries().iter().filter(|entry| entry.what == message).count()
    }

    /// Everything so far, failed transactions too, in the order in which it became final.
    #[must_use]
    pub fn entries(&self) -> Vec<RecordedCall> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("entries", &self.entries).finish_non_exhaustive()
    }
}

#[async_trait]
impl Chain for Recorder {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.inner.genesis().await
    }

    async fn address_format(&self) -> Result<AddressFormat, ChainError> {
        self.inner.address_format().await
    }

    async fn largest_amount(&self) -> Result<Amount, ChainError> {
        self.inner.largest_amount().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.inner.finalised_head().await
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        self.inner.block_hash(number).await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.inner.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.inner.code_hash(contract).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        self.inner.code(hash).await
    }

    async fn transaction_limit(&self) -> Result<Option<Weight>, ChainError> {
        self.inner.transaction_limit().await
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        // Most dry runs come right before a submission.
        let _under_way = Counted::new(&self.under_way);
        self.inner.dry_run(origin, transaction).await
    }

    async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError> {
        self.inner.fee(transaction, required).await
    }

    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
        urgency: Urgency,
    ) -> Result<Receipt, ChainError> {
        let what = name(&transaction);
        let _under_way = Counted::new(&self.under_way);
        let done = self.inner.submit_urgently(signer, transaction, dry_run, urgency).await;
        let (fee, receipt) = match &done {
            Ok(receipt) => (receipt.fee, Some(receipt.clone())),
            Err(ChainError::FailedInBlock { fee, .. }) => (*fee, None),
            Err(_not_included) => return done,
        };
        let entry = RecordedCall { what, signer: signer.account(), fee, receipt };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        done
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.inner.finalised_blocks(from).await
    }

    async fn best_blocks(&self) -> Result<BoxStream<'static, BestBlock>, ChainError> {
        self.inner.best_blocks().await
    }

    async fn least_block_time(&self) -> Result<Option<Duration>, ChainError> {
        self.inner.least_block_time().await
    }

    async fn block_time(&self) -> Result<Option<Duration>, ChainError> {
        self.inner.block_time().await
    }

    async fn confirm(&self, block: &Block) -> Result<(), ChainError> {
        self.inner.confirm(block).await
    }

    async fn confirm_at(&self, at: BlockRef) -> Result<(), ChainError> {
        self.inner.confirm_at(at).await
    }

    async fn confirm_final(&self, at: BlockRef) -> Result<(), ChainError> {
        self.inner.confirm_final(at).await
    }

    async fn leave_endpoint(&self, why: &ChainError) {
        self.inner.leave_endpoint(why).await;
    }

    async fn confirmed_read(&self, contract: &AccountId, data: Vec<u8>, at: BlockRef) -> Result<Vec<u8>, ChainError> {
        self.inner.confirmed_read(contract, data, at).await
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn dry_runs_in_next_block(&self) -> bool {
        self.inner.dry_runs_in_next_block()
    }
}

fn name(transaction: &Transaction) -> &'static str {
    match transaction {
        Transaction::Instantiate { .. } => "upload and instantiate",
        Transaction::Transfer { .. } => "transfer",
        Transaction::Call { data, .. } => {
            let is = |name: &&&str| data.starts_with(&arbiter::selector(name));
            Call::NAMES.iter().find(is).copied().unwrap_or("call")
        }
    }
}
