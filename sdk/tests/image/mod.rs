//! The files of a store, as a crash of the machine leaves them, and back again.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

/// What a disk may write at once, in bytes.
pub(crate) const PAGE: usize = 4_096;
/// The values, the journal, the lock.
pub(crate) const FILES: [&str; 3] = ["store.redb", "journal", "lock"];

/// What is in the files of a store.
#[derive(Clone)]
pub(crate) struct Image(pub(crate) [Vec<u8>; 3]);

impl Image {
    pub(crate) fn of(directory: &Path) -> Self {
        Self(FILES.map(|file| fs::read(directory.join(file)).unwrap()))
    }

    /// Into the files that are there already, so that the lock stays the file that it is; only pages that differ are written.
    pub(crate) fn put_back(&self, directory: &Path) {
        for (name, bytes) in FILES.iter().zip(&self.0) {
            let path = directory.join(name);
            let there = fs::read(&path).unwrap();
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(bytes.len().try_into().unwrap()).unwrap();
            let mut pages_there = there.chunks(PAGE);
            for (at, page) in (0..).step_by(PAGE).zip(bytes.chunks(PAGE)) {
                if pages_there.next() != Some(page) {
                    file.write_all_at(page, at).unwrap();
                }
            }
        }
    }
}
