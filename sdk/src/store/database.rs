use super::{
    Batch, Entry, OpenError, StoreError, Table,
    batch::Change,
    files::{StoreDoubt, StoreLock},
    journal::{Base, Journal},
    platform::forget_cached,
    recent::{Journalled, merge},
};
use chain::private_files;
use redb::{
    AccessGuard, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, TableDefinition, TableError,
    WriteTransaction, backends::FileBackend,
};
use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk (as after `fdatasync`): survives `kill -9` and power cuts. The only choice for a node with coins.
    #[default]
    Immediate,
    /// At once, still whole or not at all: **a crash loses thousands of commits at once**. A node that signed states and lost them can be
    /// cheated; for benchmarks and throw-away nodes only.
    DangerNone,
}

/// An open store. Dropping it closes it.
#[derive(Debug)]
pub struct Store {
    database: Database,
    durability: Durability,
    /// Drawn by this opening: whatever it writes differs from what others wrote (see the journal).
    opening: u64,
    /// What the database does not hold yet. Whoever commits has `progress` first.
    recent: RwLock<Journalled>,
    progress: Mutex<Progress>,
    /// Why it may be old.
    doubt: Option<StoreDoubt>,
    /// Released last.
    lock: StoreLock,
}

/// How far commits have come.
#[derive(Debug)]
struct Progress {
    /// The commits so far.
    commits: u64,
    /// None where commits go to the database itself: without durability, and where a full disk had no room for a journal.
    journal: Option<Journal>,
    /// The last commit was in the journal within [`QUICK`].
    is_quick: bool,
    /// A commit failed: nothing more is stored.
    is_over: bool,
}

/// What the database says of itself.
struct StoreFacts {
    commits: u64,
    /// None where it was written before there were journals.
    opening: Option<u64>,
}

/// The format that this version writes, and the newest one that it reads. Format 1 had no journal.
const FORMAT: u32 = 2;
/// Facts about the store itself, apart from the node's values.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("store");
const FACT_FORMAT: &str = "format";
const FACT_COMMITS: &str = "commits";
const FACT_OPENING: &str = "opening";
/// The memory for pages that were read or written.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// How long a task may hold up its thread for the disk, which it does where waking the writer and being woken would take a good part of that again.
const QUICK: Duration = Duration::from_millis(1);
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
        let lock = StoreLock::take(directory)?;
        let path = directory.join("store.redb");
        let opening = random().map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let opened = match File::open(&path) {
            Ok(file) => {
                // A full disk keeps no store from being read; whatever else is wrong with it the next commit finds out.
                let _may_fail = forget_cached(&file);
                check_rights(&file, &path).and_then(|()| without_panic(&path, || open_existing(&path)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(directory, &path, opening),
            Err(source) => Err(OpenError::Io { path: path.clone(), source }),
        };
        let database = opened?;
        let facts = without_panic(&path, || read_facts(&database, &path))?;
        let mut recent = Journalled::default();
        let (mut commits, mut journal) = (facts.commits, Journal::open(directory, opening)?);
        if let (Some(journal), Some(base)) = (&mut journal, facts.base()) {
            let batches = journal.replay(base).map_err(|source| file_error(directory.join("journal"), source))?;
            for batch in batches {
                recent.apply(batch.changes().iter());
                commits = commits.saturating_add(1);
            }
        }
        let doubt =
            doubt(&lock, &path, commits).map_err(|source| OpenError::Io { path: lock.path().into(), source })?;
        let journal = match (durability, journal) {
            (Durability::DangerNone, _) => None,
            (Durability::Immediate, None) => new_journal(directory, opening, facts.base())?,
            (Durability::Immediate, Some(journal)) => with_room(directory, journal)?,
        };
        let progress = Progress { commits, journal, is_quick: false, is_over: false };
        Ok(Self { database, durability, opening, recent: recent.into(), progress: progress.into(), doubt, lock })
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

    /// Stores batches that passed [`Batch::check`], all or none.
    pub(super) fn commit_checked<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a Batch, IntoIter: Clone>,
    ) -> Result<(), StoreError> {
        // Poisoned where an earlier commit panicked.
        let mut progress = self.progress.lock().map_err(|_poisoned| StoreError::Over)?;
        if progress.is_over {
            return Err(StoreError::Over);
        }
        let committed = self.store(&mut progress, batches.into_iter().flat_map(Batch::changes));
        progress.is_over = committed.is_err();
        committed
    }

    /// Stores a batch that passed [`Batch::check`] where that takes but a moment: the disk was quick the last time, nobody else stores anything, and the
    /// journal has room. None otherwise.
    pub(super) fn commit_if_quick(&self, batch: &Batch) -> Option<Result<(), StoreError>> {
        let mut progress = self.progress.try_lock().ok()?;
        if progress.is_over || !progress.is_quick {
            return None;
        }
        let committed = self.append(&mut progress, batch.changes().iter());
        progress.is_over = committed.is_err();
        committed.map(|stored| stored.then_some(())).transpose()
    }

    /// A value, or none where the key is not there.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let (recent, read) = self.look()?;
        if let Some(value) = recent.get(table, key) {
            return Ok(value.clone());
        }
        drop(recent);
        let table = read.open_table(values(table)).map_err(StoreError::failed)?;
        let value = table.get(key).map_err(StoreError::failed)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// Every key of a table that begins with `prefix`, with its value, ordered by key.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn load(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let (recent, read) = self.look()?;
        let changes = recent.of_prefix(table, prefix);
        drop(recent);
        let table = match read.open_table(values(table)) {
            // A store from before there was such a table.
            Err(TableError::TableDoesNotExist(_)) => return Ok(merge(Vec::new(), changes)),
            table => table.map_err(StoreError::failed)?,
        };
        let read = |entry: Result<_, StorageError>| -> Result<Entry, StoreError> {
            let (key, value): (AccessGuard<'_, &[u8]>, AccessGuard<'_, &[u8]>) = entry.map_err(StoreError::failed)?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        };
        let entries = table.range(prefix..).map_err(StoreError::failed)?.map(read);
        let of_prefix =
            |entry: &Result<Entry, StoreError>| entry.as_ref().map_or(true, |(key, _)| key.starts_with(prefix));
        Ok(merge(entries.take_while(of_prefix).collect::<Result<_, _>>()?, changes))
    }

    /// Every key and value of a table, ordered by key.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn load_all(&self, table: Table) -> Result<Vec<Entry>, StoreError> {
        self.load(table, &[])
    }

    /// What is recent, and what the database holds, both of one moment.
    fn look(&self) -> Result<(RwLockReadGuard<'_, Journalled>, ReadTransaction), StoreError> {
        // A panic of the database leaves what is recent as it was.
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let read = self.database.begin_read().map_err(StoreError::failed)?;
        Ok((recent, read))
    }

    /// Stores changes in the journal; or where there is no room for them, together with all that is recent, in the database, after which the journal
    /// begins anew.
    fn store<'a>(
        &self,
        progress: &mut Progress,
        changes: impl Iterator<Item = &'a Change> + Clone,
    ) -> Result<(), StoreError> {
        if self.append(progress, changes.clone())? {
            return Ok(());
        }
        let commits = progress.commits.saturating_add(1);
        self.transact(commits, changes)?;
        if let Some(journal) = &mut progress.journal {
            journal.begin(Base { opening: self.opening, commits });
        }
        self.done(progress, commits)
    }

    /// Stores changes in the journal. False where there is none, or no room in it.
    fn append<'a>(
        &self,
        progress: &mut Progress,
        changes: impl Iterator<Item = &'a Change> + Clone,
    ) -> Result<bool, StoreError> {
        let Some(journal) = &mut progress.journal else { return Ok(false) };
        let began = Instant::now();
        if !journal.append(changes.clone()).map_err(|error| StoreError::failed(StorageError::Io(error)))? {
            return Ok(false);
        }
        progress.is_quick = began.elapsed() < QUICK;
        self.recent.write().unwrap_or_else(PoisonError::into_inner).apply(changes);
        let commits = progress.commits.saturating_add(1);
        self.done(progress, commits).map(|()| true)
    }

    /// Notes that so many commits are stored.
    fn done(&self, progress: &mut Progress, commits: u64) -> Result<(), StoreError> {
        progress.commits = commits;
        if self.is_durable(commits) {
            self.lock.acknowledge(commits).map_err(|error| StoreError::failed(StorageError::Io(error)))?;
        }
        Ok(())
    }

    /// Whether the commit with this number waits for the disk.
    fn is_durable(&self, commit: u64) -> bool {
        self.durability == Durability::Immediate || commit.is_multiple_of(DANGER_NONE_INTERVAL)
    }

    /// Stores what is recent and these changes in the database, as the commit with this number.
    fn transact<'a>(&self, commit: u64, changes: impl Iterator<Item = &'a Change>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write().map_err(StoreError::failed)?;
        let durability = if self.is_durable(commit) { redb::Durability::Immediate } else { redb::Durability::None };
        transaction.set_durability(durability).map_err(StoreError::failed)?;
        note(&transaction, Base { opening: self.opening, commits: commit }).map_err(StoreError::failed)?;
        {
            let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
            put(&transaction, recent.changes()).map_err(StoreError::failed)?;
        }
        let changes = changes.map(|Change { table, key, value }| (*table, key.as_slice(), value.as_deref()));
        put(&transaction, changes).map_err(StoreError::failed)?;
        // Nobody sees a part of it: readers wait.
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        transaction.commit().map_err(StoreError::failed)?;
        recent.clear();
        Ok(())
    }
}

impl Drop for Store {
    /// A clean end leaves nothing in the journal, and makes durable what was committed without.
    fn drop(&mut self) {
        let is_without = self.durability == Durability::DangerNone;
        // Where a full disk had no room for a whole journal, what was read of it is recent and there is none.
        let has_recent = !self.recent.get_mut().unwrap_or_else(PoisonError::into_inner).is_empty();
        let is_behind = |progress: &Progress| {
            is_without || has_recent || progress.journal.as_ref().is_some_and(|journal| !journal.is_empty())
        };
        let commits = match self.progress.get_mut() {
            Ok(progress) if !progress.is_over && is_behind(progress) => progress.commits.saturating_add(1),
            _nothing_to_store => return,
        };
        self.durability = Durability::Immediate;
        let _best_effort = self.transact(commits, [].iter()).map(|()| self.lock.acknowledge(commits));
    }
}

impl StoreFacts {
    /// What a journal goes on from.
    fn base(&self) -> Option<Base> {
        let Self { commits, opening } = *self;
        opening.map(|opening| Base { opening, commits })
    }
}

/// Why the store may be old. Notes for good where it has fewer commits than were acknowledged.
fn doubt(lock: &StoreLock, path: &Path, commits: u64) -> io::Result<Option<StoreDoubt>> {
    let acknowledged = lock.acknowledged()?;
    if commits < acknowledged {
        lock.note_rolled_back()?;
    }
    let doubt = lock.doubt()?;
    if let Some(doubt) = doubt {
        tracing::error!(
            store = %path.display(), lock = %lock.path().display(), ?doubt, commits, acknowledged,
            "this store may be older than what its node has signed: its channels sign nothing new, and only old closes are answered; put the newest \
             copy back, or, where this is the newest there is, stop the node, delete the lock and start again"
        );
    }
    Ok(doubt)
}

/// A journal that goes on from what the database holds. None where the disk is full: then commits go to the database, as long as it takes them.
fn new_journal(directory: &Path, opening: u64, base: Option<Base>) -> Result<Option<Journal>, OpenError> {
    let mut journal = if_room(directory, Journal::create(directory, opening))?;
    if let (Some(journal), Some(base)) = (&mut journal, base) {
        journal.begin(base);
    }
    Ok(journal)
}

/// The journal, where it is whole, or the disk has room for what is missing of it.
fn with_room(directory: &Path, journal: Journal) -> Result<Option<Journal>, OpenError> {
    Ok(if_room(directory, journal.complete())?.map(|()| journal))
}

/// What there was room for.
fn if_room<T>(directory: &Path, made: io::Result<T>) -> Result<Option<T>, OpenError> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) if is_full(&error) => {
            tracing::warn!(directory = %directory.display(), %error, "no room for the store's journal: commits will take longer");
            Ok(None)
        }
        Err(source) => Err(OpenError::Io { path: directory.to_owned(), source }),
    }
}

/// Whether the system says that there is no room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(error.to_string()))
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
fn create(directory: &Path, path: &Path, opening: u64) -> Result<Database, OpenError> {
    let temporary = directory.join("store.redb.new");
    let failed = |source| OpenError::Io { path: temporary.clone(), source };
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _removed_or_not_there => {}
    }
    let file = private_files::create_new(&temporary).map_err(failed)?;
    let backend = FileBackend::new(file).map_err(|error| open_error(&temporary, error))?;
    let database = builder().create_with_backend(backend).map_err(|error| open_error(&temporary, error))?;
    write_first(&database, opening).map_err(|error| storage_error(&temporary, error))?;
    fs::rename(&temporary, path).and_then(|()| private_files::sync_directory(directory)).map_err(failed)?;
    Ok(database)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    let _same = builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write_first(database: &Database, opening: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    note(&transaction, Base { opening, commits: 0 })?;
    for table in Table::ALL {
        let _table = transaction.open_table(values(table))?;
    }
    Ok(transaction.commit()?)
}

/// Notes what the database holds with this transaction.
fn note(transaction: &WriteTransaction, base: Base) -> Result<(), redb::Error> {
    let mut facts = transaction.open_table(FACTS)?;
    drop(facts.insert(FACT_FORMAT, u64::from(FORMAT))?);
    drop(facts.insert(FACT_COMMITS, base.commits)?);
    drop(facts.insert(FACT_OPENING, base.opening)?);
    Ok(())
}

/// Puts values, and removes keys that have none.
fn put<'a>(
    transaction: &WriteTransaction,
    changes: impl Iterator<Item = (Table, &'a [u8], Option<&'a [u8]>)>,
) -> Result<(), redb::Error> {
    let mut open = None;
    for (table, key, value) in changes {
        // One table is open at a time, and most batches touch one only.
        let values = match &mut open {
            Some((name, values)) if *name == table => values,
            other => {
                *other = None;
                &mut other.insert((table, transaction.open_table(values(table))?)).1
            }
        };
        let _previous = match value {
            Some(value) => values.insert(key, value)?,
            None => values.remove(key)?,
        };
    }
    Ok(())
}

/// Checks the format; what the database says of itself.
fn read_facts(database: &Database, path: &Path) -> Result<StoreFacts, OpenError> {
    let read = |fact| -> Result<Option<u64>, OpenError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let transaction = database.begin_read()?;
            Ok(transaction.open_table(FACTS)?.get(fact)?.map(|value| value.value()))
        };
        read().map_err(|error| storage_error(path, error))
    };
    let corrupt = |cause: &str| OpenError::Corrupt { path: path.to_owned(), cause: cause.to_owned() };
    let format = read(FACT_FORMAT)?.and_then(|format| u32::try_from(format).ok());
    let format = format.ok_or_else(|| corrupt("no format is noted"))?;
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    let commits = read(FACT_COMMITS)?.ok_or_else(|| corrupt("no number of commits is noted"))?;
    Ok(StoreFacts { commits, opening: read(FACT_OPENING)? })
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
    match error {
        redb::Error::Io(source) => file_error(path.to_owned(), source),
        error => OpenError::Corrupt { path: path.to_owned(), cause: error.to_string() },
    }
}

/// Tells damage from not getting at the file.
fn file_error(path: PathBuf, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            OpenError::Corrupt { path, cause: source.to_string() }
        }
        _not_what_is_in_it => OpenError::Io { path, source },
    }
}
