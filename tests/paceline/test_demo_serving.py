"""What surrounds a served example: its folder, the programs of it, and what each is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from ruamel.yaml import YAML

from paceline.demo import programs
from paceline.demo.addresses import pages_of
from paceline.demo.children import Children, Program, ProgramFailed, children, interruptible
from paceline.demo.folder import demo_config
from paceline.demo.inbox import in_a_line, inbox
from paceline.demo.kept import MARK, Mark, NotUsable, claimed, clear, mark_of
from paceline.demo.period import period_ending
from paceline.demo.programs import Places
from paceline.demo.stories import DNS_OUTAGE, SILENT_SOURCE, STORIES
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos

NOW = datetime(2026, 5, 20, 15, 30, tzinfo=UTC)
"""A Wednesday in 2026-W21."""
MARKED = Mark(version="1.0", weeks=26, seed=1, until=NOW, whole=True)
ANSWERING = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def where(tmp_path: Path) -> Places:
    """The places of an example, with the folder of its programs."""
    found = programs.places(tmp_path, 0)
    found.servers.mkdir()
    return found


# --- the folder ------------------------------------------------------------------------------------------


def test_a_mark_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What was made stands in the folder."""
    MARKED.write(tmp_path)
    assert mark_of(tmp_path) == MARKED


def test_an_empty_folder_has_no_mark(tmp_path: Path) -> None:
    """It can be used."""
    assert mark_of(tmp_path) is None


@pytest.mark.parametrize("text", ['{"made_by": "somebody else"}', "[]", "no JSON"])
def test_a_file_of_the_same_name_is_no_mark(tmp_path: Path, text: str) -> None:
    """A folder is ours only with a mark that says so."""
    (tmp_path / MARK).write_text(text, encoding="utf-8")
    with pytest.raises(NotUsable, match="holds something that is no example; name a new folder with --dir"):
        mark_of(tmp_path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"until": NOW - timedelta(hours=15)}, True),
        ({"until": NOW - timedelta(hours=16)}, False),
        ({"whole": False}, False),
        ({"version": "0.9"}, False),
        ({"weeks": 13}, False),
        ({"seed": 2}, False),
    ],
)
def test_an_example_serves_for_the_day_it_was_made(changed: dict[str, object], *, expected: bool) -> None:
    """One of another day, version, length or seed does not, nor one that was not finished."""
    assert msgspec.structs.replace(MARKED, **changed).serves_as(MARKED) is expected


def test_clearing_leaves_what_was_not_made(tmp_path: Path) -> None:
    """What somebody laid beside it stays; a link is removed, not what it leads to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "example"
    (folder / ".paceline").mkdir(parents=True)
    (folder / "slos").symlink_to(outside)
    (folder / "notes.txt").touch()
    MARKED.write(folder)
    clear(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert (outside / "kept").exists()


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    """Whoever comes second is told, and may have it afterwards."""
    with claimed(tmp_path), pytest.raises(NotUsable, match="is being served already"), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


# --- the command -----------------------------------------------------------------------------------------


def test_serving_leaves_a_strange_folder_alone(run: Run, tmp_path: Path) -> None:
    """A folder without the mark is refused, and nothing is written there."""
    (tmp_path / "mine").touch()
    code, out, errors = run("demo", "--serve", "--dir", str(tmp_path), config=False)
    assert (code, out, [path.name for path in tmp_path.iterdir() if path.name == MARK]) == (2, "", [])
    assert "holds something that is no example; name a new folder with --dir" in errors


def test_a_port_that_is_taken_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    """Before anything is made, the sentence says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = run("demo", "--serve", "--dir", str(tmp_path / "new"), "--port", str(port), config=False)
    assert (code, (tmp_path / "new").exists()) == (2, False)
    assert f"port {port} is taken; choose another with --port, or 0 for a free one" in errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--port", "0"), "--port, --without-servers and --past are for --serve"),
        (("--past",), "--port, --without-servers and --past are for --serve"),
        (("--serve", "--ending", "2026-W14"), "--ending: what is served ends now"),
        (("--serve", "--past", "--without-servers"), "--past is for Prometheus; leave --without-servers out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    """The sentence says which, and nothing is made."""
    code, _, errors = run("demo", "--dir", str(tmp_path / "new"), *arguments, config=False)
    assert (code, (tmp_path / "new").exists()) == (2, False)
    assert expected in errors


# --- stories ---------------------------------------------------------------------------------------------


def test_a_story_has_addresses() -> None:
    """Its SLO, the events behind its numbers, and its week."""
    assert pages_of(DNS_OUTAGE, period_ending("now", 26, NOW)) == [
        "/slos/dns-is-up",
        "/explain/uptime?service=dns&week=2026-W19",
        "/explain/incident_time_to_restore?service=dns&week=2026-W19",
        "/weekly/2026-W19",
    ]


def test_a_story_that_goes_on_is_shown_in_the_last_finished_week() -> None:
    """The present week has no summary yet."""
    assert pages_of(SILENT_SOURCE, period_ending("now", 26, NOW))[-1] == "/weekly/2026-W20"


def test_the_slos_of_stories_are_those_of_the_example() -> None:
    """Each that a story names stands in the files."""
    there = {slo.name for path in (demo_config() / "slos").glob("*.yaml") for slo in load_slos(path, indicators())}
    assert {name for story in STORIES for name in story.slos} <= there


# --- programs --------------------------------------------------------------------------------------------


def program(folder: Path, *command: str, ready: str = "http://127.0.0.1:9/ready") -> Program:
    """A program whose log lies in a folder; nobody answers on the port of `ready` unless told."""
    return Program(
        name="Trial", command=command, folder=folder, log=folder / "trial.log", ready=ready, environment=os.environ
    )


def shell(folder: Path, script: str) -> Program:
    """A shell script as a program."""
    return program(folder, "sh", "-c", script)


@pytest.fixture
def running() -> Iterator[Children]:
    """Programs that are ended after the test, and are not waited for long."""
    found = Children(grace_seconds=0.5, patience_seconds=0.5)
    yield found
    found.close()


def gone(pid_file: Path) -> bool:
    """Whether the process whose id stands in a file is soon no more, or only waits to be buried."""
    stat = Path(f"/proc/{pid_file.read_text(encoding='utf-8').strip()}/stat")
    until = time.monotonic() + 5
    with contextlib.suppress(FileNotFoundError):
        while stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z":
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
    return True


def test_a_program_is_waited_for_until_it_answers(tmp_path: Path, where: Places) -> None:
    """It has been started when its address says so, and is ended with the rest."""
    ready = f"{programs.url(where.paceline)}/ready"
    answering = program(tmp_path, sys.executable, "-c", ANSWERING, str(where.paceline), ready=ready)
    with children() as found:
        found.start(answering)
        found.asked.set()
        found.watch()
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", where.paceline)):
        pass


def test_a_program_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path, running: Children) -> None:
    """The failure says its code, its log and what it said."""
    with pytest.raises(ProgramFailed) as failed:
        running.start(shell(tmp_path, "echo it is broken >&2; exit 3"))
    assert str(failed.value) == f"Trial ended with code 3; its log, {tmp_path}/trial.log, ends with\n  it is broken"


def test_a_program_that_never_answers_is_named(tmp_path: Path, running: Children) -> None:
    """Patience has an end."""
    with pytest.raises(ProgramFailed, match=r"Trial does not answer at http://127\.0\.0\.1:9/ready; its log"):
        running.start(shell(tmp_path, "echo I am here; exec sleep 60"))


def test_a_program_that_is_not_there_is_named(tmp_path: Path, running: Children) -> None:
    """The reason is the system's."""
    with pytest.raises(ProgramFailed, match="Trial cannot be started: No such file or directory"):
        running.start(program(tmp_path, str(tmp_path / "nothing")))


def test_what_a_program_started_ends_with_it(tmp_path: Path, running: Children) -> None:
    """Also what the program leaves behind when it ends."""
    with pytest.raises(ProgramFailed):
        running.start(shell(tmp_path, "sleep 60 & echo $! > left; exit 1"))
    running.close()
    assert gone(tmp_path / "left")


def test_a_program_that_does_not_listen_is_ended_by_force(tmp_path: Path, running: Children) -> None:
    """After the grace nobody asks any more."""
    with pytest.raises(ProgramFailed):
        running.start(shell(tmp_path, "trap '' TERM; echo $$ > own; while :; do sleep 0.1; done"))
    running.close()
    assert gone(tmp_path / "own")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_ask_for_the_end(number: signal.Signals) -> None:
    """Whoever watches goes on to the end, and the usual handlers are back afterwards."""
    before = signal.getsignal(number)
    with children() as found:
        signal.raise_signal(number)
        found.watch()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_interrupt_the_making(number: signal.Signals) -> None:
    """As Ctrl-C does."""
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)


# --- Grafana ---------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A Grafana as an archive unpacks it; the path of its program."""
    (tmp_path / "grafana-11" / "bin").mkdir(parents=True)
    (tmp_path / "grafana-11" / "conf").mkdir()
    (tmp_path / "grafana-11" / "conf" / "defaults.ini").touch()
    found = tmp_path / "grafana-11" / "bin" / "grafana"
    found.touch()
    return found


def test_grafana_is_started_on_loopback_with_its_own_home(where: Places, package: Path) -> None:
    """It finds its own files, listens nowhere else, and keeps everything in the folder."""
    made = programs.grafana(where, str(package), programs.write_grafana(where, "An example."))
    assert made.command == [str(package), "server", f"--homepath={package.parents[1]}"]
    assert made.ready == f"http://127.0.0.1:{where.grafana}/api/health"
    assert made.environment["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert made.environment["GF_PATHS_DATA"].startswith(str(where.servers))


def test_the_older_program_of_grafana_has_no_commands(where: Places, package: Path) -> None:
    """`grafana-server` is the server itself."""
    older = package.rename(package.with_name("grafana-server"))
    made = programs.grafana(where, str(older), programs.write_grafana(where, ""))
    assert made.command == [str(older), f"--homepath={package.parents[1]}"]


def test_grafana_is_told_where_prometheus_is(where: Places) -> None:
    """The data source is this start's Prometheus, and the variables stand in a file too."""
    variables = programs.write_grafana(where, "")
    source = YAML(typ="safe").load(where.grafana_folder / "provisioning/datasources/paceline.yaml")
    assert source["datasources"][0]["url"] == programs.url(where.prometheus)
    written = (where.grafana_folder / "grafana.env").read_text(encoding="utf-8").splitlines()
    assert dict(line.split("=", 1) for line in written) == variables


def test_without_grafana_the_lines_say_how_to_see_the_boards(where: Places) -> None:
    """They name the folder that holds them."""
    assert str(where.grafana_folder / "grafana.env") in " ".join(programs.how_to_see_boards(where))


# --- the inbox -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "body", "expected"),
    [
        ("Bearer right", {"alerts": []}, 200),
        ("Bearer wrong", {"alerts": []}, 401),
        ("", {"alerts": []}, 401),
    ],
)
def test_the_inbox_takes_what_shows_the_secret(tmp_path: Path, authorization: str, body: object, expected: int) -> None:
    """Others are turned away, and nothing of theirs is kept."""
    said: list[object] = []
    with inbox(tmp_path / "kept.jsonl", "right", said.append) as address:
        connection = HTTPConnection(urlsplit(address).netloc, timeout=10)
        connection.request("POST", "/", json.dumps(body), {"Authorization": authorization})
        assert connection.getresponse().status == expected
        connection.close()
    assert (tmp_path / "kept.jsonl").exists() is (expected == 200)


def test_an_alert_is_said_on_one_line() -> None:
    """Nothing in it moves the cursor."""
    alert = {"status": "firing", "labels": {}, "annotations": {"summary": "burns\n\x1b[31mred"}}
    assert in_a_line(alert) == "Alert, firing: burns  [31mred"


def test_an_alert_without_a_summary_is_named() -> None:
    """By its name."""
    assert in_a_line({"status": "resolved", "labels": {"alertname": "DiskFull"}}) == "Alert, resolved: DiskFull"


# --- Paceline --------------------------------------------------------------------------------------------


def test_the_service_is_not_led_elsewhere_by_variables(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever settings the environment has are those of another Paceline."""
    monkeypatch.setenv("PACELINE_DATA_DIR", "/elsewhere")
    (where.folder / "paceline.yaml").write_text("timezone: UTC\n", encoding="utf-8")
    made = programs.paceline(where, "http://127.0.0.1:9/")
    assert [name for name in made.environment if name.startswith("PACELINE_")] == []


def test_the_port_may_be_chosen(tmp_path: Path) -> None:
    """The others are free ones, and all differ."""
    found = programs.places(tmp_path, 8123)
    assert found.paceline == 8123
    assert len({found.paceline, found.prometheus, found.alertmanager, found.grafana}) == 4
