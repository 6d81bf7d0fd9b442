//! `Builtin(1)`: a conditional transfer (R8.1). Its coins go to the payee if the pre-image of a hash is shown before `expiry`, and back
//! to the payer from `expiry` on. A pre-image that was shown on chain in time counts for ever (R8.2).

pub use super::lock::{HashFunction, HashLock, Preimage};

use super::{
    AppContext,
    executor::{CallFault, Effect, Executor},
    lock::Requirement,
};
use crate::{BlockNumber, Pair, Party};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// Its number among the builtins (R4.3).
pub const BUILTIN: u8 = 1;

/// The state of a conditional transfer; its coins are the contract's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct ConditionalTransfer {
    /// Who receives the coins if the pre-image is shown in time; its peer has them back otherwise.
    pub payee: Party,
    /// What has to be opened.
    pub lock: HashLock,
    /// The first block in which showing the pre-image is too late.
    pub expiry: BlockNumber,
}

/// A call of a conditional transfer. Either party may make it: the coins go where they belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum ConditionalInput {
    /// Shows the pre-image: the payee is paid.
    #[codec(index = 0)]
    Claim(Preimage),
    /// The payer has its coins back.
    #[codec(index = 1)]
    Refund,
}

/// Executes a call. The contract ends with it.
pub(super) fn call(
    executor: &mut impl Executor,
    context: &AppContext,
    state: &[u8],
    input: &[u8],
) -> Result<Effect, CallFault> {
    if context.value > 0 {
        return Err(CallFault::TakesNoCoins);
    }
    let malformed = |_error| CallFault::Malformed;
    let ConditionalTransfer { payee, lock, expiry } = crate::decode_exact(state).map_err(malformed)?;
    let (to, requirement) = match crate::decode_exact(input).map_err(malformed)? {
        ConditionalInput::Claim(preimage) => (payee, Requirement::Shown { lock, preimage, before: expiry }),
        ConditionalInput::Refund => (payee.peer(), Requirement::Silent { lock, from: expiry }),
    };
    requirement.check(executor, context.height)?;
    let mut payouts = Pair::default();
    payouts[to] = context.balance;
    Ok(Effect { state: None, payouts, output: Vec::new(), requirement: Some(requirement) })
}
