"""The event types and what is published of them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from laws import examples

import collector.events
from collector.events import (
    EVENT_TYPES,
    TYPE_OF_KIND,
    Change,
    Commit,
    Event,
    PipelineRun,
    Probe,
    Reply,
    RunState,
    Ticket,
    event_id,
    event_ids,
    happened_at,
    json_schema,
    kind_of,
    person_fields,
    time_fields,
)

BERLIN_WINTER = timezone(timedelta(hours=1))
START, END = "<!-- generated from the event types -->\n", "<!-- end of the generated part -->\n"
UPDATE = "run the tests once with UPDATE_GOLDEN=1 and review the change"


# --- the types ----------------------------------------------------------------------------------------


def test_the_events_import_nothing_of_ours() -> None:
    """The exchanged type is a leaf: it imports none of our modules."""
    tree = ast.parse(Path(collector.events.__file__ or "").read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert {m.partition(".")[0] for m in modules} & {
        "collector",
        "slo_engine",
        "dashboards",
        "paceline",
    } == set()


def test_every_type_has_its_own_kind() -> None:
    """Fifteen types, fifteen kinds, and each is found by its kind."""
    assert [TYPE_OF_KIND[kind_of(t)] for t in EVENT_TYPES] == list(EVENT_TYPES)
    assert len(TYPE_OF_KIND) == len(EVENT_TYPES) == 15


def test_an_id_is_the_same_for_ever() -> None:
    """Stored ids must not change with a version: this one is written down."""
    assert event_id("deployment", "ci", "42") == "e3c2c111320d5ddc28ee043517f206cb"


@given(st.tuples(st.text(), st.text(min_size=1)), st.tuples(st.text(), st.text(min_size=1)))
def test_different_origins_have_different_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two events share an id only if kind, source and native id are the same."""
    assert (event_id("probe", *one) == event_id("probe", *other)) == (one == other)


def test_ids_of_many_events_are_those_of_each(probe: Any) -> None:
    """Whatever sources come together, and whatever bytes a name was read from, an event has one id."""
    events = [probe(name, source=source) for name in ("1", "ü", "\udcff") for source in ("s", "", "s\x001", "s")]

    assert event_ids("probe", events) == [event.id for event in events]
    assert [event.id for event in events] == [event_id("probe", e.source, e.native_id) for e in events]


def test_kinds_do_not_share_ids(probe: Any) -> None:
    """A run and a deployment of one native id are two events."""
    assert probe().id == event_id("probe", "s", "1") != event_id("deployment", "s", "1")


@settings(deadline=None)
@given(data=st.data())
def test_times_are_kept_in_utc(any_event: Any, data: st.DataObject) -> None:
    """Whatever offset a time came with, it is kept in UTC and names the same instant."""
    event = data.draw(any_event.filter(lambda e: happened_at(e).year > 1))
    event_type: type[Event] = type(event)
    moved = {
        name: value.astimezone(BERLIN_WINTER)
        for name in time_fields(event_type)
        if (value := getattr(event, name)) is not None and 1 < value.year < 9999
    }

    again = msgspec.structs.replace(event, **moved)

    assert again == event
    assert {getattr(again, name).tzinfo for name in moved} <= {UTC}


def test_a_naive_time_is_refused(probe: Any) -> None:
    """A naive time without a declared zone is refused, in nested records too."""
    naive = datetime(2026, 1, 2)  # noqa: DTZ001 - the case itself

    with pytest.raises(ValueError, match="at has no time zone"):
        probe(at=naive)
    with pytest.raises(ValueError, match="at has no time zone"):
        Reply(at=naive)


def test_events_cannot_be_changed(probe: Any) -> None:
    """What happened does not change; a correction is another version."""
    with pytest.raises(AttributeError):
        probe().passed = 2


@settings(max_examples=examples(50), deadline=None)
@given(data=st.data())
def test_an_event_survives_being_written_and_read(any_event: Any, data: st.DataObject) -> None:
    """JSON gives back the event that went in."""
    event = data.draw(any_event)

    assert msgspec.json.decode(msgspec.json.encode(event), type=collector.events.AnyEvent) == event


def test_people_are_known_by_their_fields() -> None:
    """The fields that hold people are found by their type, in nested records too."""
    assert person_fields(Commit) == ("author", "co_authors")
    assert person_fields(Ticket) == ("author",)
    assert person_fields(Reply) == ("author",)
    assert person_fields(Probe) == ()


def test_every_text_field_that_sounds_like_a_person_is_one() -> None:
    """A new field for a person cannot forget to be hashed."""
    sounding = ("author", "co_authors", "actor", "person", "requester", "respondent")
    types: list[type[msgspec.Struct]] = [*EVENT_TYPES, Reply, collector.events.Approval]
    forgotten = [
        (t.__name__, name)
        for t in types
        for name in t.__struct_fields__
        if name in sounding and name not in person_fields(t)
    ]

    assert forgotten == []


def test_when_an_event_happened(probe: Any) -> None:
    """Each kind has one time at which it happened; a run without any has none but its version's."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    later = at + timedelta(days=1)
    commit = Commit(source="s", native_id="1", repository="r", sha="a" * 40, authored_at=later, committed_at=at)
    change = Change(source="s", native_id="1", repository="r", state="merged", created_at=at, merged_at=later)  # type: ignore[arg-type]
    run = PipelineRun(source="s", native_id="1", repository="r", pipeline="p", state=RunState.PENDING)

    assert [happened_at(e) for e in (commit, change, probe(at=at))] == [at, at, at]
    assert happened_at(msgspec.structs.replace(run, updated_at=later)) == later
    assert happened_at(run) == datetime(1970, 1, 1, tzinfo=UTC)


# --- the published schema -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """A validator of the schema."""
    return Draft202012Validator(json_schema())


def record(event: Event) -> dict[str, Any]:
    """An event as a file holds it: without its source."""
    fields: dict[str, Any] = json.loads(msgspec.json.encode(event))
    del fields["source"]
    return fields


def test_the_published_schema_is_current(published: Any) -> None:
    """Whoever changes an event type publishes the schema anew."""
    current = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"

    assert published("docs/events.schema.json", current) == current, UPDATE


def test_the_schema_is_a_schema() -> None:
    """The schema is valid JSON Schema of the version it names."""
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=kind_of)
@settings(max_examples=examples(10), deadline=None)
@given(data=st.data())
def test_every_event_matches_the_schema(
    validator: Draft202012Validator, event_strategies: Any, event_type: type[Event], data: st.DataObject
) -> None:
    """What we call an event the schema calls one."""
    event = data.draw(event_strategies[event_type])

    validator.validate(record(event))


BAD: list[dict[str, Any]] = [
    {"at": "2026-01-02T03:04:05"},
    {"at": 1_767_323_045},
    {"unknown": 1},
    {"source": "s"},
    {"kind": "pr"},
    {"native_id": ""},
    {"passed": "1"},
    {"duration_seconds": -1},
]


@pytest.mark.parametrize("change", BAD, ids=lambda change: next(iter(change)))
def test_what_is_no_event_does_not_match(validator: Draft202012Validator, probe: Any, change: Any) -> None:
    """A naive time, an unknown field, a source, a wrong type: no match."""
    good = record(probe())

    assert validator.is_valid(good)
    assert not validator.is_valid({**good, **change})


@pytest.mark.parametrize("field", ["kind", "native_id", "service", "at", "passed"])
def test_a_record_without_a_required_field_does_not_match(
    validator: Draft202012Validator, probe: Any, field: str
) -> None:
    """Required is required, the kind included."""
    partial = {name: value for name, value in record(probe()).items() if name != field}

    assert not validator.is_valid(partial)


def test_descriptions_are_flush_left() -> None:
    """The schema is read by people, too: no line of it is indented as in the code."""
    described = [d["description"] for d in json_schema()["$defs"].values()]

    assert [text for text in described if "\n " in text] == []


# --- the reference ------------------------------------------------------------------------------------


def test_the_reference_is_current(published: Any) -> None:
    """docs/events.md lists every kind with every field."""
    path = Path(__file__).parents[2] / "docs" / "events.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    current = before + START + "\n" + "\n".join(reference(json_schema())) + "\n" + end + after

    assert published("docs/events.md", current) == current, UPDATE


def test_the_examples_of_the_reference_are_events(validator: Draft202012Validator) -> None:
    """Every JSON line that the reference shows matches the schema."""
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    shown = [line for line in text.splitlines() if line.startswith("{")]

    assert len(shown) >= 2
    assert [line for line in shown if not validator.is_valid(json.loads(line))] == []


def reference(schema: dict[str, Any]) -> Iterator[str]:
    """The lines of the generated part: each kind with its fields, then the objects inside them."""
    definitions = schema["$defs"]
    kinds = {d["properties"]["kind"]["enum"][0]: d for d in definitions.values() if "kind" in d.get("properties", {})}
    inner = {n: d for n, d in definitions.items() if "properties" in d and "kind" not in d["properties"]}
    for title, definition in [*((f"`{k}`", d) for k, d in kinds.items()), *sorted(inner.items())]:
        yield f"### {title}\n\n{definition['description']}\n"
        yield "| Field | Type | Required |\n|---|---|---|"
        for name, part in definition["properties"].items():
            if name != "kind":
                required = "yes" if name in definition["required"] else ""
                yield f"| `{name}` | {type_in_words(part, definitions)} | {required} |"
        yield ""


def type_in_words(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A type as people say it."""
    if "anyOf" in part:
        return type_in_words(next(p for p in part["anyOf"] if p.get("type") != "null"), definitions)
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        values = definitions[name].get("enum")
        return ", ".join(f"`{v}`" for v in values) if values else f"object, see {name}"
    if part["type"] == "array":
        return f"list of: {type_in_words(part['items'], definitions)}"
    if "description" in part:
        return {"A time": "time", "A keyed": "person", "A full": "Git object id"}[part["description"][:7].strip()]
    return {"string": "text", "boolean": "true or false", "integer": "integer", "number": "number"}[part["type"]]
