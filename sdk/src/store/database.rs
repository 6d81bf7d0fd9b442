use super::{
    Batch, OpenError, StoreError, Table,
    batch::Change,
    files::{Lock, StoreDoubt},
};
use chain::private_files;
use redb::{AccessGuard, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError};
use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk (fsync): survives `kill -9` and power cuts. The only choice for a node with coins.
    #[default]
    Immediate,
    /// At once, still whole or not at all: **a crash loses thousands of commits at once**. A node that signed states and lost them can be
    /// cheated; for benchmarks and throw-away nodes only.
    DangerNone,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// An open store. Dropping it closes it.
#[derive(Debug)]
pub struct Store {
    database: Database,
    durability: Durability,
    /// The commits in the file so far.
    commits: AtomicU64,
    /// A commit failed: nothing more is stored.
    over: AtomicBool,
    /// Why it may be old.
    doubt: Option<StoreDoubt>,
    /// Released last.
    lock: Lock,
}

/// The format that this version writes, and the newest one that it reads.
const FORMAT: u32 = 1;
/// Facts about the store itself, apart from the node's values.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("store");
const FACT_FORMAT: &str = "format";
const FACT_COMMITS: &str = "commits";
/// The memory for pages that were read or written.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Without durable commits the file only grows, so there is one after so many others.
const DANGER_NONE_INTERVAL: u64 = 4_096;

type Values = TableDefinition<'static, &'static [u8], &'static [u8]>;

const fn values(table: Table) -> Values {
    TableDefinition::new(table.name())
}

impl Store {
    /// Opens the store in `directory`, and creates both where they are missing.
    ///
    /// Every page of it is read and checked, so that damage shows now and not in a dispute.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        let lock = Lock::take(directory)?;
        let path = directory.join("store.redb");
        let opened = match File::open(&path) {
            Ok(file) => check_rights(&file, &path).and_then(|()| without_panic(&path, || open_existing(&path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(directory, &path),
            Err(source) => Err(OpenError::Io { path: path.clone(), source }),
        };
        let database = opened?;
        let commits = without_panic(&path, || read_facts(&database, &path))?;
        let acknowledged =
            lock.acknowledged().map_err(|source| OpenError::Io { path: lock.path().to_owned(), source })?;
        let failed = |source| OpenError::Io { path: lock.path().to_owned(), source };
        if commits < acknowledged {
            lock.note_rolled_back().map_err(failed)?;
        }
        let doubt = lock.doubt().map_err(failed)?;
        if let Some(doubt) = doubt {
            tracing::error!(
                store = %path.display(), lock = %lock.path().display(), ?doubt, commits, acknowledged,
                "this store may be older than what its node has signed: its channels sign nothing new, and only old closes are answered; put the newest \
                 copy back, or, where this is the newest there is, stop the node, delete the lock and start again"
            );
        }
        Ok(Self { database, durability, commits: commits.into(), over: false.into(), doubt, lock })
    }

    /// Why it may be older than what its node has signed, where it may: then the node's channels go on as with an old store (R6.6a). Where the owner
    /// knows that it is the newest there is, deleting the lock says so.
    #[must_use]
    pub const fn doubt(&self) -> Option<StoreDoubt> {
        self.doubt
    }

    /// Stores a batch whole; it is durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] concerns this batch only; after any other the store takes nothing more.
    pub fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check()?;
        self.commit_checked([batch])
    }

    /// Stores batches that passed [`Batch::check`], in one transaction.
    pub(super) fn commit_checked<'a>(&self, batches: impl IntoIterator<Item = &'a Batch>) -> Result<(), StoreError> {
        if self.over.load(Ordering::Acquire) {
            return Err(StoreError::Over);
        }
        let committed = self.transact(batches.into_iter().flat_map(Batch::changes));
        if committed.is_err() {
            self.over.store(true, Ordering::Release);
        }
        committed
    }

    /// A value, or none where the key is not there.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(StoreError::failed)?;
        let table = read.open_table(values(table)).map_err(StoreError::failed)?;
        let value = table.get(key).map_err(StoreError::failed)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// Every key of a table that begins with `prefix`, with its value, ordered by key.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn load(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let read = self.database.begin_read().map_err(StoreError::failed)?;
        let table = match read.open_table(values(table)) {
            // A store from before there was such a table.
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(StoreError::failed)?,
        };
        let read = |entry: Result<_, StorageError>| -> Result<Entry, StoreError> {
            let (key, value): (AccessGuard<'_, &[u8]>, AccessGuard<'_, &[u8]>) = entry.map_err(StoreError::failed)?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        };
        let entries = table.range(prefix..).map_err(StoreError::failed)?.map(read);
        let of_prefix =
            |entry: &Result<Entry, StoreError>| entry.as_ref().map_or(true, |(key, _)| key.starts_with(prefix));
        entries.take_while(of_prefix).collect()
    }

    /// Every key and value of a table, ordered by key.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn load_all(&self, table: Table) -> Result<Vec<Entry>, StoreError> {
        self.load(table, &[])
    }

    fn transact<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> Result<(), StoreError> {
        let commits = self.commits.load(Ordering::Acquire).saturating_add(1);
        let durable = self.durability == Durability::Immediate || commits.is_multiple_of(DANGER_NONE_INTERVAL);
        let mut transaction = self.database.begin_write().map_err(StoreError::failed)?;
        let durability = if durable { redb::Durability::Immediate } else { redb::Durability::None };
        transaction.set_durability(durability).map_err(StoreError::failed)?;
        {
            let mut facts = transaction.open_table(FACTS).map_err(StoreError::failed)?;
            let _previous = facts.insert(FACT_COMMITS, commits).map_err(StoreError::failed)?;
        }
        let mut open = None;
        for Change { table, key, value } in changes {
            // One table is open at a time, and most batches touch one only.
            let values = match &mut open {
                Some((name, values)) if name == table => values,
                other => {
                    *other = None;
                    let values = transaction.open_table(values(*table)).map_err(StoreError::failed)?;
                    &mut other.insert((*table, values)).1
                }
            };
            let _previous = match value {
                Some(value) => values.insert(&key[..], &value[..]),
                None => values.remove(&key[..]),
            }
            .map_err(StoreError::failed)?;
        }
        drop(open);
        transaction.commit().map_err(StoreError::failed)?;
        self.commits.store(commits, Ordering::Release);
        if durable {
            self.lock.acknowledge(commits).map_err(|error| StoreError::failed(StorageError::Io(error)))?;
        }
        Ok(())
    }
}

impl Drop for Store {
    /// What was committed without durability is made durable by a clean end.
    fn drop(&mut self) {
        if self.durability == Durability::DangerNone && !self.over.load(Ordering::Acquire) {
            self.durability = Durability::Immediate;
            let _best_effort = self.transact([].iter());
        }
    }
}

fn open_existing(path: &Path) -> Result<Database, OpenError> {
    let mut database = builder().open(path).map_err(|error| open_error(path, error))?;
    // A store that had to be repaired is either whole or behind what was acknowledged, which is looked at next.
    let _clean = database.check_integrity().map_err(|error| open_error(path, error))?;
    Ok(database)
}

/// The database library panics over some damage.
fn without_panic<T>(path: &Path, look: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| {
        Err(OpenError::Corrupt { path: path.to_owned(), cause: "its parts do not fit each other".to_owned() })
    })
}

/// Creates the file under another name first: `path` is there whole or not at all. The lock keeps others away meanwhile.
fn create(directory: &Path, path: &Path) -> Result<Database, OpenError> {
    let temporary = directory.join("store.redb.new");
    let failed = |source| OpenError::Io { path: temporary.clone(), source };
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _removed_or_not_there => {}
    }
    let file = private_files::create_new(&temporary).map_err(failed)?;
    let database = builder().create_file(file).map_err(|error| open_error(&temporary, error))?;
    write_facts(&database).map_err(|error| storage_error(&temporary, error))?;
    fs::rename(&temporary, path).and_then(|()| private_files::sync_directory(directory)).map_err(failed)?;
    Ok(database)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    let _same = builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write_facts(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut facts = transaction.open_table(FACTS)?;
        drop(facts.insert(FACT_FORMAT, u64::from(FORMAT))?);
        drop(facts.insert(FACT_COMMITS, 0)?);
    }
    for table in Table::ALL {
        let _table = transaction.open_table(values(table))?;
    }
    Ok(transaction.commit()?)
}

/// Checks the format; the number of commits in the file.
fn read_facts(database: &Database, path: &Path) -> Result<u64, OpenError> {
    let read = |fact| -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_read()?;
        Ok(transaction.open_table(FACTS)?.get(fact)?.map(|value| value.value()))
    };
    let corrupt = |cause: &str| OpenError::Corrupt { path: path.to_owned(), cause: cause.to_owned() };
    let format = read(FACT_FORMAT).map_err(|error| storage_error(path, error))?;
    let format = format.and_then(|format| u32::try_from(format).ok()).ok_or_else(|| corrupt("no format is noted"))?;
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    let commits = read(FACT_COMMITS).map_err(|error| storage_error(path, error))?;
    commits.ok_or_else(|| corrupt("no number of commits is noted"))
}

fn check_rights(file: &File, path: &Path) -> Result<(), OpenError> {
    match private_files::rights_of_others(file) {
        Ok(None) => Ok(()),
        Ok(Some(mode)) => Err(OpenError::OpenToOthers { path: path.to_owned(), mode }),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: private_files::directory_of(path) },
        error => storage_error(path, error.into()),
    }
}

fn storage_error(path: &Path, error: redb::Error) -> OpenError {
    let path: PathBuf = path.to_owned();
    match error {
        redb::Error::Io(source) if !damage(&source) => OpenError::Io { path, source },
        error => OpenError::Corrupt { path, cause: error.to_string() },
    }
}

/// Whether the system's words are about what is in the file, and not about getting at it.
fn damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
