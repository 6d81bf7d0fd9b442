//! Under which keys a store has what belongs to peers and their channels.

use channel::{ChangeId, ChannelRef, SavedError, transfer::TransferId};
use protocol::{
    PublicKey,
    contracts::{Contract, ContractId},
    decode_exact,
};

/// Where it is kept under which address a peer was last found.
pub(super) fn address_key(peer: &PublicKey) -> Vec<u8> {
    [b"address/", &peer.0[..]].concat()
}

/// Where a contract of a channel is kept: the channel's key, then the contract's id.
pub(super) fn contract_key(channel: &[u8], id: &ContractId) -> Vec<u8> {
    [channel, &id.0].concat()
}

/// Where a payment of a channel is kept: the channel's key, then the payment's id.
pub(super) fn payment_key(channel: &[u8], ChangeId(id): ChangeId) -> Vec<u8> {
    [channel, &id.to_be_bytes()].concat()
}

/// Where a conditional transfer of a channel is kept: the channel's key, then whose it is, and its id.
pub(super) fn transfer_key(channel: &[u8], id: TransferId) -> Vec<u8> {
    match id {
        TransferId::Incoming(contract) => [channel, &[0], &contract.0].concat(),
        TransferId::Outgoing(ChangeId(change)) => [channel, &[1], &change.to_be_bytes()].concat(),
    }
}

/// A contract as it was kept, with its id.
pub(super) fn decode_row(channel: &[u8], row: &[u8], bytes: &[u8]) -> Result<(ContractId, Contract), SavedError> {
    let id = row.strip_prefix(channel).and_then(|id| id.try_into().ok()).map(ContractId);
    let id = id.ok_or_else(|| SavedError::Damaged("a contract without an id".into()))?;
    Ok((id, decode_exact(bytes).map_err(SavedError::Damaged)?))
}

/// Whose channel is kept under a key, and which; none where no channel is.
pub(super) fn of_key(key: &[u8]) -> Option<(PublicKey, ChannelRef)> {
    let (peer, reference) = key.split_first_chunk()?;
    Some((PublicKey(*peer), ChannelRef(reference.try_into().ok()?)))
}

/// Where a channel is kept: peer, then reference.
pub(super) fn store_key(peer: &PublicKey, reference: ChannelRef) -> Vec<u8> {
    [&peer.0[..], &reference.0[..]].concat()
}
