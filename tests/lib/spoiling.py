"""How inputs are spoilt, what is planted in each of them, and how it is found that it was told.

Each target takes a source of chance, makes one input of real ones, hands it over and returns all that was said about
it. `Weak` says what was found.
"""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME

SECRET = "s3cr3t-0f-the-fuzz-test"  # noqa: S105 - planted
TOKEN = "pr0vider-t0ken-0f-the-fuzz-test"  # noqa: S105 - planted
PEOPLE = tuple(PLANTED_NAME.lower().split())
"""The login, the mail address and the name of the planted person are made of these."""
WORDS = (SECRET, TOKEN, *PEOPLE)
"""What must stand in no output."""
PERSON = (PLANTED_LOGIN, PLANTED_NAME, PLANTED_MAIL)
MOST_SECONDS = 10.0
"""Of processor time for one input: more is a hang."""


class Weak(AssertionError):  # noqa: N818 - it says what was found
    """Something that an input brought about and must not."""


Take = Callable[[random.Random], str]
"""Take one input; everything that was said about it."""


def checked(take: Callable[[], str]) -> None:
    """Take one input. Raises Weak for what was told, and for what took too long."""
    began = time.process_time()
    said = take()
    if time.process_time() - began > MOST_SECONDS:
        raise Weak(f"one input took {time.process_time() - began:.0f} s")
    look(said)


def look(said: str, words: Iterable[str] = WORDS) -> None:
    """Raises Weak where a planted word stands in an output."""
    lowered = said.lower()
    for word in words:
        if (at := lowered.find(word)) >= 0:
            raise Weak(f"{word} is told: …{said[max(at - 200, 0) : at + 100]}…")


ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, 0.1, "", " ", "0", "null", [], {}, [[]], [None]),
    *("\x00", "\r\nX-Header: 1", "\x1b[31m", "\u202e", "\ud83d", "é" * 5_000, "{{ $labels }}", "<script>", "'; DROP--"),
    *("9999-12-31T23:59:59Z", "0000-00-00", "2026-02-30T00:00:00Z", "2026-03-02T08:00:00+99:99", "1e400", "NaN"),
    *({"id": {"id": {"id": 1}}}, ["x"] * 500, "../../etc/passwd", "http://[::1", "%00", "a" * 70_000, float("1e-320")),
)


def is_planted(value: Any) -> bool:
    """Whether a text names the person or the secret."""
    return isinstance(value, str) and any(word in value.lower() for word in WORDS)


def spoilt(value: Any, chance: random.Random, share: float) -> Any:
    """A value with some of its parts exchanged, left out, repeated or wrapped; who is named stays in their place."""
    if is_planted(value):
        return chance.choice([value, value, [value], {"name": value}, value + "\0", value.upper()])
    if chance.random() < share:
        return copy.deepcopy(chance.choice(ODD))
    if isinstance(value, dict):
        return {k: spoilt(v, chance, share) for k, v in value.items() if chance.random() >= share / 2}
    if isinstance(value, list):
        found = [spoilt(v, chance, share) for v in value]
        return found * 2 if chance.random() < share else found
    return value


def spoilt_bytes(body: bytes, chance: random.Random) -> bytes:
    """A body cut off, with bytes exchanged, said twice, nested deeply, or in no known characters."""
    at = chance.randrange(len(body) + 1)
    return chance.choice(
        [
            body[:at],
            body[:at] + bytes(chance.randrange(256) for _ in range(3)) + body[at:],
            body + body,
            b"[" * 5_000 + body,
            b"\xff\xfe" + body,
            body.replace(b'"', b"'", 2),
            body.replace(b":", b":1e999999,", 1),
            b"",
        ]
    )


_ODD_LINES = ("", "- ", "  x: 1", "*a", "&a [*a]", "!!python/object:os.system x", "\t", "? {", "|", "%YAML 9")


def spoilt_text(text: str, chance: random.Random) -> str:
    """A file with lines left out, repeated, moved or filled with something else; secrets stay what they are."""
    lines = text.splitlines()
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        odd = chance.choice(_ODD_LINES)
        if is_planted(lines[at]):
            continue
        key, colon, _value = lines[at].partition(":")
        change = chance.randrange(6)
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif change == 2:
            lines[at] = "  " * chance.randrange(4) + lines[at].lstrip()
        elif change == 3:
            lines.insert(at, odd)
        else:
            value = json.dumps(chance.choice(ODD)) if chance.random() < 0.7 else odd
            lines[at] = f"{key}{colon} {value}"
        lines = lines or [""]
    return "\n".join(lines) + "\n"
