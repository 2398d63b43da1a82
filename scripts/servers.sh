#!/usr/bin/env bash
# Installs the real programs some tests run against, where they are missing and we may: Debian packages as root,
# Buildbot, schemathesis and Helm's engine with other tools of what is in deploy/ into venvs of their own; Prism with GitHub's description of its API, TypeScript with Grafana's types and uPlot into
# tests/npm. Locks say which.
# Elsewhere it says what will be skipped; with CI=true a missing one is a failure. Expects scripts/setup.sh dev.
# shellcheck disable=SC2086 # $packages is several words
. "$(dirname "$0")/lib.sh"

# PostgreSQL's programs are in a folder of their version.
postgresql=(/usr/lib/postgresql/*/bin/initdb)
# command=packages, or a file of theirs; Redmine's server is puma, with its data in SQLite.
wanted=(promtool=prometheus prometheus-alertmanager=prometheus-alertmanager chromium=chromium npm=npm
    prometheus-blackbox-exporter=prometheus-blackbox-exporter victoria-metrics=victoria-metrics puma=puma
    bwrap=bubblewrap systemd-analyze=systemd "${postgresql[0]}=postgresql"
    /usr/share/redmine/config.ru="redmine redmine-sqlite ruby-sqlite3 sqlite3")

missing() {
    local pair found
    for pair in "${wanted[@]}"; do
        found=${pair%%=*}
        command -v "$found" >/dev/null || [[ -e $found ]] || echo "${pair#*=}"
    done
}

# once <folder> <files that decide what is in it…> -- <command…>: runs the command where the folder is not of these.
once() {
    local folder=$1 files=()
    shift
    while [[ $1 != -- ]]; do
        files+=("$1")
        shift
    done
    shift
    local stamp=$folder/up-to-date now
    now=$(cat "${files[@]}" scripts/servers.sh <(pwd -P) | cksum)
    if [[ -f $stamp && $(<"$stamp") == "$now" ]]; then return; fi
    echo "Installing into $folder"
    rm -rf "$folder"
    "$@" && echo "$now" >"$stamp"
}

# from_pypi <name>: .venv-<name> with what requirements/<name>.txt locks.
from_pypi() {
    local uv=(.venv/bin/python -m uv --quiet)
    "${uv[@]}" venv --python .venv/bin/python ".venv-$1" &&
        "${uv[@]}" pip sync --python ".venv-$1/bin/python" --require-hashes --no-build "requirements/$1.txt"
}

from_npm() {
    npm ci --prefix tests/npm --silent </dev/null || return
    # Of the descriptions one is used; the others are 390 MB.
    find tests/npm/node_modules/@octokit/openapi/generated -type f ! -name api.github.com.json -delete
}

# Beside the Debian packages, for both wait for the network.
lacking=$(mktemp)
trap 'rm -f "$lacking"' EXIT
{
    once .venv-buildbot requirements/buildbot.txt -- from_pypi buildbot || echo buildbot >>"$lacking"
    once .venv-audit requirements/audit.txt -- from_pypi audit || echo pip-audit >>"$lacking"
    once .venv-schemathesis requirements/schemathesis.txt -- from_pypi schemathesis || echo schemathesis >>"$lacking"
    once .venv-deploy requirements/deploy.txt -- from_pypi deploy || echo helm-python-sdk >>"$lacking"
} &
venvs=$!
packages=$(missing)
if [[ $packages ]] && can_apt; then
    echo "Installing" $packages
    # fonts-dejavu: without a font the browser draws no text.
    apt_install $packages fonts-dejavu || echo "apt-get failed, see above." >&2
    packages=$(missing)
fi
once tests/npm/node_modules tests/npm/package-lock.json -- from_npm || echo "prism typescript" >>"$lacking"
wait "$venvs" || echo "virtual environments" >>"$lacking"
packages=$(echo $packages $(<"$lacking"))
if [[ -z $packages ]]; then exit 0; fi
echo "Missing, so the tests that need them are skipped: $packages"
[[ ${CI:-} != true ]]
