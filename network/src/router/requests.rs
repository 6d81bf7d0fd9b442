//! What the user asks for: to pay, and to be paid.

use super::{
    payments::PayError,
    receive,
    rows::{InvoiceRow, Order, Receipt, RowName, row},
    state::Core,
};
use crate::{
    instruction::{Delivery, FailureCode},
    invoice::{Asset, AssetKind, Invoice, InvoiceError},
};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Crypto, Native},
    signing::Domain,
};
use scale::Encode;

/// A payment that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spontaneous {
    /// In which registry's coins.
    pub chain: Domain,
    /// Who is paid.
    pub payee: PublicKey,
    /// Through whom; none for whoever says that it serves the payee.
    pub hubs: Vec<PublicKey>,
    /// How much.
    pub amount: Amount,
    /// The most that hubs take.
    pub max_fee: Amount,
    /// What the payee is told, at most [`Delivery::MAX_NOTE`] bytes.
    pub note: Vec<u8>,
}

/// What unlocks an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// This, as soon as all of it is there. Drawn at random.
    AtOnce(Preimage),
    /// What the user shows later ([`Router::settle`](super::Router::settle)).
    Held(HashLock),
}

/// What an invoice is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRequest {
    /// In which registry's coins.
    pub chain: Domain,
    /// How much; none for any amount.
    pub amount: Option<Amount>,
    /// What unlocks it.
    pub opening: Opening,
    /// Drawn at random.
    pub secret: [u8; 32],
    /// The least expiry, in blocks above the newest when the transfer comes; never less than the margin.
    pub least_expiry: BlockNumber,
    /// For people.
    pub description: String,
    /// The last second in which it is taken, in seconds since 1970.
    pub expires_at: u64,
    /// Through whom this side is reached.
    pub hubs: Vec<PublicKey>,
}

/// How far an invoice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceState {
    /// Not all of it is there.
    Open,
    /// All of it is held.
    Held {
        /// How much.
        amount: Amount,
    },
    /// Its pre-image is shown.
    Paid {
        /// How much.
        amount: Amount,
        /// How many parts are still to be claimed.
        open_parts: usize,
    },
    /// It is not taken any more.
    Cancelled,
}

/// Why something about an invoice cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// It cannot be made.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// There is one with this lock, which may be one that cannot be read, or as many as fit.
    #[error("an invoice with this lock is kept, or too many are")]
    Kept,
    /// There is none with this lock.
    #[error("there is no invoice with this lock")]
    Unknown,
    /// It is not held.
    #[error("nothing is held for it")]
    NotHeld,
    /// It opens something else.
    #[error("the pre-image opens another lock")]
    WrongPreimage,
    /// The expiry is too near: it has been given back, or will be.
    #[error("the expiry is too near")]
    TooLate,
    /// It is paid, or being paid.
    #[error("it is paid already")]
    PaidAlready,
    /// Something of it is on its way.
    #[error("something of it is on its way")]
    UnderWay,
}

/// What paying an invoice comes to.
pub(super) fn order(invoice: &Invoice, amount: Option<Amount>, max_fee: Amount) -> Result<Order, PayError> {
    let total = match (invoice.amount, amount) {
        (None, given) => given.ok_or(PayError::Amount)?,
        (Some(asked), None) => asked,
        (Some(asked), Some(given)) if (asked..=asked.saturating_mul(2)).contains(&given) => given,
        (Some(_), Some(_)) => return Err(PayError::Amount),
    };
    Ok(Order {
        chain: invoice.asset.registry,
        payee: invoice.payee,
        hubs: invoice.hubs.clone(),
        lock: invoice.lock,
        secret: invoice.secret,
        total,
        max_fee,
        least_expiry: invoice.least_expiry,
        preimage: None,
        note: Vec::new(),
    })
}

/// What a spontaneous payment comes to: its secrets are derived from the seed.
pub(super) fn spontaneous(payment: Spontaneous, seed: &[u8; 32]) -> Result<Order, PayError> {
    let Spontaneous { chain, payee, hubs, amount, max_fee, note } = payment;
    if note.len() > Delivery::MAX_NOTE {
        return Err(PayError::Payee);
    }
    let preimage = Preimage(Native.hash(&(b"isc-spontaneous", seed).encode()).0);
    Ok(Order {
        chain,
        payee,
        hubs,
        lock: preimage.lock(HashFunction::Blake2b256, &Native),
        secret: Native.hash(&(b"isc-secret", seed).encode()).0,
        total: amount,
        max_fee,
        least_expiry: 0,
        preimage: Some(preimage),
        note,
    })
}

/// Writes an invoice down.
pub(super) fn add_invoice(core: &mut Core, request: InvoiceRequest) -> Result<(Invoice, String), ReceiveError> {
    let (lock, preimage) = match request.opening {
        Opening::AtOnce(preimage) => (preimage.lock(HashFunction::Blake2b256, &Native), Some(preimage)),
        Opening::Held(lock) => (lock, None),
    };
    let most = usize::try_from(core.policy.max_kept).unwrap_or(usize::MAX);
    let is_kept = core.invoices.contains_key(&lock) || core.is_unread(RowName::Invoice(lock));
    if is_kept || core.invoices.len() >= most {
        return Err(ReceiveError::Kept);
    }
    let margin = core.policy.chain(&request.chain).margins.forward();
    // What is held is given back at twice the margin: it has to come earlier.
    let least = if preimage.is_some() { margin } else { margin.saturating_mul(3) };
    let least_expiry = request.least_expiry.max(least);
    let invoice = Invoice {
        payee: core.identity.public(),
        asset: Asset { registry: request.chain, kind: AssetKind::Native },
        amount: request.amount,
        lock,
        secret: request.secret,
        least_expiry,
        description: request.description,
        expires_at: request.expires_at,
        hubs: request.hubs,
    };
    let text = invoice.sign(&core.identity)?;
    let kept = InvoiceRow {
        chain: request.chain,
        secret: request.secret,
        amount: request.amount,
        least_expiry,
        expires_at: request.expires_at,
        preimage,
        is_spontaneous: false,
        state: Receipt::Open,
    };
    let value = row(&kept);
    let _new = core.invoices.insert(lock, kept);
    core.write(request.chain, RowName::Invoice(lock), Some(value));
    Ok((invoice, text))
}

pub(super) fn invoice_state(core: &Core, lock: &HashLock) -> Option<InvoiceState> {
    Some(match &core.invoices.get(lock)?.state {
        Receipt::Open => InvoiceState::Open,
        Receipt::Held { amount, .. } => InvoiceState::Held { amount: *amount },
        Receipt::Settled { amount, parts, .. } => InvoiceState::Paid { amount: *amount, open_parts: parts.len() },
        Receipt::Cancelled => InvoiceState::Cancelled,
    })
}

pub(super) fn settle(core: &mut Core, lock: HashLock, preimage: Preimage) -> Result<(), ReceiveError> {
    if preimage.lock(lock.function, &Native) != lock {
        return Err(ReceiveError::WrongPreimage);
    }
    match invoice_state(core, &lock) {
        None => Err(ReceiveError::Unknown),
        // Asked again, it is done.
        Some(InvoiceState::Paid { .. }) => Ok(()),
        Some(InvoiceState::Open | InvoiceState::Cancelled) => Err(ReceiveError::NotHeld),
        Some(InvoiceState::Held { .. }) => {
            receive::settle_held(core, lock, preimage).then_some(()).ok_or(ReceiveError::TooLate)
        }
    }
}

pub(super) fn cancel(core: &mut Core, lock: HashLock) -> Result<(), ReceiveError> {
    if !core.invoices.contains_key(&lock) {
        return Err(ReceiveError::Unknown);
    }
    receive::cancel(core, lock, FailureCode::UnknownOrWrong).then_some(()).ok_or(ReceiveError::PaidAlready)
}

pub(super) fn forget_invoice(core: &mut Core, lock: HashLock) -> Result<(), ReceiveError> {
    let invoice = core.invoices.get(&lock).ok_or(ReceiveError::Unknown)?;
    let is_over = match &invoice.state {
        Receipt::Open => core.seconds() > invoice.expires_at,
        Receipt::Held { .. } => false,
        Receipt::Settled { parts, .. } => parts.is_empty(),
        Receipt::Cancelled => true,
    };
    if !is_over || core.gathering.contains_key(&lock) {
        return Err(ReceiveError::UnderWay);
    }
    let chain = invoice.chain;
    let _forgotten = core.invoices.remove(&lock);
    core.write(chain, RowName::Invoice(lock), None);
    Ok(())
}

/// Fees of a peer's transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earned {
    /// Whose transfers brought them.
    pub peer: PublicKey,
    /// How much.
    pub amount: Amount,
}
