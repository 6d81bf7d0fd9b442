//! Closes: on which state, what is held against who closed, and when they are paid out by whom (R5.8, R5.9, R5.11).

use crate::*;

fn at_risk(closer: Party, closed_on: Round) -> Penalty {
    Penalty::AtRisk { closer, closed_on }
}

#[test]
fn closing_on_a_forced_state_risks_the_penalty_and_keeps_the_forced_chain() {
    for closer in Party::BOTH {
        let before = record(7, 3, &balances(60));
        let call = CloseSolo { channel: CHANNEL, payload: None, commitment: balances(60) };
        let ctx = at(100, account(closer));
        let CallOutcome { record: after, event, .. } = close_solo(&ctx, before.clone(), &call, &Native).unwrap();
        let closing = Closing { balances: Pair::new(60, 40), unlock_at: 120, penalty: at_risk(closer, 7) };
        let state_hash = before.on_chain.state_hash;
        assert_eq!(event, ArbiterEvent::ChannelClosedSolo { at: base(7, 3), state_hash, closing: closing.clone() });
        assert_eq!(after, Some(Record { phase: Phase::Closing(closing), ..before }));
    }
}

#[test]
fn closing_with_a_payload_drops_the_forced_chain_and_risks_the_penalty() {
    let call = CloseSolo { channel: CHANNEL, payload: Some(payload(8, &balances(30))), commitment: balances(30) };
    let ctx = at(100, account(Party::Responder));
    let after = close_solo(&ctx, record(7, 3, &balances(60)), &call, &Native).unwrap().record.unwrap();
    let closing = Closing { balances: Pair::new(30, 70), unlock_at: 120, penalty: at_risk(Party::Responder, 8) };
    assert_eq!(after, Record { phase: Phase::Closing(closing), ..after_chain(8, &balances(30)) });
}

/// Any co-signed round from the chain's first one on is newer than a forced state. Where it is the closer's peer's, the closer signed it
/// last and so held it when it closed; where it is the closer's own, its peer may have kept the answer back.
#[test]
fn slashing_a_close_on_a_forced_state_charges_a_closer_that_provably_held_the_newer_round() {
    for round in [8, 9, 10, 11] {
        for (slasher, closer) in Party::BOTH.into_iter().flat_map(|party| Party::BOTH.map(|other| (party, other))) {
            let closing = Closing { balances: Pair::new(60, 40), unlock_at: 120, penalty: at_risk(closer, 7) };
            let before = Record { phase: Phase::Closing(closing), ..record(7, 3, &balances(60)) };
            let call = Slash { channel: CHANNEL, payload: payload(round, &balances(30)), commitment: balances(30) };
            let after = slash(&at(110, account(slasher)), before, &call, &Native).unwrap().record.unwrap();
            let held = Party::owner_of(round) == closer.peer();
            let penalty = if held { Penalty::Due(closer) } else { at_risk(closer, 7) };
            let closing = Closing { balances: Pair::new(30, 70), unlock_at: 130, penalty };
            let expected = Record { phase: Phase::Closing(closing), ..after_chain(round, &balances(30)) };
            assert_eq!(after, expected, "{closer:?} closed, {slasher:?} showed {round}");
        }
    }
}

/// R5.9 in full: whose round is shown, what it goes on from, and whether it is above what was closed on.
#[test]
fn the_penalty_is_due_once_a_round_is_shown_that_the_closer_provably_held() {
    const CLOSED_ON: Round = 20;
    for closer in Party::BOTH {
        // Rounds of the closer's own parity, and of its peer's.
        let (own, peers) = if closer == Party::Initiator { (23, 22) } else { (22, 23) };
        for (agreed, steps, proves) in [
            (19, 0, false),
            (19, 9, false),
            (20, 0, false),
            // Forced steps are no signatures of anybody's.
            (20, 1, false),
            (20, u32::MAX, false),
            (21, 0, true),
            (21, 5, true),
            (u64::MAX, 0, true),
        ] {
            let risk = at_risk(closer, CLOSED_ON);
            let due = Penalty::Due(closer);
            let expected = if proves { due } else { risk };
            assert_eq!(risk.shown(own, base(agreed, steps)), expected, "{closer:?}'s own, on ({agreed}, {steps})");
            assert_eq!(risk.shown(peers, base(agreed, steps)), due, "its peer's, on ({agreed}, {steps})");
            // What is due stays due, whatever else is shown.
            assert_eq!(due.shown(own, base(agreed, steps)), due);
            // A round at or below the one closed on proves nothing.
            for round in [CLOSED_ON - 1, CLOSED_ON] {
                assert_eq!(risk.shown(round, base(agreed, steps)), risk);
            }
        }
        assert_eq!((at_risk(closer, CLOSED_ON).closer(), Penalty::Due(closer).closer()), (closer, closer));
        // One above, of either parity.
        let above = CLOSED_ON + 1;
        let proven = Party::owner_of(above) != closer;
        let expected = if proven { Penalty::Due(closer) } else { at_risk(closer, CLOSED_ON) };
        assert_eq!(at_risk(closer, CLOSED_ON).shown(above, base(20, 0)), expected);
    }
}

#[test]
fn a_slash_holds_what_it_shows_against_the_closer_whoever_slashes() {
    for (slasher, closer) in Party::BOTH.into_iter().flat_map(|party| Party::BOTH.map(|other| (party, other))) {
        for (round, on) in [(11, 10), (12, 10), (13, 10), (13, 11), (14, 11), (13, 12)] {
            let closing = Closing { balances: Pair::new(60, 40), unlock_at: 120, penalty: at_risk(closer, 10) };
            let before = Record { phase: Phase::Closing(closing), ..record(10, 0, &balances(60)) };
            let payload = payload_on(Base::of(on), round, &balances(30));
            let call = Slash { channel: CHANNEL, payload, commitment: balances(30) };
            let after = slash(&at(110, account(slasher)), before, &call, &Native).unwrap().record.unwrap();
            let proven = Party::owner_of(round) != closer || on > 10;
            let expected = if proven { Penalty::Due(closer) } else { at_risk(closer, 10) };
            assert_eq!(after.closing().unwrap().penalty, expected, "{closer:?} closed, {round} on {on} was shown");
        }
    }
}

fn closing(balances: Pair<Amount>, penalty: Penalty, amount: Amount) -> Record {
    let closing = Closing { balances, unlock_at: 120, penalty };
    let mut record =
        Record { phase: Phase::Closing(closing), ..record(10, 0, &StateCommitment::of_balances(balances)) };
    record.terms.penalty = amount;
    record
}

#[test]
fn settling_moves_a_penalty_that_is_due_and_no_other() {
    const WHO: Party = Party::Responder;
    for (balances, penalty, amount, paid) in [
        (Pair::new(60, 40), at_risk(Party::Initiator, 10), 5, Pair::new(60, 40)),
        (Pair::new(60, 40), at_risk(WHO, 10), 5, Pair::new(60, 40)),
        (Pair::new(60, 40), Penalty::Due(WHO), 5, Pair::new(65, 35)),
        (Pair::new(60, 40), Penalty::Due(Party::Initiator), 5, Pair::new(55, 45)),
        (Pair::new(60, 40), Penalty::Due(WHO), 40, Pair::new(100, 0)),
        (Pair::new(60, 40), Penalty::Due(WHO), 41, Pair::new(100, 0)),
        (Pair::new(60, 40), Penalty::Due(WHO), Amount::MAX, Pair::new(100, 0)),
        (Pair::new(100, 0), Penalty::Due(WHO), 5, Pair::new(100, 0)),
        (Pair::new(60, 40), Penalty::Due(WHO), 0, Pair::new(60, 40)),
        // Contracts hold the rest: the penalty does not come out of it.
        (Pair::new(60, 3), Penalty::Due(WHO), 5, Pair::new(63, 0)),
    ] {
        let remaining = TOTAL - paid.sum().unwrap();
        let outcome = settle(&at(120, account(WHO)), closing(balances, penalty, amount)).unwrap();
        assert_eq!(outcome.event, ArbiterEvent::ChannelSettled { balances: paid, remaining });
        assert_eq!(outcome.payouts.iter().map(|payout| payout.amount).sum::<Amount>(), paid.sum().unwrap());
        for payout in &outcome.payouts {
            let party = payout.party.unwrap();
            assert_eq!((payout.to, payout.amount), (account(party), paid[party]));
        }
        assert_eq!(outcome.record.map_or(0, |record| record.total), remaining);
    }
}

#[test]
fn parties_and_delegates_settle_when_the_lock_ends_and_anybody_a_lock_period_later() {
    let settled = |now, caller| {
        let closing = with_delegates(closing(Pair::new(60, 40), at_risk(Party::Initiator, 10), 5));
        settle(&at(now, caller), closing).map(drop)
    };
    let locked = |now| Err(Rejection::StillLocked { unlock_at: 120, now });
    let later = |now| Err(Rejection::PartiesSettleFirst { from: 140, now });
    for caller in [account(Party::Initiator), account(Party::Responder), DEFENDER, CALLER] {
        for (now, expected) in [(119, locked(119)), (120, Ok(())), (121, Ok(())), (140, Ok(()))] {
            assert_eq!(settled(now, caller), expected, "{caller:?} in {now}");
        }
    }
    for (now, expected) in [
        (119, locked(119)),
        (120, later(120)),
        (121, later(121)),
        (139, later(139)),
        (140, Ok(())),
        (141, Ok(())),
        (BlockNumber::MAX, Ok(())),
    ] {
        assert_eq!(settled(now, STRANGER), expected, "a stranger in {now}");
    }
}

#[test]
fn a_settled_channel_forgets_marks_and_counts_steps_anew() {
    let closing = Closing { balances: Pair::new(60, 30), unlock_at: 120, penalty: at_risk(Party::Initiator, 7) };
    let before = Record { phase: Phase::Closing(closing), ..record(7, 3, &balances(60)) };
    let after = settle(&at(125, account(Party::Responder)), before.clone()).unwrap().record.unwrap();
    let on_chain = OnChain { maturity: Maturity::default(), ..before.on_chain.clone() };
    let phase = Phase::Residual { counted_from: Pair::new(125, 125) };
    assert_eq!(after, Record { total: 10, on_chain, forced_steps: Pair::default(), phase, ..before });
}

#[test]
fn a_lock_that_would_end_beyond_time_ends_with_the_last_block() {
    for (now, lock_period) in [(BlockNumber::MAX, 20), (BlockNumber::MAX - 5, 20), (1, BlockNumber::MAX)] {
        let mut before = record(1, 0, &balances(60));
        before.terms.lock_period = lock_period;
        let call = CloseSolo { channel: CHANNEL, payload: None, commitment: balances(60) };
        let after = close_solo(&at(now, account(Party::Initiator)), before, &call, &Native).unwrap().record.unwrap();
        assert_eq!(after.closing().unwrap().unlock_at, BlockNumber::MAX);
    }
}
