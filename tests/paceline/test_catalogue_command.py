"""`paceline catalogue`: the services that a source knows become a file, and what differs is said beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from providers.backstage import TOKEN, World, provider
from replay import served

from paceline.cli import cli

SETTINGS = """\
sources:
  - type: backstage
    name: portal
    url: {url}
    token: {token}
  - {{type: webhook, name: events, webhook_secret: "0123456789abcdef"}}
services:
  - {{name: shop, team: /old, tier: critical, cadence: 3, repositories: acme/shop}}
  - {{name: legacy}}
"""


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    """The address of a Backstage with two components of a team."""
    made = World()
    slug = {"github.com/project-slug": "acme/shop"}
    made.entity("Component", "shop", annotations=slug, owner="checkout", type="service")
    made.entity("Component", "basket", owner="group:default/checkout", type="service")
    made.entity("Group", "checkout", parent="commerce")
    made.entity("Group", "commerce")
    with served(provider(made)) as address:
        yield address.removesuffix("/api")


@pytest.fixture
def run(portal: str, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command beside settings that know one of the components."""
    path = tmp_path / "paceline.yaml"
    path.write_text(SETTINGS.format(url=portal, token=TOKEN), encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(cli, ["catalogue", "--config", str(path), *arguments])


def test_the_file_holds_what_the_source_and_the_settings_know(run: Callable[..., Result]) -> None:
    """What the source says is written, with what is configured and the source says nothing of."""
    found = run("portal")

    assert found.stdout == (
        "services:\n"
        "- name: basket\n"
        "  team: /commerce/checkout\n"
        "- name: shop\n"
        "  team: /commerce/checkout\n"
        "  repositories:\n"
        "  - acme/shop\n"
        "  tier: critical\n"
        "  cadence: 3\n"
    )


def test_what_differs_is_said_beside_it(run: Callable[..., Result]) -> None:
    """New services, those that are not known there, and what changed of the others."""
    assert run("portal").stderr == (
        "+ basket: not configured\n- legacy: configured, and not known there\n~ shop: team /old → /commerce/checkout\n"
    )


def test_the_written_file_is_a_catalogue(run: Callable[..., Result], tmp_path: Path) -> None:
    """Settings that name the file accept it, and then nothing differs."""
    run("portal", "--out", str(tmp_path / "services.yaml"))
    path = tmp_path / "paceline.yaml"
    settings = path.read_text(encoding="utf-8").partition("services:")[0]
    path.write_text(f"{settings}catalogue: services.yaml\n", encoding="utf-8")

    again = run("portal")

    assert (again.exit_code, again.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("portl", "no source named portl; expected one of portal"),
        ("events", "events has no catalogue of services; expected one of portal"),
    ],
)
def test_a_source_without_a_catalogue_is_refused(run: Callable[..., Result], name: str, says: str) -> None:
    """A wrong name is answered with those that would do."""
    refused = run(name)

    assert refused.exit_code == 2
    assert says in refused.stderr
