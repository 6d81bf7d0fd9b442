//! What runs the code of contracts, and how that can fail (R7.1).

use super::{
    AppContext, AppReply,
    lock::{HashLock, Preimage, Requirement},
};
use crate::{AccountId, Amount, BlockNumber, Hash, Pair, crypto::Crypto};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};
use thiserror::Error;

/// What executing a call needs of its surroundings.
pub trait Executor: Crypto {
    /// Calls the app with this code hash, with bounded weight and without any right to change anything. `at` is where it is
    /// deployed, which matters only on chain.
    ///
    /// # Errors
    /// [`CallFault::CodeNotThere`], [`CallFault::Failed`], [`CallFault::Undecodable`].
    fn call_app(
        &mut self,
        code: &Hash,
        at: Option<&AccountId>,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<AppReply, CallFault>;

    /// The block in which the pre-image of `lock` was first shown on chain (R8.2).
    fn shown_at(&self, lock: &HashLock) -> Option<BlockNumber>;

    /// Shows a pre-image in block `now`, unless it was shown already, and gives the block that counts (R8.2).
    fn show(&mut self, lock: &HashLock, preimage: &Preimage, now: BlockNumber) -> BlockNumber;
}

/// Why a call of a contract came to nothing. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, Error)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum CallFault {
    #[codec(index = 0)]
    #[error("the contract refused the call")]
    Refused,
    #[codec(index = 1)]
    #[error("the app trapped, ran out of its weight, or tried what apps may not do")]
    Failed,
    #[codec(index = 2)]
    #[error("the app's answer is no outcome")]
    Undecodable,
    #[codec(index = 3)]
    #[error("no app with the contract's code stands at the account given")]
    CodeNotThere,
    #[codec(index = 4)]
    #[error("the state or the input is longer than allowed")]
    TooLarge,
    #[codec(index = 5)]
    #[error("the contract holds {balance} and would pay out more")]
    PaysTooMuch { balance: Amount },
    #[codec(index = 6)]
    #[error("the amounts exceed the number range")]
    Overflow,
    #[codec(index = 7)]
    #[error("there is no builtin {0}")]
    BuiltinUnknown(u8),
    #[codec(index = 8)]
    #[error("the input or the state of the conditional transfer does not decode")]
    Malformed,
    #[codec(index = 9)]
    #[error("a conditional transfer takes no further coins")]
    TakesNoCoins,
    #[codec(index = 10)]
    #[error("that is not the pre-image")]
    WrongPreimage,
    #[codec(index = 11)]
    #[error("expired at block {expiry}, and the pre-image was not shown before")]
    TooLate { expiry: BlockNumber },
    #[codec(index = 12)]
    #[error("back to the payer from block {expiry} on, and this is block {height}")]
    TooEarly { expiry: BlockNumber, height: BlockNumber },
    #[codec(index = 13)]
    #[error("the pre-image was shown in time: the payee's")]
    ShownInTime,
    #[codec(index = 14)]
    #[error("the app's output is longer than allowed")]
    OutputTooLong,
}

/// What the contract's code makes of a call.
pub(super) struct Effect {
    /// The new state; none where the contract has ended.
    pub(super) state: Option<Vec<u8>>,
    pub(super) payouts: Pair<Amount>,
    pub(super) output: Vec<u8>,
    /// What it required of a lock; it is met.
    pub(super) requirement: Option<Requirement>,
}
