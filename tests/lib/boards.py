"""The boards on a real Prometheus that holds 26 weeks of the example organisation.

The example is imported once; then the service, whose clock is moved, publishes at moments of the past, and what it
published becomes the history of a Prometheus. A picture of the boards and stories told on them can use it as well.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from dashboards.boards import all_boards
from dashboards.making import Making
from dashboards.panels import Dashboard
from paceline.demo import past
from paceline.demo.folder import SETTINGS, make
from paceline.demo.importing import collect_example
from paceline.demo.period import period_ending
from paceline.settings import Configuration
from paceline.wiring import configuration
from slo_engine.indicator import indicators
from slo_engine.recordings import (
    BAD_RATE,
    COVERAGE,
    LEFT_EVENTS,
    LEFT_RATIO,
    PERIOD_BURN,
    TOTAL_RATE,
    Scope,
    basics,
    current_burn,
    events,
)
from slo_engine.windows import BURN_WINDOWS

WEEKS = 26
ENDING = "2026-W14"
PACELINE = "https://paceline.example"
"""Where the pages are that the boards lead to."""

_PATIENCE_SECONDS = 60.0
_WEEKS_ASKED_FOR = (8, 6, 4, 3, 2, 1)
"""How many weeks before the last one somebody looks at its boards."""


@cache
def demo_boards() -> tuple[Dashboard, ...]:
    """All boards for the built-in indicators, with links to Paceline's pages."""
    return all_boards(Making(indicators=tuple(indicators().values()), base_url=PACELINE))


def recorded() -> set[str]:
    """The names of what Paceline's rules record in windows that all SLOs have."""
    scope = Scope(())
    rules = [*basics(), current_burn(), *(rule for window in BURN_WINDOWS for rule in events(scope, window))]
    return {TOTAL_RATE, BAD_RATE, LEFT_RATIO, LEFT_EVENTS, PERIOD_BURN, COVERAGE, *(rule.record for rule in rules)}


@dataclass(frozen=True)
class Answers:
    """A Prometheus, asked as Grafana asks."""

    url: str

    def instant(self, expr: str, at: datetime) -> list[Mapping[str, Any]]:
        """The series of an expression at a time. Raises ValueError with what Prometheus says against it."""
        found: list[Mapping[str, Any]] = self._data("query", {"query": expr, "time": at.timestamp()})["result"]
        return found

    def over(self, expr: str, start: datetime, end: datetime, step: int) -> list[Mapping[str, Any]]:
        """The series of an expression at every `step` seconds, counted from 1970 as Grafana does."""
        first, last = (int(at.timestamp()) // step * step for at in (start, end))
        asked = {"query": expr, "start": first, "end": last, "step": step}
        found: list[Mapping[str, Any]] = self._data("query_range", asked)["result"]
        return found

    def values(self, label: str, selector: str, start: datetime, end: datetime) -> list[str]:
        """The values of a label in the series of a selector: `label_values`."""
        asked = {"match[]": selector, "start": start.timestamp(), "end": end.timestamp()}
        found: list[str] = self._data(f"label/{label}/values?{urlencode(asked)}")
        return found

    @cached_property
    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE_SECONDS)

    def _data(self, path: str, asked: Mapping[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(asked) if asked else None
        self._connection.request("POST" if body else "GET", f"/api/v1/{path}", body, headers if body else {})
        answer = json.loads(self._connection.getresponse().read())
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A running Prometheus with the example's past, the boards, and the time at which they are looked at."""

    prometheus_url: str
    now: datetime
    boards: tuple[Dashboard, ...]
    answers: Answers
    process: subprocess.Popen[bytes]

    def close(self) -> None:
        """Stop Prometheus."""
        self.answers.close()
        self.process.terminate()
        self.process.wait(timeout=_PATIENCE_SECONDS)


def fill(folder: Path, prometheus: str = "prometheus", promtool: str = "promtool") -> Filled:
    """Make the example in a folder and a Prometheus of it. `close` it."""
    return serve_past(folder, store_past(folder, promtool), prometheus)


def store_past(
    folder: Path, promtool: str = "promtool", when: Callable[[datetime], Iterable[datetime]] | None = None
) -> datetime:
    """Make the example, and the data of a Prometheus of it in a folder; the time at which they are looked at.

    `when`: the moments at which the past is published, other than usual, by that time.
    """
    found = _imported(folder / "example")
    now = found.settings.as_of
    assert now is not None
    past.store_past(found, set((when or moments)(now)), folder / "data", promtool)
    shutil.rmtree(folder / "example")
    return now


def serve_past(folder: Path, now: datetime, prometheus: str = "prometheus", *options: str) -> Filled:
    """A Prometheus, with more options, of what was stored in a folder. `close` it."""
    process, url = serve(folder, prometheus, *options)
    return Filled(prometheus_url=url, now=now, boards=demo_boards(), answers=Answers(url), process=process)


def moments(now: datetime) -> list[datetime]:
    """When the past is published: as for a served example, and half an hour of a Thursday."""
    return sorted({*past.moments(now, WEEKS), *_half_an_hour(now)})


def few_moments(now: datetime) -> list[datetime]:
    """Those at which something is asked for: ends of the weeks of stories, a day before, and what rates need."""
    ago = [timedelta(weeks=n) for n in _WEEKS_ASKED_FOR] + [timedelta(days=1)]
    ago += [timedelta(minutes=n) for n in (4, 2, 0)]
    return sorted({*(now - one for one in ago), *_half_an_hour(now)})


def _half_an_hour(now: datetime) -> list[datetime]:
    """It has the steps of charts of a week and of a month, in which it shows what changes from step to step."""
    return [now - timedelta(days=3, hours=10) + timedelta(minutes=n) for n in (0, 20, 30)]


def _imported(folder: Path) -> Configuration:
    """The example, made and collected as `paceline demo` does; the source that falls silent, when it was last heard."""
    period = period_ending(ENDING, WEEKS, datetime.now(UTC))
    make(folder, period, standing=True)
    settings = folder / SETTINGS
    settings.write_text(f"{settings.read_text(encoding='utf-8')}processes: 1\n", encoding="utf-8")
    found = configuration(settings, {}, folder)
    collect_example(found, period, lambda _: None)
    return found


def serve(folder: Path, program: str, *more: str) -> tuple[subprocess.Popen[bytes], str]:
    """A Prometheus of the data in a folder, with more options, and its address; it scrapes nothing."""
    (folder / "prometheus.yml").write_text("{}\n", encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "100y",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }
    with (folder / "prometheus.txt").open("wb") as words:
        command = [program, *(f"--{name}={value}" for name, value in options.items()), *more]
        process = subprocess.Popen(command, cwd=folder, stdout=words, stderr=words, stdin=subprocess.DEVNULL)
    _wait(process, port, folder / "prometheus.txt")
    return process, f"http://127.0.0.1:{port}"


def _wait(process: subprocess.Popen[bytes], port: int, words: Path) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            with contextlib.closing(connection):
                connection.request("GET", "/-/ready")
                if connection.getresponse().status == http.client.OK:
                    return
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(f"Prometheus did not start: {words.read_text(encoding='utf-8')[-2000:]}")
