//! A node: one identity, one chain account, one arbiter, many peers, many channels.
//!
//! ```text
//!             Node ---- Listener (task): handshakes, each in a task of its own; places for strangers
//!              |
//!              |------- watcher (task): finalised blocks to every peer
//!              |------- registry (task): newest blocks, what was shown of locks, registrations
//!              |------- defence (task): what defends channels whose peer's task does not
//!              |
//!              '------- Peer (a task each): connection, channels, commits, effects
//! ```

mod accept;
mod answer;
mod aside;
mod book;
mod budget;
mod carrying;
mod causes;
mod config;
mod defence;
mod defended;
mod disputes;
mod ended;
mod error;
mod events;
mod following;
mod group;
mod handle;
mod inbox;
mod limits;
mod link;
mod outgoing;
mod packet;
mod paying_out;
mod payments;
mod peer;
mod peers;
mod places;
mod processors;
mod purse;
mod quarters;
mod random;
mod receipt;
mod redial;
mod registry;
mod restore;
mod routing;
mod rows;
mod running;
mod slot;
mod submitted;
mod swaps;
mod transit;
mod watcher;
mod withdrawals;

pub use causes::{Cause, CauseCounts};
pub use config::{FeeReserve, KEEP_ENDED, LOCK_PERIOD, NodeConfig, OpenChannel, Storage, Told};
pub use defended::{DefenceCall, DefenceCause, DefendedPeer};
pub use ended::EndedChannel;
pub use error::{NodeError, Owner, StartError};
pub use events::{Ack, EventStream, EventsError, NodeEvent, Notification};
pub use group::{JoinError, RouterGroup};
pub use handle::ChannelHandle;
pub use limits::{MAX_CHANNELS_PER_PEER, MAX_OPENINGS_PER_PEER, MAX_PEERS, MAX_UNKNOWN, NodeLimits};
pub use packet::{MAX_PIECE, Packet};
pub use payments::{NewInvoice, RoutedPaymentError, RoutingNotices, invoice_lock, payment_id};
pub use processors::{Processors, StayAwakeError};
pub use purse::Fees;
pub use receipt::{ChangesReceipt, ContractCallReceipt, CreationReceipt, PaymentReceipt, PaymentsReceipt};
pub use redial::Backoff;
pub use registry::{Caused, Interest, LockRegistry, RegistryReport, Watching, WrongPreimage};
pub use restore::DamagedChannel;
pub use swaps::{NewSwap, OpenBothError, SwapFailed, open_on_both};

use crate::{
    apps::Registry,
    chain::{Arbiter, Health, arbiter::FinalisedCall},
    keys::PeerAddress,
    store::StoreError,
    transport::Listener,
};
use channel::ChannelRef;
use defence::Defence;
use defended::Report;
use events::Events;
use following::Following;
use inbox::{Connected, Inbox, Opening, PeerInput};
use network::RouterInput;
use peers::Peers;
use places::{PerOrigin, Strangers};
use protocol::{Amount, PublicKey, call::Call};
use purse::Purse;
use quarters::{Outside, Quarters};
use random::random;
use restore::{Loaded, load};
use routing::Routing;
use running::Running;
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32},
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};
use watcher::{Notes, Sight, Watcher};
use withdrawals::Withdrawals;

/// A running node. Dropping the last clone stops it; what it has agreed stays in its store.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<NodeConfig>,
    peers: Arc<Peers>,
    listening: Option<SocketAddr>,
    /// Whoever stops the node waits for them, one caller after the other.
    tasks: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    /// A thread of its own for whatever follows and defends: no peer takes its time.
    guard: Option<Runtime>,
    /// Another one for strangers: what they want takes the time that is left.
    _outside: Outside,
}

/// The thread of whatever follows and defends.
fn guard() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("guard").enable_all().build()
}

/// Starts whatever runs as long as the node does.
fn run(
    peers: &Arc<Peers>,
    guard: &Runtime,
    (watcher, defence): (Watcher, Defence),
    (listener, of_strangers): (Option<Listener>, mpsc::Receiver<RouterInput>),
) -> Vec<JoinHandle<()>> {
    let purse = Arc::clone(&peers.purse);
    let urgency = move |until| purse.urgency(Some(until));
    let (arbiter, signer) = (Arc::clone(&peers.config.arbiter), Arc::clone(&peers.config.signer));
    let registry = peers.registry.clone().run(arbiter, signer, urgency);
    let mut tasks = vec![guard.spawn(watcher.run()), guard.spawn(defence.run()), guard.spawn(registry)];
    tasks.push(tokio::spawn(carrying::run(Arc::downgrade(peers), of_strangers)));
    if let Some(listener) = listener {
        tasks.push(peers.quarters.of(true).spawn(accept::listen(listener, Arc::downgrade(peers))));
    }
    tasks
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.peers.end();
        for task in self.tasks.get_mut() {
            task.abort();
        }
        if let Some(guard) = self.guard.take() {
            guard.shutdown_background();
        }
        for inbox in self.peers.all() {
            // A full inbox belongs to a task that is busy: it ends with the last handle.
            let _full = inbox.try_send(PeerInput::Stop);
        }
    }
}

impl Node {
    /// Starts a node: loads its channels, listens, follows the chain from where it left off.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        Self::start_with_events(config).await.map(|(node, _events)| node)
    }

    /// As [`start`](Self::start), with a subscription that misses nothing: also what is told again of before.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with_events(config: NodeConfig) -> Result<(Self, EventStream), StartError> {
        let config = Arc::new(config);
        let (pace, max) = (config.pace, config.arbiter.info().limits.lock_period_max);
        if pace.least_lock(1) > max {
            return Err(StartError::NoTimeToAnswer { pace, max });
        }
        let head = config.arbiter.finalised_head().await?;
        let loaded = load(&config, head).await?;
        if let Some(store) = config.store() {
            config.apps.keep_in(store).await?;
        }
        let listener = match &config.listen {
            Some(address) => Some(Listener::bind(address, config.timeouts).await?),
            None => None,
        };
        let listening = listener.as_ref().map(Listener::local_addr);
        let limits = limits::descriptors().map_or(config.limits, |descriptors| config.limits.within(descriptors));
        let (quarters, outside) = Quarters::open().map_err(StartError::NoThread)?;
        let (signals, for_defence) = mpsc::unbounded_channel();
        let (errands, of_strangers) = mpsc::channel(carrying::MAX_ERRANDS);
        let registry = LockRegistry::new(pace, head.number);
        let (routing, restored) = Routing::new(&config, &registry, &loaded).await?;
        let Loaded { channels, mut addresses, next, seen, damaged, .. } = loaded;
        let peers = Arc::new(Peers {
            config: Arc::clone(&config),
            limits,
            routing: Arc::new(routing),
            errands,
            withdrawals: Withdrawals::load(config.store())?,
            tally: Arc::default(),
            dialler: Arc::default(),
            inboxes: Mutex::default(),
            strangers: Mutex::new(Strangers::new(&limits)),
            openings: Arc::new(Semaphore::new(limits.strangers_openings.min(Semaphore::MAX_PERMITS))),
            openings_of: PerOrigin::new(limits.openings_per_address),
            events: Events::new(),
            head: AtomicU32::new(next.saturating_sub(1)),
            has_looked: AtomicBool::new(next > head.number),
            sight: Sight::new(next.saturating_sub(1), head.number),
            following: Following::default(),
            notes: Notes::default(),
            defence: signals.clone(),
            defended_peers: Report::default(),
            purse: Arc::new(Purse::new(&config, registry.clone())),
            registry,
            channels: Mutex::default(),
            over: AtomicBool::new(false),
            failure: OnceLock::new(),
            damaged,
            defending: Arc::default(),
            launch: peer::launch,
            quarters,
            running: Running::default(),
        });
        if let Err(error) = peers.purse.look().await {
            tracing::warn!(%error, "the account could not be looked at: no channel is accepted before");
        }
        let events = peers.events.subscribe();
        peers.tell_of_damage();
        peers.enter_group();
        for (identity, channels) in channels {
            let _running = peers.start(identity, channels, addresses.remove(&identity), false);
        }
        // What follows from what the store has, before anybody is connected.
        let turn = peers.routing.turn().await;
        let _kept = peers.keep(turn, restored).await;
        let watched = (Arc::clone(&config.arbiter), config.store().cloned());
        let watcher = Watcher::new(watched, Arc::downgrade(&peers), (next, seen), config.keep_ended, signals.clone());
        let defence = Defence::new(&peers, (signals, for_defence));
        let guard = guard().map_err(StartError::NoThread)?;
        let tasks = run(&peers, &guard, (watcher, defence), (listener, of_strangers));
        let tasks = tokio::sync::Mutex::new(tasks);
        let inner = Inner { config, peers, listening, tasks, guard: Some(guard), _outside: outside };
        Ok((Self { inner: Arc::new(inner) }, events))
    }

    /// Who this node is to its peers.
    #[must_use]
    pub fn identity(&self) -> PublicKey {
        self.inner.config.identity.public()
    }

    /// Where it listens, if it does.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.listening
    }

    /// What peers on this machine dial: `<identity>@host:port`, if it listens.
    #[must_use]
    pub fn address(&self) -> Option<PeerAddress> {
        let at = self.inner.listening?;
        PeerAddress::new(self.identity(), &at.ip().to_string(), at.port()).ok()
    }

    /// The apps that contracts in its channels run.
    #[must_use]
    pub fn apps(&self) -> &Arc<Registry> {
        &self.inner.config.apps
    }

    /// The arbiter it works with.
    #[must_use]
    pub fn arbiter(&self) -> &Arc<Arbiter> {
        &self.inner.config.arbiter
    }

    /// Whether the chain is seen as it is now, and followed. While it is not, no channel is opened, by this node or by a peer (R6.9a).
    #[must_use]
    pub fn chain_health(&self) -> Health {
        self.inner.peers.health()
    }

    /// The chain's heads, and what was shown of locks, as transfers across channels need them.
    #[must_use]
    pub fn registry(&self) -> &LockRegistry {
        &self.inner.peers.registry
    }

    /// The peers whose channels are defended without their own tasks now, and why (R6.9e): in health, none.
    #[must_use]
    pub fn defended_peers(&self) -> Vec<DefendedPeer> {
        self.inner.peers.defended_peers.defended_peers()
    }

    /// What is kept of channels that have ended, for [`NodeConfig::keep_ended`] blocks: should an end turn out not to have been, what is here still
    /// closes the channel. What is damaged of it is left out, and logged.
    ///
    /// # Errors
    /// [`StartError::Store`].
    pub fn ended_channels(&self) -> Result<Vec<EndedChannel>, StartError> {
        self.inner.config.store().map_or_else(|| Ok(Vec::new()), ended::load)
    }

    /// The channels that the store had at the start and that cannot be read. What is stored of them stays as it is; each is told at the start
    /// ([`Notice::Damaged`](channel::Notice::Damaged)), messages about those that cannot be read at all are refused as busy, and no channel is opened
    /// with its peer, by either side. All others go on.
    #[must_use]
    pub fn damaged_channels(&self) -> &[DamagedChannel] {
        &self.inner.peers.damaged
    }

    /// Forgets a damaged channel from the next start on: once it has ended, or where nothing of it is worth anything. What is stored of it is kept where
    /// ended channels are, for [`NodeConfig::keep_ended`] blocks. Whether there was such a channel.
    ///
    /// # Errors
    /// The store's own.
    pub async fn forget_damaged_channel(&self, peer: PublicKey, reference: ChannelRef) -> Result<bool, StoreError> {
        let is_damaged = self.damaged_channels().iter().any(|it| (it.peer, it.reference) == (peer, reference));
        let Some(store) = self.inner.config.store().filter(|_| is_damaged) else { return Ok(false) };
        let key = rows::store_key(&peer, reference);
        match restore::forget(store, self.inner.peers.head(), &key)? {
            Some(batch) => store.commit(batch).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Why peers were slowed, refused or cut off since the node started, and how often (R6.9c).
    #[must_use]
    pub fn counters(&self) -> CauseCounts {
        self.inner.peers.tally.read()
    }

    /// Connects to a peer. Where both dial at once, one connection stays.
    ///
    /// # Errors
    /// [`NodeError::Dial`] says whether nobody was there, or the wrong one.
    pub async fn connect(&self, to: &PeerAddress) -> Result<PublicKey, NodeError> {
        let (config, dialler) = (&self.inner.config, &self.inner.peers.dialler);
        let session = dialler.dial(&config.identity, to, config.timeouts).await?;
        let peer = session.peer();
        let (told, done) = oneshot::channel();
        self.inner.peers.connected(Connected { session, address: Some(to.clone()), told: vec![told] }).await?;
        done.await.map_err(|_stopped| NodeError::Stopped)?;
        Ok(peer)
    }

    /// Opens a channel with a connected peer, and waits until both have seen it on chain. Both shares come out of the vaults. Many openings may
    /// be under way at once, with one peer too.
    ///
    /// # Errors
    /// [`NodeError::ChainUnhealthy`], [`ChainError::AmountTooLarge`](crate::chain::ChainError::AmountTooLarge) where the chain's balances cannot hold both
    /// shares together, [`NodeError::VaultTooLow`] for this node's vault, [`NodeError::TooMany`] beyond
    /// [`MAX_OPENINGS_PER_PEER`], [`NodeError::Call`] where the arbiter refuses, [`NodeError::Ended`] where the peer does,
    /// [`NodeError::NotConnected`], [`NodeError::Misuse`]. [`Rejection::NonceOutOfBounds`](protocol::Rejection::NonceOutOfBounds) says that
    /// another opening of the two was on chain first: ask again.
    pub async fn open_channel(&self, peer: PublicKey, open: OpenChannel) -> Result<ChannelHandle, NodeError> {
        self.inner.peers.check()?;
        let health = self.chain_health();
        if !health.is_good() {
            return Err(NodeError::ChainUnhealthy(health));
        }
        for amount in [open.our_share.saturating_add(open.peer_share), open.push, open.reserve, open.penalty] {
            self.inner.config.arbiter.info().check_amount(amount)?;
        }
        let channels = self.inner.peers.channels().len();
        let paid_for = self.inner.peers.purse.check_opening(channels).await?;
        let have = self.vault_balance().await?;
        if have < open.our_share {
            return Err(NodeError::VaultTooLow { have, need: open.our_share });
        }
        let inbox = self.inner.peers.inbox(&peer).ok_or_else(|| self.inner.peers.not_connected(&peer))?;
        let (reply, answer) = oneshot::channel();
        let reference = ChannelRef(random()?);
        let input = PeerInput::Open(open, reference, Opening { reply, paid_for });
        inbox.send(input).await.map_err(|_closed| self.inner.peers.not_connected(&peer))?;
        let reference = answer.await.map_err(|_dropped| self.inner.peers.gone(&peer))??;
        Ok(self.handle(peer, reference, inbox))
    }

    /// All channels with `peer`.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn channels(&self, peer: PublicKey) -> Result<Vec<ChannelHandle>, NodeError> {
        let Some(inbox) = self.inner.peers.inbox(&peer) else { return Ok(Vec::new()) };
        let (reply, answer) = oneshot::channel();
        if inbox.send(PeerInput::List(reply)).await.is_err() {
            return Ok(Vec::new());
        }
        let references = answer.await.map_err(|_dropped| self.inner.peers.gone(&peer))?;
        Ok(references.into_iter().map(|reference| self.handle(peer, reference, inbox.clone())).collect())
    }

    /// Everybody with whom it has channels or a connection.
    #[must_use]
    pub fn peers(&self) -> Vec<PublicKey> {
        self.inner.peers.inboxes().keys().copied().collect()
    }

    /// The channel that an event is about; none where its last event has been acknowledged. A channel that is unknown by now says so itself.
    #[must_use]
    pub fn channel_of(&self, NodeEvent { peer, reference, .. }: &NodeEvent) -> Option<ChannelHandle> {
        Some(self.handle(*peer, *reference, self.inner.peers.inbox(peer)?))
    }

    /// Acknowledges an event and all before it in its channel ([`Ack::Manual`]): none of them is delivered again. A notice needs no acknowledgement.
    ///
    /// After [`EventsError::Missed`] acknowledge nothing: what was missed would be acknowledged with it. A restart delivers it again.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn ack(&self, event: &NodeEvent) -> Result<(), NodeError> {
        let Some((number, channel)) = event.number.zip(self.channel_of(event)) else { return Ok(()) };
        match channel.ack_events(number).await {
            Err(NodeError::UnknownChannel) => Ok(()),
            acked_or_not => acked_or_not,
        }
    }

    fn handle(&self, peer: PublicKey, reference: ChannelRef, inbox: Inbox) -> ChannelHandle {
        ChannelHandle { peer, reference, inbox, node: Arc::downgrade(&self.inner.peers) }
    }

    /// Stops the node for every clone of it, and waits until nothing of it runs any more: what is under way is committed, connections are let
    /// go, the store with the last clone. Channels go on when a node is started on the same store again.
    pub async fn stop(self) {
        self.inner.peers.end();
        let mut tasks = self.inner.tasks.lock().await;
        for task in &*tasks {
            task.abort();
        }
        for inbox in self.inner.peers.all() {
            let _gone = inbox.send(PeerInput::Stop).await;
        }
        for task in tasks.drain(..) {
            let _ended = task.await;
        }
        self.inner.peers.running.over().await;
        if let (Some(store), Some(at)) = (self.inner.config.store(), self.inner.peers.due_note())
            && let Err(error) = store.commit(watcher::noted_at(at)).await
        {
            tracing::error!(%error, "could not note the last block");
        }
        self.inner.peers.events.end(EventsError::Stopped);
    }

    /// Everything that happens to this node's channels from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.inner.peers.events.subscribe()
    }

    /// What this node has in its vault, which belongs to its account and its identity, and out of which its channels are paid (R5.1).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn vault_balance(&self) -> Result<Amount, NodeError> {
        let config = &self.inner.config;
        Ok(config.arbiter.vault_balance(config.id()).await?)
    }

    /// What this node's account has for fees, and what is kept there for the defence of its channels (R6.9e), as of a block ago; none before it was
    /// looked at.
    #[must_use]
    pub fn fees(&self) -> Option<Fees> {
        self.inner.peers.fees(0)
    }

    /// Moves coins from this node's account to its vault, where its identity alone signs for them; final when it returns.
    ///
    /// # Errors
    /// [`NodeError::FeesTooLow`] where the account would not keep enough for fees; the arbiter's and the chain's own.
    pub async fn vault_deposit(&self, amount: Amount) -> Result<FinalisedCall, NodeError> {
        self.inner.config.arbiter.info().check_amount(amount)?;
        let channels = self.inner.peers.channels().len();
        self.inner.peers.purse.check(channels, amount).await?;
        let config = &self.inner.config;
        Ok(config.arbiter.call(&*config.signer, &Call::VaultDeposit { key: self.identity() }, amount).await?)
    }

    /// Moves coins from this node's vault to its account; final when it returns.
    ///
    /// # Errors
    /// The arbiter's and the chain's own.
    pub async fn vault_withdraw(&self, amount: Amount) -> Result<FinalisedCall, NodeError> {
        let config = &self.inner.config;
        config.arbiter.info().check_amount(amount)?;
        let call = Call::VaultWithdraw { key: self.identity(), amount };
        Ok(config.arbiter.call(&*config.signer, &call, 0).await?)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {:?})", self.identity(), self.local_addr())
    }
}
