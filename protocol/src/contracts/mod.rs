//! Contracts that live inside a channel (R4.2, R4.3, section 7): what a state says of them, and how a call of one is executed.
//!
//! ```text
//!   Contract { code, balance, owner, state }  --hash-->  ContractEntry  --hash-->  leaf of the contracts' tree (R4.2)
//!        |
//!        '-- execute(call): coins in, app or builtin, payouts out (R7.1)      the same on chain and off chain
//! ```
//!
//! [`Contracts`] is what peers keep and build proofs from; [`execute()`] is what both sides run; [`conditional`] is `Builtin(1)` (R8.1).

mod app;
pub mod conditional;
mod execute;
mod executor;
mod lock;
#[cfg(feature = "std")]
mod native;
mod requirement;
#[cfg(feature = "std")]
mod store;

pub use app::{App, AppContext, AppOutcome, AppReply, CALL_SELECTOR, INIT_SELECTOR};
pub use execute::{Executed, Invocation, execute};
pub use executor::{CallFault, Executor};
pub use lock::Requirement;
#[cfg(feature = "std")]
pub use native::{Apps, NativeApps, NativeCall, NativeInit, Predictor, first_state};
#[cfg(feature = "std")]
pub use store::Contracts;

use crate::{Amount, ChannelId, Hash, Pair, Party, Round, crypto::Crypto, primitives::bytes_newtype};
use alloc::vec::Vec;
use core::fmt;
use scale::{Decode, Encode, MaxEncodedLen};

/// The longest state of one contract, in bytes: it travels in one forced call, and into and out of the app.
pub const MAX_STATE: usize = 16 * 1024;
/// The longest input of one call, in bytes.
pub const MAX_INPUT: usize = 8 * 1024;
/// The longest output of one call, in bytes: it comes back through one buffer with the state, the call's own state and its input.
pub const MAX_OUTPUT: usize = 16 * 1024;

bytes_newtype!(
    /// Names a contract inside its channel: the key of its leaf (R4.2).
    ContractId, 32
);

impl ContractId {
    /// The id of the `index`-th contract that `round` of `channel` creates: never used twice, since rounds are not (R6.2).
    pub fn derive(channel: &ChannelId, round: Round, index: u32, crypto: &impl Crypto) -> Self {
        Self(crypto.hash(&(b"contract", channel, round, index).encode()).0)
    }

    /// The key of its leaf.
    #[must_use]
    pub const fn key(&self) -> Hash {
        Hash(self.0)
    }
}

/// What executes a contract (R4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Code {
    /// The app with this code hash, wherever it is deployed (R7.1).
    #[codec(index = 0)]
    Contract(Hash),
    /// The arbiter itself, by number; see [`conditional::BUILTIN`].
    #[codec(index = 1)]
    Builtin(u8),
}

/// What a leaf of the contracts' tree commits to (R4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct ContractEntry {
    /// What executes it.
    pub code: Code,
    /// The coins it holds.
    pub balance: Amount,
    /// The hash of its state.
    pub state_hash: Hash,
    /// Who created it.
    pub owner: Party,
}

impl ContractEntry {
    /// The leaf's value (R4.2).
    pub fn hash(&self, crypto: &impl Crypto) -> Hash {
        crypto.hash(&self.encode())
    }
}

/// A contract, whole.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Contract {
    /// What executes it.
    pub code: Code,
    /// The coins it holds.
    pub balance: Amount,
    /// Who created it.
    pub owner: Party,
    /// Its state, at most [`MAX_STATE`] bytes.
    pub state: Vec<u8>,
}

impl Contract {
    /// What its leaf commits to.
    pub fn entry(&self, crypto: &impl Crypto) -> ContractEntry {
        ContractEntry {
            code: self.code,
            balance: self.balance,
            state_hash: crypto.hash(&self.state),
            owner: self.owner,
        }
    }

    /// Whether it is a conditional transfer (R8.1).
    #[must_use]
    pub const fn is_transfer(&self) -> bool {
        matches!(self.code, Code::Builtin(conditional::BUILTIN))
    }

    /// The value of its leaf (R4.2).
    pub fn leaf(&self, crypto: &impl Crypto) -> Hash {
        self.entry(crypto).hash(crypto)
    }
}

/// What a state keeps of a call of its round (R4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct CallReceipt {
    /// Which contract was called.
    pub contract: ContractId,
    /// By whom.
    pub caller: Party,
    /// The coins that the caller attached.
    pub value: Amount,
    /// The hash of the input.
    pub input: Hash,
    /// What it paid the parties.
    pub payouts: Pair<Amount>,
    /// The hash of the output.
    pub output: Hash,
}

/// `calls_root`: the hash of a round's receipts in their order, [`Hash::ZERO`] where there are none (R4.1).
pub fn calls_root(receipts: &[CallReceipt], crypto: &impl Crypto) -> Hash {
    if receipts.is_empty() { Hash::ZERO } else { crypto.hash(&receipts.encode()) }
}
