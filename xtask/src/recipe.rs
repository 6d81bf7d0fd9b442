//! The recipe by which anybody gets the very Wasm that stands on a chain: `contract/recipe.txt`, with `Cargo.lock`.

use crate::{files::blake2b_256, optimise::Optimiser, toolchain::Toolchain, workspace::Workspace};
use anyhow::{Context, Result, ensure};
use std::fs;

/// Where it is written down.
const FILE: &str = "contract/recipe.txt";

/// Programs that make the Wasm, as they call themselves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    compiler: String,
    optimiser: String,
    /// Of the file and the lock file.
    pub(crate) hash: [u8; 32],
}

impl Recipe {
    /// The recipe of a checkout; none in other workspaces, whose apps are their own affair.
    pub(crate) fn of(workspace: &Workspace) -> Result<Option<Self>> {
        let path = workspace.root.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let lock = fs::read(workspace.lock()).context("reading the lock file")?;
        Self::read(&text, &lock).map(Some)
    }

    fn read(text: &str, lock: &[u8]) -> Result<Self> {
        let said = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.map(str::to_owned).with_context(|| format!("{FILE} does not say `{key}`"))
        };
        let all = [&blake2b_256(text.as_bytes())[..], &blake2b_256(lock)].concat();
        Ok(Self { compiler: said("compiler")?, optimiser: said("optimiser")?, hash: blake2b_256(&all) })
    }

    /// Refuses other programs than the recipe's: they give other bytes.
    pub(crate) fn ensure_followed(&self, toolchain: &Toolchain, optimiser: &Optimiser) -> Result<()> {
        self.ensure(&toolchain.version, &optimiser.to_string())
    }

    fn ensure(&self, compiler: &str, optimiser: &str) -> Result<()> {
        let (wanted, version) = (&self.compiler, self.compiler.trim_start_matches("rustc "));
        ensure!(
            compiler == wanted,
            "the recipe asks for {wanted}, and this is {compiler}, which gives other bytes; run `rustup toolchain install {version} \
             --component rust-src` and then `cargo +{version} xtask verify ..`"
        );
        let wanted = &self.optimiser;
        ensure!(
            optimiser == wanted,
            "the recipe asks for {wanted:?}, and this is {optimiser:?}, which gives other bytes; install that version of binaryen (Debian 12 has it)"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Recipe;

    const TEXT: &str = "# words\ncompiler rustc 1.2.3\noptimiser wasm-opt version 4 -Oz\n";

    #[test]
    fn other_programs_are_refused_and_the_way_to_the_right_ones_is_told() {
        let recipe = Recipe::read(TEXT, b"lock").unwrap();
        assert!(recipe.ensure("rustc 1.2.3", "wasm-opt version 4 -Oz").is_ok());
        let error = recipe.ensure("rustc 1.2.4", "wasm-opt version 4 -Oz").unwrap_err().to_string();
        assert!(error.contains("rustc 1.2.4") && error.contains("rustup toolchain install 1.2.3"), "{error}");
        let error = recipe.ensure("rustc 1.2.3", "none").unwrap_err().to_string();
        assert!(error.contains("wasm-opt version 4 -Oz") && error.contains("none"), "{error}");
    }

    #[test]
    fn the_hash_is_of_the_recipe_and_of_the_lock_file() {
        let hash = |text: &str, lock: &[u8]| Recipe::read(text, lock).unwrap().hash;
        assert_eq!(hash(TEXT, b"lock"), hash(TEXT, b"lock"));
        assert_ne!(hash(TEXT, b"lock"), hash(TEXT, b"block"));
        assert_ne!(hash(TEXT, b"lock"), hash(&TEXT.replace('4', "5"), b"lock"));
    }

    #[test]
    fn a_recipe_that_leaves_something_out_is_none() {
        let error = Recipe::read("compiler rustc 1.2.3\n", b"").unwrap_err().to_string();
        assert!(error.contains("optimiser"), "{error}");
    }
}
