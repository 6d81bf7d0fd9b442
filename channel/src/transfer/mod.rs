//! Conditional transfers between the two peers of a channel (R8.3): coins that the payee has for a pre-image, and the payer again without one.
//!
//! ```text
//!            offer, co-signed                claim(pre-image), co-signed
//!   payer ---------------------> contract ------------------------------> payee's
//!                                   |  fail, co-signed (the payee's own wish)  --> payer's
//!                                   '- refund, co-signed (expired, the registry proved silent) --> payer's
//! ```
//!
//! Each is a `Builtin(1)` of the arbiter (R8.1) in the channel's state, so that either side can have it executed on chain. Off chain nothing is judged by a
//! height that the peer names: each side looks at the heads and the registry that it sees itself ([`TransferBook`]).
//!
//! What becomes of a transfer across channels is decided elsewhere, by a router: it hears [`TransferEvent`]s and answers with commands. The rows
//! ([`Incoming`], [`Outgoing`]) lie in the store, and all that a router has to know after a crash can be read from them.

mod book;

pub use book::{Margins, NoTransfers, Registered, TransferBook, Verdict};

use crate::{
    message::RefusalCode,
    state::{ChangeFault, ChangeId, IdempotencyKey},
};
use protocol::{
    Amount, BlockNumber,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
};
use scale::{Decode, Encode};

/// The longest instruction of an offer, in bytes.
pub const MAX_INSTRUCTION: usize = 1_024;
/// The longest reason of a failure, in bytes.
pub const MAX_REASON: usize = 512;

/// What a conditional transfer says; both sides see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferTerms {
    /// What the payee gets, in coins of the payer's; more than none.
    pub amount: Amount,
    /// What unlocks it.
    pub lock: HashLock,
    /// The first block in which showing the pre-image is too late.
    pub expiry: BlockNumber,
}

/// A conditional transfer that a party offers to its peer: the peer is the payee.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// Its terms.
    pub terms: TransferTerms,
    /// What the *payee* stakes beside it, under the same lock and expiry: back to the payee with the pre-image, the payer's without. Zero where none is.
    pub premium: Amount,
    /// What the payee's router is told, at most [`MAX_INSTRUCTION`] bytes. It is in no hash, and no chain sees it.
    pub instruction: Vec<u8>,
}

/// Why a transfer comes to nothing, in the words of whoever fails it: at most [`MAX_REASON`] bytes, which a router reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct FailReason(pub Vec<u8>);

/// A transfer that the peer offers: this side is its payee. A row of the store.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Incoming {
    /// Its contract in the channel.
    pub contract: ContractId,
    /// The contract of its premium, where there is one.
    pub premium: Option<ContractId>,
    /// Its terms.
    pub terms: TransferTerms,
    /// What the payer told this side's router.
    pub instruction: Vec<u8>,
    /// What this side wants of it.
    pub intent: Intent,
}

/// What a payee wants of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Intent {
    /// Nothing is decided.
    #[codec(index = 0)]
    Undecided,
    /// To be paid: it has the pre-image. From here on the transfer is never failed (I4).
    #[codec(index = 1)]
    Claim(Preimage),
    /// To give it back.
    #[codec(index = 2)]
    Fail(FailReason),
}

/// A transfer of one's own: the peer is its payee. A row of the store, kept until it is forgotten by command
/// (`ForgetTransfer`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Outgoing {
    /// Its id among the own changes.
    pub change: ChangeId,
    /// The offerer's own name for it: asked for twice by one key, it is offered once (I9).
    pub key: IdempotencyKey,
    /// What is offered.
    pub offer: Offer,
    /// How far it is.
    pub progress: Progress,
}

/// How far a transfer of one's own is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Progress {
    /// It waits for its round, or its round for the peer's answer: the peer may have this side's signature already.
    #[codec(index = 0)]
    Proposed,
    /// It is agreed, under this id.
    #[codec(index = 1)]
    Offered(ContractId),
    /// The pre-image is known: the payee is paid, or will be.
    #[codec(index = 2)]
    Fulfilled(Option<ContractId>, Preimage),
    /// It is irrevocably absent (I4): no state in which it is can count any more, or its expiry is over and the registry was proved silent.
    #[codec(index = 3)]
    Failed(Failure),
}

/// Why a transfer of one's own came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum Failure {
    /// The payee gave it back.
    #[codec(index = 0)]
    ByPayee(FailReason),
    /// The peer refused the offer.
    #[codec(index = 1)]
    Refused(RefusalCode),
    /// It could not be offered when its turn came.
    #[codec(index = 2)]
    NotMade(ChangeFault),
    /// The channel closes, or goes on without it: it was not offered.
    #[codec(index = 3)]
    Dropped,
    /// It has expired, and nobody showed the pre-image in time.
    #[codec(index = 4)]
    Expired,
}

/// How a transfer that the peer had offered is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum IncomingEnd {
    /// This side was paid.
    Claimed,
    /// This side gave it back.
    Failed,
    /// It has expired, and went back to the payer.
    Refunded,
    /// The state that held it does not count any more.
    Superseded,
}

/// What a router is told. All of it can be read from the rows as well, after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferEvent {
    /// The peer's offer is agreed.
    Offered(Incoming),
    /// A transfer of the peer's is over.
    Ended {
        /// The contract's id.
        contract: ContractId,
        /// How.
        end: IncomingEnd,
    },
    /// The own offer of this key is agreed.
    Accepted {
        /// Its key.
        key: IdempotencyKey,
        /// Its contract.
        contract: ContractId,
    },
    /// The pre-image of an own transfer is known; told once.
    Fulfilled {
        /// Its key.
        key: IdempotencyKey,
        /// The pre-image.
        preimage: Preimage,
    },
    /// An own transfer is irrevocably absent; told once.
    Failed {
        /// Its key.
        key: IdempotencyKey,
        /// Why.
        why: Failure,
    },
}

/// How much a side lets its peer offer (R8.3b). Told to the peer when the channel is opened; more is refused as a part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferLimits {
    /// The most that are open at once.
    pub max_open: u32,
    /// The most coins that they hold together.
    pub max_amount: Amount,
    /// The least amount of one.
    pub min_amount: Amount,
    /// The furthest that an expiry lies above the newest block, in blocks.
    pub max_lock: BlockNumber,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self { max_open: 256, max_amount: Amount::MAX, min_amount: 1, max_lock: 100_800 }
    }
}
