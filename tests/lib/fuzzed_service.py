"""A service that is asked and told what nobody should ask and tell: in this process, and on a port for other programs.

Every delivery is of a system that delivers, signed as it signs; in each the secret, the token and the person stand
somewhere. What is said is the answer, what the log got since, and now and then all pages and all that is stored.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fuzzed_answers import NOW, stored
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from posted import NUMBER, Headers, Proof, Sender, senders
from pydantic import SecretStr
from replay import Sample
from spoiling import ODD, PERSON, SECRET, TOKEN, WORDS, Weak, is_planted, look, spoilt, spoilt_bytes

from collector.events import TYPE_OF_KIND
from collector.source import SourceConfig
from collector.store import Database
from paceline.enricher import build_enricher
from paceline.logs import Log
from paceline.server import bounded
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import access_of, build, configuration

SETTINGS = f"""\
logs: {{level: info, format: json}}
server: {{connections: 200}}
access:
  anonymous: operator
  limits: {{requests_per_second: 100000, webhooks_per_second: 100000, attempts_per_minute: 6000}}
  tokens: [{{name: everything, secret: {SECRET}, scopes: [read, gate, annotations, metrics, operate]}}]
sources: []
"""
PAGES = (
    *("/metrics", "/", "/sources", "/indicators", "/slos", "/account", "/weekly/2026-W10", "/readyz", "/webhooks"),
    *("/api/v1/slos", "/api/v1/deliveries", "/api/v1/audit", "/api/v1/restatements", "/openapi.json"),
    *("/explain/change_fail_rate", "/explain/change_lead_time", "/api/v1/explain/support_first_response"),
)
_LOOKED_AT_EACH = 200
"""After so many deliveries all that is shown and stored is looked at."""
_OVERLOADED = 503


# --- what is delivered -------------------------------------------------------------------------------------

_PLANTED = {"author": PLANTED_MAIL, "actor": PLANTED_LOGIN, "requester": PLANTED_LOGIN, "person": PLANTED_MAIL}
_TIMES = dict.fromkeys(("created_at", "started_at", "finished_at", "at", "updated_at"), "2026-03-02T08:00:00Z")
_OF_KIND: Mapping[str, Mapping[str, Any]] = {
    "review": {"state": "approved"},
    "pipeline_run": {"state": "completed"},
    "incident": {"state": "detected"},
    "milestone": {"milestone": "first_green_run"},
    "doc_page": {"path": "docs/a.md", "changed_at": _TIMES["at"]},
    "collection": {"collector": "github", "succeeded": True, "events": 1, "rejected": 0, "stale_after_seconds": 60.0},
}
_FIELDS = {
    "service": "shop", "environment": "production", "result": "success", "state": "open", "repository": "o/shop",
    "pipeline": "build", "sha": "a" * 40, "queue": "help", "journey": "new", "capability": "builds", "survey": "pulse",
    "wave": "2026-Q1", "scale": "nps", "score": 9, "question": "q", "member_kind": "hire", "change_native_id": "1",
    "authored_at": "2026-03-02T08:00:00Z", "committed_at": "2026-03-02T08:00:00Z", "passed": 1, "checks": 1,
    "replies": [{"at": "2026-03-02T08:30:00Z", "author": PLANTED_NAME}], "respondent": PLANTED_MAIL,
}  # fmt: skip


def _own() -> list[tuple[Headers, Any]]:
    """What our own form takes: a record of each kind, and all of them at once."""
    common: dict[str, Any] = {**_TIMES, **_PLANTED, **_FIELDS, "native_id": NUMBER}
    found = []
    for kind, event in TYPE_OF_KIND.items():
        fields = {**common, **_OF_KIND.get(kind, {})}
        found.append({"kind": kind, **{name: v for name, v in fields.items() if name in event.__struct_fields__}})
    return [({}, one) for one in (*found, found)]


def _delivering(samples: Mapping[str, Sample]) -> tuple[dict[str, Sender], list[SourceConfig]]:
    """Each system that delivers and its source, with the planted secret and token, and `from-` before its name."""
    known = senders()
    known["webhook"] = replace(known["webhook"], posts=_own())
    configs = []
    for name in known:
        secrets = {key: SecretStr(v) for key, v in (("webhook_secret", SECRET), ("token", TOKEN))}
        given = {key: v for key, v in secrets.items() if key in type(samples[name].config).model_fields}
        more = {"name": f"from-{name}", **known[name].settings, **given}
        configs.append(samples[name].config.model_copy(update=more))
    return known, configs


# --- the service -------------------------------------------------------------------------------------------


@dataclass
class Served:
    """A service that is asked and told things. Its store and its log are in a folder."""

    folder: Path
    app: FastAPI
    client: TestClient
    service: Any
    database: Database
    log: Log
    senders: Mapping[str, Sender]
    statuses: Counter[int] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    """By system and what became of them, how many deliveries."""
    inputs: int = 0
    _read: int = 0

    def tell(self, chance: random.Random) -> str:
        """One delivery; its answer, and now and then everything that is shown and stored."""
        name = chance.choice(sorted(self.senders))
        sender = self.senders[name]
        headers, body = chance.choice(sender.posts)
        raw = json.dumps(spoilt(body, chance, chance.choice([0, 0.02, 0.05, 0.2]))).encode()
        if chance.random() < 0.1:
            raw = spoilt_bytes(raw, chance)
        number = str(self.inputs // 2 if chance.random() < 0.1 else self.inputs)  # now and then one comes again
        raw = raw.replace(NUMBER.encode(), number.encode())
        headers = {key: value.replace(NUMBER, number) for key, value in headers.items()}
        sent = {**headers, **self._proof(sender.proof, raw, chance), "x-planted": SECRET, "cookie": f"s={SECRET}"}
        if chance.random() < 0.2:
            sent[chance.choice(_ODD_HEADERS)] = "x" * chance.choice([0, 9, 900])
        # A sender of somebody's own may put a secret and a name into the address too.
        query = {"token": SECRET, "private_token": TOKEN, "user": chance.choice(PERSON)}
        answer = self._asked("POST", f"/webhooks/from-{name}", content=raw, headers=sent, params=query)
        self.inputs += 1
        self.taken[f"{name} {answer.status_code}"] += 1
        return self._said(answer) + self.logged() + (self.shown() if self.inputs % _LOOKED_AT_EACH == 0 else "")

    def _proof(self, proof: Proof, raw: bytes, chance: random.Random) -> dict[str, str]:
        if chance.random() >= 0.1:
            return dict(proof(SECRET, raw))
        wrong = [f"Bearer {SECRET}x", f"Basic {SECRET}", SECRET, "", "Bearer " + "9" * 5_000, "sha256=", "v1=,v1="]
        return dict.fromkeys(proof(SECRET, raw), chance.choice(wrong))

    def ask(self, chance: random.Random) -> str:
        """One request for something that the API describes; its answer."""
        method, path, parameters = chance.choice(self.operations)
        values = [
            str(v)[:3_000].encode("utf-8", "replace").decode()
            for v in (*ODD, "shop", "30d", "2026-W10", "2026-03-02T08:00:00Z", SECRET, TOKEN, PLANTED_MAIL)
        ]
        query = {}
        for one in parameters:
            value = chance.choice(values)
            if one["in"] == "path":
                path = path.replace("{" + one["name"] + "}", _quoted(value) or "x")
            elif one["in"] == "query" and chance.random() < 0.8:
                query[one["name"]] = value
        accepted = chance.choice([b"*/*", b"application/json", b"\xff", b""])
        headers = {b"Authorization": f"Bearer {SECRET}".encode(), b"Accept": accepted, b"Cookie": SECRET.encode()}
        content = spoilt_bytes(b'{"alerts": [{}]}', chance) if method == "post" else None
        answer = self._asked(method, path, params=query, headers=headers, content=content)
        self.inputs += 1
        said = self._said(answer)
        # Who asks for a name is told in the answer that it is not known: that is theirs, and nobody else's.
        return self.logged() if any(is_planted(v) for v in (*query.values(), path)) else said + self.logged()

    @property
    def operations(self) -> list[tuple[str, str, list[Any]]]:
        """What the description offers: methods, paths and their parameters."""
        return [
            (method, path, list(operation.get("parameters", ())))
            for path, methods in self.app.openapi()["paths"].items()
            for method, operation in methods.items()
            if not path.startswith("/webhooks/{")
        ]

    def shown(self) -> str:
        """Everything that is shown and stored, after what waits is written, derived and evaluated."""
        self.service.drain()
        self.service.refresh()
        answers = [self._asked("GET", path) for path in PAGES]
        look(stored(self.database, but=()), (SECRET, TOKEN))
        return "".join(map(self._said, answers)) + stored(self.database) + self.logged()

    def logged(self) -> str:
        """What the log got since the last time."""
        with (self.folder / "log").open("rb") as log:
            log.seek(self._read)
            found = log.read()
        self._read += len(found)
        return found.decode("utf-8", "replace")

    def look_at_all(self) -> None:
        """Raises Weak where a planted word stands in a file of the service but its settings.

        Of the person there may be titles in the store, as `stored` has it.
        """
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name != "paceline.yaml":
                words = WORDS if path.suffix != ".db" and not path.name.endswith("-wal") else (SECRET, TOKEN)
                look(path.read_bytes().decode("latin-1"), words)

    def _asked(self, method: str, path: str, **request: Any) -> Any:
        """An answer. Raises Weak for what would be one of 500."""
        try:
            answer = self.client.request(method, path, **request)
        except Exception:  # noqa: BLE001 - each would be an answer of 500
            raise Weak(f"{method} {path}: 500\n{traceback.format_exc()[-2_000:]}") from None
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != _OVERLOADED:
            raise Weak(f"{method} {path}: {answer.status_code}")
        return answer

    @staticmethod
    def _said(answer: Any) -> str:
        return f"{answer.headers} {answer.text}"

    @contextlib.contextmanager
    def on_a_port(self) -> Iterator[str]:
        """Meanwhile it is served as `paceline serve` serves; its address."""
        server = uvicorn.Server(self.app.state.served)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()


_ODD_HEADERS = (
    *("x-paceline-delivery", "ce-id", "ce-type", "content-type", "content-encoding", "x-github-event", "x-gitea-event"),
    *("x-github-delivery", "idempotency-key", "x-atlassian-webhook-identifier", "transfer-encoding", "expect"),
)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")


@contextlib.contextmanager
def served(folder: Path, samples: Mapping[str, Sample]) -> Iterator[Served]:
    """A service that takes the deliveries of every system that delivers. It writes its log into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "paceline.yaml").write_text(SETTINGS, encoding="utf-8")
    known, configs = _delivering(samples)
    found = replace(configuration(folder / "paceline.yaml", {}, folder), sources=tuple(configs))
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("w", encoding="utf-8", buffering=1))
        with contextlib.redirect_stderr(log):
            running = build(found, lambda: NOW, {})
        stack.callback(running.close)
        running.service.refresh()
        webhooks = Webhooks(running.service, running.log, lambda: NOW)
        stack.callback(webhooks.close)
        settings = found.settings.notify
        enricher = build_enricher(
            running.service, settings, tiers=running.service.tiers, log=running.log, clock=lambda: NOW
        )
        stack.callback(enricher.close)
        app = create_app(running.service, enricher, webhooks, access=access_of(running, lambda: NOW))
        app.state.served = bounded(app, running, None)
        app.state.served.lifespan = "off"  # what the app needs lives as long as the client below
        client = TestClient(app, base_url="http://127.0.0.1")
        yield Served(folder, app, stack.enter_context(client), running.service, running.database, running.log, known)
