# Chores. `just --list` names them.

# Everything that is cheap: format, lints, documentation.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

# Every test.
test *arguments:
    scripts/test.sh {{arguments}}

# A channel's whole life on the embedded chain.
demo *arguments:
    scripts/demo.sh {{arguments}}

# The arbiter's Wasm, metadata and bundle.
contract:
    cargo xtask contract

# Payments over loopback against the bare cost of their signatures; results in docs/benchmarks.
bench:
    cargo bench --profile dev --package e2e-tests --bench payments
