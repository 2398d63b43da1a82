"""Laws of the commit graph, against definitions by sets."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import SupportsIndex, overload

from hypothesis import given
from hypothesis import strategies as st

from slo_engine.graph import CommitGraph

Parents = list[tuple[int, ...]]


@st.composite
def dags(draw: st.DrawFn) -> Parents:
    """The parents of up to 25 commits, each of lower number than its child; some roots, some merges of three."""
    parents: Parents = []
    for n in range(draw(st.integers(1, 25))):
        some = st.lists(st.integers(max(0, n - 6), n - 1), max_size=3, unique=True) if n else st.just([])
        parents.append(tuple(draw(some)))
    return parents


def built(parents: Parents, order: Sequence[int]) -> CommitGraph:
    """The graph of some commits, read in an order."""
    texts = [json.dumps([sha(p) for p in ps], separators=(",", ":")) if ps else "" for ps in parents]
    return CommitGraph.of([sha(n) for n in order], [texts[n] for n in order])


def sha(n: int) -> str:
    """An id whose order is not that of the numbers."""
    return f"{n * 7919 % 10007:040x}"


def ancestors(commit: int, parents: Parents) -> set[int]:
    """A commit and all before it."""
    return {commit}.union(*(ancestors(p, parents) for p in parents[commit]))


def line_to(tip: int, parents: Parents) -> list[int]:
    """The first-parent line that ends in a commit, oldest first."""
    return [*(line_to(parents[tip][0], parents) if parents[tip] else []), tip]


def shuffled(parents: Parents, seed: int) -> list[int]:
    """The commits in some order of reading."""
    order = list(range(len(parents)))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


@given(dags(), st.data())
def test_a_merge_brings_what_the_line_below_lacks(parents: Parents, data: st.DataObject) -> None:
    """A commit of the line brought its ancestors minus the ancestors of the commit below it, in any numbering."""
    line = line_to(data.draw(st.sampled_from(range(len(parents)))), parents)
    order = shuffled(parents, data.draw(st.integers(0, 99)))
    expected = dict.fromkeys(range(len(parents)), -1)
    for below, tip in zip([None, *line[:-1]], line, strict=True):
        known = set() if below is None else ancestors(below, parents)
        expected |= dict.fromkeys(ancestors(tip, parents) - known, tip)

    owner = built(parents, order).brought_by([n in line for n in order])

    assert {order[i]: order[o] if o >= 0 else -1 for i, o in enumerate(owner)} == expected


@given(dags(), st.data())
def test_a_commit_ships_in_the_first_deployment_that_contains_it(parents: Parents, data: st.DataObject) -> None:
    """The first deployment whose ancestors hold a commit ships it, whatever comes after: hotfix, rollback, again."""
    numbers = st.sampled_from(range(len(parents)))
    deployed = data.draw(st.lists(st.none() | numbers, max_size=6))
    order = shuffled(parents, data.draw(st.integers(0, 99)))
    expected = dict.fromkeys(range(len(parents)), -1)
    for index in reversed(range(len(deployed))):
        tip = deployed[index]
        expected |= dict.fromkeys(ancestors(tip, parents) if tip is not None else (), index)

    first = built(parents, order).shipped_in([() if d is None else (order.index(d),) for d in deployed])

    assert {order[i]: index for i, index in enumerate(first)} == expected


@given(dags(), st.data())
def test_several_lines_give_one_answer(parents: Parents, data: st.DataObject) -> None:
    """After forced pushes several lines exist: whatever the order of reading, each of their commits brought itself."""
    tips = data.draw(st.lists(st.sampled_from(range(len(parents))), min_size=2, max_size=3))
    line = {n for tip in tips for n in line_to(tip, parents)}
    found = []
    for seed in data.draw(st.tuples(st.integers(0, 99), st.integers(100, 199))):
        order = shuffled(parents, seed)
        owner = built(parents, order).brought_by([n in line for n in order])
        found.append({order[i]: order[o] if o >= 0 else -1 for i, o in enumerate(owner)})

    assert found[0] == found[1]
    assert {n: found[0][n] for n in line} == {n: n for n in line}
    assert {n for n, o in found[0].items() if o >= 0} == set().union(*(ancestors(t, parents) for t in tips))
    assert all(n in ancestors(o, parents) for n, o in found[0].items() if o >= 0)


class Counted(list[tuple[int, ...]]):
    """Parents that count how often each commit's were asked for."""

    def __init__(self, parents: list[tuple[int, ...]]) -> None:
        super().__init__(parents)
        self.asked: Counter[int] = Counter()

    @overload
    def __getitem__(self, index: SupportsIndex) -> tuple[int, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, ...]]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> tuple[int, ...] | list[tuple[int, ...]]:
        if not isinstance(index, slice):
            self.asked[index.__index__()] += 1
        return super().__getitem__(index)


@given(dags(), st.data())
def test_each_commit_is_visited_once(parents: Parents, data: st.DataObject) -> None:
    """However many deployments there are, a commit's parents are followed once; the line costs one look more."""
    numbers = st.sampled_from(range(len(parents)))
    deployed = data.draw(st.lists(numbers, min_size=1, max_size=8))
    line = line_to(deployed[0], parents)
    shipping, bringing = (Counted(built(parents, range(len(parents))).parents) for _ in range(2))

    CommitGraph({}, shipping).shipped_in([(d,) for d in deployed])
    CommitGraph({sha(n): n for n in range(len(parents))}, bringing).brought_by([n in line for n in range(len(parents))])

    assert max(shipping.asked.values()) == 1
    assert max(bringing.asked.values()) <= 2


def test_parents_that_are_not_known_are_cut_off() -> None:
    """A shallow clone's boundary has no parents in the graph."""
    graph = CommitGraph.of(["a" * 40, "b" * 40], ["", json.dumps(["c" * 40, "a" * 40], separators=(",", ":"))])

    assert graph.parents == [(), (0,)]


def test_an_unknown_first_parent_is_not_replaced_by_the_second() -> None:
    """Where a shallow clone lacks a merge's first parent, the merged branch does not become the line below."""
    shas = ["a" * 40, "b" * 40]
    graph = CommitGraph.of(shas, ["", json.dumps(["c" * 40, "a" * 40], separators=(",", ":"))])

    assert graph.brought_by([False, True]) == [1, 1]


def test_an_empty_graph_answers() -> None:
    """Without commits nothing was brought and nothing shipped."""
    graph = CommitGraph.of([], [])

    assert (graph.brought_by([]), graph.shipped_in([()])) == ([], [])


def test_a_long_history_needs_no_recursion() -> None:
    """A line of 50,000 commits is walked without a stack of calls."""
    order = range(50_000)
    graph = CommitGraph({}, [(n - 1,) if n else () for n in order])

    assert graph.shipped_in([(49_999,)])[0] == 0


@given(dags(), st.data())
def test_an_ancestor_is_what_can_be_reached(parents: Parents, data: st.DataObject) -> None:
    """A commit is an ancestor of another where a walk along the parents finds it, never of itself."""
    graph = built(parents, range(len(parents)))

    numbers = range(len(parents))
    first = graph.shipped_in([(n,) for n in data.draw(st.lists(st.sampled_from(numbers), max_size=4))])

    found = {(a, b) for a in numbers for b in numbers if graph.is_ancestor(a, b, first)}

    assert found == {(a, b) for b in numbers for a in ancestors(b, parents) - {b}}


def test_what_had_shipped_before_ships_no_more() -> None:
    """A commit that shipped before is marked as such, and the walk of later deployments ends there."""
    graph = built([(), (0,), (1,), (2,)], range(4))

    assert graph.shipped_in([(3,)], before=[1]) == [-1, -2, 0, 0]
