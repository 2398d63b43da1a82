"""Events from files: JSON Lines and CSV, of every kind, so that any system can report without its own source.

A record holds the fields of one event as docs/events.md lists them, without `source`: the configuration names
it. Files are read as streams, and again only from where the last run stopped.

Of two versions of one event the store keeps the one with the later `updated_at`. Records seldom state one,
yet a corrected line further down, or in a newer file, must win. So a record without `updated_at`
gets the file's modification time plus one microsecond per line: later lines are later, newer files are later,
and reading the same file again gives the same stamps.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import glob
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import inspect
from pydantic import Field, field_validator

from collector.errors import BadRecord, Mistake, SourceError
from collector.events import TYPE_OF_KIND, Event, kind_of, person_fields, time_fields
from collector.people import People, is_bot
from collector.source import Page, SourceConfig, SourceContext

_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_CSV_ENDING = ".csv"
_ENDINGS = (*_JSON_ENDINGS, _CSV_ENDING)
_PAGE = 1_000
_DIGEST_CHUNK_BYTES = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOM = "\ufeff"
_LARGEST = 2**63 - 1

_A_KIND = f"expected one of {', '.join(TYPE_OF_KIND)}"
_A_NUMBER = "expected a number of at most 64 bits"
_A_TIME = "expected a time with an offset, for example 2026-01-31T09:00:00Z"


class FilesConfig(SourceConfig):
    """Settings of files with events."""

    type: Literal["files"]
    path: str = Field(
        min_length=1,
        description="A file, or a pattern (`exports/**/*.csv`), relative to the configuration's folder. "
        "Ending in .jsonl, .ndjson or .json: one JSON record a line; in .csv: a header and one record a row.",
    )
    kind: str | None = Field(
        default=None, description="The kind of records that do not state one; CSV files rarely do."
    )

    @field_validator("kind")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in TYPE_OF_KIND:
            raise ValueError(_A_KIND)
        return value

    def build(self, context: SourceContext) -> FilesSource:
        """The source; files are looked for at each pull."""
        return FilesSource(
            path=self.path,
            base_dir=context.base_dir,
            records=Records(source=self.name, people=context.people, kind=self.kind),
        )

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that nothing matches is a mistake."""
        if matching(context.base_dir, self.path):
            return ()
        return (
            Mistake(
                file="",
                line=0,
                path="path",
                problem=f"no file matches {self.path}",
                expected=f"an existing file, or a pattern, ending in {', '.join(_ENDINGS)}",
            ),
        )


def matching(base_dir: Path, path: str) -> list[str]:
    """The names of the files that a path or pattern means, as the configuration writes them, sorted."""
    # glob, not Path.glob: it takes absolute patterns too and leaves hidden files out.
    found = glob.glob(path, root_dir=base_dir, recursive=True)  # noqa: PTH207
    names = [path] if (base_dir / path).is_file() else found
    return sorted(n for n in set(names) if n.lower().endswith(_ENDINGS) and (base_dir / n).is_file())


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

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Pages of new records, file by file in the order of their names; none where nothing changed.

        Raises SourceError where no file matches or one cannot be read: that is not the same as no events.
        """
        names = matching(self.base_dir, self.path)
        if not names:
            raise SourceError(f"no file matches the path {self.path}; restore it or correct `path`")
        try:
            yield from self._pages(names, _files_of(cursor, self.records.kind))
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


class _Lines:
    """The lines of a file from an offset on. Counts and digests those that belong to finished records."""

    def __init__(self, file: BinaryIO, before: _FileState | None = None, *, take_rest: bool = False) -> None:
        file.seek(0)
        self.offset, self.line = (before.offset, before.line) if before else (0, 0)
        self.digest = hashlib.blake2b(digest_size=16)
        left = self.offset
        while left and (chunk := file.read(min(left, _DIGEST_CHUNK_BYTES))):
            self.digest.update(chunk)
            left -= len(chunk)
        self.file = file
        self.has_rest = False
        self._take_rest = take_rest
        self._pending: list[bytes] = []
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        raw = self.file.readline()
        if not raw:
            self._ended = True
            raise StopIteration
        self._pending.append(raw)
        return raw

    def finish(self) -> bool:
        """Count what was read since the last call as one record; False where it is to be left unfinished."""
        if self._ended or not self._pending[-1].endswith(b"\n"):
            self.has_rest = True
            return self._take_rest
        for raw in self._pending:
            self.digest.update(raw)
            self.offset += len(raw)
        self.line += len(self._pending)
        self._pending.clear()
        return True

    @property
    def rest_is_left(self) -> bool:
        """True where an unfinished last line waits for the next run."""
        return self.has_rest and not self._take_rest

    @property
    def seen(self) -> int:
        """The bytes from the start of the file up to where reading stands."""
        return self.offset + sum(map(len, self._pending))


@dataclass(frozen=True)
class _Reading:
    """One file being read."""

    name: str
    modified_ns: int
    lines: _Lines

    def items(self, records: Records) -> Iterator[Event | BadRecord]:
        """The events, and the records that are none, in the order of the file."""
        written_at = _EPOCH + timedelta(microseconds=self.modified_ns // 1_000)
        read = _csv_records if self.name.lower().endswith(_CSV_ENDING) else _json_records
        for line, record in read(self.lines):
            location = f"{self.name}:{line}"
            if isinstance(record, _Unreadable):
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
        return _Reading(name, stat.st_mtime_ns, _Lines(file))
    as_before = before.size == stat.st_size
    if as_before and before.modified_ns == stat.st_mtime_ns and (before.taken or before.offset == before.size):
        return None
    lines = _Lines(file, before, take_rest=as_before)
    if lines.digest.hexdigest() != before.digest:
        lines = _Lines(file)
    return _Reading(name, stat.st_mtime_ns, lines)


@dataclass(frozen=True)
class _Unreadable:
    """A line that holds no record at all, and why."""

    reason: str


@dataclass(frozen=True)
class _Cells:
    """A record of a CSV file: text by column, empty cells left out."""

    by_column: dict[str, str]


def _json_records(lines: _Lines) -> Iterator[tuple[int, object]]:
    """Each line with its number; empty lines are none."""
    decode = msgspec.json.Decoder().decode
    for raw in lines:
        line = lines.line + 1
        if not lines.finish():
            return
        if not raw.strip():
            continue
        try:
            yield line, decode(raw.removeprefix(codecs.BOM_UTF8) if line == 1 else raw)
        except UnicodeDecodeError:
            yield line, _Unreadable("the line is not UTF-8; expected text in UTF-8")
        except (msgspec.DecodeError, RecursionError):
            yield line, _Unreadable("the line is no valid JSON; expected one whole JSON object")


def _csv_records(lines: _Lines) -> Iterator[tuple[int, object]]:
    """Each row with the number of its first line; a quoted cell may span lines."""
    rows = _csv_rows(lines)
    columns = _columns(lines) if lines.offset else next(rows, (0, []))[1]
    for line, row in rows:
        if isinstance(row, _Unreadable):
            yield line, row
        elif isinstance(columns, _Unreadable):
            yield line, _Unreadable(f"the header cannot be used: {columns.reason}")
        elif len(set(columns)) < len(columns):
            yield line, _Unreadable("the header names a column twice; expected each name once")
        elif len(row) != len(columns):
            yield line, _Unreadable(f"the row has {len(row)} cells; expected {len(columns)} as in the header")
        else:
            yield line, _Cells({c: v for c, v in zip(columns, row, strict=True) if v})


def _columns(lines: _Lines) -> list[str] | _Unreadable:
    """The header of a file that is read from somewhere in its middle."""
    lines.file.seek(0)
    _, columns = next(_csv_rows(_Lines(lines.file)))
    lines.file.seek(lines.offset)
    return columns


def _csv_rows(lines: _Lines) -> Iterator[tuple[int, list[str] | _Unreadable]]:
    """Rows of stripped cells, rows without any cell left out."""
    reader = csv.reader((raw.decode("utf-8", "surrogateescape") for raw in lines), strict=True)
    row: list[str] | _Unreadable
    while True:
        line = lines.line + 1
        try:
            row = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            row = _Unreadable("the row is no valid CSV; expected cells in double quotes to be closed before a comma")
        if not lines.finish():
            return
        if isinstance(row, list) and line == 1:
            row = [cell.removeprefix(_BOM) for cell in row]
        if isinstance(row, list) and not _is_unicode("".join(row)):
            row = _Unreadable("the row is not UTF-8; expected text in UTF-8")
        if row:
            yield line, row


def _is_unicode(text: str) -> bool:
    """False where text stands for bytes that were not UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _RefusedError(Exception):
    """Why a record cannot be used: the field and what was expected, never the value."""


@dataclass(frozen=True)
class _Nature:
    """What is to be known of a kind before its records are converted."""

    people: tuple[str, ...]
    times: tuple[str, ...]
    nested: Mapping[str, type[msgspec.Struct]]
    lists: frozenset[str]
    numbers: tuple[str, ...]
    has_bot: bool


@cache
def _nature(struct: type[msgspec.Struct]) -> _Nature:
    types = {f.name: _plain(f.type) for f in _fields(struct)}
    items = {n: _plain(t.item_type) for n, t in types.items() if isinstance(t, inspect.VarTupleType)}
    return _Nature(
        people=person_fields(struct),
        times=time_fields(struct),
        nested={n: t.cls for n, t in items.items() if isinstance(t, inspect.StructType)},
        lists=frozenset(n for n, t in items.items() if not isinstance(t, inspect.StructType)),
        numbers=tuple(n for n, t in types.items() if isinstance(t, (inspect.IntType, inspect.FloatType))),
        has_bot="bot" in types,
    )


def _fields(struct: type[msgspec.Struct]) -> Sequence[inspect.Field]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - narrows for the type checker
    return info.fields


def _plain(info: inspect.Type) -> inspect.Type:
    """A type without its descriptions and without None."""
    if isinstance(info, inspect.Metadata):
        return _plain(info.type)
    if isinstance(info, inspect.UnionType):
        return _plain(next(t for t in info.types if not isinstance(t, inspect.NoneType)))
    return info


@dataclass(frozen=True, kw_only=True)
class Records:
    """Turns records that somebody wrote into events. People are hashed before anything else looks."""

    source: str
    people: People
    kind: str | None = None

    def event(self, record: object, location: str, stamped_at: datetime) -> Event:
        """The event in a record, which is used up. `stamped_at` is its `updated_at` where it states none.

        Raises BadRecord with the location, the field and what was expected, never with the value.
        """
        try:
            return self._event(record, stamped_at)
        except _RefusedError as refused:
            # `from None`: what msgspec says may quote the value.
            raise BadRecord(location, str(refused)) from None

    def _event(self, record: object, stamped_at: datetime) -> Event:
        lax = isinstance(record, _Cells)
        values = record.by_column if isinstance(record, _Cells) else record
        if not isinstance(values, dict):
            raise _RefusedError("the record is no object; expected one JSON object with the fields of one event")
        event_type = self._type(values.pop("kind", None))
        nature = _nature(event_type)
        if "source" in values:
            raise _RefusedError("`source` is not part of a record; expected the configuration alone to name it")
        if lax:
            _split_cells(values, nature)
        self._hash_people(values, nature)
        if lax:
            _parse_times(values, nature)
        values["source"] = self.source
        if values.get("updated_at") is None:
            values["updated_at"] = stamped_at
        try:
            event = msgspec.convert(values, event_type, strict=not lax)
        except (msgspec.ValidationError, OverflowError):
            # Rarely needed forms of time are only looked for where the fast way failed.
            event = _second_try(values, event_type, lax=lax)
        _refuse_what_no_store_holds(event, nature.numbers)
        return event

    def _type(self, stated: object) -> type[Event]:
        kind = self.kind if stated is None else stated
        if kind is None:
            raise _RefusedError(f"`kind` is missing, here and in the configuration; {_A_KIND}")
        event_type = TYPE_OF_KIND.get(kind) if isinstance(kind, str) else None
        if event_type is None:
            raise _RefusedError(f"`kind` is unknown; {_A_KIND}")
        return event_type

    def _hash_people(self, values: dict[str, Any], nature: _Nature) -> None:
        """Replace people by their hashes. Automation is told by its account, here or never."""
        for name in nature.people:
            value = values.get(name)
            if isinstance(value, str):
                if nature.has_bot and is_bot(value):
                    values.setdefault("bot", True)
                values[name] = self.people.hashed(value) if value.strip() else None
            elif isinstance(value, list):
                values[name] = [self.people.hashed(v) if isinstance(v, str) else v for v in value]
        for name, struct in nature.nested.items():
            for item in _objects(values.get(name)):
                self._hash_people(item, _nature(struct))


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _split_cells(values: dict[str, Any], nature: _Nature) -> None:
    """Cells of text lists are split at `;`; those of nested records hold JSON."""
    for name in nature.lists & values.keys():
        values[name] = [part for part in map(str.strip, values[name].split(";")) if part]
    for name in nature.nested.keys() & values.keys():
        try:
            values[name] = msgspec.json.decode(values[name])
        except (msgspec.DecodeError, RecursionError):
            raise _RefusedError(f"`{name}`: expected a list of objects in JSON") from None


_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)[Tt ] *(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r" *(?:Z|z|UTC|GMT|([+-])(\d\d):?(\d\d)?)",
    re.ASCII,
)


def _parse_times(values: dict[str, Any], nature: _Nature, path: str = "") -> None:
    """Times become aware; a naive one is refused, because guessing its zone would falsify durations."""
    for name in nature.times:
        value = values.get(name)
        if value is None or isinstance(value, datetime):
            continue
        at = _time(value) if isinstance(value, str) else None
        if at is None:
            raise _RefusedError(f"`{path}{name}`: {_A_TIME}")
        values[name] = at
    for name, struct in nature.nested.items():
        for i, item in enumerate(_objects(values.get(name))):
            _parse_times(item, _nature(struct), f"{name}[{i}].")


def _time(text: str) -> datetime | None:
    """A time in ISO 8601 with an offset or `UTC`, unpadded too; fractions are rounded to microseconds."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    *numbers, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    microseconds = (int((fraction or "").ljust(7, "0")[:7]) + 5) // 10
    try:
        plain = datetime(*(int(n or 0) for n in numbers), tzinfo=timezone(offset))  # type: ignore[arg-type,misc]
        return (plain + timedelta(microseconds=microseconds)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _second_try(values: dict[str, Any], event_type: type[Event], *, lax: bool) -> Event:
    _parse_times(values, _nature(event_type))
    try:
        return msgspec.convert(values, event_type, strict=not lax)
    except msgspec.ValidationError as error:
        raise _RefusedError(_reason(str(error), event_type)) from None


def _refuse_what_no_store_holds(event: Event, numbers: tuple[str, ...]) -> None:
    """Numbers beyond 64 bits and infinite ones would make the whole run fail later."""
    for name in numbers:
        value = getattr(event, name)
        if value is not None and not -_LARGEST <= value <= _LARGEST:
            raise _RefusedError(f"`{name}`: {_A_NUMBER}")


_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_QUOTED = re.compile(r"`(.*)`", re.DOTALL)
_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def _reason(message: str, event_type: type[Event]) -> str:
    """The sentence of msgspec with its field first, and without the value, which some sentences quote."""
    found = _WHERE.fullmatch(message)
    what, path = (found["what"], found["path"] or "") if found else ("", "")
    quoted = _QUOTED.search(what)
    name = quoted[1] if quoted else ""
    inside = _nature(event_type).nested.get(path.partition("[")[0], event_type)
    if what.startswith("Object missing"):
        return f"`{path + '.' if path else ''}{name}` is missing; expected in every {_title(event_type)}"
    if what.startswith("Object contains unknown field"):
        known = [n for n in inside.__struct_fields__ if n != "source"]
        near = difflib.get_close_matches(name, known, n=1)
        shown = f" `{name}`" if _A_NAME.fullmatch(name) else ""
        return f"unknown field{shown}; expected " + (f"`{near[0]}`?" if near else f"one of {', '.join(known)}")
    if what.startswith("Invalid enum value"):
        return f"`{path}`: expected one of {', '.join(_values(event_type, path))}"
    if what == "Number out of range":
        return f"`{path}`: {_A_NUMBER}"
    if what.startswith("Expected `"):
        return f"`{path}`: e{what[1:]}"
    return f"`{path}`: expected a value as the reference of events describes it"


def _title(event_type: type[Event]) -> str:
    return f"record of kind {kind_of(event_type)}"


def _values(event_type: type[Event], name: str) -> list[str]:
    """The values of an enum field."""
    plain = next(_plain(f.type) for f in _fields(event_type) if f.name == name)
    return [str(v) for v in plain.cls] if isinstance(plain, inspect.EnumType) else []
