//! Apps off chain: the interpreter in which peers run the very Wasm that is deployed (R7.2), and the library that holds it.
//!
//! ```text
//!   code --check--> by name refused                 call --> Library --native code registered--> native
//!         \--ok--> compiled once --.                             \--else--> Interpreter
//!                                   \                                         | fresh instance: memory, fuel
//!   folder/<hash>.wasm <-- kept      '------------------------------------->  | seal0.input ... seal0.seal_return
//!                                                                             '--> reply, or the fault that the arbiter would meet
//! ```
//!
//! The names that matter: [`Library`], [`Interpreter`], [`AppRefused`], [`ChainCosts`]; both of the first are
//! [`Apps`](protocol::contracts::Apps).
//!
//! # What an app may import
//!
//! Its memory, `seal0.input`, `seal0.seal_return` and `seal0.value_transferred` (which is always nothing): what these do depends on the
//! call alone. Storage is not among them. The arbiter makes sure of an app's code, not of what stands in the storage of the account
//! that has this code; whoever deploys it, or turns a contract of his own into it, chooses that. An app that looked there could do one
//! thing in its peers' hands and another in a dispute.
//!
//! # What is equal to the chain, and what is a bound
//!
//! Equal: the interpreter, to its version, and its settings (what Wasm it takes, its stack and its depth of calls), so that any code does
//! the same; the fuel it counts, what each host function costs, when the two are reconciled and how that is rounded; the price
//! of compiling a function when a call first enters it. So a call runs out of its weight here exactly where it does on chain, as
//! long as the chain charges what [`ChainCosts`] says, which [`probe`] asks of a chain.
//!
//! Stricter here, so that what is agreed on can always be forced:
//!
//! - the answer has to fit what the arbiter has left of its own buffer after asking; a longer one breaks off the arbiter on chain;
//! - the limits of [`MAX_CODE`], [`MAX_GLOBALS`], [`MAX_LOCALS`], [`MAX_PARAMETERS`], [`MAX_BRANCH_TARGETS`] and [`MAX_TABLE_ENTRIES`],
//!   which the pallet once had and then left to its interpreter; no start function, no entry point with a result.
//!
//! Not looked at: the proof size. The chain charges the arbiter for an app's code, and the functions above add nothing, so that an
//! app never reaches a limit of its own. Nor does native code count anything, see [`Library::with_native`].
//!
//! # What a call can take here
//!
//! One mebibyte of memory, another of stack, [`MAX_TABLE_ENTRIES`] places in a table, all bounded by what the code declares and the checks
//! let pass, so that no limiter watches while it runs; and as much time as its fuel lasts, some tenths of a second for the standard limit.

mod cache;
mod check;
mod host;
mod interpreter;
mod library;
mod meter;
mod module;
pub mod probe;
mod refusal;

pub use cache::{NotUsed, Unusable};
pub use check::{MAX_BRANCH_TARGETS, MAX_CODE, MAX_GLOBALS, MAX_LOCALS, MAX_PAGES, MAX_PARAMETERS, MAX_TABLE_ENTRIES};
pub use interpreter::{Interpreter, MAX_APPS};
pub use library::{AddError, Library};
pub use meter::{ChainCosts, PerByte};
pub use module::code_hash;
pub use refusal::{AppRefused, Countable};
