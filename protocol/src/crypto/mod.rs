//! Hashing and signature checks behind one trait, so that the contract may use the chain's host functions (R3.1, R3.4).

mod ed25519;
#[cfg(feature = "std")]
mod verifying;

use crate::{Hash, Pair, Party, PublicKey, Signature};

/// What the rules need of their surroundings: one hash and one signature scheme.
pub trait Crypto {
    /// blake2b-256 (R3.1).
    fn hash(&self, bytes: &[u8]) -> Hash;

    /// sha2-256, for locks that other chains must be able to check (R8.1).
    fn sha2_256(&self, bytes: &[u8]) -> Hash;

    /// Whether `signature` is `key`'s over `message`: Ed25519, strict (R3.4).
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        ed25519::verify(key, message, signature)
    }

    /// Checks both parties' signatures over `message`, together where that is cheaper.
    ///
    /// # Errors
    /// The first party whose signature fails.
    fn verify_both(&self, keys: &Pair<PublicKey>, message: &[u8], signatures: &Pair<Signature>) -> Result<(), Party> {
        if ed25519::verify_both(keys, message, signatures, |bytes| self.hash(bytes)) {
            return Ok(());
        }
        let invalid = |party: &Party| !self.verify(&keys[*party], message, &signatures[*party]);
        Party::BOTH.into_iter().find(invalid).map_or(Ok(()), Err)
    }
}

#[cfg(feature = "std")]
pub use {
    native::{Native, SigningKey},
    verifying::VerifyingKey,
};

#[cfg(feature = "std")]
mod native {
    use super::{Crypto, VerifyingKey};
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

        fn sha2_256(&self, bytes: &[u8]) -> Hash {
            Hash(sha2::Sha256::digest(bytes).into())
        }

        /// By the library, which is faster off chain; that both agree is tested. Where a key is used again, [`VerifyingKey`] is faster still.
        fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
            VerifyingKey::from(*key).verify(message, signature)
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "arithmetic in a field and a group: nothing overflows")]
mod tests {
    use super::*;
    use curve25519_dalek::{Scalar, constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
    use proptest::prelude::*;
    use sha2::{Digest, Sha512};

    const MESSAGE: &[u8] = b"a round";

    fn signer(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn case() -> (Pair<PublicKey>, Pair<Signature>) {
        let keys = Pair::new(signer(1), signer(2));
        (keys.as_ref().map(SigningKey::public), keys.as_ref().map(|key| key.sign(MESSAGE)))
    }

    #[test]
    fn two_valid_signatures_pass_together() {
        let (keys, signatures) = case();
        assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Ok(()));
    }

    #[test]
    fn a_signature_over_another_message_or_by_another_key_fails_and_is_named() {
        for party in Party::BOTH {
            let (keys, mut signatures) = case();
            signatures[party] = signer(3).sign(MESSAGE);
            assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Err(party));
            let (keys, mut signatures) = case();
            signatures[party] = signer(if party == Party::Initiator { 1 } else { 2 }).sign(b"another");
            assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Err(party));
        }
    }

    #[test]
    fn the_coefficient_is_a_hash_of_everything_that_takes_part() {
        let (keys, signatures) = case();
        let hashed = |keys: &Pair<PublicKey>, message: &[u8], signatures: &Pair<Signature>| {
            let seen = core::cell::RefCell::new(Vec::new());
            let _valid = ed25519::verify_both(keys, message, signatures, |bytes| {
                seen.borrow_mut().extend_from_slice(bytes);
                Native.hash(bytes)
            });
            seen.into_inner()
        };
        let all = hashed(&keys, MESSAGE, &signatures);
        assert_ne!(all, hashed(&keys, b"another", &signatures));
        for party in Party::BOTH {
            let (mut other_keys, mut other) = case();
            other_keys[party] = signer(3).public();
            assert_ne!(all, hashed(&other_keys, MESSAGE, &signatures));
            // Either half: who could choose one after the coefficient could make two defects cancel out.
            for byte in [0, 63] {
                other[party].0[byte] ^= 1;
                assert_ne!(all, hashed(&keys, MESSAGE, &other));
                other[party].0[byte] ^= 1;
            }
        }
    }

    /// Two signatures whose defects cancel out for the coefficient that `seed` gives: `E1 = -z*d`, `E2 = d`.
    fn cancelling(seed: [u8; 32]) -> (Pair<PublicKey>, Pair<Signature>) {
        let (keys, mut signatures) = case();
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&seed[..16]);
        bytes[0] |= 1;
        let (z, d) = (Scalar::from_bytes_mod_order(bytes), Scalar::from(7_u8));
        let mut add = |party: Party, defect: Scalar| {
            let (_r, s) = signatures[party].0.split_at_mut(32);
            let changed = Scalar::from_bytes_mod_order((&*s).try_into().unwrap()) + defect;
            s.copy_from_slice(changed.as_bytes());
        };
        add(Party::Initiator, -(z * d));
        add(Party::Responder, d);
        (keys, signatures)
    }

    #[test]
    fn each_of_the_coefficients_128_bits_counts() {
        let seed = [0x55; 32];
        let (keys, signatures) = cancelling(seed);
        let passes = |seed| ed25519::verify_both(&keys, MESSAGE, &signatures, |_bytes| Hash(seed));
        assert!(passes(seed), "whoever knew the coefficient before signing could forge");
        for bit in 1..128 {
            let mut other = seed;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!passes(other), "bit {bit}");
        }
    }

    /// A signature that is valid but for a component of small order in R, which only the owner of the key can make.
    fn with_small_order_defect(seed: u8, torsion: usize) -> (PublicKey, Signature) {
        let secret = Scalar::from_bytes_mod_order([seed; 32]);
        let key = (ED25519 * secret).compress();
        let nonce = Scalar::from_bytes_mod_order([seed.wrapping_add(1); 32]);
        let r = (ED25519 * nonce + EIGHT_TORSION[torsion]).compress();
        let digest = Sha512::new().chain_update(r.0).chain_update(key.0).chain_update(MESSAGE);
        let k = Scalar::from_bytes_mod_order_wide(&digest.finalize().into());
        let s = nonce + k * secret;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r.0);
        bytes[32..].copy_from_slice(s.as_bytes());
        (PublicKey(key.0), Signature(bytes))
    }

    const ED25519: curve25519_dalek::EdwardsPoint = curve25519_dalek::constants::ED25519_BASEPOINT_POINT;

    #[test]
    fn a_defect_of_small_order_in_one_signature_never_passes() {
        for torsion in 1..8 {
            for seed in 10..40 {
                for party in Party::BOTH {
                    let (mut keys, mut signatures) = case();
                    (keys[party], signatures[party]) = with_small_order_defect(seed, torsion);
                    assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Err(party));
                }
            }
        }
    }

    #[test]
    fn what_is_valid_one_by_one_is_valid_together_even_with_a_key_of_mixed_order() {
        let mut found = 0;
        for seed in 10..20 {
            let secret = Scalar::from_bytes_mod_order([seed; 32]);
            let key = (ED25519 * secret + EIGHT_TORSION[1]).compress();
            for nonce in 0..16 {
                // The owner of such a key can make the component of R fit.
                let nonce = Scalar::from_bytes_mod_order([nonce; 32]);
                for torsion in EIGHT_TORSION {
                    let r = (ED25519 * nonce + torsion).compress();
                    let digest = Sha512::new().chain_update(r.0).chain_update(key.0).chain_update(MESSAGE);
                    let k = Scalar::from_bytes_mod_order_wide(&digest.finalize().into());
                    let signature = Signature([r.0, (nonce + k * secret).to_bytes()].concat().try_into().unwrap());
                    let valid = Native.verify(&PublicKey(key.0), MESSAGE, &signature);
                    assert_eq!(ed25519::verify(&PublicKey(key.0), MESSAGE, &signature), valid);
                    if valid {
                        let (mut keys, mut signatures) = case();
                        (keys.responder, signatures.responder) = (PublicKey(key.0), signature);
                        assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Ok(()));
                        found += 1;
                    }
                }
            }
        }
        assert!(found > 10, "some signatures of such keys are valid one by one");
    }

    #[test]
    fn keys_and_nonces_of_small_order_and_scalars_out_of_range_are_refused() {
        for point in EIGHT_TORSION {
            let (mut keys, _) = case();
            keys.initiator = PublicKey(point.compress().0);
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&CompressedEdwardsY::from_slice(&point.compress().0).unwrap().0);
            let signatures = Pair::new(Signature(bytes), case().1.responder);
            assert!(Native.verify_both(&keys, MESSAGE, &signatures).is_err());
            assert!(!ed25519::verify_both(&keys, MESSAGE, &signatures, |bytes| Native.hash(bytes)));
        }
        let (keys, mut signatures) = case();
        signatures.initiator.0[63] |= 0xe0;
        assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Err(Party::Initiator));
    }

    proptest! {
        #[test]
        fn together_and_one_by_one_agree_on_any_flipped_bit(bit in 0usize..1024, seed in 0u8..) {
            let signers = Pair::new(signer(seed), signer(seed.wrapping_add(1)));
            let keys = signers.as_ref().map(SigningKey::public);
            let mut signatures = signers.as_ref().map(|key| key.sign(MESSAGE));
            let party = if bit < 512 { Party::Initiator } else { Party::Responder };
            signatures[party].0[(bit % 512) / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Native.verify_both(&keys, MESSAGE, &signatures), Err(party));
            for (party, signature) in signatures.iter() {
                let valid = Native.verify(&keys[party], MESSAGE, signature);
                prop_assert_eq!(ed25519::verify(&keys[party], MESSAGE, signature), valid);
            }
        }
    }
}
