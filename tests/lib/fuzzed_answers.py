"""Runs of sources against APIs whose answers are spoilt, and now and then tell the token back that they were shown."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pkgutil
import random
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import providers
import requests
import sqlalchemy as sa
from pydantic import SecretStr
from replay import Provider, Sample
from requests.adapters import BaseAdapter
from spoiling import PERSON, TOKEN, Weak, spoilt, spoilt_bytes
from urllib3 import HTTPResponse

from collector.api import ApiConfig
from collector.errors import PacelineError
from collector.http import Wire
from collector.people import People
from collector.run import Failure, Runner
from collector.source import Page, Source, SourceContext
from collector.store import Database, EventStore
from collector.store.tables import METADATA

NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
MOST_REQUESTS = 400
"""Of one run: more is a reader without end."""
_LOOKED_AT_EACH = 20
"""After so many runs all that is stored is looked at, and a new store begun."""


@dataclass
class Spoiling(BaseAdapter):
    """An API whose answers are spoilt now and then."""

    inner: Provider
    chance: random.Random
    asked: int = 0

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # as one
        """Answer. Raises Weak for a client that never ends."""
        self.asked += 1
        if self.asked > MOST_REQUESTS:
            raise Weak(f"one run asked more than {MOST_REQUESTS} times")
        try:
            response = self.inner.send(request)
        except (AssertionError, LookupError, ValueError):  # it is strict about what it is asked: others say so
            return _answer(requests.Response(), b"{}", {}, 400)
        if self.chance.random() < 0.3:
            return response
        if self.chance.random() < _TELLING_BACK:
            return _told_back(response, self.chance)
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


_TELLING_BACK = 0.03


def _told_back(of: requests.Response, chance: random.Random) -> requests.Response:
    """An answer of a server that shows whoever asks what was asked, and who it thinks that was."""
    said = f"no such token {TOKEN} of {' '.join(PERSON)} at {of.url}?private_token={TOKEN}"
    shapes: tuple[Any, ...] = ({"message": said}, {"error": {"message": said}}, {"errors": [{"message": said}]}, said)
    headers = {"Content-Type": "application/json", "WWW-Authenticate": said, "Location": f"{of.url}?token={TOKEN}"}
    return _answer(of, json.dumps(chance.choice(shapes)).encode(), headers, chance.choice(_STATUSES))


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
        found[module.name] = _with_token(importlib.import_module(f"providers.{module.name}").sample(own))
    return found


def _with_token(sample: Sample) -> Sample:
    """The same, with the planted token."""
    if not isinstance(sample.config, ApiConfig) or not sample.config.token.get_secret_value():
        return sample
    if sample.provider is not None and sample.provider.token:
        sample.provider.token = TOKEN
    return replace(sample, config=sample.config.model_copy(update={"token": SecretStr(TOKEN)}))


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
        if adapter.asked > MOST_REQUESTS:
            raise Weak(f"a run of {name} asked more than {MOST_REQUESTS} times")
        if outcome.failure is Failure.DEFECT:
            raise Weak(f"{name}: {outcome.error}\n{source.defect[-1_500:]}")
        self.inputs += adapter.asked
        self.failures[str(outcome.failure or "none")] += 1
        self._runs += 1
        said = repr(outcome)
        if self._runs % _LOOKED_AT_EACH == 0:
            said += stored(self._database)
            self._database.close()
            self._database = None
        return said

    @property
    def asking(self) -> list[str]:
        """The types that ask an API."""
        return sorted(name for name, one in self.found.items() if isinstance(one.config, ApiConfig) and one.provider)


WRITTEN = ("title", "url", "ref", "source_branch", "target_branch", "labels", "links", "events")
"""Columns of texts that a source wrote, in which somebody may be named: they are shown nowhere. See docs/privacy.md."""


def stored(database: Database, but: Sequence[str] = WRITTEN) -> str:
    """All that a store holds, as text, without some columns."""
    with database.reading() as connection:
        found = []
        for table in METADATA.sorted_tables:
            rows = connection.execute(sa.select(*(column for column in table.c if column.name not in but)))
            found += [str([tuple(row) for row in rows])]
    return "\n".join(found)
