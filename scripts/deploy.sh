#!/usr/bin/env bash
# Puts the arbiter on a chain, or finds the one that an earlier run has put there, and writes deployment.json. Safe to run twice.
#
# Usage: scripts/deploy.sh --url ws://127.0.0.1:9944 --suri //Alice          on a development chain
#        scripts/deploy.sh --url wss://node.example --suri-file key.suri     with a secret in a file of its owner's alone (chmod 600)
#        CHANNEL_SURI='..' scripts/deploy.sh --url wss://node.example        with a secret in the environment
#        and every other option of `channel deploy`; --help lists them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

step "setting up"
scripts/setup.sh
step "building the contract"
cargo xtask contract
step "building the command line (the first time: about a quarter of an hour on two cores)"
cargo build --package cli
step "deploying"
cargo run --quiet --package cli -- deploy "$@"
