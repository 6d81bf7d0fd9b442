//! What the arbiter stores of a channel (section 5).

use crate::{Amount, Base, BlockNumber, Hash, Maturity, Pair, Party, Rejection, Round, terms::Terms};
use scale::{Decode, Encode};

/// A channel in the arbiter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Record {
    /// What was agreed at opening.
    pub terms: Terms,
    /// The coins locked in the channel.
    pub total: Amount,
    /// The state on chain, and what a newer one has to go on from.
    pub on_chain: OnChain,
    /// How often each party has forced progress on the co-signed round (R5.10); of a residual channel, in its window (R5.11).
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
    Residual {
        /// For each party the block from which its forced steps are counted, for a lock period.
        counted_from: Pair<BlockNumber>,
    },
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
    AtRisk {
        /// Who closed.
        closer: Party,
        /// The co-signed round of the state that it closed on; later answers do not move it.
        closed_on: Round,
    },
    /// This party closed although it held a newer state: charged when settled.
    #[codec(index = 2)]
    Due(Party),
}

impl Penalty {
    /// The penalty once a newer co-signed round is shown. It is due when the round proves that the closer held an agreed round above the one
    /// that it closed on: a round of its peer's became co-signed by the closer's own signature; a round of its own proves it where its base
    /// does. Another round of its own proves nothing, since its peer may have kept the answer back. Whoever shows it, the proof is the same:
    /// a closer cannot escape by slashing itself first (docs/adr/0001).
    #[must_use]
    pub const fn shown(self, round: Round, base: Base) -> Self {
        match self {
            Self::AtRisk { closer, closed_on } if round > closed_on => {
                let is_own = matches!(
                    (Party::owner_of(round), closer),
                    (Party::Initiator, Party::Initiator) | (Party::Responder, Party::Responder)
                );
                if !is_own || base.agreed > closed_on { Self::Due(closer) } else { self }
            }
            unchanged => unchanged,
        }
    }

    /// Who closed.
    #[must_use]
    pub const fn closer(self) -> Party {
        match self {
            Self::AtRisk { closer, .. } | Self::Due(closer) => closer,
        }
    }
}

/// A contract shown to stand in a channel's last state on chain (R5.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Artefact {
    /// That state: its co-signed round, and how many forced rounds after it.
    pub state: Base,
    /// What may still change it.
    pub permanence: Permanence,
}

/// What another contract may rely on (R5.16). Nothing inside a channel is final while the channel exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Permanence {
    /// A newer state that both parties signed may replace it, with any other content.
    #[codec(index = 0)]
    Replaceable,
    /// The channel is settled: no co-signed state counts any more. The contract changes only by calls that its own code allows, and both
    /// parties together may still end the channel and share its coins out.
    #[codec(index = 1)]
    OwnCallsOnly,
}

/// The state that a channel has on chain: what a co-signed candidate is compared with (R5.4).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct OnChain {
    /// The newest co-signed round on chain, and how many forced rounds after it.
    pub at: Base,
    /// The hash of that state.
    pub state_hash: Hash,
    /// The forcing transactions so far (R5.4b).
    pub maturity: Maturity,
}

impl OnChain {
    /// A co-signed state without any forced step.
    #[must_use]
    pub fn agreed(round: Round, state_hash: Hash) -> Self {
        Self { at: Base::of(round), state_hash, maturity: Maturity::default() }
    }

    /// The newest round on chain, forced ones included.
    #[must_use]
    pub fn round(&self) -> Round {
        self.at.round()
    }

    /// Whether the state was computed by the arbiter and not signed by both.
    #[must_use]
    pub const fn is_forced(&self) -> bool {
        self.at.steps > 0
    }

    /// A co-signed round takes the place of the state and of any forced chain on it. The marks stay (R5.4).
    pub fn adopt(&mut self, round: Round, state_hash: Hash) {
        self.at = Base::of(round);
        self.state_hash = state_hash;
    }

    /// A forcing transaction in block `now` came to the state `at` (R5.4b).
    pub fn force(&mut self, at: Base, state_hash: Hash, now: BlockNumber, terms: &Terms) {
        self.at = at;
        self.state_hash = state_hash;
        self.maturity.add(at, now, terms.lock_period, terms.max_forced);
    }
}

impl Record {
    /// The close under way.
    ///
    /// # Errors
    /// [`Rejection::NotClosing`] where there is none.
    pub const fn closing(&self) -> Result<&Closing, Rejection> {
        match &self.phase {
            Phase::Closing(closing) => Ok(closing),
            Phase::Open | Phase::Residual { .. } => Err(Rejection::NotClosing),
        }
    }

    /// Checks that the channel is open.
    ///
    /// # Errors
    /// [`Rejection::NotOpen`] otherwise.
    pub const fn check_open(&self) -> Result<(), Rejection> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closing(_) | Phase::Residual { .. } => Err(Rejection::NotOpen),
        }
    }
}
