"""Observations replaced piece by piece: what is written, what stays, and what the log of restatements says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from collector.errors import StoreError
from collector.store import (
    DerivationStore,
    ObservationRow,
    ObservationStore,
    PieceRecord,
    Replacement,
    Restatement,
    Series,
)

HOUR = 3_600_000_000
DAY = 24 * HOUR
PUBLISHED = 100 * DAY
"""When numbers were last published in tests of restatements, in microseconds."""
NOTICED = PUBLISHED + HOUR

WAIT = Series("test", "wait", "", "api", "production", "", "ci", "api")
WORK = WAIT._replace(indicator="work")
OTHER = WAIT._replace(service="web", scope="web")

Row = tuple[Any, ...]


def row(unit: str, at: int, outcome: str = "measured", value: float | None = 60.0, **fields: Any) -> Row:
    """A unit as it is stored."""
    empty = dict.fromkeys(ObservationRow._fields) | {"reason": "", "rule": "", "evidence": "[]"}
    return tuple(ObservationRow(**{**empty, "at": at, "unit": unit, "outcome": outcome, "value": value, **fields}))


def piece(*rows: Row, series: Series = WAIT, **fields: Any) -> Replacement:
    """A replacement of the piece of a series by rows of that series."""
    given: dict[str, Any] = {"rows": {series: list(rows)}, "definitions": "1", "reads": (), "state": None, **fields}
    return Replacement(family=series.family, scope=series.scope, **given)


def units(store: ObservationStore, indicator: str = "wait") -> list[tuple[str, int]]:
    """The stored units of an indicator with their times, by series and time."""
    found: list[tuple[str, int]] = store.window(list(store.series(indicator)), -1, 1_000 * DAY, "unit", "at")
    return found


@pytest.fixture
def derivations(bench: Any) -> DerivationStore:
    """What replaces."""
    return DerivationStore(bench.database)


@pytest.fixture
def stored(bench: Any) -> ObservationStore:
    """What readers see."""
    return ObservationStore(bench.database)


def numbers(store: ObservationStore) -> dict[Series, int]:
    """The numbers of the series that have observations."""
    return {series: number for number, series in store.series().items()}


# --- what is written ----------------------------------------------------------------------------------


def test_a_new_row_is_kept_as_it_is(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Whichever of its fields say nothing, a statement says only what many rows have alike."""
    some = [
        row("good", HOUR, "good", None),
        row("bad, matures", HOUR, "bad", None, matures_at=2 * HOUR),
        row("with a reason", HOUR, "excluded", None, reason="unknown"),
        row("with a rule", HOUR, "good", None, rule="named"),
        row("with evidence", HOUR, "good", None, evidence='["1"]'),
        row("of another word", HOUR, "other", None),
        row("with a value", HOUR),
        row("with a part alone", HOUR, "measured", None, part_1=1.0),
    ]
    derivations.replace(piece(*some), 0, "test")

    found = stored.window(list(numbers(stored).values()), -1, DAY, *ObservationRow._fields)
    assert found == sorted(some)


def test_two_units_of_one_name_and_time_are_refused(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Which of them counts nobody could say, whatever they say otherwise."""
    with pytest.raises(StoreError):
        derivations.replace(piece(row("1", HOUR), row("1", HOUR, value=None)), 0, "test")

    assert numbers(stored) == {}


# --- what is read ---------------------------------------------------------------------------------------


def test_who_looks_at_a_past_time_reads_nothing_later(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Neither of what is plain nor of all else; a unit of that very time is read."""
    some = [row(f"{outcome} {at}", at, outcome, None) for outcome in ("good", "bad") for at in (1, 2, 3)]
    derivations.replace(piece(*some), 0, "")
    wanted = dict.fromkeys(numbers(stored).values(), 1)

    then = stored.up_to(2).only(WAIT.indicator)

    assert {unit for chunk in then.since(wanted, "unit") for _, unit in chunk} == {"good 2", "bad 2"}
    plain, others = then.since_but_plain(wanted, "unit", named=True)
    assert [one.unit for one in plain] == [["good 2"]]
    assert [unit for chunk in others for _, unit in chunk] == ["bad 2"]


# --- what is replaced ---------------------------------------------------------------------------------


def test_pieces_of_one_transaction_are_kept_together(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Where one of some pieces cannot be written, none of them is."""
    broken = piece(series=OTHER, rows={OTHER: [(HOUR, object(), *row("2", HOUR)[2:])]})

    with pytest.raises(StoreError, match="nothing was kept"):
        derivations.replace_all([piece(row("1", HOUR)), broken], 0, "")

    assert units(stored) == []


def test_of_a_piece_that_comes_twice_the_later_counts(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Some pieces are replaced in the order in which they are given."""
    derivations.replace_all([piece(row("1", HOUR)), piece(row("2", DAY))], 0, "")

    assert units(stored) == [("2", DAY)]


def test_new_series_of_known_and_of_new_pieces_have_numbers_of_their_own(
    derivations: DerivationStore, stored: ObservationStore
) -> None:
    """One transaction changes a known piece, adds a series to it and brings a new piece."""
    derivations.replace(piece(row("1", HOUR)), 0, "")
    more = piece(rows={WAIT: [row("1", DAY)], WORK: [row("2", DAY)]})
    derivations.replace_all([more, piece(row("3", DAY), series=OTHER)], 0, "")

    assert units(stored) == [("1", DAY), ("3", DAY)]
    assert units(stored, "work") == [("2", DAY)]
    assert len(set(numbers(stored).values())) == 3


def test_a_piece_is_replaced_whole(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Without a time, what is given stands for everything of the piece."""
    derivations.replace(piece(row("1", HOUR), row("2", DAY)), 0, "")
    derivations.replace(piece(row("2", DAY), row("3", 2 * DAY)), 0, "")

    assert units(stored) == [("2", DAY), ("3", 2 * DAY)]


def test_other_pieces_stay(derivations: DerivationStore, stored: ObservationStore) -> None:
    """A piece is replaced without touching the others of its family."""
    derivations.replace(piece(row("1", HOUR)), 0, "")
    derivations.replace(piece(row("2", HOUR), series=OTHER), 0, "")
    derivations.replace(piece(), 0, "")

    assert units(stored) == [("2", HOUR)]


def test_from_a_time_on_the_past_stays(derivations: DerivationStore, stored: ObservationStore) -> None:
    """With a time, only what is dated after it is replaced; the time itself belongs to the past."""
    derivations.replace(piece(row("1", HOUR), row("2", DAY), row("3", DAY + 1)), 0, "")
    derivations.replace(piece(row("4", 2 * DAY), after=DAY), 0, "")

    assert units(stored) == [("1", HOUR), ("2", DAY), ("4", 2 * DAY)]


def test_reopened_units_are_replaced_though_they_are_past(
    derivations: DerivationStore, stored: ObservationStore
) -> None:
    """A unit of the past that is open again is what the replacement says, here a later one."""
    derivations.replace(piece(row("1", HOUR), row("2", HOUR), row("3", 2 * DAY)), 0, "")
    derivations.replace(piece(row("2", 3 * DAY), after=DAY, reopened=frozenset({(HOUR, "2")})), 0, "")

    assert units(stored) == [("1", HOUR), ("2", 3 * DAY)]


def test_kept_units_stay_though_they_are_later(derivations: DerivationStore, stored: ObservationStore) -> None:
    """A unit after the time that the replacement keeps is not taken away."""
    derivations.replace(piece(row("1", 2 * DAY), row("2", 2 * DAY)), 0, "")
    derivations.replace(piece(row("3", 3 * DAY), after=DAY, kept=frozenset({(2 * DAY, "2")})), 0, "")

    assert units(stored) == [("2", 2 * DAY), ("3", 3 * DAY)]


def test_a_series_without_a_row_any_more_is_empty(derivations: DerivationStore, stored: ObservationStore) -> None:
    """A series of the piece that the replacement does not name loses its units."""
    both = {WAIT: [row("1", HOUR)], WORK: [row("1", HOUR)]}
    derivations.replace(piece(rows=both), 0, "")
    derivations.replace(piece(row("1", HOUR)), 0, "")

    assert set(numbers(stored)) == {WAIT}


# --- what is written ----------------------------------------------------------------------------------


def test_the_same_again_writes_nothing(derivations: DerivationStore, bench: Any) -> None:
    """Rows that are as they were are not written, and nothing is said to have changed."""
    derivations.replace(piece(row("1", HOUR), row("2", DAY)), 0, "")
    before = bench.dump()

    assert derivations.replace(piece(row("2", DAY), row("1", HOUR)), 0, "") == (0, {})
    assert bench.dump() == before


def test_differing_rows_are_counted(derivations: DerivationStore) -> None:
    """One changed, one gone, one new, one as it was: three rows differ."""
    derivations.replace(piece(row("1", HOUR), row("2", HOUR), row("3", HOUR)), 0, "")

    new = piece(row("1", HOUR), row("2", HOUR, value=61.0), row("4", HOUR))

    assert derivations.replace(new, 0, "")[0] == 3


@pytest.mark.parametrize(
    ("after", "earliest"),
    [
        ([row("1", HOUR), row("2", DAY, value=61.0), row("3", 2 * DAY, value=61.0)], DAY),
        ([row("1", HOUR), row("3", 2 * DAY)], DAY),
        ([row("1", HOUR), row("2", DAY), row("3", 2 * DAY), row("4", 3 * DAY)], 3 * DAY),
        ([row("1", 5 * DAY), row("2", DAY), row("3", 2 * DAY)], HOUR),
    ],
    ids=["changed", "gone", "new", "moved"],
)
def test_the_earliest_change_of_each_series_is_told(
    derivations: DerivationStore, stored: ObservationStore, after: list[Row], earliest: int
) -> None:
    """Readers learn from when on a series differs; a series that does not is left out."""
    before = {WAIT: [row("1", HOUR), row("2", DAY), row("3", 2 * DAY)], WORK: [row("1", HOUR)]}
    derivations.replace(piece(rows=before), 0, "")
    number = numbers(stored)[WAIT]

    assert derivations.replace(piece(rows=before | {WAIT: after}), 0, "")[1] == {number: earliest}


def test_a_new_piece_changes_from_its_first_unit_on(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Where nothing was stored, everything is a change."""
    done, changed = derivations.replace(piece(row("2", DAY), row("1", HOUR)), 0, "")

    assert (done, changed) == (2, {numbers(stored)[WAIT]: HOUR})


def test_a_series_keeps_its_number(derivations: DerivationStore, stored: ObservationStore) -> None:
    """What has read a series under its number can go on; new ones get the next."""
    derivations.replace(piece(row("1", HOUR), series=OTHER), 0, "")
    derivations.replace(piece(row("1", HOUR)), 0, "")
    before = numbers(stored)
    derivations.replace(piece(rows={WORK: [row("1", HOUR)], WAIT: [row("9", HOUR)]}), 0, "")

    assert numbers(stored) == {**before, WORK: max(before.values()) + 1}


# --- what is remembered -------------------------------------------------------------------------------


def test_a_piece_remembers_what_it_was_derived_from(derivations: DerivationStore) -> None:
    """Definitions, names and state come back, of the piece that they belong to."""
    derivations.replace(piece(row("1", HOUR), definitions="2", reads=("repository a", "b"), state=b"packed"), 0, "")
    derivations.replace(piece(series=OTHER), 0, "")

    assert derivations.pieces("test") == {
        "api": PieceRecord("2", ("repository a", "b")),
        "web": PieceRecord("1", ()),
    }
    assert (derivations.state("test", "api"), derivations.state("test", "web")) == (b"packed", None)


@pytest.mark.parametrize(("same", "kept"), [(True, b"packed"), (False, None)])
def test_a_state_is_replaced_unless_it_stays(derivations: DerivationStore, same: bool, kept: bytes | None) -> None:  # noqa: FBT001 - a parameter of the test
    """`same_state` leaves the stored state; else none means none, and the next derivation starts from nothing."""
    derivations.replace(piece(row("1", HOUR), state=b"packed"), 0, "")
    derivations.replace(piece(row("1", HOUR), state=None, same_state=same), 0, "")

    assert derivations.state("test", "api") == kept


def test_a_stamp_comes_back(derivations: DerivationStore) -> None:
    """What a family is up to date with is remembered, by family; nothing before the first time."""
    derivations.set_stamp("test", {"commit": 3, "definitions": "a"})
    derivations.set_stamp("test", {"commit": 4, "definitions": "a"})

    assert derivations.stamp("test") == {"commit": 4, "definitions": "a"}
    assert derivations.stamp("other") == {}


def test_a_dropped_piece_is_forgotten(derivations: DerivationStore, stored: ObservationStore) -> None:
    """Its observations go with it, and readers are told from when on; other pieces stay."""
    derivations.replace(piece(row("1", HOUR), row("2", DAY)), 0, "")
    derivations.replace(piece(row("3", DAY), series=OTHER), 0, "")
    number = numbers(stored)[WAIT]

    assert derivations.drop("test", ["api"], 0, "") == {number: HOUR}
    assert units(stored) == [("3", DAY)]
    assert set(derivations.pieces("test")) == {"web"}


# --- restatements -------------------------------------------------------------------------------------


def said(at: int, outcome: str = "measured", value: float | None = 60.0, parts: Sequence[float | None] = ()) -> str:
    """A judgement as the log words it."""
    return msgspec.json.encode([at, outcome, "", value, *(*parts, None, None, None, None)[:4]]).decode()


def restated(derivations: DerivationStore, before: list[Row], after: list[Row]) -> list[tuple[str, str, str]]:
    """What the log says when rows that were published become others: unit, was and now."""
    derivations.replace(piece(*before), 0, "")
    derivations.published(PUBLISHED)
    derivations.replace(piece(*after), NOTICED, "late events")
    return [(r.unit, r.was, r.now) for r in derivations.restatements()]


STAYS = row("stays", HOUR)
"""A unit before and after: a piece of which nothing is stored was never published."""


def test_a_restatement_says_what_was_and_is_and_why(derivations: DerivationStore) -> None:
    """A published unit with another value is logged with both values, the reason, and when it was noticed."""
    restated(derivations, [row("1", DAY)], [row("1", DAY, value=90.0)])

    assert derivations.restatements() == [
        Restatement(NOTICED, "wait", "api", "production", "", "1", said(DAY), said(DAY, value=90.0), "late events")
    ]


@pytest.mark.parametrize(
    ("was", "now", "logged"),
    [
        (row("1", DAY, "good", None), row("1", DAY, "bad", None), (said(DAY, "good", None), said(DAY, "bad", None))),
        (row("1", DAY), row("1", 2 * DAY), (said(DAY), said(2 * DAY))),
        (row("1", DAY), row("1", DAY, part_2=7.0), (said(DAY), said(DAY, parts=(None, 7.0)))),
    ],
    ids=["outcome", "time", "part"],
)
def test_a_published_unit_that_changes_is_logged(
    derivations: DerivationStore, was: Row, now: Row, logged: tuple[str, str]
) -> None:
    """Another outcome, another time or another part is another judgement."""
    assert restated(derivations, [was], [now]) == [("1", *logged)]


def test_more_evidence_is_no_restatement(derivations: DerivationStore) -> None:
    """A second reason for the same judgement changes no number."""
    assert restated(derivations, [row("1", DAY)], [row("1", DAY, evidence='["a"]')]) == []


def test_a_sum_added_up_in_another_order_is_no_restatement(derivations: DerivationStore) -> None:
    """0.1 + 0.2 + 0.3 is one number whichever comes first, though its last digit may differ; one of 0.6001 is not."""
    one, other = row("1", DAY, value=0.1 + 0.2 + 0.3), row("1", DAY, value=0.3 + 0.2 + 0.1)

    assert one != other
    assert restated(derivations, [one], [other]) == []
    assert [unit for unit, _, _ in restated(derivations, [other], [row("1", DAY, value=0.6001)])] == ["1"]


def test_a_published_unit_that_vanishes_is_logged(derivations: DerivationStore) -> None:
    """A unit that is gone was something and is nothing."""
    assert restated(derivations, [STAYS, row("1", DAY)], [STAYS]) == [("1", said(DAY), "")]


def test_a_dropped_piece_is_logged(derivations: DerivationStore) -> None:
    """The published units of a piece that is forgotten vanish too."""
    derivations.replace(piece(row("1", DAY)), 0, "")
    derivations.published(PUBLISHED)
    derivations.drop("test", ["api"], NOTICED, "left")

    assert [(r.unit, r.was, r.now, r.why) for r in derivations.restatements()] == [("1", said(DAY), "", "left")]


def test_a_late_unit_of_a_piece_that_had_none_is_logged(derivations: DerivationStore) -> None:
    """A piece that was derived and had nothing yet is known: what it lacked was missing from what was published."""
    assert [u for u, _, _ in restated(derivations, [], [row("late", DAY)])] == ["late"]


@pytest.mark.parametrize(("before", "logged"), [(DAY + 1, ["late"]), (DAY, []), (HOUR, []), (-HOUR, [])])
def test_a_unit_that_comes_late_is_logged(derivations: DerivationStore, before: int, logged: list[str]) -> None:
    """New units dated more than a day before the last publication change what was published; others are just new."""
    found = restated(derivations, [STAYS], [STAYS, row("late", PUBLISHED - before)])

    assert [unit for unit, was, _ in found if not was] == logged


@pytest.mark.parametrize(
    "waiting",
    [
        row("1", DAY, "pending", None),
        row("1", DAY, "good", None, matures_at=PUBLISHED + 1),
        row("1", PUBLISHED + 1, "good", None),
    ],
    ids=["pending", "not mature", "in the future"],
)
def test_a_unit_that_becomes_final_is_no_restatement(derivations: DerivationStore, waiting: Row) -> None:
    """What was not final when numbers were published was in none, so its verdict of today restates nothing."""
    assert restated(derivations, [waiting], [row("1", PUBLISHED - HOUR, "bad", None)]) == []


def test_a_late_verdict_on_what_waited_is_logged(derivations: DerivationStore) -> None:
    """A unit that waited and turns out to have been final long before the last publication was missing from it."""
    waited, judged = row("1", DAY, "pending", None), row("1", 2 * DAY)

    assert [unit for unit, _, now in restated(derivations, [waited], [judged]) if now] == ["1"]


def test_what_had_matured_is_restated(derivations: DerivationStore) -> None:
    """A verdict that had become final by the last publication is a published one."""
    matured = row("1", DAY, "good", None, matures_at=PUBLISHED)

    assert restated(derivations, [matured], [row("1", DAY, "bad", None)]) == [
        ("1", said(DAY, "good", None), said(DAY, "bad", None))
    ]


LATE_ANSWER = (row("1", DAY, "pending", None, matures_at=3 * DAY), row("1", 3 * DAY, "bad", None))
"""A unit that was pending from its first day until it was bad at its deadline, two days later."""


def test_a_deadline_that_was_kept_after_all_is_restated_as_one_judgement(derivations: DerivationStore) -> None:
    """An answer that becomes known late makes bad good: the log says this of the judgement, not of what waited."""
    kept = (row("1", DAY, "pending", None, matures_at=2 * DAY), row("1", 2 * DAY, "good", None))

    assert restated(derivations, list(LATE_ANSWER), list(kept)) == [
        ("1", said(3 * DAY, "bad", None), said(2 * DAY, "good", None))
    ]


def test_a_deadline_that_moves_before_it_comes_restates_nothing(derivations: DerivationStore) -> None:
    """A judgement of the future was never published, so another one in its place changes nothing that was."""
    due = (row("1", DAY, "pending", None, matures_at=PUBLISHED + 2), row("1", PUBLISHED + 2, "bad", None))
    good = (row("1", DAY, "pending", None, matures_at=PUBLISHED + 1), row("1", PUBLISHED + 1, "good", None))

    assert restated(derivations, list(due), list(good)) == []


def test_each_judgement_of_a_unit_is_restated_by_itself(derivations: DerivationStore) -> None:
    """A unit that is judged once for each of its labels has an entry for each judgement that changed."""
    first, second = (WAIT._replace(dimension=label) for label in ("first", "second"))
    was = {first: [row("1", DAY, "good", None)], second: [row("1", DAY, "good", None)]}
    now = {first: [row("1", DAY, "bad", None)], second: [row("1", DAY, "excluded", None)]}
    derivations.replace(piece(rows=was), 0, "")
    derivations.published(PUBLISHED)
    derivations.replace(piece(rows=now), NOTICED, "late events")

    assert {(r.was, r.now) for r in derivations.restatements()} == {
        (said(DAY, "good", None), said(DAY, "bad", None)),
        (said(DAY, "good", None), said(DAY, "excluded", None)),
    }


def test_a_unit_whose_label_changed_is_restated_once(derivations: DerivationStore) -> None:
    """A judgement that goes from one label to another is the same one: it says what it was and what it is."""
    derivations.replace(piece(rows={WAIT._replace(dimension="first"): [row("1", DAY, "good", None)]}), 0, "")
    derivations.published(PUBLISHED)
    derivations.replace(piece(rows={WAIT._replace(dimension="second"): [row("1", DAY, "bad", None)]}), NOTICED, "late")

    assert [(r.was, r.now) for r in derivations.restatements()] == [(said(DAY, "good", None), said(DAY, "bad", None))]


def test_nothing_is_restated_before_the_first_publication(derivations: DerivationStore) -> None:
    """Nobody has seen a number yet."""
    derivations.replace(piece(STAYS, row("1", DAY), row("2", DAY)), 0, "")
    derivations.replace(piece(STAYS, row("1", DAY, value=90.0), row("3", DAY)), NOTICED, "")

    assert (derivations.restatements(), derivations.restated_units()) == ([], {})


def test_a_publication_never_moves_back(derivations: DerivationStore) -> None:
    """A clock that was set back does not unpublish."""
    derivations.replace(piece(row("1", 2 * DAY)), 0, "")
    derivations.published(PUBLISHED)
    derivations.published(DAY)
    derivations.replace(piece(row("1", 2 * DAY, value=90.0)), NOTICED, "")

    assert [r.unit for r in derivations.restatements()] == ["1"]


@pytest.fixture
def many(derivations: DerivationStore) -> DerivationStore:
    """A log after 1 003 published units of one indicator and one of another changed at once."""
    before = {WAIT: [row(f"{i:04}", DAY) for i in range(1_003)], WORK: [row("1", DAY)]}
    after = {WAIT: [row(f"{i:04}", DAY, value=90.0) for i in range(1_003)], WORK: [row("1", DAY, value=90.0)]}
    derivations.replace(piece(rows=before), 0, "")
    derivations.published(PUBLISHED)
    derivations.replace(piece(rows=after), NOTICED, "late events")
    return derivations


def test_many_restatements_are_cut_and_counted(many: DerivationStore) -> None:
    """Beyond a thousand of one indicator, one line says how many more; other indicators are not cut."""
    log = many.restatements(limit=5_000)

    assert [(r.indicator, r.unit, r.was, r.now) for r in log[:3]] == [
        ("work", "1", said(DAY), said(DAY, value=90.0)),
        ("wait", "", "3 more units", ""),
        ("wait", "0999", said(DAY), said(DAY, value=90.0)),
    ]
    assert len(log) == 1_002


def test_restatements_come_newest_first_and_since_a_time(derivations: DerivationStore) -> None:
    """Those noticed after a time, the newest first, so many at most."""
    derivations.replace(piece(row("1", DAY), row("2", DAY), row("3", DAY)), 0, "")
    derivations.published(PUBLISHED)
    derivations.replace(piece(row("2", DAY), row("3", DAY)), NOTICED, "")
    derivations.replace(piece(row("3", DAY)), NOTICED + 1, "")
    derivations.replace(piece(), NOTICED + 2, "")

    assert [r.unit for r in derivations.restatements(since=NOTICED)] == ["3", "2"]
    assert [r.unit for r in derivations.restatements(limit=1)] == ["3"]
    assert derivations.restated_units() == {"wait": 3.0}


def test_who_derived_beside_another_says_nothing_of_the_pieces(derivations: Any) -> None:
    """Where the stamp moved while a family was derived, it is to be derived anew; else it is what was derived."""
    derivations.set_stamp("test", {"commit": 1}, {})
    first = derivations.stamp("test")
    derivations.set_stamp("test", {"commit": 3}, first)
    derivations.set_stamp("test", {"commit": 2}, first)

    assert (first, derivations.stamp("test")) == ({"commit": 1}, {})
