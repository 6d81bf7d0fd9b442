//! Channels as the store has them.

use super::{StartError, peer};
use crate::store::{StoreHandle, Table};
use channel::{Channel, SavedError};
use protocol::decode_exact;

/// Every channel whose key begins like this, with its contracts and payments.
///
/// # Errors
/// [`StartError::Store`], [`StartError::Saved`].
pub(super) fn channels(store: &StoreHandle, prefix: &[u8]) -> Result<Vec<Channel>, StartError> {
    let mut contracts = store.load(Table::Contracts, prefix)?.into_iter().peekable();
    let mut payments = store.load(Table::Payments, prefix)?.into_iter().peekable();
    let mut channels = Vec::new();
    for (key, bytes) in store.load(Table::Channels, prefix)? {
        // All three tables are ordered by the channel.
        let rows = std::iter::from_fn(|| contracts.next_if(|(row, _)| row.starts_with(&key)));
        let rows = rows.map(|(row, bytes)| peer::decode_row(&key, &row, &bytes)).collect::<Result<Vec<_>, _>>()?;
        let kept = std::iter::from_fn(|| payments.next_if(|(row, _)| row.starts_with(&key)));
        let kept =
            kept.map(|(_, bytes)| decode_exact(&bytes).map_err(SavedError::Damaged)).collect::<Result<Vec<_>, _>>()?;
        channels.push(Channel::load(&bytes, rows, kept)?);
    }
    Ok(channels)
}
