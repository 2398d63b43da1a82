"""What is wrong with a finished dashboard, in sentences. Pure: asks neither Grafana nor Prometheus.

`findings` looks at a board alone, `findings_together` at all of them; what its queries name is looked at in
`dashboards.lint_queries`. Grafana itself says little: it moves panels that overlap, prints an unknown unit as text,
blanks a panel with an unknown transformation, and shows a query without a result as an empty panel.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, get_args

from dashboards.panels import DATASOURCE, GRID_COLUMNS, PALETTE, Unit
from dashboards.queries import legend_labels, panels_of, ranges, result_labels, variables_in

Json = Mapping[str, Any]
Found = Iterator[tuple[str, str, str]]
"""Where it is, what is wrong there, and what was expected."""

LONGEST_TITLE = 80
WIDTHS = frozenset({4, 6, 8, 9, 12, 15, 16, 18, 24})
"""Widths that fill a line of 24 columns with each other, and in which a title can be read."""
UNITS: frozenset[str] = frozenset(get_args(Unit))
TRANSFORMATIONS = frozenset(
    (
        *("filterFieldsByName", "joinByField", "joinByLabels", "labelsToFields", "limit", "merge", "organize"),
        *("reduce", "renameByRegex", "rowsToFields", "seriesToRows", "sortBy", "timeSeriesTable"),
    )
)
"""Those of Grafana's that only arrange: a panel calculates nothing that `explain` does not know."""

_WORDLESS = frozenset({"row", "text"})
_RATES = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets"})
_PER_STEP = frozenset({"$__rate_interval"})
_AT_ONCE = frozenset({"$__rate_interval", "$__range", "a variable"})
_MATCHES_ALL = frozenset({".*", ".+", "*", "(.*)", "(.+)"})
_SAYS_TARGET = re.compile(
    r"\b(allow|budget|limit|objective|promise|target|threshold|stale|succeed|success)", re.IGNORECASE
)
_COLOR_MODES = frozenset({"fixed", "shades", "thresholds", "palette-classic-by-name"})
_UNCOLORED = frozenset({"text", "transparent"})
_BOARD = re.compile(r"^/d/([\w-]+)")
_PASSED = re.compile(r"var-(\w+)=|\$\{(\w+):queryparam\}")
_FIELD = re.compile(r'\$\{__data\.fields\["?([^"\]]+)"?\]')
_VALUE_OF = re.compile(r"Value #(\w+)")
_LEAST_SCHEMA = 36
_MANY_QUERIES, _ROOM_FOR_MANY = 3, 6


def findings(document: Json, others: Iterable[Json] = ()) -> list[str]:
    """What is wrong with a board, one sentence each; empty if nothing is. `others`: boards that it may lead to."""
    known = {board.get("uid", ""): board for board in (*others, document)}
    found = [*_of_board(document), *_links(document, known)]
    for panel in panels_of(document):
        if panel.get("type") not in _WORDLESS:
            found += [(place(panel), what, expected) for check in _CHECKS for what, expected in check(panel)]
    return sentences(document, found)


def findings_together(documents: Sequence[Json]) -> list[str]:
    """What is wrong with boards that stand in one Grafana: of each, and between them."""
    found = [sentence for document in documents for sentence in findings(document, documents)]
    for key in ("uid", "title"):
        values = Counter(document.get(key, "") for document in documents)
        found += [f"{v}: {n} boards have this {key}; expected one" for v, n in values.items() if n > 1]
    return found


def sentences(document: Json, found: Iterable[tuple[str, str, str]]) -> list[str]:
    """Each finding as a sentence that begins with the board's title."""
    board = document.get("title") or document.get("uid") or "a board without a title"
    return [f"{board}, {where}: {what}; expected {expected}" for where, what, expected in found]


def place(panel: Json) -> str:
    """How a finding names a panel."""
    return f"panel {panel.get('title') or panel.get('id')!r}"


# ---- the board as a whole


def _of_board(document: Json) -> Found:
    yield from _head(document)
    yield from _ids(document)
    yield from _grid(document)
    yield from _variables(document)
    yield from _colors(document)
    yield from _annotations(document)


def _head(document: Json) -> Found:
    where = "the board"
    if not document.get("uid") or not document.get("title") or not document.get("description"):
        yield where, "uid, title or description is missing", "all three"
    if document.get("schemaVersion", 0) < _LEAST_SCHEMA:
        yield where, f"schemaVersion is {document.get('schemaVersion')}", f"{_LEAST_SCHEMA} or later"
    for panel in panels_of(document):
        if len(panel.get("title", "")) > LONGEST_TITLE:
            yield place(panel), f"the title has {len(panel['title'])} characters", f"at most {LONGEST_TITLE}"


def _ids(document: Json) -> Found:
    ids = Counter(panel.get("id") for panel in panels_of(document))
    for panel in panels_of(document):
        if not panel.get("id") or ids[panel["id"]] > 1:
            yield place(panel), f"its id {panel.get('id')} is not its own", "another id for each panel"


def _grid(document: Json) -> Found:
    """Overlaps among the panels that are shown together, and what does not fit in 24 columns."""
    for panel in panels_of(document):
        at = panel.get("gridPos")
        if at is None or at["x"] < 0 or at["w"] < 1 or at["x"] + at["w"] > GRID_COLUMNS:
            yield place(panel), f"it lies at {at}", f"a place within {GRID_COLUMNS} columns"
        elif panel.get("type") not in _WORDLESS and at["w"] not in WIDTHS:
            yield place(panel), f"it is {at['w']} columns wide", f"one of {sorted(WIDTHS)}"
    for together in (document["panels"], *(row.get("panels", ()) for row in document["panels"])):
        for one, other in combinations([panel for panel in together if "gridPos" in panel], 2):
            if _overlap(one["gridPos"], other["gridPos"]):
                yield place(one), f"it overlaps {place(other)}", "a place of its own"


def _overlap(one: Json, other: Json) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not above


def _variables(document: Json) -> Found:
    variables = document.get("templating", {}).get("list", [])
    defined = {v["name"]: v for v in variables}
    outside = {k: v for k, v in document.items() if k != "templating"}
    used = {name for text in _texts(outside) for name in variables_in(text)}
    used |= {panel["repeat"] for panel in panels_of(document) if panel.get("repeat")}
    for variable in variables:
        # What a variable itself says of "all" is no use of another one.
        used |= {n for t in _texts({**variable, "current": None}) for n in variables_in(t) if n != variable["name"]}
        if variable.get("allValue") in _MATCHES_ALL:
            wanted = "none, so that All is the list of the values: a pattern of all hides a missing metric"
            yield f"variable {variable['name']}", f"its All is {variable['allValue']}", wanted
        if variable.get("type") == "query" and variable.get("datasource") != DATASOURCE:
            yield f"variable {variable['name']}", "it asks a fixed data source", "the one of the variable datasource"
    own = {name for name in used if not name.startswith("__")}
    for name in sorted(own - defined.keys()):
        yield "the board", f"the variable {name} is used and not defined", "its definition"
    for name in sorted(defined.keys() - own):
        yield f"variable {name}", "nothing uses it", "a use, or no variable"


def _texts(node: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _colors(document: Json) -> Found:
    for panel in panels_of(document):
        for color in sorted({c for c in _colors_in(panel) if c not in PALETTE}):
            yield place(panel), f"the colour {color} is in use", f"one of the palette: {', '.join(sorted(PALETTE))}"


def _colors_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        yield from (v for k, v in node.items() if k in {"color", "fixedColor", "iconColor"} and isinstance(v, str))
        for value in node.values():
            yield from _colors_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _colors_in(value)


def _annotations(document: Json) -> Found:
    for one in document.get("annotations", {}).get("list", ()):
        if one.get("builtIn"):
            continue
        where = f"annotation {one.get('name')}"
        if one.get("datasource") != DATASOURCE:
            yield where, "it asks a fixed data source", "the one of the variable datasource"
        if not one.get("target", {}).get("expr"):
            yield where, "it asks nothing", "an expression"
        if one.get("iconColor") not in PALETTE:
            yield where, f"the colour {one.get('iconColor')} is in use", "one of the palette"


# ---- links


def _links(document: Json, known: Mapping[str, Json]) -> Found:
    places = [("the board", link) for link in document.get("links", ())]
    places += [(place(panel), link) for panel in panels_of(document) for link in _links_of(panel)]
    for where, link in places:
        if link.get("type") == "dashboards":
            wanted = set(link.get("tags", ()))
            if not any(wanted <= set(board.get("tags", ())) for board in known.values()):
                yield where, f"no board has the tags {sorted(wanted)} of its menu", "tags of boards"
        else:
            yield from _target(where, link.get("url", ""), known)
    for panel in panels_of(document):
        titles = _column_titles(panel)
        named = [name for link in _links_of(panel) for name in _FIELD.findall(link.get("url", ""))]
        for name in sorted({n for n in named if titles and n not in titles}):
            yield place(panel), f"a link takes the column {name}, which is not there", f"one of {sorted(titles)}"


def _links_of(panel: Json) -> Iterator[Json]:
    yield from panel.get("links", ())
    config = panel.get("fieldConfig", {})
    yield from config.get("defaults", {}).get("links", ())
    for each in _properties(panel):
        if each["id"] == "links":
            yield from each["value"]


def _target(where: str, url: str, known: Mapping[str, Json]) -> Found:
    """A link within Grafana leads to a board that exists, and passes variables that this has."""
    if not url:
        yield where, "a link leads nowhere", "an address"
    uid = _BOARD.match(url)
    if uid is None:
        return
    if uid[1] not in known:
        yield where, f"a link leads to the board {uid[1]}, which is not there", f"one of {sorted(known)}"
        return
    has = {v["name"] for v in known[uid[1]].get("templating", {}).get("list", ())}
    for name in sorted({plain or formatted for plain, formatted in _PASSED.findall(url)} - has):
        yield where, f"a link passes {name} to {uid[1]}, which has no such variable", f"one of {sorted(has)}"


# ---- each panel


def _words(panel: Json) -> Iterator[tuple[str, str]]:
    if not panel.get("title") or not panel.get("description"):
        yield "title or description is missing", "both"
    if not panel.get("fieldConfig", {}).get("defaults", {}).get("noValue"):
        yield "it says nothing where there is no data", "noValue"


def _targets(panel: Json) -> Iterator[tuple[str, str]]:
    targets = panel.get("targets", [])
    if not targets:
        yield "it asks nothing", "a target"
    if len({t.get("refId") for t in targets}) < len(targets) or not all(t.get("refId") for t in targets):
        yield "its queries have no ids of their own", "another refId for each"
    if not all(t.get("expr", "").strip() for t in targets):
        yield "a query is empty", "an expression"
    if any(bool(t.get("instant")) is bool(t.get("range")) for t in targets):
        yield "a query is neither of an instant nor of a range, or both", "one of them"
    if any(asked.get("datasource") != DATASOURCE for asked in (panel, *targets)):
        yield "it asks a fixed data source", "the one of the variable datasource"
    if panel.get("type") == "stat" and len(targets) >= _MANY_QUERIES and panel["gridPos"]["w"] < _ROOM_FOR_MANY:
        yield f"{len(targets)} numbers stand in {panel['gridPos']['w']} columns", f"{_ROOM_FOR_MANY} or more"


def _legacy(panel: Json) -> Iterator[tuple[str, str]]:
    """What grafanalib writes for Grafana 5."""
    if "maxDataPoints" in panel or any("intervalFactor" in t or "step" in t for t in panel.get("targets", ())):
        yield "a number of points or a step is fixed", "neither: a week would be drawn in steps of hours"
    for thresholds in _thresholds(panel):
        steps = thresholds.get("steps")
        if not isinstance(steps, list) or not steps or steps[0].get("value") is not None:
            yield "its thresholds do not begin with null", "a list of steps of which the first has the value null"


def _units(panel: Json) -> Iterator[tuple[str, str]]:
    units = [panel.get("fieldConfig", {}).get("defaults", {}).get("unit")]
    units += [p["value"] for p in _properties(panel) if p["id"] == "unit"]
    for unit in units:
        if unit not in UNITS:
            yield f"the unit {unit} is in use", f"one of {sorted(UNITS)}"


def _properties(panel: Json) -> Iterator[Json]:
    """The properties of all overrides."""
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        yield from override.get("properties", ())


def _thresholds(panel: Json) -> Iterator[Json]:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if "thresholds" in defaults:
        yield defaults["thresholds"]
    yield from (p["value"] for p in _properties(panel) if p["id"] == "thresholds")


def _judged(panel: Json) -> Iterator[tuple[str, str]]:
    """Colours that judge a value belong to what has a target."""
    modes = [panel.get("fieldConfig", {}).get("defaults", {}).get("color", {}).get("mode", "thresholds")]
    modes += [p["value"].get("mode") for p in _properties(panel) if p["id"] == "color"]
    for mode in (m for m in modes if m not in _COLOR_MODES):
        yield f"the colour mode {mode} is in use", f"one of {sorted(_COLOR_MODES)}"
    colors = {s.get("color") for t in _thresholds(panel) if isinstance(t.get("steps"), list) for s in t["steps"]}
    if colors - _UNCOLORED and not _SAYS_TARGET.search(panel.get("description", "")):
        yield "its colours judge a value and its description names no target", "the target in words, or no colours"


def _rates(panel: Json) -> Iterator[tuple[str, str]]:
    for target in panel.get("targets", ()):
        allowed = _AT_ONCE if target.get("instant") else _PER_STEP
        for one in _parsed(target, ranges):
            if one.function in _RATES and one.length not in allowed:
                yield f"{one.function}() reads {one.length} in {target['expr']}", "$__rate_interval"


def _legends(panel: Json) -> Iterator[tuple[str, str]]:
    """As far as the query alone says which labels its result has."""
    for target in panel.get("targets", ()):
        named = legend_labels(target)
        for labels in _parsed(target, lambda expr: [result_labels(expr, _nobody_knows)]):
            for label in sorted(named - labels if labels is not None else ()):
                yield f"a legend names {label}, which the result of {target['expr']} has not", "one of its labels"


def _nobody_knows(_: str) -> None:
    return None


def _parsed(target: Json, read: Callable[[str], Sequence[Any]]) -> Sequence[Any]:
    """What is read in a query; nothing where it cannot be parsed, which `query_findings` says."""
    try:
        return read(target.get("expr", ""))
    except ValueError:
        return ()


def _arranged(panel: Json) -> Iterator[tuple[str, str]]:
    for one in panel.get("transformations", ()):
        if one.get("id") not in TRANSFORMATIONS:
            yield f"the transformation {one.get('id')} is in use", f"one of {sorted(TRANSFORMATIONS)}"


def _columns(panel: Json) -> Iterator[tuple[str, str]]:
    """The columns of a table that are renamed, hidden, ordered, sorted by or styled exist."""
    if panel.get("type") != "table":
        return
    refs = {t.get("refId") for t in panel.get("targets", ())}
    for options in _organised(panel):
        named = {name for part in ("renameByName", "excludeByName", "indexByName") for name in options.get(part, {})}
        for name in sorted(n for n in named if (of := _VALUE_OF.fullmatch(n)) and of[1] not in refs):
            yield f"the column {name} is of no query", f"one of {sorted(map(str, refs))}"
    titles = _column_titles(panel)
    sorted_by = [s.get("displayName") for s in panel.get("options", {}).get("sortBy") or ()]
    styled = [
        o["matcher"].get("options")
        for o in panel.get("fieldConfig", {}).get("overrides", ())
        if o.get("matcher", {}).get("id") == "byName"
    ]
    for name in (n for n in (*sorted_by, *styled) if titles and n not in titles):
        yield f"there is no column {name}", f"one of {sorted(titles)}"


def _organised(panel: Json) -> Iterator[Json]:
    yield from (t.get("options", {}) for t in panel.get("transformations", ()) if t.get("id") == "organize")


def _column_titles(panel: Json) -> set[str]:
    return {title for options in _organised(panel) for title in options.get("renameByName", {}).values()}


_CHECKS: tuple[Callable[[Json], Iterator[tuple[str, str]]], ...] = (
    _words,
    _targets,
    _legacy,
    _units,
    _judged,
    _rates,
    _legends,
    _arranged,
    _columns,
)
