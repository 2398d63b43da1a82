"""The boards on a real Prometheus that holds 26 weeks of the example organisation.

The example is imported once; then the service, whose clock is moved, publishes at moments of the past, and what it
published becomes the history of a Prometheus. A picture of the boards and stories told on them can use it as well.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from dashboards.boards import all_boards
from dashboards.lint_queries import metrics_in
from dashboards.making import Making
from dashboards.panels import Dashboard
from paceline.demo.folder import SETTINGS, make
from paceline.demo.period import moment, period_ending
from paceline.demo.probes import SILENT, SILENT_AFTER, silent_at
from paceline.service import Service
from paceline.settings import Configuration
from paceline.wiring import build, configuration
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
SCRAPED_AS = 'instance="paceline:8000",job="paceline"'
"""What a scrape would add to every series."""

_FAR_WEEKS = 4
_ONE_BLOCK = "--max-block-duration=13200h"  # with the usual two hours it takes minutes, and reads everything for each
_PATIENCE_SECONDS = 60.0
_VALUE = re.compile(rb" (\S+)\n")
_FAMILY = re.compile(rb"^# TYPE (\S+) .*\n((?:[^#].*\n)*)", re.MULTILINE)


def demo_boards() -> tuple[Dashboard, ...]:
    """All boards for the built-in indicators, with links to Paceline's pages."""
    return all_boards(Making(indicators=tuple(indicators().values()), base_url=PACELINE))


def recorded() -> set[str]:
    """The names of what Paceline's rules record in windows that all SLOs have."""
    scope = Scope(())
    rules = [*basics(), current_burn(), *(rule for window in BURN_WINDOWS for rule in events(scope, window))]
    return {TOTAL_RATE, BAD_RATE, LEFT_RATIO, LEFT_EVENTS, PERIOD_BURN, COVERAGE, *(rule.record for rule in rules)}


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at: datetime

    def __call__(self) -> datetime:
        """The time that it shows."""
        return self.at


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


def store_past(folder: Path, promtool: str = "promtool", also: Collection[timedelta] = ()) -> datetime:
    """Make the example, and the data of a Prometheus of it in a folder; the time at which they are looked at.

    `also`: how long before that the past is published too, beside the usual moments.
    """
    wanted = frozenset[str]().union(*(metrics_in(board.document) for board in demo_boards()))
    history = folder / "history.om"
    with history.open("wb") as out:
        now = _write(folder / "example", wanted, also, out.write)
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "-q", _ONE_BLOCK]
    subprocess.run([*command, str(history), str(folder / "data")], check=True, capture_output=True)
    history.unlink()
    shutil.rmtree(folder / "example")
    return now


def serve_past(folder: Path, now: datetime, prometheus: str = "prometheus", *options: str) -> Filled:
    """A Prometheus, with more options, of what was stored in a folder. `close` it."""
    process, url = serve(folder, prometheus, *options)
    return Filled(prometheus_url=url, now=now, boards=demo_boards(), answers=Answers(url), process=process)


def moments(now: datetime) -> list[datetime]:
    """When the past is published: weeks' ends, of the older ones every other; days; quarters of a day; minutes.

    Among them is half an hour of a Thursday, with the steps of charts of a week and of a month, in which it shows what
    changes from step to step. A few minutes are what a rate needs at the end.
    """
    ago = [timedelta(weeks=n) for n in range(WEEKS, 0, -1) if n <= _FAR_WEEKS or n % 2 == 0]
    ago += [timedelta(days=n) for n in range(6, 0, -1)]
    ago += [timedelta(days=3, hours=10) - timedelta(minutes=n) for n in (0, 20, 30)]
    ago += [timedelta(hours=n) for n in range(18, 0, -6)]
    ago += [timedelta(minutes=n) for n in (4, 2, 0)]
    return [now - one for one in sorted(ago, reverse=True)]


def _write(
    folder: Path, wanted: Collection[str], also: Collection[timedelta], write: Callable[[bytes], object]
) -> datetime:
    """The samples that the service publishes at each moment, as OpenMetrics; the last of these times."""
    found = _imported(folder)
    now = found.settings.as_of
    assert now is not None
    clock = Clock(now)
    with contextlib.closing(build(found, clock, {})) as running:
        for clock.at in sorted({*moments(now), *(now - ago for ago in also)}):
            write(_samples(running.service, clock.at, {name.encode() for name in wanted}))
    write(b"# EOF\n")
    return now


def _imported(folder: Path) -> Configuration:
    """The example, made and collected as `paceline demo` does; the source that falls silent, when it was last heard."""
    period = period_ending(ENDING, WEEKS, datetime.now(UTC))
    make(folder, period, standing=True)
    settings = folder / SETTINGS
    settings.write_text(f"{settings.read_text(encoding='utf-8')}processes: 1\n", encoding="utf-8")
    found = configuration(settings, {}, folder)
    last_heard = moment(silent_at(period) + SILENT_AFTER)
    with contextlib.closing(build(found, lambda: last_heard, {})) as running:
        for source in found.sources:
            if source.name == SILENT:
                running.service.collect(source)
    with contextlib.closing(build(found, environ={})) as running:
        for source in found.sources:
            running.service.collect(source)
    return found


def _samples(service: Service, at: datetime, wanted: Collection[bytes]) -> bytes:
    """What is published at a time, each line with that time and what a scrape adds."""
    seconds = int(at.timestamp())
    return b"".join(
        _scraped(name, _until(name, lines, seconds)).replace(b"\n", b" %d\n" % seconds)
        for name, lines in _FAMILY.findall(service.refresh().exposition.text)
        if name in wanted
    )


def _until(name: bytes, lines: bytes, seconds: int) -> bytes:
    """All was collected at the end; until then, what lies behind a moment was collected at it."""
    if not name.endswith(b"_timestamp_seconds"):
        return lines
    return _VALUE.sub(lambda found: b" %d\n" % seconds if float(found[1]) > seconds else found[0], lines)


def _scraped(name: bytes, lines: bytes) -> bytes:
    """The lines of a metric with the labels of a scrape."""
    found = b"\n" + lines
    found = found.replace(b"\n%s{" % name, b"\n%s{%s," % (name, _SCRAPED))
    return found.replace(b"\n%s " % name, b"\n%s{%s} " % (name, _SCRAPED))[1:]


_SCRAPED = SCRAPED_AS.encode()


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
