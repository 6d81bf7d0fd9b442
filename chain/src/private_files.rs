//! Files and directories that only their owner may touch (section 9): keys and states.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Every right of the group and of others.
const RIGHTS_OF_OTHERS: u32 = 0o077;

/// Creates `path`, and what is missing above it, for the owner alone. A directory that exists keeps its rights.
pub fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file for the owner alone.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where anything has that name.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file, or creates it for the owner alone; its content stays.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The rights of an open file, where others than the owner have any.
pub fn rights_of_others(file: &File) -> io::Result<Option<u32>> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & RIGHTS_OF_OTHERS != 0).then_some(mode))
}

/// Makes the names in a directory durable: a file that was created, renamed or removed stays so after a power cut.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The directory that holds `path`.
pub fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
