//! The connection to one peer, as far as there is one: never waits, never takes more than it can hold.

use super::{
    causes::{Cause, CauseTally},
    limits::NodeLimits,
    packet::Packet,
    places::Origin,
};
use crate::transport::{
    ConnectionTimeouts, MAX_MESSAGE, Receiver, RecvError, Role, SendError, Sender, Session, watched_here,
};
use futures::FutureExt;
use protocol::PublicKey;
use scale::Encode;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

pub(super) struct Link {
    session: Option<Open>,
    was_up: bool,
    /// The connection is gone, and nobody was told: the next [`Link::recv`] does.
    is_lost: bool,
    /// A connection that lost against the one above, kept until that one has shown that it lives: the peer may have dialled because it
    /// does not.
    reserve: Option<(Open, Instant)>,
    ping_interval: Duration,
    idle: Duration,
    bounds: Bounds,
    tally: Arc<CauseTally>,
}

/// What a peer may make this node hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The longest message, in bytes.
    pub(super) message: usize,
    /// How many bytes may wait to be read by it.
    pub(super) unsent: usize,
}

impl Bounds {
    pub(super) const fn of_strangers(limits: &NodeLimits) -> Self {
        Self { message: limits.stranger_message, unsent: limits.stranger_unsent }
    }

    pub(super) const fn of_known(limits: &NodeLimits) -> Self {
        Self { message: MAX_MESSAGE, unsent: limits.unsent }
    }
}

struct Open {
    sender: Sender,
    receiver: Receiver,
    role: Role,
    /// Where the peer is.
    origin: Origin,
    /// Of two that the same side dialled, the later one has the higher number.
    number: u64,
    /// When something last came from the peer.
    heard: Instant,
    pinged: bool,
    /// Nothing is read before.
    paused_until: Option<Instant>,
    /// Somebody waits for all of it to be on its way.
    tells_drained: bool,
    /// Something failed: the next [`Link::recv`] says that the connection is lost.
    broken: bool,
    tally: Arc<CauseTally>,
}

/// What comes out of a connection.
#[derive(Debug)]
pub(super) enum Received {
    /// One message, as it came.
    Message(Vec<u8>),
    /// The connection is gone, for whatever reason.
    Lost,
    /// The connection is gone, and another one has taken its place.
    Replaced,
    /// What waited to be read by the peer is on its way ([`Link::tell_when_drained`]).
    Drained,
}

impl Received {
    /// How long it is.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Message(bytes) => bytes.len(),
            Self::Lost | Self::Replaced | Self::Drained => 0,
        }
    }
}

impl Link {
    pub(super) const fn new(
        ping_interval: Duration,
        timeouts: ConnectionTimeouts,
        bounds: Bounds,
        tally: Arc<CauseTally>,
    ) -> Self {
        let idle = timeouts.idle;
        Self { session: None, was_up: false, is_lost: false, reserve: None, ping_interval, idle, bounds, tally }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// Whether there has ever been a connection.
    pub(super) const fn was_up(&self) -> bool {
        self.was_up
    }

    /// Whether this node dialled the peer.
    pub(super) fn is_dialled(&self) -> bool {
        self.session.as_ref().is_some_and(|open| open.role == Role::Dialler)
    }

    /// Where the peer is, where there is a connection.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.session.as_ref().map(|open| open.origin)
    }

    /// Changes what the peer may make this node hold, on this connection and the next ones.
    pub(super) fn bound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        let reserve = self.reserve.iter_mut().map(|(open, _since)| open);
        for open in self.session.iter_mut().chain(reserve) {
            open.receiver.set_limit(bounds.message);
        }
    }

    /// Has the runtime of whoever calls this watch the connection's socket. A connection that cannot be watched is lost.
    pub(super) fn watch_here(&mut self) {
        let was_up = self.session.is_some();
        self.session = self.session.take().and_then(Open::watched_here);
        // One that was lost before, and that nobody was told of, stays so.
        self.is_lost |= was_up && self.session.is_none();
        self.reserve = self.reserve.take().and_then(|(open, since)| Some((open.watched_here()?, since)));
    }

    /// Reads nothing from the peer for a while; what it says meanwhile waits at its end.
    pub(super) fn pause(&mut self, pause: Duration) {
        if let Some(open) = &mut self.session {
            open.paused_until = Instant::now().checked_add(pause);
        }
    }

    /// Takes a new connection, unless the one there is stays. There is one for each pair of nodes: of two that the same side dialled the later one
    /// stays, as its dialler must have lost the other, whichever comes here first; of two that crossed, the one that the lower identity dialled
    /// stays, if it is alive.
    pub(super) fn adopt(&mut self, session: Session, ours: &PublicKey) -> bool {
        let lower_dialled = (session.role() == Role::Dialler) == (*ours < session.peer());
        let new = Open::new(session, self.bounds, Arc::clone(&self.tally));
        self.was_up = true;
        match self.session.as_ref().filter(|open| !open.broken) {
            Some(open) if new.is_overtaken_by(open) => return false,
            Some(open) if open.role != new.role && !lower_dialled => {
                self.keep_in_reserve(new);
                return false;
            }
            _ => {}
        }
        self.session = Some(new);
        (self.reserve, self.is_lost) = (None, false);
        true
    }

    fn keep_in_reserve(&mut self, new: Open) {
        if !self.reserve.as_ref().is_some_and(|(earlier, _since)| new.is_overtaken_by(earlier)) {
            self.reserve = Some((new, Instant::now()));
            self.ping();
        }
    }

    /// What comes next; never, where there is no connection. Sends on what could not be sent at once. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Received {
        match &mut self.session {
            Some(open) => {
                if let Some(received) = open.recv().await {
                    return received;
                }
            }
            None if std::mem::take(&mut self.is_lost) => {}
            None => return std::future::pending().await,
        }
        self.session = self.reserve.take().map(|(open, _since)| open);
        if self.session.is_some() { Received::Replaced } else { Received::Lost }
    }

    /// What is there already.
    pub(super) fn try_recv(&mut self) -> Option<Received> {
        if self.session.is_some() { self.recv().now_or_never() } else { None }
    }

    /// The peer has answered: it is not lost, and needs no other connection.
    pub(super) fn answered(&mut self) {
        self.reserve = None;
    }

    /// Whether so much waits to be read by the peer that what can be said later is better said then. There is room beside it for a message of
    /// full length and for much that is short.
    pub(super) fn is_congested(&self) -> bool {
        let most = self.bounds.unsent.checked_div(4).unwrap_or_default();
        self.session.as_ref().is_some_and(|open| open.sender.unsent() > most)
    }

    /// Has [`Link::recv`] say [`Received::Drained`] once nothing waits to be read by the peer.
    pub(super) fn tell_when_drained(&mut self) {
        if let Some(open) = &mut self.session {
            open.tells_drained = true;
        }
    }

    /// Puts a packet where [`Link::flush`] sends it from.
    pub(super) fn feed(&mut self, packet: &Packet) {
        let Some(open) = &mut self.session else { return };
        match open.sender.feed(&packet.encode()).now_or_never() {
            Some(Err(error)) => open.fail_to_send(&error),
            _ if open.sender.unsent() > 0 && open.sender.held() > self.bounds.unsent => {
                open.fail(Some(Cause::Unread), &"the peer reads too slowly");
            }
            _ => {}
        }
    }

    /// Sends what it can without waiting; [`Link::recv`] sends the rest.
    pub(super) fn flush(&mut self) {
        let Some(open) = &mut self.session else { return };
        if open.sender.unsent() > 0
            && let Some(Err(error)) = open.sender.flush().now_or_never()
        {
            open.fail_to_send(&error);
        }
    }

    pub(super) fn pong(&mut self) {
        self.feed(&Packet::Pong);
    }

    /// Ends the connection: the next [`Link::recv`] says so.
    pub(super) fn cut_off(&mut self, cause: Cause, why: &dyn fmt::Display) {
        if let Some(open) = &mut self.session {
            open.fail(Some(cause), why);
        }
    }

    /// Asks a silent peer for a sign of life, and gives up one that gives none.
    pub(super) fn keep_alive(&mut self) {
        let Some(open) = &mut self.session else { return };
        let silent = open.heard.elapsed();
        if silent >= self.idle {
            open.fail(Some(Cause::Silent), &"the peer was silent for too long");
        } else if self.reserve.as_ref().is_some_and(|(_, since)| since.elapsed() >= self.ping_interval) {
            open.fail(None, &"the peer has dialled again and does not answer here");
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
    fn new(session: Session, bounds: Bounds, tally: Arc<CauseTally>) -> Self {
        let (role, number, origin) = (session.role(), session.number(), Origin::of(session.remote_addr().ip()));
        let (sender, mut receiver) = session.split();
        receiver.set_limit(bounds.message);
        let (heard, paused_until) = (Instant::now(), None);
        Self {
            sender,
            receiver,
            role,
            origin,
            number,
            heard,
            pinged: false,
            paused_until,
            tells_drained: false,
            broken: false,
            tally,
        }
    }

    fn watched_here(self) -> Option<Self> {
        match watched_here(self.sender, self.receiver) {
            Ok((sender, receiver)) => Some(Self { sender, receiver, ..self }),
            Err(error) => {
                tracing::info!(%error, "connection lost");
                None
            }
        }
    }

    /// Whether the side that dialled this one has dialled `other` after it.
    fn is_overtaken_by(&self, other: &Self) -> bool {
        self.role == other.role && self.number < other.number
    }

    /// The next message, or that what waited is read; none when the connection is over.
    async fn recv(&mut self) -> Option<Received> {
        loop {
            if self.broken {
                return None;
            }
            let unsent = self.sender.unsent() > 0;
            if !unsent && std::mem::take(&mut self.tells_drained) {
                return Some(Received::Drained);
            }
            if let Some(until) = self.paused_until {
                tokio::select! {
                    biased;
                    () = sleep_until(until) => self.paused_until = None,
                    sent = self.sender.flush(), if unsent => self.sent(sent),
                }
                continue;
            }
            tokio::select! {
                biased;
                received = self.receiver.recv() => {
                    let bytes = received.map_err(|error| self.fail_to_receive(&error)).ok()?;
                    self.heard = Instant::now();
                    self.pinged = false;
                    return Some(Received::Message(bytes));
                }
                sent = self.sender.flush(), if unsent => self.sent(sent),
            }
        }
    }

    fn sent(&mut self, sent: Result<(), SendError>) {
        if let Err(error) = sent {
            self.fail_to_send(&error);
        }
    }

    fn fail_to_send(&mut self, error: &SendError) {
        let cause = match error {
            SendError::Stalled { .. } => Some(Cause::Stalled),
            SendError::TooLong { .. } | SendError::Lost(_) | SendError::Exhausted | SendError::Over => None,
        };
        self.fail(cause, error);
    }

    fn fail_to_receive(&mut self, error: &RecvError) {
        let cause = match error {
            RecvError::Idle { .. } => Some(Cause::Silent),
            RecvError::Tampered | RecvError::FrameTooShort { .. } => Some(Cause::FrameDamaged),
            RecvError::TooLong { .. } => Some(Cause::MessageTooLong),
            RecvError::Closed | RecvError::Truncated | RecvError::Lost(_) | RecvError::Exhausted | RecvError::Over => {
                None
            }
        };
        self.fail(cause, error);
    }

    /// Ends the connection, and counts the cause where it is the peer's: once, however many things fail after it.
    fn fail(&mut self, cause: Option<Cause>, why: &dyn fmt::Display) {
        if self.broken {
            return;
        }
        self.broken = true;
        if let Some(cause) = cause {
            self.tally.count(cause);
        }
        tracing::info!(cause = %why, "connection lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::pair;

    fn link() -> Link {
        let bounds = Bounds { message: MAX_MESSAGE, unsent: MAX_MESSAGE };
        Link::new(Duration::from_secs(1), ConnectionTimeouts::default(), bounds, Arc::default())
    }

    fn kept(link: &Link) -> Option<u64> {
        link.session.as_ref().map(|open| open.number)
    }

    #[tokio::test]
    async fn both_ends_keep_the_later_one_of_two_connections_in_whatever_order_they_come_to_know_them() {
        let ((first, firsts), (second, seconds)) = (pair().await, pair().await);
        let (ours, theirs) = (firsts.peer(), first.peer());
        let later = Some(second.number());
        let (mut dialler, mut listener) = (link(), link());
        assert!(dialler.adopt(first, &ours) && dialler.adopt(second, &ours));
        assert!(listener.adopt(seconds, &theirs) && !listener.adopt(firsts, &theirs));
        assert_eq!((kept(&dialler), kept(&listener)), (later, later));
    }

    #[tokio::test]
    async fn an_earlier_connection_is_taken_where_the_later_one_is_lost() {
        let ((first, at_peer), (second, _open)) = (pair().await, pair().await);
        let (ours, earlier) = (at_peer.peer(), first.number());
        let mut link = link();
        assert!(link.adopt(second, &ours));
        link.cut_off(Cause::Silent, &"it is lost");
        assert!(link.adopt(first, &ours));
        assert_eq!(kept(&link), Some(earlier));
    }
}
