#!/usr/bin/env bash
# scripts/setup.sh run|dev: makes .venv from the locks, or does nothing when it is up to date.
#   run  what the service needs, and the project itself      dev  also what tests and checks need
# Needs Python >= 3.11. Packages come from wheels whose hashes stand in requirements/; nothing is compiled.
. "$(dirname "$0")/lib.sh"

kind=${1:?run or dev}
venv=.venv
stamp=$venv/up-to-date

# A venv knows its own path, so a moved tree needs a new one: the path is part of what is compared.
wanted="$kind $(cat requirements/*.txt pyproject.toml scripts/setup.sh <(pwd -P) | cksum)"
if [[ -f $stamp && -x $venv/bin/paceline ]]; then
    have=$(<"$stamp")
    # What dev installs includes what run installs.
    if [[ $have == "$wanted" || $have == "dev ${wanted#* }" ]]; then exit 0; fi
fi

suits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if suits "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "No Python 3.11 or newer was found${PYTHON:+ (PYTHON=$PYTHON is not one)}." \
        "Install one, or name it: make run PYTHON=/path/to/python3.12"
}

# Debian and Ubuntu ship Python without ensurepip; it is in python3.x-venv.
need_ensurepip() {
    if "$1" -c 'import ensurepip' 2>/dev/null; then return; fi
    local package
    package=python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    if can_apt; then
        echo "Installing $package, which Python's venv needs."
        apt_install "$package" || fail "apt-get could not install $package; install it by hand and repeat."
    else
        fail "$1 cannot make virtual environments. Install its venv package, on Debian and Ubuntu:" \
            "apt-get install $package"
    fi
}

rm -f "$stamp"
# pip's own script says whether the venv works, is complete and was made at this path.
if ! { suits "$venv/bin/python" && "$venv/bin/pip" --version 2>/dev/null | grep -qF "$(pwd -P)/$venv/"; }; then
    python=$(find_python)
    need_ensurepip "$python"
    echo "Making $venv with $("$python" --version)."
    "$python" -m venv --clear "$venv"
fi

echo "Installing the locked packages into $venv."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    -r requirements/uv.txt
locks=(requirements/run.txt requirements/build.txt)
if [[ $kind == dev ]]; then locks=(requirements/dev.txt); fi
uv=("$venv/bin/python" -m uv pip)
"${uv[@]}" sync --quiet --python "$venv/bin/python" --require-hashes --no-build "${locks[@]}"
"${uv[@]}" install --quiet --python "$venv/bin/python" --no-build-isolation --no-deps --offline --editable .
echo "$wanted" >"$stamp"
