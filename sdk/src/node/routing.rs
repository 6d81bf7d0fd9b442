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

use super::{config::NodeConfig, inbox::PeerInput, peers::Peers, registry::LockRegistry, restore::Loaded};
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
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::broadcast,
    time::{MissedTickBehavior, interval},
};

/// How many notices wait for a subscriber before it misses the oldest.
const NOTICES: usize = 4_096;
/// How often the router looks at the clock.
const TICK: Duration = Duration::from_secs(1);

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
    notices: broadcast::Sender<Notice>,
}

/// What is to be done once the rows are durable.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) commands: Vec<(ChannelRef, Command)>,
    pub(super) notices: Vec<Notice>,
    registrations: Vec<(HashLock, Preimage)>,
    announcements: Vec<Vec<u8>>,
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
        let known = ChainPolicy { margins: registry.margins(), ..policy.chain };
        let _given = policy.chains.entry(chain).or_insert(known);
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

    fn owners(&self) -> MutexGuard<'_, HashMap<ChannelRef, PublicKey>> {
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
            match &input {
                Input::ChannelUp { at, peer, .. } => {
                    let _known = self.owners().insert(at.channel, *peer);
                }
                Input::ChannelClosed(at) => {
                    let _known = self.owners().remove(&at.channel);
                }
                _ => {}
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
    fn sort(&self, outputs: Vec<Output>) -> Outgoing {
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

    /// Has done what the router wants, now that its rows are durable.
    pub(super) fn carry_out(&self, outgoing: Outgoing, peers: &Arc<Peers>) {
        let Outgoing { commands, notices, registrations, announcements } = outgoing;
        for (channel, command) in commands {
            self.command(channel, command, peers);
        }
        for notice in notices {
            let _nobody = self.notices.send(notice);
        }
        let registry = &peers.registry;
        for (lock, preimage) in registrations {
            let until = registry.best().saturating_add(registry.margins().forward());
            if let Err(error) = registry.register(lock, preimage, until, peers.config.identity.public()) {
                tracing::error!(%error, "the router wanted a pre-image registered that is none");
            }
        }
        for bytes in announcements {
            for inbox in peers.all() {
                // Who is busy hears of it with the next one.
                let _busy = inbox.try_send(PeerInput::Announce(bytes.clone()));
            }
        }
    }

    /// Sends a command to the task of the channel's peer, or has it refused where there is none.
    fn command(&self, channel: ChannelRef, command: Command, peers: &Arc<Peers>) {
        let owner = self.owners().get(&channel).copied();
        let Some(inbox) = owner.and_then(|owner| peers.inbox(&owner)) else {
            return self.refuse(channel, command, peers);
        };
        match inbox.try_send(PeerInput::Command(channel, command)) {
            Ok(()) => {}
            Err(error) => {
                let PeerInput::Command(channel, command) = error.into_inner() else { return };
                let peers = Arc::clone(peers);
                let _task = tokio::spawn(async move {
                    if let Err(error) = inbox.send(PeerInput::Command(channel, command)).await
                        && let PeerInput::Command(channel, command) = error.0
                    {
                        peers.routing.refuse(channel, command, &peers);
                    }
                });
            }
        }
    }

    /// Nobody is there to take a command: nothing of it was signed.
    fn refuse(&self, channel: ChannelRef, command: Command, peers: &Arc<Peers>) {
        let (at, why) = (self.at(channel), network::CommandRefusal::NotOpen);
        let outgoing = self.handle([Input::Refused { at, command, why }]);
        let peers = Arc::clone(peers);
        let _task = tokio::spawn(async move { peers.route(outgoing).await });
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> network::Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    network::Millis::try_from(since.as_millis()).unwrap_or(network::Millis::MAX)
}

impl Peers {
    /// Keeps what the router has to keep, then has done what it wants. Whether it was kept.
    pub(super) async fn route(self: &Arc<Self>, outgoing: Outgoing) -> bool {
        if outgoing.is_empty() && !self.routing.has_rows() {
            return true;
        }
        if self.config.store().is_none() {
            self.routing.drop_rows();
        }
        if let Some(store) = self.config.store()
            && let Err(error) = self.routing.commit(store, Batch::new()).await
        {
            tracing::error!(%error, "the router's rows are not kept: nothing of what it wants is done");
            return false;
        }
        self.routing.carry_out(outgoing, self);
        true
    }
}

/// Tells the router of heads and of the time, and every peer's task of what became known of locks, as long as the node runs.
pub(super) async fn run(peers: Weak<Peers>) {
    let Some(mut changes) = peers.upgrade().map(|peers| peers.registry.changes()) else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let is_tick = tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => false,
                Err(_over) => return,
            },
            _ = ticks.tick() => true,
        };
        let Some(peers) = peers.upgrade() else { return };
        let registry = &peers.registry;
        let (chain, best, finalised) = (peers.routing.chain(), registry.best(), registry.finalised());
        let tick = is_tick.then(|| Input::Tick(now()));
        let inputs = std::iter::once(Input::Head { chain, best, finalised }).chain(tick);
        let outgoing = peers.routing.handle(inputs);
        let _kept = peers.route(outgoing).await;
        if !is_tick {
            for inbox in peers.all() {
                // Who is busy looks again with the next block.
                let _busy = inbox.try_send(PeerInput::Locks);
            }
        }
        peers.keep_costs();
    }
}

impl Peers {
    /// Has the router know what a registration costs, once the chain has told.
    fn keep_costs(self: &Arc<Self>) {
        let Some(costs) = self.registry.costs() else { return };
        let chain = self.routing.chain();
        let mut router = self.routing.router();
        let had = *router.policy().chain(&chain);
        // What the account has beyond what the channels themselves need.
        let free = self.fees(0).map(|fees| fees.have.saturating_add(self.registry.reserve()).saturating_sub(fees.need));
        let has = ChainPolicy {
            registration_cost: costs.alone(),
            registrations_per_block: costs.per_block.unwrap_or(u32::MAX),
            reserve: free.unwrap_or(had.reserve),
            ..had
        };
        // In steps: peers need not hear of each coin.
        let is_near = has.reserve.abs_diff(had.reserve) <= had.reserve / 8;
        if (has.registration_cost, has.registrations_per_block) == (had.registration_cost, had.registrations_per_block)
            && is_near
        {
            return;
        }
        let mut policy = router.policy().clone();
        let _former = policy.chains.insert(chain, has);
        let outputs = router.configure(policy);
        let outgoing = self.routing.sort(outputs);
        drop(router);
        let peers = Arc::clone(self);
        let _task = tokio::spawn(async move { peers.route(outgoing).await });
    }
}
