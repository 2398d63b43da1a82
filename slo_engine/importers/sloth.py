"""Sloth: `version: prometheus/v1` files and `PrometheusServiceLevel` objects (`sloth.slok.dev/v1`) → OpenSLO v1. Pure.

Format: https://sloth.dev, the specification of files and of Kubernetes objects. The two differ in the
spelling of their keys only (`error_query`, `errorQuery`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from collector.document import Document, DocumentPath, validate
from slo_engine.importers import queries
from slo_engine.importers.conversion import (
    PREFIX,
    Conversion,
    Imported,
    description_of,
    labels_of,
    name_of,
    once,
    percent,
    rolling,
    runbook_of,
    slo_document,
)
from slo_engine.importers.counters import NO_RATIO, Ratio, counter_ratio

VERSION = "prometheus/v1"
OBJECT = ("sloth.slok.dev/v1", "PrometheusServiceLevel")
PERIOD = "30d"
"""Sloth's default period; its files do not say it."""

_Scalars = dict[str, str | bool | int | float]
_Query = Annotated[str, Field(min_length=1, description="PromQL with {{.window}} as its range.")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Raw(_Model):
    error_ratio_query: _Query


class _Events(_Model):
    error_query: _Query
    total_query: _Query


class _Plugin(_Model):
    id: str
    options: _Scalars = {}


class _Sli(_Model):
    raw: _Raw | None = None
    events: _Events | None = None
    plugin: _Plugin | None = None


class _Alert(_Model):
    disable: bool = False
    labels: _Scalars = {}
    annotations: _Scalars = {}


class _Alerting(_Model):
    name: str = ""
    labels: _Scalars = {}
    annotations: _Scalars = {}
    page_alert: _Alert = _Alert()
    ticket_alert: _Alert = _Alert()


class _Link(_Model):
    id: str
    config: Any = None
    priority: int = 0


class _Chain(_Model):
    override_previous: Annotated[bool, Field(alias="overridePrevious")] = False
    chain: list[_Link] = []


class _Slo(_Model):
    name: Annotated[str, Field(min_length=1, description="a name such as requests-availability.")]
    description: str = ""
    objective: Annotated[str | int | float, Field(description="per cent such as 99.9.")]
    plugins: _Chain = _Chain()
    labels: _Scalars = {}
    sli: Annotated[_Sli, Field(description="a mapping with events: its error_query and total_query.")]
    alerting: _Alerting = _Alerting()


class _Spec(_Model):
    version: Literal["prometheus/v1"] = "prometheus/v1"
    service: Annotated[str, Field(min_length=1, description="the name of the service.")]
    labels: _Scalars = {}
    slo_plugins: _Chain = _Chain()
    slos: Annotated[list[_Slo], Field(min_length=1, description="a list of at least one SLO.")]


class _CamelRaw(_Raw, alias_generator=to_camel):
    pass


class _CamelEvents(_Events, alias_generator=to_camel):
    pass


class _CamelSli(_Sli):
    raw: _CamelRaw | None = None
    events: _CamelEvents | None = None


class _CamelAlerting(_Alerting, alias_generator=to_camel):
    pass


class _CamelSlo(_Slo):
    sli: Annotated[_CamelSli, Field(description="a mapping with events: its errorQuery and totalQuery.")]
    alerting: _CamelAlerting = _CamelAlerting()


class _CamelSpec(_Model):
    service: Annotated[str, Field(min_length=1, description="the name of the service.")]
    labels: _Scalars = {}
    slo_plugins: Annotated[_Chain, Field(alias="sloPlugins")] = _Chain()
    slos: Annotated[list[_CamelSlo], Field(min_length=1, description="a list of at least one SLO.")]


class _Object(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str
    metadata: dict[str, Any] = {}
    spec: _CamelSpec
    status: Any = None


def recognises(value: Any) -> bool:
    """Whether a document says that it is one of Sloth's."""
    if not isinstance(value, dict):
        return False
    return value.get("version") == VERSION or str(value.get("apiVersion")).startswith("sloth.slok.dev/")


def convert(document: Document, *, period: str = PERIOD) -> Imported:
    """The SLOs of one document; `period` is the rolling window, which Sloth is told outside its files.

    Names are Sloth's own ids, `<service>-<name>`. Raises ConfigError with every mistake.
    """
    found = Conversion(document)
    spec, at = _read(found)
    found.note(at, f"the window becomes {period}: Sloth's files do not hold it")
    shared = labels_of(found, (*at, "labels"), spec.labels)
    if shared[0]:
        found.note((*at, "labels"), "stand in metadata.labels: only the SLO's name becomes a label of series")
    _plugins(found, (*at, _key(spec, "slo_plugins")), spec.slo_plugins)
    documents = [_slo(found, (*at, "slos", i), slo, spec.service, shared) for i, slo in enumerate(spec.slos)]
    once(found, (((*at, "slos", i, "name"), one["metadata"]["name"]) for i, one in enumerate(documents)))
    for one in documents:
        one["spec"]["timeWindow"] = [rolling(period)]
    return found.finished(documents)


def _read(found: Conversion) -> tuple[_Spec | _CamelSpec, DocumentPath]:
    """The checked document, and where its specification stands."""
    value = found.document.value
    if value.get("version") == VERSION:
        return validate(found.document, _Spec), ()
    for key, wanted in zip(("apiVersion", "kind"), OBJECT, strict=True):
        if value.get(key) != wanted:
            found.refuse((key,), f"{str(value.get(key))[:40]!r} is not known", wanted)
    found.finished(())
    read = validate(found.document, _Object)
    if read.metadata.get("labels") or read.metadata.get("namespace"):
        found.note(("metadata",), "namespace and labels are left out: they say where Kubernetes keeps Sloth's rules")
    return read.spec, ("spec",)


def _key(model: BaseModel, name: str) -> str:
    """How a key is spelt in this document."""
    return type(model).model_fields[name].alias or name


def _slo(
    found: Conversion,
    at: DocumentPath,
    slo: _Slo,
    service: str,
    shared: tuple[dict[str, str], dict[str, str]],
) -> dict[str, Any]:
    _plugins(found, (*at, "plugins"), slo.plugins)
    labels, settings = labels_of(found, (*at, "labels"), slo.labels)
    written = found.text((*at, "objective"), slo.objective)
    target = found.checked((*at, "objective"), lambda: percent(written), Decimal(0))
    ratio = _sli(found, (*at, "sli"), slo.sli) or NO_RATIO
    alerting = _alerting(found, (*at, "alerting"), slo.alerting)
    return slo_document(
        {
            "name": name_of(found, (*at, "name"), f"{service}-{slo.name}"),
            "labels": shared[0] | labels,
            "annotations": shared[1] | settings | alerting | ratio.annotations,
        },
        description=description_of(found, (*at, "description"), slo.description),
        service=service,
        sli=ratio.sli,
        objective={"target": target},
    )


# ---- the SLI


def _sli(found: Conversion, at: DocumentPath, sli: _Sli) -> Ratio | None:
    given = [name for name in ("events", "raw", "plugin") if getattr(sli, name) is not None]
    if len(given) != 1:
        problem = f"has {' and '.join(given)}" if given else "has no events"
        found.refuse(at, problem, "one SLI: events, with queries of the bad and of all events")
    elif sli.events is not None:
        error, total = (_key(sli.events, name) for name in ("error_query", "total_query"))
        return counter_ratio(
            found,
            "bad",
            ((*at, "events", error), sli.events.error_query),
            ((*at, "events", total), sli.events.total_query),
        )
    elif sli.raw is not None:
        return _raw(found, (*at, "raw", _key(sli.raw, "error_ratio_query")), sli.raw.error_ratio_query)
    elif sli.plugin is not None:
        problem = f"the plugin {sli.plugin.id[:80]} is a program whose queries do not stand in this file"
        found.refuse((*at, "plugin"), problem, "events, with the queries that it makes")
    return None


def _raw(found: Conversion, at: DocumentPath, query: str) -> Ratio | None:
    """A ratio is no count of events, but a quotient holds both counts."""
    parts = found.checked(at, lambda: queries.quotient(query), None)
    if parts is None:
        return None
    part, total, good = parts
    kind: Literal["good", "bad"] = "good" if good else "bad"
    found.note(at, f"taken apart: above the line stand the {kind} events, below it all events")
    return counter_ratio(found, kind, (at, part), (at, total))


# ---- what Sloth's rules and alerts have and Paceline's have not


def _plugins(found: Conversion, at: DocumentPath, plugins: _Chain) -> None:
    for i, link in enumerate(plugins.chain):
        found.note((*at, "chain", i), f"left out: {link.id} changes Sloth's rules, and Paceline makes its own")


def _alerting(found: Conversion, at: DocumentPath, alerting: _Alerting) -> dict[str, str]:
    """The annotations that alerts give; names, labels and texts of alerts are noted."""
    if alerting.name:
        found.note((*at, "name"), "left out: Paceline's alerts have one name per tier and carry the SLO as a label")
    runbook = runbook_of(found, (*at, "annotations"), alerting.annotations)
    page, ticket = _key(alerting, "page_alert"), _key(alerting, "ticket_alert")
    for key, alert in ((page, alerting.page_alert), (ticket, alerting.ticket_alert)):
        runbook = runbook_of(found, (*at, key, "annotations"), alert.annotations) | runbook
    labels = {(): alerting.labels, (page,): alerting.page_alert.labels, (ticket,): alerting.ticket_alert.labels}
    for where, given in labels.items():
        if given:
            path = (*at, *where, "labels")
            found.note(path, f"left out ({', '.join(given)}): route by the labels slo, service, tier and severity")
    if alerting.ticket_alert.disable:
        found.note(
            (*at, ticket, "disable"), "left out: Paceline's tickets are quiet while a page fires; route them away"
        )
    if alerting.page_alert.disable:
        found.note((*at, page, "disable"), f"becomes {PREFIX}alert-class: count, which never pages")
    return {**runbook, f"{PREFIX}alert-class": "count" if alerting.page_alert.disable else "rate"}
