//! Stories told with real peers over real sockets on a real chain.
//!
//! ```text
//!   World --- DevChain (the contracts node's own runtime) or NodeChain (a node of its own) <--- Recorder (what every transaction cost)
//!     |  '--- arbiter (the real Wasm)
//!     |
//!     |--- Actor alice --- Node, store on disk --- loopback or Proxy --- Node --- Actor bob
//!     |       '--- EventLog                          (cut, stall, ..)
//!     |--- PeerProcess, Wallet --- peer: a node, or a key, in a process of its own, which may be killed
//!     '--- hostile::Intruder: a peer that holds keys and obeys no rule
//! ```
//!
//! Nothing is simulated, but for a world in memory ([`World::in_memory`]), whose stories are told on the others too. Nothing sleeps either: chain time passes by [`World::pass`], and everything that is awaited is awaited with
//! [`within`], which says what did not come.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a harness fails by panicking"
)]

mod actor;
mod coins;
mod events;
pub mod hostile;
mod impaired;
mod ledger;
mod logs;
mod node;
mod patience;
pub mod peer;
mod process;
mod proxy;
mod seal;
pub mod stories;
mod test_chain;
mod world;

pub use actor::{Actor, Asked, numbered};
pub use coins::Coins;
pub use devchain::{Endpoint, RemoteChain};
pub use events::EventLog;
pub use impaired::Impaired;
pub use ledger::Cost;
pub use logs::Logs;
pub use node::NodeChain;
pub use patience::{PATIENCE, until, within};
pub use process::{Given, PeerProcess, Wallet};
pub use proxy::{Direction, Proxy};
pub use test_chain::TestChain;
pub use world::{
    App, LIMITS, UNIT, World, account, address_at, app_code, arbiter_code, identity, party, serve, signer, terms,
};
