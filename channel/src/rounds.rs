//! Rounds belong to parties (R6.1), and none is signed twice (R6.2).

use protocol::{Party, Round};

/// The round that `me` proposes next, with `agreed` the latest agreed round, `forced_by` who forced it if it was forced, and `signed` the
/// highest that `me` has ever signed.
///
/// After a forced round the forcer takes the next of its parity, and the other the one after its next.
///
/// Whoever proposed `agreed` takes the next round of its own parity; the other skips one of its own, so that its proposal
/// beats a crossing one and the parties alternate under contention. None where rounds run out.
pub(crate) fn next_round(me: Party, agreed: Round, forced_by: Option<Party>, signed: Round) -> Option<Round> {
    let earliest = match forced_by {
        None => agreed.checked_add(if Party::owner_of(agreed) == me { 2 } else { 3 })?,
        Some(forcer) => first_above(me, agreed)?.checked_add(if forcer == me { 0 } else { 2 })?,
    };
    if earliest > signed { Some(earliest) } else { first_above(me, signed) }
}

/// The first round of one's own parity above `round`.
pub(crate) fn first_above(me: Party, round: Round) -> Option<Round> {
    let above = round.checked_add(1)?;
    if Party::owner_of(above) == me { Some(above) } else { above.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Party::{Initiator, Responder};

    #[test]
    fn the_proposer_of_the_agreed_round_takes_the_next_of_its_parity_and_the_other_skips_one() {
        assert_eq!(next_round(Initiator, 1, None, 1), Some(3));
        assert_eq!(next_round(Responder, 1, None, 1), Some(4));
        assert_eq!(next_round(Initiator, 4, None, 4), Some(7));
        assert_eq!(next_round(Responder, 4, None, 4), Some(6));
    }

    #[test]
    fn after_a_forced_round_the_forcer_goes_first_and_the_other_skips_one() {
        for (forced, initiator) in [(6, 7), (7, 9)] {
            assert_eq!(next_round(Initiator, forced, Some(Initiator), 1), Some(initiator));
            assert_eq!(next_round(Initiator, forced, Some(Responder), 1), Some(initiator + 2));
        }
        for (forced, responder) in [(6, 8), (7, 8)] {
            assert_eq!(next_round(Responder, forced, Some(Responder), 1), Some(responder));
            assert_eq!(next_round(Responder, forced, Some(Initiator), 1), Some(responder + 2));
        }
        assert_eq!(next_round(Initiator, 6, Some(Initiator), 8), Some(9), "never below what was signed");
    }

    #[test]
    fn a_round_once_signed_is_never_proposed_again() {
        assert_eq!(next_round(Initiator, 1, None, 3), Some(5));
        assert_eq!(next_round(Initiator, 1, None, 4), Some(5));
        assert_eq!(next_round(Responder, 2, None, 9), Some(10));
        assert_eq!(next_round(Responder, 2, None, u64::MAX), None);
    }
}
