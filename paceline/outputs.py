"""Everything that leaves the process, made once from what is stored: for a search of it, not for anybody to read.

Pages and the API are asked in the process, commands are run in it, notifications are made and not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from click.testing import CliRunner
from fastapi import FastAPI

from collector.errors import PacelineError
from paceline.annotations_routes import LONGEST, MOST
from paceline.enricher import lookup_of
from paceline.logs import configure
from paceline.notify import Message, email_of, slack_body, webhook_body
from paceline.service import Published, Service
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import Running
from slo_engine.enrich import Alert, EnrichedAlert, enrich
from slo_engine.explain import Explanation, Selection
from slo_engine.slo import Slo
from slo_engine.slo_states import is_counted

_ENVIRONMENT = {"COLUMNS": "1000", "TTY_COMPATIBLE": "0"}
"""No cell of a table is broken in two, and no colour is written into a word, whatever the terminal."""
_PARAMETER = re.compile(r"\{(\w+)\}")
_LONGEST_WINDOW, _UNITS = "90d", 1_000
_PAGES = ("/", "/explain/{indicator}")
"""What the description of the API leaves out, being for people."""


class NoOutput(PacelineError):  # noqa: N818 - it says what is missing
    """Something that leaves the process could not be made."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """A text that leaves the process: by which way, which one, and what it says."""

    channel: str
    place: str
    text: str


def unwatched(_news: object) -> None:
    """Nobody wants to be told."""


@dataclass(frozen=True)
class Ways:
    """The ways out of a running service. `config` is the file that its commands read, None for where they look.

    `at_hand` is told each way before something is made of it.
    """

    running: Running
    commands: click.Group
    config: Path | None
    clock: Callable[[], datetime]
    collect: bool = False
    at_hand: Callable[[str], object] = unwatched

    def outputs(self) -> Iterator[Output]:
        """All of them, made one after the other; first the snapshot anew, with the log at its most talkative.

        Where it is to `collect`, the sources are run before that, so that the log says what it says of a run. Raises
        NoOutput, when it is reached, for one that cannot be made.
        """
        return chain([self._logged()], self._made())

    def _made(self) -> Iterator[Output]:
        self.at_hand("metrics")
        published = self.running.service.published
        assert published is not None  # noqa: S101 - it was just made
        yield Output(channel="metrics", place="Prometheus text", text=published.exposition.text.decode())
        yield Output(channel="metrics", place="OpenMetrics", text=published.exposition.openmetrics.decode())
        yield from self._answers()
        yield from self._notifications()
        yield from self._files()
        yield from self._commands()

    def _logged(self) -> Output:
        self.at_hand("logs")
        settings = self.running.service.configuration.settings.logs
        with contextlib.redirect_stderr(io.StringIO()) as written:
            configure("debug", settings.format)
            for source in self.running.service.configuration.sources if self.collect else ():
                self.running.service.collect(source)
            self.running.service.refresh()
        configure(settings.level, settings.format)
        return Output(channel="logs", place="a run at level debug", text=written.getvalue())

    # --- pages and the API

    def _answers(self) -> Iterator[Output]:
        with contextlib.closing(Webhooks(self.running.service, self.running.log, self.clock)) as webhooks:
            app = create_app(_ExplainedOnce(self.running.service), webhooks=webhooks)
            told = [path for path, methods in app.openapi()["paths"].items() if "get" in methods and path != "/metrics"]
            for channel, paths in (("pages", _PAGES), ("API", told)):
                self.at_hand(channel)
                for address, query in chain.from_iterable(map(self._addresses, paths)):
                    where = f"{address}?{query}" if query else address
                    yield Output(channel=channel, place=where, text=_asked(app, address, query))

    def _addresses(self, path: str) -> Iterator[tuple[str, str]]:
        """Each address of a route, with what it can be asked."""
        service = self.running.service
        slos = [slo.name for slo in service.configuration.slos if is_counted(slo)]  # the others have no history here
        known: Mapping[str, Sequence[str]] = {"indicator": list(service.indicators), "name": slos}
        asked: Mapping[str, Sequence[dict[str, object]]] = {
            "/api/v1/explain/{indicator}": [{"window": _LONGEST_WINDOW, "limit": _UNITS}],
            "/explain/{indicator}": [{"window": _LONGEST_WINDOW}],
            "/api/v1/gate": [{"service": one.name} for one in service.configuration.organisation.services],
            "/api/v1/restatements": [{"limit": 1_000}],
            "/api/v1/annotations": [
                {"from": (self.clock() - LONGEST).isoformat(), "to": self.clock().isoformat(), "limit": MOST}
            ],
        }
        wanted = _PARAMETER.findall(path)
        for value in known[wanted[0]] if wanted else [""]:
            for query in asked.get(path, [{}]):
                yield _PARAMETER.sub(value, path), urlencode(query)

    # --- notifications

    def _notifications(self) -> Iterator[Output]:
        """For each SLO what would be sent if its alert fired now."""
        self.at_hand("notifications")
        service = self.running.service
        settings = service.configuration.settings.notify
        find = lookup_of(service, settings, tiers=service.tiers, clock=self.clock)
        for slo in service.configuration.slos:
            alert = _alert(slo, self.clock())
            message = _message(enrich(alert, find(alert)))
            mail = email_of(message, "paceline", (), self.clock())
            bodies = [str(part.get_content()) for part in mail.walk() if not part.is_multipart()]
            texts = {
                "slack": json.dumps(slack_body(message), ensure_ascii=False),
                "email": "\n".join([str(mail["Subject"]), *bodies]),
                "webhook": json.dumps(webhook_body(message), ensure_ascii=False, default=str),
            }
            yield from (Output(channel=f"notification by {n}", place=slo.name, text=t) for n, t in texts.items())

    # --- commands and the files they write

    def _files(self) -> Iterator[Output]:
        self.at_hand("files")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("dashboards build", "slo export"):
                target = Path(folder) / name.replace(" ", "-")
                self._run([*name.split(), "--out", str(target)])
                for path in sorted(p for p in target.rglob("*") if p.is_file()):
                    place = str(path.relative_to(folder))
                    yield Output(channel="files", place=place, text=path.read_text(encoding="utf-8"))

    def _commands(self) -> Iterator[Output]:
        self.at_hand("commands")
        for arguments in self._lines():
            yield Output(channel="commands", place=f"paceline {' '.join(arguments)}", text=self._run(arguments))

    def _lines(self) -> Iterator[list[str]]:
        """The commands that say something of what is stored. What the API says of each, they say of one."""
        service = self.running.service
        configuration = service.configuration
        forms: tuple[list[str], ...] = ([], ["--output", "json"])
        for form in forms:
            yield from ([*line.split(), *form] for line in ("evaluate", "rejected", "restatements", "slo list"))
            yield from (["slo", "history", s.name, *form] for s in configuration.slos[:1] if s.indicator)
            services = configuration.organisation.services[:1]
            yield from (["gate", "--service", s.name, "--dry-run", *form] for s in services)
        about_people = [i.name for i in service.indicators.values() if i.people][:1]
        for name in dict.fromkeys((*list(service.indicators)[:1], *about_people)):
            yield from (["explain", name, "--window", _LONGEST_WINDOW, *form] for form in forms)
        yield from (["rules", "--format", form] for form in ("prometheus", "prometheusrule", "mimir", "alertmanager"))
        yield ["report"]

    def _run(self, arguments: Sequence[str]) -> str:
        where = ["--config", str(self.config)] if self.config is not None else []
        # The service is lent: a command that opened it anew would read and evaluate everything again.
        answer = CliRunner(env=_ENVIRONMENT).invoke(self.commands, [*arguments, *where], obj=self.running)
        settings = self.running.service.configuration.settings.logs
        configure(settings.level, settings.format)  # what it logged to is gone
        if answer.exit_code:
            raise NoOutput(f"paceline {arguments[0]}: it failed, so nobody knows what else it would say")
        return answer.output


class _ExplainedOnce(Service):
    """The same service, which makes each explanation once: a page shows the first units of what the API shows."""

    def __init__(self, service: Service) -> None:
        vars(self).update(vars(service))
        self._known: dict[tuple[str, Selection], Explanation] = {}

    def explain_published(self, published: Published, name: str, selection: Selection) -> Explanation:
        """As the service's own."""
        most = replace(selection, limit=max(selection.limit, _UNITS))
        if (name, most) not in self._known:
            self._known[name, most] = super().explain_published(published, name, most)
        found = self._known[name, most]
        return replace(found, units=found.units[: selection.limit])


def _alert(slo: Slo, at: datetime) -> Alert:
    who = {"service": slo.service or slo.owner_service, "environment": slo.environment, "team": slo.team}
    named = {key: value for key, value in who.items() if value}
    return Alert(
        status="firing",
        labels={"alertname": "PlatformSloBurn", "slo": slo.name, "severity": "page", **named},
        annotations={"summary": slo.title, "description": slo.description},
        starts_at=at,
    )


def _message(alert: EnrichedAlert) -> Message:
    payload: dict[str, Any] = {"alerts": [{"labels": dict(alert.alert.labels)}]}
    return Message(status="firing", receiver="audit", thread="audit", payload=payload, alerts=(alert,))


def _asked(app: FastAPI, path: str, query: str) -> str:
    """What an app answers, asked without a network."""
    status, body = asyncio.run(_answer(app, path, query))
    if status != HTTPStatus.OK:
        raise NoOutput(f"{path}: it answered {status}, so nobody knows what else it would say")
    return body.decode("utf-8", "replace")


async def _answer(app: FastAPI, path: str, query: str) -> tuple[int, bytes]:
    parts: list[bytes] = []
    status = 0
    asked = [{"type": "http.request", "body": b"", "more_body": False}]
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not asked:
            await never.wait()  # nobody hangs up before the answer is there
        return asked.pop()

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "client": ("localhost", 0),
        "server": ("localhost", 0),
    }
    await app(scope, receive, send)
    return status, b"".join(parts)
