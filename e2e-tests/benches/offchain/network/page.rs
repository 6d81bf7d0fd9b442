//! The page of payments across channels.

use crate::{
    limit,
    nodes::Storage,
    report::{Limit, percentile, write_page},
};
use sdk::store::{StoreHandle, Table};
use std::{fmt::Write, thread::available_parallelism, time::Duration};

/// How payments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In the channel of payer and payee.
    Direct,
    /// Through a hub, which has a channel with each.
    Hub,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Hub => "through a hub",
        }
    }

    /// What one payment takes at least, with nothing else under way: rounds one after the other, and commits one after the other.
    ///
    /// Direct: the offer is kept by the payer; agreed to, with the claim, by the payee; the claim agreed to by the payer. Through a hub each channel has two
    /// rounds, and seven commits lie one after the other.
    const fn least(self) -> (u32, u32) {
        match self {
            Self::Direct => (2, 3),
            Self::Hub => (4, 7),
        }
    }

    /// What one payment takes at least on this machine now.
    fn limit(self, storage: Storage, limit: Limit, sealing: Duration) -> Duration {
        let (rounds, commits) = self.least();
        let durable = if storage == Storage::Durable { limit.sync * commits } else { Duration::ZERO };
        limit.round * rounds + sealing + durable
    }

    const fn goal(self, storage: Storage, in_flight: usize) -> &'static str {
        match (self, storage, in_flight) {
            (Self::Direct, Storage::Memory, 1) => "3,400 per second",
            (Self::Direct, Storage::Durable, 1) => "800 per second",
            (Self::Direct, Storage::Durable, _) => "50,000 per second",
            (Self::Hub, Storage::Durable, 1) => "p50 4 ms",
            (Self::Hub, Storage::Durable, _) => "3,000 per second, never under 500",
            _ => "",
        }
    }
}

/// Payments of one kind.
pub(crate) struct Payments {
    pub(crate) way: Way,
    pub(crate) in_flight: usize,
    pub(crate) storage: Storage,
    pub(crate) elapsed: Duration,
    /// What the processors have done for it.
    pub(crate) processor: Duration,
    /// From asking for a payment to having its proof.
    pub(crate) latencies: Vec<Duration>,
}

/// What one node keeps of open transfers, and how it starts with them.
pub(crate) struct Open {
    pub(crate) name: &'static str,
    pub(crate) count: u64,
    pub(crate) rows: Rows,
    pub(crate) started: Duration,
}

/// What is kept of a channel in one state.
pub(crate) struct Kept {
    pub(crate) what: String,
    pub(crate) rows: Rows,
}

/// Rows of a store, and their bytes, keys included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rows {
    channels: (u64, u64),
    contracts: (u64, u64),
    transfers: (u64, u64),
    routing: (u64, u64),
}

impl Rows {
    pub(crate) fn of(store: &StoreHandle) -> Self {
        let table = |table| {
            let rows = store.load_all(table).unwrap();
            let bytes: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
            (rows.len() as u64, bytes as u64)
        };
        Self {
            channels: table(Table::Channels),
            contracts: table(Table::Contracts),
            transfers: table(Table::Transfers),
            routing: table(Table::Routing),
        }
    }

    /// What is there beyond that.
    pub(crate) fn without(self, other: Self) -> Self {
        let less = |(rows, bytes): (u64, u64), (no_rows, no_bytes): (u64, u64)| {
            (rows.saturating_sub(no_rows), bytes.saturating_sub(no_bytes))
        };
        Self {
            channels: less(self.channels, other.channels),
            contracts: less(self.contracts, other.contracts),
            transfers: less(self.transfers, other.transfers),
            routing: less(self.routing, other.routing),
        }
    }

    const fn all(self) -> [(u64, u64); 4] {
        [self.channels, self.contracts, self.transfers, self.routing]
    }

    fn bytes(self) -> u64 {
        self.all().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Each table's, as cells of a row.
    fn cells(self) -> String {
        let cell = |(rows, bytes)| if rows == 0 && bytes == 0 { "–".to_owned() } else { format!("{rows}: {bytes}") };
        self.all().map(cell).join(" | ")
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Page {
    payments: Vec<String>,
    /// As it was measured last.
    sealing: Duration,
    open: Vec<String>,
    reconnected: Duration,
    kept: Vec<String>,
}

impl Page {
    /// Notes payments, with their limit at this moment on this machine.
    pub(crate) fn add(&mut self, mut payments: Payments) {
        payments.latencies.sort();
        let Payments { way, in_flight, storage, elapsed, processor, latencies } = payments;
        self.sealing = limit::sealing();
        let limit = way.limit(storage, Limit::now(), self.sealing);
        let rate = latencies.len() as f64 / elapsed.as_secs_f64();
        let each = processor.checked_div(u32::try_from(latencies.len()).unwrap()).unwrap_or_default();
        let cores = available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let most = if in_flight == 1 { limit.as_secs_f64().recip() } else { cores / each.as_secs_f64() };
        let row = format!(
            "| {}, {in_flight} in flight | {} | {rate:.0} | {:.2?} | {:.2?} | {} | {limit:.1?} | {:.0} % | {:.0?} | {most:.0} |",
            way.name(),
            storage.name(),
            percentile(&latencies, 50),
            percentile(&latencies, 99),
            way.goal(storage, in_flight),
            100.0 * rate * limit.as_secs_f64(),
            each
        );
        println!("{row}");
        self.payments.push(row);
    }

    pub(crate) fn add_open(&mut self, open: Open) {
        let Open { name, count, rows, started } = open;
        let row = format!(
            "| {} | {count} | {} | {} | {:.2} |",
            if name == super::three::PAYER {
                "payer"
            } else if name == super::three::HUB {
                "hub"
            } else {
                "payee"
            },
            rows.cells(),
            rows.bytes().checked_div(count).unwrap_or(0),
            started.as_secs_f64()
        );
        println!("{row}");
        self.open.push(row);
    }

    /// Notes how long it took until all channels were open again.
    pub(crate) fn add_reconnected(&mut self, took: Duration) {
        println!("both channels are open again after {took:.2?}");
        self.reconnected = took;
    }

    pub(crate) fn add_kept(&mut self, Kept { what, rows }: Kept) {
        let row = format!("| {what} | {} | {} |", rows.cells(), rows.bytes());
        println!("{row}");
        self.kept.push(row);
    }

    pub(crate) fn write(&self) {
        let table = |rows: &[String]| rows.iter().fold(String::new(), |text, row| text + row + "\n");
        let mut text = format!(
            "{HEAD}{}\nSealing and opening took {:.0?} by themselves right after the last row.\n",
            table(&self.payments),
            self.sealing
        );
        let _infallible =
            write!(text, "{OPEN}{}{}{KEPT}{}", table(&self.open), reconnected(self.reconnected), table(&self.kept));
        write_page("network.md", &text);
    }
}

fn reconnected(took: Duration) -> String {
    format!(
        "\nOnce the three were connected again, both channels were open, and the payer had the hub's terms, {:.2} s later; then every payment was settled, and \
every one was made.\n",
        took.as_secs_f64()
    )
}

const HEAD: &str = "# Payments across channels, over loopback\n\nWritten by `just bench-network`: one run on one machine, all nodes in one process, in the \
profile that tests use (the SDK at opt-level 2, the curve at 3). Each payment is a conditional transfer that a payer's application asks for by \
`Node::pay_spontaneously` and that ends when it has the proof: routed, sealed for the payee, its row kept by each node where that is durable. The limit is what a \
payment takes at least, measured right after each row: the bare signatures and verifications of its rounds (two directly, four through a hub), one after the other on \
one core, sealing its words for the payee and opening them, and where it is durable one `fdatasync` for each commit that waits for another (three, seven). Share: the rate against that limit; above 100 % where \
payments share rounds and syncs. Processor time: what all nodes together and the measuring itself used for one payment. \
Most: what this machine could reach, one in flight by payments that take no more than the limit, and many at once by all of its processors at work without a break for as long as each payment has used them. A goal above \
that is missed for the bare work: signatures and sealing one after the other, or what all nodes together have to compute; one below it for what lies in between, waking tasks, queues and syncs. [network-profile.md](network-profile.md) has where the time goes. The nodes allow 16,384 open transfers in a channel and a million offers a second, instead of 256 and 10,000, and a hub lets twenty times as many expire within the same blocks as it would (R8.4e).\n\n\
| payments | kept | per second | p50 | p99 | goal | limit of a payment | share | processor time | most |\n|---|---|---|---|---|---|---|---|---|---|\n";

const OPEN: &str = "\n## Open transfers\n\nPayments through a hub that the payee holds: each is a transfer in each of two channels, so the hub has two rows of each. What is \
kept is what the stores have beyond what they had before, keys included, as `rows: bytes` of each table. Start: from opening the store to the running node.\n\n\
| node | open payments | channels | contracts | transfers | router | bytes for each payment | start (s) |\n|---|---|---|---|---|---|---|---|\n";

const KEPT: &str = "\n## What a party keeps of a channel\n\nThe payer's store, `rows: bytes` of each table, keys included. Events that the user has not \
acknowledged would be kept besides.\n\n\
| what | channels | contracts | transfers | router | bytes in all |\n|---|---|---|---|---|---|\n";
