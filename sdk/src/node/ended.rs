//! What is kept of channels that have ended (R6.9a): the proof that this side held before, for a time. Whoever made a node believe in an end that
//! never was has not destroyed what the coins can be had with.

use super::error::StartError;
use crate::store::{Batch, MAX_VALUE, StoreError, StoreHandle, Table};
use channel::{Channel, ChannelRef};
use protocol::{
    BlockNumber, PublicKey,
    call::CloseSolo,
    contracts::{Contract, ContractId},
    decode_exact,
};
use scale::{Decode, Encode};

/// A channel that has ended, as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedChannel {
    /// The peer.
    pub peer: PublicKey,
    /// How the two named the channel.
    pub reference: ChannelRef,
    /// The block in which its end was seen.
    pub ended_at: BlockNumber,
    /// The latest state that both had agreed to, as the arbiter takes it; none where the channel was not seen on chain.
    pub evidence: Option<CloseSolo>,
}

/// The stored bytes from before the end.
#[derive(Encode, Decode)]
struct EndedRow {
    channel: Vec<u8>,
    contracts: Vec<(ContractId, Vec<u8>)>,
}

/// Keeps what the store has of a channel before `batch` overwrites it. `contracts` are the rows of its contracts.
pub(super) fn keep(
    store: &StoreHandle,
    batch: Batch,
    at: BlockNumber,
    channel: &[u8],
    contracts: impl Iterator<Item = (ContractId, Vec<u8>)>,
) -> Result<Batch, StoreError> {
    let Some(bytes) = store.get(Table::Channels, channel)? else { return Ok(batch) };
    let mut row = EndedRow { channel: bytes, contracts: Vec::new() };
    for (id, key) in contracts {
        row.contracts.extend(store.get(Table::Contracts, &key)?.map(|bytes| (id, bytes)));
    }
    // Without its contracts it still closes the channel.
    let mut value = row.encode();
    if value.len() > MAX_VALUE {
        row.contracts.clear();
        value = row.encode();
    }
    if value.len() > MAX_VALUE {
        return Ok(batch);
    }
    Ok(batch.put(Table::Ended, key(at, channel), value))
}

/// Removes what has been kept for long enough: of channels that ended before this block.
pub(super) fn expire(store: &StoreHandle, before: BlockNumber) -> Result<Option<Batch>, StoreError> {
    let old = |key: &Vec<u8>| key.as_slice() < &before.to_be_bytes()[..];
    let rows = store.load_all(Table::Ended)?.into_iter().map(|(key, _)| key).filter(old);
    Ok(rows.fold(None, |batch, key| Some(batch.unwrap_or_default().delete(Table::Ended, key))))
}

/// Everything that is kept and can be read: a row that is damaged hides no other.
pub(super) fn load(store: &StoreHandle) -> Result<Vec<EndedChannel>, StartError> {
    let readable = |(key, bytes): (Vec<u8>, Vec<u8>)| {
        let read = read(&key, &bytes);
        read.inspect_err(
            |error| tracing::error!(%error, ?key, "what is kept of a channel that has ended cannot be read"),
        )
        .ok()
    };
    Ok(store.load_all(Table::Ended)?.into_iter().filter_map(readable).collect())
}

fn read(key: &[u8], bytes: &[u8]) -> Result<EndedChannel, channel::SavedError> {
    let damaged = |error: scale::Error| channel::SavedError::Damaged(error);
    let (at, _) = key.split_first_chunk().ok_or_else(|| damaged("a key without a block".into()))?;
    let EndedRow { channel, contracts } = decode_exact::<EndedRow>(bytes).map_err(damaged)?;
    let contracts = contracts
        .into_iter()
        .map(|(id, bytes)| Ok((id, decode_exact::<Contract>(&bytes).map_err(damaged)?)))
        .collect::<Result<Vec<_>, channel::SavedError>>()?;
    let channel = Channel::load_evidence(&channel, contracts, [])?.channel;
    let (peer, reference, evidence) = (channel.peer(), channel.reference(), channel.evidence());
    Ok(EndedChannel { peer, reference, ended_at: BlockNumber::from_be_bytes(*at), evidence })
}

/// Ordered by the block of the end.
fn key(at: BlockNumber, channel: &[u8]) -> Vec<u8> {
    [&at.to_be_bytes()[..], channel].concat()
}
