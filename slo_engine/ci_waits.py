"""How long people waited for runners, summed by day. Pure. Times are integer microseconds since 1970 UTC.

Millions of jobs wait: what a repository's jobs waited on a day, for one team, is one sum with its longest waits. Runs
say nothing of each other, so the sums of those that ended are kept, and new runs are added to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from collector.events import PipelineRun, Result, RunKind, RunState, event_id, kind_of
from slo_engine.observation import Reason
from slo_engine.settled import Marks, mark, marks

DAY = 86_400_000_000
MOST_EVIDENCE = 20
_ROOM = 4 * MOST_EVIDENCE
"""So many jobs are listed before the list is put in order and cut."""
_OPEN_DAYS = 14
"""So many of the last days with jobs stay open: a job of an earlier one costs a whole derivation."""
_MOST_OPEN = 1_000
"""So many jobs of runs under way are read again; what becomes of others costs a whole derivation."""
NEVER = 2**62
K = TypeVar("K")
V = TypeVar("V")


class Job(NamedTuple):
    """A run of a pipeline, or of one of its jobs, as the arithmetic needs it. `actor` is the person."""

    id: str
    source: str
    pipeline: str
    native_id: str
    parent_native_id: str | None
    run_kind: str
    state: str
    result: str | None
    created_at: int | None
    started_at: int | None
    finished_at: int | None
    revision: int
    actor: str | None
    bot: bool

    @property
    def run(self) -> str | None:
        """What its source calls the run that it is, or is a job of; None for a job that does not say."""
        return self.native_id if self.run_kind == RunKind.PIPELINE else self.parent_native_id

    @property
    def belongs(self) -> tuple[str, str, str | None]:
        """What other jobs go by."""
        return self.run_kind, self.pipeline, self.run

    @property
    def at(self) -> int:
        """When it started, or the nearest time that is known; 0 where none is."""
        return next((t for t in (self.started_at, self.finished_at, self.created_at) if t is not None), 0)


class Whose(NamedTuple):
    """Who waited on which day (its number since 1970), and whose jobs."""

    day: int
    team: str
    source: str


class Listed(msgspec.Struct, array_like=True):
    """How many jobs there are, and the first of them: by a number, then by their ids."""

    jobs: int = 0
    listed: list[tuple[int, str]] = msgspec.field(default_factory=list)

    def add(self, order: int, key: str) -> None:
        """Count one more."""
        self.jobs += 1
        self.listed.append((order, key))
        if len(self.listed) > _ROOM:
            self.listed = self.first

    def joined(self, more: Listed) -> Listed:
        """These and others."""
        return Listed(self.jobs + more.jobs, sorted([*self.listed, *more.listed])[:MOST_EVIDENCE])

    @property
    def first(self) -> list[tuple[int, str]]:
        """The first of them, in order."""
        return sorted(self.listed)[:MOST_EVIDENCE]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the first of them, in order."""
        return tuple(key for _, key in self.first)


class DaySum(msgspec.Struct, array_like=True):
    """What jobs waited: the time in which at least one of a run's jobs did, and the jobs, the longest waits first.

    The time is in whole microseconds: added up in any order it is the same.
    """

    micros: int = 0
    waits: Listed = msgspec.field(default_factory=Listed)

    def joined(self, more: DaySum) -> DaySum:
        """Both together."""
        return DaySum(self.micros + more.micros, self.waits.joined(more.waits))


class Keys(NamedTuple):
    """What waits are summed under, and what jobs that were left out are."""

    sums: frozenset[Whose] = frozenset()
    excluded: frozenset[tuple[Whose, str]] = frozenset()


class CiWaits(msgspec.Struct, array_like=True):
    """The waits of a repository by day, the jobs that were left out by day and reason, and those that still wait."""

    sums: dict[Whose, DaySum] = msgspec.field(default_factory=dict)
    excluded: dict[tuple[Whose, str], Listed] = msgspec.field(default_factory=dict)
    pending: dict[tuple[str, str], Listed] = msgspec.field(default_factory=dict)
    """By team and source."""

    @property
    def days(self) -> set[int]:
        """The days that jobs waited or were left out on."""
        return {whose.day for whose in self.sums} | {whose.day for whose, _ in self.excluded}

    def joined(self, more: CiWaits) -> CiWaits:
        """Both together."""
        sums, excluded, pending = dict(self.sums), dict(self.excluded), dict(self.pending)
        for whose, day in more.sums.items():
            sums[whose] = sums[whose].joined(day) if whose in sums else day
        for why, jobs in more.excluded.items():
            excluded[why] = excluded[why].joined(jobs) if why in excluded else jobs
        for who, jobs in more.pending.items():
            pending[who] = pending[who].joined(jobs) if who in pending else jobs
        return CiWaits(sums, excluded, pending)

    @property
    def keys(self) -> Keys:
        """What its sums and the jobs that were left out stand under."""
        return Keys(frozenset(self.sums), frozenset(self.excluded))

    def like(self, *others: Keys) -> CiWaits:
        """What of it stands under the same as something in others, and all that still waits."""
        sums, excluded = (frozenset[Any]().union(*own) for own in zip(*others, strict=True))
        return CiWaits(_among(self.sums, sums), _among(self.excluded, excluded), self.pending)

    def since(self, day: int) -> CiWaits:
        """It without what is dated before a day."""
        sums = {whose: one for whose, one in self.sums.items() if not _is_before(whose.day, day)}
        excluded = {why: jobs for why, jobs in self.excluded.items() if not _is_before(why[0].day, day)}
        return CiWaits(sums, excluded, self.pending)


def _among(known: Mapping[K, V], wanted: Iterable[K]) -> dict[K, V]:
    return {key: known[key] for key in wanted if key in known}


class State(msgspec.Struct, array_like=True, frozen=True):
    """A repository as far as it is settled.

    `settled`: the sums of runs that ended, of the days from `since` on. `open`: the jobs of other runs, each with what
    it belongs to. `loose`: by source the pipelines with jobs that do not say whose they are. `done`: the marks of the
    jobs that are settled, and of the runs that they are jobs of. `counted`: what open jobs were counted under, which is
    said again when they turn out to belong elsewhere.
    """

    settled: CiWaits = msgspec.field(default_factory=CiWaits)
    since: int = -NEVER
    loose: set[tuple[str, str]] = msgspec.field(default_factory=set)
    open: dict[str, tuple[str, str, str | None]] = msgspec.field(default_factory=dict)
    done: bytes = b""
    counted: Keys = Keys()


class Carried(NamedTuple):
    """What is to be said: of the days and teams that new jobs concern, and of those among them that may yet change."""

    found: CiWaits
    open: CiWaits
    state: State


class Terms(NamedTuple):
    """What counts: `team_of` says whose team somebody was in; `bots`: whether jobs count that a bot started.

    `until`: the revision up to which all is known. What was written later will be told again as something new.
    """

    team_of: Callable[[str | None, int], str]
    bots: bool
    until: int = NEVER


def ci_waits(jobs: Sequence[Job], terms: Terms) -> Carried:
    """What people waited for the jobs of a repository, given all of them.

    Of pipelines whose jobs are not known, the pipeline's own wait counts. Jobs of one run that wait side by side make
    people wait once.
    """
    return _carried(State(loose=_loose(jobs)), jobs, terms)


def carried_on(
    state: State, new: Sequence[Job], read: Callable[[list[str]], Iterable[Job]], terms: Terms
) -> Carried | None:
    """What new jobs change; None where that cannot be told without all others. `read` gives the jobs of some ids."""
    known = {job.id for job in new}
    unread = [key for key in state.open if key not in known]
    jobs = [*new, *(read(unread) if unread else ())]
    there = [job for job in jobs if job.id in state.open]
    if len(there) < len(state.open) or any(state.open[job.id] != job.belongs for job in there):
        return None
    fresh = [job for job in new if job.id not in state.open]
    if not _loose(fresh) <= state.loose or Marks(state.done).among(mark(i) for job in fresh for i in _ids([job])):
        return None
    if any(_is_before(job.at // DAY, state.since) for job in jobs):
        return None
    return _carried(state, jobs, terms)


def _carried(state: State, jobs: Sequence[Job], terms: Terms) -> Carried:
    """What is to be said with more jobs, all those that are open among them."""
    since = _since(state, jobs)
    ended, under_way = _apart(_runs(jobs), since, terms.until)
    fresh, still = (_waited(runs, state.loose, terms) for runs in (ended, under_way))
    settled = state.settled.joined(fresh)
    whole = settled.joined(still)
    kept = State(
        settled=settled.since(since),
        since=since,
        loose=state.loose,
        open={job.id: job.belongs for run in under_way for job in run},
        done=Marks(state.done).joined(marks(i for run in ended for i in _ids(run))),
        counted=still.keys,
    )
    return Carried(whole.like(fresh.keys, still.keys, state.counted), whole.like(still.keys), kept)


def _since(state: State, jobs: Iterable[Job]) -> int:
    """The first day that stays open."""
    days = sorted(state.settled.days.union(job.at // DAY for job in jobs) - {0})
    return max(state.since, days[-_OPEN_DAYS]) if len(days) > _OPEN_DAYS else state.since


def _is_before(day: int, since: int) -> bool:
    """Whether a day is closed. What nobody knows when it was is of no day: that is never closed."""
    return 0 < day < since


def _apart(runs: Iterable[Sequence[Job]], since: int, until: int) -> tuple[list[Sequence[Job]], list[Sequence[Job]]]:
    """The runs that are settled, and those under way: the newest of these, as many as are kept open."""
    settled: list[Sequence[Job]] = []
    under_way: list[Sequence[Job]] = []
    for run in runs:
        closed = any(_is_before(job.at // DAY, since) for job in run)
        ended = all(job.state == RunState.COMPLETED and job.revision <= until for job in run)
        (settled if closed or ended else under_way).append(run)
    under_way.sort(key=lambda run: max((job.at, job.id) for job in run), reverse=True)
    size = 0
    for place, run in enumerate(under_way):
        size += len(run)
        if size > _MOST_OPEN:
            return [*settled, *under_way[place:]], under_way[:place]
    return settled, under_way


def _loose(jobs: Iterable[Job]) -> set[tuple[str, str]]:
    """By source the pipelines with jobs that do not say whose they are."""
    return {(job.source, job.pipeline) for job in jobs if job.run is None}


def _ids(run: Sequence[Job]) -> Iterator[str]:
    """The ids of some jobs of a run, and of the run itself, whether it is known or not."""
    yield from (job.id for job in run)
    first = run[0]
    if first.run_kind == RunKind.TASK and first.run is not None:
        yield event_id(kind_of(PipelineRun), first.source, first.run)


def _runs(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """The runs, each with its jobs behind it; jobs that do not say whose they are stand alone."""
    runs: dict[tuple[str, str], list[Job]] = {}
    for job in sorted(jobs, key=lambda j: (j.run_kind != RunKind.PIPELINE, j.id)):
        run = job.run
        if run is None:
            yield [job]
        else:
            runs.setdefault((job.source, run), []).append(job)
    yield from runs.values()


def _waited(runs: Iterable[Sequence[Job]], loose: set[tuple[str, str]], terms: Terms) -> CiWaits:
    """What people waited for some runs."""
    found = CiWaits()
    for run in runs:
        # Jobs that do not say whose they are wait beside their pipeline's runs: those would be counted twice.
        if len(run) > 1 or run[0].run_kind == RunKind.TASK or (run[0].source, run[0].pipeline) not in loose:
            _add(found, run, terms)
    return found


def _add(found: CiWaits, run: Sequence[Job], terms: Terms) -> None:
    """Add what people waited for a run."""
    actor = next((j.actor for j in run if j.actor), None)
    waiting: list[tuple[int, int]] = []
    for job in _waiting(run):
        whose = Whose(job.at // DAY, terms.team_of(actor, job.at), job.source)
        reason = Reason.BOT if run[0].bot and not terms.bots else _left_out(job)
        if reason:
            _placed(found.excluded, (whose, str(reason)), Listed).add(0, job.id)
        elif job.started_at is None:
            _placed(found.pending, (whose.team, job.source), Listed).add(job.at, job.id)
        elif job.created_at is not None:
            waiting.append((job.created_at, job.started_at))
            # The longest come first.
            _placed(found.sums, whose, DaySum).waits.add(job.created_at - job.started_at, job.id)
    for start, end in union(waiting):
        whose = Whose(end // DAY, terms.team_of(actor, end), run[0].source)
        _placed(found.sums, whose, DaySum).micros += end - start


def _placed(known: dict[K, V], key: K, new: Callable[[], V]) -> V:
    """What stands at a key; something new where nothing does."""
    one = known.get(key)
    if one is None:
        one = known[key] = new()
    return one


def _waiting(run: Sequence[Job]) -> Iterable[Job]:
    """What of a run waits: its jobs, or itself where none is known."""
    tasks = [j for j in run if j.run_kind == RunKind.TASK]
    return tasks or run


def _left_out(job: Job) -> str:
    """Why nobody can say how long a job waited; empty where it has waited, or still does."""
    if job.result == Result.SKIP:
        return Reason.SKIPPED
    if job.result == Result.CANCELLATION and job.started_at is None:
        return Reason.CANCELLED
    if job.started_at is None and job.state != RunState.COMPLETED:
        return ""
    # A start before the creation comes from a wrong clock: how long the wait was is not known, and never negative.
    known = job.created_at is not None and job.started_at is not None and job.started_at >= job.created_at
    return "" if known else Reason.MISSING_TIME


def union(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time joined where they meet, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
