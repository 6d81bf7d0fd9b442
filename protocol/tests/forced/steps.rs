//! What a step does in each phase.

use crate::{apps, fixture::*};
use protocol::contracts::{AppOutcome, AppReply};

#[test]
fn while_closing_the_balances_follow_and_the_lock_starts_again() {
    let state = state();
    for now in [NOW, 104, 105, 106] {
        let mut world = World { now, ..World::on(&state).closing(state.balances) };
        let (call, after) = world.step(&state, Party::Responder, vec![redeem(40)]);
        assert_eq!(after.balances, Pair::new(300, 340));
        let _applied = world.force(RESPONDER, call).unwrap();
        let penalty = Penalty::AtRisk(Party::Responder);
        let closing = Closing { balances: after.balances, unlock_at: now + 20, penalty };
        assert_eq!(world.record().phase, Phase::Closing(closing), "also when the lock has run out");
    }
}

/// The responder closed. Its peer's round proves that it held a newer state, however that round came on chain.
#[test]
fn a_payload_shown_with_a_step_is_held_against_the_closer_like_one_of_a_slash() {
    let state = state();
    for (round, penalty) in
        [(ROUND + 1, Penalty::AtRisk(Party::Responder)), (ROUND + 2, Penalty::Due(Party::Responder))]
    {
        let mut world = World::on(&State { balances: Pair::new(1, 2), ..state.clone() }).closing(Pair::new(1, 2));
        let plan = world.plan(&state, Some(payload(round, &state)), Party::Initiator, vec![count()]).unwrap();
        let _applied = world.force(INITIATOR, plan.call).unwrap();
        let closing = Closing { balances: plan.balances, unlock_at: NOW + 20, penalty };
        assert_eq!(world.record().phase, Phase::Closing(closing));
    }
    // The state on chain once more proves nothing.
    let mut world = World::on(&state).closing(state.balances);
    world.record().round = ROUND;
    let plan = world.plan(&state, Some(payload(ROUND, &state)), Party::Initiator, vec![count()]).unwrap();
    let _applied = world.force(INITIATOR, plan.call).unwrap();
    assert_eq!(world.record().closing().unwrap().penalty, Penalty::AtRisk(Party::Responder));
}

#[test]
fn a_step_on_a_forced_state_goes_on_with_the_chain_and_one_on_a_payload_starts_a_new_one() {
    let state = state();
    let mut world = World::on(&state);
    let (call, one) = world.step(&state, Party::Initiator, vec![redeem(1)]);
    let _applied = world.force(INITIATOR, call).unwrap();
    let (call, _two) = world.step(&one, Party::Responder, vec![redeem(1), redeem(2)]);
    let _applied = world.force(RESPONDER, call).unwrap();
    assert_eq!((world.record().round, world.record().forced_from), (ROUND + 3, Some(ROUND + 1)));
    assert_eq!(world.record().forced_steps, Pair::new(1, 1));

    // The co-signed base is older than the chain's first round.
    let plan = world.plan(&state, Some(payload(ROUND, &state)), Party::Initiator, vec![count()]).unwrap();
    let old = Rejection::RoundTooOld { got: ROUND, have: ROUND + 1 };
    assert_eq!(world.force(INITIATOR, plan.call), Err(old));
    // The chain's first round, co-signed: the whole chain goes, and the steps with it.
    let plan = world.plan(&state, Some(payload(ROUND + 1, &state)), Party::Initiator, vec![count()]).unwrap();
    let _applied = world.force(INITIATOR, plan.call).unwrap();
    assert_eq!((world.record().round, world.record().forced_from), (ROUND + 2, Some(ROUND + 2)));
    assert_eq!(world.record().forced_steps, Pair::new(1, 0));
}

#[test]
fn on_a_settled_channel_what_the_contracts_pay_leaves_at_once() {
    let state = state();
    let mut world = World::on(&state).residual(400);
    let (step, after) = world.step(&state, Party::Initiator, vec![count()]);
    assert_eq!(after.balances, state.balances, "they are paid out already, and stay in the state as they were");
    let applied = world.force(INITIATOR, step).unwrap();
    assert_eq!(applied.paid_out, vec![(INITIATOR, 100)]);
    let record = world.record().clone();
    assert_eq!((record.total, record.forced_steps, record.phase), (300, Pair::new(0, 0), Phase::Residual));
    // No quota: the coins are the contracts' and nothing waits for it.
    let mut state = after;
    for _ in 0..9 {
        let (step, after) = world.step(&state, Party::Responder, vec![redeem(2)]);
        let applied = world.force(RESPONDER, step).unwrap();
        assert_eq!(applied.paid_out, vec![(RESPONDER, 2)]);
        state = after;
    }
    assert_eq!(world.record().total, 282);
}

#[test]
fn a_settled_channels_state_is_final_and_nobody_attaches_coins_or_is_helped_by_a_delegate() {
    let state = state();
    let mut world = World::on(&state).residual(400);
    let plan = world.plan(&state, Some(payload(ROUND + 1, &state)), Party::Initiator, vec![count()]).unwrap();
    assert_eq!(world.force(INITIATOR, plan.call), Err(Rejection::StateFinal));
    let plan = world.plan(&state, Some(payload(ROUND - 1, &state)), Party::Initiator, vec![count()]).unwrap();
    let old = Rejection::RoundTooOld { got: ROUND - 1, have: ROUND };
    assert_eq!(world.force(INITIATOR, plan.call), Err(old));
    let (healthy, _) = world.step(&state, Party::Initiator, vec![count()]);
    let party = Party::Initiator;
    assert_eq!(world.force(DELEGATE, healthy.clone()), Err(Rejection::MayNotForce { party }));
    let issue = ForceProgress { calls: vec![call(COUNTER, 1, 1u64)], ..healthy };
    let refused = Rejection::CannotAttach { have: 0, value: 1, reserve: RESERVE };
    assert_eq!(world.force(INITIATOR, issue), Err(refused));
    // The state on chain is no newer one.
    let plan = world.plan(&state, Some(payload(ROUND, &state)), Party::Initiator, vec![count()]).unwrap();
    let _applied = world.force(INITIATOR, plan.call).unwrap();
}

#[test]
fn the_last_payout_of_a_settled_channel_ends_it() {
    let pay = |payouts| call(PUPPET, 0, AppReply::Ok(AppOutcome { payouts, ..AppOutcome::default() }));
    let state = state();
    let mut world = World::on(&state).residual(100);
    let (step, _) = world.step(&state, Party::Initiator, vec![pay(Pair::new(30, 20)), pay(Pair::new(0, 50))]);
    let applied = world.force(INITIATOR, step).unwrap();
    assert_eq!(applied.paid_out, vec![(INITIATOR, 30), (RESPONDER, 70)]);
    assert!(world.ledger.channels.is_empty(), "nothing is stored of it");

    // More than is left cannot be paid, whatever the contracts promise.
    let world = World::on(&state).residual(99);
    let planned = world.plan(&state, None, Party::Initiator, vec![pay(Pair::new(30, 70))]);
    assert_eq!(planned.map(drop), Err(Rejection::BalancesExceedTotal { total: 99 }));
}

#[test]
fn an_app_sees_the_round_the_block_and_the_coins_of_its_own_call() {
    let state = state();
    for (now, expected) in [(109, Ok(())), (110, Err(CallFault::Refused))] {
        let world = World { now, ..World::on(&state) };
        let calls = vec![call(ESCROW, 3, apps::Tokens::Issue)];
        let expected = expected.map_err(|fault| Rejection::CallFailed { round: ROUND + 1, fault });
        assert_eq!(world.plan(&state, None, Party::Initiator, calls).map(drop), expected, "tokens move until 110");
    }
}
