//! What everything costs on chain: measured with the real Wasm on the embedded chain, and compared with `docs/benchmarks/onchain.md`.
//!
//! ```text
//!   messages, stories, growth, limits  --measure-->  Page  --UPDATE_COSTS=1 (just costs)-->  docs/benchmarks/onchain.md
//!                                                      '--otherwise-->  compared with it, figure by figure
//! ```
//!
//! Gas is counted, not timed, and every run makes the same calls in the same blocks, so that the same code gives the same page on any
//! machine. What may differ before the comparison fails: see [`page::Unit`]. A figure that rises fails, and so does one that falls by
//! more than the noise, so that the page stays what it says.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod deposits;
mod examples;
mod fit;
mod growth;
#[allow(dead_code, unused_imports, reason = "shared with the tests of the arbiter, which use all of it")]
#[path = "../arbiter/harness/mod.rs"]
mod harness;
mod inside;
mod limits;
mod measure;
mod messages;
mod page;
mod stories;

use crate::{
    messages::Messages,
    page::{Cell, Page, Table, Tools, Unit},
    stories::Crowded,
};
use std::{env, fs};

/// The page; another one where `COSTS_PAGE` names it, for trying out other builds of the contracts (`CONTRACTS_DIR`).
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks/onchain.md");
/// The sizes of channel that the page promises.
const CROWDS: [u32; 4] = [1, 10, 1_000, 100_000];
/// Further sizes, for the line through all of them.
const BETWEEN: [u32; 2] = [100, 10_000];

#[tokio::test]
async fn nothing_costs_more_than_the_page_says() {
    let mut sizes = [&CROWDS[..], &BETWEEN].concat();
    sizes.sort_unstable();
    let all_crowds = Crowded::of(&sizes);
    let crowds: Vec<_> = sizes
        .iter()
        .zip(&all_crowds)
        .filter(|(size, _)| CROWDS.contains(size))
        .map(|(_, crowd)| crowd.clone())
        .collect();
    let code = harness::wasm().len();

    let (messages, deposits, stories, growth, limits) = tokio::join!(
        Messages::measure(),
        deposits::measure(),
        stories::tell(&crowds),
        growth::measure(&all_crowds),
        limits::measure(&all_crowds),
    );
    let mut page = Page::default();
    head(&mut page, code);
    messages.write(&mut page);
    page.append(deposits);
    stories::write(&stories, &mut page);
    page.append(growth.page);
    page.append(limits);

    let fresh = page.render();
    let path = env::var_os("COSTS_PAGE").unwrap_or_else(|| PATH.into());
    if env::var_os("UPDATE_COSTS").is_some() {
        fs::write(&path, &fresh).unwrap();
    } else {
        let checked_in = fs::read_to_string(&path).unwrap();
        let tools = if checked_in.contains(&tools()) { Tools::Same } else { Tools::Other };
        let findings = page.compare(&checked_in, tools);
        assert!(
            findings.is_empty(),
            "costs differ from docs/benchmarks/onchain.md ({tools:?} tools). If that is meant, `just costs` writes it anew.\n  {}",
            findings.join("\n  ")
        );
    }
    let grown = growth.co_signed.into_iter().map(|(name, ref_time)| (name, ref_time, messages::MAX_REF_TIME));
    let over: Vec<_> = messages.co_signed().chain(grown).filter(|(_, ref_time, max)| ref_time > max).collect();
    assert!(over.is_empty(), "what takes more ps with one co-signed payload than it may: {over:?}");
}

fn head(page: &mut Page, code: usize) {
    page.heading(1, "What the chain charges");
    page.text(
        "Written by `just costs`, and compared with every test run by `contract/tests/costs`: a figure that rises fails the test. The real Wasm \
         on the embedded chain (the runtime of substrate-contracts-node 0.42, native). Gas is deterministic: the same code and the same \
         calls cost the same anywhere. Tolerated as noise: 2 % of time and fees, because other code has another address and so other \
         signatures to check (see *Signatures*); 0.2 % of bytes of code and proof; nothing of extrinsics and deposits. Code built with other \
         tools may be 5 % dearer and any bit cheaper.",
    );
    page.text(format!("{} What was tried to make it cheaper: [tried.md](tried.md).", tools()));
    page.text(
        "ref_time includes the extrinsic's base weight. The proof size is mostly the contract's code, loaded with every call: bytes of code cost in \
         every call. A unit is 10^12 of the chain's smallest coin; one picosecond costs about one of those, one byte of an extrinsic as well.",
    );
    page.heading(2, "Size");
    page.text("What may be built is limited by `cargo xtask contract` (`--max-kib`).");
    let mut table = Table::new(&["what", "bytes"]);
    table.row("the arbiter's Wasm", vec![bytes(code)]);
    for app in ["counter", "escrow", "stream", "exchange", "hidden", "milestones", "titles"] {
        table.row(format!("the app `{app}`"), vec![bytes(harness::built(app).len())]);
    }
    page.table(table);
}

/// What built the code under test, by its own bundle.
fn tools() -> String {
    let bundle: serde_json::Value = serde_json::from_slice(&harness::built_as("contract", "json")).unwrap();
    let part = |pointer| bundle.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or("an unknown tool");
    format!("Code built with {} and {}.", part("/source/compiler"), part("/source/build_info/wasm_opt"))
}

fn bytes(count: usize) -> Cell {
    Cell::new(count as u128, Unit::Code)
}
