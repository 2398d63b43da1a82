"""What the API and the webhooks of a Gitea or Forgejo server become."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import pytest
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from openapi import check
from providers import gitea as stand_in
from providers.gitea import (
    World,
    at,
    gitea,
    happening,
    issue,
    provider,
    pull,
    release,
    repository,
    run,
    settings,
    task,
    unmerged,
    user,
    workflow_job,
    workflow_run,
    world,
)
from replay import Provider, Reply

from collector.errors import ContractError
from collector.events import (
    Change,
    ChangeState,
    Deployment,
    Event,
    Incident,
    IncidentState,
    PipelineRun,
    Result,
    Review,
    ReviewState,
    RunKind,
    RunState,
    Ticket,
)
from collector.http import Wire
from collector.people import People
from collector.source import Page, SourceContext
from collector.sources.gitea import GiteaConfig
from collector.streams import Notes
from collector.webhooks import Delivery, Received

E = TypeVar("E", bound=Event)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "the-secret-of-hooks"  # noqa: S105 - planted
DEPLOYS = [{"job": "deploy-*", "to": "production"}]
DESCRIBED = Path(__file__).parents[3] / "shared" / "openapi" / "forgejo.json"
NO_TIME = "1970-01-01T01:00:00+01:00"


def time(day: int, hour: int = 9, minute: int = 0) -> datetime:
    """A time of February 2026 as events have it."""
    return datetime.fromisoformat(at(day, hour, minute))


def alone(**lists: Any) -> World:
    """A world of one repository that holds the given lists and nothing else."""
    return World(repositories=[repository(1, "shop/api")], **lists)


Reads = Callable[..., list[Page]]


@pytest.fixture
def pages(context: SourceContext) -> Reads:
    """Reads a world, or asks an API, from a cursor on; at another time than now where one is given."""

    def read(
        held: World | Provider, cursor: str | None = None, *, now: datetime = NOW, since: Any = None, **more: Any
    ) -> list[Page]:
        api = held if isinstance(held, Provider) else provider(held)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        lent = replace(context, wire=wire, clock=lambda: now, since=since)
        return list(settings(**more).build(lent).pull(cursor))

    return read


def of(kind: type[E], pages: Sequence[Page]) -> list[E]:
    """The events of a kind, in order."""
    return [e for e in chain.from_iterable(p.events for p in pages) if isinstance(e, kind)]


def by_id(kind: type[E], pages: Sequence[Page]) -> dict[str, E]:
    """The events of a kind by their own ids."""
    return {e.native_id: e for e in of(kind, pages)}


# ---- the official description


@pytest.mark.skipif(not DESCRIBED.is_file(), reason="the description of the API is not here")
def test_what_is_asked_and_answered_is_as_described(pages: Reads) -> None:
    """Every request exists with its parameters, and every body of the stand-in fits the schema of its response."""
    api = provider(world())
    before = pages(api)
    pages(api, before[-1].cursor, now=NOW + timedelta(days=1))
    pages(api, repositories=["shop/api"], organisations=["ada"])

    found = [(a, api._reply(a)) for a in api.asked]

    assert [what for asked, r in found for what in check(DESCRIBED, asked, r.status, r.bytes())] == []


# ---- changes and reviews


def test_the_merge_commit_is_the_merge_else_the_head(pages: Reads) -> None:
    """Squash or rebase merge → the merge commit, then the rebased head commit."""
    found = by_id(Change, pages(world()))

    assert (found["1001"].merge_sha, found["1002"].merge_sha) == (f"{0xFF01:040x}", f"{2:040x}")


def test_a_request_closed_without_a_merge_is_not_merged(pages: Reads) -> None:
    """A pull request closed without a merge → no change; only a merge time makes one."""
    (change,) = of(Change, pages(alone(pulls=[unmerged(4, "closed")])))

    assert (change.state, change.merged_at, change.merge_sha) == (ChangeState.CLOSED, None, None)


def test_a_merge_without_a_time_is_kept_without_one(pages: Reads) -> None:
    """State says merged but the merge time is null → kept, never guessed."""
    (change,) = of(Change, pages(alone(pulls=[pull(1, merged_at=None)])))

    assert (change.state, change.merged_at) == (ChangeState.MERGED, None)


def test_the_first_commit_is_the_oldest_of_the_request(pages: Reads) -> None:
    """The first commit is the oldest one by its author's clock."""
    change = by_id(Change, pages(world()))["1001"]

    assert (change.first_commit_at, change.commit_shas) == (time(8), ("d" * 40, "c" * 40))


@pytest.mark.parametrize(
    ("titles", "ready_at"),
    [
        ([], time(10)),
        ([("WIP: it", "it", 11)], time(11)),
        ([("it", "[wip] it", 11)], time(10)),
        ([("it", "WIP: it", 11), ("WIP: it", "it", 12)], time(12)),
        ([("it", "that", 11)], time(10)),
    ],
)
def test_review_waits_from_when_a_request_was_ready(
    pages: Reads, titles: list[tuple[str, str, int]], ready_at: datetime
) -> None:
    """Draft opened Monday, ready Thursday, merged Thursday → review waiting starts at ready."""
    said = [
        happening(n, "change_title", at(day), user(), old_title=old, new_title=new)
        for n, (old, new, day) in enumerate(titles)
    ]

    (change,) = of(Change, pages(alone(pulls=[pull(1)], timelines={1: said})))

    assert change.ready_at == ready_at


@pytest.mark.parametrize("title", ["WIP: it", "[WIP] it", " wip: it"])
def test_a_draft_is_told_by_its_title_where_nothing_else_does(pages: Reads, title: str) -> None:
    """Older servers mark a draft by its title alone."""
    (change,) = of(Change, pages(alone(pulls=[unmerged(3, title=title, draft=None)])))

    assert (change.state, change.ready_at) == (ChangeState.WIP, None)


def test_reviews_are_what_others_said_or_decided(pages: Reads) -> None:
    """First comment is by the author, by a bot → not the first review; what was only asked for is none."""
    found = [(r.native_id, r.state, r.bot, r.author is None) for r in of(Review, pages(world()))]

    assert sorted(found) == [
        ("comment/13", ReviewState.COMMENTED, False, False),
        ("comment/15", ReviewState.COMMENTED, True, False),
        ("review/3", ReviewState.DISMISSED, False, False),
        ("review/4", ReviewState.APPROVED, False, False),
        ("review/5", ReviewState.COMMENTED, False, True),
    ]


def test_deleted_accounts_unknown_values_and_missing_fields_cost_no_record(pages: Reads) -> None:
    """`user: null`, missing optional fields, new enum values → record survives; the unknown value is counted."""
    read = pages(world())

    assert {by_id(Change, read)[n].author for n in ("1003",)} == {None}
    assert by_id(Change, read)["1005"].state is ChangeState.OPEN
    assert [w for p in read for w in p.warnings] == [
        "the state of a pull request 'frozen' is not known here; it is taken as open",
        "the state of a review 'PONDERED' is not known here; it is taken as a comment",
        "the status of a run 'pondering' is not known here; it is taken as pending",
    ]


def test_one_broken_item_is_set_aside(pages: Reads) -> None:
    """An item without its times is named and left out; those beside it are kept."""
    held = alone(pulls=[pull(1), pull(2)])
    api = provider(held)
    broken = Reply([pull(2, created_at=None), pull(1)], headers={"X-Total-Count": "2"})
    api.routes.insert(0, ("GET", api.routes[3][1], lambda *_, **__: broken))

    read = pages(api)

    assert [c.number for c in of(Change, read)] == [1]
    assert [r.location for p in read for r in p.rejected] == [
        "GET https://git.example.com/repos/shop/api/pulls item 1 (id 1002)"
    ]


def minute(number: int) -> str:
    """Times of their own for a thousand things."""
    return at(12, number // 60, number % 60)


THOUSAND: dict[str, Callable[[], World]] = {
    "merged pull requests": lambda: alone(pulls=[pull(n, updated_at=minute(n)) for n in range(1000)]),
    "pull requests that are open or closed": lambda: alone(
        pulls=[unmerged(n, updated_at=minute(n)) for n in range(1000)]
    ),
    "runs of Gitea": lambda: alone(
        runs=[workflow_run(n, "success", minute(n), minute(n)) for n in range(1000)], product="gitea"
    ),
    "runs of Forgejo with ten jobs each": lambda: alone(
        runs=[run(200 + n, "success", minute(n), minute(n)) for n in range(1000)],
        tasks=[task(2000 + n, "job", "success", minute(n // 10), minute(n // 10)) for n in range(10_000)],
    ),
    "releases": lambda: alone(releases=[release(n, f"v{n}", minute(n)) for n in range(1000)]),
}
EMPTY = {"pulls", "issues", "releases", "runs"}
"""The lists that cost a request although nothing is in them."""


@pytest.mark.parametrize(("what", "told"), GiteaConfig.about.costs[:-1])
def test_what_is_told_of_costs_holds(pages: Reads, what: str, told: str) -> None:
    """A thousand of each cost as many requests as the source's page says, beside one for each list that is empty."""
    api = provider(THOUSAND[what]())

    pages(api, parallel=1)

    assert len(api.asked) - len(EMPTY) == int(told.partition(":")[0].replace(" ", ""))


# ---- runs and what they deploy


def test_runs_of_forgejo_and_of_gitea_are_the_same(pages: Reads) -> None:
    """Two shapes, one meaning: ids, files, refs, times and results agree."""
    forgejo, other = (by_id(PipelineRun, pages(held))["run/201/1"] for held in (world(), gitea()))

    assert (forgejo.pipeline, forgejo.ref, forgejo.sha) == ("deploy.yml", "main", "a" * 40)
    assert (forgejo.created_at, forgejo.finished_at, forgejo.result) == (time(13), time(13, 9, 31), Result.SUCCESS)
    assert replace_url(forgejo) == replace_url(other)


def replace_url(one: PipelineRun) -> dict[str, Any]:
    """The fields of a run without its address."""
    return {f: getattr(one, f) for f in one.__struct_fields__ if f != "url"}


def test_jobs_of_gitea_come_with_their_run(pages: Reads) -> None:
    """A run's own list has its jobs, each with its attempt and its run."""
    jobs = [r for r in of(PipelineRun, pages(gitea())) if r.run_kind is RunKind.TASK]

    assert sorted((j.native_id, j.parent_native_id, j.result) for j in jobs) == [
        ("job/2011/1", "run/201/1", Result.SUCCESS),
        ("job/2012/1", "run/201/1", Result.SUCCESS),
        ("job/2021/1", "run/202/1", None),
        ("job/2031/1", "run/203/1", Result.FAILURE),
    ]


def test_jobs_of_forgejo_are_its_tasks(pages: Reads) -> None:
    """Forgejo lists the times of what runners took, and names the run by its number."""
    tasks = [r for r in of(PipelineRun, pages(world())) if r.run_kind is RunKind.TASK]

    assert sorted((t.native_id, t.parent_native_id, t.task, t.result) for t in tasks) == [
        ("task/2011", "run/201/1", "build", Result.SUCCESS),
        ("task/2012", "run/201/1", "deploy-production", Result.SUCCESS),
        ("task/2021", "run/202/1", "deploy-production", None),
        ("task/2031", "run/203/1", "test", Result.FAILURE),
    ]


def test_an_older_server_tells_tasks_alone(pages: Reads) -> None:
    """Where runs are not listed their jobs still are, and deploy."""
    held = world()
    held.product = "old"

    read = pages(held, deployments=DEPLOYS)

    assert {r.native_id for r in of(PipelineRun, read)} == {"task/2011", "task/2012", "task/2021", "task/2031"}
    assert {d.native_id for d in of(Deployment, read)} >= {"task/2012/api/production"}
    assert [t for p in read for t in p.truncations] == []


def test_twenty_one_jobs_of_a_run_are_all_read(pages: Reads) -> None:
    """Page sizes of 30, 50, 100, nested lists (21 jobs in a run), empty last page → everything is read."""
    jobs = [workflow_job(3000 + n, f"job-{n}", "success", at(13)) for n in range(21)]
    runs = [workflow_run(201, "success", at(13), at(13))]
    held = alone(runs=runs, jobs={201: jobs}, most=20, product="gitea")

    assert len([r for r in of(PipelineRun, pages(held)) if r.run_kind is RunKind.TASK]) == 21


@pytest.mark.parametrize(
    ("status", "state", "result"),
    [
        ("waiting", RunState.PENDING, None),
        ("blocked", RunState.PENDING, None),
        ("running", RunState.EXECUTING, None),
        ("success", RunState.COMPLETED, Result.SUCCESS),
        ("failure", RunState.COMPLETED, Result.FAILURE),
        ("cancelled", RunState.COMPLETED, Result.CANCELLATION),
        ("skipped", RunState.COMPLETED, Result.SKIP),
    ],
)
def test_a_status_has_a_meaning(pages: Reads, status: str, state: RunState, result: Result | None) -> None:
    """Each documented status of a run is known."""
    read = pages(alone(runs=[run(201, status, at(13), at(13))]))

    assert [(r.state, r.result) for r in of(PipelineRun, read)] == [(state, result)]
    assert [w for p in read for w in p.warnings] == []


def test_a_time_that_is_none_is_no_time(pages: Reads) -> None:
    """The beginning of 1970, or year 1, stands where there is no time."""
    held = alone(runs=[run(201, "cancelled", at(13), None, started="0001-01-01T00:00:00Z")])

    (found,) = of(PipelineRun, pages(held))

    assert (found.started_at, found.finished_at) == (None, None)


def test_the_deploying_job_decides(pages: Reads) -> None:
    """One pipeline deploys: the job that a rule fits is the deployment, at the time it ended."""
    (deployed,) = of(Deployment, pages(gitea(), deployments=DEPLOYS, releases=""))

    assert (deployed.native_id, deployed.finished_at) == ("job/2012/1/api/production", time(13, 9, 30))


def test_a_whole_run_may_deploy(pages: Reads) -> None:
    """A rule for the workflow's file makes each run of it that ended a deployment."""
    (deployed,) = of(Deployment, pages(world(), deployments=[{"pipeline": "deploy.yml"}], releases=""))

    assert (deployed.native_id, deployed.environment) == ("run/201/1/api/production", "production")


@pytest.mark.parametrize("status", ["cancelled", "skipped", "running", "blocked"])
def test_what_did_not_run_to_its_end_deployed_nothing(pages: Reads, status: str) -> None:
    """Cancelled, skipped, abandoned, aborted → neither success nor failure; a skipped job deploys nothing."""
    held = alone(runs=[run(201, status, at(13))], tasks=[task(2011, "deploy-it", status, at(13), at(13))])

    assert of(Deployment, pages(held, deployments=DEPLOYS)) == []


def test_what_still_runs_is_looked_at_again(pages: Reads) -> None:
    """Running, blocked, created, still building → no deployment yet, and looked at again until finished."""
    held = gitea()
    before = pages(held, deployments=DEPLOYS)
    held.runs.append(workflow_run(209, "success", at(20), at(20)))
    between = pages(held, before[-1].cursor, deployments=DEPLOYS)
    ended = {"status": "completed", "conclusion": "success", "completed_at": at(21)}
    held.runs[1] |= {**ended, "updated_at": at(21)}
    held.jobs[202][0] |= ended

    found = by_id(Deployment, pages(held, between[-1].cursor, deployments=DEPLOYS))

    assert found["job/2021/1/api/production"].finished_at == time(21)


def test_the_cursor_never_passes_the_oldest_unfinished_task(pages: Reads) -> None:
    """The cursor never passes the oldest unfinished run; finished things re-run, edited or reopened later are seen."""
    held = alone(
        runs=[run(202, "running", at(26)), run(203, "success", at(27), at(27))],
        tasks=[
            task(2021, "deploy-it", "running", at(26), at(26)),
            task(2031, "test", "success", at(27), at(27)),
        ],
    )
    before = pages(held, deployments=DEPLOYS)
    held.tasks[0] |= {"status": "success", "updated_at": at(28)}

    found = of(Deployment, pages(held, before[-1].cursor, deployments=DEPLOYS))

    assert [(d.native_id, d.finished_at) for d in found] == [("task/2021/api/production", time(28))]


def test_a_run_that_is_started_again_is_found_within_a_day(pages: Reads) -> None:
    """An older run that is run again keeps its place in the list: once a day a week of it is looked at."""
    held = alone(
        runs=[workflow_run(201, "failure", at(26), at(26)), workflow_run(202, "success", at(28), at(28))],
        product="gitea",
    )
    before = pages(held)
    held.runs[0] |= {"run_attempt": 2, "conclusion": "success", "updated_at": "2026-03-02T12:00:00Z"}

    same_day = pages(held, before[-1].cursor, now=NOW + timedelta(hours=5))
    next_day = pages(held, before[-1].cursor, now=NOW + timedelta(days=1))

    assert "run/201/2" not in by_id(PipelineRun, same_day)
    assert by_id(PipelineRun, next_day)["run/201/2"].attempt == 2


def test_an_unfinished_run_that_was_deleted_is_forgotten(pages: Reads) -> None:
    """A run that is gone when it is looked at again does not end the list."""
    held = alone(runs=[run(201, "running", at(20)), run(202, "success", at(28), at(28))])
    before = pages(held)
    del held.runs[0]

    after = pages(held, before[-1].cursor)

    assert '"201"' in before[-1].cursor
    assert '"201"' not in after[-1].cursor
    assert [t for p in after for t in p.truncations] == []


def test_a_run_that_never_ends_is_given_up(pages: Reads) -> None:
    """What has not ended after thirty days is not asked for any more."""
    api = provider(alone(runs=[run(201, "blocked", "2026-01-01T00:00:00Z"), run(202, "blocked", at(20))]))
    before = pages(api)
    first = len(api.asked)

    pages(api, before[-1].cursor)

    assert "201" not in " ".join(a.path for a in api.asked[first:])
    assert '"open":["202"]' in before[-1].cursor


def test_a_tag_is_a_ref_without_what_git_puts_before_it(pages: Reads) -> None:
    """A run of a tag has no branch; its path tells."""
    assert by_id(PipelineRun, pages(gitea()))["run/203/1"].ref == "v1.0.0"


# ---- releases


def test_published_releases_are_deployments_where_wanted(pages: Reads) -> None:
    """Drafts and pre-releases are none; the commit is that of the tag."""
    (deployed,) = of(Deployment, pages(world()))

    assert (deployed.native_id, deployed.version, deployed.sha) == ("release/301", "v1.0.0", "b" * 40)
    assert (deployed.finished_at, deployed.environment) == (time(15), "production")


def test_releases_are_none_unless_wanted(pages: Reads) -> None:
    """No rule for "production" is configured → nothing is production."""
    api = provider(world())

    assert of(Deployment, pages(api, releases="")) == []
    assert [a.path for a in api.asked if "release" in a.path] == []


def test_a_release_whose_tag_is_gone_has_no_commit(pages: Reads) -> None:
    """A deployment whose commit is unknown → counts for frequency."""
    (deployed,) = of(Deployment, pages(alone(releases=[release(1, "v2", at(15))])))

    assert deployed.sha is None


# ---- issues


def test_issues_are_incidents_or_tickets_by_their_labels(pages: Reads) -> None:
    """Label `incident` does not match `incidental`: whole labels are compared."""
    read = pages(world())

    assert [(i.native_id, i.state, i.restored_at) for i in of(Incident, read)] == [
        ("4001", IncidentState.RESOLVED, time(15))
    ]
    assert [(t.native_id, [r.at for r in t.replies]) for t in of(Ticket, read)] == [("4002", [time(14, 11)])]


def test_pull_requests_are_no_tickets(pages: Reads) -> None:
    """Pull requests come back from the issues endpoint → are not tickets."""
    held = alone(issues=[issue(1, "support", pull_request={"merged": False, "merged_at": None})])

    assert of(Ticket, pages(held)) == []


def test_a_reopened_incident_is_open(pages: Reads) -> None:
    """Reopened → restored at the last resolution: until then it is open."""
    held = alone(issues=[issue(1, "incident", state="closed", closed_at=at(15))])
    before = pages(held)
    held.issues[0] |= {"state": "open", "closed_at": None, "updated_at": at(16)}

    (incident,) = of(Incident, pages(held, before[-1].cursor))

    assert (incident.state, incident.restored_at) == (IncidentState.DETECTED, None)


def test_what_happened_to_issues_is_told(pages: Reads) -> None:
    """Taken on by a label, closed, reopened: acknowledged is not resolved; a ticket waits while it has its label."""
    held = alone(
        issues=[issue(1, "incident", "on it", updated_at=at(17)), issue(2, "support", updated_at=at(17))],
        timelines={
            101: [
                happening(1, "label", at(15), user(), body="1", label={"id": 7, "name": "on it"}),
                happening(2, "close", at(16), user()),
                happening(3, "reopen", at(17), user()),
            ],
            102: [
                happening(4, "label", at(15), user(), body="1", label={"id": 8, "name": "needs info"}),
                happening(5, "label", at(16), user(), body="", label={"id": 8, "name": "needs info"}),
            ],
        },
    )
    rules = {"incidents": "incident", "tickets": "support", "acknowledged": "on it", "waiting": "needs info"}

    read = pages(held, issues=rules)

    (incident,), (ticket,) = of(Incident, read), of(Ticket, read)
    assert (incident.state, incident.acknowledged_at) == (IncidentState.ACKNOWLEDGED, time(15))
    assert [t.state for t in incident.transitions] == ["acknowledged", "resolved", "acknowledged"]
    assert [(t.at, t.state) for t in ticket.transitions] == [(time(15), "waiting"), (time(16), "open")]


# ---- paging, order, late changes


def test_a_list_is_read_down_to_where_the_last_run_was(pages: Reads) -> None:
    """A second run reads the newest page alone, and no details of what it knows."""
    held = alone(pulls=[pull(n, updated_at=at(n, 9)) for n in range(1, 25)], most=5)
    held.repositories[0]["has_actions"] = False
    api = provider(held)
    before = pages(api, issues=None, releases="")
    first = len(api.asked)

    after = pages(api, before[-1].cursor, issues=None, releases="")

    assert [a.one("page") for a in api.asked[first:] if a.path.endswith("/pulls")] == ["1", "2"]
    assert (len(api.asked) - first, of(Change, after)) == (3, [])


def test_a_long_first_read_goes_on_below_what_it_has_read(bench: Any, context: SourceContext) -> None:
    """A first read that outlasts a limit ends in some runs: each goes on, and what is updated meanwhile is read too."""
    held = alone(pulls=[pull(n, updated_at=at(n)) for n in range(1, 21)], most=5)
    held.repositories[0]["has_actions"] = False
    api = provider(held)
    wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
    source = settings(issues=None, releases="", parallel=1).build(replace(context, wire=wire, clock=lambda: NOW))
    limited = Reply({}, status=429, headers={"Retry-After": "3600"})

    outcomes = []
    for updated in (1, 3, 3, 3, 3, 3):
        api.faults = {len(api.asked) + 30: limited}
        outcomes.append(bench.runner.run("sample", source).succeeded)
        held.pulls[updated - 1]["updated_at"] = at(22 + updated)

    details = Counter(a.path.split("/")[4] for a in api.asked if a.path.endswith("/timeline"))
    assert outcomes == [False, False, False, True, True, True]
    assert {c.number for c in bench.store.events(Change)} == set(range(1, 21))
    assert (details["19"], details["9"], details["2"]) == (1, 1, 1)


def test_a_long_first_read_of_runs_asks_for_no_jobs_twice(bench: Any, context: SourceContext) -> None:
    """A first read that outlasts a limit goes on below what it has read; what ended meanwhile is read again."""
    runs = [workflow_run(n, "success", at(1, 9, n), at(1, 10, n)) for n in range(1, 21)]
    runs[18] = workflow_run(19, "", at(1, 9, 19), None)
    held = alone(runs=runs, most=5, product="gitea")
    held.jobs = {n: [workflow_job(n * 10, "build", "success", at(1, 10, n))] for n in range(1, 21)}
    held.repositories[0]["has_pull_requests"] = False
    api = provider(held)
    wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
    source = settings(issues=None, releases="", parallel=1).build(replace(context, wire=wire, clock=lambda: NOW))
    limited = Reply({}, status=429, headers={"Retry-After": "3600"})

    outcomes = []
    for _ in range(5):
        api.faults = {len(api.asked) + 14: limited}
        outcomes.append(bench.runner.run("sample", source).succeeded)
        held.runs[18] = workflow_run(19, "success", at(1, 9, 19), at(1, 11))

    asked = Counter(a.path.split("/")[5] for a in api.asked if a.path.endswith("/jobs"))
    ended = {r.native_id for r in bench.store.events(PipelineRun) if r.result and r.native_id.startswith("run/")}
    assert (outcomes[0], outcomes[-1]) == (False, True)
    assert ended == {f"run/{n}/1" for n in range(1, 21)}
    assert (asked["20"], asked["9"], asked["2"]) == (1, 1, 1)


def test_items_that_move_while_a_list_is_read_are_not_lost_nor_doubled(pages: Reads) -> None:
    """Items are added or updated while paging; several share the boundary second → none lost, none double."""
    held = alone(pulls=[unmerged(n, updated_at=at(12, 15, n // 3)) for n in range(1, 10)], most=3)
    api = provider(held)
    listed = next(handler for _, pattern, handler in api.routes if pattern.fullmatch("repos/o/r/pulls"))

    def moves(asked: Any, **where: str) -> Reply:
        made: Reply = listed(asked, **where)
        answered = Reply(body=made.bytes(), headers=made.headers)
        held.pulls[0]["updated_at"] = at(13)
        return answered

    api.routes = [(m, p, moves if h is listed else h) for m, p, h in api.routes]
    found = [c.number for c in of(Change, pages(api, issues=None, releases=""))]

    assert sorted(filter(None, found)) == list(range(2, 10))
    assert len(set(found)) == len(found)


def test_a_list_in_another_order_is_refused(pages: Reads) -> None:
    """A server that ignores the order must not end a list early without a word."""
    api = provider(world())
    shuffled = Reply([pull(1, updated_at=at(1)), pull(2, updated_at=at(12))])
    api.routes.insert(0, ("GET", api.routes[3][1], lambda *_, **__: shuffled))

    with pytest.raises(ContractError, match="it does not stand in the order"):
        pages(api)


def test_since_goes_out_as_rfc_3339(pages: Reads) -> None:
    """`since` goes out as RFC 3339, in whole seconds."""
    api = provider(world())

    pages(api, since=datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC))

    assert {a.one("since") for a in api.asked if a.path.endswith("/issues")} == {"2026-01-01T00:00:00Z"}


def test_a_server_that_ignores_since_is_refused(pages: Reads) -> None:
    """An item last updated before `since` proves it was ignored → error."""
    api = provider(world())
    ignoring = Reply([issue(1, updated_at=at(1))])
    handler = next(h for _, pattern, h in api.routes if pattern.fullmatch("repos/o/r/issues"))
    api.routes = [(m, p, (lambda *_, **__: ignoring) if h is handler else h) for m, p, h in api.routes]

    with pytest.raises(ContractError, match="it gives what is older than was asked for"):
        pages(api, since=datetime(2026, 2, 2, tzinfo=UTC))


def test_a_large_page_that_fails_is_asked_for_in_smaller_ones(pages: Reads) -> None:
    """502 on a big page → smaller page, then retry, then failure; an unattended run always ends."""
    api = provider(world())
    api.faults = {n: Reply({}, status=502) for n in (2, 3, 4, 5)}

    read = pages(api)

    assert [a.one("limit") for a in api.asked[4:6]] == ["50", "25"]
    assert by_id(Change, read)


@pytest.mark.parametrize(
    ("gone", "place", "kind", "kept"),
    [
        ("pulls", 4, Change, {"1001", "1002", "1003", "1004"}),
        ("issues", 1, Ticket, set()),
        ("issues", 0, Incident, set()),
        ("releases", 0, Deployment, set()),
    ],
)
def test_what_was_deleted_is_found_by_the_next_day(
    pages: Reads, gone: str, place: int, kind: type[Event], kept: set[str]
) -> None:
    """Deleted at the source → found by reconciliation, kept as a tombstone, numbers restated."""
    held = world()
    before = pages(held)
    del getattr(held, gone)[place]

    same_day, next_day = (pages(held, before[-1].cursor, now=NOW + timedelta(hours=h)) for h in (23, 24))
    found = [(c.kind, c.native_ids, c.since) for p in next_day for c in p.complete]

    assert [c for p in same_day for c in p.complete] == []
    assert (kind, frozenset(kept), NOW - timedelta(days=29)) in found


def test_what_was_deleted_leaves_the_store(bench: Any, context: SourceContext) -> None:
    """A pull request, a ticket and a release that are gone the next day leave the store; the others stay."""
    held = world()
    wire = Wire(adapter=provider(held), sleep=lambda _: None)
    bench.runner.run("sample", settings().build(replace(context, wire=wire)))
    del held.pulls[0], held.issues[1], held.releases[0]

    tomorrow = replace(context, wire=wire, clock=lambda: NOW + timedelta(days=1))
    outcome = bench.runner.run("sample", settings().build(tomorrow))

    assert (outcome.error, outcome.removed) == (None, 3)


@pytest.mark.parametrize(
    ("kind", "path", "lists"),
    [
        (Change, "pulls", {"pulls": [unmerged(n, updated_at=at(n)) for n in range(4, 10)]}),
        (Deployment, "releases", {"releases": [release(n, f"v{n}", at(n)) for n in range(4, 10)]}),
        (Ticket, "issues", {"issues": [issue(n, "support", created_at=at(n), updated_at=at(n)) for n in range(4, 10)]}),
    ],
)
def test_a_deletion_under_way_makes_nothing_else_gone(
    pages: Reads, kind: type[Event], path: str, lists: dict[str, list[dict[str, Any]]]
) -> None:
    """What is deleted while pages are read moves others over the end of a page → these are not taken for deleted."""
    held = alone(**lists, most=2)
    before = pages(held)
    api = provider(held)
    listed = next(handler for _, pattern, handler in api.routes if pattern.fullmatch(f"repos/o/r/{path}"))
    waiting = [lists[path].pop]

    def moves(asked: Any, **where: str) -> Reply:
        while asked.one("page") == "3" and waiting:
            waiting.pop()()
        made: Reply = listed(asked, **where)
        return made

    api.routes = [(m, p, moves if h is listed else h) for m, p, h in api.routes]
    after = pages(api, before[-1].cursor, now=NOW + timedelta(days=1))

    (whole,) = [c for p in after for c in p.complete if c.kind is kind]
    assert waiting == []
    assert {e.native_id for e in of(kind, before)} - whole.native_ids <= {of(kind, before)[0].native_id}


@pytest.mark.parametrize("rules", [[], DEPLOYS])
def test_a_pre_release_that_becomes_a_release_is_found_within_a_day(pages: Reads, rules: list[Any]) -> None:
    """It keeps its time, which is before what is known: once a day the recent past is read again."""
    held = alone(releases=[release(1, "v1", at(2), prerelease=True), release(2, "v2", at(10))])
    cursor = pages(held, deployments=rules)[-1].cursor
    held.releases[0]["prerelease"] = False

    same_day, next_day = (pages(held, cursor, now=NOW + timedelta(hours=h), deployments=rules) for h in (12, 24))

    assert ("release/1" in by_id(Deployment, same_day), "release/1" in by_id(Deployment, next_day)) == (False, True)


# ---- which repositories, and how


def test_repositories_of_an_organisation_are_read_as_they_come(pages: Reads) -> None:
    """Archived ones are left out unless wanted; lists that a repository does not use are not asked for."""
    api = provider(world())

    pages(api)

    asked = {a.path for a in api.asked if a.path.startswith("repos/") and not a.path.startswith("repos/shop/api")}
    assert asked == {"repos/shop/docs/pulls"}


def test_an_organisation_may_be_a_person(pages: Reads) -> None:
    """Who is no organisation may be somebody with repositories of their own."""
    assert by_id(Change, pages(world(), organisations=["ada"]))


def test_a_repository_is_called_as_its_server_calls_it(pages: Reads) -> None:
    """Names are compared without case, and written as the server does."""
    read = pages(world(), organisations=[], repositories=["Shop/API"])

    assert {c.repository for c in of(Change, read)} == {"shop/api"}


def test_commits_are_read_through_a_clone(context: SourceContext) -> None:
    """Where commits are wanted each repository has a list more, unless there is nothing in it yet."""
    held = world()
    held.repositories[1]["empty"] = True
    wire = Wire(adapter=provider(held), sleep=lambda _: None)

    keys = [s.key for s in settings(commits=True).build(replace(context, wire=wire)).asked().streams(Notes())]

    assert [k for k in keys if k.endswith("commits")] == ["shop/api commits"]


def test_a_repository_that_is_gone_does_not_stop_the_others(pages: Reads) -> None:
    """A refused repository is reported as cut off; those beside it are read."""
    read = pages(world(), repositories=["shop/gone"])

    (cut,) = [t for p in read for t in p.truncations]
    assert cut.startswith("shop/gone: GET https://git.example.com/repos/shop/gone: answered 404")
    assert of(Change, read)


def test_the_token_goes_in_its_header(pages: Reads) -> None:
    """The token goes as `Authorization: token …`, and in no address."""
    api = provider(world())

    pages(api)

    assert {a.headers["authorization"] for a in api.asked} == {f"token {stand_in.TOKEN}"}


def test_the_configured_type_decides_not_the_host(pages: Reads) -> None:
    """Self-hosted name without the product in it → the configured type decides, below any path."""
    api = provider(world())
    api.base = "https://tools.example.com/code/api/v1"

    assert of(Change, pages(api, url="https://tools.example.com/code/"))


# ---- webhooks


def delivered(kind: str, body: dict[str, Any], product: str = "gitea", secret: str = SECRET) -> Delivery:
    """A request as a server sends it."""
    raw = json.dumps(body).encode()
    headers = {
        f"x-{product}-event": kind,
        f"x-{product}-delivery": "d-1",
        f"x-{product}-signature": hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest(),
    }
    return Delivery(headers=headers, body=raw, received_at=NOW)


def hook(action: str, **more: Any) -> dict[str, Any]:
    """What every delivery holds."""
    return {"action": action, "number": 1, "repository": repository(1, "shop/api"), "sender": user(), **more}


@pytest.fixture
def receive(context: SourceContext) -> Callable[..., Received]:
    """Reads a delivery."""

    def read(kind: str, body: dict[str, Any], product: str = "gitea", **more: Any) -> Received:
        receiver = settings(webhook_secret=SECRET, **more).receiver(context)
        assert receiver is not None
        return receiver.read(delivered(kind, body, product))

    return read


def test_without_a_secret_nothing_is_received(context: SourceContext) -> None:
    """No webhook is open unless a secret is set."""
    assert settings().receiver(context) is None


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
@pytest.mark.parametrize(("secret", "genuine"), [(SECRET, True), ("another-secret-of-hooks", False)])
def test_a_delivery_is_signed(context: SourceContext, product: str, secret: str, genuine: bool) -> None:  # noqa: FBT001 - a case
    """Webhook: signature over the raw body, in the header of either product."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert receiver.is_genuine(delivered("push", {}, product, secret)) is genuine


def test_an_unsigned_delivery_is_not_genuine(context: SourceContext) -> None:
    """A body without a signature is nobody's."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert not receiver.is_genuine(Delivery(headers={}, body=b"{}", received_at=NOW))


def test_a_delivery_has_the_servers_own_id(receive: Callable[..., Received]) -> None:
    """Replay does nothing: the id of a delivery is the server's own."""
    assert [receive("push", {}, product).id for product in ("gitea", "forgejo")] == ["d-1", "d-1"]


def test_a_hooked_merge_is_the_change_of_the_api(pages: Reads, receive: Callable[..., Received]) -> None:
    """The same native id by webhook and by polling → one."""
    (hooked,) = receive("pull_request", hook("closed", pull_request=pull(1))).events
    polled = by_id(Change, pages(world()))["1001"]

    assert isinstance(hooked, Change)
    assert (hooked.id, hooked.merged_at, hooked.merge_sha) == (polled.id, polled.merged_at, polled.merge_sha)


def test_what_a_webhook_does_not_tell_is_not_lost(pages: Reads, receive: Callable[..., Received], bench: Any) -> None:
    """Of one version the one with the first commit stays, in whichever order they come."""
    hooked = receive("pull_request", hook("closed", pull_request=pull(1))).events
    polled = by_id(Change, pages(world()))["1001"]
    bench.write(polled)

    assert bench.write(*hooked) == 0


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
def test_a_hooked_run_is_the_run_of_the_api(pages: Reads, receive: Callable[..., Received], product: str) -> None:
    """A run by webhook has the id and the times that the list gives it."""
    bodies = {
        "gitea": ("workflow_run", hook("completed", workflow_run=workflow_run(201, "success", at(13), at(13, 9, 31)))),
        "forgejo": ("action_run_success", {"action": "success", "run": run(201, "success", at(13), at(13, 9, 31))}),
    }
    polled = by_id(PipelineRun, pages(world()))["run/201/1"]

    (hooked,) = receive(*bodies[product], product).events

    assert isinstance(hooked, PipelineRun)
    assert replace_url(hooked) == replace_url(polled)


def test_a_hooked_issue_is_a_ticket_when_it_is_opened(receive: Callable[..., Received]) -> None:
    """A new ticket comes at once; later its replies would be lost by a webhook, which does not tell them."""
    (ticket,) = receive("issues", hook("opened", issue=issue(2, "support"))).events

    assert (ticket.kind, ticket.native_id) == ("ticket", "4002")
    later = receive("issues", hook("edited", issue=issue(2, "support")))
    assert later.ignored == "what changes on a ticket comes with the next run"


def test_a_hooked_incident_is_restored_when_it_is_closed(receive: Callable[..., Received]) -> None:
    """An incident is one at each of its changes."""
    closed = issue(1, "incident", state="closed", closed_at=at(15))

    (incident,) = receive("issues", hook("closed", issue=closed)).events

    assert isinstance(incident, Incident)
    assert incident.restored_at == time(15)


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("push", hook(""), "the kind 'push' is not read"),
        ("pull_request_approved", hook("reviewed"), "the kind 'pull_request_approved' is not read"),
        ("pull_request", hook("edited", pull_request=pull(1)), "what changes after a merge comes with the next run"),
        ("issues", hook("opened", issue=issue(3, "feature")), "it is neither an incident nor a ticket"),
        (
            "issues",
            {**hook("opened", issue=issue(3)), "repository": repository(9, "else/where")},
            "its repository is not read",
        ),
    ],
)
def test_what_is_not_read_says_why(receive: Callable[..., Received], kind: str, body: dict[str, Any], why: str) -> None:
    """An unmatched event is answered with its reason rather than gone."""
    received = receive(kind, body)

    assert (list(received.events), received.ignored) == ([], why)


def test_a_delivery_that_is_no_such_thing_is_refused(context: SourceContext) -> None:
    """A body that is not as documented is an error, without its values."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    with pytest.raises(ContractError, match="the delivery is not as documented"):
        receiver.read(delivered("pull_request", hook("opened", pull_request="?")))
    with pytest.raises(ContractError, match="the delivery is no JSON"):
        receiver.read(replace(delivered("issues", {}), body=b"payload=%7B%7D"))


def test_a_naive_time_of_a_webhook_is_refused(receive: Callable[..., Received]) -> None:
    """A naive time without a declared zone is refused."""
    with pytest.raises(ContractError):
        receive("pull_request", hook("opened", pull_request=unmerged(1, updated_at="2026-02-12T15:00:00")))


def test_nobody_is_named_by_a_webhook(receive: Callable[..., Received]) -> None:
    """No name, login or address leaves the receiver."""
    read = [
        receive("pull_request", hook("closed", pull_request=pull(1))),
        receive("action_run_success", {"action": "success", "run": run(201, "success", at(13), at(13))}, "forgejo"),
    ]

    assert People(b"k" * 32).hashed(PLANTED_LOGIN) in str(read)
    assert [w for w in (PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME) if w in str(read)] == []
