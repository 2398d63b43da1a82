"""What happens to a provider in one bad hour, and what each class of sources learns only after it.

A provider is up, gone, slow, wrong, and back. What happened there meanwhile is hidden until it is back: a source must
find it then, without a hand, and nothing twice. Providers are the stand-ins of `providers/`, in documented shapes.
"""

from __future__ import annotations

import importlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import requests
from replay import Provider, Sample, sample_of
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

Phase = Literal["up", "down", "slow", "wrong", "back"]
Stored = tuple[str, str]
"""The kind and the id of an event that is stored."""
Wrong = Literal["500", "401", "html", "cut", "loop"]
HOUR: tuple[tuple[Phase, float], ...] = (("up", 5), ("down", 15), ("slow", 10), ("wrong", 10), ("back", 20))
"""The phases of an hour and their minutes."""
WRONGS: tuple[Wrong, ...] = ("500", "401", "html", "cut", "loop")

NEWS: Mapping[str, tuple[str, Any]] = {
    "argocd": ("id", 10),
    "azuredevops": ("pullRequestId", 4),
    "backstage": ("id", "task-0006"),
    "buildbot": ("name", "both"),
    "circleci": ("id", "e806de61-4f45-559a-bf6c-f9f2893a1c1b"),
    "gitea": ("id", 1005),
    "gitlab": ("id", 301),
    "http_json": ("id", 7),
    "jira": ("id", "10006"),
    "opsgenie": ("id", "i6"),
    "pagerduty": ("id", "P000009"),
    "scim": ("id", "2819c223-7f76-453a-919d-000000000005"),
    "statuspage": ("id", "p4"),
}
"""By source type, the field and value by which one knows, in any answer, what happened in the bad hour."""


def _github(module: Any) -> tuple[Sample, Callable[[], object]]:
    world = module.small_world()
    runs = world.held["acme/shop"].runs
    newest = runs.pop()
    return sample_of(module.configured(), module.serve(world)), lambda: runs.append(newest)


def _jenkins(module: Any) -> tuple[Sample, Callable[[], object]]:
    world = module.small_world()
    builds = world.jobs["nightly"].builds
    newest = builds.pop()
    settings = module.config(deployments=module.rules(), libraries=["acme/pipeline-library"])
    return sample_of(settings, module.controller(world)), lambda: builds.append(newest)


def _redmine(module: Any) -> tuple[Sample, Callable[[], object]]:
    world = module.world()
    return sample_of(module.sample(Path()).config, module.provider(world)), lambda: world.issue(340)


def _servicenow(module: Any) -> tuple[Sample, Callable[[], object]]:
    world = module.small()
    at = "2026-03-01 15:00:00"
    made = sample_of(module.config(changes={}), module.provider(world))
    return made, lambda: world.task(5, sys_updated_on=at, sys_created_on=at)


_GROWING: Mapping[str, Callable[[Any], tuple[Sample, Callable[[], object]]]] = {
    "github": _github,
    "jenkins": _jenkins,
    "redmine": _redmine,
    "servicenow": _servicenow,
}
"""Where hiding an item makes answers that the system never gives, it happens in the stand-in's own world."""


def asked(name: str, folder: Path) -> tuple[Sample, Callable[[], object]]:
    """A sample of a source type that asks an API, and what lets the news of its world happen."""
    module = importlib.import_module(f"providers.{name}")
    if name in _GROWING:
        return _GROWING[name](module)
    return module.sample(folder), lambda: None


def phase_at(minute: float, scale: float = 1.0) -> Phase:
    """What a provider is like so many minutes after the hour began, where its minutes are longer or shorter."""
    for phase, minutes in HOUR:
        if minute < minutes * scale:
            return phase
        minute -= minutes * scale
    return HOUR[-1][0]


def begins(phase: Phase, scale: float = 1.0) -> float:
    """The minute in which a phase begins."""
    before = 0.0
    for name, minutes in HOUR:
        if name == phase:
            break
        before += minutes * scale
    return before


def without(answer: Any, news: tuple[str, Any]) -> Any:
    """An answer without the items of its lists that are the news."""
    if isinstance(answer, list):
        return [without(item, news) for item in answer if not _is(item, news)]
    if isinstance(answer, dict):
        return {name: without(value, news) for name, value in answer.items()}
    return answer


def _is(item: Any, news: tuple[str, Any]) -> bool:
    return isinstance(item, dict) and news[0] in item and item[news[0]] == news[1]


@dataclass
class Troubled(BaseAdapter):
    """A provider in its bad hour. `wrong` is how it answers where it is wrong."""

    inner: Provider
    news: tuple[str, Any] | None = None
    phase: Phase = "up"
    wrong: Wrong = "500"
    asked: int = 0
    _first: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # as one
        """Answer, or fail as a connection does."""
        with self._lock:
            self.asked += 1
        if self.phase == "down":
            raise requests.exceptions.ConnectionError("nobody listens")
        if self.phase == "slow":
            raise requests.exceptions.ReadTimeout("it hangs")
        response = self.inner.send(request)
        if self.phase != "back" and self.news is not None:
            response = _hidden(response, self.news)
        return response if self.phase != "wrong" else self._spoilt(response)

    def _spoilt(self, response: requests.Response) -> requests.Response:
        body, kind = response.content, self.wrong
        if kind == "500":
            return answered(response, b"<h1>Internal Server Error</h1>", 500, {"Content-Type": "text/html"})
        if kind == "401":
            return answered(response, b'{"message": "Bad credentials"}', 401)
        if kind == "html":
            page = b"<html><title>We will be back soon</title></html>"
            return answered(response, page, 200, {"Content-Type": "text/html"})
        if kind == "cut":
            return answered(response, body[: max(len(body) // 2, 1)], 200)
        # The first page again and again, which names itself as the next one.
        path = str(response.url).partition("?")[0]
        body = self._first.setdefault(path, body)
        return answered(response, body, 200, {"Link": f'<{response.url}>; rel="next"'})

    def close(self) -> None:
        """Nothing is kept."""


def _hidden(response: requests.Response, news: tuple[str, Any]) -> requests.Response:
    try:
        whole = json.loads(response.content)
    except ValueError:
        return response
    known = without(whole, news)
    return response if known == whole else answered(response, json.dumps(known).encode(), response.status_code)


def answered(
    of: requests.Response, body: bytes, status: int, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """The same answer with another body and status."""
    told = {k: v for k, v in of.headers.items() if k.lower() not in {"etag", "link"}} | dict(headers or {})
    made = requests.Response()
    made.status_code, made.url, made.request = status, of.url, of.request
    made.headers.update(told)
    made.raw = HTTPResponse(body=io.BytesIO(body), headers=told, status=status, preload_content=False)
    return made


# --- what is judged ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What is promised of freshness, in minutes: when an alert fires and when it is over."""

    stale_after: float
    every: float
    wait: float = 15.0
    slack: float = 2.0
    """Evaluation, scrape and rule each come at their own time."""
    patience: float = 5.0
    """How long after it is back a source may take: a run that hangs holds its next one up."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of one source in the hour, in minutes since it began."""

    fired: Sequence[tuple[float, float]]
    """Spans in which its alert fired."""
    last_success: float | None
    """Its last success before it went away."""


def judged(seen: Seen, promise: Promise, back: float) -> list[str]:
    """What was not as promised of a source that was away until it was back; nothing where all was."""
    if seen.last_success is None:
        return ["it was never collected"]
    if not seen.fired:
        return ["its alert never fired"]
    began, ended = seen.fired[0][0], seen.fired[-1][1]
    earliest = seen.last_success + promise.stale_after + promise.wait
    found = []
    if began < earliest - promise.slack:
        found.append(f"its alert fired in minute {began:.1f}, before {earliest:.1f}")
    if began > earliest + promise.slack:
        found.append(f"its alert fired in minute {began:.1f}, later than {earliest + promise.slack:.1f}")
    if ended > back + promise.patience:
        found.append(f"its alert was over in minute {ended:.1f}, later than {back + promise.patience:.1f}")
    return found


def unlike(found: Sequence[Stored], wanted: Sequence[Stored], *, grows: bool = False) -> list[str]:
    """What is stored otherwise than an undisturbed run stores it; of what `grows` with time there may be more."""
    said = [] if wanted else ["an undisturbed run found nothing"]
    if doubled := len(found) - len(set(found)):
        said.append(f"{doubled} events are stored twice")
    if lost := set(wanted) - set(found):
        said.append(f"{len(lost)} events are lost: {sorted(lost)[:3]}")
    if not grows and (invented := set(found) - set(wanted)):
        said.append(f"{len(invented)} events nobody told of: {sorted(invented)[:3]}")
    return said


def unnamed(names: Sequence[str], told: str) -> list[str]:
    """Which sources have no line of their own in what the doctor told; nothing where all have one."""
    lines = [line.partition(" (")[0] for line in told.splitlines()]
    missing = [name for name in names if name not in lines]
    return [f"it does not name {', '.join(missing)}"] if missing else []


def grown(memory: Sequence[tuple[float, float]], warm: float, most: float) -> list[str]:
    """Whether memory, in MB by minutes, was ever so many times what it was at most until it was warm."""
    before = max((mb for at, mb in memory if at < warm), default=0.0)
    after = max((mb for at, mb in memory if at >= warm), default=0.0)
    if not before or not after:
        return ["its memory was not measured"]
    return [f"memory grew from {before:.0f} to {after:.0f} MB"] if after > most * before else []


def spans(firing: Sequence[float], step: float) -> Iterator[tuple[float, float]]:
    """The spans of moments that are a step apart."""
    begun = before = None
    for at in firing:
        if begun is None or before is None or at - before > 1.5 * step:
            if begun is not None and before is not None:
                yield begun, before
            begun = at
        before = at
    if begun is not None and before is not None:
        yield begun, before
