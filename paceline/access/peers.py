"""From where a request comes, and what a trusted proxy says of it. What others say counts for nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from paceline.access.settings import ProxySettings

_MOST_GROUPS, _LONGEST = 500, 2_000


class AmbiguousHeaderError(Exception):
    """A header that says who asks came twice: somebody wrote one, and the proxy another."""


def header(scope: Mapping[str, Any], name: str) -> str:
    """The first header of a name; empty where there is none."""
    return next(iter(headers(scope, name)), "")


def headers(scope: Mapping[str, Any], name: str) -> list[str]:
    """All headers of a name."""
    wanted = name.lower().encode("ascii")
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == wanted]


class Peers:
    """Knows the proxy by where it asks from."""

    def __init__(self, settings: ProxySettings) -> None:
        self._settings, self._networks = settings, settings.parsed

    def is_proxy(self, address: str) -> bool:
        """Whether an address is the proxy's."""
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, scope: Mapping[str, Any]) -> str:
        """Who asks, by address: the peer; of the proxy the last address that it tells and that is none of its own."""
        peer = str((scope.get("client") or ("",))[0])
        if not self.is_proxy(peer):
            return peer
        told = [part.strip() for line in headers(scope, "x-forwarded-for") for part in line.split(",")]
        for address in reversed(told):
            if _parsed(address) is None:
                break
            if not self.is_proxy(address):
                return address
        return peer

    def person(self, scope: Mapping[str, Any]) -> tuple[str, Sequence[str]] | None:
        """Who asks and their groups, where the proxy says so. Raises AmbiguousHeaderError."""
        if not self.is_proxy(str((scope.get("client") or ("",))[0])):
            return None
        named = headers(scope, self._settings.person_header)
        grouped = headers(scope, self._settings.groups_header)
        if len(named) > 1 or len(grouped) > 1:
            raise AmbiguousHeaderError
        if not named or not named[0] or len(named[0]) > _LONGEST:
            return None
        groups = [group.strip() for group in (grouped[0] if grouped else "").split(",")]
        return named[0], [group for group in groups if group][:_MOST_GROUPS]


@lru_cache(maxsize=1_000)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed
