# Shared by the scripts beside it: source it after `cd` to the repository's root.

# Cargo on PATH, or where distributions and rustup put it.
cargo() {
    local found
    found=$(type -P cargo) || found=${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo
    [ -x "$found" ] || found=/usr/bin/cargo
    "$found" "$@"
}

step() { printf '\n== %s\n' "$*"; }

# Everything that has to be there before anything else: tools, then the Wasm of the arbiter and of the apps that tests use.
prepare() {
    step "setting up"
    scripts/setup.sh
    step "building the contracts"
    cargo xtask contract --package contract --package counter --package escrow --package exchange --package hidden --package hostile \
        --package milestones --package stream --package titles
}
