//! Within a library no type name stands for two things, nor does a public one in two libraries: a reader need not ask which of two is meant.

use super::{
    Findings,
    source::{Item, Source, Sources, inside, is_word, items},
};
use proc_macro2::{Delimiter, TokenStream};
use std::collections::BTreeMap;

/// The libraries, by the folders of their sources.
const LIBRARIES: [&str; 6] = ["protocol/src", "interpreter/src", "chain/src", "channel/src", "network/src", "sdk/src"];
/// What declares a type or a trait.
const KEYWORDS: [&str; 4] = ["struct", "enum", "trait", "type"];

/// Looks for type names that a library declares twice.
pub(crate) fn check(sources: &Sources) -> Findings {
    let mut found: Findings = LIBRARIES.iter().flat_map(|folder| doubles(sources.below(folder), |_| true)).collect();
    let all = LIBRARIES.iter().flat_map(|folder| sources.below(folder));
    found.extend(doubles(all, is_public));
    found.sort();
    found.dedup();
    found
}

/// Whether an item is anybody's to use, as far as its module is.
fn is_public(item: &Item) -> bool {
    let mut tokens = item.tokens.iter();
    tokens.next().is_some_and(|first| is_word(first, "pub"))
        && tokens.next().is_some_and(|next| inside(next, Delimiter::Parenthesis).is_none())
}

fn doubles<'a>(sources: impl Iterator<Item = &'a Source>, which: fn(&Item) -> bool) -> Findings {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    // A module of tests in a file of its own.
    for source in sources.filter(|source| !source.path.ends_with("/tests.rs")) {
        let mut names = Vec::new();
        declared(&source.tokens, which, &mut names);
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
fn declared(tokens: &TokenStream, which: fn(&Item) -> bool, names: &mut Vec<String>) {
    for item in items(tokens).into_iter().filter(|item| !item.is_test()) {
        if let Some((_, inside)) = item.module() {
            declared(&inside, which, names);
        } else if item.keyword().is_some_and(|word| KEYWORDS.contains(&word.as_str())) && which(&item) {
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
        let found = doubles([&one, &two].into_iter(), |_| true);
        assert_eq!(found, ["`Batch` is declared in a/src/one.rs and a/src/two.rs: name each thing once"]);
        assert_eq!(doubles([&one].into_iter(), |_| true), Findings::new());
        assert_eq!(doubles([&one, &two].into_iter(), is_public), Findings::new(), "neither is public");
        let three = source("b/src/one.rs", "pub struct Batch;");
        let four = source("c/src/one.rs", "pub type Batch = u8;");
        assert_eq!(doubles([&one, &three, &four].into_iter(), is_public).len(), 1);
    }
}
