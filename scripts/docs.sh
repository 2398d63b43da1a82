#!/usr/bin/env bash
# Builds the documentation into site/, or into the folder that is named; a broken link or a page that is not in the
# navigation fails. Expects scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"
site=$(realpath -m "${1:-site}")
# The theme announces its successor on every run; what is locked here works without it.
NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs --quiet build --strict --clean --site-dir "$site"
echo "Written to $site; open $site/index.html"
