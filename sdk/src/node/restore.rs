//! Channels as the store has them.

use super::{StartError, ended, peer};
use crate::store::{Batch, Entry, StoreError, StoreHandle, Table};
use channel::{Channel, ChannelRef, SavedError};
use protocol::{BlockNumber, PublicKey, call::CloseSolo, contracts::ContractId, decode_exact};
use std::iter::{self, Peekable};

/// A channel in the store that cannot be read whole. What is stored of it stays as it is. Where its latest state can be read, the node defends it as one
/// of an old store: it signs nothing new (R6.6a). Otherwise the node does not know the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedChannel {
    /// The peer.
    pub peer: PublicKey,
    /// How the two named the channel.
    pub reference: ChannelRef,
    /// What is wrong with it.
    pub cause: SavedError,
    /// The latest state that both had agreed to, as the arbiter takes it, where that much of the channel can be read: it closes the channel, by any account
    /// that is a party or its delegate.
    pub evidence: Option<CloseSolo>,
}

/// What a store has of channels.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Those that are whole.
    pub(super) channels: Vec<Channel>,
    /// Those that are not.
    pub(super) damaged: Vec<DamagedChannel>,
    /// What can be read of those: enough to defend them, too little to go on.
    pub(super) readable: Vec<Channel>,
}

/// Every channel whose key begins like this, with its contracts and payments. One that is damaged hides no other.
///
/// # Errors
/// [`StartError::Store`].
pub(super) fn channels(store: &StoreHandle, prefix: &[u8]) -> Result<Restored, StartError> {
    let mut contracts = store.load(Table::Contracts, prefix)?.into_iter().peekable();
    let mut payments = store.load(Table::Payments, prefix)?.into_iter().peekable();
    let mut restored = Restored::default();
    for (key, bytes) in store.load(Table::Channels, prefix)? {
        let (contracts, payments) = (rows_of(&key, &mut contracts), rows_of(&key, &mut payments));
        let cause = match read(&key, &bytes, &contracts, Some(&payments)) {
            Ok(channel) => {
                restored.channels.push(channel);
                continue;
            }
            Err(cause) => cause,
        };
        let readable = read(&key, &bytes, &contracts, None).ok();
        let evidence = readable.as_ref().and_then(Channel::evidence);
        let Some((peer, reference)) = peer::of_key(&key) else {
            tracing::error!(?key, %cause, "a row of the store belongs to no channel, and cannot be read");
            continue;
        };
        tracing::error!(
            %peer, ?reference, %cause, has_evidence = evidence.is_some(),
            "a channel of the store is damaged, and stays there as it is: put the newest copy of the store back, or see that the channel ends, and forget it"
        );
        restored.damaged.push(DamagedChannel { peer, reference, cause, evidence });
        restored.readable.extend(readable);
    }
    Ok(restored)
}

/// What takes a channel out of the store, to where those are kept that have ended; none where it is not there.
///
/// # Errors
/// [`StoreError::Failed`].
pub(super) fn forget(store: &StoreHandle, at: BlockNumber, key: &[u8]) -> Result<Option<Batch>, StoreError> {
    if store.get(Table::Channels, key)?.is_none() {
        return Ok(None);
    }
    let contracts = store.load(Table::Contracts, key)?;
    let ids = contracts.iter().filter_map(|(row, _)| {
        let id = row.strip_prefix(key)?.try_into().ok()?;
        Some((ContractId(id), row.clone()))
    });
    let mut batch = ended::keep(store, Batch::new(), at, key, ids)?.delete(Table::Channels, key);
    for (table, rows) in [(Table::Contracts, contracts), (Table::Payments, store.load(Table::Payments, key)?)] {
        batch = rows.into_iter().fold(batch, |batch, (row, _)| batch.delete(table, row));
    }
    Ok(Some(batch))
}

/// The rows that belong to a channel. All tables are ordered by the channel.
fn rows_of(channel: &[u8], rows: &mut Peekable<impl Iterator<Item = Entry>>) -> Vec<Entry> {
    // Whatever belongs to none is passed over.
    while rows.next_if(|(row, _)| row.as_slice() < channel).is_some() {}
    iter::from_fn(|| rows.next_if(|(row, _)| row.starts_with(channel))).collect()
}

/// A channel with its rows; without payments, what of it can be put on chain.
fn read(key: &[u8], bytes: &[u8], contracts: &[Entry], payments: Option<&[Entry]>) -> Result<Channel, SavedError> {
    let contracts = contracts.iter().map(|(row, bytes)| peer::decode_row(key, row, bytes));
    let contracts = contracts.collect::<Result<Vec<_>, _>>()?;
    let Some(payments) = payments else { return Channel::load_evidence(bytes, contracts) };
    let payments = payments.iter().map(|(_, bytes)| decode_exact(bytes).map_err(SavedError::Damaged));
    Channel::load(bytes, contracts, payments.collect::<Result<Vec<_>, _>>()?)
}
