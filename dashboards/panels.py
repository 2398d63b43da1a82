"""Typed helpers for panels, variables and whole boards; the sole importer of grafanalib.

grafanalib 0.7.1 writes JSON for Grafana 5: steps of hours (`maxDataPoints=100`, `intervalFactor=2`),
thresholds as text, no panel ids, no positions. `board` mends all that once; no other module has to know.
Panels are laid out from left to right on Grafana's grid of 24 columns and never overlap.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from string import ascii_uppercase
from typing import Any, Literal, cast

from grafanalib import core

Json = dict[str, Any]
Unit = Literal["s", "percentunit", "short", "dateTimeFromNow", "none", "suffix:days", "suffix:working days"]
"""Units that Grafana knows; it prints an unknown one as text. Durations: seconds in, "3.2 days" shown.

`dateTimeFromNow` wants milliseconds; `none` shows a count as it is, not in thousands. `suffix:` stands before words
that follow a number: of ten working days, Grafana's own units would make 1.43 weeks.
"""

# Okabe and Ito's colours, which people with any colour vision tell apart, on light and on dark.
BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
NEUTRAL, UNSEEN = "text", "transparent"
PALETTE = frozenset({BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE, NEUTRAL, UNSEEN})
"""The colours of the boards. Nothing is told by colour alone: a word or a place says it too."""
_SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
"""The colours of the queries of a panel, in their order."""

# What is put into an address and has no format of its own; the time is parameters already.
_INSERTED = re.compile(r"\$\{((?!__url_time_range)[^:}]+)\}")
_TAG = "paceline"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GRID_COLUMNS = 24
STAT_HEIGHT, CHART_HEIGHT = 4, 8
NINES = 3
"""The decimals of shares that are close to 1 and promised so: Grafana's own three digits make 100.0% of 99.97%."""
HUNDREDTHS = 2
"""The decimals of a score from -1 to 1, of which three digits would be noise near 0."""
_SCHEMA_VERSION = 39
_PLUGIN_VERSION = "11.0.0"  # without one, Grafana migrates panels as if they came from version 6.1
_ON_TIME_RANGE_CHANGE = 2
_SORT_NUMERICAL = 3
_NO_DATA_COLOR = SKY
_NOTICE_HEIGHT = 2
_NO_LEGEND = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False}
_BAR_FILL = 70
# Grafana 11 joins marks into a region up to this step apart, and its queries have at most 11,000: 5 minutes last for
# a month of them, where its usual minute would draw each point of a month by itself.
_ANNOTATION_STEP = "5m"
_OTHER_BOARDS = core.DashboardLink(
    title="Paceline boards", type="dashboards", tags=[_TAG], asDropdown=True, includeVars=True, keepTime=True
)

# What Grafana 5 knew and today's does not, or what we always leave to Grafana.
_REMOVED_PANEL_KEYS = frozenset(
    {
        "cacheTimeout",
        "color",
        "columns",
        "editable",
        "error",
        "fontSize",
        "height",
        "hideTimeOverride",
        "mappings",
        "maxDataPoints",
        "minSpan",
        "maxPerRow",
        "repeat",
        "repeatDirection",
        "span",
        "timeShift",
    }
)
_REMOVED_OPTION_KEYS = frozenset({"fieldOptions", "showThresholdLabels", "showThresholdMarkers"})
_REMOVED_TARGET_KEYS = frozenset({"intervalFactor", "metric", "query", "step", "target", "interval"})
_REMOVED_BOARD_KEYS = frozenset(
    {"__inputs", "gnetId", "hideControls", "id", "rows", "sharedCrosshair", "style", "version"}
)
_REMOVED_VARIABLE_KEYS = frozenset({"useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count"})


Words = Mapping[str, tuple[str, str]]
"""For a value, as text, the word that stands for it and its colour."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where a value leads.

    In the address Grafana fills in `${__field.labels.NAME}`, in a table `${__data.fields["TITLE"]}`, and variables.
    """

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Query:
    """A PromQL query and how its series are called. `unit` and `color` differ from the panel's where they are given.

    `decimals`, where Grafana is not to choose them. `dashed`: a bound beside a value, or a threshold.
    """

    expr: str
    legend: str = ""
    unit: Unit | None = None
    color: str = ""
    dashed: bool = False
    decimals: int | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Colours of a value that has a target: each colour holds from its value upwards."""

    base: str
    steps: tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: a query with one row for each key. `label`: show that label's text, not the value.

    `words` replaces values by a word and its colour; `absent` stands where a row has no value. `width` in pixels and
    `decimals`, where Grafana is not to choose them.
    """

    title: str
    expr: str
    unit: Unit = "short"
    label: str = ""
    scale: Scale | None = None
    words: Words = field(default_factory=dict)
    absent: str = "no data"
    width: int = 0
    decimals: int | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel before it has a place: grafanalib's object, and its size on the grid."""

    element: Any
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A titled part of a board. Its panels flow from left to right and wrap at 24 columns.

    `folded`: only its title is shown, and Grafana asks nothing for it, until a reader opens it.
    """

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A finished board: its stable uid, and the document that Grafana loads."""

    uid: str
    document: Json

    def text(self) -> str:
        """The document as text, the same bytes for the same board."""
        return json.dumps(self.document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def stat(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: Unit,
    no_data: str,
    width: int,
    height: int = STAT_HEIGHT,
    scale: Scale | None = None,
    words: Words | None = None,
    links: Sequence[Link] = (),
) -> Panel:
    """The newest value of each series as a big number. Uncoloured without a `scale`: without a target nothing is good.

    `words` replaces values by a word and its colour.
    """
    element = core.Stat(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets(queries, instant=True),
        format=unit,
        noValue=no_data,
        mappings=[*_word_mapping(words), _null_mapping(no_data)],
        color={"mode": "thresholds"} if scale else {"mode": "fixed", "fixedColor": NEUTRAL},
        thresholds=_steps(scale) if scale else [],
        graphMode="none",
        reduceCalc="lastNotNull",
        overrides=_query_overrides(queries),
        extraJson={
            "fieldConfig": {"defaults": {"links": _links(links)}},
            "options": {"wideLayout": True, "showPercentChange": False, "percentChangeColorMode": "standard"},
        },
    )
    return Panel(element=element, width=width, height=height)


def timeseries(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: Unit,
    no_data: str,
    width: int,
    height: int = CHART_HEIGHT,
    limit: float | None = None,
    bars: bool = False,
    stacked: bool = False,
    lowest: float | None = None,
    highest: float | None = None,
    last: str = "",
    links: Sequence[Link] = (),
) -> Panel:
    """Series over time. `limit` draws the line that a target sets. Gaps stay gaps.

    Each of several queries has a colour, and its series are shades of it; the series of one query are told apart by
    their names, which keep their colours on all boards. `bars` are for counts of each step. `last`: how much time is
    shown where the board's is relative, as `28d` or a variable.
    """
    element = core.TimeSeries(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets(queries, instant=False),
        unit=unit,
        tooltipMode="multi",
        tooltipSort="desc",
        showPoints="auto",
        drawStyle="bars" if bars else "line",
        fillOpacity=_BAR_FILL if bars else 0,
        stacking={"mode": "normal" if stacked else "none", "group": "A"},
        thresholdsStyleMode="off" if limit is None else "line",
        thresholds=[] if limit is None else _steps(Scale(base=UNSEEN, steps=((limit, VERMILLION),))),
        overrides=_query_overrides(queries, colored=len(queries) > 1),
        extraJson={
            "fieldConfig": {
                "defaults": {
                    "noValue": no_data,
                    "color": {"mode": "palette-classic-by-name"},
                    "links": _links(links),
                    "custom": {"scaleDistribution": {"type": "linear"}},
                    **{key: bound for key, bound in (("min", lowest), ("max", highest)) if bound is not None},
                }
            },
            "options": {"legend": {"showLegend": True}},
            **({"timeFrom": last} if last else {}),
        },
    )
    return Panel(element=element, width=width, height=height)


def state_timeline(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    no_data: str,
    width: int,
    unit: Unit = "short",
    words: Words | None = None,
    scale: Scale | None = None,
    height: int = CHART_HEIGHT,
    least_step: str = "",
    links: Sequence[Link] = (),
) -> Panel:
    """A band for each series, whose colour and text follow its value: by `words`, or by a `scale`.

    `least_step`, as `10m`, where what is shown comes less often than Prometheus scrapes.
    """
    element = core.StateTimeline(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets(queries, instant=False),
        mappings=[*_word_mapping(words), _null_mapping(no_data)],
        colorMode="thresholds",
        thresholds=_steps(scale) if scale else [],
        mergeValues=True,
        showValue="auto",
        rowHeight=0.9,
        overrides=_query_overrides(queries),
        extraJson={
            "fieldConfig": {"defaults": {"noValue": no_data, "unit": unit, "links": _links(links)}},
            "options": {"legend": _NO_LEGEND, "tooltip": {"sort": "none"}},
            **({"interval": least_step} if least_step else {}),
        },
    )
    return Panel(element=element, width=width, height=height)


def bars(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: Unit,
    no_data: str,
    width: int,
    height: int = CHART_HEIGHT,
    highest: float | None = None,
    links: Sequence[Link] = (),
) -> Panel:
    """A bar for the newest value of each series, in the order of the query's result."""
    element = core.BarGauge(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets(queries, instant=True),
        thresholds=[],
        displayMode=core.GAUGE_DISPLAY_MODE_BASIC,
        orientation=core.ORIENTATION_HORIZONTAL,
        extraJson={
            "fieldConfig": {
                "defaults": {
                    "color": {"mode": "fixed", "fixedColor": BLUE},
                    "links": _links(links),
                    "mappings": [_null_mapping(no_data)],
                    "noValue": no_data,
                    "unit": unit,
                    "min": 0,
                    **({} if highest is None else {"max": highest}),
                },
                "overrides": _query_overrides(queries),
            },
            "options": {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "showUnfilled": True,
                "valueMode": "text",
                "namePlacement": "left",
                "sizing": "auto",
                "minVizWidth": 8,
                "minVizHeight": 16,
                "maxVizHeight": 40,
                "legend": _NO_LEGEND,
            },
        },
    )
    return Panel(element=element, width=width, height=height)


def table(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    keys: Mapping[str, str],
    no_data: str,
    width: int = GRID_COLUMNS,
    height: int = CHART_HEIGHT,
    sort_by: str = "",
    links: Mapping[str, Sequence[Link]] | None = None,
) -> Panel:
    """One row for each value of some labels, one column for each query, lowest of `sort_by` first.

    `keys` are these labels and their titles; `links` are by the title of a key or column. Every query must give one
    series for each of their values and carry no other labels than the keys and the column's own `label`, so that
    Grafana can merge the rows.
    """
    names = dict(keys)
    hidden = {"Time": True}
    order = {label: index for index, label in enumerate(keys)}
    for index, (ref, column) in enumerate(zip(ascii_uppercase, columns, strict=False), start=len(keys)):
        # Grafana calls the value of a table's only query "Value".
        value = f"Value #{ref}" if len(columns) > 1 else "Value"
        shown = column.label or value
        names[shown], order[shown] = column.title, index
        if column.label:
            hidden[value] = True
    organise = {"excludeByName": hidden, "renameByName": names, "indexByName": order}
    element = core.Table(
        title=title,
        description=description,
        dataSource=DATASOURCE,
        targets=_targets([Query(expr=c.expr) for c in columns], instant=True, form="table"),
        unit="short",
        overrides=[*map(_key_override, keys.values()), *map(_column_override, columns), *_link_overrides(links or {})],
        transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": organise}],
        sortBy=[core.TableSortByField(displayName=sort_by, desc=False)] if sort_by else [],
        extraJson={
            "fieldConfig": {
                "defaults": {
                    "noValue": no_data,
                    "color": {"mode": "fixed", "fixedColor": NEUTRAL},
                    "custom": {"cellOptions": {"type": "auto"}, "inspect": False},
                }
            },
            "options": {"frameIndex": 0},
        },
    )
    return Panel(element=element, width=width, height=height)


def text(title: str, content: str, *, width: int = GRID_COLUMNS, height: int = STAT_HEIGHT) -> Panel:
    """Words in Markdown."""
    return Panel(element=core.Text(title=title, content=content), width=width, height=height)


def datasource_variable() -> Any:
    """The variable behind DATASOURCE: which Prometheus to ask."""
    return core.Template(name="datasource", label="Data source", type="datasource", query="prometheus")


def label_variable(  # noqa: PLR0913 - each argument is a property of the variable
    name: str,
    title: str,
    selector: str,
    label: str,
    *,
    multi: bool = False,
    everything: bool = False,
    numerical: bool = False,
    default: str = "",
    hidden: bool = False,
) -> Any:
    """A variable with the values that a label really has.

    "All" is the list of these values, never `.*`: a pattern that matches anything hides a missing metric. It is chosen
    at first where there is `everything` and no `default`.
    """
    query = f"label_values({selector}, {label})"
    return core.Template(
        name=name,
        label=title,
        query=query,
        dataSource=DATASOURCE,
        multi=multi,
        includeAll=everything,
        default=default or ("$__all" if everything else None),
        hide=core.HIDE_VARIABLE if hidden else core.SHOW,
        refresh=_ON_TIME_RANGE_CHANGE,
        sort=_SORT_NUMERICAL if numerical else core.SORT_ALPHA_ASC,
    )


def annotation(  # noqa: PLR0913 - each argument is a property of the annotation
    name: str, expr: str, *, title: str, text: str = "", tags: Sequence[str] = (), color: str, shown: bool = True
) -> Json:
    """Marks on every chart where a query has a value: at its times, or over those that follow one another.

    `title` and `text` may hold labels, `{{service}}`; `tags` are labels whose values are shown as tags.
    """
    return {
        "datasource": DATASOURCE,
        "enable": shown,
        "hide": False,
        "iconColor": color,
        "name": name,
        "tagKeys": ",".join(tags),
        "target": {"expr": expr, "interval": _ANNOTATION_STEP, "refId": "Anno"},
        # Grafana 11 reads these two; later ones move them into the target.
        "expr": expr,
        "step": _ANNOTATION_STEP,
        "textFormat": text,
        "titleFormat": title,
    }


def board(  # noqa: PLR0913 - what a board says is as many words
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Any],
    rows: Iterable[Row],
    *,
    annotations: Sequence[Json] = (),
    since: str = "now-7d",
) -> Dashboard:
    """The finished board, with a menu of all others. `since`: where its time begins, as Grafana says it.

    Raises ValueError where two panels of a row have one title, and so one id.
    """
    document = _as_json(
        core.Dashboard(
            uid=uid,
            title=title,
            description=description,
            annotations=core.Annotations(list=list(annotations)),
            links=[_OTHER_BOARDS],
            tags=[_TAG],
            editable=False,
            graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
            refresh="1m",
            schemaVersion=_SCHEMA_VERSION,
            templating=core.Templating(list=list(variables)),
            time=core.Time(since, "now"),
            timePicker=core.TimePicker(["1m", "5m", "15m", "30m", "1h"], []),
            timezone="browser",
        )
    )
    document = _pruned(document, _REMOVED_BOARD_KEYS)
    document["timepicker"] = {"refresh_intervals": document["timepicker"]["refresh_intervals"]}
    document["templating"]["list"] = [_mended_variable(v) for v in document["templating"]["list"]]
    document["panels"] = _placed(rows)
    every = [inner for p in document["panels"] for inner in (p, *p.get("panels", ()))]
    ids = [p["id"] for p in every]
    twice = sorted({p["title"] for p in every if ids.count(p["id"]) > 1})
    if twice:
        raise ValueError(f"two panels of one row are called {', '.join(twice)}")
    return Dashboard(uid=uid, document=document)


def with_notice(shown: Dashboard, notice: str) -> Dashboard:
    """The board with a sentence above everything; as it is without one."""
    if not notice:
        return shown
    element = core.Text(title="", content=notice)
    document = _mended_panel(_as_json(element)) | {"id": _panel_id("notice")}
    document["gridPos"] = {"x": 0, "y": 0, "w": GRID_COLUMNS, "h": _NOTICE_HEIGHT}
    below = [
        p | {"gridPos": p["gridPos"] | {"y": p["gridPos"]["y"] + _NOTICE_HEIGHT}} for p in shown.document["panels"]
    ]
    return Dashboard(uid=shown.uid, document=shown.document | {"panels": [document, *below]})


def _placed(rows: Iterable[Row]) -> list[Json]:
    """The panels of all rows with ids and places, each row under the one before."""
    placed: list[Json] = []
    y = 0
    for row in rows:
        header = Panel(element=core.RowPanel(title=row.title), width=GRID_COLUMNS, height=1)
        (head,), below = _flowing(row, (header,), y)
        inner, end = _flowing(row, row.panels, below)
        placed += [head | {"collapsed": True, "panels": inner}] if row.folded else [head, *inner]
        y = below if row.folded else end
    return placed


def _flowing(row: Row, panels: Iterable[Panel], y: int) -> tuple[list[Json], int]:
    """Panels of a row from left to right, from a line of the grid on, and the line below them."""
    placed: list[Json] = []
    x = line_height = 0
    for panel in panels:
        if x + panel.width > GRID_COLUMNS:
            x, y, line_height = 0, y + line_height, 0
        document = _mended_panel(_as_json(panel.element))
        document["id"] = _panel_id(row.title, document["type"], document["title"])
        document["gridPos"] = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append(document)
        x, line_height = x + panel.width, max(line_height, panel.height)
    return placed, y + line_height


def _panel_id(*names: str) -> int:
    """An id from the names: links to a panel survive when other panels come or go. 31 bits, never 0."""
    return (zlib.crc32("\x00".join(names).encode()) & 0x7FFFFFFF) or 1


def _targets(queries: Sequence[Query], *, instant: bool, form: str = "time_series") -> list[Any]:
    return [
        core.Target(expr=q.expr, legendFormat=q.legend, refId=ref, instant=instant, format=form, datasource=DATASOURCE)
        for ref, q in zip(ascii_uppercase, queries, strict=False)
    ]


def _query_overrides(queries: Sequence[Query], *, colored: bool = False) -> list[Json]:
    """What is special about the series of each query; with `colored` each has a colour of its own."""
    found = []
    for ref, query, usual in zip(ascii_uppercase, queries, cycle(_SERIES), strict=False):
        color = query.color or (usual if colored else "")
        properties: list[Json] = []
        if query.unit:
            properties.append({"id": "unit", "value": query.unit})
        if query.decimals is not None:
            properties.append({"id": "decimals", "value": query.decimals})
        if color:
            properties.append({"id": "color", "value": {"mode": "shades", "fixedColor": color}})
        if query.dashed:
            properties.append({"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}})
        if properties:
            found.append({"matcher": {"id": "byFrameRefID", "options": ref}, "properties": properties})
    return found


def _key_override(title: str) -> Json:
    """A label that a series lacks is an empty cell: neither it nor a link made of it speaks of missing data."""
    return {"matcher": {"id": "byName", "options": title}, "properties": [{"id": "noValue", "value": ""}]}


def _link_overrides(links: Mapping[str, Sequence[Link]]) -> list[Json]:
    return [
        {
            "matcher": {"id": "byName", "options": title},
            "properties": [{"id": "links", "value": _links(where)}],
        }
        for title, where in links.items()
    ]


def _links(links: Sequence[Link]) -> list[Json]:
    return [{"title": link.title, "url": _encoded(link.url), "targetBlank": False} for link in links]


def _encoded(url: str) -> str:
    """An address whose values may be any text: Grafana leaves `&`, `+` and `#` in them as they are unless told."""
    return _INSERTED.sub(r"${\1:percentencode}", url)


def _column_override(column: Column) -> Json:
    """How a column looks; only a column with a scale or with words is coloured."""
    properties: list[Json] = [
        {"id": "unit", "value": column.unit},
        {"id": "noValue", "value": column.absent},
        {"id": "mappings", "value": [*_word_mapping(column.words), _null_mapping(column.absent)]},
    ]
    if column.decimals is not None:
        properties.append({"id": "decimals", "value": column.decimals})
    if column.width:
        properties.append({"id": "custom.width", "value": column.width})
    if column.scale:
        properties.append({"id": "color", "value": {"mode": "thresholds"}})
        properties.append({"id": "thresholds", "value": {"mode": "absolute", "steps": _steps(column.scale)}})
    if column.scale or column.words:
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
    return {"matcher": {"id": "byName", "options": column.title}, "properties": properties}


def _steps(scale: Scale) -> list[Json]:
    return [{"color": scale.base, "value": None}, *({"color": c, "value": v} for v, c in scale.steps)]


def _word_mapping(words: Words | None) -> list[Json]:
    if not words:
        return []
    options = {
        value: {"text": word, "color": color, "index": index}
        for index, (value, (word, color)) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}]


def _null_mapping(words: str) -> Json:
    """No data in words and a colour of its own; Grafana would give it the colour of the lowest threshold."""
    result = {"text": words, "color": _NO_DATA_COLOR, "index": 0}
    return {"type": "special", "options": {"match": "null+nan", "result": result}}


def _as_json(element: Any) -> Json:
    whole = json.dumps(element.to_json_data(), default=lambda inner: inner.to_json_data())
    return cast("Json", json.loads(whole))


def _pruned(document: Json, removed: frozenset[str]) -> Json:
    """Without the keys that today's Grafana does not know, and without empty ones."""
    return {k: v for k, v in document.items() if k not in removed and v is not None}


def _mended_panel(panel: Json) -> Json:
    mended = _pruned(panel, _REMOVED_PANEL_KEYS)
    if mended["type"] in {"row", "text"}:
        for key in ("fieldConfig", "targets", "transformations", "links", "transparent"):
            mended.pop(key, None)
        return mended
    mended["pluginVersion"] = _PLUGIN_VERSION
    mended["options"] = _pruned(mended["options"], _REMOVED_OPTION_KEYS)
    mended["targets"] = [_mended_target(t) for t in mended["targets"]]
    defaults = _pruned(mended["fieldConfig"]["defaults"], frozenset())
    custom = _pruned(defaults.get("custom", {}), frozenset({"displayMode"}))
    defaults["custom"] = custom
    defaults["thresholds"] = {
        "mode": "absolute",
        "steps": defaults["thresholds"]["steps"] or [{"color": NEUTRAL, "value": None}],
    }
    mended["fieldConfig"]["defaults"] = defaults
    return mended


def _mended_target(target: Json) -> Json:
    return {**_pruned(target, _REMOVED_TARGET_KEYS), "range": not target["instant"], "editorMode": "code"}


def _mended_variable(variable: Json) -> Json:
    """A default that was not given is left to Grafana, which takes the first value."""
    mended = _pruned(variable, _REMOVED_VARIABLE_KEYS)
    value = variable["current"].get("value")
    if value is None:
        del mended["current"]
    elif value == "$__all":
        mended["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    else:
        chosen = [value] if variable["multi"] else value
        mended["current"] = {"selected": True, "text": chosen, "value": chosen}
    return mended
