//! `cargo xtask verify`: builds a contract by the recipe, and says whether that is the code which somebody shows.
//!
//! What is shown is a code hash, as a chain tells it (`channel code`), or a file: Wasm, a bundle, or what `channel deploy` has written.

use crate::{
    contract, files, optimise::Optimiser, optimise::Passes, recipe::Recipe, toolchain::Toolchain, workspace::Workspace,
};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use std::{fs, path::Path};

/// The arbiters that were released, by version; the client knows them.
const RELEASED: &str = "chain/src/released.txt";

/// What to compare with.
#[derive(Args)]
pub(crate) struct Options {
    /// A code hash, 0x and 64 hex digits, or a file: .wasm, .contract, or deployment.json.
    #[arg(required_unless_present = "release")]
    shown: Option<String>,

    /// The contract that it should be.
    #[arg(long, short, default_value = "contract")]
    package: String,

    /// Instead of comparing, write the arbiter's hash down as that of this version.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["shown", "package"])]
    release: Option<String>,
}

/// Builds, and compares.
pub(crate) fn run(options: &Options) -> Result<()> {
    let shown = options.shown.as_deref().map(hash_of).transpose()?;
    let mut workspace = Workspace::read(None)?;
    let recipe = Recipe::of(&workspace)?.context("this checkout has no recipe")?;
    let (toolchain, optimiser) = (Toolchain::find()?, Optimiser::find(Passes::default()));
    recipe.ensure_followed(&toolchain, &optimiser)?;
    // Nothing that an ordinary build has left behind takes part.
    workspace.build_dir = workspace.build_dir.with_file_name("contract-verify");
    println!("recipe     0x{}, {}, {optimiser}", hex::encode(recipe.hash), toolchain.version);
    let built = format!(
        "0x{}",
        hex::encode(files::blake2b_256(&contract::wasm(&workspace, &toolchain, &optimiser, &options.package)?))
    );
    println!("built      {built}");
    if let Some(version) = &options.release {
        return release(&workspace.root.join(RELEASED), version, &built);
    }
    let shown = shown.context("there is nothing to compare with")?;
    println!("shown      {shown}");
    ensure!(
        built == shown,
        "that is other code than `{}` of this checkout gives: check out the version that it should be, and see whether Cargo.lock is as it was then",
        options.package
    );
    println!("the same: what is shown was built from these sources");
    Ok(())
}

/// The code hash that an argument shows.
fn hash_of(shown: &str) -> Result<String> {
    if let Some(digits) = shown.strip_prefix("0x") {
        ensure!(
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{shown} is not 0x and 64 hex digits"
        );
        return Ok(shown.to_ascii_lowercase());
    }
    let path = Path::new(shown);
    let bytes =
        fs::read(path).with_context(|| format!("{shown} is neither a code hash (0x..) nor a file that can be read"))?;
    if bytes.starts_with(b"\0asm") {
        return Ok(format!("0x{}", hex::encode(files::blake2b_256(&bytes))));
    }
    let value: Value = serde_json::from_slice(&bytes).with_context(|| format!("{shown} is neither Wasm nor JSON"))?;
    let said = value.get("code_hash").or_else(|| value.pointer("/source/hash")).and_then(Value::as_str);
    said.map(str::to_owned).with_context(|| format!("{shown} says no code hash"))
}

/// Writes a line for a version; one that is there stays.
fn release(path: &Path, version: &str, built: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let line = format!("{version} {built}");
    if let Some(there) = text.lines().find(|there| there.split(' ').next() == Some(version)) {
        if there == line {
            return Ok(());
        }
        bail!("version {version} was released as another one, {there}: what is released stays; take a new version");
    }
    fs::write(path, format!("{text}{line}\n")).with_context(|| format!("writing {}", path.display()))?;
    println!("released   {line}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{hash_of, release};
    use std::fs;

    #[test]
    fn a_hash_is_taken_and_read_from_wasm_from_a_bundle_and_from_a_deployment() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let hash = format!("0x{}", "ab".repeat(32));
        assert_eq!(hash_of(&hash.replace("ab", "AB")).unwrap(), hash);
        assert_eq!(
            hash_of(&write("a.contract", format!(r#"{{"source":{{"hash":"{hash}"}}}}"#).as_bytes())).unwrap(),
            hash
        );
        assert_eq!(
            hash_of(&write("deployment.json", format!(r#"{{"code_hash":"{hash}"}}"#).as_bytes())).unwrap(),
            hash
        );
        let wasm = hash_of(&write("a.wasm", b"\0asm")).unwrap();
        assert_eq!(wasm, format!("0x{}", hex::encode(crate::files::blake2b_256(b"\0asm"))));
        for (shown, said) in [
            ("0x12".to_owned(), "64 hex"),
            ("nothing".to_owned(), "neither"),
            (write("b", b"{}"), "no code hash"),
            (write("c", b"words"), "nor JSON"),
        ] {
            let error = format!("{:#}", hash_of(&shown).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_was_released_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("released.txt");
        fs::write(&path, "# words\n").unwrap();
        release(&path, "1.0.0", "0x01").unwrap();
        release(&path, "1.0.0", "0x01").unwrap();
        let error = release(&path, "1.0.0", "0x02").unwrap_err().to_string();
        assert!(error.contains("1.0.0 0x01"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "# words\n1.0.0 0x01\n");
    }
}
