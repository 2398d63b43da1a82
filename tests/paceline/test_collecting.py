"""`collect` and `doctor` as people run them, over real HTTP, for every source that asks an API."""

from __future__ import annotations

import contextlib
import importlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from replay import Sample, served
from ruamel.yaml import YAML
from written import plain

from collector.api import ApiConfig
from collector.registry import source_types
from paceline.cli import main

ASKING = sorted(key for key, kind in source_types().by_key.items() if issubclass(kind, ApiConfig))
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
Run = Callable[..., tuple[object, str, str]]


@pytest.fixture(params=ASKING)
def served_sample(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Sample, str]]:
    """A sample of each type whose API is a real server on loopback, and the server's address."""
    sample: Sample = importlib.import_module(f"providers.{request.param}").sample(tmp_path)
    assert sample.provider is not None
    with served(sample.provider) as address:
        yield sample, address


@pytest.fixture
def cli(served_sample: tuple[Sample, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Run:
    """Runs a command on settings that name the sample alone; its token stands in the environment."""
    sample, address = served_sample
    said = plain(sample.config, address)
    (tmp_path / "paceline.yaml").write_text("", encoding="utf-8")
    with (tmp_path / "paceline.yaml").open("w", encoding="utf-8") as out:
        YAML().dump({"sources": [said], "as_of": "2026-03-02T09:00:00Z", "logs": {"level": "debug"}}, out)
    monkeypatch.setenv("SAMPLE_TOKEN", TOKEN)

    def run(*arguments: str) -> tuple[object, str, str]:
        code: object = 0
        try:
            main([*arguments, "--config", str(tmp_path / "paceline.yaml")])
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()

    return run


def events(folder: Path) -> dict[str, int]:
    """How many events of each kind a store holds."""
    with contextlib.closing(sqlite3.connect(folder / ".paceline" / "paceline.db")) as connection:
        names = [
            n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'event\\_%' ESCAPE '\\'")
        ]
        tables = [n for n in names if n not in {"event_moved", "event_removed", "event_collection", "event_source"}]
        counts = {n: connection.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in tables}  # noqa: S608
    return {n.removeprefix("event_"): count for n, count in counts.items() if count}


def years(sample: Sample) -> int:
    """How far back to ask: of a Prometheus each minute is asked for, of others what there is."""
    return 1 if sample.config.model_dump()["type"] == "prometheus" else 16


def test_a_short_configuration_collects(cli: Run, tmp_path: Path) -> None:
    """A configuration of ten lines per provider collects; the token is in no output."""
    code, out, err = cli("collect", "--output", "json")
    (outcome,) = json.loads(out)

    assert (code, outcome["error"]) == (0, None), outcome
    assert sum(events(tmp_path).values()) > 0
    assert outcome["requests"] > 0
    assert TOKEN not in out + err


def test_the_doctor_reads_and_keeps_nothing(cli: Run, tmp_path: Path, served_sample: tuple[Sample, str]) -> None:
    """`paceline doctor` explains what it matched and what it did not, and writes no event."""
    sample, _ = served_sample
    code, out, err = cli("doctor", "--days", str(365 * min(years(sample), 10)))
    assert code == 0, out

    assert f"{sample.config.name} (" in out
    assert "it can be read" in out
    assert "events: " in out
    assert not (tmp_path / ".paceline" / "paceline.db").exists()
    assert TOKEN not in out + err


def test_what_was_recorded_is_replayed_without_asking(
    cli: Run, tmp_path: Path, served_sample: tuple[Sample, str]
) -> None:
    """`--record` writes what the server answered, `--replay` reads it again, asks nobody and keeps nothing."""
    provider = served_sample[0].provider
    assert provider is not None
    _, first, _ = cli("collect", "--record", str(tmp_path / "evidence"), "--output", "json")
    asked, stored = len(provider.asked), events(tmp_path)
    code, second, _ = cli("collect", "--replay", str(tmp_path / "evidence"), "--output", "json")

    assert code == 0, second
    assert json.loads(second)[0]["events"] == json.loads(first)[0]["events"]
    assert (len(provider.asked), events(tmp_path)) == (asked, stored)
    assert TOKEN not in (tmp_path / "evidence" / f"{served_sample[0].config.name}.jsonl").read_text(encoding="utf-8")


def test_since_reads_again_what_was_read_before(cli: Run, tmp_path: Path, served_sample: tuple[Sample, str]) -> None:
    """`collect --since` backfills any past range, whatever the cursor says, and doubles nothing."""
    _, first, _ = cli("collect", "--output", "json")
    before = events(tmp_path)
    code, again, _ = cli("collect", "--since", f"{2026 - years(served_sample[0])}-01-01", "--output", "json")
    after = events(tmp_path)

    assert code == 0
    assert json.loads(again)[0]["events"] >= json.loads(first)[0]["events"]
    assert all(after[kind] >= count for kind, count in before.items())


def test_a_server_that_is_down_is_said_and_is_exit_code_1(
    cli: Run, served_sample: tuple[Sample, str], tmp_path: Path
) -> None:
    """A source that fails shows the reason in the CLI; the exit code says that something failed."""
    provider = served_sample[0].provider
    assert provider is not None
    provider.routes.clear()
    code, out, _ = cli("collect", "--output", "json")

    assert code == 1
    assert json.loads(out)[0]["failure"] in {"refused", "contract"}
    assert "404" in json.loads(out)[0]["error"]
    assert events(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("collect", "--record", "a", "--replay", "."), "exclude each other"),
        (("collect", "--replay", "."), "has no recording of a source of these settings"),
        (("collect", "--since", "soon"), "does not match the formats"),
        (("doctor", "--source", "nobody"), "no source named nobody"),
    ],
)
def test_wrong_options_are_exit_code_2(
    arguments: tuple[str, ...], said: str, settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a person must write differently is one sentence."""
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--config", str(settings_file)])

    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
