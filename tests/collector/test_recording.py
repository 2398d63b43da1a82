"""Recordings: what they keep, what they never hold, and that they answer as the server did."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Sample

from collector.api import ApiConfig
from collector.errors import SourceError
from collector.http import ApiClient, Wire
from collector.people import People
from collector.recording import Player, Recorder, recordings
from collector.registry import source_types
from collector.source import SourceContext

BASE = "https://api.example.com/v1"
PEOPLE = People(b"k" * 32)
TOKEN = "ghp_" + "a" * 36
ASKING = sorted(key for key, kind in source_types().by_key.items() if issubclass(kind, ApiConfig))

ISSUE = {
    "id": 7,
    "title": f"{PLANTED_NAME} breaks the build, see #12",
    "body": "a secret plan",
    "state": "open",
    "created_at": "2026-01-01T00:00:00Z",
    "html_url": f"https://forge.example.com/{PLANTED_LOGIN}/shop/issues/7",
    "user": {"login": PLANTED_LOGIN, "name": PLANTED_NAME, "email": PLANTED_MAIL, "avatar_url": "https://x/7.png"},
    "assignee": {"login": "renovate[bot]"},
    "environment": {"name": "production"},
    "api_token": TOKEN,
    "note_id": f"see {PLANTED_MAIL} and {TOKEN}",
}


def recorded(folder: Path, *replies: Reply) -> tuple[Path, str]:
    """The recording of a client that got some answers, and its text."""
    provider, waiting = Provider(BASE, with_etags=False), list(replies)
    provider.route("issues")(lambda _: waiting.pop(0))
    provider.route("search", "POST")(lambda asked: Reply({"found": asked.json()["query"]}))
    path = folder / "forge.jsonl"
    recorder = Recorder(path, PEOPLE)
    client = ApiClient(BASE, adapter=provider, tape=recorder, headers={"Authorization": TOKEN})
    for _ in replies:
        try:
            client.get("issues", {"page": "1", "a": "b"})
        except SourceError:
            continue
    client.post("search", {"query": "q"}, repeatable=True)
    recorder.close()
    return path, path.read_text(encoding="utf-8")


def test_a_recording_holds_no_person_no_text_and_no_secret(tmp_path: Path) -> None:
    """Names, logins, addresses, titles, bodies, tokens and pictures are gone, in links too."""
    _, text = recorded(tmp_path, Reply([ISSUE], headers={"Set-Cookie": "session=1", "X-Request-Id": "9"}))

    for word in (PLANTED_NAME, PLANTED_LOGIN, PLANTED_MAIL, TOKEN, "secret plan", "7.png", "session", "x-request-id"):
        assert word.lower() not in text.lower()


def test_a_recording_keeps_what_numbers_rest_on(tmp_path: Path) -> None:
    """Ids, times, states, environments, references, automation's own names, and which people are the same."""
    _, text = recorded(tmp_path, Reply([ISSUE, ISSUE], headers={"Link": f'<{BASE}/issues?page=2>; rel="next"'}))
    line = json.loads(text.splitlines()[0])
    first, second = line["body"]

    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/issues?a=b&page=1", 200)
    assert "link" in line["headers"]
    assert (first["id"], first["state"], first["created_at"]) == (7, "open", "2026-01-01T00:00:00Z")
    assert first["title"] == "Text removed. #12"
    assert (first["environment"]["name"], first["assignee"]["login"]) == ("production", "renovate[bot]")
    assert first["user"]["login"].startswith("user-")
    assert first == second


def test_a_recording_answers_as_the_server_did(tmp_path: Path) -> None:
    """The same request again gets the next answer that was kept: errors, retries and bodies in their order."""
    path, _ = recorded(tmp_path, Reply({}, status=404), Reply([1]), Reply([2]))
    client = ApiClient(BASE, tape=Player(path), sleep=lambda _: None)

    with pytest.raises(SourceError, match="404"):
        client.get("issues", {"a": "b", "page": "1"})
    assert [client.get("issues", {"a": "b", "page": "1"}).json() for _ in range(3)] == [[1], [2], [2]]
    assert client.post("search", {"query": "q"}).json() == {"found": "q"}


def test_what_was_never_asked_is_no_answer(tmp_path: Path) -> None:
    """A replay never reaches the network: what the recording lacks is an error that says so."""
    path, _ = recorded(tmp_path, Reply([1]))

    with pytest.raises(SourceError, match="holds no such request"):
        ApiClient(BASE, tape=Player(path)).get("other")


@pytest.mark.parametrize("text", ["{", "[]", '{"method": "GET"}'])
def test_what_is_no_recording_is_said(tmp_path: Path, text: str) -> None:
    """A file that is none, or none at all."""
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")

    with pytest.raises(SourceError, match="no recording"):
        Player(tmp_path / "x.jsonl")
    with pytest.raises(SourceError, match="no recording"):
        Player(tmp_path / "missing.jsonl")


@pytest.mark.parametrize("key", ASKING)
def test_every_source_can_be_recorded_and_replayed(
    key: str, samples: dict[str, Callable[[Path], Sample]], tmp_path: Path, context: SourceContext, new_bench: Any
) -> None:
    """A recording of any source gives the events of the server, but for titles and people, and names nobody."""
    sample, path = samples[key](tmp_path), tmp_path / "sample.jsonl"
    assert sample.provider is not None
    server, replayed = new_bench("server"), new_bench("replayed")
    recorder = Recorder(path, context.people)
    recording = Wire(adapter=sample.provider, sleep=lambda _: None, tape=recorder)

    first = server.runner.run("sample", sample.config.build(replace(context, wire=recording)))
    recorder.close()
    played = Wire(sleep=lambda _: None, tape=Player(path))
    second = replayed.runner.run("sample", sample.config.build(replace(context, wire=played)))

    assert (first.error, second.error) == (None, None)
    assert {k: len(v) for k, v in replayed.dump().items()} == {k: len(v) for k, v in server.dump().items()}
    text = path.read_text(encoding="utf-8").lower()
    assert [word for word in ("wilhelmina", "quarterstaff") if word in text] == []
    assert list(recordings(tmp_path)) == ["sample"]
