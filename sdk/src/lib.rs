//! State channels for dApps: two peers lock coins on a chain once, and then pay each other as fast as they can sign.
//!
//! ```text
//!    your program                                                      your peer's program
//!        |  calls and events                                                 |
//!      Node  <== signed states, over an encrypted connection ==>           Node      each keeps its channels in a store of its own
//!        |                                                                   |
//!        '------ opens, closes, defends ------> arbiter <--------------------'       one contract on the chain holds the coins and judges
//! ```
//!
//! A node defends its channels by itself: whoever closes on an old state is answered with the newest one, as long as the node runs and its account can
//! pay the fees.
//!
//! # Five names
//!
//! - [`Node`] is this program's side: it listens, dials, follows the chain, and holds the channels with all peers.
//! - [`NodeConfig`] is what it starts with: who it is, which account pays, where the arbiter stands, where channels are kept. The rest has safe defaults.
//! - [`OpenChannel`] is a channel to open with a peer: two amounts, and terms with a default each.
//! - [`ChannelHandle`] is an open channel: pay, deposit, withdraw, call contracts, close.
//! - [`EventStream`] is what happened: received payments, closes, disputes. None is lost in a crash until it is acknowledged.
//!
//! # An example
//!
//! The chain is one in memory (feature `testing`), where the arbiter's own rules decide and no block has to be waited for; so tests of programs that use
//! channels take moments. [`chain::deploy`] connects to a real chain instead, and the repository's `docs/dapps.md` has programs to copy from.
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use sdk::{Node, NodeConfig, OpenChannel, chain::testing::MemoryChain};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let chain = MemoryChain::new();
//!     let alice = Node::start(NodeConfig::for_tests(&chain, "alice").await?).await?;
//!     let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await?).await?;
//!
//!     let peer = alice.connect(&bob.address().ok_or("Bob listens")?).await?;
//!     let _done = alice.vault_deposit(1_000_000).await?; // coins that Alice may put into channels
//!     let channel = alice.open_channel(peer, OpenChannel::new(1_000_000, 0)).await?;
//!     for cup in 1..=3 {
//!         let paid = channel.pay(25_000, format!("coffee {cup}")).await?; // signed by both: it cannot be undone
//!         println!("coffee {cup} is paid in round {}", paid.round);
//!     }
//!     println!("{}", channel.close(0).await?); // both are paid out on chain
//!     Ok(())
//! }
//! ```

pub mod apps;
pub mod keys;
pub mod node;
pub mod store;
pub mod transport;

pub use node::{ChannelHandle, EventStream, Node, NodeConfig, OpenChannel};

/// Chains, the arbiter's client, signers and deployment. Of the version that this crate uses.
pub use chain;
/// The peer's rules, and the words in which a node speaks: events, payments, changes. Of the version that this crate uses.
pub use channel;
/// Routers, invoices and payments across channels. Of the version that this crate uses.
pub use network;
/// Amounts, accounts, states and the arbiter's rules. Of the version that this crate uses.
pub use protocol;

/// The examples of the guide to apps, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/apps.md")]
struct Apps;
