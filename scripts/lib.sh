# Shared by the scripts beside it, which source it: working directory, messages, timed steps, Debian packages.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "$*" >&2
    exit 1
}

# step <heading> <command…>: runs the command under its heading and says how long it took. A failed step is
# remembered, the next ones still run; steps_done says which failed and ends with 1 if any did.
failed_steps=()
step() {
    local heading=$1 from=$SECONDS verdict=ok
    shift
    echo "── $heading"
    "$@" || verdict=FAILED
    echo "   $heading: $verdict ($((SECONDS - from)) s)"
    [[ $verdict == ok ]] || failed_steps+=("$heading")
}

steps_done() {
    ((${#failed_steps[@]} == 0)) || fail "Failed: $(printf '%s; ' "${failed_steps[@]}")see above."
}

can_apt() {
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null
}

# apt_install <package…>: installs without starting any daemon (policy-rc.d says no; ours is removed again).
apt_install() (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null || echo "apt-get update failed; trying with the lists at hand." >&2
    apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
)
