//! Encrypted connections between nodes: TCP and `Noise_XK_25519_ChaChaPoly_BLAKE2b`, whole messages in order, both sides authenticated.
//!
//! ```text
//!   dial(identity, address) --.                                         .-> Sender   (feed, flush, send)
//!                             +-- handshake (3 frames) --> Session --split
//!   Listener::accept -> IncomingConnection                                         '-> Receiver (recv)
//! ```
//!
//! On the wire everything is a frame: two bytes of length, big-endian, and so many bytes.
//!
//! ```text
//!   dialler                                                   listener
//!     | magic (8) | version (2) | e, es          = hello  ------> |   knows the listener's identity beforehand
//!     | <------ reply = status (1) | e, ee                        |   or status and reason, and the end
//!     | s, se, { dialler's identity (32) }       = proof  ------> |   identity checked against s
//!     | <===== sealed frames, both ways, own nonces each way ===> |
//! ```
//!
//! Inside the sealed frames runs a stream of messages, each four bytes of length and so many bytes, cut wherever a frame is full; several
//! small ones share a frame. Limits: [`MAX_FRAME`], [`MAX_MESSAGE`], and the [`ConnectionTimeouts`].
//!
//! Both ends agree on which of two sessions is the later one ([`Session::number`]): a [`Dialler`] begins no handshake with a peer before its last
//! one with it is over, and the listener counts the hellos that it answers.
//!
//! Bytes of a peer are hostile until decrypted, and its messages after that too: each fault is an error of its own, ends this
//! session and nothing else. That a peer *said* goodbye is a matter of the messages above: anybody on the way can cut a TCP connection
//! between two messages, which looks like [`RecvError::Closed`].

mod counters;
mod error;
mod frame;
mod handshake;
mod message;
mod receiver;
mod sender;
mod session;
mod tcp;

pub use counters::SessionCounters;
pub use error::{AcceptError, BindError, DialError, HandshakeError, HandshakeStep, RecvError, SendError};
pub use frame::MAX_FRAME;
pub use handshake::PROTOCOL_VERSION;
pub use message::MAX_MESSAGE;
pub use receiver::Receiver;
pub use sender::Sender;
pub(crate) use session::watched_here;
pub use session::{Role, Session};
pub use tcp::{Dialler, IncomingConnection, Listener, dial};

#[cfg(test)]
pub(crate) use session::tests::pair;

use std::time::Duration;

/// How long this side waits for the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTimeouts {
    /// For a TCP connection when dialling, name resolution included.
    pub connect: Duration,
    /// For the whole handshake, once connected.
    pub handshake: Duration,
    /// For the next bytes while [`Receiver::recv`] waits. A live peer sends pings more often than this.
    pub idle: Duration,
    /// For the peer to take any of the bytes that are being sent.
    pub stall: Duration,
}

impl Default for ConnectionTimeouts {
    /// 10 s to connect, 10 s for the handshake, 60 s of silence, 30 s of not reading.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
        }
    }
}
