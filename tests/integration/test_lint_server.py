"""Lint and backtest against a real Prometheus: a small exporter that it scrapes, and a day of history."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from slo_engine.alert_windows import load_tiers
from slo_engine.backtest import Incident, backtest
from slo_engine.comparison import Operator
from slo_engine.history import measured
from slo_engine.lint import Finding
from slo_engine.lint_server import lint_server
from slo_engine.prometheus_api import Ask, data_of
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, PromqlSli, TimeSlices
from slo_engine.rule_files import render_groups
from slo_engine.rules import groups
from slo_engine.slo import Slo
from slo_engine.windows import parse_window

pytestmark = pytest.mark.integration

TIERS = load_tiers(Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml")
MINUTE = timedelta(minutes=1)
_MINUTES = 24 * 60
_OUTAGE = range(_MINUTES - 180, _MINUTES - 160)
_LIVE = """\
# TYPE asked_total counter
asked_total{{code="200"}} {n}00
asked_total{{code="500"}} {n}
# TYPE quiet_total counter
quiet_total{{code="200"}} {n}00
# TYPE latency histogram
latency_bucket{{route="a",le="0.5"}} {n}
latency_bucket{{route="a",le="1.0"}} {n}0
latency_bucket{{route="a",le="2.5"}} {n}0
latency_bucket{{route="a",le="+Inf"}} {n}0
latency_count{{route="a"}} {n}0
latency_sum{{route="a"}} {n}
# TYPE wrong_total counter
wrong_total {n}0
wrong_good_total {n}3
wrong_bad_total {n}00
# TYPE probe_ok gauge
probe_ok 1
"""


class _Exporter(BaseHTTPRequestHandler):
    """Counters that grow with each scrape."""

    scrapes = 1

    def do_GET(self) -> None:
        """The next numbers."""
        type(self).scrapes += 1
        body = _LIVE.format(n=self.scrapes).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@dataclass(frozen=True)
class Served:
    """A Prometheus to ask, and the time at which its history ends."""

    ask: Ask
    ends_at: datetime


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _counter(series: str, events: Sequence[float], ends_at: datetime) -> Iterator[str]:
    """The lines of a counter that has a sample each minute."""
    first = int(ends_at.timestamp()) - 60 * len(events)
    for number, value in enumerate(accumulate(events, initial=0.0)):
        yield f"{series} {value:.10g} {first + 60 * number}\n"


def _history(ends_at: datetime, exporter: str) -> Iterator[str]:
    """A day: busy traffic with an outage of 20 minutes, an event every hour, and a target that is scraped seldom."""
    failing = [100.0 if minute in _OUTAGE else 0.0 for minute in range(_MINUTES)]
    yield "# TYPE busy counter\n"
    yield from _counter('busy_total{code="200"}', [100.0 - bad for bad in failing], ends_at)
    yield from _counter('busy_total{code="500"}', failing, ends_at)
    yield "# TYPE sparse counter\n"
    yield from _counter('sparse_total{code="200"}', [float(m % 60 == 0) for m in range(_MINUTES)], ends_at)
    yield from _counter('sparse_total{code="500"}', [0.0] * _MINUTES, ends_at)
    yield "# TYPE seldom counter\n"
    yield from _counter(f'seldom_total{{job="seldom",instance="{exporter}"}}', [100.0] * _MINUTES, ends_at)
    yield "# EOF\n"


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    """The address of the exporter on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Exporter)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def served(
    exporter: str,
    tmp_path_factory: pytest.TempPathFactory,
    requires_tool: Callable[[str], str],
    fetch: Any,
    eventually: Any,
) -> Iterator[Served]:
    """A Prometheus that scrapes the exporter every second, keeps 15 days, and knows a day of history."""
    program, folder, port = requires_tool("prometheus"), tmp_path_factory.mktemp("prometheus"), _free_port()
    ends_at = datetime.now(UTC).replace(second=0, microsecond=0)
    (folder / "history.om").write_text("".join(_history(ends_at, exporter)), encoding="utf-8")
    blocks = [requires_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", "-q", "history.om", "data"]
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True)
    jobs = [("live", "1s"), ("seldom", "2m")]
    configuration = {
        "scrape_configs": [
            {"job_name": name, "scrape_interval": every, "scrape_timeout": "1s"}
            | {"static_configs": [{"targets": [exporter]}]}
            for name, every in jobs
        ]
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
    options = {
        "config.file": f"{folder}/prometheus.yml",
        "storage.tsdb.path": f"{folder}/data",
        "storage.tsdb.retention.time": "15d",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "error",
    }
    with (folder / "log.txt").open("wb") as log:
        command = [program, *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: fetch(f"{url}/-/ready").status == 200)
        eventually(lambda: fetch(f"{url}/api/v1/query?query=rate(wrong_total[1h])").json["data"]["result"])
        yield Served(lambda path: data_of(fetch(f"{url}/api/v1/{path}").json), ends_at)
    finally:
        process.terminate()
        process.wait(timeout=20)


def slo(sli: PromqlSli, window: str = "7d", **more: Any) -> Slo:
    return Slo(
        **{
            "name": "checkout",
            "title": "Checkout",
            "description": "",
            "owner_service": "shop",
            "target": Decimal("0.999"),
            "window": parse_window(window),
            "sli": sli,
            "alert_class": "rate",
            **more,
        }
    )


def told(served: Served, some: Slo, at: datetime | None = None) -> list[tuple[str, str, str, str]]:
    """What lint finds."""
    found: list[Finding] = lint_server([some], TIERS, served.ask, at or datetime.now(UTC))
    return [(f.code, f.severity, f.problem, f.write) for f in found]


ASKED = CounterRatio(total_query="asked_total", bad_query='asked_total{code="500"}')
BUSY = CounterRatio(total_query="busy_total", bad_query='busy_total{code="500"}')


@pytest.mark.parametrize(
    "sli",
    [
        ASKED,
        CounterRatio(
            total_query="sum(rate(asked_total[$__window]))", bad_query='sum(rate(asked_total{code="500"}[$__window]))'
        ),
        Histogram(metric="latency", threshold=1),
        Histogram(metric="latency", matchers='route="a"', threshold=0.5, operator=Operator.GT),
        BooleanGauge(selector="probe_ok"),
        TimeSlices(sli=ASKED, slice="1m", target=Decimal("0.9")),
    ],
    ids=["counter", "expression", "bucket", "bucket-above", "gauge", "slices"],
)
def test_an_slo_that_fits_the_server_has_no_finding(served: Served, sli: PromqlSli) -> None:
    """Metrics, series and buckets are there, scraped often enough, and kept."""
    assert told(served, slo(sli)) == []


def test_an_absent_metric_is_told_with_names_that_are_there(served: Served) -> None:
    """A misspelt name."""
    found = told(served, slo(CounterRatio(total_query="askd_total", bad_query='askd_total{code="500"}')))

    assert found == [
        (
            "absent-metric",
            "error",
            "there is no metric askd_total in the last 1h",
            "one that is there, such as asked_total",
        )
    ]


def test_a_value_that_no_series_has_is_told_with_those_that_are_there(served: Served) -> None:
    """The metric is there, the matcher finds nothing."""
    found = told(served, slo(CounterRatio(total_query='asked_total{code=~"OK|BAD"}', good_query="asked_total")))

    assert found == [
        (
            "no-series",
            "error",
            'there are series of asked_total, but none is asked_total{code=~"OK|BAD"}',
            "a code that is there: 200, 500",
        )
    ]


def test_an_expression_of_which_one_part_is_enough_is_no_error(served: Served) -> None:
    """`a or b` gives events where only one of them is there."""
    either = "sum(rate(asked_total[$__window])) or sum(rate(gone_total[$__window]))"

    found = told(served, slo(CounterRatio(total_query=either, bad_query='asked_total{code="500"}')))

    assert [f[:3] for f in found] == [("absent-metric", "warning", "there is no metric gone_total in the last 1h")]


def test_an_expression_that_gives_nothing_is_an_error(served: Served) -> None:
    """No part of it is there."""
    gone = "sum(rate(gone_total[$__window]))"

    assert [f[:2] for f in told(served, slo(CounterRatio(total_query=gone, good_query=gone)))] == [
        ("absent-metric", "error")
    ]


def test_bad_events_without_a_series_at_zero_are_told(served: Served) -> None:
    """The first failure of a new series is not seen."""
    found = told(served, slo(CounterRatio(total_query="quiet_total", bad_query='quiet_total{code="500"}')))

    assert [f[:3] for f in found] == [
        (
            "no-zero-series",
            "warning",
            'there is no series quiet_total{code="500"}: the first failure will be missed, as it makes the series',
        )
    ]


def test_a_counter_of_bad_events_that_is_not_there_yet_is_told(served: Served) -> None:
    """It may be misspelt, or wait for its first failure."""
    found = told(served, slo(CounterRatio(total_query="quiet_total", bad_query="seldom_totals")))

    assert [(f[0], f[1], f[3]) for f in found] == [
        (
            "no-zero-series",
            "warning",
            "its counter at 0 before the first event, in what exports it; or one that is there, such as seldom_total",
        )
    ]


def test_a_threshold_between_buckets_is_told_with_its_neighbours(served: Served) -> None:
    """2 s is between 1 and 2.5."""
    assert told(served, slo(Histogram(metric="latency", threshold=2.0))) == [
        (
            "no-bucket",
            "error",
            "2 is no bucket of latency_bucket: nothing tells how many events are below it",
            "1 or 2.5, its nearest buckets; or add one at 2",
        )
    ]


def test_a_threshold_above_all_buckets_has_one_neighbour(served: Served) -> None:
    """+Inf is no bound to measure by."""
    [(code, _, _, write)] = told(served, slo(Histogram(metric="latency", threshold=30)))

    assert (code, write) == ("no-bucket", "2.5, its nearest buckets; or add one at 30")


def test_a_bucket_that_is_written_in_another_way_is_told(served: Served) -> None:
    """The server has le="1.0", the query asks for le="1"."""
    sli = CounterRatio(total_query="latency_count", good_query='latency_bucket{le="1"}')

    assert ("bucket-spelling", "error", 'latency_bucket{le="1"} misses the series with le="1.0"', 'le=~"1|1[.]0"') in (
        told(served, slo(sli))
    )


def test_more_bad_events_than_events_are_told(served: Served) -> None:
    """Queries that do not fit together."""
    [(code, severity, problem, _)] = told(
        served, slo(CounterRatio(total_query="wrong_total", bad_query="wrong_bad_total"))
    )

    assert (code, severity) == ("impossible-counts", "error")
    assert re.fullmatch(r"\S+ bad events in 1h are more than all \S+", problem)


def test_a_window_that_is_longer_than_the_retention_is_told(served: Served) -> None:
    """The server keeps 15 days, the window is 30."""
    assert told(served, slo(ASKED, "30d")) == [
        (
            "retention",
            "error",
            "its window of 30d is longer than the 15.0 d kept",
            "--storage.tsdb.retention.time=30d or more, or a shorter window",
        )
    ]


def test_a_range_of_too_few_scrapes_is_told(served: Served) -> None:
    """Scrapes of 2 minutes are two or three in 5 minutes."""
    sli = CounterRatio(total_query="seldom_total", bad_query="0 * sum(rate(seldom_total[$__window]))")

    assert told(served, slo(sli), served.ends_at)[0] == (
        "scrape-interval",
        "error",
        "its range of 5m holds fewer than 4 scrapes, which are 120 s apart",
        "a scrape_interval of 75s or less",
    )


def test_slices_of_too_few_scrapes_are_told(served: Served) -> None:
    """A slice of 3 s has three scrapes of a second."""
    found = told(served, slo(TimeSlices(sli=ASKED, slice="3s", target=Decimal("0.9"))))

    assert [(f[0], f[3]) for f in found] == [
        ("scrape-interval", "a scrape_interval of 0.75s or less, or slices of 4s or more")
    ]


def test_traffic_that_is_too_sparse_for_burn_rates_is_told(served: Served) -> None:
    """An event an hour: six in a normal 6 h, and one failure is above every factor."""
    sli = CounterRatio(total_query="sparse_total", bad_query='sparse_total{code="500"}')

    found = told(served, slo(sli), served.ends_at)

    assert [f[0] for f in found] == ["few-events", "one-event-pages"]
    assert found[0][2].endswith("events in a normal 6 h; burn rates need 30")


def test_busy_traffic_is_enough_for_burn_rates(served: Served) -> None:
    """100 events a minute need nothing else."""
    assert told(served, slo(BUSY), served.ends_at) == []


def test_a_query_that_the_server_refuses_is_told(served: Served) -> None:
    """It parses, and still matches many with many."""
    query = "rate(asked_total[$__window]) / on () rate(asked_total[$__window])"

    found = told(served, slo(CounterRatio(total_query=query, bad_query='asked_total{code="500"}')))

    assert [f[:2] for f in found] == [("query-refused", "error")]


# ---- backtest


def test_a_range_of_a_server_is_counted(served: Served) -> None:
    """The outage of 20 minutes is 2 000 bad events of 144 000."""
    [found] = measured(slo(BUSY), served.ask, served.ends_at - _MINUTES * MINUTE, served.ends_at).values()

    assert found.bad.sum() == pytest.approx(2_000)
    assert (found.good + found.bad).sum() == pytest.approx(100 * _MINUTES, rel=0.01)


def test_an_outage_of_a_server_is_found_by_a_backtest(served: Served) -> None:
    """Its page fires within minutes, and nothing else does."""
    start = served.ends_at - _MINUTES * MINUTE
    outage = Incident(name="outage", start=start + _OUTAGE[0] * MINUTE, end=start + (_OUTAGE[-1] + 1) * MINUTE)
    [known] = measured(slo(BUSY), served.ask, start, served.ends_at).values()

    found = backtest(slo(BUSY), known, TIERS, [outage])

    assert [f.alert for f in found.notified] == ["PlatformSloBurnPage", "PlatformSloBurnTicket"]
    assert (found.missed, found.without_incident) == ((), ())
    assert 0 < found.detections[0].seconds_by_alert["PlatformSloBurnPage"] <= 120


def test_a_backtest_fires_in_the_minutes_in_which_the_rules_fire(
    served: Served, requires_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Promtool evaluates the rules over the same counters: page and ticket fire in the same minutes."""
    some, asked = slo(BUSY), range(_MINUTES - 240, _MINUTES)  # the outage, and what follows
    start = served.ends_at - _MINUTES * MINUTE
    [known] = measured(some, served.ask, start + asked[0] * MINUTE, served.ends_at).values()
    said = backtest(some, known, TIERS).notified

    failing = [100 if minute in _OUTAGE else 0 for minute in range(_MINUTES)]
    truth = _firing(some, failing, asked, requires_tool("promtool"), tmp_path)

    ours = {
        name: [
            minute
            for minute in asked
            if any(f.start <= start + minute * MINUTE < f.end for f in said if f.alert == name)
        ]
        for name in truth
    }
    assert truth["PlatformSloBurnPage"]
    assert ours == truth


def _firing(some: Slo, failing: Sequence[int], minutes: range, promtool: str, folder: Path) -> dict[str, list[int]]:
    """In which of some minutes alerts fire, as promtool evaluates the rules over counters."""
    good, bad = (
        " ".join(f"{v}" for v in accumulate(events, initial=0)) for events in ([100 - b for b in failing], failing)
    )
    names, length = ("PlatformSloBurnPage", "PlatformSloBurnTicket"), len(failing)
    series = {
        'busy_total{code="200"}': good,
        'busy_total{code="500"}': bad,
        'platform_slo_info{slo="checkout",service="shop",team="",tier="",kind="rate"}': f"1x{length}",
        'platform_slo_objective_ratio{slo="checkout"}': f"{some.target}x{length}",
        'platform_slo_period_seconds{slo="checkout"}': f"{some.window.seconds}x{length}",
    }
    questions = [
        (f'count(ALERTS{{alertname="{n}",alertstate="firing"}}) or vector(0)', m) for n in names for m in minutes
    ]
    made = groups([some], TIERS)
    (folder / "rules.yml").write_text(render_groups(made), encoding="utf-8")
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        # Nobody expects this value: promtool prints what it got instead.
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{m}m", "exp_samples": [{"labels": "{}", "value": 2}]} for expr, m in questions
        ],
    }
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "group_eval_order": [g.name for g in made],
        "tests": [test],
    }
    (folder / "test.yml").write_text(json.dumps(content), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, check=False, capture_output=True, text=True
    )
    got = re.findall(r"^ +got: *\{\} (\S+)$", done.stdout + done.stderr, re.MULTILINE)
    assert len(got) == len(questions), done.stdout + done.stderr
    values = dict(zip(((n, m) for n in names for m in minutes), map(float, got), strict=True))
    return {name: [m for m in minutes if values[name, m] == 1] for name in names}
