//! A chain that does not tell the code of contracts: what is left is to ask the peer.

use async_trait::async_trait;
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash};
use sdk::chain::{Block, BlockRef, Chain, ChainError, DryRun, Receipt, SharedChain, Signer, Transaction};

/// Everything of another chain but code.
pub struct Blind(pub SharedChain);

#[async_trait]
impl Chain for Blind {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.0.genesis().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.0.finalised_head().await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.0.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.0.code_hash(contract).await
    }

    async fn code(&self, _hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        Err(ChainError::Unreachable("no code here".into()))
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        self.0.dry_run(origin, transaction).await
    }

    async fn submit(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
    ) -> Result<Receipt, ChainError> {
        self.0.submit(signer, transaction, dry_run).await
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.0.finalised_blocks(from).await
    }
}
