//! What the runtime's build script calls, under the name and with the methods of Substrate's own crate, which compiles the runtime to Wasm and
//! for that brings a C++ library along. The embedded chain runs the runtime natively, so none is made.

use std::{env, fs, path::PathBuf};

/// The variable that says that no Wasm is wanted; `.cargo/config.toml` sets it.
const SKIP: &str = "SKIP_WASM_BUILD";
/// What the runtime includes, as Substrate's crate writes it where the build is skipped.
const NO_WASM: &str =
    "pub const WASM_BINARY: Option<&[u8]> = None;\npub const WASM_BINARY_BLOATY: Option<&[u8]> = None;\n";

/// A runtime's build script at work.
#[derive(Debug, Default)]
pub struct WasmBuilder {
    _private: (),
}

impl WasmBuilder {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of no effect, since there is no Wasm.
    pub fn with_current_project(self) -> Self {
        self
    }

    /// Of no effect, since there is no Wasm.
    pub fn export_heap_base(self) -> Self {
        self
    }

    /// Of no effect, since there is no Wasm.
    pub fn import_memory(self) -> Self {
        self
    }

    /// Writes `wasm_binary.rs` in `OUT_DIR`, which says that there is no Wasm.
    ///
    /// # Panics
    ///
    /// Where Wasm is asked for, that is without `SKIP_WASM_BUILD`; and where Cargo's own variables are missing.
    pub fn build(self) {
        println!("cargo:rerun-if-env-changed={SKIP}");
        assert!(
            env::var_os(SKIP).is_some(),
            "{SKIP} is not set, but the runtime cannot be compiled to Wasm here: stubs/substrate-wasm-builder stands in the place of the crate \
             that does it. Build inside the repository, whose .cargo/config.toml sets the variable; `cargo xtask node-runtime` makes the Wasm."
        );
        let folder = PathBuf::from(env::var_os("OUT_DIR").expect("a build script is told where to write"));
        fs::write(folder.join("wasm_binary.rs"), NO_WASM).expect("OUT_DIR can be written");
    }
}
