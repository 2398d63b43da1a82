"""Webhooks of a real process: what was answered with 202 is there once, whatever kills it; the curl examples work."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.integration

SECRET = "a-secret-of-these-tests"  # noqa: S105 - it opens nothing but their own door
KEY = "0123456789abcdef0123456789abcdef"
CONFIGURATION = """\
evaluate_every: 5m
logs: {format: json}
sources:
  - {type: webhook, name: releases, kind: deployment, webhook_secret: "${RELEASES_SECRET}", every: 1h}
  - {type: cdevents, name: delivery, webhook_secret: "${CDEVENTS_SECRET}", every: 1h}
"""
SENDERS, KILLS = 8, 3
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


@pytest.fixture
def workspace(workspaces: Any) -> Any:
    """A workspace with two sources that are pushed to."""
    secrets = {"RELEASES_SECRET": SECRET, "CDEVENTS_SECRET": SECRET}
    return workspaces(CONFIGURATION, PACELINE_PEOPLE_KEY=KEY, **secrets)


def rows(workspace: Any, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the store."""
    with contextlib.closing(sqlite3.connect(workspace.data / "paceline.db", timeout=30)) as connection:
        return connection.execute(query).fetchall()


# --- killed at any time ----------------------------------------------------------------------------------


@dataclass
class Senders:
    """Systems that deliver one deployment after another, and send again what was not answered."""

    url: str = ""
    answered: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def send(self, native_id: str) -> int:
        """The status of a delivery."""
        body = json.dumps(
            {
                "native_id": native_id,
                "service": "shop",
                "environment": "production",
                "finished_at": "2026-03-02T09:00:00Z",
                "updated_at": "2026-03-02T09:00:00Z",
                "result": "success",
                "actor": "ada@people.example",
            }
        )
        parts = urlsplit(self.url)
        headers = {"Authorization": f"Bearer {SECRET}", "X-Paceline-Delivery": native_id}
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/webhooks/releases", body, headers)
            return connection.getresponse().status

    def run(self) -> None:
        """Deliver until stopped; each delivery is sent until it is answered."""
        while not self.stopped.is_set():
            with self.lock:
                native_id = f"d-{next(self.numbers)}"
            while native_id not in self.answered and not self.stopped.is_set():
                try:
                    self.answered[native_id] = self.send(native_id)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.05)


@pytest.fixture
def senders() -> Iterator[Senders]:
    """Senders that stop at the end."""
    made = Senders()
    yield made
    made.stopped.set()


def test_killed_at_any_time_nothing_is_lost_and_nothing_doubled(
    workspace: Any, serving: Any, senders: Senders, eventually: Callable[..., Any]
) -> None:
    """Killed under load again and again: each delivery that was answered is one event, and the totals say so."""
    threads = [threading.Thread(target=senders.run, daemon=True) for _ in range(SENDERS)]
    for kill in range(KILLS):
        with serving(workspace) as served:
            senders.url = served.url
            if kill == 0:
                for thread in threads:
                    thread.start()
            before = len(senders.answered)
            eventually(lambda before=before: len(senders.answered) > before + 50)
            time.sleep(random.uniform(0, 0.4))  # noqa: S311 - any moment will do
            served.process.kill()
    with serving(workspace) as served:
        senders.url = served.url
        senders.stopped.set()
        for thread in threads:
            thread.join(20)
        eventually(lambda: served.get("/webhooks").json["waiting"] == 0)
        served.stop()

    stored = [native_id for (native_id,) in rows(workspace, "SELECT native_id FROM event_deployment")]
    ((events_total, changed_total),) = rows(workspace, "SELECT events_total, changed_total FROM source_run "
                                                       "WHERE source = 'releases'")  # fmt: skip
    assert set(senders.answered.values()) <= {200, 202}
    assert len(senders.answered) > 50 * KILLS
    assert [d for d in senders.answered if d not in set(stored)] == []
    assert len(stored) == len(set(stored)) == events_total == changed_total
    assert rows(workspace, "SELECT count(*) FROM inbox WHERE events IS NOT NULL") == [(0,)]


def test_what_was_delivered_before_a_kill_is_written_by_a_collection(
    workspace: Any, serving: Any, senders: Senders
) -> None:
    """`paceline collect` writes what a killed service left in its inbox."""
    with serving(workspace) as served:
        senders.url = served.url
        status = senders.send("d-1")
        served.process.kill()
        served.process.wait()

    workspace.run("collect", "--source", "releases")

    assert status == 202
    assert rows(workspace, "SELECT native_id FROM event_deployment") == [("d-1",)]


# --- the documentation -----------------------------------------------------------------------------------


def _examples() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [found for found in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "curl" in found]


def test_the_documentation_s_requests_are_taken(
    workspace: Any, serving: Any, requires_tool: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    """Each curl of the page, run as it stands there, is answered with 202 and becomes events."""
    requires_tool("curl")
    requires_tool("openssl")
    with serving(workspace) as served:
        environment = {**workspace.environment(), "PACELINE_URL": served.url}
        answers = []
        for example in _examples():
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", example],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=20,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            answers.append(json.loads(done.stdout))
        eventually(lambda: served.get("/webhooks").json["waiting"] == 0)

    assert answers == [{"status": "taken", "events": n} for n in (1, 2, 1, 1)]
    deployments = rows(workspace, "SELECT source, service, sha FROM event_deployment ORDER BY source")
    sha = "1a429d2f06fa49d8ece5045ac6471dc8a2276895"
    assert deployments == [("delivery", "shop", sha), ("releases", "shop", sha)]
    assert rows(workspace, "SELECT count(*) FROM event_incident") == [(2,)]
    assert rows(workspace, "SELECT author LIKE 'person:%' FROM event_ticket") == [(1,)]
    assert "ada@example.com" not in workspace.log
    assert SECRET not in workspace.log
