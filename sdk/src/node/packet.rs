//! What travels in one message of a session: a channel's message, or a sign of life.

use channel::{ChannelRef, Message};
use protocol::decode_exact;
use scale::{Decode, Encode};

/// One message of a session. Numbers are never reused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Packet {
    /// About one channel.
    #[codec(index = 0)]
    Channel(ChannelRef, Message),
    /// Asks for a [`Packet::Pong`].
    #[codec(index = 1)]
    Ping,
    /// The sender lives.
    #[codec(index = 2)]
    Pong,
}

impl Packet {
    /// Decodes bytes of a peer whole (R3.2).
    ///
    /// # Errors
    /// The codec's own.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, scale::Error> {
        decode_exact(bytes)
    }
}
