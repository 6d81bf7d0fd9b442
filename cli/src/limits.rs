//! What an arbiter allows (R5.13).

use clap::Args;
use protocol::terms::Limits;
use sdk::chain::deploy::DEFAULT_LIMITS as DEFAULT;

#[derive(Args)]
#[command(next_help_heading = "What the arbiter allows")]
#[group(id = "limits")]
pub(crate) struct Options {
    /// The shortest lock period of a channel, in blocks.
    #[arg(long, value_name = "BLOCKS", default_value_t = DEFAULT.lock_period_min)]
    lock_period_min: u32,
    /// The longest lock period of a channel, in blocks.
    #[arg(long, value_name = "BLOCKS", default_value_t = DEFAULT.lock_period_max)]
    lock_period_max: u32,
    /// How far ahead what both sign may be valid, in blocks.
    #[arg(long, value_name = "BLOCKS", default_value_t = DEFAULT.validity_max)]
    validity_max: u32,
    /// The most forced steps of a party on one base; 32 at most.
    #[arg(long, value_name = "STEPS", default_value_t = DEFAULT.max_forced_max)]
    max_forced_max: u8,
}

impl Options {
    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            lock_period_min: self.lock_period_min,
            lock_period_max: self.lock_period_max,
            validity_max: self.validity_max,
            max_forced_max: self.max_forced_max,
            call_weight: DEFAULT.call_weight,
        }
    }
}
