"""Who did what in a repository and when: commits, changes and pipeline runs as far as onboarding asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from collector.conditions import Above, Where
from collector.events import Change, Commit, Event, PipelineRun
from slo_engine.indicator import Events

ACTIVE: tuple[type[Event], ...] = (Commit, Change, PipelineRun)
"""The kinds of events that tell what somebody did in a repository."""


class Act(NamedTuple):
    """Something that somebody did: `others` are more of them, as JSON text. Times in microseconds.

    `at` is when it was done; `earliest` the first time at which it can mean anything.
    """

    id: str
    at: int
    earliest: int
    actor: str | None
    bot: bool
    others: str = ""


_COLUMNS: Mapping[type[Event], tuple[str, ...]] = {
    Commit: ("id", "committed_at", "authored_at", "author", "bot", "co_authors"),
    Change: ("id", "merged_at", "created_at", "author", "bot"),
    PipelineRun: ("id", "finished_at", "created_at", "actor", "bot"),
}
_SCANNED: Mapping[type[Event], tuple[str, ...]] = {
    Commit: ("committed_at", "author", "bot", "co_authors"),
    Change: ("merged_at", "author", "bot"),
    PipelineRun: ("finished_at", "actor", "bot"),
}

Group = tuple[str | None, bool, str]
"""An actor, whether it is called a bot, and more actors as JSON text."""


def new_acts(events: Events, kind: type[Event], repository: str, since: int) -> list[Act]:
    """What was written of a repository after a revision; what has no time yet counts from its creation."""
    rows = events.columns(kind, *_COLUMNS[kind], repository=repository, revision=Above(since))
    return [_act(row) for row in rows]


def _act(row: tuple[Any, ...]) -> Act:
    id_, at, begun, *who = row
    known = [t for t in (at, begun) if t is not None]
    return Act(id_, max(known, default=0), min(known, default=0), *who)


def acts_by(events: Events, kind: type[Event], repository: str, after: int | None) -> dict[Group, list[int]]:
    """When which actors did something in a repository; only after a time."""
    dated = _SCANNED[kind][0]
    later: dict[str, Where] = {} if after is None else {dated: Above(after)}
    found: dict[Group, list[int]] = {}
    for at, actor, bot, *others in events.columns(kind, *_SCANNED[kind], repository=repository, **later):
        if at is not None:
            group = (actor, bool(bot), others[0] if others else "")
            if group not in found:
                found[group] = []
            found[group].append(at)
    return found
