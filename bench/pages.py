"""How long every page takes to answer: of the example organisation, and of one with 1 000 services and 500 SLOs.

    make bench ARGS=bench/pages.py
    .venv/bin/python bench/pages.py --only large

The pages are those of the app's own routes, asked for over HTTP one after another. The first answer may make what is
then remembered, so it stands beside the median of the others; limits are those of the median.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from small_site import Site, site_of

from paceline.demo.folder import SETTINGS, make
from paceline.demo.period import period_ending

RUNS = 9
LIMITS = {"example": 0.1, "large": 0.3}
"""Seconds that the median answer of a page may take."""
SERVICES, SLOS, DEPLOYMENTS, TEAMS = 1_000, 500, 30, 100
NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
LARGE: Mapping[str, str] = {
    "/weekly/{week}": "/weekly/2026-W10",
    "/slos/{name}": "/slos/holds-7",
    "/indicators/{name}": "/indicators/change_fail_rate",
    "/explain/{indicator}": "/explain/change_fail_rate?service=s0007",
}
EXAMPLE: Mapping[str, str] = {
    "/weekly/{week}": "/weekly/2026-W14",
    "/slos/{name}": "/slos/deployments-hold",
    "/indicators/{name}": "/indicators/change_lead_time",
    "/explain/{indicator}": "/explain/change_lead_time?service=checkout",
}
_SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: holds-{n}}}
spec:
  service: s{n:04}
  indicator:
    spec:
      ratioMetric:
        rawType: success
        raw: {{metricSource: {{type: Paceline, spec: {{indicator: change_fail_rate, service: s{n:04}}}}}}}
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 28d, isRolling: true}}]
  objectives: [{{target: 0.9}}]
"""


def main() -> None:
    """Print the answers of every page beside their limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=LIMITS)
    only: str | None = parser.parse_args().only
    for name, organisation in (("example", example), ("large", large)):
        if only in {None, name}:
            with tempfile.TemporaryDirectory() as folder, organisation(Path(folder)) as site:
                print(f"{name}: median of {RUNS} answers, limit {LIMITS[name] * 1000:.0f} ms")
                for page in site.pages:
                    told(page, answers(site.url, page), LIMITS[name])


def answers(url: str, page: str) -> list[float]:
    """Seconds until each whole answer, the first one first."""
    found = []
    for _ in range(1 + RUNS):
        started = time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
        with contextlib.closing(connection):
            connection.request("GET", page)
            answer = connection.getresponse()
            answer.read()
        found.append(time.perf_counter() - started)
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"{page} answers {answer.status}")
    return found


def told(page: str, seconds: list[float], limit: float) -> None:
    """Print a line."""
    first, *others = seconds
    median = statistics.median(others)
    print(f"  {median * 1000:7.1f} ms  {median / limit:5.2f} of the limit  first {first * 1000:8.1f} ms  {page}")


@contextlib.contextmanager
def example(folder: Path) -> Iterator[Site]:
    """The example organisation, 26 weeks of it."""
    make(folder, period_ending("2026-W14", 26, datetime.now(UTC)), standing=True)
    with site_of(folder / SETTINGS, EXAMPLE) as site:
        yield site


@contextlib.contextmanager
def large(folder: Path) -> Iterator[Site]:
    """Many services in many teams with a deployment a day or so each, and an SLO for half of them."""
    services = [{"name": f"s{n:04}", "team": f"/t{n % TEAMS // 10}/u{n % TEAMS}"} for n in range(SERVICES)]
    (folder / "services.yaml").write_text(json.dumps({"services": services}), encoding="utf-8")
    (folder / "slos.yaml").write_text("---\n".join(_SLO.format(n=n) for n in range(SLOS)), encoding="utf-8")
    with (folder / "events.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in deployments())
    (folder / SETTINGS).write_text(
        f"as_of: {NOW:%Y-%m-%dT%H:%M:%SZ}\nlogs: {{level: error}}\ncatalogue: services.yaml\nslos: [slos.yaml]\n"
        "sources:\n  - {type: files, name: events, path: events.jsonl, stale_after: 3650d}\n",
        encoding="utf-8",
    )
    with site_of(folder / SETTINGS, LARGE) as site:
        yield site


def deployments() -> Iterator[dict[str, str]]:
    """Deployments of every service, each rolled back now and then by its number."""
    for n in range(SERVICES):
        for number in range(DEPLOYMENTS):
            yield {
                "kind": "deployment",
                "native_id": f"{n}-{number}",
                "service": f"s{n:04}",
                "environment": "production",
                "finished_at": (NOW - timedelta(days=number, minutes=n)).isoformat(),
                "result": "success",
                "rolled_back": str((n + number) % 11 == 0).lower(),
            }


if __name__ == "__main__":
    main()
