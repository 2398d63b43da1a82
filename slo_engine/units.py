"""Stored observations as arrays: what numbers are computed from. Reads the store; judges nothing by the wall clock.

What was read is kept, so that a long-lived `Columns` reads only what changed. Windows need the last months alone:
the rest of history is counted by the database and never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from collector.store import Judge, ObservationStore, Plain, Tally
from slo_engine.lined import Lined
from slo_engine.observation import MOST_PARTS, Outcome, Reason
from slo_engine.statistics import MANY, sifted

DAY = 86_400_000_000
"""A day of 24 hours in microseconds."""

SHARED_FOR = 28 * DAY
"""Of a unit that reached several services, what follows an earlier sighting within this time is not counted again."""

NEVER = 2**62
ALL_TIME = -NEVER
_SPARE = 9 * DAY
_REASONS_AT_ONCE = 32
# So few series are sooner put in order again than the rows of one exchanged.
_FEW = 8
# How many times as many rows as its series hold a pool may keep.
_MOST_KEPT = 1.25
# A pool has this part of its rows as room for more.
_SPARE_ROOM = 8

_VALUES = ("value", *(f"part_{n + 1}" for n in range(MOST_PARTS)))
_OUTCOMES = tuple(Outcome)
CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
"""How outcomes stand in arrays."""
_GOOD, _PENDING, _EXCLUDED, _MEASURED = (
    CODES[o] for o in (Outcome.GOOD, Outcome.PENDING, Outcome.EXCLUDED, Outcome.MEASURED)
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Codes = NDArray[np.int16]


class Rows(NamedTuple):
    """Observations of one series in columns, ordered by time. Times in microseconds; NaN where a value is unknown.

    `values` has a row for the value, and one for each part where any part is known. `outcome` and `reason` are codes.
    `ripe_at`: a time at which all of them have matured. `waits`: whether there may be pending ones. Both save a look.
    """

    at: Ints
    values: Floats
    outcome: Codes
    reason: Codes
    matures_at: Ints
    unit: Ints
    ripe_at: int = NEVER
    waits: bool = True

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """All columns."""
        return self.at, self.values, self.outcome, self.reason, self.matures_at, self.unit

    def split(self, at: int) -> tuple[Rows, Rows]:
        """The rows before a time, and the others."""
        place = int(self.at.searchsorted(at))
        return self._between(slice(place)), self._between(slice(place, None))

    def behind(self, count: int) -> Rows:
        """The rows behind the first ones."""
        return self._between(slice(count, None)) if count else self

    def _between(self, places: slice) -> Rows:
        return Rows(
            self.at[places],
            self.values[:, places],
            self.outcome[places],
            self.reason[places],
            self.matures_at[places],
            self.unit[places],
            self.ripe_at,
            self.waits,
        )

    def taken(self, which: Ints | NDArray[np.bool_]) -> Rows:
        """Some of the rows, by their places or a mask."""
        return Rows(
            self.at[which],
            self.values[:, which],
            self.outcome[which],
            self.reason[which],
            self.matures_at[which],
            self.unit[which],
            self.ripe_at,
            self.waits,
        )

    def there(self, now: int) -> Rows:
        """The rows up to a time, without pending ones that have matured: others have taken their place."""
        end, gone = int(self.at.searchsorted(now, side="right")), _gone(self, now)
        if end == self.at.size and gone is None:
            return self
        kept = np.arange(self.at.size) < end
        return self.taken(kept if gone is None else kept & ~gone)

    def is_final(self, now: int) -> bool:
        """True where none of them is pending at a time, or matures after it."""
        return self.ripe_at <= now and not self.waits

    def unripe(self, now: int) -> NDArray[np.bool_]:
        """Which of them are pending because they mature after a time."""
        found: NDArray[np.bool_] = (self.matures_at > now) & (self.outcome != _EXCLUDED)
        return found

    def value(self, column: int) -> Floats:
        """A row of values: the whole or its n-th part."""
        found: Floats = self.values[column] if column < len(self.values) else np.full(self.at.size, np.nan)
        return found


def joined(rows: Sequence[Rows]) -> Rows:
    """Some rows after each other, in the order given."""
    if len(rows) == 1:
        return rows[0]
    return Rows(
        _concatenated([r.at for r in rows], np.int64),
        _tabled([r.values for r in rows]),
        _concatenated([r.outcome for r in rows], np.int16),
        _concatenated([r.reason for r in rows], np.int16),
        _concatenated([r.matures_at for r in rows], np.int64),
        _concatenated([r.unit for r in rows], np.int64),
        max((r.ripe_at for r in rows), default=ALL_TIME),
        any(r.waits for r in rows),
    )


def side_by_side(rows: Sequence[Rows], now: int, skipped: Sequence[int] | None = None) -> tuple[Rows, Lined]:
    """The rows of several series after each other, and their times; without those that are there no more at a time.

    `skipped`: of each series, how many of its first rows are left out. Nobody may ask which units they are of.
    """
    from_places = [0] * len(rows) if skipped is None else skipped
    places = [slice(n, None) for n in from_places]
    pairs = list(zip(rows, places, strict=True))
    at = _concatenated([own.at[place] for own, place in pairs], np.int64)
    ripe_at = max((own.ripe_at for own in rows), default=ALL_TIME)
    matures_at = np.broadcast_to(np.int64(ALL_TIME), at.shape)
    if ripe_at > now or any(own.waits for own in rows):
        matures_at = _concatenated([own.matures_at[place] for own, place in pairs], np.int64)
    whole = Rows(
        at,
        _tabled([own.values[:, place] for own, place in pairs]),
        _concatenated([own.outcome[place] for own, place in pairs], np.int16),
        _concatenated([own.reason[place] for own, place in pairs], np.int16),
        matures_at,
        np.broadcast_to(np.int64(0), at.shape),
        ripe_at,
        any(own.waits for own in rows),
    )
    sizes = [own.at.size - n for own, n in zip(rows, from_places, strict=True)]
    line, gone = Lined(whole.at, sizes), _gone(whole, now)
    return (whole, line) if gone is None else (whole.taken(~gone), line.only(~gone))


def _tabled(values: Sequence[Floats]) -> Floats:
    """Tables of values after each other; as high as the highest, and unknown where one lacks rows."""
    heights = {len(own) for own in values}
    if len(heights) <= 1:
        return np.concatenate(values, axis=1) if values else np.empty((1, 0))
    found = np.full((max(heights), sum(own.shape[1] for own in values)), np.nan)
    end = 0
    for own in values:
        start, end = end, end + own.shape[1]
        found[: len(own), start:end] = own
    return found


def _concatenated(arrays: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.array([], dtype=kind)


@dataclass(slots=True)
class _Held:
    """What is held of a series: every row after a time, as read when the unripe ones were those after `ripe_at`.

    `earlier`: the times of what was held until it was last read, and from what time on it has changed since. Whoever
    asks for that holds it still; for nobody it is kept.
    """

    after: int
    ripe_at: int
    rows: Rows
    earlier: tuple[ReferenceType[Ints], int] | None = None


class Columns:
    """The observations of a store in arrays: read when they are asked for, and again only where they changed.

    `width`: how many values the units of a series can have, the whole and its parts; more are not read. The units of a
    series are told apart only if they are `named`.
    """

    def __init__(
        self,
        store: ObservationStore,
        width: Callable[[int], int] = lambda _: len(_VALUES),
        named: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._store, self._width, self._named = store, width, named
        self._held: dict[int, _Held] = {}
        self.version = 0
        """Grows whenever some rows change."""
        self._read_from: dict[int, int] = {}
        self._tallies: dict[Judge, dict[int, Tally]] = {}
        self.reasons = [""]
        self._reason_codes = {"": 0}
        self.missing_time = self._reason(Reason.MISSING_TIME.value)
        self.unknown = self._reason(Reason.UNKNOWN.value)

    def forget(self, number: int, at: int) -> None:
        """What a series holds from a time on may have changed; what lies before it has not."""
        held = self._held.get(number)
        if held is None or at <= held.after:
            self._drop(number)
        else:
            self._read_from[number] = min(at, self._read_from.get(number, at))

    def _drop(self, number: int) -> None:
        self.version += 1
        self._held.pop(number, None)
        self._read_from.pop(number, None)
        for known in self._tallies.values():
            known.pop(number, None)

    def prepare(self, numbers: Iterable[int], after: int, now: int) -> None:
        """Have the rows of some series after a time: one statement for all that is not there yet."""
        wanted: dict[int, int] = {}
        earlier: dict[int, tuple[ReferenceType[Ints], int]] = {}
        for number in numbers:
            held, start = self._held.get(number), self._read_from.get(number)
            if held is not None and start is None and held.after <= after:
                continue
            if held is None or start is None or held.after > after or held.after < after - _SPARE:
                if held is not None and start is not None and held.after <= after < start:
                    earlier[number] = ref(held.rows.at), start
                self._drop(number)
                wanted[number] = after
            else:
                wanted[number] = start - 1
        if wanted:
            self._read(wanted, earlier, now)

    def _read(
        self, wanted: Mapping[int, int], earlier: Mapping[int, tuple[ReferenceType[Ints], int]], now: int
    ) -> None:
        self.version += 1
        found: dict[int, list[Rows]] = {}
        alike: dict[tuple[int, bool], dict[int, int]] = {}
        for number, after in wanted.items():
            alike.setdefault((self._width(number), self._named(number)), {})[number] = after
        for (width, named), some in sorted(alike.items()):
            names = ("at", *(("unit",) if named else ()), *_VALUES[:width], "outcome", "reason", "matures_at")
            plain: Sequence[Plain] = ()
            chunks: Iterable[Sequence[tuple[Any, ...]]]
            if width:
                chunks = self._store.since(some, *names)
            else:
                plain, chunks = self._store.since_but_plain(some, *names, named=named)
            for chunk in chunks:
                for number, rows in self._columns(chunk, named=named):
                    found.setdefault(number, []).append(rows)
            for one in plain:
                found[one.series] = [_in_order(joined([*found.get(one.series, ()), _good(one)]))]
        for number, after in wanted.items():
            new = found.get(number, [])
            held = self._held.get(number)
            start = self._read_from.pop(number, None)
            if held is None or start is None:
                self._held[number] = _Held(after, now, joined(new), earlier.get(number))
            else:
                held.earlier = ref(held.rows.at), start
                held.rows = joined([held.rows.split(start)[0], *new])

    def _columns(self, chunk: Sequence[tuple[Any, ...]], *, named: bool) -> Iterable[tuple[int, Rows]]:
        """The rows of a chunk by series."""
        series, at, *values, outcome, reason, matures = zip(*chunk, strict=True)
        units = np.zeros(len(chunk), dtype=np.int64)
        if named:
            units = _hashed(values.pop(0))
        numbers = np.array(series)
        table = np.array([_floats(column) for column in values]) if values else np.full((1, len(chunk)), np.nan)
        height = np.flatnonzero(~np.isnan(table).all(axis=1))
        times = np.array(at, dtype=np.int64)
        outcomes = _codes(outcome, {o: CODES[o] for o in set(outcome)})
        reasons = _codes(reason, {r: self._reason(r) for r in sorted(set(reason))})
        ripe = np.full(len(chunk), ALL_TIME, dtype=np.int64)
        if matures.count(None) < len(chunk):
            ripe = np.array([ALL_TIME if m is None else m for m in matures], dtype=np.int64)
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(chunk)]):
            part = slice(start, end)
            own = table[: (height[-1] + 1 if height.size else 1), part]
            known = np.flatnonzero(~np.isnan(own).all(axis=1))
            yield (
                int(numbers[start]),
                # Copies: a view would keep the whole chunk.
                Rows(
                    times[part].copy(),
                    own[: known[-1] + 1 if known.size else 1].copy(),
                    outcomes[part].copy(),
                    reasons[part].copy(),
                    ripe[part].copy(),
                    units[part].copy(),
                    int(ripe[part].max()),
                    bool((outcomes[part] == _PENDING).any()),
                ),
            )

    def _reason(self, text: str) -> int:
        code = self._reason_codes.get(text)
        if code is None:
            code = self._reason_codes[text] = len(self.reasons)
            self.reasons.append(text)
        return code

    @property
    def width(self) -> int:
        """How wide a histogram is that has room for every reason; it grows in large steps."""
        return len(_OUTCOMES) + _REASONS_AT_ONCE * -(-len(self.reasons) // _REASONS_AT_ONCE)

    def excluded(self, histogram: Sequence[int]) -> dict[str, int]:
        """How many units were excluded for each reason."""
        counts = histogram[len(_OUTCOMES) :]
        return {self.reasons[code]: n for code, n in enumerate(counts) if n} if any(counts) else {}

    def rows(self, number: int) -> Rows:
        """The rows held of a series that was prepared."""
        return self._held[number].rows

    def changed_from(self, number: int, rows: Rows) -> int:
        """From what time on the rows of a prepared series are others than these, which were its rows once."""
        held = self._held[number]
        if held.rows is rows:
            return NEVER
        return held.earlier[1] if held.earlier is not None and held.earlier[0]() is rows.at else ALL_TIME

    def tallies(self, numbers: Iterable[int], judge: Judge) -> dict[int, Tally]:
        """For some prepared series, what there is at and before the time their rows begin."""
        known = self._tallies.setdefault(judge, {})
        ids = [n for n in numbers if self._held[n].after > ALL_TIME]
        asked: dict[tuple[int, int], list[int]] = {}
        for number in ids:
            if number not in known:
                held = self._held[number]
                asked.setdefault((held.after, held.ripe_at), []).append(number)
        for (until, ripe_at), some in asked.items():
            found = self._store.tallies(some, until, ripe_at, judge)
            known.update({n: found.get(n, _NOTHING) for n in some})
        unripe = [n for n in ids if known[n].ripens]
        if unripe:
            # Old units that are still to mature cannot be tallied for good: these few series are held whole.
            for number in unripe:
                self._drop(number)
            self.prepare(unripe, ALL_TIME, max(ripe_at for _, ripe_at in asked))
        return {n: known.get(n, _NOTHING) for n in numbers}


def _hashed(units: Sequence[str]) -> Ints:
    """What units are told apart by."""
    return np.fromiter(map(hash, units), dtype=np.int64, count=len(units))


def _good(plain: Plain) -> Rows:
    """Plain observations as rows without values."""
    size = len(plain.at)
    return Rows(
        np.array(plain.at, dtype=np.int64),
        np.full((1, size), np.nan),
        np.full(size, _GOOD, dtype=np.int16),
        np.zeros(size, dtype=np.int16),
        np.full(size, ALL_TIME, dtype=np.int64),
        _hashed(plain.unit) if plain.unit else np.zeros(size, dtype=np.int64),
        ripe_at=ALL_TIME,
        waits=False,
    )


def _in_order(rows: Rows) -> Rows:
    """Some rows in the order of time."""
    return rows.taken(np.argsort(rows.at, kind="stable"))


def _floats(column: Sequence[float | None]) -> Floats:
    """A column; None becomes NaN. Most columns of parts have nothing else, which is soon said."""
    if column.count(None) == len(column):
        return np.full(len(column), np.nan)
    return np.array(column, dtype=np.float64)


def _codes(column: Sequence[str], codes: Mapping[str, int]) -> Codes:
    """A column of few texts as their codes."""
    if len(codes) == 1:
        return np.full(len(column), next(iter(codes.values())), dtype=np.int16)
    return np.fromiter(map(codes.__getitem__, column), dtype=np.int16, count=len(column))


_NOTHING = Tally(0, 0, 0, None, ripens=False)


class Units(NamedTuple):
    """The units of one indicator and subject at a time, ordered by time: what is not final yet is marked so."""

    at: Ints
    values: Floats
    outcome: Codes
    reason: Codes
    ripens_at: int
    """When the next of the pending units matures."""
    pending: int
    """How many have still to mature."""

    def cut(self, after: int, until: int) -> tuple[int, int]:
        """Where a stretch of time (after, until] begins and ends."""
        start, end = self.at.searchsorted((after, until), side="right")
        return int(start), int(end)

    def between(self, start: int, end: int) -> Units:
        """The units from one place to another."""
        return Units(
            self.at[start:end],
            self.values[:, start:end],
            self.outcome[start:end],
            self.reason[start:end],
            self.ripens_at,
            self.pending,
        )

    def histograms(self, cuts: Iterable[tuple[int, int]], width: int) -> list[Ints]:
        """How many units between some places have each outcome, by its code; then how many were excluded, by reason."""
        codes = codes_of(self.outcome, self.reason)
        return [np.bincount(codes[start:end], minlength=width) for start, end in cuts]

    def ordered(self, width: int, wanted: Mapping[str, float]) -> list[Floats]:
        """The values that were measured, ascending, or of many `sifted` for the quantiles that are wanted.

        Those of the whole and of its parts, as many of these as asked for.
        """
        values = np.where(self.outcome == _MEASURED, self.values[:width], np.nan)
        if self.at.size >= MANY:
            found = [sifted(row[~np.isnan(row)], wanted) for row in values]
        else:
            values.sort(axis=1)  # what is unknown comes last
            found = [row[: row.searchsorted(np.nan)] for row in values]
        return found + [self.values[0, :0]] * (width - len(found))


def codes_of(outcome: Codes, reason: Codes) -> Ints:
    """Where units stand in a histogram: by their outcome, and what was excluded by its reason behind all outcomes."""
    return np.where(outcome == _EXCLUDED, reason.astype(np.int64) + len(_OUTCOMES), outcome)


Order = Callable[[Rows, Ints], Ints]
"""Gives the places of some rows in order, first of all that of time; beside each row its series' number."""


def by_time(rows: Rows, _: Ints) -> Ints:
    """The order of time alone."""
    return np.argsort(rows.at, kind="stable")


_NO_ROWS = joined(())


class Pool:
    """Rows of several series, held together in order: only what follows the first change is put in order anew."""

    def __init__(self) -> None:
        self.stamp: tuple[int, Sequence[int]] = (-1, ())
        """The version of the columns, and the series, that it was last filled with."""
        self.rows = _NO_ROWS
        """They lie in room that is used again: whoever looks at them is done when the pool is filled the next time."""
        self.owner: Ints = _NO_ROWS.unit
        """For each row the number of its series."""
        self._room: list[NDArray[Any]] = [*self.rows.columns, self.owner]
        self._from: dict[int, Rows] = {}
        self._size = 0
        """How many rows these have."""
        self._repeated: Ints | None = None

    def fill(
        self,
        series: Mapping[int, Rows],
        changed_from: Callable[[int, Rows], int],
        order: Order = by_time,
        *,
        exact: bool = False,
    ) -> None:
        """Hold the rows of these series and of no others. Rows are the same while they are the same object.

        `changed_from` says from what time on the rows of a series are others than it had before. What a series no
        longer holds because it lies too long ago may stay until it is much, unless `exact`.
        """
        before, self._from = self._from, dict(series)
        new = {n: rows for n, rows in series.items() if before.get(n) is not rows}
        gone = [n for n in before if n not in series]
        if not new and not gone:
            return
        self._repeated = None
        known = [n for n in new if n in before]
        self._size += sum(rows.at.size for rows in new.values()) - sum(before[n].at.size for n in (*known, *gone))
        anew = not before or len(series) <= _FEW or self.rows.at.size > _MOST_KEPT * self._size
        if anew or (exact and any(_first(new[n]) > _first(before[n]) for n in known)):
            self._put(0, joined(list(series.values())), _owners(series), order)
            return
        starts = [changed_from(n, before[n]) for n in known]
        starts += [_first(before[n]) for n in gone] + [_first(rows) for n, rows in new.items() if n not in before]
        start = min(starts)
        head, tail = self.rows.split(start)
        owner = self.owner[head.at.size :]
        stays = ~np.isin(owner, np.array([*known, *gone], dtype=np.int64))
        fresh = {n: rows.split(start)[1] for n, rows in new.items()}
        rows = joined([tail.taken(stays), *fresh.values()])
        self._put(head.at.size, rows, np.concatenate([owner[stays], _owners(fresh)]), order)

    def _put(self, start: int, rows: Rows, owner: Ints, order: Order) -> None:
        """Hold as many rows as are in order already, and others that follow them."""
        places, before, size = order(rows, owner), self.rows, start + owner.size
        height = max(len(rows.values), len(before.values))
        if size > self._room[-1].size or height > len(before.values):
            self._room = [_with_room(column, start, size + size // _SPARE_ROOM, height) for column in self._room]
        columns = (*rows._replace(values=_as_high(rows.values, height)).columns, owner)
        for room, column in zip(self._room, columns, strict=True):
            room[..., start:size] = column[..., places]
        at, values, outcome, reason, matures_at, unit, self.owner = (room[..., :size] for room in self._room)
        ripe_at, waits = (before.ripe_at, before.waits) if start else (ALL_TIME, False)
        self.rows = Rows(
            at, values, outcome, reason, matures_at, unit, max(ripe_at, rows.ripe_at), waits=waits or rows.waits
        )

    def units(self, now: int, column: int | None, missing_time: int, *, once: bool = False) -> Units:
        """The units at a time; see `units_of`.

        `once`: a unit that several series have counts once, at its earliest time, as the used one where it was left
        out elsewhere; of equal sightings that of the series that was named first.
        """
        if not once:
            return units_of(self.rows, now, column, missing_time)
        units, gone = _all_of(self.rows, now, column, missing_time), _gone(self.rows, now)
        if self._repeated is None:
            self._repeated = _repeated(self.rows.unit)
        seen = self._repeated if gone is None else self._repeated[~gone[self._repeated]]
        again = self._later_sightings(seen, units.outcome)
        if not again.size and gone is None:
            return units
        kept = np.ones(units.at.size, dtype=bool) if gone is None else ~gone
        kept[again] = False
        return _kept(units, kept)

    def _later_sightings(self, shared: Ints, outcome: Codes) -> Ints:
        """Of the places of units that are there several times, those that follow another sighting."""
        at, unit = self.rows.at[shared], self.rows.unit[shared]
        named = np.array(list(self._from), dtype=np.int64)
        by_number = np.argsort(named)
        rank = by_number[named.searchsorted(self.owner[shared], sorter=by_number)]
        order = np.lexsort((rank, at, outcome[shared] == _EXCLUDED, unit))
        at, unit = at[order], unit[order]
        again = (unit[1:] == unit[:-1]) & (np.abs(at[1:] - at[:-1]) <= SHARED_FOR)
        found: Ints = shared[order[1:][again]]
        return found


def _with_room(column: NDArray[Any], size: int, room: int, height: int) -> NDArray[Any]:
    """The beginning of a column with room for more; values with so many rows."""
    values = column.ndim > 1
    found = np.empty((height, room) if values else room, dtype=column.dtype)
    found[..., :size] = (_as_high(column, height) if values else column)[..., :size]
    return found


def _as_high(values: Floats, height: int) -> Floats:
    """Values with so many rows: what is missing is unknown."""
    missing = height - len(values)
    return np.pad(values, ((0, missing), (0, 0)), constant_values=np.nan) if missing else values


def _first(rows: Rows) -> int:
    """The time of the first row."""
    return int(rows.at[0]) if rows.at.size else NEVER


def _owners(series: Mapping[int, Rows]) -> Ints:
    """For each row of some series the series' number."""
    found: Ints = np.repeat(np.array(list(series), dtype=np.int64), [r.at.size for r in series.values()])
    return found


def _repeated(unit: Ints) -> Ints:
    """The places of units that are there several times."""
    order = np.argsort(unit)
    ordered = unit[order]
    same = ordered[1:] == ordered[:-1]
    twice = np.zeros(unit.size, dtype=bool)
    twice[order[1:][same]] = True
    twice[order[:-1][same]] = True
    return np.flatnonzero(twice)


def units_of(rows: Rows, now: int, column: int | None, missing_time: int) -> Units:
    """The units of rows in the order of time; where their value matters, `column` says which.

    What has not matured yet is pending, and what was only ever pending is gone once it has; what was measured but lacks
    that value is excluded.
    """
    found, gone = _all_of(rows, now, column, missing_time), _gone(rows, now)
    return found if gone is None else _kept(found, ~gone)


def _gone(rows: Rows, now: int) -> NDArray[np.bool_] | None:
    """Which rows are there no more: pending ones that have matured. None where there is none."""
    if not rows.waits:  # nearly always: no family but those with deadlines has pending units that mature
        return None
    gone = rows.outcome == _PENDING
    gone &= (rows.matures_at > ALL_TIME) & (rows.matures_at <= now)
    return gone if gone.any() else None


def _kept(units: Units, kept: NDArray[np.bool_]) -> Units:
    return units._replace(
        at=units.at[kept], values=units.values[:, kept], outcome=units.outcome[kept], reason=units.reason[kept]
    )


def _all_of(rows: Rows, now: int, column: int | None, missing_time: int) -> Units:
    """The units of all rows, those that are gone among them."""
    outcome, reason, values = rows.outcome, rows.reason, rows.values
    pending, ripens_at = 0, NEVER
    if rows.ripe_at > now:
        waits = rows.unripe(now)
        pending = int(np.count_nonzero(waits))
        if pending:
            outcome = np.where(waits, np.int16(_PENDING), outcome)
            ripens_at = int(rows.matures_at[waits].min())
    if column is not None:
        values = values if column == 0 else rows.value(column)[np.newaxis]
        lacking = (outcome == _MEASURED) & np.isnan(values[0])
        if lacking.any():
            outcome, reason = (
                np.where(lacking, np.int16(_EXCLUDED), outcome),
                np.where(lacking & (reason == 0), np.int16(missing_time), reason),
            )
    return Units(rows.at, values, outcome, reason, ripens_at, pending)
