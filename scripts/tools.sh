#!/usr/bin/env bash
# Loads the bundles of the arbiter and of all apps in the tools that people have (polkadot.js, papi, dedot): tools/. Needs the bundles, as `cargo xtask contract` writes
# them, and Node.js with npm, which it installs from Debian's packages where they are missing. What npm fetches is kept outside the checkout, by the lock file's hash.
#
# Usage: scripts/tools.sh [arguments for node --test]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

# The oldest Node.js that the tools say they run on.
readonly oldest_node=18

# Prints the version of Node.js, where it will do and npm is there.
node_version() {
    local version
    have npm && version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    [ "${version%%.*}" -ge "$oldest_node" ] && echo "$version"
}

if version=$(node_version); then
    say Node.js "there: $version"
elif apt_install nodejs npm && version=$(node_version); then
    say Node.js "installed: $version"
else
    say Node.js "MISSING: install Node.js $oldest_node or newer and npm, then run this again" >&2
    exit 1
fi

folder=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ink-state-channels/tools-$(cat tools/package.json tools/package-lock.json | sha256sum | cut -c1-16)
if [ -f "$folder/complete" ]; then
    say packages "there"
else
    say packages "fetching those of tools/package-lock.json"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tools/package.json tools/package-lock.json "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
    touch "$folder/complete"
fi
# Packages are looked for beside what asks for them: the tests run where those are.
rm -rf "$folder/lib" "$folder/test"
cp -R tools/lib tools/test "$folder"
CHECKOUT=$PWD CONTRACTS_DIR=${CONTRACTS_DIR:-$PWD/target/contract} exec node --test --test-reporter=spec "$@" "$folder/test/"
