#!/usr/bin/env bash
# Puts the arbiter on a chain, or finds the one that an earlier run has put there, and writes deployment.json. Safe to run twice.
#
# Usage: scripts/deploy.sh --url ws://127.0.0.1:9944 --suri //Alice          on a development chain
#        scripts/deploy.sh --url wss://node.example --suri-file key.suri     with a secret in a file of its owner's alone (chmod 600)
#        CHANNEL_SURI='..' scripts/deploy.sh --url wss://node.example        with a secret in the environment
#        and every other option of `channel deploy`; --help lists them
# Files that are named or written are sought where it is run.
set -euo pipefail
readonly from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly root=$PWD
source scripts/common.sh

step "setting up"
scripts/setup.sh
step "building the contract"
cargo xtask contract
step "building the command line (the first time: minutes)"
cargo build --package ink-state-channels-cli
target=$(realpath --no-symlinks "${CARGO_TARGET_DIR:-target}")
step "deploying"
cd "$from"
case " $* " in
    *" --contract"*) ;;
    *) set -- --contract "$root/target/contract/contract.wasm" "$@" ;;
esac
"$target/debug/channel" deploy "$@"
