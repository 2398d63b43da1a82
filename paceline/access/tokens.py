"""Tokens of programs: given by reference, compared without telling by time how much of one was right."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from collector.errors import RetryableError
from collector.secrets import is_guessable, reveal
from paceline.access.caller import By, Caller
from paceline.access.settings import TokenSettings
from paceline.logs import Log

_LONGEST = 4_096


class Tokens:
    """Knows who shows a token. A token in a file is read each time: the file may have been replaced."""

    def __init__(self, settings: Sequence[TokenSettings], log: Log) -> None:
        self._settings, self._log = settings, log

    def caller(self, authorization: str) -> Caller | None:
        """Who shows a token in the header `Authorization`; None where it is none of ours."""
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given or len(given) > _LONGEST:
            return None
        digest = hashlib.sha256(given.encode("latin-1", "replace")).digest()
        found: Caller | None = None
        for token in self._settings:  # all of them, whichever fits: the time tells nothing
            expected = self._digest(token)
            if expected is not None and hmac.compare_digest(digest, expected):
                found = Caller(scopes=frozenset(token.scopes), by=By.TOKEN, who=token.name)
        return found

    def _digest(self, token: TokenSettings) -> bytes | None:
        try:
            text = reveal(token.secret)
        except RetryableError as error:
            self._log.error("a token cannot be checked", token=token.name, error=str(error))
            return None
        if is_guessable(text):
            self._log.error("a token can be guessed, so it opens nothing; its file holds too little", token=token.name)
            return None
        return hashlib.sha256(text.encode("latin-1", "replace")).digest()
