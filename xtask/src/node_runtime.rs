//! `cargo xtask node-runtime`: the published runtime as Wasm, which the node in `node/` puts into its genesis.
//!
//! Built by ourselves because the runtime crate's own build script knows neither distributions' compilers nor their linkers.

use crate::{compile, files, toolchain::Toolchain, workspace::Workspace};
use anyhow::Result;
use clap::Args;
use std::{path::PathBuf, time::Instant};

/// Where to build, and where to put the result.
#[derive(Args)]
pub(crate) struct Options {
    /// The Wasm file to write.
    #[arg(long)]
    out: PathBuf,

    /// Cargo's folder for the build.
    #[arg(long)]
    build_dir: PathBuf,
}

/// Builds the runtime.
pub(crate) fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let workspace = Workspace::read(None)?;
    let toolchain = Toolchain::find()?;
    println!("compiler   {} with library sources in {}", toolchain.version, toolchain.library.display());
    let raw = compile::runtime(&workspace, &toolchain, &options.build_dir)?;
    files::write_if_changed(&options.out, &raw)?;
    println!("size       {} bytes", raw.len());
    println!("output     {}", options.out.display());
    println!("took       {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}
