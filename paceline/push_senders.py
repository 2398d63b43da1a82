"""Carries metrics to a receiver: over OTLP, and by Prometheus remote write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from collector.errors import PacelineError, SourceError
from collector.http import ApiClient, Limits
from collector.reach import Reach
from collector.secrets import reveal
from collector.store import to_micros
from paceline.push_settings import Destination, OtlpSettings, RemoteWriteSettings
from paceline.pushing import Sender
from paceline.remote_write import HEADERS, Writer
from paceline.settings import Settings
from paceline.telemetry import METRICS_HEADERS, metrics_refused, metrics_requests
from slo_engine.exposition import Exposition
from slo_engine.readings import families

_BAD_REQUEST = 400
_LONGEST_REASON = 160
_LARGEST_ANSWER = 1 << 20
_PATIENCE_SECONDS = 30.0
_ATTEMPTS = 3


def senders(
    settings: Settings,
    base_dir: Path,
    began: Callable[[], datetime],
    stopped: threading.Event,
) -> Iterator[Sender]:
    """The senders of what is configured."""
    told, reach = settings.telemetry, settings.network.reach
    if told.otlp_metrics is not None:
        yield OtlpSender(told.otlp_metrics, base_dir, stopped, began, reach)
    if told.remote_write is not None:
        yield RemoteWriteSender(told.remote_write, base_dir, stopped, reach)


def _always() -> bool:
    return True


class _HttpSender:
    """Posts one request after the other. Credentials are read anew for each push."""

    kind: str

    def __init__(
        self, settings: Destination, base_dir: Path, stopped: threading.Event, reach: Reach | None = None
    ) -> None:
        self.every = settings.every
        self._settings = settings
        self._ca_file = None if settings.ca_file is None else base_dir / settings.ca_file.expanduser()
        self._stopped, self._reach = stopped, reach
        self._client: ApiClient | None = None
        self._with: tuple[Any, ...] = ()

    def _credentials(self) -> tuple[dict[str, str], tuple[str, str] | None]:
        """Headers, and user and password."""
        return {name: reveal(value) for name, value in self._settings.headers.items()}, None

    def _connected(self) -> ApiClient:
        """A client with the credentials of now."""
        headers, basic = self._credentials()
        if self._client is None or self._with != (headers, basic):
            self.close()
            self._client = ApiClient(
                self._settings.url,
                headers=headers,
                basic=basic,
                ca_file=self._ca_file,
                limits=Limits(
                    seconds=self._settings.timeout.total_seconds(),
                    bytes=_LARGEST_ANSWER,
                    attempts=_ATTEMPTS,
                    patience_seconds=_PATIENCE_SECONDS,
                ),
                sleep=self._sleep,
                reach=self._reach,
            )
            self._with = (headers, basic)
        return self._client

    def _considerately(self, bodies: Iterable[bytes], may: Callable[[], bool]) -> Iterator[bytes]:
        """Requests as they are made, with pauses as long as that takes: half the time is left to others."""
        begun = time.thread_time()
        for body in bodies:
            taken = time.thread_time() - begun
            if not may():  # a process that stood still for long may find another one in its place
                return
            yield body
            self._sleep(taken)
            begun = time.thread_time()

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise PacelineError("the service ends")

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()


class OtlpSender(_HttpSender):
    """Sends over OTLP/HTTP. Counters are said to count from `began` on."""

    kind = "otlp"

    def __init__(
        self,
        settings: OtlpSettings,
        base_dir: Path,
        stopped: threading.Event,
        began: Callable[[], datetime],
        reach: Reach | None = None,
    ) -> None:
        super().__init__(settings, base_dir, stopped, reach)
        self._began = began
        self._began_at: int | None = None

    def send(self, exposition: Exposition, at: datetime, may: Callable[[], bool] = _always) -> None:
        """Send it all, while it may. Raises PacelineError for what was not taken."""
        client, refused, asked = self._connected(), 0, ""
        if self._began_at is None:
            self._began_at = _nanos(self._began())
        why = ""
        for body in self._considerately(metrics_requests(families(exposition), _nanos(at), self._began_at), may):
            answer = client.post_bytes("v1/metrics", body, headers=METRICS_HEADERS, repeatable=True)
            try:
                left_out, said = metrics_refused(answer.body)
            except ValueError as error:
                raise SourceError(f"{answer.asked}: {error}; is this the address of a receiver?") from error
            refused, why, asked = refused + left_out, why or said, answer.asked
        if refused:
            raise SourceError(f"{asked}: {refused} series were not taken: {_plain(why.encode())}")


class RemoteWriteSender(_HttpSender):
    """Sends by Prometheus remote write, in the order of time."""

    kind = "remote_write"

    def __init__(
        self, settings: RemoteWriteSettings, base_dir: Path, stopped: threading.Event, reach: Reach | None = None
    ) -> None:
        super().__init__(settings, base_dir, stopped, reach)
        self._own = settings
        self._writer = Writer(settings.labels)
        self._last = 0

    def _credentials(self) -> tuple[dict[str, str], tuple[str, str] | None]:
        headers, _ = super()._credentials()
        if token := reveal(self._own.token):
            headers["Authorization"] = f"Bearer {token}"
        return headers, (self._own.username, reveal(self._own.password)) if self._own.username else None

    def send(self, exposition: Exposition, at: datetime, may: Callable[[], bool] = _always) -> None:
        """Send it all, while it may. What is refused for good is not sent again. Raises PacelineError."""
        # Two samples of one series must not have the same time, whatever the clock does.
        self._last = max(self._last + 1, int(at.timestamp() * 1_000))
        client, refused = self._connected(), list[str]()
        for body in self._considerately(self._writer.requests(families(exposition), self._last), may):
            answer = client.post_bytes("", body, headers=HEADERS, repeatable=True, understood=(_BAD_REQUEST,))
            if answer.status == _BAD_REQUEST:
                refused.append(f"{answer.asked}: answered {_BAD_REQUEST}: {_plain(answer.body)}")
        if refused:
            raise SourceError(refused[0], status=_BAD_REQUEST)


def _nanos(at: datetime) -> int:
    return to_micros(at) * 1_000


def _plain(said: bytes) -> str:
    """What a receiver said as a short line without anything that is not printed."""
    words = ("".join(filter(str.isprintable, word)) for word in said.decode("utf-8", "replace").split())
    return " ".join(filter(None, words))[:_LONGEST_REASON] or "it does not say why"
