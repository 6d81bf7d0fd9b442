//! The router of a node: what crosses its channels, and the local payments that do (R8.4).
//!
//! ```text
//!   a peer's task: gather --> steps, their transfers --> Routing::handle --> commands for its own channels: applied, same commit
//!                                                            |  |  '-------> rows: with the next commit of whoever comes first
//!                                                            |  '--> commands for other peers' channels: to their tasks, after the commit (I1)
//!   the node's own task: heads, ticks, what its user asks ---'
//! ```
//!
//! Rows are taken and queued under one lock, in the order in which the router made them, so that a later one is never overwritten by an earlier one.

use super::{config::NodeConfig, registry::LockRegistry, restore::Loaded};
use crate::store::{Batch, StoreError, StoreHandle, Table};
use channel::{Channel, ChannelRef};
use network::{At, ChainPolicy, Command, Input, Notice, Output, Restored, RestoredChannel, Router, RowKey, SealKey};
use protocol::{
    PublicKey,
    contracts::conditional::{HashLock, Preimage},
    signing::Domain,
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

/// How many notices wait for a subscriber before it misses the oldest.
const NOTICES: usize = 4_096;

/// The router, and what surrounds it.
pub(super) struct Routing {
    chain: Domain,
    router: Mutex<Router>,
    /// The router's rows that no commit has taken yet.
    rows: Mutex<BTreeMap<RowKey, Option<Vec<u8>>>>,
    /// Held while rows are taken and queued.
    order: tokio::sync::Mutex<()>,
    /// Whose each channel is.
    owners: Mutex<HashMap<ChannelRef, PublicKey>>,
    pub(super) notices: broadcast::Sender<Notice>,
}

/// What is to be done once the rows are durable.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) commands: Vec<(ChannelRef, Command)>,
    pub(super) notices: Vec<Notice>,
    pub(super) registrations: Vec<(HashLock, Preimage)>,
    pub(super) announcements: Vec<Vec<u8>>,
}

impl Outgoing {
    pub(super) const fn is_empty(&self) -> bool {
        self.commands.is_empty()
            && self.notices.is_empty()
            && self.registrations.is_empty()
            && self.announcements.is_empty()
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.notices.extend(other.notices);
        self.registrations.extend(other.registrations);
        self.announcements.extend(other.announcements);
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Routing {
    /// A router that goes on from what the store has. Its rows are to be committed before what it wants done is.
    pub(super) fn new(config: &NodeConfig, registry: &LockRegistry, loaded: &Loaded) -> (Self, Outgoing) {
        let chain = config.arbiter.info().domain;
        let mut policy = config.routing.clone();
        let given = *policy.chain(&chain);
        let _replaced = policy.chains.insert(chain, ChainPolicy { margins: registry.margins(), ..given });
        let identity = &config.identity;
        let seal = SealKey::from_secret(identity.noise_secret(), identity.public());
        let routing = Self {
            chain,
            router: Mutex::new(Router::new(identity.signing().clone(), seal, policy)),
            rows: Mutex::default(),
            order: tokio::sync::Mutex::default(),
            owners: Mutex::default(),
            notices: broadcast::Sender::new(NOTICES),
        };
        let channels: Vec<_> = loaded.channels.values().flatten().collect();
        routing.owners().extend(channels.iter().map(|channel| (channel.reference(), channel.peer())));
        let restored = |channel: &&Channel| RestoredChannel {
            at: routing.at(channel.reference()),
            peer: channel.peer(),
            incoming: channel.incoming_transfers().values().cloned().collect(),
            outgoing: channel.outgoing_transfers().values().cloned().collect(),
        };
        let channels = channels.iter().map(restored).collect();
        let restored = Input::Restored(Restored { channels, rows: loaded.routing.clone() });
        let outgoing = routing.handle([Input::Tick(now()), restored]);
        (routing, outgoing)
    }

    /// Takes a name for a channel of this peer: the router knows channels by their names alone, and peers choose them. Whether it is free, or this peer's.
    pub(super) fn take_name(&self, channel: ChannelRef, peer: PublicKey) -> bool {
        *self.owners().entry(channel).or_insert(peer) == peer
    }

    /// A channel, as the router names it.
    pub(super) const fn at(&self, channel: ChannelRef) -> At {
        At { chain: self.chain, channel }
    }

    pub(super) const fn chain(&self) -> Domain {
        self.chain
    }

    pub(super) fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn owners(&self) -> MutexGuard<'_, HashMap<ChannelRef, PublicKey>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Tells the router these things, in order. Its rows wait for the next commit; the rest is the caller's to have done after that.
    pub(super) fn handle(&self, inputs: impl IntoIterator<Item = Input>) -> Outgoing {
        let mut router = self.router();
        let mut outgoing = Outgoing::default();
        for input in inputs {
            if let Input::ChannelClosed(at) = &input {
                let _known = self.owners().remove(&at.channel);
            }
            let outputs = router.handle(input);
            outgoing.extend(self.sort(outputs));
        }
        outgoing
    }

    /// Has the router do something by itself, and sorts what it wants done.
    ///
    /// # Errors
    /// Those of what it does.
    pub(super) fn with<T, E>(
        &self,
        act: impl FnOnce(&mut Router) -> Result<(T, Vec<Output>), E>,
    ) -> Result<(T, Outgoing), E> {
        let mut router = self.router();
        let (value, outputs) = act(&mut router)?;
        Ok((value, self.sort(outputs)))
    }

    /// Called while the router is locked: rows are in the order in which it makes them.
    pub(super) fn sort(&self, outputs: Vec<Output>) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for output in outputs {
            match output {
                Output::Command { at, command } => outgoing.commands.push((at.channel, command)),
                Output::Row { key, value } => {
                    let _earlier = rows.insert(key, value);
                }
                Output::Notify(notice) => outgoing.notices.push(notice),
                Output::Register { lock, preimage, .. } => outgoing.registrations.push((lock, preimage)),
                Output::Announce { bytes, .. } => outgoing.announcements.push(bytes),
            }
        }
        outgoing
    }

    /// Whether there are rows that no commit has taken.
    pub(super) fn has_rows(&self) -> bool {
        !self.rows.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Where nothing is kept, rows are not either.
    pub(super) fn drop_rows(&self) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Commits a batch with all rows of the router that wait.
    ///
    /// # Errors
    /// The store's own.
    pub(super) async fn commit(&self, store: &StoreHandle, batch: Batch) -> Result<(), StoreError> {
        let order = self.order.lock().await;
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        let batch = rows.into_iter().fold(batch, |batch, (RowKey(key), value)| match value {
            Some(value) => batch.put(Table::Routing, key, value),
            None => batch.delete(Table::Routing, key),
        });
        let queued = store.queue(batch).await?;
        drop(order);
        queued.outcome().await
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> network::Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    network::Millis::try_from(since.as_millis()).unwrap_or(network::Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;
    use network::{InvoiceRequest, Opening, Policy};
    use protocol::{AccountId, Hash, crypto::SigningKey};

    #[tokio::test]
    async fn what_the_router_has_to_keep_is_kept_with_what_it_follows_from() {
        let chain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
        let routing = Routing {
            chain,
            router: Mutex::new(Router::new(SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]), Policy::default())),
            rows: Mutex::default(),
            order: tokio::sync::Mutex::default(),
            owners: Mutex::default(),
            notices: broadcast::Sender::new(4),
        };
        let directory = tempfile::tempdir().unwrap();
        let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
        let request = InvoiceRequest {
            chain, amount: None, opening: Opening::AtOnce(Preimage([1; 32])), secret: [2; 32], least_expiry: 0,
            description: String::new(), expires_at: u64::MAX, hubs: Vec::new(),
        };
        // One peer's task has its router say something, and has not committed what that follows from.
        let _one = routing.with(|router| router.add_invoice(request).map(|(_, text, outputs)| (text, outputs))).unwrap();
        // Another one commits.
        routing.commit(&store, Batch::new()).await.unwrap();
        assert_eq!(store.load_all(Table::Routing).unwrap(), []);
    }
}
