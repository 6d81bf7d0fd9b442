//! The quick scenarios hold; and where a rule or the defence is broken, the model sees it.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod searching;

use model::{Dispute, Policy, Rules, Scenario, scenarios};
use protocol::Party;
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;

/// The property that fails first.
fn failure(scenario: Scenario) -> Option<&'static str> {
    let checker = Dispute::of(scenario).checker().finish_when(HasDiscoveries::AnyFailures);
    searching::failure(&checker.spawn_dfs().join())
}

fn quick(name: &str, honest: Party) -> Scenario {
    scenarios(true).into_iter().find(|scenario| scenario.name == name && scenario.honest == honest).unwrap()
}

const DUE: &str = "in the end the honest party has what it is due";

/// Searches all of a scenario: the number of states, and what happens in some of them.
fn search(scenario: Scenario) -> (usize, BTreeSet<&'static str>) {
    let title = format!("{} ({:?} honest)", scenario.name, scenario.honest);
    let checker = Dispute::of(scenario).checker().spawn_bfs().join();
    let happens = searching::happens(&title, &checker);
    (checker.unique_state_count(), happens)
}

fn hold_for(honest: Party) {
    let (mut states, mut happens) = (0, BTreeSet::new());
    for scenario in scenarios(true).into_iter().filter(|scenario| scenario.honest == honest) {
        let (seen, happened) = search(scenario);
        states += seen;
        happens.extend(happened);
    }
    println!("{states} states");
    assert!(states > 10_000, "only {states}");
    assert_eq!(happens.len(), 3, "{happens:?}");
}

#[test]
fn in_every_dispute_an_honest_initiator_has_its_due_in_time() {
    hold_for(Party::Initiator);
}

#[test]
fn in_every_dispute_an_honest_responder_has_its_due_in_time() {
    hold_for(Party::Responder);
}

#[test]
fn whoever_sleeps_loses() {
    let scenario = Scenario { policy: Policy::Sleeps, ..quick("payments alone", Party::Initiator) };
    assert_eq!(failure(scenario), Some(DUE));
}

#[test]
fn whoever_forgets_the_expiry_loses() {
    let scenario = Scenario {
        policy: Policy::ClaimsLate,
        ..quick("a conditional transfer to the honest party", Party::Responder)
    };
    assert_eq!(failure(scenario), Some(DUE));
}

#[test]
fn were_older_rounds_to_count_the_model_would_see_it() {
    let scenario = Scenario { rules: Rules::OlderRoundsCount, ..quick("payments alone", Party::Initiator) };
    assert!(failure(scenario).is_some());
}

#[test]
fn were_forced_steps_not_counted_the_model_would_see_an_endless_dispute() {
    let scenario = Scenario { rules: Rules::NoQuota, ..quick("calls for delay's sake", Party::Responder) };
    assert!(failure(scenario).is_some());
}

#[test]
fn were_the_lock_not_waited_for_the_model_would_see_it() {
    let scenario = Scenario { rules: Rules::NoLock, ..quick("payments alone", Party::Responder) };
    assert_eq!(failure(scenario), Some(DUE));
}
