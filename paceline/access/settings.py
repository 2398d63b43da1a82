"""What the settings say about who may look: sign-in, a trusted proxy, tokens, roles and limits."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from collector.durations import Duration
from collector.name_rules import NameRules
from collector.secrets import IncomingSecret, Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_LONGEST_SESSION = timedelta(days=7)
_LEAST_SESSION = timedelta(minutes=5)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Scope(StrEnum):
    """What a token is for."""

    READ = "read"
    GATE = "gate"
    ANNOTATIONS = "annotations"
    METRICS = "metrics"
    OPERATE = "operate"


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("this is no network; expected an address or a network such as 10.0.0.0/8") from None
    if not network.prefixlen:
        raise ValueError("this is everybody, who could then say to be anybody; expected the proxy's own network")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError("this is no name of a header; expected one such as X-Forwarded-User")
    return text


def web_address(text: str) -> str:
    """An address of a server without a query, as people reach it. Raises ValueError for anything else."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1) and not parts.username
    except ValueError:
        usable = False
    if not usable or any(c in text for c in "?#\\") or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("this is no web address; expected https://host, without a query")
    return text.rstrip("/")


def _issuer(text: str) -> str:
    if text:
        web_address(text)
        parts = urlsplit(text)
        if parts.scheme != "https" and parts.hostname not in _LOCAL:
            raise ValueError("what a sign-in says could be changed on its way; expected https://")
    return text


def _own(text: str) -> str:
    return web_address(text) if text else text


def _session(value: timedelta) -> timedelta:
    if not _LEAST_SESSION <= value <= _LONGEST_SESSION:
        raise ValueError("expected between 5m and 7d")
    return value


OwnAddress = Annotated[str, AfterValidator(_own)]
"""The address under which people reach the service; empty where nobody told it."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsSettings(_Section):
    """The certificate with which the service answers."""

    certificate: Path | None = Field(
        default=None, description="PEM file of the certificate and what leads to its CA; read anew when it changes."
    )
    key: Path | None = Field(default=None, description="PEM file of its private key.")


class RoleSettings(_Section):
    """Who becomes what, by the groups of who signed in; `*` is everybody who did."""

    viewer: NameRules = Field(default_factory=list, description="Groups that may look: names, globs, `/expressions/`.")
    operator: NameRules = Field(
        default_factory=list, description="Groups that may also see what operating is about; see docs/security.md."
    )


class OidcSettings(_Section):
    """Sign-in by OpenID Connect."""

    issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        default="", description="Address of the provider; people sign in there. None unless given."
    )
    client_id: str = Field(default="", description="What the provider calls Paceline.")
    client_secret: Secret = Field(
        default=SecretStr(""), description="Its secret there, as ${NAME} or file:/path; empty for a public client."
    )
    scopes: list[str] = Field(
        default_factory=lambda: ["openid"], description="What is asked for; some providers tell groups by `groups`."
    )
    groups_claim: str = Field(default="groups", min_length=1, description="The claim that holds somebody's groups.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust for the provider, a PEM file.")


class ProxySettings(_Section):
    """A proxy in front that has asked people who they are."""

    networks: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=list,
        description="Where the proxy asks from; what others say in its headers counts for nothing.",
    )
    person_header: Annotated[str, AfterValidator(_header)] = Field(
        default="X-Forwarded-User", description="The header that says who asks; only a keyed hash of it is used."
    )
    groups_header: Annotated[str, AfterValidator(_header)] = Field(
        default="X-Forwarded-Groups", description="The header with their groups, separated by commas."
    )

    @property
    def parsed(self) -> tuple[Network, ...]:
        """The networks as such."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.networks)


class TokenSettings(_Section):
    """A token by which a program is let in, in the header `Authorization: Bearer …`."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9._-]*$", description="What it is called.")
    secret: IncomingSecret = Field(description="The token: give it as ${NAME}, or as file:/path, read when needed.")
    scopes: list[Scope] = Field(min_length=1, description="What it is for.")


class LimitSettings(_Section):
    """How much one client may ask. A client is an address; behind the proxy, the address that it tells."""

    requests_per_second: float = Field(
        default=100.0, gt=0, le=100_000, description="Requests for pages and the API, with five times as many at once."
    )
    webhooks_per_second: float = Field(
        default=2_000.0, gt=0, le=100_000, description="Deliveries to webhooks, with five times as many at once."
    )
    attempts_per_minute: float = Field(
        default=30.0, gt=0, le=6_000, description="Attempts to sign in, and wrong tokens, with as many at once."
    )


class AccessSettings(_Section):
    """Who may look. On loopback everybody may unless a sign-in, a proxy or tokens are set."""

    anonymous: Literal["nobody", "viewer", "operator"] | None = Field(
        default=None,
        description="What who did not say who they are may do; must be said to listen beyond loopback without a "
        "sign-in, a proxy or tokens.",
    )
    metrics: Literal["token", "open"] = Field(
        default="token", description="Who may scrape `/metrics`: who may look and tokens for it, or everybody."
    )
    session: Annotated[Duration, AfterValidator(_session)] = Field(
        default=timedelta(hours=8), description="How long a sign-in lasts, 5m to 7d."
    )
    session_key: IncomingSecret = Field(
        default=SecretStr(""),
        description="Seals cookies, as ${NAME} or file:/path; follows from the people key unless given.",
    )
    roles: RoleSettings = Field(default_factory=RoleSettings, description="Who becomes what.")
    oidc: OidcSettings = Field(default_factory=OidcSettings, description="Sign-in by OpenID Connect.")
    proxy: ProxySettings = Field(default_factory=ProxySettings, description="A proxy that asks who people are.")
    tokens: list[TokenSettings] = Field(
        default_factory=list, description="Tokens by which programs are let in; listed below."
    )
    limits: LimitSettings = Field(default_factory=LimitSettings, description="How much one client may ask.")

    @property
    def guarded(self) -> bool:
        """Whether somebody is asked who they are."""
        return bool(self.oidc.issuer or self.proxy.networks or self.tokens)

    @property
    def signs_in(self) -> bool:
        """Whether people can say who they are, here or at a proxy."""
        return bool(self.oidc.issuer or self.proxy.networks)
