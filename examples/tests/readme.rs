//! The README, the guide for developers and the SDK's first page quote the examples, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../docs/dapps.md");
const FIRST_PAGE: &str = include_str!("../../sdk/src/lib.rs");
const HELLO: &str = include_str!("../src/bin/hello.rs");
const SWAPS: &str = include_str!("../../docs/swaps.md");
const SOURCES: [(&str, &str); 7] = [
    ("src/lib.rs", include_str!("../src/lib.rs")),
    ("src/bin/hello.rs", HELLO),
    ("src/bin/exchange_desk.rs", include_str!("../src/bin/exchange_desk.rs")),
    ("src/bin/open_and_pay.rs", include_str!("../src/bin/open_and_pay.rs")),
    ("src/bin/accept_payments.rs", include_str!("../src/bin/accept_payments.rs")),
    ("src/bin/react_to_dispute.rs", include_str!("../src/bin/react_to_dispute.rs")),
    ("tests/close_alone.rs", include_str!("close_alone.rs")),
];

/// A page's Rust, each block whole.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n```rust").skip(1).map(|block| {
        let (_attributes, block) = block.split_once('\n').unwrap();
        block.split_once("\n```").unwrap().0
    })
}

/// A block without the names that it imports: those are fewer than the example's, and a block in which one is missing does not compile.
fn quote(block: &str) -> &str {
    if block.starts_with("use ") { block.split_once("\n\n").unwrap().1 } else { block }
}

#[test]
fn each_piece_of_rust_in_the_documents_is_literally_in_an_example_and_each_example_is_quoted() {
    let quotes: Vec<_> = blocks(README).chain(blocks(GUIDE)).chain(blocks(SWAPS)).map(quote).collect();
    for quote in &quotes {
        assert!(SOURCES.iter().any(|(_, source)| source.contains(quote)), "no example has this any more:\n{quote}");
    }
    for (name, source) in SOURCES {
        assert!(quotes.iter().any(|quote| source.contains(quote)), "no document has anything of {name}");
    }
}

#[test]
fn the_first_example_is_the_same_in_the_readme_on_the_sdks_first_page_and_as_a_program_and_is_short() {
    let (_about, program) = HELLO.split_once("\n\n").unwrap();
    let program = program.trim_end();
    assert_eq!(blocks(README).next(), Some(program), "the README begins with it");
    let page: Vec<_> = FIRST_PAGE.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let page = page.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n");
    assert!(page.contains(program), "the SDK's first page has it:\n{program}");
    assert!(program.lines().count() <= 20, "twenty lines at most");
}
