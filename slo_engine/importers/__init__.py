"""Imports SLOs of other formats as OpenSLO v1: Sloth, Pyrra, OpenSLO v1alpha and v2alpha.

Each format is a module with `recognises(value)` and a pure `convert(document)`. What cannot be carried over is refused,
with the place in the file and what to write, or noted; nothing is dropped without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from collector.document import Document, read_documents
from collector.errors import ConfigError, Mistake
from slo_engine.importers import openslo_v1alpha, openslo_v2alpha, pyrra, sloth
from slo_engine.importers.conversion import API_VERSION, Imported, Note
from slo_engine.importers.parts import parts

__all__ = ["FORMATS", "Imported", "Note", "import_file"]

FORMATS = {
    "Sloth": f"version: {sloth.VERSION}, or kind: {sloth.OBJECT[1]}",
    "Pyrra": f"apiVersion: {pyrra.OBJECT[0]}",
    "OpenSLO v1alpha": f"apiVersion: {openslo_v1alpha.VERSION}",
    "OpenSLO v2alpha": f"apiVersion: {openslo_v2alpha.VERSION}",
}
"""The formats, and what their documents say of themselves."""


def import_file(path: Path, *, period: str = sloth.PERIOD) -> Imported:
    """The documents of a file as OpenSLO v1, in their order, and notes about what could not be carried over.

    Each document says its format itself. `period` is the rolling window of Sloth's SLOs, whose files hold none. Raises
    ConfigError with every mistake.
    """
    results: list[tuple[Document, Imported]] = []
    mistakes: list[Mistake] = []
    for document in (one for whole in read_documents(path) for one in parts(whole)):
        try:
            results.append((document, _converter(document, period)(document)))
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    mistakes.extend(_taken(results))
    if mistakes:
        raise ConfigError(*mistakes)
    imported = [result for _, result in results]
    return Imported(tuple(d for i in imported for d in i.documents), tuple(n for i in imported for n in i.notes))


def _converter(document: Document, period: str) -> Callable[[Document], Imported]:
    value = document.value
    if sloth.recognises(value):
        return partial(sloth.convert, period=period)
    for recognises, convert in (
        (pyrra.recognises, pyrra.convert),
        (openslo_v1alpha.recognises, openslo_v1alpha.convert),
        (openslo_v2alpha.recognises, openslo_v2alpha.convert),
    ):
        if recognises(value):
            return convert
    if isinstance(value, dict) and value.get("apiVersion") == API_VERSION:
        raise ConfigError(
            document.mistake(("apiVersion",), "is OpenSLO v1 already", "no import: name the file under slos")
        )
    listed = "; ".join(f"{says} ({name})" for name, says in FORMATS.items())
    raise ConfigError(document.mistake((), "is of no format that can be imported", listed))


def _taken(results: Iterable[tuple[Document, Imported]]) -> Iterator[Mistake]:
    """Names that documents of one file share: those of one document are its converter's business."""
    seen: dict[tuple[str, Any], int] = {}
    for document, imported in results:
        names = [(one["kind"], one["metadata"]["name"]) for one in imported.documents]
        for kind, name in names:
            if (kind, name) in seen:
                first = f"the {kind} on line {seen[kind, name]}"
                yield document.mistake(("metadata", "name"), f"{name!r} is already the name of {first}", "another name")
        for named in names:
            seen.setdefault(named, document.line(()))
