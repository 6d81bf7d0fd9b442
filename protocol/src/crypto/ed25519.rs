//! Ed25519 as the arbiter checks it: strict, and two signatures over one message with one multiplication, about a third cheaper than one
//! by one. Every co-signed call pays for it (docs/adr/0002).
//!
//! A signature `(R, s)` of key `A` over `M` is valid iff `E = s*B - k*A - R` is zero, with `k = SHA-512(R, A, M)`. Instead of
//! `E1 = 0` and `E2 = 0` this checks `E1 + z*E2 = 0`, with `z` a hash of everything that takes part: whoever can choose
//! signatures but not `z` fails except with probability 2^-127. `z` is odd, so that a defect of small order in one signature's `R` is
//! never multiplied away.
//!
//! What is valid one by one is never refused: whatever fails together is checked one by one first. What fails one by one is refused,
//! exactly, wherever the responder's key has no component of small order and one of the two signatures is valid. Elsewhere it may pass, if
//! each `E` is zero but for a component of small order, which takes the secrets of both keys over this very message:
//! - defects in both `R` cancel out for some `z`, and always where they are of order two;
//! - `z*k` is reduced modulo the group's order, and a component of small order in the responder's key does not bear that.
//!
//! Who can make such a signature could have signed properly, so it binds nobody else; and peers accept no such keys.

#![allow(clippy::arithmetic_side_effects, reason = "arithmetic in a field and a group: nothing overflows")]

use crate::{Hash, Pair, PublicKey, Signature};
use curve25519_dalek::{
    EdwardsPoint, Scalar,
    constants::ED25519_BASEPOINT_POINT,
    edwards::CompressedEdwardsY,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use scale::Encode;
use sha2::{Digest, Sha512};

/// Whether a signature over `message` is valid: keys and nonces of small order and non-canonical encodings are refused.
pub(super) fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    Parts::of(key, message, signature).is_some_and(|Parts { key, r, s, k }| {
        EdwardsPoint::vartime_multiscalar_mul([s, k], [ED25519_BASEPOINT_POINT, -key]) == r
    })
}

/// Whether both signatures over `message` are valid, by the same strict rules as one by one.
pub(super) fn verify_both(
    keys: &Pair<PublicKey>,
    message: &[u8],
    signatures: &Pair<Signature>,
    hash: impl Fn(&[u8]) -> Hash,
) -> bool {
    let Hash(seed) = hash(&(keys, message, signatures).encode());
    let (Some(one), Some(two)) = (
        Parts::of(&keys.initiator, message, &signatures.initiator),
        Parts::of(&keys.responder, message, &signatures.responder),
    ) else {
        return false;
    };
    let z = odd_coefficient(&seed);
    // Points are negated, not coefficients: only so does `z` stay odd for components of small order.
    let scalars = [one.s + z * two.s, one.k, z * two.k, z];
    let points = [ED25519_BASEPOINT_POINT, -one.key, -two.key, -two.r];
    (EdwardsPoint::vartime_multiscalar_mul(scalars, points) - one.r).is_identity()
}

/// 128 bits of a hash, made odd.
fn odd_coefficient(seed: &[u8; 32]) -> Scalar {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(seed).take(16) {
        *to = *from;
    }
    let [first, ..] = &mut bytes;
    *first |= 1;
    Scalar::from_bytes_mod_order(bytes)
}

/// A signature's parts, each checked for itself.
struct Parts {
    key: EdwardsPoint,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Parts {
    fn of(key: &PublicKey, message: &[u8], signature: &Signature) -> Option<Self> {
        let (r_bytes, s_bytes) = signature.0.split_first_chunk::<32>()?;
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s_bytes.try_into().ok()?))?;
        let digest = Sha512::new().chain_update(r_bytes).chain_update(key.0).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&digest.finalize().into());
        Some(Self { key: point(&key.0, false)?, r: point(r_bytes, true)?, s, k })
    }
}

/// A point of large order; with `canonical`, from the one encoding it should have.
fn point(bytes: &[u8; 32], canonical: bool) -> Option<EdwardsPoint> {
    if canonical && !is_reduced(bytes) {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress().filter(|point| !point.is_small_order())
}

/// Whether the encoded coordinate is below the field's prime, 2^255 - 19.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    !(*low >= 0xed && high & 0x7f == 0x7f && middle.iter().all(|byte| *byte == 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2^255 - 19 + `above`, with the sign bit or without.
    fn encoded(above: i16, sign: bool) -> [u8; 32] {
        let mut bytes = [0xff; 32];
        bytes[0] = u8::try_from(0xed + above).unwrap();
        bytes[31] = if sign { 0xff } else { 0x7f };
        bytes
    }

    #[test]
    fn a_coordinate_is_reduced_up_to_the_prime_and_whatever_its_sign() {
        for sign in [false, true] {
            for above in -3..=18 {
                assert_eq!(is_reduced(&encoded(above, sign)), above < 0, "{above}");
            }
            for at in 1..31 {
                let mut bytes = encoded(18, sign);
                bytes[at] = 0xfe;
                assert!(is_reduced(&bytes), "byte {at} is smaller");
            }
            let mut bytes = encoded(18, sign);
            bytes[31] ^= 1;
            assert!(is_reduced(&bytes));
            assert!(is_reduced(&[0; 32]));
        }
    }

    #[test]
    fn a_nonce_has_its_one_encoding_and_a_key_any_that_the_library_takes() {
        let mut seen = 0;
        let valid = ED25519_BASEPOINT_POINT.compress().0;
        for above in 0..=18 {
            let odd = encoded(above, false);
            let Some(point) = CompressedEdwardsY(odd).decompress().filter(|point| !point.is_small_order()) else {
                continue;
            };
            seen += 1;
            let parts = |key: [u8; 32], r: [u8; 32]| {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r);
                Parts::of(&PublicKey(key), b"", &Signature(signature)).is_some()
            };
            assert!(parts(valid, valid));
            assert!(parts(valid, point.compress().0));
            assert!(!parts(valid, odd), "as a nonce");
            assert!(parts(odd, valid), "as a key");
            assert!(ed25519_dalek::VerifyingKey::from_bytes(&odd).is_ok());
        }
        assert!(seen > 3, "{seen}");
    }
}
