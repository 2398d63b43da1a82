"""Secrets as settings hold them: never in a `repr`, a message or a log, and read from their file when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from collector.errors import RetryableError

_FROM_FILE = "file:"
SHORTEST = 16
"""Characters of a secret that others must know to be let in."""


def is_in_file(text: str) -> bool:
    """Whether the text of a secret names a file that holds it."""
    return text.startswith(_FROM_FILE)


def is_guessable(text: str) -> bool:
    """Whether the text of a secret is too short, or empty, to let somebody in who knows it."""
    return len(text) < SHORTEST


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if is_in_file(text) and not Path(text.removeprefix(_FROM_FILE)).is_absolute():
        raise ValueError("the file of a secret has no absolute path; expected ${NAME}, or file:/run/secrets/name")
    return value


def _incoming(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not is_in_file(text) and is_guessable(text):
        raise ValueError(f"this secret can be guessed; expected at least {SHORTEST} characters")
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]
"""A secret itself, as `${NAME}`, or `file:/…`: a file that is read whenever it is needed."""
IncomingSecret = Annotated[Secret, AfterValidator(_incoming)]
"""One that others must know to be let in: long enough that nobody guesses it."""


def reveal(secret: SecretStr) -> str:
    """The text of a secret. Raises RetryableError where its file cannot be read, which may be being replaced."""
    text = secret.get_secret_value()
    if not is_in_file(text):
        return text
    try:
        return Path(text.removeprefix(_FROM_FILE)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise RetryableError("the file of a secret cannot be read; check its path and permissions") from None
