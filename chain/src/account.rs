//! Where the keys of chain accounts come from: a secret URI in the environment, in a file of its owner's alone, or one that everybody knows.
//!
//! A secret URI is what Substrate's tools take: twelve words or a `0x..` seed, then derivations, then a password:
//! `bottom drive .. walk//polkadot//0///password`, or `//Alice` for a development account.

use super::signer::{EcdsaSigner, Signer, Sr25519Signer};
use crate::private_files;
use std::{
    env,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use subxt_signer::{SecretUri, ecdsa, sr25519};
use thiserror::Error;
use zeroize::Zeroizing;

/// Which kind of key an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// The usual one.
    #[default]
    Sr25519,
    /// secp256k1.
    Ecdsa,
}

impl FromStr for Scheme {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sr25519" => Ok(Self::Sr25519),
            "ecdsa" => Ok(Self::Ecdsa),
            other => Err(AccountError::UnknownScheme(other.to_owned())),
        }
    }
}

/// Why there is no key. Never shows a secret.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The text is not of this form.
    #[error(
        "that is no secret URI: it is made of words or a 0x seed, then derivations such as //Alice or /1, then ///password"
    )]
    Malformed,
    /// The words or the seed are wrong.
    #[error(
        "the secret URI gives no key: its words are no valid phrase, its seed has not 32 bytes, or a derivation does not suit the scheme"
    )]
    NoKey,
    /// There is no such scheme.
    #[error("there is no key scheme {0:?}: use sr25519 or ecdsa")]
    UnknownScheme(String),
    /// The environment has no such variable.
    #[error("the environment has no variable {0} (or it is no text): set it to a secret URI")]
    NotInEnvironment(String),
    /// Others than the owner may touch the file.
    #[error(
        "others than its owner may open the secret file {path} (its rights are {mode:o}): run `chmod 600 {path}`, and replace the key if \
         others had access",
        path = path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its rights, as `chmod` takes them.
        mode: u32,
    },
    /// The file is empty, has several lines, or is too long.
    #[error("{} must hold one secret URI on one line and nothing else", path.display())]
    NotOneLine {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot read the secret file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Twenty-four words of at most eight letters, derivations, and a password that nobody could remember.
const LONGEST_URI: usize = 1_024;

/// The account of a secret URI.
///
/// # Errors
/// [`AccountError::Malformed`], [`AccountError::NoKey`].
pub fn from_uri(uri: &str, scheme: Scheme) -> Result<Arc<dyn Signer>, AccountError> {
    if uri.is_empty() || uri.len() > LONGEST_URI {
        return Err(AccountError::Malformed);
    }
    // What could not be parsed is left out of the errors: it is the secret.
    let uri = SecretUri::from_str(uri).map_err(|_secret| AccountError::Malformed)?;
    Ok(match scheme {
        Scheme::Sr25519 => {
            Arc::new(Sr25519Signer::new(sr25519::Keypair::from_uri(&uri).map_err(|_secret| AccountError::NoKey)?))
        }
        Scheme::Ecdsa => {
            Arc::new(EcdsaSigner::new(ecdsa::Keypair::from_uri(&uri).map_err(|_secret| AccountError::NoKey)?))
        }
    })
}

/// The account of the secret URI in an environment variable.
///
/// # Errors
/// [`AccountError::NotInEnvironment`], and those of [`from_uri`].
pub fn from_environment(variable: &str, scheme: Scheme) -> Result<Arc<dyn Signer>, AccountError> {
    let uri = env::var(variable).map_err(|_missing| AccountError::NotInEnvironment(variable.to_owned()))?;
    from_uri(Zeroizing::new(uri).trim(), scheme)
}

/// The account of the secret URI in a file, which only its owner may open.
///
/// # Errors
/// [`AccountError::OpenToOthers`], [`AccountError::NotOneLine`], [`AccountError::Io`], and those of [`from_uri`].
pub fn from_file(path: &Path, scheme: Scheme) -> Result<Arc<dyn Signer>, AccountError> {
    let failed = |source| AccountError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if let Some(mode) = private_files::rights_of_others(&file).map_err(failed)? {
        return Err(AccountError::OpenToOthers { path: path.to_owned(), mode });
    }
    let not_one_line = || AccountError::NotOneLine { path: path.to_owned() };
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_URI.saturating_add(2)));
    let limit = u64::try_from(LONGEST_URI).unwrap_or(u64::MAX).saturating_add(2);
    let read = file.take(limit).read_to_string(&mut text);
    let _length =
        read.map_err(|error| if error.kind() == io::ErrorKind::InvalidData { not_one_line() } else { failed(error) })?;
    let line = text.trim();
    if line.is_empty() || line.contains(['\n', '\r']) || line.len() > LONGEST_URI {
        return Err(not_one_line());
    }
    from_uri(line, scheme)
}

/// Whether everybody knows this URI's key: it has no words and no seed of its own, so it is derived from the development phrase.
#[must_use]
pub fn is_for_development(uri: &str) -> bool {
    uri.trim().starts_with('/') || uri.trim().starts_with(subxt_signer::DEV_PHRASE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainSignature;
    use protocol::AccountId;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn account(uri: &str, scheme: Scheme) -> AccountId {
        from_uri(uri, scheme).unwrap().account()
    }

    #[test]
    fn a_development_account_is_the_one_that_everybody_knows() {
        let alice = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
        assert_eq!(account("//Alice", Scheme::Sr25519).to_string(), alice);
        // As Substrate's own tools show it for this scheme.
        let alice = "0x01e552298e47454041ea31273b4b630c64c104e4514aa3643490b8aaca9cf8ed";
        assert_eq!(account("//Alice", Scheme::Ecdsa).to_string(), alice);
        assert!(is_for_development("//Alice") && is_for_development(" //Bob//stash"));
        assert!(!is_for_development("legal winner thank year wave sausage worth useful legal winner thank yellow"));
    }

    #[tokio::test]
    async fn each_scheme_signs_with_its_own_kind_of_signature() {
        let signed = async |scheme| from_uri("//Alice", scheme).unwrap().sign(b"payload").await.unwrap();
        assert!(matches!(signed(Scheme::Sr25519).await, ChainSignature::Sr25519(_)));
        assert!(matches!(signed(Scheme::Ecdsa).await, ChainSignature::Ecdsa(_)));
    }

    #[test]
    fn a_malformed_secret_is_refused_and_never_shown() {
        let long = "s3cr3t ".repeat(200);
        for uri in ["", "s3cr3t words that are no phrase", "0xs3cr3t", "s3cr3t!", &long, "0x00"] {
            let error = from_uri(uri, Scheme::Sr25519).map(|signer| signer.account()).unwrap_err();
            assert!(matches!(error, AccountError::Malformed | AccountError::NoKey), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cr3t"));
        }
        assert!(matches!("rsa".parse::<Scheme>(), Err(AccountError::UnknownScheme(_))));
    }

    #[test]
    fn a_file_is_read_only_where_its_owner_alone_may_open_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("suri");
        let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&path, "//Alice\n").unwrap();
        for mode in [0o644, 0o640, 0o604] {
            set_mode(mode);
            let error = from_file(&path, Scheme::Sr25519).map(|signer| signer.account()).unwrap_err();
            assert!(matches!(error, AccountError::OpenToOthers { mode: shown, .. } if shown == mode));
        }
        set_mode(0o600);
        assert_eq!(from_file(&path, Scheme::Sr25519).unwrap().account(), account("//Alice", Scheme::Sr25519));
        for text in ["", "\n", "//Alice\n//Bob\n", &"a".repeat(3_000)] {
            fs::write(&path, text).unwrap();
            let error = from_file(&path, Scheme::Sr25519).map(|signer| signer.account()).unwrap_err();
            assert!(matches!(error, AccountError::NotOneLine { .. }), "{error}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        let error = from_file(&path, Scheme::Sr25519).map(|signer| signer.account()).unwrap_err();
        assert!(matches!(error, AccountError::NotOneLine { .. }), "{error}");
        let error =
            from_file(&directory.path().join("none"), Scheme::Sr25519).map(|signer| signer.account()).unwrap_err();
        assert!(matches!(error, AccountError::Io { .. }));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error =
            from_environment("SURI_THAT_IS_NOT_SET", Scheme::Sr25519).map(|signer| signer.account()).unwrap_err();
        assert!(matches!(error, AccountError::NotInEnvironment(name) if name == "SURI_THAT_IS_NOT_SET"));
    }
}
