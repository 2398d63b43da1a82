"""People of a roster: what a line says, and what it says that one is new, moved or gone."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_MAIL, PLANTED_NAME
from pydantic import ValidationError

from collector.errors import ContractError, SourceError
from collector.events import Member, MemberKind
from collector.local_times import LocalTimes
from collector.source import Page, SourceContext
from collector.sources.roster import RosterConfig

WRITTEN = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
HEADER = "person,start,left,kind"


class Folder:
    """A folder with a roster that changes from day to day, and a source over it."""

    def __init__(self, context: SourceContext) -> None:
        self.context, self.day = context, 0
        self.cursor: str | None = None
        self.pages: list[Page] = []

    def write(self, *lines: str | bytes, name: str = "people.csv") -> None:
        """Write the file, a day after the time before."""
        path = self.context.base_dir / name
        path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines) + b"\n")
        os.utime(path, (self.written_at.timestamp(),) * 2)
        self.day += 1

    @property
    def written_at(self) -> datetime:
        """When the file is written next."""
        return WRITTEN + timedelta(days=self.day)

    def read(self, path: str = "people.csv", **settings: Any) -> list[Member]:
        """The events of a run from where the last one stopped."""
        config = RosterConfig.model_validate({"name": "people", "type": "roster", "path": path, **settings})
        self.pages = list(config.build(self.context).pull(self.cursor))
        self.cursor = self.pages[-1].cursor if self.pages else self.cursor
        return [e for page in self.pages for e in page.events if isinstance(e, Member)]

    def look(self, *lines: str | bytes, **settings: Any) -> list[Member]:
        """The events of a run after the file was written."""
        self.write(*lines)
        return self.read(**settings)

    def one(self, *lines: str, **settings: Any) -> Member:
        """The only event of such a run."""
        (event,) = self.look(*lines, **settings)
        return event

    @property
    def rejected(self) -> list[str]:
        """What the last run set aside."""
        return [str(r) for page in self.pages for r in page.rejected]

    @property
    def warnings(self) -> list[str]:
        """What the last run said."""
        return [w for page in self.pages for w in page.warnings]

    @property
    def left_over(self) -> set[str]:
        """The native ids that the last run says there are."""
        return {i for page in self.pages for whole in page.complete for i in whole.native_ids}


@pytest.fixture
def folder(context: SourceContext) -> Folder:
    """An empty folder."""
    return Folder(context)


def day(text: str, hour: int = 0) -> datetime:
    """A time of a day in UTC."""
    return datetime.fromisoformat(text).replace(hour=hour, tzinfo=UTC)


# --- what a line says -----------------------------------------------------------------------------------


def test_a_line_is_a_stay(folder: Folder) -> None:
    """A person, a start, a team and a site: everything of it as the file tells, the person as a hash."""
    ada = folder.context.people.hashed("ada@people.example")
    header = "Work Email,Start Date,Last day,Employment type,Department,Office,Created at,Codes"
    line = "Ada@People.example,2026-03-02,2026-03-31,contractor,payments,berlin,2026-02-20,no"

    member = folder.one(header, line, zone="Europe/Berlin")

    assert member == Member(
        source="people",
        native_id=f"{ada.removeprefix('person:')}/1",
        updated_at=WRITTEN,
        person=ada,
        member_kind=MemberKind.CONTRACTOR,
        started_at=day("2026-03-02"),
        left_at=day("2026-03-31", hour=22),
        entered_at=day("2026-02-20"),
        team="payments",
        site="berlin",
        codes=False,
    )


def test_a_start_is_a_day_and_no_moment(folder: Folder) -> None:
    """A date is midnight UTC, which each site's calendar takes for that day, wherever it is."""
    assert folder.one("person,start", "ada,2026-03-02 00:00:00", zone="America/Lima").started_at == day("2026-03-02")


@pytest.mark.parametrize(
    ("dates", "text"),
    [("%d.%m.%Y", "02.03.2026"), ("%d.%m.%Y", "2026-03-02"), ("serial", "46083"), ("iso", "2026-3-2")],
)
def test_forms_of_dates(folder: Folder, dates: str, text: str) -> None:
    """A date is read in the form that the settings name, and as 2026-03-02 in any case."""
    assert folder.one("person,start", f"ada,{text}", dates=dates).started_at == day("2026-03-02")


def test_json_is_read_as_a_table(folder: Folder) -> None:
    """A list of objects, or the only list in an object, has a line for each person."""
    folder.write('{"people": [{"login": "ada", "hire_date": "2026-03-02", "codes": false}, 7]}', name="people.json")

    (member,) = folder.read("people.json")

    assert (member.started_at, member.codes) == (day("2026-03-02"), False)
    assert folder.rejected == ["people.json:item 2: it is no object; expected one JSON object"]


def test_json_lines_are_read_as_a_table(folder: Folder) -> None:
    """One object a line is a roster too, be it a single one with a list in it."""
    folder.write('{"login": "ada", "start": "2026-03-02", "roles": ["admin"]}', name="p.jsonl")

    assert len(folder.read("p.jsonl")) == 1


def test_of_dated_exports_the_last_by_name_is_the_roster(folder: Folder) -> None:
    """Of several files that a pattern fits only the newest is read."""
    folder.write("person,start", "ada,2026-03-02", name="people-2026-02.csv")
    folder.write("person,start", "ada,2026-03-02", "bob,2026-03-02", name="people-2026-03.csv")

    assert len(folder.read("people-*.csv")) == 2


def test_kinds_are_mapped_and_what_nothing_maps_is_said(folder: Folder) -> None:
    """`permanent` is a hire by the settings; what they do not know is a hire too, and said without its text."""
    kinds = {"hire": ["permanent"], "intern": ["*trainee*"]}

    members = folder.look(
        HEADER, "a,2026-03-02,,Permanent", "b,2026-03-02,,IT Trainee", "c,2026-03-02,,zzz", "d,2026-03-02,,Transfer",
        kinds=kinds,
    )  # fmt: skip

    kind_of = {m.person: m.member_kind.value for m in members}
    people = [folder.context.people.hashed(p) for p in "abcd"]
    assert [kind_of[p] for p in people] == ["hire", "intern", "hire", "transfer"]
    assert folder.warnings == ["people.csv: a kind that `kinds` does not map is taken as hire"]


def test_kinds_are_expressions_too(folder: Folder) -> None:
    """The case of words does not matter, that of what an expression is made of does."""
    member = folder.one(HEADER, "a,2026-03-02,,Data Intern", kinds={"intern": [r"/^\S+ intern$/"]})

    assert member.member_kind is MemberKind.INTERN


@pytest.mark.parametrize("last", ["2026-03-31", "2026-03-31T00:00:00.000Z"])
def test_a_last_day_is_over_at_its_end(folder: Folder, last: str) -> None:
    """Somebody leaves at the end of their last day; midnight UTC is how systems write a day that know no dates."""
    member = folder.one(HEADER, f"a,2026-03-02,{last},hire", zone="Europe/Berlin")

    assert member.left_at == day("2026-03-31", hour=22)


@pytest.mark.parametrize("last", ["9999-12-31", "31.12.9999", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00"])
def test_an_end_that_nobody_knows_is_none(folder: Folder, last: str) -> None:
    """Systems that must name a last day name the last one that there is, or the first."""
    assert folder.one(HEADER, f"a,2026-03-02,{last},hire", dates="%d.%m.%Y").left_at is None


def test_roles_that_write_code_are_named(folder: Folder) -> None:
    """With `coding` a column of roles tells who is expected to write code."""
    members = folder.look("person,start,role", "a,2026-03-02,Data Engineer", "b,2026-03-02,Manager",
                          columns={"codes": "role"}, coding=["*engineer*"])  # fmt: skip

    assert sorted(m.codes for m in members) == [False, True]


def test_a_bot_on_the_roster_is_one(folder: Folder) -> None:
    """An account of automation is no newcomer."""
    assert folder.one("person,start", "renovate[bot],2026-03-02").bot


BAD_LINES = [
    (",2026-03-02,,", "`person` is empty; expected a login or an address"),
    ("eve,,,", "`start` is empty; expected a date, for example 2026-03-02"),
    ("eve,0001-01-01,,", "`start` is empty; expected a date, for example 2026-03-02"),
    (f"eve,{PLANTED_NAME},,", "`start`: expected a date, for example 2026-03-02, or a time with an offset"),
    ("eve,2026-03-02 09:30,,", "`start`: expected a date, for example 2026-03-02, or a time with an offset"),
    ("eve,2026-03-02,2026-02-01,", "`left` lies before `start`; expected the last day"),
    ("eve,2026-03-02", "the row has 2 cells; expected 4 as in the header"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_line_that_cannot_be_used_is_set_aside(folder: Folder, line: str, reason: str) -> None:
    """A bad line costs itself: its place and its column are told, never what stands there."""
    members = folder.look(HEADER, "ada,2026-03-02,,", line, "bob,2026-03-02,,")

    assert len(members) == 2
    assert folder.rejected == [f"people.csv:3: {reason}"]


@pytest.mark.parametrize(
    ("header", "settings", "words"),
    [
        ("who,start", {}, "the header lacks a column for `person`; name it in `columns`"),
        ("person,start", {"columns": {"team": "Squad"}}, "the header lacks the column 'Squad'; name it in `columns`"),
        ("person,start,Start", {}, "the header names the column 'start' twice; expected it once"),
    ],
)
def test_a_file_without_its_columns_fails_the_run(
    folder: Folder, header: str, settings: dict[str, Any], words: str
) -> None:
    """A renamed column is no reason to report a roster of nobody."""
    with pytest.raises(ContractError, match=words):
        folder.look(header, "ada,2026-03-02" + ",2026-03-03" * (header.count(",") - 1), **settings)


@pytest.mark.parametrize("form", ["dmy", "%q", "%d%d", "100%"])
def test_an_unknown_zone_or_form_is_refused(form: str) -> None:
    """A zone that does not exist, and a form by which nothing can be read, are answered with what was expected."""
    with pytest.raises(ValidationError, match=r"(?s)is no form of times.*is no time zone"):
        RosterConfig.model_validate(
            {"name": "people", "type": "roster", "path": "a.csv", "zone": "Europe/Belrin", "dates": form}
        )


# --- since when a line is there -------------------------------------------------------------------------


def test_at_the_first_look_nobody_knows_since_when_a_line_is_there(folder: Folder) -> None:
    """A roster that is read for the first time is no bulk import, and nobody on it was entered late."""
    assert folder.one("person,start", "ada,2026-01-05").entered_at is None


def test_a_new_line_was_entered_when_its_file_was_written(folder: Folder) -> None:
    """Who joins the roster later was entered by the time the file was written."""
    folder.look("person,start", "ada,2026-01-05")
    written_at = folder.written_at

    bob = folder.one("person,start", "ada,2026-01-05", "bob,2026-03-02")

    assert (bob.person, bob.entered_at) == (folder.context.people.hashed("bob"), written_at)


def test_the_time_of_entry_stays(folder: Folder) -> None:
    """A line that was seen before keeps its time of entry whatever else of it changes."""
    folder.look("person,start,team", "ada,2026-01-05,a")
    entered_at = folder.written_at
    folder.look("person,start,team", "ada,2026-01-05,a", "bob,2026-03-02,a")

    assert folder.one("person,start,team", "ada,2026-01-05,a", "bob,2026-03-02,b").entered_at == entered_at


def test_a_moved_start_is_the_same_line(folder: Folder) -> None:
    """Start date moved → the same stay with another start, not entered again."""
    before = folder.one("person,start", "ada,2026-03-02")

    after = folder.one("person,start", "ada,2026-03-16")

    assert (after.id, after.started_at, after.entered_at) == (before.id, day("2026-03-16"), None)


def test_a_second_stay_is_another_event(folder: Folder) -> None:
    """A re-hire has a line of its own beside the one before, and only that is new."""
    folder.look(HEADER, "ada,2024-01-08,2025-01-31,hire")
    written_at = folder.written_at

    again = folder.one(HEADER, "ada,2024-01-08,2025-01-31,hire", "ada,2026-03-02,,rehire")

    assert (again.native_id[-2:], again.entered_at) == ("/2", written_at)


def test_a_line_that_a_transfer_replaced_is_kept(folder: Folder) -> None:
    """A roster that names only the present stay says nothing against the one before."""
    before = folder.one(HEADER, "ada,2024-01-08,,hire")

    after = folder.one(HEADER, "ada,2026-03-02,,transfer")

    assert folder.left_over == {before.native_id, after.native_id}


def test_who_had_left_and_is_listed_anew_began_anew(folder: Folder) -> None:
    """Re-hire after 200 days, of which the roster names the new start alone: a new episode beside the one before."""
    before = folder.one(HEADER, "ada,2024-01-08,2025-07-31,hire")
    written_at = folder.written_at

    after = folder.one(HEADER, "ada,2026-03-02,,hire")

    assert (after.native_id[-2:], after.entered_at) == ("/2", written_at)
    assert folder.left_over == {before.native_id, after.native_id}


def test_a_start_that_is_moved_while_a_line_is_missing_is_the_same_line(folder: Folder) -> None:
    """Who vanished from the list before they came, and is to come later, did not begin twice."""
    folder.look("person,start", "ada,2026-01-05", "bob,2026-03-16")
    folder.look("person,start", "ada,2026-01-05")

    bob = folder.one("person,start", "ada,2026-01-05", "bob,2026-04-13")

    assert (bob.native_id[-2:], bob.started_at, bob.left_at) == ("/1", day("2026-04-13"), None)


def test_a_line_that_stood_there_twice_goes(folder: Folder) -> None:
    """A second line of somebody that was a mistake is no stay any more once it is gone."""
    folder.look("person,start", "ada,2026-01-05", "ada,2026-01-06")

    folder.look("person,start", "ada,2026-01-05")

    assert len(folder.left_over) == 1


def test_nothing_new_gives_no_page(folder: Folder) -> None:
    """A file that was written again as it was is no news."""
    folder.look("person,start", "ada,2026-01-05")

    assert folder.look("person,start", "ada,2026-01-05") == []
    assert folder.pages == []


def test_other_settings_read_the_file_again(folder: Folder) -> None:
    """Whoever corrects `kinds` need not touch the file."""
    folder.look(HEADER, "ada,2026-01-05,,aupair")

    (member,) = folder.read(kinds={"intern": ["aupair"]})

    assert member.member_kind is MemberKind.INTERN


def test_nobody_joins_or_leaves_by_other_settings(folder: Folder) -> None:
    """Whoever names another column for people corrects who they are: the same file as at a first look."""
    people = [f"p{n}@people.example,p{n},2026-03-02" for n in range(20)]
    folder.look("mail,account,start", *people, columns={"person": "mail"})

    members = folder.read(columns={"person": "account"})

    assert folder.left_over == {m.native_id for m in members}
    assert {(m.entered_at, m.left_at) for m in members} == {(None, None)}


def test_what_is_read_otherwise_is_newer_than_what_was_read(folder: Folder) -> None:
    """Of two versions of a stay the later one stays: also after settings were corrected, or an old file restored."""
    first = folder.one(HEADER, "ada,2026-01-05,,freelance")
    (corrected,) = folder.read(kinds={"contractor": ["freelance"]})
    folder.day -= 2

    restored = folder.one(HEADER, "ada,2026-01-06,,freelance", kinds={"contractor": ["freelance"]})

    assert first.updated_at == WRITTEN
    assert [m.updated_at for m in (corrected, restored)] == [WRITTEN + timedelta(microseconds=n) for n in (1, 2)]


@pytest.mark.parametrize("cursor", ["", "null", '{"digest": 1}'])
def test_a_foreign_cursor_is_a_first_look(folder: Folder, cursor: str) -> None:
    """A cursor of another form costs a full read, not the run."""
    folder.cursor = cursor

    assert folder.one("person,start", "ada,2026-01-05").entered_at is None


# --- who is gone ----------------------------------------------------------------------------------------


def test_who_is_not_listed_any_more_has_left(folder: Folder) -> None:
    """A person without a line left by the time the file was written, and that is said."""
    folder.look("person,start", "ada,2026-01-05", "bob,2026-01-05")
    written_at = folder.written_at

    bob = folder.one("person,start", "ada,2026-01-05")

    assert bob.left_at == written_at
    assert folder.warnings == ["people.csv: 1 of the people are not listed any more; they count as having left"]


def test_who_is_gone_left_once(folder: Folder) -> None:
    """Later files without somebody do not move the day on which they left."""
    folder.look("person,start", "ada,2026-01-05", "bob,2026-01-05")
    folder.look("person,start", "ada,2026-01-05")

    assert folder.look("person,start", "ada,2026-01-05", "cleo,2026-03-02")[0].left_at is None
    assert folder.warnings == []


def test_who_comes_back_by_the_same_line_never_left(folder: Folder) -> None:
    """A line that was missing by mistake takes the leaving back."""
    first = folder.look("person,start", "ada,2026-01-05", "bob,2026-01-05")
    folder.look("person,start", "ada,2026-01-05")

    bob = folder.one("person,start", "ada,2026-01-05", "bob,2026-01-05")

    assert (bob.id in {m.id for m in first}, bob.left_at, bob.entered_at) == (True, None, None)


def test_a_day_of_leaving_that_was_told_stays(folder: Folder) -> None:
    """Who had a last day, and is then taken off the list, left on that day."""
    folder.look(HEADER, "ada,2026-01-05,,", "bob,2026-01-05,2026-02-27,")

    assert folder.look(HEADER, "ada,2026-01-05,,") == []
    assert folder.warnings == []


def test_a_list_of_newcomers_says_nothing_of_who_left(folder: Folder) -> None:
    """With `missing: ignore` a line that is gone changes nothing, and is said."""
    folder.look("person,start", "ada,2026-01-05", "bob,2026-01-05", missing="ignore")

    assert folder.look("person,start", "ada,2026-01-05", missing="ignore") == []
    assert folder.warnings == [
        "people.csv: 1 of the people are not listed any more; nothing is concluded from it",
    ]
    assert len(folder.left_over) == 2


def test_nobody_is_gone_where_a_line_cannot_be_told(folder: Folder) -> None:
    """A line without a person may be anybody's: nobody is taken as having left."""
    folder.look("person,start", "ada,2026-01-05", "bob,2026-01-05")

    assert folder.look("person,start", "ada,2026-01-05", ",2026-01-05") == []
    assert folder.warnings == [
        "people.csv: 1 lines cannot be told from others, so nobody is taken as having left",
    ]


def test_whose_line_is_bad_is_not_gone(folder: Folder) -> None:
    """A line that lost its start is set aside, and its person stays on the roster as before."""
    folder.look("person,start", "ada,2026-01-05", "bob,2026-01-05")

    assert folder.look("person,start", "ada,2026-01-05", "bob,soon") == []


CROWD = [f"p{n},2026-01-05" for n in range(20)]


def test_a_quarter_gone_at_once_is_a_broken_export(folder: Folder) -> None:
    """25 % of the lines gone at once → the run fails before anybody is told to have left."""
    folder.look("person,start", *CROWD)

    with pytest.raises(SourceError, match="5 of 20 people are gone from the roster at once; restore it"):
        folder.look("person,start", *CROWD[5:])


@pytest.mark.parametrize(("gone", "share"), [(5, 0.3), (3, 0.1)])
def test_what_is_allowed_may_go_at_once(folder: Folder, gone: int, share: float) -> None:
    """A share that the settings allow, and three people in any case, have left."""
    folder.look("person,start", *CROWD)

    assert len(folder.look("person,start", *CROWD[gone:], broken_share=share)) == gone


def test_a_roster_that_nobody_writes_any_more_fails(folder: Folder) -> None:
    """27 hours without a word where 26 are the limit: the export has stopped, which is said."""
    folder.look("person,start", "ada,2026-01-05", silent_after="26h")

    with pytest.raises(SourceError, match="was written to since 2026-03-01 06:00 UTC"):
        folder.read(silent_after="26h")


def test_nothing_of_a_person_is_kept(folder: Folder) -> None:
    """Neither events, nor cursor, nor what is said holds an address, a login or a name."""
    folder.look("person,start,kind", f"{PLANTED_MAIL},2026-01-05,{PLANTED_NAME}", f"{PLANTED_NAME},x,y")

    assert "quarterstaff" not in f"{folder.pages} {folder.cursor}".lower()


# --- times without an offset ----------------------------------------------------------------------------

TIMES = [
    ("iso", "2026-01-31 09:00", "2026-01-31T08:00:00+00:00"),
    ("iso", "2026-01-31T09:00:30+05:30", "2026-01-31T03:30:30+00:00"),
    ("iso", "2026-07-01", "2026-06-30T22:00:00+00:00"),
    ("english", "2026/01/31 9:00:00 AM GMT+1", "2026-01-31T08:00:00+00:00"),
    ("english", "2026/07/31 12:05:00 PM GMT+5:30", "2026-07-31T06:35:00+00:00"),
    ("english", "2026/01/31 12:05:00 AM", "2026-01-30T23:05:00+00:00"),
    ("english", "2026/01/31 9:00:00 PM GMT-5", "2026-02-01T02:00:00+00:00"),
    ("serial", "46053.375", "2026-01-31T08:00:00+00:00"),
    ("serial", "46053,375", "2026-01-31T08:00:00+00:00"),
    ("%m/%d/%y %H:%M:%S", "1/31/26 9:00:00", "2026-01-31T08:00:00+00:00"),
    ("%d.%m.%Y %H:%M %z", "31.01.2026 09:00 +0200", "2026-01-31T07:00:00+00:00"),
]
NO_TIMES = [("iso", "31.01.2026"), ("iso", "2026-02-30"), ("english", "2026/13/31 9:00:00 AM"), ("serial", "soon")]


@pytest.mark.parametrize(("form", "text", "at"), TIMES)
def test_times_as_spreadsheets_and_forms_write_them(form: str, text: str, at: str) -> None:
    """A time in its declared form and zone is one time in UTC; an offset that stands there wins."""
    assert LocalTimes(form, "Europe/Berlin").at(text) == datetime.fromisoformat(at)


@pytest.mark.parametrize(("form", "text"), NO_TIMES)
def test_what_is_no_time_is_none(form: str, text: str) -> None:
    """Nothing is guessed."""
    assert LocalTimes(form, "Europe/Berlin").at(text) is None


def test_a_naive_time_without_a_zone_is_refused() -> None:
    """`2023-4-10 6:51:47` without a declared zone is no time."""
    assert LocalTimes().at("2023-4-10 6:51:47") is None
