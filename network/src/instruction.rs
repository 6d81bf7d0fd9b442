//! What an offer tells the payee's router, and what a failure tells the payer's (R8.4a).
//!
//! ```text
//!   payer --- Forward { next, amount, expiry, inner } ---> hub --- inner ---> next: another Forward, or Deliver(sealed)
//!   payer <------------------- RouteFailure { code, inner } -------------------------------------------------------
//! ```

use crate::swap::SwapId;
use channel::transfer::{FailReason, MAX_INSTRUCTION, MAX_REASON};
use protocol::{Amount, BlockNumber, Hash, PublicKey, contracts::conditional::Preimage, decode_exact, signing::Domain};
use scale::{Decode, Encode};

/// What a router is to do with a transfer. Numbers are never used again; an unknown one fails the transfer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Instruction {
    /// Carry it on.
    #[codec(index = 0)]
    Forward(Forward),
    /// It is for the payee itself: a [`Delivery`] that only the payee can open.
    #[codec(index = 1)]
    Deliver(Vec<u8>),
    // 2 is for onions.
    /// It is of a swap between the two ends.
    #[codec(index = 3)]
    Swap(SwapInstruction),
    /// Carry it on with its premium, which the next one pledges (R8.5h).
    #[codec(index = 4)]
    ForwardStaked(StakedForward),
}

/// Of which swap a transfer is, and that its sender has heard what the other one agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SwapInstruction {
    /// Which one.
    pub id: SwapId,
    /// Its source chain, in whose store its row is.
    pub source: Domain,
    /// The sender's number of the swap.
    pub sequence: u64,
    /// The hash of the words by which the receiver agreed ([`SwapTerms::acknowledged`](crate::SwapTerms::acknowledged)).
    pub acknowledges: Hash,
}

/// How to carry a transfer on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Forward {
    /// Who is offered it next.
    pub next: PublicKey,
    /// Where: none for the registry that it came on.
    pub chain: Option<Domain>,
    /// What is offered.
    pub amount: Amount,
    /// The expiry of what is offered.
    pub expiry: BlockNumber,
    /// The next one's instruction.
    pub inner: Vec<u8>,
}

/// How to carry a transfer on beside which its payee stakes something, as whoever carries it on does where it comes in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StakedForward {
    /// How to carry the transfer on.
    pub forward: Forward,
    /// What the next one stakes beside it.
    pub premium: Amount,
    /// The last block of the next one's pledge (R6.5d).
    pub pledged_until: BlockNumber,
}

/// What the payer tells the payee, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Delivery {
    /// The secret of the invoice: who knows it has seen the invoice. For a spontaneous payment, of the payer's choice, the same in all parts.
    pub secret: [u8; 32],
    /// What all parts come to.
    pub total: Amount,
    /// For a spontaneous payment, what unlocks it.
    pub preimage: Option<Preimage>,
    /// For a spontaneous payment, the payer's own words.
    pub note: Vec<u8>,
}

/// Why a transfer failed, in one word (D11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
pub enum FailureCode {
    /// No channel to the next one has the coins.
    #[error("no channel to the next one has the coins")]
    #[codec(index = 0)]
    Liquidity,
    /// What comes in does not cover what goes on and the fee.
    #[error("the fee is too low")]
    #[codec(index = 1)]
    Fee,
    /// The expiry is too near, too far, or not far enough above the next one.
    #[error("the expiry does not fit")]
    #[codec(index = 2)]
    Expiry,
    /// Whoever was to be paid does not know of it, or it is not what was asked for. One word for all of it, or strangers could probe.
    #[error("the payee does not know of it, or wants something else")]
    #[codec(index = 3)]
    UnknownOrWrong,
    /// The pre-image is known already.
    #[error("the pre-image is known already")]
    #[codec(index = 4)]
    HashUsed,
    /// The next one is not there.
    #[error("the next one is not there")]
    #[codec(index = 5)]
    PeerAway,
    /// A bound of whoever carries it on.
    #[error("a bound of the hub's is reached")]
    #[codec(index = 6)]
    Limits,
    /// It was held for too long: parts were missing, or nobody settled it.
    #[error("it was held for too long")]
    #[codec(index = 7)]
    HeldTooLong,
    /// It was to go on in another registry, which this hub does not serve.
    #[error("the hub does not serve that registry")]
    #[codec(index = 8)]
    OtherRegistry,
    /// The chain does not finalise in time.
    #[error("the chain's finality lags")]
    #[codec(index = 9)]
    ChainStalled,
    /// The payer left claims unanswered, and offers nothing more.
    #[error("the hub takes nothing more from this peer")]
    #[codec(index = 10)]
    NotServed,
    /// It is of a swap that comes to nothing.
    #[error("the swap comes to nothing")]
    #[codec(index = 11)]
    SwapOver,
}

/// Why a transfer failed, as it travels back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RouteFailure {
    /// Why.
    pub code: FailureCode,
    /// Room for what makes failures attributable.
    pub inner: Vec<u8>,
}

/// The version in front of instructions, deliveries and failures.
const VERSION: u8 = 1;

fn versioned<T: Encode>(value: &T) -> Vec<u8> {
    (VERSION, value).encode()
}

fn read<T: Decode>(bytes: &[u8]) -> Option<T> {
    let (version, value) = bytes.split_first()?;
    (*version == VERSION).then(|| decode_exact(value).ok())?
}

impl Instruction {
    /// The bytes of an offer; none where they are too many.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        Some(versioned(self)).filter(|bytes| bytes.len() <= MAX_INSTRUCTION)
    }

    /// Reads an offer's bytes; none where this version does not know them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        read(bytes)
    }
}

impl Delivery {
    /// The longest note, in bytes.
    pub const MAX_NOTE: usize = 256;

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        versioned(self)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        read(bytes).filter(|delivery: &Self| delivery.note.len() <= Self::MAX_NOTE)
    }
}

impl RouteFailure {
    /// A failure that says only why.
    #[must_use]
    pub const fn new(code: FailureCode) -> Self {
        Self { code, inner: Vec::new() }
    }

    /// The words of a failed transfer.
    #[must_use]
    pub fn to_reason(&self) -> FailReason {
        let bytes = versioned(self);
        let bare = || versioned(&Self::new(self.code));
        FailReason(if bytes.len() <= MAX_REASON { bytes } else { bare() })
    }

    /// Reads the words of a failed transfer; who says something unknown does not know of it.
    #[must_use]
    pub fn from_reason(reason: &FailReason) -> Self {
        read(&reason.0).unwrap_or(Self::new(FailureCode::UnknownOrWrong))
    }
}
