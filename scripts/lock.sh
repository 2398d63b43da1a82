#!/usr/bin/env bash
# Writes the locks: names, versions and hashes, for every platform and Python >= 3.11, and no address.
#   uv.txt     the installer          build.txt  what builds and installs this project
#   run.txt    what the service needs dev.txt    run + build + what tests and checks need
#   buildbot.txt    a server that tests run against, in a venv of its own
#   audit.txt       what asks for known weaknesses of packages, likewise
#   schemathesis.txt  what asks our API by its own description, likewise
#   deploy.txt      what looks at the files of deploy/, likewise: Helm's engine, Kubernetes' and Compose's schemas, SBOM
# and tests/npm/package-lock.json, for what comes from npm.
# Only wheels are considered, so nothing is ever compiled. Names given as arguments are upgraded
# (scripts/lock.sh requests ruff), --upgrade upgrades all; without arguments the versions stay.
. "$(dirname "$0")/lib.sh"

options=("$@")
for i in "${!options[@]}"; do
    [[ ${options[i]} == --* ]] || options[i]="--upgrade-package=${options[i]}"
done

lock() { # lock <output file> <arguments of uv pip compile…>
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
        --only-binary :all: --generate-hashes --no-emit-index-url --no-annotate \
        --custom-compile-command "make lock" ${options[@]+"${options[@]}"} --output-file "$1" "${@:2}" >/dev/null
    echo "$1: $(grep -c '==' "$1") packages"
}

# Each lock is constrained by the one before, so that they can be installed together.
lock requirements/uv.txt - <<<"uv"
lock requirements/run.txt pyproject.toml
lock requirements/build.txt --constraints requirements/run.txt --group pyproject.toml:build
lock requirements/dev.txt --constraints requirements/run.txt --constraints requirements/build.txt \
    pyproject.toml --group pyproject.toml:dev
lock requirements/buildbot.txt - <<<$'buildbot[bundle]\nbuildbot-worker'
lock requirements/audit.txt - <<<"pip-audit"
lock requirements/schemathesis.txt - <<<"schemathesis"
lock requirements/deploy.txt - <<<$'compose-spec\ncyclonedx-bom\nhelm-python-sdk\nkubernetes-validate'
if command -v npm >/dev/null; then
    npm_lock=tests/npm/package-lock.json
    npm install --prefix tests/npm --package-lock-only --silent </dev/null
    # Where to send money to is an address too.
    .venv/bin/python - $npm_lock <<'PYTHON'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
lock = json.loads(path.read_text())
for package in lock["packages"].values():
    package.pop("funding", None)
path.write_text(json.dumps(lock, indent=2) + "\n")
PYTHON
    echo "$npm_lock: $(grep -c '"version"' $npm_lock) packages"
fi
if grep -nE '://|^--' requirements/*.txt tests/npm/package-lock.json; then
    fail "A lock holds an address or an option; see the lines above."
fi
