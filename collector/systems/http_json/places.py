"""Where in a list a run stands: how a page is asked for there, and where the next one begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urljoin

import msgspec

from collector.errors import ContractError, SourceError
from collector.expressions import Expression, NoResultError, as_text
from collector.http import Answer, ApiClient
from collector.systems.http_json.settings import SINCE, ListSettings

_NEXT = re.compile(r"<([^>]*)>([^,<]*\brel=\"?next\b[^,<]*)", re.IGNORECASE)
_HOLDS_NOTHING = re.compile(r"\bresults=\"?false\b", re.IGNORECASE)
"""Said of a next page that is empty by servers that always name one."""
_NOT_FOUND = 404
_TOKENS = frozenset({"cursor", "link", "next_url"})
_ADDRESSES = frozenset({"link", "next_url"})


class Place(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a pass over a list stands.

    `by`: the kind of paging, without which the rest means nothing. `since`: the time that it asks with.
    `next`: the number, offset, token, address or id of the next page; None at the first.
    """

    by: str
    since: datetime | None = None
    next: str | None = None

    def written(self) -> str:
        """As a cursor holds it."""
        return msgspec.json.encode(self).decode()


def place_of(text: str) -> Place:
    """The place that a cursor holds."""
    return msgspec.json.decode(text, type=Place)


@dataclass(frozen=True)
class Items:
    """A page as it came: its items, and what it was asked with."""

    answer: Answer
    body: Any = field(repr=False)
    items: Sequence[Any] = field(repr=False)


@dataclass(frozen=True)
class Pages:
    """Asks for the pages of one list of a server at `url`. `beside`: parameters of each request beside the list's."""

    client: ApiClient
    settings: ListSettings
    url: str
    beside: Mapping[str, list[str]] = field(default_factory=dict)

    def ask(self, place: Place) -> Items:
        """The page at a place. Raises the errors of a client, ContractError where there is no list."""
        paging = self.settings.paging
        if place.next is not None and paging.kind in _ADDRESSES:
            asked = Answer(200, {}, b"", f"GET {self.settings.path}")
            return self._items(self.client.follow(place.next, asked))
        # Some servers answer so beyond their last page.
        understood = {_NOT_FOUND} if place.next is not None and paging.kind in {"page", "offset"} else set()
        answer = self._answer(place, {**self._of_page(place), **self.beside}, understood)
        return Items(answer, None, ()) if answer.status == _NOT_FOUND else self._items(answer)

    def following(self, place: Place, page: Items) -> Place | None:
        """Where the page after one begins; None at the end of the list. Raises ContractError."""
        paging = self.settings.paging
        token: str | None = None
        if paging.kind == "page" and page.items:
            token = str(int(place.next or paging.first) + 1)
        elif paging.kind == "offset" and page.items:
            token = str(int(place.next or 0) + len(page.items))
        elif paging.kind == "keyset":
            token = self._last_id(place, page)
        elif paging.kind == "link":
            found = _NEXT.search(page.answer.headers.get("link", ""))
            token = found[1] if found and not _HOLDS_NOTHING.search(found[2]) else None
        elif paging.next is not None:
            token = _token(paging.next, page)
        if token and paging.kind in _ADDRESSES:
            token = self._whole_address(place, token, page)
        return None if not token else msgspec.structs.replace(place, next=token)

    def _whole_address(self, place: Place, address: str, page: Items) -> str:
        """An address as the page means it that names it: `?page=2` is another part of its own list."""
        try:
            return urljoin(place.next or f"{self.url}/{self._path(self._since(place))}", address)
        except ValueError:
            raise ContractError(f"{page.answer.asked}: it names no address as its next page") from None

    @property
    def keeps_tokens(self) -> bool:
        """Whether the server itself names places, and may have forgotten one."""
        return self.settings.paging.kind in _TOKENS

    def id_of(self, item: Any) -> str | None:
        """The id of an item; None where it has none."""
        try:
            return as_text(Expression(self.settings.id).of(item), "`id`")
        except NoResultError:
            return None

    def _of_page(self, place: Place) -> dict[str, list[str]]:
        """The parameters that ask for a page."""
        paging = self.settings.paging
        first = {"page": str(paging.first), "offset": "0"}.get(paging.kind)
        wanted = place.next if place.next is not None else first
        return {**self._size, **({paging.asks_with: [wanted]} if wanted is not None and paging.asks_with else {})}

    @property
    def _size(self) -> dict[str, list[str]]:
        """The parameter that asks for so many items at once."""
        paging = self.settings.paging
        return {paging.size_parameter: [str(paging.size)]} if paging.size_parameter else {}

    def _answer(self, place: Place, extra: Mapping[str, list[str]], understood: set[int]) -> Answer:
        settings, since = self.settings, self._since(place)
        parameters = _with_since(settings.parameters, since)
        path = self._path(since)
        if settings.method == "GET":
            return self.client.get(path, {**parameters, **extra}, understood=understood)
        body = _with_since(settings.body, since, is_number=settings.since is not None and settings.since.is_number)
        for name, values in extra.items():
            is_token = settings.paging.kind == "cursor" and name == settings.paging.parameter
            sent = values if is_token else [_as_number(v) for v in values]
            _put(body, name.split("."), sent[0] if len(sent) == 1 else sent)
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        return self.client.post(path + query, body, repeatable=True, understood=understood)

    def _since(self, place: Place) -> str:
        """The time of a place, as it is asked for."""
        since = self.settings.since
        return since.write(place.since) if since is not None and place.since is not None else ""

    def _path(self, since: str) -> str:
        return self.settings.path.replace(SINCE, since)

    def _items(self, answer: Answer) -> Items:
        body = answer.json()
        if self.settings.method == "POST" and isinstance(body, dict) and body.get("errors"):
            raise ContractError(f"{answer.asked}: `errors` stand beside what it found, so a part may be missing")
        try:
            listed = Expression(self.settings.items).of(body) if self.settings.items else body
        except NoResultError:
            listed = None
        if not isinstance(listed, list):
            where = f"at `{self.settings.items}`" if self.settings.items else "as the answer; where is it? see `items`"
            raise ContractError(f"{answer.asked}: no list stands {where}")
        return Items(answer, body, listed)

    def _last_id(self, place: Place, page: Items) -> str | None:
        ids = [self.id_of(item) for item in page.items]
        if None in ids:
            raise ContractError(f"{page.answer.asked}: an item has no `{self.settings.id}`, by which pages go on")
        numbers = [int(one) for one in [place.next, *ids] if one is not None and re.fullmatch(r"-?\d+", one)]
        if len(numbers) == len(ids) + (place.next is not None) and numbers != sorted(set(numbers)):
            raise ContractError(f"{page.answer.asked}: its ids do not ascend; expected parameters that order by them")
        return ids[-1] if ids else None


def _token(where: str, page: Items) -> str | None:
    try:
        found = Expression(where).of(page.body)
        token = None if found is False else as_text(found, f"`{where}`")
    except NoResultError as error:
        raise ContractError(f"{page.answer.asked}: {error}") from None
    if found is True:
        raise ContractError(f"{page.answer.asked}: `{where}` is true; expected a token, such as `has_more && after`")
    return token


@contextmanager
def unnamed(path: str, shown: str) -> Iterator[None]:
    """What goes wrong with a path is told of another: a login or an address may stand in the first."""
    try:
        yield
    except SourceError as error:
        error.args = (str(error).replace(path, shown),)
        raise


def _with_since(value: Any, since: str, *, is_number: bool = False) -> Any:
    """A copy with the time where `{since}` stands; where it stands alone and `is_number`, as a number."""
    if isinstance(value, str):
        return int(since) if is_number and since and value == SINCE else value.replace(SINCE, since)
    if isinstance(value, list):
        return [_with_since(one, since, is_number=is_number) for one in value]
    if isinstance(value, dict):
        return {key: _with_since(one, since, is_number=is_number) for key, one in value.items()}
    return value


def _put(body: dict[str, Any], place: Sequence[str], value: Any) -> None:
    """Set what stands at a place of a body; mappings on the way are made."""
    *outer, last = place
    for part in outer:
        if not isinstance(body.get(part), dict):
            body[part] = {}
        body = body[part]
    body[last] = value


def _as_number(text: str) -> Any:
    """A number where a text is one: a body says which it is, an address does not."""
    return json.loads(text) if re.fullmatch(r"0|[1-9]\d{0,15}", text) else text
