"""The `files` source: records of any kind from JSON Lines and CSV."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from collector.errors import SourceError
from collector.events import Approval, Commit, Deployment, Event, Probe, Reply, Result, Ticket
from collector.source import Page, SourceContext
from collector.sources.files import FilesConfig

WRITTEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHA = "a" * 40


class Folder:
    """A folder of files, and a source over it."""

    def __init__(self, context: SourceContext) -> None:
        self.context = context
        self.cursor: str | None = None

    def write(self, name: str, *lines: str | bytes, end: str = "\n", hours: int = 0) -> None:
        """Write a file of lines, last modified so many hours after WRITTEN."""
        raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
        self._put(name, b"\n".join(raw) + end.encode(), "wb", hours)

    def append(self, name: str, text: str, hours: int = 1) -> None:
        """Append text to a file."""
        self._put(name, text.encode(), "ab", hours)

    def _put(self, name: str, content: bytes, mode: str, hours: int) -> None:
        path = self.context.base_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(content)
        modified = (WRITTEN + timedelta(hours=hours)).timestamp()
        os.utime(path, (modified, modified))

    def pages(self, path: str = "*", **settings: Any) -> list[Page]:
        """One run from where the last one stopped."""
        config = FilesConfig.model_validate({"name": "import", "type": "files", "path": path, **settings})
        found = list(config.build(self.context).pull(self.cursor))
        self.cursor = found[-1].cursor if found else self.cursor
        return found

    def events(self, path: str = "*", **settings: Any) -> list[Event]:
        """The events of one run."""
        return [e for page in self.pages(path, **settings) for e in page.events]

    def rejected(self, path: str = "*", **settings: Any) -> list[str]:
        """What one run set aside."""
        return [str(r) for page in self.pages(path, **settings) for r in page.rejected]


@pytest.fixture
def folder(context: SourceContext) -> Folder:
    """An empty folder."""
    return Folder(context)


def probe(native_id: str, passed: Any = 1, **fields: Any) -> str:
    """A line with a small record."""
    fields = {"service": "api", "at": "2026-01-02T03:04:05Z", "passed": passed, **fields}
    return json.dumps({"kind": "probe", "native_id": native_id, **fields})


def ids(events: list[Event]) -> list[str]:
    """The native ids of events."""
    return [e.native_id for e in events]


# --- JSON Lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "json", "JSONL"])
def test_a_json_line_is_an_event(folder: Folder, ending: str) -> None:
    """One JSON object a line is one event of the configured source."""
    folder.write(f"a.{ending}", probe("1", updated_at="2026-01-03T00:00:00Z"))

    expected = Probe(
        source="import",
        native_id="1",
        service="api",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        passed=1,
        updated_at=datetime(2026, 1, 3, tzinfo=UTC),
    )
    assert folder.events() == [expected]


def test_the_configured_kind_is_for_records_without_one(folder: Folder) -> None:
    """A record's own kind comes before the configured one."""
    member = '{"native_id": "2", "person": "x", "member_kind": "hire", "started_at": "2026-01-02T00:00:00Z"}'
    folder.write("a.jsonl", probe("1"), member)

    assert [e.kind for e in folder.events(kind="member")] == ["probe", "member"]


def test_blank_lines_a_byte_order_mark_and_windows_line_breaks_are_no_records(folder: Folder) -> None:
    """What editors add to a file is ignored."""
    folder.write("a.jsonl", b"\xef\xbb\xbf" + probe("1").encode() + b"\r", "", "  \r", probe("2"))

    assert ids(folder.events()) == ["1", "2"]


TIMES = [
    ("2022-01-03T10:00:00Z", datetime(2022, 1, 3, 10, tzinfo=UTC)),
    ("2022-01-03 10:00:00 UTC", datetime(2022, 1, 3, 10, tzinfo=UTC)),
    ("2022-01-03T10:00Z", datetime(2022, 1, 3, 10, tzinfo=UTC)),
    ("2022-01-03T10:00:00.123456789Z", datetime(2022, 1, 3, 10, 0, 0, 123457, tzinfo=UTC)),
    ("2022-01-03 10:00:00.9999996 UTC", datetime(2022, 1, 3, 10, 0, 1, tzinfo=UTC)),
    ("2022-01-03T10:00:00+01:00", datetime(2022, 1, 3, 9, tzinfo=UTC)),
    ("2022-01-03 10:00:00 -0530", datetime(2022, 1, 3, 15, 30, tzinfo=UTC)),
    ("2023-4-10 6:51:47 UTC", datetime(2023, 4, 10, 6, 51, 47, tzinfo=UTC)),
]
NO_TIMES = [
    "2022-01-03T10:00:00",
    "2023-4-10 6:51:47",
    "2022-01-03",
    "20220103",
    "1641204000",
    "2022-02-30T10:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "2022-01-03T10:00:00+99:00",
    "yesterday",
]


@pytest.mark.parametrize(("text", "at"), TIMES)
def test_forms_of_time(folder: Folder, text: str, at: datetime) -> None:
    """`2022-01-03 10:00:00 UTC`, offsets, nine-digit fractions → one time in UTC, from JSON and CSV alike."""
    folder.write("a.jsonl", probe("1", at=text))
    folder.write("b.csv", "native_id,service,passed,at", f"2,api,1,{text}")

    assert [e.at for e in folder.events(kind="probe")] == [at, at]  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", NO_TIMES)
def test_a_time_without_a_zone_is_refused(folder: Folder, text: str) -> None:
    """A naive time without a declared zone, a bare number or an impossible day is refused, never guessed."""
    folder.write("a.jsonl", probe("1", at=text))
    folder.write("b.csv", "native_id,service,passed,at", f"2,api,1,{text}")

    expected = "`at`: expected a time with an offset, for example 2026-01-31T09:00:00Z"
    assert folder.rejected(kind="probe") == [f"a.jsonl:1: {expected}", f"b.csv:2: {expected}"]


BAD_LINES = [
    ('{"kind": "probe"', "the line is no valid JSON; expected one whole JSON object"),
    ("[" * 50_000, "the line is no valid JSON; expected one whole JSON object"),
    (b'{"kind": "\xff"}', "the line is not UTF-8; expected text in UTF-8"),
    ("[]", "the record is no object; expected one JSON object with the fields of one event"),
    (probe(""), "`native_id`: expected `str` of length >= 1"),
    (probe("1", service=7), "`service`: expected `str`, got `int`"),
    (probe("1", passed="2"), "`passed`: expected `int`, got `str`"),
    (probe("1", passed=2**63), "`passed`: expected `int` <= 9223372036854775807"),
    (probe("1", servise="x"), "unknown field `servise`; expected `service`?"),
    (probe("1", source="x"), "`source` is not part of a record; expected the configuration alone to name it"),
    (probe("1", duration_seconds=-1), "`duration_seconds`: expected `float` >= 0.0"),
    ('{"kind":"probe","native_id":"1"}', "`service` is missing; expected in every record of kind probe"),
    (
        '{"kind":"ticket","native_id":"1","queue":"q","state":"new","created_at":"2026-01-02T03:04:05Z"}',
        "`state`: expected one of open, in_progress, waiting, resolved, closed",
    ),
    (
        (
            '{"kind":"ticket","native_id":"1","queue":"q","state":"open","created_at":"2026-01-02T03:04:05Z",'
            '"replies":[{"at":"2026-01-02T03:04:05"}]}'
        ),
        "`replies[0].at`: expected a time with an offset, for example 2026-01-31T09:00:00Z",
    ),
    (
        (
            '{"kind":"ticket","native_id":"1","queue":"q","state":"open","created_at":"2026-01-02T03:04:05Z",'
            '"replies":[{"at":"2026-01-02T03:04:05Z","autor":"x"}]}'
        ),
        "unknown field `autor`; expected `author`?",
    ),
    (
        (
            '{"kind":"ticket","native_id":"1","queue":"q","state":"open","created_at":"2026-01-02T03:04:05Z",'
            '"replies":[{"author":"x"}]}'
        ),
        "`replies[0].at` is missing; expected in every record of kind ticket",
    ),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_set_aside_and_the_good_ones_kept(folder: Folder, line: str | bytes, reason: str) -> None:
    """One bad record costs itself alone, and its reason names the field and what was expected."""
    folder.write("a.jsonl", probe("before"), line, probe("after"))

    (page,) = folder.pages()

    assert ids(list(page.events)) == ["before", "after"]
    assert [str(r) for r in page.rejected] == [f"a.jsonl:2: {reason}"]


def test_an_unknown_kind_is_set_aside(folder: Folder) -> None:
    """A kind we do not know, or none at all, is answered with the kinds there are."""
    folder.write("a.jsonl", '{"kind": "pr"}', "{}", '{"kind": 7}')

    first, second, third = folder.rejected()

    assert first.startswith("a.jsonl:1: `kind` is unknown; expected one of commit, change, review,")
    assert second.startswith("a.jsonl:2: `kind` is missing, here and in the configuration; expected one of")
    assert third.startswith("a.jsonl:3: `kind` is unknown; expected one of")


SECRET = "wilhelmina@quarterstaff.example"  # noqa: S105 - a planted address, not a password


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"kind": SECRET}),
        probe(SECRET, service=[SECRET]),
        probe("1", at=SECRET),
        probe("1", **{SECRET: 1}),
        probe("1", passed={SECRET: SECRET}),
        json.dumps({"kind": "commit", "native_id": "1", "sha": SECRET, "author": SECRET}),
        json.dumps({"kind": "member", "native_id": "1", "person": SECRET, "member_kind": SECRET}),
        '{"kind": "commit", "author": "' + SECRET,
    ],
)
def test_a_rejection_never_quotes_a_value(folder: Folder, line: str) -> None:
    """Neither a reason nor the error behind it holds what stood in the record."""
    folder.write("a.jsonl", line)

    (page,) = folder.pages()
    (rejected,) = page.rejected

    assert SECRET not in f"{page!r} {rejected!r} {rejected.__cause__!r}"


# --- people --------------------------------------------------------------------------------------------


def test_people_are_hashed_wherever_they_stand(folder: Folder) -> None:
    """Authors, co-authors and those in replies and approvals become one keyed hash of one address."""
    stamp = "2026-01-02T03:04:05Z"
    commit: dict[str, Any] = {
        "kind": "commit",
        "native_id": "1",
        "repository": "r",
        "sha": SHA,
        "authored_at": stamp,
    }
    commit |= {"committed_at": stamp, "author": "Ada@X.example ", "co_authors": ["ada@x.example"]}
    ticket: dict[str, Any] = {
        "kind": "ticket",
        "native_id": "2",
        "queue": "q",
        "state": "open",
        "created_at": stamp,
    }
    ticket |= {"author": "ada@x.example", "replies": [{"at": stamp, "author": "ada@x.example"}]}
    attempt: dict[str, Any] = {
        "kind": "self_service_attempt",
        "native_id": "3",
        "journey": "j",
        "started_at": stamp,
    }
    attempt |= {
        "requester": "ada@x.example",
        "approvals": [{"requested_at": stamp, "actor": "ada@x.example"}],
    }
    folder.write("a.jsonl", json.dumps(commit), json.dumps(ticket), json.dumps(attempt))

    found = folder.events()

    ada = folder.context.people.hashed("ada@x.example")
    assert isinstance(found[0], Commit)
    assert (found[0].author, found[0].co_authors) == (ada, (ada,))
    assert isinstance(found[1], Ticket)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (found[1].author, found[1].replies) == (ada, (Reply(at=at, author=ada),))
    assert found[2].approvals == (Approval(requested_at=at, actor=ada),)  # type: ignore[attr-defined]


def test_a_hash_and_a_blank_stay_what_they_are(folder: Folder) -> None:
    """Exported events can be imported again, and nobody is not one more person."""
    ada = folder.context.people.hashed("ada@x.example")
    stamp = "2026-01-02T03:04:05Z"
    record = {"kind": "usage_event", "capability": "c", "at": stamp}
    lines = [json.dumps({**record, "native_id": who, "person": who}) for who in (ada, " ")]
    folder.write("a.jsonl", *lines)

    assert [e.person for e in folder.events()] == [ada, None]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "bot"),
    [
        ({"author": "renovate[bot]"}, True),
        ({"author": "dependabot"}, True),
        ({"author": "bot_tom"}, False),
        ({"author": "mr-bot-ham"}, False),
        ({"author": "renovate[bot]", "bot": False}, False),
        ({"author": "bot_tom", "bot": True}, True),
    ],
)
def test_bots_are_told_by_their_flag_then_by_their_account(folder: Folder, fields: Any, bot: Any) -> None:
    """`dependabot`, `renovate` → bots; `bot_tom`, `mr-bot-ham` → people. A stated flag comes first."""
    stamp = "2026-01-02T03:04:05Z"
    review = {"kind": "review", "native_id": "1", "repository": "r", "change_native_id": "1", "at": stamp}
    folder.write("a.jsonl", json.dumps({**review, "state": "approved", **fields}))

    assert [e.bot for e in folder.events()] == [bot]  # type: ignore[attr-defined]


# --- CSV -----------------------------------------------------------------------------------------------


def test_a_csv_row_is_an_event(folder: Folder) -> None:
    """Cells become what their fields are: lists split at `;`, booleans, times; empty ones are absent."""
    folder.write(
        "a.csv",
        "native_id,service,environment,finished_at,result,rolled_back,labels,sha,version,actor,change_shas",
        f'1, api ,production,2026-01-02T03:04:05+01:00,success,true,"hotfix; urgent;",{SHA},007,,',
    )

    (found,) = folder.events(kind="deployment")

    expected = Deployment(
        source="import",
        native_id="1",
        service="api",
        environment="production",
        finished_at=datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
        result=Result.SUCCESS,
        rolled_back=True,
        labels=("hotfix", "urgent"),
        sha=SHA,
        version="007",
        updated_at=WRITTEN + timedelta(microseconds=2),
    )
    assert found == expected


def test_numbers_in_csv(folder: Folder) -> None:
    """Integers and floats are read by the field's type."""
    folder.write("a.csv", "native_id,service,at,passed,checks,latency_seconds", "1,api,2026-01-02T03:04:05Z,3,4,0.25")

    (found,) = folder.events(kind="probe")

    assert isinstance(found, Probe)
    assert (found.passed, found.checks, found.latency_seconds) == (3, 4, 0.25)


def test_a_kind_column_and_nested_json(folder: Folder) -> None:
    """A CSV file may mix kinds by a column, and keeps nested records as JSON in a cell."""
    stamp = "2026-01-02T03:04:05Z"
    folder.write(
        "a.csv",
        "kind,native_id,queue,state,created_at,replies,capability,at",
        f'ticket,1,q,open,{stamp},"[{{""at"": ""2026-01-02 03:04:05 UTC"", ""author"": ""ada""}}]",,',
        f"usage_event,2,,,,,deploy,{stamp}",
    )

    ticket, usage = folder.events()

    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert isinstance(ticket, Ticket)
    assert ticket.replies == (Reply(at=at, author=folder.context.people.hashed("ada")),)
    assert usage.kind == "usage_event"


BAD_ROWS = [
    ("1,api,2026-01-02T03:04:05Z,many,,", "`passed`: expected `int`, got `str`"),
    ("1,api,2026-01-02T03:04:05Z,1,nan,", "`latency_seconds`: expected `float` >= 0.0"),
    ("1,api,2026-01-02T03:04:05Z,1,1e999,", "`latency_seconds`: expected a number of at most 64 bits"),
    (
        "1,api,2026-01-02T03:04:05Z,1,,x",
        "unknown field `remark`; expected one of native_id, updated_at, url,",
    ),
    ("1,api", "the row has 2 cells; expected 6 as in the header"),
    ('1,"api"x,,,,', "the row is no valid CSV; expected cells in double quotes to be closed before a comma"),
    (b"1,\xff,2026-01-02T03:04:05Z,1,,", "the row is not UTF-8; expected text in UTF-8"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_bad_row_is_set_aside_and_the_good_ones_kept(folder: Folder, row: str | bytes, reason: str) -> None:
    """One bad row costs itself alone, and its reason names the field and what was expected."""
    good = "{},api,2026-01-02T03:04:05Z,1,,"
    header = "native_id,service,at,passed,latency_seconds,remark"
    folder.write("a.csv", header, good.format("before"), row, good.format("after"))

    (page,) = folder.pages(kind="probe")

    assert ids(list(page.events)) == ["before", "after"]
    (rejected,) = page.rejected
    assert str(rejected).startswith(f"a.csv:3: {reason}")


def test_nested_cells_that_are_no_json_name_their_field(folder: Folder) -> None:
    """A nested cell that is no JSON is set aside by its field."""
    folder.write("a.csv", "native_id,queue,state,created_at,replies", "1,q,open,2026-01-02T03:04:05Z,[")

    assert folder.rejected(kind="ticket") == ["a.csv:2: `replies`: expected a list of objects in JSON"]


def test_a_header_that_names_a_column_twice_makes_no_event(folder: Folder) -> None:
    """Two columns of one name: neither is guessed to be the right one."""
    folder.write("a.csv", "native_id,service,at,passed,passed", "1,api,2026-01-02T03:04:05Z,1,0")

    expected = "a.csv:2: the header names a column twice; expected each name once"
    assert folder.rejected(kind="probe") == [expected]


def test_quoted_line_breaks_keep_the_right_line(folder: Folder) -> None:
    """A cell over three lines is one record, and what follows is reported with its true line."""
    stamp = "2026-01-02T03:04:05Z"
    folder.write(
        "a.csv",
        "native_id,queue,state,created_at,title",
        f'1,q,open,{stamp},"one',
        "two",
        'three"',
        "",
        f'2,q,lost,{stamp},"a',
        'b"',
        f"3,q,open,{stamp},c",
    )

    (page,) = folder.pages(kind="ticket")

    assert [e.title for e in page.events] == ["one\ntwo\nthree", "c"]  # type: ignore[attr-defined]
    assert [r.location for r in page.rejected] == ["a.csv:6"]
    assert [e.updated_at for e in page.events] == [WRITTEN + timedelta(microseconds=n) for n in (2, 8)]


def test_a_byte_order_mark_is_no_part_of_the_first_column(folder: Folder) -> None:
    """Spreadsheets write a mark before the header."""
    folder.write("a.csv", "\ufeffnative_id,service,at,passed", "1,api,2026-01-02T03:04:05Z,1\r")

    assert ids(folder.events(kind="probe")) == ["1"]


# --- which version wins ---------------------------------------------------------------------------------


def test_a_corrected_line_further_down_wins(folder: Folder, bench: Any) -> None:
    """Of two lines for one event the later one stays, though neither states when it was written."""
    folder.write("a.jsonl", probe("1", passed=9), probe("1", passed=2))

    bench.write(*folder.events())

    assert [e.passed for e in bench.store.events(Probe)] == [2]


def test_a_corrected_file_wins(folder: Folder, bench: Any) -> None:
    """A newer version of a file replaces what the older one said, wherever the line stands in it."""
    folder.write("a.jsonl", probe("0"), probe("1", passed=9))
    bench.write(*folder.events())
    folder.write("a.jsonl", probe("1", passed=2), hours=1)

    bench.write(*folder.events())

    assert {e.native_id: e.passed for e in bench.store.events(Probe)} == {"0": 1, "1": 2}


def test_a_stated_version_stays(folder: Folder) -> None:
    """A record that says when it was written keeps that."""
    folder.write("a.jsonl", probe("1", updated_at="2026-01-02 04:00:00 UTC"))

    assert [e.updated_at for e in folder.events()] == [datetime(2026, 1, 2, 4, tzinfo=UTC)]


# --- only what is new -----------------------------------------------------------------------------------


def test_nothing_new_gives_no_page(folder: Folder) -> None:
    """A run after which no file changed reports nothing at all."""
    folder.write("a.jsonl", probe("1"))
    folder.write("b.csv", "native_id,service,at,passed", "2,api,2026-01-02T03:04:05Z,1")
    folder.events(kind="probe")

    assert folder.pages(kind="probe") == []


def test_appended_records_alone_are_read(folder: Folder) -> None:
    """Of a file that grew only the new lines are read, with the header and the line numbers of the whole."""
    folder.write("a.jsonl", probe("1"))
    folder.write("b.csv", "native_id,service,at,passed", "2,api,2026-01-02T03:04:05Z,1")
    folder.events(kind="probe")
    folder.append("a.jsonl", probe("3") + "\n{}\n")
    folder.append("b.csv", "4,api,2026-01-02T03:04:05Z,1\n5\n")

    (page,) = folder.pages(kind="probe")

    assert ids(list(page.events)) == ["3", "4"]
    assert [r.location for r in page.rejected] == ["a.jsonl:3", "b.csv:4"]


@pytest.mark.parametrize("after", [["new"], ["one", "new"], ["two", "one"], ["one", "new", "x"]])
def test_a_replaced_file_is_read_from_its_start(folder: Folder, after: list[str]) -> None:
    """A file that was cut, rewritten or corrected in its middle is read whole, even at an unchanged size."""
    folder.write("a.jsonl", probe("one"), probe("two"))
    folder.events()
    folder.write("a.jsonl", *map(probe, after), hours=1)

    assert ids(folder.events()) == after


def test_a_touched_file_is_not_read_again(folder: Folder) -> None:
    """A new modification time alone is no news."""
    folder.write("a.jsonl", probe("1"))
    folder.events()
    folder.append("a.jsonl", "", hours=2)

    assert folder.events() == []
    assert folder.pages() == []


def test_an_unfinished_line_is_left_for_the_next_run(folder: Folder) -> None:
    """A line that is still being written is no bad record: it is left, with a warning, until it is whole."""
    whole = probe("2")
    folder.write("a.jsonl", probe("1"), whole[:20], end="")
    (page,) = folder.pages()
    assert (ids(list(page.events)), list(page.rejected)) == (["1"], [])
    assert list(page.warnings) == ["a.jsonl: the last line has no line break yet and is left for the next run"]
    folder.append("a.jsonl", whole[20:] + "\n")

    (page,) = folder.pages()

    assert (ids(list(page.events)), list(page.warnings)) == (["2"], [])


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.jsonl", [probe("1"), probe("2")]),
        (
            "a.csv",
            ["native_id,service,at,passed", "1,api,2026-01-02T03:04:05Z,1", "2,api,2026-01-02T03:04:05Z,1"],
        ),
    ],
)
def test_a_last_line_without_a_break_is_taken_once_the_file_rests(folder: Folder, name: str, lines: list[str]) -> None:
    """A file that did not grow since the last run is complete, with or without a final line break."""
    folder.write(name, *lines, end="")

    runs = [ids(folder.events(kind="probe")) for _ in range(3)]

    assert runs == [["1"], ["2"], []]


def test_a_line_taken_too_early_is_read_again(folder: Folder) -> None:
    """A writer who paused in the middle of a line loses nothing: the whole line is read when it is there."""
    whole = probe("1")
    folder.write("a.jsonl", whole[:20], end="")
    folder.pages()
    assert folder.rejected() == ["a.jsonl:1: the line is no valid JSON; expected one whole JSON object"]
    folder.append("a.jsonl", whole[20:] + "\n" + probe("2") + "\n")

    assert ids(folder.events()) == ["1", "2"]
    assert folder.pages() == []


def test_a_quoted_cell_that_is_still_open_is_left(folder: Folder) -> None:
    """A row whose quoted cell is not closed yet is unfinished, though its lines are."""
    stamp = "2026-01-02T03:04:05Z"
    folder.write("a.csv", "native_id,queue,state,created_at,title", f'1,q,open,{stamp},"one')
    assert [list(p.events) + list(p.rejected) for p in folder.pages(kind="ticket")] == [[]]
    folder.append("a.csv", 'two"\n')

    assert [e.title for e in folder.events(kind="ticket")] == ["one\ntwo"]  # type: ignore[attr-defined]


def test_a_quoted_cell_that_stays_open_is_set_aside(folder: Folder) -> None:
    """An unclosed quote at the end of a file that rests is one bad record, where it starts."""
    folder.write("a.csv", "native_id,service,at,passed", '1,"api', "x")
    folder.pages(kind="probe")

    (rejected,) = folder.rejected(kind="probe")

    assert rejected.startswith("a.csv:2: the row is no valid CSV")
    assert folder.pages(kind="probe") == []


def test_a_removed_file_is_forgotten(folder: Folder) -> None:
    """A file that went and came back is read from its start."""
    folder.write("a.jsonl", probe("1"))
    folder.write("b.jsonl", probe("2"))
    folder.events()
    (folder.context.base_dir / "b.jsonl").unlink()
    assert folder.events() == []
    folder.write("b.jsonl", probe("2"), probe("3"))

    assert ids(folder.events()) == ["2", "3"]


def test_another_default_kind_reads_everything_again(folder: Folder) -> None:
    """Whoever corrects `kind` in the configuration need not touch the files."""
    folder.write("a.csv", "native_id,service,at,passed", "1,api,2026-01-02T03:04:05Z,1")
    assert folder.events(kind="incident") == []

    assert ids(folder.events(kind="probe")) == ["1"]


@pytest.mark.parametrize("cursor", ["", "null", "17", '{"files": {"a.jsonl": {}}}'])
def test_a_foreign_cursor_reads_everything_again(folder: Folder, cursor: str) -> None:
    """A cursor of another form costs a full read, not the run."""
    folder.write("a.jsonl", probe("1"))
    folder.cursor = cursor

    assert ids(folder.events()) == ["1"]


def test_a_run_comes_in_pages_and_can_go_on_from_each(folder: Folder) -> None:
    """Pages hold about a thousand records, and the cursor of any of them loses nothing."""
    folder.write("a.jsonl", *(probe(str(n)) for n in range(1500)))
    folder.write("b.jsonl", *(probe(str(n)) for n in range(1500, 2500)))

    pages = folder.pages()
    folder.cursor = pages[0].cursor
    rest = folder.events()

    assert [len(p.events) for p in pages] == [1000, 1000, 500]
    assert ids(list(pages[0].events) + rest) == [str(n) for n in range(2500)]


# --- silence --------------------------------------------------------------------------------------------


def test_files_that_nobody_writes_any_more_fail(folder: Folder) -> None:
    """Nothing was written for 21 hours where 20 are the limit: the run fails and says since when."""
    folder.write("a.jsonl", probe("1"))
    folder.pages("*.jsonl", silent_after="20h")
    with pytest.raises(SourceError, match=r"no file of \*\.jsonl was written to since 2026-03-01 12:00 UTC"):
        folder.pages("*.jsonl", silent_after="20h")


def test_what_was_written_before_the_silence_is_read(folder: Folder) -> None:
    """A file that is old but new to the store is read: only the run after it fails."""
    folder.write("a.jsonl", probe("1"))
    assert ids(folder.events("*.jsonl", silent_after="20h")) == ["1"]


def test_one_file_that_is_written_to_is_enough(folder: Folder) -> None:
    """The newest of several files counts: 21 hours and 2 hours old, with a limit of 20."""
    folder.write("a.jsonl", probe("1"))
    folder.write("b.jsonl", probe("2"), hours=19)
    folder.pages("*.jsonl", silent_after="20h")
    assert folder.pages("*.jsonl", silent_after="20h") == []


def test_silence_within_the_limit_is_no_failure(folder: Folder) -> None:
    """21 hours without a word are fine where 22 are the limit."""
    folder.write("a.jsonl", probe("1"))
    folder.pages("*.jsonl", silent_after="22h")
    assert folder.pages("*.jsonl", silent_after="22h") == []


# --- which files ----------------------------------------------------------------------------------------


def test_patterns_reach_into_folders_in_a_fixed_order(folder: Folder) -> None:
    """`**` matches folders of any depth; files come in the order of their names; others are left alone."""
    for name in ("z.jsonl", "x/b.jsonl", "x/y/a.ndjson", "x/notes.txt", "x/.hidden.jsonl"):
        folder.write(name, probe(name))

    assert ids(folder.events("**/*")) == ["x/b.jsonl", "x/y/a.ndjson", "z.jsonl"]


def test_absolute_paths_and_names_that_look_like_patterns(folder: Folder) -> None:
    """A file may stand anywhere, and an existing file's name is no pattern."""
    folder.write("[x].jsonl", probe("1"))
    folder.write("x.jsonl", probe("2"))

    assert ids(folder.events("[x].jsonl")) == ["1"]
    assert ids(folder.events(f"{folder.context.base_dir}/x.*")) == ["2"]


@pytest.mark.parametrize("path", ["gone.jsonl", "gone/*.csv", "notes.txt", "folder"])
def test_no_file_is_an_error_and_a_mistake(folder: Folder, path: str) -> None:
    """Without any file the run fails rather than look like "no data", and the check says so before."""
    folder.write("notes.txt", "x")
    (folder.context.base_dir / "folder").mkdir()
    config = FilesConfig.model_validate({"name": "import", "type": "files", "path": path})

    (mistake,) = config.check(folder.context)

    assert (mistake.path, mistake.problem) == ("path", f"no file matches {path}")
    assert mistake.expected.endswith("ending in .jsonl, .ndjson, .json, .csv")
    with pytest.raises(SourceError, match=f"no file matches the path {path.replace('*', '.')}"):
        folder.pages(path)


def test_an_unknown_kind_in_the_configuration_is_refused() -> None:
    """A kind that does not exist is answered with those that do."""
    with pytest.raises(ValidationError, match="expected one of commit, change"):
        FilesConfig.model_validate({"name": "import", "type": "files", "path": "a.csv", "kind": "pr"})


def test_two_sources_may_use_the_same_native_id(folder: Folder) -> None:
    """Two sources both posting id "42" → two events."""
    folder.write("a.jsonl", probe("42"))
    first = folder.events()
    folder.cursor = None

    second = folder.events(name="other")

    assert first[0].id != second[0].id
