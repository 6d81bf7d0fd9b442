//! Every rule of SPEC.md is kept somewhere, and the place says so; every rule that is cited is there.

use super::{Findings, source::Sources};
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What marks a rule that nothing keeps yet.
const LATER: &str = "**[later]**";
/// Rules about tests, which no other code keeps.
const OF_TESTS: [&str; 1] = ["R3.6"];
/// What may speak of rules that are no more, or never were: history, and the tests of this very check.
const AT_LIBERTY: [&str; 2] = ["CHANGELOG.md", "xtask/src/tidy/rules.rs"];

/// Compares SPEC.md with what the code cites.
pub(crate) fn check(root: &Path, sources: &Sources) -> Result<Findings> {
    let spec = fs::read_to_string(root.join("SPEC.md")).context("reading SPEC.md")?;
    let rust = sources.rust.iter().map(|source| (source.path.as_str(), source.text.as_str()));
    let other = sources.other.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    Ok(compare(&spec, &rust.chain(other).collect::<Vec<_>>()))
}

fn compare(spec: &str, files: &[(&str, &str)]) -> Findings {
    let rules = rules(spec);
    let mut cited = BTreeSet::new();
    let mut findings = Findings::new();
    for (path, text) in files.iter().filter(|(path, _)| !AT_LIBERTY.contains(path)) {
        for (number, line) in (1_u32..).zip(text.lines()) {
            for rule in citations(line) {
                if !rules.contains_key(&rule) {
                    findings.push(format!("{path}:{number} cites {rule}, which SPEC.md does not have"));
                }
                if path.contains("/src/") || (path.contains("/tests/") && OF_TESTS.contains(&rule.as_str())) {
                    let _is_new = cited.insert(rule);
                }
            }
        }
    }
    for (rule, is_later) in rules {
        match (cited.contains(&rule), is_later) {
            (false, false) => {
                findings.push(format!("{rule} is cited by no code: cite it where it is kept, or mark it {LATER}"));
            }
            (true, true) => findings.push(format!("{rule} is cited by code, but marked {LATER} in SPEC.md")),
            _ => {}
        }
    }
    findings
}

/// The rules that SPEC.md states, and whether they are for later. A rule's paragraph begins `- **R1.2` or `- R1.2`.
fn rules(spec: &str) -> BTreeMap<String, bool> {
    let mut rules = BTreeMap::new();
    for paragraph in spec.split("\n- ").skip(1) {
        let is_later = paragraph.contains(LATER);
        let head = match paragraph.strip_prefix("**") {
            Some(bold) => bold.split("**").next(),
            None if paragraph.starts_with('R') => paragraph.split("**").next(),
            None => None,
        };
        for rule in head.map(citations).unwrap_or_default() {
            let _same_rule_in_two_parts = rules.insert(rule, is_later);
        }
    }
    rules
}

/// The rules that a line names: `R`, a section, a dot, a number and perhaps a letter.
fn citations(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = ' ';
    for (start, sign) in line.char_indices() {
        if sign == 'R' && !before.is_alphanumeric() && before != '_' {
            found.extend(line.get(start..).and_then(rule_at_start));
        }
        before = sign;
    }
    found
}

fn rule_at_start(text: &str) -> Option<String> {
    let (section, rest) = digits(text.strip_prefix('R')?)?;
    let (number, rest) = digits(rest.strip_prefix('.')?)?;
    let letter = rest.chars().next().filter(char::is_ascii_lowercase);
    Some(format!("R{section}.{number}{}", letter.map(String::from).unwrap_or_default()))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str =
        "# Spec\n\n- **R1.1** One.\n  R1.1a is not stated here.\n- **R1.1, more** of it.\n- R1.2, R1.3a **[later]**.\n";

    #[test]
    fn what_is_kept_is_cited_and_what_is_cited_is_there() {
        assert_eq!(compare(SPEC, &[("a/src/lib.rs", "// (R1.1)")]), Findings::new());
        let not_cited = compare(SPEC, &[("a/tests/t.rs", "// R1.1")]);
        assert_eq!(not_cited, ["R1.1 is cited by no code: cite it where it is kept, or mark it **[later]**"]);
        let unknown = compare(SPEC, &[("a/src/lib.rs", "// R1.1\n// R1.4b, XR9.9"), ("CHANGELOG.md", "R9.9")]);
        assert_eq!(unknown, ["a/src/lib.rs:2 cites R1.4b, which SPEC.md does not have"]);
        let too_early = compare(SPEC, &[("a/src/lib.rs", "// R1.1, R1.3a")]);
        assert_eq!(too_early, ["R1.3a is cited by code, but marked **[later]** in SPEC.md"]);
    }
}
