//! Fees follow the chain's load as on the published chain: `stubs/polkadot-runtime-common` stands in the place of the crate that says how.

use pallet_transaction_payment::{Config, Multiplier, MultiplierUpdate};
use runtime::Runtime;
use sp_runtime::{FixedPointNumber, Perquintill, traits::Bounded};

#[test]
fn fees_follow_the_load_by_the_relay_chains_numbers() {
    type Update = <Runtime as Config>::FeeMultiplierUpdate;
    assert_eq!(Update::target(), Perquintill::from_percent(25));
    assert_eq!(Update::variability(), Multiplier::saturating_from_rational(75, 1_000_000));
    assert_eq!(Update::min(), Multiplier::saturating_from_rational(1, 10));
    assert_eq!(Update::max(), Multiplier::max_value());
}
