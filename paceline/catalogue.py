"""The catalogue of services as people write it: in the settings, or in files of its own that they name.

Checks each service and what they claim together. Knows no source and no SLO.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation

from collector.document import Document, DocumentPath, read_documents, validate
from collector.errors import ConfigError, Mistake
from collector.name_rules import NameRule, NameRules, checked_rule, one_or_more
from collector.patterns import Pattern, patterns
from slo_engine.organisation import SERVICE_RULES, Service

_REGULAR_EXPRESSION = 2
_CLAIMS = ("deployed_as", "components")
"""The kinds of rules by which a name belongs to one service only."""


def _name(text: str) -> str:
    # A name is also the rule that finds itself, so it must not read as a glob or an expression.
    if not text or text != text.strip() or text.startswith("/") or re.search(r"[*?\[\x00-\x1f]", text):
        raise ValueError(f"{text!r} is no name; expected plain text without * ? [ and without a slash in front")
    return text


def _team(text: str) -> str:
    if "@" in text:
        raise ValueError("a person's address would become a label; expected a path such as /group/team")
    parts = text.split("/")
    if parts[0] or len(parts) == 1 or any(not p or p != p.strip() for p in parts[1:]):
        meant = "/" + "/".join(p.strip() for p in parts if p.strip())
        raise ValueError(f"{text!r} is no team; expected a path such as {meant if len(meant) > 1 else '/group/team'}")
    return text


def _path_rule(text: str) -> str:
    rank, plain = Pattern(text).rank, text.strip("/")
    literal = rank == _REGULAR_EXPRESSION and re.fullmatch(r"[\w ./-]+", plain)
    if literal or (rank == 0 and text.endswith("/")):
        raise ValueError(f"{text!r} fits nothing in a folder; expected {plain}/* for a folder, {plain} for a file")
    if rank != _REGULAR_EXPRESSION and text.startswith("/"):
        raise ValueError(f"{text!r} starts with a slash, as no path does; expected {plain}")
    return text


def _team_rule(text: str) -> str:
    checked_rule(text)
    literal = Pattern(text).rank == _REGULAR_EXPRESSION and re.fullmatch(r"[\w -]+(/[\w -]+)*", text.strip("/"))
    if literal or not text.startswith("/"):
        raise ValueError(f"{text!r} fits no team; expected a path such as /{text.strip('/')}")
    return text


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


Texts = Annotated[list[str], BeforeValidator(one_or_more)]
"""A list of texts, or one text."""
TeamRules = Annotated[list[Annotated[NameRule, AfterValidator(_team_rule)]], BeforeValidator(one_or_more)]
"""NameRules for paths of teams, or one rule."""
_PathRules = Annotated[list[Annotated[NameRule, AfterValidator(_path_rule)]], BeforeValidator(one_or_more)]


class ServiceSettings(BaseModel):
    """A service of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_name)] = Field(description="What it is called; the label `service`.")
    team: Annotated[str, AfterValidator(_team)] = Field(
        default="", description="Its team as a path from the top, such as `/commerce/checkout`."
    )
    tier: Annotated[str, BeforeValidator(_number_as_text)] = Field(
        default="", description="How important it is, in your own words."
    )
    owner: str = Field(
        default="", description="Who answers for it: a team, by its mailbox or handle; never the name of a person."
    )
    deployed_as: NameRules = Field(
        default_factory=list, description="What deployments call it; its own name is always among them."
    )
    repositories: NameRules = Field(default_factory=list, description="The repositories that hold its code.")
    paths: _PathRules = Field(
        default_factory=list,
        description="In a shared repository, the paths that are its own; `services/shop/*` takes in subfolders.",
    )
    production: NameRules = Field(
        default_factory=list,
        description="Its production environments, where they differ from `environments.production`.",
    )
    pipelines: NameRules = Field(
        default_factory=list, description="Its pipelines, where its repositories run those of other services too."
    )
    components: NameRules = Field(default_factory=list, description="What incident and ticket trackers call it.")
    cadence: int = Field(
        default=1, ge=1, description="Successful production deployments promised for each week with work waiting."
    )

    def service(self) -> Service:
        """The service as the engine takes it."""
        rules: dict[str, Any] = {kind: patterns(getattr(self, kind)) for kind in SERVICE_RULES}
        return Service(name=self.name, team=self.team, tier=self.tier, owner=self.owner, cadence=self.cadence, **rules)


@dataclass(frozen=True)
class _Entry:
    """A service and where it stands."""

    settings: ServiceSettings
    document: Document
    path: DocumentPath

    def where(self, key: str) -> str:
        """The file and line of one of its keys."""
        return f"{self.document.file}:{self.document.line((*self.path, key))}"

    def shown(self, key: str, text: str) -> str:
        """A text of one of its keys as a mistake shows it: what came from the environment stays there."""
        place = (*self.path, key)
        return "this value" if any(p[: len(place)] == place for p in self.document.from_environment) else repr(text)

    def mistake(self, key: str, problem: str, expected: str) -> Mistake:
        """A mistake at one of its keys."""
        return self.document.mistake((*self.path, key), problem, expected)


class _Catalogue(BaseModel):
    """A file of the catalogue; its services are checked one by one."""

    model_config = ConfigDict(extra="forbid")

    services: SkipValidation[list[Any]] = Field(description="A list of services, each with `name`.")


def services(document: Document, base_dir: Path) -> tuple[Service, ...]:
    """The services of the settings, and of the files that `catalogue` names beside them.

    Raises ConfigError with every mistake: those of each service, and what two of them both claim.
    """
    mistakes: list[Mistake] = []
    entries = list(_entries(document, mistakes))
    for file in _files(document, base_dir, mistakes):
        entries += _entries(file, mistakes)
    mistakes += [*_named_twice(entries), *_claimed_twice(entries)]
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(e.settings.service() for e in entries)


def _files(document: Document, base_dir: Path, mistakes: list[Mistake]) -> Iterator[Document]:
    """The documents of the catalogue's files, each file once."""
    listed = one_or_more(document.value.get("catalogue"))
    seen: set[str] = set()
    for index, pattern in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(pattern, str):
            continue  # the model of the settings says so
        files = sorted(glob.glob(str(base_dir / pattern), recursive=True))  # noqa: PTH207 - patterns may be absolute
        if not files:
            place = ("catalogue", index) if isinstance(document.value["catalogue"], list) else ("catalogue",)
            expected = "the path of a file with `services`, or a glob"
            mistakes.append(document.mistake(place, f"{pattern!r} matches no file", expected))
        for file in files:
            if file not in seen:
                seen.add(file)
                yield from _catalogue(Path(file), mistakes)


def _catalogue(path: Path, mistakes: list[Mistake]) -> Iterator[Document]:
    try:
        for document in read_documents(path):
            validate(document, _Catalogue)
            yield document
    except ConfigError as error:
        mistakes += error.mistakes


def _entries(document: Document, mistakes: list[Mistake]) -> Iterator[_Entry]:
    listed = document.value.get("services")
    if listed is not None and not isinstance(listed, list):
        mistakes.append(document.mistake(("services",), "no list", "a list of services, each with `name`"))
        return
    for index in range(len(listed or [])):
        path = ("services", index)
        try:
            yield _Entry(validate(document, ServiceSettings, at=path), document, path)
        except ConfigError as error:
            mistakes += error.mistakes


def _named_twice(entries: Sequence[_Entry]) -> Iterator[Mistake]:
    first: dict[str, _Entry] = {}
    for entry in entries:
        name = entry.settings.name
        other = first.setdefault(name, entry)
        if other is not entry:
            problem = f"another service is named {entry.shown('name', name)}, at {other.where('name')}"
            yield entry.mistake("name", problem, "a name of its own for each service")


def _claimed_twice(entries: Sequence[_Entry]) -> Iterator[Mistake]:
    """Names that two services claim by the same rule: no order of the file decides between them."""
    for kind in _CLAIMS:
        own = [(e.settings.name, e, "name") for e in entries] if kind == "deployed_as" else []
        claimed = [(text, e, kind) for e in entries for text in getattr(e.settings, kind)]
        first: dict[str, tuple[_Entry, str]] = {}
        for text, entry, key in [*own, *claimed]:
            other, place = first.setdefault(text, (entry, key))
            if other.settings.name != entry.settings.name:
                whose, what = other.shown("name", other.settings.name), entry.shown(key, text)
                problem = f"the service {whose} claims {what} too, at {other.where(place)}"
                yield entry.mistake(key, problem, "each rule at one service only")
