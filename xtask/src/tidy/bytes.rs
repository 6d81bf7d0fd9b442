//! What is signed, stored or sent does not change by accident: each definition that decides about such bytes has a hash in
//! `xtask/tidy/bytes.txt`. Remarks, layout, visibility and other derived traits do not count; names, fields, their order and indices do.

use super::{
    Findings, Table,
    packages::Packages,
    source::{Item, Source, Sources, inside, is_word, items},
};
use crate::files::blake2b_256;
use anyhow::Result;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// Traits that decide about bytes, and that derived or written out make a definition count.
const CODECS: [&str; 3] = ["Encode", "Decode", "EncodeAsType"];
/// Definitions that decide about bytes without such a trait: what starts signed and stored bytes.
const CONSTANTS: [&str; 4] = ["TAG", "VERSION", "KIND", "MAGIC"];
/// What has to change with bytes.
const WITH_IT: &str = "where bytes change by it, so do the version in front of them (protocol/src/domain.rs, channel/src/saved.rs), SPEC.md, \
     protocol/vectors (UPDATE_VECTORS=1) and channel/tests/fixtures (UPDATE_FIXTURES=1); then, or where only names have changed: cargo xtask tidy --accept";

/// A folder of sources and a name in it: what a hash is kept for.
type Place = (String, String);

/// Compares each definition with the hash that is kept.
pub(crate) fn check(table: &Table, packages: &Packages, sources: &Sources) -> Findings {
    let kept: BTreeMap<Place, &str> = table.rows().filter_map(row).collect();
    let now = definitions(packages, sources);
    let mut findings = Findings::new();
    for ((folder, name), hash) in &now {
        match kept.get(&(folder.clone(), name.clone())) {
            None => findings.push(format!("{folder}: `{name}` decides about bytes and has no hash yet: {WITH_IT}")),
            Some(old) if old != hash => findings.push(format!("{folder}: `{name}` is another one now: {WITH_IT}")),
            Some(_) => {}
        }
    }
    for (folder, name) in kept.keys().filter(|place| !now.contains_key(*place)) {
        findings.push(format!("{folder}: `{name}` is gone: {WITH_IT}"));
    }
    findings
}

/// Keeps the hashes of what stands in the code.
pub(crate) fn accept(table: &Table, packages: &Packages, sources: &Sources) -> Result<()> {
    let rows =
        definitions(packages, sources).into_iter().map(|((folder, name), hash)| format!("{folder} {name} {hash}"));
    table.replace(&rows.collect::<Vec<_>>())
}

fn row(row: &str) -> Option<(Place, &str)> {
    let mut words = row.split(' ');
    Some(((words.next()?.to_owned(), words.next()?.to_owned()), words.next()?))
}

/// All definitions that decide about bytes, and their hashes. Those of one name in one package count together.
fn definitions(packages: &Packages, sources: &Sources) -> BTreeMap<Place, String> {
    let folders: BTreeSet<&str> = ["protocol", "channel", "chain", "sdk"].into_iter().collect();
    let mut found: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
    for package in packages.0.iter().filter(|package| folders.contains(package.folder.as_str())) {
        let source_folder = format!("{}/src", package.folder);
        let sources: Vec<&Source> = sources.below(&source_folder).collect();
        let macros: BTreeSet<String> = sources.iter().flat_map(|source| codec_macros(&source.tokens)).collect();
        for (name, text) in sources.iter().flat_map(|source| of_file(&source.tokens, &macros)) {
            let _is_new = found.entry((package.folder.clone(), name)).or_default().insert(text);
        }
    }
    let hash = |texts: BTreeSet<String>| {
        let bytes = blake2b_256(texts.into_iter().collect::<Vec<_>>().join("\n").as_bytes());
        hex::encode(bytes.get(..8).unwrap_or(&bytes))
    };
    found.into_iter().map(|(place, texts)| (place, hash(texts))).collect()
}

/// The macros of a file that write definitions which count.
fn codec_macros(tokens: &TokenStream) -> Vec<String> {
    let macros = items(tokens).into_iter().filter(|item| item.keyword().as_deref() == Some("macro_rules"));
    macros
        .filter(|item| names_codec(item.tokens.iter().cloned().collect()))
        .filter_map(|item| macro_name(&item))
        .collect()
}

fn macro_name(item: &Item) -> Option<String> {
    match item.tokens.get(2)? {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    }
}

fn names_codec(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => CODECS.iter().any(|codec| word == codec),
        TokenTree::Group(group) => names_codec(group.stream()),
        _ => false,
    })
}

/// The definitions of a file that count: a name, and the text that is hashed.
fn of_file(tokens: &TokenStream, macros: &BTreeSet<String>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for item in items(tokens).iter().filter(|item| !item.is_test()) {
        if let Some((_, inner)) = item.module() {
            found.extend(of_file(&inner, macros));
        } else if let Some(name) = counted_name(item, macros) {
            found.push((name, text_of(item)));
        }
    }
    found
}

/// What an item is kept as, where it counts.
fn counted_name(item: &Item, macros: &BTreeSet<String>) -> Option<String> {
    match item.keyword()?.as_str() {
        "struct" | "enum" => {
            let counts = item.attributes.iter().any(|attribute| derives_codec(attribute.clone()));
            counts.then(|| item.name_after(&["struct", "enum"])).flatten()
        }
        "const" => item.name_after(&["const"]).filter(|name| CONSTANTS.contains(&name.as_str())),
        "impl" => {
            let end = item.tokens.iter().position(|token| is_word(token, "for"))?;
            let head: TokenStream = item.tokens.get(..end)?.iter().cloned().collect();
            names_codec(head).then(|| item.name_after(&["for"])).flatten()
        }
        "macro_rules" => macro_name(item).filter(|name| macros.contains(name)).map(|name| format!("{name}!")),
        word => macros.contains(word).then(|| format!("{word}!")),
    }
}

fn derives_codec(attribute: TokenStream) -> bool {
    attribute.clone().into_iter().next().is_some_and(|first| is_word(&first, "derive")) && names_codec(attribute)
}

/// What is hashed of an item: everything but attributes that decide about no bytes, and visibility.
fn text_of(item: &Item) -> String {
    let attributes = item.attributes.iter().filter(|attribute| is_codec_attribute(attribute)).map(ToString::to_string);
    let tokens: TokenStream = item.tokens.iter().cloned().collect();
    attributes.chain([bare(tokens).to_string()]).collect::<Vec<_>>().join(" ")
}

fn is_codec_attribute(attribute: &TokenStream) -> bool {
    attribute.clone().into_iter().next().is_some_and(|first| is_word(&first, "codec"))
}

/// Tokens without attributes other than the codec's, without visibility, and without the comma that ends a list.
fn bare(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let attribute = match &token {
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                rest.peek().and_then(|next| inside(next, Delimiter::Bracket))
            }
            _ => None,
        };
        if attribute.is_some_and(|attribute| !is_codec_attribute(&attribute)) {
            let _attribute = rest.next();
        } else if is_word(&token, "pub") {
            let _scope =
                rest.next_if(|next| inside(next, Delimiter::Parenthesis).is_some_and(|scope| is_scope(&scope)));
        } else if let TokenTree::Group(group) = &token {
            kept.push(proc_macro2::Group::new(group.delimiter(), bare(group.stream())).into());
        } else {
            kept.push(token);
        }
    }
    let _comma = kept.pop_if(|last| matches!(last, TokenTree::Punct(sign) if sign.as_char() == ','));
    kept.into_iter().collect()
}

/// Whether parentheses after `pub` say where it is visible; a tuple's fields do not begin like that.
fn is_scope(inside: &TokenStream) -> bool {
    let first = inside.clone().into_iter().next();
    first.is_some_and(|first| ["crate", "super", "self", "in"].iter().any(|word| is_word(&first, word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(String, String)> {
        let tokens: TokenStream = text.parse().expect("Rust");
        of_file(&tokens, &codec_macros(&tokens).into_iter().collect())
    }

    #[test]
    fn what_decides_about_bytes_counts_and_nothing_else() {
        let text = "
            #[derive(Clone, Encode)] struct A(u8); #[derive(Clone)] struct B; const TAG: u8 = 1; const OTHER: u8 = 2;
            impl Decode for C { fn decode() {} } impl A { fn f() {} } fn encode() { Encode }
            macro_rules! words { () => { #[derive(Encode)] } } words! { x } other! { y }
            mod inner { #[derive(Decode)] enum D { E } } #[cfg(test)] mod tests { #[derive(Encode)] struct T; }";
        let names: Vec<String> = all(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "TAG", "C", "words!", "words!", "D"]);
    }

    #[test]
    fn layout_does_not_count_and_bytes_do() {
        let text = |text: &str| all(text).remove(0).1;
        let one = text("#[derive(Encode)] pub struct A { x: u8, pub(crate) y: u16 }");
        let same =
            text("/// Doc.\n#[derive(Debug, Encode)]\nstruct A {\n  /// Doc.\n  pub x: u8, // remark\n  y: u16,\n}");
        assert_eq!(one, same);
        for other in [
            "#[derive(Encode)] struct A { y: u16, x: u8 }",
            "#[derive(Encode)] struct A { x: u8, y: u32 }",
            "#[derive(Encode)] struct A { x: u8, #[codec(skip)] y: u16 }",
        ] {
            assert_ne!(one, text(other));
        }
    }
}
