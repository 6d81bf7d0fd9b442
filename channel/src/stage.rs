//! How far a channel has come in its life.

use std::fmt;

/// The state of a channel (SPEC section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The initiator proposed it.
    Initialized,
    /// The responder accepted it and waits for the initiator's signature.
    Accepted,
    /// The initiator signed the opening and waits for the responder's signature.
    HalfSigned,
    /// Both signed; the opening is awaited on chain, by both.
    Signed,
    /// Rounds may be agreed.
    Open,
    /// A close is under way.
    Closing,
    /// It is over.
    Closed,
    /// The peer cannot be reached, or the two have parted: it goes on from its phase when they are together again.
    Disconnected,
}

impl Stage {
    /// Every phase, in the order in which they follow each other: every stage but [`Disconnected`](Self::Disconnected), which stands beside them.
    pub const PHASES: [Self; 7] =
        [Self::Initialized, Self::Accepted, Self::HalfSigned, Self::Signed, Self::Open, Self::Closing, Self::Closed];

    /// Its name, for machines: never changed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Accepted => "accepted",
            Self::HalfSigned => "half_signed",
            Self::Signed => "signed",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Disconnected => "disconnected",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
