//! A file whose pages are written in place, each write on disk when it returns.
//!
//! Linux takes a write that goes past its cache of pages and that waits for the disk by itself (`O_DIRECT`, `RWF_DSYNC`): one call instead of two, and no page of the cache that is dirty in between. So is
//! written to the file systems of disks of this machine that are known to wait (ext2 to ext4, XFS, Btrfs, F2FS); elsewhere, over a network or through a process of a user's, a write is followed by an `fdatasync`.

use std::{fs::File, io, os::unix::fs::FileExt};

/// A file that is made of whole pages.
#[derive(Debug)]
pub(super) struct InPlace {
    file: File,
    way: Way,
    /// What is written, with room to begin it where a page of memory does.
    aligned: Vec<u8>,
}

/// How a write gets to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Not tried yet.
    Unknown,
    /// Past the cache.
    Direct,
    /// Through the cache.
    Cached,
}

/// What both memory and file have to be aligned to, in bytes: no disk asks for more.
pub(super) const PAGE: usize = 4_096;

impl InPlace {
    pub(super) const fn new(file: File) -> Self {
        Self { file, way: Way::Unknown, aligned: Vec::new() }
    }

    /// The file, to be read before anything is written.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Writes whole pages at the beginning of a page; they are on disk when this returns.
    pub(super) fn write(&mut self, pages: &[u8], at: u64) -> io::Result<()> {
        if self.way == Way::Unknown {
            self.way = if direct::begin(&self.file).is_ok() { Way::Direct } else { Way::Cached };
        }
        if self.way == Way::Direct {
            match self.write_direct(pages, at) {
                Err(error) if direct::is_not_taken(&error) => {
                    direct::end(&self.file)?;
                    self.way = Way::Cached;
                }
                written => return written,
            }
        }
        self.file.write_all_at(pages, at)?;
        self.file.sync_data()
    }

    fn write_direct(&mut self, pages: &[u8], mut at: u64) -> io::Result<()> {
        self.aligned.resize(pages.len().saturating_add(PAGE), 0);
        let skipped = self.aligned.as_ptr().align_offset(PAGE);
        let room = self.aligned.get_mut(skipped..).and_then(|room| room.get_mut(..pages.len()));
        let Some(room) = room else { return Err(io::ErrorKind::InvalidInput.into()) };
        room.copy_from_slice(pages);
        let mut rest = &*room;
        while !rest.is_empty() {
            let written = direct::write_synced(&self.file, rest, at)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
            at = at.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod direct {
    use rustix::{
        fs::{OFlags, fcntl_getfl, fcntl_setfl, fstatfs},
        io::{Errno, ReadWriteFlags, pwritev2},
    };
    use std::{
        fs::File,
        io::{self, IoSlice},
    };

    /// The file systems that wait for the disk where a write asks for it: their numbers in `linux/magic.h`.
    const WAITING: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

    /// From here on the file is written past the cache, where its file system is known to wait for the disk then.
    pub(super) fn begin(file: &File) -> io::Result<()> {
        let kind = u64::try_from(fstatfs(file)?.f_type);
        if !kind.is_ok_and(|kind| WAITING.contains(&kind)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(fcntl_setfl(file, fcntl_getfl(file)? | OFlags::DIRECT)?)
    }

    /// It is written through the cache again.
    pub(super) fn end(file: &File) -> io::Result<()> {
        Ok(fcntl_setfl(file, fcntl_getfl(file)?.difference(OFlags::DIRECT))?)
    }

    /// Writes, and waits for the disk. How many bytes were written.
    pub(super) fn write_synced(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        loop {
            match pwritev2(file, &[IoSlice::new(bytes)], at, ReadWriteFlags::DSYNC) {
                Err(Errno::INTR) => {}
                written => return Ok(written?),
            }
        }
    }

    /// Whether the file system, or the system, does not know such writes, or lets nobody make them.
    pub(super) fn is_not_taken(error: &io::Error) -> bool {
        let unknown = [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM];
        unknown.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }
}

#[cfg(not(target_os = "linux"))]
mod direct {
    use std::{fs::File, io};

    pub(super) fn begin(_file: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) const fn end(_file: &File) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn write_synced(_file: &File, _bytes: &[u8], _at: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) const fn is_not_taken(_error: &io::Error) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Writes three pages to a file of zeros, each in its turn, and reads the file by another handle after each.
    fn writes(way: Way) -> Way {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pages");
        std::fs::write(&path, [0; 4 * PAGE]).unwrap();
        let mut expected = vec![0; 4 * PAGE];
        let mut file = InPlace { way, ..InPlace::new(File::options().read(true).write(true).open(&path).unwrap()) };
        for (number, at) in [(1_u8, 3 * PAGE), (2, 0), (3, PAGE)] {
            let bytes = vec![number; if at == PAGE { 2 * PAGE } else { PAGE }];
            file.write(&bytes, u64::try_from(at).unwrap()).unwrap();
            expected.get_mut(at..).unwrap().get_mut(..bytes.len()).unwrap().copy_from_slice(&bytes);
            let mut found = Vec::new();
            let _length = File::open(&path).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == expected, "after page {number}");
        }
        file.way
    }

    #[test]
    fn what_is_written_in_place_is_read_by_whoever_opens_the_file() {
        assert_ne!(writes(Way::Unknown), Way::Unknown, "a way was found");
        assert_eq!(writes(Way::Cached), Way::Cached);
    }

    /// A file in memory is no file of a disk that is known to wait.
    #[cfg(target_os = "linux")]
    #[test]
    fn where_nothing_is_known_of_the_file_system_a_write_goes_through_the_cache() {
        let memory = rustix::fs::memfd_create("pages", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = InPlace::new(File::from(memory));
        file.write(&[7; PAGE], 0).unwrap();
        assert_eq!(file.way, Way::Cached);
    }

    /// No disk takes a write past the cache that begins within one of its sectors.
    #[test]
    fn a_write_that_is_not_taken_past_the_cache_goes_through_the_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pages");
        std::fs::write(&path, [0; 2 * PAGE]).unwrap();
        let mut file = InPlace::new(File::options().read(true).write(true).open(&path).unwrap());
        file.write(&[7; PAGE], 100).unwrap();
        file.write(&[8; PAGE], 4_096).unwrap();
        let found = std::fs::read(&path).unwrap();
        let places = [99, 100, PAGE - 1, PAGE, 2 * PAGE - 1].map(|at| found.get(at).copied().unwrap());
        assert_eq!(places, [0, 7, 7, 8, 8]);
    }
}
