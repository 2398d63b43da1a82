#!/usr/bin/env bash
# Everything a change must pass; CI runs the same. Expects scripts/setup.sh dev. Arguments go to pytest.
. "$(dirname "$0")/lib.sh"
# Tests start many processes of Paceline, each of which would else compile all of it anew.
unset PYTHONDONTWRITEBYTECODE
# Types take one processor, installing servers waits for the network: what tests are made of is compiled meanwhile, which
# each of their processes would else do for itself. What is wrong with it shows when they run.
prepared=$(mktemp)
scripts/servers.sh >"$prepared" 2>&1 &
servers=$!
.venv/bin/python -m pytest --collect-only --quiet "$@" >/dev/null 2>&1 &
compiled=$!
scripts/check.sh || failed_steps+=("Checks")
servers_are_there() {
    local verdict=0
    wait "$servers" || verdict=$?
    cat "$prepared"
    rm -f "$prepared"
    return "$verdict"
}
step "Test servers" servers_are_there
wait "$compiled" || true
# On a disk each commit of a test's store waits for it: tests write into memory where there is plenty.
where=/dev/shm
[[ $(df --output=avail "$where" 2>/dev/null | tail -n 1) -gt $((6 * 1024 * 1024)) ]] || where=${TMPDIR:-/tmp}
folder=$(mktemp -d -p "$where")
built=$(mktemp)
trap 'rm -rf "$folder" "$built"' EXIT
# Beside the tests, where these leave a processor idle.
nice -n 19 scripts/test-wheel.sh >"$built" 2>&1 &
wheel=$!
wheel_is_whole() {
    local verdict=0
    wait "$wheel" || verdict=$?
    cat "$built"
    return "$verdict"
}
# A file more at a time than there are processors: many wait for servers. tests/conftest.py says which begin.
# GOGC: promtool, asked hundreds of times, collects garbage less often.
step "Tests" env TMPDIR="$folder" GOGC=400 \
    .venv/bin/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder "$@"
step "Wheel" wheel_is_whole
steps_done
