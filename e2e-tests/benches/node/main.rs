//! How long what happens on chain takes, from the decision until both peers know that it is final, next to a bare transfer of coins on the
//! same node in the same run: `just bench-node`.
//!
//! Told once with blocks that are final at once, which shows what the channel adds, and once with finality a second late, as the contracts
//! node has it by default. Results are written to `docs/benchmarks/node.md`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark fails by panicking"
)]

mod operations;
mod report;

use e2e_tests::{NodeChain, World};
use operations::Timed;
use report::Report;
use tokio::runtime::Runtime;

/// How often each operation is timed.
const TIMES: usize = 15;

fn main() {
    let runtime = Runtime::new().unwrap();
    let mut report = Report::default();
    for seconds in [0, 1] {
        runtime.block_on(async {
            let Some(chain) = NodeChain::start_with_finality(seconds).await else { return };
            let world = World::on(chain).await;
            let mut timed = Timed::new(&world).await;
            for _ in 0..TIMES {
                timed.a_life().await;
                timed.a_dispute().await;
                timed = timed.a_forced_step().await;
            }
            timed.a_hub().await;
            report.add(seconds, timed.into_rows());
        });
    }
    report.write();
}
