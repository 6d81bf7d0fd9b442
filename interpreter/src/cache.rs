//! The apps on disk: one file each, named for its hash, for the owner alone (section 9).

use crate::{AppRefused, check::MAX_CODE, interpreter::MAX_APPS, module::code_hash};
use protocol::Hash;
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;

const CODE: &str = "wasm";
/// What a damaged file is renamed to, after its own name.
const SET_ASIDE: &str = "set-aside";
/// A file that is still being written.
const UNFINISHED: &str = "part";

/// A file that was not used, and why.
#[derive(Debug, Error)]
#[error("{} is not used: {why}", file.display())]
pub struct NotUsed {
    /// Where it stood.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub why: Unusable,
}

/// Why a file is no app.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Unusable {
    #[error("it is damaged: its hash is {got:?}; it was set aside, get the app again")]
    Damaged { got: Hash },
    #[error("it was set aside: {0}")]
    Refused(#[from] AppRefused),
    #[error("it cannot be read ({0})")]
    Unreadable(#[from] io::Error),
    #[error("{MAX_APPS} others come before it, which is the most; remove those that no channel uses")]
    OneTooMany,
}

/// A directory of apps.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// A file with the name of an app.
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) hash: Hash,
}

impl Cache {
    /// Opens a directory, or creates it for the owner alone.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// What stands there, by hash. What was left unfinished is cleared away; names that are no app's are let be.
    pub(crate) fn list(&self) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let file = entry?.path();
            let stem = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            let mut hash = [0; 32];
            if hex::decode_to_slice(stem, &mut hash).is_err() {
                continue;
            }
            match file.extension().and_then(OsStr::to_str) {
                Some(CODE) => kept.push(Kept { hash: Hash(hash), file }),
                Some(UNFINISHED) => fs::remove_file(&file)?,
                _ => {}
            }
        }
        kept.sort_unstable_by_key(|kept| kept.hash);
        Ok(kept)
    }

    /// Reads a file and makes sure that it is what its name says. One that is not is set aside.
    pub(crate) fn read(&self, kept: &Kept) -> Result<Vec<u8>, Unusable> {
        if !fs::symlink_metadata(&kept.file)?.is_file() {
            return Err(Unusable::Unreadable(io::Error::other("it is no regular file")));
        }
        let mut code = Vec::new();
        let more_than_any = u64::try_from(MAX_CODE).unwrap_or(u64::MAX).saturating_add(1);
        let _bytes = File::open(&kept.file)?.take(more_than_any).read_to_end(&mut code)?;
        let got = code_hash(&code);
        if got == kept.hash {
            return Ok(code);
        }
        self.set_aside(kept)?;
        Err(Unusable::Damaged { got })
    }

    /// Renames a file so that it is not found again, and nothing is lost.
    pub(crate) fn set_aside(&self, kept: &Kept) -> io::Result<()> {
        fs::rename(&kept.file, kept.file.with_extension(SET_ASIDE))?;
        self.sync()
    }

    /// Writes an app: after a power cut it is there whole, or not at all.
    pub(crate) fn write(&self, hash: &Hash, code: &[u8]) -> io::Result<()> {
        let (file, unfinished) = (self.file(hash, CODE), self.file(hash, UNFINISHED));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        writer.write_all(code)?;
        writer.sync_all()?;
        drop(writer);
        fs::rename(unfinished, file)?;
        self.sync()
    }

    /// Takes an app away; whether it was there.
    pub(crate) fn remove(&self, hash: &Hash) -> io::Result<bool> {
        match fs::remove_file(self.file(hash, CODE)) {
            Ok(()) => self.sync().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn file(&self, hash: &Hash, extension: &str) -> PathBuf {
        self.folder.join(hex::encode(hash.0)).with_extension(extension)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}
