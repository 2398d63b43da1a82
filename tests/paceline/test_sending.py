"""Real servers take what is written to them, and say the same as `/metrics`."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families

from collector.errors import SourceError
from paceline.push_senders import RemoteWriteSender
from paceline.push_settings import RemoteWriteSettings
from paceline.service import Service
from slo_engine import catalog
from slo_engine.exposition import Exposition, Sample, render
from slo_engine.past import Spool

pytestmark = pytest.mark.integration

Series = tuple[str, frozenset[tuple[str, str]]]
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A server that takes remote write and answers queries."""

    url: str
    precision: float = 0.0
    """By which share of it a value may differ: VictoriaMetrics keeps twelve digits."""

    def series(self, at: datetime, selector: str, least: int) -> dict[Series, float]:
        """The series that it shows at a time, once there are so many: what came just now may not yet be searched."""
        asked = urlencode({"query": selector, "time": f"{at.timestamp():.3f}"})
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with urlopen(f"{self.url}/api/v1/query?{asked}") as answer:  # noqa: S310 - our own server
                found = json.load(answer)["data"]["result"]
            if len(found) >= least or time.monotonic() > deadline:
                return {_identity(s["metric"]): float(s["value"][1]) for s in found}
            time.sleep(0.1)


def _identity(labels: dict[str, str]) -> Series:
    return labels["__name__"], frozenset((k, v) for k, v in labels.items() if k != "__name__" and v)


def scraped(exposition: Exposition) -> dict[Series, float]:
    """The series of a scrape. An empty label is none."""
    families = text_string_to_metric_families(exposition.text.decode())
    return {_identity({"__name__": s.name, **s.labels}): s.value for f in families for s in f.samples}


def _seconds(sample: Any) -> float:
    return float(sample.timestamp)


def parsed(text: str) -> list[Metric]:
    """The families of an OpenMetrics text, by its strict parser."""
    return list(strictly(text))  # type: ignore[no-untyped-call]


@contextmanager
def started(command: list[str], url: str, folder: Path) -> Iterator[None]:
    """A server that answers; it is stopped afterwards."""
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while True:
                try:
                    urlopen(url).close()  # noqa: S310 - our own server
                    break
                except OSError:
                    said = (folder / "log.txt").read_text()
                    assert process.poll() is None and time.monotonic() < deadline, said  # noqa: PT018 - one reason
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def prometheus(program: str, folder: Path) -> Iterator[Server]:
    """A Prometheus that scrapes nothing and takes remote write, over the data of a folder."""
    port = free_port()
    (folder / "prometheus.yml").write_text("{}")
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=9000d",
        "--web.enable-remote-write-receiver",
        "--log.level=error",
    ]
    url = f"http://127.0.0.1:{port}"
    with started(command, f"{url}/-/ready", folder):
        yield Server(url)


@pytest.fixture(scope="module", params=["prometheus", "victoria-metrics"])
def server(
    request: pytest.FixtureRequest, requires_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server once for all tests."""
    folder, program = tmp_path_factory.mktemp(request.param), requires_tool(request.param)
    if request.param == "prometheus":
        with prometheus(program, folder) as found:
            yield found
        return
    port = free_port()
    command = [
        program,
        f"-storageDataPath={folder}/data",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s",
        "-search.disableCache",
        "-retentionPeriod=100y",
        "-memory.allowedBytes=64MB",
        "-loggerLevel=ERROR",
    ]
    url = f"http://127.0.0.1:{port}"
    with started(command, f"{url}/health", folder):
        yield Server(url, precision=1e-11)


def writer(server: Server, **labels: str) -> RemoteWriteSender:
    """What writes to a server."""
    settings = RemoteWriteSettings.model_validate({"url": f"{server.url}/api/v1/write", "labels": labels})
    return RemoteWriteSender(settings, Path(), threading.Event())


def test_a_server_shows_what_a_scrape_says(server: Server, collected: Service) -> None:
    """Every series with its labels and its value, and the label that is added to all."""
    published, now = collected.refresh(), datetime.now(UTC)

    with closing(writer(server, cluster="eu")) as sender:
        sender.send(published.exposition, now)

    expected = {(n, labels | {("cluster", "eu")}): v for (n, labels), v in scraped(published.exposition).items()}
    assert server.series(now, '{__name__=~"platform_.+", cluster="eu"}', len(expected)) == pytest.approx(
        expected, rel=server.precision, abs=0
    )
    assert len(expected) == published.exposition.series


def test_a_series_that_is_no_more_is_gone_at_once(server: Server) -> None:
    """Without its end it would be shown for another five minutes."""
    now = datetime.now(UTC)
    with closing(writer(server, test="gone")) as sender:
        for seconds, services in enumerate((("shop", "till"), ("shop",))):
            samples = [(catalog.SERVICE_INFO, (name, "", "", ""), 1.0) for name in services]
            sender.send(render(samples), now + timedelta(seconds=seconds))

    shown = [
        {dict(labels)["service"] for _, labels in server.series(now + timedelta(seconds=s), '{test="gone"}', 2 - s)}
        for s in (0, 1)
    ]
    assert shown == [{"shop", "till"}, {"shop"}]


def test_samples_that_are_too_old_are_refused_with_the_reason(
    requires_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Prometheus takes no sample before the last one of a series; what it answers is told, and nothing is repeated."""
    now = datetime.now(UTC)
    exposition = render([(catalog.SERVICE_INFO, ("shop", "", "", ""), 1.0)])

    with prometheus(requires_tool("prometheus"), tmp_path) as server:
        with closing(writer(server)) as sender:
            sender.send(exposition, now)
        with closing(writer(server)) as late, pytest.raises(SourceError, match=r"answered 400: out of"):
            late.send(exposition, now - timedelta(minutes=30))


HISTORY = "promtool tsdb create-blocks-from openmetrics --max-block-duration=8784h"


@pytest.fixture
def past(collected: Service, run: Callable[..., tuple[object, str, str]], settings_file: Path, clock: Any) -> Path:
    """The file of the week before now, in steps of six hours."""
    del collected
    file = settings_file.parent / "past.om"
    settings_file.write_text(
        settings_file.read_text(encoding="utf-8") + f"as_of: {clock.at.isoformat()}\n", encoding="utf-8"
    )
    code, said, errors = run("history", "export", "--from", "2026-03-02", "--step", "6h", "-o", str(file))
    assert (code, errors) == (0, "A step of more than 5m leaves gaps: Prometheus shows a sample for 5 minutes.\n")
    assert "at 30 times, 2026-03-02 00:00 to 2026-03-09 06:00 UTC" in said
    return file


def test_a_past_is_what_would_have_been_published(past: Path, collected: Service, clock: Any) -> None:
    """It parses strictly; its last values are those of now, and earlier ones count only what had happened by then."""
    shown: dict[Series, dict[float, float]] = {}
    for family in parsed(past.read_text(encoding="utf-8")):
        for sample in family.samples:
            shown.setdefault(_identity({"__name__": sample.name, **sample.labels}), {})[_seconds(sample)] = sample.value
    now = {s: v for s, v in scraped(collected.refresh().exposition).items() if s in shown}

    assert {s: v[clock.at.timestamp()] for s, v in shown.items() if clock.at.timestamp() in v} == now
    deployments = [s for s in shown if s[0] == "platform_deployments_total" and ("outcome", "success") in s[1]]
    of_each = [[v for _, v in sorted(shown[s].items())] for s in deployments]
    assert of_each, "there are deployments"
    assert all(v[-1] == 2.0 and 1.0 in v for v in of_each)
    assert not [name for name, _ in shown if name.startswith("platform_collector_")]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--from", "2027-01-01"), "there is no step between"),
        (("--from", "2026-03-08", "--until", "2026-03-01"), "there is no step between"),
        (("--step", "500ms"), "expected"),
        (("--step", "often"), "expected"),
        (("--from", "yesterday"), "is no time"),
    ],
)
def test_a_past_that_is_none_leaves_no_file(
    run: Callable[..., tuple[object, str, str]], tmp_path: Path, asked: tuple[str, ...], said: str
) -> None:
    """It says what was expected, and neither a file nor a part of one is left."""
    folder = tmp_path / "out"
    folder.mkdir()

    code, _, errors = run("history", "export", *asked, "-o", str(folder / "past.om"))

    assert (code != 0, said in errors, list(folder.iterdir())) == (True, True, []), errors


def test_samples_are_sorted_the_same_with_little_memory() -> None:
    """Whatever fits into memory at once, the file is the same."""

    def written(at_once: int, most_files: int = 64) -> bytes:
        spool, out = Spool(tempfile.TemporaryFile, at_once=at_once, most_files=most_files), io.BytesIO()
        for hour in range(30):
            names = ["shop", 'a"\\\n\0b', *(f"service-{n}" for n in range(hour % 3))]
            samples: list[Sample] = [(catalog.SERVICE_INFO, (name, "", "", ""), 1.0) for name in names]
            samples += [(catalog.SLI_EVENTS, ("fast", "good"), float(hour))]
            spool.add(datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour), render(samples))
        spool.write(out)
        return out.getvalue()

    found = written(1_000_000)

    assert found == written(7) == written(7, most_files=2)
    families = {f.name: f for f in parsed(found.decode())}
    assert len(families["platform_sli_events"].samples) == 30
    assert len(families["platform_service_info"].samples) == 30 * 2 + 10 + 20


def spooled(times: int, most_files: int = 64) -> tuple[int, int, int]:
    """What sorting a hundred series at so many times took: the most bytes, the most files open; and the samples."""
    opened: list[IO[bytes]] = []
    most = 0

    def new_file() -> IO[bytes]:
        nonlocal most
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
        opened.append(file)
        most = max(most, sum(not one.closed for one in opened))
        return file

    spool = Spool(new_file, at_once=1_000, most_files=most_files)
    published = render([(catalog.SERVICE_INFO, (f"service-{n}", "", "", ""), 1.0) for n in range(100)])
    tracemalloc.start()
    try:
        for hour in range(times):
            spool.add(datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour), published)
        with tempfile.TemporaryFile() as out:
            spool.write(out)
        return tracemalloc.get_traced_memory()[1], most, spool.samples
    finally:
        tracemalloc.stop()


def test_a_longer_past_takes_no_more_memory() -> None:
    """Four times as many samples are sorted in the same memory, but for a buffer of each file."""
    (less, few, samples), (more, many, times_four) = spooled(40), spooled(160)

    assert (samples, times_four) == (4_000, 16_000)
    assert more - less < (many - few + 1) * 2 * io.DEFAULT_BUFFER_SIZE


def test_a_long_past_opens_few_files() -> None:
    """What was put away in many files is put together in between: a system lets a process open some hundreds."""
    _, most, samples = spooled(160, most_files=3)

    assert (most <= 9, samples) == (True, 16_000)


def test_a_prometheus_on_the_blocks_of_a_past_shows_it(
    past: Path, requires_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Promtool makes blocks of the file, and a Prometheus that starts on them gives each value at its time."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    command = [requires_tool(HISTORY.split(maxsplit=1)[0]), *HISTORY.split()[1:], "-q", str(past), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True)
    at = datetime(2026, 3, 5, 12, tzinfo=UTC)
    expected: dict[Series, float] = {}
    for family in parsed(past.read_text(encoding="utf-8")):
        for sample in family.samples:
            if _seconds(sample) == at.timestamp():
                expected[_identity({"__name__": sample.name, **sample.labels})] = sample.value

    with prometheus(requires_tool("prometheus"), folder) as server:
        assert server.series(at, '{__name__=~"platform_.+"}', len(expected)) == expected
    assert len(expected) > 100
