"""What sources of incidents share: how an incident went, what its texts name, what severities and places are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from collector.errors import ContractError
from collector.events import Incident, IncidentState
from collector.findings import Findings
from collector.http import Answer
from collector.incidents import Incidents, Told, alone, mentioned, texts_in
from collector.streams import Notes
from collector.tracking import Severities

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DETECTED, ACKNOWLEDGED, RESOLVED = IncidentState
SHA = "0123456789abcdef0123456789abcdef01234567"
IMAGE = f"registry.example.com/shop/api@sha256:{'ab' * 32}"


def after(seconds: float) -> datetime:
    """So many seconds after the incident began."""
    return AT + timedelta(seconds=seconds)


def incident(*life: tuple[float, IncidentState], state: IncidentState | None = None, **fields: Any) -> Incident:
    """An incident that came to some states so many seconds after it began; it is in the last one unless told."""
    told = [(after(seconds), to) for seconds, to in life]
    settings = {name: fields.pop(name, {}) for name in ("severities", "environments")}
    rules = Incidents("oncall", Severities(settings["severities"], Findings()), settings["environments"])
    known = {"native_id": "7", "started_at": AT, "state": state or (told[-1][1] if told else DETECTED), "life": told}
    return rules.event(Told(**{**known, **fields}))


def test_an_acknowledged_incident_is_still_open() -> None:
    """Acknowledged → still open."""
    found = incident((0, DETECTED), (60, ACKNOWLEDGED))

    assert (found.state, found.acknowledged_at, found.restored_at) == (ACKNOWLEDGED, after(60), None)


def test_a_recovery_takes_the_seconds_that_it_took() -> None:
    """A 53-second recovery → 53 s, not 0 minutes."""
    found = incident((0, DETECTED), (53, RESOLVED))

    assert found.restored_at == after(53)


def test_an_incident_that_was_opened_again_is_not_restored() -> None:
    """Reopening clears the restoration, and keeps the first acknowledgement."""
    found = incident((0, DETECTED), (5, ACKNOWLEDGED), (10, RESOLVED), (20, DETECTED))

    assert (found.state, found.restored_at, found.acknowledged_at) == (DETECTED, None, after(5))


def test_an_incident_is_restored_at_its_last_resolution() -> None:
    """Reopened → restored at the last resolution."""
    found = incident((10, RESOLVED), (20, DETECTED), (30, RESOLVED))

    assert found.restored_at == after(30)


def test_a_second_resolution_counts_without_a_reopening_between() -> None:
    """A log that does not tell of the reopening still tells of the last resolution."""
    found = incident((10, RESOLVED), (30, RESOLVED))

    assert (found.restored_at, len(found.transitions)) == (after(30), 1)


def test_the_systems_own_time_of_the_resolution_comes_first() -> None:
    """What a system says of its last resolution is not told anew from its log."""
    found = incident((10, RESOLVED), restored_at=after(9))

    assert (found.restored_at, [t.at for t in found.transitions]) == (after(9), [after(9)])


def test_a_resolution_that_only_the_system_tells_is_a_change_of_state_too() -> None:
    """Without a history the system's own time of the resolution stands alone."""
    found = incident(state=RESOLVED, restored_at=after(40))

    assert (found.restored_at, [(t.at, t.state) for t in found.transitions]) == (after(40), [(after(40), "resolved")])


def test_what_was_opened_again_and_only_closed_is_not_restored() -> None:
    """An old resolution is none of what was opened again and then closed as nothing to be done."""
    found = incident((10, RESOLVED), (20, DETECTED), state=RESOLVED, closed_at=after(30))

    assert (found.state, found.restored_at, found.closed_at) == (RESOLVED, None, after(30))


def test_a_resolution_that_the_system_kept_from_before_the_reopening_does_not_count() -> None:
    """A system that remembers its first resolution alone → the last one, from its log."""
    found = incident((10, RESOLVED), (20, DETECTED), (30, RESOLVED), restored_at=after(10))

    assert found.restored_at == after(30)


def test_an_end_of_the_impact_before_somebody_took_it_on_is_the_resolution() -> None:
    """An acknowledgement after the end opens nothing that nobody had resolved."""
    found = incident((5, ACKNOWLEDGED), state=RESOLVED, restored_at=after(3))

    assert found.restored_at == after(3)


def test_changes_are_told_in_order_and_once() -> None:
    """The order of a log does not matter; of one moment the later state counts; what changes nothing is no change."""
    found = incident((30, RESOLVED), (10, ACKNOWLEDGED), (10, DETECTED), (20, ACKNOWLEDGED), (0, DETECTED))

    assert [(t.at, t.state) for t in found.transitions] == [
        (after(0), "detected"),
        (after(10), "acknowledged"),
        (after(30), "resolved"),
    ]


def test_an_open_incident_has_no_end() -> None:
    """What a system says of an end counts only once the incident is over."""
    found = incident((0, DETECTED), restored_at=after(9), closed_at=after(9))

    assert (found.restored_at, found.closed_at) == (None, None)


def test_severities_are_called_as_the_settings_say() -> None:
    """A severity has the name that is set for it, else its own; none stays none."""
    names = {"critical": ["P1", "SEV-1"]}

    assert [incident(severity=said, severities=names).severity for said in ("SEV-1", "P3", "")] == [
        "critical",
        "P3",
        None,
    ]


def test_an_incident_stands_in_the_environment_of_its_service() -> None:
    """A rule for the service names the environment; without one it is production, which needs no name."""
    places = {"staging": ["*-staging"]}

    assert [incident(service=name, environments=places).environment for name in ("shop-staging", "shop")] == [
        "staging",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://git.example.com/acme/shop/pull/7.", ("https://git.example.com/acme/shop/pull/7",)),
        ("[run](https://ci.example.com/runs/9?attempt=2), again", ("https://ci.example.com/runs/9?attempt=2",)),
        ("OPS-17 and (SHOP2-3): not ops-4, X-1 or OPS-17-b", ("OPS-17", "SHOP2-3")),
        ("https://jira.example.com/browse/OPS-17", ("https://jira.example.com/browse/OPS-17",)),
        ("https://ada@example.com/ and mailto:ada@example.com", ()),
        (f"https://example.com/{'a' * 500}", ()),
        ("", ()),
    ],
)
def test_addresses_and_tickets_are_links(text: str, links: tuple[str, ...]) -> None:
    """Addresses without what ends the sentence, tickets by their keys; nothing that may be somebody's address."""
    assert mentioned(text).links == links


def test_whole_commit_ids_are_named() -> None:
    """A commit id is read where all of it stands, in an address too; a shortened or longer one is none."""
    text = f"deployed {SHA}, https://git.example.com/c/{'b' * 40} not {SHA[:12]} or {SHA}0"

    assert mentioned(text).shas == (SHA, "b" * 40)


def test_an_image_is_named_by_its_digest() -> None:
    """The first image with a digest is the artifact; its digest is no commit."""
    found = mentioned(f"image: {IMAGE}", IMAGE.replace("api", "web"))

    assert (found.artifact, found.shas) == (IMAGE, ())


def test_texts_of_any_size_are_read_in_no_time() -> None:
    """A hostile text costs no more than its beginning, and names no more than fifty things."""
    found = mentioned("a." * 1_000_000, *(f"OPS-{n}" for n in range(60)))

    assert len(found.links) == 50


def test_an_incident_names_what_its_title_and_texts_do() -> None:
    """What is named stands in the event; the texts do not."""
    found = incident(title="OPS-17 fails", texts=[SHA, IMAGE])

    assert (found.links, found.shas, found.artifact) == (("OPS-17",), (SHA,), IMAGE)


class Thing(msgspec.Struct):
    """What an answer may hold."""

    id: str


@pytest.mark.parametrize(
    ("body", "key", "expected", "rejected"),
    [
        (b'{"id": "7"}', "", Thing("7"), []),
        (b'{"data": {"id": "7"}}', "data", Thing("7"), []),
        (b'{"data": {"id": 7}}', "data", None, ["GET a item 1 (id 7)"]),
    ],
)
def test_the_only_item_of_an_answer_may_be_unusable(
    body: bytes, key: str, expected: Thing | None, rejected: list[str]
) -> None:
    """An item that is not as documented is set aside with its id, as it would be in a list."""
    notes = Notes()

    assert alone(Answer(200, {}, body, "GET a"), Thing, notes, key) == expected
    assert [bad.location for bad in notes.rejected] == rejected


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"other": 1}', b'{"data": {"id": "7'])
def test_an_answer_without_an_item_is_an_error(body: bytes) -> None:
    """What is no such answer is not taken for one bad item."""
    with pytest.raises(ContractError):
        alone(Answer(200, {}, body, "GET a"), Thing, Notes(), "data")


def test_texts_are_found_wherever_they_stand() -> None:
    """Values of objects and lists are read, numbers and what is nested without end are not."""
    endless: list[Any] = ["deep"]
    for _ in range(20):
        endless = [endless]

    assert list(texts_in({"a": "one", "b": [2, {"c": "three"}], "d": endless})) == ["one", "three"]
