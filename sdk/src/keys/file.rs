use chain::private_files;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a key file cannot be used. Never shows what is in the file.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no key file at {}: check the path, or create a key first", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Others than the owner may touch it.
    #[error(
        "others than its owner may open the key file {path} (its rights are {mode:o}): run `chmod 600 {path}`, and replace the key if \
         others had access",
        path = path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its rights, as `chmod` takes them.
        mode: u32,
    },
    /// It holds something else.
    #[error("{} is not a key file: it must hold 64 hex digits on one line and nothing else; restore it from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("the system gave no randomness for a new key: {0}")]
    NoRandomness(getrandom::Error),
    /// The file system refused.
    #[error("cannot use the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// A seed that is wiped when dropped.
type Seed = Zeroizing<[u8; 32]>;

pub(super) fn load_or_create(path: &Path) -> Result<Seed, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Missing { .. }) => create(path),
        loaded_or_refused => loaded_or_refused,
    }
}

pub(super) fn load(path: &Path) -> Result<Seed, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => failed(source),
    })?;
    if let Some(mode) = private_files::rights_of_others(&file).map_err(failed)? {
        return Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new([0; LONGEST_FILE]);
    let length = read_up_to(&mut file, &mut *text).map_err(failed)?;
    text.get(..length).and_then(parse).ok_or_else(|| KeyFileError::Malformed { path: path.to_owned() })
}

/// Writes a fresh seed under a name of its own and then links it to `path`, which fails where another process was faster.
fn create(path: &Path) -> Result<Seed, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let directory = private_files::directory_of(path);
    private_files::create_directory(&directory).map_err(failed)?;

    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(KeyFileError::NoRandomness)?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(KeyFileError::NoRandomness)?;

    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", hex::encode(suffix)));
    let temporary = PathBuf::from(temporary);
    let linked = write_durably(&temporary, &seed).and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return load(path),
        Err(error) => return Err(failed(error)),
    }
    removed.and_then(|()| private_files::sync_directory(&directory)).map_err(failed)?;
    Ok(seed)
}

fn write_durably(path: &Path, seed: &Seed) -> io::Result<()> {
    let mut text = Zeroizing::new([b'\n'; TEXT + 1]);
    hex::encode_to_slice(**seed, text.split_at_mut(TEXT).0).map_err(io::Error::other)?;
    let mut file = private_files::create_new(path)?;
    file.write_all(&*text)?;
    file.sync_all()
}

fn parse(text: &[u8]) -> Option<Seed> {
    let mut seed = Zeroizing::new([0; 32]);
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    hex::decode_to_slice(line.strip_suffix(b"\r").unwrap_or(line), &mut *seed).ok()?;
    Some(seed)
}

/// Fills `buffer` as far as the file goes.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0_usize;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length = length.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The digits of a seed.
const TEXT: usize = 64;
/// What is read of a file: the digits, a line end of any kind, and one byte more that would show that the file is longer.
const LONGEST_FILE: usize = TEXT + 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Identity;
    use std::os::unix::fs::PermissionsExt;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_key_is_its_owners_alone_and_the_same_when_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/identity.key");
        let first = Identity::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");

        assert_eq!(Identity::load_or_create(&path).unwrap().public(), first.public());
        assert_eq!(Identity::load(&path).unwrap().public(), first.public());
        let other = Identity::load_or_create(&directory.path().join("other.key")).unwrap();
        assert_ne!(other.public(), first.public());
    }

    #[test]
    fn many_creating_at_once_get_one_identity() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Identity::load_or_create(&path).unwrap().public())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_the_fix_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.key");
        let _identity = Identity::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o620] {
            set_mode(&path, mode);
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::OpenToOthers { mode: shown, .. } if shown == mode));
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())));
        }
    }

    #[test]
    fn a_file_with_anything_else_is_refused_kept_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.key");
        let digits = "5e".repeat(32);
        for text in
            ["", "\n", &digits[1..], &format!("{digits}0"), &format!("{digits}\n\n\n\n"), &digits.replace('5', "x")]
        {
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o600);
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{text:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("5e5e"));
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file is left as it was");
        }
        for line_end in ["", "\n", "\r\n"] {
            fs::write(&path, format!("{digits}{line_end}")).unwrap();
            assert_eq!(Identity::load(&path).unwrap().public(), Identity::from_seed(&[0x5e; 32]).public());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.key");
        assert!(matches!(Identity::load(&path), Err(KeyFileError::Missing { path: shown }) if shown == path));
    }
}
