//! What a node must not forget: a key-value store that survives `kill -9` and power cuts, one directory per node.
//!
//! ```text
//!   task of channel A --commit(batch)--.
//!   task of channel B --commit(batch)--+--> bounded queue --> writer thread: all that is queued in ONE transaction, ONE fsync
//!   task of channel C --commit(batch)--'                             |
//!          ^----------------- acknowledged ---------------------------'
//! ```
//!
//! A [`Batch`] is stored whole or not at all, and is durable before its [`commit`](StoreHandle::commit) returns (R6.4). The names: [`Store`]
//! (the files), [`StoreHandle`] (the same for many tasks), [`Batch`], [`Table`].
//!
//! The directory holds `store.redb` (the values), and `lock` (held while the store is open; it also notes how many commits were acknowledged, so
//! that a store which lost one is not taken for a good one, and which file it is itself, so that a copy of the directory is known: [`StoreDoubt`]).
//! Everything is its owner's alone.

mod batch;
mod database;
mod error;
mod files;
mod writer;

pub use batch::{Batch, MAX_KEY, MAX_VALUE, Table};
pub use database::{Durability, Entry, Store};
pub use error::{OpenError, StoreError};
pub use files::StoreDoubt;
pub(crate) use writer::WeakStore;
pub use writer::{Counters, MAX_GROUP, StoreHandle};
