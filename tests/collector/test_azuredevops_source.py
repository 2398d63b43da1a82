"""Azure DevOps against a stand-in: what its answers mean, what is asked again, and what its hooks deliver."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import openapi
import pytest
from names import PLANTED_MAIL
from providers.azuredevops import (
    ARTIFACT,
    BASE,
    PROJECT,
    SERVICE,
    World,
    build,
    deployed,
    guid,
    provider,
    pull_request,
    record,
    released,
    settings,
    sha,
    thread,
    vote,
)
from pydantic import ValidationError
from replay import Provider, Reply, Request

from collector.errors import AuthError, ContractError
from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    PipelineRun,
    Result,
    Review,
    ReviewState,
    RunState,
)
from collector.history import clone_path
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.webhooks import Delivery, Received

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "a secret of the hooks"  # noqa: S105 - planted
DESCRIBED = Path(__file__).parents[3] / "shared" / "openapi"
E = TypeVar("E", bound=Event)


class Server:
    """A stand-in with its world, and runs of a source against it."""

    def __init__(self, context: SourceContext) -> None:
        self.world = World()
        self.provider = provider(self.world)
        self.context = context
        self.slept: list[float] = []

    def pages(self, cursor: str | None = None, **more: Any) -> list[Page]:
        """The pages of a run."""
        wire = Wire(adapter=self.provider, sleep=self.slept.append, chance=lambda: 0.0)
        return list(settings(**more).build(replace(self.context, wire=wire)).pull(cursor))

    def read(self, kind: type[E], cursor: str | None = None, **more: Any) -> dict[str, E]:
        """The newest events of a kind by their ids."""
        events = chain.from_iterable(page.events for page in self.pages(cursor, **more))
        return {e.native_id: e for e in events if isinstance(e, kind)}

    def asked(self, *words: str) -> list[Request]:
        """The requests whose path ends so."""
        return [request for request in self.provider.asked if request.path.endswith(words)]

    def only(self, **lists: Any) -> None:
        """Let the world hold nothing but this."""
        empty: dict[str, list[Any]] = {"pull_requests": [], "builds": [], "environments": [], "released": []}
        for name, value in {**empty, **lists}.items():
            setattr(self.world, name, value)


@pytest.fixture
def server(context: SourceContext) -> Server:
    """A stand-in."""
    return Server(context)


@pytest.fixture
def deliver(context: SourceContext) -> Callable[..., Received]:
    """Hands a service hook over."""

    def send(kind: str, resource: Any, **more: Any) -> Received:
        receiver = settings(webhook_secret=SECRET, **more).receiver(context)
        assert receiver is not None
        body = json.dumps({"id": guid(kind), "eventType": kind, "publisherId": "tfs", "resource": resource}).encode()
        return receiver.read(Delivery(headers={}, body=body, received_at=NOW))

    return send


# ---- changes and reviews


def test_only_a_completed_pull_request_is_merged(server: Server) -> None:
    """A pull request closed without a merge is no change; only a merge time makes one."""
    changes = server.read(Change)

    assert [(i, c.state, c.merged_at is None) for i, c in sorted(changes.items())] == [
        ("1", ChangeState.MERGED, False),
        ("2", ChangeState.CLOSED, True),
        ("3", ChangeState.MERGED, False),
        ("4", ChangeState.WIP, True),
        ("5", ChangeState.MERGED, False),
    ]


def test_a_change_says_what_its_pull_request_does(server: Server) -> None:
    """Names, times, commits and labels are those of the pull request; branches lose their `refs/heads/`."""
    change = server.read(Change)["1"]

    assert (change.repository, change.number, change.title) == ("Web Shop/web", 1, "Cart, step 1")
    assert (change.source_branch, change.target_branch) == ("feature/1", "main")
    assert change.merged_at == datetime(2026, 1, 28, 8, 0, 0, 123457, tzinfo=UTC)
    assert (change.merge_sha, change.head_sha, change.labels) == (sha("c"), sha("a"), ("hotfix",))
    assert change.url == f"{BASE}/Web%20Shop/_git/web/pullrequest/1"


def test_a_squash_is_known_by_the_commit_that_it_made(server: Server) -> None:
    """Squash or rebase merge: the merge commit counts, and the head only where there is none."""
    whole = pull_request(1, "completed", "2026-02-20T08:00:00Z", "2026-02-21T08:00:00Z")
    bare = pull_request(2, "completed", "2026-02-20T08:00:00Z", "2026-02-21T08:00:00Z", lastMergeCommit=None)
    server.only(pull_requests=[whole, bare])

    changes = server.read(Change)

    assert (changes["1"].merge_sha, changes["2"].merge_sha) == (sha("c"), sha("a"))


def test_the_trial_merge_of_an_open_pull_request_is_no_merge(server: Server) -> None:
    """What the server merges to see whether it can is on no branch."""
    server.only(pull_requests=[pull_request(1, "active", "2026-02-20T08:00:00Z")])

    change = server.read(Change)["1"]

    assert (change.state, change.merge_sha, change.head_sha) == (ChangeState.OPEN, None, sha("a"))


def test_a_draft_is_ready_when_it_is_published(server: Server) -> None:
    """Draft opened Monday, ready Thursday: review waiting starts at ready; one that was no draft is ready at once."""
    changes = server.read(Change)

    assert changes["1"].ready_at == datetime(2026, 1, 26, 8, 30, tzinfo=UTC)
    assert changes["3"].ready_at == datetime(2026, 2, 22, 8, 0, tzinfo=UTC)
    assert (changes["2"].ready_at, changes["4"].ready_at) == (None, None)


def test_a_draft_that_becomes_ready_replaces_the_draft(server: Server, bench: Any) -> None:
    """An open pull request has no time of its last update, and what comes after the draft counts as later."""
    server.only(pull_requests=[pull_request(1, "active", "2026-02-20T08:00:00Z", isDraft=True)])
    [draft] = server.read(Change).values()
    server.only(pull_requests=[pull_request(1, "active", "2026-02-20T08:00:00Z")])
    [ready] = server.read(Change).values()

    bench.write(ready)
    changed = bench.write(draft)

    assert changed == 0


def test_votes_and_comments_are_reviews(server: Server) -> None:
    """A vote is a thread that the system wrote, and its time is when it was cast; a written comment is one too."""
    reviews = server.read(Review)

    assert {i: (r.state, r.at) for i, r in reviews.items() if r.change_native_id == "1"} == {
        "1/2/1": (ReviewState.COMMENTED, datetime(2026, 1, 26, 9, 0, tzinfo=UTC)),
        "1/3": (ReviewState.APPROVED, datetime(2026, 1, 27, 9, 0, tzinfo=UTC)),
    }
    assert reviews["3/4"].state is ReviewState.CHANGES_REQUESTED


def test_a_merge_without_any_review_has_none(server: Server) -> None:
    """Merged without any review: the change counts, and there is no review of it."""
    assert "5" in server.read(Change)
    assert [r for r in server.read(Review).values() if r.change_native_id == "5"] == []


def test_a_voter_is_whom_the_vote_names_and_not_who_noted_it(server: Server, context: SourceContext) -> None:
    """The system notes a vote in its own name; the voter stands in the thread's properties."""
    review = server.read(Review)["1/3"]

    assert (review.author, review.bot) == (context.people.hashed("grace@people.example"), False)


def test_deleted_threads_and_comments_are_no_reviews(server: Server) -> None:
    """What was deleted was not said."""
    gone = thread(1, "2026-02-22T08:00:00Z", SERVICE)
    gone["comments"][0]["isDeleted"] = True
    server.world.threads[3] = [gone, vote(2, "2026-02-22T08:00:00Z", "10") | {"isDeleted": True}]

    assert [r for r in server.read(Review).values() if r.change_native_id == "3"] == []


def test_null_users_and_unknown_values_survive(server: Server) -> None:
    """A null user, missing fields and a new kind of vote: the record survives, and the unknown value is named."""
    pages = server.pages()
    warnings = [warning for page in pages for warning in page.warnings]

    assert server.read(Change)["3"].author is None
    assert server.read(Review)["3/5"].state is ReviewState.COMMENTED
    assert warnings == ["vote '7' is not known here; it is taken as a comment"]


def test_a_broken_pull_request_is_set_aside(server: Server) -> None:
    """One that is not as documented is rejected, and the others survive."""
    server.world.pull_requests[0]["creationDate"] = 5

    pages = server.pages()

    assert {r.reason for page in pages for r in page.rejected} == {
        "it is not as documented: Expected `datetime`, got `int` - at `$.creationDate`"
    }
    assert {e.native_id for page in pages for e in page.events if isinstance(e, Change)} == {"2", "3", "4", "5"}


def test_a_naive_creation_is_refused(server: Server) -> None:
    """A time without a zone is not guessed: the pull request is rejected by its number."""
    server.world.pull_requests[2]["creationDate"] = "2026-02-22T08:00:00"

    pages = server.pages()

    assert {str(r) for page in pages for r in page.rejected} == {
        "GET https://ado.example/Web%20Shop/_apis/git/pullrequests (id 3): its time of creation has no zone"
    }
    assert "3" not in {e.native_id for page in pages for e in page.events if isinstance(e, Change)}


def test_people_and_services_are_told_apart(server: Server, context: SourceContext) -> None:
    """An identity of the system's own services is a bot; a person is a hash of the account."""
    changes = server.read(Change)

    assert (changes["1"].author, changes["1"].bot) == (context.people.hashed(PLANTED_MAIL), False)
    assert changes["5"].bot


def test_the_build_service_of_a_server_is_a_bot(server: Server) -> None:
    """Azure DevOps Server gives no descriptors: its build service is known by its account."""
    service = {"displayName": "Build Service", "uniqueName": f"Build\\{guid('service')}"}
    server.only(pull_requests=[pull_request(1, "active", "2026-02-20T08:00:00Z", createdBy=service)])

    assert server.read(Change)["1"].bot


def test_threads_that_are_not_shown_cost_reviews_and_no_change(server: Server) -> None:
    """A repository that is closed to the token: the change stays, and what is missing is said."""
    gone = Reply({"message": "TF401019: The repository does not exist."}, status=404)
    server.provider.routes.insert(0, ("GET", re.compile(".*/1/threads"), lambda *_: gone))

    pages = server.pages()

    assert [t for page in pages for t in page.truncations] == [
        "pull request 1: its threads are not shown, so its reviews are missing"
    ]
    assert "1" in {e.native_id for page in pages for e in page.events if isinstance(e, Change)}


def test_only_wanted_repositories_are_read(server: Server) -> None:
    """`include` and `exclude` are for whole names and for the last part."""
    assert set(server.read(PipelineRun, include=["octo/*"])) == {"run/2"}
    assert server.read(Change, exclude=["web"]) == {}


# ---- runs


def test_runs_say_how_they_ended(server: Server) -> None:
    """Cancelled is no failure, and issues are no failure; a run under way has no result."""
    runs = server.read(PipelineRun)

    assert {i: (r.state, r.result) for i, r in runs.items()} == {
        "run/1": (RunState.COMPLETED, Result.SUCCESS),
        "run/2": (RunState.COMPLETED, Result.FAILURE),
        "run/3": (RunState.COMPLETED, Result.CANCELLATION),
        "run/4": (RunState.COMPLETED, Result.SUCCESS),
        "run/5": (RunState.EXECUTING, None),
    }


def test_a_run_says_what_its_build_does(server: Server, context: SourceContext) -> None:
    """Times, commit, branch and requester are those of the build; its repository is known by its id."""
    run = server.read(PipelineRun)["run/1"]

    assert (run.repository, run.pipeline, run.sha, run.ref) == ("Web Shop/web", "ci", sha("c"), "main")
    assert run.created_at == datetime(2026, 2, 20, 8, 0, 0, 461761, tzinfo=UTC)
    assert run.finished_at == datetime(2026, 2, 20, 8, 5, 0, 500000, tzinfo=UTC)
    assert run.actor == context.people.hashed(PLANTED_MAIL)
    assert run.url == f"{BASE}/{guid(PROJECT)}/_build/results?buildId=1"


@pytest.mark.parametrize(
    ("built", "named"),
    [
        ({"id": "octo/tool", "type": "GitHub"}, "octo/tool"),
        (
            {"id": guid("elsewhere"), "type": "TfsGit", "name": "lib", "url": f"{BASE}/Core%20Team/_git/lib"},
            "Core Team/lib",
        ),
        ({"id": guid("elsewhere"), "type": "TfsGit", "name": "lib"}, "Web Shop/lib"),
        ({"id": "$/", "type": "TfsVersionControl"}, "Web Shop"),
        (None, "Web Shop"),
    ],
    ids=["of another system", "of another project", "without address", "without Git", "of nothing"],
)
def test_a_run_is_of_the_repository_that_it_built(server: Server, built: Any, named: str) -> None:
    """A run may build another project's repository, or one of another system, whose name is its own."""
    server.only(builds=[build(1, "succeeded", "2026-02-20T08:05:00Z", repository=built)])

    assert server.read(PipelineRun)["run/1"].repository == named


def test_a_run_of_a_pull_request_is_of_its_head(server: Server) -> None:
    """The commit of a trial merge is on no branch; the head of the pull request is what was tested."""
    tried = {"reason": "pullRequest", "sourceBranch": "refs/pull/7/merge", "triggerInfo": {"pr.sourceSha": sha("d")}}
    server.only(builds=[build(1, "succeeded", "2026-02-20T08:05:00Z", **tried)])

    run = server.read(PipelineRun)["run/1"]

    assert (run.sha, run.ref) == (sha("d"), "refs/pull/7/merge")


def test_a_run_without_creation_or_start_is_kept(server: Server) -> None:
    """A run without a creation time, or without a start: the time is absent, and the run is there."""
    dated = {"finishTime": "2026-02-20T08:05:00Z"}
    bare = [build(1, "canceled", None, queueTime=..., **dated), build(2, "canceled", None, startTime=..., **dated)]
    server.only(builds=bare)

    runs = server.read(PipelineRun)

    assert (runs["run/1"].created_at, runs["run/2"].started_at) == (None, None)
    assert runs["run/2"].created_at is not None


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z"])
def test_the_year_one_is_no_time(server: Server, time: str) -> None:
    """The first day of the calendar means that something has not happened."""
    server.only(builds=[build(1, "canceled", "2026-02-20T08:05:00Z", startTime=time)])

    assert server.read(PipelineRun)["run/1"].started_at is None


def test_an_unknown_result_is_neither_success_nor_failure(server: Server) -> None:
    """A result that nobody knew when this was written is counted, named, and judged as neither."""
    server.only(builds=[build(1, "evaporated", "2026-02-20T08:05:00Z", status="completed")])

    pages = server.pages()

    assert [e.result for page in pages for e in page.events if isinstance(e, PipelineRun)] == [Result.SKIP]
    assert [w for page in pages for w in page.warnings] == [
        "result 'evaporated' is not known here; it is taken as neither success nor failure"
    ]


def test_a_run_under_way_is_looked_at_until_it_has_ended(server: Server) -> None:
    """Running: no deployment yet, and looked at again until finished, however long that takes."""
    cursor = server.pages()[-1].cursor
    server.world.builds[4] |= {"status": "completed", "result": "succeeded", "finishTime": "2026-02-20T08:30:00Z"}

    runs = server.read(PipelineRun, cursor, overlap="1m")

    assert runs["run/5"].result is Result.SUCCESS


def test_a_run_that_is_being_cancelled_is_looked_at_by_its_id(server: Server) -> None:
    """It is in neither list, and so is its end, which may lie before what is known: it is asked for until it ended."""
    cursor = server.pages()[-1].cursor
    server.world.builds[4]["status"] = "cancelling"
    cursor = server.pages(cursor)[-1].cursor
    server.world.builds[4] |= {"status": "completed", "result": "canceled", "finishTime": "2026-02-01T08:30:00Z"}

    assert server.read(PipelineRun, cursor)["run/5"].result is Result.CANCELLATION


def test_a_run_that_ended_is_not_asked_for_by_its_id(server: Server) -> None:
    """What the list of finished runs holds costs no further request."""
    cursor = server.pages(**DEPLOY)[-1].cursor
    server.world.builds[4] |= {"status": "completed", "result": "succeeded", "finishTime": "2026-03-01T08:30:00Z"}

    server.pages(cursor, **DEPLOY)

    assert [r for r in server.asked("build/builds") if r.one("buildIds")] == []


def test_a_run_that_is_deleted_under_way_is_removed(server: Server, bench: Any) -> None:
    """Deleted at the source before it ended: found, and removed."""
    config = settings()
    source = config.build(replace(server.context, wire=Wire(adapter=server.provider)))
    bench.runner.run("sample", source)
    del server.world.builds[4]

    outcome = bench.runner.run("sample", source)

    assert outcome.removed == 1


def test_a_run_under_way_that_cannot_be_read_is_not_taken_for_deleted(server: Server) -> None:
    """What cannot be read is set aside, and asked for again: it is not gone."""
    cursor = server.pages()[-1].cursor
    server.world.builds[4] |= {"status": "cancelling", "queueTime": "yesterday"}

    broken = server.pages(cursor)
    server.world.builds[4] |= {"status": "cancelling", "queueTime": "2026-02-27T08:00:00Z"}

    assert [one for page in broken for one in page.complete] == []
    assert len([bad for page in broken for bad in page.rejected]) == 1
    assert "run/5" in server.read(PipelineRun, broken[-1].cursor)


def test_a_run_that_retention_deletes_is_kept(server: Server, bench: Any) -> None:
    """Retention deletes runs that ended: what was read of them happened, and stays."""
    source = settings().build(replace(server.context, wire=Wire(adapter=server.provider)))
    bench.runner.run("sample", source)
    server.world.builds = server.world.builds[4:]

    outcome = bench.runner.run("sample", source)

    assert outcome.removed == 0


def test_a_run_that_ran_again_comes_again(server: Server) -> None:
    """Finished things that are run again later are seen: they have a new end, by which they are asked for."""
    cursor = server.pages()[-1].cursor
    server.world.builds[1] |= {"result": "succeeded", "finishTime": "2026-03-01T08:00:00Z"}

    runs = server.read(PipelineRun, cursor)

    assert runs["run/2"].result is Result.SUCCESS


# ---- deployments by rules

DEPLOY: dict[str, Any] = {
    "own_deployments": False,
    "deployments": [{"pipeline": "release", "job": "Deploy*", "to": "production"}],
}


def _timeline(*records: Mapping[str, Any]) -> dict[int, list[dict[str, Any]]]:
    return {4: [dict(r) for r in records]}


def test_each_attempt_of_a_stage_is_a_deployment(server: Server) -> None:
    """A stage fails and succeeds when it is run again: both happened, each at its own time."""
    found = server.read(Deployment, **DEPLOY)

    assert sorted((d.finished_at.minute, d.result, d.service, d.environment) for d in found.values()) == [
        (3, Result.FAILURE, "web", "production"),
        (4, Result.SUCCESS, "web", "production"),
    ]
    assert {d.pipeline_run_native_id for d in found.values()} == {"run/4"}


def test_a_job_that_may_fail_and_failed_deployed_nothing(server: Server) -> None:
    """The run is green, its deploying job failed and was allowed to: no deployment."""
    server.world.timelines = _timeline(
        record("Stage", "Deploy", "succeededWithIssues"),
        record("Task", "Push", "failed", "Stage Deploy"),
    )

    assert server.read(Deployment, **DEPLOY) == {}


def test_issues_without_a_failed_task_are_no_failure(server: Server) -> None:
    """A step that may fail was left out, and the rest of the job deployed."""
    server.world.timelines = _timeline(
        record("Stage", "Deploy", "succeededWithIssues"),
        record("Task", "Lint", "succeededWithIssues", "Stage Deploy"),
    )

    assert [d.result for d in server.read(Deployment, **DEPLOY).values()] == [Result.SUCCESS]


def test_a_later_stage_that_runs_again_moves_no_deployment(server: Server) -> None:
    """A check of a December run is run again in January: the deployment stays; the deploying stage's time counts."""
    before = server.read(Deployment, **DEPLOY)
    server.world.builds[3] |= {"finishTime": "2026-03-01T08:00:00Z", "lastChangedDate": "2026-03-01T08:00:00Z"}

    assert server.read(Deployment, **DEPLOY) == before


def test_three_jobs_deploy_three_services(server: Server) -> None:
    """One run deploys three services: three deployments."""
    rule = {"pipeline": "release", "job": "/Deploy (?P<name>[a-z]+)/", "service": "{name}"}
    server.world.timelines = _timeline(
        record("Stage", "__default", "succeeded"),
        *(record("Job", f"Deploy {name}", "succeeded", "Stage __default") for name in ("api", "web", "jobs")),
    )

    found = server.read(Deployment, own_deployments=False, deployments=[rule])

    assert {d.service for d in found.values()} == {"api", "web", "jobs"}


def test_a_run_without_stages_deploys_by_its_jobs(server: Server) -> None:
    """A pipeline without stages has one that nobody named: a rule for any job takes its jobs, and not that stage."""
    server.world.timelines = _timeline(
        record("Stage", "__default", "succeeded"),
        record("Job", "Deploy api", "succeeded", "Stage __default"),
        record("Job", "Deploy web", "succeeded", "Stage __default"),
    )

    found = server.read(Deployment, own_deployments=False, deployments=[{"pipeline": "release", "job": "*"}])

    assert len(found) == 2


def test_the_jobs_of_a_stage_that_deploys_are_parts_of_it(server: Server) -> None:
    """A stage and a job in it that fit one rule are one deployment."""
    server.world.timelines = _timeline(
        record("Stage", "Deploy", "succeeded"), record("Job", "Deploy web", "succeeded", "Stage Deploy")
    )

    assert len(server.read(Deployment, **DEPLOY)) == 1


@pytest.mark.parametrize("result", ["canceled", "skipped", "abandoned"])
def test_what_was_not_carried_out_deployed_nothing(server: Server, result: str) -> None:
    """Cancelled, skipped, abandoned: neither success nor failure."""
    server.world.timelines = _timeline(record("Stage", "Deploy", result))

    assert server.read(Deployment, **DEPLOY) == {}


def test_records_of_two_runs_do_not_share_an_id(server: Server) -> None:
    """A stage has the same id in all runs of a pipeline, and still deploys in each."""
    again = {**server.world.builds[3], "id": 6}
    server.world.builds.append(again)
    stage = record("Stage", "Deploy", "succeeded")
    server.world.timelines = {4: [stage], 6: [stage]}

    assert len(server.read(Deployment, **DEPLOY)) == 2


def test_timelines_are_asked_for_where_a_rule_may_take_a_job(server: Server) -> None:
    """A rule for the jobs of one pipeline costs requests for that pipeline's runs alone."""
    server.pages(**DEPLOY)

    assert [request.path.split("/")[4] for request in server.asked("/timeline")] == ["4"]


def test_a_run_without_a_timeline_is_a_run(server: Server) -> None:
    """The timeline of an old run is gone: the run is there, and deployed nothing that is known."""
    server.world.timelines = {}

    assert "run/4" in server.read(PipelineRun, **DEPLOY)


def test_an_earlier_attempt_that_is_gone_costs_itself(server: Server) -> None:
    """What is left of an earlier attempt was deleted: the newest attempt counts."""
    server.world.earlier = {}

    assert [d.result for d in server.read(Deployment, **DEPLOY).values()] == [Result.SUCCESS]


def test_a_rule_for_whole_runs_needs_no_timeline(server: Server) -> None:
    """A pipeline that deploys as a whole is known from its run."""
    found = server.read(Deployment, own_deployments=False, deployments=[{"pipeline": "release"}])

    assert [(d.service, d.environment, d.sha) for d in found.values()] == [("web", "production", sha("c"))]
    assert server.asked("/timeline") == []


# ---- the system's own deployments

OWN: dict[str, Any] = {"own_deployments": True, "deployments": []}


def test_deployments_to_environments_are_of_the_commit_of_their_run(server: Server) -> None:
    """The record names its run; the run names repository, commit and branch. Cancelled and waiting ones are none."""
    found = server.read(Deployment, **OWN)

    assert {i for i in found if i.startswith("environment")} == {"environment/1/1", "environment/1/3"}
    first = found["environment/1/1"]
    assert (first.service, first.environment, first.sha, first.ref) == ("web", "production", sha("c"), "main")
    assert first.finished_at == datetime(2026, 2, 21, 9, 5, tzinfo=UTC)


def test_a_deployment_whose_run_is_gone_counts_without_a_commit(server: Server) -> None:
    """A deployment whose commit is unknown counts, and says so."""
    found = server.read(Deployment, **OWN)["environment/1/3"]

    assert (found.service, found.repository, found.sha, found.result) == ("release", None, None, Result.FAILURE)


def test_an_environment_is_called_as_a_rule_says(server: Server) -> None:
    """A rule for an environment names service and place of what the system deployed."""
    rule = {"environment": "production", "service": "shop", "to": "eu"}

    found = server.read(Deployment, own_deployments=True, deployments=[rule])

    assert {(d.service, d.environment) for i, d in found.items() if i.startswith("environment/1")} == {("shop", "eu")}


def test_a_deployment_under_way_holds_the_cursor(server: Server) -> None:
    """The cursor never passes the oldest unfinished one, however many ended after it."""
    server.only(environments=[{"id": 1, "name": "production"}])
    ended = [deployed(n, 1, "succeeded", f"2026-02-2{n}T09:05:00Z") for n in range(4, 9)]
    server.world.deployed = {1: [deployed(1, 1, None, None), *ended]}
    cursor = server.pages(**OWN)[-1].cursor
    server.world.deployed[1][0] |= {"result": "succeeded", "finishTime": "2026-02-26T09:05:00Z"}

    assert "environment/1/1" in server.read(Deployment, cursor, **OWN)


def test_old_deployments_are_not_read_again(server: Server) -> None:
    """Newest first: reading ends where everything is older than what is known."""
    server.only(environments=[{"id": 1, "name": "production"}])
    server.world.deployed = {1: [deployed(n, 1, "succeeded", f"2026-02-2{n}T09:05:00Z") for n in range(1, 8)]}
    cursor = server.pages(**OWN)[-1].cursor
    before = len(server.asked("environmentdeploymentrecords"))

    server.pages(cursor, **OWN)

    assert (before, len(server.asked("environmentdeploymentrecords")) - before) == (4, 2)


def test_a_classic_release_is_dated_at_its_end(server: Server) -> None:
    """A later change of the record moves nothing: its time is that of its success."""
    server.only(released=[released(1, "succeeded", "Approved", lastModifiedOn="2026-03-01T08:00:00Z")])

    found = server.read(Deployment, **OWN)["release/1"]

    assert found.finished_at == datetime(2026, 2, 22, 10, 5, 0, 500000, tzinfo=UTC)
    assert (found.service, found.environment, found.version) == ("web", "PROD", "Release-2")
    assert (found.repository, found.sha, found.ref) == ("Web Shop/web", sha("c"), "main")
    assert (found.artifact, found.pipeline_run_native_id) == ("20260220.1", "run/1")


def test_an_operation_that_failed_with_a_capital_letter_failed(server: Server) -> None:
    """The server writes `PhaseFailed` and `Canceled` where its description says `phaseFailed` and `canceled`."""
    server.only(released=[released(1, "Failed", "PhaseFailed"), released(2, "Failed", "Canceled")])

    assert {i: d.result for i, d in server.read(Deployment, **OWN).items()} == {"release/1": Result.FAILURE}


@pytest.mark.parametrize(
    ("status", "operation"),
    [
        ("notDeployed", "Rejected"),
        ("notDeployed", "Pending"),
        ("inProgress", "PhaseInProgress"),
        ("failed", "Canceled"),
        ("failed", "Rejected"),
    ],
)
def test_a_release_that_nobody_let_finish_is_no_deployment(server: Server, status: str, operation: str) -> None:
    """Rejected, cancelled, waiting: neither success nor failure."""
    server.only(released=[released(1, status, operation)])

    assert server.read(Deployment, **OWN) == {}


def test_a_release_that_ends_while_a_long_pass_goes_on_is_read_by_the_next(server: Server) -> None:
    """The order is that of ids: what a later page holds may be newer than the end of what was read as under way."""
    under_way = {"completedOn": None, "lastModifiedOn": "2026-03-02T08:50:00Z"}
    newest = {"completedOn": "2026-03-02T15:00:00Z", "lastModifiedOn": "2026-03-02T15:00:00Z"}
    others = [released(n, "succeeded", "approved") for n in (2, 3)]
    server.only(released=[released(1, "inProgress", "phaseInProgress", **under_way), *others])
    first = next(p for p in server.pages(**OWN) if any(isinstance(e, Deployment) for e in p.events))
    server.world.released[0] = released(
        1, "succeeded", "approved", completedOn="2026-03-02T10:00:00Z", lastModifiedOn="2026-03-02T10:00:00Z"
    )
    server.world.released.append(released(4, "succeeded", "approved", **newest))

    second = server.pages(first.cursor, **OWN)

    assert "release/1" in server.read(Deployment, second[-1].cursor, **OWN)


def test_a_release_without_an_end_is_set_aside(server: Server) -> None:
    """An older server does not say when a deployment ended: it is rejected, and nothing is guessed."""
    server.only(released=[released(1, "succeeded", "Approved", completedOn=None)])

    pages = server.pages(**OWN)

    assert [str(r) for page in pages for r in page.rejected] == ["release/1: it has ended and no time of its end"]


def test_a_release_that_carries_a_repository_is_of_its_commit(server: Server) -> None:
    """An artifact that is a repository itself names its commit as its version."""
    source = {"id": guid("docs"), "name": "docs"}
    carried = {"definition": source, "version": {"id": sha("e")}, "branches": {"id": "main"}}
    server.world.releases[0]["artifacts"] = [{**ARTIFACT, "type": "Git", "definitionReference": carried}]

    found = server.read(Deployment, **OWN)["release/1"]

    assert (found.repository, found.sha, found.artifact) == ("Web Shop/docs", sha("e"), None)


def test_a_release_of_nothing_known_counts(server: Server) -> None:
    """Two artifacts and none of them primary: the deployment counts, without repository and commit."""
    two = [{**ARTIFACT, "isPrimary": False}, {**ARTIFACT, "isPrimary": False, "alias": "other"}]
    server.world.releases[0]["artifacts"] = two

    found = server.read(Deployment, **OWN)["release/1"]

    assert (found.service, found.repository, found.sha) == ("Web CD", None, None)


def test_classic_releases_can_be_left_out(server: Server) -> None:
    """A token without that scope is enough where nobody uses them."""
    server.pages(**OWN, releases=False)

    assert server.asked("release/deployments", "release/releases") == []


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://dev.azure.com/shop", "https://vsrm.dev.azure.com/shop"),
        ("https://shop.visualstudio.com", "https://shop.vsrm.visualstudio.com"),
        ("https://ado.example/tfs/shop", "https://ado.example/tfs/shop"),
        ("https://dev.azure.com.example/shop", "https://dev.azure.com.example/shop"),
    ],
)
def test_classic_releases_are_asked_of_their_own_host(context: SourceContext, url: str, where: str) -> None:
    """The cloud has another host for them; a server of one's own does not, whatever it is called."""
    stand_in = Provider(where, with_etags=False)
    stand_in.route(".*")(lambda *_: Reply({"count": 0, "value": []}))
    wire = Wire(adapter=_Anywhere(stand_in, where, url), sleep=lambda _: None)

    list(settings(**OWN, url=url).build(replace(context, wire=wire)).pull(None))

    assert any(r.path.endswith("release/deployments") and r.url.startswith(f"{where}/") for r in stand_in.asked)


class _Anywhere(Provider):
    """Two hosts behind one stand-in."""

    def __init__(self, inner: Provider, *bases: str) -> None:
        super().__init__("")
        self.inner, self.bases = inner, bases

    def send(self, request: Any, **more: Any) -> Any:  # type: ignore[override] # as one
        """Answer as whichever base was asked."""
        self.inner.base = next(base for base in self.bases if str(request.url).startswith(f"{base}/"))
        return self.inner.send(request, **more)


# ---- how it is asked


def test_every_page_is_read(server: Server) -> None:
    """The server gives fewer items than it is asked for: everything is read, whatever the list."""
    server.only(
        pull_requests=[
            pull_request(n, "completed", "2026-02-20T08:00:00Z", f"2026-02-21T08:00:0{n}Z") for n in range(1, 8)
        ],
        builds=[build(n, "succeeded", f"2026-02-20T08:05:0{n}Z") for n in range(1, 8)],
        released=[released(n, "succeeded", "Approved") for n in range(1, 8)],
    )

    events = [e for page in server.pages(**OWN) for e in page.events]

    assert [len([e for e in events if isinstance(e, kind)]) for kind in (Change, PipelineRun, Deployment)] == [7, 7, 7]


def test_items_of_one_second_are_read_once_each(server: Server) -> None:
    """Several share the boundary second: none is lost, and those read again are the same."""
    closed = "2026-02-25T08:00:00Z"
    server.only(pull_requests=[pull_request(1, "completed", "2026-02-20T08:00:00Z", closed)])
    cursor = server.pages()[-1].cursor
    server.world.pull_requests.append(pull_request(2, "completed", "2026-02-20T08:00:00Z", closed))

    assert set(server.read(Change, cursor)) == {"1", "2"}


def test_a_second_run_asks_from_what_was_read(server: Server) -> None:
    """The cursor comes from data, less the overlap, and goes out as RFC 3339."""
    cursor = server.pages(overlap="1h")[-1].cursor
    server.provider.asked.clear()

    server.pages(cursor, overlap="1h")

    builds = [r for r in server.asked("build/builds") if r.one("queryOrder")]
    closed = [r for r in server.asked("git/pullrequests") if r.one("searchCriteria.minTime")]
    assert builds[0].one("minTime") == "2026-02-21T07:05:00Z"
    assert {r.one("searchCriteria.minTime") for r in closed} == {"2026-02-24T08:00:00Z"}


def test_a_first_read_goes_month_by_month(server: Server) -> None:
    """A long history is read in months, so that an interruption costs one of them; the last one has no end."""
    server.pages(history="100d")

    closed = [r for r in server.asked("git/pullrequests") if r.one("searchCriteria.minTime")]
    spans = list(dict.fromkeys((r.one("searchCriteria.minTime"), r.one("searchCriteria.maxTime")) for r in closed))
    assert [(a[:10], b[:10]) for a, b in spans] == [
        ("2025-11-22", "2025-12-22"),
        ("2025-12-22", "2026-01-21"),
        ("2026-01-21", "2026-02-20"),
        ("2026-02-20", ""),
    ]


def test_an_interrupted_read_goes_on_in_its_month(server: Server) -> None:
    """What was read of months that are over is not read again."""
    pages = server.pages(history="100d")
    closed = [e.native_id for e in pages[2].events if isinstance(e, Change)]
    server.provider.asked.clear()

    server.pages(pages[2].cursor, history="100d")

    again = [r for r in server.asked("git/pullrequests") if r.one("searchCriteria.minTime")]
    assert (closed, again[0].one("searchCriteria.minTime")[:10]) == (["1"], "2026-01-21")


def test_a_clock_that_is_wrong_loses_nothing(server: Server) -> None:
    """The server's clock is ahead: the newest span has no end, so there is no window in the future."""
    ahead = (NOW + timedelta(hours=5)).isoformat().replace("+00:00", "Z")
    server.only(pull_requests=[pull_request(1, "completed", "2026-02-20T08:00:00Z", ahead)])

    assert set(server.read(Change)) == {"1"}


@pytest.mark.parametrize("name", ["searchCriteria.minTime", "minTime", "minModifiedTime"])
def test_a_server_that_takes_no_notice_of_a_time_is_an_error(server: Server, name: str) -> None:
    """`since` goes out as RFC 3339; an item from before it proves that it was ignored."""
    server.only(
        pull_requests=[pull_request(1, "completed", "2025-12-20T08:00:00Z", "2025-12-21T08:00:00Z")],
        builds=[build(1, "succeeded", "2025-12-20T08:05:00Z")],
        released=[released(1, "succeeded", "approved", lastModifiedOn="2025-12-20T08:05:00Z")],
    )
    server.provider.routes = [(m, path, _deaf(handler, name)) for m, path, handler in server.provider.routes]

    with pytest.raises(ContractError, match=f"takes no notice of `{name}`"):
        server.pages(**OWN)


def _deaf(handler: Callable[..., Reply], name: str) -> Callable[..., Reply]:
    """A handler that does not know a parameter."""

    def answer(asked: Request, **named: str) -> Reply:
        return handler(asked._replace(query={n: v for n, v in asked.query.items() if n != name}), **named)

    return answer


def test_a_sign_in_page_names_the_token(server: Server) -> None:
    """A wrong token gets a page for signing in, as a success: the error says so, and the run ends at once."""
    page = Reply(status=203, body=b"<html><title>Sign In</title></html>", headers={"Content-Type": "text/html"})
    server.provider.routes = [(method, path, lambda *_, **__: page) for method, path, _ in server.provider.routes]

    with pytest.raises(AuthError, match="203 with its sign-in page: the token is wrong, has expired"):
        server.pages()


def test_a_redirect_to_a_sign_in_is_not_followed(server: Server) -> None:
    """A token never goes to the host that people sign in at."""
    away = Reply(status=302, headers={"Location": "https://spsprodeus.example/_signin"})
    server.provider.routes = [(method, path, lambda *_, **__: away) for method, path, _ in server.provider.routes]

    with pytest.raises(ContractError, match="redirected to another server"):
        server.pages()


@pytest.mark.parametrize(
    ("bearer", "header"),
    [(True, "Bearer t0ken-of-the-sample"), (False, f"Basic {b64encode(b':t0ken-of-the-sample').decode()}")],
)
def test_a_token_goes_in_the_header_of_its_kind(server: Server, *, bearer: bool, header: str) -> None:
    """A personal access token is a password without a user; one of Entra ID is a bearer token."""
    server.pages(bearer=bearer)

    assert {r.headers["authorization"] for r in server.provider.asked} == {header}


def test_a_server_that_is_busy_is_waited_for(server: Server) -> None:
    """429 with `Retry-After`: the wait is the server's, and the run goes on."""
    limits = {"Retry-After": "7", "X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "200"}
    server.provider.faults = {3: Reply({}, status=429, headers=limits)}

    server.pages()

    assert server.slept == [7.0]


def test_a_server_that_answers_and_asks_for_patience_gets_it(server: Server) -> None:
    """`Retry-After` on a success: the server delays before it refuses, and is left alone for that long."""
    server.provider.faults = {1: Reply({"count": 0, "value": []}, headers={"Retry-After": "5"})}

    server.pages()

    assert server.slept == [5.0]


def test_what_is_left_of_the_limit_is_known(server: Server) -> None:
    """The server says on any answer how much of its throughput is left."""
    limits = {"X-RateLimit-Remaining": "150", "X-RateLimit-Limit": "200", "X-RateLimit-Resource": "Collection/Core"}
    server.provider.faults = {1: Reply({"count": 0, "value": []}, headers=limits)}
    wire = Wire(adapter=server.provider, sleep=lambda _: None)

    list(settings().build(replace(server.context, wire=wire)).pull(None))

    assert wire.traffic.quota["Collection/Core"].remaining == 150


def test_a_project_that_is_gone_costs_itself(server: Server) -> None:
    """Another project is unknown to the server: it is reported as cut off, and the first one is read."""
    pages = server.pages(projects=[PROJECT, "Gone"])

    assert {e.native_id for page in pages for e in page.events if isinstance(e, Change)} == {"1", "2", "3", "4", "5"}
    assert len([t for page in pages for t in page.truncations if "Gone" in t]) == 4


def test_what_it_costs_is_what_it_says(server: Server) -> None:
    """100 merged pull requests cost their pages and 100 requests for threads; 100 runs cost their pages."""
    server.only(pull_requests=[_merged(n) for n in range(100)], builds=[_green(n) for n in range(400)])
    server.provider.routes = provider(server.world, most=1000).routes

    server.pages(own_deployments=False, deployments=[{"pipeline": "ci"}], history="10d")

    assert (len(server.asked("/threads")), len(server.asked("git/pullrequests"))) == (100, 3)
    assert len([r for r in server.asked("build/builds") if r.one("queryOrder")]) == 2


def _merged(number: int) -> dict[str, Any]:
    return pull_request(number, "completed", "2026-02-22T08:00:00Z", "2026-02-25T08:00:00Z")


def _green(number: int) -> dict[str, Any]:
    return build(number, "succeeded", "2026-02-25T08:05:00Z")


UNDESCRIBED = ("/distributedtask/", "/timeline")
"""Environments are in no published description; of a timeline only the form with an id is."""


def _description(path: str) -> Path:
    area = next(a for a in ("git", "build", "release") if f"/_apis/{a}/" in path)
    return DESCRIBED / f"azuredevops-{area}.json"


@pytest.mark.skipif(not DESCRIBED.is_dir(), reason="the provider's descriptions are not here")
def test_what_is_asked_and_answered_is_as_described(server: Server) -> None:
    """Each request of a run is one that the published description knows, and so is each answer of the stand-in."""
    server.pages(**OWN)
    described = [r for r in server.provider.asked if not any(word in r.path for word in UNDESCRIBED)]

    found = [
        violation
        for asked in described
        for violation in openapi.check(_description(asked.path), asked, 200, _answer(server, asked), base="shop")
    ]

    assert found == []
    assert len(described) > 10


@pytest.mark.skipif(not DESCRIBED.is_dir(), reason="the provider's descriptions are not here")
def test_a_timeline_is_as_described(server: Server) -> None:
    """The stages and jobs of the stand-in have the published shape, also those of earlier attempts."""
    server.pages()
    earlier = [r for r in server.provider.asked if "/timeline/" in r.path]

    found = [openapi.check(_description(r.path), r, 200, _answer(server, r), base="shop") for r in earlier]

    assert found == [[]]


def _answer(server: Server, asked: Request) -> bytes:
    return server.provider._reply(asked).bytes()


# ---- commits


@contextlib.contextmanager
def _over_http(folder: Path) -> Iterator[str]:
    """A bare repository as plain files over HTTP: git takes no path where a server's address stands."""

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_commits_are_read_through_a_clone_of_each_repository(server: Server, repository: Any) -> None:
    """A repository is cloned from where browsers find it, under the name that its changes carry."""
    first = repository.commit(at=1)
    clone = clone_path(server.context, f"{BASE}/Web%20Shop/_git/web")
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(clone))
    second = repository.commit(at=2)
    repository.git("update-server-info")

    with _over_http(repository.path / ".git") as url:
        repository.git(f"--git-dir={clone}", "remote", "set-url", "origin", url)
        commits = server.read(Commit, commits=True, exclude=["docs"])

    assert {(c.sha, c.repository) for c in commits.values()} == {(first, "Web Shop/web"), (second, "Web Shop/web")}


def test_a_disabled_repository_is_not_cloned(server: Server) -> None:
    """A repository that was disabled answers nobody, and is left alone."""
    server.world.repositories = [one | {"isDisabled": True} for one in server.world.repositories]

    pages = server.pages(commits=True)

    assert [t for page in pages for t in page.truncations] == []


# ---- settings


def test_a_project_must_be_named() -> None:
    """Nothing to read is a mistake of the settings."""
    with pytest.raises(ValidationError, match="projects"):
        settings(projects=[])


# ---- service hooks


def _delivery(authorization: str) -> Delivery:
    return Delivery(headers={"authorization": authorization} if authorization else {}, body=b"{}", received_at=NOW)


@pytest.mark.parametrize(
    ("authorization", "genuine"),
    [
        (f"Basic {b64encode(f'paceline:{SECRET}'.encode()).decode()}", True),
        (f"Bearer {SECRET}", True),
        (f"Basic {b64encode(f'{SECRET}:paceline'.encode()).decode()}", False),
        ("Basic not base64", False),
        ("Bearer ", False),
        ("", False),
    ],
)
def test_a_hook_is_known_by_its_secret(context: SourceContext, authorization: str, *, genuine: bool) -> None:
    """The secret is the password of basic authentication, or a bearer token; nothing else opens."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert receiver.is_genuine(_delivery(authorization)) is genuine


def test_without_a_secret_nothing_is_received(context: SourceContext) -> None:
    """Write endpoints are closed unless a secret is set."""
    assert settings().receiver(context) is None


def test_a_pushed_pull_request_is_the_polled_one(server: Server, deliver: Callable[..., Received]) -> None:
    """The same native id by hook and by polling is one, and what polling knows beyond it stays."""
    polled = server.read(Change)["1"]
    [pushed] = deliver("git.pullrequest.updated", server.world.pull_requests[0]).events

    assert isinstance(pushed, Change)
    assert (pushed.id, pushed.updated_at, pushed.merge_sha) == (polled.id, polled.updated_at, polled.merge_sha)
    assert (pushed.ready_at, polled.ready_at is not None) == (None, True)


@pytest.mark.parametrize("pushed_first", [True, False])
def test_a_push_takes_nothing_from_what_was_polled(
    server: Server, deliver: Callable[..., Received], bench: Any, *, pushed_first: bool
) -> None:
    """Whichever comes first, the store holds when the pull request was ready, which only polling knows."""
    polled = server.read(Change)["1"]
    [pushed] = deliver("git.pullrequest.merged", server.world.pull_requests[0]).events

    for event in (pushed, polled) if pushed_first else (polled, pushed):
        bench.write(event)

    assert [e.ready_at for e in bench.store.events(Change)] == [polled.ready_at]


def test_a_pushed_run_is_the_polled_one(server: Server, deliver: Callable[..., Received]) -> None:
    """A finished run that names its repository is the very event that polling gives."""
    whole = {**server.world.builds[0], "repository": {**server.world.builds[0]["repository"], "name": "web"}}

    received = deliver("build.complete", whole)

    assert list(received.events) == [server.read(PipelineRun)["run/1"]]


def test_a_merge_without_a_time_is_kept(deliver: Callable[..., Received]) -> None:
    """The state says merged and the time is missing: kept, without a time, never guessed."""
    [change] = deliver("git.pullrequest.merged", pull_request(7, "completed", "2026-02-20T08:00:00Z")).events

    assert isinstance(change, Change)
    assert (change.state, change.merged_at) == (ChangeState.MERGED, None)


def test_a_run_that_a_rule_takes_deploys_when_it_is_pushed(server: Server, deliver: Callable[..., Received]) -> None:
    """A run that deploys as a whole is a deployment at once."""
    other = server.world.builds[1]

    received = deliver("build.complete", other, deployments=[{"pipeline": "ci"}])

    assert [type(e) for e in received.events] == [PipelineRun, Deployment]


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("build.complete", {"id": 2, "status": "succeeded", "definition": {"id": 2, "name": "ci"}}),
        ("build.complete", {"id": "two"}),
        ("git.pullrequest.created", {"pullRequestId": 1}),
        ("ms.vss-release.deployment-completed-event", {"environment": {"id": 5, "status": "succeeded"}}),
    ],
    ids=["an old shape", "no number", "no repository", "no deployment"],
)
def test_a_hook_that_cannot_be_used_is_rejected(deliver: Callable[..., Received], kind: str, resource: Any) -> None:
    """A kind that is read and does not say enough is kept and listed, rather than answered 200 and gone."""
    received = deliver(kind, resource)

    assert (received.events, len(received.rejected), received.ignored) == ([], 1, "")


def test_a_pushed_release_is_the_polled_one(server: Server, deliver: Callable[..., Received]) -> None:
    """A finished deployment of a classic release that carries its artifacts is the very event that polling gives."""
    one = released(1, "succeeded", "Approved")
    one["release"]["artifacts"] = [ARTIFACT]

    received = deliver("ms.vss-release.deployment-completed-event", {"deployment": one})

    assert [e.id for e in received.events] == [server.read(Deployment, **OWN)["release/1"].id]
    assert [getattr(e, "sha", None) for e in received.events] == [sha("c")]


def test_other_kinds_are_ignored_by_name(deliver: Callable[..., Received]) -> None:
    """An event of a kind that is not read says which."""
    assert deliver("workitem.created", {"id": 5}).ignored == "events of the kind 'workitem.created' are not read"


def test_a_hook_of_another_repository_is_left_out(server: Server, deliver: Callable[..., Received]) -> None:
    """What polling would not read is not taken from a hook either."""
    assert list(deliver("git.pullrequest.updated", server.world.pull_requests[0], exclude=["web"]).events) == []


def test_the_same_delivery_has_the_same_id(deliver: Callable[..., Received]) -> None:
    """A replay does nothing: the system's own id of an event tells that it came again."""
    assert deliver("workitem.created", {"id": 5}).id == guid("workitem.created")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id": "1"}', b"<html>"])
def test_a_body_that_is_no_hook_is_an_error(context: SourceContext, body: bytes) -> None:
    """What names no event and no resource is no service hook."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    with pytest.raises(ContractError, match="no service hook"):
        receiver.read(Delivery(headers={}, body=body, received_at=NOW))
