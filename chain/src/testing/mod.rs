//! A chain in memory, for the tests of whoever builds on channels: the arbiter's own rules, and nothing of a blockchain that they do not need.
//!
//! ```text
//!   Arbiter (the client, unchanged) --Transaction--> MemoryChain --decode--> protocol::arbiter::Ledger, the rules that the contract runs
//!        ^                                              |  '--apps of forced steps--> the interpreter, on their deployed Wasm
//!        '------ answers, events, receipts -------------'
//! ```
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chain::CallError> {
//! use chain::{Signer, testing::MemoryChain};
//! use protocol::{PartyId, PublicKey, call::Call};
//!
//! let chain = MemoryChain::new();
//! let (arbiter, alice) = (chain.arbiter().await?, chain.rich("alice"));
//! let key = PublicKey([1; 32]);
//! let _done = arbiter.call(&alice, &Call::VaultDeposit { key }, 500).await?; // makes a block
//! assert_eq!(arbiter.vault_balance(PartyId { account: alice.account(), key }).await?, 500);
//! chain.pass(100); // a hundred blocks later
//! # Ok(())
//! # }
//! ```
//!
//! **Equal to the real thing** are the arbiter's answers, refusals and events, to the byte, and where coins go; so is what an app does in a forced step, and when it
//! has used up its weight. The tests of `e2e-tests` tell the same stories here and on the embedded chain, which runs the contract's Wasm.
//!
//! **Left out:** transactions have no weight, no storage deposit and no limit on their size; a fee is the same for all ([`Builder::fee`]), and none unless
//! set; a signer is asked for its signature, which is not checked; there are no contracts but arbiters and apps. So use `devchain`, or a node,
//! for what a transaction costs and for whether it fits a block.
//!
//! **Blocks** are final as soon as they are made, or, with [`MemoryChain::set_finality_lag`], once so many more are: for each transaction at once (those that are sent at the same time may share one), or, with [`Sealing::Manual`], when [`MemoryChain::pass`] is called.
//! There is no clock: time passes by [`MemoryChain::pass`]. Two chains that are told the same do the same, down to the hash of a block.

mod accounts;
mod amounts;
mod executed;
mod instance;
mod message;
mod state;
mod unfinal;

pub use amounts::{EXISTENTIAL_DEPOSIT, LIMITS, RICH};

use crate::{
    Arbiter, BestBlock, Block, BlockRef, CallError, Chain, ChainError, DryRun, Receipt, Signer, Transaction, Urgency,
    Weight, deploy::ensure, signer::Sr25519Signer,
};
use async_trait::async_trait;
use executed::ExecutedCall;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use protocol::{
    AccountId, Amount, BlockNumber, Hash,
    crypto::{Crypto, Native},
    signing::Domain,
    terms::Limits,
};
use scale::Encode;
use state::ChainState;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subxt_signer::{SecretUri, sr25519::Keypair};
use tokio::sync::{oneshot, watch};
use unfinal::{PendingAnswer, Unfinal};

/// What stands for the arbiter's Wasm, which this chain does not run.
const ARBITER: &[u8] = b"the arbiter, by its rules";

/// When transactions get their block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// At once. Those that are sent at the same time may share one.
    #[default]
    OnSubmit,
    /// With the next [`MemoryChain::pass`]. Until then they wait, in the order of their arrival.
    Manual,
}

/// What a new chain starts with.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    endowed: Vec<(AccountId, Amount)>,
    sealing: Sealing,
    fee: Amount,
    genesis: Option<Hash>,
    arbiters: Vec<(AccountId, Limits)>,
}

impl Builder {
    /// Gives an account coins before the first block.
    #[must_use]
    pub fn endow(mut self, account: AccountId, amount: Amount) -> Self {
        self.endowed.push((account, amount));
        self
    }

    /// When transactions get their block; without this call, at once.
    #[must_use]
    pub const fn sealing(mut self, sealing: Sealing) -> Self {
        self.sealing = sealing;
        self
    }

    /// What each transaction costs its signer, in the chain's smallest unit; without this call, nothing. Fees are burned.
    #[must_use]
    pub const fn fee(mut self, fee: Amount) -> Self {
        self.fee = fee;
        self
    }

    /// The hash of block 0, which tells one chain from another; without this call, it follows from the other settings.
    #[must_use]
    pub const fn genesis(mut self, genesis: Hash) -> Self {
        self.genesis = Some(genesis);
        self
    }

    /// Puts an arbiter at an address of one's choice before the first block: for signatures that name it, such as those of test vectors.
    ///
    /// # Panics
    /// [`build`](Self::build) does, where the limits are unsound.
    #[must_use]
    pub fn arbiter_at(mut self, address: AccountId, limits: Limits) -> Self {
        self.arbiters.push((address, limits));
        self
    }

    /// The chain, at block 0.
    #[must_use]
    pub fn build(self) -> MemoryChain {
        let described = (b"a chain in memory", &self.endowed, self.fee).encode();
        let hash = self.genesis.unwrap_or_else(|| Native.hash(&described));
        let genesis = BlockRef { number: 0, hash };
        let mut state = ChainState::default();
        for (account, amount) in self.endowed {
            state.endow(account, amount);
        }
        for (address, limits) in self.arbiters {
            let limits = limits.check().expect("limits that an arbiter would be deployed with");
            state.place(Domain { genesis: hash, arbiter: address }, limits, ARBITER);
        }
        let history = History {
            state,
            blocks: vec![Arc::new(Block { at: genesis, events: Vec::new() })],
            waiting: Vec::new(),
            sealing: self.sealing,
            unfinal: Unfinal::default(),
        };
        let shared = Shared {
            genesis: hash,
            fee: self.fee,
            history: Mutex::new(history),
            head: watch::Sender::new(genesis),
            best: watch::Sender::new(genesis),
            waiting: watch::Sender::new(0),
            lanes: Mutex::default(),
        };
        MemoryChain(Arc::new(shared))
    }
}

/// A chain in memory. Cloning it gives another handle of the same chain. See the [module's page](self).
#[derive(Clone)]
pub struct MemoryChain(Arc<Shared>);

struct Shared {
    genesis: Hash,
    fee: Amount,
    history: Mutex<History>,
    /// The newest block that is final.
    head: watch::Sender<BlockRef>,
    /// The newest block.
    best: watch::Sender<BlockRef>,
    /// How many transactions wait for a block.
    waiting: watch::Sender<usize>,
    /// Held by whoever signs for an account and sends: its transactions are included in the order in which they are signed.
    lanes: Mutex<HashMap<AccountId, MemoryLane>>,
}

type MemoryLane = Arc<tokio::sync::Mutex<()>>;

/// Everything that has happened so far, and what waits to happen.
struct History {
    /// After the newest block.
    state: ChainState,
    /// By number, from block 0 on.
    blocks: Vec<Arc<Block>>,
    waiting: Vec<Pending>,
    sealing: Sealing,
    /// What is not final yet.
    unfinal: Unfinal,
}

/// A transaction that waits for its block.
struct Pending {
    from: AccountId,
    transaction: Transaction,
    answer: oneshot::Sender<Result<Receipt, ChainError>>,
}

impl Default for MemoryChain {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryChain {
    /// A chain without fees, on which each transaction makes a block at once.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A chain to be described first.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The arbiter of this chain: put there at the first call, found again at each later one, always with [`LIMITS`].
    ///
    /// [`Arbiter::deploy`] puts others there, with other limits, and takes any code for the arbiter's: what is executed are the rules.
    ///
    /// # Errors
    /// None that a test must expect: the client's own.
    pub async fn arbiter(&self) -> Result<Arc<Arbiter>, CallError> {
        let deployer = self.rich("arbiter");
        let deployed = ensure(Arc::new(self.clone()), &deployer, ARBITER.to_vec(), LIMITS, Vec::new()).await?;
        Ok(Arc::new(deployed.arbiter))
    }

    /// The development account `//name`, which holds at least [`RICH`] coins afterwards: they come from nowhere, and need no block. Everybody
    /// knows the keys of such accounts, so they are for tests alone.
    ///
    /// # Panics
    /// Where `name` is no derivation of a secret URI, such as the empty one.
    #[must_use]
    pub fn rich(&self, name: &str) -> Sr25519Signer {
        let uri: SecretUri = format!("//{name}").parse().expect("a name without slashes is a derivation");
        let signer =
            Sr25519Signer::new(Keypair::from_uri(&uri).expect("every derivation of the development phrase has a key"));
        let account = signer.account();
        let mut history = self.lock();
        let missing = RICH.saturating_sub(history.state.balance(&account));
        history.endow(account, missing);
        signer
    }

    /// Gives an account coins: they come from nowhere, and need no block.
    pub fn endow(&self, account: AccountId, amount: Amount) {
        self.lock().endow(account, amount);
    }

    /// Makes `blocks` blocks and answers which is the last: the way to travel in time. Transactions that wait go into the first.
    pub fn pass(&self, blocks: u32) -> BlockRef {
        let mut history = self.lock();
        for _ in 0..blocks {
            history.produce(self.0.fee);
        }
        self.announce(&history)
    }

    /// Has blocks become final once so many more were made, from now on: with [`BlockNumber::MAX`] finality stands still while the chain goes on. What is final
    /// stays so.
    pub fn set_finality_lag(&self, blocks: BlockNumber) {
        let mut history = self.lock();
        history.unfinal.lag = blocks;
        history.finalise();
        let _head = self.announce(&history);
    }

    /// Changes when transactions get their block. Turning to [`Sealing::OnSubmit`] makes one of those that wait.
    pub fn set_sealing(&self, sealing: Sealing) {
        let mut history = self.lock();
        history.sealing = sealing;
        self.seal(&mut history);
    }

    /// The number of the newest block.
    #[must_use]
    pub fn block_number(&self) -> BlockNumber {
        self.0.best.borrow().number
    }

    /// Waits until at least `count` transactions wait for a block: what to do between two submissions whose order matters.
    pub async fn waiting(&self, count: usize) {
        let mut waiting = self.0.waiting.subscribe();
        // The sender is here as long as we are.
        let _count = waiting.wait_for(|waiting| *waiting >= count).await;
    }

    /// All coins that there are. Fees are burned, and what is left of an account below [`EXISTENTIAL_DEPOSIT`]; nothing else is.
    #[must_use]
    pub fn total_issuance(&self) -> Amount {
        self.lock().state.total()
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // Whoever panicked in here was about to change one thing, and had not.
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a block of what waits, where it must not wait.
    fn seal(&self, history: &mut History) {
        if history.sealing == Sealing::OnSubmit && !history.waiting.is_empty() {
            history.produce(self.0.fee);
        }
        let _head = self.announce(history);
    }

    /// Tells whoever watches which block is the newest, and how many transactions wait.
    fn announce(&self, history: &History) -> BlockRef {
        let best = history.head();
        let _before = self.0.waiting.send_replace(history.waiting.len());
        let _before = self.0.best.send_replace(best);
        let _before = self.0.head.send_replace(history.final_head());
        best
    }

    fn lane(&self, account: AccountId) -> MemoryLane {
        MemoryLane::clone(self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner).entry(account).or_default())
    }

    /// Takes a transaction in, and answers where its receipt will come.
    fn enqueue(
        &self,
        from: AccountId,
        transaction: Transaction,
    ) -> Result<oneshot::Receiver<Result<Receipt, ChainError>>, ChainError> {
        let (answer, receipt) = oneshot::channel();
        let mut history = self.lock();
        history.state.check_fee(&from, self.0.fee)?;
        history.waiting.push(Pending { from, transaction, answer });
        let _head = self.announce(&history);
        Ok(receipt)
    }
}

/// Has what waits sealed when it is dropped: also where whoever sent it gives up meanwhile.
struct Seal<'a>(&'a MemoryChain);

impl Drop for Seal<'_> {
    fn drop(&mut self) {
        let mut history = self.0.lock();
        self.0.seal(&mut history);
    }
}

impl History {
    fn head(&self) -> BlockRef {
        self.blocks.last().expect("block 0 is always there").at
    }

    /// Makes the next block: executes what waits, and tells everybody what became of it.
    fn produce(&mut self, fee: Amount) {
        let parent = self.head();
        let number = parent.number.saturating_add(1);
        let transactions = std::mem::take(&mut self.waiting);
        // A chain whose blocks are final at once keeps no earlier state.
        let before = (self.unfinal.lag > 0).then(|| self.state.clone());
        let mut events = Vec::new();
        let mut body = Vec::new();
        let mut outcomes = Vec::new();
        for Pending { from, transaction, answer } in transactions {
            let length = state::length(&transaction);
            body.push(Native.hash(&state::bytes(&transaction)));
            let outcome = self.state.include(&from, transaction, number, fee);
            events.extend(outcome.iter().flat_map(|made| made.events.iter().cloned()));
            outcomes.push((answer, length, outcome));
        }
        let at = BlockRef { number, hash: Native.hash(&(parent.hash, number, body).encode()) };
        self.blocks.push(Arc::new(Block { at, events }));
        let told = |(answer, length, outcome): (_, _, Result<ExecutedCall, ChainError>)| PendingAnswer {
            answer,
            told: outcome.map(|made| receipt(at, fee, length, made)),
        };
        self.unfinal.push(before, outcomes.into_iter().map(told).collect());
        self.finalise();
    }

    /// Makes final what is old enough, and tells whoever sent something in it.
    fn finalise(&mut self) {
        let lag = usize::try_from(self.unfinal.lag).unwrap_or(usize::MAX);
        while self.unfinal.len() > lag {
            self.unfinal.finalise_first();
        }
    }

    fn final_head(&self) -> BlockRef {
        let first_unfinal = self.blocks.len().saturating_sub(self.unfinal.len());
        self.blocks.get(first_unfinal.saturating_sub(1)).expect("block 0 is final").at
    }

    /// The state after the newest block that is final.
    fn final_state(&self) -> &ChainState {
        self.unfinal.first_state().unwrap_or(&self.state)
    }

    fn endow(&mut self, account: AccountId, amount: Amount) {
        self.state.endow(account, amount);
        self.unfinal.endow(account, amount);
    }
}

fn receipt(block: BlockRef, fee: Amount, length: u32, made: ExecutedCall) -> Receipt {
    let ExecutedCall { events, instantiated, .. } = made;
    Receipt { block, fee, weight: Weight::default(), length, storage_deposit: 0, events, instantiated }
}

#[async_trait]
impl Chain for MemoryChain {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        Ok(self.0.genesis)
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        Ok(*self.0.head.borrow())
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        Ok(self.final_block(number).map(|block| block.at.hash))
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        Ok(self.lock().final_state().balance(account))
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        Ok(self.lock().final_state().code_hash(contract))
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.lock().final_state().code(hash))
    }

    /// Executes a transaction as the block after the newest final one would, and forgets it. Fees are not part of it.
    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        let (mut state, next) = {
            let history = self.lock();
            (history.final_state().clone(), history.final_head().number.saturating_add(1))
        };
        let (made, weight) = match state::probe(transaction) {
            // The prices of apps are the interpreter's: it was made to count what a chain charges.
            Some(weight) => (ExecutedCall::default(), weight?),
            None => (state.execute(origin, transaction.clone(), next)?, Weight::default()),
        };
        let ExecutedCall { returned, reverted, instantiated, .. } = made;
        Ok(DryRun { returned, reverted, instantiated, ..DryRun::of(weight) })
    }

    async fn fee(&self, _transaction: &Transaction, _required: Weight) -> Result<Amount, ChainError> {
        Ok(self.0.fee)
    }

    /// A block has room for everything here, and transactions are taken as they come: nothing is gained by a tip.
    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        _dry_run: &DryRun,
        _urgency: Urgency,
    ) -> Result<Receipt, ChainError> {
        let account = signer.account();
        let Hash(payload) = Native.hash(&(self.0.genesis, state::bytes(&transaction)).encode());
        let receipt = {
            let lane = self.lane(account);
            let _turn = lane.lock().await;
            let _signature = signer
                .sign(&payload)
                .await
                .map_err(|cause| ChainError::NotSigned { account: account.into(), cause })?;
            self.enqueue(account, transaction)?
        };
        {
            let _sealed_afterwards = Seal(self);
            // Whoever is about to send something as well shares the block: signatures that count for so many blocks do not run out for nothing.
            tokio::task::yield_now().await;
        }
        receipt.await.map_err(|_gone| ChainError::Unreachable("the chain in memory has stopped".into()))?
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        let position = Some((self.clone(), self.0.head.subscribe(), from));
        let blocks = stream::unfold(position, |position| async move {
            let (chain, mut head, number) = position?;
            loop {
                // Noted before the block is looked for, so that one which is made meanwhile wakes us.
                let _newest = head.borrow_and_update().number;
                if let Some(block) = chain.final_block(number) {
                    let next = number.checked_add(1).map(|next| (chain, head, next));
                    return Some((Ok(Block::clone(&block)), next));
                }
                // The sender is here as long as our handle of the chain.
                head.changed().await.ok()?;
            }
        });
        Ok(blocks.boxed())
    }

    async fn best_blocks(&self) -> Result<BoxStream<'static, BestBlock>, ChainError> {
        let position = Some((self.clone(), self.0.best.subscribe(), self.block_number()));
        let blocks = stream::unfold(position, |position| async move {
            let (chain, mut best, number) = position?;
            loop {
                let _newest = best.borrow_and_update().number;
                if let Some(block) = chain.block(number) {
                    let next = number.checked_add(1).map(|next| (chain, best, next));
                    return Some((BestBlock { number, events: block.events.clone() }, next));
                }
                best.changed().await.ok()?;
            }
        });
        Ok(blocks.boxed())
    }
}

impl MemoryChain {
    fn final_block(&self, number: BlockNumber) -> Option<Arc<Block>> {
        self.block(number).filter(|block| block.at.number <= self.0.head.borrow().number)
    }

    fn block(&self, number: BlockNumber) -> Option<Arc<Block>> {
        let number = usize::try_from(number).ok()?;
        self.lock().blocks.get(number).cloned()
    }
}

impl fmt::Debug for MemoryChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryChain")
            .field("genesis", &self.0.genesis)
            .field("head", &*self.0.head.borrow())
            .finish_non_exhaustive()
    }
}
