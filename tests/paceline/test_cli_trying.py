"""Commands that try SLOs before they wake anybody: `slo lint` and `backtest`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Run = Callable[..., tuple[object, str, str]]
RANGE = ("--from", "2026-02-23", "--until", "2026-03-09")
MEASURED = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, annotations: {paceline.dev/review-at: "2026-01-31"}}
spec:
  service: shop
  indicator:
    metadata: {name: requests}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{code="500"}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: http_requests_total}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99}]
"""


@pytest.fixture
def measured(settings_file: Path) -> Path:
    """An SLO that Prometheus measures, whose review is overdue."""
    (settings_file.parent / "fast.yaml").write_text(MEASURED, encoding="utf-8")
    return settings_file


_DATA = {True: b'{"resultType":"vector","result":[]}', False: b"[]"}
"""What is answered to a query, and to all else."""


class _Silent(BaseHTTPRequestHandler):
    """Answers every question with no series."""

    def do_GET(self) -> None:
        """Nothing is known."""
        body = b'{"status":"success","data":%s}' % _DATA["/query?" in self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that knows no series."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("measured")
def test_lint_names_file_and_line(run: Run) -> None:
    """A finding says where it stands, what is wrong and what to write; a warning is no failure."""
    code, out, _ = run("slo", "lint")

    assert code == 0
    assert "fast.yaml:4: warning: checkout: " in out
    assert "[review-overdue]" in out


@pytest.mark.usefixtures("measured")
def test_lint_is_json_for_programs(run: Run) -> None:
    """Each finding has its code."""
    found = json.loads(run("slo", "lint", "--output", "json")[1])

    assert [f["code"] for f in found] == ["review-overdue"]


@pytest.mark.usefixtures("measured")
def test_lint_asks_a_server(run: Run, silent: str) -> None:
    """A metric that the server does not have is an error, and exit code 1."""
    code, out, _ = run("slo", "lint", "--prometheus", silent, "--output", "json")

    assert code == 1
    assert "absent-metric" in {f["code"] for f in json.loads(out)}


@pytest.mark.usefixtures("measured")
def test_an_unreachable_server_is_said(run: Run) -> None:
    """Where nobody answers, the message names the server."""
    code, _, err = run("backtest", "checkout", *RANGE, "--prometheus", "http://127.0.0.1:1")

    assert code == 1
    assert "127.0.0.1:1" in err


def test_lint_looks_at_rule_files(run: Run, settings_file: Path) -> None:
    """A value in a label of an alert is found in any rule file; a file that is none is named."""
    rules = settings_file.parent / "theirs.yml"
    rule = {"alert": "Slow", "expr": "up == 0", "labels": {"value": "{{ $value }}"}}
    rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}), encoding="utf-8")
    none = settings_file.parent / "none.yml"
    none.write_text("a: b\n", encoding="utf-8")

    assert "[number-in-label]" in run("slo", "lint", "--rules", str(rules))[1]
    assert "none.yml:1: there are no groups of rules" in run("slo", "lint", "--rules", str(none))[2]


def test_a_backtest_tells_what_would_have_been(run: Run) -> None:
    """Over the stored past: how many events, which alerts, which target can be kept."""
    run("collect")

    code, out, _ = run("backtest", "fast", *RANGE, "--target", "0.75")

    assert code == 0
    assert out.startswith("fast, target 75.0% in 28d\n2026-02-23 00:00Z to 2026-03-09 00:00Z, 14.0 days")


def test_a_backtest_is_json_for_programs(run: Run) -> None:
    """With a named incident that nothing alerted for."""
    run("collect")
    incident = "down=2026-03-01T10:00Z/2026-03-01T10:40Z"

    (found,) = json.loads(run("backtest", "fast", *RANGE, "--incident", incident, "--output", "json")[1])

    assert (found["slo"], found["target"], [i["name"] for i in found["incidents"]]) == ("fast", "0.9", ["down"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "no SLO is named nobody"),
        (("fast", "--target", "99.9"), "99.9 is no ratio"),
        (("fast", "--window", "1x"), "'1x'"),
        (("fast", "--from", "yesterday"), "'yesterday' is no time; expected one such as 2026-03-01"),
        (("fast", "--incident", "down"), "'down' is no incident; expected a name and two times"),
    ],
)
def test_wrong_usage_says_what_was_expected(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, and what to write."""
    code, _, err = run("backtest", *arguments)

    assert (code, said in err) == (2, True), err


@pytest.mark.usefixtures("measured")
def test_what_prometheus_measures_needs_its_address(run: Run) -> None:
    """Nothing of it is stored here."""
    code, _, err = run("backtest", "checkout", *RANGE)

    assert (code, "expected its address: --prometheus" in err) == (1, True)
