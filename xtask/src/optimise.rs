//! Runs wasm-opt, where there is one.

use crate::toolchain::program;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use std::{fmt, fs, path::Path, path::PathBuf, process::Command};

/// What wasm-opt optimises for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Passes {
    /// Size above all.
    #[default]
    Z,
    /// Size.
    S,
    /// Speed.
    #[value(name = "3")]
    Three,
    /// Leave wasm-opt out.
    None,
}

/// A wasm-opt that was found, or none.
pub(crate) struct Optimiser {
    found: Option<Found>,
    asked: Passes,
}

struct Found {
    program: PathBuf,
    version: String,
}

impl Optimiser {
    /// Looks for wasm-opt.
    pub(crate) fn find(asked: Passes) -> Self {
        let found = (asked != Passes::None).then(|| program("wasm-opt")).flatten().and_then(|program| {
            let output = Command::new(&program).arg("--version").output().ok()?;
            let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
            output.status.success().then_some(Found { program, version })
        });
        Self { found, asked }
    }

    /// Whether there is none though one was asked for.
    pub(crate) fn is_missing(&self) -> bool {
        self.found.is_none() && self.asked != Passes::None
    }

    /// The same module, smaller or faster; unchanged where there is no wasm-opt.
    pub(crate) fn run(&self, wasm: &[u8], folder: &Path) -> Result<Vec<u8>> {
        let Some(found) = &self.found else { return Ok(wasm.to_vec()) };
        let (from, to) = (folder.join("before-wasm-opt.wasm"), folder.join("after-wasm-opt.wasm"));
        fs::write(&from, wasm).with_context(|| format!("writing {}", from.display()))?;
        let status = Command::new(&found.program)
            .arg(self.asked.flag())
            // Again until nothing changes: 2 % less to execute.
            .arg("--converge")
            // Nothing beyond the first Wasm; and the pallet hands in fresh memory for each call.
            .args(["--mvp-features", "--zero-filled-memory"])
            .arg(&from)
            .arg("-o")
            .arg(&to)
            .status()
            .with_context(|| format!("running {}", found.program.display()))?;
        ensure!(status.success(), "wasm-opt failed");
        fs::read(&to).with_context(|| format!("reading {}", to.display()))
    }
}

impl Passes {
    fn flag(self) -> &'static str {
        match self {
            Self::Z => "-Oz",
            Self::S => "-Os",
            Self::Three => "-O3",
            Self::None => "-O0",
        }
    }
}

impl fmt::Display for Optimiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{} {} --converge", found.version, self.asked.flag()),
            None => f.write_str("none"),
        }
    }
}
