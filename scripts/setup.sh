#!/usr/bin/env bash
# Makes this machine able to build the workspace and the contracts' Wasm.
#
# Needed:  a Rust compiler with the standard library's sources, a Wasm linker, a C and C++ compiler.
#          They come from rustup where it can fetch them, else from Debian's packages.
# Wanted:  wasm-opt (smaller contracts), cargo-nextest (faster tests), rustfmt and clippy (scripts/check.sh). Without them everything still works.
#
# Safe to run twice: what is there is left alone. The default toolchain of rustup is never changed.
# Usage: scripts/setup.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

# Where distributions put their compiler, whatever comes first on PATH.
readonly distribution_rustc=/usr/bin/rustc
# Seconds that rustup may take: with no network it would otherwise retry for minutes.
readonly rustup_seconds=120
# Asking for a version must not make rustup fetch a toolchain.
export RUSTUP_AUTO_INSTALL=0

# --- What is there -----------------------------------------------------------------------------------------------

# The oldest compiler that the workspace accepts.
oldest_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

has_wasm_linker() {
    local version
    have wasm-ld && return
    for version in {30..15}; do
        have "wasm-ld-$version" && return
    done
    return 1
}

# Prints the version of a compiler that can build for Wasm; fails where it cannot. `cargo xtask contract` looks the same way.
wasm_compiler() {
    local sysroot version host
    sysroot=$("$1" --print sysroot 2>/dev/null) || return 1
    version=$("$1" --version --verbose 2>/dev/null | sed -n 's/^release: //p')
    host=$("$1" --version --verbose 2>/dev/null | sed -n 's/^host: //p')
    [ "$(printf '%s\n' "$(oldest_rust)" "$version" | sort -V | head -n 1)" = "$(oldest_rust)" ] || return 1
    [ -f "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ] || return 1
    [ -x "$sysroot/bin/cargo" ] || return 1
    [ -f "$sysroot/lib/rustlib/$host/bin/rust-lld" ] || has_wasm_linker || return 1
    echo "rustc $version in $sysroot"
}

any_wasm_compiler() {
    wasm_compiler rustc || wasm_compiler "$distribution_rustc"
}

# Programs that Cargo installed count even where its folder is not on PATH: Cargo and xtask look there.
installed() {
    have "$1" || [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/$1" ]
}

# --- Ways to get it ----------------------------------------------------------------------------------------------

rustup_add_sources() {
    have rustup && have timeout || return 1
    say rustup "adding rust-src to the active toolchain (at most $rustup_seconds s)"
    timeout "$rustup_seconds" rustup component add rust-src >/dev/null 2>&1 || { say rustup "could not"; return 1; }
}

cargo_install() {
    have cargo || return 1
    say cargo "installing $1 (some minutes)"
    cargo install --quiet --locked "$1"
}

# --- Steps -------------------------------------------------------------------------------------------------------

if have cc && have c++; then
    say "C compiler" "there"
elif apt_install gcc g++ libc6-dev; then
    say "C compiler" "installed"
else
    say "C compiler" "MISSING: install a C and a C++ compiler (cc and c++), then run this again"
    exit 1
fi

if compiler=$(any_wasm_compiler); then
    say "Wasm compiler" "there: $compiler"
elif rustup_add_sources && compiler=$(any_wasm_compiler); then
    say "Wasm compiler" "ready: $compiler"
elif apt_install rustc-web cargo-web rust-web-src lld-19 && compiler=$(any_wasm_compiler); then
    say "Wasm compiler" "ready: $compiler"
else
    cat >&2 <<EOF
Wasm compiler  MISSING, and neither rustup nor apt could bring one. Install one of these, then run this again:
  - rustup with Rust $(oldest_rust) or newer, and its component rust-src (rustup component add rust-src)
  - Debian's packages rustc-web, cargo-web, rust-web-src and lld-19, as root
  - any Rust $(oldest_rust) or newer whose library sources lie in <sysroot>/lib/rustlib/src/rust, and wasm-ld of LLVM's lld
EOF
    exit 1
fi

if installed wasm-opt; then
    say wasm-opt "there"
elif apt_install binaryen || cargo_install wasm-opt; then
    say wasm-opt "installed"
else
    say wasm-opt "not to be had: contracts are built without it, and are larger"
fi

if installed cargo-nextest; then
    say cargo-nextest "there"
elif cargo_install cargo-nextest; then
    say cargo-nextest "installed"
else
    say cargo-nextest "not to be had: use cargo test"
fi

for component in rustfmt clippy; do
    if cargo "${component/rust/}" --version >/dev/null 2>&1; then
        say "$component" "there"
    elif have rustup && have timeout && timeout "$rustup_seconds" rustup component add "$component" >/dev/null 2>&1; then
        say "$component" "installed"
    else
        say "$component" "not to be had: scripts/check.sh leaves its part out"
    fi
done

say "done" "build the contract with: cargo xtask contract"
