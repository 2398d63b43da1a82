"""Observations replaced piece by piece, with what each piece was derived from, and the log of restatements."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache, partial
from itertools import groupby, starmap
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from collector.store.database import Database, Transaction
from collector.store.dialects import greatest, insert
from collector.store.observations import ObservationRow, Series
from collector.store.tables import (
    DERIVATION,
    FORGOTTEN,
    OBSERVATION,
    PIECE,
    PUBLISHED_COUNTER,
    RESTATEMENT,
    SERIES,
)

T = TypeVar("T")

_PUBLISHED = "published until"
_NEVER = 2**62
"""No observation is dated so late."""
_LATE = 86_400_000_000
"""What is dated more than a day before the last publication is late, in microseconds."""
_MOST_RESTATEMENTS = 1_000
_FINAL = ("good", "bad", "measured")
_NOISE = 1e-12
"""Sums of the same values differ by a smaller part, in whatever order they are added up."""
_READS = msgspec.json.Decoder(tuple[str, ...])


class PieceRecord(NamedTuple):
    """A stored piece: by which definitions it was derived, and which names (repositories…) it was derived from."""

    definitions: str
    reads: tuple[str, ...]


class Replacement(NamedTuple):
    """The observations of a piece from a time on.

    `rows` are tuples in the order of ObservationRow. They stand for everything of the piece dated after `after`
    (all of it where that is None, nothing where that is 2**62) but what is in `kept`, and for the units in `reopened`
    that were dated before.
    """

    family: str
    scope: str
    rows: Mapping[Series, list[tuple[Any, ...]]]
    definitions: str
    reads: tuple[str, ...]
    state: bytes | None
    after: int | None = None
    reopened: frozenset[tuple[int, str]] = frozenset()
    kept: frozenset[tuple[int, str]] = frozenset()
    same_state: bool = False


class Restatement(NamedTuple):
    """A published judgement that changed: what it was, what it is now, why, and when that was noticed."""

    restated_at: int
    indicator: str
    service: str
    environment: str
    team: str
    unit: str
    was: str
    now: str
    why: str


class DerivationStore:
    """Replaces the observations of one piece after the other; each replacement is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stamp(self, family: str) -> dict[str, int | str]:
        """What a family's observations were derived from: a revision for each kind, and its definitions."""
        rows = self._database.select(partial(_text, _stamp_of), (family,))
        found: dict[str, int | str] = msgspec.json.decode(rows[0][0]) if rows else {}
        return found

    def set_stamp(
        self, family: str, inputs: Mapping[str, int | str], before: Mapping[str, int | str] | None = None
    ) -> None:
        """Remember that all pieces of a family are up to date with these inputs.

        `before`: the stamp that was there when they were read. Where it is another one by now, somebody else derived
        meanwhile, or deleted something: either may have written over the other, and all of it is to be derived anew.
        """
        with self._database.transaction() as transaction:
            if before is not None:
                found = transaction.execute(_stamp_of(), {"f": family}).scalar()
                inputs = inputs if (msgspec.json.decode(found) if found else {}) == before else {}
            text = msgspec.json.encode(dict(sorted(inputs.items()))).decode()
            statement = insert(DERIVATION).values(family=family, inputs=text)
            transaction.execute(statement.on_conflict_do_update(index_elements=["family"], set_={"inputs": text}))

    def pieces(self, family: str) -> dict[str, PieceRecord]:
        """The stored pieces of a family by scope, without their states."""
        rows = self._database.select(partial(_text, _pieces_of), (family,))
        return {scope: PieceRecord(text, _READS.decode(reads)) for scope, text, reads in rows}

    def state(self, family: str, scope: str) -> bytes | None:
        """What the next derivation of a piece can start from; None where it must start from nothing."""
        found = self._database.select(partial(_text, _state_of), (family, scope))
        state: bytes | None = found[0][0] if found else None
        return state

    def kept_since(self) -> dict[str, int]:
        """For each kind of which old events are not kept, since when they are, in microseconds."""
        return dict(self._database.select(partial(_text, _kept_since), ()))

    def replace(self, new: Replacement, at: int, why: str) -> tuple[int, dict[int, int]]:
        """Write what differs from the stored observations of a piece; log what had been published.

        Returns how many rows differed and, for each series that changed, its earliest changed time.
        """
        return self.replace_all([new], at, why)[0]

    def replace_all(self, new: Iterable[Replacement], at: int, why: str) -> list[tuple[int, dict[int, int]]]:
        """Replace some pieces in one transaction: for each what `replace` returns."""
        found: list[tuple[int, dict[int, int]]] = []
        with self._database.transaction() as transaction:
            noticed = _Noticed(at, why, _published_until(transaction))
            for some in _apart(new):
                known, writing = _Known.of(transaction, some), _Writing(transaction)
                found += [_replaced(transaction, one, known, noticed, writing) for one in some]
                writing.write()
        return found

    def drop(self, family: str, scopes: Iterable[str], at: int, why: str) -> dict[int, int]:
        """Forget pieces that no event belongs to any more, with their observations."""
        changed: dict[int, int] = {}
        for scope in scopes:
            changed |= self.replace(Replacement(family, scope, {}, "", (), None), at, why)[1]
            with self._database.transaction() as transaction:
                transaction.execute(sa.delete(PIECE).where(PIECE.c.family == family, PIECE.c.scope == scope))
        return changed

    def published(self, until: int) -> None:
        """Remember that numbers were published up to a time: what changes before it is a restatement."""
        statement = insert(PUBLISHED_COUNTER).values(series=_PUBLISHED, value=float(until))
        later = greatest(statement.excluded.value, PUBLISHED_COUNTER.c.value)
        with self._database.transaction() as transaction:
            transaction.execute(statement.on_conflict_do_update(index_elements=["series"], set_={"value": later}))

    def rest(self) -> None:
        """Hear that a cycle is over: what the database keeps for a quiet moment is done now."""
        self._database.move_log()

    def restatements(self, since: int = 0, limit: int = 1_000) -> list[Restatement]:
        """The newest restatements that were noticed after a time, newest first."""
        columns = [RESTATEMENT.c[n] for n in Restatement._fields]
        query = sa.select(*columns).where(RESTATEMENT.c.restated_at > since).order_by(RESTATEMENT.c.id.desc())
        with self._database.reading() as connection:
            return [Restatement(*row) for row in connection.execute(query.limit(limit))]

    def restated_units(self) -> dict[str, float]:
        """How many published units were restated so far, by indicator."""
        query = sa.select(RESTATEMENT.c.indicator, sa.func.count()).group_by(RESTATEMENT.c.indicator)
        with self._database.reading() as connection:
            return {indicator: float(n) for indicator, n in connection.execute(query)}


# Small statements that are asked for each piece: their texts are made once, their rows are the driver's.


def _stamp_of() -> Any:
    return sa.select(DERIVATION.c.inputs).where(DERIVATION.c.family == sa.bindparam("f"))


def _of_piece(*columns: Any) -> Any:
    return sa.select(*columns).where(PIECE.c.family == sa.bindparam("f"), PIECE.c.scope == sa.bindparam("s"))


def _pieces_of() -> Any:
    return sa.select(PIECE.c.scope, PIECE.c.definitions, PIECE.c.reads).where(PIECE.c.family == sa.bindparam("f"))


def _kept_since() -> Any:
    return sa.select(FORGOTTEN.c.kind, FORGOTTEN.c.before)


def _state_of() -> Any:
    return _of_piece(PIECE.c.state)


@lru_cache(maxsize=64)
def _of_scopes(table: sa.Table, columns: tuple[str, ...], scopes: int, dialect: Any) -> str:
    """Columns of the rows of a family that belong to one of some pieces."""
    wanted = [sa.bindparam(f"s{i}", type_=sa.Text) for i in range(scopes)]
    query = sa.select(*[table.c[n] for n in columns])
    return str(query.where(table.c.family == sa.bindparam("f"), table.c.scope.in_(wanted)).compile(dialect=dialect))


def _last_number() -> Any:
    return sa.select(sa.func.max(SERIES.c.id))


def _counter() -> Any:
    return sa.select(PUBLISHED_COUNTER.c.value).where(PUBLISHED_COUNTER.c.series == sa.bindparam("n"))


@lru_cache(maxsize=16)
def _text(query: Callable[[], Any], dialect: Any) -> str:
    return str(query().compile(dialect=dialect))


def _asked(transaction: Transaction, query: Callable[[], Any], *values: str) -> list[tuple[Any, ...]]:
    return transaction.rows(_text(query, transaction.dialect), values)


_Key = tuple[int, int, str]
"""What tells stored rows apart: series, time, unit."""
_KEY = slice(3)


class _Noticed(NamedTuple):
    """When a replacement is made and why, and until when numbers had been published by then."""

    at: int
    why: str
    until: int


class _Writing:
    """What the replacements of a transaction write, together: a statement for each would cost more than its rows."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._series: list[tuple[Any, ...]] = []
        self._gone: list[_Key] = []
        self._new: list[tuple[Any, ...]] = []
        self._bare: list[tuple[Any, ...]] = []
        """The new rows that have no values."""
        self._plain: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        """Of the others without values those that say nothing but their outcome and when they mature, by outcome."""
        # Who copies rows says all of each, whatever the statement would say.
        self._said = () if transaction.copies else _OUTCOMES
        self._changed: list[tuple[Any, ...]] = []
        self._pieces: list[tuple[Any, ...]] = []

    def number(self, known: Mapping[Series, int], wanted: Iterable[Series]) -> dict[Series, int]:
        """The numbers of series; new ones are given the next numbers, in their order."""
        fresh = sorted(s for s in wanted if s not in known)
        if not fresh:
            return dict(known)
        last = self._series[-1][0] if self._series else _asked(self._transaction, _last_number)[0][0] or 0
        ids = {series: last + 1 + i for i, series in enumerate(fresh)}
        self._series += [(number, *series) for series, number in ids.items()]
        return {**known, **ids}

    def add(self, number: int, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows of a series that has none. Most have no values: to tell the database so costs a fifth of a row."""
        for row in rows:
            if row[_VALUES] != _NO_VALUES:
                self._new.append((number, *row))
                continue
            at, unit, *_, outcome, reason, matures_at, rule, evidence = row
            if reason or rule or evidence != _NO_EVIDENCE or outcome not in self._said:
                self._bare.append((number, at, unit, outcome, reason, matures_at, rule, evidence))
            else:
                self._plain[outcome].append((number, at, unit, matures_at))

    def exchange(self, gone: Iterable[_Key], rows: Iterable[tuple[Any, ...]]) -> None:
        """Forget some rows, and write others that may be there with other values."""
        self._gone += gone
        self._changed += rows

    def keep(self, new: Replacement) -> None:
        """Write what is kept of a piece itself."""
        if not new.same_state:
            reads = msgspec.json.encode(new.reads).decode()
            self._pieces.append((new.family, new.scope, new.definitions, reads, new.state))

    def write(self) -> None:
        """Write it now."""
        self._transaction.run_many(_deletion(self._transaction.dialect), self._gone)
        self._transaction.write_rows(_NEW_SERIES, _SERIES_COLUMNS, self._series)
        self._transaction.write_rows(_INSERT, _COLUMNS, self._new)
        for outcome, rows in self._plain.items():
            self._transaction.write_rows(_INSERT_PLAIN[outcome], _PLAIN_COLUMNS, rows)
        self._transaction.write_rows(_INSERT_BARE, _BARE_COLUMNS, self._bare)
        self._transaction.write_rows(_UPSERT, _COLUMNS, self._changed)
        self._transaction.write_rows(_KEEP, _PIECE_COLUMNS, self._pieces)


_TOGETHER = 512
"""Of so many pieces at most one statement asks what is stored."""


def _apart(new: Iterable[Replacement]) -> Iterator[list[Replacement]]:
    """Replacements in groups that name each piece once: where it comes a second time, the later one counts."""
    some: dict[tuple[str, str], Replacement] = {}
    for one in new:
        if len(some) == _TOGETHER or (one.family, one.scope) in some:
            yield list(some.values())
            some = {}
        some[one.family, one.scope] = one
    if some:
        yield list(some.values())


class _Known(NamedTuple):
    """What is stored of some pieces, by family and scope: which were derived before, and the series of each."""

    pieces: AbstractSet[tuple[str, str]]
    series: Mapping[tuple[str, str], Mapping[Series, int]]

    @classmethod
    def of(cls, transaction: Transaction, new: Sequence[Replacement]) -> _Known:
        """What is stored of the pieces that are replaced."""
        pieces: set[tuple[str, str]] = set()
        series: dict[tuple[str, str], dict[Series, int]] = defaultdict(dict)
        for family, own in groupby(new, key=itemgetter(0)):
            scopes = _filled([one.scope for one in own])
            values, size = (family, *scopes), len(scopes)
            text = _of_scopes(SERIES, _SERIES_COLUMNS, size, transaction.dialect)
            for number, *rest in transaction.rows(text, values):
                series[family, rest[-1]][Series(*rest)] = number
            rows = transaction.rows(_of_scopes(PIECE, ("scope",), size, transaction.dialect), values)
            pieces |= {(family, scope) for (scope,) in rows}
        return cls(pieces, series)


def _replaced(
    transaction: Transaction, new: Replacement, stored: _Known, noticed: _Noticed, writing: _Writing
) -> tuple[int, dict[int, int]]:
    piece = new.family, new.scope
    known = stored.series.get(piece, {})
    old = _stored(transaction, known, new) if known else {}
    if not old and piece not in stored.pieces:  # else what is new in it may have been missing from what was published
        return _write_new(writing, known, new)
    ids = writing.number(known, {series for series, rows in new.rows.items() if rows})
    wanted = {(n, row[0], row[1]): (n, *row) for s, rows in new.rows.items() if rows for n in (ids[s],) for row in rows}
    gone = [key for key in old if key not in wanted]
    written = [key for key, row in wanted.items() if old.get(key) != row]
    if gone or written:
        # In the order of the primary key an insert appends instead of searching.
        writing.exchange(gone, [wanted[key] for key in sorted(written)])
        series = {n: one for one, n in ids.items()}
        _log(transaction, _restated(series, old, wanted, gone, written, noticed.until), noticed)
    writing.keep(new)
    changed: dict[int, int] = {}
    for number, moment, _ in (*gone, *written):
        changed[number] = min(moment, changed.get(number, moment))
    return len(gone) + len(written), changed


def _write_new(writing: _Writing, known: Mapping[Series, int], new: Replacement) -> tuple[int, dict[int, int]]:
    """Write a piece of which nothing is stored: nothing to compare with, and nothing was published of it."""
    ids = writing.number(known, new.rows)
    # In the order of the primary key an insert appends instead of searching.
    ordered = sorted((ids[series], _in_order(rows)) for series, rows in new.rows.items())
    for number, rows in ordered:
        writing.add(number, rows)
    writing.keep(new)
    changed = {number: rows[0][0] for number, rows in ordered if rows}
    return sum(map(len, new.rows.values())), changed


def _in_order(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows by their time and unit, which tell them apart: so nothing after these is ever compared."""
    try:
        return sorted(rows)
    except TypeError:  # but where somebody made two of one, which the database will refuse
        return sorted(rows, key=itemgetter(0, 1))


def _stored(transaction: Transaction, known: Mapping[Series, int], new: Replacement) -> dict[_Key, tuple[Any, ...]]:
    """The stored rows that a replacement stands for."""
    series, kept = sorted(known.values()), new.kept
    least = -(2**62) if new.after is None else new.after
    rows = _rows_of(transaction, series, [least], later=True) if least < _NEVER else []
    if kept:
        rows = [row for row in rows if row[1:3] not in kept]
    moments = sorted({moment for moment, _ in new.reopened if moment <= least})
    if moments:
        rows += [r for r in _rows_of(transaction, series, moments, later=False) if r[1:3] in new.reopened]
    return {row[_KEY]: row for row in rows}


def _rows_of(
    transaction: Transaction, series: Sequence[int], moments: Sequence[int], *, later: bool
) -> list[tuple[Any, ...]]:
    """Rows of _COLUMNS of some series: after a time, or at some times. One statement."""
    filled = [_filled(series), _filled(moments)]
    text = _select_rows(transaction.dialect, *map(len, filled), later=later)
    return transaction.rows(text, (*filled[0], *filled[1]))


def _filled(values: Sequence[T]) -> list[T]:
    """Values, the last one repeated up to a power of two: so that few statements serve all lengths."""
    size = 1 << max(len(values) - 1, 0).bit_length()
    return [*values, *[values[-1]] * (size - len(values))]


@lru_cache(maxsize=256)
def _select_rows(dialect: Any, series: int, moments: int, *, later: bool) -> str:
    numbers: list[Any] = [sa.bindparam(f"s{i}", type_=sa.Integer) for i in range(series)]
    times: list[Any] = [sa.bindparam(f"t{i}", type_=sa.BigInteger) for i in range(moments)]
    when = OBSERVATION.c.at > times[0] if later else OBSERVATION.c.at.in_(times)
    query = sa.select(*[OBSERVATION.c[n] for n in _COLUMNS]).where(OBSERVATION.c.series_id.in_(numbers), when)
    return str(query.compile(dialect=dialect))


@lru_cache(maxsize=4)
def _deletion(dialect: Any) -> str:
    own = OBSERVATION.c
    keys = (own.series_id == sa.bindparam("s"), own.at == sa.bindparam("a"), own.unit == sa.bindparam("u"))
    return str(sa.delete(OBSERVATION).where(*keys).compile(dialect=dialect))


_SERIES_COLUMNS = ("id", *Series._fields)
_NEW_SERIES = insert(SERIES).values({n: sa.bindparam(n) for n in _SERIES_COLUMNS})
_COLUMNS = ("series_id", *ObservationRow._fields)
_INSERT = insert(OBSERVATION).values({n: sa.bindparam(n) for n in _COLUMNS})
_VALUES = slice(2, 7)
"""Where the values of an observation stand."""
_NO_VALUES = (None,) * 5
_BARE_COLUMNS = ("series_id", *(n for n in ObservationRow._fields if n not in ObservationRow._fields[_VALUES]))
_INSERT_BARE = insert(OBSERVATION).values({n: sa.bindparam(n) for n in _BARE_COLUMNS})
_NO_EVIDENCE = "[]"
_OUTCOMES = (*_FINAL, "excluded", "pending")
_PLAIN_COLUMNS = ("series_id", "at", "unit", "matures_at")
_PLAIN = {"reason": "", "rule": "", "evidence": _NO_EVIDENCE}
_INSERT_PLAIN = {
    outcome: insert(OBSERVATION).values(
        {n: sa.bindparam(n) for n in _PLAIN_COLUMNS}
        | {n: sa.literal_column(f"'{text}'") for n, text in {"outcome": outcome, **_PLAIN}.items()}
    )
    for outcome in _OUTCOMES
}
_UPSERT = _INSERT.on_conflict_do_update(
    index_elements=["series_id", "at", "unit"],
    set_={n: _INSERT.excluded[n] for n in ObservationRow._fields[2:]},
)


_PIECE_COLUMNS = ("family", "scope", "definitions", "reads", "state")
_NEW_PIECE = insert(PIECE).values({n: sa.bindparam(n) for n in _PIECE_COLUMNS})
_KEEP = _NEW_PIECE.on_conflict_do_update(
    index_elements=["family", "scope"], set_={n: _NEW_PIECE.excluded[n] for n in _PIECE_COLUMNS[2:]}
)


def _published_until(transaction: Transaction) -> int:
    found = _asked(transaction, _counter, _PUBLISHED)
    return int(found[0][0]) if found else -(2**62)


class _Change(NamedTuple):
    series: Series
    unit: str
    was: str
    now: str


def _restated(
    series: Mapping[int, Series],
    old: Mapping[_Key, tuple[Any, ...]],
    wanted: Mapping[_Key, tuple[Any, ...]],
    gone: Sequence[_Key],
    written: Sequence[_Key],
    until: int,
) -> Iterator[_Change]:
    """What of a replacement changes published judgements: a final one that is different or gone, or a late one.

    What waited and is judged now is no restatement, nor is what became known, within a day of when it is dated.
    """
    before = {key: old[key] for key in (*gone, *(k for k in written if k in old))}
    for was_at, now_at in _paired(series, before, wanted, written):
        if was_at is not None and _final(before[was_at], until):
            if now_at is not None and _says_the_same(before[was_at], wanted[now_at]):
                continue
        elif now_at is None or now_at[1] >= until - _LATE or not _final(wanted[now_at], until):
            continue
        was = "" if was_at is None else _said(before[was_at])
        now = "" if now_at is None else _said(wanted[now_at])
        number, _, unit = was_at or now_at or (0, 0, "")
        yield _Change(series[number], unit, was, now)


def _paired(
    series: Mapping[int, Series],
    before: Mapping[_Key, tuple[Any, ...]],
    wanted: Mapping[_Key, tuple[Any, ...]],
    written: Sequence[_Key],
) -> Iterator[tuple[_Key | None, _Key | None]]:
    """What was said of a unit beside what is said now; None where it was not, or is no longer.

    A unit may have several judgements, one for each of its labels; one whose label changed is the same still. Of a unit
    that is pending until its deadline and judged there, the judgement is what was said and is said.
    """

    def unit(key: _Key) -> tuple[str, ...]:
        own = series[key[0]]
        return own.indicator, own.service, own.environment, key[2]

    def named(key: _Key) -> tuple[str, ...]:
        return *unit(key), series[key[0]].dimension

    said = {named(key): key for key in sorted(before, key=lambda k: not _waits(before[k]))}
    says = {named(key): key for key in sorted(written, key=lambda k: not _waits(wanted[k]))}
    moved = {unit(key): name for name, key in said.items() if name not in says}
    for name, key in says.items():
        yield said.pop(name if name in said else moved.get(unit(key), name), None), key
    yield from ((key, None) for key in said.values())


_AT, _OUTCOME, _MATURES = (_COLUMNS.index(name) for name in ("at", "outcome", "matures_at"))


def _final(row: tuple[Any, ...], until: int) -> bool:
    at, outcome, matures_at = row[_AT], row[_OUTCOME], row[_MATURES]
    return bool(at <= until and outcome in _FINAL and (matures_at is None or matures_at <= until))


def _waits(row: tuple[Any, ...]) -> bool:
    return bool(row[_OUTCOME] == "pending")


def _says_the_same(was: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether two judgements differ in nothing that is said, or in what adding up in another order makes of a sum."""
    values = slice(1 + _VALUES.start, 1 + _VALUES.stop)
    told = [(*row[1:2], *row[_OUTCOME : _OUTCOME + 2]) for row in (was, now)]
    return told[0] == told[1] and all(starmap(_close, zip(was[values], now[values], strict=True)))


def _close(was: float | None, now: float | None) -> bool:
    return was == now or (was is not None and now is not None and math.isclose(was, now, rel_tol=_NOISE))


def _said(row: tuple[Any, ...]) -> str:
    """A judgement in one line: its time, outcome, value and parts; not the evidence, which may only have grown."""
    one = ObservationRow(*row[1:])
    parts = (one.part_1, one.part_2, one.part_3, one.part_4)
    return msgspec.json.encode([one.at, one.outcome, one.reason, one.value, *parts]).decode()


def _log(transaction: Transaction, changes: Iterable[_Change], noticed: _Noticed) -> None:
    """Write restatements; beyond a thousand of one indicator and service in one go, one line says how many more."""
    rows: list[dict[str, Any]] = []
    ordered = sorted(changes, key=lambda c: (c.series.indicator, c.series.service, c.series.environment, c.unit))
    for _, same in groupby(ordered, key=lambda c: itemgetter(1, 3, 4)(c.series)):
        group = list(same)
        rows += [_restatement_row(c, noticed) for c in group[:_MOST_RESTATEMENTS]]
        if rest := group[_MOST_RESTATEMENTS:]:
            rows.append(_restatement_row(rest[0]._replace(unit="", was=f"{len(rest)} more units", now=""), noticed))
    if rows:
        transaction.execute(insert(RESTATEMENT), rows)


def _restatement_row(change: _Change, noticed: _Noticed) -> dict[str, Any]:
    series = change.series
    return Restatement(
        restated_at=noticed.at,
        indicator=series.indicator,
        service=series.service,
        environment=series.environment,
        team=series.team,
        unit=change.unit,
        was=change.was,
        now=change.now,
        why=noticed.why,
    )._asdict()
