"""What GitHub sends: who may send it, and that it is the same events as what it lists."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from providers.github import (
    Held,
    World,
    configured,
    deployment,
    issue,
    job,
    pull_request,
    release,
    repository,
    review,
    run,
    serve,
    status,
    user,
)

from collector.errors import ContractError
from collector.events import Change, ChangeState, Deployment, Event, PipelineRun, Result
from collector.http import Wire
from collector.source import SourceContext
from collector.webhooks import Delivery, Received

SECRET = "a-secret-of-some-length"  # noqa: S105 - planted
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MOMENT = "2026-02-12T10:00:00Z"
EXAMPLES = (
    Path(__file__)
    .parents[1]
    .joinpath("npm", "node_modules", "@octokit", "webhooks-examples", "api.github.com", "index.json")
)
PULL = pull_request(1, MOMENT, MOMENT)
SETTINGS: dict[str, Any] = {
    "webhook_secret": SECRET,
    "jobs": True,
    "deployments": [{"pipeline": "Deploy"}],
    "issues": {"incidents": "incident", "tickets": "*"},
}

Read = Callable[..., Received]


def delivery(event: str, body: object, identity: str = "72d3162e") -> Delivery:
    """A delivery as GitHub makes it."""
    raw = json.dumps(body).encode()
    signature = hmac.new(SECRET.encode(), raw, "sha256").hexdigest()
    headers = {
        "x-github-event": event,
        "x-github-delivery": identity,
        "x-hub-signature-256": f"sha256={signature}",
        "content-type": "application/json",
    }
    return Delivery(headers=headers, body=raw, received_at=NOW)


@pytest.fixture
def read(context: SourceContext) -> Read:
    """Reads a delivery to the sample's organisation."""

    def once(event: str, settings: dict[str, Any] | None = None, name: str = "acme/shop", **body: Any) -> Received:
        receiver = configured(**{**SETTINGS, **(settings or {})}).receiver(context)
        assert receiver is not None
        return receiver.read(delivery(event, {"repository": repository(name), "sender": user(), **body}))

    return once


@pytest.fixture
def listed(context: SourceContext) -> Callable[[Held], dict[str, Event]]:
    """The events of what a repository holds, by kind and native id, as its API lists them."""

    def once(held: Held) -> dict[str, Event]:
        provider = serve(World(held={"acme/shop": held}))
        config = configured(**SETTINGS, organisations=[], repositories=["acme/shop"])
        source = config.build(replace(context, wire=Wire(adapter=provider)))
        return {f"{e.kind} {e.native_id}": e for page in source.pull(None) for e in page.events}

    return once


# ---- who may send


def test_only_what_is_signed_with_the_secret_is_genuine(context: SourceContext) -> None:
    """Webhook: signature over the raw body."""
    receiver = configured(**SETTINGS).receiver(context)
    good = delivery("ping", {"zen": "Design for failure."})

    assert receiver is not None
    assert receiver.is_genuine(good)
    assert not receiver.is_genuine(replace(good, body=good.body + b" "))
    assert not receiver.is_genuine(replace(good, headers={}))
    assert not receiver.is_genuine(replace(good, headers={"x-hub-signature-256": "sha256="}))


def test_without_a_secret_nothing_is_taken(context: SourceContext) -> None:
    """Write endpoints are closed unless a secret is set."""
    assert configured().receiver(context) is None


def test_the_senders_id_tells_a_delivery_that_comes_again(read: Read) -> None:
    """Replay does nothing: the id is the sender's own."""
    assert read("ping").id == "72d3162e"


def test_a_delivery_without_an_id_is_told_by_its_body(context: SourceContext) -> None:
    """The same body is the same delivery."""
    receiver = configured(**SETTINGS).receiver(context)
    sent = delivery("ping", {})

    assert receiver is not None
    assert receiver.read(replace(sent, headers={"x-github-event": "ping"})).id == hashlib.sha256(sent.body).hexdigest()


# ---- what is not taken says why


@pytest.mark.parametrize(
    ("event", "body", "why"),
    [
        ("ping", {"zen": "Design for failure."}, "ping: this kind of delivery is not read"),
        ("star", {"action": "created"}, "star: this kind of delivery is not read"),
        ("<script>", {}, "unnamed: this kind of delivery is not read"),
        (
            "pull_request_review",
            {
                "review": review(1, MOMENT, state="pending", submitted_at=None),
                "pull_request": pull_request(1, MOMENT, MOMENT),
            },
            "pull_request_review: nobody has submitted it yet",
        ),
        (
            "deployment_status",
            {"deployment": deployment(1, MOMENT, []), "deployment_status": status("inactive", MOMENT)},
            "deployment_status: it has not ended, or it ended before",
        ),
        (
            "issues",
            {"action": "deleted", "issue": issue(1, MOMENT, MOMENT)},
            "issues: the daily reading finds what is gone",
        ),
        ("release", {"action": "created", "release": release(1, "v1", None)}, "release: it is not published"),
        ("release", {"action": "deleted", "release": release(1, "v1", MOMENT)}, "release: it deploys nothing"),
    ],
)
def test_what_nothing_comes_of_says_why(read: Read, event: str, body: dict[str, Any], why: str) -> None:
    """Never answered 200 and gone: the reason is kept."""
    found = read(event, **body)

    assert (found.ignored, list(found.events), list(found.rejected)) == (why, [], [])


@pytest.mark.parametrize(
    ("event", "settings", "body", "why"),
    [
        ("issues", {"issues": None}, {"issue": issue(1, MOMENT, MOMENT)}, "issues: issues are not read here"),
        (
            "issues",
            {"issues": {"incidents": "incident"}},
            {"issue": issue(1, MOMENT, MOMENT, "wish")},
            "issues: its labels make it neither an incident nor a ticket",
        ),
        (
            "release",
            {"releases": None},
            {"release": release(1, "v1", MOMENT)},
            "release: releases are not deployments here",
        ),
        (
            "deployment_status",
            {"own_deployments": False},
            {"deployment": deployment(1, MOMENT, []), "deployment_status": status("success", MOMENT)},
            "deployment_status: rules say what deployments are",
        ),
        (
            "workflow_job",
            {"jobs": False},
            {"workflow_job": job(1, 1, "build", MOMENT, MOMENT)},
            "workflow_job: this job is not read here",
        ),
    ],
)
def test_what_settings_leave_out_is_left_out_here_too(
    read: Read, event: str, settings: dict[str, Any], body: dict[str, Any], why: str
) -> None:
    """A webhook brings no more than the lists would."""
    assert read(event, settings, **body).ignored == why


@pytest.mark.parametrize("name", ["other/shop", "acme/sandbox"])
def test_a_repository_that_is_not_read_is_not_taken(read: Read, name: str) -> None:
    """Another organisation's, or one that the settings exclude."""
    found = read("pull_request", {"exclude": ["sandbox"]}, name, pull_request=pull_request(1, MOMENT, MOMENT))

    assert found.ignored == "pull_request: its repository is not read here"


def test_a_repository_is_called_as_the_settings_call_it(read: Read) -> None:
    """Names differ in case alone: by webhook and by list it is one repository."""
    settings = {"repositories": ["Acme/Shop"], "organisations": []}

    (change,) = read("pull_request", settings, pull_request=pull_request(1, MOMENT, MOMENT)).events

    assert isinstance(change, Change)
    assert change.repository == "Acme/Shop"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"payload=%7B%7D", "is its content type application/json"),
        (b"", "is its content type application/json"),
        (b'{"pull_request": {"id": 1', "not as documented|is its content type application/json"),
        (b'{"pull_request": {"id": "x"}}', "not as documented: Expected `int`, got `str`"),
    ],
    ids=["form", "empty", "cut", "strange"],
)
def test_a_body_that_is_not_as_documented_is_an_error(context: SourceContext, body: bytes, why: str) -> None:
    """Nothing is guessed from a form, a cut body or a strange one."""
    receiver = configured(**SETTINGS).receiver(context)
    sent = replace(delivery("pull_request", {}), body=body)

    assert receiver is not None
    with pytest.raises(ContractError, match=why):
        receiver.read(sent)


def test_a_job_without_its_workflow_is_set_aside(read: Read) -> None:
    """A kind that is read, but cannot be used: rejected with its id, and the next run reads it."""
    (bad,) = read("workflow_job", workflow_job=job(7, 1, "build", MOMENT, MOMENT, workflow_name=None)).rejected

    assert (bad.location, bad.reason) == ("webhook workflow_job (id 7)", "it names no workflow; the next run reads it")


def test_a_run_that_ended_without_a_time_is_set_aside(read: Read) -> None:
    """Nothing says when it ended, so nothing is made of it."""
    found = read("workflow_run", workflow_run={**run(7, MOMENT), "updated_at": None})

    assert [bad.reason for bad in found.rejected] == ["it has ended, and nothing says when"]


# ---- the same events as the lists


def test_a_run_is_the_same_by_webhook_and_by_list(read: Read, listed: Callable[[Held], dict[str, Event]]) -> None:
    """The same native id by webhook and by polling → one, and the deployment that it is."""
    ran = run(7, MOMENT, name="Deploy")

    sent = read("workflow_run", action="completed", workflow_run=ran)

    by_list = listed(Held(runs=[ran]))
    assert {f"{e.kind} {e.native_id}": e for e in sent.events} == by_list
    assert sorted(by_list) == ["deployment run/7/1/shop/production", "pipeline_run run/7/1"]


def test_a_deployment_is_the_same_by_webhook_and_by_list(
    read: Read, listed: Callable[[Held], dict[str, Event]]
) -> None:
    """The same native id by webhook and by polling → one, of which what was listed stays."""
    made = deployment(7, "2026-02-12T09:59:00Z", [("success", MOMENT)])

    (sent,) = read("deployment_status", deployment=made, deployment_status=status("success", MOMENT)).events
    by_list = listed(Held(deployments=[made]))["deployment deployment/7"]

    assert msgspec.structs.replace(sent, updated_at=by_list.updated_at) == by_list


@pytest.mark.parametrize("later", ["success", "failure"])
def test_a_later_status_by_webhook_moves_no_deployment_that_was_listed(
    read: Read, listed: Callable[[Held], dict[str, Event]], later: str
) -> None:
    """A deployment's state moves weeks later → its time stays that of the first success status."""
    made = deployment(7, "2026-02-12T09:59:00Z", [("success", MOMENT)])

    (sent,) = read("deployment_status", deployment=made, deployment_status=status(later, "2026-03-01T10:00:00Z")).events
    by_list = listed(Held(deployments=[made]))["deployment deployment/7"]

    assert sent.updated_at is not None
    assert by_list.updated_at is not None
    assert sent.updated_at < by_list.updated_at


def test_an_incident_is_the_same_by_webhook_and_by_list(read: Read, listed: Callable[[Held], dict[str, Event]]) -> None:
    """The same native id by webhook and by polling → one; the list knows its history too, so it is the newer."""
    made = issue(7, MOMENT, MOMENT, "incident")

    (sent,) = read("issues", action="labeled", issue=made).events
    by_list = listed(Held(issues=[made]))["incident 3000000007"]

    assert sent.updated_at is not None
    assert msgspec.structs.replace(sent, updated_at=sent.updated_at + timedelta(microseconds=1)) == by_list


def test_a_review_is_the_same_by_webhook_and_by_list(read: Read, listed: Callable[[Held], dict[str, Event]]) -> None:
    """The same native id by webhook and by polling → one; a webhook writes its state in small letters."""
    said = review(9, MOMENT, "checker[bot]", state="CHANGES_REQUESTED")
    pull = pull_request(1, MOMENT, MOMENT, reviews=[said])

    (sent,) = read(
        "pull_request_review", action="submitted", review={**said, "state": "changes_requested"}, pull_request=pull
    ).events

    assert listed(Held(pulls=[pull]))["review 9"] == sent


def test_the_list_says_more_of_a_change_so_it_wins(
    read: Read, listed: Callable[[Held], dict[str, Event]], bench: Any
) -> None:
    """A webhook that arrives before or after the list takes nothing away from it."""
    pull = pull_request(1, MOMENT, MOMENT, first_commit_at="2026-02-11T10:00:00Z")
    (sent,) = read("pull_request", action="synchronize", pull_request=pull).events
    by_list = listed(Held(pulls=[pull]))["change 4000000001"]
    assert isinstance(by_list, Change)

    bench.write(sent)
    after = bench.write(by_list)
    again = bench.write(sent)

    assert (after, again) == (1, 0)
    assert sent == msgspec.structs.replace(
        by_list,
        updated_at=datetime(2026, 2, 12, 10, tzinfo=UTC) - timedelta(microseconds=1),
        first_commit_at=None,
        ready_at=None,
    )


@pytest.mark.parametrize(
    ("action", "ready"),
    [
        ("opened", datetime(2026, 2, 10, 9, tzinfo=UTC)),
        ("ready_for_review", datetime(2026, 2, 12, 10, tzinfo=UTC)),
        ("labeled", None),
    ],
)
def test_when_a_change_became_ready_is_told_by_what_happened(read: Read, action: str, ready: datetime | None) -> None:
    """Opened ready, or marked ready; any other delivery does not tell since when it is."""
    (change,) = read("pull_request", action=action, pull_request=pull_request(1, "2026-02-10T09:00:00Z", MOMENT)).events

    assert isinstance(change, Change)
    assert (change.ready_at, change.state) == (ready, ChangeState.OPEN)


def test_a_draft_is_work_in_progress(read: Read) -> None:
    """A draft is not ready."""
    (change,) = read("pull_request", action="opened", pull_request=pull_request(1, MOMENT, MOMENT, draft=True)).events

    assert isinstance(change, Change)
    assert (change.ready_at, change.state) == (None, ChangeState.WIP)


def test_a_job_is_a_run_and_the_deployment_that_it_is(read: Read) -> None:
    """A deploying job is told as soon as it ends, before its run does."""
    settings = {"deployments": [{"job": "/deploy-(?P<place>\\w+)/", "to": "{place}"}]}

    sent = read("workflow_job", settings, workflow_job=job(7, 1, "deploy-eu", MOMENT, "2026-02-12T10:00:40Z")).events

    assert [(type(e), e.native_id) for e in sent] == [(PipelineRun, "job/7"), (Deployment, "job/7/shop/eu")]


def test_a_job_that_is_only_shown_again_is_left_out(read: Read) -> None:
    """A later attempt's copy of a job that was not run again deployed nothing."""
    copied = job(8, 1, "deploy-eu", MOMENT, MOMENT, run_attempt=2, created_at="2026-02-13T10:00:00Z")

    assert read("workflow_job", workflow_job=copied).ignored == "workflow_job: this job is not read here"


def test_a_release_is_known_before_its_commit_is(read: Read, listed: Callable[[Held], dict[str, Event]]) -> None:
    """The next run adds the commit, whichever comes first."""
    made = release(7, "v1", MOMENT)

    (sent,) = read("release", action="published", release=made).events
    by_list = listed(Held(releases=[made]))["deployment release/7"]

    assert isinstance(sent, Deployment)
    assert isinstance(by_list, Deployment)
    assert (sent.native_id, sent.sha, sent.result) == (by_list.native_id, None, Result.SUCCESS)
    assert sent.updated_at is not None
    assert by_list.updated_at is not None
    assert sent.updated_at < by_list.updated_at


def test_no_person_is_in_what_was_sent(read: Read) -> None:
    """Nobody's login, name or address is in an event but as a keyed hash."""
    sent = read("pull_request", action="opened", pull_request=pull_request(1, MOMENT, MOMENT)).events

    assert "wilhelmina" not in repr(sent)
    assert "person:" in repr(sent)


# ---- real deliveries


def examples() -> list[tuple[str, dict[str, Any]]]:
    """The published examples of the kinds that are read; none where the package is not installed."""
    if not EXAMPLES.is_file():
        return []
    kinds = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    taken = {"pull_request", "pull_request_review", "workflow_run", "deployment_status", "issues", "release"}
    return [(kind["name"], body) for kind in kinds if kind["name"] in taken for body in kind["examples"]]


@pytest.mark.skipif(
    not EXAMPLES.is_file() and os.environ.get("CI") != "true",
    reason="the package @octokit/webhooks-examples is not installed here",
)
def test_published_examples_are_read(context: SourceContext) -> None:
    """Each published example becomes events, or says why nothing comes of it; none is refused or set aside."""
    owners = sorted({body["repository"]["full_name"].partition("/")[0] for _, body in examples()})
    config = configured(**{**SETTINGS, "organisations": owners})
    receiver = config.receiver(context)
    assert receiver is not None

    received = [receiver.read(delivery(event, body)) for event, body in examples()]

    assert len(received) > 70
    assert [r for r in received if r.rejected or bool(r.events) == bool(r.ignored)] == []
    assert {type(e).__name__ for r in received for e in r.events} == {
        "Change",
        "Deployment",
        "PipelineRun",
        "Review",
        "Ticket",
    }
