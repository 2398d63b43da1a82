#!/usr/bin/env bash
# scripts/sbom.sh [file]: writes the software bill of materials of what runs, as CycloneDX 1.6: the locked packages with
# their versions and hashes. Expects .venv-deploy, which scripts/servers.sh makes.
. "$(dirname "$0")/lib.sh"
out=${1:-sbom.json}
PYTHONWARNINGS=ignore .venv-deploy/bin/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --mc-type application \
    --spec-version 1.6 --output-format JSON --output-reproducible --validate --output-file "$out"
echo "$out: $(grep -c '"purl"' "$out") packages"
