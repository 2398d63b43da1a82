#!/usr/bin/env bash
# The laws that `make test` tries on a few examples, tried on LAW_TIMES (20) times as many. Expects scripts/setup.sh dev.
# Arguments go to pytest.
. "$(dirname "$0")/lib.sh"
step "Test servers" scripts/servers.sh
step "Laws" env LAW_TIMES="${LAW_TIMES:-20}" .venv/bin/python -m pytest --numprocesses 2 --dist loadfile \
    -m hypothesis tests/slo_engine tests/collector "$@"
steps_done
