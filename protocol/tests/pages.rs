//! What the pages in `docs/` say of the tests is so.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure, and a failure is what they look for")]

use std::{fs, path::Path};

/// Where the page's prefixes lie.
const ROOTS: [(&str, &str); 3] =
    [("contract/", "contract/tests/arbiter"), ("rules/", "protocol/tests"), ("peers/", "channel/tests")];

/// Where the modules of the catalogue's test programs lie: the first part of a test's name, and the folder or file.
const PROGRAMS: [(&str, &str); 17] = [
    ("channel", "channel/tests"),
    ("network", "network/tests"),
    ("network::seal", "network/src/seal.rs"),
    ("network::swap", "network/src/swap"),
    ("arbiter", "contract/tests/arbiter"),
    ("forced", "protocol/tests/forced"),
    ("messages", "protocol/tests/messages"),
    ("disputes", "model/tests/disputes.rs"),
    ("titles", "apps/titles/tests/titles.rs"),
    ("sdk", "sdk/src"),
    ("swaps", "sdk/tests/swaps"),
    ("strangers", "sdk/tests/strangers"),
    ("told", "sdk/tests/told"),
    ("full_disk", "sdk/tests/full_disk.rs"),
    ("told_full_disk", "sdk/tests/told_full_disk.rs"),
    ("stories", "e2e-tests/tests/stories"),
    ("node", "e2e-tests/tests/node"),
];

/// A test's source: that of the module that its name ends in, or of the one around it.
fn source_of(root: &Path, name: &str) -> Option<String> {
    // Stories that every chain is told lie beside their worlds.
    let shared = ["stories::the_same::", "node::the_same::"].iter().find_map(|prefix| name.strip_prefix(prefix));
    let (folder, rest) = match shared {
        Some(rest) => ("e2e-tests/src/stories", rest),
        None => {
            let inside = PROGRAMS.iter().filter_map(|(program, folder)| {
                let rest = name.strip_prefix(program)?.strip_prefix("::")?;
                Some((*folder, rest))
            });
            inside.min_by_key(|(_, rest)| rest.len())?
        }
    };
    if folder.ends_with(".rs") {
        return fs::read_to_string(root.join(folder)).ok();
    }
    let mut modules: Vec<_> = rest.split("::").collect();
    let _test = modules.pop();
    loop {
        let folder = root.join(folder).join(modules.join("/"));
        let files = [folder.with_extension("rs"), folder.join("mod.rs"), folder.join("main.rs")];
        if let Some(source) = files.iter().find_map(|file| fs::read_to_string(file).ok()) {
            return Some(source);
        }
        let _inner = modules.pop()?;
    }
}

#[test]
fn every_test_that_the_catalogue_names_for_payments_across_channels_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/catalogue.md")).unwrap();
    let (_, section) = page.split_once("## Payments across channels").expect("the section");
    let in_one_file = ["disputes::", "titles::", "full_disk::", "told_full_disk::"];
    let is_name =
        |code: &&str| code.split("::").count() > 2 || in_one_file.iter().any(|program| code.starts_with(program));
    let named: Vec<_> = section.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 60, "the section names its tests: {}", named.len());
    for name in named {
        let (_, test) = name.rsplit_once("::").unwrap();
        let source = source_of(&root, name).unwrap_or_else(|| panic!("no source for {name}"));
        assert!(["(", "<"].iter().any(|after| source.contains(&format!("fn {test}{after}"))), "no test {name}");
    }
}

#[test]
fn every_test_that_the_page_on_the_arbiters_safety_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/security/arbiter.md")).unwrap();
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 40, "the page names its tests: {}", named.len());
    for (file, test) in named.into_iter().filter(|(file, _)| *file != "file") {
        let (folder, rest) =
            ROOTS.iter().find_map(|(prefix, folder)| Some((folder, file.strip_prefix(prefix)?))).expect(file);
        let source = root.join(folder).join(rest).with_extension("rs");
        let source = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
