//! Rounds belong to parties (R6.1), and none is signed twice (R6.2).

use protocol::{Party, Round};

/// The round that `me` proposes next, with `agreed` the latest agreed round and `signed` the highest it has ever signed.
///
/// Whoever proposed `agreed` takes the next round of its own parity; the other skips one of its own, so that its proposal
/// beats a crossing one and the parties alternate under contention. None where rounds run out.
pub(crate) fn next_round(me: Party, agreed: Round, signed: Round) -> Option<Round> {
    let step = if Party::owner_of(agreed) == me { 2 } else { 3 };
    let earliest = agreed.checked_add(step)?;
    if earliest > signed {
        return Some(earliest);
    }
    let above = signed.checked_add(1)?;
    if Party::owner_of(above) == me { Some(above) } else { above.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Party::{Initiator, Responder};

    #[test]
    fn the_proposer_of_the_agreed_round_takes_the_next_of_its_parity_and_the_other_skips_one() {
        assert_eq!(next_round(Initiator, 1, 1), Some(3));
        assert_eq!(next_round(Responder, 1, 1), Some(4));
        assert_eq!(next_round(Initiator, 4, 4), Some(7));
        assert_eq!(next_round(Responder, 4, 4), Some(6));
    }

    #[test]
    fn a_round_once_signed_is_never_proposed_again() {
        assert_eq!(next_round(Initiator, 1, 3), Some(5));
        assert_eq!(next_round(Initiator, 1, 4), Some(5));
        assert_eq!(next_round(Responder, 2, 9), Some(10));
        assert_eq!(next_round(Responder, 2, u64::MAX), None);
    }
}
