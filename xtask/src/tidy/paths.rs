//! Paths in code: what `use` brings in, and what code names by a path from its crate's root.

use super::source::{inside, is_sign, is_word};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// The module of a file, by its path below `src`: `a/mod.rs` and `a.rs` are `a`, `lib.rs` is the root. Programs are none.
pub(crate) fn module_of(path: &str) -> Option<Vec<String>> {
    let path = path.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" => Some(Vec::new()),
        "main" => None,
        _ => (!path.starts_with("bin/")).then(|| path.split('/').map(str::to_owned).collect()),
    }
}

/// A path from the crate's root on, or none where it leads out of the crate.
pub(crate) fn absolute(module: &[String], path: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let first = path.first()?.as_str();
    let mut start = module.to_vec();
    let mut rest = path;
    match first {
        "crate" => {
            start.clear();
            rest = path.get(1..)?;
        }
        "self" => rest = path.get(1..)?,
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                let _parent = start.pop()?;
                rest = rest.get(1..)?;
            }
        }
        // A module below this one; anything else is another crate.
        child => {
            let below = [module, &[child.to_owned()]].concat();
            modules.contains(&below).then_some(())?;
        }
    }
    start.extend(rest.iter().cloned());
    Some(start)
}

/// What all `use` in some tokens bring in: paths as they are written, and the name that each has there.
pub(crate) fn uses(tokens: &TokenStream) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut rest = tokens.clone().into_iter();
    while let Some(token) = rest.next() {
        if is_word(&token, "use") {
            let tree: Vec<TokenTree> = rest.by_ref().take_while(|token| !is_sign(token, ';')).collect();
            leaves(&[], &tree, &mut found);
        } else if let TokenTree::Group(group) = token {
            found.extend(uses(&group.stream()));
        }
    }
    found
}

/// One branch of a `use`: words, then a list in braces, a star, or another name.
fn leaves(start: &[String], tree: &[TokenTree], found: &mut Vec<(Vec<String>, String)>) {
    let mut path = start.to_vec();
    let mut alias = None;
    let mut is_alias = false;
    for token in tree {
        match token {
            TokenTree::Ident(word) if *word == "as" => is_alias = true,
            TokenTree::Ident(word) if is_alias => alias = Some(word.to_string()),
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(sign) if sign.as_char() == '*' => alias = Some("*".to_owned()),
            TokenTree::Group(group) => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in tokens.split(|token| is_sign(token, ',')).filter(|branch| !branch.is_empty()) {
                    leaves(&path, branch, found);
                }
                return;
            }
            _ => {}
        }
    }
    if path.len() > 1 && path.last().is_some_and(|word| word == "self") {
        let _itself = path.pop();
    }
    let name = alias.or_else(|| path.last().cloned());
    found.extend(name.map(|name| (path, name)));
}

/// Paths in code that begin with `crate` or `super`.
pub(crate) fn named(tokens: &TokenStream) -> Vec<Vec<String>> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut found = Vec::new();
    for (start, token) in tokens.iter().enumerate() {
        let goes_on =
            start.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|token| is_sign(token, ':'));
        let begins = is_word(token, "crate") || (is_word(token, "super") && !goes_on);
        if begins {
            found.push(tokens.get(start..).map(path_at_start).unwrap_or_default());
        }
        // An attribute or a visibility names nothing.
        let is_visibility =
            start.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|before| is_word(before, "pub"))
                && inside(token, Delimiter::Parenthesis)
                    .is_some_and(|within| within.into_iter().next().is_some_and(|first| is_word(&first, "in")));
        if let TokenTree::Group(group) = token
            && !is_visibility
            && inside(token, Delimiter::Bracket)
                .is_none_or(|_| !start.checked_sub(1).is_some_and(|before| is_hash(&tokens, before)))
        {
            found.extend(named(&group.stream()));
        }
    }
    found.retain(|path| path.len() > 1);
    found
}

fn is_hash(tokens: &[TokenTree], position: usize) -> bool {
    tokens.get(position).is_some_and(|token| is_sign(token, '#'))
}

/// Words joined by `::`.
fn path_at_start(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(word), after @ ..] = rest {
        path.push(word.to_string());
        match after {
            [one, other, next @ ..] if is_sign(one, ':') && is_sign(other, ':') => rest = next,
            _ => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(paths: Vec<Vec<String>>) -> Vec<String> {
        paths.into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn what_is_brought_in_and_named_is_read() {
        let tokens: TokenStream =
            "use a::{self, b::{C as D, e}, f::*}; pub(in crate::o) fn g(x: crate::h::I) { super::super::k::l(); m::n }"
                .parse()
                .expect("Rust");
        let names: Vec<String> =
            uses(&tokens).into_iter().map(|(path, name)| format!("{} {name}", path.join("::"))).collect();
        assert_eq!(names, ["a a", "a::b::C D", "a::b::e e", "a::f *"]);
        assert_eq!(joined(named(&tokens)), ["crate::h::I", "super::super::k::l"]);
    }

    #[test]
    fn modules_and_paths_from_the_root() {
        assert_eq!(module_of("a/mod.rs"), module_of("a.rs"));
        assert_eq!((module_of("lib.rs"), module_of("main.rs")), (Some(Vec::new()), None));
        let module = ["a".to_owned(), "b".to_owned()];
        let modules = BTreeSet::from([[module.as_slice(), &["c".to_owned()]].concat()]);
        let at = |path: &str| absolute(&module, &path.split("::").map(str::to_owned).collect::<Vec<_>>(), &modules);
        assert_eq!(at("super::d").map(|path| path.join("::")), Some("a::d".into()));
        assert_eq!(at("c::E").map(|path| path.join("::")), Some("a::b::c::E".into()));
        assert_eq!(at("std::fmt"), None);
    }
}
