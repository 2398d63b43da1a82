#!/usr/bin/env bash
# Sets up what the service needs, then becomes it: signals reach the server itself.
. "$(dirname "$0")/lib.sh"
scripts/setup.sh run
exec .venv/bin/paceline serve "$@"
