#!/usr/bin/env bash
# Installs the real programs some tests run against, where they are missing and we may (root on Debian).
# Elsewhere it says what will be skipped; with CI=true a missing one is a failure.
# shellcheck disable=SC2086 # $packages is several words
. "$(dirname "$0")/lib.sh"

# command=package
wanted=(promtool=prometheus prometheus-alertmanager=prometheus-alertmanager chromium=chromium)

missing() {
    local pair
    for pair in "${wanted[@]}"; do
        command -v "${pair%%=*}" >/dev/null || echo "${pair#*=}"
    done
}

packages=$(missing)
if [[ $packages ]] && can_apt; then
    echo "Installing" $packages
    # fonts-dejavu: without a font the browser draws no text.
    apt_install $packages fonts-dejavu || echo "apt-get failed, see above." >&2
    packages=$(missing)
fi
if [[ -z $packages ]]; then exit 0; fi
echo "Missing, so the tests that need them are skipped:" $packages
[[ ${CI:-} != true ]]
