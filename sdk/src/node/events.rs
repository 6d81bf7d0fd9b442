//! What a node tells its user, as it happens.
//!
//! ```text
//!   peer --> Share (how many of its events wait) --> queue --> every EventStream
//!              ^------- let go when the last subscriber has read the event -----'
//! ```

use super::limits::NodeLimits;
use channel::{ChannelRef, Event, EventNumber, Notice};
use protocol::PublicKey;
use scale::Encode;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use thiserror::Error;
use tokio::sync::{broadcast, watch};

/// How many events wait for a subscriber before the oldest are dropped: more than a hundred peers may cause at once, each within its share.
const EVENTS: usize = 1 << 18;
/// Once the queue is filled by this much, each peer's share is [`NARROW`] times smaller.
const CROWDED: usize = EVENTS / 2;
const NARROW: usize = 16;

/// Something happened to a channel of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvent {
    /// With whom the channel is.
    pub peer: PublicKey,
    /// How the two peers name it.
    pub reference: ChannelRef,
    /// What happened.
    pub event: Notification,
    /// Its number in its channel, by which it is acknowledged; the event is stored until then ([`Ack`]); none for a notice in passing.
    pub number: Option<EventNumber>,
}

/// What a user is told of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// An event is stored, and delivered again after each restart until it is acknowledged ([`Ack`]).
    Event(Event),
    /// A notice is stored nowhere: a crash may lose it.
    Notice(Notice),
}

impl Notification {
    /// The event, where it is one.
    #[must_use]
    pub const fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::Notice(_) => None,
        }
    }

    /// The notice, where it is one.
    #[must_use]
    pub const fn notice(&self) -> Option<&Notice> {
        match self {
            Self::Event(_) => None,
            Self::Notice(notice) => Some(notice),
        }
    }

    /// What it weighs where it waits, in bytes.
    fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event.encoded_size(),
            Self::Notice(notice) => notice.weight(),
        }
    }
}

impl From<Event> for Notification {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl From<Notice> for Notification {
    fn from(notice: Notice) -> Self {
        Self::Notice(notice)
    }
}

/// When an event counts as acknowledged: until then it is stored with its channel, and delivered again after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// An event is acknowledged as soon as it is in the subscribers' queues: a crash loses what they have not read.
    OnDelivery,
    /// The user acknowledges each event ([`Node::ack`](super::Node::ack)): none is ever lost. A channel whose events
    /// nobody acknowledges agrees to nothing more in the end. To be used with [`Node::start_with_events`](super::Node::start_with_events).
    #[default]
    Manual,
}

/// A subscription. It begins when it is made, and ends with the node.
///
/// Whoever holds one reads it: a peer whose events wait for it in great number is slowed and in the end cut off
/// ([`NodeLimits::events`](super::NodeLimits::events)), so that its events push out nobody else's.
#[derive(Debug)]
pub struct EventStream {
    queue: broadcast::Receiver<Arc<QueuedEvent>>,
    end: watch::Receiver<Option<EventsError>>,
}

/// Why there is no next event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EventsError {
    /// The subscriber was too slow.
    #[error(
        "{0} events were dropped because this subscriber is too slow: read the channels' balances anew, and acknowledge no event before a restart"
    )]
    Missed(u64),
    /// The store takes nothing more: nothing more happens here but the defence of what is agreed ([`Node::defended_peers`](super::Node::defended_peers)).
    #[error("nothing more is agreed, and what is agreed is defended: {0}; start the node again once that is mended")]
    DefendOnly(String),
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

impl EventStream {
    /// The next event.
    ///
    /// # Errors
    /// [`EventsError::Missed`] once for each gap, and the stream goes on; after all others, [`EventsError::DefendOnly`] or
    /// [`EventsError::Stopped`].
    pub async fn next(&mut self) -> Result<NodeEvent, EventsError> {
        let queued = tokio::select! {
            biased;
            queued = self.queue.recv() => queued,
            end = self.end.wait_for(Option::is_some) => {
                return Err(end.ok().and_then(|end| end.clone()).unwrap_or(EventsError::Stopped));
            }
        };
        let queued = queued.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => EventsError::Missed(missed),
            broadcast::error::RecvError::Closed => EventsError::Stopped,
        })?;
        // The last one to read it need not copy it.
        Ok(Arc::try_unwrap(queued).map_or_else(|queued| queued.event.clone(), |queued| queued.event))
    }
}

/// An event that waits for subscribers.
#[derive(Debug)]
struct QueuedEvent {
    event: NodeEvent,
    _held: QueuePlace,
}

/// What one peer's events take of the queue.
#[derive(Debug, Default)]
pub(super) struct Share {
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// Of all peers.
    all: Arc<AtomicUsize>,
}

/// How much of its share a peer has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    /// There is room.
    Room,
    /// It is used up: the peer is to be slowed.
    Full,
    /// It is used twice over: the peer is to be cut off.
    Over,
}

impl Share {
    /// How full it is where so many events, and as many bytes as `limits` say, may wait.
    pub(super) fn fill(&self, events: usize, limits: &NodeLimits) -> Fill {
        let (have, bytes) = (self.events.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let crowded = self.all.load(Ordering::Relaxed) > CROWDED;
        let most = if crowded { events.div_ceil(NARROW) } else { events };
        if have > most.saturating_mul(2) || bytes > limits.event_bytes.saturating_mul(2) {
            Fill::Over
        } else if have >= most || bytes >= limits.event_bytes {
            Fill::Full
        } else {
            Fill::Room
        }
    }
}

/// A place in the queue, let go when it is dropped.
#[derive(Debug)]
struct QueuePlace {
    share: Arc<Share>,
    events: usize,
    bytes: usize,
}

impl QueuePlace {
    fn new(share: &Arc<Share>, event: &Notification) -> Self {
        let (events, bytes) = if is_answer(event) { (0, 0) } else { (1, event.weight()) };
        let _before = share.events.fetch_add(events, Ordering::Relaxed);
        let _before = share.bytes.fetch_add(bytes, Ordering::Relaxed);
        let _before = share.all.fetch_add(1, Ordering::Relaxed);
        Self { share: Arc::clone(share), events, bytes }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let _before = self.share.events.fetch_sub(self.events, Ordering::Relaxed);
        let _before = self.share.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let _before = self.share.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether it answers what this node's own user asked for: the user makes as many of these as it likes.
const fn is_answer(event: &Notification) -> bool {
    matches!(
        event.event(),
        Some(
            Event::Paid { .. }
                | Event::Refused { .. }
                | Event::Dropped { .. }
                | Event::Failed { .. }
                | Event::ShutdownRefused { .. }
                | Event::OperationFailed { .. }
                | Event::OperationUnseen { .. }
                | Event::Forcing { .. }
                | Event::ForceFailed { .. }
        )
    )
}

/// Where events go in.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: broadcast::Sender<Arc<QueuedEvent>>,
    waiting: Arc<AtomicUsize>,
    end: watch::Sender<Option<EventsError>>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { queue: broadcast::Sender::new(EVENTS), waiting: Arc::default(), end: watch::Sender::new(None) }
    }

    /// What one peer's events may take of the queue.
    pub(super) fn share(&self) -> Arc<Share> {
        Arc::new(Share { all: Arc::clone(&self.waiting), ..Share::default() })
    }

    /// Tells every subscriber, at the cost of the share of the peer that caused it.
    pub(super) fn send(&self, event: NodeEvent, share: &Arc<Share>) {
        if self.queue.receiver_count() > 0 {
            let _held = QueuePlace::new(share, &event.event);
            let _nobody_listens = self.queue.send(Arc::new(QueuedEvent { event, _held }));
        }
    }

    pub(super) fn subscribe(&self) -> EventStream {
        EventStream { queue: self.queue.subscribe(), end: self.end.subscribe() }
    }

    /// Every stream ends, once it has told what waits.
    pub(super) fn end(&self, why: EventsError) {
        let _set = self.end.send_if_modified(|end| {
            let is_first = end.is_none();
            *end = end.take().or(Some(why));
            is_first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use channel::OwnChanges;

    fn event(event: impl Into<Notification>) -> NodeEvent {
        NodeEvent { peer: PublicKey([1; 32]), reference: ChannelRef([2; 16]), event: event.into(), number: None }
    }

    #[tokio::test]
    async fn what_the_slowest_subscriber_has_not_read_counts_against_the_peer_that_caused_it() {
        let limits = NodeLimits { events: 2, event_bytes: 1_000, ..NodeLimits::default() };
        let events = Events::new();
        let (hasty, quiet) = (events.share(), events.share());
        let words = || event(Notice::Message(vec![7; 10]));
        events.send(words(), &hasty);
        assert_eq!(hasty.fill(limits.events, &limits), Fill::Room, "nobody listens");

        let (mut fast, mut slow) = (events.subscribe(), events.subscribe());
        for fill in [Fill::Room, Fill::Full, Fill::Full, Fill::Full, Fill::Over] {
            events.send(words(), &hasty);
            assert_eq!(hasty.fill(limits.events, &limits), fill);
        }
        assert_eq!(quiet.fill(limits.events, &limits), Fill::Room);
        for _ in 0..5 {
            assert_eq!(fast.next().await.unwrap(), words());
        }
        assert_eq!(hasty.fill(limits.events, &limits), Fill::Over, "the slow one has read nothing");
        for _ in 0..4 {
            assert_eq!(slow.next().await.unwrap(), words());
        }
        assert_eq!(hasty.fill(limits.events, &limits), Fill::Room);
        events.send(event(Notice::Message(vec![7; 1_000])), &hasty);
        assert_eq!(hasty.fill(limits.events, &limits), Fill::Full, "by bytes");
        drop(slow);
        assert_eq!(fast.next().await.unwrap(), event(Notice::Message(vec![7; 1_000])));
        assert_eq!(events.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_answers_the_own_user_costs_the_peer_nothing() {
        let limits = NodeLimits { events: 1, ..NodeLimits::default() };
        let events = Events::new();
        let (share, _reader) = (events.share(), events.subscribe());
        events.send(event(Event::Paid { payments: OwnChanges::default(), round: 3 }), &share);
        assert_eq!(share.fill(limits.events, &limits), Fill::Room);
    }

    #[test]
    fn in_a_crowded_queue_shares_are_smaller() {
        let limits = NodeLimits { events: 2 * NARROW, ..NodeLimits::default() };
        let events = Events::new();
        let (share, others, _reader) = (events.share(), events.share(), events.subscribe());
        events.send(event(Notice::Message(Vec::new())), &share);
        events.send(event(Notice::Message(Vec::new())), &share);
        assert_eq!(share.fill(limits.events, &limits), Fill::Room);
        for _ in 0..CROWDED {
            events.send(event(Event::Paid { payments: OwnChanges::default(), round: 3 }), &others);
        }
        assert_eq!(share.fill(limits.events, &limits), Fill::Full);
    }
}
