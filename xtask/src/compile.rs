//! Compiles a contract crate to raw Wasm, the standard library included.

use crate::{
    toolchain::{Toolchain, cargo_home},
    workspace::{Package, Workspace, own_checkout},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Stack of 160 KiB, so that a proof can be followed as deep as it may go (`protocol::tree::MAX_DEPTH`), 1 MiB of memory which the pallet
/// hands in, nothing beyond the first Wasm, and no text of panics.
const FLAGS: [&str; 6] = [
    "-Clink-arg=-zstack-size=163840",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--max-memory=1048576",
    "-Ctarget-cpu=mvp",
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
];

/// The Wasm as the linker made it.
pub(crate) fn to_wasm(workspace: &Workspace, toolchain: &Toolchain, package: &Package) -> Result<Vec<u8>> {
    let mut cargo = toolchain.cargo();
    let _ = cargo
        .current_dir(&workspace.root)
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", "contract", "--no-default-features"])
        .args(["--target", TARGET, "-Zbuild-std=core,alloc", "--message-format", "json-render-diagnostics"])
        .args(["--package", &package.name])
        .arg("--target-dir")
        .arg(&workspace.build_dir)
        // The library is built from source, which stable compilers hide behind this switch.
        .env("RUSTC_BOOTSTRAP", "1")
        // What a message takes in, and what it hands to another contract and back, passes through one buffer of ink!'s.
        .env("INK_STATIC_BUFFER_SIZE", "65536")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, toolchain)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Some(linker) = &toolchain.linker {
        let _ = cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    let output = cargo.output().context("running cargo")?;
    ensure!(output.status.success(), "the Wasm build failed");
    let wasm = artefact(&output.stdout, &package.library).context("cargo did not say where the Wasm is")?;
    fs::read(&wasm).with_context(|| format!("reading {}", wasm.display()))
}

/// Flags as Cargo takes them in one variable, spaces and all.
fn flags(workspace: &Workspace, toolchain: &Toolchain) -> Result<String> {
    let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    if toolchain.linker.is_some() {
        flags.push("-Clinker-flavor=wasm-ld".to_owned());
    }
    let mut hide = |path: &Path, name: &str| flags.push(format!("--remap-path-prefix={}={name}", path.display()));
    // No path of this machine may reach the Wasm: the same sources give the same bytes everywhere.
    let checkout = own_checkout()?;
    hide(&checkout, "/checkout");
    if workspace.root != checkout {
        // An app elsewhere. Should one folder lie in the other: the compiler takes the last that fits.
        hide(&workspace.root, "/app");
    }
    hide(&workspace.build_dir, "/build");
    if let Some(home) = cargo_home() {
        hide(&home, "/cargo");
    }
    hide(&toolchain.library, "/library");
    hide(&fs::canonicalize(&toolchain.library)?, "/library");
    Ok(flags.join("\u{1f}"))
}

/// The Wasm file among Cargo's messages, one JSON object a line.
fn artefact(messages: &[u8], library: &str) -> Option<PathBuf> {
    let messages = messages.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages
        .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some(library))
        .filter_map(|message| message.get("filenames").and_then(Value::as_array).cloned())
        .flatten()
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .rfind(|path| path.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::artefact;
    use std::path::Path;

    #[test]
    fn the_artefact_is_the_wasm_file_of_the_library() {
        let messages = br#"
            {"reason":"compiler-artifact","target":{"name":"other"},"filenames":["/x/other.wasm"]}
{"reason":"compiler-artifact","target":{"name":"mine"},"filenames":["/x/mine.d","/x/mine.wasm"]}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(artefact(messages, "mine").as_deref(), Some(Path::new("/x/mine.wasm")));
        assert_eq!(artefact(messages, "none"), None);
    }
}
