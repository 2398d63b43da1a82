"""CircleCI against a stand-in: what its answers mean, what is asked again, and what its webhooks deliver."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import openapi
import pytest
from names import PLANTED_LOGIN
from providers.circleci import (
    GITLAB,
    SHOP,
    TOOL,
    World,
    guid,
    job,
    pipeline,
    provider,
    settings,
    sha,
    version,
    workflow,
)
from pydantic import ValidationError
from replay import Reply, Request

from collector.errors import ContractError, SourceError
from collector.events import Deployment, Event, PipelineRun, Result, RunState
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.webhooks import Delivery, Received

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "a secret of the webhooks"  # noqa: S105 - planted
DESCRIBED = Path(__file__).parents[3] / "shared" / "openapi" / "circleci.json"
E = TypeVar("E", bound=Event)


class Api:
    """A stand-in with its world, and runs of a source against it."""

    def __init__(self, context: SourceContext) -> None:
        self.world = World()
        self.provider = provider(self.world)
        self.context = context
        self.slept: list[float] = []

    def pages(self, cursor: str | None = None, *, now: datetime = NOW, **more: Any) -> list[Page]:
        """The pages of a run."""
        wire = Wire(adapter=self.provider, sleep=self.slept.append, chance=lambda: 0.0)
        context = replace(self.context, wire=wire, clock=lambda: now)
        return list(settings(**more).build(context).pull(cursor))

    def read(self, kind: type[E], cursor: str | None = None, **more: Any) -> dict[str, E]:
        """The newest events of a kind by their ids."""
        events = chain.from_iterable(page.events for page in self.pages(cursor, **more))
        return {e.native_id: e for e in events if isinstance(e, kind)}

    def named(self, cursor: str | None = None, **more: Any) -> list[tuple[str, Result | None]]:
        """What runs are called and how they ended, in order."""
        runs = self.read(PipelineRun, cursor, **more).values()
        return sorted(((r.pipeline, r.result) for r in runs), key=str)

    def asked(self, *words: str) -> list[Request]:
        """The requests whose path ends so."""
        return [request for request in self.provider.asked if request.path.endswith(words)]

    def only(self, *workflows: dict[str, Any], **more: Any) -> None:
        """Let the world hold one pipeline with these workflows."""
        self.world.pipelines = {SHOP: [pipeline(2, "2026-02-20T08:00:00Z", **more)], TOOL: []}
        self.world.workflows = {guid("pipeline 2"): list(workflows)}


@pytest.fixture
def api(context: SourceContext) -> Api:
    """A stand-in."""
    return Api(context)


@pytest.fixture
def deliver(context: SourceContext) -> Callable[..., Received]:
    """Hands a webhook over."""

    def send(body: Any, **more: Any) -> Received:
        receiver = settings(webhook_secret=SECRET, **more).receiver(context)
        assert receiver is not None
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return receiver.read(Delivery(headers={}, body=raw, received_at=NOW))

    return send


TEST = "2026-02-20T08:00:01.5Z"
RELEASE = "2026-02-20T08:00:02Z"
ENDED = "2026-02-20T08:30:00Z"
PLAIN: dict[str, Any] = {"own_deployments": False, "deployments": [], "projects": [SHOP]}
MARKERS: dict[str, Any] = {"own_deployments": True, "deployments": [], "projects": [SHOP]}


# ---- runs


@pytest.mark.parametrize(
    ("status", "state", "result"),
    [
        ("success", RunState.COMPLETED, Result.SUCCESS),
        ("failed", RunState.COMPLETED, Result.FAILURE),
        ("error", RunState.COMPLETED, Result.ERROR),
        ("canceled", RunState.COMPLETED, Result.CANCELLATION),
        ("not_run", RunState.COMPLETED, Result.SKIP),
        ("unauthorized", RunState.COMPLETED, Result.SKIP),
        ("running", RunState.EXECUTING, None),
        ("failing", RunState.EXECUTING, None),
        ("on_hold", RunState.PENDING, None),
    ],
)
def test_each_status_of_a_workflow_has_its_meaning(
    api: Api, status: str, state: RunState, result: Result | None
) -> None:
    """Cancelled and not run are no failures, `failing` has not ended, and `on_hold` waits for somebody."""
    api.only(workflow("test", status, TEST, ENDED))

    [run] = api.read(PipelineRun, **PLAIN).values()

    assert (run.state, run.result) == (state, result)


def test_a_run_says_what_its_workflow_and_pipeline_do(api: Api, context: SourceContext) -> None:
    """Name and times are those of the workflow; repository, commit, branch and person those of the pipeline."""
    one = guid(f"workflow test {TEST}")
    run = api.read(PipelineRun)[f"workflow/{one}"]

    assert (run.repository, run.pipeline, run.sha, run.ref) == ("acme/shop", "test", sha("c"), "main")
    assert run.created_at == datetime(2026, 2, 20, 8, 0, 1, 500000, tzinfo=UTC)
    assert run.finished_at == datetime(2026, 2, 20, 8, 5, tzinfo=UTC)
    assert (run.actor, run.bot) == (context.people.hashed(PLANTED_LOGIN), False)
    assert run.url == f"https://app.circleci.com/pipelines/github/acme/shop/2/workflows/{one}"


def test_a_workflow_that_is_run_again_is_another_run(api: Api) -> None:
    """A run again is a new workflow of the same pipeline: both are there."""
    assert api.named(projects=[SHOP]) == [
        ("nightly", None),
        ("release", Result.SUCCESS),
        ("test", Result.CANCELLATION),
        ("test", Result.FAILURE),
        ("test", Result.SUCCESS),
        ("test", None),
    ]


def test_a_run_without_creation_or_end_is_kept(api: Api) -> None:
    """A run without a creation time is there, and its time is absent: ten in, ten out."""
    bare = [workflow(f"w{n}", "success", TEST, None, created_at=...) for n in range(9)]
    api.only(*({**w, "id": guid(w["name"])} for w in bare), workflow("test", "success", TEST, ENDED))

    runs = api.read(PipelineRun, **PLAIN)

    assert len(runs) == 10
    assert {r.created_at for r in runs.values()} == {None, datetime(2026, 2, 20, 8, 0, 1, 500000, tzinfo=UTC)}


def test_null_users_and_unknown_states_survive(api: Api) -> None:
    """A pipeline that nobody started, and a new state: the record survives, and the unknown value is named."""
    pages = api.pages()

    assert guid("workflow test 2026-02-21T08:00:01Z") in {
        e.native_id.partition("/")[2] for page in pages for e in page.events
    }
    assert [w for page in pages for w in page.warnings] == [
        "status of a workflow 'teleported' is not known here; it is taken as pending"
    ]


def test_a_broken_workflow_is_set_aside(api: Api) -> None:
    """One that is not as documented is rejected by its id, and the others survive."""
    api.only(workflow("test", "success", TEST, ENDED), workflow("lint", "success", "yesterday", ENDED))

    pages = api.pages(**PLAIN)

    assert [r.reason for page in pages for r in page.rejected] == [
        "it is not as documented: Invalid RFC3339 encoded datetime - at `$.created_at`"
    ]
    assert len([e for page in pages for e in page.events]) == 1


def test_what_a_schedule_starts_is_nobodys(api: Api) -> None:
    """A scheduled pipeline carries the login of whoever wrote the schedule, who did not start it."""
    trigger = {"type": "scheduled_pipeline", "received_at": TEST, "actor": {"login": PLANTED_LOGIN, "avatar_url": ""}}
    api.only(workflow("nightly", "success", TEST, ENDED), trigger=trigger)

    [run] = api.read(PipelineRun, **PLAIN).values()

    assert run.bot


def test_a_project_on_another_host_is_called_by_its_repository(api: Api) -> None:
    """A slug of ids says nothing to people: the repository is what the trigger checked out."""
    [run] = api.read(PipelineRun, projects=[TOOL], own_deployments=False).values()

    assert (run.repository, run.sha, run.ref) == ("acme/deep/tool", sha("d"), "main")


def test_a_pipeline_that_names_no_repository_is_called_by_its_project(api: Api) -> None:
    """A pipeline that a webhook started checks out nothing that it names: the project's own name is asked for, once."""
    bare = [pipeline(n, "2026-02-23T08:00:00Z", TOOL, vcs=..., trigger_parameters={}) for n in (5, 6)]
    api.world.pipelines[TOOL] = bare
    api.world.workflows[guid("pipeline 6")] = [workflow("test", "success", RELEASE, ENDED)]

    runs = api.read(PipelineRun, projects=[TOOL], own_deployments=False)

    assert {r.repository for r in runs.values()} == {"acme/tool"}
    assert len([r for r in api.provider.asked if r.path == f"project/{TOOL.replace('/', '%2F')}"]) == 1


# ---- deployments by rules


def test_the_deploying_job_decides(api: Api) -> None:
    """A job that deploys is a deployment at its own end; a job that was not run is none."""
    found = api.read(Deployment, own_deployments=False)

    assert [(d.service, d.environment, d.result, d.sha) for d in found.values()] == [
        ("web", "production", Result.SUCCESS, sha("c"))
    ]
    [deployment] = found.values()
    assert deployment.finished_at == datetime(2026, 2, 20, 8, 25, 0, 750000, tzinfo=UTC)
    assert deployment.pipeline_run_native_id == f"workflow/{guid(f'workflow release {RELEASE}')}"


def test_an_approval_deploys_nothing(api: Api) -> None:
    """A job that a person approves is called like those that deploy: it is no deployment."""
    assert "approved" not in {d.service for d in api.read(Deployment, own_deployments=False).values()}


def test_a_job_that_is_carried_over_deploys_once(api: Api) -> None:
    """A run from the failed job on shows the jobs that had succeeded before once more: nothing was deployed again."""
    again = workflow("release", "success", "2026-02-20T09:00:00Z", "2026-02-20T09:30:00Z")
    first = api.world.workflows[guid("pipeline 2")][1]
    api.only(first, again)
    api.world.jobs[again["id"]] = [
        job("deploy-web", "success", "2026-02-20T08:20:00Z", "2026-02-20T08:25:00Z", id=guid("another id")),
        job("deploy-api", "success", "2026-02-20T09:20:00Z", "2026-02-20T09:25:00Z"),
    ]

    found = api.read(Deployment, own_deployments=False)

    assert sorted(d.service for d in found.values()) == ["api", "web"]


@pytest.mark.parametrize(
    ("status", "results"),
    [
        ("failed", [Result.FAILURE]),
        ("timedout", [Result.TIMEOUT]),
        ("infrastructure_fail", [Result.ERROR]),
        ("canceled", []),
        ("unauthorized", []),
        ("retried", []),
        ("on_hold", []),
        ("running", []),
    ],
)
def test_each_status_of_a_job_has_its_meaning(api: Api, status: str, results: list[Result]) -> None:
    """Cancelled, retried and refused jobs are neither success nor failure, and one under way is none yet."""
    release = guid(f"workflow release {RELEASE}")
    api.world.jobs = {release: [job("deploy-web", status, "2026-02-20T08:20:00Z", "2026-02-20T08:25:00Z")]}

    assert [d.result for d in api.read(Deployment, own_deployments=False).values()] == results


def test_a_run_whose_jobs_are_known_starts_with_the_first(api: Api) -> None:
    """A workflow does not tell its start: its first job does, where jobs are read; else it is absent."""
    runs = {r.pipeline: r for r in api.read(PipelineRun, projects=[SHOP]).values()}

    assert runs["release"].started_at == datetime(2026, 2, 20, 8, 1, tzinfo=UTC)
    assert runs["test"].started_at is None


def test_jobs_are_asked_for_where_a_rule_may_take_one(api: Api) -> None:
    """A rule for the jobs of one pipeline costs requests for its workflows alone."""
    api.pages()

    assert len(api.asked("/job")) == 1


def test_a_rule_for_whole_workflows_needs_no_jobs(api: Api) -> None:
    """A workflow that deploys as a whole is known from itself."""
    found = api.read(Deployment, own_deployments=False, deployments=[{"pipeline": "release"}])

    assert [(d.service, d.environment) for d in found.values()] == [("shop", "production")]
    assert api.asked("/job") == []


# ---- deploy markers


def test_deploy_markers_are_deployments_of_their_component(api: Api) -> None:
    """A marker says which version went where and when; its pipeline says of which commit."""
    found = api.read(Deployment, **MARKERS)

    assert [(d.service, d.environment, d.version) for d in found.values()] == [
        ("web", "production", "1.4.0"),
        ("web", "production", "1.3.0"),
    ]
    [newest, _] = found.values()
    assert (newest.repository, newest.sha, newest.ref) == ("acme/shop", sha("c"), "main")
    assert newest.finished_at == datetime(2026, 2, 20, 8, 25, tzinfo=UTC)


def test_a_marker_whose_pipeline_is_gone_counts_without_a_commit(api: Api) -> None:
    """A deployment whose commit is unknown counts, and says so."""
    [_, older] = api.read(Deployment, **MARKERS).values()

    assert (older.repository, older.sha, older.service) == (None, None, "web")


def test_a_version_that_is_deployed_again_is_another_deployment(api: Api) -> None:
    """A redeploy of the same version is a deployment of its own."""
    first = api.read(Deployment, **MARKERS)
    api.world.versions[guid("web")][0]["last_deployed_at"] = "2026-02-25T08:25:00Z"

    assert len(first | api.read(Deployment, **MARKERS)) == 3


def test_known_markers_are_not_asked_for_again(api: Api) -> None:
    """A second run asks for the pipelines of what is new, and of the overlap."""
    cursor = api.pages(**MARKERS)[-1].cursor
    api.provider.asked.clear()

    assert len(api.read(Deployment, cursor, **MARKERS)) == 1


def test_a_rule_for_an_environment_names_service_and_place(api: Api) -> None:
    """What the system deployed is called as a rule says."""
    rule = {"environment": "production", "service": "storefront", "to": "eu"}

    found = api.read(Deployment, own_deployments=True, deployments=[rule], projects=[SHOP])

    assert {(d.service, d.environment) for d in found.values()} == {("storefront", "eu")}


def test_two_components_of_a_project_are_two_services(api: Api) -> None:
    """Two services built from one commit are two deployments of two services, never one name twice."""
    api.world.components.append({**api.world.components[0], "id": guid("api"), "name": "api"})
    api.world.versions[guid("api")] = [version("1.4.0", "production", "2026-02-20T08:25:00Z", 2)]

    assert {d.service for d in api.read(Deployment, **MARKERS).values()} == {"web", "api"}


def test_versions_that_are_not_handed_out_are_reported(api: Api) -> None:
    """The list of versions takes no page token: that there are more is said."""
    api.world.versions_go_on = True

    assert [t for page in api.pages(**MARKERS) for t in page.truncations] == [
        f"component {guid('web')}: only the first page of its versions is handed out"
    ]


def test_a_version_without_a_time_is_set_aside(api: Api) -> None:
    """When it was deployed is not guessed."""
    api.world.versions[guid("web")] = [version("2.0.0", "production", None, 2)]

    assert [r.reason for page in api.pages(**MARKERS) for r in page.rejected] == [
        "it does not say when it was deployed"
    ]


def test_a_server_without_deploy_markers_is_read(api: Api) -> None:
    """An older server answers 404: the runs are there, and what is missing is said."""
    api.provider.routes = [route for route in api.provider.routes if "deploy" not in route[1].pattern]

    pages = api.pages(**MARKERS)

    assert len([e for page in pages for e in page.events if isinstance(e, PipelineRun)]) == 6
    assert ["deployments of gh/acme/shop" in t for page in pages for t in page.truncations] == [True]


# ---- organisations


def test_an_organisation_is_read_as_a_whole(api: Api) -> None:
    """All projects of an organisation come in one list, with the deploy markers of all its components."""
    more: dict[str, Any] = {"projects": [], "organisations": ["github/acme"], "deployments": []}

    events = [e for page in api.pages(**more) for e in page.events]

    assert {e.repository for e in events if isinstance(e, PipelineRun)} == {"acme/shop", "acme/deep/tool"}
    assert len([e for e in events if isinstance(e, Deployment)]) == 2
    assert {r.one("org-slug") for r in api.provider.asked if r.path == "pipeline"} == {"github/acme"}


def test_an_organisation_that_is_full_is_reported(api: Api) -> None:
    """The list covers 250 projects: where it holds as many, that others may be missing is said."""
    api.world.pipelines = {f"gh/acme/p{n}": [pipeline(n, "2026-02-20T08:00:00Z", f"gh/acme/p{n}")] for n in range(250)}
    api.provider = provider(api.world, most=250)

    pages = api.pages(projects=[], organisations=["gh/acme"], own_deployments=False)

    assert [t for page in pages for t in page.truncations] == [
        "pipeline: the list ends at 250 projects; name others under `projects`"
    ]


def test_an_organisation_of_somebody_else_is_reported(api: Api) -> None:
    """Deploy markers need the organisation's id, which only its members are told."""
    pages = api.pages(projects=[], organisations=["gh/other"], own_deployments=True)

    assert ["the token's user is in no organisation 'gh/other'" in t for page in pages for t in page.truncations] == [
        True
    ]


# ---- how it is asked


def test_every_page_is_read(api: Api) -> None:
    """Two pipelines on a page, two workflows on a page: everything is read."""
    numbers = range(10, 17)
    api.world.pipelines[SHOP] = [pipeline(n, f"2026-02-20T08:00:{n}Z") for n in numbers]
    api.world.workflows = {
        guid(f"pipeline {n}"): [workflow(f"w{n}-{m}", "success", TEST, ENDED) for m in range(3)] for n in numbers
    }

    assert len(api.read(PipelineRun, **PLAIN)) == 21


def test_reading_ends_at_the_horizon(api: Api) -> None:
    """What is older than `history` is not read, and the page after it is not asked for."""
    old = [pipeline(n, f"2025-12-{n}T08:00:00Z") for n in range(10, 20)]
    api.world.pipelines[SHOP] += old

    api.pages(**PLAIN)

    assert len(api.asked("/pipeline")) == 3


def test_a_second_run_stops_at_what_it_knows(api: Api) -> None:
    """New pipelines and those of the overlap are read, and nothing below."""
    api.world.pipelines[SHOP] = [pipeline(n, f"2026-02-{n}T08:00:00Z") for n in range(10, 20)]
    api.world.workflows = {}
    cursor = api.pages(**PLAIN)[-1].cursor
    api.provider.asked.clear()

    api.pages(cursor, **PLAIN)

    assert (len(api.asked("/pipeline")), len(api.asked("/workflow"))) == (2, 1)


def test_a_run_under_way_is_looked_at_until_it_has_ended(api: Api) -> None:
    """The cursor passes it, and it is asked for by its id until it has ended."""
    cursor = api.pages(**PLAIN, overlap="1m")[-1].cursor
    api.world.pipelines[SHOP].append(pipeline(9, "2026-02-25T08:00:00Z"))
    cursor = api.pages(cursor, **PLAIN, overlap="1m")[-1].cursor
    held = api.world.workflows[guid("pipeline 4")]
    held[:] = [workflow("test", "success", "2026-02-22T08:00:01Z", "2026-02-22T08:40:00Z")]

    first = api.named(cursor, **PLAIN, overlap="1m")
    cursor = api.pages(cursor, **PLAIN, overlap="1m")[-1].cursor
    after = api.named(cursor, **PLAIN, overlap="1m")

    assert (first, after) == ([("test", Result.SUCCESS)], [])


def test_what_waits_for_long_is_looked_at_once_a_day(api: Api) -> None:
    """A workflow that nobody approves is asked for at each run while it is young, and daily when it is old."""
    api.world.pipelines[SHOP].append(pipeline(9, "2026-03-01T08:00:00Z"))
    cursor = api.pages(**PLAIN)[-1].cursor
    api.provider.asked.clear()

    cursor = api.pages(cursor, **PLAIN, reruns="1d", now=NOW + timedelta(hours=1))[-1].cursor
    soon = len([r for r in api.provider.asked if r.path == f"pipeline/{guid('pipeline 4')}"])
    api.pages(cursor, **PLAIN, reruns="1d", now=NOW + timedelta(days=1))
    later = len([r for r in api.provider.asked if r.path == f"pipeline/{guid('pipeline 4')}"])

    assert (soon, later) == (0, 1)


def test_a_workflow_that_is_run_again_later_is_found(api: Api) -> None:
    """Once a day the last days are read whole: a run again of an old pipeline is there then."""
    cursor = api.pages(**PLAIN)[-1].cursor
    again = workflow("test", "success", "2026-03-02T10:00:00Z", "2026-03-02T10:05:00Z")
    api.world.workflows[guid("pipeline 3")].append(again)

    soon = api.read(PipelineRun, cursor, **PLAIN, now=NOW + timedelta(hours=2))
    next_day = api.read(PipelineRun, cursor, **PLAIN, now=NOW + timedelta(days=1))

    assert (f"workflow/{again['id']}" in soon, f"workflow/{again['id']}" in next_day) == (False, True)


def test_a_pipeline_whose_workflows_are_still_to_come_is_read_again(api: Api) -> None:
    """Created, still building: it has no workflow yet, and is looked at again by its id."""
    api.only(state="setup-pending")
    api.world.pipelines[SHOP].append(pipeline(9, "2026-02-25T08:00:00Z"))
    cursor = api.pages(**PLAIN)[-1].cursor
    api.world.workflows[guid("pipeline 2")] = [workflow("test", "success", TEST, ENDED)]

    assert api.named(cursor, **PLAIN) == [("test", Result.SUCCESS)]


def test_an_interrupted_pass_goes_on_at_its_page(api: Api) -> None:
    """A first read may take longer than a quota: it goes on at the page where it stopped, not at the first."""
    api.world.pipelines[SHOP] = [pipeline(n, f"2026-02-{n}T08:00:00Z") for n in range(10, 20)]
    api.world.workflows = {}
    second = api.pages(**PLAIN)[1].cursor
    api.provider.asked.clear()

    api.pages(second, **PLAIN)

    assert api.asked("/pipeline")[0].one("page-token") == "AARLw4"


def test_a_page_token_that_is_not_known_any_more_is_reported(api: Api) -> None:
    """The server refuses its own token: what is missing is said, and the next run begins again."""
    cursor = json.loads(api.pages(**PLAIN)[0].cursor)
    cursor["streams"][f"pipelines of {SHOP}"]["after"] = "gone"

    pages = api.pages(json.dumps(cursor), **PLAIN)

    assert ["its own next page" in t for page in pages for t in page.truncations] == [True]
    assert [t for page in pages for t in page.warnings if "begins again" in t]
    assert len(api.read(PipelineRun, pages[-1].cursor, **PLAIN)) == 6


def test_a_page_token_that_is_refused_again_and_again_ends_the_list(api: Api) -> None:
    """A first read ends in a finite number of runs, and says what it leaves out; later ones read on from there."""
    api.world.pipelines[SHOP] = [pipeline(n, f"2026-02-{n}T08:00:00Z") for n in range(10, 20)]
    api.world.workflows = {}
    method, path, handler = api.provider.routes[0]
    lost = Reply({"message": "Not Found"}, status=404)
    api.provider.routes[0] = (method, path, lambda a, **m: lost if a.one("page-token") == "AARLw6" else handler(a, **m))

    first = api.pages(**PLAIN)
    second = api.pages(first[-1].cursor, **PLAIN)
    third = api.pages(second[-1].cursor, **PLAIN)

    assert any("what is older is not handed out" in t for page in second for t in page.truncations)
    assert [t for page in third for t in page.truncations] == []
    assert '"since":"2026-02-19' in third[-1].cursor


def test_what_waits_does_not_keep_a_long_first_read_from_going_on(api: Api) -> None:
    """Pipelines that had not ended are asked for by their ids when a pass is over, not each time that it goes on."""
    cursor = api.pages(**PLAIN)[0].cursor
    api.provider.asked.clear()

    api.pages(cursor, **PLAIN)

    assert api.asked(f"pipeline/{guid('pipeline 4')}") == []


def test_what_waits_for_ever_is_given_up(api: Api) -> None:
    """A workflow that nobody approves is not asked for after 90 days."""
    cursor = api.pages(**PLAIN)[-1].cursor
    api.world.pipelines[SHOP].append(pipeline(9, "2026-05-30T08:00:00Z"))
    later = NOW + timedelta(days=91)
    cursor = api.pages(cursor, **PLAIN, now=later)[-1].cursor
    api.provider.asked.clear()

    cursor = api.pages(cursor, **PLAIN, now=later + timedelta(days=1))[-1].cursor

    assert api.asked(f"pipeline/{guid('pipeline 4')}") == []
    assert guid("pipeline 4") not in cursor


def test_a_page_that_names_itself_is_an_error(api: Api) -> None:
    """A list whose pages never end is named."""
    endless = Reply({"items": [pipeline(2, "2026-02-20T08:00:00Z")], "next_page_token": "AARLw2"})
    method, path, _ = api.provider.routes[0]
    api.provider.routes.insert(0, (method, path, lambda *_, **__: endless))

    with pytest.raises(ContractError, match="its pages never end"):
        api.pages(**PLAIN)


def test_a_pipeline_that_vanishes_costs_itself(api: Api) -> None:
    """Deleted between the list and its workflows: it is named as missing, and the others are there."""
    gone = Reply({"message": "Pipeline not found"}, status=404)
    path = re.compile(f"pipeline/{guid('pipeline 3')}/workflow")
    api.provider.routes.insert(0, ("GET", path, lambda *_, **__: gone))

    pages = api.pages(**PLAIN)

    assert [t for page in pages for t in page.truncations] == [f"pipeline {guid('pipeline 3')}: its workflows are gone"]
    assert len([e for page in pages for e in page.events]) == 5


def test_a_project_that_is_gone_costs_itself(api: Api) -> None:
    """Another project is unknown to the server: it is reported as cut off, and the first one is read."""
    pages = api.pages(projects=[SHOP, "gh/acme/gone"], own_deployments=False)

    assert ["pipelines of gh/acme/gone" in t for page in pages for t in page.truncations] == [True]
    assert len([e for page in pages for e in page.events if isinstance(e, PipelineRun)]) == 6


def test_all_projects_gone_is_an_error(api: Api) -> None:
    """Nothing that could be read must not look like no data."""
    with pytest.raises(SourceError, match="answered 404"):
        api.pages(projects=["gh/acme/gone"], own_deployments=False)


def test_a_limit_is_waited_for(api: Api) -> None:
    """429 with `Retry-After`: the wait is the server's, and the run goes on."""
    api.provider.faults = {3: Reply({"message": "Too many requests"}, status=429, headers={"Retry-After": "9"})}

    api.pages()

    assert api.slept == [9.0]


def test_the_slashes_of_a_slug_are_part_of_one_name(api: Api) -> None:
    """A slug is one part of the path, and the token stands in its own header."""
    api.pages(projects=[SHOP])

    assert api.provider.asked[0].path == "project/gh%2Facme%2Fshop/pipeline"
    assert {r.headers["circle-token"] for r in api.provider.asked} == {"t0ken-of-the-sample"}


def test_what_it_costs_is_what_it_says(api: Api) -> None:
    """40 pipelines in pages of 20 cost two pages and the workflows of each."""
    api.world.pipelines[SHOP] = [pipeline(n, "2026-02-20T08:00:00Z") for n in range(40)]
    api.world.workflows = {}
    api.provider = provider(api.world, most=20)

    api.pages(**PLAIN)

    assert (len(api.asked("/pipeline")), len(api.asked("/workflow"))) == (2, 40)


def _as_documented(world: World) -> None:
    """Leave what the description has no place for: times that are null, nobody, states of tomorrow."""
    world.pipelines[SHOP][2] = pipeline(3, "2026-02-21T08:00:00Z")
    world.workflows[guid("pipeline 4")] = [workflow("test", "success", "2026-02-22T08:00:01Z", ENDED)]
    world.jobs = {one: [j for j in jobs if j["started_at"]] for one, jobs in world.jobs.items()}


@pytest.mark.skipif(not DESCRIBED.is_file(), reason="the provider's description is not here")
@pytest.mark.parametrize("organisations", [[], ["gh/acme"]])
def test_what_is_asked_and_answered_is_as_described(api: Api, organisations: list[str]) -> None:
    """Each request of a run is one that the published description knows, and so is each answer of the stand-in."""
    _as_documented(api.world)
    api.pages(organisations=organisations)

    found = {
        violation
        for asked in api.provider.asked
        for violation in openapi.check(DESCRIBED, asked, _reply(api, asked).status, _reply(api, asked).bytes())
        if "None is not of type 'string'" not in violation  # the last token of a list is null, whatever is described
    }

    assert found == set()
    assert len(api.provider.asked) > 10


def _reply(api: Api, asked: Request) -> Reply:
    return api.provider._reply(asked)


# ---- settings


def test_something_must_be_named(context: SourceContext) -> None:
    """Neither a project nor an organisation is a mistake at a setting."""
    [mistake] = settings(projects=[]).check(context)

    assert (mistake.path, mistake.expected) == ("projects", "`projects`, `organisations` or both")


@pytest.mark.parametrize("slug", ["shop", "acme/shop", "gh/acme/shop/more"])
def test_a_slug_has_three_parts(slug: str) -> None:
    """What is no slug is refused at start."""
    with pytest.raises(ValidationError, match="projects"):
        settings(projects=[slug])


def test_a_server_is_looked_at_where_it_is(api: Api) -> None:
    """The pages of a server of one's own are on that server."""
    api.provider.base = "https://ci.example/api/v2"

    runs = api.read(PipelineRun, **PLAIN, url="https://ci.example/api/v2")

    assert {(r.url or "").partition("/pipelines/")[0] for r in runs.values()} == {"https://ci.example"}


# ---- webhooks


def delivered(kind: str = "workflow-completed", **more: Any) -> dict[str, Any]:
    """What CircleCI sends of the release of the sample."""
    found = {
        "id": guid("delivery"),
        "type": kind,
        "happened_at": "2026-02-20T08:30:00.317Z",
        "webhook": {"id": guid("webhook"), "name": "Paceline"},
        "project": {"id": guid(SHOP), "name": "shop", "slug": "github/acme/shop"},
        "organization": {"id": guid("acme"), "name": "acme"},
        "workflow": {
            "id": guid(f"workflow release {RELEASE}"),
            "name": "release",
            "created_at": RELEASE,
            "stopped_at": ENDED,
            "url": "https://app.circleci.com/pipelines/github/acme/shop/2/workflows/7",
            "status": "success",
        },
        "pipeline": {
            "id": guid("pipeline 2"),
            "number": 2,
            "created_at": "2026-02-20T08:00:00.123Z",
            "trigger": {"type": "webhook"},
            "vcs": {
                "provider_name": "github",
                "origin_repository_url": "https://github.com/acme/shop",
                "target_repository_url": "https://github.com/acme/shop",
                "revision": sha("c"),
                "branch": "main",
            },
        },
        **more,
    }
    return {name: value for name, value in found.items() if value is not ...}


DEPLOYED = {
    "id": guid("job deploy-web 2026-02-20T08:20:00Z"),
    "name": "deploy-web",
    "started_at": "2026-02-20T08:20:00Z",
    "stopped_at": "2026-02-20T08:25:00.75Z",
    "status": "success",
    "number": 136,
}


@pytest.mark.parametrize(
    ("prefix", "secret", "genuine"),
    [("v1=", SECRET, True), ("v2=0000,v1=", SECRET, True), ("", SECRET, False), ("v1=", "another secret", False)],
)
def test_a_webhook_is_known_by_its_signature(
    context: SourceContext, prefix: str, secret: str, *, genuine: bool
) -> None:
    """The signature is over the raw body; of several versions the known one counts."""
    receiver = settings(webhook_secret=SECRET).receiver(context)
    body = b'{"type": "ping" }'
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    delivery = Delivery(headers={"circleci-signature": f"{prefix}{digest}"}, body=body, received_at=NOW)

    assert receiver is not None
    assert receiver.is_genuine(delivery) is genuine


def test_a_webhook_without_a_signature_is_not_genuine(context: SourceContext) -> None:
    """Nothing is read of what nobody signed."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert not receiver.is_genuine(Delivery(headers={}, body=b"{}", received_at=NOW))


def test_without_a_secret_nothing_is_received(context: SourceContext) -> None:
    """Write endpoints are closed unless a secret is set."""
    assert settings().receiver(context) is None


@pytest.mark.parametrize("pushed_first", [True, False])
def test_a_pushed_run_is_the_polled_one(
    api: Api, deliver: Callable[..., Received], bench: Any, *, pushed_first: bool
) -> None:
    """The same workflow by webhook and by polling is one run, and what polling knows beyond it stays."""
    polled = {r.pipeline: r for r in api.read(PipelineRun, projects=[SHOP]).values()}["release"]
    [pushed] = deliver(delivered()).events

    for event in (pushed, polled) if pushed_first else (polled, pushed):
        bench.write(event)

    assert list(bench.store.events(PipelineRun)) == [polled]


@pytest.mark.parametrize("pushed_first", [True, False])
def test_a_pushed_deployment_is_the_polled_one(
    api: Api, deliver: Callable[..., Received], bench: Any, *, pushed_first: bool
) -> None:
    """The same deploying job by webhook and by polling is one deployment."""
    [polled] = api.read(Deployment, own_deployments=False).values()
    [pushed] = deliver(delivered("job-completed", job=DEPLOYED)).events

    for event in (pushed, polled) if pushed_first else (polled, pushed):
        bench.write(event)

    assert list(bench.store.events(Deployment)) == [polled]


def test_a_workflow_that_a_rule_takes_deploys_when_it_is_pushed(deliver: Callable[..., Received]) -> None:
    """A workflow that deploys as a whole is a deployment at once."""
    received = deliver(delivered(), deployments=[{"pipeline": "release"}])

    assert [type(e) for e in received.events] == [PipelineRun, Deployment]


def test_a_pushed_run_of_another_host_is_called_by_its_repository(deliver: Callable[..., Received]) -> None:
    """A slug of ids says nothing: the repository is what the trigger checked out."""
    project = {"id": guid(TOOL), "name": "tool", "slug": TOOL}
    pushed = {"id": guid("pipeline 5"), "number": 5, "trigger": {"type": "gitlab"}, "trigger_parameters": GITLAB}

    [run] = deliver(delivered(project=project, pipeline=pushed)).events

    assert isinstance(run, PipelineRun)
    assert (run.repository, run.sha, run.ref) == ("acme/deep/tool", sha("d"), "main")


def test_a_pushed_run_that_names_no_repository_is_called_by_its_project(deliver: Callable[..., Received]) -> None:
    """Where the pipeline names nothing, organisation and project do, as when it is polled."""
    project = {"id": guid(TOOL), "name": "tool", "slug": TOOL}
    pushed = {"id": guid("pipeline 5"), "number": 5, "trigger": {"type": "custom_webhook"}}

    [run] = deliver(delivered(project=project, pipeline=pushed)).events

    assert isinstance(run, PipelineRun)
    assert run.repository == "acme/tool"


def test_a_job_that_no_rule_takes_says_so(deliver: Callable[..., Received]) -> None:
    """Nothing comes of a job that deploys nothing, and the answer says why."""
    received = deliver(delivered("job-completed", job={**DEPLOYED, "name": "lint"}))

    assert (list(received.events), received.ignored) == ([], "no rule takes this job")


@pytest.mark.parametrize("missing", ["workflow", "pipeline"])
def test_a_webhook_that_cannot_be_used_is_rejected(deliver: Callable[..., Received], missing: str) -> None:
    """A kind that is read and does not say enough is kept and listed, rather than answered 200 and gone."""
    received = deliver(delivered("workflow-completed", **{missing: ...}))

    assert (list(received.events), len(received.rejected), received.ignored) == ([], 1, "")


def test_other_kinds_are_ignored_by_name(deliver: Callable[..., Received]) -> None:
    """An event of a kind that is not read says which."""
    assert deliver(delivered("ping")).ignored == "events of the kind 'ping' are not read"


def test_the_same_delivery_has_the_same_id(deliver: Callable[..., Received]) -> None:
    """A replay does nothing: CircleCI's own id of an event tells that it came again."""
    assert deliver(delivered()).id == guid("delivery")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id": "1"}', b"<html>"])
def test_a_body_that_is_no_webhook_is_an_error(deliver: Callable[..., Received], body: bytes) -> None:
    """What names no event is no webhook."""
    with pytest.raises(ContractError, match="no webhook as documented"):
        deliver(body)
