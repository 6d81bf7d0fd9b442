//! The data of a close: by which path a channel closes, and what is signed or on chain of it.

use super::live::agreed::Posted;
use crate::{effect::Effect, message::Shutdown};
use protocol::{
    Amount, BlockNumber, Pair, Signature,
    call::{Call, CloseMutual},
    record::{Closing, Penalty},
    signing::CloseMutualBody,
};
use scale::{Decode, Encode};

/// How a channel is being closed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum ClosePath {
    /// This side signed a close; the peer has not answered.
    #[codec(index = 0)]
    Offered(Shutdown),
    /// Both signed; awaited on chain.
    #[codec(index = 1)]
    Agreed(Agreement),
    /// Somebody closed alone, on chain.
    #[codec(index = 2)]
    Solo(Solo),
    /// Paid out, while contracts still hold coins (R5.11).
    #[codec(index = 3)]
    Residual(Residual),
}

/// A channel that was settled and is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Residual {
    /// What each party was paid so far; none where that happened in blocks that were not read (R6.9b).
    pub(crate) balances: Option<Pair<Amount>>,
}

/// A close that both signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Agreement {
    pub(crate) body: CloseMutualBody,
    pub(crate) signatures: Pair<Signature>,
    /// From which block on this side submits it: the one who offered at once, the other when that seems not to happen.
    pub(crate) submit_from: BlockNumber,
    /// The last block in which any close that this side signed counts: until then it agrees to nothing else.
    pub(crate) bound_until: BlockNumber,
}

/// A close by one side, as the arbiter has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Solo {
    pub(crate) on_chain: Posted,
    pub(crate) unlock_at: BlockNumber,
    /// Whether the closer stands to pay a penalty, as the arbiter has it (R5.9).
    pub(crate) penalty: Penalty,
}

impl Solo {
    pub(crate) const fn new(on_chain: Posted, closing: &Closing) -> Self {
        Self { on_chain, unlock_at: closing.unlock_at, penalty: closing.penalty }
    }
}

impl Agreement {
    /// The call that closes the channel.
    pub(crate) fn submission(&self, channel: protocol::ChannelId) -> Effect {
        let (body, signatures) = (self.body.clone(), self.signatures);
        Effect::Submit(Box::new(Call::ChannelCloseMutual(CloseMutual { channel, body, signatures })))
    }
}
