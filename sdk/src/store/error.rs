use std::{io, path::PathBuf, sync::Arc};
use thiserror::Error;

/// Why a store cannot be opened. What is stored stays as it is, and each says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("the store {} is in use: another node runs on it; stop that one, or give this one a directory of its own", path.display())]
    InUse {
        /// Its directory.
        path: PathBuf,
    },
    /// The file is damaged, or is something else.
    #[error(
        "the store {} is damaged: {cause}; restore its directory from a copy, or move it away and let the peers' reestablishment bring back \
         the channels",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// A later version of this software wrote it.
    #[error(
        "the store {} has format {found} and this version knows formats up to {known}: use the newer version of this software",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// Others than the owner may touch it.
    #[error("others than its owner may open {path} (its rights are {mode:o}): run `chmod 600 {path}`", path = path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its rights, as `chmod` takes them.
        mode: u32,
    },
    /// The file system refused.
    #[error("cannot open the store at {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Why something was not stored or not read.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The caller's key or value is over the limit; nothing of its batch is stored and the store goes on.
    #[error("a {what} of {length} bytes is over the store's limit of {limit}")]
    TooLong {
        /// Key or value.
        what: &'static str,
        /// Its length.
        length: usize,
        /// [`MAX_KEY`](super::MAX_KEY) or [`MAX_VALUE`](super::MAX_VALUE).
        limit: usize,
    },
    /// The disk or the file failed. Whether the changes are stored is unknown until the store is opened again.
    #[error("the store failed: {0}; check disk and free space, then start again")]
    Failed(#[source] Arc<redb::Error>),
    /// An earlier commit failed, so nothing more is stored until the store is opened again.
    #[error("the store is closed since an earlier failure: check disk and free space, then start again")]
    Over,
}

impl StoreError {
    pub(super) fn failed(error: impl Into<redb::Error>) -> Self {
        Self::Failed(Arc::new(error.into()))
    }
}
