//! One call of one contract: coins in, code, payouts out (R7.1). The arbiter and the peers run this very function.

use super::{
    AppContext, AppReply, CallReceipt, Code, Contract, ContractId, MAX_INPUT, MAX_OUTPUT, MAX_STATE, conditional,
};
use crate::{AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Round, crypto::Crypto};
use alloc::vec::Vec;
use conditional::{HashLock, Preimage};
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

/// A call of a contract.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The channel it lives in.
    pub channel: ChannelId,
    /// Its id in it.
    pub contract: ContractId,
    /// The round of the call.
    pub round: Round,
    /// Who calls.
    pub caller: Party,
    /// The coins that the caller attaches; the caller's balance is not looked at here.
    pub value: Amount,
    /// The block that counts (R7.3).
    pub height: BlockNumber,
    /// What the call says.
    pub input: &'a [u8],
    /// Where the app is deployed; needed on chain only.
    pub app: Option<&'a AccountId>,
}

/// What a call did. The contract itself was changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Executed {
    /// What the contract paid the parties.
    pub payouts: Pair<Amount>,
    /// Its answer.
    pub output: Vec<u8>,
    /// Whether the contract ended with it and leaves the tree; it holds nothing then.
    pub ended: bool,
    /// What the round's state keeps of the call (R4.1).
    pub receipt: CallReceipt,
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
}

/// Executes one call: the coins attached come in, the code runs, what it pays goes out (R7.1).
///
/// # Errors
/// [`CallFault`]; the contract is to be thrown away then.
pub fn execute(
    executor: &mut impl Executor,
    contract: &mut Contract,
    call: &Invocation<'_>,
) -> Result<Executed, CallFault> {
    if contract.state.len() > MAX_STATE || call.input.len() > MAX_INPUT {
        return Err(CallFault::TooLarge);
    }
    let balance = contract.balance.checked_add(call.value).ok_or(CallFault::Overflow)?;
    let context = AppContext {
        channel: call.channel,
        contract: call.contract,
        round: call.round,
        caller: call.caller,
        value: call.value,
        balance,
        height: call.height,
    };
    let Effect { state, payouts, output } = match contract.code {
        Code::Contract(code) => {
            let reply = executor.call_app(&code, call.app, &context, &contract.state, call.input)?;
            let outcome = reply.map_err(|_apps_own| CallFault::Refused)?;
            if outcome.state.len() > MAX_STATE {
                return Err(CallFault::TooLarge);
            }
            if outcome.output.len() > MAX_OUTPUT {
                return Err(CallFault::OutputTooLong);
            }
            Effect { state: Some(outcome.state), payouts: outcome.payouts, output: outcome.output }
        }
        Code::Builtin(conditional::BUILTIN) => conditional::call(executor, &context, &contract.state, call.input)?,
        Code::Builtin(unknown) => return Err(CallFault::BuiltinUnknown(unknown)),
    };
    let paid = payouts.sum().ok_or(CallFault::Overflow)?;
    contract.balance = balance.checked_sub(paid).ok_or(CallFault::PaysTooMuch { balance })?;
    let ended = state.is_none();
    contract.state = state.unwrap_or_default();
    let receipt = CallReceipt {
        contract: call.contract,
        caller: call.caller,
        value: call.value,
        input: executor.hash(call.input),
        payouts,
        output: executor.hash(&output),
    };
    Ok(Executed { payouts, output, ended, receipt })
}
