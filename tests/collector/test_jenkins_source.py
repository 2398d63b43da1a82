"""The `jenkins` source: jobs in folders, builds by ranges, stages, notifications; against a stand-in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from names import PLANTED_LOGIN
from openapi import check
from providers.jenkins import (
    HOUR,
    LIBRARY,
    SHOP,
    START,
    TOLD,
    Job,
    World,
    build,
    build_data,
    bulk,
    config,
    controller,
    queued,
    small_world,
    stage,
    started_by,
)
from replay import Provider, Reply

from collector.errors import ContractError, RetryableError
from collector.events import Deployment, Event, PipelineRun, Result, RunState
from collector.http import Answer, Wire
from collector.remotes import repository_of
from collector.source import Page, SourceContext
from collector.systems.jenkins.shapes import Build
from collector.webhooks import Delivery, Received

SHA = "a" * 40
RUN = "org.jenkinsci.plugins.workflow.job.WorkflowRun"
DESCRIBED = Path(__file__).parents[3] / "shared" / "openapi" / "jenkins.json"
SECRET = "a-secret-of-webhooks"  # noqa: S105 - planted


class Desk:
    """A controller, and runs of a source over it."""

    def __init__(self, context: SourceContext, world: World) -> None:
        self.world = world
        self.provider: Provider = controller(world)
        wire = Wire(adapter=self.provider, sleep=lambda _: None, chance=lambda: 0.0)
        self.context = replace(context, wire=wire)
        self.cursor: str | None = None

    def pages(self, **settings: Any) -> list[Page]:
        """One run from where the last one stopped."""
        found = list(config(**settings).build(self.context).pull(self.cursor))
        self.cursor = found[-1].cursor
        return found

    def events(self, **settings: Any) -> list[Event]:
        """The events of one run."""
        return [event for page in self.pages(**settings) for event in page.events]

    def runs(self, **settings: Any) -> dict[str, PipelineRun]:
        """The builds of one run, by their native ids."""
        return {e.native_id: e for e in self.events(**settings) if isinstance(e, PipelineRun)}

    def deployments(self, **settings: Any) -> list[Deployment]:
        """The deployments of one run."""
        return [e for e in self.events(**settings) if isinstance(e, Deployment)]

    def asked(self, *, since: int = 0) -> list[str]:
        """The paths asked for, from the n-th request on."""
        return [asked.path for asked in self.provider.asked[since:]]


@pytest.fixture
def desk(context: SourceContext) -> Callable[[World], Desk]:
    """Makes desks over worlds."""
    return lambda world: Desk(context, world)


@pytest.fixture
def small(desk: Callable[[World], Desk]) -> Desk:
    """A desk over the small world."""
    return desk(small_world())


def one_job(
    *builds: dict[str, Any], name: str = "shop", stages: dict[int, list[dict[str, Any]]] | None = None
) -> World:
    """A world of one pipeline."""
    shown = [{"_class": RUN, **one} for one in builds]
    return World(jobs={name: Job("org.jenkinsci.plugins.workflow.job.WorkflowJob", shown, stages or {})})


def at(milliseconds: int) -> datetime:
    """A time after the start of the worlds."""
    return datetime.fromtimestamp((START + milliseconds) / 1000, UTC)


def said(pages: list[Page], what: str) -> str:
    """What pages said: their `truncations`, `warnings` or `rejected`."""
    return "\n".join(str(one) for page in pages for one in getattr(page, what))


# --- what a build is


def test_a_build_is_a_run_of_its_project_and_branch(small: Desk) -> None:
    """A branch of a multibranch project is a ref of the project's pipeline, in the repository it checked out."""
    run = small.runs()["run/team/shop/main/1"]

    assert (run.pipeline, run.ref, run.repository, run.sha) == ("team/shop", "main", "acme/shop", f"{1:040x}")
    assert (run.state, run.result) == (RunState.COMPLETED, Result.SUCCESS)
    assert (run.started_at, run.finished_at) == (at(10 * HOUR), at(10 * HOUR) + timedelta(minutes=20))


def test_the_wait_is_what_the_queue_kept(small: Desk) -> None:
    """A build was created when it entered the queue, where the plug-in Metrics tells; elsewhere that is not known."""
    runs = small.runs()

    assert runs["run/team/shop/main/1"].created_at == at(10 * HOUR) - timedelta(seconds=30)
    assert runs["run/nightly/50"].created_at is None


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("SUCCESS", Result.SUCCESS),
        ("FAILURE", Result.FAILURE),
        ("UNSTABLE", Result.FAILURE),
        ("NOT_BUILT", Result.SKIP),
        ("ABORTED", Result.CANCELLATION),
        ("FROZEN", Result.CANCELLATION),
    ],
)
def test_results_are_mapped(desk: Callable[[World], Desk], result: str, expected: Result) -> None:
    """Cancelled, skipped, abandoned, aborted: neither success nor failure; nor is what is not known."""
    assert desk(one_job(build(1, START, result=result))).runs()["run/shop/1"].result is expected


def test_an_unknown_result_is_named(desk: Callable[[World], Desk]) -> None:
    """New enum values: the record survives; the unknown value is counted and named."""
    pages = desk(one_job(build(1, START, result="FROZEN"), build(2, START, result="FROZEN"))).pages()

    assert said(pages, "warnings") == "result 'FROZEN' is not known here; it is taken as a cancellation (2 times)"


def test_unstable_builds_may_be_good_ones(desk: Callable[[World], Desk]) -> None:
    """Where unstable builds are released all the same, a setting says so."""
    world = one_job(build(1, START, result="UNSTABLE"))

    assert desk(world).runs(unstable="success")["run/shop/1"].result is Result.SUCCESS


def test_a_build_that_the_timeout_ended_is_a_timeout(desk: Callable[[World], Desk]) -> None:
    """Jenkins calls a build aborted that its own `timeout` step ended: that is a timeout, and no cancellation."""
    ended = "org.jenkinsci.plugins.workflow.steps.TimeoutStepExecution$ExceededTimeout"
    interrupted = {"_class": "jenkins.model.InterruptedBuildAction", "causes": [{"_class": ended}]}

    assert desk(one_job(build(1, START, interrupted, result="ABORTED"))).runs()["run/shop/1"].result is Result.TIMEOUT


def test_a_build_that_its_controller_lost_is_an_error(desk: Callable[[World], Desk]) -> None:
    """A build that is over without a result ended in an error of the controller; one being wound up is not over."""
    lost = {**build(1, START, result=None), "building": False, "inProgress": False}
    winding_up = {**build(2, START, result=None), "building": False}
    runs = desk(one_job(lost, winding_up)).runs()

    assert runs["run/shop/1"].result is Result.ERROR
    assert runs["run/shop/2"].state is RunState.EXECUTING


def test_of_several_checkouts_the_one_counts_that_the_job_is_called_after(desk: Callable[[World], Desk]) -> None:
    """A shared library that was checked out first is not what was built."""
    checkouts = build_data(LIBRARY, SHA, "v1"), build_data(SHOP, "b" * 40, "refs/remotes/origin/release/2")
    run = desk(one_job(build(1, START, *checkouts))).runs()["run/shop/1"]

    assert (run.repository, run.sha, run.ref) == ("acme/shop", "b" * 40, "release/2")


def test_libraries_are_never_what_was_built(desk: Callable[[World], Desk]) -> None:
    """A repository that is named as a library is left out, whatever the job is called."""
    checkouts = build_data(LIBRARY, SHA, "v1"), build_data(SHOP, "b" * 40, "main")
    world = one_job(build(1, START, *checkouts), name="pipeline-library")

    assert desk(world).runs(libraries="*/pipeline-library")["run/pipeline-library/1"].sha == "b" * 40


def test_a_job_without_a_checkout_stands_in_its_folder(small: Desk) -> None:
    """Where nothing was checked out, the job's folder stands for the repository; a setting may name it."""
    assert small.runs()["run/team/a/b/c/d/release/1"].repository == "team/a/b/c/d"
    small.cursor = None
    assert small.runs(repository="acme/shop")["run/team/a/b/c/d/release/1"].repository == "acme/shop"


def test_people_are_hashed_and_automation_is_told_apart(small: Desk) -> None:
    """Who started a build is a keyed hash; `jenkins` is a bot, and a build that a commit started is nobody's."""
    runs = small.runs()

    assert runs["run/team/shop/main/1"].actor == small.context.people.hashed(PLANTED_LOGIN)
    assert (runs["run/team/shop/main/1"].bot, runs["run/team/shop/main/3"].bot) == (False, True)
    assert runs["run/team/shop/main/2"].actor is None


def test_a_build_that_ends_beyond_all_times_is_set_aside(desk: Callable[[World], Desk]) -> None:
    """A duration that no time can hold: set aside and counted; the one beside it is kept."""
    bench = desk(one_job({**build(1, START), "duration": 2**62}, build(2, START)))
    pages = bench.pages()

    assert said(pages, "rejected") == "shop #1: its duration is beyond all times"
    assert [e.native_id for page in pages for e in page.events] == ["run/shop/2"]


def test_a_build_without_a_start_is_set_aside(desk: Callable[[World], Desk]) -> None:
    """A run without a start: set aside and counted, not dropped without a word; the one beside it is kept."""
    bench = desk(one_job({**build(1, START), "timestamp": None}, build(2, START)))
    pages = bench.pages()

    assert said(pages, "rejected") == "shop #1: it has no start"
    assert [e.native_id for page in pages for e in page.events] == ["run/shop/2"]


def test_a_build_of_another_shape_is_set_aside(desk: Callable[[World], Desk]) -> None:
    """One bad item of a list is set aside, and the rest survives."""
    pages = desk(one_job({**build(1, START), "number": "one"}, build(2, START))).pages()

    assert "item 2: it is not as documented" in said(pages, "rejected")
    assert [e.native_id for page in pages for e in page.events] == ["run/shop/2"]


# --- which jobs, which builds


def test_more_builds_than_the_list_shows_are_read(small: Desk) -> None:
    """Hard caps: `builds` ends after 100; the older ones come from the whole list."""
    runs = small.runs()

    assert {f"run/nightly/{n}" for n in range(3, 133)} <= runs.keys()
    assert [a.one("tree")[-9:] for a in small.provider.asked if a.path == "job/nightly/api/json"] == [
        "]]{0,100}",
        "{100,200}",
    ]


def test_folders_that_lie_deep_are_asked_for_by_themselves(small: Desk) -> None:
    """Folders in folders are read to the last: those too deep for one answer cost one more."""
    assert "run/team/a/b/c/d/release/3" in small.runs()
    assert [path for path in small.asked() if "d/api" in path] == ["job/team/job/a/job/b/job/c/job/d/api/json"]


def test_only_wanted_jobs_are_read(small: Desk) -> None:
    """Jobs are chosen by their full names, and left out by them."""
    assert {r.pipeline for r in small.runs(jobs=["team/*"], exclude="*/release").values()} == {"team/shop"}


def test_other_jobs_than_before_are_read_from_the_start(small: Desk) -> None:
    """Where the settings name more jobs than before, their whole history is read."""
    small.pages(jobs="nightly")

    assert "run/team/shop/main/1" in small.runs(jobs=["nightly", "team/*"])


def test_names_in_addresses_are_quoted(desk: Callable[[World], Desk]) -> None:
    """A branch with a slash keeps its name in the job's, and is a ref as people write it."""
    world = World(
        folders={"shop": "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"},
        jobs={"shop/feature%2Fcart": Job("WorkflowJob", [build(1, START)])},
    )
    bench = desk(world)
    run = bench.runs(jobs="shop/feature/cart")["run/shop/feature%2Fcart/1"]

    assert (run.pipeline, run.ref) == ("shop", "feature/cart")
    assert bench.provider.asked[-1].url.partition("?")[0].endswith("/job/shop/job/feature%252Fcart/api/json")


def test_nothing_to_read_is_said(desk: Callable[[World], Desk]) -> None:
    """No job at all is a warning: a user who may not see them gets an empty list, not a refusal."""
    assert said(desk(World()).pages(), "warnings") == "no job is visible, or none fits `jobs` and `exclude`"


def test_the_address_that_jenkins_believes_in_is_never_asked(small: Desk) -> None:
    """Self-hosted: absolute addresses in answers are shown to people and never followed."""
    urls = {run.url for run in small.runs().values()}

    assert all(url is not None and url.startswith(TOLD) for url in urls)
    assert all(asked.url.startswith("https://jenkins.example.com/ci/") for asked in small.provider.asked)


# --- again and again


def test_a_second_run_asks_only_for_jobs_that_built(small: Desk) -> None:
    """Jobs that built nothing since the last run cost nothing."""
    small.pages(overlap="1m")
    before = len(small.provider.asked)
    small.world.jobs["team/a/b/c/d/release"].builds.append(build(4, START + 200 * HOUR))
    runs = small.runs(overlap="1m")

    assert "run/team/a/b/c/d/release/4" in runs
    assert small.asked(since=before) == [
        "api/json",
        "job/team/job/a/job/b/job/c/job/d/api/json",
        "job/team/job/shop/job/main/6/api/json",
        "job/nightly/api/json",
        "job/team/job/a/job/b/job/c/job/d/job/release/api/json",
    ]


def test_a_running_build_is_read_again_until_it_ends(small: Desk) -> None:
    """Running, still building: looked at again until finished, however long; then no more."""
    assert small.runs()["run/team/shop/main/6"].state is RunState.EXECUTING
    started = START + 60 * HOUR
    small.world.jobs["team/shop/main"].builds[5] = build(6, started, minutes=6000)
    later = small.runs()["run/team/shop/main/6"]
    assert (later.state, later.finished_at) == (RunState.COMPLETED, at(60 * HOUR) + timedelta(minutes=6000))
    before = len(small.provider.asked)
    small.pages()

    assert not [path for path in small.asked(since=before) if "/6/" in path]


def test_a_running_build_that_vanished_is_asked_for_once_more(small: Desk) -> None:
    """A build that was deleted while it ran is reported, and then forgotten."""
    small.pages()
    small.world.jobs["team/shop/main"].builds.pop()
    assert "main/6/api/json: answered 404" in said(small.pages(), "truncations")

    assert said(small.pages(), "truncations") == ""


def test_a_build_that_starts_while_others_are_read_is_not_lost(small: Desk) -> None:
    """Items are added while reading: the next pass starts from what the list of jobs showed, not from what came since.

    A build of a job that was read already is older here than one of a job that was read after it.
    """
    pages = config(overlap="1m").build(small.context).pull(None)
    next(page for page in pages if '"after":"nightly"' in page.cursor)
    small.world.jobs["nightly"].builds.append(build(133, START + 300 * HOUR))
    small.world.jobs["team/a/b/c/d/release"].builds.append(build(4, START + 400 * HOUR))
    small.cursor = list(pages)[-1].cursor

    assert "run/nightly/133" in small.runs(overlap="1m")


def test_old_builds_that_were_discarded_are_a_truncation(desk: Callable[[World], Desk]) -> None:
    """Every cap is visible: what Jenkins discarded before it was read is reported, once it is noticed."""
    bench = desk(one_job(build(7, START), build(8, START + HOUR)))
    cut = "older builds of 1 jobs were discarded before they were read: shop"

    assert said(bench.pages(), "truncations") == cut
    assert said(bench.pages(), "truncations") == ""
    bench.world.jobs["shop"].builds = [build(n, START + n * HOUR) for n in (20, 21)]
    assert said(bench.pages(), "truncations") == cut


def test_what_jenkins_discards_later_is_not_deleted_here(small: Desk) -> None:
    """Discarded builds stay: no page claims that a list is whole."""
    assert [page.complete for page in small.pages() if page.complete] == []


def test_since_reads_further_back(small: Desk) -> None:
    """`--since` reads from then on, whatever the cursor says."""
    small.pages(history="1d")
    small.context = replace(small.context, since=at(0))

    assert "run/nightly/3" in small.runs(history="1d")


def test_a_history_is_read_as_far_as_it_was_asked_for(small: Desk) -> None:
    """A first run reads as far back as `history` says, and no further."""
    runs = small.runs(history="10d")

    assert min(run.started_at for run in runs.values() if run.started_at) == datetime(2026, 2, 20, 9, tzinfo=UTC)


def test_a_job_that_vanishes_while_it_is_read_is_cut_off(small: Desk) -> None:
    """A job that is gone when it is asked for is reported; the others are read."""
    small.provider.faults = {3: Reply({}, status=404)}
    pages = small.pages(jobs=["nightly", "team/*"])

    assert "/job/nightly/api/json: answered 404" in said(pages, "truncations")
    assert any(e.native_id == "run/team/shop/main/1" for page in pages for e in page.events)


def test_a_server_that_breaks_on_many_builds_is_asked_for_fewer(small: Desk) -> None:
    """500 on a big page: a smaller page, until all is read."""
    small.world.broken_above = 25

    assert {f"run/nightly/{n}" for n in range(3, 133)} <= small.runs().keys()


def test_a_server_that_always_breaks_fails_the_run(small: Desk) -> None:
    """An unattended run always ends: where the smallest page breaks too, it fails."""
    small.world.broken_above = 0

    with pytest.raises(RetryableError, match="answered 500"):
        small.pages()


# --- deployments

DEPLOYS = [{"pipeline": "shop", "job": "Deploy"}]


def test_a_stage_is_a_deployment_at_its_own_time(desk: Callable[[World], Desk]) -> None:
    """The deploying stage decides, not its pipeline: a build that failed after it deployed all the same."""
    world = one_job(build(1, START, build_data(SHOP, SHA, "main"), result="FAILURE", minutes=60))
    world.jobs["shop"].stages = {1: [stage(9, "Deploy", START + HOUR // 2)]}
    (deployment,) = desk(world).deployments(deployments=DEPLOYS)

    assert (deployment.result, deployment.service, deployment.sha) == (Result.SUCCESS, "shop", SHA)
    assert deployment.finished_at == at(HOUR // 2) + timedelta(minutes=1)
    assert (deployment.native_id, deployment.pipeline_run_native_id) == (
        "job/shop/1/9/shop/production",
        "run/shop/1",
    )


@pytest.mark.parametrize(
    ("result", "status"),
    [("SUCCESS", "FAILED"), ("ABORTED", "ABORTED"), ("SUCCESS", "SKIPPED"), ("FAILURE", "NOT_EXECUTED")],
)
def test_a_stage_that_deployed_nothing_is_no_deployment(
    desk: Callable[[World], Desk], result: str, status: str
) -> None:
    """Pipeline is green, its production stage failed and was allowed to; or it was skipped, aborted: no deployment."""
    world = one_job(build(1, START, result=result), stages={1: [stage(9, "Deploy", START, status=status)]})

    assert desk(world).deployments(deployments=DEPLOYS) == []


def test_a_failed_stage_of_a_failed_build_is_a_failed_deployment(desk: Callable[[World], Desk]) -> None:
    """A stage that broke its build failed to deploy."""
    world = one_job(build(1, START, result="FAILURE"), stages={1: [stage(9, "Deploy", START, status="FAILED")]})

    assert [d.result for d in desk(world).deployments(deployments=DEPLOYS)] == [Result.FAILURE]


def test_a_running_build_deploys_by_stages_that_succeeded(desk: Callable[[World], Desk]) -> None:
    """A stage that is over deployed though its build waits; of one that failed only the build's end tells."""
    stages = [
        stage(9, "Deploy", START),
        stage(10, "Deploy", START, status="FAILED"),
        stage(11, "Deploy", START, status="PAUSED_PENDING_INPUT"),
    ]
    world = one_job(build(1, START, result=None), stages={1: stages})

    assert [d.native_id for d in desk(world).deployments(deployments=DEPLOYS)] == ["job/shop/1/9/shop/production"]


def test_stages_are_asked_for_only_where_a_rule_may_fit(small: Desk) -> None:
    """Stages cost a request each: only pipelines that a rule with `job` fits are asked for."""
    small.pages(deployments=[{"pipeline": "team/shop", "job": "Deploy", "ref": "main"}])

    staged = [path for path in small.asked() if path.endswith("wfapi/describe")]
    assert sorted(staged) == [f"job/team/job/shop/job/main/{n}/wfapi/describe" for n in range(1, 7)]


def test_stages_that_cannot_be_read_are_a_truncation(desk: Callable[[World], Desk]) -> None:
    """Without the plug-in for stages the builds are read, and what is missing is said."""
    pages = desk(one_job(build(1, START))).pages(deployments=DEPLOYS)

    assert "/job/shop/1/wfapi/describe: answered 404" in said(pages, "truncations")
    assert [e.native_id for page in pages for e in page.events] == ["run/shop/1"]


def test_stages_are_no_jobs_that_wait(small: Desk) -> None:
    """Only builds are runs: a stage has no queue of its own, and would hide that of its build."""
    kinds = {type(e) for e in small.events(deployments=[{"pipeline": "team/shop", "job": "Deploy"}])}

    assert kinds == {PipelineRun, Deployment}
    assert {run.task for run in small.runs().values()} == {None}


def test_whole_builds_deploy_by_rules_without_job(small: Desk) -> None:
    """A rule without `job` takes whole builds; a running or aborted one is none."""
    rule = {"pipeline": "team/shop", "ref": "main", "to": "staging"}
    found = [(d.pipeline_run_native_id, d.result, d.environment) for d in small.deployments(deployments=[rule])]

    assert sorted(found) == [
        ("run/team/shop/main/1", Result.SUCCESS, "staging"),
        ("run/team/shop/main/2", Result.FAILURE, "staging"),
        ("run/team/shop/main/5", Result.SUCCESS, "staging"),
    ]


def test_without_a_rule_nothing_deploys(small: Desk) -> None:
    """No rule is configured: nothing is a deployment."""
    assert small.deployments() == []


# --- notifications


def notification(name: str = "team/job/shop/job/main", **told: Any) -> bytes:
    """What the plug-in sends at the end of build 1 of the small world, or of another job."""
    scm = {"url": SHOP, "branch": "main", "commit": f"{1:040x}", "changes": [], "culprits": [PLANTED_LOGIN]}
    end = START + 10 * HOUR + 20 * 60_000
    body = {
        "number": 1,
        "phase": "COMPLETED",
        "status": "SUCCESS",
        "timestamp": end,
        "duration": 20 * 60_000,
        "scm": scm,
    }
    body |= {"full_url": f"{TOLD}job/{name}/1/", "url": f"job/{name}/1/", "queue_id": 4_001, "log": "", **told}
    return json.dumps({"name": name.rpartition("/")[2], "url": f"job/{name}/", "build": body}).encode()


def delivery(body: bytes, authorization: str = f"Bearer {SECRET}") -> Delivery:
    """A notification as it comes in."""
    return Delivery(headers={"authorization": authorization}, body=body, received_at=at(0))


def received(context: SourceContext, body: bytes, **settings: Any) -> Received:
    """What is in a notification."""
    receiver = config(webhook_secret=SECRET, **settings).receiver(context)
    assert receiver is not None
    return receiver.read(delivery(body))


def test_a_notification_is_the_build_that_is_read_later(small: Desk, context: SourceContext) -> None:
    """The same native id by webhook and by polling: one, and what is read later says more."""
    rules = [{"pipeline": "team/shop", "ref": "main"}]
    told = received(context, notification(), deployments=rules).events
    read = {e.id: e for e in small.events(deployments=rules)}

    assert [type(e) for e in told] == [PipelineRun, Deployment]
    for event in told:
        same = read[event.id]
        assert event.updated_at is not None
        assert same.updated_at is not None
        assert event.updated_at < same.updated_at
        left_out = {"updated_at": None, "url": None, "created_at": None, "actor": None}
        assert {**_fields(event), **left_out} == {**_fields(same), **left_out}


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__ if name != "created_at"} | {
        "created_at": None
    }


@pytest.mark.parametrize("scm", [{"changes": [], "culprits": []}, {"url": SHOP}, {"commit": f"{1:040x}"}, None])
def test_what_a_pipeline_deployed_is_left_to_the_next_run(small: Desk, context: SourceContext, scm: object) -> None:
    """A notification names no checkout of a pipeline: a deployment of a guessed service would count beside the true."""
    rules = [{"pipeline": "team/*"}]
    told = received(context, notification(scm=scm), deployments=rules).events

    assert {type(e) for e in told} == {PipelineRun}
    assert {e.id for e in told} <= {e.id for e in small.events(deployments=rules)}


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {SECRET}", "Basic " + base64.b64encode(f"jenkins:{SECRET}".encode()).decode()],
    ids=["bearer", "basic"],
)
def test_the_secret_opens_the_door(context: SourceContext, authorization: str) -> None:
    """The secret is a bearer token, or the password in the address."""
    receiver = config(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert receiver.is_genuine(delivery(b"{}", authorization))


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer nothing", "Basic !!", "Basic amVua2luczp4"])
def test_nothing_else_opens_it(context: SourceContext, authorization: str) -> None:
    """No credentials, others, broken ones: not genuine."""
    receiver = config(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert not receiver.is_genuine(delivery(b"{}", authorization))


def test_without_a_secret_there_is_no_door(context: SourceContext) -> None:
    """No webhook is taken unless a secret is set."""
    assert config().receiver(context) is None


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        (notification(phase="STARTED", status=None), "phase STARTED: only the end of a build is read"),
        (notification("other"), "a job that is not read"),
    ],
)
def test_what_is_not_read_is_named(context: SourceContext, body: bytes, ignored: str) -> None:
    """An unmatched event is listed with its reason, not gone."""
    assert received(context, body, jobs="team/*").ignored == ignored


def test_an_end_without_a_result_or_a_time_is_rejected(context: SourceContext) -> None:
    """What is read and cannot be used is set aside with its reason."""
    assert [str(r) for r in received(context, notification(status=None)).rejected] == [
        "team/shop/main #1: it has no result"
    ]
    assert [str(r) for r in received(context, notification(timestamp=None)).rejected] == [
        "team/shop/main #1: it has no start"
    ]


def test_a_time_may_be_written_out(context: SourceContext) -> None:
    """Older plug-ins write the time as text, with its offset."""
    (run,) = received(context, notification(timestamp="2026-02-16T10:20:00.0+00:00")).events

    assert isinstance(run, PipelineRun)
    assert run.finished_at == at(10 * HOUR) + timedelta(minutes=20)


@pytest.mark.parametrize("body", [b"<job/>", b"{}", b'{"url": 7, "build": {}}', b"\xff"])
def test_a_body_that_is_no_notification_is_a_contract_error(context: SourceContext, body: bytes) -> None:
    """XML, or another body: named for what it is."""
    with pytest.raises(ContractError, match="is its format JSON"):
        received(context, body)


# --- settings and shapes


def test_a_token_without_a_user_is_a_mistake(context: SourceContext) -> None:
    """An API token is somebody's: without the user it opens nothing."""
    assert [m.path for m in config(username="").check(context)] == ["username"]


def test_costs_are_those_that_are_told(desk: Callable[[World], Desk]) -> None:
    """A thousand builds of one job cost twelve requests: one for the jobs, ten for the builds, one for their end."""
    bench = desk(one_job(*(build(n, START + n * 1000, queued(1), started_by(None)) for n in range(1, 1001))))

    assert len(bench.runs()) == 1000
    assert len(bench.provider.asked) == 1 + 10 + 1


def test_bodies_for_measuring_hold_builds() -> None:
    """What measurements decode is what Jenkins sends."""
    found, rejected = Answer(200, {}, b"".join(bulk(90)), "").items(Build, "builds")

    assert (len(found), rejected) == (90, [])


@pytest.mark.skipif(not DESCRIBED.exists(), reason="the descriptions of APIs are not here")
def test_the_list_of_jobs_is_as_described(small: Desk) -> None:
    """The one request that a public description knows is asked as it says."""
    small.pages()
    (first, *_) = small.provider.asked
    told = check(DESCRIBED, first._replace(query={}), 200, b'{"jobs": []}')

    assert told == []


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://user:secret@git.example.com/group/sub/shop.git", "group/sub/shop"),
        ("git@git.example.com:group/shop.git", "group/shop"),
        ("ssh://git@bitbucket.example.com:7999/PROJ/shop.git", "PROJ/shop"),
        ("https://bitbucket.example.com/scm/PROJ/shop.git", "PROJ/shop"),
        ("https://dev.azure.com/org/project/_git/shop", "project/shop"),
        ("git@ssh.dev.azure.com:v3/org/project/shop", "project/shop"),
        ("https://git.example.com/group/shop/?x=1", "group/shop"),
        ("/srv/git/shop.git", ""),
        ("", ""),
    ],
)
def test_addresses_name_repositories_as_forges_do(address: str, name: str) -> None:
    """A repository has one name, whichever address it was cloned from."""
    assert repository_of(address) == name
