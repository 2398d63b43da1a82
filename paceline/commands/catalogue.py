"""The command `catalogue`: the services that a source knows, as the file that settings name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import click

from collector.document import dump
from collector.source import SourceConfig, SourceContext
from paceline.catalogue import ServiceSettings
from paceline.commands.examples import examples
from paceline.commands.options import config_option, configured
from paceline.commands.output import write
from paceline.settings import Configuration
from paceline.wiring import looking
from slo_engine.organisation import SERVICE_RULES, Service


@runtime_checkable
class KnowsServices(Protocol):
    """Settings of a source whose system has a catalogue of services."""

    def services(self, context: SourceContext) -> Sequence[Mapping[str, Any]]:
        """The services as a settings file holds them, by name. Raises SourceError."""


@click.command(epilog=examples("paceline catalogue portal", "paceline catalogue portal --out services.yaml"))
@config_option
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output unless given.",
)
def catalogue(config: Path | None, source: str, out: Path | None) -> None:
    """Write the services that SOURCE knows as a file for `catalogue:`, and say what differs.

    What is configured and the source does not say is kept. What differs from it is told on standard error.
    """
    found = configured(config)
    # Nobody is read, so any key will do.
    context = looking(found, {"PACELINE_PEOPLE_KEY": os.environ.get("PACELINE_PEOPLE_KEY") or secrets.token_hex(32)})
    known = _named(found, source).services(context)
    own = {s.name: s for s in found.organisation.services}
    for line in differences(found.organisation.services, known):
        click.echo(line, err=True)
    write(dump([{"services": [_with_own(told, own.get(str(told["name"]))) for told in known]}]), out)


def _with_own(told: Mapping[str, Any], own: Service | None) -> dict[str, Any]:
    """A service as the source tells it, with what is configured of it and the source does not say."""
    found = dict(told)
    for field in fields(Service) if own is not None else ():
        value = getattr(own, field.name)
        if field.name not in found and value != field.default:
            found[field.name] = [rule.text for rule in value] if field.name in SERVICE_RULES else value
    return found


def _named(found: Configuration, name: str) -> KnowsServices:
    """The source of a name. Raises UsageError where there is none, or one without services."""
    able = {s.name: s for s in found.sources if isinstance(s, KnowsServices)}
    if name in able:
        return able[name]
    known: SourceConfig | None = next((s for s in found.sources if s.name == name), None)
    problem = f"no source named {name}" if known is None else f"{name} has no catalogue of services"
    raise click.UsageError(problem + (f"; expected one of {', '.join(sorted(able))}" if able else ""))


def differences(configured_ones: Sequence[Service], known: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a catalogue says otherwise than the configured one: a line for each service, by name."""
    before = {s.name: s for s in configured_ones}
    after = {str(s["name"]): ServiceSettings.model_validate(s).service() for s in known}
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"+ {name}: not configured"
        elif name not in after:
            yield f"- {name}: configured, and not known there"
        elif changed := [text for text in _changes(before[name], after[name]) if text]:
            yield f"~ {name}: {', '.join(changed)}"


def _changes(before: Service, after: Service) -> Iterator[str]:
    """What the source says otherwise; what it does not say is no difference."""
    for field in fields(Service):
        own, told = (_shown(getattr(s, field.name), is_rules=field.name in SERVICE_RULES) for s in (before, after))
        if told and own != told and field.name != "cadence":
            yield f"{field.name} {own or 'nothing'} → {told}"


def _shown(value: Any, *, is_rules: bool) -> str:
    return " ".join(sorted(rule.text for rule in value)) if is_rules else str(value)
