"""The error tree, sorted by what the caller does. Imports nothing of ours.

PacelineError            what happened, where, what to do next; never a secret
├─ ConfigError           stop at start: a person edits a file
├─ SourceError           this run stops, the cursor stays, other sources go on
│  ├─ AuthError          a person must act: no retry
│  ├─ RetryableError     try later
│  └─ ContractError      the answer has not the expected shape: do not guess
├─ BadRecord             skip this one record, count it, keep why
└─ StoreError            nothing was committed
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass


class PacelineError(Exception):
    """Base of every error that Paceline raises on purpose."""


@dataclass(frozen=True, order=True, kw_only=True)
class Mistake:
    """One mistake in a file a person wrote: where it is, what stands there, what was expected.

    `passing`: it may be over without an edit, because what is looked for may only be away, like a share's files.
    """

    file: str
    line: int
    path: str
    problem: str
    expected: str
    passing: bool = False

    def __str__(self) -> str:
        """`file:line: path: problem; expected …`, the form editors can jump to."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        path = f" {self.path}:" if self.path else ""
        return f"{where}:{path} {self.problem}; expected {self.expected}"


class ConfigError(PacelineError):
    """A person must edit a file. Carries every mistake found, so that one round of editing mends all."""

    def __init__(self, *mistakes: Mistake) -> None:
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(str(m) for m in self.mistakes))


class SourceError(PacelineError):
    """This run of a source stops; its cursor stays where it was; other sources go on.

    `status` is that of the HTTP answer where there was one: what is gone (404, 410) may concern a part alone.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AuthError(SourceError):
    """The credentials were refused: a person must act, a retry cannot help."""


class RetryableError(SourceError):
    """The source may answer later. `retry_after_seconds` is its own wish, where it stated one."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after_seconds = retry_after_seconds


class ContractError(SourceError):
    """The answer does not have the documented shape: guessing would invent numbers."""


class BadRecord(PacelineError):  # noqa: N818 - a record, not a failure of the run
    """One record cannot be used. `location` tells a person where to look (file:line, endpoint and id)."""

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason


class StoreError(PacelineError):
    """The store refused or failed; nothing of the transaction was kept."""


def let_go(error: BaseException) -> None:
    """Drop what the stack of an error that was dealt with holds, and the stacks of those behind it.

    Libraries keep errors in variables of the frames that raised them. Such a circle holds answers and connections until
    garbage collection finds it.
    """
    waiting: list[BaseException | None] = [error]
    known = set[int]()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in known:
            continue
        known.add(id(one))
        waiting += [one.__cause__, one.__context__]
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None
