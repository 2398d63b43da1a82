"""What a page of documentation says of itself in its front matter, and what a map of all pages says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from collector.document import Document, documents_of
from collector.errors import ConfigError, ContractError
from collector.local_times import LocalTimes
from collector.patterns import Pattern

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_REVIEWED = ("last_reviewed", "reviewed", "reviewed_at", "last_reviewed_at", "reviewed_on")
_OWNING_GROUP = re.compile(r"(?:group|team):(?:[\w.-]+/)?(.+)")
_DATES = LocalTimes(zone="UTC")


@dataclass(frozen=True, kw_only=True)
class Told:
    """Whose a page is, what code it covers, and when somebody last looked at it; None for what nobody said."""

    covers: tuple[str, ...] | None = None
    service: str | None = None
    team: str | None = None
    reviewed_at: datetime | None = None

    def over(self, other: Told) -> Told:
        """This, and what only the other says."""
        return Told(
            covers=other.covers if self.covers is None else self.covers,
            service=self.service or other.service,
            team=self.team or other.team,
            reviewed_at=self.reviewed_at or other.reviewed_at,
        )


def front_matter(text: str, place: str) -> Told:
    """What the YAML between two lines of `---` at the start of a page says; nothing for a page without.

    Raises ContractError where that is no mapping in YAML.
    """
    found = _FRONT_MATTER.match(text)
    if found is None or not found[1].strip():
        return Told()
    value = _document(found[1], place).value
    if not isinstance(value, dict):
        raise ContractError(f"{place}: the front matter is no mapping")
    return _told(value)


@dataclass(frozen=True)
class DocsMap:
    """What a file says of pages: each by its path, or by a rule for paths."""

    pages: Mapping[str, Told] = field(default_factory=dict)

    def of(self, path: str) -> Told:
        """What it says of a page: by its path first, then by the first rule that fits."""
        exact = self.pages.get(path)
        if exact is not None:
            return exact
        return next((told for rule, told in self.pages.items() if Pattern(rule).matches(path)), Told())

    @property
    def paths(self) -> list[str]:
        """The pages that it names by their paths."""
        return [path for path in self.pages if Pattern(path).rank == 0]


def docs_map(text: str, place: str) -> DocsMap:
    """The map in a YAML text: pages, each with what it covers as a list, or with `covers`, `service` and so on.

    They stand under `pages`, or are the whole file. Raises ContractError, with the line, for anything else.
    """
    document = _document(text, place)
    value = document.value.get("pages", document.value) if isinstance(document.value, dict) else None
    if not isinstance(value, dict):
        raise ContractError(f"{place}: this is no map of pages; expected `pages:` with a path on each line below")
    return DocsMap({path.removeprefix("./"): _mapped(document, place, path, one) for path, one in value.items()})


def _mapped(document: Document, place: str, path: str, value: Any) -> Told:
    if isinstance(value, dict):
        return _told(value)
    covers = _texts(value)
    if covers is None:
        line = document.line(("pages", path) if "pages" in document.value else (path,))
        raise ContractError(f"{place}:{line}: expected the code that the page covers, or `covers`, `service`, `team`")
    return Told(covers=covers)


def _document(text: str, place: str) -> Document:
    try:
        return documents_of(text, Path(place))[0]
    except ConfigError as error:
        raise ContractError(str(error.mistakes[0])) from None


def _told(value: Mapping[str, Any]) -> Told:
    """From the keys of front matter. An owner is a team only where it says so: it may be a person."""
    reviewed = next((v for v in map(value.get, _REVIEWED) if isinstance(v, str)), "")
    owner = _OWNING_GROUP.fullmatch(str(value.get("owner", "")))
    return Told(
        covers=_texts(value.get("covers")),
        service=_text(value.get("service")),
        team=_text(value.get("team")) or (owner[1] if owner else None),
        reviewed_at=_DATES.at(reviewed),
    )


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    """A list of texts, or one; None for anything else."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    return None
