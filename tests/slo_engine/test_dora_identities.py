"""Delivery by people with several accounts, and by bots that only a list knows: who is whom decides two things.

The first review counts when it is by another human, and changes by bots may be left out. Times are hours.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples

from collector.events import Change, ChangeState, Commit, Deployment, Event, Result, Review, ReviewState, happened_at
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore
from slo_engine.derive import derive
from slo_engine.identities import Identities
from slo_engine.indicators import delivery
from slo_engine.observation import Observation, Outcome
from slo_engine.organisation import DeliveryRules, Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.settled import Settling

START = datetime(2026, 1, 1, tzinfo=UTC)
ADA, ADA_TOO, BOB, TRAIN = (f"person:{letter * 32}" for letter in "abcd")
KNOWN = Identities(people={ADA_TOO: ADA}, bots=frozenset({TRAIN}))


def at(hours: float) -> datetime:
    """A time in hours after the start."""
    return START + timedelta(hours=hours)


def sha(name: object) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(str(name).encode(), usedforsecurity=False).hexdigest()


def commit(number: int, **more: Any) -> Commit:
    """A commit of the default branch, ten hours after the one before."""
    return Commit(
        source="git",
        native_id=f"{number}",
        repository="o/shop",
        sha=sha(number),
        parents=(sha(number - 1),) if number else (),
        authored_at=at(number * 10),
        committed_at=at(number * 10),
        on_default_branch=True,
        **more,
    )


def release(number: int) -> Deployment:
    """A deployment of a commit, five hours after it."""
    return Deployment(
        source="cd",
        native_id=f"{number}",
        service="shop",
        environment="production",
        repository="o/shop",
        result=Result.SUCCESS,
        sha=sha(number),
        finished_at=at(number * 10 + 5),
    )


def request(number: int, **more: Any) -> Change:
    """A request that put a commit on the default branch, opened four hours before."""
    merged = at(number * 10)
    return Change(
        source="hub",
        native_id=f"pr {number}",
        repository="o/shop",
        state=ChangeState.MERGED,
        created_at=merged - timedelta(hours=4),
        first_commit_at=merged - timedelta(hours=6),
        merged_at=merged,
        merge_sha=sha(number),
        **more,
    )


def review(number: int, before: float, author: str | None, *, bot: bool = False) -> Review:
    """A comment on a request, so many hours before its merge."""
    return Review(
        source="hub",
        native_id=f"review {number} {before} {author}",
        repository="o/shop",
        change_native_id=f"pr {number}",
        at=at(number * 10 - before),
        state=ReviewState.COMMENTED,
        author=author,
        bot=bot,
    )


HISTORY = (commit(0), commit(1), release(0), release(1))


def observed(events: Sequence[Event], identities: Identities, *, bots: bool = True) -> list[Observation]:
    """The observations of some events."""
    organisation = Organisation(identities=identities, delivery=DeliveryRules(bots=bots))
    return sorted(delivery.observe(PlainEvents(events), organisation), key=repr)


def pickup(*events: Event, identities: Identities = KNOWN) -> float | None:
    """The hours until the one request was picked up; None where nobody did."""
    (found,) = (o for o in observed([*HISTORY, *events], identities) if o.outcome is Outcome.MEASURED and o.parts)
    return None if found.parts[1] is None else found.parts[1] / 3600


def reasons(*events: Event, identities: Identities = KNOWN) -> set[str]:
    """Why changes are left out where those of bots are."""
    found = observed([*HISTORY, *events], identities, bots=False)
    return {str(o.reason) for o in found if o.indicator == "change_lead_time" and o.reason != "before_horizon"}


def test_ones_own_other_account_is_no_other_human() -> None:
    """Ada reviews her own request with a second account → nobody picked it up; Bob's review two hours later counts."""
    own = review(1, 3, ADA_TOO)

    assert pickup(request(1, author=ADA), own, identities=Identities()) == 1
    assert pickup(request(1, author=ADA), own) is None
    assert pickup(request(1, author=ADA), own, review(1, 1, BOB)) == 3


def test_a_request_of_the_other_account_is_ones_own() -> None:
    """The request is by the second account, the review by the first: the same human."""
    assert pickup(request(1, author=ADA_TOO), review(1, 3, ADA)) is None


def test_a_review_by_a_listed_bot_is_none() -> None:
    """A bot that only the list knows is no human, whatever its source said of it."""
    assert pickup(request(1, author=ADA), review(1, 3, TRAIN), identities=Identities()) == 1
    assert pickup(request(1, author=ADA), review(1, 3, TRAIN)) is None


def test_a_review_by_a_listed_human_is_one() -> None:
    """An account that looks like a bot and is somebody's counts once it is listed."""
    look_alike = Identities(humans=frozenset({BOB}))

    assert pickup(request(1, author=ADA), review(1, 3, BOB, bot=True)) is None
    assert pickup(request(1, author=ADA), review(1, 3, BOB, bot=True), identities=look_alike) == 1


def test_requests_of_listed_bots_are_left_out_like_all_of_bots() -> None:
    """With `delivery.bots: false` a request by a listed bot is excluded, and one by a listed human is not."""
    assert reasons(request(1, author=TRAIN)) == {"bot"}
    assert reasons(request(1, author=TRAIN), identities=Identities()) == {""}
    assert reasons(request(1, author=BOB, bot=True), identities=Identities(humans=frozenset({BOB}))) == {""}


def test_commits_of_listed_bots_are_left_out_like_all_of_bots() -> None:
    """A commit without a request is its author's change: a listed bot's is excluded."""
    events = [commit(0), commit(1, author=TRAIN), release(0), release(1)]

    assert reasons(*events) == {"bot"}
    assert reasons(*events, identities=Identities()) == {""}


# ---- laws

PEOPLE = (ADA, ADA_TOO, BOB, TRAIN, None)


def made_up(seed: int) -> list[Event]:
    """A dozen commits, some by requests with reviews, everything by anybody; deployed every few."""
    pick = Random(seed)  # noqa: S311 - made-up worlds need no secrets
    events: list[Event] = [commit(n, author=pick.choice(PEOPLE), bot=pick.random() < 0.2) for n in range(12)]
    events += [release(n) for n in range(12) if n == 0 or pick.random() < 0.5]
    for number in range(1, 12):
        if pick.random() < 0.7:
            events.append(request(number, author=pick.choice(PEOPLE), bot=pick.random() < 0.2))
            times = [pick.randint(-1, 5) for _ in range(pick.randint(0, 3))]
            events += [review(number, t, pick.choice(PEOPLE), bot=pick.random() < 0.2) for t in times]
    return events


SAID = st.builds(
    Identities,
    people=st.sampled_from([{}, {ADA_TOO: ADA}, {ADA: BOB, ADA_TOO: BOB}]),
    bots=st.frozensets(st.sampled_from([TRAIN, BOB])),
    humans=st.frozensets(st.sampled_from([ADA, ADA_TOO])),
)


def told(event: Event, identities: Identities) -> Event:
    """An event as a source would have told it that knew who is whom."""
    if not isinstance(event, Commit | Change | Review):
        return event
    bot = identities.is_bot(event.author, event.bot)
    return msgspec.structs.replace(event, author=identities.person(event.author), bot=bot)


@given(seed=st.integers(0, 2**32), identities=SAID, bots=st.booleans())
def test_identities_judge_as_if_the_sources_had_known(seed: int, identities: Identities, *, bots: bool) -> None:
    """What is said of accounts has the same effect as events that were told so in the first place."""
    events = made_up(seed)

    assert observed(events, identities, bots=bots) == observed(
        [told(e, identities) for e in events], Identities(), bots=bots
    )


SETTLES_SOON = replace(
    delivery.FAMILY, pieces=delivery.settling(Settling(kept=1, open_for=timedelta(0), dormant_after=timedelta(days=2)))
)
"""Goes on from a settled past as often as it can."""


@pytest.fixture
def new_database(tmp_path: Path, migrated: Path) -> Callable[[], Database]:
    """Makes stores, one after the other."""
    made = 0

    def make() -> Database:
        nonlocal made
        made += 1
        folder = tmp_path / f"{made}"
        folder.mkdir()
        shutil.copy(migrated, folder / "paceline.db")
        return Database.open(folder)

    return make


def stored(database: Database, batches: Sequence[tuple[Sequence[Event], Organisation]]) -> list[Any]:
    """What is stored after batches of events, each judged by an organisation of its time."""
    events, observations = EventStore(database), ObservationStore(database)
    for batch, organisation in batches:
        with database.transaction() as transaction:
            events.write(transaction, batch)
        derive([SETTLES_SOON], events, DerivationStore(database), organisation)
    rows = {
        series: sorted(observations.window([number], -(2**62), 2**62, *ObservationRow._fields))
        for number, series in observations.series().items()
    }
    database.close()
    return sorted((repr(series), found) for series, found in rows.items() if found)


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32), before=SAID, after=SAID, cut=st.integers(0, 30))
def test_a_change_of_the_lists_restates(
    seed: int, before: Identities, after: Identities, cut: int, new_database: Callable[[], Database]
) -> None:
    """Whatever was said when events came, they are judged by what is said now; piece by piece is all at once."""
    events = sorted(made_up(seed), key=lambda e: (happened_at(e), e.id))
    rules = DeliveryRules(bots=False)
    old, new = (Organisation(identities=i, delivery=rules) for i in (before, after))
    late = [(events[n : n + 3], new) for n in range(cut, len(events), 3)]

    in_parts = stored(new_database(), [(events[:cut], old), ([], new), *late])

    assert in_parts == stored(new_database(), [(events, new)])
