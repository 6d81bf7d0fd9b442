# Chores. `just --list` names them.

# Everything that is cheap: format, lints, documentation, and the house (cargo xtask tidy).
check:
    scripts/check.sh

# What stands in the code goes into the tables of xtask/tidy: bytes as they are now, smaller sizes. Read what it changes.
tidy-accept:
    cargo xtask tidy --accept

# Every test.
test *arguments:
    scripts/test.sh {{arguments}}

# The stories that are told on a real node, the examples on one, and how long each took. Builds a node once, unless CONTRACTS_NODE names one.
e2e *arguments:
    node="${CONTRACTS_NODE:-$(scripts/node.sh --slim --build-only)}" && CONTRACTS_NODE="$node" cargo nextest run --workspace --test node --test programs --status-level pass --success-output immediate {{arguments}}

# Puts the arbiter on a chain: `just deploy --url ws://127.0.0.1:9944 --suri //Alice`. Safe to run twice.
deploy *arguments:
    scripts/deploy.sh {{arguments}}

# A channel's whole life on the embedded chain.
demo *arguments:
    scripts/demo.sh {{arguments}}

# A development chain to connect to; `just node --slim --manual-seal` makes blocks only when told to. See docs/node.md.
node *arguments:
    scripts/node.sh {{arguments}}

# The arbiter's Wasm, metadata and bundle.
contract:
    cargo xtask contract

# The bundles in polkadot.js, papi and dedot: tools/README.md. Builds none of them: `just contract` does, or scripts/test.sh all.
tools *arguments:
    scripts/tools.sh {{arguments}}

# What everything costs on chain, measured anew: writes docs/benchmarks/onchain.md, which tests compare with.
costs:
    cargo xtask contract --package contract --package counter --package escrow --package exchange --package hidden --package hostile \
        --package milestones --package stream --package titles
    UPDATE_COSTS=1 cargo nextest run --workspace --test costs

# What the off-chain protocol reaches over loopback, next to the bare cost of its signatures; writes docs/benchmarks/offchain.md.
bench-offchain *only:
    cargo bench --profile dev --workspace --bench offchain -- {{only}}

# Payments across channels, directly and through a hub; what open transfers cost, and what is kept of a channel; writes docs/benchmarks/network.md.
# `just bench-network quick` runs a tenth of it, `just bench-network open` and so on a part of it; neither writes anything.
bench-network *how:
    cargo bench --profile dev --workspace --bench offchain -- network {{how}}

# Swaps between two embedded chains; writes docs/benchmarks/swaps.md.
bench-swaps:
    cargo bench --profile dev --workspace --bench offchain -- network swaps

# One honest stream of payments beside thirty hostile peers in processes of their own; writes docs/benchmarks/hostile.md.
hostile:
    cargo bench --profile dev --workspace --bench hostile

# From decision to finality for what happens on chain, on a real node; writes docs/benchmarks/node.md.
bench-node:
    node="${CONTRACTS_NODE:-$(scripts/node.sh --slim --build-only)}" && CONTRACTS_NODE="$node" cargo bench --profile dev --workspace --bench node

# Every dispute over one channel, up to a bound: states, depth, properties. `just model quick` searches what the tests search.
model *arguments:
    cargo run --quiet --package ink-state-channels-model -- {{arguments}}

# Attacks one decoder or rule with bytes: app_code, decode, proof, ledger, execute, messages, peers, signatures or transport. See fuzz/README.md.
fuzz target seconds="180":
    cd fuzz && nice cargo +nightly fuzz run {{target}} corpus/{{target}} $(ls -d seeds/{{target}} 2>/dev/null) -- -max_total_time={{seconds}} -max_len=4096 -len_control=0 -print_final_stats=1
