#!/usr/bin/env bash
# Runs each benchmark in bench/, or those named. PACELINE_BENCH_FULL=1 measures the organisation at its full size.
# Expects scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"
if (($# == 0)); then
    shopt -s nullglob
    set -- bench/[!_]*.py
fi
for benchmark in "$@"; do
    PYTHONPATH=tests/lib step "$benchmark" .venv/bin/python "$benchmark"
done
steps_done
