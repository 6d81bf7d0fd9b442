//! Within a library no type name stands for two things: a reader of one file need not ask which of two is meant.

use super::{
    Findings,
    source::{Source, Sources, items},
};
use proc_macro2::TokenStream;
use std::collections::BTreeMap;

/// The libraries, by the folders of their sources.
const LIBRARIES: [&str; 6] = ["protocol/src", "interpreter/src", "chain/src", "channel/src", "network/src", "sdk/src"];
/// What declares a type or a trait.
const KEYWORDS: [&str; 4] = ["struct", "enum", "trait", "type"];

/// Looks for type names that a library declares twice.
pub(crate) fn check(sources: &Sources) -> Findings {
    LIBRARIES.iter().flat_map(|folder| doubles(sources.below(folder))).collect()
}

fn doubles<'a>(sources: impl Iterator<Item = &'a Source>) -> Findings {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    // A module of tests in a file of its own.
    for source in sources.filter(|source| !source.path.ends_with("/tests.rs")) {
        let mut names = Vec::new();
        declared(&source.tokens, &mut names);
        for name in names {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    let doubled = places.into_iter().filter(|(_, paths)| paths.len() > 1);
    doubled
        .map(|(name, paths)| format!("`{name}` is declared in {}: name each thing once", paths.join(" and ")))
        .collect()
}

/// The types and traits that are declared at the top of a file or of a module in it, but for tests.
fn declared(tokens: &TokenStream, names: &mut Vec<String>) {
    for item in items(tokens).into_iter().filter(|item| !item.is_test()) {
        if let Some((_, inside)) = item.module() {
            declared(&inside, names);
        } else if item.keyword().is_some_and(|word| KEYWORDS.contains(&word.as_str())) {
            names.extend(item.name_after(&KEYWORDS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), tokens: text.parse().expect("Rust"), text: text.into() }
    }

    #[test]
    fn a_name_that_stands_for_two_things_is_found() {
        let one = source("a/src/one.rs", "pub(crate) struct Batch { a: u8 } fn f() { struct Local; }");
        let two = source("a/src/two.rs", "mod inner { enum Batch { A } } #[cfg(test)] mod tests { struct Batch; }");
        let found = doubles([&one, &two].into_iter());
        assert_eq!(found, ["`Batch` is declared in a/src/one.rs and a/src/two.rs: name each thing once"]);
        assert_eq!(doubles([&one].into_iter()), Findings::new());
    }
}
