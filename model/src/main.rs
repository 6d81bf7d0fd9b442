//! Checks everything and prints how much was searched. `quick` as the first argument checks the smaller scenarios; any other is looked for in the
//! names of the larger ones, and these alone are checked.

use model::{Dispute, channel, channel::Channel, peers::Peers, peers::Refusals, scenarios};
use stateright::{Checker, Expectation, Model};
use std::{hash::Hash, process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let quick = argument.as_deref() == Some("quick");
    let mut holds = true;
    if let Some(part) = argument.filter(|_| !quick) {
        for scenario in channel::scenarios(false).into_iter().filter(|scenario| scenario.name.contains(&part)) {
            holds &= check(&format!("a channel: {}", scenario.name), Channel::of(scenario));
        }
        return if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    for (proposals, disturbances) in [(4, 0), (if quick { 2 } else { 5 }, 3)] {
        let peers = Peers { proposals, disturbances, refusals: Refusals::CounterRound };
        holds &= check(&format!("two honest peers, {proposals} proposals each, {disturbances} disturbances"), peers);
    }
    for scenario in channel::scenarios(quick) {
        let title = format!("a channel: {} ({:?} honest)", scenario.name, scenario.honest);
        holds &= check(&title, Channel::of(scenario));
    }
    for scenario in scenarios(quick) {
        let (horizon, locks) = (scenario.horizon(), scenario.most_locks());
        let title = format!(
            "a dispute: {} ({:?} honest), at most {locks} locks and {horizon} blocks",
            scenario.name, scenario.honest
        );
        holds &= check(&title, Dispute::of(scenario));
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Searches all of a model; whether everything holds that must.
fn check<M>(title: &str, model: M) -> bool
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + Eq + Send + Sync,
    M::Action: std::fmt::Debug + Clone + PartialEq,
{
    let start = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, steps, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{title}: {states} states, {steps} steps, depth {depth}, {:.1} s", start.elapsed().as_secs_f32());
    let mut all_hold = true;
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        let always = property.expectation == Expectation::Always;
        let says = match (always, found.is_some()) {
            (true, false) => "holds:",
            (true, true) => "FAILS:",
            (false, true) => "happens:",
            (false, false) => "does not happen:",
        };
        println!("    {says} {}", property.name);
        let holds = !(always && found.is_some());
        if let Some(path) = found.filter(|_| !holds) {
            path.into_actions().iter().for_each(|action| println!("        {action:?}"));
        }
        all_hold &= holds;
    }
    all_hold
}
