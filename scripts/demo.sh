#!/usr/bin/env bash
# A channel's whole life on an embedded chain, with --app a contract's inside one, with --hub payments across two channels, or with --swap swaps between two chains. Does all set-up on a bare machine first; that takes a while once.
#
# Usage: scripts/demo.sh [options of `channel-demo`, such as --payments 5000, --app exchange, --hub, or --swap]
# Exits with an error if a single coin is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

prepare
step "building the nodes and the embedded chain (the first time: about ten minutes on two cores)"
cargo build --package ink-state-channels-demo
step "the demo"
cargo run --quiet --package ink-state-channels-demo -- "$@"
