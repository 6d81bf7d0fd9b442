//! What the arbiter stores of a channel (section 5).

use crate::{Amount, BlockNumber, Hash, Pair, Party, Rejection, Round, terms::Terms};
use scale::{Decode, Encode};

/// A channel in the arbiter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Record {
    /// What was agreed at opening.
    pub terms: Terms,
    /// The coins locked in the channel.
    pub total: Amount,
    /// The newest round on chain, forced ones included.
    pub round: Round,
    /// The first round of the forced chain that `round` ends, or none where `round` is co-signed (R5.4).
    pub forced_from: Option<Round>,
    /// The hash of that round's state.
    pub state_hash: Hash,
    /// How often each party has forced progress on the co-signed base (R5.10).
    pub forced_steps: Pair<u8>,
    /// Where the channel stands in its life.
    pub phase: Phase,
}

/// Where a channel stands in its life.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Phase {
    /// Updates off chain, deposits and withdrawals on it.
    #[codec(index = 0)]
    Open,
    /// Somebody closed alone: LOCKED before `unlock_at`, CLOSING from it on until settled.
    #[codec(index = 1)]
    Closing(Closing),
    /// Settled, with coins still held by contracts inside (R5.11).
    #[codec(index = 2)]
    Residual,
}

/// A close that waits for objections.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Closing {
    /// What settling will pay, the penalty apart.
    pub balances: Pair<Amount>,
    /// The first block in which settling is possible.
    pub unlock_at: BlockNumber,
    /// Whether the closer stands to pay a penalty.
    pub penalty: Penalty,
}

/// The penalty of R5.9 in one close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Penalty {
    /// This party closed and has not been shown wrong.
    #[codec(index = 1)]
    AtRisk(Party),
    /// This party closed although it held a newer state: charged when settled.
    #[codec(index = 2)]
    Due(Party),
}

/// A contract shown to stand in a channel's last state on chain (R5.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Artefact {
    /// That state's round.
    pub round: Round,
    /// Whether the state was computed by the arbiter and not signed by both.
    pub is_forced: bool,
    /// Whether no newer state can replace it: the channel is settled.
    pub is_final: bool,
}

/// The state a channel has on chain: what a co-signed candidate is compared with (R5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OnChain {
    /// The newest round on chain, forced ones included.
    pub round: Round,
    /// The first round of the forced chain that `round` ends, or none where `round` is co-signed.
    pub forced_from: Option<Round>,
    /// The hash of that round's state.
    pub state_hash: Hash,
}

impl Record {
    /// The state on chain.
    #[must_use]
    pub const fn on_chain(&self) -> OnChain {
        OnChain { round: self.round, forced_from: self.forced_from, state_hash: self.state_hash }
    }

    /// The close under way.
    ///
    /// # Errors
    /// [`Rejection::NotClosing`] where there is none.
    pub const fn closing(&self) -> Result<&Closing, Rejection> {
        match &self.phase {
            Phase::Closing(closing) => Ok(closing),
            Phase::Open | Phase::Residual => Err(Rejection::NotClosing),
        }
    }

    /// Checks that the channel is open.
    ///
    /// # Errors
    /// [`Rejection::NotOpen`] otherwise.
    pub const fn check_open(&self) -> Result<(), Rejection> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closing(_) | Phase::Residual => Err(Rejection::NotOpen),
        }
    }
}
