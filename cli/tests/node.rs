//! `channel deploy` on a real node. Without one (`CONTRACTS_NODE` is not set) this is skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e_tests::{NodeChain, TestChain};
use sdk::chain::deploy::Deployment;
use std::{path::Path, process::Command};

fn deploy(url: &str, out: &Path) -> String {
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract/contract.wasm");
    let output = Command::new(env!("CARGO_BIN_EXE_channel"))
        .args(["deploy", "--url", url, "--suri", "//Bob", "--contract", contract, "--out"])
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploying_twice_writes_one_file_that_leads_to_one_arbiter() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first.json"), directory.path().join("second.json"));
    assert!(deploy(&chain.url(), &first).contains("deployed in block"));
    let again = deploy(&chain.url(), &first);
    assert!(again.contains("found there: nothing was paid"), "{again}");
    let _found = deploy(&chain.url(), &second);
    let (first, second) = (Deployment::load(&first).unwrap(), Deployment::load(&second).unwrap());
    assert_eq!((first.arbiter, first.genesis, first.code_hash), (second.arbiter, second.genesis, second.code_hash));
    let arbiter = first.attach(chain.client()).await.unwrap();
    assert_eq!(arbiter.info().domain.arbiter, first.arbiter);
}
