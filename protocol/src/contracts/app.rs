//! What an app is (R7.1, R7.5): pure logic behind one trait, and the bytes by which the arbiter and the peers call it.
//!
//! ```text
//!   in   selector[4] | SCALE(AppContext, state: Vec<u8>, input: Vec<u8>)      `init` has no state
//!   out  SCALE(Result<AppReply, LangError>)                                    as ink! wraps what a message returns
//! ```

use super::{ContractId, lock::Requirement};
use crate::{Amount, BlockNumber, ChannelId, Pair, Party, Round};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// Selects `init` of a deployed app.
pub const INIT_SELECTOR: [u8; 4] = *b"INIT";
/// Selects `call` of a deployed app.
pub const CALL_SELECTOR: [u8; 4] = *b"CALL";

/// Everything an app may know of its surroundings (R7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct AppContext {
    /// The channel it lives in.
    pub channel: ChannelId,
    /// Its own id in it.
    pub contract: ContractId,
    /// The round of this call.
    pub round: Round,
    /// Who calls.
    pub caller: Party,
    /// The coins attached to this call.
    pub value: Amount,
    /// What the contract holds, `value` included.
    pub balance: Amount,
    /// The block: off chain the one that both agreed on, on chain the current one (R7.3).
    pub height: BlockNumber,
}

/// What a call did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct AppOutcome {
    /// The state after it, at most [`MAX_STATE`](super::MAX_STATE) bytes.
    pub state: Vec<u8>,
    /// Coins for the parties, out of the contract's balance.
    pub payouts: Pair<Amount>,
    /// The answer to the caller, at most [`MAX_OUTPUT`](super::MAX_OUTPUT) bytes.
    pub output: Vec<u8>,
    /// Without what the call has not happened (R7.1a).
    pub requirement: Option<Requirement>,
}

/// An app's answer: what the call did, or its own error, encoded.
pub type AppReply = Result<AppOutcome, Vec<u8>>;

/// An app's logic: no clock, no randomness, no storage; the same input gives the same outcome everywhere (R7.5).
///
/// The provided methods are the boundary of bytes that the shell and the peers call.
pub trait App {
    /// What it remembers between calls.
    type State: Decode + Encode;
    /// What the creation of a contract says.
    type Creation: Decode;
    /// What a call says.
    type Input: Decode;
    /// What a call answers.
    type Output: Encode;
    /// Why it refuses.
    type Error: Encode;

    /// The first state of a new contract.
    ///
    /// # Errors
    /// The app's own: the contract is not created then.
    fn init(context: &AppContext, creation: Self::Creation) -> Result<Self::State, Self::Error>;

    /// One call: changes the state, and says what is paid to whom.
    ///
    /// # Errors
    /// The app's own: nothing has happened then.
    fn call(
        context: &AppContext,
        state: &mut Self::State,
        input: Self::Input,
    ) -> Result<(Pair<Amount>, Self::Output), Self::Error>;

    /// What has to be true of a hash lock for this call to count, judged on the state before it (R7.1a): nothing, unless the app says so. On chain the arbiter asks
    /// its registry of pre-images; off chain the peer agrees to the call where it would be made there.
    fn requires(_context: &AppContext, _state: &Self::State, _input: &Self::Input) -> Option<Requirement> {
        None
    }

    /// [`App::init`] on bytes. Bytes that are not exactly one creation are refused with no error bytes.
    ///
    /// # Errors
    /// The app's own error, encoded.
    fn init_bytes(context: &AppContext, input: &[u8]) -> AppReply {
        let creation = crate::decode_exact(input).map_err(|_undecodable| Vec::new())?;
        let state = Self::init(context, creation).map_err(|error| error.encode())?.encode();
        Ok(AppOutcome { state, ..AppOutcome::default() })
    }

    /// [`App::call`] on bytes. Bytes that are not exactly one state or input are refused with no error bytes.
    ///
    /// # Errors
    /// The app's own error, encoded.
    fn call_bytes(context: &AppContext, state: &[u8], input: &[u8]) -> AppReply {
        let mut state = crate::decode_exact::<Self::State>(state).map_err(|_undecodable| Vec::new())?;
        let input = crate::decode_exact(input).map_err(|_undecodable| Vec::new())?;
        let requirement = Self::requires(context, &state, &input);
        let (payouts, output) = Self::call(context, &mut state, input).map_err(|error| error.encode())?;
        Ok(AppOutcome { state: state.encode(), payouts, output: output.encode(), requirement })
    }
}
