//! Every way the arbiter refuses, numbered for good (R5.14). A refusal changes nothing and emits nothing.

use crate::{Amount, BlockNumber, Party, Round};
use scale::{Decode, Encode, MaxEncodedLen};
use thiserror::Error;

/// Why the arbiter refused. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, Error)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
#[allow(
    missing_docs,
    reason = "the message of each variant is its documentation, and its fields are named for what they hold"
)]
pub enum Rejection {
    // What was named does not exist, or is not the caller's.
    /// Any call on a channel that is not in the arbiter.
    #[codec(index = 0)]
    #[error("the arbiter knows no such channel: it was never opened here, or has ended")]
    ChannelUnknown,
    /// A call for parties by somebody else.
    #[codec(index = 1)]
    #[error("only a party of the channel may do this")]
    NotParty,
    /// A call for parties and delegates by somebody else.
    #[codec(index = 2)]
    #[error("only a party of the channel or one of its delegates may do this")]
    NotPartyOrDelegate,

    // The phase does not allow it.
    /// The channel is closing or residual (R5.5 to R5.8).
    #[codec(index = 10)]
    #[error("the channel is not open: a close is under way or done")]
    NotOpen,
    /// Slash or settle before anybody closed (R5.9, R5.11).
    #[codec(index = 11)]
    #[error("the channel is not closing: close_solo comes first")]
    NotClosing,
    /// Settle before the lock ran out (R5.11, R5.13).
    #[codec(index = 12)]
    #[error("locked until block {unlock_at}, and this is block {now}: settle from then on")]
    StillLocked { unlock_at: BlockNumber, now: BlockNumber },

    // Signatures and expiry.
    /// A co-signed call without both signatures (R4.6).
    #[codec(index = 20)]
    #[error("the {party:?}'s signature does not fit these terms, this channel, this arbiter and this chain")]
    SignatureInvalid { party: Party },
    /// After `valid_until` (R5.3).
    #[codec(index = 21)]
    #[error("valid until block {valid_until}, and this is block {now}: agree on it anew")]
    Expired { valid_until: BlockNumber, now: BlockNumber },
    /// A window longer than this arbiter allows (R5.13).
    #[codec(index = 22)]
    #[error("valid until block {valid_until}, but this arbiter allows {max} at most now")]
    ExpiryTooFar { valid_until: BlockNumber, max: BlockNumber },

    // The state offered is not the one that counts.
    /// A co-signed state older than the one on chain (R5.4).
    #[codec(index = 30)]
    #[error("round {got} is too old: the chain has, or would accept from, round {have}")]
    RoundTooOld { got: Round, have: Round },
    /// The round on chain again, with the same state, where something newer is needed (R5.4).
    #[codec(index = 31)]
    #[error("round {round} is on chain already")]
    RoundAlreadyKnown { round: Round },
    /// The round on chain again, with another state (R5.4).
    #[codec(index = 32)]
    #[error("round {round} is on chain with another state")]
    RoundHasOtherState { round: Round },
    /// The commitment shown is not the one that was signed (R5.8).
    #[codec(index = 33)]
    #[error("the commitment shown does not hash to the state's hash")]
    CommitmentMismatch,
    /// A state that would pay out more than there is (R4.4).
    #[codec(index = 34)]
    #[error("the balances sum to more than the channel's total of {total}")]
    BalancesExceedTotal { total: Amount },

    // Terms and amounts.
    /// Both parties are one account.
    #[codec(index = 40)]
    #[error("initiator and responder are the same account")]
    PartiesShareAccount,
    /// Both parties sign with one key.
    #[codec(index = 41)]
    #[error("initiator and responder sign with the same key")]
    PartiesShareKey,
    /// R5.13.
    #[codec(index = 42)]
    #[error("a lock period of {got} blocks is outside this arbiter's {min} to {max}")]
    LockPeriodOutOfBounds { got: BlockNumber, min: BlockNumber, max: BlockNumber },
    /// R5.10, R5.13.
    #[codec(index = 43)]
    #[error("{got} forced steps on one base are outside this arbiter's 1 to {max}")]
    MaxForcedOutOfBounds { got: u8, max: u8 },
    /// R5.9.
    #[codec(index = 44)]
    #[error("a penalty of {penalty} exceeds the reserve of {reserve} that would pay it")]
    PenaltyAboveReserve { penalty: Amount, reserve: Amount },
    /// More than [`MAX_DELEGATES`](crate::terms::MAX_DELEGATES) for one party.
    #[codec(index = 45)]
    #[error("too many delegates for one party")]
    TooManyDelegates,
    /// A first balance below the reserve (R4.4).
    #[codec(index = 46)]
    #[error("the {party:?} would have {balance}, less than the reserve of {reserve}")]
    BalanceBelowReserve { party: Party, balance: Amount, reserve: Amount },
    /// Shares and first balances, or final balances, fee and total, do not match (R5.4a, R5.12).
    #[codec(index = 47)]
    #[error("the parts sum to {got:?}, the whole is {want}")]
    SumMismatch { got: Option<Amount>, want: Amount },
    /// A party's vault does not hold its share (R5.1).
    #[codec(index = 48)]
    #[error("the {party:?}'s vault holds {have}, its share is {need}: deposit the rest first")]
    VaultTooLow { party: Party, have: Amount, need: Amount },
    /// A withdrawal from a vault of more than it holds (R5.1).
    #[codec(index = 49)]
    #[error("the vault holds {have}, {need} were asked for")]
    VaultBalanceTooLow { have: Amount, need: Amount },
    /// A deposit or withdrawal of nothing.
    #[codec(index = 50)]
    #[error("an amount of zero moves nothing")]
    AmountZero,
    /// A sum beyond the number range (R3.3).
    #[codec(index = 51)]
    #[error("the amounts exceed the number range")]
    AmountOverflow,
    /// A withdrawal that leaves too little (R5.5).
    #[codec(index = 52)]
    #[error("withdrawing {amount} of {total} would leave less than the two reserves, {need}")]
    BelowReserves { total: Amount, amount: Amount, need: Amount },

    // The arbiter itself.
    /// Limits that are zero or crossed, at instantiation (R5.13).
    #[codec(index = 60)]
    #[error("the limits are unsound: zero, or a minimum above its maximum")]
    LimitsUnsound,
    /// The chain refused to move coins out of the arbiter to an account that asked for them.
    #[codec(index = 61)]
    #[error("the chain refused the transfer to that account: too little for a new account, perhaps")]
    TransferFailed,
}
