//! Checks every scenario and prints how much was searched. `quick` as the first argument checks the smaller ones.

use model::{Dispute, scenarios};
use stateright::{Checker, Expectation, Model};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let quick = std::env::args().nth(1).is_some_and(|argument| argument == "quick");
    let mut failed = false;
    for scenario in scenarios(quick) {
        let title = format!("{} ({:?} honest)", scenario.name, scenario.honest);
        let (horizon, locks) = (scenario.horizon(), scenario.most_locks());
        let start = Instant::now();
        let checker = Dispute::of(scenario).checker().threads(2).spawn_bfs().join();
        println!(
            "{title}: {} states, {} steps, depth {}, at most {locks} locks and {horizon} blocks, {:.1} s",
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            start.elapsed().as_secs_f32()
        );
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
            failed |= !holds;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
