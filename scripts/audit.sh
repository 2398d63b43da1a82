#!/usr/bin/env bash
# scripts/audit.sh [file…]: asks a service of advisories which locked packages have known weaknesses; 1 where one has, or
# where the service cannot be asked. Without arguments: what runs. Needs the network, so no other check calls it.
# PACELINE_OSV names another service that speaks OSV's query, such as a mirror. Expects scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"

locks=("$@")
((${#locks[@]})) || locks=(requirements/run.txt)
uv=(.venv/bin/python -m uv --quiet)
[[ -x .venv-audit/bin/pip-audit ]] || "${uv[@]}" venv --clear --python .venv/bin/python .venv-audit
"${uv[@]}" pip sync --python .venv-audit/bin/python --require-hashes --no-build requirements/audit.txt

arguments=(--vulnerability-service osv --disable-pip --require-hashes --progress-spinner off --timeout 20 --strict)
[[ -z ${PACELINE_OSV:-} ]] || arguments+=(--osv-url "$PACELINE_OSV")
for lock in "${locks[@]}"; do
    arguments+=(--requirement "$lock")
done
# A package of another platform or Python is not installed here, and not asked for.
said=$(.venv-audit/bin/pip-audit "${arguments[@]}" 2>&1) && verdict=0 || verdict=$?
echo "$said"
((verdict == 0)) && exit
# Its table names weaknesses; without one it did not get an answer to each question.
grep -q '^Name .*Version .*ID' <<<"$said" || fail "Not audited: the service of advisories did not answer, see above."
fail "Packages with known weaknesses: upgrade them with scripts/lock.sh <name>, or wait for a version and say why."
