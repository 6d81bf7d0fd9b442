//! The arbiter's check of signatures (R3.4) against `verify_strict` of ed25519-dalek, one by one: the vectors of the field, and keys and
//! signatures that only their owner could make.
//!
//! What is tested is the function that the contract calls: it gives `Crypto` two hashes and nothing else, and the very same source is
//! compiled into its Wasm. `fuzz/fuzz_targets/signatures.rs` asks the same of anything.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

#[path = "../support/crafted.rs"]
mod crafted;
mod orders;
#[path = "../support/signatures.rs"]
mod signatures;
mod wycheproof;
