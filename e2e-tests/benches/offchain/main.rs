//! What the off-chain protocol reaches over loopback, next to the bare cost of its signatures, in one run: `just bench-offchain`.
//!
//! ```text
//!   limit      what each round has to do at least: two signatures, two verifications
//!   scenarios  one in flight, both ways, batched, the same with 25 ms round trips, many channels on one connection
//!   contracts  calls of a contract, interpreted and as native code, alone and among many others
//!   idle       memory of a process with many idle channels
//!   network    payments across channels, directly and through a hub; what open transfers cost; what is kept of a channel
//! ```
//!
//! Results are written to `docs/benchmarks/offchain.md`, `contracts.md` and `network.md`. An argument that is no option runs only the scenarios whose names
//! hold it, and writes nothing but the pages of `contracts` and `network`. `network quick` runs a tenth of the latter, `network open`,
//! `network kept` and `network` with part of the name of payments run those alone; none of these writes anything.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark fails by panicking"
)]

mod contracts;
mod idle;
mod limit;
mod link;
mod network;
mod nodes;
mod report;
mod scenarios;

use nodes::Storage;
use report::Report;
use tokio::runtime::Runtime;

fn main() {
    if idle::is_child() {
        return Runtime::new().unwrap().block_on(idle::child());
    }
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (only, how) = (arguments.next(), arguments.next());
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let runtime = Runtime::new().unwrap();
    let mut report = Report::default();
    for storage in Storage::MEASURED {
        runtime.block_on(scenarios::run(storage, &wanted, &mut report));
    }
    for channels in [0, 100, 10_000] {
        if wanted(&format!("{channels} idle")) {
            runtime.block_on(idle::measure(channels, &mut report));
        }
    }
    if only.is_none() {
        report.write();
    }
    if wanted("contracts") {
        let mut report = Report::default();
        runtime.block_on(contracts::run(&mut report));
        report.write_contracts();
    }
    if wanted("network") {
        runtime.block_on(network::run(how.as_deref()));
    }
}
