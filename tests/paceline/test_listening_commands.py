"""What `serve` and `worker` refuse before they open anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from paceline.cli import cli

SHARED = "replicas: {collect: workers}\nstore: postgresql://paceline@127.0.0.1:1/paceline\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file without sources, in a folder without a people key."""
    monkeypatch.delenv("PACELINE_PEOPLE_KEY", raising=False)
    path = tmp_path / "paceline.yaml"
    path.write_text(SHARED, encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_who_shares_a_store_makes_no_people_key_of_its_own(command: str, settings: Path) -> None:
    """Each would know the same person under another hash: it says what to set, and leaves no key behind."""
    done = CliRunner().invoke(cli, [command, "--config", str(settings)])

    assert done.exit_code == 2
    assert "PACELINE_PEOPLE_KEY is not set" in done.output
    assert [path.name for path in settings.parent.rglob("*")] == [settings.name]


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_key_that_is_there_is_enough(command: str, settings: Path) -> None:
    """Also one in the data directory, which may have been copied there: it goes on to the database, which is away."""
    folder = settings.parent / ".paceline"
    folder.mkdir()
    (folder / "people.key").write_text("0123456789abcdef" * 4, encoding="utf-8")

    done = CliRunner().invoke(cli, [command, "--config", str(settings)])

    assert done.exit_code != 0
    assert "PACELINE_PEOPLE_KEY" not in f"{done.output}{done.exception}"


def test_a_worker_that_nobody_would_give_a_source_says_so(settings: Path) -> None:
    """Where the process that serves collects, a worker would wait for ever."""
    settings.write_text("{}\n", encoding="utf-8")

    done = CliRunner().invoke(cli, ["worker", "--config", str(settings)])

    assert (done.exit_code, "replicas.collect: workers" in done.output) == (2, True)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_open_door_is_refused_by_its_option_too(command: str, settings: Path) -> None:
    """The address that is given counts, not only that of the settings."""
    done = CliRunner().invoke(cli, [command, "--config", str(settings), "--host", "0.0.0.0"])  # noqa: S104 - refused

    assert done.exit_code != 0
    assert "nobody is asked who they are" in f"{done.output}{done.exception}"
