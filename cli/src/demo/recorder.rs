//! A chain that notes what every transaction through it cost.

use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash, call::Call};
use sdk::chain::{Block, BlockRef, Chain, ChainError, DryRun, Receipt, SharedChain, Signer, Transaction, arbiter};
use std::sync::{Mutex, PoisonError};

/// One transaction that went through.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) what: &'static str,
    pub(super) signer: AccountId,
    pub(super) fee: Amount,
    /// None where it failed in its block: somebody else was faster, say.
    pub(super) receipt: Option<Receipt>,
}

impl Entry {
    /// The storage deposit taken from its signer, or given back.
    pub(super) fn deposit(&self) -> i128 {
        self.receipt.as_ref().map_or(0, |receipt| receipt.storage_deposit)
    }
}

/// Passes everything on, and remembers.
pub(super) struct Recorder {
    inner: SharedChain,
    entries: Mutex<Vec<Entry>>,
}

impl Recorder {
    pub(super) const fn new(inner: SharedChain) -> Self {
        Self { inner, entries: Mutex::new(Vec::new()) }
    }

    /// Everything so far, in the order in which it became final.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Chain for Recorder {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.inner.genesis().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.inner.finalised_head().await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.inner.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.inner.code_hash(contract).await
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        self.inner.dry_run(origin, transaction).await
    }

    async fn submit(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
    ) -> Result<Receipt, ChainError> {
        let what = name(&transaction);
        let done = self.inner.submit(signer, transaction, dry_run).await;
        let (fee, receipt) = match &done {
            Ok(receipt) => (receipt.fee, Some(receipt.clone())),
            Err(ChainError::FailedInBlock { fee, .. }) => (*fee, None),
            Err(_not_included) => return done,
        };
        let entry = Entry { what, signer: signer.account(), fee, receipt };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        done
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.inner.finalised_blocks(from).await
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
