//! The page.

use crate::{TIMES, operations::Row};
use std::{fmt::Write, path::Path, time::Duration};

/// All rows, by the seconds until a block is final.
#[derive(Default)]
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn add(&mut self, seconds: u8, rows: Vec<Row>) {
        let title = format!("\n## Blocks final after {seconds} s\n\n{TABLE}");
        self.text.push_str(&title);
        let limit = middle(&rows[0]);
        for row in &rows {
            let median = middle(row);
            let longest = row.samples.iter().map(|(took, _)| *took).max().unwrap();
            let most = row.samples.iter().map(|(_, blocks)| *blocks).max().unwrap();
            let line = format!(
                "| {} | {} ms | {} ms | {:.1} | {most} |",
                row.what,
                median.as_millis(),
                longest.as_millis(),
                median.as_secs_f64() / limit.as_secs_f64()
            );
            println!("{seconds} s {line}");
            let _infallible = writeln!(self.text, "{line}");
        }
    }

    pub(crate) fn write(&self) {
        if self.text.is_empty() {
            return;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/node.md");
        let head = HEAD.replace("{TIMES}", &TIMES.to_string());
        std::fs::write(path, head + &self.text).unwrap();
    }
}

/// The median.
fn middle(row: &Row) -> Duration {
    let mut times: Vec<_> = row.samples.iter().map(|(took, _)| *took).collect();
    times.sort();
    times[times.len() / 2]
}

const HEAD: &str = "# From the decision to finality, on a real node\n\nWritten by `just bench-node`, in one run on one machine: the node, and both peers in another process, \
durable stores, {TIMES} times each (the hub once). The node makes a block for each transaction. Times are from the decision until both peers know that it is final, \
the dry run before each transaction and its own look at the best block included. \
Against the limit: how many times a bare transfer of coins by the same client. Blocks: how many became final in the meantime, at most. \
The hub's channels are ten with each of ten peers; those with the same peer are signed in the order of the pair's nonces (R5.2), and do not wait for each other's blocks.\n";

const TABLE: &str = "| operation | median | longest | against the limit | blocks |\n|---|---|---|---|---|\n";
