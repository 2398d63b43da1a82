"""People of a roster: a CSV or JSON file with a line for each person, as personnel systems export it.

The file is read whole whenever it changed. What a line does not tell, such as when it was entered, is known from the
looks before, which the cursor holds; how is `collector/staff.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import msgspec
from pydantic import Field

from collector.cursors import decoded
from collector.durations import Duration
from collector.errors import BadRecord, ContractError, Mistake, SourceError
from collector.people import People
from collector.source import About, Page, SourceConfig, SourceContext
from collector.staff import StaffSettings, Stay, UnreadableError, Words, check_share, continued, whole
from collector.tabular import (
    Encoding,
    Row,
    Snapshot,
    Table,
    check_path,
    check_silence,
    later,
    matching,
    read_table,
    read_whole,
)

Column: TypeAlias = Literal["person", "start", "left", "entered", "kind", "team", "site", "codes"]
_COLUMNS: Mapping[Column, Sequence[str]] = {
    "person": ("person", "mail", "email", "work email", "login", "user name", "user"),
    "start": ("start", "start date", "started", "started at", "hire date", "joined"),
    "left": ("left", "left at", "end", "end date", "last day", "termination date"),
    "entered": ("entered", "entered at", "entered on", "created", "created at"),
    "kind": ("kind", "member kind", "type", "employment type"),
    "team": ("team", "department"),
    "site": ("site", "location", "office"),
    "codes": ("codes",),
}
_ABOUT = About(
    system="Rosters (CSV, JSON)",
    gives=("member",),
    tested="real files",
    limits=(
        "What the file said between two runs, and says no more, is not seen.",
        "A line that vanishes says that somebody left, and not when: the file's time of writing counts.",
    ),
    example="""\
sources:
  - type: roster
    name: people
    path: exports/people.csv
    columns: {person: Work email, start: Hire date, kind: Contract}
    kinds:
      hire: [permanent]
      contractor: ["*freelance*"]
    zone: Europe/Berlin
""",
    more="""\
**What becomes what.** Each line is a stay on the roster: a person, a start, a kind. The person is whatever other
sources call them, best the address that stands in their commits; it is hashed before anything else looks. Several
accounts of one person belong into the [identities](../privacy.md) file, not here. Columns are found by usual names
(`start`, `Start date`, `hire_date`); `columns` names them where yours differ. Only `person` and `start` are needed.
Separators are found out; `encoding` names what is not UTF-8. Of a pattern that fits several files, the last by name is
the roster: exports whose names carry their date work.

**Dates.** A start is a day: it begins at 00:00 at the person's site, whose calendar knows its zone. Somebody left at
the end of the day that `left` names. Dates are read as 2026-03-02 unless `dates` says otherwise; times of day need an
offset, or `zone`.

**When a line was entered.** Where no column tells, it is when the file with a new line was written. Of lines that were
there at the first look nobody knows: they count as entered in time. A start that is moved leaves its line the line it
was, unless the person had left before: they joined again, and the stay before is kept. Who is entered after a deadline,
or with a fifth of the roster within a week, is left out of onboarding, and said to be. Read by corrected settings, the
same file is as at the first look: nobody joined or left by that.

**Kinds.** `hire` (or `employee`), `rehire`, `transfer`, `contractor` and `intern` are understood, others by `kinds`;
what nothing maps is a `hire`, and said. `codes` is `yes` or `no`, or, with `coding`, a role that is expected to write
code.

**Who is not listed any more** has left (`missing: left`), which is said. A file that lists newcomers alone needs
`missing: ignore`. Where a quarter (`broken_share`) of the people are gone at once, and more than three, the export
broke: the run fails.
""",
)


class RosterConfig(StaffSettings, SourceConfig):
    """Settings of a file with people."""

    about: ClassVar[About | None] = _ABOUT

    type: Literal["roster"]
    path: str = Field(
        min_length=1,
        description="The file, relative to the configuration's folder, ending in .csv, .json, .jsonl or .ndjson; of a "
        "pattern the last file by name.",
    )
    columns: dict[Column, str] = Field(
        default_factory=dict, description="What the file calls its columns, where it is none of the usual names."
    )
    encoding: Encoding = Field(
        default="utf-8", description="How the text is written: `cp1252` and `utf-16` are what spreadsheets write else."
    )
    silent_after: Duration | None = Field(
        default=None, description="When the file was not written for this long, runs without anything new fail."
    )

    def build(self, context: SourceContext) -> RosterSource:
        """The source."""
        return RosterSource(self, context.base_dir, context.people, context.clock)

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that nothing matches is a mistake."""
        return check_path(context.base_dir, self.path)

    @property
    def meaning(self) -> str:
        """Changes with all that says how the file is read."""
        told = self.model_dump_json(exclude={"every", "stale_after", "broken_share", "silent_after"})
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What the last look saw: the file's digest, what its settings meant, when that was, and the stays.

    `stamp` is the `updated_at` of what was reported.
    """

    digest: str
    meaning: str
    stamp: datetime
    stays: dict[str, Stay]


@dataclass
class _Found:
    """What the rows of a file say."""

    stays: list[Stay] = field(default_factory=list)
    rejected: list[BadRecord] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    nobody: int = 0
    """Rows of which not even the person can be read."""
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RosterSource:
    """See RosterConfig."""

    config: RosterConfig
    base_dir: Path
    people: People = field(repr=False)
    clock: Callable[[], datetime] = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """One page with those whose line is new or another; none where the file is the same.

        Raises SourceError where there is no file, too many are gone or nobody writes it any more, ContractError where
        it has no column for the person or the start.
        """
        config = self.config
        names = matching(self.base_dir, config.path)
        if not names:
            raise SourceError(f"no file matches the path {config.path}; restore it or correct `path`")
        (snapshot,) = read_whole(self.base_dir, config.path, names[-1:])
        before = decoded(cursor, _Cursor)
        if before is not None and (before.digest, before.meaning) == (snapshot.digest, config.meaning):
            check_silence(self.base_dir, config.path, names[-1:], config.silent_after, self.clock())
            return
        yield self._page(snapshot, before)

    def _page(self, snapshot: Snapshot, before: _Cursor | None) -> Page:
        config, at = self.config, snapshot.modified_at
        table = read_table(snapshot, encoding=config.encoding)
        found = _Reader(config, self.people, table).read()
        found.rejected += table.rejected
        unread = found.nobody + len(table.rejected)
        known = before.stays if before else None
        # Whose row cannot be told from another's may be anybody's: then nobody is taken for gone.
        seen = found.seen if not unread else {s.person for s in (known or {}).values()} | found.seen
        corrected = before is not None and before.digest == snapshot.digest
        roster = continued(known, found.stays, seen, at, leaves=config.missing == "left", corrected=corrected)
        check_share((known or {}).values(), roster.newly_gone, config.broken_share, at)
        stamp = later(at, before.stamp if before else None)
        cursor = _Cursor(digest=snapshot.digest, meaning=config.meaning, stamp=stamp, stays=roster.stays)
        return Page(
            events=roster.events(config.name, known or {}, stamp),
            rejected=found.rejected,
            warnings=[*found.said, *self._warnings(snapshot.name, roster.newly_gone, unread if known else 0)],
            complete=[whole(roster.stays)],
            cursor=msgspec.json.encode(cursor).decode(),
        )

    def _warnings(self, name: str, gone: int, unread: int) -> Iterator[str]:
        if gone:
            taken = "they count as having left" if self.config.missing == "left" else "nothing is concluded from it"
            yield f"{name}: {gone} of the people are not listed any more; {taken}"
        if unread:
            yield f"{name}: {unread} lines cannot be told from others, so nobody is taken as having left"


class _Reader:
    """Reads the rows of a file as its settings say."""

    def __init__(self, config: RosterConfig, people: People, table: Table) -> None:
        self._config, self._people, self._table = config, people, table
        self._words = Words(config)
        self._columns = {name: self._column(name) for name in _COLUMNS}

    def _column(self, name: Column) -> int | None:
        told = self._config.columns.get(name)
        found = self._table.column(*((told,) if told else _COLUMNS[name]))
        if found is None and (told or name in {"person", "start"}) and self._table.header:
            called = f"the column {told!r}" if told else f"a column for `{name}`"
            raise ContractError(f"{self._table.name}: the header lacks {called}; name it in `columns`")
        return found

    def read(self) -> _Found:
        """The stays in all rows. Of two rows of one person and start the later one counts."""
        found = _Found()
        places: dict[tuple[str, datetime], Stay] = {}
        for row in self._table.rows:
            person = self._cell(row, "person")
            if not person:
                found.nobody += 1
                found.rejected.append(BadRecord(row.place, "`person` is empty; expected a login or an address"))
                continue
            found.seen.add(self._people.hashed(person))
            try:
                stay = self._stay(row, person)
            except UnreadableError as refused:
                found.rejected.append(BadRecord(row.place, str(refused)))
                continue
            if (stay.person, stay.started_at) in places:
                self._words.said["one person and start stands there twice; the later line counts"] += 1
            places[stay.person, stay.started_at] = stay
        found.stays = list(places.values())
        found.said = [f"{self._table.name}: {what}" for what in self._words.told]
        return found

    def _cell(self, row: Row, name: Column) -> str:
        place = self._columns[name]
        return "" if place is None else row.cells[place]

    def _stay(self, row: Row, person: str) -> Stay:
        words, started_at = self._words, self._words.start(self._cell(row, "start"))
        return Stay(
            person=self._people.hashed(person),
            kind=words.kind(self._cell(row, "kind")),
            started_at=started_at,
            entered_at=words.day("entered", self._cell(row, "entered")),
            left_at=words.left(self._cell(row, "left"), started_at),
            team=self._cell(row, "team") or None,
            site=self._cell(row, "site") or None,
            codes=words.codes(self._cell(row, "codes")),
            bot=self._people.is_bot(person),
        )
