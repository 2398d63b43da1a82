"""The webhooks of sources: who is let in, what is kept before the answer, what is said of the rest."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from collector.errors import StoreError
from collector.events import Deployment, PipelineRun
from collector.http import Wire
from collector.store import Arrival
from paceline.service import DELIVERIES_REMEMBERED, Service
from paceline.web import create_app
from paceline.webhooks import (
    LARGEST_BODY_BYTES,
    MOST_READING_BYTES,
    MOST_WAITING_BYTES,
    Committer,
    Webhooks,
)
from paceline.wiring import Running, build, configuration

SECRET = "a-secret-of-these-tests"  # noqa: S105 - it opens nothing but their own door
MAIL = "wilhelmina@quarterstaff.example"
SETTINGS = f"""\
sources:
  - {{type: webhook, name: pushed, webhook_secret: {SECRET}, silent_after: 1h}}
  - {{type: webhook, name: closed, webhook_secret: "${{NOWHERE:-}}"}}
  - {{type: cdevents, name: delivery, webhook_secret: {SECRET}}}
  - {{type: files, name: files, path: events.jsonl}}
logs: {{level: error}}
"""


def deployment(native_id: str = "1", **fields: Any) -> dict[str, Any]:
    """A record of a deployment."""
    return {
        "kind": "deployment",
        "native_id": native_id,
        "service": "shop",
        "environment": "production",
        "finished_at": "2026-03-08T10:00:00Z",
        "result": "success",
        **fields,
    }


@pytest.fixture
def running(tmp_path: Path, clock: Any) -> Iterator[Running]:
    """A service with sources that are pushed to."""
    (tmp_path / "paceline.yaml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "events.jsonl").write_text(json.dumps(deployment()) + "\n", encoding="utf-8")
    found = build(configuration(tmp_path / "paceline.yaml", {}, tmp_path), clock, {})
    yield found
    found.close()


@pytest.fixture
def service(running: Running) -> Service:
    """The service itself."""
    return running.service


@pytest.fixture
def webhooks(running: Running, service: Service, clock: Any) -> Iterator[Webhooks]:
    """Its webhooks; what they keep waits until it is drained."""
    made = Webhooks(service, running.log, clock)
    yield made
    made.close()


@pytest.fixture
def client(service: Service, webhooks: Webhooks) -> Iterator[TestClient]:
    """A client of them."""
    with TestClient(create_app(service, webhooks=webhooks)) as made:
        yield made


Send = Callable[..., httpx2.Response]


@pytest.fixture
def send(client: TestClient) -> Send:
    """Sends a body, as JSON unless it is bytes, with the secret as bearer token unless other headers are given."""

    def post(body: Any, source: str = "pushed", **headers: str) -> httpx2.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = {k.replace("_", "-"): v for k, v in (headers or {"Authorization": f"Bearer {SECRET}"}).items()}
        return client.post(f"/webhooks/{source}", content=raw, headers=shown)

    return post


def signature(body: bytes, secret: str = SECRET) -> str:
    """The signature of a body."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def deployed(service: Service) -> list[str]:
    """The native ids of the stored deployments."""
    return sorted(native_id for (native_id,) in service.events.columns(Deployment, "native_id"))


# --- what is taken ---------------------------------------------------------------------------------------


def test_a_delivery_is_kept_before_it_is_answered(send: Send, service: Service) -> None:
    """202 says that the events are in the store's inbox; the drain moves them on."""
    answer = send([deployment("1"), deployment("2")])
    waiting = service.inbox.waiting(), deployed(service)

    assert (answer.status_code, answer.json()) == (202, {"status": "taken", "events": 2})
    assert waiting == (1, [])
    assert service.drain() == 2
    assert deployed(service) == ["1", "2"]


def test_a_replay_answers_200_and_does_nothing(send: Send, service: Service) -> None:
    """The same delivery again is known: by its body, or by the sender's id, whatever else it says."""
    headers = {"Authorization": f"Bearer {SECRET}", "X_Paceline_Delivery": "d-1"}
    send(deployment())
    send(deployment("2"), **headers)
    service.drain()

    answers = [send(deployment()), send(deployment("3"), **headers)]

    assert [(a.status_code, a.json()) for a in answers] == [(200, {"status": "duplicate"})] * 2
    assert service.drain() == 0
    assert deployed(service) == ["1", "2"]


@pytest.mark.parametrize(("seconds_ago", "status"), [(0, 202), (290, 202), (310, 401), (-310, 401), (86_400 * 20, 401)])
def test_a_delivery_that_was_recorded_opens_nothing_later(
    send: Send, clock: Any, seconds_ago: int, status: int
) -> None:
    """Where a sender signs the time too, an old one is refused, under whatever id it comes."""
    body = json.dumps(deployment()).encode()
    at = str(round(clock().timestamp()) - seconds_ago)
    headers = {"X_Paceline_Sent_At": at, "X_Paceline_Signature_256": signature(f"{at}.".encode() + body)}

    assert send(body, **headers, X_Paceline_Delivery="another").status_code == status


@pytest.mark.parametrize("said", ["", "now", "-1", "1e9", "1_0", "9" * 400, "{later}"])
def test_the_time_of_a_recorded_delivery_cannot_be_exchanged(send: Send, clock: Any, said: str) -> None:
    """A time that was not signed, none at all where one was, and what is no time: refused."""
    body, now = json.dumps(deployment()).encode(), round(clock().timestamp())
    recorded = signature(f"{now - 1_000}.".encode() + body)
    told = {"X_Paceline_Sent_At": said.format(later=now)} if said else {}

    assert send(body, X_Paceline_Signature_256=recorded, **told).status_code == 401


def test_an_old_state_that_is_played_back_changes_nothing(send: Send, service: Service, clock: Any) -> None:
    """A record that says how old it is does not come after a newer one, though its id is long forgotten."""
    old = {**deployment(), "updated_at": "2026-03-08T09:30:00Z", "result": "failure"}
    send(old)
    send({**deployment(), "updated_at": "2026-03-08T09:40:00Z"})
    service.drain()
    clock.move(DELIVERIES_REMEMBERED + timedelta(days=1))
    service.drain()

    assert send(old).status_code == 202
    service.drain()
    assert list(service.events.columns(Deployment, "result")) == [("success",)]


def test_a_packed_body_is_not_unpacked(send: Send) -> None:
    """A quarter of a gigabyte in a quarter of a megabyte is refused as the bytes that came, and costs no more."""
    bomb = gzip.compress(b" " * (1 << 28), 1)
    headers = {"Content_Encoding": "gzip", "X_Paceline_Signature_256": signature(bomb)}
    tracemalloc.start()
    answer = send(bomb, **headers)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (answer.status_code, most < 64 << 20) == (400, True)
    assert "no JSON in UTF-8" in answer.json()["detail"]


def test_an_id_is_remembered_for_fourteen_days(send: Send, service: Service, clock: Any) -> None:
    """Ids go after their time, so that the table has a bound; until then a repetition is one."""
    send(deployment())
    service.drain()
    clock.move(DELIVERIES_REMEMBERED)
    service.drain()
    still = send(deployment()).status_code
    clock.move(timedelta(hours=2))
    service.drain()

    assert (still, send(deployment()).status_code) == (200, 202)


def test_who_comes_while_somebody_drains_leaves_at_once(send: Send, service: Service) -> None:
    """Two drains do not wait for each other: who is at it writes what waits."""
    send(deployment())
    with service._draining:
        beside = service.drain()

    assert (beside, service.drain()) == (0, 1)


def test_collecting_writes_what_waits(send: Send, service: Service) -> None:
    """`paceline collect` drains the inbox, too."""
    send(deployment("9"))

    service.collect(service.configuration.sources[-1])

    assert deployed(service) == ["1", "9"]


def test_the_same_event_pushed_and_collected_is_one_of_each_source(send: Send, service: Service) -> None:
    """Two sources both posting id "1" → two events; the same one again → one."""
    send(deployment("1"))
    send(deployment("1", url="https://ci.example.com/1"))
    service.collect(service.configuration.sources[-1])

    assert deployed(service) == ["1", "1"]


def test_people_are_hashed_and_addresses_masked_before_anything_is_kept(
    send: Send, service: Service, tmp_path: Path
) -> None:
    """Neither the inbox nor the tables ever hold somebody's address, not even while a delivery waits."""
    send(deployment(actor=MAIL, environment=f"{MAIL} test"))
    with closing(sqlite3.connect(tmp_path / ".paceline" / "paceline.db")) as connection:
        (kept,) = connection.execute("SELECT events FROM inbox").fetchone()
    service.drain()

    assert b"person:" in kept
    assert b"quarterstaff" not in kept
    assert list(service.events.columns(Deployment, "environment")) == [("… test",)]


def test_a_bad_record_beside_good_ones_is_set_aside(send: Send, service: Service) -> None:
    """Good records are taken, the bad one is counted and named by its place, and its content is nowhere."""
    answer = send([deployment(), deployment("2", result="S3cr3tResult")], Authorization=f"Bearer {SECRET}")

    (said,) = answer.json()["rejected"]
    assert (answer.status_code, answer.json()["events"]) == (202, 1)
    assert "record 2: `result`: expected one of success, failure" in said
    assert [q.reason for q in service.events.quarantined("pushed")] == [said.partition(": ")[2]]
    assert service.events.runs()["pushed"].rejected_total == 1
    assert "S3cr3t" not in answer.text


def test_parts_that_are_pushed_become_one_event(send: Send, service: Service) -> None:
    """A run that is queued, started and finished by separate deliveries is one run, in whatever order they come."""
    from providers.cdevents import run, structured  # noqa: PLC0415 - the only test here that speaks CDEvents

    finished = run("finished", "2026-03-08T10:09:00Z", outcome="failure")
    for told in (finished, run("queued", "2026-03-08T10:00:00Z"), run("started", "2026-03-08T10:01:00Z")):
        sent = structured(told)
        headers = {**sent.headers, "authorization": f"Bearer {SECRET}"}
        assert send(sent.body, "delivery", **headers).status_code == 202
        service.drain()

    columns = ("state", "result", "created_at", "started_at", "finished_at")
    ((state, result, created_at, started_at, finished_at),) = service.events.columns(PipelineRun, *columns)
    assert (state, result) == ("completed", "failure")
    assert [(started_at - created_at) / 6e7, (finished_at - started_at) / 6e7] == [1, 8]


# --- who is let in ---------------------------------------------------------------------------------------


def test_a_signature_is_over_the_raw_body(send: Send) -> None:
    """Signed as it was sent it is let in; one blank more is another body."""
    body = json.dumps(deployment()).encode()
    right, wrong = signature(body), signature(body + b" ")

    assert send(body, X_Paceline_Signature_256=wrong).status_code == 401
    assert send(body, X_Paceline_Signature_256=right).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "*/*"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": "Bearer "},
        {"X_Paceline_Signature_256": ""},
        {"X_Paceline_Signature_256": "sha256=" + "0" * 64, "Authorization": f"Bearer {SECRET}"},
        {"X_Paceline_Signature_256": hashlib.sha256(b"{}").hexdigest()},
    ],
    ids=["nothing", "another token", "basic", "no token", "no signature", "a wrong signature beside", "a bare hash"],
)
def test_a_stranger_is_refused_before_anything_is_read(send: Send, service: Service, headers: dict[str, str]) -> None:
    """Without the secret even a body that is no JSON answers 401, and leaves nothing."""
    answer = send(b"{not json", **headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (service.inbox.waiting(), service.events.quarantined("pushed")) == (0, [])


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("nowhere", 404, "no source has this name"),
        ("files", 404, "this source takes no webhooks"),
        ("closed", 403, "set `webhook_secret` of closed to open it"),
    ],
)
def test_what_is_not_open_says_so(send: Send, source: str, status: int, said: str) -> None:
    """An unknown source is not found; one without a secret is closed, whoever asks."""
    answer = send(deployment(), source)

    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_the_secret_is_read_anew(tmp_path: Path, clock: Any) -> None:
    """A secret that is rotated in its file opens with the next request; while the file is gone, nobody comes in."""
    secret = tmp_path / "secret"
    secret.write_text("the-first-secret-there-was", encoding="utf-8")
    text = f"sources: [{{type: webhook, name: pushed, webhook_secret: 'file:{secret}'}}]\nlogs: {{level: error}}\n"
    (tmp_path / "paceline.yaml").write_text(text, encoding="utf-8")
    found = build(configuration(tmp_path / "paceline.yaml", {}, tmp_path), clock, {})
    webhooks = Webhooks(found.service, found.log, clock)

    def status(client: TestClient, token: str) -> int:
        answer = client.post("/webhooks/pushed", json=deployment(), headers={"Authorization": f"Bearer {token}"})
        return int(answer.status_code)

    with TestClient(create_app(found.service, webhooks=webhooks)) as client:
        before = status(client, "the-first-secret-there-was")
        secret.write_text("the-second-secret-there-is", encoding="utf-8")
        after = status(client, "the-first-secret-there-was"), status(client, "the-second-secret-there-is")
        secret.unlink()
        gone = status(client, "the-second-secret-there-is")
    webhooks.close()
    found.close()

    assert (before, after, gone) == (202, (401, 200), 503)


def test_alerts_keep_their_own_path(service: Service, webhooks: Webhooks, running: Running, clock: Any) -> None:
    """The webhook of Alertmanager is no source's."""
    from paceline.enricher import build_enricher  # noqa: PLC0415 - the only test here that speaks of alerts

    settings = service.configuration.settings.notify
    enricher = build_enricher(service, settings, tiers=service.tiers, log=running.log, clock=clock)
    with TestClient(create_app(service, enricher, webhooks)) as client:
        answer = client.post("/webhooks/alertmanager", json={})

    assert "notify.secret" in answer.json()["detail"]


# --- what is not taken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "no JSON in UTF-8"),
        (b'{"kind": "\xff"}', "no JSON in UTF-8"),
        (b"[" * 100_000, "no JSON in UTF-8"),
        (b'"text"', "the record is no object"),
        (b"[1, 2]", "none of 2 records can be used"),
        (json.dumps(deployment(finished_at="2026-03-08T10:00:00")).encode(), "`finished_at`: expected a time with"),
    ],
    ids=["no JSON", "other bytes", "nests", "text", "numbers", "a naive time"],
)
def test_a_body_that_is_not_as_documented_is_refused_and_counted(
    send: Send, service: Service, body: bytes, said: str
) -> None:
    """400 says what was expected; the run record counts it, the quarantine says why, and it may come again."""
    answers = [send(body), send(body)]

    assert [a.status_code for a in answers] == [400, 400]
    assert said in answers[0].json()["detail"]
    assert service.events.runs()["pushed"].rejected_total == 2
    (kept,) = service.events.quarantined("pushed")
    assert said in kept.reason


def test_an_ignored_delivery_is_kept_and_listed(send: Send, service: Service, client: TestClient) -> None:
    """An unmatched event is kept and listed rather than answered 200 and gone."""
    from providers.cdevents import event, structured  # noqa: PLC0415 - see above

    sent = structured(event("testcaserun.started", "t-1", {}))
    headers = {**sent.headers, "authorization": f"Bearer {SECRET}"}
    answers = [send(sent.body, "delivery", **headers) for _ in range(2)]

    why = "`testcaserun.started` is not read"
    assert (answers[0].status_code, answers[0].json()) == (202, {"status": "ignored", "reason": why})
    assert answers[1].json() == {"status": "duplicate"}
    assert [(q.location, q.reason) for q in service.events.quarantined("delivery")] == [(f"webhook: {why}", "ignored")]
    (door,) = [s for s in client.get("/webhooks").json()["sources"] if s["source"] == "delivery"]
    assert door["ignored"] == {why: 1}
    assert door["deliveries"] == {"duplicate": 1, "ignored": 1}


def test_too_large_a_body_is_refused(send: Send, service: Service) -> None:
    """A body beyond the limit answers 413 and is not read to its end."""
    answer = send(b" " * (LARGEST_BODY_BYTES + 1))

    assert answer.status_code == 413
    assert service.inbox.waiting() == 0


def test_a_large_body_is_taken(send: Send, service: Service) -> None:
    """A list of thousands of records is one delivery, read beside the others."""
    answer = send([deployment(str(n)) for n in range(3_000)])
    service.drain()

    assert (answer.status_code, answer.json()["events"]) == (202, 3_000)
    assert len(deployed(service)) == 3_000


def test_a_store_that_fails_is_told_to_the_sender(send: Send, tmp_path: Path) -> None:
    """Where the delivery cannot be kept the answer is 503 with when to come again: it was not taken."""
    with closing(sqlite3.connect(tmp_path / ".paceline" / "paceline.db")) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON inbox BEGIN SELECT RAISE(ABORT, 'full'); END")
    failed = send(deployment())
    with closing(sqlite3.connect(tmp_path / ".paceline" / "paceline.db")) as connection:
        connection.execute("DROP TRIGGER full")

    assert (failed.status_code, failed.headers["retry-after"]) == (503, "10")
    assert send(deployment()).status_code == 202


def test_beyond_what_may_wait_senders_are_sent_away(
    send: Send, webhooks: Webhooks, service: Service, client: TestClient
) -> None:
    """The queue is bounded in bytes: 503 with Retry-After, nothing kept, and the door counts it."""
    webhooks._committer._bytes = MOST_WAITING_BYTES

    answer = send(deployment())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert service.inbox.waiting() == 0
    assert client.get("/webhooks").json()["sources"][-1]["deliveries"] == {"full": 1}


def test_bodies_that_are_read_at_once_are_bounded(send: Send, webhooks: Webhooks) -> None:
    """Where too much is being read already the next body is refused, and makes room again."""
    webhooks._reading = MOST_READING_BYTES
    full = send(deployment())
    left = webhooks._reading
    webhooks._reading = 0

    assert (full.status_code, full.headers["retry-after"]) == (503, "10")
    assert left == MOST_READING_BYTES
    assert (send(deployment()).status_code, webhooks._reading) == (202, 0)


def test_a_body_that_does_not_arrive_is_given_up(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that opens a request and says nothing more is answered 408, and holds nothing."""
    monkeypatch.setattr("paceline.webhooks.BODY_SECONDS", 0.01)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    scope = {"type": "http", "method": "POST", "path": "/webhooks/pushed", "headers": []}
    answer = asyncio.run(webhooks.answer("pushed", Request(scope, never)))

    assert (answer.status_code, webhooks._reading) == (408, 0)


def test_a_sender_that_hangs_up_is_refused(webhooks: Webhooks) -> None:
    """A connection that ends in the middle of a body is an everyday thing, counted, and no fault of the service."""
    parts: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def cut() -> dict[str, Any]:
        return next(parts)

    scope = {"type": "http", "method": "POST", "path": "/webhooks/pushed", "headers": []}
    answer = asyncio.run(webhooks.answer("pushed", Request(scope, cut)))

    assert (answer.status_code, webhooks._reading) == (408, 0)
    assert webhooks.view().sources[-1].deliveries == {"refused": 1}


def test_the_doors_say_what_is_open(client: TestClient, send: Send) -> None:
    """The status lists the open webhooks, what waits, and what came; it names nobody and tells no secret."""
    send(deployment())

    answer = client.get("/webhooks")

    assert answer.json() == {
        "waiting": 1,
        "sources": [
            {"source": "delivery", "open": True, "deliveries": {}, "ignored": {}},
            {"source": "pushed", "open": True, "deliveries": {"taken": 1}, "ignored": {}},
        ],
    }
    assert SECRET not in answer.text


# --- many at once ----------------------------------------------------------------------------------------


def test_many_requests_share_a_commit(client: TestClient, service: Service, webhooks: Webhooks) -> None:
    """What comes while a commit is under way is kept by the next one, together, and each is answered for itself."""
    commits: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def keep(arrivals: Any) -> list[bool]:
        begun.set()
        go_on.wait(10)
        commits.append(len(arrivals))
        return service.inbox.keep(arrivals)

    webhooks._committer._keep = keep

    def post(number: int) -> int:
        body = deployment(str(number % 20))
        return client.post("/webhooks/pushed", json=body, headers={"Authorization": f"Bearer {SECRET}"}).status_code

    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(post, 0)
        begun.wait(10)
        others = [pool.submit(post, n) for n in range(1, 21)]
        while (batch := webhooks._committer._open) is None or len(batch.arrivals) < 20:
            time.sleep(0.01)
        go_on.set()
        statuses = sorted([first.result(), *(other.result() for other in others)])

    assert commits == [1, 20]
    assert statuses == [200] + [202] * 20
    assert service.inbox.waiting() == 20


def test_deliveries_that_come_soon_after_a_commit_share_the_next_one() -> None:
    """A commit begins some time after the last one at least, and keeps what came by then; a lone delivery waits not."""
    commits: list[int] = []

    def keep(arrivals: Any) -> list[bool]:
        commits.append(len(arrivals))
        return [True] * len(arrivals)

    async def put(number: int) -> None:
        await asyncio.sleep(number * 0.002)
        await committer.put(Arrival(source="s", delivery=f"d-{number}", received_at=0))

    async def several() -> None:
        began = time.monotonic()
        await put(0)
        alone.append(time.monotonic() - began)
        committer._last = time.monotonic() + 1  # as if one had begun just now, on a machine that is that slow
        await asyncio.gather(*(put(number) for number in range(1, 6)))

    alone: list[float] = []
    committer = Committer(keep)
    asyncio.run(several())
    committer.close()

    assert commits == [1, 5]
    assert alone[0] < 1


def test_closing_waits_for_the_commit_under_way() -> None:
    """At the end what was put is kept: its sender may have the answer already."""
    kept: list[str] = []

    def keep(arrivals: Any) -> list[bool]:
        time.sleep(0.1)
        kept.extend(one.delivery for one in arrivals)
        return [True] * len(arrivals)

    async def put() -> None:
        committer = Committer(keep)
        waiting = asyncio.ensure_future(committer.put(Arrival(source="s", delivery="d-1", received_at=0)))
        await asyncio.sleep(0)
        committer.close()
        await waiting

    asyncio.run(put())

    assert kept == ["d-1"]


# --- freshness of who is only pushed to ------------------------------------------------------------------


def test_a_silent_webhook_is_stale_until_something_comes(send: Send, service: Service, clock: Any) -> None:
    """With `silent_after`, runs fail before the first delivery and after too long a silence; a delivery ends it."""
    pushed = service.configuration.sources[0]

    def error() -> str:
        return service.collect(pushed).error or ""

    never = error()
    send(deployment())
    service.drain()
    fresh = error(), service.source_states(clock())[0].fresh
    clock.move(timedelta(hours=1, seconds=1))
    silent = error()

    assert "nothing was ever delivered to /webhooks/pushed" in never
    assert fresh == ("", True)
    assert "nothing was delivered since 2026-03-09 06:00 UTC" in silent


def test_without_a_bound_silence_is_a_success(service: Service, clock: Any) -> None:
    """A webhook that rarely has something to say is fresh as long as it is open; a closed one is not."""
    _, closed, delivery, _ = service.configuration.sources

    assert service.collect(delivery).error is None
    assert "set `webhook_secret` to open it" in (service.collect(closed).error or "")
    assert [s.fresh for s in service.source_states(clock())] == [False, False, True, False]


def test_reading_all_again_says_nothing_of_silence(service: Service, clock: Any) -> None:
    """`collect --since` asks nobody here, so it has nothing to complain of."""
    outcome = service.collect(service.configuration.sources[0], since=clock() - timedelta(days=1), wire=Wire())

    assert outcome.error is None


def test_what_the_services_metrics_say_of_pushed_events(send: Send, service: Service) -> None:
    """Pushed events and rejected records count in the source's metrics like collected ones."""
    send([deployment("1"), deployment("2"), {"kind": "nothing"}])
    service.drain()

    text = service.refresh().exposition.text.decode()

    assert 'platform_collector_events_total{source="pushed"} 2' in text
    assert 'platform_collector_last_run_success{source="pushed"} 1' in text


def test_a_reader_without_the_store_says_so(client: TestClient, service: Service) -> None:
    """The status of the doors is 503 where the store cannot be read."""
    service.inbox._database = _Gone()  # type: ignore[assignment] # it fails as a store does

    assert client.get("/webhooks").status_code == 503


class _Gone:
    """A database that cannot be read."""

    def reading(self) -> Any:
        raise StoreError("the store cannot be read: gone")
