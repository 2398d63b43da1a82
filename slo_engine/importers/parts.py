"""The objects of one document: itself, or the items of a list of them, which keep their places in the file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from collector.document import Document, DocumentPath, dotted
from collector.errors import Mistake

T = TypeVar("T")


@dataclass(frozen=True)
class Part(Document):
    """An item of a list. Paths are the item's own; mistakes say where it stands in the whole document."""

    above: DocumentPath = ()

    def mistake(self, path: DocumentPath, problem: str, expected: str) -> Mistake:
        """A mistake, with its path in the whole document."""
        return replace(super().mistake(path, problem, expected), path=dotted((*self.above, *path)))


def parts(document: Document) -> list[Document]:
    """The items of a YAML list, or of a list of Kubernetes; where there are none, the document itself."""
    value = document.value
    if isinstance(value, list) and value:
        return [_part(document, (i,)) for i in range(len(value))]
    items = value.get("items") if isinstance(value, dict) and str(value.get("kind")).endswith("List") else None
    if isinstance(items, list) and items:
        return [_part(document, ("items", i)) for i in range(len(items))]
    return [document]


def _part(document: Document, above: DocumentPath) -> Part:
    value: Any = document.value
    for key in above:
        value = value[key]
    return Part(
        document.file,
        value,
        _below(document.lines, above),
        _below(document.texts, above),
        frozenset(_below(dict.fromkeys(document.from_environment), above)),
        above,
    )


def _below(values: Mapping[DocumentPath, T], above: DocumentPath) -> dict[DocumentPath, T]:
    """What stands at or below a path, by the rest of its path."""
    return {path[len(above) :]: value for path, value in values.items() if path[: len(above)] == above}
