"""What a GitLab server's API and webhooks become."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, TypeVar

import pytest
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from providers import gitlab as stand_in
from providers.gitlab import (
    World,
    at,
    deployment,
    issue,
    job,
    merge_request,
    note,
    pipeline,
    project,
    provider,
    settings,
    user,
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
from collector.sources.gitlab import GitLabConfig
from collector.streams import Notes
from collector.webhooks import Delivery, Received

E = TypeVar("E", bound=Event)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "the-secret-of-hooks"  # noqa: S105 - planted
DEPLOYS = [{"job": "deploy-*", "to": "production"}]


def time(day: int, hour: int = 9, minute: int = 0) -> datetime:
    """A time of February 2026 as events have it."""
    return datetime.fromisoformat(at(day, hour, minute))


def alone(**lists: Any) -> World:
    """A world of one project that holds the given lists and nothing else."""
    return World(projects=[project(1, "shop/api")], **lists)


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


# ---- changes and reviews


def test_the_merge_commit_is_the_merge_then_the_squash_then_the_head(pages: Reads) -> None:
    """Squash or rebase merge: the merge, then the squash, then the rebased head commit is what was merged."""
    held = alone(
        merge_requests=[
            merge_request(1, squash_commit_sha="b" * 40),
            merge_request(2, merge_commit_sha=None, squash_commit_sha="b" * 40),
            merge_request(3, merge_commit_sha=None),
        ]
    )

    assert [c.merge_sha for c in of(Change, pages(held))] == [f"{0xFF01:040x}", "b" * 40, f"{3:040x}"]


def test_a_request_closed_without_a_merge_is_not_merged(pages: Reads) -> None:
    """A pull request closed without a merge → no change; only a merge time makes one."""
    held = alone(merge_requests=[merge_request(4, state="closed", merged_at=None, closed_at=at(12))])

    (change,) = of(Change, pages(held))

    assert (change.state, change.merged_at, change.merge_sha) == (ChangeState.CLOSED, None, None)


def test_a_merge_without_a_time_is_kept_without_one(pages: Reads) -> None:
    """State says merged but the merge time is null → kept, never guessed."""
    (change,) = of(Change, pages(alone(merge_requests=[merge_request(1, merged_at=None)])))

    assert (change.state, change.merged_at) == (ChangeState.MERGED, None)


def test_the_first_commit_is_the_oldest_of_the_request(pages: Reads) -> None:
    """Commits are listed newest first: the first one is the oldest by its author's clock."""
    change = by_id(Change, pages(world()))["1001"]

    assert (change.first_commit_at, change.commit_shas) == (time(8), ("d" * 40, "c" * 40))


@pytest.mark.parametrize(
    ("notes", "ready_at"),
    [
        ([], time(10)),
        ([("marked this merge request as **ready**", 11)], time(11)),
        ([("marked this merge request as **draft**", 11)], time(10)),
        ([("marked this merge request as **draft** from 0123abcd", 11), ("marked this merge request as **ready**", 12)],
         time(12)),
        ([("unmarked as a **Work In Progress**", 11)], time(11)),
        ([("marked as a **Work In Progress**", 11), ("unmarked as a **Work In Progress**", 12)], time(12)),
    ],
)  # fmt: skip
def test_review_waits_from_when_a_request_was_ready(
    pages: Reads, notes: list[tuple[str, int]], ready_at: datetime
) -> None:
    """Draft opened Monday, ready Thursday, merged Thursday → review waiting starts at ready."""
    noted = [note(n, body, at(day), user(), system=True) for n, (body, day) in enumerate(notes)]
    held = alone(merge_requests=[merge_request(1, merged_at=at(20))], notes={1: noted})

    (change,) = of(Change, pages(held))

    assert change.ready_at == ready_at


def test_a_request_that_was_reviewed_before_it_became_a_draft_was_ready_then(pages: Reads) -> None:
    """A request is ready from the last time before its first review, whatever comes after that."""
    noted = [
        note(1, "Have a look at this", at(10, 10), user(12, "grace")),
        note(2, "marked this merge request as **draft**", at(11), user(), system=True),
        note(3, "marked this merge request as **ready**", at(12), user(), system=True),
    ]

    (change,) = of(Change, pages(alone(merge_requests=[merge_request(1)], notes={1: noted})))

    assert change.ready_at == time(10)


def test_a_draft_is_not_ready(pages: Reads) -> None:
    """An open draft is work in progress, and was never ready."""
    (change,) = of(Change, pages(alone(merge_requests=[merge_request(3, state="opened", draft=True)])))

    assert (change.state, change.ready_at) == (ChangeState.WIP, None)


def test_reviews_are_what_others_said_or_decided(pages: Reads) -> None:
    """First comment is by the author, by a bot → not the first review: the author's are left out, bots are flagged."""
    found = [(r.native_id, r.change_native_id, r.state, r.bot) for r in of(Review, pages(world()))]

    assert found == [
        ("note/4", "1001", ReviewState.COMMENTED, False),
        ("note/5", "1001", ReviewState.APPROVED, False),
        ("note/6", "1002", ReviewState.COMMENTED, True),
        ("note/7", "1002", ReviewState.COMMENTED, False),
    ]


def test_only_merged_requests_cost_their_details(pages: Reads) -> None:
    """Commits and notes are asked for once a request is merged: 1 + 2 requests for one of three."""
    api = provider(
        alone(merge_requests=[merge_request(1), merge_request(2, state="opened"), merge_request(3, state="closed")])
    )

    pages(api, own_deployments=False, issues=None)

    assert [a.path for a in api.asked if "merge_requests" in a.path] == [
        "projects/shop%2Fapi/merge_requests",
        "projects/shop%2Fapi/merge_requests/1/commits",
        "projects/shop%2Fapi/merge_requests/1/notes",
    ]


def minute(number: int) -> str:
    """Times of their own for a thousand things."""
    return at(12, number // 60, number % 60)


THOUSAND: dict[str, Callable[[], World]] = {
    "merged merge requests": lambda: alone(
        merge_requests=[merge_request(n, updated_at=minute(n)) for n in range(1000)]
    ),
    "merge requests that are open or closed": lambda: alone(
        merge_requests=[merge_request(n, updated_at=minute(n), state="opened") for n in range(1000)]
    ),
    "pipelines, however many jobs they have up to 100": lambda: alone(
        pipelines=[pipeline(n, "success", minute(n)) for n in range(1000)]
    ),
    "deployments": lambda: alone(deployments=[deployment(n, "success", minute(n), None) for n in range(1000)]),
    "issues that are tickets with comments": lambda: alone(
        issues=[issue(n, labels=["support"], updated_at=minute(n), user_notes_count=1) for n in range(1000)]
    ),
}


@pytest.mark.parametrize(("what", "told"), GitLabConfig.about.costs[:-1])
def test_what_is_told_of_costs_holds(pages: Reads, what: str, told: str) -> None:
    """A thousand of each cost as many requests as the source's page says, beside one for each list that is empty."""
    api = provider(THOUSAND[what]())

    pages(api, parallel=1)

    assert len(api.asked) - 5 == int(told.partition(":")[0].replace(" ", ""))


def test_deleted_accounts_unknown_values_and_missing_fields_cost_no_record(pages: Reads) -> None:
    """`user: null`, missing optional fields, new enum values → record survives; the unknown value is counted."""
    read = pages(world())

    assert by_id(Change, read)["1003"].author is None
    assert by_id(Change, read)["1005"].state is ChangeState.OPEN
    assert [w for p in read for w in p.warnings] == [
        "the state of a merge request 'frozen' is not known here; it is taken as open",
        "the status of a run 'pondering' is not known here; it is taken as pending",
    ]


def test_one_broken_item_is_set_aside(pages: Reads) -> None:
    """An item without its times is named and left out; those beside it are kept."""
    read = pages(alone(merge_requests=[merge_request(1), merge_request(2, created_at=None)]))

    assert [c.number for c in of(Change, read)] == [1]
    assert [r.location for p in read for r in p.rejected] == [
        "GET https://git.example.com/projects/shop%2Fapi/merge_requests item 2 (id 1002)"
    ]


def test_a_time_without_an_offset_is_set_aside(pages: Reads) -> None:
    """A naive time without a declared zone is refused."""
    read = pages(alone(merge_requests=[merge_request(1, merged_at="2026-02-12T15:00:00")]))

    assert of(Change, read) == []
    assert len([r for p in read for r in p.rejected]) == 1


# ---- pipelines and what they deploy


def test_each_attempt_of_each_job_is_read(pages: Reads) -> None:
    """A list of more jobs than a page holds is read whole, those that were run again included."""
    runs = [r for r in of(PipelineRun, pages(world())) if r.parent_native_id == "run/201"]

    assert [(r.native_id, r.attempt, r.result) for r in runs] == [
        ("job/2011", 1, Result.FAILURE),
        ("job/2012", 2, Result.SUCCESS),
        ("job/2013", 1, Result.SUCCESS),
        ("job/2014", 1, None),
    ]


def test_twenty_one_jobs_of_a_run_are_all_read(pages: Reads) -> None:
    """Page sizes of 30, 50, 100, nested lists (21 jobs in a run), empty last page → everything is read."""
    jobs = [job(3000 + n, f"job-{n}", "success", at(13)) for n in range(21)]
    held = alone(pipelines=[pipeline(201, "success", at(13))], jobs={201: jobs}, most=20)

    assert len([r for r in of(PipelineRun, pages(held)) if r.run_kind is RunKind.TASK]) == 21


def test_a_pipeline_lasts_from_its_first_job_to_its_last(pages: Reads) -> None:
    """The list tells when a pipeline was updated, which is not when it ended: its jobs tell that."""
    run = by_id(PipelineRun, pages(world()))["run/201"]

    assert (run.created_at, run.started_at, run.finished_at) == (time(13), time(13, 9, 1), time(13, 9, 30))


@pytest.mark.parametrize(
    ("status", "state", "result"),
    [
        ("created", RunState.PENDING, None),
        ("waiting_for_resource", RunState.PENDING, None),
        ("preparing", RunState.PENDING, None),
        ("pending", RunState.PENDING, None),
        ("running", RunState.EXECUTING, None),
        ("success", RunState.COMPLETED, Result.SUCCESS),
        ("failed", RunState.COMPLETED, Result.FAILURE),
        ("canceling", RunState.FINALIZING, None),
        ("canceled", RunState.COMPLETED, Result.CANCELLATION),
        ("skipped", RunState.COMPLETED, Result.SKIP),
        ("manual", RunState.PENDING, None),
        ("scheduled", RunState.PENDING, None),
    ],
)
def test_a_status_has_a_meaning(pages: Reads, status: str, state: RunState, result: Result | None) -> None:
    """Each documented status of a pipeline is known."""
    read = pages(alone(pipelines=[pipeline(201, status, at(13))]))

    assert [(r.state, r.result) for r in of(PipelineRun, read)] == [(state, result)]
    assert [w for p in read for w in p.warnings] == []


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("script_failure", Result.FAILURE),
        ("job_execution_timeout", Result.TIMEOUT),
        ("runner_system_failure", Result.ERROR),
    ],
)
def test_a_job_that_its_runner_lost_is_no_failure_of_its_script(pages: Reads, reason: str, result: Result) -> None:
    """Time-outs and errors of the system are told apart from failures."""
    failed = job(2011, "test", "failed", at(13), failure_reason=reason)
    held = alone(pipelines=[pipeline(201, "failed", at(13))], jobs={201: [failed]})

    assert by_id(PipelineRun, pages(held))["job/2011"].result is result


def test_the_deploying_job_decides_not_its_pipeline(pages: Reads) -> None:
    """Pipeline is green, its production job failed with `allow_failure` → no deployment."""
    found = by_id(Deployment, pages(world(), deployments=DEPLOYS))

    assert set(found) == {"job/2013/api/production", "job/2041/api/production"}


def test_a_deployment_has_the_time_of_its_job(pages: Reads) -> None:
    """A health-check job of a December pipeline is re-run in January → the deployment stays in December."""
    late = job(2015, "health-check", "success", at(27))
    held = world()
    held.jobs[201] = [*held.jobs[201], late]
    held.pipelines[0]["updated_at"] = at(27)

    found = by_id(Deployment, pages(held, deployments=DEPLOYS))

    assert found["job/2013/api/production"].finished_at == time(13, 9, 30)


def test_a_pipeline_that_deploys_three_services_is_three_deployments(pages: Reads) -> None:
    """One pipeline deploys three services → three deployments."""
    jobs = [job(n, f"deploy-{name}", "success", at(13)) for n, name in enumerate(("web", "api", "mail"), start=1)]
    held = alone(pipelines=[pipeline(201, "success", at(13))], jobs={201: jobs})
    rules = [{"job": "/deploy-(?P<name>.+)/", "service": "{name}", "to": "production"}]

    assert [d.service for d in of(Deployment, pages(held, deployments=rules))] == ["web", "api", "mail"]


def test_a_downstream_pipeline_reports_its_release_once(pages: Reads) -> None:
    """One pipeline deploys three services → three deployments; a downstream pipeline reporting the same → still one."""
    held = alone(
        pipelines=[
            pipeline(201, "success", at(13, 9)),
            pipeline(204, "success", at(13, 10), source="parent_pipeline"),
        ],
        jobs={204: [job(2041, "deploy-production", "success", at(13, 10))]},
    )

    found = of(Deployment, pages(held, deployments=[*DEPLOYS, {"pipeline": "pipeline", "ref": "main"}]))

    assert [d.native_id for d in found] == ["job/2041/api/production"]


@pytest.mark.parametrize("status", ["canceled", "skipped", "manual", "running", "created"])
def test_what_did_not_run_to_its_end_deployed_nothing(pages: Reads, status: str) -> None:
    """Cancelled, skipped, abandoned, aborted → neither success nor failure; a skipped job deploys nothing."""
    held = alone(
        pipelines=[pipeline(201, "success", at(13))],
        jobs={201: [job(2011, "deploy-production", status, at(13))]},
    )

    assert of(Deployment, pages(held, deployments=DEPLOYS)) == []


def test_what_still_runs_is_looked_at_again(pages: Reads) -> None:
    """Running, blocked, created, still building → no deployment yet, and looked at again until finished."""
    held = world()
    before = pages(held, deployments=DEPLOYS)
    held.pipelines[1] |= {"status": "success", "updated_at": at(14)}
    held.jobs[202][0] |= {"status": "success", "finished_at": at(14)}

    found = by_id(Deployment, pages(held, before[-1].cursor, deployments=DEPLOYS))

    assert found["job/2021/api/production"].finished_at == time(14)


def test_a_job_that_ends_while_its_pipeline_runs_on_is_seen(pages: Reads) -> None:
    """A running pipeline is read again although nothing calls it updated: its jobs move on."""
    held = alone(
        pipelines=[pipeline(202, "running", at(13))], jobs={202: [job(2021, "deploy-production", "running", None)]}
    )
    before = pages(held, deployments=DEPLOYS)
    held.jobs[202][0] |= {"status": "success", "finished_at": at(13, 9, 20)}

    read = pages(held, before[-1].cursor, deployments=DEPLOYS)

    assert [d.finished_at for d in of(Deployment, read)] == [time(13, 9, 20)]
    assert by_id(PipelineRun, read)["job/2021"].updated_at == time(13, 9, 20)


def test_an_unfinished_pipeline_at_the_end_of_a_page_is_read_once(pages: Reads) -> None:
    """The next page begins with the last item of the one before; its jobs are not asked for again."""
    api = provider(alone(pipelines=[pipeline(n, "running", at(13, 9, n - 200)) for n in (201, 202, 203)], most=2))

    pages(api)

    assert sorted(a.path.split("/")[3] for a in api.asked if a.path.endswith("/jobs")) == ["201", "202", "203"]


def test_what_is_deleted_while_it_is_read_costs_its_details_alone(pages: Reads) -> None:
    """A merge request that is gone when its notes are asked for does not end the list."""
    api = provider(alone(merge_requests=[merge_request(1), merge_request(2)]))
    gone = Reply({"message": "404 Not found"}, status=404)
    notes = next(h for _, pattern, h in api.routes if pattern.fullmatch("projects/x/merge_requests/1/notes"))
    api.routes = [(m, p, (lambda *_, **__: gone) if h is notes else h) for m, p, h in api.routes]

    read = pages(api)

    assert [c.number for c in of(Change, read)] == [1, 2]
    assert [t for p in read for t in p.truncations] == []


def test_finished_things_that_are_run_again_are_seen(pages: Reads) -> None:
    """The cursor never passes the oldest unfinished run; finished things re-run, edited or reopened later are seen."""
    held = world()
    before = pages(held)
    held.pipelines[0]["updated_at"] = at(28)
    held.jobs[201].append(job(2999, "smoke", "success", at(28)))

    found = by_id(PipelineRun, pages(held, before[-1].cursor))

    assert found["job/2999"].attempt == 2


def test_a_run_without_creation_time_is_kept(pages: Reads) -> None:
    """A run without a creation time, or without a start → start absent; not dropped without a word."""
    held = alone(pipelines=[pipeline(201, "failed", at(13), created_at=None)])

    (run,) = of(PipelineRun, pages(held))

    assert (run.created_at, run.started_at, run.finished_at) == (None, None, None)


def test_a_rule_may_ask_for_an_environment(pages: Reads) -> None:
    """Jobs do not tell where they deploy to; the system's deployments do, where a rule asks."""
    read = pages(world(), deployments=[{"environment": "production", "service": "shop"}])

    assert [(d.native_id, d.environment) for d in of(Deployment, read)] == [("job/2013/shop/production", "production")]
    assert by_id(PipelineRun, read)["job/2013"].environment == "production"


# ---- the system's own deployments


def test_without_rules_the_systems_own_deployments_count(pages: Reads) -> None:
    """No rule: GitLab's deployments that ended count, each in the environment that it names."""
    found = [(d.native_id, d.service, d.environment, d.result) for d in of(Deployment, pages(world()))]

    assert sorted(found) == [
        ("deployment/304", "api", "staging", Result.SUCCESS),
        ("job/2013/api/production", "api", "production", Result.SUCCESS),
    ]


def test_a_later_update_moves_no_deployment(pages: Reads) -> None:
    """A deployment is superseded weeks later and its `updated_at` moves → its time stays that of the success status."""
    deployed = by_id(Deployment, pages(world()))["job/2013/api/production"]

    assert (deployed.updated_at, deployed.finished_at) == (time(20), time(13, 9, 30))


@pytest.mark.parametrize("status", ["created", "running", "blocked", "canceled", "skipped"])
def test_what_is_no_end_of_a_deployment_is_none(pages: Reads, status: str) -> None:
    """Of the documented statuses only success and failure are results; the others are known and none."""
    read = pages(alone(deployments=[deployment(301, status, at(13), None)]))

    assert (of(Deployment, read), [w for p in read for w in p.warnings]) == ([], [])


def test_rules_place_the_systems_own_deployments(pages: Reads) -> None:
    """Where both are wanted, a rule for an environment says which service went where, and nothing counts twice."""
    rules = [{"environment": "production", "service": "shop"}]

    found = of(Deployment, pages(world(), deployments=rules, own_deployments=True))

    assert {d.native_id for d in found} == {"job/2013/shop/production", "deployment/304"}


# ---- issues


def test_issues_are_incidents_or_tickets_by_their_labels_or_type(pages: Reads) -> None:
    """Whole labels are compared; the type incident needs none; an issue that was moved is its successor's affair."""
    read = pages(world())

    assert [(i.native_id, i.state, i.restored_at) for i in of(Incident, read)] == [
        ("4001", IncidentState.RESOLVED, time(15)),
        ("4004", IncidentState.DETECTED, None),
    ]
    assert [t.native_id for t in of(Ticket, read)] == ["4002"]


def test_a_label_is_compared_whole(pages: Reads) -> None:
    """Label `incident` does not match `incidental`: whole labels are compared."""
    held = alone(issues=[issue(1, labels=["incidental"])])

    assert of(Incident, pages(held)) == []


def test_public_comments_of_a_ticket_are_its_replies(pages: Reads) -> None:
    """What the system notes, and what its team notes for itself, is no reply."""
    (ticket,) = of(Ticket, pages(world()))

    assert [r.at for r in ticket.replies] == [time(14, 11)]


def test_a_reopened_incident_is_open(pages: Reads) -> None:
    """Reopened → restored at the last resolution: until then it is open."""
    held = alone(issues=[issue(1, labels=["incident"], state="closed", closed_at=at(15))])
    before = pages(held)
    held.issues[0] |= {"state": "opened", "closed_at": None, "updated_at": at(16)}

    (incident,) = of(Incident, pages(held, before[-1].cursor))

    assert (incident.state, incident.restored_at) == (IncidentState.DETECTED, None)


def test_what_happened_to_issues_is_told(pages: Reads) -> None:
    """Taken on by a label, closed, reopened: acknowledged is not resolved; a ticket waits while it has its label."""
    held = alone(
        issues=[issue(1, labels=["incident", "on it"]), issue(2, labels=["support"])],
        turns={1: [{"created_at": at(16), "state": "closed"}, {"created_at": at(17), "state": "reopened"}]},
        labelled={
            1: [{"created_at": at(15), "action": "add", "label": {"name": "on it"}}],
            2: [
                {"created_at": at(15), "action": "add", "label": {"name": "needs info"}},
                {"created_at": at(15, 11), "action": "add", "label": None},
                {"created_at": at(16), "action": "remove", "label": {"name": "needs info"}},
            ],
        },
    )
    rules = {"incidents": "incident", "tickets": "support", "acknowledged": "on it", "waiting": "needs info"}

    read = pages(held, issues=rules)

    (incident,), (ticket,) = of(Incident, read), of(Ticket, read)
    assert (incident.state, incident.acknowledged_at) == (IncidentState.ACKNOWLEDGED, time(15))
    assert [t.state for t in incident.transitions] == ["acknowledged", "resolved", "acknowledged"]
    assert [(t.at, t.state) for t in ticket.transitions] == [(time(15), "waiting"), (time(16), "open")]


def test_an_issue_that_was_written_with_a_label_had_it_from_the_beginning(pages: Reads) -> None:
    """No event tells of a label that came with the issue: it waits from its creation on."""
    held = alone(issues=[issue(2, labels=["support", "needs info"])])

    (ticket,) = of(Ticket, pages(held, issues={"tickets": "support", "waiting": "needs info"}))

    assert [(t.at, t.state) for t in ticket.transitions] == [(ticket.created_at, "waiting")]


def test_issues_are_not_asked_for_unless_wanted(pages: Reads) -> None:
    """Without settings for issues none are read."""
    api = provider(world())

    read = pages(api, issues=None)

    assert [a for a in api.asked if "/issues" in a.path] == []
    assert of(Ticket, read) == []


# ---- paging, order, late changes


def test_items_updated_while_a_list_is_read_are_not_lost(pages: Reads) -> None:
    """Items are added or updated while paging; several share the boundary second → none lost, none double."""
    held = alone(
        merge_requests=[merge_request(n, updated_at=at(12, 15, n // 3), state="opened") for n in range(1, 10)], most=3
    )
    api = provider(held)

    def moves(asked: Any, **_: str) -> Reply:
        reply = Reply(body=(made := listed(asked, project="shop/api")).bytes(), headers=made.headers)
        held.merge_requests[0]["updated_at"] = at(13)
        return reply

    listed = next(handler for _, pattern, handler in api.routes if pattern.fullmatch("projects/x/merge_requests"))
    api.routes = [(m, p, moves if h is listed else h) for m, p, h in api.routes]
    found = [c.number for c in of(Change, pages(api))]

    assert sorted(set(filter(None, found))) == list(range(1, 10))
    assert [n for n in found if n != 1] == list(range(2, 10))


def test_more_of_one_second_than_a_page_holds_are_all_read(pages: Reads) -> None:
    """A bulk edit gives many items one time: there pages are counted."""
    held = alone(merge_requests=[merge_request(n, updated_at=at(12), state="opened") for n in range(10)], most=3)

    assert [c.number for c in of(Change, pages(held))] == list(range(10))


def test_what_was_read_as_it_stands_is_not_asked_for_again(pages: Reads) -> None:
    """The overlap is listed again, and costs no details: a second run asks one request for each list and the group."""
    api = provider(alone(merge_requests=[merge_request(1)], pipelines=[pipeline(201, "success", at(13))]))
    before = pages(api)
    first = len(api.asked)

    pages(api, before[-1].cursor)

    assert len(api.asked) - first == 6


def test_what_the_system_shows_late_is_found_in_the_overlap(pages: Reads) -> None:
    """Something that appears with an older time than the newest is read, as far as the overlap goes."""
    held = alone(merge_requests=[merge_request(1, updated_at=at(12, 15))])
    before = pages(held)
    held.merge_requests.append(merge_request(2, updated_at=at(12, 14, 30)))

    assert [c.number for c in of(Change, pages(held, before[-1].cursor))] == [2]


def test_since_goes_out_as_rfc_3339(pages: Reads) -> None:
    """`since` goes out as RFC 3339."""
    api = provider(world())

    pages(api, since=datetime(2026, 1, 1, tzinfo=UTC))

    assert {a.one("updated_after") for a in api.asked if a.path.endswith("/pipelines")} == {
        "2026-01-01T00:00:00Z",
        "2026-02-13T11:00:00.123000Z",
    }


def test_a_server_that_ignores_since_is_refused(pages: Reads) -> None:
    """An item last updated before `since` proves it was ignored → error."""
    api = provider(alone(merge_requests=[merge_request(1, updated_at=at(1))]))
    ignoring = Reply([merge_request(1, updated_at=at(1))])
    api.routes.insert(0, ("GET", api.routes[2][1], lambda *_, **__: ignoring))

    with pytest.raises(ContractError, match="it gives what is older than was asked for"):
        pages(api, since=datetime(2026, 2, 2, tzinfo=UTC))


def test_a_large_page_that_fails_is_asked_for_in_smaller_ones(pages: Reads) -> None:
    """502 on a big page → smaller page, then retry, then failure; an unattended run always ends."""
    api = provider(world())
    api.faults = {n: Reply({}, status=502) for n in (2, 3, 4, 5)}

    read = pages(api)

    assert {a.one("per_page") for a in api.asked[5:6]} == {"50"}
    assert by_id(Change, read)


@pytest.mark.parametrize(
    ("gone", "place", "kind", "kept"),
    [
        ("merge_requests", 4, Change, {"1001", "1002", "1003", "1004"}),
        ("issues", 1, Ticket, set()),
        ("issues", 3, Incident, {"4001"}),
        ("deployments", 3, Deployment, {"job/2013/api/production"}),
    ],
)
def test_what_was_deleted_is_found_by_the_next_day(
    pages: Reads, gone: str, place: int, kind: type[Event], kept: set[str]
) -> None:
    """Deleted at the source → found by reconciliation, kept as a tombstone, numbers restated."""
    held = world()
    before = pages(held)
    del getattr(held, gone)[place]

    (same_day, next_day) = (pages(held, before[-1].cursor, now=NOW + timedelta(hours=h)) for h in (23, 24))
    found = [(c.kind, c.native_ids, c.since) for p in next_day for c in p.complete]

    assert [c for p in same_day for c in p.complete] == []
    assert (kind, frozenset(kept), NOW - timedelta(days=29)) in found


def test_a_deleted_change_is_removed(pages: Reads, bench: Any, context: SourceContext) -> None:
    """A merge request, an incident and a ticket that are gone the next day leave the store; the others stay."""
    held = world()
    wire = Wire(adapter=provider(held), sleep=lambda _: None)
    bench.runner.run("sample", settings().build(replace(context, wire=wire)))
    del held.merge_requests[0], held.issues[:2]

    tomorrow = replace(context, wire=wire, clock=lambda: NOW + timedelta(days=1))
    outcome = bench.runner.run("sample", settings().build(tomorrow))

    assert (outcome.error, outcome.removed) == (None, 3)


def test_a_token_that_sees_no_issues_any_more_removes_none(pages: Reads) -> None:
    """The system answers it with an empty list, as if all of them had been deleted: nothing follows from that."""
    held = world()
    before = pages(held)
    held.issues.clear()

    after = pages(held, before[-1].cursor, now=NOW + timedelta(days=1))

    assert [c.kind for p in after for c in p.complete if c.kind in {Incident, Ticket}] == []


def test_an_unreadable_list_removes_nothing(pages: Reads) -> None:
    """Where one item of the list cannot be read, nothing follows from what it does not name."""
    held = world()
    before = pages(held)
    held.merge_requests[0]["merged_at"] = "yesterday"

    after = pages(held, before[-1].cursor, now=NOW + timedelta(days=1))

    assert [c.kind for p in after for c in p.complete if c.kind is Change and "shop/api" in c.where.values()] == []


# ---- which projects, and how


def test_projects_of_a_group_are_read_as_they_come(pages: Reads) -> None:
    """Archived projects are left out unless wanted; lists that a project has switched off are not asked for."""
    api = provider(world())

    pages(api)

    asked = {a.path.split("/", 2)[1:][0] + " " + a.path.split("/", 2)[2] for a in api.asked if a.path[0] == "p"}
    assert {a for a in asked if not a.startswith("shop%2Fapi")} == {"shop%2Fdocs merge_requests"}


def test_rules_choose_projects_of_a_group(pages: Reads) -> None:
    """Of a group's projects only those are read that a rule takes and none refuses."""
    api = provider(world())

    pages(api, include=["docs", "shop/api"], exclude=["shop/a*"])

    assert {a.path.split("/")[1] for a in api.asked} == {"shop", "shop%2Fdocs"}


def test_a_project_is_called_as_its_server_calls_it(pages: Reads) -> None:
    """Names are compared without case, and written as the server does."""
    read = pages(world(), organisations=[], repositories=["Shop/API"])

    assert {c.repository for c in of(Change, read)} == {"shop/api"}


def test_commits_are_read_through_a_clone(context: SourceContext) -> None:
    """Where commits are wanted each project has a list more, unless there is nothing in it yet."""
    held = world()
    held.projects[1]["empty_repo"] = True
    wire = Wire(adapter=provider(held), sleep=lambda _: None)

    keys = [s.key for s in settings(commits=True).build(replace(context, wire=wire)).asked().streams(Notes())]

    assert [k for k in keys if k.endswith("commits")] == ["shop/api commits"]


def test_a_group_that_is_gone_does_not_stop_the_others(pages: Reads) -> None:
    """A refused group is reported as cut off; the projects named beside it are read."""
    read = pages(world(), organisations=["nobody"], repositories=["shop/api"])

    (cut,) = [t for p in read for t in p.truncations]
    assert cut.startswith("nobody: GET https://git.example.com/groups/nobody/projects: answered 404")
    assert of(Change, read)


@pytest.mark.parametrize(
    ("more", "header"), [({}, "private-token"), ({"bearer": True}, "authorization")], ids=["personal", "oauth"]
)
def test_the_token_goes_in_its_header(pages: Reads, more: dict[str, Any], header: str) -> None:
    """A personal, project or group token goes as PRIVATE-TOKEN, one of OAuth as a bearer; neither in the address."""
    api = provider(world())

    pages(api, **more)

    assert {a.headers[header].removeprefix("Bearer ") for a in api.asked} == {stand_in.TOKEN}


def test_the_configured_type_decides_not_the_host(pages: Reads) -> None:
    """Self-hosted name without the product in it → the configured type decides, below any path."""
    api = provider(world())
    api.base = "https://tools.example.com/code/api/v4"

    read = pages(api, url="https://tools.example.com/code/")

    assert of(Change, read)


def test_tokens_of_projects_and_groups_are_bots(pages: Reads) -> None:
    """`project_1_bot_…` and `group_1_bot_…` are programs; `mr-bot-ham` is a person."""
    authors = ["project_1_bot_0f3c", "group_7_bot_77aa", "mr-bot-ham"]
    held = alone(merge_requests=[merge_request(n, author=user(n, login)) for n, login in enumerate(authors)])

    assert [c.bot for c in of(Change, pages(held))] == [True, True, False]


# ---- webhooks


def delivered(body: dict[str, Any], token: str = SECRET, **headers: str) -> Delivery:
    """A request as GitLab sends it."""
    named = {"x-gitlab-token": token, "x-gitlab-event": "Some Hook", **headers}
    return Delivery(headers=named, body=json.dumps(body).encode(), received_at=NOW)


HOOKED_PROJECT = {
    "id": 1,
    "name": "Api",
    "web_url": "https://git.example.com/shop/api",
    "path_with_namespace": "shop/api",
}
HOOKED_USER = {"id": 11, "name": PLANTED_NAME, "username": PLANTED_LOGIN, "email": PLANTED_MAIL, "avatar_url": None}


def hook(kind: str, **more: Any) -> dict[str, Any]:
    """What every delivery holds."""
    return {"object_kind": kind, "event_type": kind, "user": HOOKED_USER, "project": HOOKED_PROJECT, **more}


def merge_request_hook(**more: Any) -> dict[str, Any]:
    """A merge request that was just merged."""
    attributes = {
        "id": 1001,
        "iid": 1,
        "author_id": 11,
        "title": "Change 1",
        "created_at": "2026-02-10 09:00:00 UTC",
        "updated_at": "2026-02-12 15:00:00 UTC",
        "state": "merged",
        "action": "merge",
        "target_branch": "main",
        "source_branch": "change-1",
        "draft": False,
        "work_in_progress": False,
        "merge_commit_sha": f"{0xFF01:040x}",
        "last_commit": {"id": f"{1:040x}", "author": {"name": PLANTED_NAME, "email": PLANTED_MAIL}},
        "url": "https://git.example.com/shop/api/-/merge_requests/1",
        **more,
    }
    return hook("merge_request", object_attributes=attributes, labels=[{"id": 206, "title": "backend"}], changes={})


def build(number: int, name: str, status: str, **more: Any) -> dict[str, Any]:
    """A job as a pipeline's delivery lists it."""
    return {
        "id": number,
        "stage": "deploy",
        "name": name,
        "status": status,
        "created_at": "2026-02-13 09:00:00 UTC",
        "started_at": "2026-02-13 09:01:00 UTC",
        "finished_at": "2026-02-13 09:30:00 UTC",
        "failure_reason": None,
        "when": "on_success",
        "manual": False,
        "allow_failure": False,
        "user": HOOKED_USER,
        "runner": None,
        "environment": {"name": "production", "action": "start", "deployment_tier": "production"},
        **more,
    }


def pipeline_hook(*builds: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A pipeline that ended."""
    attributes = {
        "id": 201,
        "iid": 1,
        "name": None,
        "ref": "main",
        "tag": False,
        "sha": "a" * 40,
        "source": "push",
        "status": "success",
        "created_at": "2026-02-13 09:00:00 UTC",
        "finished_at": "2026-02-13 09:31:00 UTC",
        "url": "https://git.example.com/shop/api/-/pipelines/201",
    }
    return hook("pipeline", object_attributes=attributes, builds=list(builds), **more)


@pytest.fixture
def receive(context: SourceContext) -> Callable[..., Received]:
    """Reads a delivery."""

    def read(body: dict[str, Any], **more: Any) -> Received:
        receiver = settings(webhook_secret=SECRET, **more).receiver(context)
        assert receiver is not None
        return receiver.read(delivered(body))

    return read


def test_without_a_secret_nothing_is_received(context: SourceContext) -> None:
    """No webhook is open unless a secret is set."""
    assert settings().receiver(context) is None


@pytest.mark.parametrize(("token", "genuine"), [(SECRET, True), ("another-secret-of-hooks", False), ("", False)])
def test_a_delivery_carries_the_secret(context: SourceContext, token: str, genuine: bool) -> None:  # noqa: FBT001 - a case
    """Only who knows the secret is let in."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    assert receiver.is_genuine(delivered({}, token)) is genuine


def test_a_delivery_that_is_tried_again_has_the_same_id(context: SourceContext) -> None:
    """A replay does nothing: each try has one key; the id of an event is shared by what it causes."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    first, again = (
        receiver.read(delivered(hook("push"), **{"idempotency-key": "k-1", "x-gitlab-event-uuid": u})) for u in "ab"
    )
    assert (first.id, again.id) == ("k-1", "k-1")


def test_a_hooked_merge_is_the_change_of_the_api(pages: Reads, receive: Callable[..., Received]) -> None:
    """The same native id by webhook and by polling → one, and what the API tells later holds."""
    (hooked,) = receive(merge_request_hook()).events
    polled = by_id(Change, pages(world()))["1001"]

    assert isinstance(hooked, Change)
    assert (hooked.id, hooked.merge_sha, hooked.author) == (polled.id, polled.merge_sha, polled.author)
    assert hooked.merged_at == datetime(2026, 2, 12, 15, tzinfo=UTC)
    assert hooked.updated_at is not None
    assert polled.updated_at is not None
    assert hooked.updated_at < polled.updated_at


def test_what_changes_after_a_merge_is_left_to_the_next_run(receive: Callable[..., Received]) -> None:
    """A label on a merged request must not cost the times that a webhook does not tell."""
    received = receive(merge_request_hook(action="update"))

    assert (list(received.events), received.ignored) == ([], "what changes after a merge comes with the next run")


def test_a_hooked_pipeline_is_the_runs_of_the_api(pages: Reads, receive: Callable[..., Received]) -> None:
    """A pipeline and its jobs by webhook have the ids and the deployments that the API gives."""
    hooked = receive(pipeline_hook(build(2013, "deploy-production", "success")), deployments=DEPLOYS).events
    polled = pages(world(), deployments=DEPLOYS)

    assert [e.native_id for e in hooked] == ["run/201", "job/2013", "job/2013/api/production"]
    assert {e.id for e in hooked} <= {e.id for p in polled for e in p.events}


def test_a_hooked_job_that_stops_an_environment_deploys_nothing(receive: Callable[..., Received]) -> None:
    """Only a job that starts an environment deploys to it."""
    stops = build(2013, "teardown", "success", environment={"name": "production", "action": "stop"})

    events = receive(pipeline_hook(stops), deployments=[{"environment": "production"}]).events

    assert [e.native_id for e in events] == ["run/201", "job/2013"]


def test_a_child_pipeline_is_called_so_by_webhook_too(receive: Callable[..., Received]) -> None:
    """A pipeline that another of its project started is a child; one of another project is not."""
    own, other = (
        receive(pipeline_hook(source_pipeline={"project": {"id": 1, "path_with_namespace": name}, "pipeline_id": 1}))
        for name in ("shop/api", "shop/docs")
    )

    assert [e.pipeline for r in (own, other) for e in r.events if isinstance(e, PipelineRun)] == [
        "child pipeline",
        "pipeline",
    ]


def test_a_hooked_job_is_the_job_of_the_api(receive: Callable[..., Received]) -> None:
    """A job by itself has the id, the pipeline and the attempt that its pipeline's list gives it."""
    body = hook(
        "build",
        build_id=2012,
        build_name="test",
        build_status="success",
        build_created_at="2026-02-13T09:00:00.886Z",
        build_started_at="2026-02-13T09:01:00.000Z",
        build_finished_at="2026-02-13T09:05:00.000Z",
        build_allow_failure=False,
        retries_count=1,
        pipeline_id=201,
        ref="main",
        sha="a" * 40,
        commit={"id": 201, "name": None, "author_name": PLANTED_NAME, "author_email": PLANTED_MAIL},
        environment=None,
    )

    (run,) = receive(body).events

    assert isinstance(run, PipelineRun)
    assert (run.native_id, run.parent_native_id, run.attempt, run.pipeline) == ("job/2012", "run/201", 2, "pipeline")
    assert run.finished_at == datetime(2026, 2, 13, 9, 5, tzinfo=UTC)


def deployment_hook(status: str, **more: Any) -> dict[str, Any]:
    """A deployment by a job."""
    return hook(
        "deployment",
        **{
            "status": status,
            "status_changed_at": "2026-02-13 10:30:00 +0100",
            "deployment_id": 301,
            "deployable_id": 2013,
            "deployable_url": "https://git.example.com/shop/api/-/jobs/2013",
            "environment": "production",
            "environment_tier": "production",
            "short_sha": "a" * 8,
            "commit_url": f"https://git.example.com/shop/api/-/commit/{'a' * 40}",
            "ref": "main",
            **more,
        },
    )


def test_a_hooked_deployment_is_that_of_the_api(pages: Reads, receive: Callable[..., Received]) -> None:
    """The same native id by webhook and by polling → one."""
    (hooked,) = receive(deployment_hook("success")).events
    polled = by_id(Deployment, pages(world()))["job/2013/api/production"]

    assert isinstance(hooked, Deployment)
    assert (hooked.id, hooked.sha) == (polled.id, polled.sha)
    assert hooked.finished_at == datetime(2026, 2, 13, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (deployment_hook("running"), "a deployment that is 'running' has not ended, or deployed nothing"),
        (deployment_hook("failed"), "whether its job may fail comes with the next run"),
        (hook("push"), "the kind 'push' is not read"),
        (hook("pipeline", project={**HOOKED_PROJECT, "path_with_namespace": "else/where"}), "its project is not read"),
        (
            hook(
                "note", object_attributes={"id": 1, "created_at": "2026-02-11 09:00:00 UTC", "noteable_type": "Issue"}
            ),
            "comments on merge requests alone are read",
        ),
        (
            hook(
                "note",
                object_attributes={
                    "id": 1,
                    "created_at": "2026-02-11 09:00:00 UTC",
                    "noteable_type": "MergeRequest",
                    "author_id": 11,
                },
                merge_request={"id": 1001, "author_id": 11},
            ),
            "its author's own comment is no review",
        ),
    ],
)
def test_what_is_not_read_says_why(receive: Callable[..., Received], body: dict[str, Any], why: str) -> None:
    """An unmatched event is answered with its reason rather than gone."""
    received = receive(body)

    assert (list(received.events), received.ignored) == ([], why)


def test_a_hooked_comment_is_the_review_of_the_api(pages: Reads, receive: Callable[..., Received]) -> None:
    """A comment by somebody else is a review with the id of its note."""
    attributes = {
        "id": 4,
        "note": "Nice.",
        "noteable_type": "MergeRequest",
        "author_id": 11,
        "system": False,
        "created_at": "2026-02-11 12:00:00 UTC",
        "updated_at": "2026-02-11 12:00:00 UTC",
    }

    (hooked,) = receive(hook("note", object_attributes=attributes, merge_request={"id": 1001, "author_id": 12})).events

    assert hooked.id == by_id(Review, pages(world()))["note/4"].id


def issue_hook(**more: Any) -> dict[str, Any]:
    """An issue that was opened."""
    attributes = {
        "id": 4001,
        "iid": 1,
        "author_id": 11,
        "title": "Issue 1",
        "type": "Issue",
        "state": "opened",
        "action": "open",
        "severity": "unknown",
        "created_at": "2026-02-14T09:00:00Z",
        "updated_at": "2026-02-14T09:00:00Z",
        "closed_at": None,
        **more,
    }
    return hook("issue", object_attributes=attributes, labels=[{"title": "support"}])


def test_a_hooked_issue_is_a_ticket_when_it_is_opened(receive: Callable[..., Received]) -> None:
    """A new ticket comes at once; later its replies would be lost by a webhook, which does not tell them."""
    (ticket,) = receive(issue_hook()).events

    assert (ticket.kind, ticket.native_id) == ("ticket", "4001")
    assert receive(issue_hook(action="update")).ignored == "what changes on a ticket comes with the next run"


def test_a_hooked_incident_is_restored_when_it_is_closed(receive: Callable[..., Received]) -> None:
    """An incident by its type is one at each of its changes."""
    closed = issue_hook(type="Incident", state="closed", action="close", closed_at="2026-02-15 09:00:00 UTC")

    (incident,) = receive({**closed, "object_kind": "work_item"}).events

    assert isinstance(incident, Incident)
    assert incident.restored_at == datetime(2026, 2, 15, 9, tzinfo=UTC)


def test_a_hooked_time_without_an_offset_is_set_aside(receive: Callable[..., Received]) -> None:
    """A naive time without a declared zone is refused."""
    received = receive(merge_request_hook(updated_at="2026-02-12 15:00:00"))

    assert [r.location for r in received.rejected] == ["merge_request 1001: updated_at"]


def test_a_delivery_that_is_no_such_thing_is_refused(context: SourceContext) -> None:
    """A body that is not as documented is an error, without its values."""
    receiver = settings(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    with pytest.raises(ContractError, match="the delivery is not as documented"):
        receiver.read(delivered(hook("pipeline", object_attributes="?")))
    with pytest.raises(ContractError, match="the delivery is no JSON"):
        receiver.read(replace(delivered({}), body=b"payload=%7B%7D"))


def test_nobody_is_named_by_a_webhook(receive: Callable[..., Received]) -> None:
    """No name, login or address leaves the receiver."""
    read = [receive(b) for b in (merge_request_hook(), issue_hook(), pipeline_hook(build(1, "test", "success")))]

    assert People(b"k" * 32).hashed(PLANTED_LOGIN) in str(read)
    assert [w for w in (PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME) if w in str(read)] == []
