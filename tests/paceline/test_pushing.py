"""Metrics that are sent to receivers: the same numbers as a scrape, and no harm from who does not take them."""

from __future__ import annotations

import gc
import gzip
import struct
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cramjam
import pytest
from google.protobuf.internal.decoder import _DecodeVarint
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from prometheus_client.parser import text_string_to_metric_families
from receivers import PASSWORD, USER, Hook, hook

from collector.errors import AuthError, PacelineError, RetryableError, SourceError
from paceline.logs import configure
from paceline.push_senders import OtlpSender, RemoteWriteSender
from paceline.push_settings import OtlpSettings, RemoteWriteSettings
from paceline.pushing import Pushes
from paceline.service import Service
from paceline.wiring import build, configuration
from slo_engine import catalog
from slo_engine.exposition import Exposition, render

NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
MILLISECONDS = int(NOW.timestamp() * 1_000)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
STALE = struct.pack("<Q", 0x7FF0000000000002)

Series = tuple[str, frozenset[tuple[str, str]]]


def scraped(exposition: Exposition) -> dict[Series, float]:
    """The series of a scrape. An empty label is none."""
    families = text_string_to_metric_families(exposition.text.decode())
    return {(s.name, frozenset((k, v) for k, v in s.labels.items() if v)): s.value for f in families for s in f.samples}


def otlp_points(bodies: list[bytes]) -> Iterator[tuple[Any, Any]]:
    """The metrics and points of what was posted."""
    for body in bodies:
        request = ExportMetricsServiceRequest.FromString(gzip.decompress(body))
        for resource in request.resource_metrics:
            for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
                for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points:
                    yield metric, point


def otlp_series(bodies: list[bytes]) -> dict[Series, float]:
    """The series of what was posted over OTLP."""
    return {
        (metric.name, frozenset((a.key, a.value.string_value) for a in point.attributes)): point.as_double
        for metric, point in otlp_points(bodies)
    }


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message, read by hand: numbers, and bytes or whole numbers or doubles."""
    place = 0
    while place < len(message):
        key, place = _DecodeVarint(message, place)
        if key & 7 == 2:
            size, place = _DecodeVarint(message, place)
            yield key >> 3, message[place : place + size]
            place += size
        elif key & 7 == 1:
            yield key >> 3, message[place : place + 8]
            place += 8
        else:
            value, place = _DecodeVarint(message, place)
            yield key >> 3, value


def written(body: bytes) -> Iterator[tuple[list[tuple[str, str]], bytes, int]]:
    """The series of a remote write: labels in their order, the value's bytes, and the time."""
    for _, series in fields(bytes(cramjam.snappy.decompress_raw(body))):
        parts = list(fields(series))
        labels = [dict(fields(label)) for number, label in parts if number == 1]
        (sample,) = (dict(fields(one)) for number, one in parts if number == 2)
        yield [(one[1].decode(), one[2].decode()) for one in labels], sample.get(1, bytes(8)), sample[2]


def written_series(bodies: list[bytes]) -> dict[Series, float]:
    """The series of what was written remotely."""
    return {
        (dict(labels)["__name__"], frozenset(p for p in labels if p[0] != "__name__")): struct.unpack("<d", value)[0]
        for body in bodies
        for labels, value, _ in written(body)
    }


@pytest.fixture
def receiver() -> Iterator[Hook]:
    """A real server that keeps what it is sent."""
    with hook() as server:
        yield server


@pytest.fixture
def stopped() -> Iterator[threading.Event]:
    """Ends what waits."""
    event = threading.Event()
    yield event
    event.set()


def otlp(receiver: Hook, stopped: threading.Event, **settings: Any) -> OtlpSender:
    """What sends to the receiver over OTLP."""
    told = OtlpSettings.model_validate({"url": receiver.url, **settings})
    return OtlpSender(told, Path(), stopped, lambda: BEGAN)


def remote_write(receiver: Hook, stopped: threading.Event, **settings: Any) -> RemoteWriteSender:
    """What writes to the receiver."""
    told = RemoteWriteSettings.model_validate({"url": f"{receiver.url}/api/v1/push", **settings})
    return RemoteWriteSender(told, Path(), stopped)


def bodies(receiver: Hook) -> list[bytes]:
    """What was posted."""
    return [one.body for one in receiver.posted]


def shop(value: float, *labels: str) -> Exposition:
    """A gauge of some services."""
    return render((catalog.SERVICE_INFO, (label, "", "", ""), value) for label in labels or ("shop",))


def test_otlp_says_what_a_scrape_says(collected: Service, receiver: Hook, stopped: threading.Event) -> None:
    """Every series of the snapshot arrives with its labels and value, those of counters as sums that only grow."""
    published = collected.refresh()

    with closing(otlp(receiver, stopped)) as sender:
        sender.send(published.exposition, NOW)

    assert otlp_series(bodies(receiver)) == scraped(published.exposition)
    assert len(scraped(published.exposition)) == published.exposition.series > 200
    kinds = {f.name: f.type for f in text_string_to_metric_families(published.exposition.text.decode())}
    for metric, point in otlp_points(bodies(receiver)):
        assert metric.HasField("sum") == (kinds.get(metric.name.removesuffix("_total")) == "counter"), metric.name
        assert point.time_unix_nano == int(NOW.timestamp()) * 10**9
        if metric.HasField("sum"):
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            assert point.start_time_unix_nano == int(BEGAN.timestamp()) * 10**9


def test_otlp_names_the_service_and_units(receiver: Hook, stopped: threading.Event) -> None:
    """The resource says whose metrics they are; a unit follows from the name, and the help goes along."""
    exposition = render([(catalog.SLO_PERIOD, ("fast",), 60.0), (catalog.SLO_COVERAGE, ("fast",), 0.5)])

    with closing(otlp(receiver, stopped)) as sender:
        sender.send(exposition, NOW)

    (request,) = (ExportMetricsServiceRequest.FromString(gzip.decompress(body)) for body in bodies(receiver))
    about = {a.key: a.value.string_value for a in request.resource_metrics[0].resource.attributes}
    assert about["service.name"] == "paceline"
    assert about["service.version"]
    assert {m.name: (m.unit, m.description) for m, _ in otlp_points(bodies(receiver))} == {
        "platform_slo_period_seconds": ("s", catalog.SLO_PERIOD.help),
        "platform_slo_coverage_ratio": ("1", catalog.SLO_COVERAGE.help),
    }
    assert receiver.posted[0].path == "/v1/metrics"


def test_what_an_otlp_receiver_leaves_out_is_an_error(receiver: Hook, stopped: threading.Event) -> None:
    """A receiver that answers 200 and took only a part says so, and so do we."""
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 3
    answer.partial_success.error_message = "too\nmany\x1b[31m"
    receiver.answers.append((200, {}, answer.SerializeToString()))

    with closing(otlp(receiver, stopped)) as sender, pytest.raises(SourceError, match=r"3 series .*: too many\[31m$"):
        sender.send(shop(1.0), NOW)


def test_a_web_page_is_no_otlp_receiver(receiver: Hook, stopped: threading.Event) -> None:
    """What answers with a page took nothing."""
    receiver.answers.append((200, {}, b"<html>hello</html>"))

    with closing(otlp(receiver, stopped)) as sender, pytest.raises(SourceError, match="is this the address"):
        sender.send(shop(1.0), NOW)


def test_remote_write_says_what_a_scrape_says(collected: Service, receiver: Hook, stopped: threading.Event) -> None:
    """Every series arrives with its value, its labels in order, the configured ones among them, at one time."""
    published = collected.refresh()

    with closing(remote_write(receiver, stopped, labels={"cluster": "eu", "slo": "lost"})) as sender:
        sender.send(published.exposition, NOW)

    added = {
        (name, labels | {("cluster", "eu")} | ({("slo", "lost")} if "slo" not in dict(labels) else set())): value
        for (name, labels), value in scraped(published.exposition).items()
    }
    assert written_series(bodies(receiver)) == added
    for body in bodies(receiver):
        for labels, _, at in written(body):
            assert labels == sorted(labels)
            assert at == MILLISECONDS
    headers = receiver.posted[0].headers
    assert (headers["content-encoding"], headers["x-prometheus-remote-write-version"]) == ("snappy", "0.1.0")
    assert receiver.posted[0].path == "/api/v1/push"


def test_a_series_that_is_no_more_is_ended(receiver: Hook, stopped: threading.Event) -> None:
    """It gets the mark by which Prometheus knows, once; when it comes back it is a series again."""
    with closing(remote_write(receiver, stopped)) as sender:
        for named in (("shop", "till"), ("shop",), ("shop",), ("shop", "till")):
            sender.send(shop(1.0, *named), NOW)

    values = [
        {dict(labels)["service"]: value for body in one for labels, value, _ in written(body)}
        for one in ([b] for b in bodies(receiver))
    ]
    one = struct.pack("<d", 1.0)
    assert values == [
        {"shop": one, "till": one},
        {"shop": one},
        {"till": STALE},
        {"shop": one},
        {"shop": one, "till": one},
    ]


def test_the_end_of_a_series_is_told_until_it_is_heard(receiver: Hook, stopped: threading.Event) -> None:
    """Where the request with the mark was not taken, the next push has it again."""
    with closing(remote_write(receiver, stopped)) as sender:
        sender.send(shop(1.0, "shop", "till"), NOW)
        receiver.answers += [(200, {}, b""), (403, {}, b"")]
        with pytest.raises(AuthError):
            sender.send(shop(1.0, "shop"), NOW)
        receiver.posted.clear()
        sender.send(shop(1.0, "shop"), NOW)

    told = [(dict(labels)["service"], value) for body in bodies(receiver) for labels, value, _ in written(body)]
    assert told == [("shop", struct.pack("<d", 1.0)), ("till", STALE)]


def test_time_goes_on_whatever_the_clock_does(receiver: Hook, stopped: threading.Event) -> None:
    """A clock that stands or goes back gives no two samples of one time, and none before another."""
    with closing(remote_write(receiver, stopped)) as sender:
        for hours in (0, 0, -1):
            sender.send(shop(1.0), NOW + timedelta(hours=hours))

    assert [at for body in bodies(receiver) for _, _, at in written(body)] == [MILLISECONDS + n for n in range(3)]


def test_what_is_refused_for_good_is_not_sent_again(receiver: Hook, stopped: threading.Event) -> None:
    """400 is an answer to what was sent: it is told with the receiver's reason, on one line, and not repeated."""
    receiver.answers.append((400, {}, b"out of order sample\n\x07"))

    with (
        closing(remote_write(receiver, stopped)) as sender,
        pytest.raises(SourceError, match=r": out of order sample$"),
    ):
        sender.send(shop(1.0), NOW)

    assert len(receiver.posted) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_work_later_is_sent_again(receiver: Hook, stopped: threading.Event, status: int) -> None:
    """A busy or broken receiver gets the same request again when it said it would take it."""
    receiver.answers.append((status, {"Retry-After": "0"}, b""))

    with closing(remote_write(receiver, stopped)) as sender:
        sender._client = sender._connected()
        sender._client._chance = lambda: -1.0
        sender.send(shop(1.0), NOW)

    first, second = bodies(receiver)
    assert first == second


def test_a_receiver_that_asks_for_long_patience_is_left_alone(receiver: Hook, stopped: threading.Event) -> None:
    """What it asks for is not slept through: the next push is the next try."""
    receiver.answers.append((429, {"Retry-After": "3600"}, b""))

    with closing(remote_write(receiver, stopped)) as sender, pytest.raises(RetryableError):
        sender.send(shop(1.0), NOW)

    assert len(receiver.posted) == 1


def test_who_is_replaced_in_the_middle_sends_no_more(receiver: Hook, stopped: threading.Event) -> None:
    """A process that stood still between two requests does not send the second one."""
    many = shop(1.0, *(f"service-{n}" for n in range(4_500)))
    for sender in (otlp(receiver, stopped), remote_write(receiver, stopped)):
        may = iter((True, True, False)).__next__
        receiver.posted.clear()

        with closing(sender):
            sender.send(many, NOW, may)

        assert len(receiver.posted) == 2


def test_credentials_are_those_of_now(receiver: Hook, stopped: threading.Event, tmp_path: Path) -> None:
    """A token that is replaced in its file is used from the next push on; headers are given along."""
    (tmp_path / "token").write_text("first\n", encoding="utf-8")
    told = {"token": f"file:{tmp_path}/token", "headers": {"X-Scope-OrgID": "platform"}}

    with closing(remote_write(receiver, stopped, **told)) as sender:
        sender.send(shop(1.0), NOW)
        (tmp_path / "token").write_text("second\n", encoding="utf-8")
        sender.send(shop(1.0), NOW)

    assert [p.headers["authorization"] for p in receiver.posted] == ["Bearer first", "Bearer second"]
    assert {p.headers["x-scope-orgid"] for p in receiver.posted} == {"platform"}


def test_a_user_is_told_with_its_password(receiver: Hook, stopped: threading.Event) -> None:
    """Basic authentication, where that is what is set."""
    with closing(remote_write(receiver, stopped, username=USER, password=PASSWORD)) as sender:
        sender.send(shop(1.0), NOW)

    assert receiver.posted[0].headers["authorization"] == "Basic cGFjZWxpbmU6YS1wYXNzd29yZC1vZi10aGlzLXRlc3Q="


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": "5m"}, "expected 1s to 4m"),
        ({"labels": {"__name__": "x"}}, "no label name"),
        ({"labels": {"a-b": "x"}}, "no label name"),
        ({"headers": {"Content-Type": "x"}}, "no header to give"),
        ({"headers": {"a b": "x"}}, "no header to give"),
        ({"username": "me", "token": "t"}, "exclude each other"),
        ({"url": "http://me:pw@mimir"}, "user and password"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: Mapping[str, Any], said: str) -> None:
    """Each with what was expected."""
    with pytest.raises(ValueError, match=said):
        RemoteWriteSettings.model_validate({"url": "http://mimir/api/v1/push", **wrong})


# --- threads ---------------------------------------------------------------------------------------------


class _Noting:
    """A sender that notes what it is given, and does as it is told."""

    kind = "otlp"

    def __init__(self, every: timedelta = timedelta(minutes=1)) -> None:
        self.every = every
        self.sent: list[Exposition] = []
        self.told: list[Exception | None] = []
        self.went_on = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def send(self, exposition: Exposition, at: datetime, may: Callable[[], bool]) -> None:
        """Note it."""
        del at, may
        self.sent.append(exposition)
        self.went_on.release()
        self.may_go_on.wait(20)
        if self.told and (error := self.told.pop(0)) is not None:
            raise error

    def close(self) -> None:
        """Hold nothing."""

    def wait(self) -> None:
        """Until it was given one more."""
        assert self.went_on.acquire(timeout=20)


@pytest.fixture
def pushing() -> Iterator[Callable[..., Pushes]]:
    """Starts pushes to some senders."""
    begun: list[Pushes] = []

    def start(*senders: _Noting, **options: Any) -> Pushes:
        pushes = Pushes(senders, configure("info", "json"), lambda: NOW, threading.Event(), **options)
        begun.append(pushes)
        pushes.start()
        return pushes

    yield start
    for pushes in begun:
        pushes.close()


def settled(pushes: Pushes, **state: Any) -> None:
    """Wait until the only destination stands so."""
    done = threading.Event()
    for _ in range(2_000):
        (found,) = pushes.states
        if all(getattr(found, name) == value for name, value in state.items()):
            return
        done.wait(0.01)
    raise AssertionError(pushes.states)


def test_each_exposition_is_sent_and_the_newest_again(pushing: Callable[..., Pushes]) -> None:
    """Once when it is published; while nothing new is, at the interval."""
    sender = _Noting(timedelta(milliseconds=20))
    pushes = pushing(sender)

    pushes.publish(first := shop(1.0))
    sender.wait()
    pushes.publish(second := shop(2.0))
    while second not in sender.sent[:-1]:
        sender.wait()

    assert sender.sent[0] is first
    assert sender.sent[-1] is second


def test_what_is_superseded_while_a_receiver_is_slow_is_left_out(pushing: Callable[..., Pushes]) -> None:
    """The newest numbers go next; no queue grows behind a receiver that hangs, and publishing waits for nothing."""
    sender = _Noting()
    sender.may_go_on.clear()
    pushes = pushing(sender)

    pushes.publish(first := shop(1.0))
    sender.wait()
    pushes.publish(shop(2.0))
    pushes.publish(last := shop(3.0))
    sender.may_go_on.set()
    sender.wait()

    assert [id(one) for one in sender.sent] == [id(first), id(last)]


def test_behind_receivers_that_hang_nothing_grows(receiver: Hook, stopped: threading.Event) -> None:
    """Both ways ask once and wait; of all that is published meanwhile the newest is kept, beside what is on its way."""
    receiver.hanging.clear()
    senders = otlp(receiver, stopped), remote_write(receiver, stopped)
    pushes, kept = Pushes(senders, configure("info", "json"), lambda: NOW, stopped), []
    pushes.start()
    try:
        for value in range(50):
            published = shop(float(value), *(f"service-{n}" for n in range(100)))
            kept.append(weakref.ref(published))
            pushes.publish(published)
            while len(receiver.posted) < len(senders):
                stopped.wait(0.01)
        asked, newest = len(receiver.posted), kept[-1]()
        del published
        gc.collect()

        assert newest is not None
        assert sum(one() is not None for one in kept) <= 2
        assert asked == len(senders)
    finally:
        stopped.set()
        receiver.hanging.set()
        pushes.close()


def test_one_receiver_that_hangs_holds_up_no_other(pushing: Callable[..., Pushes]) -> None:
    """Each destination has its own thread."""
    hanging, other = _Noting(), _Noting()
    hanging.may_go_on.clear()
    pushes = pushing(hanging, other)

    pushes.publish(shop(1.0))
    hanging.wait()
    other.wait()
    pushes.publish(shop(2.0))
    other.wait()

    assert len(hanging.sent) == 1
    hanging.may_go_on.set()


def test_failures_are_counted_and_said_once(pushing: Callable[..., Pushes], capfd: pytest.CaptureFixture[str]) -> None:
    """The log has one line for a failure that lasts, and one when it is over; a defect ends nothing."""
    sender = _Noting()
    sender.told = [RetryableError("no answer"), RetryableError("no answer"), ZeroDivisionError("hunter2"), None]
    pushes = pushing(sender)

    for failures in (1, 2, 3):
        pushes.publish(shop(1.0))
        settled(pushes, failures=failures, succeeded=False, last_success_at=None)
    pushes.publish(shop(1.0))
    settled(pushes, failures=3, succeeded=True, last_success_at=NOW)
    pushes.close()

    said = capfd.readouterr().err
    assert said.count("no answer") == 1
    assert said.count("ZeroDivisionError") == 1
    assert said.count("metrics are sent again") == 1
    assert "hunter2" not in said


def test_who_may_not_tell_numbers_sends_none(pushing: Callable[..., Pushes]) -> None:
    """Of several replicas only one sends; it is asked before each push."""
    sender, allowed = _Noting(timedelta(milliseconds=10)), [False]
    asked = threading.Semaphore(0)

    def may() -> bool:
        asked.release()
        return allowed[0]

    pushes = pushing(sender, allowed=may)
    pushes.publish(shop(1.0))
    for _ in range(3):
        assert asked.acquire(timeout=20)
    assert not sender.sent
    allowed[0] = True
    sender.wait()

    assert sender.sent


def test_the_service_tells_how_its_pushes_fare(
    settings_file: Path, clock: Callable[[], datetime], receiver: Hook
) -> None:
    """A refresh sends what it published, and the next one publishes that it arrived, or failed."""
    told = f"telemetry:\n  otlp_metrics: {{url: {receiver.url}}}\n  remote_write: {{url: {receiver.url}/push}}\n"
    settings_file.write_text(settings_file.read_text(encoding="utf-8") + told, encoding="utf-8")
    receiver.answers += [(404, {}, b"")] * 2

    with closing(build(configuration(settings_file, {}, settings_file.parent), clock, {})) as running:
        service = running.service
        service.refresh()
        assert not receiver.posted, "nothing is sent before it is told to"
        service.pushes.start()
        for _ in range(2_000):
            if all(state.failures for state in service.pushes.states):
                break
            threading.Event().wait(0.01)
        text = service.refresh().exposition.text.decode()

    for kind in ("otlp", "remote_write"):
        assert f'platform_telemetry_push_failures_total{{kind="{kind}"}} 1.0' in text
        assert f'platform_telemetry_last_push_success{{kind="{kind}"}} 0.0' in text
    assert "platform_telemetry_last_push_timestamp_seconds" not in text


def test_a_push_gives_up_when_the_service_ends(receiver: Hook, stopped: threading.Event) -> None:
    """It does not wait for its next try."""
    receiver.answers.append((503, {"Retry-After": "20"}, b""))
    threading.Timer(0.05, stopped.set).start()

    with closing(remote_write(receiver, stopped)) as sender, pytest.raises(PacelineError, match="the service ends"):
        sender.send(shop(1.0), NOW)
