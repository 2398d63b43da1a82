"""What the service's tests share: a service over a small history, with a clock of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paceline.cli import main
from paceline.service import Service
from paceline.settings import ENVIRONMENT
from paceline.wiring import Running, build, configuration

START = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
"""A Monday; the week before it is 2026-W10."""
SLO = Path(__file__).parent / "good" / "slos" / "fast.yaml"


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests reaches the settings."""
    for variable in (*ENVIRONMENT, "PACELINE_CONFIG", "PACELINE_REPO", "PACELINE_PEOPLE_KEY"):
        monkeypatch.delenv(variable, raising=False)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at: datetime = START

    def __call__(self) -> datetime:
        """The time it shows."""
        return self.at

    def move(self, by: timedelta) -> None:
        """Move it on."""
        self.at += by


@pytest.fixture
def clock() -> Clock:
    """A clock that shows the Monday's morning."""
    return Clock()


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """Settings with a file of two deployments, one SLO and a weekly summary."""
    return _settings_in(tmp_path)


def _settings_in(folder: Path) -> Path:
    (folder / "events.jsonl").write_text(
        "".join(
            f'{{"kind": "deployment", "native_id": "{n}", "service": "shop", "environment": "production", '
            f'"finished_at": "2026-03-0{n}T10:00:00Z", "result": "success"}}\n'
            for n in (3, 4)
        ),
        encoding="utf-8",
    )
    (folder / "fast.yaml").write_text(SLO.read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "paceline.yaml"
    path.write_text(
        "sources:\n  - {type: files, name: events, path: events.jsonl}\n"
        "slos: [fast.yaml]\nreport: {directory: reports, hour: 7}\nlogs: {level: error}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def running(settings_file: Path, clock: Clock) -> Iterator[Running]:
    """A service that has collected nothing yet."""
    found = build(configuration(settings_file, {}, settings_file.parent), clock, {})
    yield found
    found.close()


@pytest.fixture
def service(running: Running) -> Service:
    """The service itself."""
    return running.service


@pytest.fixture
def collected(service: Service) -> Service:
    """The service after one run of its source and one evaluation."""
    return _collected(service)


@pytest.fixture(scope="module")
def collected_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Such a service for all tests of a file that change nothing; its clock stands."""
    path = _settings_in(tmp_path_factory.mktemp("once"))
    found = build(configuration(path, {}, path.parent), Clock(), {})
    yield _collected(found.service)
    found.close()


def _collected(service: Service) -> Service:
    outcome = service.collect(service.configuration.sources[0])
    assert outcome.error is None
    service.refresh()
    return service


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], settings_file: Path) -> Callable[..., tuple[object, str, str]]:
    """Runs a command on the settings of a small history: its exit code, output and errors."""

    def command(*arguments: str, config: bool = True) -> tuple[object, str, str]:
        code: object = 0
        try:
            main([*arguments, *(("--config", str(settings_file)) if config else ())])
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()

    return command
