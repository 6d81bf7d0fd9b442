//! `channel-demo --hub`, as a user runs it: it counts every coin itself, and fails where one is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// Enough that many are under way when the hub is killed.
const PAYMENTS: &str = "60";

#[test]
fn the_hubs_story_ends_with_every_coin_accounted_for() {
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract/contract.wasm");
    let arguments = ["--hub", "--payments", PAYMENTS, "--contract", contract];
    let output = Command::new(env!("CARGO_BIN_EXE_channel-demo")).args(arguments).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
    for line in [
        "the hub was killed (kill -9)",
        "all 60 are paid, each invoice exactly once",
        "wrong pre-image",
        "Charlie is back",
        "Alice is back",
        "Charlie's node has answered by itself",
        "Every coin is accounted for.",
    ] {
        assert!(said.contains(line), "it should have said {line:?}: {said}{log}");
    }
}
