#!/usr/bin/env bash
# Everything a change must pass; CI runs the same. Expects scripts/setup.sh dev. Arguments go to pytest.
. "$(dirname "$0")/lib.sh"
step "Test servers" scripts/servers.sh
scripts/check.sh || failed_steps+=("Checks")
# Two files at a time: many of them wait for servers more than they compute.
step "Tests" .venv/bin/python -m pytest --numprocesses 2 --dist loadfile "$@"
step "Wheel" scripts/test-wheel.sh
steps_done
