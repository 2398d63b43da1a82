"""Numbers about too few people, and which others must be withheld so that nobody can work them out. Pure.

definitions.md §1.9. What is published of an indicator are cells: a subject, a window and label values each. A cell
contains another where its level of teams, its window and its label values do: `/shop` contains `/shop/basket`, 28 days
contain 7, all journeys contain each. Numbers of people that contain each other can be subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    """
    grid = _Grid(sizes, smallest, windows, labels)
    hidden = {cell for cell, own in sizes.items() if any(0 < n < smallest for n in own)}
    while more := grid.revealing(hidden):
        hidden |= more
    return frozenset(hidden)


@dataclass(frozen=True)
class _Grid:
    """The cells of one indicator, and which contain which."""

    sizes: Mapping[Cell, Sizes]
    smallest: int
    windows: Mapping[str, float]
    labels: int

    def revealing(self, hidden: set[Cell]) -> set[Cell]:
        """Cells whose number reveals few people, given what is hidden already: one for each way to work them out."""
        found: set[Cell] = set()
        gone = set(hidden)
        for cell in self._cells:
            if cell in gone:
                continue
            if any(whole not in gone and self._few(whole, [cell]) for whole in self._containing[cell]):
                found.add(cell)
                gone.add(cell)
                continue
            for parts in self._partitions[cell]:
                # Where people are in several parts, what stands below a hidden part can hide what the others leave.
                for shown in ([p for p in parts if p not in gone], list(self._shown(parts, gone))):
                    if shown and self._few(cell, shown):
                        least = min((p for p in shown if any(self.sizes[p])), key=self._order)
                        found.add(least)
                        gone.add(least)
                        break
        return found

    @cached_property
    def _cells(self) -> list[Cell]:
        """All cells in one order, so that what is withheld does not depend on theirs."""
        return sorted(self.sizes)

    def _few(self, whole: Cell, parts: Iterable[Cell]) -> bool:
        """Whether a cell without some parts is few people, in any way of counting."""
        taken = [self.sizes[part] for part in parts]
        left = (n - sum(own[place] for own in taken) for place, n in enumerate(self.sizes[whole]))
        return any(0 < n < self.smallest for n in left)

    def _shown(self, parts: Iterable[Cell], hidden: set[Cell]) -> Iterator[Cell]:
        """The parts that are shown and hold anybody; for a hidden level of teams those below it."""
        for part in parts:
            if part not in hidden:
                if any(self.sizes[part]):
                    yield part
            else:
                yield from self._shown(self._below.get(part, ()), hidden)

    def _order(self, cell: Cell) -> tuple[Sizes, Cell]:
        return tuple(self.sizes[cell]), cell

    @cached_property
    def _containing(self) -> dict[Cell, list[Cell]]:
        """By cell all others that contain it."""
        return {
            cell: [
                whole
                for whole in (Cell(*place) for place in product(*self._wider(cell)))
                if whole != cell and whole in self.sizes
            ]
            for cell in self.sizes
        }

    def _wider(self, cell: Cell) -> tuple[list[Subject], list[str], list[str]]:
        """Along each direction what contains a cell, itself among them."""
        length = self.windows.get(cell.window, inf)
        windows = [w for w in self._windows if self.windows.get(w, inf) > length]
        values = label_values(cell.dimension, self.labels)
        dimensions = {labelled(*some) for some in product(*(dict.fromkeys((value, "")) for value in values))}
        return (
            [cell.subject, *_above(cell.subject)],
            [cell.window, *windows],
            sorted(dimensions) if self.labels else [cell.dimension],
        )

    @cached_property
    def _windows(self) -> list[str]:
        return sorted({cell.window for cell in self.sizes})

    @cached_property
    def _below(self) -> dict[Cell, list[Cell]]:
        """By cell those of the next levels of teams, or the services, below its own."""
        subjects = {cell.subject for cell in self.sizes}
        over = {s: next((a for a in _above(s) if a in subjects), None) for s in subjects}
        found: dict[Cell, list[Cell]] = {}
        for cell in sorted(self.sizes):
            above = over[cell.subject]
            if above is not None:
                found.setdefault(cell._replace(subject=above), []).append(cell)
        return found

    @cached_property
    def _partitions(self) -> dict[Cell, list[list[Cell]]]:
        """By cell the ways in which it falls into parts: by the levels below it, and by the values of each label."""
        found: dict[Cell, list[list[Cell]]] = {cell: [self._below.get(cell, [])] for cell in self.sizes}
        by_label: dict[tuple[Cell, int], list[Cell]] = {}
        for cell in sorted(self.sizes):
            values = label_values(cell.dimension, self.labels)
            for place in range(self.labels):
                if values[place]:
                    all_of_it = labelled(*values[:place], "", *values[place + 1 :])
                    by_label.setdefault((cell._replace(dimension=all_of_it), place), []).append(cell)
        for (whole, _), parts in by_label.items():
            if whole in found:
                found[whole].append(parts)
        return found


def _above(subject: Subject) -> list[Subject]:
    """The levels of teams that contain a subject, the nearest first."""
    over = (Subject("", subject.environment, level) for level in reversed(levels(subject.team)))
    return [one for one in over if one != subject]
