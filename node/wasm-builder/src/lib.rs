//! What the runtimes' build scripts call, under the name and with the methods of Substrate's own crate.
//!
//! Substrate's compiles the runtime to Wasm, with a standard library that only rustup has and only for compilers up to Rust 1.85. Here
//! `NODE_RUNTIME_WASM` names the runtime that `cargo xtask node-runtime` compiled. Every other runtime, of the relay chain that a
//! development chain never starts, gets none, as with `SKIP_WASM_BUILD`.

use std::{env, fs, path::PathBuf};

/// The runtime whose Wasm is handed over.
const RUNTIME: &str = "contracts-node-runtime";
/// The variable with the absolute path of its Wasm.
const WASM: &str = "NODE_RUNTIME_WASM";

/// A runtime's build script at work.
#[derive(Debug)]
pub struct WasmBuilder {
    file_name: String,
}

impl Default for WasmBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl WasmBuilder {
    /// Begins.
    pub fn new() -> Self {
        Self { file_name: "wasm_binary.rs".into() }
    }

    /// As [`Self::new`].
    pub fn init_with_defaults() -> Self {
        Self::new()
    }

    /// Everything at once.
    pub fn build_using_defaults() {
        Self::new().build();
    }

    /// Of no effect: whatever the Wasm exports, it does already.
    pub fn with_current_project(self) -> Self {
        self
    }

    /// Of no effect, as [`Self::with_current_project`].
    pub fn export_heap_base(self) -> Self {
        self
    }

    /// Of no effect, as [`Self::with_current_project`].
    pub fn import_memory(self) -> Self {
        self
    }

    /// Of no effect, as [`Self::with_current_project`].
    pub fn enable_feature(self, _: impl Into<String>) -> Self {
        self
    }

    /// Of no effect, as [`Self::with_current_project`].
    pub fn append_to_rust_flags(self, _: impl Into<String>) -> Self {
        self
    }

    /// Of no effect, as [`Self::with_current_project`].
    pub fn enable_metadata_hash(self, _: impl Into<String>, _: u8) -> Self {
        self
    }

    /// Of no effect, as [`Self::with_current_project`].
    pub fn disable_runtime_version_section_check(self) -> Self {
        self
    }

    /// The file in `OUT_DIR` that the runtime includes; `wasm_binary.rs` unless set.
    pub fn set_file_name(self, file_name: impl Into<String>) -> Self {
        Self { file_name: file_name.into() }
    }

    /// Writes the file.
    ///
    /// # Panics
    ///
    /// In the contracts runtime, where `NODE_RUNTIME_WASM` names no file; and where Cargo's own variables are missing.
    pub fn build(self) {
        let is_ours = env::var("CARGO_PKG_NAME").expect("a build script") == RUNTIME;
        println!("cargo:rerun-if-env-changed={WASM}");
        let wasm = is_ours.then(|| PathBuf::from(env::var(WASM).expect("NODE_RUNTIME_WASM names the runtime's Wasm")));
        let value = wasm.as_ref().map_or("None".into(), |path| {
            println!("cargo:rerun-if-changed={}", path.display());
            assert!(
                path.is_absolute() && path.is_file(),
                "{WASM}: {} is not the absolute path of a file",
                path.display()
            );
            format!("Some(include_bytes!({:?}))", path.display().to_string())
        });
        let text = format!(
            "pub const WASM_BINARY: Option<&[u8]> = {value};\npub const WASM_BINARY_BLOATY: Option<&[u8]> = WASM_BINARY;\n"
        );
        let folder = PathBuf::from(env::var("OUT_DIR").expect("a build script"));
        fs::write(folder.join(self.file_name), text).expect("OUT_DIR can be written");
    }
}
