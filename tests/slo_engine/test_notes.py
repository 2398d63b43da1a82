"""What a person may want to configure: when it is said, and how."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.patterns import patterns
from slo_engine.notes import no_production, unmatched_names
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.snapshot import Snapshot


def deployed(*environments: str) -> Snapshot:
    """A snapshot that knows one deployment to each of some environments."""
    totals = {("deployment_frequency", Subject("api", e), "success"): 1.0 for e in environments}
    return Snapshot(at=datetime(2026, 3, 9, tzinfo=UTC), totals=totals)


@pytest.mark.parametrize(
    ("production", "said"),
    [
        (("live", "prod-*"), "live, prod-*"),
        ((), "an empty list"),
    ],
)
def test_that_nothing_is_production_names_what_was_seen(production: tuple[str, ...], said: str) -> None:
    """No rule fits any environment: both are named, and where to change it."""
    note = no_production(deployed("test", "dev", ""), Organisation(production=patterns(production)))

    assert note == (
        "No deployment goes to a production environment: the environments seen are (none), dev, test, "
        f"and production is {said}. Name yours in the setting environments.production."
    )


def test_many_environments_are_counted() -> None:
    """Preview environments by the hundred do not flood the sentence."""
    note = no_production(deployed(*(f"pr-{n:03}" for n in range(100))), Organisation())

    assert note is not None
    assert "pr-018, pr-019 and 80 more, and production is production." in note


@pytest.mark.parametrize(
    ("snapshot", "organisation"),
    [
        (deployed(), Organisation()),
        (deployed("dev", "production"), Organisation()),
        (deployed("live"), Organisation(services=(Service(name="api", production=patterns(("live",))),))),
    ],
)
def test_nothing_is_said_where_production_is_known(snapshot: Snapshot, organisation: Organisation) -> None:
    """No deployment at all, one to production, or one that the service's own rules call so: no sentence."""
    assert no_production(snapshot, organisation) is None


def test_unmatched_names_are_sorted_and_cut() -> None:
    """By kind; of each at most twenty, the total beside them; a name cannot move a terminal's cursor."""
    pipelines, services = unmatched_names(
        {"pipeline": ["b", "a\x1b[2J", ""], "service": [f"s{n:02}" for n in range(21)], "component": []}
    )

    assert pipelines.text == "pipeline: 3 names: (empty), a [2J, b"
    assert (services.total, services.names[-1]) == (21, "s19")
    assert services.text.endswith("s18, s19 and 1 more")
