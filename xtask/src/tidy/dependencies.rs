//! What a manifest asks for is used: its library is named in the package's code.

use super::{
    Findings, Table,
    packages::{Dependency, Package, Packages},
    source::Sources,
};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;

/// Looks for dependencies that no code names. `unused.txt` lists what is asked for to other ends, such as a feature.
pub(crate) fn check(table: &Table, packages: &Packages, sources: &Sources) -> Findings {
    let meant: BTreeSet<&str> = table.rows().collect();
    let mut used = BTreeSet::new();
    let mut findings = Findings::new();
    for package in &packages.0 {
        let words = words_of(package, packages, sources);
        for dependency in package.dependencies.iter().filter(|dependency| !words.contains(&dependency.library)) {
            let row = format!("{} {}", package.folder, dependency.package);
            if !meant.contains(row.as_str()) {
                findings.push(unused(package, dependency));
            }
            let _is_new = used.insert(row);
        }
    }
    let idle = meant.into_iter().filter(|row| !used.contains(*row));
    findings.extend(idle.map(|row| format!("unused.txt: `{row}` is used, or not asked for: take the line out")));
    findings
}

fn unused(package: &Package, dependency: &Dependency) -> String {
    let (folder, name) = (&package.folder, &dependency.package);
    format!(
        "{folder}/Cargo.toml asks for {name}, which no code of it names: take it out, or say why in xtask/tidy/unused.txt"
    )
}

/// All words in a package's own code, which other packages may lie below.
fn words_of(package: &Package, packages: &Packages, sources: &Sources) -> BTreeSet<String> {
    let is_other = |path: &str| {
        let below = |other: &&Package| {
            other.folder.len() > package.folder.len() && path.starts_with(&format!("{}/", other.folder))
        };
        packages.0.iter().any(|other| below(&other))
    };
    let mut words = BTreeSet::new();
    for source in sources.below(&package.folder).filter(|source| !is_other(&source.path)) {
        collect(source.tokens.clone(), &mut words);
    }
    words
}

/// Words of code, and of the code in documentation.
fn collect(tokens: TokenStream, words: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => drop(words.insert(word.to_string())),
            TokenTree::Group(group) => collect(group.stream(), words),
            TokenTree::Literal(text) => {
                let text = text.to_string();
                let parts = text.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
                words.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
            }
            TokenTree::Punct(_) => {}
        }
    }
}
