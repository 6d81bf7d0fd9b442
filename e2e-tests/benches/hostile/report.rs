//! The figures, and the page they go to.

use crate::{
    HOSTILE, PHASE, ROUNDS,
    answers::{Answer, Answers, SYNC_DELAY},
};
use std::{collections::BTreeMap, fmt::Write, path::Path, time::Duration};

/// What runs beside the honest payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Alone,
    Hostile,
    Computing,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Alone => "nothing",
            Self::Hostile => "thirty hostile peers",
            Self::Computing => "thirty processes that compute",
        }
    }
}

#[derive(Default)]
pub(crate) struct Report {
    /// How long each payment took, by phase, one list for each round.
    phases: BTreeMap<Phase, Vec<Vec<Duration>>>,
    /// The node's memory before anybody was hostile and after everything, at its highest, in bytes.
    quiet_peak: u64,
    pub(crate) peak: u64,
    pub(crate) counted: Vec<(String, u64)>,
    /// To old closes, where they could be measured.
    pub(crate) answers: Answers,
}

impl Report {
    pub(crate) fn new(quiet_peak: u64) -> Self {
        Self { quiet_peak, ..Self::default() }
    }

    pub(crate) fn add(&mut self, phase: Phase, mut latencies: Vec<Duration>) {
        latencies.sort();
        println!("{}", row(phase, &latencies));
        self.phases.entry(phase).or_default().push(latencies);
    }

    pub(crate) fn write(&self) {
        let mut text = format!(
            "# One honest stream beside thirty hostile peers\n\nWritten by `just hostile`: one run on one machine, in the profile that tests use. Alice pays Bob over \
loopback, one payment in flight, both in memory, each in a process of its own; beside them {HOSTILE} processes at `nice 19`: hostile peers of {} kinds, or as many that only compute. {ROUNDS} rounds of {} s for each \
phase, one after the other; each row is one of them.\n\n| beside | payments per second | p50 | p99 | worst |\n|---|---|---|---|---|\n",
            crate::peers::KINDS.len(),
            PHASE.as_secs(),
        );
        for round in 0..ROUNDS {
            for (phase, rounds) in &self.phases {
                let _infallible = writeln!(text, "{}", row(*phase, &rounds[round]));
            }
        }
        let rate = |phase| median(self.phases[&phase].iter().map(|latencies| rate(latencies)));
        let p99 = |phase| median(self.phases[&phase].iter().map(|latencies| percentile(latencies, 99).as_secs_f64()));
        let (hostile, computing) = (rate(Phase::Hostile), rate(Phase::Computing));
        let _infallible = writeln!(
            text,
            "\nMedians: {:.0} payments per second alone, {hostile:.0} beside hostile peers, {computing:.0} beside computing: hostility costs {:.0} % beyond what the same load costs as plain \
computing. p99 {:.2?}, {:.2?}, {:.2?}. The node's memory was {} MiB at its highest, {} MiB before.\n\n## What the node counted\n\n| cause | times |\n|---|---|",
            rate(Phase::Alone),
            100.0 * (1.0 - hostile / computing),
            Duration::from_secs_f64(p99(Phase::Alone)),
            Duration::from_secs_f64(p99(Phase::Hostile)),
            Duration::from_secs_f64(p99(Phase::Computing)),
            self.peak >> 20,
            self.quiet_peak >> 20,
        );
        for (cause, count) in &self.counted {
            let _infallible = writeln!(text, "| `{cause}` | {count} |");
        }
        self.write_answers(&mut text);
        println!("{text}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/hostile.md");
        std::fs::write(path, text).unwrap();
    }
}

impl Report {
    fn write_answers(&self, text: &mut String) {
        let _infallible = writeln!(
            text,
            "\n## Old closes beside them\n\nCarol closes channels with Bob on old states while the thirty hostile peers are there. Every sync of Bob's store takes {} ms more \
(`strace` delays it; a payment to him takes up to {:.0?}), and the chain makes a block with each transaction and one each second.\n",
            SYNC_DELAY.as_millis(),
            self.answers.payment
        );
        if self.answers.answers.is_empty() {
            text.push_str("Not measured: this machine has no `strace`.\n");
            return;
        }
        text.push_str("| answered after | blocks after the close |\n|---|---|\n");
        for Answer { after, blocks } in &self.answers.answers {
            let _infallible = writeln!(text, "| {after:.2?} | {blocks} |");
        }
    }
}

fn row(phase: Phase, latencies: &[Duration]) -> String {
    format!(
        "| {} | {:.0} | {:.2?} | {:.2?} | {:.2?} |",
        phase.name(),
        rate(latencies),
        percentile(latencies, 50),
        percentile(latencies, 99),
        latencies.last().copied().unwrap_or_default()
    )
}

fn rate(latencies: &[Duration]) -> f64 {
    latencies.len() as f64 / PHASE.as_secs_f64()
}

/// Of sorted durations.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
