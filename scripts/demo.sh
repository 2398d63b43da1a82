#!/usr/bin/env bash
# Sets up what the service needs, then becomes the example organisation, served: Ctrl-C reaches it and ends everything.
. "$(dirname "$0")/lib.sh"
scripts/setup.sh run
exec .venv/bin/paceline demo --serve --dir .paceline/demo "$@"
