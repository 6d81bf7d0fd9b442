//! What a step does in each phase.

use crate::{apps, fixture::*};
use protocol::{
    Maturity,
    contracts::{AppOutcome, AppReply},
    event::Payout,
};

#[test]
fn while_closing_the_balances_follow_and_the_lock_starts_again() {
    let state = state();
    for now in [NOW, 104, 105, 106] {
        let mut world = World { now, ..World::on(&state).closing(state.balances) };
        let (call, after) = world.step(&state, Party::Responder, vec![redeem(40)]);
        assert_eq!(after.balances, Pair::new(300, 340));
        let _applied = world.force(RESPONDER, call).unwrap();
        let penalty = at_risk(ROUND);
        let closing = Closing { balances: after.balances, unlock_at: now + 20, penalty };
        assert_eq!(world.record().phase, Phase::Closing(closing), "also when the lock has run out");
    }
}

/// The responder closed. Its peer's round proves that it held a newer state, however that round came on chain.
#[test]
fn a_payload_shown_with_a_step_is_held_against_the_closer_like_one_of_a_slash() {
    let state = state();
    for (round, penalty) in [(ROUND + 1, at_risk(ROUND)), (ROUND + 2, Penalty::Due(Party::Responder))] {
        let mut world = World::on(&State { balances: Pair::new(1, 2), ..state.clone() }).closing(Pair::new(1, 2));
        let plan = world.plan(&state, Some(payload(round, &state)), Party::Initiator, vec![count()]).unwrap();
        let _applied = world.force(INITIATOR, plan.call).unwrap();
        let closing = Closing { balances: plan.balances, unlock_at: NOW + 20, penalty };
        assert_eq!(world.record().phase, Phase::Closing(closing));
    }
    // The state on chain once more proves nothing.
    let mut world = World::on(&state).closing(state.balances);
    let plan = world.plan(&state, Some(payload(ROUND, &state)), Party::Initiator, vec![count()]).unwrap();
    let _applied = world.force(INITIATOR, plan.call).unwrap();
    assert_eq!(world.record().closing().unwrap().penalty, at_risk(ROUND));
}

#[test]
fn a_step_on_a_forced_state_goes_on_with_the_chain_and_one_on_a_payload_starts_a_new_one() {
    let state = state();
    let mut world = World::on(&state);
    let (call, one) = world.step(&state, Party::Initiator, vec![redeem(1)]);
    let _applied = world.force(INITIATOR, call).unwrap();
    let (call, _two) = world.step(&one, Party::Responder, vec![redeem(1), redeem(2)]);
    let _applied = world.force(RESPONDER, call).unwrap();
    assert_eq!(world.record().on_chain.at, Base { agreed: ROUND, steps: 3 });
    assert_eq!(world.record().forced_steps, Pair::new(1, 1));

    // The co-signed round that the chain went on from is no newer one.
    let plan = world.plan(&state, Some(payload(ROUND, &state)), Party::Initiator, vec![count()]).unwrap();
    let old = Rejection::RoundTooOld { got: ROUND, have: ROUND };
    assert_eq!(world.force(INITIATOR, plan.call), Err(old));
    // The chain's first round, co-signed: the whole chain goes, and the steps with it.
    let plan = world.plan(&state, Some(payload(ROUND + 1, &state)), Party::Initiator, vec![count()]).unwrap();
    let _applied = world.force(INITIATOR, plan.call).unwrap();
    assert_eq!(world.record().on_chain.at, Base { agreed: ROUND + 1, steps: 1 });
    let marks = world.record().on_chain.maturity.marks().iter().map(|mark| mark.reached);
    let reached = [(ROUND, 1), (ROUND, 3), (ROUND + 1, 1)].map(|(agreed, steps)| Base { agreed, steps });
    assert_eq!(marks.collect::<Vec<_>>(), reached, "each transaction left a mark");
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
    let phase = Phase::Residual { counted_from: Pair::new(NOW, NOW - 1) };
    assert_eq!((record.total, record.forced_steps, record.phase), (300, Pair::new(1, 0), phase));
    assert_eq!(record.on_chain.maturity, Maturity::default(), "nothing has to mature any more");
    assert_eq!(record.on_chain.at, Base { agreed: ROUND, steps: 1 });
}

/// Steps of a coin each were a way to keep the peer from its own: each of them changes the state that the peer's is made for (R5.11).
#[test]
fn steps_of_next_to_nothing_on_a_settled_channel_end_with_the_quota() {
    let mut state = state();
    let mut world = World::on(&state).residual(400);
    let used_up = Rejection::ForcedStepsUsedUp { max: 2 };
    for at in 0..30 {
        let (theirs, _) = world.step(&state, Party::Initiator, vec![redeem(60)]);
        let (dust, after) = world.step(&state, Party::Responder, vec![redeem(1)]);
        if at < 2 {
            let applied = world.force(RESPONDER, dust).unwrap();
            assert_eq!(applied.paid_out, vec![(RESPONDER, 1)]);
            assert_eq!(world.force(INITIATOR, theirs), Err(Rejection::CommitmentMismatch), "step {at} came first");
            state = after;
        } else {
            assert_eq!(world.force(RESPONDER, dust), Err(used_up));
            let applied = world.force(INITIATOR, theirs).unwrap();
            assert_eq!(applied.paid_out, vec![(INITIATOR, 60)]);
            return;
        }
    }
    panic!("the initiator never had its turn");
}

#[test]
fn a_partys_window_on_a_settled_channel_begins_with_its_first_step_and_lasts_a_lock_period() {
    let mut state = state();
    let mut world = World::on(&state).residual(400);
    let force = |world: &mut World, state: &mut State, now, caller, party| {
        world.now = now;
        let (step, after) = world.step(state, party, vec![redeem(1)]);
        let applied = world.force(caller, step).map(drop);
        if applied.is_ok() {
            *state = after;
        }
        applied
    };
    let used_up = Err(Rejection::ForcedStepsUsedUp { max: 2 });
    let mut responder = |now| force(&mut world, &mut state, now, RESPONDER, Party::Responder);
    // The settlement was in 99; the first step starts the window, however late it comes.
    assert_eq!((responder(118), responder(119)), (Ok(()), Ok(())));
    assert_eq!((responder(119), responder(137)), (used_up, used_up));
    assert_eq!((responder(138), responder(150), responder(157)), (Ok(()), Ok(()), used_up));
    assert_eq!((responder(400), responder(419), responder(419), responder(420)), (Ok(()), Ok(()), used_up, Ok(())));
    // Its peer's steps are counted apart.
    let mut initiator = |now| force(&mut world, &mut state, now, INITIATOR, Party::Initiator);
    assert_eq!((initiator(421), initiator(422), initiator(423)), (Ok(()), Ok(()), used_up));
    let record = world.record();
    let counted_from = Pair::new(421, 420);
    assert_eq!((record.forced_steps, &record.phase), (Pair::new(2, 1), &Phase::Residual { counted_from }));
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
    for caller in [DELEGATE, WATCHER, RESPONDER, STRANGER] {
        assert_eq!(world.force(caller, healthy.clone()), Err(Rejection::MayNotForce { party }));
    }
    let issue = ForceProgress { calls: vec![call(COUNTER, 1, 1u64)], ..healthy };
    let refused = Rejection::CannotAttach { have: 0, value: 1, reserve: RESERVE };
    assert_eq!(world.force(INITIATOR, issue), Err(refused));
    // The state on chain is no newer one.
    let plan = world.plan(&state, Some(payload(ROUND, &state)), Party::Initiator, vec![count()]).unwrap();
    let _applied = world.force(INITIATOR, plan.call).unwrap();
}

/// The vault is that of the party's account under its key in this channel.
#[test]
fn on_a_settled_channel_what_is_paid_goes_where_the_party_wants_it() {
    let state = state();
    let mut world = World::on(&state).residual(400);
    world.record().terms.parties.initiator.payout = Destination::Vault;
    let owner = world.record().terms.ids().initiator;
    let (step, _) = world.step(&state, Party::Initiator, vec![count()]);
    let applied = world.force(INITIATOR, step).unwrap();
    assert!(applied.paid_out.is_empty());
    assert_eq!(world.ledger.vaults, [(owner, 100)].into_iter().collect());
    let [(_, _, payouts)] = &applied.events[..] else { panic!() };
    let (party, destination) = (Some(Party::Initiator), Destination::Vault);
    assert_eq!(*payouts, [Payout { party, to: INITIATOR, amount: 100, destination }]);
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
