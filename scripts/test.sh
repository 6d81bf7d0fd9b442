#!/usr/bin/env bash
# Runs every test, those of tools/ with Node.js first. Does all set-up on a bare machine first; that takes a while once.
#
# Usage: scripts/test.sh [--without-node] [arguments for cargo nextest, such as a filter]
#
# The stories of e2e-tests/tests/node are told on a real node: the one that $CONTRACTS_NODE names, or scripts/node.sh finds or builds (a
# quarter of an hour or more, once). They are skipped, and say so, under --without-node, and where $NODE_BUILD_SECONDS were not enough to build it; what was
# built by then is kept, and the next run goes on from there.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

# Has the tests find a node.
find_node() {
    local status=0 limit=()
    [ -z "${CONTRACTS_NODE:-}" ] || return 0
    step "a node"
    if [ -n "${NODE_BUILD_SECONDS:-}" ]; then limit=(timeout "$NODE_BUILD_SECONDS"); fi
    CONTRACTS_NODE=$("${limit[@]}" scripts/node.sh --build-only) || status=$?
    case $status in
        0) export CONTRACTS_NODE ;;
        # What `timeout` answers where it had to end something.
        124) unset CONTRACTS_NODE && step "a node was not built within $NODE_BUILD_SECONDS s: its stories are SKIPPED this time" ;;
        *) return "$status" ;;
    esac
}

if [ "${1:-}" = --without-node ]; then
    shift
    unset CONTRACTS_NODE
    prepare
else
    prepare
    find_node
fi
step "the bundles in the tools that people have"
scripts/tools.sh
if cargo nextest --version >/dev/null 2>&1; then
    step "examples in the documentation"
    # `--doc` asks for the example of every library, also where the manifest says `doctest = false`; the narrow chain's source, with its example, is the embedded chain's.
    cargo test --workspace --doc --exclude ink-state-channels-devchain-narrow
    step "tests"
    cargo nextest run --workspace "$@"
else
    step "tests and examples in the documentation"
    cargo test --workspace "$@"
fi
