//! The plain values everything else is made of. Shapes and units are the chain's own (R3.1 to R3.4).

use core::fmt;
use scale::{Decode, Encode, MaxEncodedLen};

/// An amount of coins in the chain's smallest unit (R3.3). An alias, because it *is* the chain's balance.
pub type Amount = u128;
/// A block number: the only on-chain time (R3.3). An alias, because it *is* the chain's block number.
pub type BlockNumber = u32;
/// The number of an agreed state. It only grows (R5.4, R6.1); `create` is round 1.
pub type Round = u64;

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
        pub struct $name(pub [u8; $len]);

        crate::primitives::bytes_newtype!(@methods $name, $len);
    };
    (@methods $name:ident, $len:literal) => {

        impl $name {
            /// The bytes as they are hashed, signed and stored.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use bytes_newtype;

bytes_newtype!(
    /// A blake2b-256 digest (R3.1).
    Hash, 32
);
/// An account of the chain. It pays fees and receives payouts; it signs no channel states (R3.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
pub struct AccountId(pub [u8; 32]);

bytes_newtype!(@methods AccountId, 32);

/// Under the name that the tools of contracts know: they read and show addresses wherever it stands, and would take any other name for bare bytes.
#[cfg(feature = "std")]
impl scale_info::TypeInfo for AccountId {
    type Identity = Self;

    fn type_info() -> scale_info::Type {
        scale_info::Type::builder()
            .path(scale_info::Path::new("AccountId", "ink_primitives::types"))
            .docs(&["An account of the chain. It pays fees and receives payouts; it signs no channel states."])
            .composite(scale_info::build::Fields::unnamed().field(|field| field.ty::<[u8; 32]>().type_name("[u8; 32]")))
    }
}

bytes_newtype!(
    /// An Ed25519 key that signs channel states (R3.4).
    PublicKey, 32
);
bytes_newtype!(
    /// An Ed25519 signature over the signed bytes of R3.5.
    Signature, 64
);
bytes_newtype!(
    /// `H(domain, accounts and keys of both parties, nonce)` (R5.2): never used twice.
    ChannelId, 32
);

impl Hash {
    /// The root of an empty tree (R4.2).
    pub const ZERO: Self = Self([0; 32]);
}

/// Decodes `bytes` whole: leftover bytes are an error (R3.2).
///
/// # Errors
/// The codec's own error where the bytes are not exactly one `T`.
pub fn decode_exact<T: Decode>(bytes: &[u8]) -> Result<T, scale::Error> {
    scale::DecodeAll::decode_all(&mut &*bytes)
}
