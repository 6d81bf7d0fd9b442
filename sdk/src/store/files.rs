//! The directory of a store: its lock, and the count of acknowledged commits beside the values.

use super::OpenError;
use crate::private_files;
use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The lock of a store, held until dropped; the system releases it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
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

    /// Notes the number of commits, without waiting for the disk: what a killed process noted is kept by the system.
    pub(super) fn acknowledge(&self, commits: u64) -> io::Result<()> {
        self.file.write_all_at(&commits.to_le_bytes(), 0)
    }
}
