"""Reads one list of a JSON API on from where it stands: its pages, the details of its items, what had not ended."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import msgspec

from collector.errors import BadRecord, ContractError, SourceError
from collector.events import Event
from collector.expressions import Expression, NoResultError, Template
from collector.paging import side_by_side
from collector.streams import Notes, Part, State
from collector.systems.http_json.mapping import Shapes
from collector.systems.http_json.places import Items, Pages, Place, place_of, unnamed
from collector.systems.http_json.settings import ID, SINCE, Detail, ListSettings, Open, asked_alone
from collector.systems.http_json.way import MOST_PAGES, Item, Way, Whole, all_pages

_IDS_AT_ONCE = 50
_LONGEST_ID = 40
_GONE = frozenset({404, 410})
_FORGOTTEN = frozenset({400, 404, 410, 422})


@dataclass(frozen=True, kw_only=True)
class Span:
    """What a run reads: from `horizon` on where nothing was read yet, else `overlap` of what was read before.

    `oldest`: what began before and has not ended is asked for no more. `parallel`: requests at the same time.
    """

    horizon: datetime
    overlap: timedelta
    oldest: datetime
    parallel: int


@dataclass(frozen=True)
class Reader:
    """Reads one list. `complete`: the kinds of which it holds all there is."""

    pages: Pages
    settings: ListSettings
    shapes: Shapes
    span: Span
    complete: Collection[type[Event]] = ()

    def read(self, state: State, notes: Notes) -> Iterator[Part]:
        """What had not ended, then the list from where the state says, page by page."""
        if self.settings.open is not None:
            state = yield from self._again(state, self.settings.open, notes)
        place = self._begin(state)
        if state.after is None:
            state = self._without_open_list(state)
        place, page = self._first(place)
        way, whole = Way(place, overlaps=self._goes_by_time), Whole(self.complete, begun=state.after is None)
        for _ in range(MOST_PAGES):
            rejected = len(notes.rejected)
            items = self._items(page, notes)
            self._check_order(place, items, page)
            for item in items:
                state = state.begun(item.at)
            state = self._kept_open(state, items, set(), notes)
            new, following = way.new(items), self._following(place, page, items)
            if following is not None:
                way.goes_on(following, page)
            events = self._events(new, notes)
            # Where nothing is found behind the last page, no one says that it was the last.
            is_told = page.answer.status not in _GONE
            whole.add(events, is_usable=is_told and len(notes.rejected) == rejected)
            if following is None:
                yield Part(events, self._ended(state, place), whole.told())
                return
            state = msgspec.structs.replace(state, after=following.written())
            yield Part(events, state)
            place, page = following, self.pages.ask(following)
        raise ContractError(f"GET {self.settings.path}: its pages never end")

    # ---- places

    def _begin(self, state: State) -> Place:
        kind = self.settings.paging.kind
        if state.after is not None and (place := place_of(state.after)).by == kind:
            return place
        if self.settings.since is None:
            return Place(by=kind)
        overlap = self.span.overlap + self.settings.since.slack
        since = self.span.horizon if state.since is None else state.since - overlap
        if self._meets_open_again and state.open:
            since = min(since, datetime.fromisoformat(state.open[0]))
        return Place(by=kind, since=since)

    def _first(self, place: Place) -> tuple[Place, Items]:
        """The first page of a run. A place that the server named earlier it may have forgotten: then all over again."""
        try:
            return place, self.pages.ask(place)
        except SourceError as error:
            if place.next is None or not self.pages.keeps_tokens or error.status not in _FORGOTTEN:
                raise
            again = msgspec.structs.replace(place, next=None)
            return again, self.pages.ask(again)

    def _following(self, place: Place, page: Items, items: Sequence[Item]) -> Place | None:
        since = self.settings.since
        if since is not None and since.order == "descending" and place.since is not None and items:
            floor = place.since
            if all(item.at is not None and item.at < floor for item in items):
                return None
        if since is not None and self._goes_by_time and self._is_full(page):
            newest = max((item.at for item in items if item.at is not None), default=None)
            # One grain earlier: a server may leave out what is exactly as old as it is asked for.
            if newest is not None and place.since is not None:
                later = since.truncated(newest) - since.grain
                if later > place.since:
                    return Place(by=place.by, since=later)
        return self.pages.following(place, page)

    @property
    def _goes_by_time(self) -> bool:
        """Whether pages go on from the last item's time; tokens and ids are places of their own."""
        since = self.settings.since
        numbered = self.settings.paging.kind in {"page", "offset"}
        return numbered and since is not None and since.order == "ascending" and self.settings.asks_since

    def _is_full(self, page: Items) -> bool:
        """Whether more may follow."""
        paging = self.settings.paging
        return bool(page.items) and (not paging.size_parameter or len(page.items) >= paging.size)

    def _ended(self, state: State, place: Place) -> State:
        if self.settings.since is None and self.settings.paging.kind == "keyset":
            return msgspec.structs.replace(state, after=place.written())  # the next run goes on after this id
        return state.ended()

    # ---- items

    def _items(self, page: Items, notes: Notes) -> list[Item]:
        """The items of a page; what is none is set aside with its number."""
        found = []
        for number, value in enumerate(page.items, start=1):
            known = self.pages.id_of(value)
            location = f"{page.answer.asked} item {number}" + (f" (id {known})" if _is_shown(known) else "")
            try:
                if not isinstance(value, dict):
                    raise ValueError("it is no object")  # noqa: TRY004, TRY301 - one error for what is no item
                found.append(Item(value, location, known or "", self._at(value)))
            except (ValueError, NoResultError) as error:
                notes.reject([BadRecord(location, str(error))])
        return found

    def _at(self, value: dict[str, Any]) -> datetime | None:
        since = self.settings.since
        if since is None:
            return None
        try:
            return self.settings.times.read(Expression(since.field).of(value))
        except ValueError as error:
            raise ValueError(f"`{since.field}`: {error}") from None

    def _check_order(self, place: Place, items: Sequence[Item], page: Items) -> None:
        """What was asked for is what came: a server passes over parameters that it does not know without a word."""
        since = self.settings.since
        if since is None or place.since is None:
            return
        times = [item.at for item in items if item.at is not None]
        ordered = times if since.order == "ascending" else times[::-1]
        if since.order is not None and any(later < earlier for earlier, later in pairwise(ordered)):
            raise ContractError(
                f"{page.answer.asked}: not in the order of `{since.field}`; expected parameters that ask for it"
            )
        # Whose day a date is nobody says, and servers compare parts of seconds that they do not show.
        if self.settings.asks_since and any(at < since.truncated(place.since) - since.grain for at in times):
            raise ContractError(
                f"{page.answer.asked}: it holds what is older than it was asked for; "
                f"expected a parameter with {SINCE} that goes by `{since.field}`"
            )

    def _events(self, items: Sequence[Item], notes: Notes) -> list[Event]:
        """The events of items with their details; what cannot be used is set aside."""
        events: list[Event] = []
        parallel = self.span.parallel if self.settings.details else 1
        asked = side_by_side(self._with_details, items, parallel)
        for item, detailed in zip(items, asked, strict=True):
            try:
                if isinstance(detailed, BadRecord):
                    raise detailed
                events += self.shapes.events(detailed, item.location, notes)
            except BadRecord as error:
                notes.reject([error])
        return events

    def _with_details(self, item: Item) -> dict[str, Any] | BadRecord:
        try:
            found = {name: self._detail(detail, item.value) for name, detail in self.settings.details.items()}
        except NoResultError as error:
            return BadRecord(item.location, str(error))
        return {**item.value, **found}

    def _detail(self, detail: Detail, item: dict[str, Any]) -> Any:
        """The answer for one item; None where there is none, or none any more. Raises NoResultError."""
        if detail.when is not None and not Expression(detail.when).holds(item):
            return None
        path = Template(detail.path).of(item, _quoted)
        parameters = {name: [Template(v).of(item) for v in values] for name, values in detail.parameters.items()}
        asked = {name: [v for v in values if v is not None] for name, values in parameters.items()}
        if path is None or asked != parameters:
            return None
        with unnamed(path, Template(detail.path).of(item, _shown) or ""):
            if detail.paging.kind != "none":
                return self._long_detail(detail, path, asked)
            answer = self.pages.client.get(path, asked, understood=_GONE)
            body = None if answer.status in _GONE else answer.json()
        return Expression(detail.take).of(body) if detail.take is not None else body

    def _long_detail(self, detail: Detail, path: str, parameters: dict[str, list[str]]) -> list[Any] | None:
        """All pages of a detail."""
        alone = asked_alone(path, parameters, detail.take, detail.paging, self.settings.id)
        try:
            return [one for page in all_pages(replace(self.pages, settings=alone)) for one in page.items]
        except SourceError as error:
            if error.status in _GONE:
                return None
            raise

    # ---- what has not ended

    @property
    def _meets_open_again(self) -> bool:
        """Whether what is open is met again by reading the list from there."""
        again = self.settings.open
        return again is not None and again.path is None and not again.parameter

    def _without_open_list(self, state: State) -> State:
        """The state at the start of a pass that meets what is open again."""
        return msgspec.structs.replace(state, open=()) if self._meets_open_again else state

    def _again(self, state: State, rule: Open, notes: Notes) -> Generator[Part, None, State]:
        """Read again by their ids the items that had not ended; returns the state after them."""
        if self._meets_open_again:
            return state
        known = state.open  # of which the state forgets what has ended
        for first in range(0, len(known), _IDS_AT_ONCE):
            asked = known[first : first + _IDS_AT_ONCE]
            items = self._by_id(asked, rule, notes)
            gone = set(asked) - {item.id for item in items}  # deleted there
            state = self._kept_open(state, items, gone, notes)
            yield Part(self._events(items, notes), state)
        return state

    def _by_id(self, ids: Sequence[str], rule: Open, notes: Notes) -> list[Item]:
        if rule.path is None:
            return list(self._by_parameter(ids, rule, notes))
        found = side_by_side(lambda known: self._one(rule, known), ids, self.span.parallel)
        return [item for page in found if page is not None for item in self._items(page, notes)]

    def _by_parameter(self, ids: Sequence[str], rule: Open, notes: Notes) -> Iterator[Item]:
        """What the list holds of some ids, however small its pages. Raises ContractError where it holds others."""
        left = set(ids)
        values = [rule.separator.join(ids)] if rule.separator else list(ids)
        for page in all_pages(replace(self.pages, beside={rule.parameter: values}), self.span.oldest):
            items = self._items(page, notes)
            if {item.id for item in items} - set(ids):
                raise ContractError(f"{page.answer.asked}: it holds what `{rule.parameter}` did not ask for")
            yield from items
            left -= {item.id for item in items}
            if not left:
                return

    def _one(self, rule: Open, known: str) -> Items | None:
        """One item by its id, None where it is gone."""
        answer = self.pages.client.get((rule.path or "").replace(ID, _quoted(known)), understood=_GONE)
        if answer.status in _GONE:
            return None
        body = answer.json()
        try:
            return Items(answer, None, [Expression(rule.take).of(body) if rule.take else body])
        except NoResultError as error:
            raise ContractError(f"{answer.asked}: {error}") from None

    def _kept_open(self, state: State, items: Sequence[Item], gone: set[str], notes: Notes) -> State:
        """The state with what has not ended, apart from what never will."""
        rule = self.settings.open
        if rule is None:
            return state
        running = {item.id: item.at for item in items if _is_open(rule, item)}
        if "" in running and not self._meets_open_again:
            raise ContractError(
                f"GET {self.settings.path}: an item has no `{self.settings.id}`, by which it is read again"
            )
        lost = {known for known, at in running.items() if at is not None and at < self.span.oldest}
        if lost:
            notes.warn(
                f"{self.settings.key}: what began before {self.span.oldest:%Y-%m-%d} and never ended "
                f"is asked for no more: {len(lost)}"
            )
        if self._meets_open_again:
            times = [at for known, at in running.items() if at is not None and known not in lost]
            known = [datetime.fromisoformat(one) for one in state.open]
            return msgspec.structs.replace(state, open=tuple(one.isoformat() for one in sorted([*known, *times])[:1]))
        ended = {item.id for item in items} - running.keys()
        left = ended | gone | lost
        still = dict.fromkeys([*(o for o in state.open if o not in left), *(running.keys() - lost)])
        return msgspec.structs.replace(state, open=tuple(sorted(still)))


def _is_open(rule: Open, item: Item) -> bool:
    try:
        return Expression(rule.when).holds(item.value)
    except NoResultError:
        return False  # its event says why it cannot be used


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _shown(text: str) -> str:
    """A part of a path as messages show it: a number is nobody's."""
    return text if text.isdecimal() else "…"


def _is_shown(known: str | None) -> bool:
    """Whether messages show an id; an address is somebody's, and what is longer is no id."""
    return known is not None and 0 < len(known) <= _LONGEST_ID and known.isprintable() and "@" not in known
