//! Where a channel stands in its life: one variant for each thing that is awaited or true, each with just its own data.

pub(crate) mod closing;
pub(crate) mod funding;
pub(crate) mod live;
pub(crate) mod opening;

use crate::{event::CloseReason, stage::Stage, state::ChangeId};
use closing::{ClosePath, Residual};
use live::Live;
use opening::{Accepted, HalfSigned, Initialized, Signed};
use scale::{Decode, Encode};

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
    Closing(Live, ClosePath),
    /// It is over.
    #[codec(index = 6)]
    Closed(CloseReason),
}

impl Phase {
    /// Which one it is.
    pub(crate) const fn stage(&self) -> Stage {
        match self {
            Self::Initialized(_) => Stage::Initialized,
            Self::Accepted(_) => Stage::Accepted,
            Self::HalfSigned(_) => Stage::HalfSigned,
            Self::Signed(_) => Stage::Signed,
            Self::Open(_) => Stage::Open,
            Self::Closing(..) => Stage::Closing,
            Self::Closed(_) => Stage::Closed,
        }
    }

    /// Its name.
    pub(crate) const fn name(&self) -> &'static str {
        self.stage().name()
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
                | Self::Closing(_, ClosePath::Residual(Residual { balances: None }))
        );
        unseen || self.live().is_some_and(|live| live.store.is_doubtful())
    }

    /// Whether the peer holds a signature for an own change in a round that this side goes on without (R6.1).
    pub(crate) fn may_appear(&self, change: ChangeId) -> bool {
        self.live().is_some_and(|live| live.outgoing.is_signed(change))
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
        assert_eq!(states, Stage::PHASES.len());
        assert_eq!(Phase::Closed(CloseReason::NotOpened { code: None }).stage(), Stage::PHASES[states - 1]);
    }
}
