//! Who did what wrong.

use crate::{
    config::PolicyRefusal,
    message::RefusalCode,
    proposal::ProposalId,
    state::{ChangeFault, ChangeId, IdempotencyKey},
    transfer::TransferLimits,
};
use protocol::{Amount, Base, BlockNumber, ChannelId, Hash, Party, Rejection, Round, contracts::ContractId};
use thiserror::Error;

/// A rule that the peer broke.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Violation {
    #[error("a {message} does not belong into the state {state}")]
    OutOfPlace { message: &'static str, state: &'static str },
    #[error("round {got} is not one that the {owner:?} proposes")]
    WrongParity { got: Round, owner: Party },
    #[error("round {got} is not above round {have}, the highest that is agreed or signed here")]
    RoundTooOld { got: Round, have: Round },
    #[error("the round goes on from {got:?}, and what is agreed is {want:?}")]
    WrongBase { got: Base, want: Base },
    #[error("an answer to round {got}, which was not proposed")]
    RoundNotProposed { got: Round },
    #[error("the signature does not fit")]
    SignatureInvalid,
    #[error("an opening with the id {0}, which another channel has already")]
    IdInUse(ChannelId),
    #[error("the state's hash is {got}, ours is {want}")]
    StateHashMismatch { got: Hash, want: Hash },
    #[error("a round without changes that refuses nothing, or one that does both")]
    NoChanges,
    #[error("{got} changes in one round")]
    TooManyChanges { got: usize },
    #[error("a payment of zero")]
    PaymentOfNothing,
    #[error("a reference of {got} bytes")]
    ReferenceTooLong { got: usize },
    #[error("paying {amount} out of {have} would leave less than the reserve of {reserve}")]
    BelowReserve { have: Amount, amount: Amount, reserve: Amount },
    #[error("a change that cannot be made: {0}")]
    Change(ChangeFault),
    #[error("round {got} is far above {have}: rounds would run out")]
    RoundTooFar { got: Round, have: Round },
    #[error("a height of {got} does not suit: {min} to {max} would")]
    HeightOutOfWindow { got: BlockNumber, min: BlockNumber, max: BlockNumber },
    #[error("this side takes part in no contracts with the code {0}")]
    CodeNotAccepted(Hash),
    #[error("the opening's terms do not suit: {0}")]
    Policy(#[from] PolicyRefusal),
    #[error("the arbiter would refuse it: {0}")]
    BadTerms(Rejection),
    #[error("a validity of block {got} does not suit: {min} to {max} would")]
    ValidityOutOfBounds { got: BlockNumber, min: BlockNumber, max: BlockNumber },
    #[error("the close does not pay what was agreed last")]
    CloseUnfair,
    #[error("an operation with the other party's coins or delegates")]
    OnBehalfOfOther,
    #[error("an in-band message of {got} bytes")]
    InbandTooLong { got: usize },
    #[error("the balances of a reestablished state sum to {got:?}, the channel holds {want}")]
    WrongTotal { got: Option<Amount>, want: Amount },
}

impl Violation {
    /// What the peer is told: the only place that decides it.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::Policy(_)
            | Self::BadTerms(_)
            | Self::ValidityOutOfBounds { .. }
            | Self::CodeNotAccepted(_)
            | Self::Change(ChangeFault::TooManyContracts { .. }) => RefusalCode::POLICY,
            Self::HeightOutOfWindow { .. } => RefusalCode::HEIGHT,
            Self::Change(ChangeFault::CodeUnknown(_)) => RefusalCode::CODE_UNKNOWN,
            _ => RefusalCode::VALIDATION,
        }
    }
}

/// What breaks a rule of payments has a name of its own.
impl From<ChangeFault> for Violation {
    fn from(fault: ChangeFault) -> Self {
        match fault {
            ChangeFault::PaymentOfNothing => Self::PaymentOfNothing,
            ChangeFault::ReferenceTooLong { got } => {
                Self::ReferenceTooLong { got: usize::try_from(got).unwrap_or(usize::MAX) }
            }
            ChangeFault::BelowReserve { have, amount, reserve, .. } => Self::BelowReserve { have, amount, reserve },
            fault => Self::Change(fault),
        }
    }
}

/// What the user asked for and cannot have now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Misuse {
    #[error("the channel is {state}, not open")]
    NotOpen { state: &'static str },
    #[error("paying {amount} is not possible: {available} can be spent above the reserve")]
    InsufficientBalance { amount: Amount, available: Amount },
    #[error("a payment needs an amount above zero")]
    AmountZero,
    #[error("nothing is asked for: a batch has one change at least")]
    NoChanges,
    #[error("a reference may have {max} bytes, this one has {got}")]
    ReferenceTooLong { got: usize, max: usize },
    #[error("a payment's key has 1 to {max} bytes, this one {got}")]
    KeyLength { got: usize, max: usize },
    #[error(
        "the key {key} names another payment of this channel already, {by:?}: nothing was paid; give each payment a key of its own"
    )]
    KeyInUse { key: IdempotencyKey, by: ChangeId },
    #[error("the key {key} is named for two different payments: nothing was paid; give each payment a key of its own")]
    KeyTwice { key: IdempotencyKey },
    #[error("there is no contract {0} in the agreed state")]
    ContractUnknown(ContractId),
    #[error("that change is not possible: {0}")]
    Change(ChangeFault),
    #[error("contracts hold {held}: remove them or let them pay out first, or close alone")]
    ContractsHoldCoins { held: Amount },
    #[error("calls are being forced already")]
    AlreadyForcing,
    #[error("{max} changes wait already: wait for some to be agreed")]
    QueueFull { max: usize },
    #[error("a close is under way already")]
    AlreadyClosing,
    #[error("no close in agreement was asked for")]
    NoShutdown,
    #[error("the close is signed: the peer may put it on chain until block {until}, and nothing else is agreed before")]
    ShutdownSigned { until: BlockNumber },
    #[error("a deposit, a withdrawal or other delegates are under way already")]
    OperationPending,
    #[error("the peer cannot be reached now")]
    Disconnected,
    #[error("an in-band message may have {max} bytes, this one has {got}")]
    InbandTooLong { got: usize, max: usize },
    #[error("round {round} does not wait for a decision")]
    NotProposed { round: Round },
    #[error("decided was {decided:?}, and what waits for a decision now is {waits:?}: look at it first")]
    OtherProposal { decided: ProposalId, waits: ProposalId },
    #[error("code {} is the protocol's own: an application's begin at {}", got.0, RefusalCode::APPLICATION.0)]
    CodeReserved { got: RefusalCode },
    #[error(
        "this side's store is older than what it has signed: only the peer can close this channel, alone or by an offer"
    )]
    StaleStore,
    #[error(
        "this side's store was copied from elsewhere, and may be older than what it has signed: where it is the newest there is, stop the \
         node, delete the store's lock file and start again"
    )]
    StoreCopied,
    #[error(
        "a lock period of {got} blocks leaves no time to answer, {min} would: ask for a longer one, for fewer forced steps, or say that this \
         node sees and answers sooner (`Pace`)"
    )]
    LockTooShort { got: BlockNumber, min: BlockNumber },
    #[error("a fee of {fee} is more than the {available} that can pay it")]
    FeeTooHigh { fee: Amount, available: Amount },
    #[error("the arbiter would refuse it: {0}")]
    WouldBeRefused(Rejection),
    #[error("round numbers have run out: close the channel")]
    RoundsExhausted,
    #[error(
        "the peer takes {} open transfers with {} coins together, at least {} each, for at most {} blocks, and {open} are open: wait for some to end",
        limits.max_open, limits.max_amount, limits.min_amount, limits.max_lock
    )]
    TransferLimits { open: u32, limits: TransferLimits },
    /// Each of them may take a forced step of its own, and no more are to be had (R8.3g).
    #[error(
        "{max} transfers with calls of apps are open, as many as a side may make forced steps: one of them has to end first"
    )]
    TransfersWithCalls { max: u8 },
    #[error("block {expiry} is too near for a transfer to expire in: {least} or later would do")]
    ExpiryTooNear { expiry: BlockNumber, least: BlockNumber },
    #[error("the pre-image of this lock was shown already: whoever knows it takes the coins; use another one")]
    LockUsed,
    #[error(
        "an offer with a premium waits for the payee's pledge: it is made by `TransferCommand::OfferStaked`, which says how long that lasts"
    )]
    PremiumNotPledged,
    #[error(
        "a pledge that is kept back may last until block {most}, within the channel's lock period, this one until {until}: choose an earlier block"
    )]
    PledgeTooLong { until: BlockNumber, most: BlockNumber },
    #[error("there is no open transfer of the peer's with the contract {0}")]
    TransferUnknown(ContractId),
    #[error("that is not the pre-image of the transfer with the contract {0}")]
    WrongPreimage(ContractId),
    #[error("what becomes of the transfer with the contract {0} is decided already")]
    TransferDecided(ContractId),
    #[error("the transfer {key} is not over: it is forgotten once its coins have left it")]
    TransferOpen { key: IdempotencyKey },
}
