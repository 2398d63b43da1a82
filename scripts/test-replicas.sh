#!/usr/bin/env bash
# What takes many processes and long: three workers and two evaluators on a real PostgreSQL, killed and frozen. Prints
# the figures of docs/operations.md. Expects scripts/setup.sh dev. Arguments go to pytest.
. "$(dirname "$0")/lib.sh"
step "Test servers" scripts/servers.sh
step "Replicas" .venv/bin/python -m pytest --replicas --capture no tests/integration/test_replicas.py "$@"
steps_done
