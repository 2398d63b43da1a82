"""`paceline demo --serve` as a process, with a real Prometheus and a real Alertmanager: started, looked at, ended.

It is started twice on one folder: once to look at it and end it with Ctrl-C, once more, the pages alone, to see what is
kept and to lose its program.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from paceline.demo.kept import NotUsable
from paceline.demo.serving import Wishes, serve_example
from paceline.demo.stories import LEAST_WEEKS, STORIES

pytestmark = [pytest.mark.integration, pytest.mark.long]

COMMAND = (sys.executable, "-c", "from paceline.cli import main; main()", "demo", "--serve")
PATIENCE_SECONDS = 300.0
READY = "Ctrl-C ends everything"


def alive(folder: Path) -> list[int]:
    """The ids of the processes whose command names a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        found += [int(process.name)] * (os.fsencode(folder) in command)
    return found


@dataclass(frozen=True)
class Demo:
    """A running example and what it printed."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    fetch: Callable[..., Any]

    @property
    def said(self) -> str:
        """Everything so far."""
        return self.log.read_text(encoding="utf-8")

    def at(self, name: str) -> str:
        """The address that is printed beside a name."""
        found = re.search(rf"^{name} +(http://127\.0\.0\.1:\d+)/", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]

    def status(self, path: str) -> int:
        """The status of a page of Paceline, which may take long where much else is at work."""
        connection = HTTPConnection(urlsplit(self.at("Pages")).netloc, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def prometheus(self, path: str) -> Any:
        """The data of an answer of its Prometheus."""
        return self.fetch(f"{self.at('Prometheus')}/api/v1/{path}").json["data"]

    def end(self, number: int) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example, which is not there yet."""
    return tmp_path_factory.mktemp("serving") / "example"


@pytest.fixture(scope="module")
def started(folder: Path, requires_tool: Callable[[str], str], fetch: Any, eventually: Any) -> Iterator[Any]:
    """Starts the smallest example on the folder and waits until it says that it is ready; all are killed at last."""
    requires_tool("prometheus")
    requires_tool("prometheus-alertmanager")
    processes = list[subprocess.Popen[bytes]]()

    def start(*options: str) -> Demo:
        log = folder.parent / f"said-{len(processes)}.txt"
        with log.open("wb") as out:
            command = [*COMMAND, "--dir", str(folder), "--weeks", str(LEAST_WEEKS), *options]
            process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        processes.append(process)
        demo = Demo(folder, process, log, fetch)
        eventually(lambda: READY in demo.said or process.poll() is not None, PATIENCE_SECONDS)
        assert READY in demo.said, demo.said
        return demo

    yield start
    for process in processes:
        process.kill()
        process.wait()
    for left in alive(folder):
        os.kill(left, signal.SIGKILL)


@pytest.fixture(scope="module")
def demo(started: Callable[..., Demo]) -> Demo:
    """The first start, which makes the example."""
    return started()


@pytest.fixture(scope="module")
def interrupted(demo: Demo) -> int:
    """Its exit code after Ctrl-C. What follows finds it ended."""
    return demo.end(signal.SIGINT)


@pytest.fixture(scope="module")
def again(interrupted: int, started: Callable[..., Demo]) -> Demo:
    """The second start, with nothing around it."""
    assert interrupted == 0
    return started("--without-servers")


# --- while it runs ---------------------------------------------------------------------------------------


def test_prometheus_has_its_rules(demo: Demo) -> None:
    """The alerts of its SLOs are there, and each rule is understood."""
    rules = [rule for group in demo.prometheus("rules")["groups"] for rule in group["rules"]]
    assert {"PlatformSloBudgetExhausted", "PlatformSloNoData", "PlatformSourceStale"} <= {r["name"] for r in rules}
    assert [r["lastError"] for r in rules if r.get("lastError")] == []


def test_the_printed_page_shows_the_alerts(demo: Demo) -> None:
    """It is one that this Prometheus has."""
    found = re.search(r"^Prometheus +(\S+)$", demo.said, re.MULTILINE)
    assert found is not None, demo.said
    assert demo.fetch(found[1]).status == 200


def test_prometheus_knows_the_alertmanager(demo: Demo, eventually: Any) -> None:
    """Alerts go where the printed address is."""
    (found,) = eventually(lambda: demo.prometheus("alertmanagers")["activeAlertmanagers"])
    assert found["url"] == f"{demo.at('Alertmanager')}/api/v2/alerts"


def test_alertmanager_hands_on_to_the_enricher(demo: Demo) -> None:
    """Its receivers post to Paceline's webhook, by the routes that are delivered."""
    told = demo.fetch(f"{demo.at('Alertmanager')}/api/v2/status").json["config"]["original"]
    assert f"{demo.at('Pages')}/webhooks/alertmanager" in told
    assert "inhibit_rules" in told


def test_an_alert_arrives_in_the_inbox(demo: Demo, eventually: Any) -> None:
    """What Alertmanager posts is enriched, kept in a file and said in a line."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "PlatformSloBudgetExhausted", "slo": "platform-help-answers"},
        "annotations": {"summary": "platform-help-answers has spent its budget"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "0123456789abcdef",
    }
    body = {
        "version": "4",
        "groupKey": "{}",
        "status": "firing",
        "receiver": "ticket",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "",
        "truncatedAlerts": 0,
        "alerts": [alert],
    }
    secret = (demo.folder / "servers" / "secret").read_text(encoding="utf-8")
    connection = HTTPConnection(urlsplit(demo.at("Pages")).netloc, timeout=10)
    connection.request("POST", "/webhooks/alertmanager", json.dumps(body), {"Authorization": f"Bearer {secret}"})
    assert connection.getresponse().status == 202
    connection.close()
    eventually(lambda: "Alert, firing: platform-help-answers has spent its budget" in demo.said)
    (kept,) = (demo.folder / "servers" / "notifications.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(kept)["alerts"][0]["paceline"]["slo"]["name"] == "platform-help-answers"


def test_every_story_is_told_with_pages_that_are_there(demo: Demo) -> None:
    """Each address behind a story answers."""
    pages = set(re.findall(r"^    http://127\.0\.0\.1:\d+(/(?:slos|explain)/\S+)$", demo.said, re.MULTILINE))
    assert [story.name for story in STORIES if f"\n{story.name}, " not in demo.said] == []
    assert {page: demo.status(page) for page in pages} == dict.fromkeys(pages, 200)


def test_boards_and_provisioning_are_written(demo: Demo) -> None:
    """Grafana would find the boards, and its Prometheus where this one is."""
    grafana = demo.folder / "servers" / "grafana"
    provided = json.loads((grafana / "provisioning/dashboards/paceline.yaml").read_text(encoding="utf-8"))
    boards = Path(provided["providers"][0]["options"]["path"])
    assert (boards / "paceline-overview.json").is_file()
    assert demo.at("Prometheus") in (grafana / "provisioning/datasources/paceline.yaml").read_text(encoding="utf-8")


def test_only_the_owner_reads_the_secret(demo: Demo) -> None:
    """The file of the secret has no rights for others."""
    assert (demo.folder / "servers" / "secret").stat().st_mode & 0o077 == 0


def test_a_folder_is_served_once(demo: Demo) -> None:
    """Whoever else wants it is refused, and it goes on."""
    said: list[object] = []
    with pytest.raises(NotUsable, match="is being served already; stop that, or name another folder with --dir"):
        serve_example(demo.folder, Wishes(weeks=LEAST_WEEKS, seed=1), datetime.now(UTC), said.append)
    assert (said, demo.process.poll()) == ([], None)


def test_prometheus_scrapes_it(demo: Demo, eventually: Any) -> None:
    """The only target is up, under a name that stays the same at each start."""
    (target,) = eventually(lambda: [t for t in demo.prometheus("targets")["activeTargets"] if t["health"] == "up"])
    assert target["labels"] == {"instance": "paceline", "job": "paceline"}


# --- when it ends, and afterwards ------------------------------------------------------------------------


def test_an_interrupt_ends_everything(demo: Demo, interrupted: int) -> None:
    """The exit code is 0, and none of its programs is left."""
    assert (interrupted, alive(demo.folder)) == (0, [])
    assert demo.said.endswith("Everything has ended; the example stays in its folder\n")


def test_a_second_start_of_the_day_makes_nothing_anew(again: Demo) -> None:
    """It says that the example is there, and imports nothing."""
    assert "The example of today is in" in again.said
    assert "events" not in again.said.partition("What happened here")[0]


def test_without_servers_there_are_the_pages_alone(again: Demo) -> None:
    """No other program is started, though it is there."""
    assert "Prometheus  " not in again.said
    assert len(alive(again.folder)) == 1 + 1  # the command, and the service


def test_a_program_that_dies_ends_everything(again: Demo) -> None:
    """It is named, with the end of its log."""
    (victim,) = [n for n in alive(again.folder) if b"served.yaml" in Path(f"/proc/{n}/cmdline").read_bytes()]
    os.kill(victim, signal.SIGKILL)
    assert again.process.wait(timeout=PATIENCE_SECONDS) == 1
    assert alive(again.folder) == []
    assert "Paceline was ended by signal 9; its log, " in again.said
    assert f"  Metrics      {again.at('Pages')}/metrics" in again.said
