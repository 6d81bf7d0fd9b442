//! The arbiter's rules, held against the real contract: its Wasm runs on the contracts node's own runtime in the process.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod close_mutual;
mod harness;
