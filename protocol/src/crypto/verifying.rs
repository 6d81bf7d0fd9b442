//! A public key made ready: what one check of a signature after the other has in common is done once.

use crate::{PublicKey, Signature};
use core::fmt;
use ed25519_dalek::Verifier;

/// A party's public key, ready to check its signatures, each as strictly as [`Crypto::verify`](super::Crypto::verify) does (R3.4) and cheaper.
///
/// The point of the key is computed once instead of for each signature. Nor is the point of a signature's nonce `R` computed: a check compares the
/// encoding of `s*B - k*A` with the bytes of `R`, so that it passes only where those bytes are the one proper encoding of a point on the curve. All that
/// strictness then asks is that this point be none of the eight of small order, each of which has one such encoding: docs/adr/0009 has the proof.
#[derive(Clone, Copy)]
pub struct VerifyingKey {
    key: PublicKey,
    /// None where the key is no point of large order: nothing is signed by it.
    point: Option<ed25519_dalek::VerifyingKey>,
}

impl VerifyingKey {
    /// The key as the channel registers it.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.key
    }

    /// Whether `signature` is this key's over `message`: Ed25519, strict (R3.4). Of a key that is no point of large order nothing is.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let Some((nonce, _)) = signature.0.split_first_chunk::<32>() else { return false };
        !is_of_small_order(*nonce)
            && self
                .point
                .is_some_and(|point| point.verify(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
    }
}

impl From<PublicKey> for VerifyingKey {
    fn from(key: PublicKey) -> Self {
        let point = ed25519_dalek::VerifyingKey::from_bytes(&key.0).ok().filter(|point| !point.is_weak());
        Self { key, point }
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.key, f)
    }
}

/// Whether these bytes, with either sign, are the proper encoding of a point of small order.
fn is_of_small_order(mut bytes: [u8; 32]) -> bool {
    let [.., last] = &mut bytes;
    *last &= 0x7f;
    SMALL_ORDER.contains(&bytes)
}

/// The y coordinates of the eight points of small order: those of order four, of one, of two, and of eight, each with its opposite at the end.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SigningKey;
    use curve25519_dalek::{constants::EIGHT_TORSION, edwards::CompressedEdwardsY};

    #[test]
    fn the_table_has_all_points_of_small_order_and_no_other() {
        for point in EIGHT_TORSION {
            assert!(is_of_small_order(point.compress().0), "{point:?}");
        }
        for y in SMALL_ORDER {
            let point = CompressedEdwardsY(y).decompress().unwrap();
            assert!(point.is_small_order());
            assert_eq!(point.compress().0, y, "it is encoded properly");
        }
    }

    #[test]
    fn a_key_checks_what_its_owner_signed_and_nothing_else() {
        let owner = SigningKey::from_seed(&[1; 32]);
        let key = VerifyingKey::from(owner.public());
        assert!(key.verify(b"a round", &owner.sign(b"a round")));
        assert!(!key.verify(b"another", &owner.sign(b"a round")));
        assert!(!key.verify(b"a round", &SigningKey::from_seed(&[2; 32]).sign(b"a round")));
        assert_eq!((key.public(), format!("{key:?}")), (owner.public(), format!("{:?}", owner.public())));
    }

    #[test]
    fn a_key_that_is_no_point_of_large_order_checks_nothing() {
        let off_the_curve =
            (0..).map(|byte| [byte; 32]).find(|bytes| CompressedEdwardsY(*bytes).decompress().is_none());
        let small = EIGHT_TORSION.map(|point| point.compress().0);
        for bytes in small.into_iter().chain(off_the_curve) {
            let key = VerifyingKey::from(PublicKey(bytes));
            assert!(key.point.is_none());
            assert!(!key.verify(b"", &Signature([0; 64])));
        }
    }
}
