"""What is wrong with settings of access together: a door that stands open, a sign-in that lets nobody in."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from collector.document import Document, DocumentPath
from collector.errors import ConfigError, Mistake
from collector.secrets import is_in_file
from paceline.access.settings import AccessSettings, TlsSettings


class Fault(NamedTuple):
    """A mistake, and under which key of the settings."""

    place: DocumentPath
    problem: str
    expected: str


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address that is listened on."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def open_door(host: str, access: AccessSettings) -> Fault | None:
    """Why an address must not be listened on: others reach it, and nobody is asked who they are."""
    if is_loopback(host) or access.guarded or access.anonymous is not None:
        return None
    return Fault(
        ("server", "host"),
        "everybody who reaches this address could look, since nobody is asked who they are",
        "127.0.0.1, or `access` with a sign-in (oidc), a proxy or tokens, or the choice `access.anonymous: viewer`",
    )


def refuse_open_door(host: str, access: AccessSettings, document: Document | None) -> None:
    """Raise ConfigError where an address must not be listened on; whatever serves calls this before it listens."""
    fault = open_door(host, access)
    if fault is not None:
        raise ConfigError(_mistake(document, fault))


def faults(access: AccessSettings, tls: TlsSettings, url: str) -> Iterator[Fault]:
    """What does not fit together, whatever is listened on."""
    yield from _oidc(access, url)
    yield from _roles(access)
    yield from _tokens(access)
    if (tls.certificate is None) != (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        yield Fault(("server", "tls"), f"the {missing} is missing", "both certificate and key, or neither")
    if tls.certificate is not None and urlsplit(url).scheme == "http":
        yield Fault(("server", "url"), "the service answers by TLS, this address does not", "https://…")


def _oidc(access: AccessSettings, url: str) -> Iterator[Fault]:
    oidc = access.oidc
    if not oidc.issuer:
        if oidc.client_id:
            yield Fault(("access", "oidc"), "the issuer is missing", "the address of the provider")
        return
    if not oidc.client_id:
        yield Fault(("access", "oidc"), "client_id is missing", "what the provider calls Paceline")
    if "openid" not in oidc.scopes:
        yield Fault(("access", "oidc", "scopes"), "without openid nobody is told apart", "openid among them")
    if not url:
        expected = "the address that people open, such as https://paceline.example: the provider sends them back there"
        yield Fault(("server", "url"), "a sign-in needs it", expected)
    elif urlsplit(url).scheme != "https" and not is_loopback(urlsplit(url).hostname or ""):
        yield Fault(("server", "url"), "cookies of a sign-in would cross the network in clear", "https://…")


def _roles(access: AccessSettings) -> Iterator[Fault]:
    if access.signs_in and not (access.roles.viewer or access.roles.operator):
        expected = 'groups, such as viewer: [platform], or viewer: ["*"] for everybody who signs in'
        yield Fault(("access", "roles"), "nobody who signs in may look", expected)


def _tokens(access: AccessSettings) -> Iterator[Fault]:
    times = Counter(token.name for token in access.tokens)
    for index, token in enumerate(access.tokens):
        if times[token.name] > 1:
            yield Fault(("access", "tokens", index, "name"), "two tokens have this name", "a name of its own for each")
        text = token.secret.get_secret_value()
        if not text and not is_in_file(text):
            yield Fault(("access", "tokens", index, "secret"), "it is empty", "at least 16 characters")


def _mistake(document: Document | None, fault: Fault) -> Mistake:
    if document is not None:
        return document.mistake(*fault)
    path = ".".join(map(str, fault.place))
    return Mistake(
        file="command line or environment", line=0, path=path, problem=fault.problem, expected=fault.expected
    )
