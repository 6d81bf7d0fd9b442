//! Where every coin is: a chain that notes what transactions cost, and a look at everybody's coins.

use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash};
use sdk::chain::{Arbiter, Block, BlockRef, Chain, ChainError, DryRun, Receipt, SharedChain, Signer, Transaction};
use std::{collections::BTreeMap, sync::Mutex};

/// What a transaction that is in a block cost its signer, apart from coins it moved.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who paid.
    pub signer: AccountId,
    /// Burned.
    pub fee: Amount,
    /// Taken for storage, or given back.
    pub storage_deposit: i128,
    /// The arbiter's message or constructor, by its selector; empty for a transfer.
    pub selector: Vec<u8>,
}

/// Passes everything on to a chain, and remembers what transactions cost.
pub struct RecordingChain {
    inner: SharedChain,
    entries: Mutex<Vec<Entry>>,
}

impl RecordingChain {
    pub(crate) const fn new(inner: SharedChain) -> Self {
        Self { inner, entries: Mutex::new(Vec::new()) }
    }

    /// Every transaction that is in a block, failed ones too.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// How often a message of the arbiter was in a block.
    #[must_use]
    pub fn count(&self, message: &str) -> usize {
        let selector = sdk::chain::arbiter::selector(message);
        self.entries().iter().filter(|entry| entry.selector == selector).count()
    }
}

impl std::fmt::Debug for RecordingChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingChain").field("entries", &self.entries).finish_non_exhaustive()
    }
}

#[async_trait]
impl Chain for RecordingChain {
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
        let selector = match &transaction {
            Transaction::Call { data, .. } | Transaction::Instantiate { data, .. } => {
                data.iter().take(4).copied().collect()
            }
            Transaction::Transfer { .. } => Vec::new(),
        };
        let done = self.inner.submit(signer, transaction, dry_run).await;
        let (fee, storage_deposit) = match &done {
            Ok(Receipt { fee, storage_deposit, .. }) => (*fee, *storage_deposit),
            Err(ChainError::FailedInBlock { fee, .. }) => (*fee, 0),
            Err(_not_in_a_block) => return done,
        };
        self.entries.lock().unwrap().push(Entry { signer: signer.account(), fee, storage_deposit, selector });
        done
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.inner.finalised_blocks(from).await
    }
}

/// Everybody's coins at one moment.
#[derive(Clone, Debug)]
pub struct Coins {
    issued: Amount,
    /// Account and vault together.
    owned: BTreeMap<AccountId, Amount>,
    /// How many transactions had been made.
    transactions: usize,
}

impl Coins {
    pub(crate) async fn count(
        chain: &devchain::DevChain,
        recorder: &RecordingChain,
        arbiter: &Arbiter,
        accounts: impl IntoIterator<Item = AccountId>,
    ) -> Self {
        let mut owned = BTreeMap::new();
        for account in accounts {
            let free = chain.free_balance(&account).await.unwrap();
            let _new = owned.insert(account, free + arbiter.vault_balance(account).await.unwrap());
        }
        let issued = chain.total_issuance().await.unwrap();
        Self { issued, owned, transactions: recorder.entries().len() }
    }

    /// Checks that since `before` each account has gained what `gains` says (nothing where it says nothing), fees and storage deposits apart,
    /// and that no coin has come or gone but the fees.
    ///
    /// # Panics
    /// Where a coin is missing, or is there that should not be.
    pub fn check(&self, before: &Self, recorder: &RecordingChain, gains: &[(AccountId, i128)]) {
        let entries = recorder.entries();
        let entries = &entries[before.transactions..self.transactions];
        let burned: Amount = entries.iter().map(|entry| entry.fee).sum();
        assert_eq!(before.issued - burned, self.issued, "fees are burned, and nothing else is");
        for (account, had) in &before.owned {
            let own = entries.iter().filter(|entry| entry.signer == *account);
            let costs: i128 = own.map(|entry| i128::try_from(entry.fee).unwrap() + entry.storage_deposit).sum();
            let gained: i128 = gains.iter().filter(|(who, _)| who == account).map(|(_, amount)| amount).sum();
            let expected = i128::try_from(*had).unwrap() - costs + gained;
            assert_eq!(i128::try_from(self.owned[account]).unwrap(), expected, "the coins of {account}");
        }
    }
}
