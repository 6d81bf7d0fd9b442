//! Nodes talk over real sockets: what is sent arrives, and whatever a hostile peer sends ends its own connection only.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod good;
mod hostile;

use sdk::{
    keys::{Identity, PeerAddress},
    transport::{ConnectionTimeouts, HandshakeError, Listener, Receiver, Sender, Session, dial},
};
use std::{net::SocketAddr, time::Duration};
use tokio::sync::mpsc;

/// Long enough for a busy machine; a test that works never waits for it.
const PATIENT: ConnectionTimeouts = ConnectionTimeouts {
    connect: Duration::from_secs(20),
    handshake: Duration::from_secs(20),
    idle: Duration::from_secs(20),
    stall: Duration::from_secs(20),
};

fn alice() -> Identity {
    Identity::from_seed(&[0xa1; 32])
}

fn bob() -> Identity {
    Identity::from_seed(&[0xb0; 32])
}

/// Bob's node: takes every connection, each handshake in a task of its own, and hands out what becomes of them.
struct Server {
    addr: SocketAddr,
    outcomes: mpsc::UnboundedReceiver<Result<Session, HandshakeError>>,
}

impl Server {
    async fn start(timeouts: ConnectionTimeouts) -> Self {
        let listener = Listener::bind("127.0.0.1:0", timeouts).await.unwrap();
        let addr = listener.local_addr();
        let (outcome, outcomes) = mpsc::unbounded_channel();
        drop(tokio::spawn(async move {
            loop {
                let pending = listener.accept().await.unwrap();
                let outcome = outcome.clone();
                drop(tokio::spawn(async move {
                    let _sent = outcome.send(pending.handshake(&bob()).await);
                }));
            }
        }));
        Self { addr, outcomes }
    }

    /// The address under which Bob is dialled at `addr`.
    fn address_via(addr: SocketAddr) -> PeerAddress {
        PeerAddress::new(bob().public(), &addr.ip().to_string(), addr.port()).unwrap()
    }

    fn address(&self) -> PeerAddress {
        Self::address_via(self.addr)
    }

    async fn session(&mut self) -> Session {
        self.outcomes.recv().await.unwrap().unwrap()
    }

    async fn refusal(&mut self) -> HandshakeError {
        self.outcomes.recv().await.unwrap().unwrap_err()
    }

    /// After whatever happened before, an honest peer is served.
    async fn serves_the_next_peer(&mut self) {
        let carol = Identity::from_seed(&[0xca; 32]);
        let (mut sender, _receiver) = dial(&carol, &self.address(), PATIENT).await.unwrap().split();
        sender.send(b"still there?").await.unwrap();
        let session = self.session().await;
        assert_eq!(session.peer(), carol.public());
        let (_sender, mut receiver) = session.split();
        assert_eq!(receiver.recv().await.unwrap(), b"still there?");
    }
}

type Halves = (Sender, Receiver);

/// Alice dials Bob: her halves, his halves.
async fn connected() -> (Server, Halves, Halves) {
    let mut server = Server::start(PATIENT).await;
    let dialled = dial(&alice(), &server.address(), PATIENT).await.unwrap();
    let accepted = server.session().await;
    (server, dialled.split(), accepted.split())
}
