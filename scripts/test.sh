#!/usr/bin/env bash
# Everything a change must pass; CI runs the same. Expects scripts/setup.sh dev. Arguments go to pytest.
. "$(dirname "$0")/lib.sh"
# Tests start many processes of Paceline, each of which would else compile all of it anew.
unset PYTHONDONTWRITEBYTECODE
said=$(mktemp -d) folder=
trap 'rm -rf "$said" ${folder:+"$folder"}' EXIT

# begin <name> <command…>: runs the command beside what follows; told <name> waits for its end and shows what it said.
begin() {
    local name=$1
    shift
    "$@" >"$said/$name" 2>&1 &
    echo $! >"$said/$name.pid"
}
told() {
    local verdict=0
    wait "$(<"$said/$1.pid")" || verdict=$?
    cat "$said/$1"
    return "$verdict"
}

# Types take one processor for a minute, installing servers waits for the network: what tests are made of is compiled
# meanwhile, which each of their processes would else do for itself. What is wrong with it shows when they run.
begin servers scripts/servers.sh
begin checks scripts/check.sh
begin compiling .venv/bin/python -m pytest --collect-only --quiet "$@"
step "Test servers" told servers
told compiling >/dev/null || true
# Whether the wheel is whole is seen where tests leave a processor idle.
begin wheel nice -n 19 scripts/test-wheel.sh
# On a disk each commit of a test's store waits for it: tests write into memory where there is plenty.
where=/dev/shm
[[ $(df --output=avail "$where" 2>/dev/null | tail -n 1) -gt $((6 * 1024 * 1024)) ]] || where=${TMPDIR:-/tmp}
folder=$(mktemp -d -p "$where")
# A file more at a time than there are processors: many wait for servers. tests/conftest.py says which begin.
# GOGC: promtool, asked hundreds of times, collects garbage less often.
step "Tests" env TMPDIR="$folder" GOGC=400 \
    .venv/bin/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder "$@"
step "Checks" told checks
step "Wheel" told wheel
steps_done
