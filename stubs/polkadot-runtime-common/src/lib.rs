//! How fees follow the load of the chain, as the relay chain's runtimes and the contracts node's have it. The crate whose place this takes holds
//! the relay chain's pallets beside it.

use frame_support::parameter_types;
use pallet_transaction_payment::{Multiplier, TargetedFeeAdjustment};
use sp_runtime::{FixedPointNumber, Perquintill, traits::Bounded};

parameter_types! {
    /// How full blocks are where fees stand still: a quarter of what normal calls may fill.
    pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
    /// How fast fees follow.
    pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(75, 1_000_000);
    /// What fees are multiplied by at least.
    pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_rational(1, 10_u128);
    /// What fees are multiplied by at most.
    pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

/// The multiplier of fees, adjusted after each block.
pub type SlowAdjustingFeeUpdate<Runtime> =
    TargetedFeeAdjustment<Runtime, TargetBlockFullness, AdjustmentVariable, MinimumMultiplier, MaximumMultiplier>;
