//! The project's text: every Rust file as tokens, every other file that may cite a rule as lines.

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that hold nothing of the project's own.
const FOREIGN: [&str; 2] = ["target", "seeds"];

/// A file of Rust.
pub(crate) struct Source {
    /// Where it is, from the root on, with `/` between folders.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
    /// The same without remarks and layout; a documentation comment is an attribute.
    pub(crate) tokens: TokenStream,
}

/// All files that count.
pub(crate) struct Sources {
    /// Those in Rust, by their paths.
    pub(crate) rust: Vec<Source>,
    /// Path and text of documents, manifests and scripts.
    pub(crate) other: Vec<(String, String)>,
}

impl Sources {
    /// Reads the checkout.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(root, &mut files)?;
        files.sort();
        let mut found = Self { rust: Vec::new(), other: Vec::new() };
        for file in files {
            let path = file.strip_prefix(root)?.to_str().context("a path in UTF-8")?.replace('\\', "/");
            let read = || fs::read_to_string(&file).with_context(|| format!("reading {path}"));
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => {
                    let text = read()?;
                    found.rust.push(Source { tokens: tokens(&path, &text)?, path, text });
                }
                Some("md" | "toml" | "sh") => {
                    let text = read()?;
                    found.other.push((path, text));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The Rust files below a folder.
    pub(crate) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a Source> {
        let prefix = format!("{folder}/");
        self.rust.iter().filter(move |source| source.path.starts_with(&prefix))
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    // What Cargo builds, wherever it was told to put it.
    if folder.join("CACHEDIR.TAG").is_file() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !FOREIGN.contains(&&*name) {
                collect(&entry.path(), files)?;
            }
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn tokens(path: &str, text: &str) -> Result<TokenStream> {
    text.parse().map_err(|error| anyhow!("{path} is no Rust: {error}"))
}

/// Whether a token is this identifier.
pub(crate) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if *ident == word)
}

/// Whether a token is this sign.
pub(crate) fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// What stands inside a token of these delimiters.
pub(crate) fn inside(token: &TokenTree, delimiter: Delimiter) -> Option<TokenStream> {
    match token {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

/// A file's or a module's parts, one after the other: attributes, the head up to its end, the body.
pub(crate) struct Item {
    /// The attributes before it, without their brackets; documentation among them.
    pub(crate) attributes: Vec<TokenStream>,
    /// All its other tokens, visibility and body included.
    pub(crate) tokens: Vec<TokenTree>,
}

impl Item {
    /// The word after a keyword, such as the name after `struct`.
    pub(crate) fn name_after(&self, keywords: &[&str]) -> Option<String> {
        let position = self.tokens.iter().position(|token| keywords.iter().any(|word| is_word(token, word)))?;
        match self.tokens.get(position.checked_add(1)?)? {
            TokenTree::Ident(name) => Some(name.to_string()),
            _ => None,
        }
    }

    /// The first word that is no visibility.
    pub(crate) fn keyword(&self) -> Option<String> {
        self.tokens.iter().find_map(|token| match token {
            TokenTree::Ident(word) if *word != "pub" => Some(word.to_string()),
            _ => None,
        })
    }

    /// Whether it is compiled for tests alone.
    pub(crate) fn is_test(&self) -> bool {
        self.attributes.iter().any(|attribute| {
            let text = attribute.to_string().replace(' ', "");
            text == "test" || text == "cfg(test)"
        })
    }

    /// What a module written out in place holds.
    pub(crate) fn module(&self) -> Option<(String, TokenStream)> {
        (self.keyword()? == "mod").then_some(())?;
        Some((self.name_after(&["mod"])?, inside(self.tokens.last()?, Delimiter::Brace)?))
    }
}

/// Takes a file or the inside of a module apart.
pub(crate) fn items(tokens: &TokenStream) -> Vec<Item> {
    let mut items = Vec::new();
    let mut item = Item { attributes: Vec::new(), tokens: Vec::new() };
    let mut rest = tokens.clone().into_iter().peekable();
    while let Some(token) = rest.next() {
        if item.tokens.is_empty() && is_sign(&token, '#') {
            let _inner = rest.next_if(|next| is_sign(next, '!'));
            item.attributes.extend(rest.next().and_then(|next| inside(&next, Delimiter::Bracket)));
            continue;
        }
        let ends = ends_item(&item.tokens, &token);
        item.tokens.push(token);
        if ends {
            items.push(std::mem::replace(&mut item, Item { attributes: Vec::new(), tokens: Vec::new() }));
        }
    }
    items
}

/// Whether an item ends with a token: a semicolon, or the body of what has one.
fn ends_item(before: &[TokenTree], token: &TokenTree) -> bool {
    if is_sign(token, ';') {
        return true;
    }
    let has = |word: &str| before.iter().any(|token| is_word(token, word));
    let goes_on = ["use", "const", "static", "type"].iter().any(|word| has(word)) && !has("fn") && !has("impl");
    inside(token, Delimiter::Brace).is_some() && !goes_on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Option<String>> {
        items(&text.parse().expect("Rust")).iter().map(Item::keyword).collect()
    }

    #[test]
    fn a_file_comes_apart_into_its_items() {
        let text = "//! Page.\n use a::{b, c}; /// Doc.\n pub struct S { x: u8 } const C: T = T { x: 1 }; pub const fn f() {} impl S { fn g() {} } m! { x } struct E;";
        let words = ["use", "struct", "const", "const", "impl", "m", "struct"];
        assert_eq!(parts(text), words.map(|word| Some(word.to_owned())));
    }

    #[test]
    fn names_and_tests_are_known() {
        let all = items(&"#[cfg(test)] mod tests { struct T; } pub(crate) enum E { A }".parse().expect("Rust"));
        assert!(all[0].is_test());
        assert_eq!(all[0].module().map(|(name, _)| name), Some("tests".into()));
        assert_eq!(all[1].name_after(&["struct", "enum"]), Some("E".into()));
    }
}
