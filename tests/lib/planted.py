"""Mistakes planted into copies of real boards, each with the rung of the ladder that must find it and what it says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dashboards import delivery
from dashboards.queries import panels_of

Json = dict[str, Any]
Rung = Literal["lint", "queries", "types", "data"]


@dataclass(frozen=True)
class Fault:
    """A mistake: which rung must find it, how it is made, and words of the finding."""

    name: str
    rung: Rung
    plant: Callable[[Json], object]
    says: str


def planted(documents: Sequence[Json], fault: Fault) -> Json:
    """A copy of the board of delivery, which has every kind of panel, with the mistake."""
    found = copy.deepcopy(next(d for d in documents if d["uid"] == delivery.UID))
    fault.plant(found)
    return found


def _panels(document: Json) -> list[Any]:
    return list(panels_of(document))


def _first(document: Json, kind: str) -> Any:
    return next(p for p in _panels(document) if p["type"] == kind)


def _defaults(document: Json, kind: str = "stat") -> Any:
    return _first(document, kind)["fieldConfig"]["defaults"]


def _ask(kind: str, expr: str, **fields: Any) -> Callable[[Json], object]:
    return lambda document: _first(document, kind)["targets"][0].update({"expr": expr, **fields})


def _variable(document: Json) -> Any:
    return next(v for v in document["templating"]["list"] if v["type"] == "query")


def _more_variables(document: Json) -> object:
    return document["templating"]["list"].append(_variable(document) | {"name": "unread"})


def _organised(document: Json) -> Any:
    found = (t for p in _panels(document) for t in p.get("transformations", ()) if t["id"] == "organize")
    return next(found)["options"]


def _link(url: str) -> Callable[[Json], object]:
    return lambda document: _defaults(document).update(links=[{"title": "more", "url": url}])


def _judge(document: Json) -> None:
    steps = [{"color": "text", "value": None}, {"color": "#D55E00", "value": 3}]
    panel = _first(document, "stat")
    panel["description"] = "How many there are."
    panel["fieldConfig"]["defaults"].update(thresholds={"mode": "absolute", "steps": steps})


def _falling(document: Json) -> None:
    steps = [{"color": "text", "value": None}, {"color": "text", "value": 5}, {"color": "text", "value": 3}]
    _defaults(document).update(thresholds={"mode": "absolute", "steps": steps})


def _wrong_unit(document: Json) -> None:
    _first(document, "stat")["targets"][0].update(expr="platform_change_fail_ratio")
    _defaults(document).update(unit="s")


def _told_variable(document: Json) -> None:
    _more_variables(document)
    _first(document, "stat")["title"] += " of $unread"


def _disordered(document: Json) -> None:
    query = 'label_values(platform_slo_info{team="$later"}, slo)'
    document["templating"]["list"].insert(0, _variable(document) | {"name": "earlier", "query": query})
    _more_variables(document)
    document["templating"]["list"][-1]["name"] = "later"


def _style(kind: str, wanted: str) -> Callable[[Json], object]:
    matcher = {"id": kind, "options": wanted}
    return lambda document: _first(document, "timeseries")["fieldConfig"]["overrides"].append(
        {"matcher": matcher, "properties": []}
    )


def _marks(document: Json) -> Any:
    return next(one for one in document["annotations"]["list"] if not one.get("builtIn"))


def _mark(expr: str) -> Callable[[Json], object]:
    return lambda document: _marks(document)["target"].update(expr=expr)


COUNTED = "platform_collector_events_total"

FAULTS = (
    Fault("no description", "lint", lambda d: _first(d, "stat").pop("description"), "description is missing"),
    Fault("no words for no data", "lint", lambda d: _defaults(d).pop("noValue"), "expected noValue"),
    Fault("a unit of its own", "lint", lambda d: _defaults(d).update(unit="fortnights"), "the unit fortnights"),
    Fault("one id twice", "lint", lambda d: _first(d, "stat").update(id=_first(d, "table")["id"]), "is not its own"),
    Fault(
        "two panels in one place",
        "lint",
        lambda d: _first(d, "table").update(gridPos=_first(d, "stat")["gridPos"]),
        "overlaps",
    ),
    Fault("wider than the grid", "lint", lambda d: _first(d, "stat")["gridPos"].update(x=23), "within 24 columns"),
    Fault("an odd width", "lint", lambda d: _first(d, "stat")["gridPos"].update(w=1), "1 columns wide"),
    Fault("a long title", "lint", lambda d: _first(d, "stat").update(title="so " * 30), "90 characters"),
    Fault("an unread variable", "lint", _more_variables, "variable unread: nothing uses it"),
    Fault("an undefined variable", "lint", _ask("stat", f'{COUNTED}{{source="$nobody"}}'), "nobody is used"),
    Fault("All is a pattern", "lint", lambda d: _variable(d).update(allValue=".*"), "its All is .*"),
    Fault("a fixed source", "lint", lambda d: _first(d, "stat").update(datasource={"uid": "p"}), "a fixed data source"),
    Fault("no query", "lint", lambda d: _first(d, "stat").update(targets=[]), "asks nothing"),
    Fault("an empty query", "lint", _ask("stat", " "), "a query is empty"),
    Fault("one refId twice", "lint", lambda d: _first(d, "table")["targets"][1].update(refId="A"), "ids of their own"),
    Fault("a fixed range", "lint", _ask("timeseries", f"rate({COUNTED}[5m])"), "rate() reads 300s"),
    Fault(
        "a legend that by() drops",
        "lint",
        _ask("timeseries", f"sum by (source) ({COUNTED})", legendFormat="{{team}}"),
        "a legend names team",
    ),
    Fault(
        "an unknown transformation",
        "lint",
        lambda d: _first(d, "table")["transformations"].append({"id": "tidy", "options": {}}),
        "the transformation tidy",
    ),
    Fault(
        "a column of no query", "lint", lambda d: _organised(d)["renameByName"].update({"Value #Z": "Z"}), "Value #Z"
    ),
    Fault("a loud colour", "lint", lambda d: _defaults(d)["color"].update(fixedColor="#FF0000"), "the colour #FF0000"),
    Fault("judged without a target", "lint", _judge, "names no target"),
    Fault("a board that is not there", "lint", _link("/d/paceline-lost"), "the board paceline-lost"),
    Fault("a variable not taken", "lint", _link("/d/paceline-overview?var-mood=good"), "passes mood"),
    Fault("steps of hours", "lint", lambda d: _first(d, "stat").update(maxDataPoints=100), "number of points"),
    Fault("a panel of no height", "lint", lambda d: _first(d, "stat")["gridPos"].update(h=0), "within 24 columns"),
    Fault("one title twice", "lint", lambda d: _first(d, "stat").update(title=_first(d, "table")["title"]), "2 panels"),
    Fault("a row without a title", "lint", lambda d: _first(d, "row").update(title=""), "the row has no title"),
    Fault("no tag", "lint", lambda d: d.update(tags=[]), "lacks the tag paceline"),
    Fault("a time that stands", "lint", lambda d: d["time"].update({"from": "2026-01-01"}), "one that ends now"),
    Fault("a 0 for no data", "lint", lambda d: _defaults(d).update(noValue="0"), "a 0 is a number"),
    Fault("a known unit of another kind", "lint", _wrong_unit, "for ratio"),
    Fault("a variable of words alone", "lint", _told_variable, "variable unread: nothing uses it"),
    Fault(
        "one variable twice",
        "lint",
        lambda d: d["templating"]["list"].append(copy.deepcopy(_variable(d))),
        "it is defined twice",
    ),
    Fault("values of long ago", "lint", lambda d: _variable(d).update(refresh=0), "never looked for again"),
    Fault("values left out", "lint", lambda d: _variable(d).update(regex="/a.*/"), "it leaves out what"),
    Fault("a variable before its own", "lint", _disordered, "does not stand before it"),
    Fault("no label_values", "lint", lambda d: _variable(d).update(query="label_values(team)"), "it asks label_values"),
    Fault(
        "data sources of another kind",
        "lint",
        lambda d: [v.update(query="loki") for v in d["templating"]["list"] if v["type"] == "datasource"],
        "data sources of loki",
    ),
    Fault("several values are equal", "lint", _ask("stat", f'{COUNTED}{{source="$team"}}'), "compares it with ="),
    Fault("a hidden query", "lint", lambda d: _first(d, "stat")["targets"][0].update(hide=True), "a query is hidden"),
    Fault(
        "series in a table", "lint", lambda d: _first(d, "table")["targets"][0].update(format="time_series"), "table"
    ),
    Fault("a chart without a legend", "lint", _ask("timeseries", COUNTED, legendFormat=""), "has no legend"),
    Fault("a broken legend", "lint", _ask("timeseries", COUNTED, legendFormat="{{source}"), "a brace of its own"),
    Fault("thresholds that fall", "lint", _falling, "its thresholds stand in the order"),
    Fault("a link to no address", "lint", _link("javascript:alert(1)"), "a link leads to javascript"),
    Fault("a style of no query", "lint", _style("byFrameRefID", "Z"), "styles the query Z"),
    Fault("a style by chance", "lint", _style("byRegexp", "/.*/"), "styles what matches byRegexp"),
    Fault("an axis upside down", "lint", lambda d: _defaults(d, "timeseries").update(min=5, max=1), "its axis runs"),
    Fault("a fixed range of marks", "lint", _mark(f"increase({COUNTED}[5m])"), "increase() reads 300s"),
    Fault("no metric", "queries", _ask("stat", "vector(1)", legendFormat=""), "asks for no metric"),
    Fault("0 for no data", "queries", _ask("stat", f"sum({COUNTED}) or vector(0)", legendFormat=""), "is 0 where"),
    Fault(
        "a rate of a gauge",
        "queries",
        _ask("timeseries", "rate(platform_slo_status[$__rate_interval])", legendFormat="{{slo}}"),
        "takes rate() of platform_slo_status",
    ),
    Fault("a mark of no label", "queries", lambda d: _marks(d).update(titleFormat="{{colour}}"), "colour is read"),
    Fault(
        "a link with no label",
        "queries",
        _link("/d/paceline-overview?var-team=${__field.labels.colour}"),
        "takes the label colour",
    ),
    Fault(
        "a column of no label",
        "queries",
        lambda d: _organised(d)["renameByName"].update(colour="Colour"),
        "takes the label colour",
    ),
    Fault("no PromQL", "queries", _ask("stat", f"sum by ({COUNTED}"), "is no PromQL"),
    Fault("a wrong metric", "queries", _ask("stat", "platform_mood", legendFormat=""), "platform_mood"),
    Fault("a wrong label", "queries", _ask("stat", f'{COUNTED}{{colour="red"}}', legendFormat=""), "filters by colour"),
    Fault(
        "a wrong grouping", "queries", _ask("stat", f"sum by (colour) ({COUNTED})", legendFormat=""), "groups by colour"
    ),
    Fault("a wrong legend", "queries", _ask("stat", COUNTED, legendFormat="{{colour}}"), "colour is read"),
    Fault(
        "no version of a definition",
        "queries",
        lambda d: [p.update(description="Beside its target.") for p in _panels(d)],
        "the version of its definition",
    ),
    Fault("null for a number", "types", lambda d: _defaults(d).update(decimals=None), "'null' is not assignable"),
    Fault("a word of no list", "types", lambda d: _first(d, "stat")["options"].update(colorMode="loud"), "loud"),
    Fault("an old option", "types", lambda d: _first(d, "stat").update(nullPointMode="null"), "nullPointMode"),
    Fault(
        "a styled column of the wrong type",
        "types",
        lambda d: _first(d, "table")["fieldConfig"]["overrides"][0]["properties"].append(
            {"id": "custom.width", "value": "w"}
        ),
        "not assignable",
    ),
    Fault(
        "right, and no data", "data", _ask("stat", f'{COUNTED}{{source="nobody"}}', legendFormat=""), "gives nothing"
    ),
    Fault("refused", "data", _ask("stat", f"{COUNTED} * on () {COUNTED}", legendFormat=""), "is refused"),
    Fault(
        "two of one name",
        "data",
        _ask("timeseries", COUNTED, legendFormat="events"),
        "series are called 'events'",
    ),
    Fault("a default that is not there", "data", lambda d: _variable(d).update(current={"value": "lost"}), "lost"),
    Fault(
        "a column without a title",
        "data",
        lambda d: [p["targets"][0].update(expr="platform_slo_status") for p in _panels(d) if p["type"] == "table"],
        "a column would be called instance",
    ),
    Fault("a crowd", "data", _ask("stat", "platform_slo_status", legendFormat=""), "numbers stand in"),
)


def faults(*rungs: Rung) -> tuple[Fault, ...]:
    """Those that some rungs must find."""
    return tuple(fault for fault in FAULTS if fault.rung in rungs)
