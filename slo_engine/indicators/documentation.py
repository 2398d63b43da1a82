"""Documentation: whether pages follow the code that they describe, and whether somebody still looks at them. Pure.

definitions.md §5. Pages that name the code they cover are judged by what is deployed of it, a code repository at a
time; all pages by when they were last reviewed.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from pydantic import Field

from collector.conditions import Above
from collector.durations import Duration
from collector.events import Change, Commit, Deployment, DocPage, event_id
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Reach, Shape, Unit
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, labelled, to_micros
from slo_engine.options import Options
from slo_engine.organisation import Organisation
from slo_engine.pages import Map, Page, maps, page_id, read_pages
from slo_engine.reached import Reached, Repository, only_repository, read_repository
from slo_engine.statistics import wilson

_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400_000_000
_LONGEST_DAY = 3 * _DAY
"""No day of a calendar lasts longer, also where a zone's clocks or its side of the date line change."""
_NEVER = 2**62
"""After all times: nothing changed."""
_REPOSITORIES_KEPT = 4


class DocumentationOptions(Options):
    """How soon pages are to follow the code, and how long a review lasts."""

    changed_within: Duration = Field(
        default=timedelta(days=14), description="How long after a deployed change its page may still be changed."
    )
    look_back: Duration = Field(
        default=timedelta(days=7),
        description="How long before the merge of a change its page may have been changed for it already.",
    )
    reviewed_within: Duration = Field(
        default=timedelta(days=180), description="How long a page counts as reviewed after somebody looked at it."
    )
    bots: bool = Field(default=False, description="Whether changes by bots ask for a change of the page.")


def reviewed(sample: Sample) -> Measured:
    """The share of pages that were last reviewed no longer ago than the option says; n: the pages."""
    within = sample.organisation.options_of(DocumentationOptions).reviewed_within // _MICROSECOND
    known = sample.at <= sample.now
    pages, which = np.unique(sample.unit[known], return_inverse=True)
    if pages.size == 0:
        return Measured(n=0)
    last = np.zeros(pages.size, dtype=np.int64)
    np.maximum.at(last, which, sample.at[known])
    fresh, n = int((sample.now - last <= within).sum()), int(pages.size)
    low, high = wilson(fresh, n) or (0.0, 1.0)
    return Measured(n=n, stats={"value": fresh / n, "low": low, "high": high})


DOCUMENTATION_FRESHNESS = Indicator(
    name="documentation_freshness",
    noun="days of pages",
    version="1",
    title="Documentation follows the code",
    definition=(
        "Share of the days on which code that a page covers was deployed, by page, after which the page was changed "
        "in time, or with the change; a page that was not is bad at its deadline."
    ),
    shape=Shape.RATIO,
    metric="platform_docs_fresh",
    labels=("method",),
    apart=("method",),
)
DOCUMENTATION_REVIEWED = Indicator(
    name="documentation_reviewed",
    noun="pages",
    version="1",
    title="Documentation is reviewed",
    definition="Share of the pages that were reviewed, or changed where nobody reviews them, not too long ago.",
    shape=Shape.MEASURE,
    metric="platform_docs_reviewed",
    labels=("method",),
    apart=("method",),
    measure=reviewed,
    stats=("value", "low", "high"),
    unit=Unit.RATIO,
    reach=Reach.ALL,
)


# --- pages that follow the code --------------------------------------------------------------------------


class _Change(NamedTuple):
    """A change of a page: when, and the event that tells of it."""

    at: int
    id: str


class _Judge:
    """Judges the pages that cover a repository's code."""

    def __init__(self, organisation: Organisation, own: Map, changes: Mapping[str, Sequence[_Change]]) -> None:
        self._organisation, self._map, self._changes = organisation, own, changes
        options = organisation.options_of(DocumentationOptions)
        self._bots = options.bots
        self.within, self._back = options.changed_within // _MICROSECOND, options.look_back // _MICROSECOND

    def later(self, reached: Sequence[Reached], after: int) -> Iterator[Observation]:
        """The observations dated after a time: of pages whose deadline had not passed, on whole days."""
        some = (one for one in reached if one.at >= after - self.within - _LONGEST_DAY)
        return (o for o in self.observations(some) if to_micros(o.at) > after)

    def observations(self, reached: Iterable[Reached]) -> Iterator[Observation]:
        """Each page on each day that brought users something of what it covers."""
        days: dict[tuple[str, str], list[Reached]] = defaultdict(list)
        unknown: dict[tuple[Subject, str], Reached] = {}
        for one in sorted(reached):
            day = from_micros(one.at).astimezone(self._organisation.zone).date().isoformat()
            paths = one.paths
            if paths is None:
                for subject in {page.subject for page in self._map.pages}:
                    unknown.setdefault((subject, day), one)
                continue
            for identity in self._map.of_all(paths):
                days[identity, day].append(one)
        pages = {p.id: p for p in self._map.pages}
        for (identity, day), some in sorted(days.items()):
            yield from self._judged(pages[identity], day, some)
        for (subject, _), one in unknown.items():
            yield _observation(subject, one.change, one.source, one.at, Outcome.EXCLUDED, Reason.UNKNOWN_PATHS)

    def _judged(self, page: Page, day: str, some: Sequence[Reached]) -> Iterator[Observation]:
        """A page on a day: one unit, however many changes the day brought, from the first of them on."""
        asking = [one for one in some if self._bots or not one.bot]
        first = (asking or some)[0]
        unit = event_id("page_day", page.id, f"{self._map.repository} {day}")
        source = "+".join(sorted({page.last.source, *first.source.split("+")}))
        known = self._changes[page.id]
        change = _first(known, min(one.merged_at for one in asking) - self._back) if asking else None
        outcome, at, reason = self._verdict(first.at, known[0], change, asked=bool(asking))
        told = change if outcome is Outcome.GOOD else _last(known, first.at)
        evidence = tuple(e for e in ("" if told is None else told.id, first.change, first.release) if e)
        if at > first.at:
            yield _observation(page.subject, unit, source, first.at, Outcome.PENDING, matures_at=at)
        yield _observation(page.subject, unit, source, at, outcome, reason, rule=first.rule, evidence=evidence)

    def _verdict(self, since: int, oldest: _Change, change: _Change | None, *, asked: bool) -> tuple[Outcome, int, str]:
        """Whether a page was changed in time, when that was decided, and why nobody can say."""
        deadline = since + self.within
        if not asked:
            return Outcome.EXCLUDED, since, Reason.BOT
        if change is not None and change.at <= deadline:
            return Outcome.GOOD, max(since, change.at), ""
        if oldest.at > deadline:
            return Outcome.EXCLUDED, since, Reason.BEFORE_HORIZON
        return Outcome.BAD, deadline, ""


def _first(changes: Sequence[_Change], since: int) -> _Change | None:
    """The first change of a page from a time on."""
    place = bisect_left(changes, since, key=lambda c: c.at)
    return changes[place] if place < len(changes) else None


def _last(changes: Sequence[_Change], until: int) -> _Change | None:
    """The last change of a page up to a time."""
    place = bisect_right(changes, until, key=lambda c: c.at)
    return changes[place - 1] if place else None


def _observation(  # noqa: PLR0913 - a judgement's parts
    subject: Subject,
    unit: str,
    source: str,
    at: int,
    outcome: Outcome,
    reason: str = "",
    *,
    matures_at: int | None = None,
    rule: str = "",
    evidence: tuple[str, ...] = (),
) -> Observation:
    return Observation(
        indicator=DOCUMENTATION_FRESHNESS.name,
        unit=unit,
        at=from_micros(at),
        subject=subject,
        source=source,
        outcome=outcome,
        reason=reason,
        dimension=labelled("map"),
        matures_at=None if matures_at is None else from_micros(matures_at),
        rule=rule,
        evidence=evidence,
    )


# --- what is new -----------------------------------------------------------------------------------------


class _State(msgspec.Struct, array_like=True, frozen=True):
    """Marks of what a repository's pages were judged by.

    `pages`: whose they are and what they cover. `reached`, `changes`: by UTC day, counted from 1970, what of the code
    reached production, and how pages changed.
    """

    pages: bytes
    reached: dict[int, bytes]
    changes: dict[int, bytes]

    @classmethod
    def of(cls, own: Map, reached: Iterable[Reached], changes: Mapping[str, Sequence[_Change]]) -> _State:
        """The state of what is known now."""
        pages = [(p.id, p.subject, p.last.source, p.last.repository, p.last.covers) for p in own.pages]
        known = sorted((c.at, page, c.id) for page, some in changes.items() for c in some)
        return cls(_mark([pages, sorted(own.no_code)]), _by_day(reached), _by_day(known))

    def unchanged_until(self, before: _State, within: int) -> int | None:
        """Up to when nothing is judged otherwise than before; None where anything may be.

        What reached production concerns the pages on its own day, as long as that may be; a page's change concerns
        those whose deadline had not passed.
        """
        if self.pages != before.pages:
            return None
        first = min(_changed(before.reached, self.reached), _changed(before.changes, self.changes) - within)
        return first if first >= _NEVER - within else first - _LONGEST_DAY - 1


def _changed(before: Mapping[int, bytes], now: Mapping[int, bytes]) -> int:
    """When the first UTC day begins of which something else is told."""
    return min((day * _DAY for day in before.keys() | now.keys() if before.get(day) != now.get(day)), default=_NEVER)


def _by_day(rows: Iterable[tuple[object, ...]]) -> dict[int, bytes]:
    """The mark of each UTC day's rows, which are in order and begin with their time."""
    found: dict[int, list[tuple[object, ...]]] = defaultdict(list)
    for row in rows:
        found[row[0] // _DAY].append(row)  # type: ignore[operator] # a time in microseconds
    return {day: _mark(own) for day, own in found.items()}


def _mark(told: object) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(told), digest_size=8).digest()


# --- pages that somebody looks at ------------------------------------------------------------------------


def _reviews(pages: Iterable[Page]) -> Iterator[Observation]:
    """When somebody looked at each page."""
    for page in pages:
        for at, version in sorted(page.reviews.items()):
            yield Observation(
                indicator=DOCUMENTATION_REVIEWED.name,
                unit=page.id,
                at=from_micros(at),
                subject=page.subject,
                source=page.last.source,
                outcome=Outcome.MEASURED,
                dimension=labelled("age"),
                evidence=(version,),
            )


# --- the family ------------------------------------------------------------------------------------------

_CODE, _PAGES = "code:", "pages:"


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of both indicators."""
    for piece in pieces(events, organisation, Asked()):
        yield from piece.observations  # type: ignore[misc] # none of these pieces has rows


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The repositories whose code is covered and that something new touches, and those with new pages."""
    batch = _Batch(events, organisation)
    touched = batch.touched(asked) if asked.only is None else asked.only
    for scope in sorted(touched - set(asked.derived)):
        piece = batch.code(scope, asked) if scope.startswith(_CODE) else batch.pages(scope)
        if piece is not None:
            yield piece


def scopes(events: Events, organisation: Organisation) -> set[str]:
    """The repositories with pages, and those whose code is covered."""
    return _Batch(events, organisation).scopes


class _Batch:
    """One pass over the pieces to derive."""

    def __init__(self, events: Events, organisation: Organisation) -> None:
        self._events, self._organisation = events, organisation
        self._pages = read_pages(events, organisation)
        self._maps = maps(self._pages)
        self._repositories: OrderedDict[str, Repository] = OrderedDict()

    @property
    def scopes(self) -> set[str]:
        """All pieces there are."""
        return {_CODE + name for name in self._maps} | {_PAGES + p.last.repository for p in self._pages}

    def touched(self, asked: Asked) -> set[str]:
        """The pieces that what is new may change."""
        if asked.since is None:
            return {*self.scopes, *asked.known}
        wanted = set(self._new_pages(asked.since["doc_page"]))
        if self._maps or any(scope.startswith(_CODE) for scope in asked.known):
            wanted.update(self._new_code(asked.since))
        named = {scope for scope, reads in asked.known.items() if not wanted.isdisjoint(reads)}
        return named | (wanted & self.scopes)

    def _new_pages(self, since: int) -> Iterator[str]:
        """What the new versions of pages are read as, and the pieces that they are part of now."""
        for name in self._events.moved(DocPage, since):
            yield from (_PAGES + name, _CODE + name)
        new = {page_id(r, p) for r, p in self._events.columns(DocPage, "repository", "path", revision=Above(since))}
        yield from (f"version:{i}" for (i,) in self._events.columns(DocPage, "id", revision=Above(since)))
        for page in self._pages:
            if page.id in new:
                yield from (f"page:{page.id}", _PAGES + page.last.repository, _CODE + page.last.repository)
                yield from (_CODE + cover.repository for cover in page.covers)

    def _new_code(self, since: Mapping[str, int]) -> Iterator[str]:
        """What new commits, requests and deployments are read as, and the pieces that they are part of now."""
        events, organisation = self._events, self._organisation
        for kind, revision in ((Commit, since["commit"]), (Change, since["change"])):
            names = {*events.distinct(kind, "repository", revision), *events.moved(kind, revision)}
            yield from (f"repository:{name}" for name in names)
        written = Above(since["deployment"])
        deployed = events.distinct(Deployment, "service", written.value)
        new = events.columns(Deployment, "service", "repository", service=deployed, revision=written)
        yield from (_CODE + repository for _, repository in new if repository)
        for raw in {*(s for s, _ in new), *events.moved(Deployment, since["deployment"])}:
            name = organisation.deployed(raw) or raw
            yield f"service:{name}"
            service = organisation.service(name)
            only = None if service is None else only_repository(service)
            yield from () if only is None else (_CODE + only,)

    def pages(self, scope: str) -> Piece:
        """The pages of a repository."""
        own = [p for p in self._pages if p.last.repository == scope.removeprefix(_PAGES)]
        return Piece(scope, _reviews(own), reads=tuple(sorted(_read(own))))

    def code(self, scope: str, asked: Asked) -> Piece | None:
        """The pages about a repository's code, from the first day on that is told otherwise; None where none is."""
        name = scope.removeprefix(_CODE)
        own = self._maps.get(name)
        if own is None:
            return Piece(scope, ())
        code, changes = self._repository(name), self._changes(own.pages)
        reached, judge = sorted(code.reached(self._organisation)), _Judge(self._organisation, own, changes)
        reads, state = self._reads(own, code), _State.of(own, reached, changes)
        before = _decoded(asked.state(scope)) if asked.since is not None else None
        after = None if before is None else state.unchanged_until(before, judge.within)
        if before == state and reads == asked.known.get(scope):
            return None
        found = judge.observations(reached) if after is None else judge.later(reached, after)
        return Piece(scope, found, reads, msgspec.msgpack.encode(state), after)

    @staticmethod
    def _reads(own: Map, code: Repository) -> tuple[str, ...]:
        """What the pages about a repository's code are judged by."""
        repositories = {code.name, *(p.last.repository for p in own.pages)}
        reads = _read(own.pages) | {f"repository:{name}" for name in repositories}
        return tuple(sorted(reads | {f"service:{service}" for service in code.services}))

    def _changes(self, pages: Iterable[Page]) -> dict[str, list[_Change]]:
        """When each page was changed: by its versions, and by the changes of its repository that touch it."""
        found: dict[str, set[_Change]] = {p.id: {_Change(v.changed_at, v.id) for v in p.versions} for p in pages}
        paths: dict[str, set[str]] = defaultdict(set)
        for page in pages:
            paths[page.last.repository].add(page.last.path)
        for name, wanted in paths.items():
            for path, change in self._repository(name).changed(wanted):
                if change.merged_at is not None:
                    found[page_id(name, path)].add(_Change(change.merged_at, change.id))
        return {page: sorted(changes) for page, changes in found.items()}

    def _repository(self, name: str) -> Repository:
        """A repository; the last few are kept, for pages that stand apart from the code."""
        found = self._repositories.pop(name, None) or read_repository(self._events, self._organisation, name)
        self._repositories[name] = found
        while len(self._repositories) > _REPOSITORIES_KEPT:
            self._repositories.popitem(last=False)
        return found


def _decoded(packed: bytes | None) -> _State | None:
    """A state as it was packed; None for none, or one of another version."""
    try:
        return msgspec.msgpack.decode(packed, type=_State) if packed else None
    except msgspec.DecodeError:
        return None


def _read(pages: Iterable[Page]) -> set[str]:
    """What pages are read as: each by its place and by the ids of its versions."""
    return {f"page:{p.id}" for p in pages} | {f"version:{v.id}" for p in pages for v in p.versions}


FAMILY = Family(
    name="documentation",
    inputs=(DocPage, Commit, Change, Deployment),
    indicators=(DOCUMENTATION_FRESHNESS, DOCUMENTATION_REVIEWED),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=DocumentationOptions,
)
