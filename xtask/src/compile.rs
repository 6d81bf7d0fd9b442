//! Compiles a crate to raw Wasm, the standard library included: contracts, and the runtime of the chain in `node/`.

use crate::{
    toolchain::{Toolchain, cargo_home},
    workspace::{Package, Workspace, own_checkout},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// What a message takes in, and what it hands to another contract and back, passes through one buffer of ink!'s: how that is told its size, for the Wasm and
/// for the metadata, which names it.
pub(crate) const BUFFER: (&str, &str) = ("INK_STATIC_BUFFER_SIZE", "65536");

/// Stack of 160 KiB, so that a proof can be followed as deep as it may go (`protocol::tree::MAX_DEPTH`), 1 MiB of memory which the pallet
/// hands in, nothing beyond the first Wasm, and no text of panics.
const CONTRACT_FLAGS: [&str; 6] = [
    "-Clink-arg=-zstack-size=163840",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--max-memory=1048576",
    "-Ctarget-cpu=mvp",
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
];

/// Nothing beyond the first Wasm, and Substrate's word for a build that becomes a runtime.
const RUNTIME_FLAGS: [&str; 3] = ["-Ctarget-cpu=mvp", "--cfg", "substrate_runtime"];

/// What the node expects of a runtime: its memory and what it calls handed in, its functions and the end of its data told.
const RUNTIME_LINK_FLAGS: [&str; 4] = [
    "-Clink-arg=--export-table",
    "-Clink-arg=--export=__heap_base",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--import-undefined",
];

/// A contract's Wasm as the linker made it.
pub(crate) fn to_wasm(workspace: &Workspace, toolchain: &Toolchain, package: &Package) -> Result<Vec<u8>> {
    let root = Some(&*workspace.root);
    let build = Build { toolchain, root, build_dir: &workspace.build_dir, flags: &CONTRACT_FLAGS };
    let mut cargo = build.cargo("contract")?;
    let _ = cargo
        .current_dir(&workspace.root)
        .args(["--no-default-features", "--package", &package.name])
        .env(BUFFER.0, BUFFER.1);
    run(cargo, &package.library)
}

/// The runtime's Wasm as the linker made it. Its crate lies outside the workspace, beside the node.
pub(crate) fn runtime(workspace: &Workspace, toolchain: &Toolchain, build_dir: &Path) -> Result<Vec<u8>> {
    let build = Build { toolchain, root: None, build_dir, flags: &RUNTIME_FLAGS };
    let mut cargo = build.cargo("runtime")?;
    let _ = cargo.current_dir(workspace.root.join("node/runtime")).args(["--locked", "--"]).args(RUNTIME_LINK_FLAGS);
    run(cargo, "node_runtime_wasm")
}

/// How a Wasm build differs from others.
struct Build<'a> {
    toolchain: &'a Toolchain,
    /// The workspace whose folder's name is to be hidden, and this checkout's with it. Without it, checkouts in several places share one build: nothing in the
    /// runtime but a single line is ours.
    root: Option<&'a Path>,
    build_dir: &'a Path,
    flags: &'a [&'static str],
}

impl Build<'_> {
    /// A run of Cargo that builds some library with this profile.
    fn cargo(&self, profile: &str) -> Result<Command> {
        let mut cargo = self.toolchain.cargo();
        let _ = cargo
            .args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", profile])
            .args(["--target", TARGET, "-Zbuild-std=core,alloc", "--message-format", "json-render-diagnostics"])
            .arg("--target-dir")
            .arg(self.build_dir)
            // The library is built from source, which stable compilers hide behind this switch.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", self.all_flags()?);
        if let Some(linker) = &self.toolchain.linker {
            let _ = cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        Ok(cargo)
    }

    /// Flags as Cargo takes them in one variable, spaces and all.
    fn all_flags(&self) -> Result<String> {
        let mut flags: Vec<String> = self.flags.iter().map(|&flag| flag.to_owned()).collect();
        if self.toolchain.linker.is_some() {
            flags.push("-Clinker-flavor=wasm-ld".to_owned());
        }
        let mut hide = |path: &Path, name: &str| flags.push(format!("--remap-path-prefix={}={name}", path.display()));
        // No path of this machine may reach the Wasm: the same sources give the same bytes everywhere.
        if let Some(root) = self.root {
            let checkout = own_checkout()?;
            hide(&checkout, "/checkout");
            if root != checkout {
                // An app elsewhere. Should one folder lie in the other: the compiler takes the last that fits.
                hide(root, "/app");
            }
        }
        hide(self.build_dir, "/build");
        if let Some(home) = cargo_home() {
            hide(&home, "/cargo");
        }
        hide(&self.toolchain.library, "/library");
        hide(&fs::canonicalize(&self.toolchain.library)?, "/library");
        Ok(flags.join("\u{1f}"))
    }
}

/// Builds, and reads what was built.
fn run(mut cargo: Command, library: &str) -> Result<Vec<u8>> {
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("running cargo")?;
    ensure!(output.status.success(), "the Wasm build failed");
    let wasm = artefact(&output.stdout, library).context("cargo did not say where the Wasm is")?;
    fs::read(&wasm).with_context(|| format!("reading {}", wasm.display()))
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
