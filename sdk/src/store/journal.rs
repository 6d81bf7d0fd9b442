//! The journal of a store (R6.4b): commits since the values were last written, each one small write that waits for the disk.
//!
//! ```text
//!   journal, 4 MiB, made once, full of zeros:
//!
//!     | record | ... | record | what a former one left, never read |
//!
//!   record, from the beginning of a page of 4 KiB, filled up with zeros to the next:
//!
//!     check [32] | opening u64 | length of the rows u32 | rows     little-endian; a row is SCALE(table, key, value or none)
//! ```
//!
//! The check is the hash of the record with the former record's check in its place. The first one follows a [`Base`]: what the values hold, and a
//! number that was drawn by who wrote them. So a record counts on top of the values that it was written on top of and of all records before it, or not at
//! all: not after one that is torn or missing, not with values that were put back without it, and not once the values hold it. `opening` is drawn by
//! each opening: what is written anew after a damaged record is another record, and what lies behind it does not follow.
//!
//! No page that was confirmed is written again until the values hold what is in it.

use super::{
    Batch, OpenError,
    batch::Change,
    in_place::{InPlace, PAGE},
    platform::forget_cached,
};
use chain::private_files;
use protocol::{
    Hash,
    crypto::{Crypto, Native},
};
use scale::{Decode, Encode};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

/// The length of the file in bytes: a thousand commits of one channel.
const LENGTH: u64 = 4 * 1024 * 1024;
/// Where the parts of a record begin, in bytes.
const OPENING_AT: usize = 32;
const LENGTH_AT: usize = 40;
const ROWS_AT: usize = 44;
/// Before the hash of where a journal begins.
const TAG: &[u8; 16] = b"store journal v1";

/// The values that a journal goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The number that was drawn by the opening which wrote them.
    pub(super) opening: u64,
    /// The commits that they hold.
    pub(super) commits: u64,
}

impl Base {
    /// What the first record follows.
    fn check(self) -> Hash {
        let Self { opening, commits } = self;
        Native.hash(&[&TAG[..], &opening.to_le_bytes(), &commits.to_le_bytes()].concat())
    }
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: InPlace,
    /// Drawn by this opening.
    opening: u64,
    /// The last record's check, or the base's.
    last: Hash,
    /// Where the next record begins.
    end: u64,
    /// The record that is being made: kept for its memory.
    record: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `directory`, where there is one. There is no room in it until it is replayed or begun.
    pub(super) fn open(directory: &Path, opening: u64) -> Result<Option<Self>, OpenError> {
        let path = directory.join("journal");
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        if let Some(mode) = private_files::rights_of_others(&file).map_err(failed)? {
            return Err(OpenError::OpenToOthers { path, mode });
        }
        Ok(Some(Self::of(file, opening)))
    }

    /// Creates the journal in `directory` under another name first: it is there whole or not at all.
    pub(super) fn create(directory: &Path, opening: u64) -> io::Result<Self> {
        let (path, temporary) = (directory.join("journal"), directory.join("journal.new"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _removed_or_not_there => {}
        }
        let file = private_files::create_new(&temporary)?;
        let made = fill(&file, 0)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| private_files::sync_directory(directory));
        if let Err(error) = made {
            // Half of a journal would take room on a full disk.
            let _best_effort = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(Self::of(file, opening))
    }

    fn of(file: File, opening: u64) -> Self {
        Self { file: InPlace::new(file), opening, last: Hash([0; 32]), end: LENGTH, record: Vec::new() }
    }

    /// What was committed on top of `base`, in order; it goes on behind that.
    ///
    /// # Errors
    /// The file system's, and [`io::ErrorKind::InvalidData`] for rows that this version does not know.
    pub(super) fn replay(&mut self, base: Base) -> io::Result<Vec<Batch>> {
        let synced = forget_cached(self.file.file());
        self.begin(base);
        let mut batches = Vec::new();
        while let Some((check, batch)) = self.read()? {
            (self.last, self.end) = (check, self.end.saturating_add(pages(self.record.len())));
            batches.push(batch);
        }
        if !batches.is_empty() {
            // A killed process may have written without waiting for the disk.
            synced?;
        }
        Ok(batches)
    }

    /// Takes the room for whatever is missing of the file, as after a copy that was cut.
    ///
    /// # Errors
    /// The file system's: there is no room for commits.
    pub(super) fn complete(&self) -> io::Result<()> {
        let file = self.file.file();
        let length = file.metadata()?.len();
        if length < LENGTH { fill(file, length) } else { Ok(()) }
    }

    /// Whether the values hold all that was committed.
    pub(super) const fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Begins anew: the values of `base` hold all that was committed, and are on disk.
    pub(super) fn begin(&mut self, base: Base) {
        (self.last, self.end) = (base.check(), 0);
    }

    /// Stores changes together; they are on disk when this returns. Whether there was room for them.
    ///
    /// # Errors
    /// After any it is unknown whether they are stored.
    pub(super) fn append<'a>(&mut self, changes: impl Iterator<Item = &'a Change> + Clone) -> io::Result<bool> {
        let rows: usize = changes.clone().map(Encode::encoded_size).fold(0, usize::saturating_add);
        let size = pages(rows.saturating_add(ROWS_AT));
        let (Ok(rows), true) = (u32::try_from(rows), size <= LENGTH.saturating_sub(self.end)) else { return Ok(false) };
        self.record.clear();
        self.record.extend(self.last.0);
        self.record.extend(self.opening.to_le_bytes());
        self.record.extend(rows.to_le_bytes());
        changes.for_each(|change| change.encode_to(&mut self.record));
        let check = Native.hash(&self.record);
        self.record.iter_mut().zip(check.0).for_each(|(to, from)| *to = from);
        self.record.resize(self.record.len().next_multiple_of(PAGE), 0);
        self.file.write(&self.record, self.end)?;
        (self.last, self.end) = (check, self.end.saturating_add(size));
        Ok(true)
    }

    /// The next record, its check and what it holds, where there is one that follows the last.
    fn read(&mut self) -> io::Result<Option<(Hash, Batch)>> {
        let mut head = [0; ROWS_AT];
        let room = LENGTH.saturating_sub(self.end);
        if room < pages(ROWS_AT) {
            return Ok(None);
        }
        if !is_there(self.file.file().read_exact_at(&mut head, self.end))? {
            return Ok(None);
        }
        let (check, rest) = head.split_at(OPENING_AT);
        let (_opening, rows) = rest.split_at(LENGTH_AT.saturating_sub(OPENING_AT));
        let rows = rows.try_into().map_or(u32::MAX, u32::from_le_bytes);
        let Some(size) = usize::try_from(rows).ok().and_then(|rows| rows.checked_add(ROWS_AT)) else { return Ok(None) };
        if pages(size) > room {
            return Ok(None);
        }
        self.record.resize(size, 0);
        if !is_there(self.file.file().read_exact_at(&mut self.record, self.end))? {
            return Ok(None);
        }
        self.record.iter_mut().zip(self.last.0).for_each(|(to, from)| *to = from);
        let found = Native.hash(&self.record);
        if found.0 != check {
            return Ok(None);
        }
        let mut rows = self.record.get(ROWS_AT..).unwrap_or_default();
        let mut batch = Batch::new();
        while !rows.is_empty() {
            let change = Change::decode(&mut rows);
            batch = batch.with(change.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
        }
        Ok(Some((found, batch)))
    }
}

/// Whether there was so much to be read.
fn is_there(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// So many bytes, filled up to whole pages.
fn pages(bytes: usize) -> u64 {
    bytes.checked_next_multiple_of(PAGE).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(u64::MAX)
}

/// Writes zeros from there to the end, so that no later write asks the file system for room.
fn fill(file: &File, from: u64) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(LENGTH.saturating_sub(from)).unwrap_or(0)];
    file.write_all_at(&zeros, from)?;
    file.sync_all()
}
