"""Numbers about too few people, and which others must be withheld so that nobody can work them out. Pure.

definitions.md §1.9. What is published of an indicator are cells: a subject, a window and label values each. A cell
contains another where its level of teams, its window and its label values do: `/shop` contains `/shop/basket`, 28 days
contain 7, all journeys contain each. Numbers of people that contain each other can be subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import inf
from typing import NamedTuple

from slo_engine.observation import Subject, label_values, labelled
from slo_engine.organisation import levels


class Cell(NamedTuple):
    """One published number's place. `dimension` holds the label values, see `labelled`."""

    subject: Subject
    window: str
    dimension: str


Sizes = Sequence[int]
"""How many people a number is about, counted in one or more ways: those it rests on, those who also wait…"""


def withheld(
    sizes: Mapping[Cell, Sizes], smallest: int, windows: Mapping[str, float], labels: int = 0
) -> frozenset[Cell]:
    """The cells that cannot be shown, so that no group of 1 to `smallest` - 1 people is.

    Neither by its own number, nor as the difference of two shown cells of which one contains the other, nor as what is
    left of a shown cell without its shown parts: then the smallest of these parts goes too, and so on until nothing has
    to. `windows` are lengths by label; what is not among them is as long as can be. `labels`: how many there are.

    That holds of the published numbers, in one direction at a time. Where somebody is in several parts a whole without
    its parts is fewer than those who are left; a group that only several differences together tell is not ruled out.
    """
    grid = _Grid(sizes, smallest, windows, labels)
    return frozenset(grid.cells[number] for number in grid.hidden())


class _Grid:
    """The cells of one indicator by number, and which contain which: by subject, window and label values."""

    def __init__(self, sizes: Mapping[Cell, Sizes], smallest: int, windows: Mapping[str, float], labels: int) -> None:
        # In one order, so that what is withheld does not depend on theirs.
        self.cells = sorted(sizes)
        self._sizes = [tuple(sizes[cell]) for cell in self.cells]
        self._smallest = smallest
        subjects, spans, dimensions = (
            (sorted(set(some)) for some in zip(*self.cells, strict=True)) if sizes else ((), (), ())
        )
        self._over, self._below = _nested(subjects)
        lengths = [windows.get(span, inf) for span in spans]
        self._longer = [[w for w, other in enumerate(lengths) if other > own] for own in lengths]
        self._wider, self._narrower = _generalised(dimensions, labels)
        places = ({value: n for n, value in enumerate(some)} for some in (subjects, spans, dimensions))
        by_subject, by_span, by_dimension = places
        self._axes = [(by_subject[s], by_span[w], by_dimension[d]) for s, w, d in self.cells]
        self._numbers = {axes: number for number, axes in enumerate(self._axes)}

    def hidden(self) -> set[int]:
        """The cells that cannot be shown. Whenever one goes, those that contain it are looked at again."""
        gone = {n for n, own in enumerate(self._sizes) if any(0 < people < self._smallest for people in own)}
        waiting = list(range(len(self.cells)))
        while waiting:
            again: set[int] = set()
            for cell in waiting:
                while cell not in gone and (found := self._revealing(cell, gone)) is not None:
                    gone.add(found)
                    again.update(self._containing(found))
            waiting = sorted(again)
        return gone

    def _revealing(self, cell: int, gone: set[int]) -> int | None:
        """What must go because a shown cell would reveal few people: itself, or the least of its parts."""
        if any(whole not in gone and self._few(whole, [cell]) for whole in self._containing(cell)):
            return cell
        for parts in self._partitions(cell):
            # Where people are in several parts, what stands below a hidden part can hide what the others leave.
            for shown in ([p for p in parts if p not in gone], list(self._shown(parts, gone))):
                if shown and self._few(cell, shown):
                    return min((p for p in shown if any(self._sizes[p])), key=lambda p: (self._sizes[p], p))
        return None

    def _few(self, whole: int, parts: Sequence[int]) -> bool:
        """Whether a cell without some parts is few people, in any way of counting."""
        left = (n - sum(self._sizes[p][way] for p in parts) for way, n in enumerate(self._sizes[whole]))
        return any(0 < n < self._smallest for n in left)

    def _shown(self, parts: Iterable[int], gone: set[int]) -> Iterator[int]:
        """The parts that are shown and hold anybody; for a hidden level of teams those below it."""
        for part in parts:
            if part not in gone:
                if any(self._sizes[part]):
                    yield part
            else:
                yield from self._shown(self._levels_below(part), gone)

    def _containing(self, cell: int) -> Iterator[int]:
        """All other cells that contain one."""
        subject, span, dimension = self._axes[cell]
        places = product([subject, *self._over[subject]], [span, *self._longer[span]], self._wider[dimension])
        return (n for place in places if (n := self._numbers.get(place, cell)) != cell)

    def _levels_below(self, cell: int) -> list[int]:
        """The cells of the next levels of teams, or the services, below a cell's own."""
        subject, span, dimension = self._axes[cell]
        return self._there((s, span, dimension) for s in self._below[subject])

    def _partitions(self, cell: int) -> Iterator[list[int]]:
        """The ways in which a cell falls into parts: by the levels below it, and by the values of each label."""
        yield self._levels_below(cell)
        subject, span, dimension = self._axes[cell]
        for values in self._narrower[dimension]:
            yield self._there((subject, span, d) for d in values)

    def _there(self, places: Iterable[tuple[int, int, int]]) -> list[int]:
        return [n for place in places if (n := self._numbers.get(place)) is not None]


def _nested(subjects: Sequence[Subject]) -> tuple[list[list[int]], list[list[int]]]:
    """By subject those that contain it, the nearest first, and those right below it; all by their places."""
    places = {subject: n for n, subject in enumerate(subjects)}
    over = [[places[one] for one in _above(subject) if one in places] for subject in subjects]
    below: list[list[int]] = [[] for _ in subjects]
    for n, above in enumerate(over):
        if above:
            below[above[0]].append(n)
    return over, below


def _generalised(dimensions: Sequence[str], labels: int) -> tuple[list[list[int]], list[list[list[int]]]]:
    """By label values those that take in more, they among them, and those that name one label more, by label."""
    places = {dimension: n for n, dimension in enumerate(dimensions)}
    wider: list[list[int]] = [[n] for n in range(len(dimensions))]
    narrower: list[list[list[int]]] = [[[] for _ in range(labels)] for _ in dimensions]
    for n, dimension in enumerate(dimensions if labels else ()):
        values = label_values(dimension, labels)
        some = {labelled(*taken) for taken in product(*(dict.fromkeys((value, "")) for value in values))}
        wider[n] += sorted(places[one] for one in some if one != dimension and one in places)
        for place in range(labels):
            whole = labelled(*values[:place], "", *values[place + 1 :])
            if values[place] and whole in places:
                narrower[places[whole]][place].append(n)
    return wider, narrower


def _above(subject: Subject) -> list[Subject]:
    """The levels of teams that contain a subject, the nearest first."""
    over = (Subject("", subject.environment, level) for level in reversed(levels(subject.team)))
    return [one for one in over if one != subject]
