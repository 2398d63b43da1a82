"""Observations in the database, as plain values: what they mean is the engine's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from collector.store.database import Database, Transaction
from collector.store.tables import DERIVATION, OBSERVATION, PUBLISHED_COUNTER, SERIES


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


class ObservationStore:
    """Keeps observations by series and time, and remembers from which events they came."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace_family(
        self, family: str, rows: Mapping[Series, list[tuple[Any, ...]]], inputs: Mapping[str, int | str]
    ) -> int:
        """Replace all observations of a family in one transaction; how many there are now.

        `rows` are plain tuples in the order of ObservationRow. Readers see the old ones until the new ones are
        complete.
        """
        with self._database.transaction() as transaction:
            known = _series_ids(transaction, family)
            transaction.execute(
                sa.delete(OBSERVATION).where(
                    OBSERVATION.c.series_id.in_(sa.select(SERIES.c.id).where(SERIES.c.family == family))
                )
            )
            for number, series in self._numbered(transaction, known, rows):
                # In the order of the primary key an insert appends instead of searching.
                ordered = sorted(rows[series], key=itemgetter(0, 1))
                transaction.write_rows(_insert_into(number), ObservationRow._fields, ordered)
            stamp = msgspec.json.encode(dict(sorted(inputs.items()))).decode()
            statement = insert(DERIVATION).values(family=family, inputs=stamp)
            transaction.execute(statement.on_conflict_do_update(index_elements=["family"], set_={"inputs": stamp}))
        return sum(map(len, rows.values()))

    def _numbered(
        self, transaction: Transaction, known: Mapping[Series, int], wanted: Iterable[Series]
    ) -> list[tuple[int, Series]]:
        """The numbers of some series in their order; new ones are given the next numbers."""
        fresh = sorted(s for s in wanted if s not in known)
        start = 1 + (transaction.execute(sa.select(sa.func.max(SERIES.c.id))).scalar() or 0)
        ids = {**known, **{series: start + i for i, series in enumerate(fresh)}}
        names = ["id", *Series._fields]
        transaction.write_rows(insert(SERIES).values(_binds(names)), names, ((ids[s], *s) for s in fresh))
        return sorted((ids[s], s) for s in wanted)

    def derived_from(self, family: str) -> dict[str, int | str]:
        """The inputs that a family's stored observations came from; empty before the first derivation."""
        with self._database.reading() as connection:
            stamp = connection.scalar(sa.select(DERIVATION.c.inputs).where(DERIVATION.c.family == family))
        found: dict[str, int | str] = msgspec.json.decode(stamp) if stamp else {}
        return found

    def series(self, indicator: str | None = None) -> dict[int, Series]:
        """The series that have observations, by their number."""
        query = sa.select(SERIES).where(sa.exists().where(OBSERVATION.c.series_id == SERIES.c.id))
        if indicator is not None:
            query = query.where(SERIES.c.indicator == indicator)
        with self._database.reading() as connection:
            return {row.id: Series(*row[1:]) for row in connection.execute(query)}

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

    def counts(self, until: int) -> dict[int, dict[str, int]]:
        """For each series, how many observations of each outcome there are up to a time."""
        query = (
            sa.select(OBSERVATION.c.series_id, OBSERVATION.c.outcome, sa.func.count())
            .where(OBSERVATION.c.at <= until)
            .group_by(OBSERVATION.c.series_id, OBSERVATION.c.outcome)
        )
        found: dict[int, dict[str, int]] = {}
        with self._database.reading() as connection:
            for number, outcome, n in connection.execute(query):
                found.setdefault(number, {})[outcome] = n
        return found

    def first_at(self) -> dict[int, int]:
        """The time of each series' first observation."""
        query = sa.select(OBSERVATION.c.series_id, sa.func.min(OBSERVATION.c.at)).group_by(OBSERVATION.c.series_id)
        with self._database.reading() as connection:
            return {number: at for number, at in connection.execute(query)}  # noqa: C416 - rows are no pairs to mypy

    def raise_counters(self, values: Mapping[str, float]) -> dict[str, float]:
        """For each counter the highest value ever given here, kept across restarts.

        A restatement may lower the count behind a counter; a counter that fell would read as a reset.
        """
        with self._database.reading() as connection:
            stored = {r.series: r.value for r in connection.execute(sa.select(PUBLISHED_COUNTER))}
        higher = {s: v for s, v in values.items() if v > stored.get(s, -1.0)}
        if higher:
            statement = insert(PUBLISHED_COUNTER)
            upsert = statement.on_conflict_do_update(
                index_elements=["series"],
                set_={"value": sa.func.max(statement.excluded.value, PUBLISHED_COUNTER.c.value)},
            )
            with self._database.transaction() as transaction:
                transaction.execute(upsert, [{"series": s, "value": v} for s, v in higher.items()])
        return {s: max(v, stored.get(s, v)) for s, v in values.items()}


def _insert_into(number: int) -> Any:
    """An insert of observations of one series, whose number is the same in each row."""
    return insert(OBSERVATION).values(
        {**_binds(ObservationRow._fields), "series_id": sa.literal_column(str(int(number)))}
    )


def _binds(names: Iterable[str]) -> dict[str, Any]:
    return {n: sa.bindparam(n) for n in names}


def _series_ids(transaction: Transaction, family: str) -> dict[Series, int]:
    rows = transaction.execute(sa.select(SERIES).where(SERIES.c.family == family))
    return {Series(*row[1:]): row[0] for row in rows}
