//! No circles of files: who uses whom is read off `use` and off paths that begin with `crate` or `super`. A name counts for the file that
//! defines it, wherever it is handed on (`pub use`). Methods are not seen: they need no name of a file.

use super::{
    Findings, Table, paths,
    source::{Source, Sources, is_word, items},
};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What a file says about names.
#[derive(Default)]
struct File {
    /// What it defines.
    defined: BTreeSet<String>,
    /// What it brings in, or hands on: absolute paths from the crate's root on, with the name that each has here; `*` for all.
    imported: Vec<(Vec<String>, String)>,
    /// What its own code uses: the same paths but for those that are handed on, and paths in code.
    used: Vec<Vec<String>>,
}

/// The files of a crate, by their modules.
type Crate = BTreeMap<Vec<String>, File>;

/// Compares the files that lie in circles with how many may.
pub(crate) fn check(table: &Table, sources: &Sources) -> Result<Findings> {
    let mut findings = Findings::new();
    for (folder, allowed) in bounds(table)? {
        // A crate that is still to come.
        if sources.below(&folder).next().is_none() {
            continue;
        }
        let circles = circles(&read(&folder, sources));
        let count: usize = circles.iter().map(Vec::len).sum();
        if count > allowed {
            let names = circles.iter().map(|circle| circle.join(", ")).collect::<Vec<_>>().join("; ");
            findings.push(format!("{folder}: {count} files lie in circles, {allowed} may: {names}"));
        } else if count < allowed {
            findings.push(format!(
                "{folder}: {count} files lie in circles, {allowed} may: `cargo xtask tidy --accept` lowers that in circles.txt"
            ));
        }
    }
    Ok(findings)
}

/// Lowers what may lie in circles to what does.
pub(crate) fn accept(table: &Table, sources: &Sources) -> Result<()> {
    let lower = |(folder, allowed): (String, usize)| {
        if sources.below(&folder).next().is_none() {
            return format!("{folder} {allowed}");
        }
        let count: usize = circles(&read(&folder, sources)).iter().map(Vec::len).sum();
        format!("{folder} {}", allowed.min(count))
    };
    table.replace(&bounds(table)?.into_iter().map(lower).collect::<Vec<_>>())
}

fn bounds(table: &Table) -> Result<Vec<(String, usize)>> {
    let read = |row: &str| {
        let (folder, count) = row.split_once(' ')?;
        Some((folder.to_owned(), count.parse().ok()?))
    };
    table.rows().map(|row| read(row).with_context(|| format!("circles.txt: `{row}`"))).collect()
}

fn read(folder: &str, sources: &Sources) -> Crate {
    let prefix = format!("{folder}/");
    let module = |source: &Source| paths::module_of(source.path.strip_prefix(&prefix)?);
    let files: Vec<_> = sources.below(folder).filter_map(|source| Some((module(source)?, source))).collect();
    let modules: BTreeSet<Vec<String>> = files.iter().map(|(module, _)| module.clone()).collect();
    files.into_iter().map(|(module, source)| (module.clone(), file(&module, source, &modules))).collect()
}

fn file(module: &[String], source: &Source, modules: &BTreeSet<Vec<String>>) -> File {
    let mut file = File::default();
    for item in items(&source.tokens).iter().filter(|item| !item.is_test()) {
        let name = item.name_after(&["struct", "enum", "trait", "fn", "const", "static", "type", "union"]);
        if item.keyword().as_deref() != Some("use") && item.keyword().as_deref() != Some("impl") {
            file.defined.extend(name);
        }
        let tokens = item.tokens.iter().cloned().collect();
        let is_handed_on = item.tokens.first().is_some_and(|first| is_word(first, "pub"));
        for (path, name) in paths::uses(&tokens) {
            let Some(path) = paths::absolute(module, &path, modules) else { continue };
            if item.keyword().as_deref() != Some("use") || !is_handed_on {
                file.used.push(path.clone());
            }
            file.imported.push((path, name));
        }
        // Of a `use` everything was said above: `use super::a::{B, C}` names what it brings in, and not the module on the way.
        if item.keyword().as_deref() != Some("use") {
            file.used.extend(paths::named(&tokens).iter().filter_map(|path| paths::absolute(module, path, modules)));
        }
    }
    file
}

/// The module whose file defines what a path names, if it is in the crate.
fn definer(all: &Crate, path: &[String], patience: u8) -> Option<Vec<String>> {
    let length =
        (0..=path.len()).rev().find(|&length| path.get(..length).is_some_and(|start| all.contains_key(start)))?;
    let (module, rest) = path.split_at_checked(length)?;
    let file = all.get(module)?;
    let patience = patience.checked_sub(1)?;
    let Some(name) = rest.first().filter(|name| !file.defined.contains(*name)) else { return Some(module.to_vec()) };
    let by_name = file.imported.iter().filter(|(_, alias)| alias == name).map(|(path, _)| path.clone());
    let by_star =
        file.imported.iter().filter(|(_, alias)| alias == "*").map(|(path, _)| [path.as_slice(), rest].concat());
    let elsewhere = by_name.chain(by_star).filter(|other| other != path);
    elsewhere
        .filter_map(|path| definer(all, &path, patience))
        .find(|found| found != module)
        .or_else(|| Some(module.to_vec()))
}

/// Modules that use each other, directly or not; each circle sorted, the largest first.
fn circles(all: &Crate) -> Vec<Vec<String>> {
    let uses: BTreeMap<&[String], BTreeSet<Vec<String>>> = all
        .iter()
        .map(|(module, file)| {
            let used = file.used.iter().filter_map(|path| definer(all, path, 8)).filter(|used| used != module);
            (module.as_slice(), used.collect())
        })
        .collect();
    let reached: BTreeMap<&[String], BTreeSet<Vec<String>>> =
        uses.keys().map(|module| (*module, reachable(module, &uses))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (module, others) in &reached {
        if seen.contains(*module) || !others.contains(*module) {
            continue;
        }
        let back = |other: &&Vec<String>| reached.get(other.as_slice()).is_some_and(|theirs| theirs.contains(*module));
        let circle: Vec<Vec<String>> = others.iter().filter(back).cloned().collect();
        seen.extend(circle.iter().cloned());
        circles.push(circle.iter().map(|module| name(module)).collect());
    }
    circles.sort_by_key(|circle: &Vec<String>| std::cmp::Reverse(circle.len()));
    circles
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("::") }
}

fn reachable(from: &[String], uses: &BTreeMap<&[String], BTreeSet<Vec<String>>>) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_vec()];
    while let Some(module) = open.pop() {
        for next in uses.get(module.as_slice()).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let source = |&(path, text): &(&str, &str)| Source {
            path: format!("x/src/{path}"),
            text: text.into(),
            tokens: text.parse().expect("Rust"),
        };
        let sources = Sources { rust: files.iter().map(source).collect(), other: Vec::new() };
        circles(&read("x/src", &sources))
    }

    #[test]
    fn a_circle_is_found_whatever_way_it_takes() {
        let root = ("lib.rs", "mod a; mod b; pub use a::A;");
        assert_eq!(found(&[root, ("a.rs", "pub struct A;"), ("b.rs", "use crate::A;")]), Vec::<Vec<String>>::new());
        let through_the_root =
            [root, ("a.rs", "use super::b::f; pub struct A;"), ("b.rs", "use crate::{A as B}; fn f() {}")];
        assert_eq!(found(&through_the_root), [["a", "b"]]);
        let in_code =
            [root, ("a.rs", "pub struct A; fn g() { crate::b::f() }"), ("b.rs", "use super::a::*; fn f() {}")];
        assert_eq!(found(&in_code), [["a", "b"]]);
        let only_on_the_way = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod c; pub use c::{C, D}; use super::b::f;"),
            ("a/c.rs", "pub(in crate::a) struct C; pub(crate) struct D;"),
            ("b.rs", "use super::a::{C, D}; fn f() {}"),
        ];
        assert_eq!(found(&only_on_the_way), Vec::<Vec<String>>::new());
        let in_tests =
            [root, ("a.rs", "pub struct A; #[cfg(test)] mod t { use crate::b::f; }"), ("b.rs", "use crate::A;")];
        assert_eq!(found(&in_tests), Vec::<Vec<String>>::new());
    }
}
