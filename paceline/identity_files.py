"""Reviewed files that say whose accounts are whose, and which are nobody's; names go on from here only as keyed hashes.

No mistake quotes what stands there: such files are about people, and messages are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from collector.document import Document, DocumentPath, read_documents, validate
from collector.errors import ConfigError, Mistake
from collector.people import People, normal_form
from paceline.named_files import NamedFiles, collected
from slo_engine.identities import Identities

_NEVER_SHOWN = ("people", "bots", "humans")


def _told(text: str) -> str:
    if not normal_form(text):
        raise _refused("an account or an address")
    return text


def _account(text: str) -> str:
    if "@" in text.strip():
        raise _refused("a login, addresses stand under mails")
    if len(text.split()) > 1:
        raise _refused("a login in one word: nobody is told by what they are called")
    return _told(text)


def _mail(text: str) -> str:
    local, at, domain = text.strip().partition("@")
    if not (local and at and domain) or len(text.split()) > 1:
        raise _refused("an address such as name@example.com, logins stand under accounts")
    return text


def _refused(expected: str) -> PydanticCustomError:
    """A mistake that says nothing of the value."""
    return PydanticCustomError("identity", expected)


_Account = Annotated[str, AfterValidator(_account)]
_Mail = Annotated[str, AfterValidator(_mail)]
_Either = Annotated[str, AfterValidator(_told)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonSettings(_Section):
    """A person with all that is theirs."""

    person: _Either = Field(description="Any stable id, such as a number of the roster; it is one of theirs as well.")
    accounts: list[_Account] = Field(default_factory=list, description="Their logins.")
    mails: list[_Mail] = Field(default_factory=list, description="Their addresses.")


class IdentityFile(_Section):
    """A file of identities."""

    people: list[PersonSettings] = Field(default_factory=list, description="Who has several accounts or addresses.")
    bots: list[_Either] = Field(default_factory=list, description="Accounts and addresses that are no people.")
    humans: list[_Either] = Field(
        default_factory=list, description="Accounts and addresses that are people though they look like bots."
    )


@dataclass(frozen=True)
class Reviewed:
    """What the files say, in the normal form of accounts: each person's first is their stable id."""

    people: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    bots: tuple[str, ...] = field(default=(), repr=False)
    humans: tuple[str, ...] = field(default=(), repr=False)

    def hashed(self, people: People) -> Identities:
        """The same as keyed hashes."""
        return Identities(
            people={people.hashed(one): people.hashed(all_[0]) for all_ in self.people for one in all_[1:]},
            bots=frozenset(map(people.hashed, self.bots)),
            humans=frozenset(map(people.hashed, self.humans)),
        )


def read_identities(document: Document, base_dir: Path) -> Reviewed:
    """What the files say that `identities` names. Raises ConfigError with every mistake."""
    mistakes: list[Mistake] = []
    found: list[_Said] = []
    named = NamedFiles(document, base_dir, mistakes)
    for path in named.paths("identities", "the path of a file with `people`, `bots` or `humans`, or a glob"):
        for written in collected(mistakes, read_documents, path) or ():
            if (file := collected(mistakes, validate, written, IdentityFile, secrets=_NEVER_SHOWN)) is not None:
                found += _said(written, file)
    mistakes += _contradictions(found)
    if mistakes:
        raise ConfigError(*mistakes)
    people: dict[str, list[str]] = {}
    for one in found:
        if one.person:
            people.setdefault(one.person, []).append(one.identifier)
    return Reviewed(
        people=tuple(tuple(dict.fromkeys(those)) for those in people.values()),
        bots=tuple(one.identifier for one in found if one.kind == "bots"),
        humans=tuple(one.identifier for one in found if one.kind == "humans"),
    )


@dataclass(frozen=True)
class _Said:
    """One account or address, in its normal form, with where it stands and whose it is."""

    identifier: str
    text: str
    kind: str
    person: str
    document: Document
    path: DocumentPath

    @property
    def where(self) -> str:
        return f"{self.document.file}:{self.document.line(self.path)}"

    def mistake(self, problem: str, expected: str) -> Mistake:
        return self.document.mistake(self.path, problem, expected)


def _said(document: Document, file: IdentityFile) -> Iterator[_Said]:
    for index, one in enumerate(file.people):
        place, key = ("people", index), f"{document.file}\0{index}"
        yield _Said(normal_form(one.person), one.person, "person", key, document, (*place, "person"))
        for kind, texts in (("accounts", one.accounts), ("mails", one.mails)):
            for i, text in enumerate(texts):
                yield _Said(normal_form(text), text, kind, key, document, (*place, kind, i))
    for kind, texts in (("bots", file.bots), ("humans", file.humans)):
        for i, text in enumerate(texts):
            yield _Said(normal_form(text), text, kind, "", document, (kind, i))


def _contradictions(found: Sequence[_Said]) -> Iterator[Mistake]:
    """One account at two people, a bot that is somebody's, the same twice, and people of whom nothing is said."""
    first: dict[tuple[str, bool], _Said] = {}
    bots = {one.identifier: one for one in found if one.kind == "bots"}
    for one in found:
        other = first.setdefault((one.identifier, bool(one.person)), one)
        bot = bots.get(one.identifier)
        if one.person and other.person != one.person:
            yield one.mistake(f"it is another person's too, at {other.where}", "each account at one person only")
        elif other is not one and (other.kind, other.text) == (one.kind, one.text):
            yield one.mistake(f"it stands at {other.where} too", "each account once")
        elif bot is not None and one.kind != "bots":
            yield one.mistake(f"it is among the bots, at {bot.where}", "each account either a person's or a bot's")
    said = {one.person for one in found if one.kind in {"accounts", "mails"}}
    for one in found:
        if one.kind == "person" and one.person not in said:
            yield one.mistake("nothing is said of this person", "accounts, mails or both")
