#!/usr/bin/env bash
# Runs every test. Does all set-up on a bare machine first; that takes a while once.
#
# Usage: scripts/test.sh [arguments for cargo nextest, such as a filter]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

prepare
if cargo nextest --version >/dev/null 2>&1; then
    step "examples in the documentation"
    cargo test --workspace --doc
    step "tests"
    cargo nextest run --workspace "$@"
else
    step "tests and examples in the documentation"
    cargo test --workspace "$@"
fi
