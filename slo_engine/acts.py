"""Who did what in a repository and when: commits, changes and pipeline runs as far as onboarding asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from collector.conditions import Above, Where
from collector.events import Change, Commit, Event, PipelineRun
from slo_engine.indicator import Events

ACTIVE: tuple[type[Event], ...] = (Commit, Change, PipelineRun)
"""The kinds of events that tell what somebody did in a repository."""


class Act(NamedTuple):
    """Something that somebody did, and when, in microseconds: NEVER for what is not done. `others` act too (JSON)."""

    id: str
    at: int
    actor: str | None
    bot: bool
    others: str = ""


NEVER = 2**62
_COLUMNS: Mapping[type[Event], tuple[str, ...]] = {
    Commit: ("committed_at", "author", "bot", "co_authors"),
    Change: ("merged_at", "author", "bot"),
    PipelineRun: ("finished_at", "actor", "bot"),
}

Group = tuple[str | None, bool, str]
"""An actor, whether it is called a bot, and more actors as JSON text."""


def new_acts(events: Events, kind: type[Event], repository: str, since: int) -> list[Act]:
    """What was written of a repository after a revision: commits, changes when they merged, runs when they ended."""
    rows = events.columns(kind, "id", *_COLUMNS[kind], repository=repository, revision=Above(since))
    return [Act(id_, NEVER if at is None else at, *who) for id_, at, *who in rows]


def acts_by(events: Events, kind: type[Event], repository: str, after: int) -> dict[Group, list[int]]:
    """When which actors did something in a repository after a time."""
    later: dict[str, Where] = {_COLUMNS[kind][0]: Above(after)}
    found: dict[Group, list[int]] = {}
    for at, actor, bot, *others in events.columns(kind, *_COLUMNS[kind], repository=repository, **later):
        if at is not None:
            group = (actor, bool(bot), others[0] if others else "")
            if group not in found:
                found[group] = []
            found[group].append(at)
    return found


def first_acts(events: Events, repository: str) -> dict[Group, tuple[int, str]]:
    """When each actor did something in a repository for the first time, and the id of that."""
    found: dict[Group, tuple[int, str]] = {}
    for kind in ACTIVE:
        for id_, at, actor, bot, *others in events.columns(kind, "id", *_COLUMNS[kind], repository=repository):
            group = (actor, bool(bot), others[0] if others else "")
            if at is not None and (group not in found or (at, id_) < found[group]):
                found[group] = at, id_
    return found
