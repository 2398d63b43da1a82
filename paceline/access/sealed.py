"""Cookies that only Paceline can read and make: sealed with a key, for one purpose, until a time. Owner of JWE.

Who has one cannot change it, nor use it in place of another: each purpose has a key of its own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

_HEADER = {"alg": "dir", "enc": "A256GCM"}
_LONGEST = 4_000
"""Characters; browsers keep no longer cookies."""


def derived(key: bytes, purpose: str) -> bytes:
    """A key for one purpose, 32 bytes: it tells nothing of the key, nor of those for other purposes."""
    return hmac.new(key, f"paceline/{purpose}".encode(), hashlib.sha256).digest()


def person_hash(key: bytes, person: str) -> str:
    """Who it is, for the trail and sessions: the same for the same, and nobody's name."""
    return hmac.new(key, person.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


class Seal:
    """Seals what a browser keeps for us, and opens it again. `key` is asked for each time, since it may change.

    What it raises goes to who seals or opens.
    """

    def __init__(self, key: Callable[[], bytes], clock: Callable[[], datetime]) -> None:
        self._key, self._clock = key, clock
        self._registry = JWERegistry(algorithms=["dir", "A256GCM"])

    def sealed(self, purpose: str, values: Mapping[str, Any], lasts: timedelta) -> str:
        """Values as the text of a cookie."""
        claims = {**values, "exp": int((self._clock() + lasts).timestamp())}
        return jwt.encode(dict(_HEADER), claims, self._for(purpose), registry=self._registry)

    def opened(self, purpose: str, text: str) -> Mapping[str, Any] | None:
        """The values of a cookie; None where it is not ours, not for this, changed or too old."""
        if not text or len(text) > _LONGEST:
            return None
        try:
            claims = jwt.decode(text, self._for(purpose), registry=self._registry).claims
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        until = claims.get("exp")
        return claims if isinstance(until, int) and self._clock().timestamp() < until else None

    def _for(self, purpose: str) -> OctKey:
        return OctKey.import_key(derived(self._key(), purpose))
