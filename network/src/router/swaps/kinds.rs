//! What a user asks for and is told about swaps (R8.5).

use crate::swap::{SwapCode, SwapTerms};
use protocol::{Amount, BlockNumber, PublicKey, signing::Domain};
use scale::{Decode, Encode};

/// Which of the two a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SwapRole {
    /// It proposes, and knows what opens the lock.
    #[codec(index = 0)]
    Initiator,
    /// It answers.
    #[codec(index = 1)]
    Responder,
}

/// What is to be swapped, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapOrder {
    /// Who is to pay on the target chain.
    pub responder: PublicKey,
    /// The chain on which this side pays, and how much.
    pub source: (Domain, Amount),
    /// The chain on which it is paid, and how much.
    pub target: (Domain, Amount),
    /// What the responder gets of this side's coins on the target chain where its leg is locked in vain.
    pub premium: Amount,
}

/// What became of a swap: where the two differ, somebody let a leg expire that it could have claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SwapOutcome {
    /// The initiator's coins on the source chain are the responder's.
    pub source_moved: bool,
    /// The responder's coins on the target chain are the initiator's.
    pub target_moved: bool,
    /// The newest block of the source chain, as this side saw it, when its last transfer there was over.
    pub source_block: BlockNumber,
    /// Likewise of the target chain.
    pub target_block: BlockNumber,
}

/// How far a swap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SwapStage {
    /// The responder has not answered.
    #[codec(index = 0)]
    Proposed,
    /// Both have agreed: the legs are locked, one after the other, and claimed.
    #[codec(index = 1)]
    Agreed,
    /// It comes to nothing: what is locked goes back.
    #[codec(index = 2)]
    Clearing(SwapCode),
    /// Nothing of it is open any more.
    #[codec(index = 3)]
    Ended {
        /// What became of both legs.
        outcome: SwapOutcome,
        /// Why it came to nothing, where it did.
        code: Option<SwapCode>,
    },
}

/// What a user is told of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapState {
    /// Which side this one is.
    pub role: SwapRole,
    /// The other one.
    pub peer: PublicKey,
    /// What both agree to.
    pub terms: SwapTerms,
    /// How far it is.
    pub stage: SwapStage,
}

/// What happens in a swap. In passing: [`Router::swap`](crate::Router::swap) says at any time how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SwapEvent {
    /// Negotiation: somebody proposes it, and this side's user is to accept or decline it.
    #[codec(index = 0)]
    Proposed,
    /// Negotiation is over: both have agreed to both legs.
    #[codec(index = 1)]
    Agreed,
    /// Execution: all of the source leg is locked.
    #[codec(index = 2)]
    SourceLocked,
    /// Execution: the target leg is being locked, or is locked.
    #[codec(index = 3)]
    TargetLocked,
    /// Execution: the pre-image is shown; both legs move.
    #[codec(index = 4)]
    Revealed,
    /// Batch clearing: what is locked goes back.
    #[codec(index = 5)]
    Clearing(SwapCode),
    /// Asset clearing is over.
    #[codec(index = 6)]
    Ended(SwapOutcome),
    /// The peer broke a rule of the words: the swap is cleared.
    #[codec(index = 7)]
    Violated,
}

/// Why a swap is not begun, or something is not done with it; nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// Nothing was proposed, for this reason.
    #[error("the swap cannot be proposed: {0}")]
    Terms(SwapCode),
    /// No node of this process serves the chain: it has not started, or it has stopped.
    #[error("no node of this process serves that chain, or it has stopped")]
    NoChain,
    /// The least block time of a chain is not fixed, or not known: no ladder of expiries is safe on it.
    #[error("the block times of a chain are not known: set them in the routing policy")]
    NoBlockTime,
    /// There is none with this id.
    #[error("there is no swap with this id")]
    Unknown,
    /// The id names another swap.
    #[error("the id names another swap")]
    OtherSwap,
    /// The pre-image has been shown, or it is over: it cannot be taken back.
    #[error("the swap cannot be taken back any more")]
    TooLate,
    /// It is under way.
    #[error("the swap is under way")]
    UnderWay,
}
