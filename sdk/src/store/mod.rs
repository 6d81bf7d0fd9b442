//! What a node must not forget: a key-value store that survives `kill -9` and power cuts, one directory per node.
//!
//! ```text
//!   task of channel A --commit(batch)--.
//!   task of channel B --commit(batch)--+--> bounded queue --> writer thread: all that is queued in ONE record, ONE wait for the disk --> journal
//!   task of channel C --commit(batch)--'                             |                                                            |
//!          ^----------------- acknowledged ---------------------------'         once it is full: ONE transaction --> values <-----'
//! ```
//!
//! A [`Batch`] is stored whole or not at all, and is durable before its [`commit`](StoreHandle::commit) returns (R6.4). Where nobody else commits and the
//! disk is quick, the task writes by itself. The names: [`Store`] (the files), [`StoreHandle`] (the same for many tasks), [`Batch`], [`Table`].
//!
//! The directory holds `store.redb` (the values), `journal` (commits that the values do not hold yet, R6.4b), and `lock` (held while the store is open; it
//! also notes how many commits were acknowledged, so that a store which lost one is not taken for a good one, and which file it is itself, so that a copy
//! of the directory is known: [`StoreDoubt`]). A copy has all three, made while the store is closed. Everything is its owner's alone.

mod batch;
mod database;
mod error;
mod files;
mod in_place;
mod journal;
mod platform;
mod recent;
mod writer;

pub use batch::{Batch, Entry, MAX_KEY, MAX_VALUE, Table};
pub use database::{Durability, Store};
pub use error::{OpenError, StoreError};
pub use files::StoreDoubt;
pub(crate) use writer::WeakStore;
pub use writer::{Counters, MAX_GROUP, StoreHandle};
