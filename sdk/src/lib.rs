//! State channels for dApps: nodes that open channels, pay through them and defend them.

pub mod apps;
pub mod keys;
pub mod node;
pub mod store;
pub mod transport;

/// Chains, the arbiter's client, signers and deployment. Of the version that this crate uses.
pub use chain;
/// The peer's rules, and the words in which a node speaks: events, payments, changes. Of the version that this crate uses.
pub use channel;
/// Amounts, accounts, states and the arbiter's rules. Of the version that this crate uses.
pub use protocol;

/// The examples of the guide to apps, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/apps.md")]
struct Apps;
