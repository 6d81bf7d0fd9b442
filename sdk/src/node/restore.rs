//! What the store has: whose it is, its channels, how far the chain was followed.

use super::{
    config::NodeConfig,
    ended,
    error::{Owner, StartError},
    rows,
    watcher::{NEXT_BLOCK, Seen, Verdict, noted, verify},
};
use crate::{
    chain::{BlockRef, ChainError},
    keys::PeerAddress,
    store::{Batch, Entry, StoreError, StoreHandle, Table},
};
use channel::{Channel, ChannelRef, Evidence, SavedError, transfer::TransferRow};
use network::{At, RestoredChannel, RowKey};
use protocol::{
    BlockNumber, PublicKey,
    call::CloseSolo,
    contracts::{Contract, ContractId},
    decode_exact,
};
use scale::{Decode, Encode};
use std::{
    collections::{HashMap, HashSet},
    iter::{self, Peekable},
};

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

/// What a store has.
pub(super) struct Loaded {
    pub(super) channels: HashMap<PublicKey, Vec<Channel>>,
    /// Where peers were last found.
    pub(super) addresses: HashMap<PublicKey, PeerAddress>,
    /// The next block to look at.
    pub(super) next: BlockNumber,
    /// The last block that was looked at, as far as it is known.
    pub(super) seen: Option<Seen>,
    /// Channels that cannot be read.
    pub(super) damaged: Vec<DamagedChannel>,
    /// Of the channels, those that lack rows of transfers.
    pub(super) partial: HashSet<(PublicKey, ChannelRef)>,
    /// What can be read of transfers whose channels cannot.
    pub(super) remains: Vec<Remains>,
    /// The router's own rows.
    pub(super) routing: Vec<(RowKey, Vec<u8>)>,
}

/// What can be read of the transfers of a channel that cannot be read.
#[derive(Debug)]
pub(super) struct Remains {
    peer: PublicKey,
    reference: ChannelRef,
    transfers: Vec<TransferRow>,
}

impl Remains {
    /// As a router is told of it.
    pub(super) fn restored(&self, at: impl Fn(ChannelRef) -> At) -> RestoredChannel {
        let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
        for row in &self.transfers {
            match row.clone() {
                TransferRow::Incoming(row) => incoming.push(row),
                TransferRow::Outgoing(row) => outgoing.push(row),
            }
        }
        RestoredChannel { at: at(self.reference), peer: self.peer, incoming, outgoing, is_whole: false }
    }
}

/// Where a store keeps whose it is.
const OWNER: &[u8] = b"owner";

/// Reads the store. A new one notes at once whose it is and the next block: what happens from here on concerns its channels, whenever
/// they are looked at.
pub(super) async fn load(config: &NodeConfig, head: BlockRef) -> Result<Loaded, StartError> {
    let next = head.number.saturating_add(1);
    let mut loaded = Loaded {
        channels: HashMap::new(),
        addresses: HashMap::new(),
        next,
        seen: Some(head.into()),
        damaged: Vec::new(),
        partial: HashSet::new(),
        remains: Vec::new(),
        routing: Vec::new(),
    };
    let Some(store) = config.store() else {
        config.arbiter.chain().confirm_at(head).await?;
        return Ok(loaded);
    };
    let node = Owner { identity: config.identity.public(), domain: config.arbiter.info().domain };
    let owner = store.get(Table::Meta, OWNER)?.and_then(|bytes| decode_exact::<Owner>(&bytes).ok());
    if let Some(owner) = owner.filter(|owner| *owner != node) {
        return Err(StartError::ForeignStore { store: owner, node, addresses: config.arbiter.info().addresses });
    }
    let restored = channels(store, &[])?;
    // Where there are others that can be read, a version may be damage too, and they are to be defended.
    let is_others = |it: &DamagedChannel| matches!(it.cause, SavedError::Newer(_) | SavedError::Older(_));
    if let Some(other) = restored.damaged.iter().find(|it| is_others(it)).filter(|_| restored.channels.is_empty()) {
        return Err(other.cause.clone().into());
    }
    loaded.damaged = restored.damaged;
    loaded.routing = store.load_all(Table::Routing)?.into_iter().map(|(key, row)| (RowKey(key), row)).collect();
    loaded.remains = restored.remains;
    let lack_rows = restored.readable.iter().filter(|it| !it.has_all_transfers);
    loaded.partial = lack_rows.map(|it| (it.channel.peer(), it.channel.reference())).collect();
    let readable = restored.readable.into_iter().map(|it| it.channel);
    for channel in restored.channels.into_iter().chain(readable) {
        if let Some(terms) = channel.terms().filter(|it| it.lock_period < config.pace.least_lock(it.max_forced)) {
            let (has, needs) = (terms.lock_period, config.pace.least_lock(terms.max_forced));
            tracing::warn!(peer = %channel.peer(), has, needs, "this channel's lock period leaves no time to answer (R6.9d): close it");
        }
        loaded.channels.entry(channel.peer()).or_default().push(channel);
    }
    for peer in loaded.channels.keys() {
        let address = store.get(Table::Meta, &rows::address_key(peer))?;
        let address = address.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        loaded.addresses.extend(address.map(|address| (*peer, address)));
    }
    let recorded = store.get(Table::Meta, NEXT_BLOCK)?.and_then(|bytes| decode_exact(&bytes).ok());
    if recorded.is_none() {
        // What happened before is passed over: a head that one endpoint made up would hide what comes.
        config.arbiter.chain().confirm_at(head).await?;
    }
    loaded.next = recorded.unwrap_or(loaded.next);
    let seen = store.get(Table::Meta, Seen::KEY)?.and_then(|bytes| decode_exact::<Seen>(&bytes).ok());
    if let Some(seen) = seen {
        check_history(config, seen, &loaded).await?;
        loaded.seen = Some(seen);
    }
    if owner.is_none() || recorded.is_none() || seen.is_none() {
        let batch = noted(loaded.next, loaded.seen);
        store.commit(batch.put(Table::Meta, OWNER, node.encode())).await?;
    }
    Ok(loaded)
}

/// Refuses a chain that is not the one which the store has seen: its channels would be ghosts there, and payments in them worth nothing.
async fn check_history(config: &NodeConfig, seen: Seen, loaded: &Loaded) -> Result<(), StartError> {
    let verdict = verify(&**config.arbiter.chain(), seen).await.map_err(|error| match error {
        ChainError::WrongChain { .. } | ChainError::BehindSeen { .. } => StartError::OtherHistory(error),
        other => other.into(),
    })?;
    if verdict == Verdict::Same {
        return Ok(());
    }
    let on_chain = loaded.channels.values().flatten().filter(|channel| channel.balances().is_some());
    let ids: Vec<_> = on_chain.filter_map(Channel::channel_id).collect();
    for id in &ids {
        // It takes both keys and an unused nonce to have one: no chain that was started anew does.
        if config.arbiter.channel(*id).await.is_ok_and(|record| record.is_some()) {
            return Ok(());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    Err(StartError::UnknownHistory { block: seen.number, expected: seen.hash, channels: ids.len() })
}

/// What a store has of channels.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Those that are whole.
    pub(super) channels: Vec<Channel>,
    /// Those that are not.
    pub(super) damaged: Vec<DamagedChannel>,
    /// What can be read of those: enough to defend them, too little to go on.
    pub(super) readable: Vec<Evidence>,
    /// What there is of the transfers of those of which nothing else can be read.
    pub(super) remains: Vec<Remains>,
}

/// Every channel whose key begins like this, with its contracts and payments. One that is damaged hides no other.
///
/// # Errors
/// [`StartError::Store`].
pub(super) fn channels(store: &StoreHandle, prefix: &[u8]) -> Result<Restored, StartError> {
    let mut contracts = store.load(Table::Contracts, prefix)?.into_iter().peekable();
    let mut payments = store.load(Table::Payments, prefix)?.into_iter().peekable();
    let mut transfers = store.load(Table::Transfers, prefix)?.into_iter().peekable();
    let mut restored = Restored::default();
    for (key, bytes) in store.load(Table::Channels, prefix)? {
        let (contracts, payments) = (rows_of(&key, &mut contracts), rows_of(&key, &mut payments));
        let beside = Beside { payments, transfers: rows_of(&key, &mut transfers) };
        let cause = match read(&key, &bytes, &contracts, &beside) {
            Ok(channel) => {
                restored.channels.push(channel);
                continue;
            }
            Err(cause) => cause,
        };
        // Each row counts by itself.
        let row = |(_, bytes): &Entry| decode_exact::<TransferRow>(bytes).ok();
        let transfers: Vec<_> = beside.transfers.iter().filter_map(row).collect();
        let readable = evidence_of(&key, &bytes, &contracts, transfers.clone()).ok();
        let evidence = readable.as_ref().and_then(|it| it.channel.evidence());
        let Some((peer, reference)) = rows::of_key(&key) else {
            tracing::error!(?key, %cause, "a row of the store belongs to no channel, and cannot be read");
            continue;
        };
        tracing::error!(
            %peer, ?reference, %cause, has_evidence = evidence.is_some(),
            "a channel of the store is damaged, and stays there as it is: put the newest copy of the store back, or see that the channel ends, and forget it"
        );
        restored.damaged.push(DamagedChannel { peer, reference, cause, evidence });
        if readable.is_none() {
            restored.remains.push(Remains { peer, reference, transfers });
        }
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
    let (payments, transfers) = (store.load(Table::Payments, key)?, store.load(Table::Transfers, key)?);
    for (table, rows) in [(Table::Contracts, contracts), (Table::Payments, payments), (Table::Transfers, transfers)] {
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

/// What lies beside a channel and is not needed to put its latest state on chain.
struct Beside {
    payments: Vec<Entry>,
    transfers: Vec<Entry>,
}

/// A channel with its rows.
fn read(key: &[u8], bytes: &[u8], contracts: &[Entry], beside: &Beside) -> Result<Channel, SavedError> {
    let Beside { payments, transfers } = beside;
    Channel::load(bytes, contracts_of(key, contracts)?, decoded(payments)?, decoded(transfers)?)
}

/// What of a channel can be put on chain, and these of its transfers.
fn evidence_of(
    key: &[u8],
    bytes: &[u8],
    contracts: &[Entry],
    transfers: Vec<TransferRow>,
) -> Result<Evidence, SavedError> {
    Channel::load_evidence(bytes, contracts_of(key, contracts)?, transfers)
}

fn contracts_of(key: &[u8], contracts: &[Entry]) -> Result<Vec<(ContractId, Contract)>, SavedError> {
    contracts.iter().map(|(row, bytes)| rows::decode_row(key, row, bytes)).collect()
}

fn decoded<T: Decode>(rows: &[Entry]) -> Result<Vec<T>, SavedError> {
    rows.iter().map(|(_, bytes)| decode_exact(bytes).map_err(SavedError::Damaged)).collect()
}
