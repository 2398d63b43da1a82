#!/usr/bin/env bash
# Writes what the Helm chart holds of the code's: rules, boards, the starter's SLOs and the table of its values.
# Expects scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"
UPDATE_GOLDEN=1 .venv/bin/python -m pytest -q -p no:xdist tests/test_docs.py -k chart
