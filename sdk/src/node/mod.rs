//! A node: one identity, one chain account, one arbiter, many peers, many channels.
//!
//! ```text
//!             Node ---- Listener (task): handshakes, each in a task of its own; places for strangers
//!              |
//!              |------- watcher (task): finalised blocks to every peer
//!              |------- defence (task): what defends channels whose peer's task does not
//!              |
//!              '------- Peer (a task each): connection, channels, commits, effects
//! ```

mod accept;
mod budget;
mod causes;
mod config;
mod defence;
mod ended;
mod error;
mod events;
mod following;
mod handle;
mod limits;
mod link;
mod packet;
mod peer;
mod places;
mod purse;
mod redial;
mod restore;
mod rumours;
mod slot;
mod submitted;
mod watcher;

pub use causes::{Cause, CauseCounts};
pub use config::{KEEP_ENDED, Keeping, LOCK_PERIOD, NodeConfig, OpenChannel};
pub use defence::{Ward, WardCall, WardCause};
pub use ended::EndedChannel;
pub use error::{NodeError, Owner, StartError};
pub use events::{EventStream, EventsError, Happening, NodeEvent, Taking};
pub use handle::{Called, ChannelHandle, Created, Made, Paid, PaidAll};
pub use limits::{Limits, MAX_CHANNELS_PER_PEER, MAX_OPENINGS_PER_PEER, MAX_PEERS, MAX_UNKNOWN};
pub use packet::{MAX_PIECE, Packet};
pub use purse::{FeeReserve, Fees};
pub use redial::Backoff;
pub use restore::DamagedChannel;

use crate::{
    apps::Registry,
    chain::{Arbiter, BlockRef, ChainError, Health, arbiter::Done},
    keys::PeerAddress,
    store::{StoreError, Table},
    transport::{Dialler, Listener},
};
use causes::Tally;
use channel::{Channel, ChannelRef, Notice, SavedError};
use defence::Defence;
use events::Events;
use following::Following;
use peer::{Connected, INBOX, Inbox, Peer, PeerInput};
use places::{Origin, PerOrigin, Strangers};
use protocol::{Amount, BlockNumber, ChannelId, Pair, PartyId, PublicKey, call::Call, decode_exact};
use purse::Purse;
use scale::Encode;
use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use submitted::Defending;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};
use watcher::{Notes, Seen, Sight, Verdict, Watcher};

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

/// The tasks of all peers.
pub(crate) struct Peers {
    config: Arc<NodeConfig>,
    /// As configured, and within what the system has.
    limits: Limits,
    tally: Arc<Tally>,
    dialler: Arc<Dialler>,
    inboxes: Mutex<HashMap<PublicKey, Inbox>>,
    strangers: Mutex<Strangers>,
    /// How many more openings that strangers asked for may be not on chain.
    openings: Arc<Semaphore>,
    openings_of: PerOrigin,
    events: Events,
    head: AtomicU32,
    /// Every block up to the head was looked at since the node started.
    has_looked: AtomicBool,
    /// How far the chain is followed.
    sight: Sight,
    /// How far by each peer's task.
    following: Following,
    notes: Notes,
    /// Who acts where a peer's task does not.
    defence: mpsc::UnboundedSender<defence::Signal>,
    wards: defence::Report,
    /// What the account has for fees.
    purse: Purse,
    /// Every channel that may be on chain, with its parties as the chain knows them.
    channels: Mutex<HashMap<ChannelId, Pair<PartyId>>>,
    /// The node stops: nothing more is signed.
    over: AtomicBool,
    /// The store takes nothing more, and why: nothing more is signed either.
    failure: OnceLock<String>,
    /// Channels of the store that cannot be read.
    damaged: Vec<DamagedChannel>,
    /// Calls that defend channels and are under way.
    defending: Arc<Defending>,
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
        let Loaded { channels, mut addresses, next, seen, damaged } = load(&config, head).await?;
        if let Some(store) = config.store() {
            config.apps.keep_in(store).await?;
        }
        let listener = match &config.listen {
            Some(address) => Some(Listener::bind(address, config.timeouts).await?),
            None => None,
        };
        let listening = listener.as_ref().map(Listener::local_addr);
        let limits = limits::descriptors().map_or(config.limits, |descriptors| config.limits.within(descriptors));
        let (signals, for_defence) = mpsc::unbounded_channel();
        let peers = Arc::new(Peers {
            config: Arc::clone(&config),
            limits,
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
            wards: defence::Report::default(),
            purse: Purse::new(&config),
            channels: Mutex::default(),
            over: AtomicBool::new(false),
            failure: OnceLock::new(),
            damaged,
            defending: Arc::default(),
        });
        if let Err(error) = peers.purse.look().await {
            tracing::warn!(%error, "the account could not be looked at: no channel is accepted before");
        }
        let events = peers.events.subscribe();
        peers.tell_of_damage();
        for (identity, channels) in channels {
            let _inbox = peers.start(identity, channels, addresses.remove(&identity));
        }
        let (arbiter, store) = (Arc::clone(&config.arbiter), config.store().cloned());
        let watched = (arbiter, store);
        let watcher = Watcher::new(watched, Arc::downgrade(&peers), (next, seen), config.keep_ended, signals.clone());
        let guard = Builder::new_multi_thread().worker_threads(1).thread_name("guard").enable_all().build();
        let guard = guard.map_err(StartError::NoThread)?;
        let defence = Defence::new(&peers, (signals, for_defence));
        let mut tasks = vec![guard.spawn(watcher.run()), guard.spawn(defence.run())];
        if let Some(listener) = listener {
            tasks.push(tokio::spawn(accept::listen(listener, Arc::downgrade(&peers))));
        }
        let tasks = tokio::sync::Mutex::new(tasks);
        Ok((Self { inner: Arc::new(Inner { config, peers, listening, tasks, guard: Some(guard) }) }, events))
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

    /// The peers whose channels are defended without their own tasks now, and why (R6.9e): in health, none.
    #[must_use]
    pub fn wards(&self) -> Vec<Ward> {
        self.inner.peers.wards.wards()
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
    /// ([`Notice::Damaged`]), messages about those that cannot be read at all are refused as busy, and no channel is opened with its peer, by either side.
    /// All others go on.
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
        let key = peer::store_key(&peer, reference);
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
    /// [`NodeError::ChainUnwell`], [`NodeError::VaultTooLow`] for this node's vault, [`NodeError::TooMany`] beyond
    /// [`MAX_OPENINGS_PER_PEER`], [`NodeError::Call`] where the arbiter refuses, [`NodeError::Ended`] where the peer does,
    /// [`NodeError::NotConnected`], [`NodeError::Misuse`]. [`Rejection::NonceOutOfBounds`](protocol::Rejection::NonceOutOfBounds) says that
    /// another opening of the two was on chain first: ask again.
    pub async fn open_channel(&self, peer: PublicKey, open: OpenChannel) -> Result<ChannelHandle, NodeError> {
        self.inner.peers.check()?;
        let health = self.chain_health();
        if !health.is_good() {
            return Err(NodeError::ChainUnwell(health));
        }
        let channels = self.inner.peers.channels().len();
        let _paid_for = self.inner.peers.purse.check_opening(channels).await?;
        let have = self.vault_balance().await?;
        if have < open.our_share {
            return Err(NodeError::VaultTooLow { have, need: open.our_share });
        }
        let inbox = self.inner.peers.inbox(&peer).ok_or(NodeError::NotConnected(peer))?;
        let (reply, answer) = oneshot::channel();
        let reference = ChannelRef(random()?);
        inbox.send(PeerInput::Open(open, reference, reply)).await.map_err(|_closed| NodeError::NotConnected(peer))?;
        answer.await.map_err(|_dropped| self.inner.peers.gone(&peer))?
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

    /// The channel that an event is about; none where its last word has been taken. A channel that is unknown by now says so itself.
    #[must_use]
    pub fn channel_of(&self, NodeEvent { peer, reference, .. }: &NodeEvent) -> Option<ChannelHandle> {
        Some(self.handle(*peer, *reference, self.inner.peers.inbox(peer)?))
    }

    /// Says that an event and all before it in its channel are taken ([`Taking::ByUser`]): none is told again. A notice in passing needs no taking.
    ///
    /// After [`EventsError::Missed`] take nothing: what was missed would be taken with it. A restart tells it again.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn take(&self, event: &NodeEvent) -> Result<(), NodeError> {
        let Some((number, channel)) = event.number.zip(self.channel_of(event)) else { return Ok(()) };
        match channel.take_events(number).await {
            Err(NodeError::UnknownChannel) => Ok(()),
            taken_or_not => taken_or_not,
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
            inbox.closed().await;
        }
        for task in tasks.drain(..) {
            let _ended = task.await;
        }
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
    pub async fn vault_deposit(&self, amount: Amount) -> Result<Done, NodeError> {
        let channels = self.inner.peers.channels().len();
        self.inner.peers.purse.check(channels, amount).await?;
        let config = &self.inner.config;
        Ok(config.arbiter.call(&*config.signer, &Call::VaultDeposit { key: self.identity() }, amount).await?)
    }

    /// Moves coins from this node's vault to its account; final when it returns.
    ///
    /// # Errors
    /// The arbiter's and the chain's own.
    pub async fn vault_withdraw(&self, amount: Amount) -> Result<Done, NodeError> {
        let config = &self.inner.config;
        let call = Call::VaultWithdraw { key: self.identity(), amount };
        Ok(config.arbiter.call(&*config.signer, &call, 0).await?)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {:?})", self.identity(), self.local_addr())
    }
}

impl Peers {
    fn inbox(&self, peer: &PublicKey) -> Option<Inbox> {
        self.inboxes().get(peer).filter(|inbox| !inbox.is_closed()).cloned()
    }

    fn all(&self) -> Vec<Inbox> {
        self.inboxes().values().cloned().collect()
    }

    fn set_head(&self, head: BlockNumber) {
        self.head.store(head, Ordering::Release);
    }

    fn head(&self) -> BlockNumber {
        self.head.load(Ordering::Acquire)
    }

    /// Whether the chain is seen as it is now, and followed.
    fn health(&self) -> Health {
        let chain = self.config.arbiter.chain().health();
        if chain.is_good() { self.sight.health() } else { chain }
    }

    /// What the account has for fees, and what so many more channels need.
    fn fees(&self, more: usize) -> Option<Fees> {
        self.purse.fees(self.channels().len().saturating_add(more))
    }

    /// The block to note as the last one that was looked at, where there is a new one.
    fn due_note(&self) -> Option<BlockRef> {
        self.notes.due(self.following.done(self.head()))
    }

    /// Whether one more channel could be defended.
    fn has_fees_for_another(&self) -> bool {
        match self.fees(1) {
            Some(fees) if !fees.suffice() => {
                let Fees { have, need } = fees;
                tracing::warn!(
                    have,
                    need,
                    "the account cannot pay for the defence of another channel: none is accepted"
                );
                false
            }
            // Before it was looked at, the reserve alone says whether it matters.
            fees => fees.is_some() || self.config.fee_reserve == FeeReserve::DangerNothing,
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<ChannelId, Pair<PartyId>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every channel that may be on chain.
    fn known_channels(&self) -> Vec<(ChannelId, Pair<PartyId>)> {
        self.channels().iter().map(|(channel, parties)| (*channel, *parties)).collect()
    }

    fn has_looked(&self) -> bool {
        self.has_looked.load(Ordering::Acquire)
    }

    /// Every block up to the head was looked at; says whether that is news. Peers' tasks that are started from now on know it.
    fn set_looked(&self) -> bool {
        !self.has_looked.swap(true, Ordering::AcqRel)
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Tells the user of the channels that cannot be read.
    fn tell_of_damage(&self) {
        let share = self.events.share();
        for DamagedChannel { peer, reference, cause, .. } in &self.damaged {
            let event = Notice::Damaged { cause: cause.to_string() }.into();
            self.events.send(NodeEvent { peer: *peer, reference: *reference, event, number: None }, &share);
        }
    }

    /// Whether and why nothing more is signed.
    fn check(&self) -> Result<(), NodeError> {
        match self.failure.get() {
            _ if self.is_over() => Err(NodeError::Stopped),
            Some(cause) => Err(NodeError::DefendOnly(cause.clone())),
            None => Ok(()),
        }
    }

    /// Why a peer's task does not answer.
    fn gone(&self, peer: &PublicKey) -> NodeError {
        match self.following.failure(peer) {
            Some(cause) if !self.is_over() => NodeError::DefendOnly(cause),
            _ => self.check().err().unwrap_or(NodeError::UnknownChannel),
        }
    }

    /// Gives channels to the defence of which nothing more can be kept.
    fn take_over(&self, peer: PublicKey, channels: Vec<Channel>, head: BlockNumber, cause: String, error: &StoreError) {
        // What is too long is one channel's trouble; whatever else a store says, it says to all.
        if !matches!(error, StoreError::TooLong { .. }) && self.failure.set(cause.clone()).is_ok() {
            self.events.end(EventsError::DefendOnly(cause.clone()));
        }
        let _over = self.defence.send(defence::Signal::TakeOver { peer, channels, head, cause });
    }

    /// Gives a connection to its peer's task, and starts that task where there is none.
    async fn connected(self: &Arc<Self>, connected: Connected) -> Result<(), NodeError> {
        let peer = connected.session.peer();
        let mut input = PeerInput::Connected(Box::new(connected));
        loop {
            self.check()?;
            if let Some(cause) = self.following.failure(&peer) {
                // A new task would know nothing of the channels with it.
                return Err(NodeError::DefendOnly(cause));
            }
            let inbox = match self.inbox(&peer) {
                Some(inbox) => inbox,
                None if self.count() >= MAX_PEERS => {
                    return Err(NodeError::TooMany { what: "peers", max: MAX_PEERS });
                }
                None => self.start(peer, Vec::new(), None),
            };
            match inbox.send(input).await {
                Ok(()) => return Ok(()),
                // That task has just ended for want of a connection: there is one now.
                Err(mpsc::error::SendError(unsent)) => input = unsent,
            }
        }
    }

    /// Gives whoever has connected a place, and sends away the stranger that has to give way for it. Its own task asks, as it gives the place back:
    /// so one that changes connections keeps it.
    fn seat(&self, peer: PublicKey, origin: Origin) {
        let displaced = self.strangers().enter(peer, origin);
        if let Some(inbox) = displaced.and_then(|displaced| self.inbox(&displaced)) {
            // A full inbox belongs to a task that is busy: its peer stays beyond its time.
            let _full = inbox.try_send(PeerInput::Displaced);
        }
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, identity: PublicKey, channels: Vec<Channel>, address: Option<PeerAddress>) -> Inbox {
        let mut inboxes = self.inboxes();
        if let Some(inbox) = inboxes.get(&identity).filter(|inbox| !inbox.is_closed()) {
            return inbox.clone();
        }
        let (inbox, inputs) = mpsc::channel(INBOX);
        let peer = Peer::new(self, identity, (&inbox, inputs), channels, address);
        let _task = tokio::spawn(peer.run());
        let _previous = inboxes.insert(identity, inbox.clone());
        inbox
    }

    /// How many peers there are, once those that have gone are forgotten.
    fn count(&self) -> usize {
        let mut inboxes = self.inboxes();
        inboxes.retain(|_, inbox| !inbox.is_closed());
        inboxes.len()
    }

    fn inboxes(&self) -> MutexGuard<'_, HashMap<PublicKey, Inbox>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store has.
struct Loaded {
    channels: HashMap<PublicKey, Vec<Channel>>,
    /// Where peers were last found.
    addresses: HashMap<PublicKey, PeerAddress>,
    /// The next block to look at.
    next: BlockNumber,
    /// The last block that was looked at, as far as it is known.
    seen: Option<Seen>,
    /// Channels that cannot be read.
    damaged: Vec<DamagedChannel>,
}

/// Where a store keeps whose it is.
const OWNER: &[u8] = b"owner";

/// Reads the store. A new one notes at once whose it is and the next block: what happens from here on concerns its channels, whenever
/// they are looked at.
async fn load(config: &NodeConfig, head: BlockRef) -> Result<Loaded, StartError> {
    let next = head.number.saturating_add(1);
    let (channels, addresses) = (HashMap::new(), HashMap::new());
    let mut loaded = Loaded { channels, addresses, next, seen: Some(head.into()), damaged: Vec::new() };
    let Some(store) = config.store() else {
        config.arbiter.chain().confirm_at(head).await?;
        return Ok(loaded);
    };
    let node = Owner { identity: config.identity.public(), domain: config.arbiter.info().domain };
    let owner = store.get(Table::Meta, OWNER)?.and_then(|bytes| decode_exact::<Owner>(&bytes).ok());
    if let Some(owner) = owner.filter(|owner| *owner != node) {
        return Err(StartError::ForeignStore { store: owner, node });
    }
    let restored = restore::channels(store, &[])?;
    // Where there are others that can be read, a version may be damage too, and they are to be defended.
    let is_others = |it: &DamagedChannel| matches!(it.cause, SavedError::Newer(_) | SavedError::Older(_));
    if let Some(other) = restored.damaged.iter().find(|it| is_others(it)).filter(|_| restored.channels.is_empty()) {
        return Err(other.cause.clone().into());
    }
    loaded.damaged = restored.damaged;
    for channel in restored.channels.into_iter().chain(restored.readable) {
        if let Some(terms) = channel.terms().filter(|it| it.lock_period < config.pace.least_lock(it.max_forced)) {
            let (has, needs) = (terms.lock_period, config.pace.least_lock(terms.max_forced));
            tracing::warn!(peer = %channel.peer(), has, needs, "this channel's lock period leaves no time to answer (R6.9d): close it");
        }
        loaded.channels.entry(channel.peer()).or_default().push(channel);
    }
    for peer in loaded.channels.keys() {
        let address = store.get(Table::Meta, &peer::address_key(peer))?;
        let address = address.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        loaded.addresses.extend(address.map(|address| (*peer, address)));
    }
    let noted = store.get(Table::Meta, watcher::NEXT_BLOCK)?.and_then(|bytes| decode_exact(&bytes).ok());
    if noted.is_none() {
        // What happened before is passed over: a head that one endpoint made up would hide what comes.
        config.arbiter.chain().confirm_at(head).await?;
    }
    loaded.next = noted.unwrap_or(loaded.next);
    let seen = store.get(Table::Meta, Seen::KEY)?.and_then(|bytes| decode_exact::<Seen>(&bytes).ok());
    if let Some(seen) = seen {
        check_history(config, seen, &loaded).await?;
        loaded.seen = Some(seen);
    }
    if owner.is_none() || noted.is_none() || seen.is_none() {
        let batch = watcher::noted(loaded.next, loaded.seen);
        store.commit(batch.put(Table::Meta, OWNER, node.encode())).await?;
    }
    Ok(loaded)
}

/// Refuses a chain that is not the one which the store has seen: its channels would be ghosts there, and payments in them worth nothing.
async fn check_history(config: &NodeConfig, seen: Seen, loaded: &Loaded) -> Result<(), StartError> {
    let verdict = watcher::verify(&**config.arbiter.chain(), seen).await.map_err(|error| match error {
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

/// Bytes from the operating system.
fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_error| NodeError::NoRandomness)?;
    Ok(bytes)
}
