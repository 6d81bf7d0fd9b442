use super::{Batch, Durability, Entry, OpenError, Store, StoreDoubt, StoreError, Table};
use std::{
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::{mpsc, oneshot};

/// The most batches in one transaction, and the most that wait for the next one: further commits wait until there is room.
pub const MAX_GROUP: usize = 1_024;

/// A store for many tasks: what they commit at the same time shares one transaction and one fsync (R6.4).
///
/// Clones are the same store. Dropping the last one waits until everything queued is stored and closes the store.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
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
}

#[derive(Debug)]
struct Job {
    batch: Batch,
    done: oneshot::Sender<Result<(), StoreError>>,
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
        Ok(Self { shared: Arc::new(Shared { store, counts, queue: Some(queue), writer: Some(writer) }) })
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
        let queue = self.shared.queue.as_ref().ok_or(StoreError::Over)?;
        let (done, outcome) = oneshot::channel();
        queue.send(Job { batch, done }).await.map_err(|_| StoreError::Over)?;
        Ok(Queued(outcome))
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
        let Counts { batches, transactions } = &*self.shared.counts;
        Counters { batches: batches.load(Ordering::Relaxed), transactions: transactions.load(Ordering::Relaxed) }
    }
}

/// A batch that is queued.
#[derive(Debug)]
pub(crate) struct Queued(oneshot::Receiver<Result<(), StoreError>>);

impl Queued {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn outcome(self) -> Result<(), StoreError> {
        // The writer answers every job; it goes away without only if it panicked.
        self.0.await.unwrap_or(Err(StoreError::Over))
    }
}

/// A store, as long as somebody else has it open.
#[derive(Clone, Debug)]
pub(crate) struct WeakStore(Weak<Shared>);

impl WeakStore {
    /// The store, where it is open.
    pub(crate) fn upgrade(&self) -> Option<StoreHandle> {
        self.0.upgrade().map(|shared| StoreHandle { shared })
    }
}

impl Drop for Shared {
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
            let _before = counts.transactions.fetch_add(1, Ordering::Relaxed);
            let _before = counts.batches.fetch_add(u64::try_from(group.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        for job in group.drain(..) {
            // Who dropped the call does not want the answer.
            let _told = job.done.send(outcome.clone());
        }
    }
}
