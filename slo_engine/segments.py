"""The lines of an exposition by family, in segments that are compressed at most once. Pure.

What is the same as before costs a look: a block that changed costs its own lines, and the segments that they are in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import log2

import msgspec

from slo_engine.gzipped import Deflated, deflated

_SEGMENT_BYTES = 8_192
_THREADS = 2

Texts = tuple[bytes, ...]


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The lines of one metric in a block, how many they are, and the block's place."""

    text: bytes
    lines: int
    place: int


Pieces = Mapping[str, Piece]
"""The lines of a block by metric."""


@dataclass(slots=True)
class Segment:
    """Some lines of a family, and their compressed form once that was asked for."""

    texts: Texts
    _packed: Deflated | None = field(default=None, compare=False, repr=False)

    @property
    def waits(self) -> bool:
        """Whether it is not compressed yet."""
        return self._packed is None

    @property
    def packed(self) -> Deflated:
        """The compressed form. Two threads that ask for it first both make it, and it is the same."""
        if self._packed is None:
            self._packed = deflated(b"".join(self.texts))
        return self._packed


class _Family:
    """The lines of one metric: the pieces of those blocks that have any, in order, and the segments they are in."""

    def __init__(self, at: Iterable[int] = (), pieces: Iterable[Piece] = ()) -> None:
        self.at = list(at)
        """Which blocks they are of."""
        self.pieces = list(pieces)
        self.lines = sum(p.lines for p in self.pieces)
        self.ends: list[int] = []
        """Where segments end among the pieces; empty until they are told apart."""
        self.segments: list[Segment | None] = []
        """None where one has other lines than before."""

    def put(self, at: int, piece: Piece | None) -> None:
        """Have the lines of a block, or none."""
        place = bisect_left(self.at, at)
        known = self.pieces[place] if place < len(self.at) and self.at[place] == at else None
        if (None if known is None else known.text) == (None if piece is None else piece.text):
            return
        self.lines += (0 if piece is None else piece.lines) - (0 if known is None else known.lines)
        if piece is not None and known is not None:
            self.pieces[place] = piece
            if self.ends:
                self.segments[bisect_right(self.ends, place)] = None
            return
        self.ends = []
        if piece is None:
            del self.at[place], self.pieces[place]
        else:
            self.at.insert(place, at)
            self.pieces.insert(place, piece)

    def divide(self, known: Mapping[Texts, Segment]) -> None:
        """Tell the segments apart; their ends do not move when lines elsewhere change."""
        if not self.pieces:
            return
        average = sum(len(p.text) for p in self.pieces) / len(self.pieces)
        mask = 2 ** round(log2(max(_SEGMENT_BYTES / average, 1.0))) - 1
        last = len(self.pieces)
        self.ends = [*(n for n, p in enumerate(self.pieces[:-1], start=1) if not p.place & mask), last]
        self.segments = [known.get(self._texts(*bounds)) for bounds in pairwise((0, *self.ends))]

    def fill(self) -> None:
        """Make the segments that are missing."""
        for n, segment in enumerate(self.segments):
            if segment is None:
                self.segments[n] = Segment(self._texts(self.ends[n - 1] if n else 0, self.ends[n]))

    def cut_to(self, limit: int) -> _Family:
        """The family up to the first block that does not fit into a limit."""
        fits = next(n for n, count in enumerate(accumulate(p.lines for p in self.pieces)) if count > limit)
        return _Family(self.at[:fits], self.pieces[:fits])

    def _texts(self, start: int, end: int) -> Texts:
        return tuple([p.text for p in self.pieces[start:end]])


class Families:
    """The families of one exposition after the other."""

    def __init__(self) -> None:
        self._blocks: list[Pieces] = []
        self._families: dict[str, _Family] = {}
        self._cut: dict[str, _Family] = {}
        self._alone: dict[bytes, Segment] = {}

    def hold(self, blocks: Iterable[Pieces], limit: int) -> dict[str, int]:
        """Have the lines of some blocks, in their order; by family how many of them are cut, in the order of `lines`.

        A block is the same while it is the same object. A family with more lines than the limit is cut from the first
        block on that does not fit.
        """
        now, before = list(blocks), self._blocks
        self._blocks = []  # what breaks off here is begun anew the next time
        if len(before) == len(now):
            self._exchange(before, now)
        else:
            self._sort_anew(now)
        self._blocks = now
        known, many = self._cut, {name: own for name, own in self._families.items() if own.lines > limit}
        self._cut = {name: own.cut_to(limit) for name, own in many.items()}
        for name, own in self._cut.items():
            own.divide(_by_texts(known.get(name)))
        return {name: many[name].lines - self._cut[name].lines for name in sorted(many, key=self._order)}

    @property
    def names(self) -> Iterable[str]:
        """The families that have lines."""
        return self._families

    def fill(self, alone: Iterable[bytes]) -> Mapping[bytes, Segment]:
        """Make the segments that are missing; other texts than those held are each a segment of its own."""
        self._alone = {text: self._alone.get(text) or Segment((text,)) for text in alone}
        for name, own in self._families.items():
            self._cut.get(name, own).fill()
        return self._alone

    def lines(self) -> Iterator[tuple[str, int, tuple[Segment, ...]]]:
        """By family how many lines it has and the segments they are in, in the order of each family's first line."""
        for name in sorted(self._families, key=self._order):
            own = self._cut.get(name, self._families[name])
            if own.pieces:
                yield name, own.lines, tuple(s for s in own.segments if s is not None)

    def _order(self, name: str) -> tuple[int, int]:
        first = self._families[name].at[0]
        return first, list(self._blocks[first]).index(name)

    def _exchange(self, before: Sequence[Pieces], now: Sequence[Pieces]) -> None:
        """Put in the lines of blocks that are others than before."""
        for n, (old, new) in enumerate(zip(before, now, strict=True)):
            if old is not new:
                for name in {**old, **new}:
                    piece = new.get(name)
                    if piece is not old.get(name):
                        if name not in self._families:
                            self._families[name] = _Family()
                        self._families[name].put(n, piece)
        self._families = {name: own for name, own in self._families.items() if own.pieces}
        for own in self._families.values():
            if not own.ends:
                own.divide(_by_texts(own))

    def _sort_anew(self, blocks: Sequence[Pieces]) -> None:
        """Sort all lines anew; segments that stay as they are stay the same objects."""
        found: dict[str, tuple[list[int], list[Piece]]] = {}
        for n, own in enumerate(blocks):
            for name, piece in own.items():
                at, pieces = found.setdefault(name, ([], []))
                at.append(n)
                pieces.append(piece)
        known, self._families = self._families, {name: _Family(*own) for name, own in found.items()}
        for name, family in self._families.items():
            family.divide(_by_texts(known.get(name)))


def _by_texts(family: _Family | None) -> dict[Texts, Segment]:
    """The segments of a family by what they hold."""
    return {} if family is None else {s.texts: s for s in family.segments if s is not None}


def compress(segments: Iterable[Segment]) -> None:
    """Compress those that are not yet, by several threads: the library does not hold the interpreter's lock."""
    waiting = [segment for segment in segments if segment.waits]
    if waiting:
        with ThreadPoolExecutor(_THREADS) as threads:
            shares = (waiting[n::_THREADS] for n in range(_THREADS))
            list(threads.map(lambda share: [segment.packed for segment in share], shares))
