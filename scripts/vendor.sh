#!/usr/bin/env bash
# Copies what pages load from other people's packages, unchanged: uPlot draws the charts. tests/npm/package-lock.json says
# which version, and by its digest which bytes; scripts/servers.sh installs it.
set -euo pipefail
cd "$(dirname "$0")/.."

from=tests/npm/node_modules/uplot
to=paceline/static
cp "$from/dist/uPlot.iife.min.js" "$from/dist/uPlot.min.css" "$to/"
cp "$from/LICENSE" "$to/uPlot.LICENSE"
echo "uPlot $(sed -n 's/.*"version": "\(.*\)".*/\1/p' "$from/package.json") is in $to"
