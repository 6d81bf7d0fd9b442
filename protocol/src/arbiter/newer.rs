//! R5.4, the heart of the arbiter: which co-signed state counts. One function, used by every call with a payload.

use crate::{Base, BlockNumber, Hash, Rejection, Round, call::Payload, record::OnChain, terms::Terms};

/// A co-signed round, as it is compared with the state on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub round: Round,
    /// What it goes on from (R3.5a).
    pub base: Base,
    /// The hash of its state.
    pub state_hash: Hash,
    /// The last block in which it may be shown, if there is one.
    pub valid_until: Option<BlockNumber>,
}

/// How a co-signed candidate stands to the state on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It replaces the state on chain, and with it any forced chain.
    Newer,
    /// It is the state on chain.
    AlreadyKnown,
}

impl From<&Payload> for Candidate {
    fn from(payload: &Payload) -> Self {
        let Payload { round, base, state_hash, valid_until, .. } = *payload;
        Self { round, base, state_hash, valid_until }
    }
}

/// Compares a co-signed candidate with the state on chain in block `now` (R5.4).
///
/// A round above the newest co-signed one replaces a whole forced chain, even when the round goes down by it; but only if it goes on from
/// the highest mature mark or a later state (R5.4b).
///
/// # Errors
/// [`Rejection::RoundTooOld`]; [`Rejection::RoundHasOtherState`] for the round on chain with another hash; [`Rejection::Expired`];
/// [`Rejection::BaseTooOld`].
pub fn standing(
    on_chain: &OnChain,
    terms: &Terms,
    candidate: &Candidate,
    now: BlockNumber,
) -> Result<Standing, Rejection> {
    let Candidate { round, base, state_hash, valid_until } = *candidate;
    let have = on_chain.at.agreed;
    if round == have && !on_chain.is_forced() {
        let is_same = state_hash == on_chain.state_hash;
        return if is_same { Ok(Standing::AlreadyKnown) } else { Err(Rejection::RoundHasOtherState { round }) };
    }
    if round <= have {
        return Err(Rejection::RoundTooOld { got: round, have });
    }
    if let Some(valid_until) = valid_until.filter(|&last| now > last) {
        return Err(Rejection::Expired { valid_until, now });
    }
    let floor = on_chain.maturity.floor(now, terms.lock_period);
    if base < floor { Err(Rejection::BaseTooOld { got: base, floor }) } else { Ok(Standing::Newer) }
}
