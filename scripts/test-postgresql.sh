#!/usr/bin/env bash
# The tests of the store and of the engine, their stores on a real PostgreSQL. Expects scripts/setup.sh dev. Arguments
# go to pytest. What is about SQLite itself is left out by its mark; two files start processes on the store of a folder.
. "$(dirname "$0")/lib.sh"
step "Test servers" scripts/servers.sh
step "Tests on PostgreSQL" .venv/bin/python -m pytest --numprocesses 2 --dist loadfile --store postgresql \
    --ignore tests/slo_engine/test_beside.py --ignore tests/slo_engine/test_processes.py \
    tests/collector/test_store.py tests/collector/test_inbox.py tests/slo_engine "$@"
steps_done
