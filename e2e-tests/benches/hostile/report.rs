//! The figures, and the page they go to.

use crate::{
    HOSTILE, PHASE,
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
    /// How long those who had never been there took to connect.
    newcomers: BTreeMap<Phase, Vec<Option<Duration>>>,
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

    /// Notes payments beside nothing.
    pub(crate) fn alone(&mut self, latencies: Vec<Duration>) {
        self.add(Phase::Alone, latencies);
    }

    pub(crate) fn add(&mut self, phase: Phase, mut latencies: Vec<Duration>) {
        latencies.sort();
        println!("{}", row(phase.name(), &latencies));
        self.phases.entry(phase).or_default().push(latencies);
    }

    /// Notes how long those took to connect who had never been there.
    pub(crate) fn newcomers(&mut self, phase: Phase, took: Vec<Option<Duration>>) {
        self.newcomers.entry(phase).or_default().extend(took);
    }

    /// Writes the page.
    pub(crate) fn write(&self) {
        let text = self.page();
        println!("{text}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/hostile.md");
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn page(&self) -> String {
        let of = |phase| self.phases.get(&phase).map_or(&[][..], Vec::as_slice);
        let pairs: Vec<_> = of(Phase::Hostile).iter().zip(of(Phase::Computing)).collect();
        let mut text = format!(
            "# One honest stream beside thirty hostile peers\n\nWritten by `just hostile`: one run on one machine, in the profile that tests use. Alice pays Bob over \
loopback, one payment in flight, both in memory, each in a process of its own; beside them {HOSTILE} processes at `nice 19`: hostile peers of {} kinds, or as many that only compute. {} pairs of phases of {} s follow one another, \
the hostile one first in every other pair; what hostility costs is computed in each pair: the payments that are missing there of those beside computing. A row has both phases of a pair.\n\n\
| payments per second beside hostile peers | p50 | p99 | beside computing | p50 | p99 | hostility costs |\n|---|---|---|---|---|---|---|\n",
            crate::peers::KINDS.len(),
            pairs.len(),
            PHASE.as_secs(),
        );
        let cost =
            |(hostile, computing): &(&Vec<Duration>, &Vec<Duration>)| 100.0 * (1.0 - rate(hostile) / rate(computing));
        for pair in &pairs {
            let [hostile, computing] = [pair.0, pair.1].map(|latencies| {
                let [p50, p99] = [50, 99].map(|percent| percentile(latencies, percent));
                format!("{:.0} | {p50:.2?} | {p99:.2?}", rate(latencies))
            });
            let _infallible = writeln!(text, "| {hostile} | {computing} | {:.0} % |", cost(pair));
        }
        let costs = sorted(pairs.iter().map(cost));
        let rates = |phase| sorted(of(phase).iter().map(|latencies| rate(latencies)));
        let p50s = |phase| sorted(of(phase).iter().map(|latencies| percentile(latencies, 50).as_secs_f64() * 1e6));
        let (hostile, computing) = (rates(Phase::Hostile), rates(Phase::Computing));
        let all = |phase| of(phase).iter().map(Vec::len).sum::<usize>() as f64;
        let _infallible = writeln!(
            text,
            "\nMedian of the pairs: hostility costs {:.0} % beyond what the same load costs as plain computing; a quarter of the pairs say {:.0} % or less, a quarter {:.0} % or more; all phases together, {:.0} %. Payments per second, medians with the quarters below and \
above: {} beside hostile peers, {} beside computing; beside nothing {:.0}. Half of the payments took up to {:.0} µs beside hostile peers, {:.0} µs beside computing. The node's memory was {} MiB at its highest, {} MiB before.{}\n\n\
## What the node counted\n\n| cause | times |\n|---|---|",
            quantile(&costs, 2),
            quantile(&costs, 1),
            quantile(&costs, 3),
            100.0 * (1.0 - all(Phase::Hostile) / all(Phase::Computing)),
            spread(&hostile),
            spread(&computing),
            quantile(&rates(Phase::Alone), 2),
            quantile(&p50s(Phase::Hostile), 2),
            quantile(&p50s(Phase::Computing), 2),
            self.peak >> 20,
            self.quiet_peak >> 20,
            self.about_newcomers(),
        );
        for (cause, count) in &self.counted {
            let _infallible = writeln!(text, "| `{cause}` | {count} |");
        }
        self.write_answers(&mut text);
        text
    }
}

impl Report {
    fn about_newcomers(&self) -> String {
        let of = |phase| {
            let all = self.newcomers.get(&phase).map_or(&[][..], Vec::as_slice);
            let mut took: Vec<_> = all.iter().copied().flatten().collect();
            took.sort();
            let (p50, worst) = (percentile(&took, 50), took.last().copied().unwrap_or_default());
            format!("{p50:.2?} (at most {worst:.2?}; {} of {} came to nothing)", all.len() - took.len(), all.len())
        };
        format!(
            " Somebody who has never been there has a session after {} beside hostile peers, {} beside computing.",
            of(Phase::Hostile),
            of(Phase::Computing)
        )
    }

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

fn row(name: &str, latencies: &[Duration]) -> String {
    format!(
        "| {name} | {:.0} | {:.2?} | {:.2?} | {:.2?} |",
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

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values, below which so many quarters of them are.
fn quantile(values: &[f64], quarters: usize) -> f64 {
    values.get(values.len() * quarters / 4).copied().unwrap_or_default()
}

/// The median of sorted values, and the quarters below and above.
fn spread(values: &[f64]) -> String {
    format!("{:.0} ({:.0} to {:.0})", quantile(values, 2), quantile(values, 1), quantile(values, 3))
}
