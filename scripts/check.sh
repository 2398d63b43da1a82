#!/usr/bin/env bash
# What needs no test to be seen wrong: format, lint, types, imports. Expects scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"
PATH=$PWD/.venv/bin:$PATH
export RUFF_OUTPUT_FORMAT=${RUFF_OUTPUT_FORMAT:-concise}
step "Format" ruff format --check --quiet .
step "Lint" ruff check --quiet .
step "Types" mypy --strict
step "Import contracts" lint-imports --no-logo
steps_done
