//! The workspace's packages, by their folders: names may change, folders stay.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// All of them.
pub(crate) struct Packages(pub(crate) Vec<Package>);

/// One.
pub(crate) struct Package {
    /// Its folder, from the root on.
    pub(crate) folder: String,
    /// What it asks for.
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a package asks for.
pub(crate) struct Dependency {
    /// The package's name in the registry or the workspace.
    pub(crate) package: String,
    /// As code names it.
    pub(crate) library: String,
    /// Its folder, where it is one of the workspace's.
    pub(crate) folder: Option<String>,
    /// Whether only tests, examples and benchmarks have it.
    pub(crate) is_for_tests: bool,
}

impl Packages {
    /// Asks Cargo, without a look at any registry.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let packages = workspace.packages().iter().map(|facts| Package::read(&workspace.root, facts));
        let mut packages =
            packages.collect::<Option<Vec<_>>>().context("cargo metadata in a form that is not known")?;
        packages.sort_by(|one, other| one.folder.cmp(&other.folder));
        let names = libraries(workspace);
        for dependency in packages.iter_mut().flat_map(|package| &mut package.dependencies) {
            dependency.use_library_name(&names);
        }
        Ok(Self(packages))
    }

    /// Whether there is a package in a folder.
    pub(crate) fn has(&self, folder: &str) -> bool {
        self.0.iter().any(|package| package.folder == folder)
    }
}

/// The folder of each package of the workspace, and its library's name.
fn libraries(workspace: &Workspace) -> Vec<(String, String)> {
    let one = |facts: &Value| {
        let folder = Path::new(facts.get("manifest_path")?.as_str()?).parent()?;
        let is_library = |target: &&Value| {
            let kinds = target.get("kind").and_then(Value::as_array).into_iter().flatten();
            kinds.filter_map(Value::as_str).any(|kind| kind.ends_with("lib"))
        };
        let target = facts.get("targets")?.as_array()?.iter().find(is_library)?;
        Some((relative(&workspace.root, folder)?, target.get("name")?.as_str()?.to_owned()))
    };
    workspace.packages().iter().filter_map(one).collect()
}

fn relative(root: &Path, folder: &Path) -> Option<String> {
    Some(folder.strip_prefix(root).ok()?.to_str()?.replace('\\', "/"))
}

impl Package {
    fn read(root: &Path, facts: &Value) -> Option<Self> {
        let folder = relative(root, Path::new(facts.get("manifest_path")?.as_str()?).parent()?)?;
        let dependencies = facts.get("dependencies")?.as_array()?.iter();
        let dependencies = dependencies.map(|facts| Dependency::read(root, facts)).collect::<Option<_>>()?;
        Some(Self { folder, dependencies })
    }
}

impl Dependency {
    fn read(root: &Path, facts: &Value) -> Option<Self> {
        let package = facts.get("name")?.as_str()?.to_owned();
        let renamed = facts.get("rename").and_then(Value::as_str);
        let folder = facts.get("path").and_then(Value::as_str).and_then(|path| relative(root, Path::new(path)));
        let is_for_tests = facts.get("kind").and_then(Value::as_str) == Some("dev");
        Some(Self { library: renamed.unwrap_or(&package).replace('-', "_"), package, folder, is_for_tests })
    }

    /// A library may have another name than its package.
    fn use_library_name(&mut self, libraries: &[(String, String)]) {
        let own = |(folder, _): &&(String, String)| Some(folder) == self.folder.as_ref();
        if let Some((_, name)) = libraries.iter().find(own) {
            self.library = name.replace('-', "_");
        }
    }
}
