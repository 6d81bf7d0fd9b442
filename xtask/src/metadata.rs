//! Gets a contract's metadata out of its crate.
//!
//! ink!'s macro puts a function into the native build that returns it. A host program of a few lines, made here for the crate at
//! hand, links the crate and prints what the function returns. It is a workspace of its own with a copy of the lock file, so
//! the contract is compiled with the very versions of the Wasm build, and no other crate's features get in.

use crate::{
    compile::BUFFER,
    files::write_if_changed,
    toolchain::Toolchain,
    types,
    workspace::{Package, Workspace},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::{fs, path::Path, process::Stdio};

/// Version, types with their documentation, storage and spec: the metadata proper, before anything about the source is added.
pub(crate) fn generate(workspace: &Workspace, toolchain: &Toolchain, package: &Package) -> Result<Map<String, Value>> {
    let host = workspace.build_dir.join("metadata").join(&package.name);
    write_if_changed(&host.join("Cargo.toml"), manifest(package)?.as_bytes())?;
    write_if_changed(&host.join("src/main.rs"), program(package).as_bytes())?;
    copy_lock(&workspace.lock(), &host)?;
    let output = toolchain
        .cargo()
        .current_dir(&host)
        .args(["run", "--quiet", "--target-dir"])
        .arg(workspace.build_dir.join("host"))
        .env(BUFFER.0, BUFFER.1)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(output.status.success(), "the program that prints the metadata failed");
    let mut abi = serde_json::from_slice(&output.stdout).context("reading the metadata")?;
    types::one_account(&mut abi)?;
    Ok(abi)
}

fn manifest(package: &Package) -> Result<String> {
    // TOML's basic strings escape what JSON's do.
    let folder = serde_json::to_string(package.folder.to_str().context("the checkout's path is not UTF-8")?)?;
    let (name, ink) = (&package.name, &package.ink_requirement);
    Ok(format!(
        r#"[package]
name = "metadata-of-{name}"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
{name} = {{ path = {folder}, features = ["std"] }}
ink = {{ version = "{ink}", features = ["std"] }}
# What is written about types in the sources goes along.
scale-info = {{ version = "2", features = ["docs"] }}
serde_json = "1"

[profile.dev]
debug = false
"#
    ))
}

fn program(package: &Package) -> String {
    let library = &package.library;
    format!(
        r#"extern crate {library} as _;

unsafe extern "Rust" {{
    fn __ink_generate_metadata() -> ink::metadata::InkProject;
}}

fn main() -> Result<(), serde_json::Error> {{
    // SAFETY: ink!'s macro defines the function in the crate linked above, with this signature.
    let project = unsafe {{ __ink_generate_metadata() }};
    serde_json::to_writer(std::io::stdout(), &project)
}}
"#
    )
}

/// Gives the host program the workspace's versions. Cargo drops from the copy what it does not need, so the original is
/// kept beside it and copied again only when it has changed.
fn copy_lock(lock: &Path, host: &Path) -> Result<()> {
    let bytes = fs::read(lock).with_context(|| format!("reading {}", lock.display()))?;
    let original = host.join("workspace.lock");
    if fs::read(&original).is_ok_and(|old| old == bytes) && host.join("Cargo.lock").is_file() {
        return Ok(());
    }
    write_if_changed(&host.join("Cargo.lock"), &bytes)?;
    write_if_changed(&original, &bytes)
}
