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

    /// The two directions, for two tasks: they share no lock.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
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
}
