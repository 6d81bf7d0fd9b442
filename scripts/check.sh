#!/usr/bin/env bash
# Everything that is cheap, before any test: format, the house (cargo xtask tidy: rules, bytes, crates, licences, unused dependencies, sizes,
# circles), lints, documentation. `just check` and .ci/run call it. Says how long each took.
#
# Usage: scripts/check.sh [--quick|--libraries]      --quick leaves out lints and documentation, which look at all that is compiled;
#                                                    --libraries looks only at what does not bring the node's runtime along
# Where rustfmt or clippy is not to be had, its part is left out and says so; with CHECK_STRICT set it fails instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

# One part with its time.
timed() {
    local name=$1 start=$SECONDS
    shift
    step "$name"
    "$@"
    printf '%s: %s s\n' "$name" "$((SECONDS - start))"
}

# Whether a subcommand of Cargo is there.
has() {
    cargo "$1" --version >/dev/null 2>&1 && return
    step "SKIPPED: there is no cargo $1 (rustup component add $2)"
    [ -z "${CHECK_STRICT:-}" ] || exit 1
    return 1
}

format() {
    cargo fmt --all --check
    cargo fmt --manifest-path node/Cargo.toml --all --check
    cargo fmt --manifest-path node/wasm-builder/Cargo.toml --check
}
# Crates whose tests do not link the runtime either.
readonly libraries=(protocol channel chain interpreter sdk model xtask)
chosen=(--workspace)
if [ "${1:-}" = --libraries ]; then chosen=("${libraries[@]/#/--package=}"); fi
lints() { cargo clippy "${chosen[@]}" --all-targets -- --deny warnings; }
documentation() { RUSTDOCFLAGS="--deny warnings" cargo doc "${chosen[@]}" --no-deps --document-private-items; }
# What would be published of the libraries can be listed: manifests and files are whole.
packages() {
    local package
    for package in protocol channel chain interpreter sdk; do
        cargo package --quiet --package "$package" --list --allow-dirty | sed -n '$=' | xargs printf '%-12s %s files\n' "$package"
    done
}

if has fmt rustfmt; then timed "format" format; fi
timed "tidy" cargo xtask tidy
timed "packages" packages
[ "${1:-}" != --quick ] || exit 0
if has clippy clippy; then timed "lints" lints; fi
timed "documentation" documentation
