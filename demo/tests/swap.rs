//! `channel-demo --swap`, as a user runs it: it counts every coin of both chains itself, and fails where one is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn the_story_of_swaps_ends_with_every_coin_of_both_chains_accounted_for() {
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract/contract.wasm");
    let output =
        Command::new(env!("CARGO_BIN_EXE_channel-demo")).args(["--swap", "--contract", contract]).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
    for line in [
        "asset clearing is over",
        "Alice shows the pre-image in its registry",
        "Bob is back in time",
        "Bob's node has answered by itself",
        "Every coin of both chains is accounted for.",
    ] {
        assert!(said.contains(line), "it should have said {line:?}: {said}{log}");
    }
}
