//! Chain accounts: who pays fees and sends transactions. Never the keys that sign channel states (R3.4).

use async_trait::async_trait;
use protocol::{
    AccountId, Hash,
    crypto::{Crypto, Native},
};
use std::{fmt, time::Duration};
use thiserror::Error;

/// A signature that the chain accepts for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainSignature {
    /// By an sr25519 account.
    Sr25519([u8; 64]),
    /// By an ecdsa account (secp256k1, with recovery byte).
    Ecdsa([u8; 65]),
}

/// How long a signer may take: a wallet that hangs must not hold back what defends a channel for ever.
pub const SIGNING_TIME: Duration = Duration::from_secs(300);

/// Why there is no signature: in the words of whoever keeps the key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotSigned(pub String);

/// A chain account that can sign transactions: a key in the process, or a wallet outside of it.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The account.
    fn account(&self) -> AccountId;

    /// Signs a transaction's payload as the chain prescribes: the bytes themselves, or their blake2b-256 hash where they exceed 256
    /// bytes; which of both was decided before this call.
    ///
    /// It may take [`SIGNING_TIME`]: an account's transactions are signed one after the other, those that defend a channel too.
    ///
    /// # Errors
    /// [`NotSigned`]: the wallet cannot be reached, or its owner does not want this. Nothing is sent then.
    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned>;
}

/// An sr25519 account whose key is in the process.
#[derive(Clone)]
pub struct Sr25519Signer(subxt_signer::sr25519::Keypair);

impl Sr25519Signer {
    /// The account of a secret.
    #[must_use]
    pub const fn new(keypair: subxt_signer::sr25519::Keypair) -> Self {
        Self(keypair)
    }
}

#[async_trait]
impl Signer for Sr25519Signer {
    fn account(&self) -> AccountId {
        AccountId(self.0.public_key().0)
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        Ok(ChainSignature::Sr25519(self.0.sign(payload).0))
    }
}

impl fmt::Debug for Sr25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sr25519Signer({})", self.account())
    }
}

/// An ecdsa (secp256k1) account whose key is in the process.
#[derive(Clone)]
pub struct EcdsaSigner(subxt_signer::ecdsa::Keypair);

impl EcdsaSigner {
    /// The account of a secret.
    #[must_use]
    pub const fn new(keypair: subxt_signer::ecdsa::Keypair) -> Self {
        Self(keypair)
    }
}

#[async_trait]
impl Signer for EcdsaSigner {
    /// Such an account is the hash of its public key.
    fn account(&self) -> AccountId {
        let Hash(account) = Native.hash(self.0.public_key().as_ref());
        AccountId(account)
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        Ok(ChainSignature::Ecdsa(self.0.sign(payload).0))
    }
}

impl fmt::Debug for EcdsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcdsaSigner({})", self.account())
    }
}
