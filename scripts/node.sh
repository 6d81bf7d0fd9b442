#!/usr/bin/env bash
# A development chain with pallet-contracts, of the very version that everything here is tested with.
#
# Usage: scripts/node.sh [--slim|--official] [options of the node]   runs it until stopped; the first line is its address, ws://...
#        scripts/node.sh [--slim|--official] --build-only            only prints the program's path
#
# The program is the first of: $CONTRACTS_NODE, `substrate-contracts-node` on PATH if it is the right version, the official release
# (downloaded, checked by its hash), and our own in node/ (built: about half an hour on two cores, once).
#   --slim      our own: makes blocks on demand (--manual-seal, engine_createBlock), which the official one cannot
#   --official  never our own
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

# --- Our own -----------------------------------------------------------------------------------------------------

# Changes with whatever the program is made of: its sources, and the compiler.
slim_key() {
    {
        rustc --version 2>/dev/null || /usr/bin/rustc --version 2>/dev/null || echo none
        find node -type f \( -name '*.rs' -o -name 'Cargo.*' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-16
}

# Prints the path of the program in node/, and builds it first where that has not been done. Cargo lets one build in at a time.
slim() {
    local folder program lock
    folder=$cache/slim-$(slim_key)
    program=$folder/channel-dev-node
    if [ ! -x "$program" ]; then
        mkdir -p "$cache"
        if have flock; then
            exec {lock}>"$cache/lock"
            flock --nonblock "$lock" || { tell node "another build is under way: waiting for it"; flock "$lock"; }
        fi
        [ -x "$program" ] || build_slim "$folder" >&2
        if have flock; then exec {lock}>&-; fi
    fi
    echo "$program"
}

build_slim() {
    local build=$cache/build
    scripts/setup.sh
    find_protoc || return 1
    step "building the runtime's Wasm (minutes)"
    cargo xtask node-runtime --out "$build/runtime.wasm" --build-dir "$build/wasm"
    step "building the node (about half an hour on two cores)"
    NODE_RUNTIME_WASM=$build/runtime.wasm SKIP_WASM_BUILD=1 CARGO_TARGET_DIR=$build/native \
        cargo build --release --locked --manifest-path node/Cargo.toml --package channel-dev-node
    # What has been lying here for weeks belongs to sources that are gone.
    find "$cache" -mindepth 1 -maxdepth 1 -name 'slim-*' -mtime +14 -exec rm -rf {} +
    mkdir -p "$1"
    # In one step, so that nobody ever finds half a program.
    cp "$build/native/release/channel-dev-node" "$1/unfinished"
    mv "$1/unfinished" "$1/channel-dev-node"
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
        official) on_path || downloaded || { tell node "no official $version: not on PATH, and no download"; return 1; } ;;
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

node=
folder=
watcher=
finish() {
    trap - EXIT
    # Nobody has to watch any more, and the node's number may soon be another's.
    if [ -n "$watcher" ]; then kill -KILL "$watcher" 2>/dev/null || true; fi
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
        has_option --port -- "$@" || set -- "$@" --port 0
        if ! has_option --base-path -d --tmp -- "$@"; then
            folder=$(mktemp -d)
            set -- "$@" --base-path "$folder"
        fi
        has_option --dev --chain -- "$@" || set -- "$@" --dev
        "$program" "$@" 2> >(announce) &
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
