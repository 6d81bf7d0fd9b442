//! The router's own rows: payments, invoices, peers. Forwards need none: the channels' rows say it all.

use super::io::{At, Origin, RowKey};
use crate::{instruction::FailureCode, keys::PaymentId, swap::SwapId};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashLock, Preimage},
    crypto::{Crypto, Native},
    signing::Domain,
};
use scale::{Decode, Encode};

/// The version in front of stored rows.
const VERSION: u8 = 1;

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(super) enum RowName {
    #[codec(index = 1)]
    Payment(PaymentId),
    #[codec(index = 2)]
    Invoice(HashLock),
    /// By the hash of chain and key.
    #[codec(index = 3)]
    Peer(protocol::Hash),
    /// A pre-image that nobody in a channel showed (I3).
    #[codec(index = 4)]
    Preimage(HashLock),
    #[codec(index = 5)]
    Swap(SwapId),
    /// The last numbers of swaps with a peer, by the hash of chain and key.
    #[codec(index = 6)]
    SwapSequence(protocol::Hash),
    /// What became of a swap's target leg, in the target chain's store.
    #[codec(index = 7)]
    SwapTarget(SwapId),
}

impl RowName {
    /// What is remembered of a peer.
    pub(super) fn peer(chain: Domain, peer: PublicKey) -> Self {
        Self::Peer(hash_of(chain, peer))
    }

    /// The last numbers of swaps with a peer.
    pub(super) fn swap_sequence(chain: Domain, peer: PublicKey) -> Self {
        Self::SwapSequence(hash_of(chain, peer))
    }

    pub(super) fn key(&self) -> RowKey {
        RowKey(self.encode())
    }

    pub(super) fn read(key: &RowKey) -> Option<Self> {
        protocol::decode_exact(&key.0).ok()
    }
}

fn hash_of(chain: Domain, peer: PublicKey) -> protocol::Hash {
    Native.hash(&(chain, peer).encode())
}

pub(super) fn row<T: Encode>(value: &T) -> Vec<u8> {
    (VERSION, value).encode()
}

pub(super) fn read<T: Decode>(bytes: &[u8]) -> Option<T> {
    let (version, value) = bytes.split_first()?;
    (*version == VERSION).then(|| protocol::decode_exact(value).ok())?
}

/// The version in front of rows that have something behind them, which most have not.
const VERSION_WITH_MORE: u8 = 2;

/// A row with something behind it.
pub(super) fn row_with<T: Encode>(value: &T, more: &impl Encode) -> Vec<u8> {
    (VERSION_WITH_MORE, value, more).encode()
}

/// Reads a row, and what is behind it where there is something.
pub(super) fn read_with<T: Decode, M: Decode>(bytes: &[u8]) -> Option<(T, Option<M>)> {
    match bytes.split_first()? {
        (&VERSION_WITH_MORE, value) => {
            let (value, more) = protocol::decode_exact(value).ok()?;
            Some((value, Some(more)))
        }
        _ => Some((read(bytes)?, None)),
    }
}

/// A local payment, from before its first part leaves until the user forgets it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct PaymentRow {
    pub(super) order: Order,
    /// Drawn at random once: what is sealed for the payee is derived from it.
    pub(super) seed: [u8; 32],
    /// Those that are under way.
    pub(super) parts: Vec<Part>,
    /// How many were ever made.
    pub(super) made: u32,
    pub(super) state: Stage,
    /// What places have cost of parts that came to nothing. Stored as the fees beside the row.
    #[codec(skip)]
    pub(super) lost: Amount,
}

/// What a payment's places cost: stored behind its row, where there is anything of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct PlaceFees {
    lost: Amount,
    /// Of each part that is under way, in their order.
    parts: Vec<Amount>,
}

impl PaymentRow {
    /// What is stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let fees = PlaceFees { lost: self.lost, parts: self.parts.iter().map(|part| part.place).collect() };
        if fees.lost == 0 && fees.parts.iter().all(|fee| *fee == 0) {
            return row(self);
        }
        row_with(self, &fees)
    }

    /// Reads what is stored.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut payment, fees): (Self, Option<PlaceFees>) = read_with(bytes)?;
        let Some(PlaceFees { lost, parts }) = fees else { return Some(payment) };
        if parts.len() != payment.parts.len() {
            return None;
        }
        payment.lost = lost;
        payment.parts.iter_mut().zip(parts).for_each(|(part, fee)| part.place = fee);
        Some(payment)
    }

    /// What it costs beyond what arrives, with these parts beside those that are under way.
    pub(super) fn fees_with(&self, planned: &[Part]) -> Amount {
        self.parts.iter().chain(planned).fold(self.lost, |sum, part| sum.saturating_add(part.cost()))
    }
}

/// What is to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Order {
    pub(super) chain: Domain,
    pub(super) payee: PublicKey,
    pub(super) hubs: Vec<PublicKey>,
    pub(super) lock: HashLock,
    pub(super) secret: [u8; 32],
    pub(super) total: Amount,
    pub(super) max_fee: Amount,
    pub(super) least_expiry: BlockNumber,
    pub(super) preimage: Option<Preimage>,
    pub(super) note: Vec<u8>,
}

/// A part of a payment that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) at: At,
    /// Through whom; none for the payee directly.
    pub(super) hub: Option<PublicKey>,
    /// What the payee gets.
    pub(super) amount: Amount,
    /// What leaves.
    pub(super) sent: Amount,
    /// The payee's expiry.
    pub(super) expiry: BlockNumber,
    /// What leaves expires then.
    pub(super) sent_expiry: BlockNumber,
    /// What its place at the hub costs, whatever comes of it (R8.4i). Stored as the fees beside the row.
    #[codec(skip)]
    pub(super) place: Amount,
}

impl Part {
    /// What it costs beyond what arrives.
    pub(super) const fn cost(&self) -> Amount {
        self.sent.saturating_sub(self.amount).saturating_add(self.place)
    }
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Stage {
    #[codec(index = 0)]
    Pending,
    /// It will have failed once no part is under way.
    #[codec(index = 1)]
    GivingUp(FailureCode),
    #[codec(index = 2)]
    Paid(Preimage),
    #[codec(index = 3)]
    Failed(FailureCode),
}

/// Something to be paid by others.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct InvoiceRow {
    pub(super) chain: Domain,
    pub(super) secret: [u8; 32],
    pub(super) amount: Option<Amount>,
    pub(super) least_expiry: BlockNumber,
    pub(super) expires_at: u64,
    /// None where the user holds it.
    pub(super) preimage: Option<Preimage>,
    pub(super) is_spontaneous: bool,
    pub(super) state: Receipt,
}

/// How far an invoice is. What its parts are is written down, so that a later one is not taken for one of them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Receipt {
    #[codec(index = 0)]
    Open,
    #[codec(index = 1)]
    Held { amount: Amount, parts: Vec<Origin> },
    /// `parts` are those that are not ended yet.
    #[codec(index = 2)]
    Settled { preimage: Preimage, amount: Amount, parts: Vec<Origin> },
    #[codec(index = 3)]
    Cancelled,
}

/// What is remembered of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct PeerRow {
    /// Fees that its transfers have brought.
    pub(super) earned: Amount,
    /// What it paid in advance for places.
    pub(super) prepaid: Amount,
    /// It left a claim unanswered (B1).
    pub(super) is_barred: bool,
}

/// A peer's row with whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct NamedPeer {
    pub(super) chain: Domain,
    pub(super) peer: PublicKey,
    pub(super) row: PeerRow,
}
