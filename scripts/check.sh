#!/usr/bin/env bash
# Everything that is cheap, before any test: format, the house (cargo xtask tidy: rules, bytes, crates, licences, unused dependencies, sizes,
# circles), lints, documentation. `just check` and .ci/run call it. Says how long each took.
#
# Usage: scripts/check.sh [--quick|--libraries]      --quick leaves out packages, which asks the registry, lints and documentation;
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
readonly libraries=(protocol channel network chain interpreter sdk model)
chosen=(--workspace)
if [ "${1:-}" = --libraries ]; then chosen=("${libraries[@]/#/--package=ink-state-channels-}" --package=xtask); fi
lints() { cargo clippy "${chosen[@]}" --all-targets -- --deny warnings; }
documentation() { RUSTDOCFLAGS="--deny warnings" cargo doc "${chosen[@]}" --no-deps --document-private-items; }
# The libraries that can be published, each after those that it needs.
LIBRARIES=(protocol app-kit interpreter chain channel network sdk)
# What would be published of the libraries is packed, with the versions that it would ask for: manifests and files are whole. Nothing is compiled.
packages() {
    local arguments=() library
    for library in "${LIBRARIES[@]}"; do
        arguments+=(--package "ink-state-channels-$library")
    done
    cargo package --quiet --no-verify --allow-dirty "${arguments[@]}"
}

if has fmt rustfmt; then timed "format" format; fi
timed "tidy" cargo xtask tidy
[ "${1:-}" != --quick ] || exit 0
timed "packages" packages
if has clippy clippy; then timed "lints" lints; fi
timed "documentation" documentation
