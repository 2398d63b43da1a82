"""Lines, rows and records of text files: JSON Lines and CSV as people and programs write them. Knows no event.

Records come with the line on which they begin; what is no record says why, and never what stands there.
"""

from __future__ import annotations

import codecs
import csv
import glob
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol

import msgspec
from pydantic import AfterValidator

from collector.errors import BadRecord, ContractError, Mistake, SourceError

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
CSV_ENDING = ".csv"
ENDINGS = (*JSON_ENDINGS, CSV_ENDING)
_DIGEST_CHUNK_BYTES = 1 << 20
_BOM = "\ufeff"
_DELIMITERS = ",;\t"
_ROWS_TO_GUESS_BY = 20
_MOST_LINE_BYTES = 16 << 20
"""What is longer is no line that a program wrote as a record."""
_MOST_FILE_BYTES = 256 << 20
"""Of a file that is read whole; a list of a million people is a third of it."""


def matching(base_dir: Path, path: str) -> list[str]:
    """The names of the files that a path or pattern means, as the configuration writes them, sorted."""
    # glob, not Path.glob: it takes absolute patterns too and leaves hidden files out.
    found = glob.glob(path, root_dir=base_dir, recursive=True)  # noqa: PTH207
    names = [path] if (base_dir / path).is_file() else [n for n in found if _stays(base_dir, path, n)]
    return sorted(n for n in set(names) if n.lower().endswith(ENDINGS) and (base_dir / n).is_file())


def _stays(base_dir: Path, pattern: str, name: str) -> bool:
    """Whether a match is in the folder that a pattern begins with: who may write there may make links elsewhere."""
    fixed = list(takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    folder = base_dir.joinpath(*fixed).resolve()
    parent = folder.joinpath(*Path(name).parts[len(fixed) : -1])
    return parent.resolve() == parent and (base_dir / name).resolve().is_relative_to(folder)


def check_path(base_dir: Path, path: str) -> Sequence[Mistake]:
    """A path that nothing matches is a mistake, as long as nothing does."""
    if matching(base_dir, path):
        return ()
    expected, problem = f"an existing file, or a pattern, ending in {', '.join(ENDINGS)}", f"no file matches {path}"
    return (Mistake(file="", line=0, path="path", problem=problem, expected=expected, passing=True),)


def check_silence(base_dir: Path, path: str, names: Sequence[str], after: timedelta | None, now: datetime) -> None:
    """Raise SourceError where nobody has written to any of the files for too long; never without a limit."""
    if after is None:
        return
    written_at = max(datetime.fromtimestamp((base_dir / n).stat().st_mtime, UTC) for n in names)
    if now - written_at > after:
        said = f"no file of {path} was written to since {written_at:%Y-%m-%d %H:%M} UTC"
        raise SourceError(f"{said}; look at what writes them, or correct `silent_after`")


class Place(Protocol):
    """Where in a file reading goes on: after so many bytes, which are so many lines."""

    @property
    def offset(self) -> int:
        """Bytes."""

    @property
    def line(self) -> int:
        """Lines."""


class Lines:
    """The lines of a file from an offset on. Counts and digests those that belong to finished records."""

    def __init__(self, file: BinaryIO, before: Place | None = None, *, take_rest: bool = False) -> None:
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
        raw = self.file.readline(_MOST_LINE_BYTES)
        if not raw:
            self._ended = True
            raise StopIteration
        if len(raw) == _MOST_LINE_BYTES and not raw.endswith(b"\n"):
            name = Path(str(getattr(self.file, "name", "a file"))).name
            place = f"{name}:{self.line + len(self._pending) + 1}"
            raise ContractError(f"{place}: the line is longer than {_MOST_LINE_BYTES >> 20} MiB; is this such a file?")
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
class Unreadable:
    """A line that holds no record at all, and why."""

    reason: str


def json_records(lines: Lines) -> Iterator[tuple[int, object]]:
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
            yield line, Unreadable("the line is not UTF-8; expected text in UTF-8")
        except (msgspec.DecodeError, RecursionError):
            yield line, Unreadable("the line is no valid JSON; expected one whole JSON object")


def csv_rows(lines: Lines, delimiter: str = ",") -> Iterator[tuple[int, list[str] | Unreadable]]:
    """Rows of stripped cells with the number of their first line, rows without any cell left out."""
    texts = (raw.decode("utf-8", "surrogateescape") for raw in lines)
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    row: list[str] | Unreadable
    while True:
        line = lines.line + 1
        try:
            row = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            row = Unreadable("the row is no valid CSV; expected cells in double quotes to be closed before a comma")
        if not lines.finish():
            return
        if isinstance(row, list) and line == 1:
            row = [cell.removeprefix(_BOM) for cell in row]
        if isinstance(row, list) and not _is_unicode("".join(row)):
            row = Unreadable("the row is not UTF-8; expected text in UTF-8")
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


# --- whole tables ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """A whole file as it was when it was read."""

    name: str
    content: bytes = field(repr=False)
    modified_at: datetime

    @property
    def digest(self) -> str:
        """The same for the same content."""
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()


def read_whole(base_dir: Path, path: str, names: Sequence[str]) -> list[Snapshot]:
    """All of some files that a path means. Raises SourceError where one cannot be read or is too large."""
    try:
        return [_whole(base_dir, name) for name in names]
    except OSError as error:
        raise SourceError(f"a file of {path} cannot be read: {error.strerror}") from error


def _whole(base_dir: Path, name: str) -> Snapshot:
    with (base_dir / name).open("rb") as file:
        modified_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        content = file.read(_MOST_FILE_BYTES + 1)
    if len(content) > _MOST_FILE_BYTES:
        raise ContractError(f"{name}: it is larger than {_MOST_FILE_BYTES >> 20} MiB; is this such a file?")
    return Snapshot(name, content, modified_at)


def later(written_at: datetime, before: datetime | None) -> datetime:
    """When a file said what it says: after what was said before, though it was restored or is only read otherwise."""
    return written_at if before is None else max(written_at, before + timedelta(microseconds=1))


@dataclass(frozen=True)
class Row:
    """A row of a table: where it stands, and its cells as text, empty where there is nothing."""

    place: str
    cells: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A file as rows under a header. `rejected`: the rows that are none."""

    name: str
    header: Sequence[str]
    rows: Sequence[Row]
    rejected: Sequence[BadRecord]

    def column(self, *names: str) -> int | None:
        """The place of the first column that is called so, whatever its case, blanks and marks; None for none.

        Raises ContractError where two columns are called so: neither is guessed to be the right one.
        """
        for name in names:
            places = self._places.get(folded(name), ())
            if len(places) > 1:
                raise ContractError(f"{self.name}: the header names the column {name!r} twice; expected it once")
            if places:
                return places[0]
        return None

    @cached_property
    def _places(self) -> Mapping[str, Sequence[int]]:
        found: dict[str, list[int]] = {}
        for place, name in enumerate(self.header):
            found.setdefault(folded(name), []).append(place)
        return found


def folded(name: str) -> str:
    """A column's name as names are compared: `Start Date`, `start_date` and `start-date` are one."""
    return "".join(c for c in name.casefold() if c.isalnum()) or name.strip()


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError(f"{value!r} is no encoding; expected for example utf-8, cp1252 or utf-16") from None
    return value


Encoding = Annotated[str, AfterValidator(_encoding)]
"""How the text of a file is written in bytes."""


def read_table(snapshot: Snapshot, *, encoding: str = "utf-8", skip: int = 0) -> Table:
    """The table in a file: CSV by its header, with the delimiter by which rows are as long as it; JSON by its keys.

    `skip`: how many rows after the header hold no record. Raises ContractError where there is no table.
    """
    content = snapshot.content
    if codecs.lookup(encoding).name != "utf-8":  # of UTF-8 a single row may be broken
        try:
            content = content.decode(encoding).encode()
        except UnicodeError:
            raise ContractError(f"{snapshot.name}: it is not written in {encoding}; correct `encoding`") from None
    if snapshot.name.lower().endswith(CSV_ENDING):
        return _csv_table(snapshot.name, content, skip)
    return _json_table(snapshot.name, content)


def _delimiter(content: bytes) -> str:
    """The delimiter by which the most of the first rows have as many cells as the header."""

    def fit(delimiter: str) -> tuple[float, int]:
        rows = csv_rows(Lines(io.BytesIO(content), take_rest=True), delimiter)
        widths = [0 if isinstance(row, Unreadable) else len(row) for _, row in islice(rows, _ROWS_TO_GUESS_BY)]
        return (widths.count(widths[0]) / len(widths), widths[0]) if widths and widths[0] > 1 else (0.0, 0)

    return max(_DELIMITERS, key=fit)


def _csv_table(name: str, content: bytes, skip: int) -> Table:
    rows = csv_rows(Lines(io.BytesIO(content), take_rest=True), _delimiter(content))
    header = next(rows, (0, Unreadable("it is empty")))[1]
    if isinstance(header, Unreadable):
        raise ContractError(f"{name}: the header cannot be used: {header.reason}")
    found: list[Row] = []
    rejected: list[BadRecord] = []
    for number, (line, row) in enumerate(rows):
        place = f"{name}:{line}"
        if number < skip:
            continue
        if isinstance(row, Unreadable):
            rejected.append(BadRecord(place, row.reason))
        elif len(row) != len(header):
            rejected.append(BadRecord(place, f"the row has {len(row)} cells; expected {len(header)} as in the header"))
        elif any(row):
            found.append(Row(place, row))
    return Table(name, header, found, rejected)


def _json_table(name: str, content: bytes) -> Table:
    """Objects one a line, in one list, or in the only list of one object."""
    whole = _one_list(content) if name.lower().endswith(".json") else None
    lines = json_records(Lines(io.BytesIO(content), take_rest=True))
    items = lines if whole is None else enumerate(whole, start=1)
    word = "" if whole is None else "item "
    objects: list[tuple[str, Mapping[str, object]]] = []
    rejected: list[BadRecord] = []
    for number, item in items:
        place = f"{name}:{word}{number}"
        if isinstance(item, Mapping):
            objects.append((place, item))
        else:
            reason = item.reason if isinstance(item, Unreadable) else "it is no object; expected one JSON object"
            rejected.append(BadRecord(place, reason))
    header = list(dict.fromkeys(key for _, one in objects for key in one))
    rows = [Row(place, [_text(one.get(key)) for key in header]) for place, one in objects]
    return Table(name, header, rows, rejected)


def _one_list(content: bytes) -> list[object] | None:
    """The list that a file of JSON is, or has; None where it has one record a line."""
    try:
        found = msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        return lists[0] if len(lists) == 1 else None
    return found if isinstance(found, list) else None


def _text(value: object) -> str:
    """A JSON value as the text of a cell; nothing for what no cell would hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
