//! What the SDK needs of a chain.

use crate::{
    DevChain, coins, errors, extrinsic, history, inspect,
    pool::{Pending, Verdict},
};
use async_trait::async_trait;
use chain::{Block, BlockRef, Chain, ChainError, DryRun, Receipt, Signer, Transaction, Urgency, Weight};
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash};
use runtime::RuntimeCall;
use scale::Encode;
use tokio::sync::oneshot;

/// How often a transaction is signed anew because an earlier one of the same account was refused and left a gap in the nonces.
const MAX_SIGNATURES: u8 = 16;

#[async_trait]
impl Chain for DevChain {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        Ok(self.shared.genesis)
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        Ok(*self.shared.head.borrow())
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        Ok(self.shared.history.block(number).map(|block| block.at.hash))
    }

    async fn largest_amount(&self) -> Result<Amount, ChainError> {
        Ok(coins::most())
    }

    /// Free and not frozen, the existential deposit included.
    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        let account = *account;
        self.read(move || Ok(inspect::free_balance(&account))).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        let contract = *contract;
        self.read(move || Ok(inspect::code_hash(&contract))).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        let hash = *hash;
        self.read(move || inspect::code(&hash)).await
    }

    async fn transaction_limit(&self) -> Result<Option<Weight>, ChainError> {
        Ok(Some(inspect::TransactionLimits::of_the_runtime().weight))
    }

    /// Executes a transaction in the block after the head, that is with the number and time of the block that would include it
    /// now, and forgets it. Fees are not part of it.
    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        let (origin, transaction) = (*origin, transaction.clone());
        self.ask(move |engine| engine.dry_run(origin, transaction)).await?
    }

    async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError> {
        let transaction = transaction.clone();
        self.read(move || inspect::fee(transaction, required)).await
    }

    /// Blocks have room for everything here, and transactions are taken as they come: nothing is gained by a tip.
    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
        _urgency: Urgency,
    ) -> Result<Receipt, ChainError> {
        let contract = match &transaction {
            Transaction::Call { contract, .. } => Some(*contract),
            Transaction::Instantiate { .. } | Transaction::Transfer { .. } => None,
        };
        let call = extrinsic::call(transaction, dry_run)?;
        for _ in 0..MAX_SIGNATURES {
            let verdict = self.sign_and_send(signer, call.clone(), contract).await?;
            match verdict.await.map_err(|_| errors::stopped())? {
                Verdict::Decided(result) => return result,
                Verdict::NonceGone => {}
            }
        }
        Err(ChainError::Invalid { cause: format!("its nonce was lost {MAX_SIGNATURES} times") })
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        Ok(history::follow(self.shared.history.clone(), self.shared.head.clone(), from))
    }
}

impl DevChain {
    /// Signs a call with its account's next nonce and brings it to the pool. One at a time per account: whoever is cancelled
    /// in here leaves no gap, since a nonce is used up only by being in the pool.
    async fn sign_and_send(
        &self,
        signer: &dyn Signer,
        call: RuntimeCall,
        contract: Option<AccountId>,
    ) -> Result<oneshot::Receiver<Verdict>, ChainError> {
        let account = signer.account();
        let _turn = self.lane(account).lock().await;
        let nonce = self.ask(move |engine| engine.next_nonce(account)).await??;
        let extrinsic = extrinsic::sign(call, signer, nonce, self.shared.genesis).await?;
        let length = u32::try_from(extrinsic.encoded_size())
            .map_err(|_| ChainError::Invalid { cause: "it is longer than 4 GiB".into() })?;
        let (pending, verdict) = Pending::new(extrinsic, account, contract, length);
        self.ask(move |engine| engine.enqueue(pending)).await??;
        Ok(verdict)
    }
}
