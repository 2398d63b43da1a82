"""The objects of OpenSLO files and the references between them. Pure.

A `Place` is where something stands: in the SLO's own file, or in the file of the object it names, so that a mistake is
answered where a person must mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel

from collector.document import Document, DocumentPath, nearest, validate
from collector.errors import ConfigError, Mistake
from slo_engine.openslo_model import API_VERSION, KINDS, PREFIX

T = TypeVar("T")
P = ParamSpec("P")
M = TypeVar("M", bound=BaseModel)

_EXACT = {"target", "targetPercent", "timeSliceTarget", "compositeWeight"}


@dataclass(frozen=True)
class Place:
    """A path in a document. Reads the raw value, of any shape, and says what is wrong there."""

    document: Document
    path: DocumentPath = ()

    def at(self, *path: str | int) -> Place:
        """A place below this one."""
        return replace(self, path=(*self.path, *path))

    def get(self, *path: str | int) -> Any:
        """The raw value at or below this place, or None where there is none: checks run over files of any shape."""
        value = self.document.value
        for part in (*self.path, *path):
            if isinstance(value, dict) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def keys(self) -> frozenset[str]:
        """The keys of the mapping here; none where it is no mapping."""
        value = self.get()
        return frozenset(value) if isinstance(value, dict) else frozenset()

    def given(self, *keys: str) -> list[str]:
        """Those of the keys that have a value here; `null` is none."""
        return [key for key in keys if self.get(key) is not None]

    def items(self, *path: str | int) -> list[Place]:
        """The places of the items of a list; none where it is no list."""
        value = self.get(*path)
        return [self.at(*path, i) for i in range(len(value))] if isinstance(value, list) else []

    def mistake(self, problem: str, expected: str) -> Mistake:
        """A mistake here."""
        return self.document.mistake(self.path, problem, expected)

    def refused(self, problem: str, expected: str) -> ConfigError:
        """A mistake here, to be raised."""
        return ConfigError(self.mistake(problem, expected))

    def read(self, model: type[M]) -> M:
        """The model from what stands here. Raises ConfigError with every mistake."""
        return validate(self.document, model, at=self.path)


def collected(mistakes: list[Mistake], check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What a check gives, or None after its mistakes were added."""
    try:
        return check(*args, **kwargs)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
        return None


@dataclass
class Objects:
    """All objects that are no SLO, by kind and name; one that is broken is known, but has no value."""

    documents: dict[tuple[str, str], Document] = field(default_factory=dict)
    values: dict[tuple[str, str], BaseModel] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted."""
        return sorted(name for one, name in self.documents if one == kind)

    def named(self, kind: str, reference: Place, model: type[M]) -> tuple[Place, M]:
        """The object that a reference names: the place of its `spec`, and its value.

        Raises ConfigError: where there is none with the nearest name; without a mistake where the object itself is
        broken, which is said in its own file.
        """
        name = reference.get()
        if not isinstance(name, str):
            raise ConfigError
        self.known(kind, reference, name)
        value = self.values.get((kind, name))
        if not isinstance(value, model):
            raise ConfigError
        return Place(self.documents[kind, name], ("spec",)), value

    def known(self, kind: str, reference: Place, name: str) -> None:
        """Raises ConfigError where there is no object of that name."""
        known = self.names(kind)
        if name not in known:
            near = nearest(name, known)
            listed = f"one of {', '.join(known)}" if known else f"an object of kind {kind} among the files"
            raise reference.refused(f"there is no {kind} {name[:60]!r}", near or listed)


def read_objects(documents: Iterable[Document], mistakes: list[Mistake]) -> tuple[list[Document], Objects]:
    """The documents that are SLOs, and all other objects; what is wrong with these is added to the mistakes."""
    slos: list[Document] = []
    objects = Objects()
    seen: dict[tuple[str, str], str] = {}
    for document in documents:
        wrong = list(_header(document)) or list(_taken(document, seen))
        mistakes.extend(wrong)
        kind = Place(document).get("kind")
        if any(wrong):
            continue
        if kind == "SLO":
            slos.append(document)
            continue
        document = exact(document)  # noqa: PLW2901 - the same document, as it was written
        mistakes.extend(_foreign(Place(document)))
        value = collected(mistakes, validate, document, KINDS[kind])
        name = str(Place(document).get("metadata", "name"))
        objects.documents[kind, name] = document
        if value is not None:
            objects.values[kind, name] = value
    return slos, objects


def _header(document: Document) -> Iterator[Mistake]:
    """Whether this is an object of OpenSLO v1 at all; if not, its other mistakes would be noise."""
    kinds = list(KINDS)
    for key, wanted in (("apiVersion", [API_VERSION]), ("kind", kinds)):
        found = Place(document, (key,)).get()
        if found not in wanted:
            problem = "is missing" if found is None else f"{str(found)[:40]!r} is not supported"
            same = next((w for w in wanted if w.lower() == str(found).lower()), "")
            near = same or (wanted[0] if len(wanted) == 1 else nearest(str(found), wanted))
            yield document.mistake((key,), problem, near or f"one of {', '.join(wanted)}")


def _taken(document: Document, seen: dict[tuple[str, str], str]) -> Iterator[Mistake]:
    """A mistake where another object of the kind has the name already."""
    place = Place(document, ("metadata", "name"))
    name, kind = place.get(), Place(document).get("kind")
    if not isinstance(name, str):
        return
    if (kind, name) in seen:
        yield place.mistake(f"{name!r} is already the name of the {kind} in {seen[kind, name]}", "another name")
    seen.setdefault((kind, name), f"{Path(document.file).name}:{document.line(place.path)}")


def _foreign(place: Place) -> Iterator[Mistake]:
    """Paceline's annotations outside of SLOs, where they would do nothing."""
    annotations = place.at("metadata", "annotations")
    for key in sorted(k for k in annotations.keys() if k.startswith(PREFIX)):  # noqa: SIM118 - a method of ours
        yield annotations.at(key).mistake("does nothing here", "the annotation at the SLO")


def exact(document: Document) -> Document:
    """The document with targets, weights and factors as they were written: 0.9990 must not pass through a float."""
    written = {p: t for p, t in document.texts.items() if p[-1:] and _is_exact(p)}
    return replace(document, value=_rewritten(document.value, (), written)) if written else document


def _is_exact(path: DocumentPath) -> bool:
    return path[-2:] == ("condition", "threshold") or ("objectives" in path and path[-1] in _EXACT)


def _rewritten(value: Any, path: DocumentPath, written: dict[DocumentPath, str]) -> Any:
    if isinstance(value, dict):
        return {k: _rewritten(v, (*path, k), written) for k, v in value.items()}
    if isinstance(value, list):
        return [_rewritten(v, (*path, i), written) for i, v in enumerate(value)]
    return written.get(path, value)
