"""CDEvents of both versions, in the three forms of CloudEvents: what each becomes, alone and with those before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from providers.cdevents import AT, PURL, SECRET, SOURCE, batch, binary, event, run, structured, ticket

from collector.errors import ContractError
from collector.events import Change, Deployment, Event, PipelineRun, Review, Ticket
from collector.people import People
from collector.pushed import Join
from collector.source import SourceContext
from collector.sources.cdevents import CdEventsConfig, CdEventsReceiver
from collector.store import Arrival, InboxStore, packed, to_micros
from collector.systems.cdevents.parts import joined
from collector.systems.cdevents.shapes import artifact_of
from collector.webhooks import Delivery, Received

SHA = "1a429d2f06fa49d8ece5045ac6471dc8a2276895"
PRODUCTION = {"environment": {"id": "production"}, "artifactId": PURL}
EARLY, NOON, LATE = "2026-03-02T08:00:00Z", "2026-03-02T12:00:00Z", "2026-03-02T20:00:00Z"


def config(**fields: Any) -> CdEventsConfig:
    """Settings of a source."""
    return CdEventsConfig.model_validate({"type": "cdevents", "name": "cd", "webhook_secret": SECRET, **fields})


def receiver(context: SourceContext, **fields: Any) -> CdEventsReceiver:
    """What takes the events of a source."""
    made = config(**fields).receiver(context)
    assert isinstance(made, CdEventsReceiver)
    return made


@pytest.fixture
def read(context: SourceContext) -> Any:
    """Reads one CDEvent; its first event unless all that was received is asked for."""

    def one(found: Mapping[str, Any], **fields: Any) -> Any:
        return receiver(context, **fields).read(structured(found)).events[0]

    return one


def received(context: SourceContext, found: Mapping[str, Any]) -> Received:
    """All that is said of one CDEvent."""
    return receiver(context).read(structured(found))


# --- how it is sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("send", [structured, binary, lambda found: batch([found])], ids=["whole", "binary", "batch"])
@pytest.mark.parametrize("spec", ["0.4", "0.5"])
def test_every_form_and_version_says_the_same(context: SourceContext, send: Any, spec: str) -> None:
    """A whole CloudEvent, its headers, or a batch; 0.4 with `version`, 0.5 with `specversion`: one event."""
    found = event("service.deployed", "service/shop", PRODUCTION, spec=spec, event_id="e-1")

    (made,) = receiver(context).read(send(found)).events

    assert isinstance(made, Deployment)
    assert (made.service, made.environment, made.native_id) == ("shop", "production", f"{SOURCE} e-1")


@pytest.mark.parametrize("send", [structured, binary])
def test_the_id_of_a_delivery_is_the_events(context: SourceContext, send: Any) -> None:
    """Sent again in another form it is the same delivery: source and id together are unique."""
    found = event("service.deployed", "service/shop", PRODUCTION, event_id="e-1")

    assert receiver(context).read(send(found)).id == f"{SOURCE} e-1"


def test_a_batch_keeps_what_can_be_used(context: SourceContext) -> None:
    """Of a batch the good events are taken; bad ones are set aside by their place, others ignored by their kind."""
    good, other = event("service.deployed", "shop", PRODUCTION), event("branch.created", "main", {})
    bad = event("service.deployed", "shop", {})

    found = receiver(context).read(batch([good, bad, other]))

    assert [e.kind for e in found.events] == ["deployment"]
    assert [r.reason for r in found.rejected] == ["`subject.content.environment` is missing; expected its id"]
    assert found.rejected[0].location.endswith(", event 2")
    assert found.ignored == "`branch.created` is not read"


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"<html>", "application/cloudevents+json", "no JSON in UTF-8"),
        (b"{}", "application/cloudevents+json", "missing required field `id`"),
        (b"{}", "application/json", "no CloudEvent; expected application/cloudevents"),
        (b"{}", "application/cloudevents-batch+json", "Expected `array`"),
        (b"[{}]", "application/cloudevents-batch+json", "none of 1 events can be used"),
    ],
)
def test_what_is_no_cloudevent_is_an_error(context: SourceContext, body: bytes, content_type: str, said: str) -> None:
    """A body of another shape is refused with what was expected."""
    with pytest.raises(ContractError, match=said):
        receiver(context).read(Delivery(headers={"content-type": content_type}, body=body, received_at=AT))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"timestamp": "2026-03-02T08:00:00"}, "no time with an offset"),
        ({"timestamp": 1}, "Expected `str`, got `int` - at `\\$.context.timestamp`"),
        ({"specversion": ""}, "`context.specversion` is missing"),
        ({"id": ""}, "is empty"),
        ({"type": "dev.cdevents.service.removed.0.3.0"}, "not the type of the CloudEvent"),
    ],
)
def test_a_context_that_says_too_little_is_an_error(context: SourceContext, wrong: Any, said: str) -> None:
    """A naive time is never guessed, and an event without id, source, version or its own type is none."""
    found = event("service.deployed", "shop", PRODUCTION)
    sent = json.loads(structured(found).body)
    sent["data"]["context"] |= wrong
    delivery = replace(structured(found), body=json.dumps(sent).encode())

    with pytest.raises(ContractError, match=said):
        receiver(context).read(delivery)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("testcaserun.started", "`testcaserun.started` is not read"),
        ("artifact.published", "`artifact.published` is not read"),
        ("service.removed", "`service.removed` releases nothing"),
        ("service.published", "`service.published` says where a service is, and releases nothing"),
        ("pipelinerun.invented", "`pipelinerun.invented` is not read"),
    ],
)
def test_other_events_are_ignored_with_a_reason(context: SourceContext, kind: str, why: str) -> None:
    """What Paceline does not read is named by its kind; a removed service is no deployment."""
    found = received(context, event(kind, "x", {"environment": {"id": "production"}}))

    assert (list(found.events), found.ignored) == ([], why)


def test_events_of_others_are_ignored_without_their_words(context: SourceContext) -> None:
    """A CloudEvent that is no CDEvent is ignored; a type that is no plain word is not repeated."""
    plain = {**event("service.deployed", "x", {})}
    kinds = []
    for kind in ("com.example.order", "dev.cdeventsx.tool-run.done.0.1.0", "x" * 61, "Ada Lovelace"):
        sent = {**json.loads(structured(plain).body), "type": kind}
        kinds.append(receiver(context).read(replace(structured(plain), body=json.dumps(sent).encode())).ignored)

    words = ["`com.example.order`", "`dev.cdeventsx.tool-run.done.0.1.0`", "`…`", "`…`"]
    assert kinds == [f"no CDEvent but {word}" for word in words]


# --- what it becomes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "rolled_back"), [("deployed", False), ("upgraded", False), ("rolledback", True)])
def test_a_service_that_was_released_is_a_deployment(read: Any, kind: str, *, rolled_back: bool) -> None:
    """Deployed, upgraded and rolled back are successes at the time they say; the last is flagged."""
    made = read(event(f"service.{kind}", "service/shop", PRODUCTION))

    assert (made.result, made.rolled_back, made.artifact) == ("success", rolled_back, PURL)
    assert made.finished_at.isoformat() == "2026-03-02T08:00:00+00:00"


def test_a_redeploy_is_another_deployment(read: Any) -> None:
    """Redeploy of the same artifact → a deployment: each happening is one, by its own id."""
    first = read(event("service.deployed", "shop", PRODUCTION, at=EARLY))
    second = read(event("service.deployed", "shop", PRODUCTION, at=NOON))

    assert first.id != second.id


@pytest.mark.parametrize(
    ("purl", "found"),
    [
        (PURL, {"version": "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"}),
        (f"pkg:github/o/shop@{SHA}", {"version": SHA, "repository": "o/shop", "sha": SHA}),
        ("pkg:golang/go.example.com/o/shop@v1.2.3", {"version": "v1.2.3"}),
        ("pkg:npm/%40scope/shop@1.2.3#lib", {"version": "1.2.3"}),
        (
            f"pkg:oci/shop@sha256%3Aab?vcs_url=git%2Bhttps://git.example.com/o/shop.git%40{SHA}",
            {"version": "sha256:ab", "repository": "o/shop", "sha": SHA},
        ),
        (
            "pkg:generic/shop?vcs_url=git%2Bssh://git@git.example.com/o/shop",
            {"repository": "o/shop"},
        ),
        ("pkg:generic/shop?vcs_url=git%2Bhttps://[bad", {}),
        ("shop-1.2.3.whl", {}),
        ("pkg:", {}),
    ],
)
def test_a_package_url_says_version_repository_and_commit(purl: str, found: dict[str, str]) -> None:
    """What the artifact's id states is used, and nothing else is guessed from it."""
    assert artifact_of(purl) == found


def test_what_cdevents_has_no_field_for_may_stand_in_custom_data(read: Any) -> None:
    """Commit, version, repository, ref and service under `paceline` in the custom data complete an event."""
    extra = {"sha": SHA, "version": "1.2.3", "repository": "o/shop", "ref": "main", "service": "till"}
    made = read(event("service.deployed", "service/shop", PRODUCTION, customData={"paceline": extra}))

    assert (made.sha, made.version, made.repository, made.ref, made.service) == (SHA, "1.2.3", "o/shop", "main", "till")


@pytest.mark.parametrize("custom", ["aGVsbG8=", {"paceline": "no"}, {"paceline": {"sha": "main"}}, None])
def test_custom_data_of_others_does_no_harm(read: Any, custom: Any) -> None:
    """Other custom data is somebody else's; what is no commit is not taken for one."""
    assert read(event("service.deployed", "shop", PRODUCTION, customData=custom)).sha is None


def test_runs_and_tasks_are_pipeline_runs(context: SourceContext, read: Any) -> None:
    """A task run belongs to its pipeline run; what names no repository belongs to that of its source."""
    parent = read(run("started", EARLY))
    content = {"taskName": "build", "url": "https://ci.example.com/7/1", "pipelineRun": {"id": "run-7"}}
    task = read(event("taskrun.finished", "task-1", {**content, "outcome": "cancel"}, spec="0.4"))

    assert (parent.run_kind, parent.pipeline, parent.repository, parent.state) == (
        "pipeline",
        "deploy",
        "o/shop",
        "executing",
    )
    assert (task.run_kind, task.task, task.parent_native_id) == ("task", "build", parent.native_id)
    assert (task.result, task.url) == ("cancellation", "https://ci.example.com/7/1")


@pytest.mark.parametrize(
    ("fields", "source", "repository"),
    [
        ({}, "/o/shop.git", "o/shop"),
        ({}, "https://ci.example.com/", "ci.example.com"),
        ({}, "http://[bad", "unknown"),
        ({"repository": "o/all"}, "/o/shop", "o/all"),
    ],
)
def test_the_repository_of_a_run(read: Any, fields: dict[str, str], source: str, repository: str) -> None:
    """It is what the settings say, else the path of the source, else its host."""
    found = run("started", EARLY)
    found["subject"]["source"] = source

    assert read(found, **fields).repository == repository


@pytest.mark.parametrize(("outcome", "shown"), [("stuck", "`stuck`"), ("not a word", "`…`"), (None, "missing")])
def test_an_unknown_outcome_is_counted_and_named(context: SourceContext, outcome: str | None, shown: str) -> None:
    """The run survives without a result, and what its outcome was is set aside by name."""
    found = received(context, run("finished", NOON, **({"outcome": outcome} if outcome else {})))

    (made,) = found.events
    assert isinstance(made, PipelineRun)
    assert (made.state, made.result) == ("completed", None)
    assert f"`outcome` is {shown}" in found.rejected[0].reason


def test_a_rule_makes_a_finished_run_a_deployment(context: SourceContext) -> None:
    """CDEvents tells of no deployment that failed: a rule for the runs that deploy does."""
    rules = [{"pipeline": "deploy", "to": "production"}]
    own = receiver(context, deployments=rules)

    found = own.read(structured(run("finished", NOON, outcome="failure"))).events
    cancelled = own.read(structured(run("finished", NOON, outcome="cancel"))).events

    assert [(e.kind, getattr(e, "result", None)) for e in found] == [
        ("pipeline_run", "failure"),
        ("deployment", "failure"),
    ]
    assert [e.kind for e in cancelled] == ["pipeline_run"]


def test_a_review_belongs_to_its_change(read: Any) -> None:
    """A review is an event of its own, and two of them are two."""
    content = {"repository": {"id": "o/shop"}}
    change = read(event("change.created", "17", content))
    reviews = [read(event("change.reviewed", "17", content, at=at)) for at in (NOON, LATE)]

    assert isinstance(change, Change)
    assert change.number == 17
    assert [(r.change_native_id, r.repository) for r in reviews] == [(change.native_id, "o/shop")] * 2
    assert isinstance(reviews[0], Review)
    assert reviews[0].id != reviews[1].id


def test_a_change_that_is_called_like_its_commit_names_it(read: Any) -> None:
    """Where the id of a merged change is a commit, that is the merge."""
    assert read(event("change.merged", SHA, {})).merge_sha == SHA
    assert read(event("change.created", SHA, {})).merge_sha is None


def test_people_of_tickets_are_hashed(read: Any) -> None:
    """Whoever opened a ticket is a keyed hash: by account or address, or by a name of several words."""
    people = People(b"k" * 32)
    authors = [read(ticket("created", EARLY, creator=name)).author for name in ("ada", "Ada Lovelace", "")]

    assert authors == [people.hashed("ada"), people.named("Ada Lovelace"), None]


def test_a_link_that_is_no_web_address_is_left_out(read: Any) -> None:
    """An `uri` may be a reference inside a system: nobody could open it."""
    assert read(run("started", EARLY, uri="/apis/runs/7")).url is None


# --- told in parts ---------------------------------------------------------------------------------------


def together(context: SourceContext, *found: Mapping[str, Any]) -> Any:
    """What several CDEvents tell of one subject, in this order."""
    own = receiver(context)
    return reduce(joined, (own.read(structured(one)).events[0] for one in found))


DETECTED = event("incident.detected", "i-1", {**PRODUCTION, "service": {"id": "shop"}}, at=EARLY)
REPORTED = event("incident.reported", "i-1", {**PRODUCTION, "ticketURI": "https://t.example.com/7"}, at=NOON)
RESOLVED = event("incident.resolved", "i-1", PRODUCTION, at=LATE)


def test_an_incident_runs_from_its_detection_to_its_last_resolution(context: SourceContext) -> None:
    """Detected, reported and resolved are one incident; its links and what it names come together."""
    made = together(context, DETECTED, REPORTED, RESOLVED)

    assert (made.state, made.service, made.artifact) == ("resolved", "shop", PURL)
    assert [t.isoformat()[11:16] for t in (made.started_at, made.detected_at, made.restored_at)] == [
        "08:00",
        "08:00",
        "20:00",
    ]
    assert made.links == ("https://t.example.com/7",)


def test_a_resolution_without_a_beginning_measures_nothing(context: SourceContext) -> None:
    """An incident of which only the end was told is resolved, and no rule can make a duration of it."""
    made = together(context, RESOLVED)

    assert (made.state, made.restored_at, made.closed_at, made.detected_at) == ("resolved", None, None, None)
    assert [t.state for t in made.transitions] == ["ended"]


def test_an_incident_that_is_detected_again_is_open_again(context: SourceContext) -> None:
    """Reopened → restored at the *last* resolution."""
    again = event("incident.detected", "i-1", PRODUCTION, at="2026-03-03T08:00:00Z")
    over = event("incident.resolved", "i-1", PRODUCTION, at="2026-03-03T09:00:00Z")

    reopened = together(context, DETECTED, RESOLVED, again)
    closed = together(context, DETECTED, RESOLVED, again, over)

    assert (reopened.state, reopened.restored_at) == ("detected", None)
    assert (closed.state, closed.restored_at.day, closed.started_at.day) == ("resolved", 3, 2)


def test_a_ticket_that_was_closed_before_it_was_heard_of_has_no_duration(context: SourceContext) -> None:
    """Only a ticket whose opening was told has a time to its end."""
    unknown = together(context, ticket("updated", EARLY), ticket("closed", LATE))
    known = together(context, ticket("closed", LATE), ticket("created", EARLY))

    assert (unknown.state, unknown.closed_at) == ("closed", None)
    assert (known.state, known.created_at.hour, known.closed_at.hour) == ("closed", 8, 20)


def test_a_change_that_was_abandoned_is_closed_and_not_merged(context: SourceContext) -> None:
    """A change without a merge → no merge time, whatever else is told of it."""
    made = together(context, event("change.created", "17", {}, at=EARLY), event("change.abandoned", "17", {}, at=NOON))

    assert (made.state, made.merged_at, made.closed_at.hour, made.created_at.hour) == ("closed", None, 12, 8)


def test_a_run_that_is_named_once_keeps_its_name(context: SourceContext) -> None:
    """A later event without the pipeline's name does not rename the run."""
    finished = event("pipelinerun.finished", "run-7", {"outcome": "success"}, at=NOON)

    assert together(context, run("started", EARLY), finished).pipeline == "deploy"
    assert together(context, finished, run("started", EARLY)).pipeline == "deploy"


STORIES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "run": [run("queued", EARLY), run("started", NOON), run("finished", LATE, outcome="success")],
    "change": [
        event("change.created", "17", {}, at=EARLY),
        event("change.updated", "17", {}, at=NOON),
        event("change.merged", "17", {}, at=LATE),
    ],
    "incident": [DETECTED, REPORTED, RESOLVED],
    "ticket": [ticket("created", EARLY), ticket("updated", NOON), ticket("closed", LATE)],
}


@pytest.mark.parametrize("story", STORIES)
def test_the_order_of_arrival_changes_nothing(story: str, context: SourceContext) -> None:
    """Any order, with any repetitions, over any number of drains: the stored event says the same."""
    own = receiver(context)
    told = [own.read(structured(one)).events[0] for one in STORIES[story]]
    expected = reduce(joined, told)

    @settings(max_examples=examples(60), deadline=None)
    @given(st.permutations([*told, *told]))
    def check(order: Sequence[Event]) -> None:
        known = reduce(joined, order)
        assert msgspec.structs.replace(known, updated_at=expected.updated_at) == expected
        assert (known.updated_at - expected.updated_at).total_seconds() < 1e-3  # type: ignore[operator] # all have one

    check()


@pytest.mark.parametrize("story", STORIES)
def test_the_store_keeps_what_is_told_late(story: str, context: SourceContext, bench: Any) -> None:
    """The end first, then the beginning, each drained for itself: the store has the whole."""
    own, inbox = receiver(context), InboxStore(bench.database, bench.store)
    told = [own.read(structured(one)).events[0] for one in STORIES[story]]
    for number, one in enumerate(reversed(told)):
        at = to_micros(AT) + number
        inbox.keep([Arrival(source="cd", delivery=f"{number}", received_at=at, events=packed([one]))])
        inbox.drain({"cd": Join(joined)}, at)

    (kept,) = bench.store.find([told[0].id]).values()

    expected = reduce(joined, told)
    assert msgspec.structs.replace(kept, updated_at=expected.updated_at) == expected


@pytest.fixture
def kept(context: SourceContext, bench: Any) -> Any:
    """What the store holds of a kind after CDEvents were delivered one after another, and drained each for itself."""
    numbers = count()

    def deliver(kind: type[Event], *found: Mapping[str, Any], **fields: Any) -> list[Any]:
        own, inbox = receiver(context, **fields), InboxStore(bench.database, bench.store)
        for number, one in zip(numbers, found, strict=False):
            at, told = to_micros(AT) + number, own.read(structured(one)).events
            inbox.keep([Arrival(source="cd", delivery=f"{number}", received_at=at, events=packed(told))])
            inbox.drain({"cd": config(**fields).join()}, at)
        return list(bench.store.events(kind))

    return deliver


NAMELESS = {"pipelineName": None, "uri": None}
OF_SHOP = {"repository": "o/web", "sha": SHA}
BEGUN = run("started", EARLY) | {"customData": {"paceline": OF_SHOP}}
DONE = run("finished", LATE, outcome="success", **NAMELESS) | {"customData": {"paceline": {"version": "1.4.2"}}}
RULES = [{"pipeline": "*", "to": "production"}]


@pytest.mark.parametrize("order", [(BEGUN, DONE), (DONE, BEGUN), (DONE, BEGUN, DONE)], ids=["told", "late", "twice"])
def test_what_a_run_deployed_is_said_by_all_that_is_told_of_it(kept: Any, order: Any) -> None:
    """Repository and commit came with the start, and the end names neither: one deployment, of all that is known."""
    found = [d for d in kept(Deployment, *order, deployments=RULES) if d.result == "success"]

    assert [(d.service, d.sha, d.started_at is not None) for d in found] == [("web", SHA, True)]


@pytest.mark.parametrize("order", [(BEGUN, DONE), (DONE, BEGUN), (DONE, BEGUN, DONE)], ids=["told", "late", "twice"])
def test_a_version_is_kept_whatever_is_told_after_it(kept: Any, order: Any) -> None:
    """What only the end tells of a deployment stays in it when the start comes late."""
    rules = [{"pipeline": "*", "service": "web", "to": "production"}]

    assert [d.version for d in kept(Deployment, *order, deployments=rules)] == ["1.4.2"]


def test_a_rule_fits_by_a_name_that_the_end_does_not_repeat(kept: Any) -> None:
    """A pipeline's name told with the start is enough for the rule that takes its end."""
    rules = [{"pipeline": "deploy", "to": "production"}]

    assert [d.result for d in kept(Deployment, BEGUN, DONE, deployments=rules)] == ["success"]


def test_a_place_that_is_told_once_is_not_forgotten(kept: Any) -> None:
    """A run that named its repository, and a ticket its queue, stay there when their ends name none."""
    kept(PipelineRun, BEGUN, DONE)
    (ran,) = kept(PipelineRun, DONE, BEGUN)
    (asked,) = kept(Ticket, ticket("created", EARLY), ticket("closed", LATE, group=None))

    assert (ran.repository, asked.queue) == ("o/web", "platform")


def test_kinds_that_are_told_whole_are_replaced(read: Any) -> None:
    """A deployment or review is told by one event: told again it is that event."""
    first, second = (read(event("service.deployed", "shop", {**PRODUCTION, "artifactId": a})) for a in ("a", "b"))

    assert joined(first, second) is second
