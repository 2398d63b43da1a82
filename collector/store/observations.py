"""Observations in the database, as plain values: what they mean is the engine's business."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from collector.store.database import Database
from collector.store.dialects import all_of, element, elements, greatest, in_order, insert, listed, whole
from collector.store.tables import OBSERVATION, PUBLISHED_COUNTER, SERIES

_CHUNK = 20_000

_WANTED = elements(sa.bindparam("wanted", type_=sa.Text)).table_valued("value", name="wanted")
_WANTED_SERIES = element(_WANTED.c.value, sa.literal_column("0"))
_WANTED_AFTER = element(_WANTED.c.value, sa.literal_column("1"))
_IS_WANTED = (OBSERVATION.c.series_id == _WANTED_SERIES, OBSERVATION.c.at > _WANTED_AFTER)
_IS_PLAIN = (OBSERVATION.c.outcome == "good") & (OBSERVATION.c.reason == "") & OBSERVATION.c.matures_at.is_(None)
_EACH = elements(sa.bindparam("each", type_=sa.Text)).table_valued("value", name="each")
_EACH_NUMBER = whole(_EACH.c.value)
_BETWEEN = (
    OBSERVATION.c.series_id.in_(sa.select(_EACH_NUMBER)),
    OBSERVATION.c.at > sa.bindparam("after"),
    OBSERVATION.c.at <= sa.bindparam("until"),
)
_IN_SERIES = (OBSERVATION.c.series_id, OBSERVATION.c.at, OBSERVATION.c.unit)


class Series(NamedTuple):
    """What a group of observations is about. Empty text where a part does not apply.

    `scope` names the piece of its family that it is derived with: a piece is replaced without touching the others.
    """

    family: str
    indicator: str
    dimension: str
    service: str
    environment: str
    team: str
    source: str
    scope: str = ""


class ObservationRow(NamedTuple):
    """One observation of a series. Times in microseconds; `evidence` is a JSON list of event ids."""

    at: int
    unit: str
    value: float | None
    part_1: float | None
    part_2: float | None
    part_3: float | None
    part_4: float | None
    outcome: str
    reason: str
    matures_at: int | None
    rule: str
    evidence: str


class Plain(NamedTuple):
    """The plain observations of a series, in the order of time: good ones of which nothing else is to be said.

    That is, they have no reason, and were final at once. `unit`: their units, where these were asked for.
    """

    series: int
    at: list[int]
    unit: Sequence[str] = ()


class Tally(NamedTuple):
    """What a series has up to a time: how many units, how many good and bad, when the first of these was.

    A pending observation that has matured is no unit any more: another one has taken its place.
    `ripens`: some of them mature only later, so the tally would not hold.
    """

    units: int
    good: int
    bad: int
    first_at: int | None
    ripens: bool


class Alike(NamedTuple):
    """Units of a series that count in the same way at a time, and how many they are.

    `matures_at` is that of one of them: either all are final by then, or none is.
    """

    series: int
    outcome: str
    reason: str
    matures_at: int | None
    units: int


class Judge(NamedTuple):
    """What makes a measured unit good: its value in a column, compared with a threshold.

    Without an operator the outcome of the unit itself counts.
    """

    column: str = "value"
    operator: str = ""
    threshold: float = 0.0


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {"lte": le, "lt": lt, "gte": ge, "gt": gt}


class ObservationStore:
    """Reads observations by series and time, and keeps the highest value of each published counter."""

    def __init__(self, database: Database, only: str | None = None, until: int | None = None) -> None:
        self._database = database
        self._only, self._until = only, until
        self._counters: dict[str, float] | None = None
        self._counting = threading.Lock()

    def series(self, indicator: str | None = None, among: Iterable[int] | None = None) -> dict[int, Series]:
        """The series that have observations, by their number: of an indicator, and only some, where told."""
        query = sa.select(SERIES).where(sa.exists().where(OBSERVATION.c.series_id == SERIES.c.id))
        if (indicator := indicator or self._only) is not None:
            query = query.where(SERIES.c.indicator == indicator)
        if among is not None:
            query = query.where(SERIES.c.id.in_(sa.select(_EACH_NUMBER)))
        parameters = {} if among is None else {"each": msgspec.json.encode(sorted(among)).decode()}
        with self._database.reading() as connection:
            # As in `since`: plain tuples.
            cursor: Any = connection.execute(query, parameters).cursor
            return {number: Series._make(parts) for number, *parts in cursor.fetchall()}

    def only(self, indicator: str) -> ObservationStore:
        """The same, where `series` are those of one indicator unless it is told another: as if there were no others."""
        return ObservationStore(self._database, indicator, self._until)

    def up_to(self, until: int) -> ObservationStore:
        """The same, where `since` and `since_but_plain` read nothing that is later: for who looks at a past time."""
        return ObservationStore(self._database, self._only, until)

    def window(self, series_ids: Sequence[int], after: int, until: int, *names: str) -> list[tuple[Any, ...]]:
        """Columns of the observations of some series with after < at ≤ until, ordered by series and time."""
        columns = [OBSERVATION.c[n] for n in names]
        rows: list[tuple[Any, ...]] = []
        with self._database.reading() as connection:
            for number in sorted(series_ids):
                query = (
                    sa.select(*columns)
                    .where(OBSERVATION.c.series_id == number, OBSERVATION.c.at > after, OBSERVATION.c.at <= until)
                    .order_by(OBSERVATION.c.at, OBSERVATION.c.unit)
                )
                rows.extend(map(tuple, connection.execute(query)))
        return rows

    def between(self, series_ids: Iterable[int], after: int, until: int, *names: str) -> Iterator[tuple[Any, ...]]:
        """Columns `(series, *columns)` of the observations of some series with after < at ≤ until, in one statement.

        The rows of a series come together and in the order of time. They are read as they are asked for.
        """
        columns = (OBSERVATION.c[n] for n in names)
        query = sa.select(OBSERVATION.c.series_id, *columns).where(*_BETWEEN).order_by(*_IN_SERIES)
        with self._database.reading() as connection:
            for chunk in _read(connection, query, _stretch(series_ids, after, until)):
                yield from chunk

    def alike(self, series_ids: Iterable[int], after: int, until: int, ripe_at: int) -> list[Alike]:
        """How many observations some series have with after < at ≤ until, by what says how one without values counts.

        That is its outcome, its reason, and whether it has matured at `ripe_at`. Most are plain: these need no sorting.
        """
        number, outcome, reason = OBSERVATION.c.series_id, OBSERVATION.c.outcome, OBSERVATION.c.reason
        matures_at = OBSERVATION.c.matures_at
        plain = sa.select(number, _sum(_IS_PLAIN)).where(*_BETWEEN).group_by(number)
        others = sa.select(number, outcome, reason, sa.func.max(matures_at), sa.func.count()).where(
            *_BETWEEN, ~_IS_PLAIN
        )
        others = others.group_by(number, outcome, reason, matures_at > ripe_at)
        asked = _stretch(series_ids, after, until)
        with self._database.reading() as connection:
            good = [Alike(n, "good", "", None, units) for n, units in connection.execute(plain, asked) if units]
            return good + [Alike(*row) for row in connection.execute(others, asked)]

    def repeated(self, series_ids: Iterable[int], after: int, until: int) -> set[str]:
        """The units that some series have more than once with after < at ≤ until."""
        unit = OBSERVATION.c.unit
        query = sa.select(unit).where(*_BETWEEN).group_by(unit).having(sa.func.count() > 1)
        with self._database.reading() as connection:
            return set(connection.scalars(query, _stretch(series_ids, after, until)))

    def page(
        self, series_ids: Iterable[int], after: int, until: int, ripe_at: int, *names: str, offset: int, limit: int
    ) -> list[tuple[Any, ...]]:
        """Columns of so many observations of some series with after < at ≤ until, by time, unit and series.

        Those that were only ever pending and have matured are not among them. Only what is listed is read whole.
        """
        gone = (OBSERVATION.c.outcome == "pending") & (
            sa.func.coalesce(OBSERVATION.c.matures_at, ripe_at + 1) <= ripe_at
        )
        order = (OBSERVATION.c.at, OBSERVATION.c.unit, OBSERVATION.c.series_id)
        keys = sa.select(*order).where(*_BETWEEN, ~gone).order_by(*order).limit(limit).offset(offset).subquery()
        same = sa.and_(*(OBSERVATION.c[key.name] == keys.c[key.name] for key in order))
        query = sa.select(*(OBSERVATION.c[n] for n in names)).select_from(keys.join(OBSERVATION, same)).order_by(*order)
        with self._database.reading() as connection:
            return [tuple(row) for row in connection.execute(query, _stretch(series_ids, after, until))]

    def since(self, after: Mapping[int, int], *names: str) -> Iterator[list[tuple[Any, ...]]]:
        """Columns of the observations of some series, each after its own time, in one statement.

        Yields chunks of rows `(series, *columns)`. The rows of a series come together and in the order of time.
        """
        with self._database.reading() as connection:
            yield from _chunks(connection, _since(names).where(*self._in_time()), after)

    def since_but_plain(
        self, after: Mapping[int, int], *names: str, named: bool
    ) -> tuple[list[Plain], list[list[tuple[Any, ...]]]]:
        """The plain observations of some series, each after its own time, and chunks of rows of all others.

        `named`: whether the units of the plain ones are told. Both are of one moment. What probes see is mostly plain:
        packed by the database, it is read in a tenth of the time that rows take.
        """
        own = (OBSERVATION.c.at, OBSERVATION.c.unit)
        packed = all_of(*(listed(column, *own) for column in own[: 1 + named]))
        there = self._in_time()
        lists = sa.select(packed).where(*_IS_WANTED, _IS_PLAIN, *there).correlate(_WANTED).scalar_subquery()
        with self._database.reading() as connection:
            cursor: Any = connection.execute(sa.select(_WANTED_SERIES, lists), _wanted(after)).cursor
            plain = [Plain(series, *msgspec.json.decode(text)) for series, text in cursor]
            return [p for p in plain if p.at], list(_chunks(connection, _since(names).where(~_IS_PLAIN, *there), after))

    def bad(
        self, series_ids: Iterable[int], after: int, until: int, judge: Judge, *names: str
    ) -> Iterator[tuple[Any, ...]]:
        """Columns `(series, *columns)` of the units of some series with after < at ≤ until that are final and bad then.

        Ordered by series and time.
        """
        good, final = _verdicts(judge)
        ripe = OBSERVATION.c.matures_at.is_(None) | (OBSERVATION.c.matures_at <= until)
        query = _since(names).where(OBSERVATION.c.at <= until, final, ~good, ripe)
        query = query.order_by(*_IN_SERIES)
        with self._database.reading() as connection:
            for chunk in _chunks(connection, query, dict.fromkeys(series_ids, after)):
                yield from chunk

    def first_at(self) -> int | None:
        """When the oldest observation is, in microseconds; None without any. Costs what there are series, not units."""
        oldest = sa.select(sa.func.min(OBSERVATION.c.at)).where(OBSERVATION.c.series_id == SERIES.c.id)
        with self._database.reading() as connection:
            found: int | None = connection.scalar(sa.select(sa.func.min(oldest.scalar_subquery())))
        return found

    def tallies(self, series_ids: Iterable[int], until: int, ripe_at: int, judge: Judge) -> dict[int, Tally]:
        """The tallies of some series up to and including a time; what has no unit there is missing.

        Counted by the database, so that history need not be read.
        """
        good, final = _verdicts(judge)
        outcome = OBSERVATION.c.outcome
        query = (
            sa.select(
                OBSERVATION.c.series_id,
                sa.func.count() - _sum((outcome == "pending") & (OBSERVATION.c.matures_at <= ripe_at)),
                _sum(good),
                _sum(final),
                sa.func.min(sa.case((final, OBSERVATION.c.at))),
                _sum(OBSERVATION.c.matures_at > ripe_at),
            )
            .where(OBSERVATION.c.series_id.in_(sa.select(_EACH_NUMBER)), OBSERVATION.c.at <= until)
            .group_by(OBSERVATION.c.series_id)
        )
        ids = {"each": msgspec.json.encode(sorted(series_ids)).decode()}
        with self._database.reading() as connection:
            return {
                number: Tally(count, passed, judged - passed, first, ripens > 0)
                for number, count, passed, judged, first, ripens in connection.execute(query, ids)
            }

    def first_finals(
        self, series_ids: Iterable[int], until: int, ripe_at: int, judge: Judge
    ) -> dict[int, tuple[int | None, bool]]:
        """Of some series, when the first final unit up to and including a time was; where none is, whether one ripens.

        What matures after `ripe_at` is not final. Without a first one, True says that a unit up to then still may be.
        """
        _, final = _verdicts(judge)
        there = [OBSERVATION.c.series_id == _EACH_NUMBER, OBSERVATION.c.at <= until]
        ripe = OBSERVATION.c.matures_at.is_(None) | (OBSERVATION.c.matures_at <= ripe_at)
        finals = sa.select(OBSERVATION.c.at).where(*there, final, ripe).order_by(OBSERVATION.c.at).limit(1)
        first = finals.correlate(_EACH).scalar_subquery()
        ripens = sa.exists().where(*there, OBSERVATION.c.matures_at > ripe_at).correlate(_EACH)
        query = sa.select(_EACH_NUMBER, first, sa.case((first.is_(None), ripens), else_=sa.false()))
        ids = {"each": msgspec.json.encode(sorted(series_ids)).decode()}
        with self._database.reading() as connection:
            return {number: (at, bool(ripens)) for number, at, ripens in connection.execute(query, ids)}

    def raise_counters(self, values: Mapping[str, float]) -> dict[str, float]:
        """For each counter the highest value ever given here, kept across restarts.

        A restatement may lower the count behind a counter; a counter that fell would read as a reset. What is stored
        is read once: nobody else raises counters while this store is in use.
        """
        with self._counting:
            if self._counters is None:
                self._counters = self._published_counters()
            known = self._counters
            higher = {s: v for s, v in values.items() if v > known.get(s, -1.0)}
            if higher:
                self._keep_counters(higher)
                known.update(higher)
            return {s: max(v, known.get(s, v)) for s, v in values.items()}

    def raised_counters(self, values: Mapping[str, float]) -> dict[str, float]:
        """The same without keeping anything, by what is stored now: for who only looks on while another raises them."""
        known = self._published_counters()
        return {s: max(v, known.get(s, v)) for s, v in values.items()}

    def forget_counters(self) -> None:
        """Read anew what is stored: another process raised them until now."""
        with self._counting:
            self._counters = None

    def _in_time(self) -> list[sa.ColumnElement[bool]]:
        return [] if self._until is None else [OBSERVATION.c.at <= self._until]

    def _published_counters(self) -> dict[str, float]:
        with self._database.reading() as connection:
            return {r.series: r.value for r in connection.execute(sa.select(PUBLISHED_COUNTER))}

    def _keep_counters(self, higher: Mapping[str, float]) -> None:
        names = ["series", "value"]
        statement = insert(PUBLISHED_COUNTER).values(_binds(names))
        upsert = statement.on_conflict_do_update(
            index_elements=["series"],
            set_={"value": greatest(statement.excluded.value, PUBLISHED_COUNTER.c.value)},
        )
        with self._database.transaction() as transaction:
            transaction.write_rows(upsert, names, higher.items())


def _verdicts(judge: Judge) -> tuple[Any, Any]:
    """The conditions under which a unit is good, and final, that is good or bad."""
    outcome, value = OBSERVATION.c.outcome, OBSERVATION.c[judge.column]
    if not judge.operator:
        return outcome == "good", outcome.in_(("good", "bad"))
    final = (outcome == "measured") & value.is_not(None)
    return final & _COMPARE[judge.operator](value, judge.threshold), final


def _since(names: Sequence[str]) -> Any:
    """The statement for columns of the observations that are wanted."""
    columns = (OBSERVATION.c[n] for n in names)
    return sa.select(OBSERVATION.c.series_id, *columns).select_from(_WANTED).where(*_IS_WANTED)


def _chunks(connection: Any, query: Any, after: Mapping[int, int]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a statement about some series, each after its own time."""
    return _read(connection, in_order(connection, query, *_IN_SERIES), _wanted(after))


def _read(connection: Any, query: Any, asked: Mapping[str, Any]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a statement in chunks, as they are asked for."""
    # Read past SQLAlchemy's rows: it is the plain tuples of the driver that arrays are made of.
    cursor: Any = connection.execute(query, asked).cursor
    while chunk := cursor.fetchmany(_CHUNK):
        yield chunk


def _wanted(after: Mapping[int, int]) -> dict[str, str]:
    return {"wanted": msgspec.json.encode(sorted(after.items())).decode()}


def _stretch(series_ids: Iterable[int], after: int, until: int) -> dict[str, Any]:
    """What is asked for: some series in a stretch of time."""
    return {"each": msgspec.json.encode(sorted(series_ids)).decode(), "after": after, "until": until}


def _sum(condition: Any) -> Any:
    """How many rows fulfil a condition."""
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _binds(names: Iterable[str]) -> dict[str, Any]:
    return {n: sa.bindparam(n) for n in names}
