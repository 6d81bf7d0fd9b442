//! Finds a compiler that can build for Wasm: one that has the standard library's sources and a Wasm linker.

use anyhow::{Context, Result, bail};
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// Where distributions put their compiler; looked at after the one on `PATH`.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// Versions of LLVM whose linker is looked for as `wasm-ld-<version>`, the newest first.
const LLVM_VERSIONS: std::ops::RangeInclusive<u32> = 15..=30;

/// Cargo's variables that are the user's own settings; all others come from the Cargo that runs us and would leak into the build.
const KEPT_CARGO_VARIABLES: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];

/// A compiler, its Cargo and its linker.
pub(crate) struct Toolchain {
    /// As it calls itself: `rustc 1.95.0`.
    pub(crate) version: String,
    /// The sources of `core` and `alloc`.
    pub(crate) library: PathBuf,
    /// A Wasm linker, where the compiler brings none along.
    pub(crate) linker: Option<PathBuf>,
    rustc: PathBuf,
    cargo: PathBuf,
}

impl Toolchain {
    /// The active toolchain if it can do it, else the distribution's.
    ///
    /// # Errors
    /// Says for each compiler what it lacks, and what to run.
    pub(crate) fn find() -> Result<Self> {
        let mut lacks = Vec::new();
        for rustc in ["rustc", DISTRIBUTION_RUSTC] {
            match Self::inspect(rustc) {
                Ok(toolchain) => return Ok(toolchain),
                Err(error) => lacks.push(format!("  {rustc}: {error:#}")),
            }
        }
        bail!("no compiler here can build for Wasm; run scripts/setup.sh\n{}", lacks.join("\n"))
    }

    fn inspect(rustc: &str) -> Result<Self> {
        let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?.trim());
        let about = ask(rustc, &["--version", "--verbose"])?;
        let fact =
            |key| about.lines().find_map(|line| line.strip_prefix(key)).context("rustc does not say its version");
        let (release, host) = (fact("release: ")?, fact("host: ")?);
        let version = format!("rustc {release}");

        let library = sysroot.join("lib/rustlib/src/rust/library");
        if !library.join("core/src/lib.rs").is_file() {
            bail!("{version} in {} has no library sources (rust-src)", sysroot.display());
        }
        let brings_linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld").is_file();
        let linker = if brings_linker {
            None
        } else {
            Some(wasm_linker().with_context(|| format!("{version} needs a Wasm linker (wasm-ld, of lld)"))?)
        };
        let tool = |name: &str| {
            let path = sysroot.join("bin").join(name);
            if path.is_file() { Ok(path) } else { Err(anyhow::anyhow!("there is no {}", path.display())) }
        };
        Ok(Self { version, library, linker, rustc: tool("rustc")?, cargo: tool("cargo")? })
    }

    /// A run of this toolchain's Cargo, free of what the Cargo that runs us has put into the environment.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            if leaks(&name) {
                let _ = command.env_remove(name);
            }
        }
        let own = self.cargo.parent().map(Path::to_owned);
        let others = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(own.into_iter().chain(env::split_paths(&others)));
        if let Ok(path) = path {
            let _ = command.env("PATH", path);
        }
        let _ = command.env("RUSTC", &self.rustc);
        command
    }
}

/// Whether a variable of ours would change what a build of its own does.
fn leaks(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let cargos = name == "CARGO" || name.starts_with("CARGO_");
    let kept = KEPT_CARGO_VARIABLES.iter().any(|start| name.starts_with(start));
    (cargos && !kept)
        || ["RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT"]
            .iter()
            .any(|start| name.starts_with(start))
}

fn ask(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn wasm_linker() -> Option<PathBuf> {
    let newest_first = LLVM_VERSIONS.rev().map(|version| format!("wasm-ld-{version}"));
    std::iter::once("wasm-ld".to_owned()).chain(newest_first).find_map(|name| program(&name))
}

/// The first program of this name in the folders of `PATH`, or where Cargo installs programs.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = cargo_home().map(|home| home.join("bin"));
    env::split_paths(&path).chain(installed).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Cargo's own folder: downloaded crates and installed programs.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::leaks;

    #[test]
    fn variables_of_the_running_cargo_leak_and_the_users_settings_do_not() {
        for name in [
            "CARGO",
            "CARGO_PKG_NAME",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTC",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(leaks(name.as_ref()), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MINE_INDEX",
            "RUSTUP_HOME",
        ] {
            assert!(!leaks(name.as_ref()), "{name}");
        }
    }
}
