#!/usr/bin/env bash
# A development chain with pallet-contracts, of the very version that everything here is tested with.
#
# Usage: scripts/node.sh [--slim|--official] [options of the node]   runs it until stopped; the first line is its address, ws://...
#        scripts/node.sh [--slim|--official] --build-only            only prints the program's path
#
# The program is the first of: $CONTRACTS_NODE, `substrate-contracts-node` on PATH if it is the right version, the official release
# (downloaded, checked by its hash), and our own in node/ (built: a quarter of an hour or more on two cores, once).
#   --slim      our own: makes blocks on demand (--manual-seal, engine_createBlock), which the official one cannot
#   --official  never our own: where there is none to be had, it is built from its published sources (half an hour or more, once)
# Either ends with its standard input under --until-stdin-closes.
# Kept in ${XDG_CACHE_HOME:-~/.cache}/ink-state-channels/node. A chain without --base-path leaves nothing behind. docs/node.md has more.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
source scripts/packages.sh

readonly version=0.42.0
readonly release=https://github.com/paritytech/substrate-contracts-node/releases/download/v$version/substrate-contracts-node-linux.tar.gz
readonly release_sha256=a631b4e83dd05e4beaccbd770be709ac41914183d443116c2e4d244161590265
readonly cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ink-state-channels/node
# Seconds: with no network nobody shall wait, and a large file may take its time.
readonly connect_seconds=5 download_seconds=300

# Standard output belongs to the address, or to the program's path.
tell() { say "$@" >&2; }

# --- Which program -----------------------------------------------------------------------------------------------

is_right_version() {
    [[ "$("$1" --version 2>/dev/null)" == substrate-contracts-node\ "$version"* ]]
}

on_path() {
    local found
    found=$(type -P substrate-contracts-node) || return 1
    is_right_version "$found" || { tell node "$found is not version $version: not used"; return 1; }
    echo "$found"
}

# The official release. Says nothing where there is no network, since there are other ways.
downloaded() {
    local program=$cache/official-$version/substrate-contracts-node folder
    [ -x "$program" ] && { echo "$program"; return; }
    [ "$(uname -sm)" = "Linux x86_64" ] && have curl && have sha256sum || return 1
    mkdir -p "$cache"
    folder=$(mktemp -d "$cache/download.XXXXXX")
    if fetch_release "$folder"; then
        mkdir -p "${program%/*}"
        mv -f "$folder/substrate-contracts-node" "$program"
        tell node "downloaded the official release $version"
    fi
    rm -rf "$folder"
    [ -x "$program" ] && echo "$program"
}

# Downloads and unpacks the release in a folder; whatever its hash does not vouch for is thrown away.
fetch_release() {
    curl --fail --silent --location --connect-timeout "$connect_seconds" --max-time "$download_seconds" \
        --output "$1/release.tar.gz" "$release" || return 1
    if ! echo "$release_sha256  $1/release.tar.gz" | sha256sum --check --status; then
        tell node "the downloaded release is not what it should be: not used"
        return 1
    fi
    tar -xzf "$1/release.tar.gz" -C "$1" || return 1
    local unpacked
    unpacked=$(find "$1" -type f -name substrate-contracts-node -print -quit)
    [ -n "$unpacked" ] || return 1
    [ "$unpacked" = "$1/substrate-contracts-node" ] || mv "$unpacked" "$1/substrate-contracts-node"
    chmod +x "$1/substrate-contracts-node"
    is_right_version "$1/substrate-contracts-node"
}

# The official node from its published sources, with the lock file that was published with them. Two things differ from the release: the
# runtime's Wasm is the one that `cargo xtask node-runtime` compiles (node/wasm-builder says why), and nothing is optimised but what
# node/Cargo.toml optimises.
official_built() { built "$cache/official-built-$version/substrate-contracts-node" build_official; }

build_official() {
    local build=$1 package=contracts-node source
    have clang || apt_install clang libclang-dev || tell clang "MISSING: RocksDB needs clang and libclang; going on without"
    prepare_build "$build"
    # Cargo fetches and unpacks what it tells about.
    (cd / && cargo info --quiet "$package@$version") >/dev/null
    source=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name "$package-$version" -print -quit)
    [ -n "$source" ] || { tell node "Cargo does not bring $package $version"; return 1; }
    rm -rf "$build/official-source"
    cp -r "$source" "$build/official-source"
    step "building the official node (half an hour or more on two cores)"
    # With its own lock file; only what stands in for substrate-wasm-builder changes there.
    official_settings >"$build/official.toml"
    CARGO_TARGET_DIR=$build/official \
        cargo build --release --manifest-path "$build/official-source/Cargo.toml" --config "$build/official.toml"
    put_in_place "$build/official/release/substrate-contracts-node" "$2"
}

# Our node's profile, and the stand-in.
official_settings() {
    printf '[patch.crates-io]\nsubstrate-wasm-builder.path = "%s"\n\n' "$PWD/node/wasm-builder"
    sed -n '/^\[profile\.release/,$p' node/Cargo.toml
}

# --- Our own -----------------------------------------------------------------------------------------------------

# Changes with whatever the program is made of: its sources, and the compiler.
slim_key() {
    {
        rustc --version 2>/dev/null || /usr/bin/rustc --version 2>/dev/null || echo none
        find node/Cargo.* node/src node/runtime -type f \( -name '*.rs' -o -name 'Cargo.*' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-16
}

slim() { built "$cache/slim-$(slim_key)/channel-dev-node" build_slim; }

# Prints the program's path, and runs the second argument to build it first where that has not been done: one build at a time.
built() {
    local program=$1 build=$2 lock
    if [ ! -x "$program" ]; then
        mkdir -p "$cache"
        if have flock; then
            exec {lock}>"$cache/lock"
            flock --nonblock "$lock" || { tell node "another build is under way: waiting for it"; flock "$lock"; }
        fi
        if [ ! -x "$program" ]; then
            "$build" "$cache/build" "$program" >&2
            # What has been lying here for weeks belongs to sources that are gone.
            find "$cache" -mindepth 1 -maxdepth 1 -name 'slim-*' -mtime +14 -exec rm -rf {} +
        fi
        if have flock; then exec {lock}>&-; fi
    fi
    echo "$program"
}

build_slim() {
    prepare_build "$1"
    step "building the node (ten minutes or more on two cores)"
    SKIP_WASM_BUILD=1 CARGO_TARGET_DIR=$1/native \
        cargo build --release --locked --manifest-path node/Cargo.toml --package channel-dev-node
    put_in_place "$1/native/release/channel-dev-node" "$2"
}

# What both kinds of node need: a compiler for Wasm, that of the message formats, and the runtime.
prepare_build() {
    scripts/setup.sh
    find_protoc || return 1
    step "building the runtime's Wasm (minutes)"
    cargo xtask node-runtime --out "$1/runtime.wasm" --build-dir "$1/wasm"
    export NODE_RUNTIME_WASM=$1/runtime.wasm
}

# In one step, so that nobody ever finds half a program.
put_in_place() {
    mkdir -p "${2%/*}"
    cp "$1" "$2.unfinished"
    mv "$2.unfinished" "$2"
}

# The compiler of the network crates' message formats. Debian's can be had without being root, unpacked into the cache.
find_protoc() {
    [ -n "${PROTOC:-}" ] && return
    have protoc && return
    apt_install protobuf-compiler && return
    local root=$cache/protoc
    if [ ! -x "$root/protoc" ] && have apt-get && have dpkg; then
        say protoc "unpacking Debian's into $root"
        mkdir -p "$root/packages"
        (
            cd "$root/packages"
            # shellcheck disable=SC2046 # a list of packages
            apt-get download -qq protobuf-compiler $(packages_behind protobuf-compiler) &&
                for package in *.deb; do dpkg -x "$package" "$root"; done
        ) && printf '#!/bin/sh\nLD_LIBRARY_PATH=$(echo %s/usr/lib/*-linux-*) exec %s/usr/bin/protoc "$@"\n' "$root" "$root" >"$root/protoc" &&
            chmod +x "$root/protoc"
    fi
    if "$root/protoc" --version >/dev/null 2>&1; then
        export PROTOC=$root/protoc
        return
    fi
    echo "protoc         MISSING: install the package protobuf-compiler, or set PROTOC to the program, then run this again" >&2
    return 1
}

# The protobuf libraries that a package needs.
packages_behind() {
    apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" |
        sed -n 's/^\(libproto[a-z]*[0-9][^ ]*\)$/\1/p' | sort -u
}

# --- Running it --------------------------------------------------------------------------------------------------

program_for() {
    if [ -n "${CONTRACTS_NODE:-}" ] && [ "$1" = any ]; then
        echo "$CONTRACTS_NODE"
        return
    fi
    case $1 in
        slim) slim ;;
        official) on_path || downloaded || { tell node "no official $version on PATH, and no download"; official_built; } ;;
        any) on_path || downloaded || { tell node "no official $version here: taking our own"; slim; } ;;
    esac
}

# Passes the log on, and prints the address as soon as the official node tells it.
announce() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line" >&2
        if [[ $line =~ addr=(127\.0\.0\.1:[0-9]+) ]]; then
            echo "ws://${BASH_REMATCH[1]}"
            # The rest needs no reading.
            exec cat >&2
        fi
    done
}

# True where one of the arguments is, or begins with, one of the words before `--`.
has_option() {
    local words=() word argument
    while [ "$1" != -- ]; do words+=("$1"); shift; done
    shift
    for argument in "$@"; do
        for word in "${words[@]}"; do
            [ "$argument" = "$word" ] || [[ "$argument" == "$word="* ]] && return
        done
    done
    return 1
}

# Ends this script once nothing more can come from its input. No program of its own: nothing is left when it is killed.
end_with_input() {
    local line
    while IFS= read -r line; do :; done
    kill -TERM $$ 2>/dev/null || true
}

node=
folder=
watcher=
reader=
finish() {
    trap - EXIT
    # Nobody has to watch any more, and the node's number may soon be another's.
    if [ -n "$watcher" ]; then kill -KILL "$watcher" 2>/dev/null || true; fi
    if [ -n "$reader" ]; then kill -KILL "$reader" 2>/dev/null || true; fi
    if [ -n "$node" ]; then kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; fi
    if [ -n "$folder" ]; then rm -rf "$folder"; fi
}

run() {
    local program=$1 life status=0
    shift
    has_option --rpc-port -- "$@" || set -- "$@" --rpc-port 0
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ "${program##*/}" = channel-dev-node ]; then
        "$program" "$@" <&0 &
    else
        local argument options=()
        for argument in "$@"; do
            # Ours alone knows this one.
            [ "$argument" = --until-stdin-closes ] || options+=("$argument")
        done
        if has_option --until-stdin-closes -- "$@"; then
            end_with_input <&0 &
            reader=$!
        fi
        if ! has_option --base-path -d --tmp -- "$@"; then
            folder=$(mktemp -d)
            options+=(--base-path "$folder")
        fi
        has_option --port -- "$@" || options+=(--port 0)
        has_option --dev --chain -- "$@" || options+=(--dev)
        # Whatever else is not to be logged, the address is.
        options+=(--log sc_rpc_server=info)
        # Fixed ports and talks with strangers.
        for argument in --no-telemetry --no-prometheus --no-mdns --no-hardware-benchmarks; do
            has_option "$argument" -- "$@" || options+=("$argument")
        done
        "$program" "${options[@]}" 2> >(announce) &
    fi
    node=$!
    # Holds the reading end of a pipe whose writing end only this script has: when the script is killed, it ends the node all the same.
    exec {life}> >(
        trap '' HUP INT TERM
        cat >/dev/null
        kill "$node" 2>/dev/null
        if [ -n "$folder" ]; then sleep 1; rm -rf "$folder"; fi
    )
    watcher=$!
    wait "$node" || status=$?
    return "$status"
}

which=any
build_only=no
while [ $# -gt 0 ]; do
    case $1 in
        --slim | --official) which=${1#--} ;;
        --build-only) build_only=yes ;;
        *) break ;;
    esac
    shift
done
program=$(program_for "$which")
if [ "$build_only" = yes ]; then echo "$program"; else run "$program" "$@"; fi
