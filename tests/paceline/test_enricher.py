"""Alerts come in, are enriched, and go on: the door, the queue, and what each target is sent."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import socket
import socketserver
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from collector.document import read_documents, validate
from collector.errors import AuthError, ConfigError, RetryableError, SourceError, StoreError
from paceline.enricher import (
    LARGEST_BODY_BYTES,
    MOST_WAITING,
    PATH,
    BadNotification,
    Claims,
    Destination,
    Enricher,
    Notification,
    Taken,
    build_enricher,
    read_notification,
    router,
)
from paceline.notify import (
    MOST_ALERTS,
    SLACK_BLOCKS,
    SLACK_HEADER,
    SLACK_TEXT,
    EmailTarget,
    Message,
    NotifySettings,
    SlackTarget,
    Target,
    WebhookTarget,
    email_of,
    slack_body,
    slack_text,
    webhook_body,
)
from paceline.service import Service
from slo_engine.enrich import Alert, Contributor, Findings, enrich

NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
PLANTED = "planted-secret-0123456789"
_PATIENCE_SECONDS = 10.0


def an_alert(**fields: Any) -> dict[str, Any]:
    """An alert as Alertmanager writes it."""
    return {
        "status": "firing",
        "labels": {"alertname": "PlatformSloBurnPage", "slo": "fast", "severity": "page"},
        "annotations": {"summary": "fast burns", "description": "1h: 20 times"},
        "startsAt": "2026-03-09T05:59:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph",
        "fingerprint": "c1f4d1ff8b8ed6a6",
        **fields,
    }


def a_payload(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A webhook's body as Alertmanager writes it."""
    return {
        "version": "4",
        "groupKey": '{}:{slo="fast"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "paceline",
        "groupLabels": {"slo": "fast"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com",
        "alerts": list(alerts) or [an_alert()],
        **fields,
    }


def a_notification(*alerts: dict[str, Any], **fields: Any) -> Notification:
    """The same, read."""
    return read_notification(json.dumps(a_payload(*alerts, **fields)).encode())


def a_message(*alerts: dict[str, Any], findings: Findings | None = None, **fields: Any) -> Message:
    """The same, enriched."""
    read = a_notification(*alerts, **fields)
    return Message(
        status=read.status,
        receiver=read.receiver,
        thread=read.group_key,
        payload=read.payload,
        alerts=tuple(enrich(alert, findings or Findings()) for alert in read.alerts),
    )


# --- reading ---------------------------------------------------------------------------------------------


def test_a_notification_is_read() -> None:
    """A firing alert has no end, and times are exact to the microsecond in UTC."""
    (alert,) = a_notification().alerts

    assert (alert.status, alert.ends_at) == ("firing", None)
    assert alert.starts_at == datetime(2026, 3, 9, 5, 59, 0, 123457, tzinfo=UTC)


def test_a_resolved_alert_has_an_end() -> None:
    """The end of a resolved alert is in UTC, whatever zone it came with."""
    (alert,) = a_notification(an_alert(status="resolved", endsAt="2026-03-09T07:30:00+01:00")).alerts

    assert alert.ends_at == datetime(2026, 3, 9, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON in UTF-8"),
        (b"\xff", "no JSON in UTF-8"),
        (b'{"a": NaN}', "no JSON in UTF-8"),
        (b'"\\ud800"', "no JSON in UTF-8"),
        (b"[" * 100_000, "no JSON in UTF-8"),
        (b"[]", "Expected `object`, got `array`"),
        (json.dumps(a_payload(version="3")).encode(), r"Invalid enum value '3' - at `\$.version`"),
        (json.dumps(a_payload(alerts=[])).encode(), r"Expected `array` of length >= 1 - at `\$.alerts`"),
        (json.dumps(a_payload(alerts=None)).encode(), r"Expected `array`, got `null` - at `\$.alerts`"),
        (json.dumps(a_payload(an_alert(labels={"a": 1}))).encode(), r"at `\$.alerts\[0\].labels\[...\]`"),
        (json.dumps(a_payload(an_alert(startsAt="soon"))).encode(), r"Invalid RFC3339 .* at `\$.alerts\[0\].startsAt`"),
        (json.dumps(a_payload(an_alert(startsAt="2026-03-09T05:59:00"))).encode(), "timezone component"),
        (json.dumps(a_payload(an_alert(startsAt="0001-01-01T00:00:00+02:00"))).encode(), "out of range"),
    ],
)
def test_what_is_no_notification_is_refused(body: bytes, said: str) -> None:
    """A malformed body is answered with where it differs from what was expected."""
    with pytest.raises(BadNotification, match=said):
        read_notification(body)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    """Whatever is posted is a notification or refused as none."""
    with pytest.raises(BadNotification):
        read_notification(body)


# --- the queue -------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """A sender that keeps messages; errors to raise first come from a list."""

    failures: list[Exception] = field(default_factory=list)
    messages: queue.Queue[Message] = field(default_factory=queue.Queue)
    tried: queue.Queue[str] = field(default_factory=queue.Queue)

    def send(self, message: Message) -> None:
        """Keep it, or fail."""
        self.tried.put(message.status)
        if self.failures:
            raise self.failures.pop(0)
        self.messages.put(message)

    def next(self) -> Message:
        """The next message that arrives."""
        return self.messages.get(timeout=_PATIENCE_SECONDS)


@dataclass
class Kept:
    """A log that keeps what is written."""

    lines: queue.Queue[tuple[str, dict[str, Any]]] = field(default_factory=queue.Queue)

    def info(self, event: str, **values: Any) -> None:
        """Nothing of interest."""

    def warning(self, event: str, **values: Any) -> None:
        """Keep it."""
        self.lines.put((event, values))

    error = warning

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next line."""
        return self.lines.get(timeout=_PATIENCE_SECONDS)


class Bench:
    """An enricher with targets that keep what they are sent, and a clock that is moved."""

    def __init__(self, claims: Claims | None = None, **receivers: list[str]) -> None:
        self.now = 0.0
        self.sent = {name: Sent() for name in receivers}
        self.log = Kept()
        self.lookup: Callable[[Alert], Findings] = lambda _: Findings(window="6h", bad=1, total=2)
        destinations = [
            Destination(target=Target(name=name, receivers=wanted), sender=self.sent[name])
            for name, wanted in receivers.items()
        ]
        options: dict[str, Any] = {"clock": lambda: self.now, "chance": lambda: 1.0, "claims": claims}
        self.enricher = Enricher(self._found, destinations, self.log, **options)

    def _found(self, alert: Alert) -> Findings:
        return self.lookup(alert)

    def later(self, seconds: float) -> None:
        """Move the clock."""
        with self.enricher._changed:
            self.now += seconds
            self.enricher._changed.notify_all()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """An enricher with two targets that take everything."""
    made = Bench(one=[], two=[])
    yield made
    made.enricher.close()


def test_a_notification_goes_to_every_target_enriched(bench: Bench) -> None:
    """Each target is sent the alert with what was found."""
    bench.enricher.take(a_notification())

    assert [bench.sent[name].next().alerts[0].findings.bad for name in ("one", "two")] == [1, 1]


def test_a_target_takes_its_receivers_only() -> None:
    """Who routes by receivers in Alertmanager routes by them here."""
    bench = Bench(pages=["oncall"], others=[])

    bench.enricher.take(a_notification(receiver="tickets"))
    bench.sent["others"].next()
    bench.enricher.close()

    assert bench.sent["pages"].tried.empty()


def test_what_nobody_takes_is_refused() -> None:
    """A notification without a target is not swallowed."""
    bench = Bench(pages=["oncall"])

    assert bench.enricher.take(a_notification(receiver="tickets")) is Taken.UNWANTED


def test_the_same_notification_is_sent_once(bench: Bench) -> None:
    """Within an hour a repetition, or the second of two Alertmanagers, is taken and not sent."""
    taken = [bench.enricher.take(a_notification()) for _ in range(2)]
    bench.sent["one"].next()
    bench.enricher.close()

    assert taken == [Taken.QUEUED, Taken.DUPLICATE]
    assert bench.sent["one"].messages.empty()


def test_after_an_hour_it_is_sent_again(bench: Bench) -> None:
    """A repetition of what still fires is a reminder."""
    bench.enricher.take(a_notification())
    bench.sent["one"].next()
    bench.later(3_600.0)

    assert bench.enricher.take(a_notification()) is Taken.QUEUED


@pytest.mark.parametrize(
    "other",
    [
        a_notification(groupKey="another"),
        a_notification(an_alert(status="resolved"), status="resolved"),
        a_notification(an_alert(fingerprint="0123")),
        a_notification(an_alert(), an_alert(fingerprint="0123")),
        a_notification(an_alert(startsAt="2026-03-09T06:30:00Z")),
    ],
    ids=["group", "status", "alert", "one more alert", "fires anew"],
)
def test_what_differs_is_no_repetition(bench: Bench, other: Notification) -> None:
    """Another group, status or set of alerts, and an alert that fires anew, are news."""
    bench.enricher.take(a_notification())

    assert bench.enricher.take(other) is Taken.QUEUED


def test_an_alert_that_cannot_be_enriched_goes_out(bench: Bench) -> None:
    """A defect or a store that cannot be read costs the findings, not the alert; the log says which."""

    def broken(_: Alert) -> Findings:
        raise ZeroDivisionError(PLANTED)

    bench.lookup = broken
    bench.enricher.take(a_notification())
    (alert,) = bench.sent["one"].next().alerts

    assert (alert.title, alert.problem) == ("fast burns", "It could not be enriched; the log of Paceline says why.")
    assert bench.log.next() == (
        "an alert could not be enriched",
        {"alert": "PlatformSloBurnPage", "error": "ZeroDivisionError"},
    )


def test_slow_enriching_does_not_hold_up_the_rest(bench: Bench) -> None:
    """After ten seconds the remaining alerts go out as they came."""

    def slow(_: Alert) -> Findings:
        bench.later(11.0)
        return Findings()

    bench.lookup = slow
    bench.enricher.take(a_notification(an_alert(), an_alert(fingerprint="2")))

    assert [bool(a.problem) for a in bench.sent["one"].next().alerts] == [False, True]


def test_a_failed_send_is_tried_again(bench: Bench) -> None:
    """After one second, then two; other targets are not held up."""
    bench.sent["one"].failures = [RetryableError("busy"), RetryableError("busy")]
    bench.enricher.take(a_notification())
    bench.sent["two"].next()
    waits = [bench.log.next()[1]["seconds"]]
    bench.later(1.0)
    waits.append(bench.log.next()[1]["seconds"])
    bench.later(2.0)

    assert bench.sent["one"].next().alerts[0].title == "fast burns"
    assert waits == [1.0, 2.0]


def test_a_target_may_say_when(bench: Bench) -> None:
    """A target that asks for a minute gets it."""
    bench.sent["one"].failures = [RetryableError("busy", retry_after_seconds=60.0)]
    bench.enricher.take(a_notification())

    assert bench.log.next()[1]["seconds"] == 60.0


def test_alerts_arrive_in_their_order(bench: Bench) -> None:
    """The resolution waits behind the page that could not yet be sent."""
    bench.sent["one"].failures = [RetryableError("busy")]
    bench.enricher.take(a_notification())
    bench.log.next()
    bench.enricher.take(a_notification(an_alert(status="resolved"), status="resolved"))
    bench.sent["two"].next()
    bench.sent["two"].next()
    bench.later(1.0)

    assert [bench.sent["one"].next().status for _ in range(2)] == ["firing", "resolved"]


@pytest.mark.parametrize("error", [AuthError("refused"), ValueError(PLANTED)])
def test_what_cannot_succeed_is_given_up(bench: Bench, error: Exception) -> None:
    """A refusal or a defect is logged and counted at once; what it holds is not told."""
    bench.sent["one"].failures = [error]
    bench.enricher.take(a_notification())
    bench.sent["two"].next()
    event, values = bench.log.next()

    assert (event, values["target"]) == ("alert not sent, it is given up", "one")
    assert PLANTED not in str(values)
    assert bench.enricher.counts["one", "failed"] == 1


def test_after_an_hour_of_trying_it_is_given_up(bench: Bench) -> None:
    """What is an hour old would mislead; when Alertmanager repeats it, that is no repetition."""
    bench.sent["one"].failures = [RetryableError("busy"), RetryableError("busy")]
    bench.enricher.take(a_notification())
    bench.log.next()
    bench.later(3_599.0)

    assert bench.log.next()[0] == "alert not sent, it is given up"
    assert bench.enricher.take(a_notification()) is Taken.QUEUED


def test_too_much_is_refused(bench: Bench) -> None:
    """While a target fails, the queue grows up to its bound, with two more in hand; then Alertmanager has to wait."""
    bench.sent["one"].failures = [RetryableError("busy")]
    bench.enricher.take(a_notification())
    bench.log.next()
    taken = [bench.enricher.take(a_notification(groupKey=str(n))) for n in range(MOST_WAITING + 3)]

    assert (taken[0], Taken.FULL in taken) == (Taken.QUEUED, True)


def test_what_waits_is_tried_once_more_at_the_end(bench: Bench) -> None:
    """Stopping does not wait for the time of the next attempt."""
    bench.sent["one"].failures = [RetryableError("busy")]
    bench.enricher.take(a_notification())
    bench.log.next()

    bench.enricher.close()

    assert bench.sent["one"].messages.qsize() == 1
    assert bench.enricher.take(a_notification(groupKey="late")) is Taken.FULL


def test_what_is_left_at_the_end_is_said(bench: Bench) -> None:
    """What a stopped target could not take is in the log."""
    going_on = threading.Event()
    bench.lookup = lambda _: Findings(bad=int(going_on.wait(_PATIENCE_SECONDS)))
    bench.enricher.take(a_notification())
    bench.enricher.take(a_notification(groupKey="second"))

    bench.enricher.close(seconds=0.2)
    said = bench.log.next()
    going_on.set()

    assert said[0] == "alerts were not sent before the end"


@dataclass
class Claimed:
    """What two replicas tell each other, by a table that both see; or one that cannot be asked."""

    holder: str
    table: dict[str, str]
    gone: bool = False
    done: queue.Queue[str] = field(default_factory=queue.Queue)

    def take_alert(self, name: str, _seconds: float) -> bool:
        """Whether nobody else has it."""
        if self.gone:
            raise StoreError("gone")
        found = self.table.setdefault(name, self.holder) == self.holder
        self.done.put("taken" if found else "refused")
        return found

    def keep_alert(self, _name: str, _seconds: float) -> None:
        """It was sent."""
        self.done.put("kept")

    def forget_alert(self, name: str) -> None:
        """Give it back."""
        self.table.pop(name)
        self.done.put("forgotten")

    def next(self) -> str:
        """What was asked next."""
        return self.done.get(timeout=_PATIENCE_SECONDS)


@contextlib.contextmanager
def two_replicas() -> Iterator[list[tuple[Bench, Claimed]]]:
    """Two enrichers that have one table."""
    table: dict[str, str] = {}
    claims = [Claimed(holder, table) for holder in ("a", "b")]
    benches = [Bench(one, target=[]) for one in claims]
    try:
        yield list(zip(benches, claims, strict=True))
    finally:
        for made in benches:
            made.enricher.close()


def test_of_two_replicas_one_sends() -> None:
    """Alertmanager's repetition reaches the other replica: it is taken, and not sent again."""
    with two_replicas() as ((one, kept), (other, refused)):
        one.enricher.take(a_notification())
        one.sent["target"].next()
        asked = [kept.next(), kept.next()]
        taken = other.enricher.take(a_notification())

        assert (taken, asked, refused.next()) == (Taken.QUEUED, ["taken", "kept"], "refused")
    assert other.sent["target"].tried.empty()


def test_what_one_replica_could_not_send_another_may() -> None:
    """A replica that gave up gives the notification back."""
    with two_replicas() as ((one, gave), (other, _)):
        one.sent["target"].failures = [AuthError("no")]
        one.enricher.take(a_notification())
        asked = [gave.next(), gave.next()]
        other.enricher.take(a_notification())

        assert asked == ["taken", "forgotten"]
        assert other.sent["target"].next().status == "firing"


def test_alerts_go_out_where_other_replicas_cannot_be_asked() -> None:
    """Twice is better than never: without the database each sends, and says so."""
    with two_replicas() as ((one, gone), _):
        gone.gone = True
        one.enricher.take(a_notification())

        assert one.sent["target"].next().status == "firing"
        assert "cannot be asked" in one.log.next()[0]


def test_notifications_are_counted(bench: Bench) -> None:
    """What came in by what became of it, and what went out by target."""
    bench.enricher.take(a_notification())
    bench.enricher.take(a_notification())
    bench.enricher.close()

    assert bench.enricher.counts == {
        ("", "queued"): 1,
        ("", "duplicate"): 1,
        ("one", "sent"): 1,
        ("two", "sent"): 1,
    }


# --- the door --------------------------------------------------------------------------------------------

TARGETS = [{"type": "webhook", "name": "hook", "url": "https://hook.example.com"}]
BEARER = {"Authorization": f"Bearer {PLANTED}"}


def door(bench: Bench, **settings: Any) -> TestClient:
    """A client of the webhook."""
    app = FastAPI()
    given = {"secret": PLANTED, "targets": TARGETS, **settings}
    app.include_router(router(bench.enricher, NotifySettings.model_validate(given)))
    return TestClient(app)


def _basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize("headers", [BEARER, {"Authorization": f"bearer {PLANTED}"}, _basic(f"alertmanager:{PLANTED}")])
def test_who_shows_the_secret_is_heard(bench: Bench, headers: dict[str, str]) -> None:
    """A bearer token and basic auth are taken, as Alertmanager can send both."""
    answer = door(bench).post(PATH, json=a_payload(), headers=headers)

    assert (answer.status_code, answer.json()) == (202, {"status": "queued"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": PLANTED},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {PLANTED}x"},
        {"Authorization": f"Digest {PLANTED}"},
        _basic(f"someone:{PLANTED}"),
        _basic("alertmanager:wrong"),
        _basic(PLANTED),
    ],
)
def test_who_does_not_is_refused(bench: Bench, headers: dict[str, str]) -> None:
    """Without the secret nothing is read, and nothing about it is told."""
    answer = door(bench).post(PATH, json=a_payload(), headers=headers)

    assert answer.status_code == 401
    assert PLANTED not in answer.text
    assert bench.enricher.counts == {}


def test_without_a_secret_the_webhook_is_closed(bench: Bench) -> None:
    """Nobody can post alerts to a service that was not set up for it."""
    answer = door(bench, secret="").post(PATH, json=a_payload(), headers={"Authorization": "Bearer "})

    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "this webhook is closed; set notify.secret to open it",
    )


def test_a_secret_may_be_in_a_file(bench: Bench, tmp_path: Path) -> None:
    """The file is read each time, so a secret can be replaced while the service runs."""
    file = tmp_path / "secret"
    client = door(bench, secret=f"file:{file}")
    missing = client.post(PATH, json=a_payload(), headers=BEARER).status_code
    file.write_text(f"{PLANTED}\n", encoding="utf-8")

    assert (missing, client.post(PATH, json=a_payload(), headers=BEARER).status_code) == (503, 202)


def test_a_large_body_is_refused(bench: Bench) -> None:
    """A body beyond the limit is not read to its end."""
    answer = door(bench).post(PATH, content=b"x" * (LARGEST_BODY_BYTES + 1), headers=BEARER)

    assert answer.status_code == 413


def test_a_malformed_body_is_a_bad_request(bench: Bench) -> None:
    """The answer says where the body differs."""
    answer = door(bench).post(PATH, json=a_payload(version="3"), headers=BEARER)

    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "no webhook of Alertmanager, version 4: Invalid enum value '3' - at `$.version`",
    )


def test_the_door_says_what_became_of_it(bench: Bench) -> None:
    """A repetition is fine; what nobody wants, and what must wait, is not."""
    client, answers = door(bench), []
    answers += [client.post(PATH, json=a_payload(), headers=BEARER).status_code for _ in range(2)]
    bench.enricher.close()
    answers.append(client.post(PATH, json=a_payload(groupKey="x"), headers=BEARER).status_code)
    unwanted = door(Bench(other=["oncall"])).post(PATH, json=a_payload(), headers=BEARER).status_code

    assert ([*answers, unwanted]) == [202, 200, 503, 422]


def test_a_slow_target_does_not_hold_up_the_door(bench: Bench) -> None:
    """The answer does not wait for enriching or sending."""
    going_on = threading.Event()
    bench.lookup = lambda _: Findings(bad=int(going_on.wait(_PATIENCE_SECONDS)))
    asked = time.monotonic()
    status = door(bench).post(PATH, json=a_payload(), headers=BEARER).status_code
    took = time.monotonic() - asked
    going_on.set()

    assert status == 202
    assert took < _PATIENCE_SECONDS / 2


def test_a_service_enriches(collected: Service, clock: Any) -> None:
    """With the store of a service an alert gets its SLO's state and the deployments before it."""
    hook = {"type": "webhook", "name": "hook", "url": "http://127.0.0.1:9"}
    settings = NotifySettings.model_validate(
        {"secret": PLANTED, "targets": [hook], "base_url": "https://paceline.example.com/"}
    )
    made = build_enricher(collected, settings, tiers=(), log=Kept(), clock=clock)

    found = made._lookup(a_notification().alerts[0])

    assert found.slo is not None
    assert found.explain_url == "https://paceline.example.com/explain/change_delivery_time?window=28d"
    assert [d.service for d in found.deployments] == ["shop", "shop"]


# --- what targets are sent -------------------------------------------------------------------------------

HOSTILE = "<!channel> | *bold* _x_ `code` <script>alert(1)</script> @channel \u202egnp.exe & " + "x" * 500
CONTRIBUTORS = Findings(
    window="6h",
    bad=1,
    total=2,
    contributors=(
        Contributor(
            service=HOSTILE,
            environment="production",
            reason="",
            bad=1,
            total=2,
            url='https://p.example.com/?a=1&b="2|3',
        ),
    ),
)


def hostile(**fields: Any) -> Message:
    """A message all of whose texts try something."""
    named = {"alertname": HOSTILE, "slo": HOSTILE}
    texts = {"summary": HOSTILE, "description": f"{HOSTILE}\n{HOSTILE}"}
    return a_message(an_alert(labels=named, annotations=texts), findings=CONTRIBUTORS, **fields)


def texts_of(body: dict[str, Any]) -> list[str]:
    """All texts of blocks that may hold markup."""
    sections = [block["text"]["text"] for block in body["blocks"] if block["type"] == "section"]
    return sections + [e["text"] for block in body["blocks"] if block["type"] == "context" for e in block["elements"]]


def test_slack_is_sent_blocks() -> None:
    """Header, the alert, its description, what was found, and where to look."""
    findings = Findings(
        window="6h",
        bad=1,
        total=2,
        contributors=(
            Contributor(service="api_v2", environment="", reason="", bad=1, total=2, url="https://p.example.com/a"),
        ),
        explain_url="https://p.example.com/explain/x",
    )

    body = slack_body(a_message(findings=findings))

    assert body["text"] == "[FIRING] fast burns"
    assert body["blocks"][0]["text"]["text"] == "\N{LARGE RED CIRCLE} [FIRING] fast burns"
    assert texts_of(body) == [
        "*fast burns*\nPlatformSloBurnPage · slo fast · severity page · since 2026-03-09 05:59 UTC",
        "1h: 20 times",
        (
            "*Top contributors: 1 of 2 events bad in 6h*\n"
            "• <https://p.example.com/a|api_v2: 1 of 2 bad, 100% of the bad ones>"
        ),
        "<https://p.example.com/explain/x|Explain> · <http://prometheus.example.com/graph|Source>",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <b> & c", "a &lt;b&gt; &amp; c"),
        ("<!channel> <@U1> <https://x|y>", "&lt;!channel&gt; &lt;@U1&gt; &lt;https://x|y&gt;"),
        ("snake_case a*b", "snake_case a*b"),
        ("*b* _i_ ~s~ `c`", "\u200b*b\u200b* \u200b_i\u200b_ \u200b~s\u200b~ \u200b`c\u200b`"),
    ],
)
def test_slack_shows_text_as_it_is(text: str, shown: str) -> None:
    """No mention, no link and no formatting; names stay as they can be copied."""
    assert slack_text(text) == shown


def test_slack_is_sent_nothing_hostile() -> None:
    """What would mention, link, format or turn the direction of writing is text."""
    said = "\n".join(texts_of(slack_body(hostile())))

    assert set(re.findall("<.", said)) == {"<h"}
    assert "\u202e" not in said
    assert re.findall(r"https://p[^|]*", said) == ['https://p.example.com/?a=1&amp;b="2%7C3']


@pytest.mark.parametrize("alerts", [1, 9, 300])
def test_slacks_limits_hold(alerts: int) -> None:
    """At most 50 blocks with at most 3,000 characters, and a header of at most 150; the rest is counted."""
    texts = {"summary": "&" * 3_000, "description": "<" * 9_000, "runbook_url": f"https://r.example.com/{'&' * 2_000}"}
    body = slack_body(a_message(*[an_alert(annotations=texts)] * alerts, findings=CONTRIBUTORS))

    assert len(body["blocks"]) <= SLACK_BLOCKS
    assert len(body["blocks"][0]["text"]["text"]) <= SLACK_HEADER
    assert max(map(len, texts_of(body))) <= SLACK_TEXT
    assert [text for text in texts_of(body) if re.search(r"&(?!amp;|lt;|gt;)", text)] == []


def test_what_is_not_shown_is_counted() -> None:
    """Ten alerts are shown, the firing ones first, and how many more there are."""
    resolved = an_alert(status="resolved", annotations={"summary": "over"})
    message = a_message(resolved, *[an_alert()] * (MOST_ALERTS + 1))

    assert texts_of(slack_body(message))[-1] == "And 2 more alerts."
    assert "over" not in [a.title for a in message.shown]


def test_the_webhook_is_alertmanagers_own() -> None:
    """What came goes on unchanged, also what we do not know, with `paceline` beside each alert."""
    given = a_payload(an_alert(something="new"), future=1)
    body = webhook_body(a_message(an_alert(something="new"), future=1, findings=CONTRIBUTORS))
    beside = body["alerts"][0].pop("paceline")

    assert body == given
    assert (beside["window"], beside["bad"], beside["contributors"][0]["service"]) == ("6h", 1, HOSTILE)


def a_mail(message: Message) -> EmailMessage:
    """The message as mail, as it is read again."""
    sent = email_of(message, "Paceline <paceline@example.com>", ["oncall@example.com"], NOW)
    return message_from_bytes(sent.as_bytes(), policy=default)


def part(mail: EmailMessage, kind: str) -> str:
    """The text of a part."""
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_mail_is_text() -> None:
    """Whoever reads mail as text reads everything."""
    message = a_message(findings=Findings(explain_url="https://p.example.com/explain/x"))

    assert part(a_mail(message), "plain") == (
        "[FIRING] fast burns\n"
        "PlatformSloBurnPage · slo fast · severity page · since 2026-03-09 05:59 UTC\n\n"
        "1h: 20 times\n\n"
        "Explain: https://p.example.com/explain/x\n"
        "Source: http://prometheus.example.com/graph\n"
    )


def test_mail_is_escaped() -> None:
    """In HTML texts are text, and a link stays within its quotes."""
    page = part(a_mail(hostile()), "html")

    assert re.findall(r"<(?!/)(\w+)", page) == re.findall(r"<(html|body|h2|p|h3|ul|li|a|br|hr)\b(?! on)", page)
    assert 'href="https://p.example.com/?a=1&amp;b=&quot;2|3"' in page


def test_a_subject_is_one_short_line() -> None:
    """No text makes a header of its own."""
    annotations = {"summary": "x\r\nBcc: someone@example.com" + "y" * 500}
    mail = a_mail(a_message(an_alert(annotations=annotations), an_alert()))

    assert mail["Bcc"] is None
    assert len(mail["Subject"]) <= 200
    assert mail["Subject"].endswith("… and 1 more")


def test_mails_of_a_group_are_one_conversation() -> None:
    """The resolution refers to what the page refers to, and no mail names this machine or is answered by a robot."""
    first, second = a_mail(a_message()), a_mail(a_message(an_alert(status="resolved"), status="resolved"))

    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]
    assert first["Message-ID"].endswith("@example.com>")
    assert (first["Auto-Submitted"], first["Date"]) == ("auto-generated", "Mon, 09 Mar 2026 06:00:00 +0000")


# --- sending ---------------------------------------------------------------------------------------------


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it, and answers as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.posted: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Receive(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Keep the body as JSON."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), json.loads(body)))
        status, headers = self.server.answers.pop(0) if self.server.answers else (200, {})
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _running(server: socketserver.BaseServer) -> Iterator[Any]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on loopback."""
    yield from _running(Receiver())


def test_slack_is_posted(receiver: Receiver) -> None:
    """The blocks arrive at the webhook's address."""
    given = {"type": "slack", "name": "chat", "url": f"{receiver.url}/services/T/B/x"}

    SlackTarget.model_validate(given).build(lambda: NOW).send(a_message())

    path, _, body = receiver.posted[0]
    assert (path, body) == ("/services/T/B/x", slack_body(a_message()))


def test_the_webhook_is_posted_with_its_token(receiver: Receiver, tmp_path: Path) -> None:
    """The token, here from a file, goes as a bearer token."""
    (tmp_path / "token").write_text(f"{PLANTED}\n", encoding="utf-8")
    given = {"type": "webhook", "name": "hook", "url": receiver.url, "token": f"file:{tmp_path}/token"}

    WebhookTarget.model_validate(given).build(lambda: NOW).send(a_message())

    _, headers, body = receiver.posted[0]
    assert headers["Authorization"] == f"Bearer {PLANTED}"
    assert body == webhook_body(a_message())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((429, {"Retry-After": "7"}), RetryableError),
        ((503, {}), RetryableError),
        ((403, {}), AuthError),
        ((404, {}), SourceError),
    ],
)
def test_a_failed_post_is_sorted(receiver: Receiver, answer: Any, error: type[Exception]) -> None:
    """It is asked once, and the error says whether later is worth a try; the address is not in it."""
    receiver.answers = [answer]
    given = {"type": "slack", "name": "chat", "url": f"{receiver.url}/services/{PLANTED}"}
    target = SlackTarget.model_validate(given)

    with pytest.raises(SourceError) as raised:
        target.build(lambda: NOW).send(a_message())

    assert type(raised.value) is error
    assert PLANTED not in str(raised.value)
    assert len(receiver.posted) == 1


class MailServer(socketserver.ThreadingTCPServer):
    """A small SMTP server: keeps mails with their envelope, and answers some commands as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.answers: dict[str, str] = {}
        self.mails: list[tuple[list[str], bytes]] = []
        self.said: list[str] = []

    @property
    def target(self) -> dict[str, Any]:
        """Settings of a target that sends to it."""
        to = ["oncall@example.com", "Second <second@example.com>"]
        common = {"type": "email", "name": "mail", "security": "none", "sender": "paceline@example.com", "to": to}
        return {"host": "127.0.0.1", "port": self.server_address[1], **common}


class _Mail(socketserver.StreamRequestHandler):
    server: MailServer
    usual: ClassVar[dict[str, str]] = {"DATA": "354 go on", "QUIT": "221 bye"}

    def handle(self) -> None:
        """One conversation."""
        self._say("220 mail.example.com")
        envelope: list[str] = []
        for line in map(bytes.decode, self.rfile):
            self.server.said.append(line.strip())
            command = line.split()[0].upper()
            answer = self.server.answers.get(line.strip()) or self.server.answers.get(command)
            self._say(answer or self.usual.get(command, "250 ok"))
            if command in {"MAIL", "RCPT"}:
                envelope.append(line.strip())
            elif command == "DATA" and not answer:
                self.server.mails.append((envelope, b"".join(iter(self.rfile.readline, b".\r\n"))))
                self._say("250 kept")
            elif command == "QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server on loopback."""
    yield from _running(MailServer())


def test_mail_is_sent(mail_server: MailServer) -> None:
    """One mail goes to every address."""
    EmailTarget(**mail_server.target).build(lambda: NOW).send(a_message())

    ((envelope, mail),) = mail_server.mails
    assert [line.split(" size=")[0].split(" SIZE=")[0] for line in envelope] == [
        "mail FROM:<paceline@example.com>",
        "rcpt TO:<oncall@example.com>",
        "rcpt TO:<second@example.com>",
    ]
    assert message_from_bytes(mail, policy=default)["Subject"] == "[FIRING] fast burns"


def test_the_machine_is_not_named_to_the_mail_server(mail_server: MailServer) -> None:
    """It greets with the sender's domain."""
    EmailTarget(**mail_server.target).build(lambda: NOW).send(a_message())

    assert mail_server.said[0] == "ehlo example.com"


REFUSED_ONE = {"rcpt TO:<second@example.com>": "550 unknown second@example.com"}


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ({"MAIL": "451 later"}, RetryableError, "answered 451$"),
        ({"MAIL": "550 planted"}, SourceError, "answered 550; check the settings of this target"),
        ({"DATA": "554 planted"}, SourceError, "answered 554"),
        ({"RCPT": "450 planted"}, RetryableError, r"every address was refused \(450\)"),
        ({"RCPT": "550 planted"}, SourceError, r"every address was refused \(550\); check `to`"),
        (REFUSED_ONE, SourceError, "1 of 2 addresses were refused; check `to`"),
    ],
)
def test_a_refused_mail_is_sorted(
    mail_server: MailServer, answers: dict[str, str], error: type[Exception], said: str
) -> None:
    """The error says whether later is worth a try; the server's own words, which may name somebody, are not in it."""
    mail_server.answers = answers

    with pytest.raises(SourceError, match=said) as raised:
        EmailTarget(**mail_server.target).build(lambda: NOW).send(a_message())

    assert type(raised.value) is error
    assert re.findall("planted|second|oncall", str(raised.value)) == []


def test_mail_is_not_sent_unprotected_unless_told(mail_server: MailServer) -> None:
    """A server without STARTTLS is given nothing where a protected connection was asked for."""
    target = EmailTarget(**mail_server.target | {"security": "starttls"})

    with pytest.raises(SourceError, match="cannot do what is asked"):
        target.build(lambda: NOW).send(a_message())

    assert mail_server.mails == []


def test_a_mail_server_that_is_down_is_tried_later() -> None:
    """Nobody listening may be somebody later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"host": "127.0.0.1", "port": port, "sender": "a@example.com", "to": ["b@example.com"]}

    with pytest.raises(RetryableError, match="is the server up"):
        EmailTarget(type="email", name="mail", **settings).build(lambda: NOW).send(a_message())


# --- settings --------------------------------------------------------------------------------------------

MAIL = "{type: email, name: mail, host: smtp.example.com, sender: a@example.com, to: [b@example.com]%s}"
HOOK = "{type: webhook, name: hook, url: https://hook.example.com%s}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("secret: short", "secret: this secret can be guessed; expected at least 16 characters"),
        ("secret: file:relative", "secret: the file of a secret has no absolute path"),
        (f"secret: {PLANTED}", "alerts would be taken and go nowhere; expected at least one of targets"),
        (f"targets: [{HOOK % ', x: 1'}]", r"targets\[0\].x: unknown key"),
        (f"targets: [{HOOK % ''}, {HOOK % ''}]", "two targets are named 'hook'"),
        ("targets: [{name: a}]", r"targets\[0\]: type is missing"),
        ("targets: [{type: slak, name: a}]", r"targets\[0\].type: 'slak' is not valid; .*perhaps 'slack'"),
        ("targets: [{type: slack, name: a, url: ftp://x}]", r"targets\[0\].url: this value is no web address"),
        (
            f"targets: [{MAIL % ', to: []'}]".replace("to: [b@example.com], ", ""),
            r"targets\[0\].to: a list is not valid",
        ),
        (f"targets: [{MAIL % ', username: u, security: none'}]", "a password over an unprotected connection"),
        (f"targets: [{(MAIL % '').replace('b@example.com', 'nobody')}]", r"to\[0\]: this is no e-mail address"),
        ("base_url: paceline", "base_url: this is no web address; expected for example https://"),
    ],
)
def test_a_mistake_in_the_settings_is_said(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake is answered with its place and what was expected, and no secret is repeated."""
    file = tmp_path / "notify.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=said) as raised:
        validate(read_documents(file)[0], NotifySettings)

    assert PLANTED not in str(raised.value)


def test_secrets_are_not_shown() -> None:
    """What the settings print has no secret in it."""
    slack = {"type": "slack", "name": "chat", "url": f"https://hooks.example.com/{PLANTED}"}
    settings = NotifySettings.model_validate({"secret": PLANTED, "targets": [slack]})

    assert PLANTED not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_the_documented_settings_are_accepted(tmp_path: Path) -> None:
    """The example of the page is what the program takes."""
    page = Path(__file__).parents[2] / "docs" / "enricher.md"
    (text,) = re.findall(r"```yml\n(notify:.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "paceline.yaml").write_text(text, encoding="utf-8")
    secrets = {"ALERTMANAGER_SECRET": PLANTED, "SLACK_WEBHOOK": "https://hooks.example.com/x", "INCIDENT_TOKEN": "x"}

    (document,) = read_documents(tmp_path / "paceline.yaml", environ=secrets)

    assert [t.name for t in validate(document, NotifySettings, at=("notify",)).targets] == [
        "oncall-chat",
        "platform-mail",
        "incident-tool",
    ]
