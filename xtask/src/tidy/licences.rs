//! Everything that is compiled has a licence that `deny.toml` allows, and what whoever uses our libraries has to ship is free of the exceptions
//! that the embedded chain needs. The same rules as `cargo deny check licenses`, without its being there. See docs/licences.md.

use super::Findings;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
};

/// What ships without the embedded chain, as Cargo compiles each unless told otherwise: folders.
const FREE: [&str; 7] = ["protocol", "channel", "network", "interpreter", "chain", "sdk", "cli"];

/// What `deny.toml` says of licences.
struct Rules {
    allowed: BTreeSet<String>,
    /// Packages that may have one more licence.
    exceptions: BTreeMap<String, String>,
}

/// Looks at each package that is compiled for this machine.
pub(crate) fn check(workspace: &Workspace) -> Result<Findings> {
    let text = fs::read_to_string(workspace.root.join("deny.toml")).context("reading deny.toml")?;
    let rules = Rules::read(&text)?;
    let mut findings = Findings::new();
    let everything = compiled(workspace, &["--workspace", "--edges", "all"])?;
    for (package, licence) in &everything {
        let exception = rules.exceptions.get(package).map(String::as_str);
        if !permits(licence, &|one| rules.allowed.contains(one) || exception == Some(one)) {
            findings.push(format!("{package} has the licence `{licence}`, which deny.toml does not allow"));
        }
    }
    let idle = rules.exceptions.keys().filter(|name| !everything.iter().any(|(package, _)| package == *name));
    findings.extend(idle.map(|name| format!("deny.toml: {name} is not compiled any more: take its exception out")));
    for folder in FREE {
        let manifest = workspace.root.join(folder).join("Cargo.toml");
        let Some(manifest) = manifest.to_str().filter(|_| manifest.is_file()) else { continue };
        let tree = compiled(workspace, &["--manifest-path", manifest, "--edges", "normal,build"])?;
        for (package, licence) in
            tree.iter().filter(|(_, licence)| !permits(licence, &|one| rules.allowed.contains(one)))
        {
            findings.push(format!(
                "{folder} would ship {package} under `{licence}`: docs/licences.md says why it must not"
            ));
        }
    }
    Ok(findings)
}

/// Name and licence of each package that Cargo would compile.
fn compiled(workspace: &Workspace, arguments: &[&str]) -> Result<BTreeSet<(String, String)>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let _ = command.current_dir(&workspace.root).args(["tree", "--locked", "--prefix", "none"]);
    let output = command.args(["--format", "{p}\t{l}"]).args(arguments).output().context("running cargo tree")?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let rows = text.lines().filter_map(|line| line.split_once('\t'));
    let licence = |text: &str| text.trim_end_matches(" (*)").to_owned();
    Ok(rows.filter_map(|(package, text)| Some((package.split(' ').next()?.to_owned(), licence(text)))).collect())
}

impl Rules {
    /// Reads `allow` and `exceptions` of `[licenses]`: one licence, or one package, a line.
    fn read(text: &str) -> Result<Self> {
        let (_, section) = text.split_once("[licenses]").context("deny.toml has no [licenses]")?;
        let section = section.split("\n[").next().unwrap_or_default();
        let mut rules = Self { allowed: BTreeSet::new(), exceptions: BTreeMap::new() };
        for line in section.lines().map(|line| line.split('#').next().unwrap_or_default()) {
            let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            match quoted[..] {
                [licence] => drop(rules.allowed.insert(licence.to_owned())),
                [package, licence] => drop(rules.exceptions.insert(package.to_owned(), licence.to_owned())),
                _ => {}
            }
        }
        ensure!(!rules.allowed.is_empty(), "deny.toml allows no licence");
        Ok(rules)
    }
}

/// Whether an expression such as `MIT OR (Apache-2.0 WITH LLVM-exception AND ISC)` can be met by licences that are allowed. An `AND` binds closer.
fn permits(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, is_allowed) && rest.is_empty()
}

fn either(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all(words, is_allowed);
    while take(words, "OR") {
        met |= all(words, is_allowed);
    }
    met
}

fn all(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, is_allowed);
    while take(words, "AND") {
        met &= one(words, is_allowed);
    }
    met
}

fn one(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> bool {
    if take(words, "(") {
        return either(words, is_allowed) & take(words, ")");
    }
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    match rest {
        ["WITH", exception, rest @ ..] => {
            *words = rest;
            is_allowed(&format!("{first} WITH {exception}"))
        }
        _ => is_allowed(first),
    }
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let Some((_, rest)) = words.split_first().filter(|(first, _)| **first == word) else { return false };
    *words = rest;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_by_what_is_allowed() {
        let allowed = |one: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&one);
        for (expression, is_met) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 AND ISC", false),
            ("MIT AND (Apache-2.0 OR ISC)", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("GPL-3.0-or-later WITH Classpath-exception-2.0", false),
            ("", false),
            ("MIT MIT", false),
            ("(MIT", false),
        ] {
            assert_eq!(permits(expression, &allowed), is_met, "{expression}");
        }
    }

    #[test]
    fn the_rules_are_read() {
        let text = "[advisories]\nx = \"y\"\n[licenses]\nallow = [\n    \"MIT\", # \"a remark\"\n]\nexceptions = [\n    { crate = \"c\", allow = [\"GPL-3.0-only\"] },\n]\n[bans]\nz = \"w\"\n";
        let rules = Rules::read(text).expect("rules");
        assert_eq!(rules.allowed, ["MIT".to_owned()].into());
        assert_eq!(rules.exceptions, [("c".to_owned(), "GPL-3.0-only".to_owned())].into());
    }
}
