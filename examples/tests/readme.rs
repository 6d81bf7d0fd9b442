//! The README quotes the examples, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

const README: &str = include_str!("../../README.md");
const SOURCES: [(&str, &str); 4] = [
    ("src/lib.rs", include_str!("../src/lib.rs")),
    ("src/bin/open_and_pay.rs", include_str!("../src/bin/open_and_pay.rs")),
    ("src/bin/accept_payments.rs", include_str!("../src/bin/accept_payments.rs")),
    ("src/bin/react_to_dispute.rs", include_str!("../src/bin/react_to_dispute.rs")),
];

/// The README's Rust, each block without the names that it imports: those are fewer than the example's, and a block in which one is missing
/// does not compile.
fn quotes() -> Vec<&'static str> {
    let blocks = README.split("\n```rust").skip(1).map(|block| {
        let (_attributes, block) = block.split_once('\n').unwrap();
        block.split_once("\n```").unwrap().0
    });
    blocks.map(|block| if block.starts_with("use ") { block.split_once("\n\n").unwrap().1 } else { block }).collect()
}

#[test]
fn each_piece_of_rust_in_the_readme_is_literally_in_an_example_and_each_example_is_quoted() {
    let quotes = quotes();
    for quote in &quotes {
        assert!(SOURCES.iter().any(|(_, source)| source.contains(quote)), "no example has this any more:\n{quote}");
    }
    for (name, source) in SOURCES {
        assert!(quotes.iter().any(|quote| source.contains(quote)), "the README has nothing of {name}");
    }
}
