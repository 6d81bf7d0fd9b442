//! R5.4, the heart of the arbiter: which co-signed state counts. One function, used by every call with a payload.

use crate::{Hash, Rejection, Round, record::OnChain};

/// How a co-signed candidate stands to the state on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It replaces the state on chain, and with it any forced chain.
    Newer,
    /// It is the state on chain.
    AlreadyKnown,
}

/// Compares a co-signed candidate with the state on chain (R5.4).
///
/// A co-signed state replaces a whole forced chain from the chain's first round on, even when the round goes down by it.
///
/// # Errors
/// [`Rejection::RoundTooOld`]; [`Rejection::RoundHasOtherState`] for the round on chain with another hash.
pub fn standing(on_chain: &OnChain, round: Round, state_hash: &Hash) -> Result<Standing, Rejection> {
    match on_chain.forced_from {
        Some(forced_from) if round >= forced_from => Ok(Standing::Newer),
        Some(forced_from) => Err(Rejection::RoundTooOld { got: round, have: forced_from }),
        None if round > on_chain.round => Ok(Standing::Newer),
        None if round < on_chain.round => Err(Rejection::RoundTooOld { got: round, have: on_chain.round }),
        None if *state_hash == on_chain.state_hash => Ok(Standing::AlreadyKnown),
        None => Err(Rejection::RoundHasOtherState { round }),
    }
}
