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
        let _none = self.tasks.insert(number, tokio::spawn(greet(pending, peers)));
    }
}

/// Nobody is there any more whom they could be for.
impl Drop for Handshakes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

/// Holds nothing of the node while the other side takes its time.
fn greet(pending: IncomingConnection, peers: &Arc<Peers>) -> impl Future<Output = ()> + use<> {
    let (identity, tally) = (Arc::clone(&peers.config.identity), Arc::clone(&peers.tally));
    let (running, peers) = (peers.running.clone(), Arc::downgrade(peers));
    async move {
        let from = pending.from();
        let session = match pending.handshake(&identity).await {
            Ok(session) => session,
            Err(error) => {
                tally.count(Cause::HandshakeFailed);
                return tracing::info!(%from, %error, "a handshake failed");
            }
        };
        let Some(_runs) = running.enter() else { return };
        let Some(peers) = peers.upgrade() else { return };
        if let Err(error) = peers.connected(Connected { session, address: None, told: Vec::new() }).await {
            tracing::warn!(%from, %error, "refused a peer");
        }
    }
}
