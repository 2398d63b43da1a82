"""GitHub: what is asked, and what becomes of the answers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import openapi
import pytest
from providers import github
from providers.github import (
    Held,
    World,
    configured,
    deployment,
    graphql,
    issue,
    job,
    pull_request,
    release,
    repository,
    review,
    run,
    serve,
    sha,
    small_world,
    user,
)
from replay import Provider, Reply, Request

from collector.errors import AuthError, BadRecord, ContractError, RetryableError, SourceError
from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    IncidentState,
    PipelineRun,
    Result,
    Review,
    RunState,
    Ticket,
    TicketState,
)
from collector.http import Answer, Wire, refuse
from collector.source import Complete, Page, SourceContext
from collector.systems.github.api import CHANGES, HISTORY, RELEASES, REVIEWS, STATUSES, Graph
from collector.systems.github.shapes import (
    Issue,
    Job,
    Node,
    OwnDeployment,
    PullRequest,
    ReleaseItem,
    Repository,
    ReviewItem,
    Run,
    StatusItem,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "recordings" / "github"
PACKAGES = ROOT / "tests" / "npm" / "node_modules" / "@octokit"
SCHEMA = PACKAGES / "graphql-schema" / "schema.graphql"
DESCRIPTION = PACKAGES / "openapi" / "generated" / "api.github.com.json"
E = TypeVar("E", bound=Event)

ONLY: dict[str, Any] = {
    "organisations": [],
    "repositories": ["acme/shop"],
    "deployments": [],
    "own_deployments": False,
    "releases": None,
    "issues": None,
}
"""Settings that read changes and runs alone."""
DEPLOYING_JOBS = [{"job": "/deploy-(?P<environment>\\w+)/", "to": "{environment}"}]


@dataclass(frozen=True)
class Reading:
    """What one run brought, and what it asked for."""

    pages: list[Page]
    provider: Provider

    def of(self, kind: type[E]) -> list[E]:
        """The events of a kind."""
        return [e for page in self.pages for e in page.events if isinstance(e, kind)]

    def ids(self, kind: type[Event]) -> list[str]:
        """The native ids of a kind."""
        return [e.native_id for e in self.of(kind)]

    @property
    def cursor(self) -> str:
        """Where the next run starts."""
        return self.pages[-1].cursor

    @property
    def rejected(self) -> list[BadRecord]:
        """What was set aside."""
        return [bad for page in self.pages for bad in page.rejected]

    @property
    def warnings(self) -> list[str]:
        """What it told."""
        return [text for page in self.pages for text in page.warnings]

    @property
    def truncations(self) -> list[str]:
        """What was cut off."""
        return [text for page in self.pages for text in page.truncations]

    @property
    def complete(self) -> list[Complete]:
        """Lists that were read whole."""
        return [one for page in self.pages for one in page.complete]

    @property
    def paths(self) -> list[str]:
        """What was asked for."""
        return [asked.path for asked in self.provider.asked]


Read = Callable[..., Reading]


@pytest.fixture
def read(context: SourceContext) -> Read:
    """Reads a world once, with settings that read only changes and runs unless others are given."""

    def once(world: World, cursor: str | None = None, *, at: datetime = NOW, **settings: Any) -> Reading:
        provider = serve(world)
        wire = Wire(adapter=provider, sleep=lambda _: None, chance=lambda: 0.0)
        source = configured(**{**ONLY, **settings}).build(replace(context, clock=lambda: at, wire=wire))
        return Reading(list(source.pull(cursor)), provider)

    return once


def holding(most: int = 100, **lists: Any) -> World:
    """A world of one repository."""
    return World(held={"acme/shop": Held(**lists)}, most=most)


def answering(world: World, answer: Reply) -> Provider:
    """The API of a world whose GraphQL always gives one answer."""
    provider = serve(world)
    provider.routes = [route for route in provider.routes if route[0] == "GET"]
    provider.route("graphql", "POST")(lambda _: answer)
    return provider


def of_changes(*nodes: object, place: str | None = None, **more: Any) -> Reply:
    """An answer of GraphQL with these pull requests; `place` is the next page's."""
    page = {"pageInfo": {"hasNextPage": place is not None, "endCursor": place}, "nodes": nodes}
    return Reply({"data": {"repository": {"pullRequests": page}, "nodes": []}, **more})


def pulled(context: SourceContext, provider: Provider, **settings: Any) -> Reading:
    """A first run against an API."""
    source = configured(**{**ONLY, **settings}).build(replace(context, wire=Wire(adapter=provider)))
    return Reading(list(source.pull(None)), provider)


@pytest.fixture
def swept(context: SourceContext) -> Callable[..., list[Complete]]:
    """Reads a world, and a day later again: what is then said to be whole, though something is done meanwhile."""

    def twice(world: World, path: str, meanwhile: Callable[[], object], **settings: Any) -> list[Complete]:
        provider, config = serve(world), configured(**{**ONLY, **settings})
        wire = Wire(adapter=provider, sleep=lambda _: None, chance=lambda: 0.0)
        pages = list(config.build(replace(context, clock=lambda: NOW, wire=wire)).pull(None))
        _before_the_second_page(provider, path, meanwhile)
        later = config.build(replace(context, clock=lambda: NOW + timedelta(days=1), wire=wire))
        return [one for page in later.pull(pages[-1].cursor) for one in page.complete]

    return twice


def _before_the_second_page(provider: Provider, path: str, act: Callable[[], object]) -> None:
    """Have something done once, right before the second page of a list is answered."""
    place = next(n for n, (_, pattern, _) in enumerate(provider.routes) if pattern.fullmatch(path))
    method, pattern, handler = provider.routes[place]
    waiting = [act]

    def answer(asked: Request, **more: str) -> Reply:
        while asked.one("page") == "2" and waiting:
            waiting.pop()()
        return handler(asked, **more)

    provider.routes[place] = (method, pattern, answer)


def graph_of(provider: Provider, context: SourceContext) -> Graph:
    """What asks an API by GraphQL."""
    return configured().build(replace(context, wire=Wire(adapter=provider))).graph


def merged(number: int = 1, **more: Any) -> dict[str, Any]:
    """A merged pull request."""
    at = "2026-02-12T10:00:00Z"
    return pull_request(
        number, "2026-02-09T09:00:00Z", at, **{"state": "closed", "merged_at": at, "closed_at": at, **more}
    )


def at(text: str) -> datetime:
    """A time of February 2026: `12 10:00`."""
    return datetime.fromisoformat(f"2026-02-{text.replace(' ', 'T')}:00+00:00")


# ---- pull requests (traps, A)


def test_a_pull_request_that_is_closed_without_a_merge_has_no_merge_time(read: Read) -> None:
    """A pull request closed without a merge → no change; only a merge time makes one."""
    closed = merged(merged_at=None)

    (change,) = read(holding(pulls=[closed])).of(Change)

    assert (change.state, change.merged_at, change.merge_sha) == (ChangeState.CLOSED, None, None)


def test_a_merge_without_its_time_is_kept_as_it_is(context: SourceContext) -> None:
    """State says `merged` but the merge time is null → kept, never guessed."""
    node = {**github.change_node(merged()), "mergedAt": None}

    (change,) = pulled(context, answering(holding(), of_changes(node))).of(Change)

    assert (change.state, change.merged_at, change.merge_sha) == (ChangeState.MERGED, None, None)


def test_the_merge_commit_is_what_reached_the_default_branch(read: Read) -> None:
    """Squash or rebase merge: the request's own commits never reach the default branch → use the merge's."""
    (change,) = read(holding(pulls=[merged(7)])).of(Change)

    assert (change.merge_sha, change.head_sha) == (sha(7), sha(1_007))


def test_a_draft_is_ready_when_it_says_so(read: Read) -> None:
    """Draft opened Monday, ready Thursday, merged Thursday → review waiting starts at *ready*."""
    drafted = merged(1, ready_at="2026-02-12T08:00:00Z", first_commit_at="2026-02-09T08:00:00Z")

    changes = {c.number: c for c in read(holding(pulls=[drafted, merged(2)])).of(Change)}

    assert (changes[1].ready_at, changes[1].first_commit_at) == (at("12 08:00"), at("09 08:00"))
    assert changes[2].ready_at == changes[2].created_at


def test_a_draft_that_is_open_is_not_ready(read: Read) -> None:
    """A draft waits for nobody yet."""
    draft = pull_request(1, "2026-02-09T09:00:00Z", "2026-02-09T09:00:00Z", draft=True)

    (change,) = read(holding(pulls=[draft])).of(Change)

    assert (change.state, change.ready_at) == (ChangeState.WIP, None)


def test_a_pull_request_without_reviews_has_none(read: Read) -> None:
    """Merged without any review → no review is made up."""
    assert read(holding(pulls=[merged()])).of(Review) == []


def test_reviews_say_who_and_when(read: Read, context: SourceContext) -> None:
    """First comment is by a bot → flagged as such, beside the one that is a person's."""
    reviews = [
        review(11, "2026-02-11T10:00:00Z", "checker[bot]", state="COMMENTED"),
        review(12, "2026-02-12T09:00:00Z", "reviewer", state="CHANGES_REQUESTED"),
        review(13, "2026-02-12T09:10:00Z", state="PENDING", submitted_at=None),
    ]

    found = read(holding(pulls=[merged(reviews=reviews)])).of(Review)

    assert [(r.native_id, r.bot, r.state, r.at) for r in found] == [
        ("11", True, "commented", at("11 10:00")),
        ("12", False, "changes_requested", at("12 09:00")),
    ]
    assert found[1].author == context.people.hashed("reviewer")


def test_a_review_whose_id_is_no_number_is_a_review(context: SourceContext) -> None:
    """What a provider may write otherwise one day breaks no run."""
    said = {**github.review_node(review(9, "2026-02-12T10:00:00Z")), "fullDatabaseId": "PRR_9"}
    node = {**github.change_node(merged()), "reviews": {"nodes": [said], "pageInfo": {"hasNextPage": False}}}

    assert pulled(context, answering(holding(pulls=[merged()]), of_changes(node))).ids(Review) == ["PRR_9"]


def test_many_reviews_are_all_read(read: Read) -> None:
    """Nested lists longer than a page → everything is read."""
    reviews = [review(n, "2026-02-12T09:00:00Z") for n in range(1, 132)]

    found = read(holding(pulls=[merged(reviews=reviews)]))

    assert len(set(found.ids(Review))) == 131
    assert found.paths.count("graphql") == 3


def test_nothing_new_costs_one_request_that_is_not_counted(read: Read) -> None:
    """Pull requests that nobody touched are known by an ETag: nothing is asked of GraphQL."""
    world = holding(pulls=[merged()])
    first = read(world)

    second = read(world, first.cursor)

    assert "graphql" not in second.paths
    assert second.of(Change) == []


def test_what_is_updated_while_pages_are_read_comes_with_the_next_run(read: Read, context: SourceContext) -> None:
    """Items are added or updated while paging; several share the boundary second → none lost, none double."""
    pulls = [pull_request(n, "2026-02-09T09:00:00Z", "2026-02-10T09:00:00Z") for n in range(1, 6)]
    world = holding(pulls=pulls, most=2)
    provider = serve(world)
    source = configured(**ONLY).build(replace(context, wire=Wire(adapter=provider)))
    pages = source.pull(None)
    seen = [e.native_id for e in next(pages).events]
    pulls[0]["updated_at"] = "2026-02-11T09:00:00Z"

    rest = list(pages)
    seen += [e.native_id for page in rest for e in page.events if isinstance(e, Change)]
    again = read(world, rest[-1].cursor)

    assert set(seen) | set(again.ids(Change)) == {str(p["id"]) for p in pulls}
    assert str(pulls[0]["id"]) in again.ids(Change)


def test_a_first_read_goes_on_where_it_was_broken(read: Read, context: SourceContext) -> None:
    """A read that breaks between pages goes on there, not at the start."""
    world = holding(pulls=[pull_request(n, "2026-02-09T09:00:00Z", "2026-02-10T09:00:00Z") for n in range(5)], most=2)
    source = configured(**ONLY).build(replace(context, wire=Wire(adapter=serve(world))))
    broken = next(source.pull(None))

    rest = read(world, broken.cursor)

    assert (len(broken.events), len(rest.of(Change))) == (2, 3)
    assert "repos/acme/shop/pulls" not in rest.paths


def test_a_place_that_the_server_forgot_starts_the_list_anew(read: Read, context: SourceContext) -> None:
    """A stored place that is not valid any more costs a second reading, nothing else."""
    world = holding(pulls=[pull_request(n, "2026-02-09T09:00:00Z", "2026-02-10T09:00:00Z") for n in range(5)], most=2)
    source = configured(**ONLY).build(replace(context, wire=Wire(adapter=serve(world))))
    broken = next(source.pull(None))
    world.problems = [{"type": "INVALID_CURSOR_ARGUMENTS", "message": "no valid cursor"}]

    assert len(read(world, broken.cursor).of(Change)) == 5


def test_old_pull_requests_are_not_read(read: Read) -> None:
    """A first run reads as far back as `history` says."""
    old = pull_request(1, "2024-02-09T09:00:00Z", "2024-02-10T09:00:00Z")

    assert read(holding(pulls=[old, merged(2)])).ids(Change) == ["4000000002"]


# ---- GraphQL that fails


@pytest.mark.parametrize("kind", ["RATE_LIMIT", "RATE_LIMITED"])
def test_used_up_points_are_patience_not_an_empty_list(read: Read, kind: str) -> None:
    """A limit of points is answered with 200: try later, never "no data"."""
    world = holding(pulls=[merged()])
    world.problems = [{"type": kind, "message": "API rate limit exceeded for user ID 1."}]

    with pytest.raises(RetryableError, match="its limit of points is used up"):
        read(world)


def test_used_up_points_say_when_there_are_new_ones(context: SourceContext) -> None:
    """The wait is the one that the answer's headers tell, by the server's own clock."""
    headers = {
        "Date": "Mon, 02 Mar 2026 09:00:00 GMT",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Reset": str(int(NOW.timestamp()) + 90),
        "X-RateLimit-Resource": "graphql",
    }
    limited = {"data": None, "errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}

    with pytest.raises(RetryableError) as failed:
        pulled(context, answering(holding(), Reply(limited, headers=headers)))

    assert failed.value.retry_after_seconds == 90


def test_a_query_that_takes_too_long_is_asked_in_smaller_pages(read: Read) -> None:
    """502 on a big page → smaller page, then failure; an unattended run always ends."""
    world = holding(pulls=[merged(n) for n in range(60)])
    world.slow_from = 20

    assert len(read(world).of(Change)) == 60


def test_many_things_that_are_too_much_at_once_are_asked_for_in_parts(read: Read) -> None:
    """Statuses of a hundred deployments may take too long: then of fewer, until the server can."""
    ended = [("success", "2026-02-12T10:00:00Z")]
    world = holding(deployments=[deployment(n, "2026-02-12T09:59:00Z", ended) for n in range(100)])
    world.slow_from = 30

    found = read(world, own_deployments=True)

    assert len(set(found.ids(Deployment))) == 100
    assert found.rejected == []


@pytest.mark.parametrize("kind", ["RESOURCE_LIMITS_EXCEEDED", "SERVICE_UNAVAILABLE", "INTERNAL"])
def test_a_query_that_was_too_much_is_asked_in_smaller_pages(read: Read, kind: str) -> None:
    """Whatever the server calls it: less is asked for, and all is read."""
    world = holding(pulls=[merged(n) for n in range(60)])
    world.problems = [{"type": kind, "path": ["repository", "pullRequests"], "message": "too much"}]

    assert len(read(world).of(Change)) == 60


def test_a_query_that_never_ends_fails_the_run(read: Read) -> None:
    """A server that breaks on the smallest page is asked for no less."""
    world = holding(pulls=[merged()])
    world.slow_from = 1

    with pytest.raises(RetryableError, match="could not finish the query"):
        read(world)


def test_a_part_that_was_refused_sets_its_record_aside(context: SourceContext) -> None:
    """Data with errors beside it: the record that lacks a part is set aside; half of it would say what is not so."""
    nodes = [github.change_node(merged(1)), {**github.change_node(merged(2)), "reviews": None}]
    error = {"type": "FORBIDDEN", "path": ["repository", "pullRequests", "nodes", 1, "reviews"], "message": "SAML"}

    found = pulled(context, answering(holding(), of_changes(*nodes, errors=[error])))

    assert found.ids(Change) == ["4000000001"]
    assert [bad.reason for bad in found.rejected] == ["the server refused a part of it: FORBIDDEN"]


@pytest.mark.parametrize("field", ["updatedAt", "createdAt", "mergedAt"])
def test_a_time_without_a_zone_sets_its_record_aside(context: SourceContext, field: str) -> None:
    """A naive time without a declared zone is refused, and costs its own record alone."""
    plain = {**github.change_node(merged(1)), field: "2026-02-12T10:00:00"}

    found = pulled(context, answering(holding(pulls=[merged(1)]), of_changes(plain, github.change_node(merged(2)))))

    assert [c.number for c in found.of(Change)] == [2]
    assert len(found.rejected) == 1


def test_a_broken_record_leaves_the_others(context: SourceContext) -> None:
    """One pull request that is not as documented is set aside; the rest survives."""
    nodes = [{**github.change_node(merged(1)), "createdAt": "2026-02-30"}, github.change_node(merged(2))]

    found = pulled(context, answering(holding(), of_changes(*nodes)))

    assert found.ids(Change) == ["4000000002"]
    assert [bad.location for bad in found.rejected] == ["pull requests of acme/shop item 1"]


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        ({"type": "FORBIDDEN", "message": "SAML"}, AuthError),
        ({"message": "Field 'x' doesn't exist", "extensions": {"code": "undefinedField"}}, ContractError),
        ({"type": "SOMETHING_ELSE", "message": "?"}, ContractError),
    ],
    ids=["forbidden", "too old", "unknown"],
)
def test_an_error_of_graphql_is_an_error_of_its_kind(
    context: SourceContext, problem: dict[str, Any], error: type[SourceError]
) -> None:
    """An answer of 200 with errors is named for what it is."""
    graph = graph_of(answering(holding(), Reply({"data": None, "errors": [problem]})), context)

    with pytest.raises(error):
        graph.nodes(STATUSES, ["DE_1"], Node)


def test_pages_that_never_end_are_an_error(context: SourceContext) -> None:
    """A place that comes again as the next one is an error, not an endless read."""
    provider = answering(holding(), of_changes(github.change_node(merged()), place="x"))

    with pytest.raises(ContractError, match="its pages never end"):
        pulled(context, provider)


def test_fewer_things_than_were_asked_for_are_an_error(context: SourceContext) -> None:
    """Things are told apart by their order: a list of another length would mix them up."""
    world = holding(deployments=[deployment(1, "2026-02-12T09:00:00Z", [])])

    with pytest.raises(ContractError, match="1 things were asked for, and 0 answered"):
        pulled(context, answering(world, of_changes()), own_deployments=True)


def test_unknown_states_are_told_and_claim_nothing(read: Read) -> None:
    """New enum values → record survives; the unknown value is counted and named."""
    made = deployment(1, "2026-02-12T09:59:00Z", [("dreaming", "2026-02-12T10:00:00Z")])

    found = read(holding(pulls=[merged(merged_at=None, state="frozen")], deployments=[made]), own_deployments=True)

    assert [c.state for c in found.of(Change)] == [ChangeState.OPEN]
    assert found.of(Deployment) == []
    assert found.warnings == [
        "pull request state 'FROZEN' is not known here; it is taken as open",
        "deployment state 'dreaming' is not known here; it is taken as not yet ended",
    ]


# ---- workflow runs and their jobs: traps of B and L


def test_results_of_runs_are_neither_guessed_nor_blurred(read: Read) -> None:
    """Cancelled, skipped, abandoned, aborted → neither success nor failure."""
    said = {
        "success": Result.SUCCESS,
        "failure": Result.FAILURE,
        "timed_out": Result.TIMEOUT,
        "startup_failure": Result.ERROR,
        "cancelled": Result.CANCELLATION,
        "stale": Result.CANCELLATION,
        "skipped": Result.SKIP,
        "neutral": Result.SKIP,
        "action_required": Result.SKIP,
    }
    runs = [run(n, "2026-02-12T10:00:00Z", conclusion=c) for n, c in enumerate(said)]

    found = read(holding(runs=runs), deployments=[{"pipeline": "Build"}])

    assert {r.native_id: r.result for r in found.of(PipelineRun)} == {
        f"run/{n}/1": result for n, result in enumerate(said.values())
    }
    assert {d.result for d in found.of(Deployment)} == {Result.SUCCESS, Result.FAILURE, Result.TIMEOUT, Result.ERROR}


def test_an_unknown_result_is_told_and_claims_nothing(read: Read) -> None:
    """New enum values → record survives; the unknown value is counted and named."""
    found = read(holding(runs=[run(n, "2026-02-12T10:00:00Z", conclusion="evaporated") for n in (1, 2)]))

    assert [r.result for r in found.of(PipelineRun)] == [Result.SKIP, Result.SKIP]
    assert found.warnings == ["conclusion 'evaporated' is not known here; it is taken as skipped (2 times)"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", RunState.PENDING),
        ("requested", RunState.PENDING),
        ("waiting", RunState.PENDING),
        ("pending", RunState.PENDING),
        ("in_progress", RunState.EXECUTING),
        ("completed", RunState.FINALIZING),
        ("dreaming", RunState.EXECUTING),
    ],
)
def test_a_run_that_has_not_ended_is_no_deployment(read: Read, status: str, state: RunState) -> None:
    """Running, blocked, created, still building → no deployment yet."""
    found = read(
        holding(runs=[run(1, "2026-02-12T10:00:00Z", status=status, conclusion=None)]),
        deployments=[{"pipeline": "Build"}],
    )

    assert [(r.state, r.result, r.finished_at) for r in found.of(PipelineRun)] == [(state, None, None)]
    assert found.of(Deployment) == []


def test_a_run_that_had_not_ended_is_looked_at_until_it_has(read: Read) -> None:
    """The cursor never passes the oldest unfinished run: it is read again, however far newer ones are."""
    waiting = run(1, "2026-02-01T10:00:00Z", status="in_progress", conclusion=None)
    world = holding(runs=[waiting, run(2, "2026-02-20T10:00:00Z")])
    first = read(world)
    second = read(world, first.cursor)
    waiting.update(status="completed", conclusion="success")

    third = read(world, second.cursor)
    fourth = read(world, third.cursor)

    assert [r.state for r in second.of(PipelineRun)] == [RunState.EXECUTING]
    assert [(r.native_id, r.result) for r in third.of(PipelineRun)] == [("run/1/1", Result.SUCCESS)]
    assert fourth.of(PipelineRun) == []


def test_a_run_that_was_deleted_before_it_ended_is_asked_for_no_more(read: Read) -> None:
    """What is gone is not waited for."""
    world = holding(runs=[run(1, "2026-02-01T10:00:00Z", status="queued", conclusion=None)])
    first = read(world)
    world.held["acme/shop"].runs.clear()
    second = read(world, first.cursor)

    third = read(world, second.cursor)

    assert "repos/acme/shop/actions/runs/1" in second.paths
    assert "repos/acme/shop/actions/runs/1" not in third.paths


def test_each_attempt_is_a_run_of_its_own(read: Read) -> None:
    """A run that failed and was run again is two runs, each with its own time and result."""
    again = run(1, "2026-02-12T10:00:00Z", run_attempt=2, run_started_at="2026-02-13T09:00:00Z")
    failed = run(1, "2026-02-12T10:00:00Z", conclusion="failure")

    found = read(holding(runs=[again], attempts={(1, 1): failed})).of(PipelineRun)

    assert [(r.native_id, r.attempt, r.result, r.created_at) for r in found] == [
        ("run/1/1", 1, Result.FAILURE, at("12 10:00")),
        ("run/1/2", 2, Result.SUCCESS, at("13 09:00")),
    ]


def test_a_run_that_is_run_again_weeks_later_is_seen(read: Read) -> None:
    """Finished things re-run later are seen, by reading the recent past whole once a day."""
    old = run(1, "2026-02-12T10:00:00Z", conclusion="failure")
    world = holding(runs=[old, run(2, "2026-02-27T10:00:00Z")])
    first = read(world)
    world.held["acme/shop"].runs[0] = run(
        1, "2026-02-12T10:00:00Z", run_attempt=2, run_started_at="2026-03-02T10:00:00Z"
    )
    world.held["acme/shop"].attempts[1, 1] = old

    same_day = read(world, first.cursor, at=NOW + timedelta(hours=3))
    next_day = read(world, same_day.cursor, at=NOW + timedelta(days=1))

    assert "run/1/2" not in same_day.ids(PipelineRun)
    assert next_day.ids(PipelineRun) == ["run/1/1", "run/1/2"]


def test_a_run_that_was_deleted_is_told_by_a_whole_list(read: Read) -> None:
    """Deleted at the source → found by reconciliation."""
    world = holding(runs=[run(1, "2026-02-12T10:00:00Z"), run(2, "2026-02-27T10:00:00Z")])
    first = read(world)
    del world.held["acme/shop"].runs[0]

    (gone,) = read(world, first.cursor, at=NOW + timedelta(days=1)).complete

    assert (gone.kind, gone.where) == (PipelineRun, {"repository": "acme/shop", "run_kind": "pipeline"})
    assert (gone.dated, gone.native_ids) == ("created_at", frozenset({"run/2/1"}))


def test_a_list_with_a_broken_item_tells_nothing_of_what_is_gone(read: Read) -> None:
    """What cannot be read is not taken for deleted."""
    world = holding(runs=[run(1, "2026-02-12T10:00:00Z")])
    first = read(world)
    world.held["acme/shop"].runs.append(run(2, "2026-02-27T10:00:00Z", status=3))

    second = read(world, first.cursor, at=NOW + timedelta(days=1))

    assert second.complete == []
    assert second.rejected[0].location.endswith("actions/runs item 1 (id 2)")


def test_a_deletion_under_way_makes_no_other_run_gone(swept: Callable[..., list[Complete]]) -> None:
    """What is deleted while pages are read moves others over the end of a page → these are not taken for deleted."""
    world = holding(most=2, runs=[run(n, f"2026-02-{10 + n}T10:00:00Z") for n in range(1, 6)])

    found = swept(world, "repos/acme/shop/actions/runs", world.held["acme/shop"].runs.pop)

    assert found == []


def test_more_runs_than_the_server_hands_out_are_read_in_spans(read: Read) -> None:
    """Hard caps (1,000 search hits) → the window is split; never a silent end."""
    start = datetime(2026, 2, 1, tzinfo=UTC)
    times = [(start + timedelta(minutes=n)).isoformat().replace("+00:00", "Z") for n in range(1_101)]
    world = holding(runs=[run(n, created) for n, created in enumerate(times)])

    found = read(world)

    assert len(set(found.ids(PipelineRun))) == 1_101
    assert found.truncations == []


def test_a_long_first_read_goes_on_after_its_last_whole_span(read: Read, context: SourceContext) -> None:
    """A first read may outlast a quota: what was read of older spans is not read again, and nothing is left out."""
    start = datetime(2026, 2, 1, tzinfo=UTC)
    times = [(start + timedelta(minutes=20 * n)).isoformat().replace("+00:00", "Z") for n in range(1_101)]
    world = holding(runs=[run(n, created) for n, created in enumerate(times)])
    source = configured(**ONLY).build(replace(context, wire=Wire(adapter=serve(world))))
    broken = list(islice(source.pull(None), 8))

    rest = read(world, broken[-1].cursor)
    before = {e.native_id for page in broken for e in page.events}

    assert len(before | set(rest.ids(PipelineRun))) == 1_101
    assert len(rest.of(PipelineRun)) < 1_101 - 100


def test_a_first_read_with_jobs_ends_although_a_limit_is_small(bench: Any, context: SourceContext) -> None:
    """A limit of 400 requests for a list that costs 900 → each run goes on after the last whole span, and it ends."""
    start = datetime(2026, 2, 1, tzinfo=UTC)
    times = [(start + timedelta(minutes=45 * n)).isoformat().replace("+00:00", "Z") for n in range(900)]
    world = holding(runs=[run(n, created) for n, created in enumerate(times)])
    world.held["acme/shop"].jobs = {n: [job(n, n, "test", created, created)] for n, created in enumerate(times)}
    provider = serve(world)
    source = configured(**{**ONLY, "jobs": True}).build(replace(context, wire=Wire(adapter=provider)))
    refused = Reply({"message": "API rate limit exceeded"}, status=403, headers={"Retry-After": "3600"})

    done = []
    for _ in range(6):
        provider.faults = {len(provider.asked) + 400: refused}
        done.append(bench.runner.run("sample", source).succeeded)

    assert (done[0], done[-1]) == (False, True)
    assert len([r for r in bench.store.events(PipelineRun) if r.task]) == 900


def test_a_second_with_more_runs_than_are_handed_out_is_told(read: Read) -> None:
    """What no window is small enough for is reported as cut off, with how much it is."""
    world = holding(runs=[run(n, "2026-02-12T10:00:00Z") for n in range(1_003)])

    assert read(world).truncations == ["acme/shop: 3 runs of 2026-02-12T10:00:00Z are not handed out"]


def test_a_run_that_is_dated_ahead_of_us_is_read(read: Read) -> None:
    """The source's clock is ahead → no window in the future; the cursor comes from data, not from our clock."""
    found = read(holding(runs=[run(1, "2026-03-02T09:30:00Z")]))

    assert found.ids(PipelineRun) == ["run/1/1"]
    assert '"since":"2026-03-02T09:30:00Z"' in found.cursor


def test_a_run_without_a_creation_time_is_set_aside(read: Read) -> None:
    """A run without a creation time → set aside and counted; one without a start → its start is absent."""
    unstarted = {**run(2, "2026-02-12T10:00:00Z"), "run_started_at": None}
    unended = {**run(3, "2026-02-12T10:00:00Z"), "updated_at": None}
    provider_run = {**run(1, "2026-02-12T10:00:00Z")}
    world = holding(runs=[unstarted, unended, provider_run])

    found = read(world)

    assert {r.native_id: r.started_at for r in found.of(PipelineRun)} == {
        "run/1/1": at("12 10:00"),
        "run/2/1": None,
    }
    assert [bad.reason for bad in found.rejected] == ["it has ended, and nothing says when"]


def test_nothing_is_a_deployment_without_a_rule(read: Read) -> None:
    """No rule for "production" is configured → nothing is production; a lint run is not a release."""
    found = read(holding(runs=[run(1, "2026-02-12T10:00:00Z", name="Deploy to production")]))

    assert found.of(Deployment) == []


def test_a_green_run_whose_deploying_job_failed_deployed_nothing(read: Read) -> None:
    """Pipeline is green, its production job failed with `continue-on-error` → no successful deployment."""
    jobs = [job(10, 1, "deploy-production", "2026-02-12T10:00:10Z", "2026-02-12T10:00:30Z", conclusion="failure")]

    found = read(holding(runs=[run(1, "2026-02-12T10:00:00Z")], jobs={1: jobs}), deployments=DEPLOYING_JOBS)

    assert [(d.native_id, d.result) for d in found.of(Deployment)] == [("job/10/shop/production", Result.FAILURE)]


def test_a_deployment_keeps_the_time_of_its_job_when_others_run_again(read: Read) -> None:
    """A health-check job of a December pipeline is re-run in January → the deployment stays in December."""
    deploys = job(10, 1, "deploy-production", "2025-12-12T10:00:10Z", "2025-12-12T10:00:30Z")
    checks = job(11, 1, "check", "2025-12-12T10:00:31Z", "2025-12-12T10:00:40Z", conclusion="failure")
    copied = {**deploys, "id": 20, "run_attempt": 2, "created_at": "2026-01-09T09:00:00Z"}
    same = {**deploys, "id": 22, "run_attempt": 2}
    again = job(21, 1, "check", "2026-01-09T09:00:00Z", "2026-01-09T09:00:20Z", run_attempt=2)
    latest = run(1, "2025-12-12T10:00:00Z", run_attempt=2, run_started_at="2026-01-09T09:00:00Z")
    world = holding(
        runs=[latest],
        attempts={(1, 1): run(1, "2025-12-12T10:00:00Z", conclusion="failure")},
        jobs={1: [deploys, checks, copied, same, again]},
    )

    (found,) = read(world, deployments=DEPLOYING_JOBS).of(Deployment)

    assert found.native_id == "job/10/shop/production"
    assert found.finished_at == datetime(2025, 12, 12, 10, 0, 30, tzinfo=UTC)


def test_one_run_that_deploys_three_services_is_three_deployments(read: Read) -> None:
    """One pipeline deploys three services → three deployments."""
    names = ("api", "web", "worker")
    jobs = [job(n, 1, f"ship {s}", "2026-02-12T10:00:10Z", "2026-02-12T10:00:30Z") for n, s in enumerate(names)]
    rule = {"job": "/ship (?P<service>\\w+)/", "service": "{service}"}

    found = read(holding(runs=[run(1, "2026-02-12T10:00:00Z")], jobs={1: jobs}), deployments=[rule])

    assert [(d.service, d.environment) for d in found.of(Deployment)] == [(n, "production") for n in names]


def test_all_jobs_of_a_large_run_are_read(read: Read) -> None:
    """Nested lists (121 jobs in a run), empty last page → everything is read."""
    jobs = [job(n, 1, f"test {n}", "2026-02-12T10:00:10Z", "2026-02-12T10:00:30Z") for n in range(121)]

    found = read(holding(runs=[run(1, "2026-02-12T10:00:00Z")], jobs={1: jobs}), jobs=True)

    assert len([r for r in found.of(PipelineRun) if r.task]) == 121
    assert {r.parent_native_id for r in found.of(PipelineRun) if r.task} == {"run/1/1"}


def test_jobs_are_read_only_of_runs_that_a_rule_may_take(read: Read) -> None:
    """Jobs cost a request for each run, so only those are read that may deploy."""
    world = holding(
        runs=[run(n, "2026-02-12T10:00:00Z", name=name) for n, name in enumerate(["Build", "Deploy"])],
        jobs={1: [job(10, 1, "go", "2026-02-12T10:00:10Z", "2026-02-12T10:00:30Z")]},
    )

    found = read(world, deployments=[{"pipeline": "Deploy", "job": "go", "ref": "main"}])

    assert [path for path in found.paths if path.endswith("jobs")] == ["repos/acme/shop/actions/runs/1/jobs"]
    assert found.ids(Deployment) == ["job/10/shop/production"]


def test_a_run_of_an_account_that_was_deleted_survives(read: Read) -> None:
    """`user: null` (deleted account), missing optional fields → record survives."""
    bare = {
        "id": 1,
        "created_at": "2026-02-12T10:00:00Z",
        "updated_at": "2026-02-12T10:01:00Z",
        "status": "completed",
        "conclusion": "success",
        "actor": None,
    }

    (found,) = read(holding(runs=[bare], pulls=[merged(user=None)])).of(PipelineRun)

    assert (found.actor, found.bot, found.pipeline, found.sha) == (None, False, "workflow", None)


@pytest.mark.parametrize("login", ["dependabot[bot]", "github-actions[bot]", "renovate[bot]", "k8s-ci-robot"])
def test_bots_are_told_apart(read: Read, login: str) -> None:
    """`dependabot`, `github-actions`, `renovate`, `k8s-ci-robot` → bots, by GraphQL and by REST, and the same ones."""
    world = holding(
        pulls=[merged(user=user(login))], runs=[run(1, "2026-02-12T10:00:00Z", triggering_actor=user(login))]
    )

    found = read(world)
    (change,), (ran,) = found.of(Change), found.of(PipelineRun)

    assert (change.bot, ran.bot, change.author) == (True, True, ran.actor)


@pytest.mark.parametrize("login", ["bot_tom", "mr-bot-ham"])
def test_people_with_bot_in_their_name_are_people(read: Read, login: str) -> None:
    """`bot_tom`, `mr-bot-ham` → people."""
    (change,) = read(holding(pulls=[merged(user=user(login))])).of(Change)

    assert change.bot is False


def test_the_account_that_stands_for_deleted_ones_is_nobody(read: Read) -> None:
    """By REST a deleted account is called `ghost`: that is not one person."""
    (ran,) = read(holding(runs=[run(1, "2026-02-12T10:00:00Z", triggering_actor=user("ghost"))])).of(PipelineRun)

    assert ran.actor is None


# ---- what GitHub itself calls a deployment


OWN: dict[str, Any] = {"own_deployments": True}


def test_a_deployment_is_dated_by_its_success_whatever_comes_later(read: Read) -> None:
    """A deployment is superseded weeks later and its `updated_at` and state move → its time stays that of success."""
    statuses = [
        ("in_progress", "2026-02-12T10:00:00Z"),
        ("success", "2026-02-12T10:01:00Z"),
        ("success", "2026-02-12T10:09:00Z"),
        ("inactive", "2026-02-28T10:00:00Z"),
    ]

    (found,) = read(holding(deployments=[deployment(1, "2026-02-12T09:59:00Z", statuses)]), **OWN).of(Deployment)

    assert (found.native_id, found.result, found.finished_at) == ("deployment/1", Result.SUCCESS, at("12 10:01"))
    assert (found.service, found.environment, found.sha, found.bot) == ("shop", "production", github.SHA, True)


def test_a_deployment_that_failed_and_was_mended_succeeded(read: Read) -> None:
    """A success after a failure of the same deployment counts, at its own time."""
    statuses = [("failure", "2026-02-12T10:00:00Z"), ("success", "2026-02-12T10:30:00Z")]

    (found,) = read(holding(deployments=[deployment(1, "2026-02-12T09:59:00Z", statuses)]), **OWN).of(Deployment)

    assert (found.result, found.finished_at) == (Result.SUCCESS, at("12 10:30"))


def test_a_deployment_that_was_given_up_is_none(read: Read) -> None:
    """Abandoned → neither success nor failure, and not waited for."""
    statuses = [("queued", "2026-02-12T10:00:00Z"), ("inactive", "2026-02-12T10:30:00Z")]

    found = read(holding(deployments=[deployment(1, "2026-02-12T09:59:00Z", statuses)]), **OWN)

    assert found.of(Deployment) == []
    assert "open" not in found.cursor


@pytest.mark.parametrize("newer", [1, 120], ids=["on the first page", "beyond it"])
def test_a_deployment_that_goes_on_is_looked_at_until_it_ends(read: Read, newer: int) -> None:
    """Running → no deployment yet, and looked at again until finished, however many newer ones there are."""
    ended = [("success", "2026-02-20T10:01:00Z")]
    waiting = deployment(1, "2026-02-12T09:59:00Z", [("waiting", "2026-02-12T10:00:00Z")])
    others = [deployment(n, "2026-02-20T10:00:00Z", ended) for n in range(2, 2 + newer)]
    world = holding(deployments=[waiting, *others])
    first = read(world, **OWN)
    second = read(world, first.cursor, **OWN)
    world.held["acme/shop"].deployments = [
        deployment(1, "2026-02-12T09:59:00Z", [("success", "2026-03-01T10:00:00Z")]),
        *others,
    ]

    third = read(world, second.cursor, **OWN)
    fourth = read(world, third.cursor, **OWN)

    assert "deployment/1" not in [*first.ids(Deployment), *second.ids(Deployment)]
    assert [d.finished_at for d in third.of(Deployment) if d.native_id == "deployment/1"] == [
        datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
    ]
    assert "repos/acme/shop/deployments/1" not in fourth.paths


def test_many_statuses_are_all_read(read: Read) -> None:
    """Nested lists longer than a page → everything is read, so that the first success is found."""
    later = [("inactive", f"2026-02-13T10:{n:02}:00Z") for n in range(60)]
    statuses = [("success", "2026-02-12T10:00:00Z"), *later]

    (found,) = read(holding(deployments=[deployment(1, "2026-02-12T09:59:00Z", statuses)]), **OWN).of(Deployment)

    assert found.finished_at == at("12 10:00")


def test_a_deployment_that_is_gone_is_told_by_a_whole_list(read: Read) -> None:
    """Deleted at the source → found by reconciliation, where one list makes all deployments."""
    ended = [("success", "2026-02-12T10:00:00Z")]
    world = holding(deployments=[deployment(n, "2026-02-12T09:59:00Z", ended) for n in (1, 2)])
    first = read(world, **OWN)
    del world.held["acme/shop"].deployments[0]

    (gone,) = [c for c in read(world, first.cursor, at=NOW + timedelta(days=1), **OWN).complete if c.kind is Deployment]

    assert (gone.where, gone.dated, gone.native_ids) == (
        {"repository": "acme/shop"},
        "finished_at",
        frozenset({"deployment/2"}),
    )


def test_a_deletion_under_way_makes_no_other_deployment_gone(swept: Callable[..., list[Complete]]) -> None:
    """What is deleted while pages are read moves others over the end of a page → these are not taken for deleted."""
    ended = [("success", "2026-02-26T10:00:00Z")]
    made = [deployment(n, f"2026-02-{10 + n}T09:59:00Z", ended) for n in range(1, 6)]
    world = holding(most=2, deployments=made)

    found = swept(world, "repos/acme/shop/deployments", made.pop, **OWN)

    (gone,) = [one for one in found if one.kind is Deployment]
    assert {f"deployment/{n}" for n in range(1, 5)} <= gone.native_ids


def test_a_deployment_that_vanished_while_it_was_read_is_none(context: SourceContext) -> None:
    """GraphQL does not know any more what REST has just listed: it is left out, and nothing fails."""
    world = holding(deployments=[deployment(1, "2026-02-12T09:59:00Z", [("success", "2026-02-12T10:00:00Z")])])
    provider = serve(world)
    provider.routes = [route for route in provider.routes if route[0] == "GET"]
    provider.route("graphql", "POST")(lambda asked: graphql(holding(), asked))

    found = pulled(context, provider, own_deployments=True)

    assert (found.of(Deployment), found.truncations) == ([], [])


def test_rules_for_environments_name_service_and_environment(read: Read) -> None:
    """Several production environments (eu, us) → a rule says which service and environment each is."""
    ended = [("success", "2026-02-12T10:00:00Z")]
    world = holding(deployments=[deployment(1, "2026-02-12T09:59:00Z", ended, environment="prod-eu (api)")])
    rule = {"environment": "/prod-(?P<place>\\w+) \\((?P<service>\\w+)\\)/", "service": "{service}", "to": "{place}"}

    (found,) = read(world, **OWN, deployments=[rule]).of(Deployment)

    assert (found.service, found.environment) == ("api", "eu")


# ---- releases


RELEASED: dict[str, Any] = {"releases": {"environment": "production"}}


def test_a_published_release_is_a_deployment_of_its_tag(read: Read) -> None:
    """Drafts and pre-releases went nowhere; a published release went where the settings say, with its tag's commit."""
    releases = [
        release(1, "v1", "2026-02-12T10:00:00Z"),
        release(2, "v2-rc1", "2026-02-12T11:00:00Z", prerelease=True),
        release(3, "v2", None),
    ]

    (found,) = read(holding(releases=releases), **RELEASED).of(Deployment)

    assert (found.native_id, found.version, found.environment) == ("release/1", "v1", "production")
    assert (found.sha, found.finished_at) == (github.SHA, at("12 10:00"))


def test_a_release_whose_tag_is_gone_counts_without_a_commit(read: Read) -> None:
    """A deployment whose commit is unknown → counts for frequency."""
    (found,) = read(holding(releases=[release(1, "v1", "2026-02-12T10:00:00Z", tag_sha=None)]), **RELEASED).of(
        Deployment
    )

    assert found.sha is None


def test_releases_and_own_deployments_do_not_both_count_unless_asked(read: Read) -> None:
    """A repository that deploys and then publishes its release is not counted twice."""
    own = deployment(301, "2026-02-12T09:00:00Z", [("success", "2026-02-12T09:01:00Z")])
    world = holding(releases=[release(1, "v1", "2026-02-12T10:00:00Z")], deployments=[own])

    alone = read(world, own_deployments=None, **RELEASED).of(Deployment)
    both = read(world, own_deployments=True, **RELEASED).of(Deployment)

    assert [d.native_id for d in alone] == ["release/1"]
    assert len(both) == 2


def test_pre_releases_go_there_where_settings_say_so(read: Read) -> None:
    """An option takes pre-releases too."""
    world = holding(releases=[release(2, "v2-rc1", "2026-02-12T11:00:00Z", prerelease=True)])

    found = read(world, releases={"environment": "staging", "prereleases": True})

    assert [d.environment for d in found.of(Deployment)] == ["staging"]


def test_a_release_that_was_deleted_is_told_by_a_whole_list(read: Read) -> None:
    """Deleted at the source → found by reconciliation."""
    world = holding(releases=[release(n, f"v{n}", "2026-02-12T10:00:00Z") for n in (1, 2)])
    first = read(world, **RELEASED)
    del world.held["acme/shop"].releases[0]

    (gone,) = read(world, first.cursor, **RELEASED).complete

    assert gone.native_ids == {"release/2"}


# ---- issues


ISSUES: dict[str, Any] = {"issues": {"incidents": "incident", "tickets": "support"}}


def test_labels_make_issues_incidents_or_tickets(read: Read) -> None:
    """What no rule names is neither; a pull request is no ticket."""
    issues = [
        issue(1, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "incident", "sev1"),
        issue(2, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "support"),
        issue(3, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "wish"),
        issue(4, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "support", pull_request={}),
    ]

    found = read(holding(issues=issues), **ISSUES)

    assert [(i.native_id, i.service, i.labels) for i in found.of(Incident)] == [
        ("3000000001", "shop", ("incident", "sev1"))
    ]
    assert [(t.native_id, t.queue) for t in found.of(Ticket)] == [("3000000002", "acme/shop")]


def test_a_closed_incident_is_restored_unless_nothing_was_done(read: Read) -> None:
    """Closed as not planned or as a duplicate remedied nothing; closed as done did, and reopened is open."""
    closed = {"state": "closed", "closed_at": "2026-02-12T12:00:00Z"}
    issues = [
        issue(n, "2026-02-12T10:00:00Z", "2026-02-12T12:00:00Z", "incident", **{**closed, "state_reason": reason})
        for n, reason in enumerate(["completed", None, "not_planned", "duplicate"])
    ]
    issues.append(issue(9, "2026-02-12T10:00:00Z", "2026-02-12T12:00:00Z", "incident", state_reason="reopened"))

    found = {i.native_id[-1]: i for i in read(holding(issues=issues), **ISSUES).of(Incident)}

    assert {n: i.restored_at for n, i in found.items()} == {
        "0": at("12 12:00"),
        "1": at("12 12:00"),
        "2": None,
        "3": None,
        "9": None,
    }
    assert (found["3"].state, found["9"].state) == (IncidentState.RESOLVED, IncidentState.DETECTED)


def test_an_incident_tells_when_it_was_taken_on_and_reopened(read: Read) -> None:
    """Acknowledged ≠ resolved; reopened → restored at the *last* resolution."""
    happened = [
        ("2026-02-12T10:05:00Z", "labeled", "on it"),
        ("2026-02-12T10:06:00Z", "labeled", "noise"),
        ("2026-02-12T11:00:00Z", "closed", "completed"),
        ("2026-02-12T11:30:00Z", "reopened"),
        ("2026-02-12T12:00:00Z", "closed", "completed"),
    ]
    closed = {"state": "closed", "closed_at": "2026-02-12T12:00:00Z", "state_reason": "completed"}
    told = issue(
        1, "2026-02-12T10:00:00Z", "2026-02-12T12:00:00Z", "incident", "on it", "noise", happened=happened, **closed
    )

    (found,) = read(holding(issues=[told]), issues={"incidents": "incident", "acknowledged": "on *"}).of(Incident)

    assert (found.acknowledged_at, found.restored_at) == (at("12 10:05"), at("12 12:00"))
    assert [t.state for t in found.transitions] == ["acknowledged", "resolved", "acknowledged", "resolved"]


def test_a_ticket_waits_while_it_has_a_label(read: Read) -> None:
    """Waiting for who asked pauses: from when the label was added to when it was removed."""
    happened = [("2026-02-12T10:05:00Z", "labeled", "needs info"), ("2026-02-12T11:00:00Z", "unlabeled", "needs info")]
    told = issue(1, "2026-02-12T10:00:00Z", "2026-02-12T11:00:00Z", "support", happened=happened)

    (found,) = read(holding(issues=[told]), issues={"tickets": "support", "waiting": "needs info"}).of(Ticket)

    assert [(t.at, t.state) for t in found.transitions] == [(at("12 10:05"), "waiting"), (at("12 11:00"), "open")]
    assert found.state is TicketState.OPEN


def test_a_long_history_of_an_issue_is_all_read(read: Read) -> None:
    """Nested lists longer than a page → everything is read."""
    turns = [
        (f"2026-02-12T10:{n // 2:02}:{n % 2 * 30:02}Z", ("labeled", "unlabeled")[n % 2], "wait") for n in range(90)
    ]
    told = issue(1, "2026-02-12T10:00:00Z", "2026-02-12T11:00:00Z", "support", happened=turns)

    (found,) = read(holding(issues=[told]), issues={"tickets": "support", "waiting": "wait"}).of(Ticket)

    assert len(found.transitions) == 90


def test_a_label_may_stand_for_a_severity(read: Read) -> None:
    """`sev1` is what is called critical here."""
    told = issue(1, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "incident", "sev1")

    (found,) = read(holding(issues=[told]), issues={"incidents": "incident", "severities": {"critical": "sev1"}}).of(
        Incident
    )

    assert found.severity == "critical"


def test_comments_are_replies(read: Read, context: SourceContext) -> None:
    """Who said what when, with bots told apart: the first answer of a person is somebody else's to find."""
    said = [
        ("2026-02-12T10:01:00Z", "helper[bot]"),
        ("2026-02-12T11:00:00Z", "reviewer"),
        ("2026-02-12T12:00:00Z", None),
    ]

    (ticket,) = read(
        holding(issues=[issue(2, "2026-02-12T10:00:00Z", "2026-02-12T12:00:00Z", "support", said=said)]), **ISSUES
    ).of(Ticket)

    assert [(r.at, r.bot) for r in ticket.replies] == [
        (at("12 10:01"), True),
        (at("12 11:00"), False),
        (at("12 12:00"), False),
    ]
    assert ticket.replies[1].author == context.people.hashed("reviewer")


def test_many_comments_are_all_read(read: Read) -> None:
    """Nested lists longer than a page → everything is read."""
    said = [("2026-02-12T10:01:00Z", "helper[bot]")] * 130

    (ticket,) = read(
        holding(issues=[issue(2, "2026-02-12T10:00:00Z", "2026-02-12T12:00:00Z", "support", said=said)]), **ISSUES
    ).of(Ticket)

    assert len(ticket.replies) == 130


def test_a_closed_ticket_is_resolved_when_it_was_closed(read: Read) -> None:
    """GitHub knows no state between open and closed."""
    closed = issue(
        2, "2026-02-12T10:00:00Z", "2026-02-13T10:00:00Z", "support", state="closed", closed_at="2026-02-12T12:00:00Z"
    )

    (ticket,) = read(holding(issues=[closed]), issues={"tickets": "*", "queue": "help"}).of(Ticket)

    assert (ticket.state, ticket.resolved_at, ticket.queue) == (TicketState.CLOSED, at("12 12:00"), "help")


def test_a_server_that_ignores_since_is_not_believed(read: Read, context: SourceContext) -> None:
    """`since` goes out as RFC 3339; an item last updated before `since` proves it was ignored → error."""
    world = holding(issues=[issue(1, "2020-02-12T10:00:00Z", "2020-02-12T10:00:00Z", "support")])
    provider = serve(world)
    provider.routes = [r for r in provider.routes if not r[1].pattern.endswith("/issues")]
    shown = [github.shown(i) for i in world.held["acme/shop"].issues]
    provider.route("repos/(?P<owner>[^/]+)/(?P<name>[^/]+)/issues")(lambda *_, **__: Reply(shown))
    source = configured(**{**ONLY, **ISSUES}).build(replace(context, wire=Wire(adapter=provider)))

    with pytest.raises(ContractError, match="it ignored `since`"):
        list(source.pull(None))


def test_an_issue_that_lost_its_label_is_told_by_a_whole_list(read: Read) -> None:
    """A ticket is moved or relabelled → judged again: a whole list says what tickets and incidents there are."""
    issues = [issue(n, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "support") for n in (1, 2)]
    world = holding(issues=issues)
    first = read(world, **ISSUES)
    issues[0].update(labels=[], updated_at="2026-03-02T10:00:00Z")

    second = read(world, first.cursor, at=NOW + timedelta(days=1), **ISSUES)
    gone = {c.kind: c for c in second.complete}

    assert (gone[Ticket].where, gone[Ticket].native_ids) == ({"queue": "acme/shop"}, frozenset({"3000000002"}))
    assert (gone[Incident].where, gone[Incident].native_ids) == ({"service": "shop"}, frozenset())


@pytest.mark.parametrize("what", ["deleted", "updated"])
def test_what_moves_under_way_makes_no_issue_gone(swept: Callable[..., list[Complete]], what: str) -> None:
    """Items are deleted or updated while pages are read → no other one, and not these, are taken for deleted."""
    issues = [issue(n, f"2026-02-{10 + n}T10:00:00Z", f"2026-02-{10 + n}T10:00:00Z", "support") for n in range(1, 6)]
    world = holding(most=2, issues=issues)
    meanwhile = {"deleted": issues.pop, "updated": lambda: issues[0].update(updated_at="2026-03-02T10:00:00Z")}

    found = swept(world, "repos/acme/shop/issues", meanwhile[what], **ISSUES)

    (gone,) = [one for one in found if one.kind is Ticket]
    assert {f"300000000{n}" for n in range(1, 5)} <= gone.native_ids


def test_a_shared_queue_tells_nothing_of_what_is_gone(read: Read) -> None:
    """Where several repositories fill a queue, the list of one is not all that is in it."""
    world = holding(issues=[issue(1, "2026-02-12T10:00:00Z", "2026-02-12T10:00:00Z", "support")])
    world.held["other/shop"] = Held()
    settings: dict[str, Any] = {
        "repositories": ["acme/shop", "other/shop"],
        "issues": {"tickets": "support", "queue": "help"},
    }
    first = read(world, **settings)

    second = read(world, first.cursor, at=NOW + timedelta(days=1), **settings)

    assert [c.kind for c in second.complete if c.kind is not PipelineRun] == []


# ---- which repositories


def test_organisations_are_read_as_they_come(read: Read) -> None:
    """All that settings include, none that they exclude, archived ones only on request, each once."""
    names = ["acme/shop", "acme/web", "acme/sandbox", "acme/docs"]
    listed = [repository(n) for n in names] + [
        repository("acme/old", archived=True),
        repository("acme/x", disabled=True),
    ]
    world = World(held={n: Held() for n in [*names, "acme/old"]}, organisations={"acme": listed}, most=2)
    settings = {"organisations": ["acme"], "include": ["s*", "web", "old"], "exclude": "/.*box/"}

    found = read(world, **settings)
    with_old = read(world, **settings, archived=True)

    asked = [p for p in found.paths if p.endswith("/pulls")]
    assert asked == ["repos/acme/shop/pulls", "repos/acme/web/pulls"]
    assert "repos/acme/old/pulls" in with_old.paths


def test_a_repository_without_its_owner_is_a_mistake(context: SourceContext) -> None:
    """A name of half the length is found before anything is asked."""
    found = configured(repositories=["shop", "acme/shop", "https://github.com/acme/shop"]).check(context)

    assert [(m.path, m.problem, m.expected) for m in found] == [
        ("repositories", "'shop' is no whole name", "owner/name"),
        ("repositories", "'https://github.com/acme/shop' is no whole name", "owner/name"),
    ]


def test_somebody_who_is_no_organisation_has_repositories_too(read: Read) -> None:
    """A name that is no organisation's may be a user's."""
    world = World(held={"ada/x": Held()}, users={"ada": [repository("ada/x")]})

    found = read(world, organisations=["ada"], repositories=[])

    assert "repos/ada/x/pulls" in found.paths


def test_issues_are_not_asked_for_where_there_are_none(read: Read) -> None:
    """A repository of an organisation without issues is not asked for them, which would be refused."""
    world = World(held={"acme/web": Held()}, organisations={"acme": [repository("acme/web", has_issues=False)]})

    found = read(world, organisations=["acme"], repositories=[], **ISSUES)

    assert "repos/acme/web/issues" not in found.paths


def test_a_repository_that_is_gone_is_told_and_the_others_are_read(read: Read) -> None:
    """One repository that may not be read costs its own numbers, said aloud."""
    world = holding(runs=[run(1, "2026-02-12T10:00:00Z")])

    found = read(world, repositories=["acme/gone", "acme/shop"])

    assert found.ids(PipelineRun) == ["run/1/1"]
    assert [text.partition(":")[0] for text in found.truncations] == ["acme/gone changes", "acme/gone runs"]


def test_a_repository_that_was_renamed_keeps_its_ids_and_the_name_of_the_settings(context: SourceContext) -> None:
    """GitHub leads from the old name to the new one; what is read there is what it was."""
    held = Held(pulls=[merged()], runs=[run(1, "2026-02-12T10:00:00Z")])
    provider = serve(World(held={"acme/store": held, "acme/shop": held}))
    moved = "https://api.github.com/repositories/17"
    provider.routes.insert(
        0,
        (
            "GET",
            re.compile("repos/acme/shop/(?P<below>.*)"),
            lambda _, below: Reply(
                {"message": "Moved Permanently"}, status=301, headers={"Location": f"{moved}/{below}"}
            ),
        ),
    )
    provider.routes.append(("GET", re.compile("repositories/17/pulls"), lambda _: Reply([{}])))
    listed = Reply({"total_count": 1, "workflow_runs": held.runs})
    provider.routes.append(("GET", re.compile("repositories/17/actions/runs"), lambda _: listed))

    found = pulled(context, provider)

    assert [(c.native_id, c.repository) for c in found.of(Change)] == [("4000000001", "acme/shop")]
    assert [(r.native_id, r.repository) for r in found.of(PipelineRun)] == [("run/1/1", "acme/shop")]


def test_an_organisation_that_is_gone_is_told_and_the_others_are_read(read: Read) -> None:
    """One name that is neither an organisation's nor a user's costs its own repositories, said aloud."""
    world = World(held={"acme/web": Held()}, organisations={"acme": [repository("acme/web")]})

    found = read(world, organisations=["nobody", "acme"], repositories=[])

    assert "repos/acme/web/pulls" in found.paths
    assert found.truncations == [
        "nobody: GET https://api.github.com/users/nobody/repos: answered 404; check the address and what is asked"
    ]


def test_nothing_to_read_at_all_is_an_error(read: Read) -> None:
    """Where no organisation can be read there is no success without repositories."""
    with pytest.raises(SourceError, match="users/nobody/repos: answered 404"):
        read(World(), organisations=["nobody"], repositories=[])


def test_a_server_of_ones_own_needs_no_telling_name(context: SourceContext) -> None:
    """Self-hosted name without the product in it → the configured type decides; GraphQL is beside /api/v3."""
    world = holding(pulls=[merged()])
    provider = serve(world, "https://code.example.org/api")
    config = configured(**ONLY, url="https://code.example.org/api/v3")
    source = config.build(replace(context, wire=Wire(adapter=provider)))

    found = Reading(list(source.pull(None)), provider)

    assert found.ids(Change) == ["4000000001"]
    assert config.web == "https://code.example.org"


@pytest.mark.parametrize(
    ("url", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        ("https://git.example.org/api/v3", "https://git.example.org"),
    ],
)
def test_commits_come_from_the_server_that_the_api_speaks_of(url: str, web: str) -> None:
    """The address to clone from follows from that of the API."""
    assert configured(url=url).web == web


def test_commits_that_cannot_be_cloned_are_told(read: Read) -> None:
    """Commits are read through a clone; where that fails it is said, and the rest is read."""
    world = holding(runs=[run(1, "2026-02-12T10:00:00Z")])

    found = read(world, commits=True, proxy="http://127.0.0.1:1")

    assert (found.ids(PipelineRun), found.of(Commit)) == (["run/1/1"], [])
    assert [text.partition(":")[0] for text in found.truncations] == ["acme/shop commits"]


# ---- costs


MOMENT = "2026-02-12T10:00:00Z"


@pytest.mark.parametrize(
    ("row", "kind", "make", "settings", "of_an_empty_list"),
    [
        (0, "pulls", merged, {}, 2),
        (1, "runs", lambda n: run(n, MOMENT), {}, 2),
        (2, "runs", lambda n: run(n, MOMENT), {"jobs": True}, 2),
        (3, "deployments", lambda n: deployment(n, MOMENT, [("success", MOMENT)]), OWN, 1),
        (4, "releases", lambda n: release(n, "v1", MOMENT), RELEASED, 2),
        (5, "issues", lambda n: issue(n, MOMENT, MOMENT, "support"), ISSUES, 2),
        (6, "issues", lambda n: issue(n, MOMENT, MOMENT, "support", said=[(MOMENT, "reviewer")]), ISSUES, 2),
    ],
    ids=["changes", "runs", "jobs", "deployments", "releases", "issues", "tickets"],
)
def test_reading_a_thousand_costs_what_the_page_says(
    read: Read,
    row: int,
    kind: str,
    make: Callable[[int], dict[str, Any]],
    settings: dict[str, Any],
    of_an_empty_list: int,
) -> None:
    """The page of the source tells what is asked for 1 000 of each; so it is."""
    lists: dict[str, Any] = {kind: [make(n) for n in range(1_000)]}
    world = World(held={"acme/shop": Held(**lists)})

    more = len(read(world, **settings).paths) - len(read(holding(), **settings).paths)

    said = configured().about.costs[row][1]
    assert said.partition(",")[0].replace(" ", "") == str(more + of_an_empty_list)


def test_pages_of_many_runs_are_read_whole() -> None:
    """The pages that the measurements read hold what they say."""
    pages = [Answer(200, {}, body, "GET").items(Run, github.BULK_KIND) for body in github.bulk(250)]

    assert [(len(found), rejected) for found, rejected in pages] == [(100, []), (100, []), (50, [])]


# ---- what the API's own descriptions say


@pytest.mark.skipif(not DESCRIPTION.is_file(), reason="the package @octokit/openapi is not installed here")
def test_what_is_asked_and_answered_here_is_as_described(read: Read) -> None:
    """Every request is one that the published description knows, and this stand-in answers in its shapes."""
    found = read(small_world(), **{k: v for k, v in github.SETTINGS.items() if k in ONLY})
    violations = [
        text
        for asked in found.provider.asked
        for text in openapi.check(DESCRIPTION, asked, 200, answered(small_world(), asked))
        # The description calls the filter a time; its text, and the search syntax it names, ask for a span.
        if asked.method == "GET" and "'created'" not in text
    ]

    assert len(found.provider.asked) > 20
    assert violations == []


def answered(world: World, asked: Request) -> bytes:
    """What a fresh stand-in answers."""
    return serve(world)._reply(asked).bytes()


QUERIES: list[tuple[str, dict[str, Any]]] = [
    (CHANGES, {"owner": "acme", "name": "shop", "first": 50, "after": None}),
    (REVIEWS, {"owner": "acme", "name": "shop", "first": 50, "after": None, "number": 1}),
    (RELEASES, {"owner": "acme", "name": "shop", "first": 50, "after": None}),
    (STATUSES, {"ids": ["DE_301"]}),
    (HISTORY, {"ids": ["I_8"]}),
]


@pytest.fixture(scope="module")
def schema() -> Any:
    """The published schema, and the library that reads it."""
    core = pytest.importorskip("graphql", reason="graphql-core is not installed here")
    if not SCHEMA.is_file():
        assert os.environ.get("CI") != "true", "CI must check every query"
        pytest.skip("the package @octokit/graphql-schema is not installed here")
    return core, core.build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True)


@pytest.mark.parametrize(
    ("query", "variables"), QUERIES, ids=["changes", "reviews", "releases", "statuses", "comments"]
)
def test_queries_fit_the_published_schema(schema: Any, query: str, variables: dict[str, Any]) -> None:
    """Each query is valid, and what this stand-in answers is what a server with that schema would."""
    core, published = schema
    world = small_world()
    world.most = 100
    world.held["acme/shop"].pulls[0]["reviews"][2]["state"] = "APPROVED"
    body = json.dumps({"query": query, "variables": variables}).encode()
    data = graphql(world, Request("POST", "graphql", {}, {}, body, "")).json["data"]

    document = core.parse(query)
    executed = core.execute(published, document, _typed(data), variable_values=variables)

    assert core.validate(published, document) == []
    assert (executed.errors, executed.data) == (None, data)


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """The same answer, with the names of types that stand behind interfaces."""
    found: dict[str, Any] = json.loads(json.dumps(data))
    for node in found.get("nodes", []):
        node["__typename"] = "Deployment" if "statuses" in node else "Issue"
    for node in found.get("repository", {}).get("pullRequests", {}).get("nodes", []):
        for moment in node["timelineItems"]["nodes"]:
            moment["__typename"] = "ReadyForReviewEvent"
    return found


# ---- recordings


def recordings(family: str) -> list[dict[str, Any]]:
    """The recorded exchanges of a family; none where there are no recordings."""
    path = RECORDED / f"{family}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


recorded_only = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not here")


def listed(body: Any, key: str) -> list[Any]:
    """The objects of an answer: of a list, of a named list, or the one that it is."""
    found: list[Any] = body if isinstance(body, list) else body.get(key, [body])
    return found


@recorded_only
@pytest.mark.parametrize(
    ("family", "path", "kind", "key", "usable"),
    [
        ("pulls", "/pulls", PullRequest, "", 31),
        ("actions_runs", "/runs", Run, "workflow_runs", 36),
        ("actions_jobs", "/jobs", Job, "jobs", 11),
        ("deployments", "/deployments", OwnDeployment, "", 5),
        ("deployments", "/statuses", StatusItem, "", 5),
        ("pull_reviews", "/reviews", ReviewItem, "", 7),
        ("issues", "/issues", Issue, "", 152),
        ("releases", "/releases", ReleaseItem, "", 22),
        ("repository", "/repos/", Repository, "", 16),
    ],
    ids=["pulls", "runs", "jobs", "deployments", "statuses", "reviews", "issues", "releases", "repositories"],
)
def test_recorded_objects_are_read_or_set_aside_with_a_reason(
    family: str, path: str, kind: type[msgspec.Struct], key: str, usable: int
) -> None:
    """Answers of thirteen years: each object becomes one of ours, or says which field is missing."""
    bodies = [
        x["body"]
        for x in recordings(family)
        if x["status"] in {200, 201} and path in x["path"] and (path == "/statuses") == ("/statuses" in x["path"])
    ]
    items = [one for body in bodies for one in listed(body, key)]

    found, rejected = Answer(200, {}, json.dumps(items).encode(), family).items(kind)

    assert len(found) == usable
    assert len(found) + len(rejected) == len(items)
    assert all("not as documented" in bad.reason for bad in rejected)


def played(path: str, *statuses: int) -> Provider:
    """A server that gives the recorded answers of a path which came one after another with these statuses."""
    every = recordings("errors")
    spans = (every[n : n + len(statuses)] for n in range(len(every)))
    span = next(
        x for x in spans if tuple(one["status"] for one in x) == statuses and {one["path"] for one in x} == {path}
    )
    provider, replies = Provider("https://api.github.com", with_etags=False), iter(span)

    def answer(_: Request) -> Reply:
        x = next(replies)
        body = x["body"] if isinstance(x["body"], str) else json.dumps(x["body"])
        return Reply(status=x["status"], headers=x["headers"], body=body.encode())

    provider.route(path.lstrip("/"))(answer)
    return provider


@recorded_only
def test_a_recorded_server_that_failed_three_times_is_asked_a_fourth_time() -> None:
    """502, 502, 502, 200, as they were recorded: the fourth answer is the one."""
    provider = played("/repos/user3/PyGithub", 502, 502, 502, 200)
    client = Wire(adapter=provider, sleep=lambda _: None).client("https://api.github.com")

    found = client.get("repos/user3/PyGithub").read(Repository)

    assert (found.full_name, len(provider.asked)) == ("user3/PyGithub", 4)


@recorded_only
def test_a_recorded_answer_is_known_by_its_etag() -> None:
    """200 and then 304 for its ETag, as they were recorded."""
    provider = played("/repos/user52/PyGithub", 200, 304)
    client = Wire(adapter=provider).client("https://api.github.com")
    first = client.get("repos/user52/PyGithub")

    again = client.get("repos/user52/PyGithub", etag=first.etag)

    assert (first.unchanged, again.unchanged) == (False, True)


def refused(exchange: dict[str, Any]) -> str:
    """Which error a recorded refusal becomes."""
    try:
        refuse(exchange["status"], exchange["headers"], "GET https://api.github.com")
    except SourceError as error:
        return type(error).__name__
    return ""


@recorded_only
def test_recorded_refusals_are_errors_of_their_kind() -> None:
    """Answers of thirteen years: credentials, limits and failures of the server are told apart."""
    found = {(x["status"], refused(x)) for x in recordings("errors") if x["status"] >= 400}

    assert found == {
        (400, "SourceError"),
        (401, "AuthError"),
        (403, "AuthError"),
        (403, "RetryableError"),
        (404, "SourceError"),
        (422, "SourceError"),
        (500, "RetryableError"),
        (502, "RetryableError"),
        (503, "RetryableError"),
    }
