//! What Cargo knows about the workspace and its crates.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The checkout: its folders and its members.
pub(crate) struct Workspace {
    /// The folder with the root manifest.
    pub(crate) root: PathBuf,
    /// Everything that contract builds leave behind between runs.
    pub(crate) build_dir: PathBuf,
    /// The manifest that was asked for, if one was.
    manifest: Option<PathBuf>,
    packages: Vec<Value>,
}

/// A contract crate.
pub(crate) struct Package {
    /// Its name in Cargo.
    pub(crate) name: String,
    /// Its library's name in Rust.
    pub(crate) library: String,
    /// The folder with its manifest.
    pub(crate) folder: PathBuf,
    /// What it asks for as `ink`, as a Cargo version requirement.
    pub(crate) ink_requirement: String,
    /// All that `cargo metadata` says about it.
    pub(crate) facts: Value,
}

impl Workspace {
    /// Asks the Cargo that runs us about the workspace of a manifest, or about the one that this program belongs to.
    pub(crate) fn read(manifest: Option<&Path>) -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        let _ = command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let _ = match manifest {
            Some(manifest) => command.arg("--manifest-path").arg(manifest),
            None => command.current_dir(own_folder()),
        };
        let output = command.output().context("running cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        let facts: Value = serde_json::from_slice(&output.stdout).context("reading cargo metadata's answer")?;
        let folder = |key| text(&facts, key).map(PathBuf::from);
        Ok(Self {
            root: folder("workspace_root")?,
            build_dir: folder("target_directory")?.join("contract-build"),
            manifest: manifest.map(fs::canonicalize).transpose()?,
            packages: facts.get("packages").and_then(Value::as_array).cloned().unwrap_or_default(),
        })
    }

    /// What `cargo metadata` says about each member.
    pub(crate) fn packages(&self) -> &[Value] {
        &self.packages
    }

    /// The name of the package whose manifest was asked for.
    pub(crate) fn asked_for(&self) -> Option<&str> {
        let manifest = self.manifest.as_ref()?.to_str()?;
        let is_it = |facts: &&Value| facts.get("manifest_path").and_then(Value::as_str) == Some(manifest);
        self.packages.iter().find(is_it)?.get("name")?.as_str()
    }

    /// The manifest of the member that has this name, or whose library has it.
    pub(crate) fn manifest_of(&self, name: &str) -> Option<&str> {
        let is_named =
            |value: &Value| value.get("name").and_then(Value::as_str).is_some_and(|own| own.replace('_', "-") == name);
        let has_name = |facts: &&Value| is_named(facts) || library(facts).is_some_and(is_named);
        self.packages.iter().find(has_name)?.get("manifest_path")?.as_str()
    }

    /// A member that is an ink! contract.
    pub(crate) fn package(&self, name: &str) -> Result<Package> {
        let has_name = |value: &&Value| value.get("name").and_then(Value::as_str) == Some(name);
        let Some(facts) = self.packages.iter().find(has_name) else {
            let root = self.root.display();
            bail!("the workspace in {root} has no package `{name}`; its members are listed in its Cargo.toml");
        };
        let library = library(facts).with_context(|| format!("`{name}` has no library"))?;
        let mut dependencies = facts.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let ink = dependencies
            .find(|dependency| dependency.get("name").and_then(Value::as_str) == Some("ink"))
            .with_context(|| format!("`{name}` does not depend on ink: not a contract"))?;
        let manifest = PathBuf::from(text(facts, "manifest_path")?);
        Ok(Package {
            name: name.to_owned(),
            library: text(library, "name")?.replace('-', "_"),
            folder: manifest.parent().context("a manifest lies in a folder")?.to_owned(),
            ink_requirement: text(ink, "req")?.to_owned(),
            facts: facts.clone(),
        })
    }

    /// The lock file's path.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("Cargo.lock")
    }

    /// The version of ink! in the lock file.
    pub(crate) fn ink_version(&self) -> Result<String> {
        let path = self.lock();
        let lock = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        locked_version(&lock, "ink").context("the lock file has no ink")
    }
}

/// The library among a package's targets.
fn library(facts: &Value) -> Option<&Value> {
    let targets = facts.get("targets").and_then(Value::as_array)?;
    targets.iter().find(|target| {
        let kinds = target.get("kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib" || kind == "cdylib" || kind == "rlib"))
    })
}

/// The folder of this program's manifest. Cargo names it when it runs us; a path compiled in would outlive a move of the checkout.
fn own_folder() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from)
}

/// The checkout that this program belongs to.
pub(crate) fn own_checkout() -> Result<PathBuf> {
    let folder = fs::canonicalize(own_folder()).context("looking for the checkout")?;
    Ok(folder.parent().map_or(folder.clone(), ToOwned::to_owned))
}

/// The version of the first package of this name in a lock file.
fn locked_version(lock: &str, name: &str) -> Option<String> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != wanted);
    let _name = lines.next()?;
    let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
    Some(version.to_owned())
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("cargo metadata does not say `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    #[test]
    fn a_locked_version_is_found_by_the_whole_name() {
        let lock = "[[package]]\nname = \"ink_env\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"ink\"\nversion = \"5.1.1\"\n";
        assert_eq!(locked_version(lock, "ink").as_deref(), Some("5.1.1"));
        assert_eq!(locked_version(lock, "in"), None);
    }
}
