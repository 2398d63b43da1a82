#!/usr/bin/env bash
# Everything a change must pass; CI runs the same. Expects scripts/setup.sh dev. Arguments go to pytest.
. "$(dirname "$0")/lib.sh"
# Tests start many processes of Paceline, each of which would else compile all of it anew.
unset PYTHONDONTWRITEBYTECODE
step "Test servers" scripts/servers.sh
scripts/check.sh || failed_steps+=("Checks")
# On a disk each commit of a test's store waits for it: tests write into memory where there is plenty.
where=/dev/shm
[[ $(df --output=avail "$where" 2>/dev/null | tail -n 1) -gt $((6 * 1024 * 1024)) ]] || where=${TMPDIR:-/tmp}
folder=$(mktemp -d -p "$where")
trap 'rm -rf "$folder"' EXIT
# A file more at a time than there are processors: many wait for servers. tests/conftest.py says which begin.
# GOGC: promtool, asked hundreds of times, collects garbage less often.
step "Tests" env TMPDIR="$folder" GOGC=400 \
    .venv/bin/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder "$@"
step "Wheel" scripts/test-wheel.sh
steps_done
