"""The checks of `make soak ARGS=fuzz`, for seconds: what they find in a few inputs, and that they find a weakness."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import spoiling
from fuzzed_answers import Spoiling
from fuzzing import SHARES, Targets, fuzzed, left, targets
from names import PLANTED_LOGIN, PLANTED_MAIL
from posted import NUMBER, senders
from replay import Provider, Reply, Request
from spoiling import SECRET, TOKEN, Weak, checked, look

from collector.registry import source_types
from collector.source import SourceConfig

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    """All that takes inputs."""
    with targets(tmp_path_factory.mktemp("fuzz"), ROOT) as found:
        yield found


@pytest.mark.parametrize("name", SHARES)
def test_spoilt_inputs_bring_nothing_about(everything: Targets, name: str) -> None:
    """Some spoilt inputs crash nothing, hang nothing and make nobody known."""
    if name == "described" and everything.schemathesis is None:
        told = ".venv-schemathesis is not there; see scripts/servers.sh"
        pytest.fail(told) if os.environ.get("CI") == "true" else pytest.skip(told)
    _, inputs, weak = next(fuzzed(everything, 100, 2, wanted=[name]))

    assert weak == []
    assert inputs > 0


def test_nothing_is_left_of_what_was_planted(everything: Targets) -> None:
    """Afterwards no page, no file, no log and no table says a secret, and no person is where nobody may be."""
    assert left(everything) == []


def test_every_system_that_delivers_is_tried() -> None:
    """A source that takes deliveries is among those whose deliveries are spoilt."""
    takes = {n for n, c in source_types().by_key.items() if c.receiver is not SourceConfig.receiver}

    assert takes == set(senders())


def test_what_is_spoilt_is_taken_as_it_is(everything: Targets) -> None:
    """Each delivery that is not spoilt is taken and brings an event: what is refused anyway would prove nothing."""
    served, refused = everything.served, []
    for name, sender in served.senders.items():
        for number, (headers, body) in enumerate(sender.posts):
            own = f"whole-{name}-{number}"
            raw = json.dumps(body).replace(NUMBER, own).encode()
            named = {key: value.replace(NUMBER, own) for key, value in headers.items()}
            answer = served.client.post(
                f"/webhooks/from-{name}", content=raw, headers={**named, **sender.proof(SECRET, raw)}
            )
            refused += [] if answer.json().get("events") else [f"{name} {number}: {answer.text}"]

    assert refused == []


@pytest.mark.parametrize("told", [SECRET, TOKEN, PLANTED_LOGIN, PLANTED_MAIL.upper()])
def test_what_is_told_is_found(told: str) -> None:
    """A secret, a token or a person in anything that is said is a finding, in whatever case."""
    with pytest.raises(Weak, match="is told"):
        checked(lambda: f'{{"event": "a delivery cannot be used", "why": "{told}"}}')


def test_a_secret_in_the_log_is_found(everything: Targets) -> None:
    """What the log got is looked at after each input, whoever wrote it."""
    everything.served.logged()
    everything.served.log.warning("a delivery cannot be used", why=f"nobody knows {SECRET}")

    with pytest.raises(Weak, match="is told"):
        look(everything.served.logged())


def test_a_secret_in_a_stored_text_is_found(everything: Targets) -> None:
    """What would be kept in the store is looked at as well."""
    with everything.served.database.transaction() as transaction:
        transaction.run_many("INSERT INTO quarantine VALUES (?, ?, ?)", [("pushed", "planted", f"no number: {SECRET}")])

    try:
        with pytest.raises(Weak, match="is told"):
            look(everything.served.shown())
    finally:
        with everything.served.database.transaction() as transaction:
            transaction.run_many("DELETE FROM quarantine WHERE location = ?", [("planted",)])


def test_a_secret_in_a_file_is_found(everything: Targets) -> None:
    """What is left in a file, which nobody may have looked at yet, fails the run at its end."""
    planted = everything.served.folder / "left.txt"
    planted.write_text(f"nobody reads this: {SECRET}\n", encoding="utf-8")

    try:
        assert [said for said in left(everything) if "files in the end" in said and "is told" in said] != []
    finally:
        planted.unlink()


def test_a_reader_that_never_ends_is_found() -> None:
    """A client that asks for page after page of a list without end is stopped, and is a finding."""
    endless = Provider("https://api.example.com")

    @endless.route(".*")
    def page(_asked: Request) -> Reply:
        return Reply([])

    adapter = Spoiling(endless, random.Random(1))  # noqa: S311
    request = requests.Request("GET", "https://api.example.com/list").prepare()

    def read() -> str:
        while True:
            adapter.send(request)

    with pytest.raises(Weak, match="asked more than"):
        checked(read)


def test_a_hang_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One input that takes longer than it may is a finding."""
    monkeypatch.setattr(spoiling, "MOST_SECONDS", 0.01)

    def slow() -> str:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return ""

    with pytest.raises(Weak, match="took"):
        checked(slow)


def test_an_error_of_the_server_is_found(everything: Targets) -> None:
    """An answer of 500 is a finding, and comes back with the seed and the number that brought it about."""

    def broken() -> None:
        raise ZeroDivisionError

    everything.served.client.app.add_api_route("/healthz/planted", broken)  # type: ignore[attr-defined] # a FastAPI

    with pytest.raises(Weak, match="500"):
        everything.served._asked("GET", "/healthz/planted")
