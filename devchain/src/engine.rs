//! The chain itself, on a thread of its own: the runtime keeps its externalities in thread-local variables, so one thread
//! per chain is what lets several chains live in one process.

use crate::{
    block::{self, Fate},
    dry_run, errors,
    genesis::Genesis,
    history::History,
    pool::{Pending, Pool, Verdict},
    receipt,
    state::State,
};
use chain::{Block, BlockRef, ChainError, DryRun, Transaction};
use protocol::{AccountId, Hash};
use runtime::System;
use sp_core::crypto::AccountId32;
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::sync::{mpsc, oneshot, watch};

/// How many jobs may wait for the thread; whoever brings more waits as well.
pub(crate) const MAX_QUEUED_JOBS: usize = 256;
/// How many further jobs a submission waits for before it is sealed, so that those which arrive together share a block
/// and a flood of reads holds no submission up.
const MAX_JOBS_BEFORE_SEAL: u8 = 64;
/// Contracts that call contracts nest natively; most of this is never touched.
const STACK_BYTES: usize = 64 << 20;

/// Something to do on the chain's thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Engine) + Send>;

/// When submitted transactions get their block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// At once. Submissions that arrive together may share a block.
    #[default]
    OnSubmit,
    /// When [`DevChain::produce_block`](crate::DevChain::produce_block) is called; until then they wait in the pool, in the order of arrival.
    Manual,
}

/// What the handles of a chain share with its thread.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) genesis: Hash,
    pub(crate) history: Arc<History>,
    pub(crate) head: watch::Receiver<BlockRef>,
    pub(crate) pool_length: watch::Receiver<usize>,
}

/// One chain: its state, its pool, its newest block.
pub(crate) struct Engine {
    state: State,
    pool: Pool,
    sealing: Sealing,
    genesis: Hash,
    head: BlockRef,
    history: Arc<History>,
    announce: watch::Sender<BlockRef>,
}

impl Engine {
    /// A chain that starts from `genesis`.
    pub(crate) fn new(genesis: Genesis, sealing: Sealing) -> (Self, Shared) {
        let Genesis { state, block } = genesis;
        Self::with(state, block.hash, block, History::new(block), sealing)
    }

    fn with(state: State, genesis: Hash, head: BlockRef, history: History, sealing: Sealing) -> (Self, Shared) {
        let history = Arc::new(history);
        let (announce, newest) = watch::channel(head);
        let (length, pool_length) = watch::channel(0);
        let shared = Shared { genesis, history: history.clone(), head: newest, pool_length };
        (Self { state, pool: Pool::new(length), sealing, genesis, head, history, announce }, shared)
    }

    /// An independent copy, without what waits in the pool.
    pub(crate) fn fork(&self) -> (Self, Shared) {
        Self::with(self.state.fork(), self.genesis, self.head, self.history.fork(), self.sealing)
    }

    /// Starts the thread. It ends when every sender of jobs is gone.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the system has no more threads.
    pub(crate) fn start(self) -> Result<mpsc::Sender<Job>, ChainError> {
        let (jobs, queue) = mpsc::channel(MAX_QUEUED_JOBS);
        let thread = std::thread::Builder::new().name("devchain".into()).stack_size(STACK_BYTES);
        // Nobody joins it: it holds nothing that outlives the process.
        drop(
            thread
                .spawn(move || self.run(queue))
                .map_err(|error| ChainError::Unreachable(format!("the embedded chain has no thread ({error})")))?,
        );
        Ok(jobs)
    }

    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            self.perform(job);
            for _ in 0..MAX_JOBS_BEFORE_SEAL {
                let Ok(job) = queue.try_recv() else { break };
                self.perform(job);
            }
            if self.sealing == Sealing::OnSubmit {
                self.seal_pool();
            }
        }
    }

    /// A job that panics drops its answer, which tells whoever waits for it; the others are not concerned. The state cannot be
    /// half-changed: it changes in one step, at the end of a block.
    fn perform(&mut self, job: Job) {
        drop(catch_unwind(AssertUnwindSafe(|| job(self))));
    }

    /// Every block takes at least one transaction out of the pool, in or not, so this ends.
    fn seal_pool(&mut self) {
        while !self.pool.is_empty() {
            // Those who wait for a verdict have been told; nobody else is concerned.
            drop(self.produce_block());
        }
    }

    pub(crate) const fn set_sealing(&mut self, sealing: Sealing) {
        self.sealing = sealing;
    }

    /// Runs `read` on the state after the head.
    pub(crate) fn read<R>(&mut self, read: impl FnOnce() -> Result<R, ChainError>) -> Result<R, ChainError> {
        self.state.forget(read)
    }

    /// What a transaction would do in the next block: it sees that block's number and time.
    pub(crate) fn dry_run(&mut self, origin: AccountId, transaction: Transaction) -> Result<DryRun, ChainError> {
        let head = self.head;
        self.state.forget(|| {
            let _extrinsics = block::open(head)?;
            dry_run::dry_run(&origin, transaction)
        })
    }

    /// The nonce that an account's next transaction needs, those in the pool counted.
    pub(crate) fn next_nonce(&mut self, account: AccountId) -> Result<u32, ChainError> {
        let nonce = self.read(|| Ok(System::account_nonce(AccountId32::new(account.0))))?;
        let waiting = u32::try_from(self.pool.count_of(&account)).ok();
        waiting
            .and_then(|waiting| nonce.checked_add(waiting))
            .ok_or_else(|| ChainError::Invalid { cause: "the account's nonces are exhausted".into() })
    }

    /// Takes a transaction into the pool if the chain would take it.
    pub(crate) fn enqueue(&mut self, pending: Pending) -> Result<(), ChainError> {
        let head = self.head;
        self.state.forget(|| block::validate(&pending, head))?;
        self.pool.push(pending)
    }

    /// Produces `count` blocks, the first of which holds what waits in the pool and fits.
    pub(crate) fn produce_blocks(&mut self, count: u32) -> Result<BlockRef, ChainError> {
        for _ in 0..count {
            let _head = self.produce_block()?;
        }
        Ok(self.head)
    }

    /// Produces one block. A transaction that makes the runtime panic is thrown out, and the block is built without it.
    fn produce_block(&mut self) -> Result<BlockRef, ChainError> {
        loop {
            let (parent, at) = (self.head, Cell::new(None));
            let (state, pool) = (&mut self.state, &self.pool);
            match state.keep(|| block::build(parent, pool.iter(), &at)) {
                Ok(built) => return Ok(self.adopt(built)),
                Err(error) => match at.get().and_then(|place| self.pool.remove(place)) {
                    Some(culprit) => culprit.tell(Verdict::Decided(Err(error))),
                    None => {
                        for pending in self.pool.drain() {
                            pending.tell(Verdict::Decided(Err(error.clone())));
                        }
                        return Err(error);
                    }
                },
            }
        }
    }

    /// Makes a block the newest, then tells everyone concerned: first those who follow blocks, then those who submitted.
    fn adopt(&mut self, built: block::Built) -> BlockRef {
        let block::Built { header, fates, events } = built;
        self.head = BlockRef { number: header.number, hash: Hash(header.hash().0) };
        self.history.push(Block { at: self.head, events: receipt::contract_events(events.iter()) });
        let _previous = self.announce.send_replace(self.head);

        for (pending, fate) in self.pool.drain().into_iter().zip(fates) {
            let verdict = match fate {
                Fate::Postponed => {
                    // It was in the pool a moment ago, so there is room.
                    drop(self.pool.push(pending));
                    continue;
                }
                Fate::NonceGone => Verdict::NonceGone,
                Fate::Refused(error) => Verdict::Decided(Err(errors::validity(error, pending.account))),
                Fate::Included { index, result: Err(error) } => {
                    let cause = Box::new(errors::dispatch(error, pending.account, pending.contract));
                    let fee = receipt::receipt(self.head, index, pending.length, pending.account, &events).fee;
                    Verdict::Decided(Err(ChainError::FailedInBlock { fee, cause }))
                }
                Fate::Included { index, result: Ok(()) } => {
                    Verdict::Decided(Ok(receipt::receipt(self.head, index, pending.length, pending.account, &events)))
                }
            };
            pending.tell(verdict);
        }
        self.head
    }
}

/// Sends `work` to a chain's thread and waits for what it answers.
///
/// # Errors
/// [`ChainError::Unreachable`] where the thread is gone or `work` panicked.
pub(crate) async fn ask<R: Send + 'static>(
    jobs: &mpsc::Sender<Job>,
    work: impl FnOnce(&mut Engine) -> R + Send + 'static,
) -> Result<R, ChainError> {
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |engine| drop(answer.send(work(engine))));
    jobs.send(job).await.map_err(|_| errors::stopped())?;
    answered.await.map_err(|_| ChainError::Unreachable("the embedded chain gave no answer".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DevAccount, DevChain};
    use chain::{Chain, Receipt};
    use runtime::Runtime;

    async fn pay(chain: &DevChain, from: DevAccount) -> Result<Receipt, ChainError> {
        let transfer = Transaction::Transfer { to: DevAccount::Eve.id(), amount: 1 };
        let dry_run = chain.dry_run(&from.id(), &transfer).await?;
        chain.submit(&from.signer(), transfer, &dry_run).await
    }

    // Arithmetic that overflows only panics in builds with debug assertions.
    #[cfg(debug_assertions)]
    #[tokio::test]
    async fn a_transaction_that_makes_the_runtime_panic_is_thrown_out_and_the_others_are_included() {
        let chain = DevChain::builder().sealing(Sealing::Manual).build().unwrap();
        // With its last nonce used up, an account makes the runtime's arithmetic overflow.
        let exhaust = |engine: &mut Engine| {
            engine.state.keep(|| {
                let alice = AccountId32::new(DevAccount::Alice.id().0);
                frame_system::Account::<Runtime>::mutate(alice, |account| account.nonce = u32::MAX);
                Ok(())
            })
        };
        chain.ask(exhaust).await.unwrap().unwrap();
        let (first, culprit, last) =
            tokio::join!(pay(&chain, DevAccount::Bob), pay(&chain, DevAccount::Alice), async {
                chain.pool_filled(2).await?;
                let paid = pay(&chain, DevAccount::Charlie);
                let produced = async {
                    chain.pool_filled(3).await?;
                    chain.produce_block().await
                };
                tokio::try_join!(paid, produced)
            });
        let cause = "the runtime panicked: attempt to add with overflow".to_owned();
        assert_eq!(culprit, Err(ChainError::Failed { cause }));
        let (last, head) = last.unwrap();
        assert_eq!(head.number, 1);
        assert_eq!((first.unwrap().block, last.block), (head, head));
        assert_eq!(chain.pool_length(), 0);
    }

    #[tokio::test]
    async fn a_job_that_panics_is_an_error_for_its_caller_only() {
        let chain = DevChain::new().unwrap();
        let failed: Result<(), _> = chain.ask(|_| panic!("on purpose")).await;
        assert!(matches!(failed, Err(ChainError::Unreachable(_))));
        assert_eq!(chain.produce_block().await.unwrap().number, 1);
    }
}
