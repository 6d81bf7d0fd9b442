use super::{Batch, Durability, Entry, OpenError, Store, StoreDoubt, StoreError, Table};
use std::{
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// The most batches in one transaction, and the most that wait for the next one: further commits wait until there is room.
pub const MAX_GROUP: usize = 1_024;

/// A store for many tasks: what they commit at the same time shares one transaction and one fsync (R6.4).
///
/// Clones are the same store. Dropping the last one waits until everything queued is stored and closes the store.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    shared: Arc<WriterShared>,
}

#[derive(Debug)]
struct WriterShared {
    store: Arc<Store>,
    counts: Arc<Counts>,
    /// None once the last handle is being dropped.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer has done since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Batches stored.
    pub batches: u64,
    /// Transactions, one fsync each; below `batches` where commits shared them.
    pub transactions: u64,
}

#[derive(Debug, Default)]
struct Counts {
    batches: AtomicU64,
    transactions: AtomicU64,
    /// Batches that are queued, or about to be.
    waiting: AtomicU64,
}

#[derive(Debug)]
struct Job {
    batch: Batch,
    turn: Place,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// A batch's place among those that wait, until it is dropped.
#[derive(Debug)]
struct Place(Arc<Counts>);

impl Place {
    fn take(counts: &Arc<Counts>) -> Self {
        let _before = counts.waiting.fetch_add(1, Ordering::SeqCst);
        Self(counts.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _before = self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl StoreHandle {
    /// Opens the store in `directory` and starts its writer thread.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        let store = Arc::new(Store::open(directory, durability)?);
        let counts = Arc::new(Counts::default());
        let (queue, jobs) = mpsc::channel(MAX_GROUP);
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .spawn({
                let (store, counts) = (store.clone(), counts.clone());
                move || write(&store, &counts, jobs)
            })
            .map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
        Ok(Self { shared: Arc::new(WriterShared { store, counts, queue: Some(queue), writer: Some(writer) }) })
    }

    /// Stores a batch whole; it is durable when this returns. Batches are stored in the order in which they were queued.
    ///
    /// A call that is dropped may or may not have queued its batch, which is then stored all the same.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] concerns this batch only; after any other the store takes nothing more.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.queue(batch).await?.outcome().await
    }

    /// Queues a batch, and does not wait until it is stored.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] concerns this batch only; after any other the store takes nothing more.
    pub(crate) async fn queue(&self, batch: Batch) -> Result<Queued, StoreError> {
        batch.check()?;
        if let Some(stored) = self.shared.commit_here(&batch) {
            return Ok(Queued::Over(stored));
        }
        let turn = Place::take(&self.shared.counts);
        let queue = self.shared.queue.as_ref().ok_or(StoreError::Over)?;
        let (done, outcome) = oneshot::channel();
        queue.send(Job { batch, turn, done }).await.map_err(|_| StoreError::Over)?;
        Ok(Queued::Waits(outcome))
    }

    /// A value, or none where the key is not there. Reads what is committed, mostly from memory.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.store.get(table, key)
    }

    /// Every key of a table that begins with `prefix`, with its value, ordered by key. It blocks its thread while it reads.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn load(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        self.shared.store.load(table, prefix)
    }

    /// Every key and value of a table, ordered by key. For the start of a node: it blocks its thread while it reads.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn load_all(&self, table: Table) -> Result<Vec<Entry>, StoreError> {
        self.load(table, &[])
    }

    /// The same store, which may be closed meanwhile.
    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.shared))
    }

    /// As [`Store::doubt`].
    #[must_use]
    pub fn doubt(&self) -> Option<StoreDoubt> {
        self.shared.store.doubt()
    }

    /// What the writer has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let Counts { batches, transactions, .. } = &*self.shared.counts;
        Counters { batches: batches.load(Ordering::Relaxed), transactions: transactions.load(Ordering::Relaxed) }
    }
}

/// A batch that is queued, or stored already.
#[derive(Debug)]
pub(crate) enum Queued {
    Over(Result<(), StoreError>),
    Waits(oneshot::Receiver<Result<(), StoreError>>),
}

impl Queued {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn outcome(self) -> Result<(), StoreError> {
        match self {
            Self::Over(outcome) => outcome,
            // The writer answers every job; it goes away without only if it panicked.
            Self::Waits(outcome) => outcome.await.unwrap_or(Err(StoreError::Over)),
        }
    }
}

/// A store, as long as somebody else has it open.
#[derive(Clone, Debug)]
pub(crate) struct WeakStore(Weak<WriterShared>);

impl WeakStore {
    /// The store, where it is open.
    pub(crate) fn upgrade(&self) -> Option<StoreHandle> {
        self.0.upgrade().map(|shared| StoreHandle { shared })
    }
}

impl WriterShared {
    /// Stores a batch on the thread of its task, where nobody waits for the writer and a disk that is quick is done sooner than the writer would be woken
    /// and the task again. None where it has to be queued. At most one thread of a runtime is held up by it, and never its only one.
    fn commit_here(&self, batch: &Batch) -> Option<Result<(), StoreError>> {
        let has_others = Handle::try_current().is_ok_and(|runtime| runtime.metrics().num_workers() > 1);
        if !has_others || self.counts.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let stored = self.store.commit_if_quick(batch)?;
        if stored.is_ok() {
            self.counts.stored(1);
        }
        Some(stored)
    }
}

impl Counts {
    /// Notes a transaction with so many batches.
    fn stored(&self, batches: usize) {
        let _before = self.transactions.fetch_add(1, Ordering::Relaxed);
        let _before = self.batches.fetch_add(u64::try_from(batches).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for WriterShared {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was seen by everyone who waited for it.
            let _ended = writer.join();
        }
    }
}

/// Takes everything queued, stores it in one transaction, answers all; again, until nobody is left to queue.
fn write(store: &Store, counts: &Counts, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while jobs.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let outcome = store.commit_checked(group.iter().map(|job| &job.batch));
        if outcome.is_ok() {
            counts.stored(group.len());
        }
        for Job { turn, done, .. } in group.drain(..) {
            drop(turn);
            // Who dropped the call does not want the answer.
            let _told = done.send(outcome.clone());
        }
    }
}
