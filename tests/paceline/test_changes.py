"""Where stored observations changed: what was made of others still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.store import Database, DerivationStore, ObservationRow, ObservationStore, Replacement, Series
from paceline.changes import Changes

HOUR = 3_600_000_000
WAIT = Series("test", "wait", "", "api", "production", "", "ci", "api")
OTHER = WAIT._replace(service="web", scope="web")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store of its own."""
    found = Database.open(tmp_path)
    yield found
    found.close()


@pytest.fixture
def put(database: Database) -> Callable[..., dict[int, int]]:
    """Replaces the piece of a series by units at some hours; gives what changed."""

    def replaced(series: Series, *hours: int) -> dict[int, int]:
        empty = dict.fromkeys(ObservationRow._fields) | {"outcome": "good", "reason": "", "rule": "", "evidence": "[]"}
        rows = [tuple(ObservationRow(**{**empty, "at": n * HOUR, "unit": str(n)})) for n in hours]  # type: ignore[arg-type] # a row of columns
        new = Replacement(family="test", scope=series.scope, rows={series: rows}, definitions="1", reads=(), state=None)
        ((_, changed),) = DerivationStore(database).replace_all([new], 0, "")
        return dict(changed)

    return replaced


@pytest.fixture
def changes(database: Database, put: Callable[..., dict[int, int]]) -> Changes:
    """The changes after each of two services had a unit in the first hour."""
    put(WAIT, 1)
    put(OTHER, 1)
    found = Changes(ObservationStore(database))
    found.forget()
    return found


def test_a_change_says_nothing_about_the_time_before_it(changes: Changes, put: Callable[..., dict[int, int]]) -> None:
    """What was made of units up to the fourth hour holds when the fifth has one more; what looked further does not."""
    before = changes.last(4 * HOUR, "wait"), changes.last(5 * HOUR, "wait")
    changes.apply(put(WAIT, 1, 5))

    assert changes.last(4 * HOUR, "wait") == before[0]
    assert changes.last(5 * HOUR, "wait") > before[1]


def test_an_early_change_counts_for_all_later_times(changes: Changes, put: Callable[..., dict[int, int]]) -> None:
    """A late event of the second hour changes what was made up to the second, fourth and ninth."""
    changes.apply(put(WAIT, 1, 5))
    before = [changes.last(n * HOUR, "wait") for n in (2, 4, 9)]
    changes.apply(put(WAIT, 1, 2, 5))

    assert all(changes.last(n * HOUR, "wait") > old for n, old in zip((2, 4, 9), before, strict=True))


def test_a_later_change_hides_no_earlier_one(changes: Changes, put: Callable[..., dict[int, int]]) -> None:
    """Whoever looked before both sees that the earlier hours changed, too."""
    before = changes.last(3 * HOUR, "wait")
    changes.apply(put(WAIT, 1, 3))
    changes.apply(put(WAIT, 1, 3, 8))

    assert changes.last(3 * HOUR, "wait") > before


def test_other_indicators_are_left_alone(changes: Changes, put: Callable[..., dict[int, int]]) -> None:
    """A change is that of its indicator, and of all together."""
    before = changes.last(9 * HOUR, "work"), changes.last(9 * HOUR)
    changes.apply(put(WAIT, 1, 5))

    assert changes.last(9 * HOUR, "work") == before[0]
    assert changes.last(9 * HOUR) > before[1]


@pytest.mark.parametrize("hours", [(7,), ()])
def test_a_series_that_comes_or_goes_changes_all_times(
    changes: Changes, put: Callable[..., dict[int, int]], hours: tuple[int, ...]
) -> None:
    """Whose number it is may change with it, in weeks before its first unit as well."""
    before = changes.last(0, "wait"), changes.comings
    changes.apply(put(OTHER._replace(service="new", scope="new") if hours else OTHER, *hours))

    assert changes.last(0, "wait") > before[0]
    assert changes.comings > before[1]


def test_when_nobody_says_what_changed_everything_did(changes: Changes) -> None:
    """Another process derived."""
    before = changes.last(0, "wait"), changes.last(9 * HOUR, "work")
    changes.forget()

    assert changes.last(0, "wait") > before[0]
    assert changes.last(9 * HOUR, "work") > before[1]
