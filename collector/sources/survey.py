"""Answers of a survey: the CSV or JSON that a form tool exports, with a row for each respondent or each answer.

Only the columns that the settings name are looked at: free text, names and addresses beside them are never read.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.cursors import decoded
from collector.durations import Duration
from collector.errors import BadRecord, ContractError, Mistake, SourceError
from collector.events import SurveyResponse, SurveyScale
from collector.local_times import ISO, LocalTimes, TimeForm, ZoneName
from collector.people import People
from collector.source import About, Complete, Page, SourceConfig, SourceContext
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

_TIMES = (
    "Timestamp",
    "Completion time",
    "Submit Date (UTC)",
    "Date submitted",
    "submitdate",
    "End Date",
    "submitted_at",
)
_RANGES = {SurveyScale.NPS: range(11), SurveyScale.CSAT: range(1, 6)}
_WHOLE = re.compile(r"([+-]?\d{1,6})(?:[.,]0+)?", re.ASCII)
_FIRST_YEAR = 1990
"""Tools that keep no times write 1980 or 1970."""
_BEFORE_ALL = datetime(1800, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = {"month": 1, "quarter": 3, "half": 6, "year": 12}
_LETTERS = {"quarter": "Q", "half": "H"}
_ABOUT = About(
    system="Surveys (CSV, JSON of form tools)",
    gives=("survey_response",),
    tested="recorded shape",
    limits=(
        "LimeSurvey dates answers to anonymised surveys 1980-01-01 unless it keeps their dates; such are set aside.",
        "Without `respondent` nobody can see that somebody answered twice.",
    ),
    example="""\
sources:
  - type: survey
    name: developers
    path: surveys/*.csv
    zone: Europe/Berlin
    waves: quarter
    questions:
      recommend: {column: How likely are you to recommend us?, scale: nps}
    invited: {2026-Q1: 240}
""",
    more="""\
**What becomes what.** Each answer to a question of `questions` is a response: its score, its question, its wave. The
name of a question is its identity over waves: give another wording another name, so that waves whose questions changed
are never compared. `scores` maps words (`Very satisfied: 5`). A score outside the scale (0 to 10, 1 to 5) is set
aside.

**Waves.** Exactly one of `wave` (all answers are of this one), `wave_column`, or `waves` (by the month, quarter, half
or year of an answer, such as 2026-Q1). `invited` says how many were asked in a wave.

**Who.** `respondent` names a column with an address, a login or a token; it is hashed at once. Of two answers of one
person to one question of a wave the last counts. Surveys without it count each row; `response` may name a column with
the row's own id, so that a corrected row is the same answer.

**Rows.** Wide files have a column for each question; with `long` each row is one answer. Separators and byte order
marks are found out; `encoding` names what is not UTF-8. `skip` passes over rows after the header that are no answers:
Qualtrics writes two.

**Times.** `time` names the column; the usual names of the tools below are found. A row without a time was never sent.

| Tool | `format` | `zone` |
|---|---|---|
| Google Forms | `english`: 2026/01/31 9:00:00 AM GMT+1 | stands there; the form's where it says EST or EET |
| Google Sheets | as the sheet's locale writes it, such as `%m/%d/%Y %H:%M:%S` | the sheet's |
| Microsoft Forms | `serial`, or `%m/%d/%y %H:%M:%S` as the spreadsheet saves it | the form owner's |
| SurveyMonkey | `%m/%d/%Y %I:%M:%S %p`, with `skip: 1` | the account's |
| Typeform | `iso` (its columns end in "(UTC)", which counts as the zone) | not needed |
| LimeSurvey | `iso` | the server's |
| Qualtrics | `iso`, with `skip: 2` | the account's |

An answer that is deleted from a wave's export is deleted here; a wave that is in no file any more stays.
""",
)


class Question(BaseModel):
    """A question of a survey."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1, description="Its column; in long files what its question column says.")
    scale: SurveyScale = Field(description="`nps`, 0 to 10, or `csat`, 1 to 5.")
    scores: dict[str, int] = Field(default_factory=dict, description="Scores of answers that are words.")


class LongForm(BaseModel):
    """The columns of a file with a row for each answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(min_length=1, description="The column that says which question was answered.")
    score: str = Field(min_length=1, description="The column with the answer.")


class SurveyConfig(SourceConfig):
    """Settings of files with the answers of a survey."""

    about: ClassVar[About | None] = _ABOUT

    type: Literal["survey"]
    path: str = Field(
        min_length=1,
        description="A file, or a pattern, relative to the configuration's folder, ending in .csv, .json, .jsonl or "
        ".ndjson.",
    )
    survey: str = Field(default="", description="The survey's name; the source's unless given.")
    questions: dict[str, Question] = Field(min_length=1, description="The questions by names that stay over waves.")
    long: LongForm | None = Field(default=None, description="The columns of files with a row for each answer.")
    time: str | None = Field(default=None, description="The column with the time of answering, if not a usual name.")
    format: TimeForm = Field(
        default=ISO,
        description="The form of times: `iso`, `english` (2026/01/31 9:00:00 AM), `serial` (a spreadsheet's days), or "
        "strptime's, such as `%m/%d/%y %H:%M:%S`.",
    )
    zone: ZoneName | None = Field(default=None, description="The zone of times without an offset, and of waves.")
    respondent: str | None = Field(default=None, description="The column that says who answered; hashed at once.")
    response: str | None = Field(default=None, description="The column with a row's own id, where nobody is known.")
    team: str | None = Field(default=None, description="The column with the team of who answered.")
    wave: str | None = Field(default=None, min_length=1, description="The wave that all answers are of.")
    wave_column: str | None = Field(default=None, description="The column that names the wave.")
    waves: Literal["month", "quarter", "half", "year"] | None = Field(
        default=None, description="The part of the year that makes a wave."
    )
    invited: dict[str, int] = Field(default_factory=dict, description="How many were asked, by wave.")
    skip: int = Field(default=0, ge=0, le=10, description="Rows after the header that are no answers.")
    encoding: Encoding = Field(
        default="utf-8", description="How the text is written: `cp1252` and `utf-16` are what spreadsheets write else."
    )
    silent_after: Duration | None = Field(
        default=None, description="When no file was written for this long, runs without anything new fail."
    )

    @model_validator(mode="after")
    def _has_one_rule_for_waves(self) -> SurveyConfig:
        if sum(rule is not None for rule in (self.wave, self.wave_column, self.waves)) != 1:
            raise ValueError("not exactly one thing tells the wave; expected one of wave, wave_column, waves")
        return self

    def build(self, context: SourceContext) -> SurveySource:
        """The source."""
        return SurveySource(self, context.base_dir, context.people, context.clock)

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that nothing matches is a mistake."""
        return check_path(context.base_dir, self.path)


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What the last look saw: files by their digests, what the settings meant, and when that was."""

    meaning: str
    stamp: datetime
    files: dict[str, str]


@dataclass(frozen=True)
class SurveySource:
    """See SurveyConfig."""

    config: SurveyConfig
    base_dir: Path
    people: People = field(repr=False)
    clock: Callable[[], datetime] = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """One page with all answers where a file changed; none otherwise.

        Raises SourceError where there is no file or nobody writes any more, ContractError where a column is missing.
        """
        names = matching(self.base_dir, self.config.path)
        if not names:
            raise SourceError(f"no file matches the path {self.config.path}; restore it or correct `path`")
        snapshots = read_whole(self.base_dir, self.config.path, names)
        told = self.config.model_dump_json(exclude={"every", "stale_after", "silent_after"})
        meaning = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
        before, files = decoded(cursor, _Cursor), {s.name: s.digest for s in snapshots}
        if before is not None and (before.meaning, before.files) == (meaning, files):
            check_silence(self.base_dir, self.config.path, names, self.config.silent_after, self.clock())
            return
        stamp = later(max(s.modified_at for s in snapshots), before.stamp if before else None)
        yield self._page(snapshots, _Cursor(meaning=meaning, stamp=stamp, files=files))

    def _page(self, snapshots: Sequence[Snapshot], cursor: _Cursor) -> Page:
        answers = _Answers(self.config, self.people, cursor.stamp)
        for snapshot in snapshots:
            answers.read(snapshot)
        return Page(
            events=list(answers.last.values()),
            rejected=answers.rejected,
            warnings=[f"{what}: {n}" for what, n in answers.said.items()],
            complete=answers.complete(),
            cursor=msgspec.json.encode(cursor).decode(),
        )


class _RefusedError(Exception):
    """Why a row or an answer is none: the column and what was expected, never the value."""


class _Columns(NamedTuple):
    """Where in a row things stand."""

    time: int
    questions: Mapping[str, int]
    respondent: int | None
    response: int | None
    team: int | None
    wave: int | None
    question: int | None


class _Sent(NamedTuple):
    """What a row tells beside its scores."""

    at: datetime
    wave: str
    respondent: str | None
    native: str
    team: str | None


class _Answers:
    """The answers in files, of each person to each question the last. `stamp`: when the files said so."""

    def __init__(self, config: SurveyConfig, people: People, stamp: datetime) -> None:
        self._config, self._people, self._stamp = config, people, stamp
        self._survey = config.survey or config.name
        self._called = {q.column.casefold(): name for name, q in config.questions.items()}
        self._same: Counter[tuple[str, str, datetime]] = Counter()
        self._damaged = False
        self.last: dict[str, SurveyResponse] = {}
        self.rejected: list[BadRecord] = []
        self.said: Counter[str] = Counter()

    def read(self, snapshot: Snapshot) -> None:
        """Add what a file holds."""
        table = read_table(snapshot, encoding=self._config.encoding, skip=self._config.skip)
        self.rejected += table.rejected
        self._damaged = self._damaged or bool(table.rejected)
        if not table.header:
            return
        columns, times = self._columns(table)
        for row in table.rows:
            if not row.cells[columns.time]:
                self.said[f"{snapshot.name}: rows without a time, which were never sent"] += 1
                continue
            try:
                sent = self._sent(row, columns, times)
            except _RefusedError as refused:
                self.rejected.append(BadRecord(row.place, str(refused)))
                self._damaged = True
                continue
            for name, text in self._texts(row, columns):
                self._add(row, sent, name, text)

    def _columns(self, table: Table) -> tuple[_Columns, LocalTimes]:
        """Where things stand in a file, and how its times are read. Raises ContractError for a missing column."""
        config = self._config
        time = _needed(table, config.time) if config.time else table.column(*_TIMES)
        if time is None:
            raise ContractError(f"{table.name}: no column tells when somebody answered; name it in `time`")
        questions = {name: q.column for name, q in config.questions.items()}
        if config.long is not None:
            questions = {"": config.long.score}
        columns = _Columns(
            time=time,
            questions={name: _needed(table, column) for name, column in questions.items()},
            respondent=_place(table, config.respondent),
            response=_place(table, config.response),
            team=_place(table, config.team),
            wave=_place(table, config.wave_column),
            question=_place(table, config.long.question if config.long else None),
        )
        utc = "UTC" if table.header[time].rstrip().endswith("(UTC)") else None
        return columns, LocalTimes(config.format, config.zone or utc)

    def _texts(self, row: Row, columns: _Columns) -> Iterator[tuple[str, str]]:
        """The questions that a row answers, with the answers as they stand there."""
        for name, place in columns.questions.items():
            asked = self._called.get(row.cells[columns.question].casefold()) if columns.question is not None else name
            if asked is not None and row.cells[place]:
                yield asked, row.cells[place]

    def _sent(self, row: Row, columns: _Columns, times: LocalTimes) -> _Sent:
        at = times.at(row.cells[columns.time])
        if at is None or at.year == MAXYEAR:  # which no zone has whole
            raise _RefusedError(f"`time`: expected a time in the form {times.form}, with an offset or `zone`")
        if at.year < _FIRST_YEAR:
            raise _RefusedError(f"`time` lies before {_FIRST_YEAR}; expected a tool that keeps the times of answers")
        wave = self._wave(at, "" if columns.wave is None else row.cells[columns.wave])
        if not wave:
            raise _RefusedError("`wave_column` is empty; expected the name of the wave")
        who = _cell(row, columns.respondent)
        respondent = self._people.hashed(who) if who else None
        own = self._people.hashed(_cell(row, columns.response)) if _cell(row, columns.response) else ""
        return _Sent(at, wave, respondent, respondent or own, _cell(row, columns.team) or None)

    def _wave(self, at: datetime, named: str) -> str:
        rule = self._config.waves
        if rule is None:
            return self._config.wave or named
        local = at.astimezone(ZoneInfo(self._config.zone or "UTC"))
        if rule == "year":
            return f"{local:%Y}"
        number = (local.month - 1) // _MONTHS[rule] + 1
        return f"{local:%Y-%m}" if rule == "month" else f"{local:%Y}-{_LETTERS[rule]}{number}"

    def _add(self, row: Row, sent: _Sent, name: str, text: str) -> None:
        """Add an answer; one that its person gave earlier makes way."""
        question = self._config.questions[name]
        score, scale = _score(text, question), _RANGES[question.scale]
        if score is None or score not in scale:
            why = f"`{name}`: expected a whole number from {scale[0]} to {scale[-1]}, or a word of `scores`"
            self.rejected.append(BadRecord(row.place, why))
            return
        event = SurveyResponse(
            source=self._config.name,
            native_id=f"{sent.wave}/{name}/{self._native(sent, name)}",
            updated_at=self._stamp,
            survey=self._survey,
            wave=sent.wave,
            question=name,
            scale=question.scale,
            score=score,
            at=sent.at,
            respondent=sent.respondent,
            team=sent.team,
            invited=self._config.invited.get(sent.wave),
        )
        before = self.last.get(event.native_id)
        if before is not None:
            self.said["answers that were given again, of which the last counts"] += 1
        if before is None or before.at <= event.at:
            self.last[event.native_id] = event

    def _native(self, sent: _Sent, name: str) -> str:
        """What tells an answer from others: who gave it, the row's own id, else when, and the how-manieth then."""
        if sent.native:
            return sent.native.rpartition(":")[2]
        key = sent.wave, name, sent.at
        self._same[key] += 1
        return f"{(sent.at - _EPOCH).total_seconds():.0f}-{self._same[key]}"

    def complete(self) -> list[Complete]:
        """The waves of which the files hold all answers: none where a row cannot be read."""
        waves = sorted({e.wave for e in self.last.values()})
        ids = frozenset(self.last)
        return [
            Complete(
                kind=SurveyResponse,
                where={"survey": self._survey, "wave": wave},
                dated="at",
                since=_BEFORE_ALL,
                native_ids=ids,
            )
            for wave in (() if self._damaged else waves)
        ]


def _needed(table: Table, name: str) -> int:
    """The place of a column that the settings name. Raises ContractError where it is missing."""
    found = table.column(name)
    if found is None:
        raise ContractError(f"{table.name}: the header lacks the column {name!r}; correct the settings")
    return found


def _place(table: Table, name: str | None) -> int | None:
    """The same, where the settings name one."""
    return None if name is None else _needed(table, name)


def _cell(row: Row, place: int | None) -> str:
    return "" if place is None else row.cells[place]


def _score(text: str, question: Question) -> int | None:
    """The score that an answer is; None for words that mean none."""
    words = {word.casefold(): score for word, score in question.scores.items()}
    found = _WHOLE.fullmatch(text)
    return words.get(text.casefold(), int(found[1]) if found else None)
