//! What was recorded of chains that live.

use crate::{NARROW, codec, signed, transfer};
use chain::{AddressFormat, ChainError};
use protocol::Amount;
use std::time::Duration;

/// The node's metadata of version 14.
pub(crate) const CONTRACTS_NODE: &[u8] = include_bytes!("contracts-node-0.42.scale");
/// Bittensor's of version 16 (finney, April 2026), as `CortexLM/bittensor-rs` has recorded it (commit 1ff7ff7, MIT).
pub(crate) const BITTENSOR: &[u8] = include_bytes!("bittensor.scale");
/// Pendulum's of version 15, a parachain (March 2026), as `pendulum-chain/spacewalk` has recorded it (commit ea6f952).
pub(crate) const PENDULUM: &[u8] = include_bytes!("pendulum.scale");

#[tokio::test]
async fn chains_that_live_are_read_as_they_are() {
    let second = Duration::from_secs(1);
    for (name, metadata, most, prefix, block_time, longest_era) in [
        ("contracts node", CONTRACTS_NODE, Amount::MAX, 42, Some(Duration::from_millis(10)), 1_024),
        ("Bittensor", BITTENSOR, NARROW, 42, Some(12 * second), 1_024),
        ("Pendulum", PENDULUM, Amount::MAX, 0, Some(12 * second), 1_024),
    ] {
        let codec = codec(metadata).unwrap();
        let format = AddressFormat::new(prefix).unwrap();
        assert_eq!((codec.most(), codec.address_format()), (most, Ok(format)), "{name}");
        assert_eq!((codec.block_time(), codec.longest_era()), (block_time, longest_era), "{name}");
        let (done, signatures) = signed(&codec, &transfer(NARROW)).await;
        assert!(done.is_ok() && signatures == 1, "{name}: {done:?}");
        let Some(amount) = most.checked_add(1) else { continue };
        assert_eq!(
            signed(&codec, &transfer(amount)).await,
            (Err(ChainError::AmountTooLarge { amount, most }), 0),
            "{name}"
        );
    }
}
