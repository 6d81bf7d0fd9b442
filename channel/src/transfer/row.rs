//! What is kept of each transfer (R8.3a), and what a router is told of it.

use crate::{
    message::RefusalCode,
    state::{ChangeFault, ChangeId, FailReason, IdempotencyKey, LockedCalls, Offer, TransferTerms},
};
use protocol::{
    Amount, BlockNumber,
    contracts::{
        ContractId, Contracts,
        conditional::{ConditionalTransfer, Preimage},
    },
};
use scale::{Decode, Encode};

/// Names a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum TransferId {
    /// A transfer of the peer's, by its contract.
    #[codec(index = 0)]
    Incoming(ContractId),
    /// A transfer of one's own, by its change.
    #[codec(index = 1)]
    Outgoing(ChangeId),
}

/// A row of the store.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TransferRow {
    /// A transfer of the peer's.
    #[codec(index = 0)]
    Incoming(IncomingTransfer),
    /// A transfer of one's own.
    #[codec(index = 1)]
    Outgoing(OutgoingTransfer),
}

/// A transfer that the peer offers: this side is its payee. A row of the store.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IncomingTransfer {
    /// Its contract in the channel.
    pub contract: ContractId,
    /// The contract of its premium, where there is one.
    pub premium: Option<ContractId>,
    /// Its terms.
    pub terms: TransferTerms,
    /// The calls of apps that go with its end: this side's router knew them before the offer was agreed to.
    pub calls: LockedCalls,
    /// What the payer told this side's router.
    pub instruction: Vec<u8>,
    /// What this side wants of it.
    pub intent: Intent,
}

impl IncomingTransfer {
    /// A transfer of the peer's of which nothing is known but its contract.
    pub(crate) const fn wordless(contract: ContractId, amount: Amount, transfer: ConditionalTransfer) -> Self {
        let terms = TransferTerms { amount, lock: transfer.lock, expiry: transfer.expiry };
        let intent = Intent::Undecided;
        Self { contract, premium: None, terms, calls: LockedCalls::NONE, instruction: Vec::new(), intent }
    }
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
/// ([`TransferCommand::Forget`](super::TransferCommand::Forget)).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutgoingTransfer {
    /// Its id among the own changes.
    pub change: ChangeId,
    /// The offerer's own name for it: asked for twice by one key, it is offered once (I9).
    pub key: IdempotencyKey,
    /// What is offered.
    pub offer: Offer,
    /// Its contract in the newest agreed state that held it; none where none has.
    pub contract: Option<ContractId>,
    /// The contract of its premium there, where there is one.
    pub premium: Option<ContractId>,
    /// How far it is.
    pub progress: Progress,
}

impl OutgoingTransfer {
    /// Whether it is known what becomes of it.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        matches!(self.progress, Progress::Fulfilled(_) | Progress::Failed(_))
    }

    /// Whether that is known, and these contracts, which are agreed, hold nothing of it.
    pub(crate) fn is_over(&self, contracts: &Contracts) -> bool {
        self.is_decided() && !self.is_in(contracts)
    }

    /// Whether these contracts hold something of it.
    pub(crate) fn is_in(&self, contracts: &Contracts) -> bool {
        self.contract.iter().chain(&self.premium).any(|id| contracts.get(id).is_some())
    }
}

/// How far a transfer of one's own is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Progress {
    /// It waits for its round, or its round for the peer's answer: the peer may have this side's signature already.
    #[codec(index = 0)]
    Proposed,
    /// It is agreed.
    #[codec(index = 1)]
    Offered,
    /// The pre-image is known: the payee is paid, or will be.
    #[codec(index = 2)]
    Fulfilled(Preimage),
    /// It is irrevocably absent (I4): no state in which it is can count any more, or its expiry is over and the registry was proved silent.
    #[codec(index = 3)]
    Failed(Failure),
    /// It is not in the agreed state, and the peer holds a signature for one in which it is: it becomes [`Failed`](Self::Failed) once that one is dead.
    #[codec(index = 4)]
    Absent(Failure),
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
    /// Its turn did not come before its expiry was too near.
    #[codec(index = 5)]
    TooLate,
    /// The peer cannot be reached, and has no signature for it.
    #[codec(index = 6)]
    PeerAway,
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

/// For how many blocks pledges may last in a channel (R6.5d).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PledgesLast {
    /// Any of them: as long as whoever is asked for something takes a last block for.
    pub asked: BlockNumber,
    /// Those for rounds that are kept back: within the channel's lock period as well.
    pub kept_back: BlockNumber,
}

/// A pledge of this side's that may come to count (R6.5d).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenPledge {
    /// The contract that the offer makes.
    pub contract: ContractId,
    /// The offer, with its premium.
    pub offer: Offer,
    /// The last block of the pledge.
    pub valid_until: BlockNumber,
}

/// What a router is told. All of it can be read from the rows as well, after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferEvent {
    /// The peer has paid for the place of the transfer that is told of next, without condition.
    Prepaid {
        /// How much.
        amount: Amount,
    },
    /// The peer asks this side to pledge for an offer, which its router has to prepare first ([`Stake::NotYet`](super::Stake::NotYet)). In passing: after a
    /// lost connection the peer asks again.
    PledgeWanted {
        /// The contract that the offer would make.
        contract: ContractId,
        /// The offer, with its premium.
        offer: Offer,
        /// The last block of the pledge.
        valid_until: BlockNumber,
    },
    /// The payee of an own offer that is [kept back](super::TransferCommand::OfferStaked) has pledged; told once, and of what is in the store with it.
    Pledged {
        /// Its key.
        key: IdempotencyKey,
        /// The last block of the pledge.
        valid_until: BlockNumber,
    },
    /// This side has pledged for an offer of the peer's. After a start [`Channel::given_pledge`](crate::Channel::given_pledge) says so.
    PledgeGiven(GivenPledge),
    /// This side was to answer the peer's question for a pledge by now ([`TransferCommand::AnswerPledge`](super::TransferCommand::AnswerPledge)), and has not pledged:
    /// it has refused, or the question is not open any more. It does not pledge for this offer any more.
    PledgeNotGiven {
        /// The contract that the offer would make.
        contract: ContractId,
    },
    /// The peer's offer is agreed.
    Offered(IncomingTransfer),
    /// A transfer of the peer's is over.
    Ended {
        /// Which.
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
    /// The peer has the coins of an own transfer in a state that counts. [`Fulfilled`](Self::Fulfilled) says less: its claim may be refused yet.
    Claimed {
        /// Its key.
        key: IdempotencyKey,
    },
    /// An own transfer is irrevocably absent; told once.
    Failed {
        /// Its key.
        key: IdempotencyKey,
        /// Why.
        why: Failure,
    },
}
