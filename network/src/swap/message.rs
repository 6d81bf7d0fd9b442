//! What two parties of swaps tell each other (R8.5a).

use super::{
    quote::SwapQuote,
    terms::{SwapCalls, SwapCode, SwapId, SwapTerms},
};
use protocol::decode_exact;
use scale::{Decode, Encode};

/// The most items of one message.
pub const MAX_SWAP_ITEMS: usize = 64;
/// The most quotes of one message.
const MAX_QUOTES: usize = 64;
/// The version in front of a message.
const VERSION: u8 = 1;

/// One message about swaps. Numbers are never used again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SwapWords {
    /// About many swaps at once, at most [`MAX_SWAP_ITEMS`].
    #[codec(index = 0)]
    Items(Vec<SwapItem>),
    /// Asks what the peer swaps at which rates.
    #[codec(index = 1)]
    AskQuotes,
    /// What the sender swaps at which rates, at most 64.
    #[codec(index = 2)]
    Quotes(Vec<SwapQuote>),
}

/// About one swap.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SwapItem {
    /// Which one.
    pub id: SwapId,
    /// The sender's number of these words in this swap, from 1 on, without gaps; 0 where there are none.
    pub number: u32,
    /// The highest number up to which all words of the receiver's are durable at the sender's.
    pub acknowledges: u32,
    /// The words.
    pub body: Option<SwapBody>,
}

/// Words of a swap. Numbers are never used again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SwapBody {
    /// The initiator's first: the terms, and its number for its leg.
    #[codec(index = 0)]
    Propose {
        /// The initiator's next number towards this responder, over all swaps.
        sequence: u64,
        /// The terms.
        terms: SwapTerms,
    },
    /// The responder agrees to all of it.
    #[codec(index = 1)]
    Accept {
        /// The responder's next number towards this initiator, over all swaps.
        sequence: u64,
    },
    /// The responder does not; nothing is locked.
    #[codec(index = 2)]
    Decline(SwapCode),
    /// The sender wants it over: what is locked is to be given back, unless the pre-image has been shown.
    #[codec(index = 3)]
    Cancel(SwapCode),
    /// Of both legs nothing is open any more at the sender's.
    #[codec(index = 4)]
    Done,
    /// As [`Propose`](Self::Propose), with the calls of apps that go with the legs: at least one.
    #[codec(index = 5)]
    ProposeCalls {
        /// The initiator's next number towards this responder, over all swaps.
        sequence: u64,
        /// The terms.
        terms: SwapTerms,
        /// The calls.
        calls: Box<SwapCalls>,
    },
}

impl SwapBody {
    /// The words by which a swap is proposed.
    #[must_use]
    pub fn proposal(sequence: u64, terms: SwapTerms, calls: &SwapCalls) -> Self {
        if calls.is_none() {
            Self::Propose { sequence, terms }
        } else {
            Self::ProposeCalls { sequence, terms, calls: Box::new(calls.clone()) }
        }
    }

    /// The number, the terms and the calls of a proposal; none of other words.
    #[must_use]
    pub fn proposed(&self) -> Option<(u64, SwapTerms, SwapCalls)> {
        match self {
            Self::Propose { sequence, terms } => Some((*sequence, *terms, SwapCalls::NONE)),
            Self::ProposeCalls { sequence, terms, calls } => Some((*sequence, *terms, calls.as_ref().clone())),
            Self::Accept { .. } | Self::Decline(_) | Self::Cancel(_) | Self::Done => None,
        }
    }
}

impl SwapWords {
    /// The bytes of a message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        (VERSION, self).encode()
    }

    /// Reads a message; none where this version does not know it, or it says too much.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, words) = bytes.split_first()?;
        let words: Self = (*version == VERSION).then(|| decode_exact(words).ok())??;
        let fits = match &words {
            Self::Items(items) => items.len() <= MAX_SWAP_ITEMS,
            Self::Quotes(quotes) => quotes.len() <= MAX_QUOTES,
            Self::AskQuotes => true,
        };
        fits.then_some(words)
    }
}
