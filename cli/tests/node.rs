//! `channel deploy` and `channel code` on a real node. Without one (`CONTRACTS_NODE` is not set) this is skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e_tests::{NodeChain, TestChain};
use sdk::chain::{AddressFormat, deploy::Deployment};
use std::{
    path::Path,
    process::{Command, Output},
};

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

fn code(url: &str, address: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_channel")).args(["code", "--url", url, address]).output().unwrap()
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

    // A development chain has the prefix that says nothing; 5 is another chain's.
    let here = AddressFormat::GENERIC.write(&first.arbiter);
    assert!(again.contains(&here), "{again}");
    for address in [&here, &first.arbiter.to_string()] {
        let output = code(&chain.url(), address);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&here) && said.contains(&first.code_hash.to_string()), "{said}");
    }
    let elsewhere = AddressFormat::new(5).unwrap().write(&first.arbiter);
    let output = code(&chain.url(), &elsewhere);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("prefix 5") && said.contains(&here), "{said}");
}
