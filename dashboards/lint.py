"""What is wrong with a finished dashboard, in sentences. Pure: asks neither Grafana nor Prometheus.

`findings` looks at a board alone, `findings_together` at all of them; what its queries name is looked at in
`dashboards.lint_queries`. Grafana itself says little: it moves panels that overlap, prints an unknown unit as text,
blanks a panel with an unknown transformation, and shows a query without a result as an empty panel.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, get_args

from dashboards.grafana import TAG
from dashboards.panels import DATASOURCE, GRID_COLUMNS, PALETTE, Unit
from dashboards.queries import is_label_values, legend_labels, measure, panels_of, ranges, result_labels, variables_in

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
_PROMETHEUS = "prometheus"
_UNITS_OF = {"ratio": frozenset({"percentunit"}), "seconds": frozenset({"s", "dtdurations"})}
_REFRESHED = frozenset({1, 2})
_WORDS = frozenset({"title", "description"})
"""Where a variable is told of and changes nothing."""
_WORD = re.compile(r"[A-Za-z]{2}")
_NAMED = frozenset({"bargauge", "state-timeline", "timeseries"})
_PLACED = re.compile(r"\{\{\s*\w+\s*\}\}|\$\{\w+\}")
_LOOSE_BRACE = re.compile(r"[{}]")
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
    yield from _offers(document)
    yield from _patterns(document)
    yield from _colors(document)
    yield from _annotations(document)


def _head(document: Json) -> Found:
    where = "the board"
    if not document.get("uid") or not document.get("title") or not document.get("description"):
        yield where, "uid, title or description is missing", "all three"
    if TAG not in document.get("tags", ()):
        yield where, f"it lacks the tag {TAG}", "the tag by which boards lead to each other and are found again"
    if not all(str(document.get("time", {}).get(end, "")).startswith("now") for end in ("from", "to")):
        yield where, f"its time is {document.get('time')}", "one that ends now"
    if document.get("schemaVersion", 0) < _LEAST_SCHEMA:
        yield where, f"schemaVersion is {document.get('schemaVersion')}", f"{_LEAST_SCHEMA} or later"
    for panel in panels_of(document):
        if len(panel.get("title", "")) > LONGEST_TITLE:
            yield place(panel), f"the title has {len(panel['title'])} characters", f"at most {LONGEST_TITLE}"
        if panel.get("type") == "row" and not panel.get("title", "").strip():
            yield place(panel), "the row has no title", "one: folded, nothing else of it is seen"
    titles = Counter(panel.get("title") for panel in panels_of(document) if panel.get("type") not in _WORDLESS)
    for title in (t for t, n in titles.items() if t and n > 1):
        yield where, f"{titles[title]} panels are called {title}", "a title for each"


def _ids(document: Json) -> Found:
    ids = Counter(panel.get("id") for panel in panels_of(document))
    for panel in panels_of(document):
        if not panel.get("id") or ids[panel["id"]] > 1:
            yield place(panel), f"its id {panel.get('id')} is not its own", "another id for each panel"


def _grid(document: Json) -> Found:
    """Overlaps among the panels that are shown together, and what does not fit in 24 columns."""
    for panel in panels_of(document):
        at = panel.get("gridPos")
        if at is None or min(at["x"], at["y"]) < 0 or min(at["w"], at["h"]) < 1 or at["x"] + at["w"] > GRID_COLUMNS:
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
    asked = {name for text in _texts(outside, but=_WORDS) for name in variables_in(text)}
    asked |= {panel["repeat"] for panel in panels_of(document) if panel.get("repeat")}
    used |= {panel["repeat"] for panel in panels_of(document) if panel.get("repeat")}
    for variable in variables:
        # What a variable itself says of "all" is no use of another one.
        own = {n for t in _texts({**variable, "current": None}) for n in variables_in(t) if n != variable["name"]}
        used, asked = used | own, asked | own
        if variable.get("allValue") in _MATCHES_ALL:
            wanted = "none, so that All is the list of the values: a pattern of all hides a missing metric"
            yield f"variable {variable['name']}", f"its All is {variable['allValue']}", wanted
        if variable.get("type") == "query" and variable.get("datasource") != DATASOURCE:
            yield f"variable {variable['name']}", "it asks a fixed data source", "the one of the variable datasource"
    for name in sorted({name for name in used if not name.startswith("__")} - defined.keys()):
        yield "the board", f"the variable {name} is used and not defined", "its definition"
    for name in sorted(defined.keys() - asked):
        yield f"variable {name}", "nothing uses it", "a use beside words, or no variable"


def _offers(document: Json) -> Found:
    """What a variable offers: values of a label, looked for anew, which depend on variables before it alone."""
    before = list[str]()
    for variable in document.get("templating", {}).get("list", []):
        where, query = f"variable {variable['name']}", str(variable.get("query", ""))
        if variable["name"] in before:
            yield where, "it is defined twice", "one definition"
        if variable.get("type") == "datasource" and query != _PROMETHEUS:
            yield where, f"it offers data sources of {query}", _PROMETHEUS
        if variable.get("type") == "query":
            if not is_label_values(query):
                yield where, f"it asks {query}", "label_values(a selector, a label)"
            if variable.get("refresh") not in _REFRESHED:
                yield where, "it is never looked for again", "refresh on load or when the time changes"
            if variable.get("regex"):
                yield where, f"it leaves out what {variable['regex']} does not match", "a selector that says so"
            for name in sorted(variables_in(query) - {*before, variable["name"]}):
                yield where, f"it depends on {name}, which does not stand before it", "the order in which one chooses"
        before.append(variable["name"])


def _patterns(document: Json) -> Found:
    """Several chosen values are a pattern, which nothing equals."""
    for variable in document.get("templating", {}).get("list", []):
        if variable.get("multi"):
            equals = re.compile(rf'=\s*"\$(?:{variable["name"]}\b|\{{{variable["name"]}\b)')
            for text in sorted({t for t in _texts(document) if equals.search(t)}):
                yield f"variable {variable['name']}", f"{text} compares it with =", "=~, for several may be chosen"


def _texts(node: Any, but: Collection[str] = ()) -> Iterator[str]:
    """Every text in a document, but those under some keys."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key not in but:
                yield from _texts(value, but)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, but)


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
        for found in _fixed_ranges(one.get("target", {}), _PER_STEP):
            yield where, *found
        if one.get("iconColor") not in PALETTE:
            yield where, f"the colour {one.get('iconColor')} is in use", "one of the palette"


# ---- links


def _links(document: Json, known: Mapping[str, Json]) -> Found:
    places = [("the board", link) for link in document.get("links", ())]
    places += [(place(panel), link) for panel in panels_of(document) for link in links_of(panel)]
    for where, link in places:
        if link.get("type") == "dashboards":
            wanted = set(link.get("tags", ()))
            if not any(wanted <= set(board.get("tags", ())) for board in known.values()):
                yield where, f"no board has the tags {sorted(wanted)} of its menu", "tags of boards"
        else:
            if not link.get("title"):
                yield where, "a link has no title", "a word that says where it leads"
            yield from _target(where, link.get("url", ""), known)
    for panel in panels_of(document):
        titles = _column_titles(panel)
        named = [name for link in links_of(panel) for name in _FIELD.findall(link.get("url", ""))]
        for name in sorted({n for n in named if titles and n not in titles}):
            yield place(panel), f"a link takes the column {name}, which is not there", f"one of {sorted(titles)}"


def links_of(panel: Json) -> Iterator[Json]:
    """The links of a panel, its values and its columns."""
    yield from panel.get("links", ())
    config = panel.get("fieldConfig", {})
    yield from config.get("defaults", {}).get("links", ())
    for each in _properties(panel):
        if each["id"] == "links":
            yield from each["value"]


def _target(where: str, url: str, known: Mapping[str, Json]) -> Found:
    """A link within Grafana leads to a board that exists, and passes variables that this has."""
    if not url.startswith(("/d/", "http://", "https://")):
        yield where, f"a link leads to {url or 'nowhere'}", "/d/ and a board, or an address of the web"
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
    if not panel.get("title", "").strip() or not panel.get("description", "").strip():
        yield "title or description is missing", "both"
    if not _WORD.search(panel.get("fieldConfig", {}).get("defaults", {}).get("noValue", "")):
        yield "it says nothing where there is no data", "noValue, in words: a 0 is a number"


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
    if any(t.get("hide") for t in targets):
        yield "a query is hidden", "none: nobody sees what it gives"
    if panel.get("type") == "table" and not all(t.get("format") == "table" and t.get("instant") for t in targets):
        yield "a query of a table gives series", "an instant query in the format of a table"
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
        elif (values := [step["value"] for step in steps[1:]]) != sorted(values):
            yield f"its thresholds stand in the order {values}", "one that rises: Grafana takes the last that is passed"


def _units(panel: Json) -> Iterator[tuple[str, str]]:
    units = [panel.get("fieldConfig", {}).get("defaults", {}).get("unit")]
    units += [p["value"] for p in _properties(panel) if p["id"] == "unit"]
    for unit in units:
        if unit not in UNITS:
            yield f"the unit {unit} is in use", f"one of {sorted(UNITS)}"


def _measured(panel: Json) -> Iterator[tuple[str, str]]:
    """A number whose metric says what it is measured in has a unit of that kind."""
    usual = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
    own = {
        override.get("matcher", {}).get("options"): each["value"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for each in override.get("properties", ())
        if each["id"] == "unit"
    }
    columns = {name: title for options in _organised(panel) for name, title in options.get("renameByName", {}).items()}
    for target in panel.get("targets", ()):
        ref = target.get("refId")
        column = columns.get(f"Value #{ref}", columns.get("Value"))
        unit = own.get(column if panel.get("type") == "table" else ref, usual)
        for found in _parsed(target, lambda expr: [measure(expr)]):
            if found and unit not in _UNITS_OF[found]:
                yield f"the unit of {target['expr']} is {unit}", f"one of {sorted(_UNITS_OF[found])}, for {found}"


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
        yield from _fixed_ranges(target, _AT_ONCE if target.get("instant") else _PER_STEP)


def _fixed_ranges(target: Json, allowed: Collection[str]) -> Iterator[tuple[str, str]]:
    for one in _parsed(target, ranges):
        if one.function in _RATES and one.length not in allowed:
            yield f"{one.function}() reads {one.length} in {target['expr']}", "$__rate_interval"


def _legends(panel: Json) -> Iterator[tuple[str, str]]:
    """As far as the query alone says which labels its result has."""
    targets = panel.get("targets", ())
    if panel.get("type") in _NAMED and not all(t.get("legendFormat", "").strip() for t in targets):
        yield "a query has no legend", "one: all labels of a series would stand there"
    if any(_LOOSE_BRACE.search(_PLACED.sub("", t.get("legendFormat", ""))) for t in targets):
        yield "a legend has a brace of its own", "{{label}}, or ${variable}"
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


def _styled(panel: Json) -> Iterator[tuple[str, str]]:
    """What is styled beside the rest is a query of the panel, or a column, which `_columns` looks at."""
    refs = {t.get("refId") for t in panel.get("targets", ())}
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        kind, wanted = (override.get("matcher", {}).get(key) for key in ("id", "options"))
        if kind == "byFrameRefID" and wanted not in refs:
            yield f"it styles the query {wanted}, which is not there", f"one of {sorted(map(str, refs))}"
        elif kind != "byFrameRefID" and (kind != "byName" or panel.get("type") != "table"):
            yield f"it styles what matches {kind}", "a query, or a column of a table"
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if defaults.get("min", -math.inf) >= defaults.get("max", math.inf):
        yield f"its axis runs from {defaults['min']} to {defaults['max']}", "a maximum above the minimum"


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
    _measured,
    _judged,
    _rates,
    _legends,
    _arranged,
    _styled,
    _columns,
)
