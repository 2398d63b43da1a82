"""Answers of surveys, as form tools export them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_MAIL, PLANTED_NAME
from pydantic import ValidationError

from collector.errors import ContractError, SourceError
from collector.events import SurveyResponse, SurveyScale
from collector.source import Page, SourceContext
from collector.sources.survey import SurveyConfig

WRITTEN = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
NPS = {"recommend": {"column": "Recommend?", "scale": "nps"}}
CSAT = {"satisfied": {"column": "Satisfied?", "scale": "csat", "scores": {"Very satisfied": 5, "Not at all": 1}}}


class Folder:
    """A folder of exports, and a source over it."""

    def __init__(self, context: SourceContext) -> None:
        self.context, self.day = context, 0
        self.cursor: str | None = None
        self.pages: list[Page] = []

    def write(self, *lines: str | bytes, name: str = "answers.csv") -> None:
        """Write a file, a day after the one before."""
        path = self.context.base_dir / name
        path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines) + b"\n")
        os.utime(path, ((WRITTEN + timedelta(days=self.day)).timestamp(),) * 2)
        self.day += 1

    def read(self, path: str = "answers.*", **settings: Any) -> list[SurveyResponse]:
        """The answers of a run from where the last one stopped."""
        usual = {"questions": NPS, "zone": "Europe/Berlin", "time": "Time"}
        if not {"waves", "wave_column"} & settings.keys():
            usual["wave"] = "2026"
        config = SurveyConfig.model_validate({"name": "dx", "type": "survey", "path": path} | usual | settings)
        self.pages = list(config.build(self.context).pull(self.cursor))
        self.cursor = self.pages[-1].cursor if self.pages else self.cursor
        return [e for page in self.pages for e in page.events if isinstance(e, SurveyResponse)]

    def look(self, *lines: str | bytes, **settings: Any) -> list[SurveyResponse]:
        """The answers of a run after the file was written."""
        self.write(*lines)
        return self.read(**settings)

    @property
    def rejected(self) -> list[str]:
        """What the last run set aside."""
        return [str(r) for page in self.pages for r in page.rejected]

    @property
    def warnings(self) -> list[str]:
        """What the last run said."""
        return [w for page in self.pages for w in page.warnings]


@pytest.fixture
def folder(context: SourceContext) -> Folder:
    """An empty folder."""
    return Folder(context)


def scores(answers: list[SurveyResponse]) -> list[int]:
    """The scores of answers, in order."""
    return sorted(a.score for a in answers)


# --- what an answer is ----------------------------------------------------------------------------------


def test_an_answer_is_read_as_it_was_given(folder: Folder) -> None:
    """Score, question, wave, team, when and by whom, the person as a hash."""
    (answer,) = folder.look(
        "Time,Who,Team,Recommend?", f"2026-01-31 09:00,{PLANTED_MAIL},payments,9",
        respondent="Who", team="Team", invited={"2026": 40}, survey="developers",
    )  # fmt: skip

    who = folder.context.people.hashed(PLANTED_MAIL)
    assert answer == SurveyResponse(
        source="dx",
        native_id=f"2026/recommend/{who.removeprefix('person:')}",
        updated_at=WRITTEN,
        survey="developers",
        wave="2026",
        question="recommend",
        scale=SurveyScale.NPS,
        score=9,
        at=datetime(2026, 1, 31, 8, tzinfo=UTC),
        respondent=who,
        team="payments",
        invited=40,
    )


def test_each_question_of_a_row_is_an_answer_and_an_empty_cell_is_none(folder: Folder) -> None:
    """A wide row answers several questions; what somebody left out is no score of 0."""
    answers = folder.look(
        "Time,Recommend?,Satisfied?", "2026-01-31 09:00,9,4", "2026-01-31 10:00,,Very Satisfied",
        questions=NPS | CSAT,
    )  # fmt: skip

    assert sorted((a.question, a.score) for a in answers) == [("recommend", 9), ("satisfied", 4), ("satisfied", 5)]


def test_a_long_file_has_an_answer_in_each_row(folder: Folder) -> None:
    """With `long` a column says which question a row answers; other questions are left alone."""
    answers = folder.look(
        "Time,Item,Value", "2026-01-31 09:00,recommend?,9", "2026-01-31 09:00,Why?,because",
        long={"question": "Item", "score": "Value"},
    )  # fmt: skip

    assert [(a.question, a.score) for a in answers] == [("recommend", 9)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_separators_byte_order_marks_and_quoted_line_breaks(folder: Folder, delimiter: str) -> None:
    """What spreadsheets make of a file does not matter, nor what free text holds."""
    rows = [("\ufeffTime", "Recommend?", "Why?"), ("2026-01-31 09:00", "9", '"a;b,\nc"'), ("2026-01-31 10:00", "6", "")]

    assert scores(folder.look(*(delimiter.join(row) for row in rows))) == [6, 9]


def test_a_question_full_of_other_separators_is_one_column(folder: Folder) -> None:
    """The separator is the one by which rows are as long as the header, not the one that stands there most."""
    question = "How likely, all in all, and on the whole, are you"
    questions = {"recommend": {"column": question, "scale": "nps"}}

    assert scores(folder.look(f"Time;{question}", "2026-01-31 09:00;9", questions=questions)) == [9]


@pytest.mark.parametrize(
    ("encoding", "mark", "written"), [("cp1252", b"", "cp1252"), ("utf-16", b"\xfe\xff", "utf-16-be")]
)
def test_encodings_of_spreadsheets(folder: Folder, encoding: str, mark: bytes, written: str) -> None:
    """A file that is not in UTF-8 is read as the settings say."""
    content = mark + "Time,Größe,Recommend?\n2026-01-31 09:00,schön,9\n".encode(written).removesuffix(b"\n")

    assert scores(folder.look(content, encoding=encoding, team="Größe")) == [9]


def test_a_file_in_another_encoding_is_no_table(folder: Folder) -> None:
    """An encoding that the file is not written in fails the run."""
    with pytest.raises(ContractError, match="it is not written in ascii; correct `encoding`"):
        folder.look("Time,Größe,Recommend?", encoding="ascii")


EXPORTS = [
    ("Timestamp", "2026/01/31 9:00:00 AM GMT+1", {"format": "english", "zone": None}),
    ("Timestamp", "2026/01/31 9:00:00 AM CET", {"format": "english"}),
    ("Timestamp", "1/31/2026 9:00:00", {"format": "%m/%d/%Y %H:%M:%S"}),
    ("End Date", "01/31/2026 09:00:00 AM", {"format": "%m/%d/%Y %I:%M:%S %p"}),
    ("Completion time", "46053.375", {"format": "serial"}),
    ("Completion time", "1/31/26 9:00:00", {"format": "%m/%d/%y %H:%M:%S"}),
    ("Submit Date (UTC)", "2026-01-31 08:00:00", {"zone": None}),
    ("Date submitted", "2026-01-31 09:00:00", {}),
    ("submitdate", "2026-01-31 09:00:00", {}),
]


@pytest.mark.parametrize(("column", "text", "settings"), EXPORTS)
def test_exports_of_form_tools(folder: Folder, column: str, text: str, settings: dict[str, Any]) -> None:
    """Each tool's column and form of time is one time in UTC."""
    (answer,) = folder.look(f"{column},Recommend?", f"{text},9", time=None, **settings)

    assert answer.at == datetime(2026, 1, 31, 8, tzinfo=UTC)


def test_rows_after_the_header_that_are_no_answers_are_passed_over(folder: Folder) -> None:
    """Some tools write the wording and an import id below the header."""
    answers = folder.look(
        "Time,Recommend?", "When,How likely", '"{""ImportId"":""t""}",x', "2026-01-31 09:00,9", skip=2
    )

    assert scores(answers) == [9]
    assert folder.rejected == []


def test_a_list_of_objects_is_read_too(folder: Folder) -> None:
    """A JSON export has the same columns, by key."""
    folder.write('[{"Time": "2026-01-31T09:00:00Z", "Recommend?": 9}]', name="answers.json")

    assert scores(folder.read()) == [9]


BAD_ROWS = [
    ("2026-01-31 09:00,11", "`recommend`: expected a whole number from 0 to 10, or a word of `scores`"),
    ("2026-01-31 09:00,-1", "`recommend`: expected a whole number from 0 to 10, or a word of `scores`"),
    ("2026-01-31 09:00,8.5", "`recommend`: expected a whole number from 0 to 10, or a word of `scores`"),
    (
        f"2026-01-31 09:00,{PLANTED_NAME}",
        "`recommend`: expected a whole number from 0 to 10, or a word of `scores`",
    ),
    ("31.01.2026,9", "`time`: expected a time in the form iso, with an offset or `zone`"),
    ("9999-12-31T23:59:59Z,9", "`time`: expected a time in the form iso, with an offset or `zone`"),
    ("1980-01-01 00:00:00,9", "`time` lies before 1990; expected a tool that keeps the times of answers"),
    ("2026-01-31 09:00", "the row has 1 cells; expected 2 as in the header"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_an_answer_that_is_none_is_set_aside(folder: Folder, row: str, reason: str) -> None:
    """Score 11 → bad record, with its place and never with what stands there; the good ones are kept."""
    answers = folder.look("Time,Recommend?", row, "2026-01-31 10:00,9.0")

    assert scores(answers) == [9]
    assert folder.rejected == [f"answers.csv:2: {reason}"]


def test_a_time_without_a_zone_is_no_time(folder: Folder) -> None:
    """A naive time without a declared zone is refused."""
    assert folder.look("Time,Recommend?", "2026-01-31 09:00,9", zone=None) == []
    assert len(folder.rejected) == 1


def test_a_row_that_was_never_sent_is_no_answer(folder: Folder) -> None:
    """Tools export what somebody began and did not send, without a time."""
    assert folder.look("Time,Recommend?", ",9", ",3") == []
    assert folder.warnings == ["answers.csv: rows without a time, which were never sent: 2"]


@pytest.mark.parametrize(
    ("header", "settings", "words"),
    [
        ("Time,Score", {}, r"the header lacks the column 'Recommend\?'"),
        ("Time,Recommend?,recommend", {}, r"the header names the column 'Recommend\?' twice"),
        ("When,Recommend?", {"time": None}, "no column tells when somebody answered; name it in `time`"),
        ("Time,Recommend?", {"respondent": "Mail"}, "the header lacks the column 'Mail'"),
    ],
)
def test_a_file_without_its_columns_fails_the_run(
    folder: Folder, header: str, settings: dict[str, Any], words: str
) -> None:
    """A renamed question is no wave without answers."""
    with pytest.raises(ContractError, match=words):
        folder.look(header, "2026-01-31 09:00,9" + ",9" * (header.count(",") - 1), **settings)


# --- waves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waves", "wave"), [("month", "2026-04"), ("quarter", "2026-Q2"), ("half", "2026-H1"), ("year", "2026")]
)
def test_waves_are_parts_of_the_local_year(folder: Folder, waves: str, wave: str) -> None:
    """An answer at 00:30 in Berlin on 1 April is of April and of the second quarter."""
    (answer,) = folder.look("Time,Recommend?", "2026-04-01 00:30,9", waves=waves)

    assert answer.wave == wave


def test_a_column_may_name_the_wave(folder: Folder) -> None:
    """Where the file tells the wave, it is that; a row that tells none is set aside."""
    answers = folder.look("Time,Recommend?,Round", "2026-01-31 09:00,9,spring", "2026-01-31 09:00,9,",
                          wave_column="Round")  # fmt: skip

    assert [a.wave for a in answers] == ["spring"]
    assert folder.rejected == ["answers.csv:3: `wave_column` is empty; expected the name of the wave"]


@pytest.mark.parametrize("rules", [{}, {"wave": "1", "waves": "year"}])
def test_exactly_one_rule_tells_the_wave(rules: dict[str, str]) -> None:
    """Two rules, or none, are refused: neither is guessed."""
    fields = {"name": "dx", "type": "survey", "path": "a.csv", "questions": NPS, **rules}
    with pytest.raises(ValidationError, match="expected one of wave, wave_column, waves"):
        SurveyConfig.model_validate(fields)


# --- one person, one answer -----------------------------------------------------------------------------


def test_of_two_answers_of_one_person_the_last_counts(folder: Folder) -> None:
    """One respondent twice → last answer, wherever it stands in the file; that is said."""
    answers = folder.look(
        "Time,Who,Recommend?", "2026-01-31 10:00,Ada@people.example,9", "2026-01-31 09:00,ada@people.example,3",
        respondent="Who",
    )  # fmt: skip

    assert scores(answers) == [9]
    assert folder.warnings == ["answers that were given again, of which the last counts: 1"]


def test_answers_of_nobody_known_all_count(folder: Folder) -> None:
    """Without a respondent two answers of one second are two."""
    answers = folder.look("Time,Recommend?", "2026-01-31 09:00,9", "2026-01-31 09:00,9")

    assert len({a.id for a in answers}) == 2
    assert {a.respondent for a in answers} == {None}


def test_a_rows_own_id_keeps_a_corrected_row_the_same_answer(folder: Folder) -> None:
    """With `response` a row whose time was corrected is the answer that it was, and stands nowhere as it is."""
    (before,) = folder.look("Response ID,Time,Recommend?", "R-17,2026-01-31 09:00,9", response="Response ID")

    (after,) = folder.look("Response ID,Time,Recommend?", "R-17,2026-01-31 09:30,9", response="Response ID")

    assert after.id == before.id
    assert "R-17" not in after.native_id


# --- files ----------------------------------------------------------------------------------------------


def test_nothing_new_gives_no_page(folder: Folder) -> None:
    """Files that say what they said are not read into answers again."""
    folder.look("Time,Recommend?", "2026-01-31 09:00,9")

    assert folder.look("Time,Recommend?", "2026-01-31 09:00,9") == []
    assert folder.pages == []


def test_other_settings_read_everything_again(folder: Folder) -> None:
    """Whoever corrects `zone` need not touch the file."""
    folder.look("Time,Recommend?", "2026-01-31 09:00,9")

    assert len(folder.read(zone="Europe/Lisbon")) == 1


def test_what_is_read_otherwise_is_newer_than_what_was_read(folder: Folder) -> None:
    """Of two versions of an answer the later one stays: also after settings were corrected, or an old file restored."""
    (first,) = folder.look("Time,Who,Recommend?", "2026-01-31 09:00,ada,9", respondent="Who")
    (corrected,) = folder.read(respondent="Who", zone="Europe/Lisbon")
    folder.day -= 2

    (restored,) = folder.look("Time,Who,Recommend?", "2026-01-31 09:00,ada,3", respondent="Who", zone="Europe/Lisbon")

    assert first.updated_at == WRITTEN
    assert [a.updated_at for a in (corrected, restored)] == [WRITTEN + timedelta(microseconds=n) for n in (1, 2)]


@pytest.mark.parametrize("cursor", ["", "null", "{}"])
def test_a_foreign_cursor_reads_everything_again(folder: Folder, cursor: str) -> None:
    """A cursor of another form costs a full read, not the run."""
    folder.cursor = cursor

    assert len(folder.look("Time,Recommend?", "2026-01-31 09:00,9")) == 1


def test_a_deleted_answer_goes_and_other_waves_stay(folder: Folder) -> None:
    """An export is all of its waves: what it holds no more is no answer; a wave that it does not hold is left alone."""
    folder.look("Time,Recommend?", "2026-01-31 09:00,9", "2026-04-30 09:00,9", waves="quarter")

    (answer,) = folder.look("Time,Recommend?", "2026-04-30 10:00,9", waves="quarter")

    (whole,) = folder.pages[0].complete
    assert (dict(whole.where), set(whole.native_ids)) == ({"survey": "dx", "wave": "2026-Q2"}, {answer.native_id})


@pytest.mark.parametrize("row", ['"2026', "31.01.2026 10:00,9"])
def test_nothing_is_deleted_where_a_row_cannot_be_read(folder: Folder, row: str) -> None:
    """A damaged file says nothing about what it does not hold, nor does one of other times than the settings say."""
    folder.look("Time,Recommend?", "2026-01-31 09:00,9", row)

    assert list(folder.pages[0].complete) == []


def test_several_files_are_one_survey(folder: Folder) -> None:
    """A file for each wave, or for each site, make one survey."""
    folder.write("Time,Recommend?", "2026-01-31 09:00,9", name="answers.1.csv")
    folder.write("Time,Recommend?", "2026-01-31 10:00,3", name="answers.2.csv")

    assert scores(folder.read()) == [3, 9]


def test_a_survey_that_nobody_exports_any_more_fails(folder: Folder) -> None:
    """27 hours without a word where 26 are the limit: the export has stopped, which is said."""
    folder.look("Time,Recommend?", "2026-01-31 09:00,9", silent_after="26h")

    with pytest.raises(SourceError, match="was written to since 2026-03-01 06:00 UTC"):
        folder.read(silent_after="26h")


def test_nothing_of_a_person_is_kept(folder: Folder) -> None:
    """Neither events, nor cursor, nor what is said holds an address, a name or free text."""
    folder.look("Time,Who,Why,Recommend?", f"2026-01-31 09:00,{PLANTED_MAIL},{PLANTED_NAME},{PLANTED_NAME}",
                f"2026-01-31 09:00,{PLANTED_MAIL},{PLANTED_NAME},7", respondent="Who")  # fmt: skip

    assert "quarterstaff" not in f"{folder.pages} {folder.cursor}".lower()
