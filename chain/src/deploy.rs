//! Putting an arbiter on a chain so that it may be done twice, and a file that says where it stands.

use super::{
    AddressFormat, Arbiter, CallError, ChainError, Receipt, SharedChain, Signer, address,
    arbiter::{code_hash, constructor_data, instance_address},
};
use crate::private_files;
use protocol::{
    AccountId, BlockNumber, Hash,
    terms::{CallWeight, Limits},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What an arbiter allows unless its deployer wants something else (R5.13).
pub const DEFAULT_LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100_800,
    validity_max: 1_000,
    max_forced_max: 8,
    call_weight: CallWeight::STANDARD,
};

/// An arbiter, and whether it was put there just now.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The arbiter.
    pub arbiter: Arbiter,
    /// What it cost; none where it stood there already.
    pub receipt: Option<Receipt>,
}

/// The address of an arbiter with this code, these limits, this deployer and this salt on the chain with this genesis. It says all of that, so
/// what stands there can be nothing else.
#[must_use]
pub fn address(deployer: &AccountId, code: &[u8], genesis: Hash, limits: Limits, salt: &[u8]) -> AccountId {
    instance_address(deployer, &code_hash(code), &constructor_data(genesis, limits), salt)
}

/// Finds the arbiter that `deployer` deployed with exactly this, or deploys it. However often it is run, and wherever it was broken off, there
/// is one.
///
/// # Errors
/// [`CallError::Rejected`] where the limits are unsound; the chain's own errors.
pub async fn ensure(
    chain: SharedChain,
    deployer: &dyn Signer,
    code: Vec<u8>,
    limits: Limits,
    salt: Vec<u8>,
) -> Result<Deployed, CallError> {
    let expected = address(&deployer.account(), &code, chain.genesis().await?, limits, &salt);
    if let Some(arbiter) = find(&chain, expected, &code).await? {
        return Ok(Deployed { arbiter, receipt: None });
    }
    match Arbiter::deploy(SharedChain::clone(&chain), deployer, code.clone(), limits, salt).await {
        Ok((arbiter, receipt)) => Ok(Deployed { arbiter, receipt: Some(receipt) }),
        Err(error) => match find(&chain, expected, &code).await {
            // A run before this one, or another at the same time, was faster.
            Ok(Some(arbiter)) => Ok(Deployed { arbiter, receipt: None }),
            Ok(None) | Err(_) => Err(error),
        },
    }
}

async fn find(chain: &SharedChain, address: AccountId, code: &[u8]) -> Result<Option<Arbiter>, CallError> {
    match Arbiter::attach(SharedChain::clone(chain), address, Some(code_hash(code))).await {
        Ok(arbiter) => Ok(Some(arbiter)),
        Err(CallError::Chain(ChainError::NoContract(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The form of [`Deployment`]s that this SDK writes.
const FORMAT: u32 = 1;
/// The longest file that is read.
const LONGEST_FILE: u64 = 64 << 10;

/// Where an arbiter stands: a small file for whoever wants to use it. It holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Endpoints of its chain, the preferred one first.
    pub endpoints: Vec<String>,
    /// Which chain.
    pub genesis: Hash,
    /// Its address.
    pub arbiter: AccountId,
    /// The hash of its code.
    pub code_hash: Hash,
    /// A final block that has it: nothing of it happened before.
    pub block: BlockNumber,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct DeploymentFile {
    format: u32,
    endpoints: Vec<String>,
    genesis: String,
    arbiter: String,
    /// The same as people write it, with the chain's SS58 prefix. Files of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arbiter_address: Option<String>,
    code_hash: String,
    block: BlockNumber,
}

/// Why a deployment file cannot be used.
#[derive(Debug, Error)]
pub enum DeploymentError {
    /// The file system refused.
    #[error("cannot use the deployment file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} is no deployment file: {cause}; deploy again to write a new one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It was written by another version.
    #[error("{} has form {found}, this SDK reads form {FORMAT}: use the SDK that wrote it, or deploy again", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u64,
    },
}

impl Deployment {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DeploymentError`].
    pub fn load(path: &Path) -> Result<Self, DeploymentError> {
        let failed = |source| DeploymentError::Io { path: path.to_owned(), source };
        let malformed = |cause: String| DeploymentError::Malformed { path: path.to_owned(), cause };
        if fs::metadata(path).map_err(failed)?.len() > LONGEST_FILE {
            return Err(malformed(format!("it is longer than {LONGEST_FILE} bytes")));
        }
        let text = fs::read(path).map_err(failed)?;
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        // The form comes first: a later one may name everything else otherwise.
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(found) => return Err(DeploymentError::OtherFormat { path: path.to_owned(), found }),
            None => return Err(malformed("it has no number named format".into())),
        }
        let form: DeploymentFile = serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        let bytes = |name: &str, text: &str| {
            bytes(text).ok_or_else(|| malformed(format!("{name} is not 0x and 64 hex digits")))
        };
        let arbiter = AccountId(bytes("arbiter", &form.arbiter)?);
        if let Some(address) = &form.arbiter_address {
            let (format, account) =
                address::parse(address).map_err(|cause| malformed(format!("arbiter_address: {cause}")))?;
            if account != arbiter {
                let here = format.write(&arbiter);
                return Err(malformed(format!("arbiter_address is {address}, and arbiter is {here} there")));
            }
        }
        Ok(Self {
            genesis: Hash(bytes("genesis", &form.genesis)?),
            arbiter,
            code_hash: Hash(bytes("code_hash", &form.code_hash)?),
            endpoints: form.endpoints,
            block: form.block,
        })
    }

    /// Writes a file, in one step: there is the old one or the new one.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), DeploymentError> {
        self.write(path, None)
    }

    /// As [`save`](Self::save), with the arbiter's address as people write it on its chain beside the hex.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn save_with_address(&self, path: &Path, format: AddressFormat) -> Result<(), DeploymentError> {
        self.write(path, Some(format.write(&self.arbiter)))
    }

    fn write(&self, path: &Path, arbiter_address: Option<String>) -> Result<(), DeploymentError> {
        let failed = |source| DeploymentError::Io { path: path.to_owned(), source };
        let form = DeploymentFile {
            format: FORMAT,
            endpoints: self.endpoints.clone(),
            genesis: self.genesis.to_string(),
            arbiter: self.arbiter.to_string(),
            arbiter_address,
            code_hash: self.code_hash.to_string(),
            block: self.block,
        };
        let mut text = serde_json::to_vec_pretty(&form).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.new", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let written = fs::File::create(&temporary).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            private_files::sync_directory(&private_files::directory_of(path))
        });
        written.map_err(|error| {
            let _never_there = fs::remove_file(&temporary);
            failed(error)
        })
    }

    /// Attaches to the arbiter, after checking that this is its chain and its code.
    ///
    /// # Errors
    /// [`ChainError::WrongChain`], [`ChainError::NoContract`], [`CallError::NotAnArbiter`]; the chain's own.
    pub async fn attach(&self, chain: SharedChain) -> Result<Arbiter, CallError> {
        let found = chain.genesis().await?;
        if found != self.genesis {
            let url = "the chain".to_owned();
            return Err(ChainError::WrongChain { url, block: 0, expected: self.genesis, found }.into());
        }
        Arbiter::attach(chain, self.arbiter, Some(self.code_hash)).await
    }

    /// Connects to the chain through the file's endpoints, and attaches.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), and those of [`RemoteChain::connect`](super::RemoteChain::connect).
    #[cfg(feature = "remote")]
    pub async fn connect(&self) -> Result<Arbiter, CallError> {
        self.connect_with(super::remote::Settings::default()).await
    }

    /// As [`connect`](Self::connect), with other settings than the usual ones; endpoints and genesis are the file's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(feature = "remote")]
    pub async fn connect_with(&self, settings: super::remote::Settings) -> Result<Arbiter, CallError> {
        let settings =
            super::remote::Settings { endpoints: self.endpoints.clone(), genesis: Some(self.genesis), ..settings };
        let chain = super::RemoteChain::connect(settings).await?;
        self.attach(std::sync::Arc::new(chain)).await
    }
}

fn bytes(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Deployment {
        Deployment {
            endpoints: vec!["ws://127.0.0.1:9944".into(), "wss://node.example".into()],
            genesis: Hash([1; 32]),
            arbiter: AccountId([2; 32]),
            code_hash: Hash([3; 32]),
            block: 7,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_also_over_an_older_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deployment.json");
        fs::write(&path, "old").unwrap();
        deployment().save(&path).unwrap();
        assert_eq!(Deployment::load(&path).unwrap(), deployment());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_file_of_form_1_is_read_as_it_was_written() {
        let text = format!(
            r#"{{"format":1,"endpoints":["ws://a"],"genesis":"{}","arbiter":"{}","code_hash":"{}","block":12}}"#,
            Hash([4; 32]),
            Hash([5; 32]),
            Hash([6; 32])
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deployment.json");
        fs::write(&path, text).unwrap();
        let read = Deployment::load(&path).unwrap();
        assert_eq!((read.genesis, read.arbiter, read.code_hash), (Hash([4; 32]), AccountId([5; 32]), Hash([6; 32])));
        assert_eq!((read.endpoints, read.block), (vec!["ws://a".to_owned()], 12));
    }

    #[test]
    fn an_address_stands_beside_the_hex_and_has_to_be_the_same_account() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deployment.json");
        let format = AddressFormat::new(5).unwrap();
        deployment().save_with_address(&path, format).unwrap();
        assert_eq!(Deployment::load(&path).unwrap(), deployment());
        let text = fs::read_to_string(&path).unwrap();
        let address = format.write(&AccountId([2; 32]));
        assert!(text.contains(&address) && text.contains(&AccountId([2; 32]).to_string()), "{text}");
        let other = format.write(&AccountId([3; 32]));
        for (wrong, said) in [(other.clone(), &[&other, &address][..]), (address.to_lowercase(), &[])] {
            fs::write(&path, text.replace(&address, &wrong)).unwrap();
            let error = Deployment::load(&path).unwrap_err().to_string();
            assert!(error.contains("arbiter_address") && said.iter().all(|said| error.contains(*said)), "{error}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong_and_the_file_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deployment.json");
        deployment().save(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for (text, said) in [
            (String::new(), "EOF"),
            ("[]".into(), "format"),
            (good.replace("\"format\": 1", "\"format\": \"1\""), "format"),
            (good.replace("\"block\": 7", "\"block\": -7"), "invalid"),
            (good.replace("\"genesis\": \"0x01", "\"genesis\": \"01"), "genesis is not"),
            (good.replace("0202", "zz02"), "arbiter is not"),
            (good.replace("code_hash", "codehash"), "code_hash"),
            (" ".repeat(70_000), "longer"),
        ] {
            fs::write(&path, &text).unwrap();
            let error = Deployment::load(&path).unwrap_err();
            assert!(matches!(error, DeploymentError::Malformed { .. }), "{error}");
            assert!(error.to_string().contains(said), "{said}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, good.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(matches!(Deployment::load(&path), Err(DeploymentError::OtherFormat { found: 2, .. })));
        assert!(matches!(Deployment::load(&directory.path().join("none")), Err(DeploymentError::Io { .. })));
    }

    #[test]
    fn an_address_says_who_deployed_what_where_and_which() {
        let limits = |max| Limits {
            lock_period_min: 1,
            lock_period_max: max,
            validity_max: 1,
            max_forced_max: 1,
            call_weight: CallWeight::STANDARD,
        };
        let all = [
            address(&AccountId([1; 32]), b"code", Hash([1; 32]), limits(1), b""),
            address(&AccountId([2; 32]), b"code", Hash([1; 32]), limits(1), b""),
            address(&AccountId([1; 32]), b"edoc", Hash([1; 32]), limits(1), b""),
            address(&AccountId([1; 32]), b"code", Hash([2; 32]), limits(1), b""),
            address(&AccountId([1; 32]), b"code", Hash([1; 32]), limits(2), b""),
            address(&AccountId([1; 32]), b"code", Hash([1; 32]), limits(1), b"salt"),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
