//! What a node tells its user, as it happens.

use channel::{ChannelRef, Event, EventNumber};
use protocol::PublicKey;
use thiserror::Error;
use tokio::sync::broadcast;

/// How many events wait for a subscriber before the oldest are dropped.
const EVENTS: usize = 65_536;

/// Something happened to a channel of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvent {
    /// With whom the channel is.
    pub peer: PublicKey,
    /// How the two peers name it.
    pub reference: ChannelRef,
    /// What happened.
    pub event: Event,
    /// Its number in its channel, where it is stored until it is taken ([`Taking`]); none for a notice in passing.
    pub number: Option<EventNumber>,
}

/// When an event counts as taken: until then it is stored with its channel, and told again after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taking {
    /// As soon as it is in the subscribers' queues: a crash loses what they have not read.
    #[default]
    WhenTold,
    /// When the user says so ([`Node::take`](super::Node::take)): none is ever lost. A channel whose events
    /// are not taken agrees to no more in the end. To be used with [`Node::start_with_events`](super::Node::start_with_events).
    ByUser,
}

/// A subscription. It begins when it is made, and ends with the node.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<NodeEvent>);

/// Why there is no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventsError {
    /// The subscriber was too slow.
    #[error(
        "{0} events were dropped because this subscriber is too slow: read the channels' balances anew, and take no event before a restart"
    )]
    Missed(u64),
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

impl EventStream {
    /// The next event.
    ///
    /// # Errors
    /// [`EventsError::Missed`] once for each gap, and the stream goes on; [`EventsError::Stopped`].
    pub async fn next(&mut self) -> Result<NodeEvent, EventsError> {
        self.0.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => EventsError::Missed(missed),
            broadcast::error::RecvError::Closed => EventsError::Stopped,
        })
    }
}

/// Where events go in.
#[derive(Clone, Debug)]
pub(super) struct Events(broadcast::Sender<NodeEvent>);

impl Events {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(EVENTS))
    }

    pub(super) fn send(&self, event: NodeEvent) {
        let _nobody_listens = self.0.send(event);
    }

    pub(super) fn subscribe(&self) -> EventStream {
        EventStream(self.0.subscribe())
    }
}
