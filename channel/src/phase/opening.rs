//! The data of an opening, from `channel_open` to both having seen the channel on chain: one type for each thing that is awaited.

use super::funding::Funding;
use crate::{effect::Effect, message::ChannelOpen, units::Millis};
use protocol::{
    Amount, BlockNumber, ChannelId, Pair, Rejection, Signature,
    call::{Call, Create},
    signing::CreateBody,
    terms::PartyTerms,
};
use scale::{Decode, Encode};

/// Why an opening is not submitted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct AbandonedOpening {
    /// The arbiter's reason, where it was asked.
    pub(crate) rejection: Option<Rejection>,
}

/// Waits for channel_accept, then for the pair's nonce.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Initialized {
    pub(crate) open: ChannelOpen,
    /// Once accepted.
    pub(crate) responder: Option<PartyTerms>,
    pub(crate) deadline: Millis,
}

/// Waits for funding_created.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Accepted {
    pub(crate) open: ChannelOpen,
    pub(crate) responder: PartyTerms,
    pub(crate) deadline: Millis,
}

/// Waits for funding_signed. The peer may hold our signature: this cannot be forgotten before it has expired.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct HalfSigned {
    pub(crate) channel: ChannelId,
    pub(crate) body: CreateBody,
    pub(crate) nonce: u64,
    pub(crate) signature: Signature,
}

/// Waits for the opening to be final, here and there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Signed {
    pub(crate) funding: Funding,
    pub(crate) valid_until: BlockNumber,
    /// Both signatures; none where the responder put the opening on chain without answering first.
    pub(crate) signatures: Option<Pair<Signature>>,
    pub(crate) nonce: u64,
    pub(crate) shares: Pair<Amount>,
    pub(crate) locked: bool,
    pub(crate) peer_locked: bool,
}

impl Signed {
    pub(crate) fn new(channel: ChannelId, body: &CreateBody, nonce: u64, signatures: Option<Pair<Signature>>) -> Self {
        let funding = Funding::new(channel, body);
        let (valid_until, shares) = (body.valid_until, body.shares);
        Self { funding, valid_until, signatures, nonce, shares, locked: false, peer_locked: false }
    }

    /// The call that opens the channel, where both signatures are here.
    pub(crate) fn submission(&self) -> Option<Effect> {
        let (terms, balances) = (self.funding.terms().clone(), self.funding.first().balances);
        let body = CreateBody { terms, balances, shares: self.shares, valid_until: self.valid_until };
        let create = Create { body, nonce: self.nonce, signatures: self.signatures? };
        Some(Effect::Submit(Box::new(Call::ChannelCreate(create))))
    }
}
