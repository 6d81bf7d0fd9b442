//! The connection to one peer, as far as there is one: never waits, never takes more than it can hold.

use super::packet::Packet;
use crate::transport::{Receiver, Role, Sender, Session, Timeouts};
use futures::FutureExt;
use protocol::PublicKey;
use scale::Encode;
use std::time::Duration;
use tokio::time::Instant;

/// The most bytes that wait for a peer to read them. A peer that is slower is dropped: when it comes back, both compare notes (R6.6).
const MAX_UNSENT: usize = 64 * 1024 * 1024;

pub(super) struct Link {
    session: Option<Open>,
    was_up: bool,
    /// A connection that lost against the one above, kept until that one has shown that it lives: the peer may have dialled because it
    /// does not.
    reserve: Option<(Open, Instant)>,
    ping_interval: Duration,
    idle: Duration,
}

struct Open {
    sender: Sender,
    receiver: Receiver,
    role: Role,
    /// When something last came from the peer.
    heard: Instant,
    pinged: bool,
    /// Something failed: the next [`Link::recv`] says that the connection is lost.
    broken: bool,
}

/// What comes out of a connection.
#[derive(Debug)]
pub(super) enum Received {
    Packet(Packet),
    /// The connection is gone, for whatever reason.
    Lost,
    /// The connection is gone, and another one has taken its place.
    Replaced,
}

impl Link {
    pub(super) const fn new(ping_interval: Duration, timeouts: Timeouts) -> Self {
        Self { session: None, was_up: false, reserve: None, ping_interval, idle: timeouts.idle }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// Whether there has ever been a connection.
    pub(super) const fn was_up(&self) -> bool {
        self.was_up
    }

    /// Takes a new connection, unless the one there is stays. There is one for each pair of nodes: a new one by the same dialler replaces
    /// its old one, which that dialler must have lost; of two that crossed, the one that the lower identity dialled stays, if it is alive.
    pub(super) fn adopt(&mut self, session: Session, ours: &PublicKey) -> bool {
        let peer = session.peer();
        let role = session.role();
        let lower_dialled = (role == Role::Dialler) == (*ours < peer);
        let new = Open::new(session);
        self.was_up = true;
        if self.session.as_ref().is_some_and(|open| !open.broken && open.role != role && !lower_dialled) {
            self.reserve = Some((new, Instant::now()));
            self.ping();
            return false;
        }
        self.session = Some(new);
        self.reserve = None;
        true
    }

    /// What comes next; never, where there is no connection. Sends on what could not be sent at once. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Received {
        let Some(open) = &mut self.session else { return std::future::pending().await };
        if let Some(packet) = open.recv().await {
            if packet == Packet::Pong {
                self.reserve = None;
            }
            return Received::Packet(packet);
        }
        self.session = self.reserve.take().map(|(open, _since)| open);
        if self.session.is_some() { Received::Replaced } else { Received::Lost }
    }

    /// What is there already.
    pub(super) fn try_recv(&mut self) -> Option<Received> {
        if self.session.is_some() { self.recv().now_or_never() } else { None }
    }

    /// Puts a packet where [`Link::flush`] sends it from.
    pub(super) fn feed(&mut self, packet: &Packet) {
        let Some(open) = &mut self.session else { return };
        match open.sender.feed(&packet.encode()).now_or_never() {
            Some(Err(error)) => open.fail(&error),
            _ if open.sender.unsent() > MAX_UNSENT => open.fail(&"the peer reads too slowly"),
            _ => {}
        }
    }

    /// Sends what it can without waiting; [`Link::recv`] sends the rest.
    pub(super) fn flush(&mut self) {
        let Some(open) = &mut self.session else { return };
        if open.sender.unsent() > 0
            && let Some(Err(error)) = open.sender.flush().now_or_never()
        {
            open.fail(&error);
        }
    }

    pub(super) fn pong(&mut self) {
        self.feed(&Packet::Pong);
    }

    /// Asks a silent peer for a sign of life, and gives up one that gives none.
    pub(super) fn keep_alive(&mut self) {
        let Some(open) = &mut self.session else { return };
        let silent = open.heard.elapsed();
        if silent >= self.idle {
            open.fail(&"the peer was silent for too long");
        } else if self.reserve.as_ref().is_some_and(|(_, since)| since.elapsed() >= self.ping_interval) {
            open.fail(&"the peer has dialled again and does not answer here");
        } else if !open.pinged && silent >= self.ping_interval {
            self.ping();
        }
    }

    fn ping(&mut self) {
        if let Some(open) = &mut self.session {
            open.pinged = true;
            self.feed(&Packet::Ping);
        }
    }
}

impl Open {
    fn new(session: Session) -> Self {
        let role = session.role();
        let (sender, receiver) = session.split();
        Self { sender, receiver, role, heard: Instant::now(), pinged: false, broken: false }
    }

    /// The next packet; none when the connection is over.
    async fn recv(&mut self) -> Option<Packet> {
        loop {
            if self.broken {
                return None;
            }
            let unsent = self.sender.unsent() > 0;
            tokio::select! {
                biased;
                received = self.receiver.recv() => {
                    let bytes = received.map_err(|error| self.fail(&error)).ok()?;
                    self.heard = Instant::now();
                    self.pinged = false;
                    return Packet::from_bytes(&bytes).map_err(|error| self.fail(&error)).ok();
                }
                sent = self.sender.flush(), if unsent => {
                    if let Err(error) = sent {
                        self.fail(&error);
                    }
                }
            }
        }
    }

    fn fail(&mut self, cause: &dyn std::fmt::Display) {
        tracing::info!(%cause, "connection lost");
        self.broken = true;
    }
}
