//! The figures, and the page they go to.

use crate::{limit, nodes::Storage};
use std::{fmt::Write, path::Path, time::Duration};

/// What one scenario came to.
pub(crate) struct Measured {
    pub(crate) scenario: String,
    pub(crate) storage: Storage,
    /// What is counted: rounds, payments, calls.
    pub(crate) unit: &'static str,
    pub(crate) count: u64,
    pub(crate) rounds: u64,
    pub(crate) elapsed: Duration,
    /// From asking for a payment to knowing that it is agreed.
    pub(crate) latencies: Vec<Duration>,
}

/// What bounds a round at one moment on this machine.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// Two signatures and two verifications.
    pub(crate) round: Duration,
    /// One `fdatasync`.
    pub(crate) sync: Duration,
    /// A round and two of them in turns, on one thread and between two, where that was measured.
    pub(crate) in_turns: Option<(Duration, Duration)>,
}

impl Limit {
    /// As it is now.
    pub(crate) fn now() -> Self {
        Self { round: limit::round(), sync: limit::sync(), in_turns: None }
    }

    /// A round's, kept as the scenario says.
    fn of(self, storage: Storage) -> Duration {
        self.round + storage.syncs() * self.sync
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(Measured, Limit)>,
    idle: Vec<(usize, u64, Duration)>,
}

impl Report {
    /// Notes a scenario, with the bare cost of a round at this moment on this machine.
    pub(crate) fn add(&mut self, mut measured: Measured) {
        measured.latencies.sort();
        let mut limit = Limit::now();
        if measured.storage.syncs() == 2 {
            limit.in_turns = Some((limit::round_with_two_syncs(), limit::round_between_two()));
        }
        println!("{} {:.1?}", row(&measured, limit), limit.in_turns.unwrap_or_default());
        self.rows.push((measured, limit));
    }

    /// Notes the memory of a process with so many idle channels, in bytes, and how long its start took.
    pub(crate) fn add_idle(&mut self, channels: usize, resident: u64, started: Duration) {
        println!("{channels} idle channels: {} KiB resident, started in {started:.2?}", resident / 1024);
        self.idle.push((channels, resident, started));
    }

    pub(crate) fn write(&self) {
        let mut text = [HEAD, TABLE].concat();
        for (measured, limit) in &self.rows {
            let _infallible = writeln!(text, "{}", row(measured, *limit));
        }
        text.push_str(&self.syncs());
        text.push_str(IDLE);
        let base = self.idle.first().map_or(0, |(_, resident, _)| *resident);
        for (channels, resident, started) in &self.idle {
            let each = resident.saturating_sub(base).checked_div(*channels as u64).unwrap_or(0);
            let _infallible = writeln!(
                text,
                "| {channels} | {:.1} | {each} | {:.2} |",
                *resident as f64 / 1024.0 / 1024.0,
                started.as_secs_f64()
            );
        }
        write_page("offchain.md", &text);
    }

    /// How long a sync took that the limits of durable payments are made of.
    fn syncs(&self) -> String {
        let mut text = String::from(
            "\nA commit of the store is one page and one `fdatasync` (`docs/adr/0008-a-journal-before-the-store.md`). By itself it took, right after these rows:",
        );
        let one_in_flight =
            |(measured, _): &&(Measured, Limit)| measured.scenario == "one in flight" && measured.storage.syncs() > 0;
        let mut in_turns = String::new();
        for (measured, limit) in self.rows.iter().filter(one_in_flight) {
            let _infallible = write!(text, " {:.0?} (\"one in flight\", {});", limit.sync, measured.storage.name());
            if let Some((bare, between)) = limit.in_turns {
                let took = measured.elapsed.as_secs_f64() / measured.rounds as f64;
                let share = |bare: Duration| 100.0 * bare.as_secs_f64() / took;
                let _infallible = write!(
                    in_turns,
                    " A loop that signs, syncs and verifies, twice, and does nothing else, took {bare:.0?} each time right after \"{}\": {:.0} % of what a payment took. Two threads \
                    that do the same by turns, with a message of 256 bytes over loopback each way, took {between:.0?}: {:.0} %.",
                    measured.storage.name(),
                    share(bare),
                    share(between)
                );
            }
        }
        format!("{}.{in_turns}\n", text.trim_end_matches([';', ':']))
    }

    /// Writes the rows alone: a page of their own.
    pub(crate) fn write_contracts(&self) {
        let rows: String = self.rows.iter().map(|(measured, limit)| row(measured, *limit) + "\n").collect();
        write_page("contracts.md", &format!("{CONTRACTS}{TABLE}{rows}"));
    }
}

pub(crate) fn write_page(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks").join(name);
    std::fs::write(path, text).unwrap();
}

const HEAD: &str = "# Off chain, over loopback\n\nWritten by `just bench-offchain`: one run on one machine, both nodes in one process, in the profile that tests \
use (the SDK at opt-level 2, the curve at 3). The limit is the bare cost of a round, two signatures and two verifications one after the other on \
one core, measured right after each row; where rounds are kept durably, with three `fdatasync` of one page each: the payer keeps the proposal, the payee what is agreed, the payer what is agreed, one after the other (R6.4); with two where the payer is told once both have signed, and keeps what is agreed with its next proposal (`Told::OnceAgreed`, R6.4c). \"Processors awake\": `Processors::stay_awake`, which ends before the limit is measured. Share: the rate of rounds against that limit; above 100 % where rounds of several channels or of both sides run on \
several cores at once, or share a sync. Latency: from asking for a payment to knowing that it is agreed. \"25 ms\": the wire adds 12.5 ms each way.\n\n";

const CONTRACTS: &str = "# Contracts off chain, over loopback\n\nWritten by `just bench-offchain contracts`, in one run on one machine; what is said in `offchain.md` of machine, profile and limit is true here. \
The contract is the counter (16 bytes of state). A batch is 512 calls in one round, four of them on their way. Both sides run each call once. \"One of n contracts\": there are so many in the channel.\n\n";

const TABLE: &str = "| scenario | kept | per second | what | p50 | p99 | rounds per second | limit of a round | share |\n|---|---|---|---|---|---|---|---|---|\n";

const IDLE: &str = "\n## Idle channels\n\nA process of its own with one node, all its channels with one peer over one connection, restored from its store.\n\n\
| channels | resident (MiB) | bytes for each channel | start (s) |\n|---|---|---|---|\n";

fn row(measured: &Measured, limits: Limit) -> String {
    let limit = limits.of(measured.storage);
    let seconds = measured.elapsed.as_secs_f64();
    let (rate, rounds) = (measured.count as f64 / seconds, measured.rounds as f64 / seconds);
    format!(
        "| {} | {} | {rate:.0} | {} | {:.2?} | {:.2?} | {rounds:.0} | {:.1?} | {:.0} % |",
        measured.scenario,
        measured.storage.name(),
        measured.unit,
        percentile(&measured.latencies, 50),
        percentile(&measured.latencies, 99),
        limit,
        100.0 * rounds * limit.as_secs_f64()
    )
}

/// Of sorted durations.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
