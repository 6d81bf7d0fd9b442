//! State channels for dApps: nodes that open channels, pay through them and defend them.

pub mod apps;
pub mod chain;
pub mod keys;
pub mod node;
mod private_files;
pub mod store;
pub mod transport;

/// The examples of the guide to apps, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/apps.md")]
struct Apps;
