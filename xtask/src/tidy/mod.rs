//! What holds the house: rules and their citations, bytes, crates, licences, type names, sizes, circles.
//!
//! Each check reads the checkout, compares it with a table in `xtask/tidy/`, and answers with findings. A table is changed by whoever means
//! to change what it holds; `--accept` writes what stands in the code, but lets nothing grow.

mod bytes;
mod circles;
mod crates;
mod dependencies;
mod licences;
mod names;
mod packages;
mod paths;
mod rules;
mod sizes;
mod source;

use crate::{files::write_if_changed, workspace::Workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use packages::Packages;
use source::Sources;
use std::{fs, path::PathBuf};

/// What `cargo xtask tidy` is asked.
#[derive(Args)]
pub(crate) struct Options {
    /// Takes over what stands in the code: bytes as they are now, smaller sizes and circles. Nothing may grow by it.
    #[arg(long)]
    accept: bool,
}

/// What a check found, one sentence each.
type Findings = Vec<String>;

/// A table in `xtask/tidy/`: lines of words; what follows `#` is for readers.
struct Table {
    path: PathBuf,
    text: String,
}

impl Table {
    fn read(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.root.join("xtask/tidy").join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { path, text })
    }

    /// The lines that say something, without remarks.
    fn rows(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|row| !row.is_empty())
    }

    /// The same table with other rows under the remarks at its head.
    fn replace(&self, rows: &[String]) -> Result<()> {
        let head = self.text.lines().take_while(|line| line.starts_with('#') || line.is_empty());
        let lines: Vec<&str> = head.chain(rows.iter().map(String::as_str)).collect();
        write_if_changed(&self.path, (lines.join("\n") + "\n").as_bytes())
    }
}

/// Checks everything, and says what is not as it should be.
///
/// # Errors
/// Where there is something to mend, and where the checkout cannot be read.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::read(None)?;
    let sources = Sources::read(&workspace.root)?;
    let packages = Packages::read(&workspace)?;
    if options.accept {
        bytes::accept(&Table::read(&workspace, "bytes.txt")?, &packages, &sources)?;
        sizes::accept(&Table::read(&workspace, "sizes.txt")?, &sources)?;
        circles::accept(&Table::read(&workspace, "circles.txt")?, &sources)?;
    }
    let table = |name| Table::read(&workspace, name);
    let findings: Findings = [
        rules::check(&workspace.root, &sources)?,
        bytes::check(&table("bytes.txt")?, &packages, &sources),
        crates::check(&table("crates.txt")?, &packages)?,
        dependencies::check(&table("unused.txt")?, &packages, &sources),
        licences::check(&workspace)?,
        names::check(&sources),
        sizes::check(&table("sizes.txt")?, &sources)?,
        circles::check(&table("circles.txt")?, &sources)?,
    ]
    .concat();
    for finding in &findings {
        eprintln!("untidy: {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} things to tidy up; xtask/tidy/README.md says what each check wants"),
    }
}
