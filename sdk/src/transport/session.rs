use super::{ConnectionTimeouts, Receiver, Sender, handshake::Established};
use protocol::PublicKey;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;

/// Which side opened the connection; of two crossing ones, both nodes can so agree on which stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This node connected.
    Dialler,
    /// The peer connected.
    Listener,
}

/// An authenticated, encrypted connection to a peer. Dropping both halves closes it.
#[derive(Debug)]
pub struct Session {
    peer: PublicKey,
    role: Role,
    number: u64,
    remote_addr: SocketAddr,
    sender: Sender,
    receiver: Receiver,
}

impl Session {
    pub(super) fn new(
        stream: TcpStream,
        Established { peer, cipher }: Established,
        (role, number): (Role, u64),
        timeouts: ConnectionTimeouts,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let remote_addr = stream.peer_addr()?;
        let (read, write) = stream.into_split();
        let cipher = Arc::new(cipher);
        let sender = Sender::new(write, cipher.clone(), timeouts.stall);
        let receiver = Receiver::new(read, cipher, timeouts.idle);
        Ok(Self { peer, role, number, remote_addr, sender, receiver })
    }

    /// Who is at the other end, proven.
    #[must_use]
    pub const fn peer(&self) -> PublicKey {
        self.peer
    }

    /// Which side this node is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Orders the sessions of this process with one peer that the same side dialled: of two the one with the higher number was dialled later, and
    /// both ends order them alike, whenever they come to use them.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The address at the other end of the connection.
    #[must_use]
    pub const fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// Has the runtime of whoever calls this watch its socket, in place of the one that did.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn watched_here(self) -> io::Result<Self> {
        let (sender, receiver) = watched_here(self.sender, self.receiver)?;
        Ok(Self { sender, receiver, ..self })
    }

    /// The two directions, for two tasks: they share no lock.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

/// As [`Session::watched_here`], for its two directions. Nothing that was read, sealed or is under way is lost.
///
/// # Errors
/// The system's, and [`io::ErrorKind::InvalidInput`] where they are of two sessions.
pub(crate) fn watched_here(sender: Sender, receiver: Receiver) -> io::Result<(Sender, Receiver)> {
    let (read, receiver) = receiver.part();
    let (write, sender) = sender.part();
    let stream = read.reunite(write).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (read, write) = TcpStream::from_std(stream.into_std()?)?.into_split();
    Ok((sender(write), receiver(read)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        keys::Identity,
        transport::handshake::{AwaitingProof, AwaitingReply},
    };
    use tokio::net::TcpListener;

    /// Two ends of one session.
    pub(crate) async fn pair() -> (Session, Session) {
        let (alice, bob) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let (dialler, hello) = AwaitingReply::start(&alice, bob.public()).unwrap();
        let (listener, reply) = AwaitingProof::on_hello(&bob, &hello).unwrap();
        let (at_alice, proof) = dialler.on_reply(&reply).unwrap();
        let at_bob = listener.on_proof(&proof).unwrap();

        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = socket.accept().await.unwrap();
        let session =
            |stream, established, role| Session::new(stream, established, role, ConnectionTimeouts::default()).unwrap();
        let number = super::super::tcp::next_number();
        (session(dialled, at_alice, (Role::Dialler, number)), session(accepted, at_bob, (Role::Listener, number)))
    }

    #[test]
    fn a_session_goes_on_in_another_runtime_with_all_that_was_said() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, other) = (runtime(), runtime());
        let ((mut alice, mut alices), (bob, bobs)) = one.block_on(async {
            let (alice, bob) = pair().await;
            let ((mut alice, alices), (mut bob, mut bobs)) = (alice.split(), bob.split());
            alice.feed(b"first").await.unwrap();
            alice.send(b"second").await.unwrap();
            bob.feed(b"not flushed").await.unwrap();
            assert_eq!(bobs.recv().await.unwrap(), b"first");
            ((alice, alices), (bob, bobs))
        });
        let (mut bob, mut bobs) = other.block_on(async {
            let (mut bob, mut bobs) = watched_here(bob, bobs).unwrap();
            assert_eq!(bobs.recv().await.unwrap(), b"second");
            bob.flush().await.unwrap();
            (bob, bobs)
        });
        one.block_on(async {
            assert_eq!(alices.recv().await.unwrap(), b"not flushed");
            alice.send(b"third").await.unwrap();
        });
        other.block_on(async {
            assert_eq!(bobs.recv().await.unwrap(), b"third");
            bob.send(b"fourth").await.unwrap();
        });
        one.block_on(async { assert_eq!(alices.recv().await.unwrap(), b"fourth") });
    }
}
