//! Everything that a node has told its user, kept.

use crate::within;
use channel::{ChannelRef, CloseReason, Event, Notice, Payment};
use sdk::node::{EventStream, NodeEvent};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Collects a node's events from the moment it is made.
#[derive(Debug)]
pub struct EventLog {
    events: Arc<Mutex<Vec<NodeEvent>>>,
    length: watch::Receiver<usize>,
}

impl EventLog {
    /// Collects from `stream` until the node stops.
    #[must_use]
    pub fn of(mut stream: EventStream) -> Self {
        let events = Arc::<Mutex<Vec<_>>>::default();
        let (told, length) = watch::channel(0);
        let log = Self { events: Arc::clone(&events), length };
        let _task = tokio::spawn(async move {
            while let Ok(event) = stream.next().await {
                events.lock().unwrap().push(event);
                told.send_modify(|length| *length += 1);
            }
        });
        log
    }

    /// Everything so far.
    #[must_use]
    pub fn all(&self) -> Vec<NodeEvent> {
        self.events.lock().unwrap().clone()
    }

    /// What has happened to one channel so far.
    #[must_use]
    pub fn about(&self, channel: ChannelRef) -> Vec<Event> {
        let about = self.all().into_iter().filter(|told| told.reference == channel);
        about.filter_map(|told| told.event.event().cloned()).collect()
    }

    /// What was told of one channel in passing so far.
    #[must_use]
    pub fn notices(&self, channel: ChannelRef) -> Vec<Notice> {
        let about = self.all().into_iter().filter(|told| told.reference == channel);
        about.filter_map(|told| told.event.notice().cloned()).collect()
    }

    /// Every payment that the channel's owner received in it so far, in order.
    #[must_use]
    pub fn received(&self, channel: ChannelRef) -> Vec<Payment> {
        let received = |event| match event {
            Event::Received { payments, .. } => payments,
            _ => Vec::new(),
        };
        self.about(channel).into_iter().flat_map(received).collect()
    }

    /// The first thing that has happened or will happen to `channel` and that `pick` takes.
    pub async fn wait<T>(&self, what: &str, channel: ChannelRef, pick: impl Fn(&Event) -> Option<T>) -> T {
        self.wait_any(what, |event| (event.reference == channel).then(|| pick(event.event.event()?)).flatten()).await
    }

    /// The first thing that was told or will be told of `channel` in passing and that `pick` takes.
    pub async fn wait_notice<T>(&self, what: &str, channel: ChannelRef, pick: impl Fn(&Notice) -> Option<T>) -> T {
        self.wait_any(what, |event| (event.reference == channel).then(|| pick(event.event.notice()?)).flatten()).await
    }

    /// The first thing that has happened or will happen, to any channel, and that `pick` takes.
    pub async fn wait_any<T>(&self, what: &str, pick: impl Fn(&NodeEvent) -> Option<T>) -> T {
        let mut length = self.length.clone();
        within(what, async {
            loop {
                let found = self.events.lock().unwrap().iter().find_map(&pick);
                if let Some(found) = found {
                    return found;
                }
                assert!(length.changed().await.is_ok(), "the node stopped while {what} was awaited");
            }
        })
        .await
    }

    /// The payments that the channel's owner received in it, in order, once there are `count` of them.
    pub async fn wait_received(&self, channel: ChannelRef, count: usize) -> Vec<Payment> {
        let mut length = self.length.clone();
        within("payments to be received", async {
            loop {
                let received = self.received(channel);
                if received.len() >= count {
                    return received;
                }
                assert!(length.changed().await.is_ok(), "the node stopped while payments were awaited");
            }
        })
        .await
    }

    /// How the channel ended, once it has: everything else that there is to tell of it has been told by then.
    pub async fn wait_end(&self, channel: ChannelRef) -> CloseReason {
        let end = |event: &Event| match event {
            Event::Closed(reason) => Some(reason.clone()),
            _ => None,
        };
        self.wait("the channel's end", channel, end).await
    }
}
