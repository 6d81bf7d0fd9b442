//! What a router wants of a channel's transfers.

use crate::state::{FailReason, IdempotencyKey, Offer};
use protocol::{
    Amount, BlockNumber,
    contracts::{ContractId, conditional::Preimage},
};

/// A command about one transfer, [`Command::Transfer`](crate::Command::Transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferCommand {
    /// Offer the peer a conditional transfer, once, however often this is asked for by this key (R8.3d). What is not offered while the peer can be reached
    /// comes to nothing.
    Offer {
        /// The offerer's own name for it.
        key: IdempotencyKey,
        /// What is offered.
        offer: Offer,
        /// What the peer is paid for its place in the same change, whatever comes of it; zero for nothing.
        fee: Amount,
    },
    /// As [`Offer`](Self::Offer), with coins of the payee's beside it: the payee pledges them before the offer is proposed (R6.5d).
    OfferStaked {
        /// The offerer's own name for it.
        key: IdempotencyKey,
        /// What is offered, with the premium.
        offer: Offer,
        /// The last block of the payee's pledge: from then on nothing is proposed.
        pledged_until: BlockNumber,
        /// Whether the round for which the payee has pledged is kept back until [`Release`](Self::Release): a hub offers nothing before it has what it carries on
        /// (R8.5h).
        is_kept_back: bool,
    },
    /// Propose the round of an offer that was kept back, at once or as soon as its payee has pledged. What is not kept back, or not known, stays as it is.
    Release {
        /// Its key.
        key: IdempotencyKey,
    },
    /// Take an own offer back that the peer has no signature for: it waits for its round, or is kept back. One that the peer has is left alone.
    TakeBack {
        /// Its key.
        key: IdempotencyKey,
    },
    /// Answer the peer's question for a pledge that was put off ([`Stake::NotYet`](super::Stake::NotYet)): the router can say by now whether it stakes. A
    /// question that is not open any more is not answered.
    AnswerPledge {
        /// The contract that the offer would make.
        contract: ContractId,
    },
    /// Be paid for a transfer of the peer's: from here on it is never failed.
    Claim {
        /// Its contract.
        contract: ContractId,
        /// What unlocks it.
        preimage: Preimage,
    },
    /// Give a transfer of the peer's back.
    Fail {
        /// Its contract.
        contract: ContractId,
        /// Why; the peer's router is told.
        reason: FailReason,
    },
    /// Forget an own transfer that is over. One that is not known is forgotten.
    Forget {
        /// Its key.
        key: IdempotencyKey,
    },
}
