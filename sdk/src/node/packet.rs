//! What travels in one message of a session: a channel's message, or a sign of life.

use channel::{ChannelRef, Message};
use protocol::{Hash, decode_exact};
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
    /// Asks for an app's Wasm, from this byte on.
    #[codec(index = 3)]
    CodeWanted {
        /// Which app.
        code: Hash,
        /// How many bytes are here already.
        from: u32,
    },
    /// A part of an app's Wasm.
    #[codec(index = 4)]
    CodePiece {
        /// Which app.
        code: Hash,
        /// How long it is; 0 where the sender does not have it.
        total: u32,
        /// Where this part begins.
        from: u32,
        /// At most [`MAX_PIECE`] bytes.
        bytes: Vec<u8>,
    },
    /// The sender's terms for transfers across its channels, signed: an [`Announcement`](network::Announcement).
    #[codec(index = 5)]
    Terms(Vec<u8>),
    /// About swaps between two chains: [`SwapWords`](network::SwapWords).
    #[codec(index = 6)]
    Swap(Vec<u8>),
}

/// The most bytes of an app in one message.
pub const MAX_PIECE: usize = 48 * 1024;

impl Packet {
    /// Which channel these bytes are about, if one: told without looking at the rest.
    pub(super) fn channel_of(bytes: &[u8]) -> Option<ChannelRef> {
        let (&[0], rest) = bytes.split_first_chunk::<1>()? else { return None };
        Some(ChannelRef(*rest.first_chunk()?))
    }

    /// Decodes bytes of a peer whole (R3.2).
    ///
    /// # Errors
    /// The codec's own.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, scale::Error> {
        decode_exact(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_of_a_packet_is_told_from_its_first_bytes() {
        let about = Packet::Channel(ChannelRef([7; 16]), Message::Leave).encode();
        assert_eq!(Packet::channel_of(&about), Some(ChannelRef([7; 16])));
        assert_eq!(Packet::channel_of(&about[..17]), Some(ChannelRef([7; 16])));
        assert_eq!(Packet::channel_of(&about[..16]), None);
        assert_eq!(Packet::channel_of(&Packet::Ping.encode()), None);
        assert_eq!(Packet::channel_of(&[]), None);
    }
}
