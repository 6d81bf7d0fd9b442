//! Hashing and signature checks behind one trait, so that the contract may use the chain's host functions (R3.1, R3.4).

use crate::{Hash, PublicKey, Signature};

/// What the rules need of their surroundings: one hash and one signature scheme.
pub trait Crypto {
    /// blake2b-256 (R3.1).
    fn hash(&self, bytes: &[u8]) -> Hash;

    /// Whether `signature` is `key`'s over `message`: Ed25519, strict (R3.4).
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        verify_ed25519(key, message, signature)
    }
}

/// Strict Ed25519 verification: refuses keys and nonces of small order and non-canonical scalars, so that
/// both peers and the arbiter always agree on what a valid signature is.
#[must_use]
pub fn verify_ed25519(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(&key.0)
        .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
}

#[cfg(feature = "std")]
pub use native::{Native, SigningKey};

#[cfg(feature = "std")]
mod native {
    use super::Crypto;
    use crate::{Hash, PublicKey, Signature};
    use blake2::{Blake2b, Digest, digest::consts::U32};
    use core::fmt;
    use ed25519_dalek::Signer;

    /// Hash and signatures by libraries in the process.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Native;

    impl Crypto for Native {
        fn hash(&self, bytes: &[u8]) -> Hash {
            Hash(Blake2b::<U32>::digest(bytes).into())
        }
    }

    /// A party's secret for signing channel states (R3.4). Never printed; wiped when dropped.
    #[derive(Clone)]
    pub struct SigningKey(ed25519_dalek::SigningKey);

    impl SigningKey {
        /// The key made from 32 secret bytes.
        #[must_use]
        pub fn from_seed(seed: &[u8; 32]) -> Self {
            Self(ed25519_dalek::SigningKey::from_bytes(seed))
        }

        /// What the channel registers and the peer checks against.
        #[must_use]
        pub fn public(&self) -> PublicKey {
            PublicKey(self.0.verifying_key().to_bytes())
        }

        /// Signs `message`; the same message always gives the same signature.
        #[must_use]
        pub fn sign(&self, message: &[u8]) -> Signature {
            Signature(self.0.sign(message).to_bytes())
        }
    }

    impl fmt::Debug for SigningKey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "SigningKey(of {})", self.public())
        }
    }
}
