//! Randomness of the system.

use super::error::NodeError;

/// Bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_error| NodeError::NoRandomness)?;
    Ok(bytes)
}
