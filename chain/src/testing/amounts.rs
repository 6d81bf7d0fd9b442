//! The amounts and bounds of a chain in memory.

use protocol::{
    Amount,
    terms::{CallWeight, Limits},
};

/// What [`MemoryChain::rich`](super::MemoryChain::rich) gives an account: a million of the chain's coins, in its smallest unit.
pub const RICH: Amount = 1_000_000_000_000_000_000;

/// The least that an account of a real chain holds, in its smallest unit; less than that cannot be paid to a new account.
pub const EXISTENTIAL_DEPOSIT: Amount = 1_000_000_000;

/// What the arbiter of [`MemoryChain::arbiter`](super::MemoryChain::arbiter) allows. Lock periods are short, so that tests of disputes need few blocks.
pub const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100_800,
    validity_max: 1_000,
    max_forced_max: 8,
    call_weight: CallWeight::STANDARD,
};
