//! Ed25519 keys and signatures as only their owner can make them: with components of small order, and in encodings that nobody should write.

use curve25519_dalek::{
    EdwardsPoint, Scalar,
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::CompressedEdwardsY,
    traits::IsIdentity,
};
use protocol::{PublicKey, Signature};
use sha2::{Digest, Sha512};

/// How many multiples of the group's order fit beside a scalar in 32 bytes.
pub const ORDERS: u8 = 15;

/// A key `a*B + T`, with `T` of small order.
#[derive(Clone, Copy, Debug)]
pub struct CraftedKey {
    secret: Scalar,
    bytes: [u8; 32],
}

impl CraftedKey {
    /// `a` is `secret`, and `T` is `torsion` times a point of order 8. Without a secret the key itself is of small order.
    pub fn new(secret: u64, torsion: u8) -> Self {
        let secret = Scalar::from(secret);
        Self { secret, bytes: point(secret, torsion) }
    }

    /// A key as it is written; nobody knows a secret of it, and where it is of small order none is needed.
    pub const fn written(bytes: [u8; 32]) -> Self {
        Self { secret: Scalar::ZERO, bytes }
    }

    pub const fn public(&self) -> PublicKey {
        PublicKey(self.bytes)
    }

    /// A signature with the nonce `r*B + T`: valid but for components of small order.
    pub fn sign(&self, message: &[u8], nonce: u64, torsion: u8) -> Signature {
        self.sign_with(message, nonce, &point(Scalar::from(nonce), torsion), &self.bytes)
    }

    /// A signature with the nonce written as `r` and the key hashed as `key`.
    pub fn sign_with(&self, message: &[u8], nonce: u64, r: &[u8; 32], key: &[u8; 32]) -> Signature {
        let s = Scalar::from(nonce) + challenge(r, key, message) * self.secret;
        joined(r, &s.to_bytes())
    }

    /// A signature in which the nonce's component of small order makes up for the key's, where there is one.
    pub fn sign_fitting(&self, message: &[u8], nonce: u64) -> Option<Signature> {
        (0..8).map(|torsion| self.sign(message, nonce, torsion)).find(|made| is_equal(&self.public(), message, made))
    }
}

/// `scalar*B` and `torsion` times a point of order 8.
fn point(scalar: Scalar, torsion: u8) -> [u8; 32] {
    (ED25519_BASEPOINT_POINT * scalar + of_small_order(torsion)).compress().0
}

fn of_small_order(torsion: u8) -> EdwardsPoint {
    EIGHT_TORSION[usize::from(torsion % 8)]
}

pub fn joined(r: &[u8; 32], s: &[u8; 32]) -> Signature {
    Signature([*r, *s].concat().try_into().unwrap())
}

/// The bytes of `R`.
pub fn nonce_of(signature: &Signature) -> [u8; 32] {
    *signature.0.first_chunk().unwrap()
}

/// The same signature with a nonce that is off by a point of small order, where the nonce is a point.
pub fn with_torsion_added(signature: &Signature, torsion: u8) -> Option<Signature> {
    let moved = CompressedEdwardsY(nonce_of(signature)).decompress()? + of_small_order(torsion);
    Some(joined(&moved.compress().0, signature.0.last_chunk().unwrap()))
}

/// The same signature with its scalar raised by a multiple of the group's order, where 32 bytes can hold it.
pub fn with_orders_added(signature: &Signature, times: u8) -> Option<Signature> {
    let below = (-Scalar::ONE).to_bytes();
    let mut s: [u8; 32] = *signature.0.last_chunk().unwrap();
    for _ in 0..times {
        // The order is one more than the greatest scalar.
        let mut carry = 1;
        for (byte, add) in s.iter_mut().zip(below) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        if carry > 0 {
            return None;
        }
    }
    Some(joined(&nonce_of(signature), &s))
}

fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let digest = Sha512::new().chain_update(r).chain_update(key).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&digest.finalize().into())
}

/// `s*B - k*A - R`, where the points can be read and `s` is below the group's order.
fn difference(key: &PublicKey, message: &[u8], signature: &Signature) -> Option<EdwardsPoint> {
    let r = nonce_of(signature);
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(*signature.0.last_chunk()?))?;
    let k = challenge(&r, &key.0, message);
    let (key, r) = (CompressedEdwardsY(key.0).decompress()?, CompressedEdwardsY(r).decompress()?);
    Some(ED25519_BASEPOINT_POINT * s - key * k - r)
}

/// Whether the equation holds, which is all that lenient verifiers ask.
pub fn is_equal(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    difference(key, message, signature).is_some_and(|point| point.is_identity())
}

/// Whether the equation holds but for a point of small order, which is all that verifiers with a cofactor ask.
pub fn is_equal_but_for_small_order(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    difference(key, message, signature).is_some_and(|point| point.is_small_order())
}

/// Whether the key or the nonce is a point of small order.
pub fn has_small_order(key: &PublicKey, signature: &Signature) -> bool {
    [key.0, nonce_of(signature)].into_iter().any(|bytes| is_of_small_order(&bytes))
}

/// Whether the key is a point with a component of small order.
pub fn has_torsion(key: &PublicKey) -> bool {
    CompressedEdwardsY(key.0).decompress().is_some_and(|point| !point.is_torsion_free())
}

fn is_of_small_order(bytes: &[u8; 32]) -> bool {
    CompressedEdwardsY(*bytes).decompress().is_some_and(|point| point.is_small_order())
}

/// Every way to write a point of small order. Eight ways are canonical; six have a `y` beyond the field's prime, or the sign of an `x` that
/// is zero.
pub fn encodings_of_small_order() -> Vec<[u8; 32]> {
    // The prime, and one more: other names of 0 and 1.
    let beyond = [0xed, 0xee].map(|low| {
        let mut y = [0xff; 32];
        (y[0], y[31]) = (low, 0x7f);
        y
    });
    let canonical = EIGHT_TORSION.map(|point| point.compress().0);
    let mut all: Vec<_> =
        canonical.into_iter().chain(beyond).flat_map(|bytes| [bytes, with_sign_flipped(bytes)]).collect();
    all.sort_unstable();
    all.dedup();
    all.retain(is_of_small_order);
    all
}

fn with_sign_flipped(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] ^= 0x80;
    bytes
}
