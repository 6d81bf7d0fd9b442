//! What `channel deploy` refuses before it asks any chain.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};
use tempfile::TempDir;

const SECRET: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

fn channel(directory: &TempDir, arguments: &[&str]) -> Output {
    let contract = directory.path().join("contract.wasm");
    fs::write(&contract, b"no code").unwrap();
    Command::new(env!("CARGO_BIN_EXE_channel"))
        .args(["deploy", "--contract", contract.to_str().unwrap()])
        .args(arguments)
        .env_remove("CHANNEL_SURI")
        .current_dir(directory.path())
        .output()
        .unwrap()
}

/// What it said when it refused; never a secret.
fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("winner") && !said.contains("s3cr3t"), "{said}");
    said
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let said = refused(&channel(&directory, &["--url", "ws://127.0.0.1:1", "--suri", SECRET]));
    assert!(said.contains("--suri-file"), "{said}");
}

#[test]
fn a_secret_file_that_others_may_read_is_refused_and_the_fix_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("suri");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(&channel(&directory, &["--url", "ws://127.0.0.1:1", "--suri-file", file.to_str().unwrap()]));
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn without_any_secret_the_variable_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let said = refused(&channel(&directory, &["--url", "ws://127.0.0.1:1"]));
    assert!(said.contains("CHANNEL_SURI"), "{said}");
}

#[test]
fn a_url_is_told_without_what_may_be_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let url = "https://node.example/s3cr3t?key=s3cr3t";
    let said = refused(&channel(&directory, &["--url", url, "--suri", "//Alice"]));
    assert!(said.contains("ws://") && said.contains("warning: //Alice"), "{said}");
}

#[test]
fn where_nobody_listens_the_endpoint_is_named_and_no_file_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let said = refused(&channel(&directory, &["--url", "ws://127.0.0.1:1", "--suri", "//Alice"]));
    assert!(said.contains("ws://127.0.0.1:1") && said.contains("refused"), "{said}");
    assert!(!directory.path().join("deployment.json").exists());
}
