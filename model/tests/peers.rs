//! Two honest peers always come to rest on one round.

use model::peers::{Peers, Refusals};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// The property that fails first, and how many properties of the other sort are seen to happen.
fn search(peers: Peers) -> (Option<&'static str>, usize) {
    let checker = peers.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{peers:?}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    let found = |expectation| {
        let of = checker.model().properties().into_iter().filter(move |property| property.expectation == expectation);
        of.map(|property| property.name).filter(|name| checker.discovery(name).is_some()).collect::<Vec<_>>()
    };
    (found(Expectation::Always).first().copied(), found(Expectation::Sometimes).len())
}

#[test]
fn however_proposals_cross_and_are_refused_both_come_to_rest_on_one_round() {
    let peers = Peers { proposals: 4, disturbances: 0, refusals: Refusals::CounterRound };
    assert_eq!(search(peers), (None, 2));
}

#[test]
fn however_processes_stop_and_connections_are_lost_both_come_to_rest_on_one_round() {
    let peers = Peers { proposals: 3, disturbances: 2, refusals: Refusals::CounterRound };
    assert_eq!(search(peers), (None, 2));
}

#[test]
fn were_rounds_refused_in_silence_the_model_would_see_a_deadlock() {
    let peers = Peers { proposals: 1, disturbances: 0, refusals: Refusals::Silent };
    assert_eq!(search(peers).0, Some("where nothing more can happen both rest on one round"));
}
