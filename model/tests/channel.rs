//! A channel's whole life holds in the quick scenarios; and where a rule, a habit or a bound is broken, the model sees it.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod searching;

use model::{
    Rules,
    channel::{Channel, Habit, Scenario, disputes, scenarios},
};
use protocol::Party;
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;

const PAID: &str = "the honest party is paid what it had agreed to at least";
const INNOCENT: &str = "an honest party never owes the penalty";
const CONVICTED: &str = "whoever closes below what it provably held owes the penalty";
const USABLE: &str = "an agreed round stays usable for whoever looks";
const CLAIMED: &str = "a claim in time stands when its deadline has passed";
const ENDS: &str = "no dispute is longer than the longest";

/// The property that fails first.
fn failure(scenario: Scenario) -> Option<&'static str> {
    let checker = Channel::of(scenario).checker().finish_when(HasDiscoveries::AnyFailures);
    searching::failure(&checker.spawn_bfs().join())
}

/// Searches all of a scenario: what happens in some states, and the longest dispute.
fn search(scenario: Scenario) -> (BTreeSet<&'static str>, u32) {
    let title = format!("{} ({:?} honest)", scenario.name, scenario.honest);
    assert!(scenario.can_answer(), "{title}: R6.9d");
    let checker = Channel::of(scenario).checker().spawn_bfs().join();
    let happens = searching::happens(&title, &checker);
    (happens, checker.model().longest_seen())
}

fn all_hold(which: impl Fn(&Scenario) -> bool) {
    let mut happens = BTreeSet::new();
    for scenario in scenarios(true).into_iter().filter(|scenario| which(scenario)) {
        happens.extend(search(scenario).0);
    }
    assert_eq!(happens.len(), 3, "{happens:?}");
}

/// An offer and one open round.
fn offer() -> Scenario {
    Scenario { deadline: Some(9), rounds: 1, leaves: false, peer_closes: false, ..Scenario::default() }
}

#[test]
fn without_a_deadline_every_channel_holds_what_its_parties_agreed() {
    all_hold(|scenario| scenario.deadline.is_none() && !scenario.restores);
}

#[test]
fn a_party_with_an_old_store_loses_no_more_than_what_it_has_forgotten() {
    all_hold(|scenario| scenario.restores);
}

#[test]
fn a_claim_with_the_margin_is_never_undone() {
    all_hold(|scenario| scenario.deadline.is_some());
}

#[test]
fn a_claim_one_block_later_than_the_margin_may_be_undone() {
    let seldom = Scenario { lock_period: 4, look_within: 2, ..offer() };
    let twice = Scenario { max_forced: 2, ..offer() };
    let slow = Scenario { lock_period: 6, look_within: 2, include_within: 2, deadline: Some(15), ..offer() };
    for scenario in [offer(), seldom, twice, slow] {
        let margin = Some(scenario.margin() - 1);
        assert_eq!(failure(Scenario { margin, ..scenario }), Some(CLAIMED));
    }
}

#[test]
fn whoever_has_one_block_less_than_two_answers_take_may_lose_an_agreed_round() {
    let seldom = Scenario { lock_period: 3, look_within: 2, ..Scenario::default() };
    let slow = Scenario { lock_period: 5, look_within: 2, include_within: 2, ..Scenario::default() };
    // What is on its way already takes longer here than the next look.
    let slower = Scenario { look_within: 1, ..slow.clone() };
    for scenario in [Scenario { lock_period: 2, ..Scenario::default() }, seldom, slow, slower] {
        let enough = Scenario { lock_period: scenario.lock_period + 1, ..scenario.clone() };
        assert!(!scenario.can_answer() && enough.can_answer());
        assert_eq!(failure(Scenario { rounds: 1, ..scenario }), Some(USABLE));
    }
}

#[test]
fn the_longest_dispute_is_reached_and_none_is_longer() {
    for scenario in disputes() {
        let longest = scenario.longest();
        let (_, seen) = search(scenario);
        assert_eq!(seen, longest);
    }
}

#[test]
fn were_forced_steps_not_counted_the_model_would_see_longer_disputes() {
    let scenario = Scenario { rounds: 0, leaves: false, measures: true, ..Scenario::default() };
    assert_eq!(failure(Scenario { rules: Rules::NoQuota, ..scenario }), Some(ENDS));
}

#[test]
fn were_the_lock_not_waited_for_the_model_would_see_it() {
    let scenario = Scenario { history: 2, rounds: 0, rules: Rules::NoLock, ..Scenario::default() };
    assert_eq!(failure(scenario), Some(CONVICTED));
}

#[test]
fn did_old_signatures_never_lose_their_force_the_model_would_see_a_claim_undone() {
    assert_eq!(failure(Scenario { rules: Rules::NoMaturity, ..offer() }), Some(CLAIMED));
}

#[test]
fn had_a_forced_chain_one_mark_the_model_would_see_a_claim_undone() {
    assert_eq!(failure(Scenario { rules: Rules::OneMark, ..offer() }), Some(CLAIMED));
}

#[test]
fn did_marks_go_with_their_chain_the_model_would_see_a_claim_undone() {
    assert_eq!(failure(Scenario { rules: Rules::MarksDropped, rounds: 2, ..offer() }), Some(CLAIMED));
}

#[test]
fn were_bases_numbers_the_model_would_see_an_agreed_round_lost() {
    let scenario = Scenario { rules: Rules::BaseAsNumber, stalls: &[3], ..Scenario::default() };
    assert_eq!(failure(scenario), Some(USABLE));
}

#[test]
fn did_only_rounds_of_the_closers_peer_prove_anything_the_model_would_see_a_closer_let_off() {
    assert_eq!(failure(Scenario { rules: Rules::PenaltyByParity, ..Scenario::default() }), Some(CONVICTED));
}

#[test]
fn whoever_trusts_an_answer_that_a_forced_step_has_overtaken_loses_it() {
    let scenario = Scenario { habit: Habit::TrustsLateAnswers, rounds: 1, ..Scenario::default() };
    assert_eq!(failure(scenario), Some(USABLE));
}

/// The peer shows one open round and closes on it, and answers the other when the settlement is on its way.
#[test]
fn whoever_trusts_an_answer_while_the_channel_closes_is_paid_less() {
    let scenario = Scenario { habit: Habit::TrustsAnswersToAClose, ..Scenario::default() };
    assert_eq!(failure(scenario), Some(PAID));
}

/// An agreed round that is shown with a claim is not shown where the claim comes too late.
#[test]
fn whoever_claims_when_it_may_be_too_late_may_lose_an_agreed_round() {
    let scenario = Scenario { lock_period: 6, look_within: 2, include_within: 2, rounds: 1, ..Scenario::default() };
    let scenario = Scenario { deadline: Some(7), leaves: false, ..scenario };
    assert_eq!(failure(Scenario { habit: Habit::ClaimsLate, ..scenario }), Some(USABLE));
}

/// The store of before a forced step knows nothing of its mark: an answer to what the mark has overtaken looks like any other.
#[test]
fn whoever_goes_on_with_an_old_store_and_takes_answers_before_it_looks_loses_them() {
    let scenario = Scenario { habit: Habit::AnswersBeforeLooking, restores: true, rounds: 1, ..Scenario::default() };
    assert_eq!(failure(scenario), Some(USABLE));
}

#[test]
fn whoever_closes_on_an_old_store_owes_the_penalty() {
    let scenario = Scenario { habit: Habit::TrustsOldStores, restores: true, rounds: 1, ..Scenario::default() };
    assert_eq!(failure(scenario), Some(INNOCENT));
}

#[test]
fn the_quick_scenarios_are_of_both_parties() {
    let honest: BTreeSet<_> = scenarios(true).into_iter().map(|scenario| scenario.honest).collect();
    assert_eq!(honest, Party::BOTH.into_iter().collect());
}
