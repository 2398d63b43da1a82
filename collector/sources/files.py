"""Events from files: JSON Lines and CSV, of every kind, so that any system can report without its own source.

A record holds the fields of one event as docs/events.md lists them, without `source`: the configuration names
it. Files are read as streams, and again only from where the last run stopped.

Of two versions of one event the store keeps the one with the later `updated_at`. Records seldom state one,
yet a corrected line further down, or in a newer file, must win. So a record without `updated_at`
gets the file's modification time plus one microsecond per line: later lines are later, newer files are later,
and reading the same file again gives the same stamps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

import msgspec
from pydantic import Field, field_validator

from collector.durations import Duration
from collector.errors import BadRecord, Mistake, SourceError
from collector.events import TYPE_OF_KIND, Event
from collector.records import Cells, Records
from collector.source import About, Page, SourceConfig, SourceContext
from collector.tabular import (
    CSV_ENDING,
    Lines,
    Unreadable,
    check_path,
    check_silence,
    csv_rows,
    json_records,
    matching,
)

__PAGE = 1_000
_PAGE = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_A_KIND = f"expected one of {', '.join(TYPE_OF_KIND)}"


class FilesConfig(SourceConfig):
    """Settings of files with events."""

    about: ClassVar[About | None] = About(
        system="Files (JSON Lines, CSV)",
        gives=("any kind",),
        tested="real files",
        example="sources:\n  - type: files\n    name: deployments\n    path: events/*.jsonl\n    kind: deployment\n",
        more=(
            "A record holds the fields of one event, as [events](../events.md) lists them. Files may grow, be replaced "
            "or be added; only what is new is read. A record that cannot be used is set aside with its place and "
            "reason, and the good ones beside it are kept."
        ),
    )

    type: Literal["files"]
    path: str = Field(
        min_length=1,
        description="A file, or a pattern (`exports/**/*.csv`), relative to the configuration's folder. "
        "Ending in .jsonl, .ndjson or .json: one JSON record a line; in .csv: a header and one record a row.",
    )
    kind: str | None = Field(
        default=None, description="The kind of records that do not state one; CSV files rarely do."
    )
    silent_after: Duration | None = Field(
        default=None,
        description="When no file was written to for this long, runs without anything new fail: whatever writes the "
        "files has stopped. Without it, silence is a success.",
    )

    @field_validator("kind")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in TYPE_OF_KIND:
            raise ValueError(f"{value!r} is no kind of event; {_A_KIND}")
        return value

    def build(self, context: SourceContext) -> FilesSource:
        """The source; files are looked for at each pull."""
        return FilesSource(
            path=self.path,
            base_dir=context.base_dir,
            records=Records(source=self.name, people=context.people, kind=self.kind),
            silent_after=self.silent_after,
            clock=context.clock,
        )

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that nothing matches is a mistake."""
        return check_path(context.base_dir, self.path)


class _FileState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a file was read.

    `size`: the bytes that were seen; `offset` and `line`: where the first record that is not finished starts;
    `digest`: of everything before it. `taken`: the unfinished rest was read all the same.
    """

    size: int
    modified_ns: int
    offset: int
    line: int
    digest: str
    taken: bool


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The state of every file. With another default kind, what was read before means something else."""

    kind: str | None
    files: dict[str, _FileState]


@dataclass(frozen=True, kw_only=True)
class FilesSource:
    """Reads what was appended to files since the last run, and replaced files from their start.

    A last line without a line break may still be being written. It is left for the next run, with a warning,
    and taken then if the file has not grown meanwhile; should it grow later, that line is read again.
    """

    path: str
    base_dir: Path
    records: Records
    silent_after: timedelta | None
    clock: Callable[[], datetime]

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Pages of new records, file by file in the order of their names; none where nothing changed.

        Raises SourceError where no file matches, one cannot be read, or all have been silent for too long: that is
        not the same as no events.
        """
        names, anything = matching(self.base_dir, self.path), False
        if not names:
            raise SourceError(f"no file matches the path {self.path}; restore it or correct `path`")
        try:
            for page in self._pages(names, _files_of(cursor, self.records.kind)):
                anything = True
                yield page
            if not anything:
                check_silence(self.base_dir, self.path, names, self.silent_after, self.clock())
        except OSError as error:
            raise SourceError(f"a file of {self.path} cannot be read: {error.strerror}") from error

    def _pages(self, names: Sequence[str], told: Mapping[str, _FileState]) -> Iterator[Page]:
        states = {n: told[n] for n in names if n in told}
        events, rejected, warnings = list[Event](), list[BadRecord](), list[str]()

        def page() -> Page:
            cursor = msgspec.json.encode(_Cursor(kind=self.records.kind, files=states)).decode()
            return Page(events=tuple(events), rejected=tuple(rejected), warnings=tuple(warnings), cursor=cursor)

        for name in names:
            with (self.base_dir / name).open("rb") as file:
                reading = _resumed(name, file, states.get(name))
                if reading is None:
                    continue
                for item in reading.items(self.records):
                    if isinstance(item, BadRecord):
                        rejected.append(item)
                    else:
                        events.append(item)
                    if len(events) + len(rejected) >= _PAGE:
                        states[name] = reading.state()
                        yield page()
                        told = dict(states)
                        events, rejected, warnings = [], [], []
                states[name] = reading.state()
                if reading.lines.rest_is_left:
                    warnings.append(f"{name}: the last line has no line break yet and is left for the next run")
        if events or rejected or states != told:
            yield page()


def _files_of(cursor: str | None, kind: str | None) -> Mapping[str, _FileState]:
    """The states in a cursor; none from a foreign or older form, since reading all again does no harm."""
    if cursor is None:
        return {}
    try:
        known = msgspec.json.decode(cursor, type=_Cursor)
    except msgspec.DecodeError:
        return {}
    return known.files if known.kind == kind else {}


@dataclass(frozen=True)
class _Reading:
    """One file being read."""

    name: str
    modified_ns: int
    lines: Lines

    def items(self, records: Records) -> Iterator[Event | BadRecord]:
        """The events, and the records that are none, in the order of the file."""
        written_at = _EPOCH + timedelta(microseconds=self.modified_ns // 1_000)
        read = _csv_records if self.name.lower().endswith(CSV_ENDING) else json_records
        for line, record in read(self.lines):
            location = f"{self.name}:{line}"
            if isinstance(record, Unreadable):
                yield BadRecord(location, record.reason)
                continue
            try:
                yield records.event(record, location, written_at + timedelta(microseconds=line))
            except BadRecord as bad:
                yield bad

    def state(self) -> _FileState:
        """How far the file is read now."""
        lines = self.lines
        return _FileState(
            size=lines.seen,
            modified_ns=self.modified_ns,
            offset=lines.offset,
            line=lines.line,
            digest=lines.digest.hexdigest(),
            taken=lines.has_rest and not lines.rest_is_left,
        )


def _resumed(name: str, file: BinaryIO, before: _FileState | None) -> _Reading | None:
    """A reading from where the last stopped, or from the start of a new or replaced file; None if unchanged.

    All that was read before is digested again: a correction in the middle may keep size and first bytes.
    """
    stat = os.fstat(file.fileno())
    if before is None or before.offset > stat.st_size:
        return _Reading(name, stat.st_mtime_ns, Lines(file))
    as_before = before.size == stat.st_size
    if as_before and before.modified_ns == stat.st_mtime_ns and (before.taken or before.offset == before.size):
        return None
    lines = Lines(file, before, take_rest=as_before)
    if lines.digest.hexdigest() != before.digest:
        lines = Lines(file)
    return _Reading(name, stat.st_mtime_ns, lines)


def _csv_records(lines: Lines) -> Iterator[tuple[int, object]]:
    """Each row with the number of its first line; a quoted cell may span lines."""
    rows = csv_rows(lines)
    columns = _columns(lines) if lines.offset else next(rows, (0, []))[1]
    for line, row in rows:
        if isinstance(row, Unreadable):
            yield line, row
        elif isinstance(columns, Unreadable):
            yield line, Unreadable(f"the header cannot be used: {columns.reason}")
        elif len(set(columns)) < len(columns):
            yield line, Unreadable("the header names a column twice; expected each name once")
        elif len(row) != len(columns):
            yield line, Unreadable(f"the row has {len(row)} cells; expected {len(columns)} as in the header")
        else:
            yield line, Cells({c: v for c, v in zip(columns, row, strict=True) if v})


def _columns(lines: Lines) -> list[str] | Unreadable:
    """The header of a file that is read from somewhere in its middle."""
    lines.file.seek(0)
    _, columns = next(csv_rows(Lines(lines.file)))
    lines.file.seek(lines.offset)
    return columns
