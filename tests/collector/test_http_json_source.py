"""Any JSON API: how lists are paged and read on, what items become, and which mistakes the settings answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from code_blocks import ROOT
from names import PLANTED_MAIL
from providers.http_json import (
    CLOSED,
    OF_THEIR_OWN,
    RESOLVED,
    TOKEN,
    World,
    config,
    provider,
)
from pydantic import BaseModel
from replay import Provider, Reply, Request

from collector.document import dump, read_documents, validate
from collector.errors import ConfigError, ContractError, SourceError
from collector.events import Deployment, Event, PipelineRun, Probe, SelfServiceAttempt, Ticket
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.http_json import HttpJsonConfig
from collector.systems.http_json.settings import (
    Detail,
    EventRule,
    FieldRule,
    ListSettings,
    Lookup,
    Nested,
    Open,
    Paging,
    Since,
)

BASE = "https://api.example.com/v1"
DAY = datetime(2026, 2, 16, tzinfo=UTC)
FIELDS = {"native_id": "id", "queue": {"value": "support"}, "state": {"value": "open"}, "created_at": "at"}
TICKET = {"kind": "ticket", "fields": FIELDS}


def row(number: int, hour: float = 0, **more: Any) -> dict[str, Any]:
    """An item with a time of its own."""
    minutes = round(hour * 60)
    return {"id": number, "at": f"2026-02-16T{minutes // 60:02}:{minutes % 60:02}:00Z", **more}


ROWS = [row(number, number) for number in range(1, 6)]


@dataclass
class Reader:
    """Reads an API run after run."""

    api: Provider
    config: HttpJsonConfig
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()

    def run(self) -> list[Event]:
        """The events of a run; its cursor is the next one's."""
        found = []
        for page in self.config.build(self.context).pull(self.cursor):
            found.append(page)
            self.cursor = page.cursor
        self.pages = tuple(found)
        return [e for page in found for e in page.events]

    def ids(self) -> list[str]:
        """The native ids of a run's events."""
        return [e.native_id for e in self.run()]

    @property
    def warnings(self) -> list[str]:
        """The warnings of the last run."""
        return [w for page in self.pages for w in page.warnings]

    @property
    def rejected(self) -> list[str]:
        """What the last run set aside, and why."""
        return [str(r) for page in self.pages for r in page.rejected]

    def asked(self, name: str) -> list[str]:
        """The values of a parameter, request after request."""
        return [",".join(one.query[name]) for one in self.api.asked if name in one.query]


@pytest.fixture
def reader(context: SourceContext) -> Callable[..., Reader]:
    """A reader of one list of an API, `items` by default; further arguments are the list's settings."""

    def make(answer: Callable[[Request], Reply], source: Mapping[str, Any] | None = None, **settings: Any) -> Reader:
        api = Provider(BASE, with_etags=False)
        api.route("items")(answer)
        listed = {"path": "items", "events": [TICKET], **settings}
        fields = {"name": "any", "type": "http_json", "url": BASE, "lists": [listed], **(source or {})}
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        return Reader(api, HttpJsonConfig.model_validate(fields), replace(context, wire=wire))

    return make


@pytest.fixture
def read(reader: Callable[..., Reader]) -> Callable[..., Reader]:
    """A reader, after its first run, of an API that hands out all of its items at once."""

    def make(items: Sequence[Any], source: Mapping[str, Any] | None = None, **settings: Any) -> Reader:
        made = reader(lambda _: Reply(list(items)), source, **settings)
        made.run()
        return made

    return make


@pytest.fixture
def mapped(reader: Callable[..., Reader]) -> Callable[..., list[Event]]:
    """The events that one item becomes by the rules of some events."""

    def make(item: Mapping[str, Any], *events: Mapping[str, Any], **settings: Any) -> list[Event]:
        made = reader(lambda _: Reply([dict(item)]), events=list(events), **settings)
        found = made.run()
        assert made.rejected == []
        return found

    return make


# ---- how pages are handed out


def by_page(asked: Request) -> Reply:
    """Two items a page, by its number."""
    page = asked.number("page", 1)
    return Reply(ROWS[(page - 1) * 2 : page * 2])


def by_page_from_0(asked: Request) -> Reply:
    """Two items a page; the first one is number 0, and beyond the last nothing is found."""
    found = ROWS[asked.number("p", 0) * 2 :][:2]
    return Reply(found) if found else Reply({"detail": "Invalid page."}, status=404)


def by_offset(asked: Request) -> Reply:
    """So many items, after so many."""
    return Reply({"found": {"rows": ROWS[asked.number("skip", 0) :][: asked.number("limit", 9)]}})


def by_token(asked: Request) -> Reply:
    """Two items and the token of the next page."""
    start = asked.number("after", 0)
    return Reply({"rows": ROWS[start : start + 2], "meta": {"next": str(start + 2) if start + 2 < 5 else None}})


def by_link(asked: Request) -> Reply:
    """Two items, and the next page in a header."""
    start = asked.number("start", 0)
    link = f'<{BASE}/items?start={start + 2}>; rel="next"' if start + 2 < 5 else ""
    return Reply(ROWS[start : start + 2], headers={"Link": link})


def by_address(asked: Request) -> Reply:
    """Two items, and the address of the next page."""
    start = asked.number("start", 0)
    return Reply({"rows": ROWS[start : start + 2], "next": f"/v1/items?start={start + 2}" if start + 2 < 5 else False})


def by_id(asked: Request) -> Reply:
    """Two items after an id."""
    return Reply([r for r in ROWS if r["id"] > asked.number("after", 0)][:2])


@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        (lambda _: Reply(ROWS), {}),
        (by_page, {"paging": {"kind": "page"}}),
        (by_page_from_0, {"paging": {"kind": "page", "parameter": "p", "first": 0}}),
        (
            by_offset,
            {
                "items": "found.rows",
                "paging": {"kind": "offset", "parameter": "skip", "size_parameter": "limit", "size": 2},
            },
        ),
        (by_token, {"items": "rows", "paging": {"kind": "cursor", "parameter": "after", "next": "meta.next"}}),
        (by_link, {"paging": {"kind": "link"}}),
        (by_address, {"items": "rows", "paging": {"kind": "next_url", "next": "next"}}),
        (by_id, {"paging": {"kind": "keyset", "parameter": "after"}}),
    ],
    ids=["none", "page", "page from 0", "offset", "cursor", "link", "next_url", "keyset"],
)
def test_each_kind_of_paging_reads_to_the_end(
    reader: Callable[..., Reader], answer: Callable[[Request], Reply], settings: Mapping[str, Any]
) -> None:
    """Every page is read, in order, each item once."""
    assert reader(answer, **settings).ids() == ["1", "2", "3", "4", "5"]


def test_a_body_takes_the_token_of_a_page(reader: Callable[..., Reader]) -> None:
    """A POST, as GraphQL wants it: pages are asked for in the body, at the place that the settings name."""

    def answer(asked: Request) -> Reply:
        variables = asked.json()["variables"]
        start = int(variables.get("after", 0))
        end = start + variables["first"]
        info = {"endCursor": str(end), "hasNextPage": end < len(ROWS)}
        return Reply({"data": {"tickets": {"nodes": ROWS[start:end], "pageInfo": info}}})

    paging = {"kind": "cursor", "parameter": "variables.after", "size_parameter": "variables.first", "size": 2}
    info = "data.tickets.pageInfo"
    made = reader(
        answer,
        method="POST",
        body={"query": "query($first: Int) { tickets { nodes { id at } } }", "variables": {"to": "{since}"}},
        since={"field": "at"},
        items="data.tickets.nodes",
        paging={**paging, "next": f"{info}.hasNextPage && {info}.endCursor"},
    )
    made.api.route("items", method="POST")(answer)

    assert made.ids() == ["1", "2", "3", "4", "5"]
    assert made.api.asked[1].json()["variables"] == {"to": "2025-09-03T09:00:00Z", "after": "2", "first": 2}


@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        (lambda _: Reply(ROWS), {"paging": {"kind": "page"}}),
        (lambda _: Reply(ROWS), {"paging": {"kind": "keyset", "parameter": "after"}}),
        (
            lambda asked: Reply({"rows": [row(len(asked.query))], "next": "again"}),
            {"items": "rows", "paging": {"kind": "cursor", "parameter": "after", "next": "next"}},
        ),
    ],
    ids=["page", "keyset", "cursor"],
)
def test_pages_that_come_again_are_refused(
    reader: Callable[..., Reader], answer: Callable[[Request], Reply], settings: Mapping[str, Any]
) -> None:
    """A server that does not know the parameter hands out one page for ever: a mistake, not a list."""
    made = reader(answer, **settings)

    with pytest.raises(ContractError, match=r"its pages never end|its ids do not ascend"):
        made.run()
    assert len(made.api.asked) <= 3


@pytest.mark.parametrize("kind", ["link", "next_url"])
def test_another_host_is_not_followed(reader: Callable[..., Reader], kind: str) -> None:
    """The next page of another server would be handed the credentials."""
    elsewhere = "https://evil.example.com/items?start=2"
    answer = Reply({"rows": ROWS[:2], "next": elsewhere}, headers={"Link": f'<{elsewhere}>; rel="next"'})
    paging = {"kind": kind, **({"next": "next"} if kind == "next_url" else {})}

    with pytest.raises(ContractError, match="it names another server"):
        reader(lambda _: answer, items="rows", paging=paging).run()


@pytest.mark.parametrize(
    ("settings", "body", "says"),
    [
        ({"items": "sort_by(rows, &id)"}, {"rows": {}}, r"no list stands at `sort_by\(rows, &id\)`"),
        (
            {"paging": {"kind": "keyset", "parameter": "after"}},
            [{"at": "x"}],
            "an item has no `id`, by which pages go on",
        ),
        (
            {"paging": {"kind": "keyset", "parameter": "after"}},
            [{"id": []}],
            "an item has no `id`, by which pages go on",
        ),
        (
            {"items": "rows", "paging": {"kind": "cursor", "parameter": "after", "next": "next"}},
            {"rows": [row(1)], "next": {"id": 1}},
            "`next` is a list or an object",
        ),
    ],
)
def test_an_answer_that_cannot_be_read_on_is_an_error(
    reader: Callable[..., Reader], settings: Mapping[str, Any], body: Any, says: str
) -> None:
    """What an answer lacks to go on is named; the list does not just end there."""
    with pytest.raises(ContractError, match=says):
        reader(lambda _: Reply(body), **settings).run()


def test_a_token_that_is_true_is_an_error(reader: Callable[..., Reader]) -> None:
    """Whether there is more does not say where: the page that `true` names would be the first again."""
    paging = {"kind": "cursor", "parameter": "after", "next": "more"}

    with pytest.raises(ContractError, match="`more` is true; expected a token"):
        reader(lambda _: Reply({"rows": ROWS, "more": True}), items="rows", paging=paging).run()


def test_a_next_page_that_holds_nothing_is_not_asked_for(reader: Callable[..., Reader]) -> None:
    """Some servers name a next page for ever, and say beside it that it is empty."""

    def answer(asked: Request) -> Reply:
        start = asked.number("cursor", 0)
        link = f'<{BASE}/items?cursor={start + 5}>; rel="next"; results="{str(start == 0).lower()}"; cursor="0:5:0"'
        return Reply(ROWS if start == 0 else [row(6)] if start == 5 else [], headers={"Link": link})

    made = reader(answer, paging={"kind": "link"})

    assert (made.ids(), len(made.api.asked)) == (["1", "2", "3", "4", "5", "6"], 2)


@pytest.mark.parametrize("address", ["?start={}", "items?start={}", "/v1/items?start={}"])
def test_an_address_is_as_the_page_means_it(reader: Callable[..., Reader], address: str) -> None:
    """Relative to the page that names it, which is not the server's address."""

    def answer(asked: Request) -> Reply:
        start = asked.number("start", 0)
        return Reply({"rows": ROWS[start : start + 2], "next": address.format(start + 2) if start + 2 < 5 else None})

    made = reader(answer, items="rows", paging={"kind": "next_url", "next": "next"})

    assert made.ids() == ["1", "2", "3", "4", "5"]


def test_an_address_that_is_none_is_an_error(reader: Callable[..., Reader]) -> None:
    """What stands there is not shown."""
    answer = Reply({"rows": ROWS, "next": "http://[ada@x"})

    with pytest.raises(ContractError, match=r"it names no address as its next page$"):
        reader(lambda _: answer, items="rows", paging={"kind": "next_url", "next": "next"}).run()


def test_a_slash_at_the_end_is_sent(reader: Callable[..., Reader]) -> None:
    """Some servers answer without it with another address, which a POST does not survive."""
    made = reader(by_page, path="items/")
    made.api.route("items/")(lambda _: Reply(ROWS))

    assert made.ids() == ["1", "2", "3", "4", "5"]


def test_errors_beside_what_was_found_are_an_error(reader: Callable[..., Reader]) -> None:
    """GraphQL answers 200 with a part of a list, and says beside it what failed."""
    made = reader(lambda _: Reply([]), method="POST", body={"query": "q"}, items="data.rows")
    made.api.route("items", method="POST")(
        lambda _: Reply({"data": {"rows": ROWS}, "errors": [{"message": PLANTED_MAIL}]})
    )

    with pytest.raises(ContractError, match=r"`errors` stand beside what it found, so a part may be missing$"):
        made.run()


@pytest.mark.parametrize(("form", "sent"), [("epoch", 1_771_214_400), ("rfc3339", "2026-02-16T04:00:00Z")])
def test_a_body_takes_a_number_as_one(reader: Callable[..., Reader], form: str, sent: Any) -> None:
    """A body says what is a number; a text with a number in it may be refused."""
    made = reader(
        lambda _: Reply([]), method="POST", body={"a": [{"from": "{since}"}]}, since={"field": "at", "format": form}
    )
    made.api.route("items", method="POST")(lambda _: Reply([]))
    made.cursor = '{"streams":{"items":{"since":"2026-02-16T05:00:00Z"}}}'

    made.run()

    assert made.api.asked[0].json() == {"a": [{"from": sent}]}


@pytest.mark.parametrize("body", [{"rows": None}, {"other": []}, {"rows": {"1": {}}}])
def test_no_list_is_an_error(reader: Callable[..., Reader], body: Any) -> None:
    """An answer without the list is another shape, not an empty list."""
    with pytest.raises(ContractError, match="no list stands at `rows`"):
        reader(lambda _: Reply(body), items="rows").run()


def test_a_place_that_the_server_forgot_is_begun_anew(reader: Callable[..., Reader]) -> None:
    """A token that is refused after a broken run: the list is read from its start, and nothing is missing."""
    forgotten = ["2"]

    def answer(asked: Request) -> Reply:
        if asked.one("after") in forgotten:
            forgotten.remove(asked.one("after"))
            return Reply({}, status=410)
        return by_token(asked)

    made = reader(answer, items="rows", paging={"kind": "cursor", "parameter": "after", "next": "meta.next"})
    made.cursor = '{"streams":{"items":{"after":"{\\"by\\":\\"cursor\\",\\"next\\":\\"2\\"}"}}}'

    assert made.ids() == ["1", "2", "3", "4", "5"]
    assert forgotten == []


# ---- what is new


def since(asked: Request, rows: Sequence[Mapping[str, Any]] = ROWS, *, size: int = 2) -> Reply:
    """The items from a time on, the oldest first, page by page."""
    found = sorted((r for r in rows if r["at"] >= asked.one("since")), key=lambda r: str(r["at"]))
    page = asked.number("page", 1)
    return Reply(found[(page - 1) * size : page * size])


NEW = {"parameters": {"since": "{since}"}, "since": {"field": "at"}}
BY_TIME = {
    "parameters": {"since": "{since}"},
    "since": {"field": "at", "order": "ascending"},
    "paging": {"kind": "page", "size_parameter": "n", "size": 2},
}


def test_the_next_run_asks_for_what_is_new(reader: Callable[..., Reader]) -> None:
    """A first run reads from `history` on, the next from the newest item's time less the overlap."""
    made = reader(lambda asked: since(asked, size=9), **NEW)

    assert (made.ids(), made.ids()) == (["1", "2", "3", "4", "5"], ["4", "5"])
    assert made.asked("since") == ["2025-09-03T09:00:00Z", "2026-02-16T04:00:00Z"]


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ({"format": "date", "zone": "UTC"}, "2026-02-16"),
        ({"format": "date"}, "2026-02-15"),  # where it is still the day before
        ({"format": "epoch"}, "1771214400"),
        ({"format": "epoch_ms"}, "1771214400000"),
        ({"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "16.02.2026 05:00"),
        ({"zone": "Europe/Berlin"}, "2026-02-16T05:00:00"),
    ],
)
def test_a_time_is_asked_for_as_the_system_writes_it(
    reader: Callable[..., Reader], form: Mapping[str, str], written: str
) -> None:
    """Dates, seconds, milliseconds, patterns and zones; around it stands what the parameter says."""
    made = reader(lambda _: Reply(ROWS[4:]), parameters={"q": "updated>={since}"}, since={"field": "at", **form})
    made.cursor = '{"streams":{"items":{"since":"2026-02-16T05:00:00Z"}}}'

    made.run()

    assert made.asked("q") == [f"updated>={written}"]


def test_what_is_older_than_asked_for_is_noticed(reader: Callable[..., Reader]) -> None:
    """A server that passes over the parameter would hand out all of it each time: it says so."""
    made = reader(lambda _: Reply(ROWS), **NEW)
    made.cursor = '{"streams":{"items":{"since":"2026-02-16T05:00:00Z"}}}'

    with pytest.raises(ContractError, match="it holds what is older than it was asked for"):
        made.run()


def test_pages_go_on_from_the_last_time(reader: Callable[..., Reader]) -> None:
    """What changes while a list is read moves to its end: by number the one behind it would be passed over."""
    rows = list(ROWS)

    def answer(asked: Request) -> Reply:
        found = since(asked, rows)
        if len(made.api.asked) == 1:
            rows[0] = row(1, 9)  # after the first page its first item moves: number 3 is on page 1 now
        return found

    made = reader(answer, **BY_TIME)

    assert made.ids() == ["1", "2", "3", "4", "5", "1"]
    assert made.asked("since")[:2] == ["2025-09-03T09:00:00Z", "2026-02-16T01:59:59Z"]


def test_many_of_one_time_are_read_by_number(reader: Callable[..., Reader]) -> None:
    """Where a whole page has one time, the next is asked for by its number."""
    rows = [row(number, 1) for number in range(1, 8)]
    made = reader(lambda asked: since(asked, rows), **BY_TIME)

    assert made.ids() == ["1", "2", "3", "4", "5", "6", "7"]


def test_a_list_in_another_order_is_noticed(reader: Callable[..., Reader]) -> None:
    """Pages that go on by time need the order that was asked for."""
    with pytest.raises(ContractError, match="not in the order of `at`"):
        reader(lambda _: Reply(ROWS[::-1]), **BY_TIME).run()


def test_a_list_that_is_not_the_newest_first_is_noticed(reader: Callable[..., Reader]) -> None:
    """Reading stops at what is old, so a list in another order would be cut short."""
    with pytest.raises(ContractError, match="not in the order of `at`"):
        reader(lambda _: Reply(ROWS), since={"field": "at", "order": "descending"}).run()


def test_a_list_with_the_newest_first_is_read_to_what_is_old(reader: Callable[..., Reader]) -> None:
    """Nothing filters by time, but the newest come first: reading stops at the first page that is old."""

    def answer(asked: Request) -> Reply:
        start = (asked.number("page", 1) - 1) * 2
        return Reply(ROWS[::-1][start : start + 2])

    made = reader(answer, since={"field": "at", "order": "descending"}, paging={"kind": "page"})

    assert made.ids() == ["5", "4", "3", "2", "1"]
    assert made.ids() == ["5", "4", "3", "2"]  # of which 5 and 4 lie within the overlap


def test_ids_go_on_where_they_ended(reader: Callable[..., Reader]) -> None:
    """A list that only grows: without a time the next run asks for what came after the last id."""
    made = reader(by_id, paging={"kind": "keyset", "parameter": "after"})

    assert (made.ids(), made.ids()) == (["1", "2", "3", "4", "5"], [])
    assert made.asked("after")[-1] == "5"


def test_a_place_of_another_kind_of_paging_is_no_place(reader: Callable[..., Reader]) -> None:
    """Settings that page otherwise after a broken run: the list is read from its start."""
    made = reader(by_page, paging={"kind": "page"})
    made.cursor = '{"streams":{"items":{"after":"{\\"by\\":\\"cursor\\",\\"next\\":\\"abc\\"}"}}}'

    assert made.ids() == ["1", "2", "3", "4", "5"]


def test_what_runs_and_cannot_be_read_is_an_error(reader: Callable[..., Reader]) -> None:
    """An item in an answer of another shape is not taken for one that is gone."""
    made = reader(by_id, **GOES_ON, open={"when": "!done", "path": "items/{id}", "take": "max(item)"})
    made.api.route("items/1")(lambda _: Reply({"item": 5}))
    made.cursor = '{"streams":{"items":{"open":["1"]}}}'

    with pytest.raises(ContractError, match=r"`max\(item\)` does not take what stands there"):
        made.run()


def test_whether_it_runs_must_be_readable(read: Callable[..., Reader]) -> None:
    """Where the condition does not take an item, it is read as it is and not asked for again."""
    made = read([row(1, done=5)], **GOES_ON_ONCE, open={"when": "starts_with(done, 'n')", "path": "items/{id}"})

    assert '"open"' not in str(made.cursor)


# ---- what was deleted


def test_what_a_complete_list_no_longer_holds_was_deleted(reader: Callable[..., Reader], new_bench: Any) -> None:
    """A list that is read whole and holds all there is shows what is gone; one that is empty shows nothing."""
    rows = [row(1), row(2), row(3)]
    made = reader(lambda _: Reply(rows), complete=True)
    bench = new_bench("complete")

    removed = []
    for left in (rows[:], rows[1:], []):
        rows[:] = left
        removed.append(bench.runner.run("any", made.config.build(made.context)).removed)

    assert removed == [0, 1, 0]


def test_a_list_with_a_bad_item_is_not_whole(reader: Callable[..., Reader]) -> None:
    """What could not be used was not deleted."""
    made = reader(lambda _: Reply([row(1), row(2, at=5)]), complete=True)
    made.run()

    assert [one for page in made.pages for one in page.complete] == []


def test_a_list_whose_end_is_not_found_is_not_whole(reader: Callable[..., Reader]) -> None:
    """A page that is not found may be the end of a list, or a server that fails: nothing was deleted by that."""
    made = reader(by_page_from_0, paging={"kind": "page", "parameter": "p", "first": 0}, complete=True)

    assert made.ids() == ["1", "2", "3", "4", "5"]
    assert [one for page in made.pages for one in page.complete] == []


# ---- what has not ended

RUNNING = [row(1, 1, done=False), row(2, 2, done=True)]
GOES_ON_ONCE = {"paging": {"kind": "none"}}
GOES_ON = {"paging": {"kind": "keyset", "parameter": "after"}}


def test_what_runs_is_asked_for_by_its_id(reader: Callable[..., Reader]) -> None:
    """An item that had not ended is asked for again, until it has."""
    rows = [dict(r) for r in RUNNING]

    def answer(asked: Request) -> Reply:
        return Reply(
            [r for r in rows if str(r["id"]) in asked.one("ids").split(",") or r["id"] > asked.number("after", 9)]
        )

    made = reader(answer, **GOES_ON, open={"when": "!done", "parameter": "ids", "separator": ","})
    made.cursor = '{"streams":{"items":{"after":"{\\"by\\":\\"keyset\\",\\"next\\":\\"2\\"}","open":["1"]}}}'

    assert made.ids() == ["1"]
    rows[0]["done"] = True
    assert (made.ids(), made.ids()) == (["1"], [])


def test_what_runs_is_asked_for_however_small_pages_are(reader: Callable[..., Reader]) -> None:
    """What stands on the second page of those that were asked for is not gone."""
    rows = [row(number, number, done=False) for number in range(1, 6)]

    def answer(asked: Request) -> Reply:
        page = asked.number("page", 1)
        return Reply([r for r in rows if "ids" in asked.query or page > 9][(page - 1) * 2 : page * 2])

    made = reader(answer, paging={"kind": "page"}, open={"when": "!done", "parameter": "ids", "separator": ","}, **NEW)
    made.cursor = '{"streams":{"items":{"since":"2026-02-16T05:00:00Z","open":["1","2","3","4","5"]}}}'

    assert made.ids() == ["1", "2", "3", "4", "5"]
    assert made.asked("ids") == ["1,2,3,4,5"] * 3
    assert '"open":["1","2","3","4","5"]' in str(made.cursor)


def test_all_that_ran_is_asked_for_in_one_run(reader: Callable[..., Reader]) -> None:
    """More than fit into one request: that the first of them have ended passes over none of the others."""
    made = reader(lambda _: Reply([]), open={"when": "!done", "path": "items/{id}"}, **NEW)
    made.api.route("items/(?P<number>[0-9]+)")(lambda _, number: Reply(row(int(number), done=True)))
    known = [str(number) for number in range(100, 220)]
    made.cursor = '{"streams":{"items":{"open":' + str(known).replace("'", '"') + "}}}"

    assert made.ids() == known


def test_a_parameter_of_ids_that_is_passed_over_is_noticed(reader: Callable[..., Reader]) -> None:
    """A server that does not know it hands out others: what it does not show is not gone."""
    made = reader(lambda _: Reply([row(7)]), open={"when": "!done", "parameter": "ids"}, **NEW)
    made.cursor = '{"streams":{"items":{"open":["1"]}}}'

    with pytest.raises(ContractError, match="it holds what `ids` did not ask for"):
        made.run()


def test_what_runs_needs_an_id(reader: Callable[..., Reader]) -> None:
    """Without one it could not be asked for again."""
    made = reader(lambda _: Reply([row(1, done=False)]), id="key", open={"when": "!done", "path": "items/{id}"})

    with pytest.raises(ContractError, match="GET items: an item has no `key`, by which it is read again"):
        made.run()


def test_what_runs_is_asked_for_by_its_path(reader: Callable[..., Reader]) -> None:
    """So is one that has a path of its own; what is gone there is asked for no more."""
    made = reader(by_id, **GOES_ON, open={"when": "!done", "path": "items/{id}", "take": "item"})
    made.api.route("items/(?P<number>[0-9]+)")(
        lambda _, number: Reply({"item": RUNNING[0]}) if number == "1" else Reply({}, status=404)
    )
    made.cursor = '{"streams":{"items":{"after":"{\\"by\\":\\"keyset\\",\\"next\\":\\"5\\"}","open":["1","2"]}}}'

    assert (made.ids(), made.ids()) == (["1"], ["1"])
    assert [one.path for one in made.api.asked] == ["items/1", "items/2", "items", "items/1", "items"]


def test_what_runs_is_met_again_from_its_time_on(reader: Callable[..., Reader]) -> None:
    """Where nothing asks by ids the list is read from the oldest that runs, however long that takes."""
    rows = [dict(r) for r in RUNNING] + [row(3, 20, done=True)]
    made = reader(lambda asked: since(asked, rows, size=9), **NEW, open={"when": "!done"})

    assert (made.ids(), made.ids()) == (["1", "2", "3"], ["1", "2", "3"])
    rows[0]["done"] = True
    assert (made.ids(), made.ids()) == (["1", "2", "3"], ["3"])


def test_what_never_ends_is_let_go(reader: Callable[..., Reader]) -> None:
    """What began before `history` and never ended is asked for no more, which is said."""
    made = reader(
        lambda _: Reply([row(1, done=False)]),
        {"history": "1d"},
        since={"field": "at", "order": "descending"},
        open={"when": "!done"},
    )
    made.run()

    assert made.warnings == ["items: what began before 2026-03-01 and never ended is asked for no more: 1"]


# ---- what items become

RUN = {
    "native_id": "id",
    "repository": "repo",
    "pipeline": "job",
    "state": {"value": "completed"},
    "result": "result",
    "finished_at": "at",
}


def ticket(**fields: Any) -> dict[str, Any]:
    """The rule of a ticket with some fields beside those that it needs."""
    return {"kind": "ticket", "fields": {**FIELDS, **fields}}


STATES = {"from": "status", "map": {"1": "open", "true": "closed", "null": "waiting"}, "default": "in_progress"}


@pytest.mark.parametrize(
    ("rules", "item", "expected"),
    [
        ({"title": "a.b[0]"}, {"a": {"b": ["x"]}}, {"title": "x"}),
        ({"title": "n"}, {"n": 5}, {"title": "5"}),
        ({"title": {"text": "{n}/{id}"}}, {"n": "x"}, {"title": "x/1"}),
        ({"title": {"text": "{n}/{id}"}}, {}, {"title": None}),
        ({"title": {"value": 7}}, {}, {"title": "7"}),
        ({"title": {"from": "n", "default": "none"}}, {}, {"title": "none"}),
        ({"title": {"from": "n", "pattern": "/([^/]+)$"}}, {"n": "a/b/c"}, {"title": "c"}),
        ({"title": {"from": "n", "pattern": "[0-9]+"}}, {"n": "SHOP-12 x"}, {"title": "12"}),
        ({"title": {"from": "n", "pattern": "[0-9]+"}}, {"n": "none"}, {"title": None}),
        (
            {"labels": "tags[].name"},
            {"tags": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {}]},
            {"labels": ("a", "b")},
        ),
        ({"labels": "tag"}, {"tag": "a"}, {"labels": ("a",)}),
        ({"state": STATES}, {"status": 1}, {"state": "open"}),
        ({"state": STATES}, {"status": True}, {"state": "closed"}),
        ({"state": STATES}, {}, {"state": "waiting"}),
        ({"state": STATES}, {"status": 9}, {"state": "in_progress"}),
        ({"resolved_at": {"from": "n", "format": "epoch"}}, {"n": 1_771_200_000}, {"resolved_at": DAY}),
        ({"resolved_at": {"from": "n", "format": "epoch"}}, {"n": 0}, {"resolved_at": None}),
        ({"resolved_at": {"from": "n", "format": "epoch_ms"}}, {"n": "1771200000000"}, {"resolved_at": DAY}),
        ({"resolved_at": {"from": "n", "format": "date"}}, {"n": "2026-02-16"}, {"resolved_at": DAY}),
        (
            {"resolved_at": {"from": "n", "format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}},
            {"n": "16.02.2026 01:00"},
            {"resolved_at": DAY},
        ),
        ({"resolved_at": {"from": "n", "zone": "Europe/Berlin"}}, {"n": "2026-02-16 01:00:00"}, {"resolved_at": DAY}),
        ({"resolved_at": "n"}, {"n": "2026-02-16T01:00:00+01:00"}, {"resolved_at": DAY}),
        (
            {"resolved_at": {"from": "n", "plus": "took", "unit": "m"}},
            {"n": "2026-02-15T22:00:00Z", "took": 120},
            {"resolved_at": DAY},
        ),
    ],
)
def test_a_field_is_what_its_rule_says(
    mapped: Callable[..., list[Event]], rules: Mapping[str, Any], item: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Expressions, texts, fixed values, patterns, maps, formats of times, zones and durations."""
    (event,) = mapped({**row(1), **item}, ticket(**rules))

    assert {name: getattr(event, name) for name in expected} == expected


def test_numbers_and_flags_are_as_the_kind_has_them(mapped: Callable[..., list[Event]]) -> None:
    """Texts that are numbers, and words that are true or false."""
    fields = {"native_id": "id", "service": {"value": "shop"}, "at": "at", "passed": "ok", "latency_seconds": "took"}
    probe = {"kind": "probe", "fields": {**fields, "duration_seconds": {"from": "every", "unit": "m"}}}
    run = {"kind": "pipeline_run", "fields": {**RUN, "allow_failure": "may", "result": {"value": "success"}}}

    found = mapped(row(1, ok="5", took="250", every=2, may="true", repo="a", job="b"), probe, run)

    assert isinstance(found[0], Probe)
    assert (found[0].passed, found[0].latency_seconds, found[0].duration_seconds) == (5, 250.0, 120.0)
    assert isinstance(found[1], PipelineRun)
    assert found[1].allow_failure is True


def test_each_of_several_values_has_its_meaning(mapped: Callable[..., list[Event]]) -> None:
    """A list of values is mapped one by one."""
    (event,) = mapped(row(1, tags=[1, 2]), ticket(labels={"from": "tags", "map": {"1": "bug", "2": "urgent"}}))

    assert isinstance(event, Ticket)
    assert event.labels == ("bug", "urgent")


@pytest.mark.parametrize(
    ("rule", "item", "says"),
    [
        ({**RUN, "finished_at": "no"}, {}, "it has no time; expected one by which its versions are told apart"),
        ({**RUN, "finished_at": {"from": "at", "format": "epoch"}}, {}, "`finished_at`: expected a time as a number"),
        ({**RUN, "finished_at": {"from": "n", "format": "epoch"}}, {"n": [1]}, "expected a time as a number"),
        ({**RUN, "finished_at": {"from": "at", "plus": "n"}}, {"n": "long"}, "expected a duration as a number"),
        ({**RUN, "attempt": "n"}, {"n": "first"}, "`attempt`: expected `int`"),
    ],
)
def test_a_bad_run_is_set_aside(
    read: Callable[..., Reader], rule: Mapping[str, Any], item: Mapping[str, Any], says: str
) -> None:
    """Times and durations that are none, numbers that are words."""
    made = read(
        [{**row(1, repo="a", job="b", result="success"), **item}], events=[{"kind": "pipeline_run", "fields": rule}]
    )

    assert [says in reason for reason in made.rejected] == [True], made.rejected


def test_what_a_map_does_not_list_is_counted_and_named(read: Callable[..., Reader]) -> None:
    """A value that nobody described → record survives; the unknown value is counted and named."""
    made = read([row(1, status="odd"), row(2, status="odd")], events=[ticket(state=STATES)])

    assert made.warnings == ["`state` 'odd' is not known here; it is taken as `in_progress` (2 times)"]


def test_somebody_whom_a_map_does_not_list_is_not_named(read: Callable[..., Reader]) -> None:
    """Unknown values are named, people are not."""
    made = read([row(1, by="wilhelmina")], events=[ticket(author={"from": "by", "map": {"a": "ada"}})])

    assert made.warnings == ["`author` '…' is not known here; it is taken as nothing"]


def test_lists_inside_an_item_become_records(mapped: Callable[..., list[Event]], context: SourceContext) -> None:
    """Replies and changes of state, each by rules of its own, some of them left out; people are hashed there too."""
    notes = [
        {"at": "2026-02-16T01:00:00Z", "by": PLANTED_MAIL, "to": None},
        {"at": "2026-02-16T02:00:00Z", "by": "renovate[bot]", "to": "done"},
    ]
    replies = {"each": {"items": "notes", "fields": {"at": "at", "author": "by"}}}
    moves = {"each": {"items": "notes", "when": "to", "fields": {"at": "at", "state": "to"}}}

    (event,) = mapped(row(1, notes=notes), ticket(replies=replies, transitions=moves))

    assert isinstance(event, Ticket)
    assert [(r.at.hour, r.author, r.bot) for r in event.replies] == [
        (1, context.people.hashed(PLANTED_MAIL), False),
        (2, context.people.hashed("renovate[bot]"), True),
    ]
    assert [(t.at.hour, t.state) for t in event.transitions] == [(2, "done")]
    assert event.updated_at == event.replies[1].at  # its newest time tells its versions apart


def test_several_events_come_of_one_item(mapped: Callable[..., list[Event]]) -> None:
    """Each rule whose condition holds gives one; durations are in seconds."""
    attempt = {"native_id": "id", "journey": {"value": "database"}, "started_at": "at"}
    attempt |= {"waiting_for_requester_seconds": {"from": "waited", "unit": "ms"}}
    events = [
        {"kind": "self_service_attempt", "when": "action == 'db'", "fields": attempt},
        {**TICKET, "when": "action == 'other'"},
        TICKET,
    ]

    found = mapped(row(1, action="db", waited=1500), *events)

    assert [type(e) for e in found] == [SelfServiceAttempt, Ticket]
    assert found[0].waiting_for_requester_seconds == 1.5  # type: ignore[attr-defined] # told just before


def test_rules_make_deployments_of_runs(mapped: Callable[..., list[Event]]) -> None:
    """A run that a rule takes is a deployment too, with what only the item knows."""
    item = row(1, repo="acme/shop", job="deploy-shop", result="success", shas=["a" * 40], tag="1.2")
    rule = {"kind": "pipeline_run", "fields": RUN, "deployment": {"version": "tag", "change_shas": "shas"}}

    run, deployment = mapped(item, rule, source={"deployments": [{"pipeline": "deploy-*", "to": "production"}]})

    assert isinstance(run, PipelineRun)
    assert isinstance(deployment, Deployment)
    assert (deployment.service, deployment.environment, deployment.result) == ("shop", "production", "success")
    assert (deployment.version, deployment.change_shas) == ("1.2", ("a" * 40,))
    assert deployment.pipeline_run_native_id == run.native_id


ISSUE = {
    "native_id": "id",
    "created_at": "at",
    "status": "status",
    "category": {"from": "over", "map": {"true": "closed", "false": "open"}},
    "ended_at": {"from": "end", "when": "over"},
    "author": "by",
    "replies": {"each": {"items": "said", "fields": {"at": "at", "author": "by"}}},
    "changes": {"each": {"items": "moved", "fields": {"at": "at", "status": "to"}}},
}
RULES = {"issues": [{"becomes": "ticket"}], "statuses": {"resolved": "Done", "in_progress": "Busy"}}


def test_rules_make_tickets_of_issues(mapped: Callable[..., list[Event]], context: SourceContext) -> None:
    """An issue in its tracker's words is a ticket by the rules: reopened, its last resolution counts."""
    moved = [
        {"at": f"2026-02-16T0{hour}:00:00Z", "to": to} for hour, to in enumerate(["Done", "Busy", "Done"], start=1)
    ]
    said = [{"at": "2026-02-16T01:30:00Z", "by": "renovate[bot]"}, {"at": "2026-02-16T01:40:00Z", "by": PLANTED_MAIL}]
    item = row(1, status="Done", over=False, end="2026-02-17T00:00:00Z", by=PLANTED_MAIL, said=said, moved=moved)

    (event,) = mapped(item, {"kind": "issue", "fields": ISSUE}, source=RULES)

    assert isinstance(event, Ticket)
    assert (event.queue, event.state, event.resolved_at, event.closed_at) == (
        "any",
        "resolved",
        DAY.replace(hour=3),
        None,
    )
    assert [t.state for t in event.transitions] == ["resolved", "in_progress", "resolved"]
    assert event.author == context.people.hashed(PLANTED_MAIL)
    assert [(r.author == event.author, r.bot) for r in event.replies] == [(False, True), (True, False)]
    assert event.updated_at == DAY.replace(hour=3)


def test_an_issue_that_no_rule_takes_is_nothing(mapped: Callable[..., list[Event]]) -> None:
    """The first rule that fits decides; where it says nothing, there is no event."""
    rules = {**RULES, "issues": [{"becomes": "nothing"}]}

    assert mapped(row(1, status="Done", over=True), {"kind": "issue", "fields": ISSUE}, source=rules) == []


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (row(1), "`status` is missing; expected in every issue"),
        (row(1, status=""), "`status` is missing; expected in every issue"),
        (row(1, status="x", moved=[{"at": "2026-02-16T01:00:00Z"}]), "a field holds what it cannot"),
    ],
)
def test_an_issue_that_is_none_is_set_aside(read: Callable[..., Reader], item: Mapping[str, Any], says: str) -> None:
    """What an issue needs and does not have is named."""
    made = read([{**item}], RULES, events=[{"kind": "issue", "fields": ISSUE}])

    assert [says in reason for reason in made.rejected] == [True]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (row(1, at=None), "`created_at` is missing; expected in every record of kind ticket"),
        (row(1, at="yesterday"), "`created_at`: expected a time as rfc3339"),
        (row(1, at="2026-02-16 10:00"), "`created_at`: expected a time with an offset, or its `zone` in the settings"),
        (row(1, at=5), "`created_at`: expected a time as rfc3339"),
        (row(1, status="odd"), "`state`: expected one of open, in_progress, waiting, resolved, closed"),
        (row(1, status={"name": "open"}), "`state` is a list or an object; expected a text or a number"),
        (row(1, notes=5), "`replies`: expected a list where `items` says"),
        (row(1, notes=[{"at": None}]), "`replies[0].at` is missing"),
        (row(1, tags=[[1]]), "`labels` is a list or an object"),
        (row(1, tags=3), "id == `1`` does not take what stands there"),
    ],
)
def test_a_bad_item_is_set_aside_with_its_place(
    read: Callable[..., Reader], item: Mapping[str, Any], says: str
) -> None:
    """An item that cannot be used is named by number, id and field, never by its value; the next one is read."""
    rule = ticket(
        state={"from": "status", "default": "open"},
        labels="tags",
        replies={"each": {"items": "notes", "fields": {"at": "at"}}},
    )
    made = read([{**item}, row(2)], events=[{**rule, "when": "!tags || contains(tags, 'x') || id == `1`"}])

    assert [r.partition(": ")[0] for r in made.rejected] == ["GET https://api.example.com/items item 1 (id 1)"]
    assert says in made.rejected[0]
    assert [e.native_id for page in made.pages for e in page.events] == ["2"]


def test_an_id_that_names_somebody_is_not_shown(read: Callable[..., Reader]) -> None:
    """The place of an item that is set aside is its number then."""
    made = read([row(1, at=None, mail="ada@x.example")], id="mail")

    assert [r.partition(": ")[0] for r in made.rejected] == ["GET https://api.example.com/items item 1"]


def test_a_team_that_a_map_does_not_list_is_not_named(read: Callable[..., Reader]) -> None:
    """It may be told by who somebody is."""
    made = read([row(1, by="wilhelmina")], events=[ticket(author_team={"from": "by", "map": {"ada": "/a"}})])

    assert made.warnings == ["`author_team` '…' is not known here; it is taken as nothing"]


@pytest.mark.parametrize(
    "resolved",
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "1970-01-01T00:00:00Z", "0000-00-00 00:00:00"],
)
def test_what_stands_for_no_time_is_none(mapped: Callable[..., list[Event]], resolved: str) -> None:
    """The first moment that a language or a database knows is how they write that there is none."""
    rule = {"from": "n", "zone": "Europe/Berlin"}

    (event,) = mapped(row(1, n=resolved), ticket(resolved_at=rule))

    assert isinstance(event, Ticket)
    assert event.resolved_at is None


@pytest.mark.parametrize("took", ["inf", "nan", 10**30, 10**11])
def test_a_duration_without_measure_is_set_aside(read: Callable[..., Reader], took: Any) -> None:
    """One bad item does not end the run."""
    rule = {"from": "at", "plus": "took", "unit": "m"}
    made = read([row(1, took=took), row(2, took=5)], events=[ticket(resolved_at=rule)])

    assert [r.partition(": ")[2] for r in made.rejected] == ["`resolved_at`: expected a duration as a number"]


def test_what_is_no_object_is_set_aside(read: Callable[..., Reader]) -> None:
    """A list may hold a null among its items."""
    made = read([None, row(2)])

    assert made.rejected == ["GET https://api.example.com/items item 1: it is no object"]


# ---- details


def test_a_detail_is_asked_for_with_each_item(reader: Callable[..., Reader]) -> None:
    """A further request for each item, its answer under the detail's name; one that is gone is nothing."""
    made = reader(
        lambda _: Reply([row(1, key="a/b"), row(2, key="c"), row(3)]),
        details={"more": {"path": "things/{key}", "take": "title", "when": "id != `9`"}},
        events=[ticket(title="more")],
    )
    made.api.route("things/a%2Fb")(lambda _: Reply({"title": "x"}))

    assert [e.title for e in made.run() if isinstance(e, Ticket)] == ["x", None, None]
    assert [one.path for one in made.api.asked] == ["items", "things/a%2Fb", "things/c"]


def test_a_detail_of_several_pages_that_is_gone_is_nothing(reader: Callable[..., Reader]) -> None:
    """So is one that is asked for page by page."""
    made = reader(
        lambda _: Reply([row(7)]),
        details={"more": {"path": "items/{id}/notes", "paging": {"kind": "page"}}},
        events=[ticket(labels="more[].to_string(id)")],
    )

    assert [e.labels for e in made.run() if isinstance(e, Ticket)] == [()]


def test_a_detail_of_what_is_no_text_is_not_asked_for(reader: Callable[..., Reader]) -> None:
    """A path that an item does not fill in as a text sets the item aside."""
    made = reader(lambda _: Reply([row(7, key=[1])]), details={"more": {"path": "items/{key}"}})

    assert made.run() == []
    assert made.rejected == [
        "GET https://api.example.com/items item 1 (id 7): `key` is a list or an object; expected a text or a number"
    ]


def test_a_detail_of_several_pages_is_read_whole(reader: Callable[..., Reader]) -> None:
    """What is said on a ticket may take several pages."""
    made = reader(
        lambda _: Reply([row(7)]),
        details={"more": {"path": "items/{id}/notes", "paging": {"kind": "page"}}},
        events=[ticket(labels="more[].to_string(id)")],
    )
    made.api.route("items/7/notes")(by_page)

    assert [e.labels for e in made.run() if isinstance(e, Ticket)] == [("1", "2", "3", "4", "5")]


def test_a_detail_whose_pages_never_end_is_an_error(reader: Callable[..., Reader]) -> None:
    """A server that does not know the parameter would be asked for ever."""
    made = reader(lambda _: Reply([row(7)]), details={"more": {"path": "notes", "paging": {"kind": "page"}}})
    made.api.route("notes")(lambda _: Reply(ROWS))

    with pytest.raises(ContractError, match="its pages never end"):
        made.run()
    assert len(made.api.asked) <= 4


def test_a_detail_may_be_asked_for_by_a_parameter(reader: Callable[..., Reader]) -> None:
    """What is said on an item stands in a list of its own, filtered by the item; without a filter none is asked."""
    made = reader(
        lambda _: Reply([row(1, key="a b"), row(2)]),
        details={"more": {"path": "notes", "parameters": {"of": "{key}", "all": "true"}, "take": "[0].title"}},
        events=[ticket(title="more")],
    )
    made.api.route("notes")(lambda asked: Reply([{"title": f"{asked.one('of')} {asked.one('all')}"}]))

    assert [e.title for e in made.run() if isinstance(e, Ticket)] == ["a b true", None]


@pytest.mark.parametrize(("key", "shown"), [("ada@x.example", "users/…/groups"), (7, "users/7/groups")])
def test_what_goes_wrong_with_a_detail_names_nobody(reader: Callable[..., Reader], key: Any, shown: str) -> None:
    """A login or an address may stand in its path; a number is nobody's."""
    made = reader(lambda _: Reply([row(1, key=key)]), details={"more": {"path": "users/{key}/groups"}})
    made.api.route(r"users/[^/]+/groups")(lambda _: Reply(body=b"<html>"))

    with pytest.raises(ContractError, match=f"GET https://api.example.com/{shown}: the answer is no JSON"):
        made.run()


@pytest.mark.parametrize(("known", "shown"), [("ada@x.example", r"users/\{id\}"), (7, "users/7")])
def test_what_goes_wrong_with_a_lookup_names_nobody(reader: Callable[..., Reader], known: Any, shown: str) -> None:
    """So may what is looked up."""
    made = reader(
        lambda _: Reply([row(1, by=known)]), lookups=LOOKUPS, events=[ticket(author={"from": "by", "lookup": "users"})]
    )
    made.api.route(r"users/[^/]+")(lambda _: Reply({"user": {"login": []}}))

    with pytest.raises(ContractError, match=f"GET https://api.example.com/{shown}: `user.login` is a list"):
        made.run()


def test_a_lookup_of_several_pages_is_read_whole(reader: Callable[..., Reader]) -> None:
    """What ids stand for may take several pages; what stands on the last is found too."""
    users = {"path": "users", "take": "at", "paging": {"kind": "page"}}
    made = reader(
        lambda _: Reply([row(9, by=5)]),
        lookups={"users": users},
        events=[ticket(type={"from": "by", "lookup": "users"})],
    )
    made.api.route("users")(by_page)

    assert [e.type for e in made.run() if isinstance(e, Ticket)] == ["2026-02-16T05:00:00Z"]


LOOKUPS = {
    "users": {"path": "users/{id}", "take": "user.login"},
    "states": {"path": "states", "items": "states", "id": "no", "take": "name"},
}


def test_what_an_id_stands_for_is_asked_once(reader: Callable[..., Reader], context: SourceContext) -> None:
    """A user by an id, a state by a list: each is asked once in a run; what is hidden is left out."""
    made = reader(
        lambda _: Reply([row(1, by=7, state=1), row(2, by=7, state=1), row(3, by="8/9", state=2)]),
        lookups=LOOKUPS,
        events=[ticket(author={"from": "by", "lookup": "users"}, type={"from": "state", "lookup": "states"})],
    )
    made.api.route("users/7")(lambda _: Reply({"user": {"login": PLANTED_MAIL}}))
    made.api.route("users/8%2F9")(lambda _: Reply({}, status=403))
    made.api.route("states")(lambda _: Reply({"states": [{"no": 1, "name": "bug"}]}))

    key = context.people.hashed(PLANTED_MAIL)
    found = [e for e in made.run() if isinstance(e, Ticket)]
    assert [(e.author, e.type) for e in found] == [(key, "bug"), (key, "bug"), (None, None)]
    assert [one.path for one in made.api.asked] == ["items", "users/7", "states", "users/8%2F9"]


@pytest.mark.parametrize("states", [{"states": None}, {"states": [{"no": 1, "name": [1]}]}])
def test_a_lookup_of_another_shape_is_an_error(reader: Callable[..., Reader], states: Any) -> None:
    """A list of what ids stand for that is none would leave all of them out."""
    made = reader(
        lambda _: Reply([row(1, state=1)]),
        lookups=LOOKUPS,
        events=[ticket(type={"from": "state", "lookup": "states"})],
    )
    made.api.route("states")(lambda _: Reply(states))

    with pytest.raises(ContractError, match=r"no list stands at `states`|`name` is a list or an object"):
        made.run()


# ---- who asks


@pytest.mark.parametrize(
    ("source", "header", "value"),
    [
        ({"token": "s3cret"}, "authorization", "Bearer s3cret"),
        ({"token": "s3cret", "header": "X-API-Key: {token}"}, "x-api-key", "s3cret"),
        ({"token": "s3cret", "header": "Authorization: Token token={token}"}, "authorization", "Token token=s3cret"),
        (
            {"token": "X", "username": "key"},
            "authorization",
            f"Basic {base64.b64encode(b'key:X').decode()}",
        ),
        ({"headers": {"Accept": "application/vnd.api+json"}}, "accept", "application/vnd.api+json"),
    ],
)
def test_credentials_go_into_the_header_that_the_settings_name(
    reader: Callable[..., Reader], source: Mapping[str, Any], header: str, value: str
) -> None:
    """A bearer token, one in a header by name, user and password; and headers that are no secret."""
    made = reader(lambda _: Reply([]), source)
    made.run()

    assert made.api.asked[0].headers[header] == value
    assert "s3cret" not in repr(made.config)


# ---- mistakes in the settings


@pytest.mark.parametrize(
    ("settings", "where", "says"),
    [
        ({"paging": {"kind": "pages"}}, "paging.kind", "'pages' is not valid; expected 'none', 'page', 'offset'"),
        ({"paging": {"kind": "cursor", "parameter": "a"}}, "paging", "paging by cursor has no `next`"),
        ({"paging": {"kind": "keyset"}}, "paging", "paging by keyset has no `parameter`"),
        ({"paging": {"kind": "page", "next": "a"}}, "paging", "paging by page takes no `next`"),
        ({"items": "a["}, "items", "'a[' is no expression at character 3"),
        ({"items": "[@,@][]|" * 30 + "@"}, "items", "may repeat what it is given too often"),
        ({"path": "projects/{id}/x"}, "path", "a brace of 'projects/{id}/x' would be sent as it is"),
        (
            {"lookups": {"a": {"path": "users/{user}", "take": "b"}}},
            "lookups.a.path",
            "would be sent as it is; expected {id} alone",
        ),
        ({"open": {"when": "a", "path": "x/{id}/{b}"}}, "open.path", "would be sent as it is; expected {id} alone"),
        ({"parameters": {"api_key": "a"}}, "parameters", "'api_key' would show a secret in addresses"),
        ({"details": {"a": {"path": "b", "parameters": {"Private-Token": "c"}}}}, "details.a.parameters", "a secret"),
        ({"details": {"a": {"path": "b", "parameters": {"c": "{d["}}}}, "details.a.parameters.c", "has no partner"),
        ({"path": "https://other.example.com/x"}, "path", "is no path; expected what follows `url`"),
        ({"path": "items?page=1"}, "path", "is no path; expected what follows `url`, with its query"),
        ({"times": "iso"}, "times", "'iso' is no format of times; expected one of rfc3339, date"),
        ({"times": {"zone": "Europe/Belrin"}}, "times.zone", "is no time zone; expected Europe/Berlin"),
        ({"times": "%d.%m.%Y %H:%M"}, "times", "say no offset; expected `zone` beside `format`, or %z in it"),
        ({"times": "%H:%M"}, "times", "'%H:%M' says no whole time; expected year, month, day"),
        ({"times": "%d.%m.%Y %I:%M"}, "times", "says no whole time; expected year, month, day, and %p beside %I"),
        (
            {"since": {"field": "at", "format": "%Y-%m-%d %H:%M"}, "parameters": {"a": "{since}"}},
            "since",
            "say no offset; expected `zone`",
        ),
        (
            {"events": [ticket(resolved_at={"from": "a", "format": "%Y-%m-%d %H:%M"})]},
            "",
            "say no offset; expected `zone` beside it, or under `times`",
        ),
        ({"times": "%Q"}, "times", "'%Q' cannot be read; expected a pattern"),
        ({"times": "epock"}, "times", "'epock' is no format of times; expected epoch?"),
        ({"body": {"a": 1}}, "", "a GET has no body; expected `method: POST`"),
        ({"method": "POST", "paging": {"kind": "link"}}, "", "a POST is not paged by link"),
        ({"method": "POST", "paging": {"kind": "page"}}, "", "the parameters of pages have no place"),
        ({"parameters": {"a": "{since}"}}, "", "it asks with {since}; expected `since` with the field of the time"),
        ({"since": {"field": "at"}}, "", "nothing asks with {since}; expected it in a parameter"),
        ({**NEW, "complete": True}, "", "a part of the list cannot be complete"),
        ({"open": {"when": "a", "path": "x"}}, "open.path", "'x' names no item; expected a path with {id}"),
        ({"open": {"when": "a", "path": "x/{id}", "parameter": "i"}}, "open", "both `path` and `parameter`"),
        (
            {"paging": {"kind": "keyset", "parameter": "a"}, "open": {"when": "a"}},
            "",
            "what is open is never met again",
        ),
        ({"details": {"a": {"path": "x/{id"}}}, "details.a.path", "has no partner"),
        ({"events": [ticket(type={"from": "a", "lookup": "user"})], "lookups": LOOKUPS}, "", "'user'; expected users"),
        ({"events": []}, "events", "at least 1 item"),
        (
            {"events": [{"kind": "tiket", "fields": {}}]},
            "events[0].kind",
            "'tiket' is no kind of event; expected ticket",
        ),
        ({"events": [ticket(titel="a")]}, "events[0].fields", "'titel' is no field of a ticket; expected title"),
        ({"events": [ticket(source="a")]}, "events[0].fields", "'source' is no field of a ticket"),
        (
            {"events": [{"kind": "ticket", "fields": {"native_id": "id"}}]},
            "events[0].fields",
            "a ticket lacks queue, state, created_at; expected a rule for each",
        ),
        (
            {"events": [ticket(native_id={"value": "a"})]},
            "events[0].fields",
            "`native_id` tells one event from another; expected from or text",
        ),
        ({"events": [ticket(title={"value": {"a": 1}})]}, "events[0].fields", "`title` is a text; expected `value` as"),
        ({"events": [ticket(title={"value": ["a"]})]}, "events[0].fields", "`title` is a text; expected `value` as"),
        ({"events": [ticket(title="a b")]}, "events[0].fields.title", "'a b' is no expression at character 3"),
        ({"events": [ticket(title={})]}, "events[0].fields.title", "expected one of from, value, text, each"),
        (
            {"events": [ticket(title={"from": "a", "value": 1})]},
            "events[0].fields.title",
            "says none or several of these",
        ),
        (
            {"events": [ticket(title={"form": "a"})]},
            "events[0].fields.title.form",
            "unknown key; expected format; the keys here are default, each, format, from",
        ),
        (
            {"events": [ticket(title={"from": "a", "pattern": "("})]},
            "events[0].fields.title.pattern",
            "regular expression",
        ),
        ({"events": [ticket(title={"from": "a", "pattern": "(a)(b)"})]}, "events[0].fields.title.pattern", "2 groups"),
        (
            {"events": [ticket(title={"from": "a", "zone": "UTC"})]},
            "events[0].fields",
            "`title` is a text; expected format",
        ),
        (
            {"events": [ticket(state={"value": "opn"})]},
            "events[0].fields",
            "'opn' is no value of `state`; expected open",
        ),
        ({"events": [ticket(replies="a")]}, "events[0].fields", "`replies` is a list of records; expected `each`"),
        (
            {"events": [ticket(replies={"each": {"items": "a", "fields": {"author": "b"}}})]},
            "events[0].fields",
            "an entry of `replies` lacks at",
        ),
        (
            {"events": [{**TICKET, "deployment": {"version": "a"}}]},
            "events[0].deployment",
            "only runs become deployments",
        ),
        (
            {"events": [{"kind": "pipeline_run", "fields": RUN, "deployment": {"service": "a"}}]},
            "events[0].deployment",
            "'service' is no field of a deployment that a rule makes; expected one of version",
        ),
    ],
)
def test_a_mistake_is_answered_with_its_place(
    settings: Mapping[str, Any], where: str, says: str, tmp_path: Path
) -> None:
    """What cannot work is said before anything is asked, with its place and what was expected."""
    listed = {"path": "items", "events": [TICKET], **settings}
    path = tmp_path / "settings.yaml"
    path.write_text(dump([{"type": "http_json", "name": "any", "url": BASE, "lists": [listed]}]), encoding="utf-8")

    with pytest.raises(ConfigError) as refused:
        validate(read_documents(path)[0], HttpJsonConfig)

    (mistake, *_) = refused.value.mistakes
    assert mistake.path == ".".join(filter(None, ["lists[0]", where]))
    assert says in str(mistake)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"headers": {"X Version": "1"}}, "'X Version' is no header of one line"),
        ({"headers": {"X-Version": "1\nX-Other: 2"}}, "'X-Version' is no header of one line"),
        ({"username": "ada", "token": "b", "header": "X-Key: {token}"}, "`header` is not sent beside `username`"),
    ],
)
def test_headers_that_would_not_be_sent_are_refused(settings: Mapping[str, Any], says: str) -> None:
    """Names and values that are none, and a header for the token where a user is given."""
    lists = [{"path": "items", "events": [TICKET]}]

    with pytest.raises(ValueError, match=says):
        HttpJsonConfig.model_validate({"type": "http_json", "name": "any", "url": BASE, "lists": lists, **settings})


@pytest.mark.parametrize("header", ["X-API-Key", "{token}", "X-A: {token}{token}"])
def test_a_header_without_a_place_for_the_token_is_refused(header: str) -> None:
    """A token that is written into no header would be sent nowhere."""
    fields = {"type": "http_json", "name": "any", "url": BASE, "header": header}

    with pytest.raises(ValueError, match="this is no header with a token; expected for example"):
        HttpJsonConfig.model_validate({**fields, "lists": [{"path": "items", "events": [TICKET]}]})


def test_two_lists_of_one_name_are_refused() -> None:
    """Each list keeps its own place in the cursor, so each has a name of its own."""
    listed = {"path": "items", "events": [TICKET]}

    with pytest.raises(ValueError, match="two lists are called 'items'"):
        HttpJsonConfig.model_validate({"type": "http_json", "name": "any", "url": BASE, "lists": [listed, listed]})


def test_two_lists_of_one_kind_are_not_complete() -> None:
    """What one of them does not hold the other may."""
    lists = [{"path": "a", "events": [TICKET], "complete": True}, {"path": "b", "events": [TICKET]}]

    with pytest.raises(ValueError, match="'a' is not complete: another list gives ticket too"):
        HttpJsonConfig.model_validate({"type": "http_json", "name": "any", "url": BASE, "lists": lists})


@pytest.mark.parametrize(
    ("source", "path", "problem"),
    [
        (
            {"deployments": [{"pipeline": "deploy", "to": "production"}]},
            "deployments",
            "no list gives a run that a rule could take",
        ),
        ({"issues": [{"becomes": "ticket"}]}, "issues", "rules without issues, or issues without rules"),
        ({"webhook_secret": "0123456789abcdef"}, "webhook_secret", "nothing is received here"),
    ],
)
def test_settings_that_do_nothing_are_a_mistake(
    reader: Callable[..., Reader], context: SourceContext, source: Mapping[str, Any], path: str, problem: str
) -> None:
    """Rules that nothing could ever fit, and a secret that nobody is asked for, are named by `check`."""
    (mistake,) = reader(by_page, source).config.check(context)

    assert (mistake.path, mistake.problem) == (path, problem)


@pytest.mark.parametrize("model", [ListSettings, Paging, Since, Open, Detail, Lookup, EventRule, FieldRule, Nested])
def test_the_page_describes_every_setting(model: type[BaseModel]) -> None:
    """The tables of the page on any JSON API say of each setting what its own description says."""
    shown = {info.alias or name: info.description for name, info in model.model_fields.items()}
    page = (ROOT / "docs" / "http-json.md").read_text(encoding="utf-8")

    assert [name for name, text in shown.items() if f"{name}` | {text} |" not in page] == []


# ---- the help desk of the page


@pytest.fixture
def desk(context: SourceContext, tmp_path: Path) -> Callable[..., Reader]:
    """A reader of a help desk by the settings that the page shows."""

    def make(world: World, **settings: Any) -> Reader:
        api = provider(world)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        return Reader(api, config(tmp_path, **settings), replace(context, wire=wire))

    return make


def test_the_help_desk_of_the_page_gives_tickets(desk: Callable[..., Reader], context: SourceContext) -> None:
    """What the page describes reads tickets with their states, times and public replies."""
    world = World()
    closed = world.ticket(0, updated=90, status=CLOSED, resolved=80)
    world.says(closed, 5, incoming=True)
    world.says(closed, 10)
    world.says(closed, 15, private=True)
    world.ticket(20, status=OF_THEIR_OWN)

    made = desk(world)
    own, first = made.run()

    assert isinstance(first, Ticket)
    assert (first.native_id, first.queue, first.state) == ("1", "support", "closed")
    assert (first.resolved_at, first.closed_at) == (DAY.replace(hour=1, minute=20), DAY.replace(hour=1, minute=20))
    assert first.author == context.people.hashed(PLANTED_MAIL)
    assert [r.at for r in first.replies] == [DAY.replace(minute=10)]
    assert isinstance(own, Ticket)
    assert own.state == "in_progress"
    assert made.warnings == ["`state` '7' is not known here; it is taken as `in_progress`"]


def test_a_cap_on_pages_is_passed_by_time(desk: Callable[..., Reader]) -> None:
    """The desk hands out so many pages of a list and no more: going on by time reads all of it."""
    world = World(most_pages=2)
    for minutes in range(20):
        world.ticket(minutes, status=RESOLVED, resolved=minutes)

    assert len({*desk(world, size=4).ids()}) == 20


def test_the_key_of_the_help_desk_is_needed(desk: Callable[..., Reader]) -> None:
    """Without it there is nothing to read."""
    made = desk(World(), token=TOKEN[:-1])

    with pytest.raises(SourceError, match="answered 401; check its credentials"):
        made.run()
