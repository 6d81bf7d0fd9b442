//! Nothing of our own: the runtime's entry points, linked into one Wasm module.
#![no_std]

pub use contracts_node_runtime::*;
