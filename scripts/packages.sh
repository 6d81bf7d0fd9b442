# Installing what a script needs: source it. Debian's packages, by whoever may install them.

say() { printf '%-14s %s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Asks for no password where nobody could type one.
can_be_root() {
    [ "$(id -u)" -eq 0 ] || { have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}

apt_updated=no
# Installs packages, all or none of them; fails quietly where this is no Debian or one of them is unknown.
apt_install() {
    have apt-get && can_be_root || return 1
    if [ "$apt_updated" = no ]; then
        say apt "reading the package lists"
        as_root apt-get update -qq >/dev/null || return 1
        apt_updated=yes
    fi
    local package
    for package in "$@"; do
        apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || { say apt "has no $package"; return 1; }
    done
    say apt "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" >/dev/null
}
