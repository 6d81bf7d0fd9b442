//! Every way the arbiter refuses, numbered for good (R5.14). A refusal changes nothing and emits nothing.

use crate::{
    Amount, Base, BlockNumber, Hash, Party, Round,
    contracts::{CallFault, ContractId},
    tree::ProofError,
};
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

    /// A forced step by somebody who is neither the party nor, while closing, its delegate (R5.10).
    #[codec(index = 3)]
    #[error("only the {party:?} may force its own calls, and its delegates while the channel is closing")]
    MayNotForce { party: Party },
    /// A forced step of a delegate that touches its principal's coins (R5.10).
    #[codec(index = 4)]
    #[error("a delegate attaches no coins to calls")]
    DelegateAttachesCoins,

    /// A forced step of a delegate that may only slash and snapshot (R5.10).
    #[codec(index = 5)]
    #[error(
        "this delegate of the {party:?} may slash and snapshot, and make no calls in its name: the terms give it no such power"
    )]
    DelegateMayNotCall { party: Party },

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

    /// A newer state for a residual channel (R5.11).
    #[codec(index = 13)]
    #[error("the channel is settled: its state is final, and only contracts in it may still pay out")]
    StateFinal,

    /// A settlement by somebody else while the parties go first (R5.11).
    #[codec(index = 14)]
    #[error("parties and delegates settle first, anybody from block {from} on, and this is block {now}")]
    PartiesSettleFirst { from: BlockNumber, now: BlockNumber },

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

    /// R5.10.
    #[codec(index = 35)]
    #[error("all {max} forced steps on this base are used up")]
    ForcedStepsUsedUp { max: u8 },
    /// R5.10.
    #[codec(index = 36)]
    #[error("the calls come to the state {computed}, which is not the one expected")]
    ForcedStateDiffers { computed: Hash },
    /// R4.2.
    #[codec(index = 37)]
    #[error("the proof of the contracts shows nothing: {0}")]
    ProofInvalid(ProofError),
    /// R4.2.
    #[codec(index = 38)]
    #[error("the proof of the contracts belongs to another state: a contract is not as shown, or its root differs")]
    ProofOfAnotherState,

    /// A co-signed round that goes on from a state before the highest mature mark (R5.4b).
    #[codec(index = 39)]
    #[error(
        "the round goes on from {got:?}, and since a forced step has stood for a lock period only rounds from {floor:?} on count"
    )]
    BaseTooOld { got: Base, floor: Base },

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

    /// A call of a forced step with more coins than the caller may part with (R4.4).
    #[codec(index = 53)]
    #[error("{value} cannot be attached: the caller has {have} and keeps the reserve of {reserve}")]
    CannotAttach { have: Amount, value: Amount, reserve: Amount },

    /// A nonce that was used or skipped, or lies too far ahead (R5.2).
    #[codec(index = 54)]
    #[error(
        "nonce {got} is not among those that this pair may name: {next} is its next one, and a bound lies ahead of it"
    )]
    NonceOutOfBounds { got: u64, next: u64 },

    // Calls of contracts inside the channel.
    /// R5.10.
    #[codec(index = 55)]
    #[error("a forced step makes at least one call")]
    CallsMissing,
    /// R5.10.
    #[codec(index = 56)]
    #[error("too many calls, or too many bytes of input, for one forced step")]
    CallsTooLarge,
    /// R5.10.
    #[codec(index = 57)]
    #[error("the contract {contract} is called, but not shown, or has ended by an earlier call")]
    ContractNotShown { contract: ContractId },
    /// R5.10, R7.1.
    #[codec(index = 58)]
    #[error("the call of round {round} failed: {fault}")]
    CallFailed { round: Round, fault: CallFault },
    /// R3.2, R5.10.
    #[codec(index = 59)]
    #[error(
        "one forced step cannot take so much: more bytes than it may have, or a call after others that answered too much"
    )]
    StepTooLarge,

    // The arbiter itself.
    /// Limits that are zero, crossed or too large, at instantiation (R5.13).
    #[codec(index = 60)]
    #[error("the limits are unsound: zero, a minimum above its maximum, or more forced steps than a record can hold")]
    LimitsUnsound,
    /// The chain refused to move coins out of the arbiter to an account that asked for them.
    #[codec(index = 61)]
    #[error("the chain refused the transfer to that account: too little for a new account, perhaps")]
    TransferFailed,
    /// A list of calls or pre-images that is empty or too long (R5.18, R8.2).
    #[codec(index = 62)]
    #[error("a list of {got} is not possible: one at least, {max} at most")]
    ListLength { got: u32, max: u32 },
}
