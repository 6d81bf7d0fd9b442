use crate::keys::NotAnIdentity;
use protocol::PublicKey;
use std::{fmt, io, net::SocketAddr, time::Duration};
use thiserror::Error;

/// The three messages of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeStep {
    /// The first, by the dialler.
    Hello,
    /// The second, by the listener.
    Reply,
    /// The third, by the dialler: its identity.
    Proof,
}

impl fmt::Display for HandshakeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Reply => "reply",
            Self::Proof => "identity proof",
        })
    }
}

/// Why two nodes did not come to a session. The connection is closed.
#[derive(Debug, Error)]
pub enum HandshakeError {
    // The other side's bytes.
    /// What arrived is not this protocol.
    #[error("the {step} is not of this protocol: something else speaks at the other end; check host and port")]
    NotThisProtocol {
        /// What was expected.
        step: HandshakeStep,
    },
    /// The other side speaks another version.
    #[error("the peer speaks version {theirs} of the protocol and this node version {ours}: update the older one")]
    VersionMismatch {
        /// This node's.
        ours: u16,
        /// The peer's.
        theirs: u16,
    },
    /// A handshake message has the wrong length.
    #[error("the {step} has {got} bytes instead of {expected}")]
    WrongLength {
        /// Which message.
        step: HandshakeStep,
        /// Its length.
        got: usize,
        /// The only length it may have.
        expected: usize,
    },
    /// The connection ended before the message was whole.
    #[error("the peer closed the connection before its {step} was whole")]
    Truncated {
        /// The message that was awaited.
        step: HandshakeStep,
    },
    /// The other side did not answer in time.
    #[error("the peer's {step} did not come within {after:?}")]
    TimedOut {
        /// The message that was awaited or being sent.
        step: HandshakeStep,
        /// The limit for the whole handshake.
        after: Duration,
    },

    // Who the other side is.
    /// The node that answered does not hold the identity that was dialled.
    #[error("the node that answered does not hold the identity {dialled}: check the peer's address")]
    WrongIdentity {
        /// Who was expected.
        dialled: PublicKey,
    },
    /// The dialler expected another identity at this address, or its message was damaged.
    #[error("the dialler's hello is not for this node: it expected another identity here, or its message was damaged")]
    NotForUs,
    /// A message does not fit the handshake so far: damaged on the way, or forged.
    #[error("the {step} was damaged or forged on the way")]
    Forged {
        /// Which message.
        step: HandshakeStep,
    },
    /// The dialler claims an identity whose Noise key it did not prove to hold.
    #[error("the dialler claims to be {claimed} but has not proven it")]
    IdentityNotProven {
        /// What it claims.
        claimed: PublicKey,
    },
    /// The key is nobody's.
    #[error(transparent)]
    NotAnIdentity(#[from] NotAnIdentity),

    // The way between, and this side.
    /// The connection broke.
    #[error("the connection broke at the {step}: {source}")]
    Lost {
        /// The message that was under way.
        step: HandshakeStep,
        /// The system's words.
        source: io::Error,
    },
    /// The Noise library refused to work; a bug here or a system without randomness.
    #[error("this side of the handshake failed: {0}")]
    Internal(#[source] snow::Error),
}

/// Why a peer could not be dialled.
#[derive(Debug, Error)]
pub enum DialError {
    /// The address is this node's own identity.
    #[error("the address is this node's own: a node has no channels with itself")]
    Ourselves,
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}; check that the node runs there and that host and port are right")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// No TCP connection in time.
    #[error(
        "{address} did not answer within {after:?}; check that the node runs there and that no firewall is in between"
    )]
    TimedOut {
        /// Host and port.
        address: String,
        /// The limit.
        after: Duration,
    },
    /// Connected, but no session.
    #[error("no session with {address}: {source}")]
    Handshake {
        /// Host and port.
        address: String,
        /// The reason why it is not made.
        source: HandshakeError,
    },
}

/// The port cannot be listened at.
#[derive(Debug, Error)]
#[error("cannot listen at {address}: {source}; choose another address or port, or stop what uses it")]
pub struct BindError {
    /// The address asked for.
    pub address: String,
    /// The system's words.
    pub source: io::Error,
}

/// One connection could not be taken from the system; the listener goes on.
#[derive(Debug, Error)]
#[error("cannot accept a connection at {at}: {source}; if files are short, raise the limit (ulimit -n)")]
pub struct AcceptError {
    /// Where this node listens.
    pub at: SocketAddr,
    /// The system's words.
    pub source: io::Error,
}

/// Why a message was not sent. All but [`TooLong`](Self::TooLong) end the session.
#[derive(Debug, Error)]
pub enum SendError {
    /// The caller's message is over the limit; nothing was sent and the session goes on.
    #[error("a message of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Its length.
        length: usize,
        /// [`MAX_MESSAGE`](super::MAX_MESSAGE).
        limit: usize,
    },
    /// The peer does not read.
    #[error("the peer took none of the bytes sent to it for {after:?}")]
    Stalled {
        /// The limit.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection broke while sending: {0}")]
    Lost(#[source] io::Error),
    /// Every nonce has been used: a new session is needed.
    #[error("this session has sent as many frames as one key allows: connect again")]
    Exhausted,
    /// An earlier call already failed.
    #[error("the session is over since an earlier failure: connect again")]
    Over,
}

/// Why no message was received. Each ends the session.
#[derive(Debug, Error)]
pub enum RecvError {
    /// The peer closed the connection after a whole message.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection ended inside a frame or a message.
    #[error("the connection ended in the middle of a message")]
    Truncated,
    /// Nothing arrived for too long.
    #[error("the peer was silent for {after:?}")]
    Idle {
        /// The limit.
        after: Duration,
    },
    /// A frame was altered, dropped, repeated or moved on the way.
    #[error("a frame was altered on the way, or did not come in its turn")]
    Tampered,
    /// A frame is too short to hold anything.
    #[error("a frame of {length} bytes cannot hold anything; the least is {least}")]
    FrameTooShort {
        /// Its length.
        length: usize,
        /// The least.
        least: usize,
    },
    /// The peer announced a message over the limit.
    #[error("the peer announced a message of {length} bytes; the limit is {limit}")]
    TooLong {
        /// The announced length.
        length: u32,
        /// [`MAX_MESSAGE`](super::MAX_MESSAGE), or what [`Receiver::set_limit`](super::Receiver::set_limit) has made of it.
        limit: usize,
    },
    /// The connection broke.
    #[error("the connection broke while receiving: {0}")]
    Lost(#[source] io::Error),
    /// Every nonce has been used: a new session is needed.
    #[error("this session has received as many frames as one key allows: connect again")]
    Exhausted,
    /// An earlier call already failed.
    #[error("the session is over since an earlier failure: connect again")]
    Over,
}
