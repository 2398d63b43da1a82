"""Asking as a GitHub App: a signed statement gets a token, which is renewed before it ends."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from providers.github import configured, serve, small_world
from replay import Provider, Reply, Request

from collector.errors import AuthError, ConfigError
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.systems.github.api import App

pytest.importorskip("cryptography", reason="cryptography is not installed here")

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def private_key() -> Any:
    """An RSA key, small so that it is made quickly."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - skipped above where it is missing

    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@pytest.fixture(scope="module")
def pem(private_key: Any) -> str:
    """The key as GitHub hands it out."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - likewise

    written: bytes = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return written.decode()


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """The time."""
        return self.now


@dataclass
class Asking:
    """A source that asks as an App, and what stands for GitHub."""

    provider: Provider
    clock: Clock
    pull: Callable[[], list[Page]]

    @property
    def asked_for_tokens(self) -> list[Request]:
        """How often it asked for a token."""
        return [asked for asked in self.provider.asked if asked.path.endswith("access_tokens")]


@pytest.fixture
def asking(context: SourceContext, pem: str) -> Asking:
    """The sample's source, as App 17, installed as 4711; its token lasts an hour of the server's clock."""
    provider, clock = serve(small_world()), Clock()
    granted: list[str] = []

    def grant(_: Request) -> Reply:
        granted.append(f"ghs_{len(granted)}")
        until = (clock.now + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        return Reply({"token": granted[-1], "expires_at": until, "permissions": {}}, status=201)

    provider.route("app/installations/4711/access_tokens", "POST")(grant)
    settings = {"token": "", "app_id": "17", "installation_id": "4711", "private_key": pem}
    wire = Wire(adapter=provider, sleep=lambda _: None)
    source = configured(**settings).build(replace(context, clock=clock, wire=wire))
    return Asking(provider, clock, lambda: list(source.pull(None)))


def part(text: str) -> Any:
    """A part of a JSON Web Token."""
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_signed_statement_gets_the_token_that_all_else_is_asked_with(asking: Asking) -> None:
    """One token serves a run, by REST and by GraphQL."""
    asking.pull()

    first, *others = asking.provider.asked
    assert asking.asked_for_tokens == [first]
    assert {asked.headers["authorization"] for asked in others} == {"Bearer ghs_0"}
    assert {asked.method for asked in others} == {"GET", "POST"}


def test_the_statement_says_who_asks_and_is_signed(asking: Asking, private_key: Any) -> None:
    """It is made out a minute back, because clocks differ, and for less than the ten minutes that are allowed."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - skipped above where it is missing
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - likewise

    asking.pull()
    header, said, signature = asking.provider.asked[0].headers["authorization"].removeprefix("Bearer ").split(".")

    start = int(NOW.timestamp())
    assert part(header) == {"alg": "RS256", "typ": "JWT"}
    assert part(said) == {"iss": "17", "iat": start - 60, "exp": start + 540}
    private_key.public_key().verify(
        urlsafe_b64decode(signature + "=="), f"{header}.{said}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_a_token_is_renewed_before_it_ends(asking: Asking) -> None:
    """A first read may take longer than a token lasts."""
    asking.pull()
    asking.clock.now = NOW + timedelta(minutes=50)
    asking.pull()
    before = len(asking.asked_for_tokens)
    asking.clock.now = NOW + timedelta(minutes=55)

    asking.pull()

    assert (before, len(asking.asked_for_tokens)) == (1, 2)
    assert asking.provider.asked[-1].headers["authorization"] == "Bearer ghs_1"


def test_an_app_that_is_not_let_in_needs_a_person(asking: Asking) -> None:
    """A key that was withdrawn is an error of credentials."""
    asking.provider.faults = {1: Reply({"message": "A JSON web token could not be decoded"}, status=401)}

    with pytest.raises(AuthError, match="access_tokens: answered 401"):
        asking.pull()


def test_a_key_in_one_line_is_a_key(pem: str) -> None:
    """In an environment variable the lines of a key are often joined by a written-out line break."""
    joined = App("17", "4711", pem.replace("\n", "\\n"))

    assert joined.statement(NOW) == App("17", "4711", pem).statement(NOW)


@pytest.mark.parametrize("key", ["", "no key", "-----BEGIN RSA PRIVATE KEY-----\nxx\n-----END RSA PRIVATE KEY-----"])
def test_what_is_no_key_is_a_mistake_of_its_setting(key: str) -> None:
    """The setting is named, and the key is not shown."""
    with pytest.raises(ConfigError) as failed:
        App("17", "4711", key).statement(NOW)

    assert [(m.path, m.problem) for m in failed.value.mistakes] == [("private_key", "this is no private key of an App")]


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"app_id": "17"}, ["installation_id", "private_key", "token"]),
        ({"app_id": "17", "token": ""}, ["installation_id", "private_key"]),
        ({"app_id": "17", "installation_id": "1", "private_key": "k", "token": "t"}, ["token"]),
        ({"app_id": "17", "installation_id": "1", "private_key": "k", "token": ""}, []),
        ({"private_key": "file:/nowhere/app.pem", "app_id": "1", "installation_id": "1", "token": ""}, ["private_key"]),
    ],
)
def test_half_an_app_is_a_mistake(context: SourceContext, settings: dict[str, str], paths: list[str]) -> None:
    """An App is whole, and no token stands beside it: every mistake at once."""
    assert sorted(m.path for m in configured(**settings).check(context)) == paths


def test_nothing_of_the_key_is_shown(asking: Asking, context: SourceContext, pem: str) -> None:
    """Neither key nor token stands in what is printed."""
    source = configured(token="", app_id="17", installation_id="4711", private_key=pem).build(context)
    asking.pull()

    assert "PRIVATE KEY" not in repr(source)
    assert "ghs_" not in repr(asking.pull())
