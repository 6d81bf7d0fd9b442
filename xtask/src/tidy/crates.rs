//! Crates know only what `xtask/tidy/crates.txt` allows.

use super::{
    Findings, Table,
    packages::{Package, Packages},
};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// What a crate may know.
struct May<'a> {
    /// Folders of the workspace, for everything it builds.
    own: Vec<&'a str>,
    /// Packages of others; all of them where there is a `*`.
    foreign: Vec<&'a str>,
}

/// Compares the table with the manifests. What only tests know is not held to it.
pub(crate) fn check(table: &Table, packages: &Packages) -> Result<Findings> {
    let rows = table.rows().map(|row| read(row).with_context(|| format!("crates.txt: `{row}`")));
    let table: BTreeMap<&str, May<'_>> = rows.collect::<Result<_>>()?;
    Ok(compare(&table, packages))
}

/// `folder: own folders | packages of others`.
fn read(row: &str) -> Option<(&str, May<'_>)> {
    let (folder, rest) = row.split_once(':')?;
    let (own, foreign) = rest.split_once('|')?;
    Some((folder.trim(), May { own: own.split_whitespace().collect(), foreign: foreign.split_whitespace().collect() }))
}

fn compare(table: &BTreeMap<&str, May<'_>>, packages: &Packages) -> Findings {
    let mut findings = Findings::new();
    for package in &packages.0 {
        match row_of(table, &package.folder) {
            Some(may) => findings.extend(of_package(package, may, packages)),
            None => findings.push(format!("{}: what it may know is not in xtask/tidy/crates.txt", package.folder)),
        }
    }
    findings
}

/// The row of a folder, or of all folders beside it: `apps/*`.
fn row_of<'a, 'b>(table: &'a BTreeMap<&str, May<'b>>, folder: &str) -> Option<&'a May<'b>> {
    let all = folder.rsplit_once('/').map(|(parent, _)| format!("{parent}/*"));
    table.get(folder).or_else(|| table.get(all?.as_str()))
}

fn of_package(package: &Package, may: &May<'_>, packages: &Packages) -> Findings {
    let folder = &package.folder;
    let mut findings = Findings::new();
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_for_tests) {
        let (is_allowed, name) = match &dependency.folder {
            Some(own) => (may.own.iter().any(|word| allows(word, own, packages)), own),
            None => {
                let name = &dependency.package;
                (may.foreign.iter().any(|word| *word == "*" || word == name), name)
            }
        };
        if !is_allowed {
            findings.push(format!("{folder} may not know {name}: xtask/tidy/crates.txt says what it may"));
        }
    }
    findings
}

/// Whether a word of a row allows a folder. `sdk!chain` allows `sdk` as long as there is no package in `chain`; `apps/*` all beside each other.
fn allows(word: &str, folder: &str, packages: &Packages) -> bool {
    match word.split_once('!') {
        Some((word, until)) => word == folder && !packages.has(until),
        None => match word.strip_suffix('*') {
            Some(parent) => folder.starts_with(parent),
            None => word == folder,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::packages::Dependency;

    fn package(folder: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Package {
        let dependency = |&(name, folder, is_for_tests): &(&str, Option<&str>, bool)| Dependency {
            package: name.to_owned(),
            library: name.to_owned(),
            folder: folder.map(str::to_owned),
            is_for_tests,
        };
        Package { folder: folder.to_owned(), dependencies: dependencies.iter().map(dependency).collect() }
    }

    fn found(rows: &[&str], packages: Vec<Package>) -> Findings {
        compare(&rows.iter().map(|row| read(row).expect("a row")).collect(), &Packages(packages))
    }

    #[test]
    fn a_crate_knows_what_the_table_allows() {
        let channel =
            || package("channel", &[("p", Some("protocol"), false), ("scale", None, false), ("x", None, true)]);
        assert_eq!(found(&["channel: protocol | scale"], vec![channel()]), Findings::new());
        assert_eq!(found(&["channel: sdk | *"], vec![channel()]).len(), 1);
        assert_eq!(found(&["channel: protocol | tokio"], vec![channel()]).len(), 1);
        assert_eq!(found(&["apps/*: | *"], vec![channel(), package("apps/a", &[])]).len(), 1);
    }

    #[test]
    fn what_is_allowed_for_a_time_is_not_allowed_after_it() {
        let devchain = || package("devchain", &[("sdk", Some("sdk"), false)]);
        let rows = ["devchain: chain sdk!chain |", "chain: |"];
        assert_eq!(found(&rows, vec![devchain()]), Findings::new());
        assert_eq!(found(&rows, vec![devchain(), package("chain", &[])]).len(), 1);
    }
}
