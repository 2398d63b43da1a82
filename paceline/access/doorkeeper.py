"""Knows who asks: by a token, a session or what a trusted proxy says; else nobody, or whom the settings let in."""

from __future__ import annotations

import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from collector.errors import RetryableError
from collector.secrets import is_guessable, reveal
from paceline.access.caller import By, Caller, Role, role_of
from paceline.access.peers import Peers, header, headers
from paceline.access.sealed import Seal, derived, person_hash
from paceline.access.settings import AccessSettings
from paceline.access.tokens import Tokens
from paceline.logs import Log

SESSION = "session"
_MOST_ENDED = 10_000
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Doorkeeper:
    """Knows who asks. `key` is the people key, `url` the address under which people reach the service."""

    def __init__(
        self, settings: AccessSettings, url: str, key: bytes, *, clock: Callable[[], datetime], log: Log
    ) -> None:
        self.settings, self.url = settings, url
        self.peers = Peers(settings.proxy)
        self.seal = Seal(lambda: self._sealing(key), clock)
        self._hashing = derived(key, "access")
        self._tokens, self._log = Tokens(settings.tokens, log), log
        self._ended: OrderedDict[str, None] = OrderedDict()

    @property
    def is_secure(self) -> bool:
        """Whether people reach the service by https."""
        return urlsplit(self.url).scheme == "https"

    @property
    def is_for_this_machine(self) -> bool:
        """Whether everybody is let in because only this machine reaches the service."""
        return self.settings.anonymous is None and not self.settings.guarded

    def caller(self, scope: Mapping[str, Any]) -> Caller:
        """Who asks a request. Raises AmbiguousHeaderError."""
        if self.settings.tokens and (known := self._tokens.caller(header(scope, "authorization"))) is not None:
            return known
        return self._session(scope) or self._proxied(scope) or self._anonymous()

    def shows_wrong_token(self, scope: Mapping[str, Any], caller: Caller) -> bool:
        """Whether somebody who is not known any better tried a token."""
        tried = bool(self.settings.tokens) and header(scope, "authorization")[:7].lower() == "bearer "
        return tried and caller.by is By.NOTHING

    def session(self, issuer: str, subject: str, groups: Iterable[str]) -> tuple[Caller, str]:
        """Who signed in, and the cookie of the session that begins: always a new one. Raises RetryableError."""
        role = role_of(groups, self.settings.roles)
        caller = Caller(role=role, by=By.SESSION, who=self._hashed(f"{issuer} {subject}"))
        values = {"id": secrets.token_urlsafe(16), "who": caller.who, "role": int(role)}
        return caller, self.seal.sealed(SESSION, values, self.settings.session)

    def end(self, scope: Mapping[str, Any]) -> None:
        """End the session of a request: its cookie is worth nothing any more, whoever has a copy."""
        values = self._opened(scope)
        if values is not None:
            self._ended[str(values.get("id"))] = None
            if len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)

    def cookie_name(self, purpose: str) -> str:
        """What a cookie is called. By https a browser takes it from this very host alone."""
        return f"__Host-paceline-{purpose}" if self.is_secure else f"paceline-{purpose}"

    def cookie(self, scope: Mapping[str, Any], purpose: str) -> str:
        """The text of a cookie of a request; empty where there is none, or two."""
        found: list[str] = []
        for line in headers(scope, "cookie"):
            for part in line.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self.cookie_name(purpose):
                    found.append(value)
        return found[0] if len(found) == 1 else ""

    def names_this_machine(self, host: str) -> bool:
        """Whether a `Host` names this machine, or the address of the settings: else it may be another site's page."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in _LOCAL_NAMES or name.endswith(".localhost") or name == urlsplit(self.url).hostname:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def is_same_site(self, scope: Mapping[str, Any]) -> bool:
        """Whether a change is asked for by a page of our own. A browser says so; what does not say it is refused."""
        site = headers(scope, "sec-fetch-site")
        if site:
            return site == ["same-origin"]
        own = self.url or f"{scope.get('scheme', 'http')}://{header(scope, 'host')}"
        parts = urlsplit(own)
        return headers(scope, "origin") == [f"{parts.scheme}://{parts.netloc}"]

    def _session(self, scope: Mapping[str, Any]) -> Caller | None:
        values = self._opened(scope)
        if values is None or str(values.get("id")) in self._ended:
            return None
        role, who = values.get("role"), values.get("who")
        if role not in tuple(Role) or not isinstance(who, str):
            return None
        return Caller(role=Role(role), by=By.SESSION, who=who)

    def _opened(self, scope: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if not self.settings.oidc.issuer:
            return None
        try:
            return self.seal.opened(SESSION, self.cookie(scope, SESSION))
        except RetryableError as error:
            self._log.error("a session cannot be read", error=str(error))
            return None

    def _sealing(self, key: bytes) -> bytes:
        """What cookies are sealed with. Raises RetryableError where the settings' key cannot be read, or be guessed."""
        if not self.settings.session_key.get_secret_value():
            return derived(key, "sessions")
        text = reveal(self.settings.session_key)
        if is_guessable(text):
            raise RetryableError("the key of sessions can be guessed; access.session_key names a file with too little")
        return text.encode()

    def _proxied(self, scope: Mapping[str, Any]) -> Caller | None:
        told = self.peers.person(scope)
        if told is None:
            return None
        person, groups = told
        return Caller(role=role_of(groups, self.settings.roles), by=By.PROXY, who=self._hashed(f"proxy {person}"))

    def _anonymous(self) -> Caller:
        if self.settings.anonymous is None:
            return Caller(role=Role.NOBODY if self.settings.guarded else Role.OPERATOR)
        return Caller(role=Role[self.settings.anonymous.upper()])

    def _hashed(self, person: str) -> str:
        return person_hash(self._hashing, person)
