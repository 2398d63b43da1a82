"""What ids of a JSON API stand for: asked once in a run for each, or for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from collector.errors import ContractError
from collector.expressions import Expression, NoResultError, as_text
from collector.http import ApiClient
from collector.systems.http_json.places import Pages, unnamed
from collector.systems.http_json.settings import ID, Lookup, asked_alone
from collector.systems.http_json.way import all_pages

_HIDDEN = frozenset({403, 404, 410})


@dataclass(frozen=True)
class Lookups:
    """The lookups of one list at work."""

    client: ApiClient
    settings: Mapping[str, Lookup]
    url: str
    _known: dict[tuple[str, str], str | None] = field(default_factory=dict, repr=False)
    _tables: dict[str, dict[str, str | None]] = field(default_factory=dict, repr=False)

    def of(self, name: str, known: str) -> str | None:
        """What an id stands for by a lookup; None where nobody tells. Raises the errors of a client."""
        lookup = self.settings[name]
        if ID not in lookup.path:
            if name not in self._tables:
                self._tables[name] = self._table(lookup)
            return self._tables[name].get(known)
        if (name, known) not in self._known:
            self._known[name, known] = self._one(lookup, known)
        return self._known[name, known]

    def _one(self, lookup: Lookup, known: str) -> str | None:
        path = lookup.path.replace(ID, quote(known, safe=""))
        with unnamed(path, path if known.isdecimal() else lookup.path):
            answer = self.client.get(path, lookup.parameters, understood=_HIDDEN)
            return None if answer.status in _HIDDEN else _found(lookup.take, answer.json(), answer.asked)

    def _table(self, lookup: Lookup) -> dict[str, str | None]:
        alone = asked_alone(lookup.path, lookup.parameters, lookup.items, lookup.paging, lookup.id)
        return {
            str(_found(lookup.id, one, page.answer.asked)): _found(lookup.take, one, page.answer.asked)
            for page in all_pages(Pages(self.client, alone, self.url))
            for one in page.items
        }


def _found(expression: str, value: Any, asked: str) -> str | None:
    try:
        return as_text(Expression(expression).of(value), f"`{expression}`")
    except NoResultError as error:
        raise ContractError(f"{asked}: {error}") from None
