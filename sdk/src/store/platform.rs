//! What is asked of the system for the store's files, where the system has it.

use std::{fs::File, io};

/// What is read next of this file is what the disk has. After a write that failed, or that nobody waited for, the system's cache may hold what the disk has not: its pages count
/// as written, and nobody is told a second time.
///
/// # Errors
/// The disk has not taken what the cache held.
pub(super) fn forget_cached(file: &File) -> io::Result<()> {
    let synced = file.sync_data();
    #[cfg(target_os = "linux")]
    let _best_effort = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    synced
}
