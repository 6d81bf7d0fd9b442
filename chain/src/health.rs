//! How far what is known of a chain can be relied upon.

use super::{BlockRef, ChainError};
use protocol::BlockNumber;
use std::{fmt, time::Duration};

/// Whether a chain is seen as it is now. Whoever takes on risks that are defended on chain asks first (R6.8, R6.9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Finalised blocks come as they should.
    #[default]
    Good,
    /// No block has become final for longer than a healthy chain takes: the chain stands still, or the endpoints lag behind it.
    Stalled {
        /// The newest finalised block that is known.
        head: BlockRef,
        /// How long it has been the newest one.
        since: Duration,
    },
    /// No endpoint answers as one of this chain.
    Lost(ChainError),
    /// The chain is there, and the node cannot follow it: what happens to its channels is not seen, and not answered.
    Blind {
        /// The first block that it could not look at.
        next: BlockNumber,
        /// For how long.
        since: Duration,
        /// What is in the way.
        cause: ChainError,
    },
    /// The node follows the chain, and is far behind its head: it was away, or has too much to do.
    Behind {
        /// The last block that it has looked at.
        processed: BlockNumber,
        /// The newest finalised block.
        head: BlockNumber,
        /// How long ago it looked at the last one.
        since: Duration,
    },
}

impl Health {
    /// Whether risks may be taken.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("the chain is well"),
            Self::Stalled { head, since } => write!(
                f,
                "no block has become final after {} for {} s: check the node and its peers; for a chain that makes blocks on demand only, \
                 switch this off (Settings::for_instant_seal)",
                head.number,
                since.as_secs()
            ),
            Self::Lost(error) => error.fmt(f),
            Self::Blind { next, since, cause } => write!(
                f,
                "blind for {} s: block {next} and what comes after it is not seen, and no attack in it is answered ({cause})",
                since.as_secs()
            ),
            Self::Behind { processed, head, since } => write!(
                f,
                "{} blocks behind: block {processed} was looked at {} s ago, and block {head} is final",
                head.saturating_sub(*processed),
                since.as_secs()
            ),
        }
    }
}
