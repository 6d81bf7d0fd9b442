//! The directory of a store: its lock, and what the lock notes beside the values.
//!
//! ```text
//!   lock: commits acknowledged u64 | number of this very file u64 | when it was made: seconds u64, nanoseconds u32     little-endian
//! ```
//!
//! A file that was copied has another number, or was made at another time: so a directory that was put back from a copy, lock and all, is known.
//! Not noticed is a copy that was written into the old file itself, and one of the whole file system. Where the values have fewer commits than were
//! acknowledged, ones take the place of the number and the time from then on: commits that follow do not make an old store a new one.

use super::OpenError;
use chain::private_files;
use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Where the lock says which file it is.
const FILE_AT: u64 = 8;

/// How long that is.
const FILE_BYTES: usize = 20;
/// What stands there in place of a file, once the values were older than what was acknowledged: no file has this number and time.
const ROLLED_BACK: [u8; FILE_BYTES] = [0xff; FILE_BYTES];

/// Why a store may be older than what its node has signed: the node's channels go on as with an old store (R6.6a), until its owner deletes the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreDoubt {
    /// The directory was copied here from elsewhere, lock and all (R6.6c).
    Copied,
    /// The file has, or once had, fewer commits than its own lock says were acknowledged: an older one was put in its place, or the disk has lost some.
    RolledBack,
}

/// The lock of a store, held until dropped; the system releases it when the process dies.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
    path: PathBuf,
}

impl StoreLock {
    /// Locks the store in `directory`, which is created where it is missing.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("lock");
        let failed = |source| OpenError::Io { path: path.clone(), source };
        private_files::create_directory(directory)
            .map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
        let file = private_files::open_or_create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if let Some(mode) = private_files::rights_of_others(&file).map_err(failed)? {
            return Err(OpenError::OpenToOthers { path, mode });
        }
        Ok(Self { file, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of commits acknowledged so far, as far as it is known: a power cut may lose the last ones noted, never the commits.
    pub(super) fn acknowledged(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(u64::from_le_bytes(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Whether the store may be old: what the lock notes was noted in another file, so the directory was copied; or its values were rolled back once.
    /// Notes which file it is where that is not noted yet.
    pub(super) fn doubt(&self) -> io::Result<Option<StoreDoubt>> {
        let this = this_file(&self.file)?;
        let mut noted = [0; FILE_BYTES];
        match self.file.read_exact_at(&mut noted, FILE_AT) {
            Ok(()) if noted == ROLLED_BACK => Ok(Some(StoreDoubt::RolledBack)),
            Ok(()) => Ok((noted != this).then_some(StoreDoubt::Copied)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.file.write_all_at(&this, FILE_AT).map(|()| None)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes for good that the values are older than what was acknowledged.
    pub(super) fn note_rolled_back(&self) -> io::Result<()> {
        self.file.write_all_at(&ROLLED_BACK, FILE_AT)?;
        self.file.sync_all()
    }

    /// Notes the number of commits, without waiting for the disk: what a killed process noted is kept by the system.
    pub(super) fn acknowledge(&self, commits: u64) -> io::Result<()> {
        self.file.write_all_at(&commits.to_le_bytes(), 0)
    }
}

/// What tells a file from its copies: its number, and when it was made, where the file system knows that. Not its device, which may be numbered
/// anew with each start of the machine.
fn this_file(file: &File) -> io::Result<[u8; FILE_BYTES]> {
    let metadata = file.metadata()?;
    let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut bytes = [0; FILE_BYTES];
    let parts = [&metadata.ino().to_le_bytes()[..], &made.as_secs().to_le_bytes(), &made.subsec_nanos().to_le_bytes()];
    bytes.iter_mut().zip(parts.concat()).for_each(|(to, from)| *to = from);
    Ok(bytes)
}
