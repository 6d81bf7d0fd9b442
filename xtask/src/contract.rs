//! `cargo xtask contract`: from a contract crate to Wasm that the pallet accepts, its metadata and the bundle of both.
//!
//! ```text
//! cargo rustc -> raw Wasm -> strip -> check -> wasm-opt -> strip -> check -> <package>.wasm ----.
//! host program that links the crate -----------------------------------> <package>.json ----+--> <package>.contract
//! ```

use crate::{bundle, compile, files, metadata, optimise, optimise::Passes, toolchain::Toolchain, wasm, workspace};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::{fs, path::PathBuf, time::Instant};

/// What to build, where to put it, and how large it may be.
#[derive(Args)]
pub(crate) struct Options {
    /// A contract crate of the workspace; may be given several times.
    #[arg(long = "package", short, default_value = "contract")]
    packages: Vec<String>,

    /// Where `<package>.wasm`, `.json` and `.contract` go; relative to the workspace.
    #[arg(long, default_value = "target/contract")]
    out: PathBuf,

    /// The largest final Wasm that is accepted, in KiB.
    #[arg(long, default_value_t = 100)]
    max_kib: u32,

    /// What wasm-opt optimises for; `none` leaves it out.
    #[arg(long, value_enum, default_value_t = Passes::default())]
    optimise: Passes,
}

/// Builds every package asked for; the first that fails ends it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = workspace::Workspace::read()?;
    let toolchain = Toolchain::find()?;
    println!("compiler   {} with library sources in {}", toolchain.version, toolchain.library.display());
    let optimiser = optimise::Optimiser::find(options.optimise);
    println!("optimiser  {optimiser}");
    let out = workspace.root.join(&options.out);
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    for name in &options.packages {
        build(&workspace, &toolchain, &optimiser, &out, options.max_kib, name)
            .with_context(|| format!("building the contract `{name}`"))?;
    }
    Ok(())
}

fn build(
    workspace: &workspace::Workspace,
    toolchain: &Toolchain,
    optimiser: &optimise::Optimiser,
    out: &std::path::Path,
    max_kib: u32,
    name: &str,
) -> Result<()> {
    let started = Instant::now();
    let package = workspace.package(name)?;
    let raw = compile::to_wasm(workspace, toolchain, &package)?;
    let wasm_path = out.join(format!("{name}.wasm"));
    let done = finish(workspace, optimiser, &raw, &wasm_path, name)?;
    ensure_size(done.wasm.len(), max_kib)?;

    let abi = metadata::generate(workspace, toolchain, &package)?;
    let source = bundle::Source {
        wasm: &done.wasm,
        language: format!("ink! {}", workspace.ink_version()?),
        compiler: &toolchain.version,
        optimiser: optimiser.to_string(),
    };
    let (json, contract) = bundle::assemble(&package, &source, abi)?;
    let json_path = out.join(format!("{name}.json"));
    let contract_path = out.join(format!("{name}.contract"));
    files::write_if_changed(&json_path, json.as_bytes())?;
    files::write_if_changed(&contract_path, contract.as_bytes())?;

    println!("size       {} bytes raw, {} stripped, {} final", raw.len(), done.stripped_size, done.wasm.len());
    println!("imports    {}", done.imports.join(" "));
    println!("code hash  0x{}", hex::encode(files::blake2b_256(&done.wasm)));
    for path in [&wasm_path, &json_path, &contract_path] {
        println!("wrote      {}", path.strip_prefix(&workspace.root).unwrap_or(path).display());
    }
    println!("took       {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}

struct Finished {
    wasm: Vec<u8>,
    stripped_size: usize,
    imports: Vec<String>,
}

/// Strips, checks and optimises, or takes the result of the last run when that started from the same bytes.
fn finish(
    workspace: &workspace::Workspace,
    optimiser: &optimise::Optimiser,
    raw: &[u8],
    wasm_path: &std::path::Path,
    name: &str,
) -> Result<Finished> {
    let stripped = wasm::strip(raw)?;
    // Checked before optimisation too: only here do functions still have names to complain about.
    let names = wasm::function_names(raw)?;
    let _imports = wasm::check(&stripped, &names)?;

    let stamp_path = workspace.build_dir.join(format!("{name}.stamp"));
    let stamp_of = |wasm: &[u8]| {
        let (from, to) = (files::blake2b_256(raw), files::blake2b_256(wasm));
        format!("{}\n{optimiser}\n{}\n", hex::encode(from), hex::encode(to))
    };
    let last = fs::read(wasm_path).ok().zip(fs::read_to_string(&stamp_path).ok());
    let wasm = match last {
        Some((wasm, stamp)) if stamp == stamp_of(&wasm) => wasm,
        _ => {
            let wasm = wasm::strip(&optimiser.run(&stripped, &workspace.build_dir)?)?;
            files::write_if_changed(wasm_path, &wasm)?;
            files::write_if_changed(&stamp_path, stamp_of(&wasm).as_bytes())?;
            wasm
        }
    };
    let imports = wasm::check(&wasm, &wasm::Names::new())?;
    Ok(Finished { wasm, stripped_size: stripped.len(), imports })
}

/// Refuses code over the limit: every byte of it is paid for in every call, and chains have limits of their own.
fn ensure_size(bytes: usize, max_kib: u32) -> Result<()> {
    let max = u64::from(max_kib).saturating_mul(1024);
    let bytes = u64::try_from(bytes)?;
    ensure!(bytes <= max, "the final Wasm has {bytes} bytes; the limit is {max} ({max_kib} KiB, see --max-kib)");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ensure_size;

    #[test]
    fn wasm_of_exactly_the_limit_is_accepted_and_a_byte_more_is_refused_with_both_numbers() {
        assert!(ensure_size(2048, 2).is_ok());
        let error = ensure_size(2049, 2).unwrap_err().to_string();
        assert!(error.contains("2049") && error.contains("2048"), "{error}");
    }
}
