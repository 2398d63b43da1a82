"""Inputs that nobody should send, by the thousand: what takes them must not crash, hang, or tell a secret or a person.

Each target takes a source of chance, makes one input of real ones, hands it over and returns all that was said about
it. A secret, a login and a mail address stand in every input. `Weak` says what was found.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import pkgutil
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import providers
import requests
from fastapi.testclient import TestClient
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Sample
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from collector.api import ApiConfig
from collector.errors import PacelineError
from collector.http import Wire
from collector.people import People
from collector.run import Failure, Runner
from collector.source import Page, Source, SourceContext
from collector.store import Database, EventStore
from collector.store.tables import METADATA
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import build, configuration
from slo_engine import promql
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos

NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
SECRET = "s3cr3t-0f-the-fuzz-test"  # noqa: S105 - planted
WORDS = (SECRET, "wilhelmina", "quarterstaff")
"""What must stand in no output."""
MOST_SECONDS = 10.0
"""Of processor time for one input: more is a hang."""
_MOST_REQUESTS = 400
_BATCH = 200


class Weak(AssertionError):  # noqa: N818 - it says what was found
    """Something that an input brought about and must not."""


Take = Callable[[random.Random], str]
"""Take one input; everything that was said about it."""


def checked(take: Take, chance: random.Random) -> None:
    """Take one input. Raises Weak for what was told, and for what took too long."""
    began = time.process_time()
    said = take(chance)
    if time.process_time() - began > MOST_SECONDS:
        raise Weak(f"one input took {time.process_time() - began:.0f} s")
    look(said)


def look(said: str) -> None:
    """Raises Weak where a planted word stands in an output."""
    lowered = said.lower()
    for word in WORDS:
        if (at := lowered.find(word)) >= 0:
            raise Weak(f"{word} is told: …{said[max(at - 200, 0) : at + 100]}…")


# --- how inputs are spoilt ---------------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, 0.1, "", " ", "0", "null", [], {}, [[]], [None]),
    *("\x00", "\r\nX-Header: 1", "\x1b[31m", "\u202e", "\ud83d", "é" * 5_000, "{{ $labels }}", "<script>", "'; DROP--"),
    *("9999-12-31T23:59:59Z", "0000-00-00", "2026-02-30T00:00:00Z", "2026-03-02T08:00:00+99:99", "1e400", "NaN"),
    *({"id": {"id": {"id": 1}}}, ["x"] * 500, "../../etc/passwd", "http://[::1", "%00", "a" * 70_000, float("1e-320")),
)


def is_planted(value: Any) -> bool:
    """Whether a text names the person or the secret."""
    return isinstance(value, str) and any(word in value.lower() for word in WORDS)


def spoilt(value: Any, chance: random.Random, share: float) -> Any:
    """A value with some of its parts exchanged, left out, repeated or wrapped; who is named stays in their place."""
    if is_planted(value):
        return chance.choice([value, value, [value], {"name": value}, value + "\0", value.upper()])
    if chance.random() < share:
        return copy.deepcopy(chance.choice(ODD))
    if isinstance(value, dict):
        return {k: spoilt(v, chance, share) for k, v in value.items() if chance.random() >= share / 2}
    if isinstance(value, list):
        found = [spoilt(v, chance, share) for v in value]
        return found * 2 if chance.random() < share else found
    return value


def spoilt_bytes(body: bytes, chance: random.Random) -> bytes:
    """A body cut off, with bytes exchanged, said twice, nested deeply, or in no known characters."""
    at = chance.randrange(len(body) + 1)
    return chance.choice(
        [
            body[:at],
            body[:at] + bytes(chance.randrange(256) for _ in range(3)) + body[at:],
            body + body,
            b"[" * 5_000 + body,
            b"\xff\xfe" + body,
            body.replace(b'"', b"'", 2),
            body.replace(b":", b":1e999999,", 1),
            b"",
        ]
    )


_ODD_LINES = ("", "- ", "  x: 1", "*a", "&a [*a]", "!!python/object:os.system x", "\t", "? {", "|", "%YAML 9")


def spoilt_text(text: str, chance: random.Random) -> str:
    """A file with lines left out, repeated, moved or filled with something else; secrets stay what they are."""
    lines = text.splitlines()
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        odd = chance.choice(_ODD_LINES)
        if is_planted(lines[at]):
            continue
        key, colon, _value = lines[at].partition(":")
        change = chance.randrange(6)
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif change == 2:
            lines[at] = "  " * chance.randrange(4) + lines[at].lstrip()
        elif change == 3:
            lines.insert(at, odd)
        else:
            value = json.dumps(chance.choice(ODD)) if chance.random() < 0.7 else odd
            lines[at] = f"{key}{colon} {value}"
        lines = lines or [""]
    return "\n".join(lines) + "\n"


# --- what providers answer ---------------------------------------------------------------------------------


@dataclass
class Spoiling(BaseAdapter):
    """An API whose answers are spoilt now and then."""

    inner: Provider
    chance: random.Random
    asked: int = 0

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # as one
        """Answer. Raises Weak for a client that never ends."""
        self.asked += 1
        if self.asked > _MOST_REQUESTS:
            raise Weak(f"one run asked more than {_MOST_REQUESTS} times")
        try:
            response = self.inner.send(request)
        except AssertionError:  # it is strict about what it is asked: others say so
            return _answer(requests.Response(), b"{}", {}, 400)
        if self.chance.random() < 0.3:
            return response
        body = response.content
        with contextlib.suppress(ValueError):
            body = json.dumps(spoilt(json.loads(body), self.chance, self.chance.choice([0.01, 0.05, 0.2]))).encode()
        if self.chance.random() < 0.05:
            body = spoilt_bytes(body, self.chance)
        headers = dict(response.headers)
        if self.chance.random() < 0.1:
            headers[self.chance.choice(_HEADERS)] = self.chance.choice(_HEADER_VALUES)
        status = self.chance.choice(_STATUSES) if self.chance.random() < 0.05 else response.status_code
        return _answer(response, body, headers, status)

    def close(self) -> None:
        """Nothing is kept."""


_HEADERS = ("Link", "Retry-After", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Content-Type", "ETag", "Location")
_HEADER_VALUES = ("", "-1", "1e99", "nonsense", "<>; rel=next", '<http://other.example/>; rel="next"', "text/html",
                  "application/json; charset=utf-99", "Thu, 99 Foo 2026 99:99:99 GMT", "9" * 400, "\u00ff")  # fmt: skip
_STATUSES = (200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 410, 418, 429, 500, 503, 599)


def _answer(of: requests.Response, body: bytes, headers: Mapping[str, str], status: int) -> requests.Response:
    made = requests.Response()
    made.status_code, made.url, made.request = status, of.url, of.request
    made.headers.update(headers)
    made.raw = HTTPResponse(body=io.BytesIO(body), headers=headers, status=status, preload_content=False)
    return made


def samples(folder: Path) -> dict[str, Sample]:
    """The samples of all source types, each with a folder of its own."""
    found: dict[str, Sample] = {}
    for module in pkgutil.iter_modules(providers.__path__):
        own = folder / module.name
        own.mkdir(parents=True)
        found[module.name] = importlib.import_module(f"providers.{module.name}").sample(own)
    return found


@dataclass
class Noting:
    """A source, with the place in the code where it fails in a way that it must not."""

    source: Source
    defect: str = ""

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Its pages."""
        try:
            yield from self.source.pull(cursor)
        except PacelineError:
            raise
        except Exception:
            self.defect = traceback.format_exc()
            raise


@dataclass
class Answers:
    """Runs of sources against APIs whose answers are spoilt. `inputs` counts the answers."""

    folder: Path
    found: Mapping[str, Sample]
    inputs: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    _runs: int = 0
    _database: Database | None = None

    def take(self, chance: random.Random) -> str:
        """One run; what it came to, and now and then all that is stored."""
        name = chance.choice(self.asking)
        sample = self.found[name]
        assert sample.provider is not None
        if self._database is None:
            self._database = Database.open(self.folder / f"store{self._runs}")
        context = SourceContext(data_dir=self.folder, base_dir=self.folder, people=People(b"k" * 32), clock=lambda: NOW)
        adapter = Spoiling(sample.provider, chance)
        wire = Wire(adapter=adapter, sleep=lambda _: None, chance=lambda: 0.0)
        runner = Runner(
            database=self._database, store=EventStore(self._database), clock=lambda: NOW, sleep=lambda _: None
        )
        source = Noting(sample.config.build(replace(context, wire=wire)))
        outcome = runner.run("sample", source)
        if adapter.asked > _MOST_REQUESTS:
            raise Weak(f"a run of {name} asked more than {_MOST_REQUESTS} times")
        if outcome.failure is Failure.DEFECT:
            raise Weak(f"{name}: {outcome.error}\n{source.defect[-1_500:]}")
        self.inputs += adapter.asked
        self.failures[str(outcome.failure or "none")] += 1
        self._runs += 1
        said = repr(outcome)
        if self._runs % 20 == 0:
            said += stored(self._database)
            self._database.close()
            self._database = None
        return said

    @property
    def asking(self) -> list[str]:
        """The types that ask an API."""
        return sorted(name for name, one in self.found.items() if isinstance(one.config, ApiConfig) and one.provider)


def stored(database: Database) -> str:
    """All that a store holds, as text."""
    with database.reading() as connection:
        return "\n".join(
            str([tuple(row) for row in connection.execute(table.select())]) for table in METADATA.sorted_tables
        )


# --- what is sent to webhooks, and what is asked of the API -----------------------------------------------

SERVED = f"""\
logs: {{level: error}}
sources:
  - {{type: webhook, name: pushed, webhook_secret: {SECRET}}}
  - {{type: cdevents, name: delivery, webhook_secret: {SECRET}}}
  - {{type: alertmanager, name: alerts, webhook_secret: {SECRET}, incidents: [{{labels: {{severity: page}}}}]}}
"""
_PERSON = {"author": PLANTED_MAIL, "actor": PLANTED_LOGIN, "requester": PLANTED_LOGIN, "person": PLANTED_MAIL}
_TIMES = dict.fromkeys(("created_at", "started_at", "finished_at", "at", "updated_at"), "2026-03-02T08:00:00Z")
_KINDS = (
    *("commit", "change", "review", "pipeline_run", "deployment", "incident", "ticket", "self_service_attempt"),
    *("usage_event", "survey_response", "member", "milestone", "doc_page", "probe", "collection", "nothing"),
)


@dataclass
class Served:
    """A service that is asked and told things. Its store is in a folder."""

    folder: Path
    client: TestClient
    service: Any
    database: Database
    bodies: Mapping[str, Sequence[Any]]
    statuses: Counter[int] = field(default_factory=Counter)
    inputs: int = 0

    def tell(self, chance: random.Random) -> str:
        """One delivery; its answer, and now and then everything that is shown and stored."""
        name = chance.choice(sorted(self.bodies))
        body = spoilt(chance.choice(self.bodies[name]), chance, chance.choice([0, 0.05, 0.2]))
        raw = json.dumps(body).encode()
        if chance.random() < 0.1:
            raw = spoilt_bytes(raw, chance)
        headers = {"Authorization": f"Bearer {SECRET}", "X-Planted": SECRET}
        if chance.random() < 0.1:
            wrong = [f"Bearer {SECRET}x", f"Basic {SECRET}", SECRET, "", "Bearer " + "9" * 5_000]
            headers["Authorization"] = chance.choice(wrong)
        if chance.random() < 0.2:
            headers[chance.choice(["X-Paceline-Delivery", "ce-id", "ce-type", "Content-Type"])] = "x" * chance.choice(
                [0, 9, 900]
            )
        answer = self.client.post(f"/webhooks/{name}", content=raw, headers=headers)
        self.inputs += 1
        return self._said(answer) + (self.shown() if self.inputs % _BATCH == 0 else "")

    def ask(self, chance: random.Random) -> str:
        """One request for something that the API describes; its answer."""
        method, path, parameters = chance.choice(self.operations)
        values = [
            str(v)[:3_000].encode("utf-8", "replace").decode()
            for v in (*ODD, "shop", "30d", "2026-W10", "2026-03-02T08:00:00Z", SECRET, PLANTED_MAIL)
        ]
        query = {}
        for one in parameters:
            value = chance.choice(values)
            if one["in"] == "path":
                path = path.replace("{" + one["name"] + "}", _quoted(value) or "x")
            elif one["in"] == "query" and chance.random() < 0.8:
                query[one["name"]] = value
        accepted = chance.choice([b"*/*", b"application/json", b"\xff", b""])
        headers = {b"Authorization": f"Bearer {SECRET}".encode(), b"Accept": accepted}
        content = spoilt_bytes(b'{"alerts": [{}]}', chance) if method == "post" else None
        answer = self.client.request(method, path, params=query, headers=headers, content=content)
        self.inputs += 1
        said = self._said(answer)
        # Who asks for a name is told in the answer that it is not known: that is theirs, and nobody else's.
        return "" if any(is_planted(v) for v in (*query.values(), path)) else said

    @property
    def operations(self) -> list[tuple[str, str, list[Any]]]:
        """What the description offers: methods, paths and their parameters."""
        described: Any = self.client.app.openapi()  # type: ignore[attr-defined] # a FastAPI
        return [
            (method, path, list(operation.get("parameters", ())))
            for path, methods in described["paths"].items()
            for method, operation in methods.items()
            if not path.startswith("/webhooks/{")
        ]

    def shown(self) -> str:
        """Everything that is shown and stored, after what waits is written, derived and evaluated."""
        self.service.drain()
        self.service.refresh()
        pages = ("/metrics", "/", "/api/v1/slos", "/webhooks", "/readyz", "/sources", "/indicators")
        return "".join(self.client.get(path).text for path in pages) + stored(self.database)

    def _said(self, answer: Any) -> str:
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            raise Weak(f"{answer.request.method} {answer.request.url}: {answer.status_code}")
        return f"{answer.headers} {answer.text}"


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")


@contextlib.contextmanager
def served(folder: Path, found: Mapping[str, Sample]) -> Iterator[Served]:
    """A service in this process that takes deliveries."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "paceline.yaml").write_text(SERVED, encoding="utf-8")
    running = build(configuration(folder / "paceline.yaml", {}, folder), lambda: NOW, {})
    running.service.refresh()
    webhooks = Webhooks(running.service, running.log, lambda: NOW)
    own = [{"kind": kind, "native_id": f"{kind}-1", **_TIMES, **_PERSON, **_FIELDS} for kind in _KINDS]
    bodies = {
        "pushed": [*own, own],
        "delivery": [json.loads(one.body) for one in found["cdevents"].deliveries],
        "alerts": [json.loads(one.body) for one in found["alertmanager"].deliveries],
    }
    try:
        with TestClient(create_app(running.service, webhooks=webhooks), raise_server_exceptions=False) as client:
            yield Served(folder, client, running.service, running.database, bodies)
    finally:
        webhooks.close()
        running.close()


_FIELDS = {
    "service": "shop", "environment": "production", "result": "success", "state": "open", "repository": "o/shop",
    "pipeline": "build", "sha": "a" * 40, "queue": "help", "journey": "new", "capability": "builds", "survey": "pulse",
    "wave": "2026-Q1", "scale": "nps", "score": 9, "question": "q", "member_kind": "hire", "change_native_id": "1",
    "authored_at": "2026-03-02T08:00:00Z", "committed_at": "2026-03-02T08:00:00Z", "passed": 1, "checks": 1,
    "replies": [{"at": "2026-03-02T08:30:00Z", "author": PLANTED_NAME}], "respondent": PLANTED_MAIL,
}  # fmt: skip


# --- files that people write -------------------------------------------------------------------------------


@dataclass
class Files:
    """Settings and SLO files that are spoilt, and queries. What they say of it must be an error of ours."""

    folder: Path
    settings: Sequence[str]
    slos: Sequence[str]
    refused: Counter[str] = field(default_factory=Counter)

    def settle(self, chance: random.Random) -> str:
        """One settings file; what is said of it."""
        path = self.folder / "paceline.yaml"
        path.write_text(spoilt_text(chance.choice(self.settings), chance), encoding="utf-8", errors="replace")
        return self._refused("settings", lambda: configuration(path, {}, self.folder))

    def promise(self, chance: random.Random) -> str:
        """One SLO file; what is said of it."""
        path = self.folder / "one.yaml"
        path.write_text(spoilt_text(chance.choice(self.slos), chance), encoding="utf-8", errors="replace")
        return self._refused("slos", lambda: load_slos(path, indicators()))

    def query(self, chance: random.Random) -> str:
        """One query in PromQL; what is said of it."""
        text = chance.choice(_QUERIES)
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(text) + 1)
            odd = chance.choice(_ODD_PARTS)
            text = text[:at] + odd + text[at + chance.randrange(3) :]
        ask = chance.choice(_ASKED)
        return self._refused("queries", lambda: ask(text))

    def _refused(self, what: str, read: Callable[[], object]) -> str:
        try:
            read()
        except PacelineError as error:
            self.refused[what] += 1
            return str(error)
        except ValueError as error:
            if what != "queries":
                raise
            self.refused[what] += 1
            return str(error)
        return ""


_ODD_PARTS = (
    *("{", "}", "(", '"', "'", "\\", "[5m]", " by ()", "#", "$window", 'le="1"', "\u202e", "1e999", " or ", "@", "\n"),
    *("(" * 300, "-" * 300),
)
_ASKED: tuple[Callable[[str], object], ...] = (
    *(promql.parsed, promql.counter, promql.gauge, promql.histogram),
    promql.selectors,
)
_QUERIES = (
    'sum(rate(http_requests_total{job="shop",code=~"5.."}[$window]))',
    'http_request_duration_seconds_bucket{job="shop"}',
    'checkout:latency:p99{team="a"}',
    "sum by (job) (increase(errors_total[5m])) / ignoring(code) group_left sum(rate(all_total[5m] offset 1h))",
    "histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))",
)


# --- all of it ---------------------------------------------------------------------------------------------

SHARES = {"answers": 0.1, "webhooks": 0.15, "api": 0.2, "settings": 0.02, "slos": 0.03, "queries": 0.5}
"""What share of the rounds each target has: an input of a query costs a thousandth of one of settings."""


@dataclass(frozen=True)
class Targets:
    """Everything that takes inputs."""

    answers: Answers
    served: Served
    files: Files

    @property
    def takes(self) -> Mapping[str, Take]:
        """By name, what takes one."""
        return {
            "answers": self.answers.take,
            "webhooks": self.served.tell,
            "api": self.served.ask,
            "settings": self.files.settle,
            "slos": self.files.promise,
            "queries": self.files.query,
        }


@contextlib.contextmanager
def targets(folder: Path, root: Path) -> Iterator[Targets]:
    """All targets in a folder; settings and SLO files are those of the tests below the root."""
    found = samples(folder / "samples")
    good, bad = root / "tests" / "paceline" / "good", root / "tests" / "paceline" / "bad"
    settings = [SERVED, *(path.read_text("utf-8") for path in (*good.glob("*.yaml"), *bad.glob("*.yaml")))]
    ending = f"# {SECRET}\nstore: postgresql://u:{SECRET}@127.0.0.1:1/x\n"
    settings = [f"{text}\n{ending}" for text in settings if text.strip()]
    slos = [path.read_text("utf-8") for path in (root / "tests" / "slo_engine").rglob("*.yaml")]
    files = Files(folder, settings, [text for text in slos if "openslo" in text])
    with served(folder / "served", found) as running:
        yield Targets(Answers(folder, found), running, files)


def fuzzed(found: Targets, rounds: int, seed: int, wanted: Sequence[str] = ()) -> Iterator[tuple[str, int, list[str]]]:
    """Each target's name, how many inputs it took, and what is weak; `rounds` of all together."""
    for name, take in found.takes.items():
        if wanted and name not in wanted:
            continue
        before, weak = found.answers.inputs, []
        own = round(rounds * SHARES[name])
        for number in range(own):
            try:
                checked(take, random.Random(f"{seed} {name} {number}"))  # noqa: S311 - it is to be repeatable
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever comes out is a finding, also what ends a process
                weak.append(f"{name}, seed {seed}, number {number}: {type(error).__name__}: {error}")
        yield name, found.answers.inputs - before if name == "answers" else own, weak
