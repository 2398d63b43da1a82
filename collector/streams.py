"""How a source of many lists reads them one after another, and knows next time where it stands in each.

A stream is one list of one repository or project: its pull requests, its runs. Each keeps a `State` in the source's
cursor. A stream hands out parts; after each the state continues exactly there, so a run that breaks, or that a server's
limit stops, loses only its last part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from collector.errors import AuthError, BadRecord, ContractError, RetryableError, SourceError
from collector.events import Event
from collector.source import Complete, Page

_UNAUTHORISED = 401
_LONGEST_VALUE = 40


class State(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a stream stands.

    `since`: everything that its system dates before this was read. While a pass over the list is under way, `after` is
    the system's own place in it, and `reached` the newest time it met. `open`: ids of what had not ended, to be
    read again until it has. `swept_at`: when the recent past was last read whole, for what changed or was deleted late.
    `etag`: of the first page, as it was last read.
    """

    since: datetime | None = None
    after: str | None = None
    reached: datetime | None = None
    open: tuple[str, ...] = ()
    swept_at: datetime | None = None
    etag: str | None = None

    def begun(self, at: datetime | None) -> State:
        """The pass met something of this time."""
        if at is None or (self.reached is not None and self.reached >= at):
            return self
        return msgspec.structs.replace(self, reached=at)

    def ended(self) -> State:
        """The pass is over: the next one starts from the newest time that this one met."""
        newest = max(filter(None, (self.since, self.reached)), default=None)
        return msgspec.structs.replace(self, since=newest, after=None, reached=None)


class Part(NamedTuple):
    """Some events of a stream, and where it stands after them."""

    events: Sequence[Event]
    state: State
    complete: Sequence[Complete] = ()


@dataclass
class Notes:
    """What a stream says beside events; each part takes with it what was noted before."""

    rejected: list[BadRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    truncations: list[str] = field(default_factory=list)
    _unknown: Counter[str] = field(default_factory=Counter)

    def reject(self, records: Iterable[BadRecord]) -> None:
        """Records that cannot be used."""
        self.rejected += records

    def warn(self, what: str) -> None:
        """Something to know."""
        self.warnings.append(what)

    def cut(self, what: str) -> None:
        """The system holds more than it hands out."""
        self.truncations.append(what)

    def unknown(self, name: str, value: str, taken_as: str) -> None:
        """A value that the system's documentation did not list; the record survives."""
        plain = len(value) <= _LONGEST_VALUE and value.isprintable() and "@" not in value
        shown = value if plain else "…"
        self._unknown[f"{name} {shown!r} is not known here; it is taken as {taken_as}"] += 1

    def taken(self) -> tuple[list[BadRecord], list[str], list[str]]:
        """Rejected records, warnings and truncations since this was last asked."""
        unknown = [f"{what} ({n} times)" if n > 1 else what for what, n in self._unknown.items()]
        found = self.rejected, [*self.warnings, *unknown], self.truncations
        self.rejected, self.warnings, self.truncations = [], [], []
        self._unknown.clear()
        return found


@dataclass(frozen=True)
class Stream:
    """One list: its key in the cursor, and how it is read on from a state."""

    key: str
    read: Callable[[State, Notes], Iterator[Part]]


class _Cursor(msgspec.Struct, omit_defaults=True):
    version: int = 1
    streams: dict[str, State] = {}


def pull(cursor: str | None, streams: Iterable[Stream], notes: Notes) -> Iterator[Page]:
    """The pages of all streams, each with a cursor that continues after it.

    A stream that its system refuses (gone, or not allowed) is reported as cut off, and the others go on; so do they
    before the error of one whose answers are not as documented. Where every stream is refused the first error is
    raised. Refused credentials, and a system that asks for patience, end the run at once.
    """
    now = _decoded(cursor)
    refused: list[SourceError] = []
    broken: list[ContractError] = []
    count = 0
    for stream in streams:
        count += 1
        try:
            for part in stream.read(now.streams.get(stream.key, State()), notes):
                now.streams[stream.key] = part.state
                yield _page(part.events, now, notes, part.complete)
        except RetryableError:
            raise
        except ContractError as error:
            broken.append(error)
        except SourceError as error:
            if isinstance(error, AuthError) and error.status == _UNAUTHORISED:
                raise
            refused.append(error)
            notes.cut(f"{stream.key}: {error}")
    if broken:
        raise broken[0]
    if refused and len(refused) == count:
        raise refused[0]
    last = _page((), now, notes, ())
    if last.rejected or last.warnings or last.truncations or not count:
        yield last


def _page(events: Sequence[Event], now: _Cursor, notes: Notes, complete: Sequence[Complete]) -> Page:
    rejected, warnings, truncations = notes.taken()
    return Page(
        events=events,
        cursor=msgspec.json.encode(now).decode(),
        rejected=rejected,
        warnings=warnings,
        truncations=truncations,
        complete=complete,
        checkpoint=True,
    )


def _decoded(cursor: str | None) -> _Cursor:
    """What a cursor says; nothing for one of another version, so that all is read again, which is harmless."""
    if cursor is None:
        return _Cursor(streams={})
    try:
        found = msgspec.json.decode(cursor, type=_Cursor)
    except msgspec.DecodeError:
        return _Cursor(streams={})
    return found if found.version == _Cursor().version else _Cursor(streams={})
