//! A payee's request, as text (R8.4c).
//!
//! ```text
//!   isc1...   bech32m of: version u8 | SCALE(Invoice) | signature[64]
//!   signature over "isc-invoice" | version u8 | SCALE(Invoice), by the payee's identity key
//! ```

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};
use protocol::{
    Amount, BlockNumber, PublicKey, Signature,
    contracts::conditional::HashLock,
    crypto::{Crypto, Native, SigningKey},
    decode_exact,
    signing::Domain,
};
use scale::{Decode, Encode};

/// What the text begins with.
pub const PREFIX: &str = "isc";
/// The longest description, in bytes.
pub const MAX_DESCRIPTION: usize = 256;
/// The most hubs that an invoice names: its text stays within what the checksum was made for, 1,023 characters.
pub const MAX_HUBS: usize = 3;

const VERSION: u8 = 1;
const TAG: &[u8; 11] = b"isc-invoice";
const SIGNATURE_BYTES: usize = 64;

/// What is paid with: one registry of pre-images, and the coins of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Asset {
    /// The chain and the arbiter.
    pub registry: Domain,
    /// Which coins.
    pub kind: AssetKind,
}

/// Which coins of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum AssetKind {
    /// The chain's own.
    #[codec(index = 0)]
    Native,
    // 1 is for tokens.
}

/// What a payee asks for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invoice {
    /// Who is paid.
    pub payee: PublicKey,
    /// What with.
    pub asset: Asset,
    /// How much; none for any amount.
    pub amount: Option<Amount>,
    /// What the payee unlocks.
    pub lock: HashLock,
    /// What shows the payee that its payer has seen the invoice.
    pub secret: [u8; 32],
    /// How far above the newest block the expiry has to lie when the transfer reaches the payee, at least, in blocks.
    pub least_expiry: BlockNumber,
    /// For people, at most [`MAX_DESCRIPTION`] bytes.
    pub description: String,
    /// The last second in which the payee takes it, in seconds since 1970.
    pub expires_at: u64,
    /// Through whom the payee is reached, at most [`MAX_HUBS`]; none where only directly.
    pub hubs: Vec<PublicKey>,
}

/// Why an invoice cannot be read, made or paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvoiceError {
    /// It is not bech32m, or a character is wrong.
    #[error("the checksum does not fit: a character is wrong or missing")]
    Checksum,
    /// It is something else than an invoice.
    #[error("the text does not begin with `isc1`")]
    Prefix,
    /// It is from a later version.
    #[error("version {0} of invoices is unknown")]
    UnknownVersion(u8),
    /// The text is whole, what it says is not.
    #[error("the invoice is damaged")]
    Damaged,
    /// The payee has not signed it.
    #[error("the signature is not the payee's")]
    Signature,
    /// It asks for coins of a chain or an arbiter that is not served here.
    #[error("the invoice is for another chain or arbiter")]
    OtherChain,
    /// It is too late.
    #[error("the invoice expired at {at}, it is {now}")]
    Expired {
        /// When, in seconds since 1970.
        at: u64,
        /// Now.
        now: u64,
    },
    /// The description is longer than [`MAX_DESCRIPTION`] bytes, or there are more hubs than [`MAX_HUBS`].
    #[error("the invoice says too much")]
    TooLong,
}

impl Invoice {
    /// The text, signed by its payee.
    ///
    /// # Errors
    /// [`InvoiceError::TooLong`]; [`InvoiceError::Signature`] where the key is not the payee's.
    pub fn sign(&self, key: &SigningKey) -> Result<String, InvoiceError> {
        if self.is_too_long() {
            return Err(InvoiceError::TooLong);
        }
        if key.public() != self.payee {
            return Err(InvoiceError::Signature);
        }
        let bytes = (VERSION, self, key.sign(&(TAG, VERSION, self).encode())).encode();
        let prefix = Hrp::parse(PREFIX).map_err(|_error| InvoiceError::Prefix)?;
        bech32::encode::<Bech32m>(prefix, &bytes).map_err(|_error| InvoiceError::TooLong)
    }

    /// Reads a text and checks the payee's signature.
    ///
    /// # Errors
    /// Each thing that can be wrong with a text, by its name. Whether it can be paid here and now is [`check`](Self::check)'s.
    pub fn parse(text: &str) -> Result<Self, InvoiceError> {
        let checked = CheckedHrpstring::new::<Bech32m>(text.trim()).map_err(|_error| InvoiceError::Checksum)?;
        if checked.hrp().to_lowercase() != PREFIX {
            return Err(InvoiceError::Prefix);
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let (version, rest) = bytes.split_first().ok_or(InvoiceError::Damaged)?;
        if *version != VERSION {
            return Err(InvoiceError::UnknownVersion(*version));
        }
        let at = rest.len().checked_sub(SIGNATURE_BYTES).ok_or(InvoiceError::Damaged)?;
        let (body, signature) = rest.split_at_checked(at).ok_or(InvoiceError::Damaged)?;
        let invoice: Self = decode_exact(body).map_err(|_error| InvoiceError::Damaged)?;
        let signature: Signature = decode_exact(signature).map_err(|_error| InvoiceError::Damaged)?;
        if invoice.is_too_long() {
            return Err(InvoiceError::Damaged);
        }
        let is_signed = Native.verify(&invoice.payee, &(TAG, VERSION, &invoice).encode(), &signature);
        is_signed.then_some(invoice).ok_or(InvoiceError::Signature)
    }

    /// Whether it can be paid in this registry at this second.
    ///
    /// # Errors
    /// [`InvoiceError::OtherChain`], [`InvoiceError::Expired`].
    pub fn check(&self, registry: &Domain, now: u64) -> Result<(), InvoiceError> {
        if self.asset.registry != *registry {
            return Err(InvoiceError::OtherChain);
        }
        if now > self.expires_at {
            return Err(InvoiceError::Expired { at: self.expires_at, now });
        }
        Ok(())
    }

    fn is_too_long(&self) -> bool {
        self.description.len() > MAX_DESCRIPTION || self.hubs.len() > MAX_HUBS
    }
}
