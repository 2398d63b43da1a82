"""What real tools say of deploy/. Run by the Python of .venv-deploy: reads a question as JSON, prints the answer.

Knows nothing of ours, and imports nothing that the tests' own environment lacks anywhere else.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

Json = dict[str, Any]


def linted(chart: str) -> list[str]:
    """What Helm finds wrong with a chart, more than a hint; strictly."""
    import helm_python  # noqa: PLC0415 - each question needs a library of its own

    found = helm_python.lint(chart, strict=True)
    hint = 1
    return [m["error"] for m in found["messages"] if m["severity"] > hint] + list(found["errors"])


def rendered(chart: str, cases: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """The texts of each case by template, or why Helm refuses its values."""
    import helm_python  # noqa: PLC0415

    with helm_python.Chart.load(chart) as loaded:
        for name, values in cases.items():
            try:
                texts = loaded.render(values, name="paceline", namespace="platform")
            except helm_python.HelmError as error:
                yield name, {"refused": str(error)}
            else:
                yield name, {"texts": {path.partition("/")[2]: text for path, text in texts.items() if text.strip()}}


def invalid(manifests: Sequence[Json], versions: Sequence[str]) -> list[str]:
    """What Kubernetes of these versions would refuse, strictly. Kinds that it does not know itself are passed over."""
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # builds a grammar for seconds, for a format not used here
    import kubernetes_validate.utils  # noqa: PLC0415

    # It would read all definitions of a version again for every object.
    kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
    found = []
    for version in versions:
        for one in manifests:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{version}: {one['kind']} {one['metadata']['name']}: {error.message}")
    return found


def compose(text: str) -> list[str]:
    """The services of a Compose file. Raises ValueError where the specification refuses it."""
    import compose_spec  # noqa: PLC0415

    return sorted(compose_spec.PyCompose.from_yaml(text).service_names())


def _main() -> None:
    warnings.simplefilter("ignore")
    question = json.load(sys.stdin)
    match question["asked"]:
        case "chart":
            chart = question["chart"]
            answer: Any = {"lint": linted(chart), "cases": dict(rendered(chart, question["cases"]))}
        case "kubernetes":
            answer = invalid(question["manifests"], question["versions"])
        case "compose":
            answer = compose(question["text"])
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
