"""What every importer shares: notes and mistakes of one document, and the shape of OpenSLO v1. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from collector.document import Document, DocumentPath, dotted
from collector.errors import ConfigError, Mistake

T = TypeVar("T")

API_VERSION = "openslo/v1"
PREFIX = "paceline.dev/"
SETTINGS = ("owner", "team", "tier")
"""Labels that other formats use for what Paceline has annotations for."""
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?")
_ADDRESS = re.compile(r"https?://[^\s/\"<>\\^`{|}]+[^\s\"<>\\^`{|}]*")
_RUNBOOKS = ("runbook", "runbook_url", "runbookURL", "runbookUrl")
_LONGEST_NAME = 63
_MOST_DECIMALS = 9
"""Beyond them the floats of a metric no longer tell targets apart."""
_LONGEST_DESCRIPTION = 1050
"""Characters; OpenSLO's own limit."""


@dataclass(frozen=True, order=True, kw_only=True)
class Note:
    """Something a person should know about one place of an imported file: what became of it, or what did not."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        """`file:line: path: text`, the form of a mistake."""
        return (
            f"{self.file}:{self.line}: {self.path}: {self.text}"
            if self.path
            else f"{self.file}:{self.line}: {self.text}"
        )


@dataclass(frozen=True)
class Imported:
    """OpenSLO v1 documents as plain values (targets are exact decimals), and what could not be carried over."""

    documents: tuple[dict[str, Any], ...]
    notes: tuple[Note, ...] = ()


@dataclass
class Conversion:
    """The notes and mistakes met while one document is converted. All mistakes are told at once."""

    document: Document
    notes: list[Note] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def note(self, path: DocumentPath, text: str) -> None:
        """Tells what became of a value, where OpenSLO or Paceline has no place for it."""
        at = self.document.mistake(path, "", "")
        self.notes.append(Note(file=at.file, line=at.line, path=at.path, text=text))

    def refuse(self, path: DocumentPath, problem: str, expected: str) -> None:
        """Tells what cannot be imported."""
        self.mistakes.append(self.document.mistake(path, problem, expected))

    def checked(self, path: DocumentPath, read: Callable[[], T], otherwise: T) -> T:
        """What `read` gives; its ValueError (`problem; expected …`) becomes a mistake at the path."""
        try:
            return read()
        except ValueError as error:
            problem, _, expected = str(error).partition("; expected ")
            self.refuse(path, problem, expected)
            return otherwise

    def text(self, path: DocumentPath, value: Any) -> str:
        """A scalar as it was written: `99.90`, `true`, `A`."""
        return str(value).lower() if isinstance(value, bool) else self.document.texts.get(path, str(value))

    def finished(self, documents: Iterable[dict[str, Any]]) -> Imported:
        """The result, notes in the order of lines. Raises ConfigError with every mistake, each once."""
        if self.mistakes:
            raise ConfigError(*dict.fromkeys(self.mistakes))
        return Imported(tuple(documents), tuple(sorted(set(self.notes))))


# ---- names and texts


def name_of(found: Conversion, path: DocumentPath, text: str) -> str:
    """The name of an SLO as a DNS label: other characters become '-', and that is noted. Empty where it is refused."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name:
        found.refuse(path, f"{text[:80]!r} is no name", "letters, digits and '-', such as requests-availability")
    elif len(name) > _LONGEST_NAME:
        problem = f"{name!r} is longer than {_LONGEST_NAME} characters"
        found.refuse(path, problem, "a shorter name: it becomes the label of every series")
    elif name != text:
        found.note(path, f"the name becomes {name}: names are DNS labels")
    return name if _DNS_LABEL.fullmatch(name) else ""


def once(found: Conversion, names: Iterable[tuple[DocumentPath, str]]) -> None:
    """Refuses a name that another SLO of the document has already."""
    seen: dict[str, DocumentPath] = {}
    for path, name in names:
        if name and name in seen:
            found.refuse(path, f"{name!r} is already the name of {dotted(seen[name])}", "another name")
        seen.setdefault(name, path)


def description_of(found: Conversion, path: DocumentPath, text: str) -> str:
    """A description within OpenSLO's limit."""
    if len(text) > _LONGEST_DESCRIPTION:
        problem = f"the description has {len(text)} characters"
        found.refuse(path, problem, f"at most {_LONGEST_DESCRIPTION}: the rest belongs into the runbook")
    return text


# ---- labels and annotations


def labels_of(
    found: Conversion, path: DocumentPath, labels: Mapping[str, Any], *, prefix: str = ""
) -> tuple[dict[str, str], dict[str, str]]:
    """Labels as OpenSLO's `metadata.labels`, and those of them that are Paceline's annotations.

    `prefix` is the format's own, and goes. An address of a person is left out, and so is a key that OpenSLO does not
    allow; both are noted.
    """
    kept: dict[str, str] = {}
    settings: dict[str, str] = {}
    for key, value in labels.items():
        name, text = key.removeprefix(prefix), found.text((*path, key), value)
        if "@" in text:
            found.note((*path, key), "left out: it looks like a person's address; write a team or a role")
        elif not _LABEL_KEY.fullmatch(name):
            found.note((*path, key), "left out: OpenSLO's labels begin and end with a letter or digit, without '/'")
        elif name in SETTINGS:
            settings[PREFIX + name] = text
        else:
            kept[name] = text
    return kept, settings


def runbook_of(
    found: Conversion, path: DocumentPath, annotations: Mapping[str, Any], *, prefix: str = ""
) -> dict[str, str]:
    """The runbook among an alert's annotations, as Paceline's annotation; all others are noted.

    `prefix` is the format's own.
    """
    runbook: dict[str, str] = {}
    for key, value in annotations.items():
        is_runbook = key.removeprefix(prefix) in _RUNBOOKS
        if is_runbook and isinstance(value, str) and _ADDRESS.fullmatch(value):
            runbook.setdefault(f"{PREFIX}runbook", value)
        elif is_runbook:
            found.note((*path, key), f"left out: no address; write {PREFIX}runbook: https://…")
        else:
            found.note((*path, key), "left out: Paceline's alerts say themselves how bad, how long and what to do")
    return runbook


# ---- targets


def percent(text: str) -> Decimal:
    """The ratio of a target in per cent, exactly: `99.9` is 0.999. Raises ValueError saying what was expected."""
    value = _number(text, "per cent such as 99.9")
    if not 0 < value < 100:  # noqa: PLR2004 - per cent
        problem = f"a target of {text} % leaves no error budget or asks for nothing"
        raise ValueError(f"{problem}; expected a number above 1 and below 100, such as 99.9")
    if value <= 1:
        meant = f"{plain(value * 100)} (per cent)" if value < 1 else "99.9"
        raise ValueError(f"{text} looks like a ratio; expected {meant}")
    return _metric(value / 100)


def ratio(text: str) -> Decimal:
    """A target as a ratio, exactly. Raises ValueError saying what was expected."""
    value = _number(text, "a ratio such as 0.999")
    if not 0 < value < 1:
        meant = plain(value / 100) if 1 < value < 100 else "0.999"  # noqa: PLR2004 - per cent
        problem = (
            f"a target of {text} is no ratio"
            if value > 1
            else f"a target of {text} leaves no budget or asks for nothing"
        )
        raise ValueError(f"{problem}; expected a number above 0 and below 1, such as {meant}")
    return _metric(value)


def _metric(target: Decimal) -> Decimal:
    """A target that a metric can carry."""
    if target != round(target, _MOST_DECIMALS):
        raise ValueError(f"the target has too many decimals; expected a ratio of at most {_MOST_DECIMALS} decimals")
    return target


def plain(number: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    return f"{number.normalize():f}"


def _number(text: str, expected: str = "a number") -> Decimal:
    """A finite number, exactly. Raises ValueError saying what was expected."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]!r} is no number; expected {expected}") from None
    if not found.is_finite():
        raise ValueError(f"{text[:40]} is no finite number; expected {expected}")
    return found


# ---- OpenSLO v1


def prometheus(query: str, key: str = "query") -> dict[str, Any]:
    """A metric of OpenSLO that Prometheus has."""
    return {"metricSource": {"type": "Prometheus", "spec": {key: query}}}


def rolling(duration: str) -> dict[str, Any]:
    """A rolling window of OpenSLO."""
    return {"duration": duration, "isRolling": True}


def slo_document(
    metadata: Mapping[str, Any],
    *,
    service: str,
    sli: Mapping[str, Any],
    objective: Mapping[str, Any],
    description: str = "",
    window: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An SLO of OpenSLO v1 that counts events for one objective; what is empty in `metadata` is left out."""
    return {
        "apiVersion": API_VERSION,
        "kind": "SLO",
        "metadata": {key: value for key, value in metadata.items() if value or key == "name"},
        "spec": {
            **({"description": description} if description else {}),
            "service": service,
            "indicator": {"metadata": {"name": metadata["name"]}, "spec": dict(sli)},
            "budgetingMethod": "Occurrences",
            "timeWindow": [dict(window or {})],
            "objectives": [dict(objective)],
        },
    }
