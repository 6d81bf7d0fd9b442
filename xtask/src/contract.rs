//! `cargo xtask contract`: from a contract crate to Wasm that the pallet accepts, its metadata and the bundle of both.
//!
//! ```text
//! cargo rustc -> raw Wasm -> strip -> check -> wasm-opt -> strip -> check -> <package>.wasm ----.
//! host program that links the crate -----------------------------------> <package>.json ----+--> <package>.contract
//! ```

use crate::{
    bundle, compile, files, metadata,
    optimise::{Optimiser, Passes},
    recipe::Recipe,
    toolchain::Toolchain,
    wasm,
    workspace::{Package, Workspace},
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// The largest Wasm of a contract, in KiB: the one limit there is. Live chains take 123 KiB.
const MAX_KIB: u32 = 120;

/// What to build, where to put it, and how large it may be.
#[derive(Args)]
pub(crate) struct Options {
    /// A contract crate of the workspace; may be given several times. The arbiter, if none is given.
    #[arg(long = "package", short)]
    packages: Vec<String>,

    /// The manifest of a crate in another workspace, such as `cargo xtask app new --path` writes.
    #[arg(long)]
    manifest_path: Option<PathBuf>,

    /// Where `<package>.wasm`, `.json` and `.contract` go; relative to the workspace.
    #[arg(long, default_value = "target/contract")]
    out: PathBuf,

    /// The largest final Wasm that is accepted, in KiB.
    #[arg(long, default_value_t = MAX_KIB)]
    max_kib: u32,

    /// What wasm-opt optimises for; `none` leaves it out.
    #[arg(long, value_enum, default_value_t = Passes::default())]
    optimise: Passes,
}

/// Builds every package asked for; the first that fails ends it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::read(options.manifest_path.as_deref())?;
    let packages = match (&*options.packages, workspace.asked_for()) {
        ([], Some(asked_for)) => &[asked_for.to_owned()],
        ([], None) => &["contract".to_owned()],
        (named, _) => named,
    };
    let toolchain = Toolchain::find()?;
    println!("compiler   {} with library sources in {}", toolchain.version, toolchain.library.display());
    let optimiser = Optimiser::find(options.optimise);
    println!("optimiser  {optimiser}");
    if optimiser.is_missing() {
        println!("           wasm-opt is not on PATH, so the Wasm stays larger; scripts/setup.sh installs it");
    }
    let out = workspace.root.join(&options.out);
    for name in packages {
        build(&workspace, &toolchain, &optimiser, &out, options.max_kib, name)
            .with_context(|| format!("building the contract `{name}`"))?;
    }
    Ok(())
}

fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    optimiser: &Optimiser,
    out: &Path,
    max_kib: u32,
    name: &str,
) -> Result<()> {
    let started = Instant::now();
    let package = workspace.package(name)?;
    let Built { wasm, imports, sizes } = compiled(workspace, toolchain, optimiser, &package)?;
    ensure_size(wasm.len(), max_kib)?;

    let abi = metadata::generate(workspace, toolchain, &package)?;
    let source = bundle::Source {
        wasm: &wasm,
        language: format!("ink! {}", workspace.ink_version()?),
        compiler: &toolchain.version,
        optimiser: optimiser.to_string(),
        recipe: Recipe::of(workspace)?.filter(|recipe| recipe.ensure_followed(toolchain, optimiser).is_ok()),
    };
    let (json, contract) = bundle::assemble(&package, &source, abi)?;

    println!("size       {} bytes from the linker, {} stripped, {} final", sizes[0], sizes[1], wasm.len());
    println!("imports    {}", imports.join(" "));
    println!("code hash  0x{}", hex::encode(files::blake2b_256(&wasm)));
    for (extension, bytes) in [("wasm", &*wasm), ("json", json.as_bytes()), ("contract", contract.as_bytes())] {
        let path = out.join(format!("{name}.{extension}"));
        files::write_if_changed(&path, bytes)?;
        println!("output     {}", path.strip_prefix(&workspace.root).unwrap_or(&path).display());
    }
    println!("took       {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}

/// The final Wasm of a contract.
pub(crate) fn wasm(workspace: &Workspace, toolchain: &Toolchain, optimiser: &Optimiser, name: &str) -> Result<Vec<u8>> {
    Ok(compiled(workspace, toolchain, optimiser, &workspace.package(name)?)?.wasm)
}

/// Wasm that the pallet accepts.
struct Built {
    wasm: Vec<u8>,
    imports: Vec<String>,
    /// How large it was as the linker made it, and stripped.
    sizes: [usize; 2],
}

fn compiled(workspace: &Workspace, toolchain: &Toolchain, optimiser: &Optimiser, package: &Package) -> Result<Built> {
    let raw = compile::to_wasm(workspace, toolchain, package)?;
    let stripped = wasm::strip(&raw)?;
    // Checked before optimisation too: only here do functions still have names to complain about.
    let _imports = wasm::check(&stripped, &wasm::function_names(&raw)?)?;
    let wasm = optimise_once(optimiser, &stripped, &workspace.build_dir, &package.name)?;
    let imports = wasm::check(&wasm, &wasm::Names::new())?;
    Ok(Built { wasm, imports, sizes: [raw.len(), stripped.len()] })
}

/// Optimises, or takes the result of the last run when that started from the same bytes with the same optimiser.
fn optimise_once(optimiser: &Optimiser, stripped: &[u8], folder: &Path, name: &str) -> Result<Vec<u8>> {
    let kept = folder.join(format!("{name}.wasm"));
    let stamp_path = folder.join(format!("{name}.stamp"));
    let stamp_of = |wasm: &[u8]| {
        let (from, to) = (files::blake2b_256(stripped), files::blake2b_256(wasm));
        format!("{}\n{optimiser}\n{}\n", hex::encode(from), hex::encode(to))
    };
    let last = fs::read(&kept).ok().zip(fs::read_to_string(&stamp_path).ok());
    if let Some((wasm, stamp)) = last
        && stamp == stamp_of(&wasm)
    {
        return Ok(wasm);
    }
    let wasm = wasm::strip(&optimiser.run(stripped, folder)?)?;
    files::write_if_changed(&kept, &wasm)?;
    files::write_if_changed(&stamp_path, stamp_of(&wasm).as_bytes())?;
    Ok(wasm)
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
