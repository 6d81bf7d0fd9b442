//! Files and functions stay within bounds. What exceeded them when the bounds were set is listed, and may only shrink.

use super::{
    Findings, Table,
    source::{Source, Sources, is_word},
};
use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeMap;

/// Lines of a file.
const FILE: usize = 600;
/// Lines of a file of the peers' machine: each of its parts is a room that can be read in one go.
const ROOM: (&str, usize) = ("channel/src/", 500);
/// Lines of a function, from its first word to its last brace.
const FUNCTION: usize = 80;

/// Compares sizes with the bounds and with the list of exceptions.
pub(crate) fn check(table: &Table, sources: &Sources) -> Result<Findings> {
    Ok(compare(&exceptions(table)?, &excesses(&sources.rust)))
}

/// Lowers exceptions to what stands in the code, and takes out those that are none any more.
pub(crate) fn accept(table: &Table, sources: &Sources) -> Result<()> {
    let now = excesses(&sources.rust);
    let smaller = |(name, allowed): (String, usize)| Some((allowed.min(*now.get(&name)?), name));
    let rows = exceptions(table)?.into_iter().filter_map(smaller).map(|(lines, name)| format!("{name} {lines}"));
    table.replace(&rows.collect::<Vec<_>>())
}

fn exceptions(table: &Table) -> Result<BTreeMap<String, usize>> {
    let read = |row: &str| {
        let (name, lines) = row.rsplit_once(' ')?;
        Some((name.to_owned(), lines.parse().ok()?))
    };
    table.rows().map(|row| read(row).with_context(|| format!("sizes.txt: `{row}`"))).collect()
}

fn compare(allowed: &BTreeMap<String, usize>, now: &BTreeMap<String, usize>) -> Findings {
    let mut findings = Findings::new();
    for (name, lines) in now {
        match allowed.get(name) {
            None => findings.push(format!(
                "{name} has {lines} lines: split it by idea, a file has at most {FILE} (in {} {}), a function {FUNCTION}",
                ROOM.0, ROOM.1
            )),
            Some(bound) if lines > bound => {
                findings.push(format!("{name} has grown to {lines} lines from {bound}: it may only shrink"));
            }
            Some(_) => {}
        }
    }
    let idle = allowed.keys().filter(|name| !now.contains_key(*name));
    findings.extend(
        idle.map(|name| format!("{name} is within bounds: `cargo xtask tidy --accept` takes it out of sizes.txt")),
    );
    findings
}

/// Files, and functions as `file name`, that exceed the bounds, with their lines.
fn excesses(sources: &[Source]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for source in sources {
        let lines = source.text.lines().count();
        let bound = if source.path.starts_with(ROOM.0) { ROOM.1 } else { FILE };
        if lines > bound {
            let _new = found.insert(source.path.clone(), lines);
        }
        let mut functions = Vec::new();
        collect(source.tokens.clone(), &mut functions);
        for (name, lines) in functions.into_iter().filter(|(_, lines)| *lines > FUNCTION) {
            let longest = found.entry(format!("{} {name}", source.path)).or_default();
            *longest = lines.max(*longest);
        }
    }
    found
}

/// The functions in some tokens, inner ones too, with their lines.
fn collect(tokens: TokenStream, functions: &mut Vec<(String, usize)>) {
    let mut open: Option<(String, usize)> = None;
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        if is_word(&token, "fn") {
            if let Some(TokenTree::Ident(name)) = rest.peek() {
                open = Some((name.to_string(), token.span().start().line));
            }
        } else if let TokenTree::Punct(sign) = &token {
            open = open.filter(|_| sign.as_char() != ';');
        } else if let TokenTree::Group(group) = &token {
            if group.delimiter() == Delimiter::Brace
                && let Some((name, start)) = open.take()
            {
                let lines = group.span_close().end().line.saturating_sub(start).saturating_add(1);
                functions.push((name, lines));
            }
            collect(group.stream(), functions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, lines: usize) -> Source {
        let text = format!("impl A {{\nfn long() {{{}}}\nfn short() {{\n}}\n}}", "\n".repeat(lines));
        Source { path: path.into(), tokens: text.parse().expect("Rust"), text }
    }

    #[test]
    fn functions_and_files_beyond_their_bounds_are_found() {
        assert_eq!(excesses(&[source("a.rs", FUNCTION - 1)]), BTreeMap::new());
        assert_eq!(excesses(&[source("a.rs", FUNCTION)]), [("a.rs long".to_owned(), FUNCTION + 1)].into());
        assert!(excesses(&[source("a.rs", FILE)]).contains_key("a.rs"));
        assert!(!excesses(&[source("a.rs", ROOM.1)]).contains_key("a.rs"));
        assert!(excesses(&[source("channel/src/a.rs", ROOM.1)]).contains_key("channel/src/a.rs"));
    }

    #[test]
    fn an_exception_may_only_shrink() {
        let list = |lines: usize| BTreeMap::from([("a.rs".to_owned(), lines)]);
        assert_eq!(compare(&list(700), &list(700)), Findings::new());
        assert_eq!(compare(&list(700), &list(690)), Findings::new());
        assert_eq!(compare(&list(700), &list(701)).len(), 1);
        assert_eq!(compare(&BTreeMap::new(), &list(601)).len(), 1);
        assert_eq!(compare(&list(700), &BTreeMap::new()).len(), 1);
    }
}
