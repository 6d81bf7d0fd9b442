//! Where a channel stands in its life: one variant for each thing that is awaited or true, each with just its own data.

pub(crate) mod certainty;
pub(crate) mod closing;
pub(crate) mod forcing;
pub(crate) mod keyed;
pub(crate) mod leaving;
pub(crate) mod live;
pub(crate) mod onchain;
pub(crate) mod opening;
pub(crate) mod operating;
pub(crate) mod outgoing;
pub(crate) mod reestablish;
pub(crate) mod resync;
pub(crate) mod rumour;
pub(crate) mod settings;
pub(crate) mod updates;
pub(crate) mod wishes;

use closing::How;
use live::Live;
use opening::{Accepted, HalfSigned, Initialized, Signed};
use protocol::{Amount, Pair, Rejection};
use scale::{Decode, Encode};
use std::fmt;

/// The state of a channel (SPEC.md, section 6). `disconnected` is the link's state beside it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Phase {
    /// The initiator proposed a channel.
    #[codec(index = 0)]
    Initialized(Initialized),
    /// The responder accepted it and waits for the initiator's signature.
    #[codec(index = 1)]
    Accepted(Accepted),
    /// The initiator signed the opening and waits for the responder's signature.
    #[codec(index = 2)]
    HalfSigned(HalfSigned),
    /// Both signed; the opening is awaited on chain, by both.
    #[codec(index = 3)]
    Signed(Signed),
    /// Rounds may be agreed.
    #[codec(index = 4)]
    Open(Live),
    /// A close is under way.
    #[codec(index = 5)]
    Closing(Live, How),
    /// It is over.
    #[codec(index = 6)]
    Closed(CloseReason),
}

/// How a channel ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CloseReason {
    /// It was never signed by both: the peer refused, left, or took too long. No coin has moved.
    #[codec(index = 0)]
    NotOpened {
        /// What the refuser said, where it said something.
        code: Option<crate::RefusalCode>,
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

impl Phase {
    /// The name of every state, in the order of their numbers.
    pub(crate) const NAMES: [&'static str; 7] =
        ["initialized", "accepted", "half_signed", "signed", "open", "closing", "closed"];

    /// The state's name.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Initialized(_) => "initialized",
            Self::Accepted(_) => "accepted",
            Self::HalfSigned(_) => "half_signed",
            Self::Signed(_) => "signed",
            Self::Open(_) => "open",
            Self::Closing(..) => "closing",
            Self::Closed(_) => "closed",
        }
    }

    /// Whether it goes on when the connection is lost and comes back: somebody has signed.
    pub(crate) const fn outlives_the_link(&self) -> bool {
        matches!(self, Self::HalfSigned(_) | Self::Signed(_) | Self::Open(_) | Self::Closing(..))
    }

    /// Whether own rounds may have come to be that this side does not know of: what was paid out in the end is in blocks that were not read (R6.9b),
    /// or this side's store is old (R6.6a).
    pub(crate) fn is_unsure(&self) -> bool {
        let unseen = matches!(
            self,
            Self::Closed(CloseReason::Unseen { .. })
                | Self::Closing(_, How::Residual(closing::Residual { balances: None }))
        );
        unseen || self.live().is_some_and(|live| live.outdated.is_some())
    }

    /// Whether the peer holds a signature for an own change in a round that this side goes on without (R6.1).
    pub(crate) fn may_appear(&self, change: crate::ChangeId) -> bool {
        self.live().is_some_and(|live| live.out.may_appear(change))
    }

    /// The running channel, where there is one.
    pub(crate) const fn live(&self) -> Option<&Live> {
        match self {
            Self::Open(live) | Self::Closing(live, _) => Some(live),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_in_the_list_of_names() {
        let exists = |&index: &u8| {
            let error =
                Phase::decode(&mut &[index][..]).map(|_| String::new()).unwrap_or_else(|error| error.to_string());
            !error.contains("variant doesn't exist")
        };
        let states = (0..=u8::MAX).filter(exists).count();
        assert_eq!(states, Phase::NAMES.len());
        assert_eq!(Phase::Closed(CloseReason::NotOpened { code: None }).name(), Phase::NAMES[states - 1]);
    }
}
