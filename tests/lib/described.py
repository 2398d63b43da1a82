"""Asks a service what its own description of the API allows, and what it does not. Run by the Python of schemathesis.

    python described.py <url> <openapi.json> <seed> <requests> <planted words…>

Prints JSON: how many requests, the answers by status, and what is weak: an answer of 500, an answer that the
description does not know, a planted word in an answer to who did not send it, no answer within seconds.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

_CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
_SECONDS = 20.0
_OVERLOADED = 503
_AT_ONCE = 500


def main() -> None:
    """Ask as often as is said."""
    url, described, number, rounds, *words = sys.argv[1:]
    schema = schemathesis.openapi.from_dict(json.loads(Path(described).read_text("utf-8")))
    operations = [found.ok() for found in schema.get_all_operations()]
    varied = [
        one for one in operations if one.definition.raw.get("parameters") or one.definition.raw.get("requestBody")
    ]
    asking = Asking(url, words)
    for one in operations:
        share = -(-int(rounds) // len(varied)) if one in varied else 1
        for first in range(0, share, _AT_ONCE):
            asking.of(one, f"{number} {one.label} {first}", min(_AT_ONCE, share - first))
    sys.stdout.write(json.dumps({"inputs": asking.inputs, "statuses": asking.statuses, "weak": asking.weak}))


class Asking:
    """Asks a service, and notes what is weak."""

    def __init__(self, url: str, words: Sequence[str]) -> None:
        self.url, self.words = url, words
        self.session = requests.Session()
        self.statuses: Counter[int] = Counter()
        self.weak: list[str] = []
        self.inputs = 0

    def of(self, operation: Any, start: str, count: int) -> None:
        """Ask so many times for one operation."""

        @seed(start)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), planted=st.sampled_from(["", "", "", *self.words]))
        def one(case: Any, planted: str) -> None:
            self.ask(case, planted)

        try:
            one()
        except BaseException as error:  # noqa: BLE001 - whatever comes out is a finding
            notes = " ".join(getattr(error, "__notes__", ()))
            self.weak.append(f"{operation.label}: {type(error).__name__}: {error} {notes}"[:3_000])

    def ask(self, case: Any, planted: str) -> None:
        """Ask once; where a word is planted in the query, its author may be told it."""
        self.inputs += 1
        query = dict(case.query or {})
        for name, value in query.items():
            if planted and isinstance(value, str):
                query[name] = planted
        case.query = query
        secret = self.words[0]
        headers = {"Authorization": f"Bearer {secret}", "X-Planted": " ".join(self.words), "Cookie": f"a={secret}"}
        answer = case.call(base_url=self.url, session=self.session, headers=headers, timeout=_SECONDS)
        self.statuses[answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code == _OVERLOADED, answer.status_code
        case.validate_response(answer, checks=_CHECKS)
        said = f"{answer.headers} {answer.text}".lower()
        sent = f"{case.path_parameters} {query} {case.body}".lower()
        told = [word for word in self.words if word in said and word not in sent]
        assert told == [], f"{told} are told"


if __name__ == "__main__":
    main()
