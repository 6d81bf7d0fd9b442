//! What the programs refuse before they ask any chain.

use crate::stage::{ACCEPT_PAYMENTS, OPEN_AND_PAY, REACT_TO_DISPUTE};
use std::{fs, path::Path, process::Command};

const PAYMENT: [&str; 4] = ["--amount", "1", "--reference", "order"];
/// A valid address at which nobody listens.
const NOBODY: &str = "0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a@127.0.0.1:1";

/// What a program says when it refuses.
fn refusal(program: &str, folder: &Path, secret: Option<&str>, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let command = command.args(["--folder", "node"]).args(arguments).current_dir(folder).env_remove("CHANNEL_SURI");
    let output = command.envs(secret.map(|secret| ("CHANNEL_SURI", secret))).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_a_secret_both_places_for_one_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for program in [ACCEPT_PAYMENTS, REACT_TO_DISPUTE] {
        let said = refusal(program, folder.path(), None, &[]);
        assert!(said.contains("--suri-file") && said.contains("CHANNEL_SURI"), "{said}");
    }
}

#[test]
fn a_deployment_file_that_is_missing_or_something_else_is_named_with_what_writes_one() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || refusal(ACCEPT_PAYMENTS, folder.path(), Some("//Bob"), &[]);
    let said = refused();
    assert!(said.contains("deployment.json") && said.contains("scripts/deploy.sh"), "{said}");
    fs::write(folder.path().join("deployment.json"), "{}").unwrap();
    let said = refused();
    assert!(said.contains("is no deployment file"), "{said}");
    assert!(!folder.path().join("node").exists(), "nothing was begun");
}

#[test]
fn an_address_that_is_none_and_an_amount_that_is_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |peer, payment: &[&str]| {
        refusal(OPEN_AND_PAY, folder.path(), Some("//Alice"), &[&["--peer", peer], payment].concat())
    };
    let said = refused("bob@localhost:1", &PAYMENT);
    assert!(said.contains("--peer") && said.contains("<identity: 64 hex digits>@<host>:<port>"), "{said}");
    let said = refused(NOBODY, &["--amount", "1.5", "--reference", "order"]);
    assert!(said.contains("--amount") && said.contains("1.5"), "{said}");
}
