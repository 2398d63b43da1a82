"""Paceline's own JSON as it is pushed: one record or many, each kind of event, by whoever has the secret."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from laws import examples
from pydantic import ValidationError

from collector.errors import ContractError, RetryableError
from collector.events import EVENT_TYPES, Event, json_schema
from collector.people import People
from collector.source import SourceContext
from collector.sources.webhook import WebhookConfig
from collector.webhooks import Delivery, Receiver

SECRET = "t0ken-of-the-sample"  # noqa: S105 - it opens nothing but the tests' own door
AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
SCHEMA = Draft202012Validator(json_schema())
DEPLOYMENT = {
    "native_id": "17",
    "service": "shop",
    "environment": "production",
    "finished_at": "2026-03-02T09:00:00+01:00",
    "result": "success",
}


def receiver(context: SourceContext, **fields: Any) -> Receiver:
    """What takes the deliveries of a source of deployments."""
    known = {"type": "webhook", "name": "pushed", "webhook_secret": SECRET, "kind": "deployment"}
    made = WebhookConfig.model_validate({**known, **fields}).receiver(context)
    assert made is not None
    return made


def sent(body: Any, **headers: str) -> Delivery:
    """A delivery of a body, as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(headers={k.replace("_", "-"): v for k, v in headers.items()}, body=raw, received_at=AT)


def test_one_record_is_one_event(context: SourceContext) -> None:
    """An object is a record; its kind may come from the settings, its version is as old as its delivery."""
    found = receiver(context).read(sent(DEPLOYMENT))

    (event,) = found.events
    assert (event.kind, event.source, event.native_id, event.updated_at) == ("deployment", "pushed", "17", AT)


def test_of_two_versions_in_a_list_the_later_wins(context: SourceContext) -> None:
    """Records of one delivery are stamped in their order, so that a corrected one further down counts."""
    found = receiver(context).read(sent([DEPLOYMENT, {**DEPLOYMENT, "result": "failure"}]))

    first, second = found.events
    assert second.updated_at == AT + timedelta(microseconds=1)
    assert first.id == second.id


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_kind_of_event_can_be_pushed(
    data: st.DataObject, context: SourceContext, event_strategies: dict[type[Event], st.SearchStrategy[Event]]
) -> None:
    """What the published schema allows of any kind can be pushed, and is the same event again."""
    event = data.draw(event_strategies[data.draw(st.sampled_from(EVENT_TYPES))])
    assume(all(abs(v) < 2**63 for v in msgspec.structs.asdict(event).values() if isinstance(v, float)))
    record = json.loads(msgspec.json.encode(event))
    del record["source"]
    record["updated_at"] = record["updated_at"] or AT.isoformat()

    found = receiver(context).read(sent(msgspec.json.encode(record)))

    assert SCHEMA.is_valid(record)
    expected = msgspec.structs.replace(event, source="pushed", updated_at=event.updated_at or AT)
    assert list(found.events) == [expected]


def test_people_are_hashed(context: SourceContext) -> None:
    """Who deployed is a keyed hash before the event exists; automation is told by its account."""
    people = [{**DEPLOYMENT, "actor": "ada@people.example"}, {**DEPLOYMENT, "actor": "renovate[bot]"}]

    first, second = receiver(context).read(sent(people)).events

    expected = [People(b"k" * 32).hashed(name) for name in ("ada@people.example", "renovate[bot]")]
    assert [getattr(e, "actor", None) for e in (first, second)] == expected
    assert [getattr(e, "bot", None) for e in (first, second)] == [False, True]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([[]], "the record is no object"),
        ({**DEPLOYMENT, "finished_at": "2026-03-02T09:00:00"}, "`finished_at`: expected a time with an offset"),
        ({**DEPLOYMENT, "source": "other"}, "`source` is not part of a record"),
        ({**DEPLOYMENT, "kind": "depl"}, "`kind` is unknown"),
    ],
    ids=["empty", "no text", "deep", "a list in a list", "a naive time", "a source", "an unknown kind"],
)
def test_a_body_of_which_nothing_can_be_used_is_an_error(context: SourceContext, body: Any, said: str) -> None:
    """The error names the field and what was expected, never the value."""
    with pytest.raises(ContractError, match=said):
        receiver(context).read(sent(body))


def test_a_list_without_records_is_ignored_with_a_reason(context: SourceContext) -> None:
    """An empty list is no mistake, and does not vanish without a word."""
    assert receiver(context).read(sent([])).ignored == "a list without records"


def test_the_id_is_the_senders_or_the_bodys(context: SourceContext) -> None:
    """The same id, or without one the same body, is the same delivery."""
    own = receiver(context)
    named = [own.read(sent(body, x_paceline_delivery="d-1")).id for body in (DEPLOYMENT, [DEPLOYMENT])]
    bare = [own.read(sent(body)).id for body in (DEPLOYMENT, DEPLOYMENT, [DEPLOYMENT])]

    assert named == ["d-1", "d-1"]
    assert (bare[0] == bare[1], bare[0] == bare[2]) == (True, False)


def test_the_token_or_the_signature_opens(context: SourceContext) -> None:
    """A bearer token, or an HMAC over the raw body; a wrong signature is not mended by a right token."""
    own, body = receiver(context), json.dumps(DEPLOYMENT).encode()
    digest = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    right, token = f"sha256={digest}", f"Bearer {SECRET}"

    genuine = [
        own.is_genuine(sent(body, authorization=token)),
        own.is_genuine(sent(body, x_paceline_signature_256=right)),
        own.is_genuine(sent(body + b" ", x_paceline_signature_256=right)),
        own.is_genuine(sent(body, x_paceline_signature_256="sha256=0", authorization=token)),
        own.is_genuine(sent(body, authorization="Bearer \u00e9")),
        own.is_genuine(sent(body)),
    ]

    assert genuine == [True, True, False, False, False, False]


def test_a_file_that_became_empty_lets_nobody_in(context: SourceContext) -> None:
    """No token is not the same as the secret, also where the secret's file was emptied meanwhile."""
    path = context.base_dir / "secret"
    path.write_text(SECRET)
    own = receiver(context, webhook_secret=f"file:{path}")
    path.write_text("")

    assert own.is_genuine(sent(DEPLOYMENT, authorization="Bearer ")) is False
    assert own.is_genuine(sent(DEPLOYMENT)) is False


def test_without_a_secret_it_is_closed(context: SourceContext) -> None:
    """An empty secret opens nothing; one whose file is missing is an error, not an open door."""
    fields = {"type": "webhook", "name": "pushed"}
    gone = WebhookConfig.model_validate({**fields, "webhook_secret": "file:/nowhere/secret"})

    assert WebhookConfig.model_validate({**fields, "webhook_secret": ""}).receiver(context) is None
    with pytest.raises(RetryableError):
        gone.receiver(context)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"webhook_secret": "short"}, "this secret can be guessed"),
        ({"kind": "depl"}, "'depl' is no kind of event"),
        ({"silent_after": "1M"}, "'1M' is no duration"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, str], said: str) -> None:
    """A secret that can be guessed, an unknown kind, a span of no fixed length."""
    known = {"type": "webhook", "name": "pushed", "webhook_secret": SECRET}

    with pytest.raises(ValidationError, match=said):
        WebhookConfig.model_validate({**known, **fields})
