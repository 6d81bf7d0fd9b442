//! Takes connections from outside: handshakes first, each in a task of its own, then a place for whoever has proven who it is. All of it runs among strangers.

use super::{
    causes::Cause,
    inbox::Connected,
    peers::Peers,
    places::{Origin, Places},
};
use crate::transport::{IncomingConnection, Listener};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::task::JoinHandle;

/// How long to wait where the system has no connection to give: for another one to end.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until the node is gone. A bad one concerns nobody else.
pub(super) async fn listen(listener: Listener, peers: Weak<Peers>) {
    let Some(mut handshakes) = peers.upgrade().map(|peers| Handshakes::new(&peers)) else { return };
    loop {
        match listener.accept().await {
            Ok(pending) => {
                let Some(peers) = peers.upgrade() else { return };
                handshakes.begin(pending, &peers);
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The handshakes under way, by their numbers.
struct Handshakes {
    places: Places<u64>,
    tasks: HashMap<u64, JoinHandle<()>>,
    next: u64,
}

impl Handshakes {
    fn new(peers: &Peers) -> Self {
        let limits = &peers.limits;
        Self { places: Places::new(limits.handshakes, limits.handshakes_per_address), tasks: HashMap::new(), next: 0 }
    }

    /// Runs a handshake beside everything else; where there are too many, another one gives way.
    fn begin(&mut self, pending: IncomingConnection, peers: &Arc<Peers>) {
        self.tasks.retain(|number, task| {
            let goes_on = !task.is_finished();
            if !goes_on {
                self.places.leave(number);
            }
            goes_on
        });
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let displaced = self.places.enter(number, Origin::of(pending.from().ip()));
        if let Some(task) = displaced.and_then(|displaced| self.tasks.remove(&displaced)) {
            task.abort();
            peers.tally.count(Cause::HandshakeDisplaced);
        }
        let peers = Arc::downgrade(peers);
        let _none = self.tasks.insert(number, tokio::spawn(async move { greet(pending, &peers).await }));
    }
}

async fn greet(pending: IncomingConnection, peers: &Weak<Peers>) {
    let from = pending.from();
    let Some(identity) = peers.upgrade().map(|peers| Arc::clone(&peers.config.identity)) else { return };
    match pending.handshake(&identity).await {
        Ok(session) => {
            let Some(peers) = peers.upgrade() else { return };
            if let Err(error) = peers.connected(Connected { session, address: None, told: Vec::new() }).await {
                tracing::warn!(%from, %error, "refused a peer");
            }
        }
        Err(error) => {
            if let Some(peers) = peers.upgrade() {
                peers.tally.count(Cause::HandshakeFailed);
            }
            tracing::info!(%from, %error, "a handshake failed");
        }
    }
}
