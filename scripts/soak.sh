#!/usr/bin/env bash
# The long proofs, outside of scripts/test.sh: load, kills, fuzz and a bad hour, each with its own options. Without
# arguments all at full length, which takes more than an hour. Expects scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"
scripts/servers.sh >/dev/null || echo "Some test servers could not be installed; what needs them says so." >&2
soak() {
    local name=$1
    shift
    PYTHONPATH=tests/lib step "$name $*" .venv/bin/python "bench/soak/$name.py" "$@"
}
if (($# == 0)); then
    soak load
    soak load --database postgresql
    soak kills
    soak fuzz
    soak outage
else
    soak "$@"
fi
steps_done
