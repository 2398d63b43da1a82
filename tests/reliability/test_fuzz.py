"""The checks of `make soak ARGS=fuzz`, for seconds: what they find in a few inputs, and that they find a weakness."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import fuzzing
import pytest
import requests
from fuzzing import SECRET, SHARES, Spoiling, Targets, Weak, checked, fuzzed, targets
from names import PLANTED_LOGIN, PLANTED_MAIL
from replay import Provider, Reply, Request

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    """All that takes inputs."""
    with targets(tmp_path_factory.mktemp("fuzz"), ROOT) as found:
        yield found


@pytest.mark.parametrize("name", SHARES)
def test_spoilt_inputs_bring_nothing_about(everything: Targets, name: str) -> None:
    """A few hundred spoilt inputs crash nothing, hang nothing and make nobody known."""
    ((_, inputs, weak),) = fuzzed(everything, 400, seed=2, wanted=[name])

    assert weak == []
    assert inputs > 0


@pytest.mark.parametrize("told", [SECRET, PLANTED_LOGIN, PLANTED_MAIL.upper()])
def test_what_is_told_is_found(told: str) -> None:
    """A secret or a person in anything that is said is a finding, in whatever case."""
    with pytest.raises(Weak, match="is told"):
        checked(lambda _: f'{{"event": "a delivery cannot be used", "why": "{told}"}}', random.Random(1))  # noqa: S311


def test_a_secret_in_a_stored_text_is_found(everything: Targets) -> None:
    """What would be kept in the store is looked at as well."""
    with everything.served.database.transaction() as transaction:
        transaction.run_many("INSERT INTO quarantine VALUES (?, ?, ?)", [("pushed", "planted", f"no number: {SECRET}")])

    try:
        with pytest.raises(Weak, match="is told"):
            fuzzing.look(everything.served.shown())
    finally:
        with everything.served.database.transaction() as transaction:
            transaction.run_many("DELETE FROM quarantine WHERE location = ?", [("planted",)])


def test_a_reader_that_never_ends_is_found() -> None:
    """A client that asks for page after page of a list without end is stopped, and is a finding."""
    endless = Provider("https://api.example.com")

    @endless.route(".*")
    def page(_asked: Request) -> Reply:
        return Reply([])

    adapter = Spoiling(endless, random.Random(1))  # noqa: S311
    request = requests.Request("GET", "https://api.example.com/list").prepare()

    def read(_: random.Random) -> str:
        while True:
            adapter.send(request)

    with pytest.raises(Weak, match="asked more than"):
        checked(read, random.Random(1))  # noqa: S311


def test_a_hang_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One input that takes longer than it may is a finding."""
    monkeypatch.setattr(fuzzing, "MOST_SECONDS", 0.01)

    def slow(_: random.Random) -> str:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return ""

    with pytest.raises(Weak, match="took"):
        checked(slow, random.Random(1))  # noqa: S311


def test_an_error_of_the_server_is_found(everything: Targets) -> None:
    """An answer of 500 is a finding, and comes back with the seed and the number that brought it about."""

    def broken() -> None:
        raise ZeroDivisionError

    everything.served.client.app.add_api_route("/planted", broken)  # type: ignore[attr-defined] # a FastAPI
    answer = everything.served.client.get("/planted")

    with pytest.raises(Weak, match="500"):
        everything.served._said(answer)
