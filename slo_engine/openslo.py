"""SLOs from OpenSLO v1 files. Specification: https://github.com/OpenSLO/OpenSLO (apiVersion `openslo/v1`).

What OpenSLO allows and Paceline cannot do exactly is refused by name, never ignored. Paceline's own settings are
annotations `paceline.dev/…`, and its indicators are metric sources of type `Paceline`, so the files stay valid
OpenSLO. This module reads files and holds documents together; what one document says is `slo_engine/openslo_slo.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from collector.document import Document, read_documents
from collector.errors import ConfigError, Mistake
from slo_engine.indicator import Indicator
from slo_engine.openslo_objects import Place, collected, read_objects
from slo_engine.openslo_sli import measured
from slo_engine.openslo_slo import composite_of, read_slos
from slo_engine.slo import Slo


def load_slos(path: Path, indicators: Mapping[str, Indicator]) -> list[Slo]:
    """The SLOs of a file, or of all `.yaml` and `.yml` files of a folder and its subfolders, by name.

    Hidden files and folders are passed over: Kubernetes mounts each file a second time in one. A folder without
    files gives none. References hold across files. Raises ConfigError with every mistake of every file.
    """
    return load_all([path], indicators)


def load_all(paths: Iterable[Path], indicators: Mapping[str, Indicator]) -> list[Slo]:
    """The SLOs of several files and folders, by name, as `load_slos` reads them: references hold across all of them."""
    mistakes: list[Mistake] = []
    documents = [document for path in paths for document in _documents(path, mistakes)]
    found = collected(mistakes, slos_of, documents, indicators)
    if mistakes or found is None:
        raise ConfigError(*mistakes)
    return found


def slos_of(documents: Iterable[Document], indicators: Mapping[str, Indicator]) -> list[Slo]:
    """The SLOs among documents of all kinds of OpenSLO v1, by name. Raises ConfigError with every mistake."""
    mistakes: list[Mistake] = []
    documents, objects = read_objects(documents, mistakes)
    for kind, name in objects.values:
        if kind == "SLI":
            place = Place(objects.documents[kind, name], ("spec",))
            collected(mistakes, measured, place, objects, indicators)
    read = [collected(mistakes, read_slos, document, objects, indicators) for document in documents]
    whole = [one for one in read if one is not None]
    found = [pair for one in whole for pair in one.slos]
    mistakes.extend(_taken(found))
    by_name = {slo.name: slo for slo, _ in found}
    composites = [collected(mistakes, composite_of, one, by_name) for one in whole if one.parts]
    if mistakes or len(whole) != len(read):
        raise ConfigError(*dict.fromkeys(mistakes))
    slos = [*(slo for slo, _ in found), *(one for one in composites if one is not None)]
    return sorted(slos, key=lambda slo: slo.name)


def _documents(path: Path, mistakes: list[Mistake]) -> Iterator[Document]:
    for file in _files(path) if path.is_dir() else [path]:
        try:
            yield from read_documents(file)
        except ConfigError as error:
            mistakes.extend(error.mistakes)


def _files(folder: Path) -> list[Path]:
    found = (f for f in folder.rglob("*") if f.suffix in {".yaml", ".yml"} and f.is_file())
    return sorted(f for f in found if not any(p.startswith(".") for p in f.relative_to(folder).parts))


def _taken(found: list[tuple[Slo, Place]]) -> Iterator[Mistake]:
    """Two SLOs of one name: the names of objectives come from two parts."""
    seen: dict[str, Slo] = {}
    for slo, place in found:
        if slo.name in seen:
            first = f"{Path(seen[slo.name].file).name}:{seen[slo.name].line}"
            yield place.mistake(f"{slo.name!r} is already the name of the SLO in {first}", "another name")
        seen.setdefault(slo.name, slo)
