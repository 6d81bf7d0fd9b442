//! How channels end.

use crate::message::RefusalCode;
use protocol::{Amount, Pair, Rejection};
use scale::{Decode, Encode};
use std::fmt;

/// How a channel ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side had not signed it: the peer refused, left, or took too long. No coin has moved. It is told of in passing ([`Notice::NotOpened`](crate::Notice::NotOpened)).
    #[codec(index = 0)]
    NotOpened {
        /// What the refuser said, where it said something.
        code: Option<RefusalCode>,
    },
    /// Both signed, but the opening did not reach the chain while it was valid. No coin has moved.
    #[codec(index = 1)]
    OpeningExpired {
        /// The arbiter's reason, where it gave one.
        rejection: Option<Rejection>,
    },
    /// It was closed in agreement.
    #[codec(index = 2)]
    Mutual {
        /// What each party was paid.
        balances: Pair<Amount>,
    },
    /// It was closed by one side and settled.
    #[codec(index = 3)]
    Settled {
        /// What each party was paid, penalty included.
        balances: Pair<Amount>,
    },
    /// It ended on chain in blocks that were not read (R6.9b): how, and what each party was paid, is not known here. The payout accounts and the
    /// vaults have what was paid.
    #[codec(index = 4)]
    Unseen {
        /// What each party had in the latest state that this side knows.
        agreed: Pair<Amount>,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpened { code: Some(code) } => write!(f, "the peer did not open it: {code}"),
            Self::NotOpened { code: None } => f.write_str("the peer did not open it: it left, or took too long"),
            Self::OpeningExpired { rejection: Some(rejection) } => write!(f, "the chain did not open it: {rejection}"),
            Self::OpeningExpired { rejection: None } => {
                f.write_str("its opening did not reach the chain in time: open another, with a longer validity")
            }
            Self::Mutual { balances: Pair { initiator, responder } } => {
                write!(f, "closed in agreement: {initiator} to the initiator, {responder} to the responder")
            }
            Self::Settled { balances: Pair { initiator, responder } } => {
                write!(f, "settled: {initiator} to the initiator, {responder} to the responder")
            }
            Self::Unseen { agreed: Pair { initiator, responder } } => write!(
                f,
                "it ended on chain in blocks that were not read, and what it paid is not known here: look at the vault and the payout account; \
                 last agreed were {initiator} for the initiator, {responder} for the responder"
            ),
        }
    }
}
