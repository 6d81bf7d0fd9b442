//! One call of one contract: coins in, code, payouts out (R7.1). The arbiter and the peers run this very function.

use super::{
    AppContext, AppOutcome, CallReceipt, Code, Contract, ContractId, MAX_INPUT, MAX_OUTPUT, MAX_STATE, conditional,
    executor::{CallFault, Effect, Executor},
    lock::Requirement,
};
use crate::{AccountId, Amount, BlockNumber, ChannelId, Pair, Party, Round};
use alloc::vec::Vec;

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
    /// What it required of a hash lock, as far as the executor can tell met (R7.1a).
    pub requirement: Option<Requirement>,
    /// What the round's state keeps of the call (R4.1).
    pub receipt: CallReceipt,
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
    let Effect { state, payouts, output, requirement } = match contract.code {
        Code::Contract(code) => {
            let reply = executor.call_app(&code, call.app, &context, &contract.state, call.input)?;
            let outcome = reply.map_err(|_apps_own| CallFault::Refused)?;
            if outcome.state.len() > MAX_STATE {
                return Err(CallFault::TooLarge);
            }
            if outcome.output.len() > MAX_OUTPUT {
                return Err(CallFault::OutputTooLong);
            }
            if let Some(requirement) = outcome.requirement {
                requirement.check(executor, call.height)?;
            }
            let AppOutcome { state, payouts, output, requirement } = outcome;
            Effect { state: Some(state), payouts, output, requirement }
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
    Ok(Executed { payouts, output, ended, requirement, receipt })
}
