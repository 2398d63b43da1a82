"""What the tests of access share: apps behind a guard, with settings, a clock and an address of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from collector.http import Wire
from paceline.access.door import Access, Place, build_access
from paceline.access.settings import AccessSettings
from paceline.logs import configure
from paceline.service import Service
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import build, configuration

START = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
SLO = Path(__file__).parents[1] / "good" / "slos" / "fast.yaml"
EVENT = (
    '{"kind": "deployment", "native_id": "3", "service": "shop", "environment": "production", '
    '"finished_at": "2026-03-03T10:00:00Z", "result": "success"}\n'
)
KEY = b"a people key for tests, long enough"
URL = "https://paceline.example"

Guarded = Callable[..., TestClient]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a snapshot, for all tests that change nothing of it."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "events.jsonl").write_text(EVENT, encoding="utf-8")
    (folder / "fast.yaml").write_text(SLO.read_text(encoding="utf-8"), encoding="utf-8")
    settings = "sources: [{type: files, name: events, path: events.jsonl}]\nslos: [fast.yaml]\nprocesses: 1\n"
    (folder / "paceline.yaml").write_text(f"{settings}logs: {{level: error}}\n", encoding="utf-8")
    running = build(configuration(folder / "paceline.yaml", {}, folder), lambda: START, {})
    running.service.collect(running.service.configuration.sources[0])
    running.service.refresh()
    yield running.service
    running.close()


@pytest.fixture
def access(clock: Any, tmp_path: Path) -> Callable[..., Access]:
    """Builds what guards an app, of settings; its trail is in the folder of the test."""

    def made(settings: dict[str, Any], url: str = URL, wire: Wire | None = None) -> Access:
        place = Place(url=url, base_dir=tmp_path, data_dir=tmp_path)
        log = configure("error", "text")
        return build_access(AccessSettings(**settings), place, KEY, clock=clock, log=log, wire=wire)

    return made


@pytest.fixture
def guarded(shared: Service, access: Callable[..., Access], clock: Any) -> Iterator[Guarded]:
    """A client of a service behind a guard: of settings, asked by an address."""
    with ExitStack() as stack:

        def client(
            settings: dict[str, Any],
            *,
            url: str = URL,
            peer: str = "192.0.2.7",
            wire: Wire | None = None,
            service: Service = shared,
        ) -> TestClient:
            webhooks = Webhooks(service, configure("error", "text"), clock)
            stack.callback(webhooks.close)
            app = create_app(service, None, webhooks, None, access(settings, url, wire))
            made = TestClient(app, url or "http://localhost", client=(peer, 4321), follow_redirects=False)
            return stack.enter_context(made)

        yield client
