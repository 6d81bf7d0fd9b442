//! What the tasks of a node share: who the peers are and how each task is reached, the chain as it is followed, and whether anything more is signed.

use super::{
    causes::CauseTally,
    config::{FeeReserve, NodeConfig},
    defended::{Report, Signal},
    error::NodeError,
    events::{Events, EventsError, NodeEvent},
    following::Following,
    inbox::{Connected, INBOX, Inbox, PeerInput},
    limits::{MAX_PEERS, NodeLimits},
    places::{Origin, PerOrigin, Strangers},
    purse::{Fees, Purse},
    quarters::Quarters,
    registry::LockRegistry,
    restore::DamagedChannel,
    routing::Routing,
    running::Running,
    submitted::Defending,
    watcher::{Notes, Sight},
    withdrawals::Withdrawals,
};
use crate::{
    chain::{BlockRef, Health},
    keys::PeerAddress,
    store::StoreError,
    transport::{Dialler, Role},
};
use channel::{Channel, Notice};
use network::RouterInput;
use protocol::{BlockNumber, ChannelId, Pair, PartyId, PublicKey};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use tokio::sync::{Semaphore, mpsc};

/// Starts the task of a peer: with its inbox, from both ends, its channels, where it was last found, and whether this node dials it just now.
pub(super) type Launch =
    fn(&Arc<Peers>, PublicKey, (&Inbox, mpsc::Receiver<PeerInput>), Vec<Channel>, Option<PeerAddress>, bool);

/// The tasks of all peers.
pub(crate) struct Peers {
    pub(super) config: Arc<NodeConfig>,
    /// As configured, and within what the system has.
    pub(super) limits: NodeLimits,
    pub(super) tally: Arc<CauseTally>,
    pub(super) dialler: Arc<Dialler>,
    pub(super) inboxes: Mutex<HashMap<PublicKey, Inbox>>,
    pub(super) strangers: Mutex<Strangers>,
    /// How many more openings that strangers asked for may be not on chain.
    pub(super) openings: Arc<Semaphore>,
    pub(super) openings_of: PerOrigin,
    pub(super) events: Events,
    pub(super) head: AtomicU32,
    /// Every block up to the head was looked at since the node started.
    pub(super) has_looked: AtomicBool,
    /// How far the chain is followed.
    pub(super) sight: Sight,
    /// How far by each peer's task.
    pub(super) following: Following,
    pub(super) notes: Notes,
    /// Who acts where a peer's task does not.
    pub(super) defence: mpsc::UnboundedSender<Signal>,
    pub(super) defended_peers: Report,
    /// What the account has for fees.
    pub(super) purse: Arc<Purse>,
    /// The chain's heads, and what was shown of locks.
    pub(super) registry: LockRegistry,
    /// What crosses channels.
    pub(super) routing: Arc<Routing>,
    /// What strangers' tasks have the router told.
    pub(super) errands: mpsc::Sender<RouterInput>,
    /// What is paid out of swapped coins.
    pub(super) withdrawals: Withdrawals,
    /// Every channel that may be on chain, with its parties as the chain knows them.
    pub(super) channels: Mutex<HashMap<ChannelId, Pair<PartyId>>>,
    /// The node stops: nothing more is signed.
    pub(super) over: AtomicBool,
    /// The store takes nothing more, and why: nothing more is signed either.
    pub(super) failure: OnceLock<String>,
    /// Channels of the store that cannot be read.
    pub(super) damaged: Vec<DamagedChannel>,
    /// Calls that defend channels and are under way.
    pub(super) defending: Arc<Defending>,
    /// What runs as a peer's task.
    pub(super) launch: Launch,
    /// Where that is.
    pub(super) quarters: Quarters,
    /// What runs of the node.
    pub(super) running: Running,
}

impl Peers {
    pub(super) fn inbox(&self, peer: &PublicKey) -> Option<Inbox> {
        self.inboxes().get(peer).filter(|inbox| !inbox.is_closed()).cloned()
    }

    pub(super) fn all(&self) -> Vec<Inbox> {
        self.inboxes().values().cloned().collect()
    }

    pub(super) fn set_head(&self, head: BlockNumber) {
        self.head.store(head, Ordering::Release);
    }

    pub(super) fn head(&self) -> BlockNumber {
        self.head.load(Ordering::Acquire)
    }

    /// Whether the chain is seen as it is now, and followed.
    pub(super) fn health(&self) -> Health {
        let chain = self.config.arbiter.chain().health();
        if chain.is_good() { self.sight.health() } else { chain }
    }

    /// What the account has for fees, and what so many more channels need.
    pub(super) fn fees(&self, more: usize) -> Option<Fees> {
        self.purse.fees(self.channels().len().saturating_add(more))
    }

    /// The block to note as the last one that was looked at, where there is a new one.
    pub(super) fn due_note(&self) -> Option<BlockRef> {
        self.notes.due(self.following.done(self.head()))
    }

    /// Whether one more channel could be defended.
    pub(super) fn has_fees_for_another(&self) -> bool {
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

    pub(super) fn channels(&self) -> MutexGuard<'_, HashMap<ChannelId, Pair<PartyId>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every channel that may be on chain.
    pub(super) fn known_channels(&self) -> Vec<(ChannelId, Pair<PartyId>)> {
        self.channels().iter().map(|(channel, parties)| (*channel, *parties)).collect()
    }

    pub(super) fn has_looked(&self) -> bool {
        self.has_looked.load(Ordering::Acquire)
    }

    /// Every block up to the head was looked at; says whether that is news. Peers' tasks that are started from now on know it.
    pub(super) fn set_looked(&self) -> bool {
        !self.has_looked.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.running.end();
        self.routing.group().leave(self.routing.chain());
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Tells the user of the channels that cannot be read.
    pub(super) fn tell_of_damage(&self) {
        let share = self.events.share();
        for DamagedChannel { peer, reference, cause, .. } in &self.damaged {
            let event = Notice::Damaged { cause: cause.to_string() }.into();
            self.events.send(NodeEvent { peer: *peer, reference: *reference, event, number: None }, &share);
        }
    }

    /// Whether and why nothing more is signed.
    pub(super) fn check(&self) -> Result<(), NodeError> {
        match self.failure.get() {
            _ if self.is_over() => Err(NodeError::Stopped),
            Some(cause) => Err(NodeError::DefendOnly(cause.clone())),
            None => Ok(()),
        }
    }

    /// Why a peer's task does not answer.
    pub(super) fn gone(&self, peer: &PublicKey) -> NodeError {
        match self.following.failure(peer) {
            Some(cause) if !self.is_over() => NodeError::DefendOnly(cause),
            _ => self.check().err().unwrap_or(NodeError::UnknownChannel),
        }
    }

    /// Why a peer's task cannot be reached.
    pub(super) fn not_connected(&self, peer: &PublicKey) -> NodeError {
        match self.following.failure(peer) {
            Some(cause) if !self.is_over() => NodeError::DefendOnly(cause),
            _ => NodeError::NotConnected(*peer),
        }
    }

    /// Gives channels to the defence of which nothing more can be kept.
    pub(super) fn take_over(
        &self,
        peer: PublicKey,
        channels: Vec<Channel>,
        head: BlockNumber,
        cause: String,
        error: &StoreError,
    ) {
        // What is too long is one channel's trouble; whatever else a store says, it says to all.
        if !matches!(error, StoreError::TooLong { .. }) && self.failure.set(cause.clone()).is_ok() {
            self.events.end(EventsError::DefendOnly(cause.clone()));
        }
        let _over = self.defence.send(Signal::TakeOver { peer, channels, head, cause });
    }

    /// Gives a connection to its peer's task, and starts that task where there is none.
    pub(super) async fn connected(self: &Arc<Self>, connected: Connected) -> Result<(), NodeError> {
        let (peer, is_dialled) = (connected.session.peer(), connected.session.role() == Role::Dialler);
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
                None => self.start(peer, Vec::new(), None, is_dialled)?,
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
    pub(super) fn seat(&self, peer: PublicKey, origin: Origin) {
        let displaced = self.strangers().enter(peer, origin);
        if let Some(inbox) = displaced.and_then(|displaced| self.inbox(&displaced)) {
            // A full inbox belongs to a task that is busy: its peer stays beyond its time.
            let _full = inbox.try_send(PeerInput::Displaced);
        }
    }

    pub(super) fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task of a peer that has none.
    ///
    /// # Errors
    /// [`NodeError::Stopped`]: whoever stops the node tells all tasks that it meets, so none is started after that.
    pub(super) fn start(
        self: &Arc<Self>,
        identity: PublicKey,
        channels: Vec<Channel>,
        address: Option<PeerAddress>,
        is_dialled: bool,
    ) -> Result<Inbox, NodeError> {
        let mut inboxes = self.inboxes();
        if self.is_over() {
            return Err(NodeError::Stopped);
        }
        if let Some(inbox) = inboxes.get(&identity).filter(|inbox| !inbox.is_closed()) {
            return Ok(inbox.clone());
        }
        let (inbox, inputs) = mpsc::channel(INBOX);
        (self.launch)(self, identity, (&inbox, inputs), channels, address, is_dialled);
        let _previous = inboxes.insert(identity, inbox.clone());
        Ok(inbox)
    }

    /// A peer has gone that has no channels: unless another task serves it by now, it is none any more.
    pub(super) fn forget(&self, peer: &PublicKey) {
        let mut inboxes = self.inboxes();
        if inboxes.get(peer).is_some_and(Inbox::is_closed) {
            let _closed = inboxes.remove(peer);
        }
    }

    /// How many peers there are, once those that have gone are forgotten.
    pub(super) fn count(&self) -> usize {
        let mut inboxes = self.inboxes();
        inboxes.retain(|_, inbox| !inbox.is_closed());
        inboxes.len()
    }

    pub(super) fn inboxes(&self) -> MutexGuard<'_, HashMap<PublicKey, Inbox>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
