#!/usr/bin/env bash
# Builds the wheel and uses it as its users do: in a clean environment with only the runtime packages, from a
# folder that is not the repository. Finds a missing dependency, module, template or data file.
. "$(dirname "$0")/lib.sh"

python=$PWD/.venv/bin/python
run_lock=$PWD/requirements/run.txt
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT

"$python" -m hatchling build -t wheel -d "$there" >/dev/null
uv=("$python" -m uv --quiet)
"${uv[@]}" venv --python "$python" "$there/venv"
"${uv[@]}" pip sync --python "$there/venv/bin/python" --require-hashes --no-build "$run_lock"
"${uv[@]}" pip install --python "$there/venv/bin/python" --offline --no-deps "$there"/*.whl
"${uv[@]}" pip check --python "$there/venv/bin/python"

unset PYTHONPATH
cd "$there"
venv/bin/python -W error - <<'PYTHON'
"""Every module imports, and the data files came along."""
import importlib
import pkgutil

import collector, dashboards, paceline, slo_engine
from paceline.resources import config_dir, starter_slos

for package in (collector, dashboards, paceline, slo_engine):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        # Alembic's scripts run only inside a migration.
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
assert config_dir().name == "_config", f"data files come from {config_dir()}"
assert starter_slos(), "the wheel holds no starter SLO"
PYTHON
venv/bin/paceline --version
venv/bin/paceline --help >/dev/null
venv/bin/paceline check --help >/dev/null
