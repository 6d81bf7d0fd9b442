//! Empty: the pallet names this crate, but uses it in its tests and benchmarks only.
#![no_std]
