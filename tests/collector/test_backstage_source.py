"""A Backstage: what becomes of the scaffolder's tasks, how they are read on, and its catalogue as services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from providers.backstage import START, World, config, provider
from replay import Provider, Reply

from collector.errors import ContractError, SourceError
from collector.events import AttemptEnd, Result, SelfServiceAttempt
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.backstage import BackstageConfig
from collector.systems.backstage.references import Reference, reference
from slo_engine.indicators.self_service import observe
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents


def at(minutes: float) -> datetime:
    """Minutes after the world's start."""
    return START + timedelta(minutes=minutes)


@dataclass
class Reader:
    """Reads a Backstage run after run."""

    api: Provider
    config: BackstageConfig
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()

    def run(self) -> list[SelfServiceAttempt]:
        """The attempts of a run; its cursor is the next one's."""
        found = []
        for page in self.config.build(self.context).pull(self.cursor):
            found.append(page)
            self.cursor = page.cursor
        self.pages = tuple(found)
        return [e for page in found for e in page.events if isinstance(e, SelfServiceAttempt)]

    def ends(self) -> list[tuple[str, AttemptEnd | None]]:
        """The attempts of a run by their ids, and how they ended."""
        return sorted((e.native_id, e.ended) for e in self.run())

    @property
    def services(self) -> list[Any]:
        """The services of the catalogue."""
        return list(self.config.services(self.context))

    @property
    def warnings(self) -> list[str]:
        """The warnings of the last run."""
        return [w for page in self.pages for w in page.warnings]

    @property
    def rejected(self) -> list[str]:
        """What the last run set aside, and why."""
        return [str(r) for page in self.pages for r in page.rejected]


@pytest.fixture
def portal() -> World:
    """A Backstage without a task."""
    return World()


@pytest.fixture
def reader_of(context: SourceContext) -> Callable[..., Reader]:
    """A reader of a world; further arguments are settings."""

    def make(made: World, **settings: Any) -> Reader:
        api = provider(made)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        return Reader(api, config(**settings), replace(context, wire=wire))

    return make


@pytest.fixture
def reader(portal: World, reader_of: Callable[..., Reader]) -> Reader:
    """A reader of the Backstage."""
    return reader_of(portal)


# ---- what a task becomes


def test_a_task_is_an_attempt(portal: World, reader: Reader, context: SourceContext) -> None:
    """A run of a template is an attempt at its journey by its user, for what the form named, until its end."""
    portal.task(10, ended=14)

    assert reader.run() == [
        SelfServiceAttempt(
            source="portal",
            native_id="task/task-0001",
            updated_at=at(14),
            url="https://backstage.example.com/create/tasks/task-0001",
            journey="new-service",
            started_at=at(10),
            requester=context.people.hashed(PLANTED_LOGIN),
            target="shop-1",
            finished_at=at(14),
            result=Result.SUCCESS,
            ended=AttemptEnd.COMPLETED,
        )
    ]


@pytest.mark.parametrize(
    ("status", "result", "ended"),
    [
        ("completed", Result.SUCCESS, AttemptEnd.COMPLETED),
        ("failed", Result.FAILURE, AttemptEnd.COMPLETED),
        ("cancelled", Result.CANCELLATION, AttemptEnd.CANCELLED),
        ("skipped", Result.CANCELLATION, AttemptEnd.CANCELLED),
        ("open", None, None),
        ("processing", None, None),
    ],
)
def test_each_status_has_its_meaning(
    portal: World, reader: Reader, status: str, result: Result | None, ended: AttemptEnd | None
) -> None:
    """Completed, failed and cancelled are ends; open and processing are none yet."""
    portal.task(0, status)

    (attempt,) = reader.run()

    assert (attempt.result, attempt.ended) == (result, ended)


def test_an_unknown_status_is_counted_and_named(portal: World, reader: Reader) -> None:
    """A status that nobody documented → record survives; the unknown value is counted and named."""
    portal.task(0, "paused")

    assert [a.ended for a in reader.run()] == [None]
    assert reader.warnings == ["status 'paused' is not known here; it is taken as not ended"]


@pytest.mark.parametrize(
    ("done", "settings", "side_effects"),
    [
        ((), {}, False),
        (("fetch",), {}, False),
        (("fetch", "publish"), {}, True),
        (("fetch", "publish"), {"harmless": ["fetch:*", "publish:github"]}, False),
    ],
)
def test_a_cancelled_task_had_a_side_effect_once_a_step_left_something(
    portal: World, reader_of: Callable[..., Reader], done: tuple[str, ...], settings: Any, *, side_effects: bool
) -> None:
    """User cancels before a side effect → excluded; after → failed: fetching leaves nothing, publishing does."""
    task = portal.task(0, "cancelled")
    for step in done:
        portal.happens(task["id"], "log", 1, f"Finished step {step}", stepId=step, status="completed")
    portal.happens(task["id"], "log", 1, "Beginning step", stepId="publish", status="processing")

    (attempt,) = reader_of(portal, **settings).run()

    assert attempt.side_effects is side_effects


def test_the_end_of_a_task_without_events_is_its_last_sign_of_life(portal: World, reader: Reader) -> None:
    """Where what happened is gone, the heartbeat tells best when it ended."""
    portal.events[portal.task(10)["id"]].clear()

    assert [a.finished_at for a in reader.run()] == [at(11)]


def test_a_task_that_was_retried_ended_last(portal: World, reader: Reader) -> None:
    """A task that failed and was started again has two ends, of which the later counts."""
    task = portal.task(0, "failed", ended=5)
    portal.end(task, 60, "completed")

    assert [(a.finished_at, a.result) for a in reader.run()] == [(at(60), Result.SUCCESS)]


@pytest.mark.parametrize(
    ("settings", "journey"),
    [
        ({}, "new-service"),
        ({"journeys": {"new-*": "create", "new-service": "other"}}, "create"),
        ({"journeys": {"/.*-db/": "provision-db"}}, "new-service"),
    ],
)
def test_a_journey_is_called_as_the_settings_say(
    portal: World, reader_of: Callable[..., Reader], settings: Any, journey: str
) -> None:
    """The first rule that fits a template's name says what its journey is called; else the name does."""
    portal.task(0)

    assert [a.journey for a in reader_of(portal, **settings).run()] == [journey]


def test_fields_are_found_by_expressions(portal: World, reader_of: Callable[..., Reader]) -> None:
    """What a task is for stands wherever the form of the template put it."""
    portal.task(0)["spec"]["parameters"] = {"db": {"name": "orders", "stage": "production"}, "for": "shop"}

    (attempt,) = reader_of(
        portal, target="parameters.db.name", service="parameters.for", environment="parameters.db.stage"
    ).run()

    assert (attempt.target, attempt.service, attempt.environment) == ("orders", "shop", "production")


@pytest.mark.parametrize(
    ("ref", "settings", "known"),
    [
        ("user:default/Ada", {}, "ada"),
        ("user:default/ada", {"requester": "email"}, PLANTED_MAIL),
        ("plugin:catalog", {}, None),
        (None, {}, None),
    ],
)
def test_a_requester_is_a_user(
    portal: World,
    reader_of: Callable[..., Reader],
    context: SourceContext,
    ref: str | None,
    settings: Any,
    known: str | None,
) -> None:
    """A person, by the name in the catalogue or the address; what another program started has none."""
    task = portal.task(0)
    task["createdBy"] = task["spec"]["user"]["ref"] = ref

    assert [a.requester for a in reader_of(portal, **settings).run()] == [known and context.people.hashed(known)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"createdAt": "yesterday"}, "it has no time; expected one in every task"),
        ({"spec": {"parameters": {}}}, "it has no template; expected one in every task"),
        (
            {"spec": {"parameters": {"name": [1]}, "templateInfo": {"entityRef": "a"}}},
            "`target` is a list or an object",
        ),
    ],
)
def test_a_task_that_cannot_be_used_is_set_aside(portal: World, reader: Reader, change: Any, says: str) -> None:
    """One bad task is named by its id, without what it holds; the others are read."""
    portal.task(0).update(change)
    portal.task(1)

    assert [a.native_id for a in reader.run()] == ["task/task-0002"]
    assert reader.rejected[0].startswith("scaffolder task task-0001: ")
    assert says in reader.rejected[0]


def test_templates_that_nobody_asked_for_are_left_out(portal: World, reader_of: Callable[..., Reader]) -> None:
    """Only tasks of the named templates are read, and only of these is asked when they ended."""
    portal.task(0, template="demo")
    portal.task(1)

    made = reader_of(portal, templates="new-*")

    assert [a.native_id for a in made.run()] == ["task/task-0002"]
    assert [one.path for one in made.api.asked if "events" in one.path] == ["scaffolder/v2/tasks/task-0002/events"]


def test_nobody_is_named(portal: World, reader: Reader) -> None:
    """Names, addresses and what a form was filled in with stay there."""
    portal.task(0, "cancelled")

    told = f"{reader.run()} {reader.cursor}".lower()

    assert [word for word in (PLANTED_NAME, PLANTED_MAIL, PLANTED_LOGIN) if word.lower() in told] == []


# ---- how tasks are read on


def test_pages_are_read_to_the_end(portal: World, reader: Reader) -> None:
    """The newest come first; two full pages and a rest are all read, each task once."""
    for number in range(250):
        portal.task(number)

    assert len({a.native_id for a in reader.run()}) == 250


def test_a_second_run_reads_what_is_new(portal: World, reader: Reader) -> None:
    """A run after the first reads what was created since, and the overlap before it."""
    portal.task(0)
    portal.task(600)
    reader.run()
    portal.task(630)

    assert [native_id for native_id, _ in reader.ends()] == ["task/task-0002", "task/task-0003"]


def test_what_runs_is_read_until_it_ended(portal: World, reader: Reader) -> None:
    """Running → no attempt's end yet, and looked at again until finished, however old it is."""
    task = portal.task(0, "processing")
    portal.task(600)
    first = reader.ends()
    second = reader.ends()
    portal.end(task, 700, "failed")

    assert first[0] == second[0] == ("task/task-0001", None)
    assert reader.ends()[0] == ("task/task-0001", AttemptEnd.COMPLETED)
    assert [native_id for native_id, _ in reader.ends()] == ["task/task-0002"]


def test_what_is_retried_is_met_while_it_runs(portal: World, reader: Reader) -> None:
    """A task that failed long ago and runs again is an attempt under way."""
    old = portal.task(0, "failed")
    portal.task(6000)
    reader.run()
    old |= {"status": "processing"}

    assert reader.ends()[0] == ("task/task-0001", None)


def test_a_task_that_is_gone_is_asked_for_no_more(portal: World, reader: Reader) -> None:
    """Job vanishes → nothing is said of it here, and what was known of it stays."""
    portal.task(0, "processing")
    reader.run()
    portal.tasks.clear()

    assert (reader.ends(), reader.ends()) == ([], [])
    assert [one.path for one in reader.api.asked].count("scaffolder/v2/tasks/task-0001") == 1


def test_an_older_backstage_hands_out_all_at_once(portal: World, reader_of: Callable[..., Reader]) -> None:
    """One that knows no pages and no filter is read whole, and what is older than asked for left out."""
    portal.old = True
    for number in range(150):
        portal.task(number, "processing" if number == 3 else "completed")
    made = reader_of(portal)

    assert (len(made.run()), len(made.api.asked)) == (150, 2 + 149)
    assert {a.native_id for a in made.run()} == {"task/task-0004", *(f"task/task-{n:04}" for n in range(90, 151))}


def test_tasks_in_another_order_are_read_to_the_end(portal: World, reader: Reader) -> None:
    """Where the oldest come first what is new stands at the end: reading does not stop at what is old."""
    for number in range(150):
        portal.task(number)
    rows = list(portal.tasks)
    route = next(i for i, (_, pattern, _) in enumerate(reader.api.routes) if pattern.pattern.endswith("tasks"))
    method, pattern, _ = reader.api.routes[route]
    reader.cursor = '{"streams":{"tasks":{"since":"2026-02-16T03:20:00Z"}}}'
    reader.api.routes[route] = (
        method,
        pattern,
        lambda asked: Reply({"tasks": rows[asked.number("offset", 0) :][:100] if "status" not in asked.query else []}),
    )

    assert min(a.native_id for a in reader.run()) == "task/task-0141"


def test_a_few_tasks_of_an_older_backstage_are_read_once(portal: World, reader_of: Callable[..., Reader]) -> None:
    """The same list for every page is the whole of it."""
    portal.old = True
    portal.task(0)

    assert len(reader_of(portal).run()) == 1


def test_many_tasks_that_run_on_an_older_backstage_are_read_once(
    portal: World, reader_of: Callable[..., Reader]
) -> None:
    """One that knows no pages hands out the same for each: that nothing new comes is the end."""
    portal.old = True
    for number in range(120):
        portal.task(number, "processing")
    made = reader_of(portal)

    assert (len(made.run()), len(made.api.asked)) == (120, 3)


# ---- what comes of it


def test_requests_are_judged_by_what_the_portal_says(portal: World, reader: Reader) -> None:
    """From tasks to the ratio, by hand.

    Good: a failure that was tried again for the same target within the hour is one request, which succeeded. Bad: one
    that failed, one whose retry came after 61 minutes (its first request failed; the second is good), one that never
    ended, which is pending until it expires. Excluded: one that was cancelled before a side effect. So 2 of 5 are good.
    """
    for minutes, status, name in (
        (0, "failed", "a"),
        (10, "completed", "a"),
        (0, "failed", "b"),
        (0, "failed", "c"),
        (66, "completed", "c"),
        (0, "processing", "d"),
        (0, "cancelled", "e"),
    ):
        portal.task(minutes, status)["spec"]["parameters"]["name"] = name

    found = [o for o in observe(PlainEvents(reader.run()), Organisation()) if o.indicator == "self_service_success"]

    count = Counter(str(o.outcome) for o in found)
    assert count == {"good": 2, "bad": 3, "excluded": 1, "pending": 1}


# ---- the catalogue


def test_a_component_is_a_service(portal: World, reader: Reader) -> None:
    """Name, team below its parents, the team's mailbox, the repository and what else deploys it."""
    slug = {"github.com/project-slug": "acme/shop", "argocd/app-name": "shop-prod"}
    portal.entity("Component", "shop", annotations=slug, owner="checkout", type="service", lifecycle="production")
    portal.entity("Group", "checkout", parent="group:commerce", profile={"email": "checkout@teams.example"})
    portal.entity("Group", "commerce")

    assert reader.services == [
        {
            "name": "shop",
            "team": "/commerce/checkout",
            "owner": "checkout@teams.example",
            "deployed_as": ["shop-prod"],
            "repositories": ["acme/shop"],
        }
    ]


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("url:https://github.com/acme/shop/tree/main/", {"repositories": ["acme/shop"]}),
        (
            "url:https://github.com/acme/all/tree/main/services/shop/",
            {"repositories": ["acme/all"], "paths": ["services/shop/*"]},
        ),
        (
            "url:https://gitlab.example.com/acme/sub/all/-/tree/main/shop",
            {"repositories": ["acme/sub/all"], "paths": ["shop/*"]},
        ),
        (
            "url:https://git.example.com/acme/all/src/branch/main/shop/",
            {"repositories": ["acme/all"], "paths": ["shop/*"]},
        ),
        ("url:https://git.example.com/acme/shop.git", {"repositories": ["acme/shop"]}),
        ("dir:./", {}),
    ],
)
def test_the_code_of_a_component_is_where_its_location_says(
    portal: World, reader: Reader, location: str, place: dict[str, Any]
) -> None:
    """A folder of a shared repository is a path; the addresses of forges name their repositories."""
    portal.entity("Component", "shop", annotations={"backstage.io/source-location": location})

    assert reader.services == [{"name": "shop", **place}]


def test_a_part_belongs_to_what_it_is_part_of(portal: World, reader: Reader) -> None:
    """A component that is part of another is no service of its own, over any number of levels; a circle is none."""
    portal.entity("Component", "shop", annotations={"github.com/project-slug": "acme/shop"})
    portal.entity("Component", "web", subcomponentOf="shop", annotations={"github.com/project-slug": "acme/web"})
    portal.entity("Component", "deep", subcomponentOf="component:default/web")
    portal.entity("Component", "left", subcomponentOf="right")
    portal.entity("Component", "right", subcomponentOf="left")

    assert reader.services == [
        {"name": "left"},
        {"name": "right"},
        {"name": "shop", "deployed_as": ["deep", "web"], "repositories": ["acme/shop", "acme/web"]},
    ]


def test_names_that_two_claim_are_nobodys(portal: World, reader: Reader) -> None:
    """Two namespaces may hold one name; an application that two components deploy is neither's."""
    for space in ("default", "asia"):
        portal.entity("Component", "shop", space, annotations={"argocd/app-name": "all"})

    assert reader.services == [{"name": "asia/shop"}, {"name": "default/shop"}]


def test_teams_of_one_name_in_two_namespaces_are_two(portal: World, reader: Reader) -> None:
    """Two groups of one name are told apart by their namespaces."""
    for space in ("default", "asia"):
        portal.entity("Group", "checkout", space)
        portal.entity("Component", f"shop-{space}", space, owner="checkout")

    assert [s["team"] for s in reader.services] == ["/asia/checkout", "/default/checkout"]


def test_what_reads_as_a_rule_fits_nothing_else(portal: World, reader: Reader) -> None:
    """Names and folders with signs of rules: a name is left out, in a folder a sign stands for any one."""
    notes = {"argocd/app-name": "shop*", "backstage.io/kubernetes-id": "/shop"}
    place = {"backstage.io/source-location": "url:https://git.example.com/acme/all/src/branch/main/app/[id]/"}
    portal.entity("Component", "shop", annotations={**notes, **place})

    assert reader.services == [{"name": "shop", "repositories": ["acme/all"], "paths": ["app/?id?/*"]}]


def test_a_team_that_is_an_address_is_left_out(portal: World, reader: Reader) -> None:
    """It would become a label, and name somebody."""
    portal.entity("Group", PLANTED_MAIL)
    portal.entity("Component", "shop", owner=f"group:default/{PLANTED_MAIL}")

    assert reader.services == [{"name": "shop"}]


def test_an_owner_who_is_a_person_is_left_out(portal: World, reader: Reader) -> None:
    """Users are never read, so a component of one has no team."""
    portal.entity("User", PLANTED_LOGIN, profile={"email": PLANTED_MAIL})
    portal.entity("Component", "shop", owner=f"user:default/{PLANTED_LOGIN}")

    assert reader.services == [{"name": "shop"}]
    assert [one.one("filter") for one in reader.api.asked] == ["kind=component", "kind=group"]


@pytest.mark.parametrize("old", [False, True], ids=["by cursor", "by offset"])
def test_large_catalogues_are_read_page_by_page(portal: World, reader_of: Callable[..., Reader], *, old: bool) -> None:
    """Every page of components is read, of an older Backstage too."""
    portal.old = old
    for number in range(450):
        portal.entity("Component", f"c{number:03}", type="service" if number % 2 else "library")

    assert len(reader_of(portal, components="service").services) == 225


def test_lifecycles_choose_what_is_a_service(portal: World, reader_of: Callable[..., Reader]) -> None:
    """What is experimental or retired need not be measured."""
    portal.entity("Component", "shop", lifecycle="production")
    portal.entity("Component", "idea", lifecycle="experimental")

    assert reader_of(portal, lifecycles=["production"]).services == [{"name": "shop"}]


def test_pages_of_a_catalogue_that_never_end_are_refused(portal: World, reader: Reader) -> None:
    """A cursor that comes again is a mistake, not a list."""
    reader.api.routes.clear()
    reader.api.route("catalog/entities/by-query")(lambda _: Reply({"items": [], "pageInfo": {"nextCursor": "again"}}))

    with pytest.raises(ContractError, match="its pages never end"):
        _ = reader.services


def test_a_catalogue_that_is_refused_is_an_error(portal: World, reader_of: Callable[..., Reader]) -> None:
    """Without its token there is no catalogue, and no empty one."""
    with pytest.raises(SourceError, match="answered 401"):
        _ = reader_of(portal, token="another").services  # noqa: S106 - a wrong one


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("shop", Reference("component", "default", "shop")),
        ("Group:asia/Shop", Reference("group", "asia", "Shop")),
        ("user:ada", Reference("user", "default", "ada")),
        ("asia/shop", Reference("component", "asia", "shop")),
    ],
)
def test_a_reference_may_leave_out_its_first_parts(text: str, found: Reference) -> None:
    """Kind and namespace hold where a reference says none."""
    assert reference(text, kind="component") == found
