//! Words for one payee only, whoever carries them (R8.4a).
//!
//! ```text
//!   sealed = ephemeral X25519 key [32] | ChaCha20-Poly1305(words), bound to the transfer's lock
//!   key    = blake2b-256("isc-seal-1" | shared secret | ephemeral key | payee's identity key)
//! ```
//!
//! The payee's identity key is an Ed25519 key; it is taken to its Montgomery form. A key is used once, so its nonce is zero.

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use curve25519_dalek::{edwards::CompressedEdwardsY, montgomery::MontgomeryPoint};
use protocol::{
    PublicKey,
    contracts::conditional::HashLock,
    crypto::{Crypto, Native},
};
use scale::Encode;
use sha2::{Digest, Sha512};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

const EPHEMERAL: usize = 32;

/// The secret that opens what is sealed for an identity. Never printed; wiped when dropped.
#[derive(Clone)]
pub struct SealKey {
    scalar: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey(of {})", self.public)
    }
}

impl SealKey {
    /// The secret of the identity whose signing key is made from the same 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut digest: [u8; 64] = Sha512::digest(seed).into();
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.iter_mut().zip(&digest).for_each(|(to, from)| *to = *from);
        digest.zeroize();
        Self { scalar, public: protocol::crypto::SigningKey::from_seed(seed).public() }
    }

    /// The secret of an identity whose secret scalar is known: not clamped, as its signing key has it.
    #[must_use]
    pub fn from_secret(scalar: &[u8; 32], public: PublicKey) -> Self {
        Self { scalar: Zeroizing::new(*scalar), public }
    }

    /// Opens what was sealed for this identity under this lock; none where it was not, or was changed.
    #[must_use]
    pub fn open(&self, sealed: &[u8], lock: &HashLock) -> Option<Vec<u8>> {
        let (ephemeral, words) = sealed.split_at_checked(EPHEMERAL)?;
        let ephemeral = MontgomeryPoint(ephemeral.try_into().ok()?);
        let shared = Zeroizing::new(ephemeral.mul_clamped(*self.scalar).0);
        let cipher = cipher(&shared, &ephemeral, &self.public)?;
        cipher.decrypt(&Nonce::default(), Payload { msg: words, aad: &lock.encode() }).ok()
    }
}

/// Seals words for a payee under a lock. `secret` is drawn at random for this one use; none where the payee's key is not one.
pub(crate) fn seal(words: &[u8], payee: &PublicKey, lock: &HashLock, secret: &[u8; 32]) -> Option<Vec<u8>> {
    let payee_point = CompressedEdwardsY(payee.0).decompress().filter(|point| !point.is_small_order())?;
    let ephemeral = MontgomeryPoint::mul_base_clamped(*secret);
    let shared = Zeroizing::new(payee_point.to_montgomery().mul_clamped(*secret).0);
    let cipher = cipher(&shared, &ephemeral, payee)?;
    let sealed = cipher.encrypt(&Nonce::default(), Payload { msg: words, aad: &lock.encode() }).ok()?;
    Some([ephemeral.0.as_slice(), &sealed].concat())
}

/// None where the shared secret does not depend on both keys.
fn cipher(shared: &[u8; 32], ephemeral: &MontgomeryPoint, payee: &PublicKey) -> Option<ChaCha20Poly1305> {
    if *shared == [0; 32] {
        return None;
    }
    let bytes = Zeroizing::new((b"isc-seal-1", shared, ephemeral.0, payee).encode());
    let key = Zeroizing::new(Native.hash(&bytes).0);
    Some(ChaCha20Poly1305::new(Key::from_slice(key.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Hash, contracts::conditional::HashFunction, crypto::SigningKey};

    fn lock(byte: u8) -> HashLock {
        HashLock { function: HashFunction::Blake2b256, digest: Hash([byte; 32]) }
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_payee_alone_under_its_lock_and_unchanged() {
        let payee = SigningKey::from_seed(&[1; 32]).public();
        let sealed = seal(b"words", &payee, &lock(1), &[9; 32]).expect("sealed");
        assert_eq!(sealed.len(), 5 + 48);
        assert_eq!(SealKey::from_seed(&[1; 32]).open(&sealed, &lock(1)), Some(b"words".to_vec()));
        assert_eq!(SealKey::from_seed(&[2; 32]).open(&sealed, &lock(1)), None);
        assert_eq!(SealKey::from_seed(&[1; 32]).open(&sealed, &lock(2)), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            if let Some(byte) = changed.get_mut(place) {
                *byte ^= 1;
            }
            assert_eq!(SealKey::from_seed(&[1; 32]).open(&changed, &lock(1)), None, "at {place}");
        }
    }

    /// What OpenSSL's X25519 and ChaCha20-Poly1305 and Python's blake2b make of the same keys and words by R8.4a.
    #[test]
    fn the_sealed_bytes_are_those_of_another_implementation() {
        let payee = SigningKey::from_seed(&[1; 32]).public();
        let sealed = seal(b"words", &payee, &lock(1), &[9; 32]).expect("sealed");
        let expected = "57db4b359f23ae5e146e4e2512056704722506348c150c14753d0c933d04d421\
            ea15c16fb3f9929fcfd891a255db05810fc45972ed";
        assert_eq!(hex::encode(sealed), expected);
    }

    #[test]
    fn keys_that_are_none_take_no_seal() {
        // The neutral element, and bytes that are no point.
        let neutral =
            PublicKey([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(seal(b"words", &neutral, &lock(1), &[9; 32]), None);
        assert_eq!(seal(b"words", &PublicKey([2; 32]), &lock(1), &[9; 32]), None);
    }
}
