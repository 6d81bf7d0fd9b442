//! How a router names what it offers: by where it comes from (I9).

use crate::swap::SwapId;
use channel::{ChannelRef, IdempotencyKey};
use protocol::contracts::ContractId;
use scale::{Decode, Encode};

/// The user's own name for a payment; asked for twice by one name, it is made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct PaymentId(pub [u8; 32]);

/// Whose an offer of the router's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) enum OfferName {
    /// A transfer that goes on: the channel and the contract it came in. 49 bytes.
    #[codec(index = 0xf0)]
    Forward(ChannelRef, ContractId),
    /// A part of a local payment. 37 bytes.
    #[codec(index = 0xf1)]
    Part(PaymentId, u32),
    /// A transfer of this side's leg of a swap. 37 bytes.
    #[codec(index = 0xf2)]
    Leg(SwapId, u32),
}

impl OfferName {
    pub(crate) fn key(&self) -> IdempotencyKey {
        IdempotencyKey(self.encode())
    }

    /// Reads a key back; none where somebody else named the offer.
    pub(crate) fn read(key: &IdempotencyKey) -> Option<Self> {
        protocol::decode_exact(&key.0).ok()
    }
}
