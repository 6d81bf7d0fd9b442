//! The handle that callers hold.

use crate::{
    accounts,
    engine::{self, Engine, Job, Sealing, Shared},
    errors, genesis,
    inspect::{self, ContractInfo},
};
use chain::{BlockRef, Chain, ChainError, Receipt, Transaction, signer::Sr25519Signer};
use protocol::{AccountId, Amount, BlockNumber};
use std::{collections::BTreeMap, fmt, sync::Arc};
use tokio::sync::{Mutex, mpsc};

/// Signing takes turns per account, so that nonces have no gaps; this many accounts sign at the same time.
const SIGNING_LANES: usize = 16;

/// A chain in the process. Cloning it gives another handle of the same chain; the chain ends with its last handle.
///
/// It implements [`Chain`]; what stands here is what only an embedded chain can do. See the [crate's page](crate).
#[derive(Clone)]
pub struct DevChain {
    pub(crate) shared: Shared,
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) lanes: Arc<[Mutex<()>; SIGNING_LANES]>,
}

/// What a new chain starts with.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    endowed: BTreeMap<AccountId, Amount>,
    sealing: Sealing,
}

impl Builder {
    /// Endows an account at genesis. A second call for the same account replaces the first.
    #[must_use]
    pub fn endow(mut self, account: AccountId, amount: Amount) -> Self {
        let _replaced = self.endowed.insert(account, amount);
        self
    }

    /// When submissions get their block; without this call, at once.
    #[must_use]
    pub const fn sealing(mut self, sealing: Sealing) -> Self {
        self.sealing = sealing;
        self
    }

    /// Builds genesis and starts the chain.
    ///
    /// # Errors
    /// [`ChainError::Invalid`] where an endowment is below the existential deposit or all of them are too much;
    /// [`ChainError::Unreachable`] where the system has no thread for it.
    pub fn build(self) -> Result<DevChain, ChainError> {
        let (engine, shared) = Engine::new(genesis::build(self.endowed)?, self.sealing);
        DevChain::start(engine, shared)
    }
}

impl DevChain {
    /// A chain with the [development accounts](crate::DevAccount) that seals on submission.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the system has no thread for it.
    pub fn new() -> Result<Self, ChainError> {
        Self::builder().build()
    }

    /// A chain to be described first.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn start(engine: Engine, shared: Shared) -> Result<Self, ChainError> {
        let lanes = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        Ok(Self { shared, jobs: engine.start()?, lanes })
    }

    /// An independent chain with the same past, state and sealing. What waits in the pool stays behind.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where this chain has stopped or the system has no thread for another.
    pub async fn fork(&self) -> Result<Self, ChainError> {
        let (engine, shared) = self.ask(|engine| engine.fork()).await?;
        Self::start(engine, shared)
    }

    /// Changes when submissions get their block. Turning to [`Sealing::OnSubmit`] seals what waits.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn set_sealing(&self, sealing: Sealing) -> Result<(), ChainError> {
        self.ask(move |engine| engine.set_sealing(sealing)).await
    }

    /// Produces a block from what waits in the pool, or an empty one, and answers which it is.
    ///
    /// # Errors
    /// [`ChainError::Failed`] where the runtime cannot; [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn produce_block(&self) -> Result<BlockRef, ChainError> {
        self.produce_blocks(1).await
    }

    /// Produces `count` blocks at once and answers which is the last: the way to travel in time. What waits in the pool goes
    /// into the first.
    ///
    /// The chain adapts its fees to how full its blocks are: 30 000 empty blocks bring them down to a tenth.
    ///
    /// # Errors
    /// [`ChainError::Failed`] where the runtime cannot; [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn produce_blocks(&self, count: u32) -> Result<BlockRef, ChainError> {
        self.ask(move |engine| engine.produce_blocks(count)).await?
    }

    /// The number of the newest block.
    #[must_use]
    pub fn block_number(&self) -> BlockNumber {
        self.shared.head.borrow().number
    }

    /// How many transactions wait for a block.
    #[must_use]
    pub fn pool_length(&self) -> usize {
        *self.shared.pool_length.borrow()
    }

    /// Waits until at least `count` transactions wait for a block: what to do between two submissions whose order matters.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn pool_filled(&self, count: usize) -> Result<(), ChainError> {
        let mut length = self.shared.pool_length.clone();
        length.wait_for(|length| *length >= count).await.map(drop).map_err(|_| errors::stopped())
    }

    /// Sends coins from the chain's faucet, by a transfer as real as any: it waits for its block.
    ///
    /// # Errors
    /// Those of [`Chain::submit`], such as an amount below the existential deposit for an account that does not exist.
    pub async fn endow(&self, account: AccountId, amount: Amount) -> Result<Receipt, ChainError> {
        let faucet = Sr25519Signer::new(accounts::faucet());
        let transfer = Transaction::Transfer { to: account, amount };
        let dry_run = self.dry_run(&chain::Signer::account(&faucet), &transfer).await?;
        self.submit(&faucet, transfer, &dry_run).await
    }

    /// What a contract occupies, or none where there is no contract.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn contract_info(&self, contract: AccountId) -> Result<Option<ContractInfo>, ChainError> {
        self.read(move || inspect::contract(&contract)).await
    }

    /// What is held on an account: storage deposits on a contract's, upload deposits on an uploader's.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn held_balance(&self, account: AccountId) -> Result<Amount, ChainError> {
        self.read(move || Ok(inspect::held_balance(&account))).await
    }

    /// All coins there are. Fees are burned, so it falls by them and by nothing else.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the chain has stopped.
    pub async fn total_issuance(&self) -> Result<Amount, ChainError> {
        self.read(|| Ok(inspect::total_issuance())).await
    }

    pub(crate) async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<R, ChainError> + Send + 'static,
    ) -> Result<R, ChainError> {
        self.ask(|engine| engine.read(read)).await?
    }

    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Result<R, ChainError> {
        engine::ask(&self.jobs, work).await
    }

    /// The lane that an account signs in.
    pub(crate) fn lane(&self, account: AccountId) -> &Mutex<()> {
        let AccountId([first, ..]) = account;
        let lane = usize::from(first).checked_rem(SIGNING_LANES).and_then(|lane| self.lanes.get(lane));
        lane.expect("a remainder is below its divisor")
    }
}

impl fmt::Debug for DevChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevChain")
            .field("genesis", &self.shared.genesis)
            .field("head", &*self.shared.head.borrow())
            .finish_non_exhaustive()
    }
}
