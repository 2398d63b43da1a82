"""Documentation, case by case. Times are days after the 1st of June 2026, 12:00 UTC.

The page docs/pay.md covers src/pay of its own repository and was written on day 1. Commit "a" was deployed on day 0,
which opens what is known of deployments. A page may be changed until 14 days after a deployment, and from 7 days before
the merge on.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.events import Change, ChangeState, Commit, Deployment, DocPage, Event, Result
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.identities import Identities
from slo_engine.indicators import documentation
from slo_engine.indicators.documentation import DocumentationOptions
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, to_micros
from slo_engine.organisation import Organisation, Service
from slo_engine.pages import Cover, Map, read_pages
from slo_engine.plain_events import PlainEvents
from slo_engine.snapshot import SourceState
from slo_engine.statistics import wilson
from slo_engine.windows import parse_window

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
USUAL = Organisation()
ALL_TIME = -(2**62)


def at(days: float) -> datetime:
    """A time in days after the start."""
    return START + timedelta(days=days)


def sha(name: str) -> str:
    """The id of a commit."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def commit(name: str, days: float, *parents: str, **more: Any) -> Commit:
    """A commit of the default branch that touches src/pay/card.py."""
    fields: dict[str, Any] = {"source": "git", "repository": "o/shop", "paths": ("src/pay/card.py",)}
    fields |= {"authored_at": at(days), "committed_at": at(days), "on_default_branch": True} | more
    return Commit(native_id=name, sha=sha(name), parents=tuple(map(sha, parents)), **fields)


def release(name: str, days: float, **more: Any) -> Deployment:
    """A deployment of a commit to production."""
    fields: dict[str, Any] = {"source": "cd", "service": "shop", "environment": "production", "repository": "o/shop"}
    fields |= {"finished_at": at(days), "result": Result.SUCCESS, "native_id": f"{name}@{days}", "sha": sha(name)}
    return Deployment(**(fields | more))


def page(days: float, **more: Any) -> DocPage:
    """A version of the page docs/pay.md."""
    fields: dict[str, Any] = {"source": "wiki", "repository": "o/shop", "path": "docs/pay.md", "covers": ("src/pay",)}
    return DocPage(**(fields | {"native_id": f"v{days}", "changed_at": at(days)} | more))


BEGUN = (commit("a", -1, paths=("README",)), release("a", 0), page(1))
"""What is there in most tests: the first deployment, and the page."""
DEPLOYED = (*BEGUN, commit("b", 10, "a"), release("b", 11))
"""On day 11 something of what the page covers is deployed that was merged on day 10."""


def rows(indicator: str, events: Iterable[Event], organisation: Organisation = USUAL) -> list[Observation]:
    """The observations of an indicator in the order of time."""
    found = documentation.observe(PlainEvents(events), organisation)
    return sorted((o for o in found if o.indicator == indicator), key=lambda o: (o.at, o.unit, o.subject))


def verdicts(*events: Event, organisation: Organisation = USUAL) -> list[tuple[str, datetime]]:
    """How each page was judged on each day, and when that was decided."""
    found = rows("documentation_freshness", events, organisation)
    return [(o.reason or str(o.outcome), o.at) for o in found if o.outcome is not Outcome.PENDING]


def standing(now: datetime, *events: Event) -> list[str]:
    """How the units stand at a time."""
    found = [o for o in rows("documentation_freshness", events) if o.at <= now]
    there = [o for o in found if o.matures_at is None or o.matures_at > now]
    return [o.reason or str(o.outcome) for o in there]


def reviewed(now: datetime, *events: Event, organisation: Organisation = USUAL) -> Measured:
    """The share of pages that are reviewed at a time."""
    found = [o for o in rows("documentation_reviewed", events, organisation) if o.at <= now]
    units = sorted({o.unit for o in found})
    size = len(found)
    return documentation.reviewed(
        Sample(
            after=ALL_TIME,
            until=to_micros(now),
            now=to_micros(now),
            subject=Subject(),
            organisation=organisation,
            at=np.array([to_micros(o.at) for o in found], dtype=np.int64),
            value=np.full(size, np.nan),
            outcome=np.array([OUTCOME_CODES[o.outcome] for o in found], dtype=np.int16),
            matures_at=np.full(size, ALL_TIME, dtype=np.int64),
            unit=np.array([units.index(o.unit) for o in found], dtype=np.int64),
            dimension=np.zeros(size, dtype=np.int64),
            dimensions=("age",),
        )
    )


# --- pages that follow the code --------------------------------------------------------------------------


def test_a_page_changed_soon_after_the_deployment_is_good() -> None:
    """Deployed on day 11, changed on day 20, within 14 days: good on day 20."""
    assert verdicts(*DEPLOYED, page(20)) == [("good", at(20))]


@pytest.mark.parametrize("changes", [(), (page(26),)])
def test_a_page_not_changed_in_time_is_bad_at_its_deadline(changes: tuple[DocPage, ...]) -> None:
    """Nobody changed it, or too late on day 26: bad on day 25, not when somebody does."""
    assert verdicts(*DEPLOYED, *changes) == [("bad", at(25))]


def test_a_page_changed_in_the_last_moment_is_in_time() -> None:
    """14 days after is not more than 14 days; a second later is."""
    assert verdicts(*DEPLOYED, page(25)) == [("good", at(25))]
    assert verdicts(*DEPLOYED, page(25 + 1 / 86_400)) == [("bad", at(25))]


@pytest.mark.parametrize(("day", "expected"), [(10.5, []), (11, ["pending"]), (24.9, ["pending"]), (25, ["bad"])])
def test_until_its_deadline_a_page_is_pending(day: float, expected: list[str]) -> None:
    """Nothing is asked before the deployment; from then to the deadline nobody knows."""
    assert standing(at(day), *DEPLOYED) == expected


def test_a_page_changed_with_the_code_is_good_at_the_deployment() -> None:
    """The commit that changes the code changes its page, too: good as soon as that is deployed."""
    together = commit("b", 10, "a", paths=("src/pay/card.py", "docs/pay.md"))

    assert verdicts(*BEGUN, together, release("b", 11)) == [("good", at(11))]


def test_a_page_changed_shortly_before_the_merge_was_changed_for_it() -> None:
    """Changed on day 4, six days before the merge, is good; on day 2 it was changed for something else."""
    assert verdicts(*DEPLOYED, page(4)) == [("good", at(11))]
    assert verdicts(*DEPLOYED, page(2)) == [("bad", at(25))]


def test_a_request_tells_that_the_page_was_changed_with_it() -> None:
    """The merged request's own list of files counts, and not that one of its commits is old."""
    request = Change(
        source="hub",
        native_id="7",
        repository="o/shop",
        state=ChangeState.MERGED,
        created_at=at(-30),
        merged_at=at(10),
        merge_sha=sha("b"),
        paths=("src/pay/card.py", "docs/pay.md"),
    )

    assert verdicts(*BEGUN, commit("b", 10, "a", paths=None), request, release("b", 11)) == [("good", at(11))]


def test_fifty_commits_in_a_day_are_one_question() -> None:
    """A page is asked about once a day, from the first deployment of that day on."""
    names = ["a", *(f"c{n}" for n in range(50))]
    commits = [commit(new, 10 + n / 1000, old) for n, (old, new) in enumerate(pairwise(names))]
    releases = [release(new, 10.2 + n / 1000) for n, new in enumerate(names[1:])]

    assert verdicts(*BEGUN, *commits, *releases) == [("bad", at(24.2))]


def test_each_day_asks_anew() -> None:
    """Deployed on days 11 and 13, changed on day 12: in time for the first; for the second it was changed before."""
    assert verdicts(*DEPLOYED, commit("c", 12.5, "b"), release("c", 13), page(12)) == [
        ("good", at(12)),
        ("good", at(13)),
    ]


def test_days_are_those_of_the_organisation() -> None:
    """23:00 and 01:00 UTC are two days in UTC and one in Berlin."""
    events = (
        *BEGUN,
        commit("b", 10, "a"),
        release("b", 10 + 11 / 24),
        commit("c", 10.5, "b"),
        release("c", 10 + 13 / 24),
    )
    berlin = Organisation(zone=ZoneInfo("Europe/Berlin"))

    assert len(verdicts(*events)) == 2
    assert len(verdicts(*events, organisation=berlin)) == 1


def test_code_that_no_page_covers_asks_for_nothing() -> None:
    """Other folders, also one whose name begins the same, and another environment."""
    other = commit("b", 10, "a", paths=("src/payment/card.py", "docs/other.md"))
    staging = (commit("c", 10, "b"), release("c", 11, environment="staging"))

    assert verdicts(*BEGUN, other, release("b", 11), *staging) == []


def test_a_page_is_no_code_of_its_own() -> None:
    """A page that covers the folder that it stands in is not asked to change because it changed."""
    covering = page(1, covers=("docs",))
    edited = commit("b", 10, "a", paths=("docs/pay.md",))

    assert verdicts(*BEGUN[:2], covering, edited, release("b", 11)) == []


def test_what_waits_for_its_deployment_asks_for_nothing_yet() -> None:
    """Merged on day 10 and not deployed: users do not have it."""
    assert verdicts(*BEGUN, commit("b", 10, "a")) == []


def test_a_change_arrives_with_the_deployment_that_contains_it() -> None:
    """A deployment after the merge that is of an older commit does not bring it: day 15 does."""
    events = (*BEGUN, commit("b", 10, "a"), release("a", 11), release("b", 15))

    assert verdicts(*events) == [("bad", at(29))]


def test_where_no_deployment_is_known_the_merge_counts() -> None:
    """A repository that nobody is known to deploy: judged from the merge on day 10, and the rule says so."""
    found = rows("documentation_freshness", [page(1), commit("b", 10)])

    assert [(o.outcome, o.at, o.rule) for o in found if o.outcome is Outcome.BAD] == [
        (Outcome.BAD, at(24), "merged, no deployment known")
    ]


def test_a_failed_deployment_brings_nothing() -> None:
    """Only what succeeded is with the users."""
    assert verdicts(*BEGUN, commit("b", 10, "a"), release("b", 11, result=Result.FAILURE)) == []


def test_changes_by_bots_ask_for_no_page_unless_told() -> None:
    """A new version of a library is nothing to write about: left out with a reason."""
    events = (*BEGUN, commit("b", 10, "a", bot=True), release("b", 11))
    told = Organisation(options=(DocumentationOptions(bots=True),))

    assert verdicts(*events) == [("bot", at(11))]
    assert verdicts(*events, organisation=told) == [("bad", at(25))]


def test_who_is_a_bot_is_as_the_lists_say() -> None:
    """A list of bots decides before what the source said, as everywhere."""
    identities = Identities(bots=frozenset({"person:relay"}), humans=frozenset({"person:kim"}))
    organisation = Organisation(identities=identities)
    relay, kim = (commit("b", 10, "a", author=f"person:{who}", bot=who == "kim") for who in ("relay", "kim"))

    assert verdicts(*BEGUN, relay, release("b", 11), organisation=organisation) == [("bot", at(11))]
    assert verdicts(*BEGUN, kim, release("b", 11), organisation=organisation) == [("bad", at(25))]


def test_a_day_of_bots_and_people_is_the_people_s() -> None:
    """The bot's change at noon does not hide the one in the evening, from which the page has its time."""
    events = (*BEGUN, commit("b", 10, "a", bot=True), release("b", 11), commit("c", 11, "b"), release("c", 11.4))

    assert verdicts(*events) == [("bad", at(25.4))]


def test_changes_of_unknown_files_are_set_aside_and_counted_once_a_day() -> None:
    """Nobody knows whether they touch what a page covers."""
    unknown = [commit("b", 10, "a", paths=None), commit("c", 10.1, "b", paths=None)]

    assert verdicts(*BEGUN, *unknown, release("c", 11)) == [("unknown_paths", at(11))]


def test_before_a_page_is_known_it_is_not_judged() -> None:
    """The page's first version is of day 40; whether there was an older one nobody knows. Day 25 was its deadline."""
    assert verdicts(*BEGUN[:2], *DEPLOYED[3:], page(40)) == [("before_horizon", at(11))]


def test_a_page_written_in_time_is_good() -> None:
    """The first page about what was deployed on day 11, written on day 20."""
    assert verdicts(*BEGUN[:2], *DEPLOYED[3:], page(20)) == [("good", at(20))]


def test_a_page_in_another_repository_covers_code_by_its_name() -> None:
    """`o/shop:src/pay` is code of the shop, and a commit of the handbook changes the page."""
    handbook = {"repository": "o/handbook", "path": "pay.md", "covers": ("o/shop:src/pay",)}
    written = commit("h", 20, repository="o/handbook", paths=("pay.md",))
    code = (*BEGUN[:2], *DEPLOYED[3:])

    assert verdicts(*code, page(1, **handbook)) == [("bad", at(25))]
    assert verdicts(*code, page(1, **handbook), written) == [("good", at(20))]


def test_the_last_version_says_what_a_page_covers() -> None:
    """On day 12 the page was given to other code: what it covered before is not asked any more."""
    assert verdicts(*DEPLOYED, page(12, covers=("src/basket",))) == []


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("src/pay", "src/pay/deep/card.py", True),
        ("src/pay", "src/pay", True),
        ("src/pay", "src/payment.py", False),
        ("/src/pay/", "src/pay/card.py", True),
        ("./src/pay", "src/pay/card.py", True),
        ("src/*.py", "src/pay/card.py", True),
        ("src/*.py", "src/pay/card.js", False),
        ("SRC/pay", "src/pay/card.py", False),
        (".", "anything", True),
        ("", "anything", True),
        ("src/[draft]", "src/[draft]/card.py", True),
        ("o/shop:src/pay", "src/pay/card.py", True),
    ],
)
def test_a_cover_is_a_file_a_folder_or_a_glob(text: str, path: str, *, expected: bool) -> None:
    """A folder means all that is in it; broken globs fit nothing and break nothing."""
    assert Cover.of(text, "o/shop").has(path) is expected


@given(
    covers=st.lists(st.text("ab/*?[].", max_size=5), max_size=4),
    path=st.text("ab/.[", max_size=6),
    no_code=st.booleans(),
)
def test_a_map_finds_the_pages_whose_covers_have_a_file(covers: list[str], path: str, *, no_code: bool) -> None:
    """Looked up by folder or asked one by one, the pages are the same; a page is no code."""
    versions = [page(1, native_id=f"{n}", path=f"{n}.md", covers=(text,)) for n, text in enumerate(covers)]
    pages = read_pages(PlainEvents(versions), USUAL)
    own = Map("o/shop", pages, frozenset({path} if no_code else ()))

    assert own.of(path) == tuple(p for p in pages if not no_code and any(c.has(path) for c in p.covers))


# --- for whom --------------------------------------------------------------------------------------------


def test_numbers_are_for_the_service_and_team_that_a_page_names() -> None:
    """Its own words count, else the only service of its repository."""
    shop = Organisation(
        services=(Service(name="till", repositories=patterns(["o/shop"]), components=patterns(["pay"])),)
    )
    named = page(1, service="pay", team="commerce/checkout")
    found = [
        rows("documentation_reviewed", [version], organisation)[0].subject
        for version, organisation in ((named, shop), (page(1), shop), (page(1), USUAL))
    ]

    assert found == [Subject("till", team="/commerce/checkout"), Subject("till"), Subject()]


def test_in_a_shared_repository_a_service_s_deployments_bring_what_is_its_own() -> None:
    """The basket's deployment on day 11 does not bring a change of pay; pay's does on day 15."""
    repositories = patterns(["o/shop"])
    organisation = Organisation(
        services=(
            Service(name="pay", repositories=repositories, paths=patterns(["src/pay/*"])),
            Service(name="basket", repositories=repositories, paths=patterns(["src/basket/*"])),
        )
    )
    events = (
        *BEGUN[::2],
        release("a", 0, service="pay"),
        release("a", 0.1, service="basket"),
        commit("b", 10, "a"),
        release("b", 11, service="basket"),
        release("b", 15, service="pay"),
    )

    assert verdicts(*events, organisation=organisation) == [("bad", at(29))]


def test_deployments_without_a_repository_are_of_their_service_s_only_one() -> None:
    """The catalogue says where the code of the shop is."""
    organisation = Organisation(services=(Service(name="shop", repositories=patterns(["o/shop"])),))
    events = (*BEGUN[::2], release("a", 0, repository=None), commit("b", 10, "a"), release("b", 11, repository=None))

    assert verdicts(*events, organisation=organisation) == [("bad", at(25))]


def test_a_judgement_names_what_it_rests_on() -> None:
    """The change of the page, the change of the code, its deployment; its sources are theirs."""
    changed, code, deployed = page(20), commit("b", 10, "a"), release("b", 11)
    found = rows("documentation_freshness", [*BEGUN, code, deployed, changed])[-1]

    assert found.evidence == (changed.id, code.id, deployed.id)
    assert (found.source, found.rule, found.dimension) == ("cd+git+wiki", "deployed", "map")


def test_other_promises_can_be_set() -> None:
    """Three days after and none before: what was changed on day 9 or 15 is not in time."""
    options = DocumentationOptions(changed_within=timedelta(days=3), look_back=timedelta(seconds=1))
    strict = Organisation(options=(options,))

    assert verdicts(*DEPLOYED, page(9), page(15), organisation=strict) == [("bad", at(14))]


# --- pages that somebody looks at ------------------------------------------------------------------------


def test_the_share_of_pages_reviewed_within_180_days() -> None:
    """Reviewed 180 d, 181 d and 10 d before: 2 of 3, with Wilson's interval."""
    versions = [
        page(0, native_id=name, path=name, reviewed_at=at(day)) for name, day in (("a", 20), ("b", 19), ("c", 190))
    ]
    found = reviewed(at(200), *versions)

    assert found.n == 3
    assert found.stats["value"] == pytest.approx(2 / 3)
    assert (found.stats["low"], found.stats["high"]) == wilson(2, 3)


def test_a_page_nobody_reviews_counts_from_its_change() -> None:
    """Changed on day 10: fresh on day 190, not on day 191."""
    assert [reviewed(at(day), page(10)).stats["value"] for day in (190, 191)] == [1.0, 0.0]


def test_a_change_is_no_review_where_reviews_are_told() -> None:
    """Reviewed on day 0 and changed on day 100: not reviewed on day 200."""
    assert reviewed(at(200), page(0, reviewed_at=at(0)), page(100, reviewed_at=at(0))).stats["value"] == 0.0


def test_before_its_first_review_a_page_counts_from_its_change() -> None:
    """Written on day 0, first reviewed on day 300: on day 100 it was fresh, on day 200 not, on day 300 again."""
    events = (page(0), page(299, reviewed_at=at(300)))

    assert [reviewed(at(day), *events).stats["value"] for day in (100, 200, 300)] == [1.0, 0.0, 1.0]


def test_versions_make_one_page() -> None:
    """N counts pages, and the last look at one counts."""
    assert reviewed(at(200), page(0), page(100), page(150)).n == 1


def test_without_pages_nothing_can_be_said() -> None:
    """No page, no value; so it was before the first was written."""
    assert reviewed(at(200)) == Measured(n=0)
    assert reviewed(at(200), page(201)) == Measured(n=0)


def test_how_long_a_review_lasts_can_be_set() -> None:
    """90 days instead of 180."""
    options = DocumentationOptions(reviewed_within=timedelta(days=90))

    assert reviewed(at(100), page(0), organisation=Organisation(options=(options,))).stats["value"] == 0.0


# --- laws ------------------------------------------------------------------------------------------------

_day = st.integers(0, 40)
_path = st.sampled_from(["src/pay/card.py", "src/basket/b.py", "docs/pay.md", "README"])
_commits = st.lists(st.tuples(_day, st.none() | st.lists(_path, max_size=2).map(tuple), st.booleans()), max_size=5)
_pages = st.lists(
    st.builds(
        lambda day, covers, review: page(day, covers=covers, reviewed_at=None if review is None else at(review)),
        _day,
        st.sampled_from([(), ("src/pay",), ("src",)]),
        st.none() | _day,
    ),
    max_size=4,
    unique_by=lambda e: e.id,
)


@st.composite
def _histories(draw: st.DrawFn) -> list[Event]:
    """A line of commits, some of them deployed, and versions of a page."""
    found: list[Event] = [*draw(_pages)]
    last: tuple[str, ...] = ()
    for number, (day, paths, bot) in enumerate(sorted(draw(_commits), key=lambda c: c[0])):
        found.append(commit(f"c{number}", day, *last, paths=paths, bot=bot))
        last = (f"c{number}",)
        if draw(st.booleans()):
            found.append(release(f"c{number}", day + draw(_day)))
    return found


def _sorted(observations: Iterator[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: (o.indicator, o.unit, o.at, o.subject))


@given(events=_histories(), data=st.data())
def test_order_and_duplicates_change_nothing(events: list[Event], data: st.DataObject) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = data.draw(st.permutations(events + events))

    assert _sorted(documentation.observe(PlainEvents(again), USUAL)) == _sorted(
        documentation.observe(PlainEvents(events), USUAL)
    )


@given(events=_histories(), day=_day)
def test_every_unit_stands_once(events: list[Event], day: int) -> None:
    """At any time a page's day is good, bad, pending or excluded, and one of them; and it is stored once."""
    found = rows("documentation_freshness", events)
    begun = {o.unit for o in found if o.at <= at(day)}

    assert len(standing(at(day), *events)) == len(begun)
    assert len({(o.unit, o.at) for o in found}) == len(found)


# --- in the store ----------------------------------------------------------------------------------------


def _stored(
    tmp_path: Path, *batches: Sequence[Event], organisation: Organisation = USUAL
) -> tuple[list[int], set[tuple[Any, ...]]]:
    """How many pieces each batch of events cost, and all observations after the last one."""
    tmp_path.mkdir(exist_ok=True)
    database = Database.open(tmp_path)
    events, store = EventStore(database), DerivationStore(database)
    costs = []
    for batch in batches:
        with database.transaction() as transaction:
            events.write(transaction, batch)
        costs.append(derive([documentation.FAMILY], events, store, organisation).pieces)
    with database.reading() as connection:
        text = (
            "select s.indicator, s.dimension, s.service, s.team, s.source, s.scope, o.at, o.unit, o.outcome, o.reason,"
            " o.matures_at, o.rule, o.evidence from observation o join series s on s.id = o.series_id"
        )
        kept = {tuple(row) for row in connection.exec_driver_sql(text)}
    database.close()
    return costs, kept


_ELSEWHERE = (commit("x", 3, repository="o/else"), release("x", 3, repository="o/else", service="else"))
_HANDBOOK = page(2, repository="o/handbook", path="shop.md", native_id="hb", covers=("o/shop:src",))
_BATCHES: tuple[tuple[Event, ...], ...] = (
    BEGUN,
    _ELSEWHERE,
    (commit("b", 10, "a"),),
    (release("b", 11),),
    (_HANDBOOK,),
    (commit("h", 12, repository="o/handbook", paths=("shop.md",)),),
    (page(13, covers=("o/else:lib",)),),
    (),
)


def test_only_what_new_events_touch_is_derived_again(tmp_path: Path) -> None:
    """What reaches production, the pages and their changes touch a map; another repository touches none.

    One page is a map and a list of pages; a commit that waits for its deployment touches nothing yet; the handbook adds
    a list and touches the map; the last version touches the list, the map that it leaves, and the one it comes to.
    """
    costs, _ = _stored(tmp_path, *_BATCHES)

    assert costs == [2, 0, 0, 1, 2, 1, 3, 0]


@pytest.mark.parametrize("count", range(2, len(_BATCHES) + 1))
def test_pieces_make_what_all_events_make_together(tmp_path: Path, count: int) -> None:
    """One batch after the other gives what all of them at once give."""
    together = [event for batch in _BATCHES[:count] for event in batch]

    _, apart = _stored(tmp_path / "apart", *_BATCHES[:count])
    _, whole = _stored(tmp_path / "whole", together)

    assert apart == whole
    assert len(apart) == len(list(documentation.observe(PlainEvents(together), USUAL)))


_READY = (*DEPLOYED, commit("c", 30, "b"), release("c", 31), commit("d", 50, "c"), release("d", 51))
_REQUEST = Change(
    source="hub",
    native_id="7",
    repository="o/shop",
    state=ChangeState.MERGED,
    created_at=at(9),
    merged_at=at(10),
    merge_sha=sha("b"),
    paths=("src/pay/card.py", "docs/pay.md"),
)
SEQUENCES: dict[str, list[Sequence[Event]]] = {
    "a commit comes late": [[e for e in _READY if e != commit("b", 10, "a")], [commit("b", 10, "a")]],
    "a deployment comes late": [_READY, [release("b", 10.5)]],
    "a deployment is dated anew": [_READY, [release("c", 31, finished_at=at(33), updated_at=at(60))]],
    "a deployment was of another service": [
        _READY,
        [release("c", 31, service="till", repository="o/till", updated_at=at(60))],
    ],
    "a deployment did not succeed": [_READY, [release("c", 31, result=Result.FAILURE, updated_at=at(60))]],
    "the branch is forced elsewhere": [
        _READY,
        [commit("c", 30, "b", on_default_branch=False, updated_at=at(60)), commit("e", 32, "b"), release("e", 40)],
    ],
    "a commit's files are told late": [
        [commit("b", 10, "a", paths=None), *BEGUN, release("b", 11), *_READY[5:]],
        [commit("b", 10, "a", updated_at=at(60))],
    ],
    "a request is told late": [_READY, [_REQUEST]],
    "a page's change comes late": [_READY, [page(32)]],
    "the first version of a page comes late": [[*_READY[:2], *_READY[3:], page(45)], [page(1)]],
    "a page's change is dated anew": [[*_READY, page(32)], [page(32, changed_at=at(58), updated_at=at(60))]],
    "a page covers other code": [_READY, [page(60, covers=("lib",))]],
    "a page is of another team": [_READY, [page(60, team="commerce/pay")]],
    "a new page stands among the code": [_READY, [page(60, path="src/pay/card.py", native_id="x", covers=())]],
    "a page leaves for another repository": [
        _READY,
        [page(1, repository="o/handbook", covers=("o/shop:src/pay",), updated_at=at(60))],
    ],
    "day after day": [_READY[:3], _READY[3:5], [page(12)], _READY[5:6], _READY[6:7], [page(40)], _READY[7:]],
}
"""Events in the order in which they come."""


@pytest.mark.parametrize("batches", SEQUENCES.values(), ids=SEQUENCES)
def test_what_comes_later_may_concern_what_came_before(tmp_path: Path, batches: list[Sequence[Event]]) -> None:
    """Derived one after the other, pages are judged as if all events had been there from the beginning."""
    _, apart = _stored(tmp_path / "apart", *batches)
    _, whole = _stored(tmp_path / "whole", [event for batch in batches for event in batch])

    assert apart == whole


_places = st.sampled_from([("o/shop", "docs/pay.md"), ("o/shop", "src/pay/README.md"), ("o/handbook", "shop.md")])
_files = st.lists(st.sampled_from(["src/pay/card.py", "src/basket/b.py", "docs/pay.md", "shop.md"]), max_size=2)
_far = st.integers(0, 240).map(lambda quarters: quarters / 4)
_version = st.none() | st.integers(0, 3).map(at)
_code = st.builds(
    lambda n, day, parent, paths, on, bot, version: commit(
        f"c{n}",
        day,
        *([f"c{parent}"] if parent < n else []),
        paths=None if paths is None else tuple(paths),
        on_default_branch=on,
        bot=bot,
        updated_at=version,
        repository="o/handbook" if n == 5 else "o/shop",
    ),
    st.integers(0, 5),
    _far,
    st.integers(0, 5),
    st.none() | _files,
    st.booleans(),
    st.booleans(),
    _version,
)
_deployed = st.builds(
    lambda n, of, day, service, result, version: release(
        f"c{of}", day, native_id=f"r{n}", service=service, result=result, updated_at=version
    ),
    st.integers(0, 5),
    st.integers(0, 5),
    _far,
    st.sampled_from(["pay", "basket", "shop"]),
    st.sampled_from([Result.SUCCESS, Result.SUCCESS, Result.FAILURE]),
    _version,
)
_written = st.builds(
    lambda n, day, place, covers, team, review, version: page(
        day,
        native_id=f"v{n}",
        repository=place[0],
        path=place[1],
        covers=covers,
        team=team,
        reviewed_at=None if review is None else at(review),
        updated_at=version,
    ),
    st.integers(0, 5),
    _far,
    _places,
    st.sampled_from([(), ("src/pay",), ("src",), ("o/shop:src/p*", "docs")]),
    st.sampled_from([None, "pay"]),
    st.none() | _far,
    _version,
)
_merged = st.builds(
    lambda n, of, day, paths, version: Change(
        source="hub",
        native_id=f"{n}",
        repository="o/shop",
        state=ChangeState.MERGED,
        created_at=at(0),
        merged_at=at(day),
        merge_sha=sha(f"c{of}"),
        paths=paths,
        updated_at=version,
    ),
    st.integers(0, 2),
    st.integers(0, 5),
    _far,
    st.none() | _files.map(tuple),
    _version,
)
_SHARED = Organisation(
    services=(
        Service(name="pay", repositories=patterns(["o/shop"]), paths=patterns(["src/pay/*"])),
        Service(name="basket", repositories=patterns(["o/shop"]), paths=patterns(["src/basket/*"])),
    ),
    zone=ZoneInfo("America/New_York"),
)


@settings(max_examples=examples(25), deadline=None)
@given(
    batches=st.lists(st.lists(_code | _deployed | _written | _merged, min_size=1, max_size=4), min_size=2, max_size=7),
    organisation=st.sampled_from([USUAL, _SHARED]),
)
def test_one_after_the_other_gives_what_all_at_once_gives(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]], organisation: Organisation
) -> None:
    """Commits, deployments, requests and pages that come late, again or corrected: the judgements are the same."""
    one, all_at_once = (tmp_path_factory.mktemp(name) for name in ("one", "all"))
    shutil.copy(migrated, one / "paceline.db")
    shutil.copy(migrated, all_at_once / "paceline.db")

    _, apart = _stored(one, *batches, organisation=organisation)
    _, whole = _stored(all_at_once, [e for b in batches for e in b], organisation=organisation)

    assert apart == whole


# --- as numbers ------------------------------------------------------------------------------------------


def test_pages_become_numbers_by_method(tmp_path: Path) -> None:
    """On day 36: the page followed two of three days in time, and was reviewed; each method has its own number.

    Changed on day 12: in time for day 11, and six days or less before the merges of day 13.9, not before that of 22,
    which is bad on day 36.
    """
    events = (*DEPLOYED, page(12), commit("c", 13.9, "b"), release("c", 14), commit("d", 22, "c"), release("d", 22))
    now = at(36)
    database = Database.open(tmp_path)
    with database.transaction() as transaction:
        EventStore(database).write(transaction, events)
    derive([documentation.FAMILY], EventStore(database), DerivationStore(database))
    indicators = {i.name: i for i in documentation.FAMILY.indicators}
    found = evaluate(
        ObservationStore(database),
        indicators,
        [],
        list(map(_source, ("git", "cd", "wiki"))),
        now,
        windows=[parse_window("28d")],
    )
    database.close()

    assert {(n.indicator, n.window, n.dimension): (n.n, n.stats["value"]) for n in found.numbers if n.n} == {
        ("documentation_freshness", "28d", "map"): (3, pytest.approx(2 / 3)),
        ("documentation_reviewed", "now", "age"): (1, 1.0),
    }


def _source(name: str) -> SourceState:
    """A source that is up to date."""
    return source_state(
        name, last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START
    )
