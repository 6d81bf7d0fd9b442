//! Who a node is: one Ed25519 key, the Noise key that follows from it, and the address under which peers reach it.
//!
//! ```text
//!   32 secret bytes --SHA-512, clamp--> scalar a --.-- a * B (Edwards)    = identity, signs channel states (R3.4)
//!                                                  '-- a * B (Montgomery) = Noise static key (X25519)
//! ```
//!
//! **The binding.** Both keys are the same point in two shapes, so whoever knows a peer's identity computes its Noise key alone,
//! which is what XK asks of a dialler. The way back loses the sign of the point, so the dialler sends its identity inside the encrypted third
//! handshake message and the listener checks that it has the Noise key that was just proven.
//! A point and its negation share a Noise key; that lends nobody an identity, because one secret scalar signs for both.
//! Only canonical points of the prime-order subgroup are identities ([`check_identity`]): a point of small order would let anyone finish
//! the handshake, and a point plus one of small order would be a second name for the same secret.
//!
//! Using one key for Ed25519 and X25519 is sound here: <https://eprint.iacr.org/2021/509>. Noise never signs, and what is signed carries a domain (R3.5).

mod address;
mod file;

pub use address::{AddressError, PeerAddress};
pub use file::KeyFileError;

use ed25519_dalek::VerifyingKey;
use protocol::{PublicKey, crypto::SigningKey};
use std::{fmt, path::Path};
use thiserror::Error;
use zeroize::Zeroizing;

/// A node's identity: signs channel states and authenticates connections. Never printed; wiped when dropped.
#[derive(Clone)]
pub struct Identity {
    signing: SigningKey,
    public: PublicKey,
    noise_secret: Zeroizing<[u8; 32]>,
}

impl Identity {
    /// The identity made from 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_seed(seed);
        let noise_secret = Zeroizing::new(ed25519_dalek::SigningKey::from_bytes(seed).to_scalar_bytes());
        Self { public: signing.public(), signing, noise_secret }
    }

    /// The identity whose seed is in a file; where there is no file, one with a fresh seed of the system's randomness.
    ///
    /// The file holds the seed as 64 hex digits, for its owner alone. It appears whole or not at all, also when several processes
    /// create it at once: all get the same identity.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file and what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        file::load_or_create(path).map(|seed| Self::from_seed(&seed))
    }

    /// The identity whose seed is in a file.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file and what to do.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        file::load(path).map(|seed| Self::from_seed(&seed))
    }

    /// What peers know this node by.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The key that signs channel states.
    #[must_use]
    pub const fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The secret half of [`noise_public`], not clamped: X25519 clamps by itself.
    pub(crate) fn noise_secret(&self) -> &[u8; 32] {
        &self.noise_secret
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public)
    }
}

/// These 32 bytes are nobody's Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} is not an Ed25519 public key of prime order")]
pub struct NotAnIdentity(pub PublicKey);

/// Checks that a key can be an identity: canonical, on the curve, of prime order.
///
/// # Errors
/// [`NotAnIdentity`] for everything else.
pub fn check_identity(key: &PublicKey) -> Result<(), NotAnIdentity> {
    point_of(key).map(|_| ())
}

/// The Noise static key of an identity.
pub(crate) fn noise_public(key: &PublicKey) -> Result<[u8; 32], NotAnIdentity> {
    point_of(key).map(|point| point.to_montgomery().to_bytes())
}

fn point_of(key: &PublicKey) -> Result<VerifyingKey, NotAnIdentity> {
    let point = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| NotAnIdentity(*key))?;
    let edwards = point.to_edwards();
    let canonical = edwards.compress().to_bytes() == key.0;
    if canonical && !point.is_weak() && edwards.is_torsion_free() { Ok(point) } else { Err(NotAnIdentity(*key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_key_computed_from_the_identity_is_the_one_of_the_secret() {
        for seed in 0..32 {
            let identity = Identity::from_seed(&[seed; 32]);
            let pair = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
            assert_eq!(*identity.noise_secret(), pair.to_scalar_bytes());

            // snow clamps the secret and multiplies the base point: the public half must be what a dialler computes.
            let mut dh = snow::resolvers::CryptoResolver::resolve_dh(
                &snow::resolvers::DefaultResolver,
                &snow::params::DHChoice::Curve25519,
            )
            .unwrap();
            dh.set(identity.noise_secret());
            assert_eq!(dh.pubkey(), noise_public(&identity.public()).unwrap());
        }
    }

    #[test]
    fn points_of_small_order_and_bytes_off_the_curve_are_nobody() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut not_canonical = [0xff; 32];
        not_canonical[0] = 0xee;
        not_canonical[31] = 0x7f;
        let off_the_curve = {
            let mut bytes = [0; 32];
            bytes[0] = 2;
            bytes
        };
        for bytes in [[0; 32], neutral, not_canonical, off_the_curve] {
            assert_eq!(check_identity(&PublicKey(bytes)), Err(NotAnIdentity(PublicKey(bytes))));
        }
    }

    #[test]
    fn a_key_plus_a_point_of_small_order_is_nobody() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_edwards();
        // (0, -1) has order two.
        let mut order_two = [0xff; 32];
        order_two[0] = 0xec;
        order_two[31] = 0x7f;
        let order_two = VerifyingKey::from_bytes(&order_two).unwrap().to_edwards();
        let sum = PublicKey((key + order_two).compress().to_bytes());
        assert_eq!(check_identity(&sum), Err(NotAnIdentity(sum)));
    }

    #[test]
    fn debug_shows_the_public_key_and_no_secret() {
        let identity = Identity::from_seed(&[9; 32]);
        let shown = format!("{identity:?}");
        assert_eq!(shown, format!("Identity({})", identity.public()));
        assert!(!shown.contains(&hex::encode([9; 32])) && !shown.contains(&hex::encode(identity.noise_secret())));
    }
}
