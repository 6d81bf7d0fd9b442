//! What the pages in `docs/` say of the tests is so.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure, and a failure is what they look for")]

use std::{fs, path::Path};

/// Where the page's prefixes lie.
const ROOTS: [(&str, &str); 3] =
    [("contract/", "contract/tests/arbiter"), ("rules/", "protocol/tests"), ("peers/", "channel/tests")];

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
