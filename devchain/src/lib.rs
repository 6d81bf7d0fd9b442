//! An embedded chain: the contracts node's own runtime in the process, executing the real contract Wasm.
//!
//! It is not a simulation of a chain but a node without its network: the published runtime of `substrate-contracts-node`
//! runs natively on a real state trie. Genesis, block production, signatures, nonces, fees, storage deposits, gas and the
//! Wasm interpreter are the runtime's own.
//!
//! ```text
//!   DevChain (a handle, cheap to clone)            one thread per chain
//!   ----------------------------------             -----------------------------------------
//!   Chain::submit ---- signed extrinsic --bounded--> pool --.
//!   Chain::dry_run, reads ------------------queue--> state <+-- block: initialise, timestamp,
//!   produce_blocks, fork -------------------------->        |          extrinsics, finalise
//!                                                           v
//!   Chain::finalised_blocks <--- history + newest head <-- header, events
//! ```
//!
//! **Finality.** A block is final as soon as it is produced. **Time.** There is no clock: block `n` carries the timestamp
//! [`EPOCH_MILLIS`]` + n * `[`SLOT_MILLIS`], so two chains that are told the same do the same, down to the block hash.
//! **Sealing.** By default every submission makes a block at once, and submissions that arrive together share one;
//! with [`Sealing::Manual`] they wait until [`DevChain::produce_block`]. Empty blocks are cheap:
//! [`DevChain::produce_blocks`] is how tests travel in time.
//!
//! The names that matter: [`DevChain`], its [`Builder`], [`Sealing`], [`DevAccount`], [`ContractInfo`].
//!
//! ```
//! use devchain::{DevAccount, DevChain};
//! use chain::{Chain, Transaction};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chain::ChainError> {
//! let chain = DevChain::new()?;
//! let (alice, bob) = (DevAccount::Alice, DevAccount::Bob);
//!
//! let before = chain.free_balance(&bob.id()).await?;
//! let transfer = Transaction::Transfer { to: bob.id(), amount: 1_000_000_000_000 };
//! let dry_run = chain.dry_run(&alice.id(), &transfer).await?;
//! let receipt = chain.submit(&alice.signer(), transfer, &dry_run).await?;
//!
//! assert_eq!(receipt.block.number, 1);
//! assert_eq!(chain.free_balance(&bob.id()).await?, before + 1_000_000_000_000);
//! assert_eq!(chain.produce_blocks(1_000).await?.number, 1_001);
//! # Ok(())
//! # }
//! ```

mod accounts;
mod block;
mod chain;
mod coins;
mod dry_run;
mod endpoint;
mod engine;
mod errors;
mod extrinsic;
mod genesis;
mod handle;
mod history;
mod inspect;
mod pool;
mod receipt;
mod state;

pub use accounts::{DEV_ENDOWMENT, DevAccount};
pub use block::{EPOCH_MILLIS, SLOT_MILLIS};
pub use endpoint::{Endpoint, RemoteChain};
pub use engine::Sealing;
pub use handle::{Builder, DevChain};
pub use inspect::{ContractInfo, TransactionLimits};
