//! From an address to a session: TCP connections, and the handshake run over them.

use super::{
    ConnectionTimeouts, Role, Session,
    error::{AcceptError, BindError, DialError, HandshakeError, HandshakeStep},
    frame,
    handshake::{self, AwaitingProof, AwaitingReply},
};
use crate::keys::{Identity, PeerAddress};
use protocol::PublicKey;
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex as Turn,
    time::{Instant, timeout, timeout_at},
};

/// Takes connections from peers.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local_addr: SocketAddr,
    timeouts: ConnectionTimeouts,
}

impl Listener {
    /// Listens at `address` (`host:port`); port 0 lets the system choose.
    ///
    /// # Errors
    /// [`BindError`] where the address is not this machine's, or is in use.
    pub async fn bind(address: &str, timeouts: ConnectionTimeouts) -> Result<Self, BindError> {
        let failed = |source| BindError { address: address.to_owned(), source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, local_addr, timeouts })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next connection, before its handshake. Drive each [`IncomingConnection`] in a task of its own, so that a slow dialler holds up nobody,
    /// and bound how many there are at once.
    ///
    /// Cancel-safe: a dropped call loses no connection.
    ///
    /// # Errors
    /// [`AcceptError`] concerns one connection; the listener goes on.
    pub async fn accept(&self) -> Result<IncomingConnection, AcceptError> {
        let (stream, from) =
            self.socket.accept().await.map_err(|source| AcceptError { at: self.local_addr, source })?;
        Ok(IncomingConnection { stream, from, timeouts: self.timeouts })
    }
}

/// A connection whose handshake is still to be run. Dropping it closes the connection.
#[derive(Debug)]
pub struct IncomingConnection {
    stream: TcpStream,
    from: SocketAddr,
    timeouts: ConnectionTimeouts,
}

impl IncomingConnection {
    /// Where the dialler connects from.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        self.from
    }

    /// Runs the handshake within [`ConnectionTimeouts::handshake`]. Dropping the call closes the connection.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed and nobody else is concerned.
    pub async fn handshake(self, identity: &Identity) -> Result<Session, HandshakeError> {
        let mut wire = Wire::new(self.stream, self.timeouts.handshake);
        let hello = wire.recv(HandshakeStep::Hello).await?;
        let (listener, reply) = match AwaitingProof::on_hello(identity, &hello) {
            Ok(next) => next,
            Err(error) => {
                if let Some(refusal) = handshake::refusal(&error) {
                    // Tells an honest dialler why; whether it hears it changes nothing here.
                    let _told = wire.send(HandshakeStep::Reply, &refusal).await;
                }
                return Err(error);
            }
        };
        // Before the reply: the dialler begins no other handshake before it has that.
        let number = next_number();
        wire.send(HandshakeStep::Reply, &reply).await?;
        let established = listener.on_proof(&wire.recv(HandshakeStep::Proof).await?)?;
        wire.into_session(established, (Role::Listener, number), self.timeouts, HandshakeStep::Proof)
    }
}

/// Dials once, as [`Dialler::dial`] does. Whoever dials one peer more than once needs one [`Dialler`] for all of them, or the two ends may not
/// agree on which session is the later one.
///
/// # Errors
/// As [`Dialler::dial`].
pub async fn dial(identity: &Identity, to: &PeerAddress, timeouts: ConnectionTimeouts) -> Result<Session, DialError> {
    Dialler::default().dial(identity, to, timeouts).await
}

/// Dials peers: one handshake with each at a time.
#[derive(Debug, Default)]
pub struct Dialler {
    turns: Mutex<HashMap<PublicKey, Weak<Turn<()>>>>,
}

impl Dialler {
    /// Connects to a peer and makes sure that it is the one. Waits for the handshakes with it that are under way. Dropping the call closes the
    /// connection.
    ///
    /// The session stands for the dialler as soon as its proof is sent; a listener that refuses the proof closes, and the first
    /// [`recv`](super::Receiver::recv) says so.
    ///
    /// # Errors
    /// [`DialError`] says whether nobody was there, or the wrong one.
    pub async fn dial(
        &self,
        identity: &Identity,
        to: &PeerAddress,
        timeouts: ConnectionTimeouts,
    ) -> Result<Session, DialError> {
        if to.identity() == identity.public() {
            return Err(DialError::Ourselves);
        }
        let address = || format!("{}:{}", to.host(), to.port());
        let stream = timeout(timeouts.connect, TcpStream::connect((to.host(), to.port())))
            .await
            .map_err(|_| DialError::TimedOut { address: address(), after: timeouts.connect })?
            .map_err(|source| DialError::Unreachable { address: address(), source })?;
        let turn = self.turn(to.identity());
        let _turn = turn.lock().await;
        dialler_handshake(stream, identity, to, timeouts)
            .await
            .map_err(|source| DialError::Handshake { address: address(), source })
    }

    /// What is locked during a handshake with `peer`. Those that nobody waits for any more are forgotten.
    fn turn(&self, peer: PublicKey) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&peer).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        let _none = turns.insert(peer, Arc::downgrade(&turn));
        turn
    }
}

/// The number of the next session of this process.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn dialler_handshake(
    stream: TcpStream,
    identity: &Identity,
    to: &PeerAddress,
    timeouts: ConnectionTimeouts,
) -> Result<Session, HandshakeError> {
    let mut wire = Wire::new(stream, timeouts.handshake);
    let (dialler, hello) = AwaitingReply::start(identity, to.identity())?;
    wire.send(HandshakeStep::Hello, &hello).await?;
    let (established, proof) = dialler.on_reply(&wire.recv(HandshakeStep::Reply).await?)?;
    wire.send(HandshakeStep::Proof, &proof).await?;
    wire.into_session(established, (Role::Dialler, next_number()), timeouts, HandshakeStep::Proof)
}

/// Handshake frames over a connection, all before one deadline.
struct Wire {
    stream: TcpStream,
    limit: Duration,
    deadline: Option<Instant>,
}

impl Wire {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, deadline: Instant::now().checked_add(limit) }
    }

    async fn send(&mut self, step: HandshakeStep, message: &[u8]) -> Result<(), HandshakeError> {
        let length = frame::length_bytes(message.len()).unwrap_or_default();
        let frame = [&length[..], message].concat();
        within(self.deadline, self.limit, step, self.stream.write_all(&frame)).await
    }

    async fn recv(&mut self, step: HandshakeStep) -> Result<Vec<u8>, HandshakeError> {
        let mut length = [0; frame::LENGTH];
        let _read = within(self.deadline, self.limit, step, self.stream.read_exact(&mut length)).await?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > frame::MAX_HANDSHAKE_FRAME {
            return Err(HandshakeError::NotThisProtocol { step });
        }
        let mut message = vec![0; length];
        let _read = within(self.deadline, self.limit, step, self.stream.read_exact(&mut message)).await?;
        Ok(message)
    }

    fn into_session(
        self,
        established: handshake::Established,
        numbered: (Role, u64),
        timeouts: ConnectionTimeouts,
        step: HandshakeStep,
    ) -> Result<Session, HandshakeError> {
        Session::new(self.stream, established, numbered, timeouts)
            .map_err(|source| HandshakeError::Lost { step, source })
    }
}

async fn within<T>(
    deadline: Option<Instant>,
    after: Duration,
    step: HandshakeStep,
    io: impl Future<Output = io::Result<T>>,
) -> Result<T, HandshakeError> {
    let result = match deadline {
        Some(deadline) => timeout_at(deadline, io).await.map_err(|_| HandshakeError::TimedOut { step, after })?,
        None => io.await,
    };
    result.map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => HandshakeError::Truncated { step },
        _ => HandshakeError::Lost { step, source },
    })
}
