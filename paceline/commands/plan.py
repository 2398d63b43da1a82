"""The command that says what a change of SLO files does before it is applied: `plan`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from paceline.commands.examples import examples
from paceline.commands.links import base_url_option, dashboard_url_option, links_of
from paceline.commands.options import config_option, configured, output_option
from paceline.commands.output import print_json, table
from paceline.earlier import Earlier, earlier
from paceline.resources import alert_windows
from slo_engine.alert_windows import load_tiers
from slo_engine.annotations import Links
from slo_engine.indicator import indicators
from slo_engine.plan import Action, Change, Plan, compare, compare_rules
from slo_engine.rules import groups
from slo_engine.slo import Slo

_CHANGED = 2
_SIGNS: Mapping[Action, str] = {"added": "+", "removed": "-", "changed": "~"}


@click.command(epilog=examples("paceline plan", "paceline plan --against main --exit-code"))
@config_option
@click.option(
    "--against",
    default="HEAD",
    show_default=True,
    metavar="REVISION_OR_PATH",
    help="What was applied before: a Git revision of the settings, a file or folder of SLOs, other settings, or a "
    "rule file. A path comes before a revision of the same name.",
)
@click.option(
    "--dashboards",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder of dashboards that was written before.",
)
@base_url_option
@dashboard_url_option
@click.option("--exit-code", "tell", is_flag=True, help="Exit code 2 where anything changes.")
@output_option
def plan(
    config: Path | None,
    against: str,
    dashboards: Path | None,
    base_url: str,
    dashboard_url: str,
    tell: bool,
    output: str,
) -> None:
    """Say what the SLO files change before they are applied: SLOs, when they alert, rules and dashboards."""
    links = links_of(base_url, dashboard_url)
    configuration = configured(config)
    before = earlier(against, configuration, os.environ, indicators())
    found = _planned(before, configuration.slos, links)
    if dashboards is not None:
        from dashboards.build import boards_of, check  # noqa: PLC0415 - slow to load, and seldom asked for

        notice = configuration.settings.notice
        boards = boards_of(indicators().values(), base_url=links.paceline, notice=notice)
        found = replace(found, dashboards=tuple(check(dashboards, boards)))
    if output == "json":
        print_json({"against": against, "changes": found.changes, **_parts(found)})
    else:
        _print(found, against)
    sys.exit(_CHANGED if tell and found.changes else 0)


def _planned(before: Earlier, slos: Sequence[Slo], links: Links) -> Plan:
    tiers = load_tiers(alert_windows())
    if before.slos is not None:
        return replace(compare(before.slos, slos, tiers, links), notes=before.notes)
    note = "A rule file says nothing of SLOs and of when they alert: only rules are compared."
    rules = compare_rules(before.groups or (), groups(slos, tiers, links))
    return Plan(rules=rules, notes=(*before.notes, note))


def _parts(found: Plan) -> dict[str, object]:
    return {
        "slos": found.slos,
        "alerts": found.alerts,
        "rules": found.rules,
        "dashboards": found.dashboards,
        "notes": found.notes,
    }


def _print(found: Plan, against: str) -> None:
    for note in found.notes:
        click.echo(note)
    if not found.changes:
        click.echo(f"Nothing changes against {against}.")
        return
    for title, changes in (("SLOs", found.slos), ("When SLOs alert", found.alerts)):
        if changes:
            table(f"{title}: {_counted(changes)}", ("", "Name", "Field", "Before", "After"), list(_rows(changes)))
    if found.rules:
        table(f"Rules: {_counted(found.rules)}", ("", "Name", "Fields"), list(_rules(found.rules)))
    for sentence in found.dashboards:
        click.echo(f"dashboard {sentence}")


def _counted(changes: Sequence[Change]) -> str:
    counts = Counter(change.action for change in changes)
    return ", ".join(f"{counts[action]} {action}" for action in _SIGNS if counts[action])


def _rows(changes: Sequence[Change]) -> Iterator[tuple[str, ...]]:
    """A line for each field, the sign and name at the first one; what comes or goes as a whole is said in short."""
    for change in changes:
        if change.about and change.action != "changed":
            gone = change.action == "removed"
            yield (
                _SIGNS[change.action],
                change.name,
                "",
                change.about if gone else "",
                "" if gone else change.about,
            )
            continue
        for number, field in enumerate(change.fields):
            first = (_SIGNS[change.action], change.name) if number == 0 else ("", "")
            yield *first, field.field, field.before or "", field.after or ""


def _rules(changes: Sequence[Change]) -> Iterator[tuple[str, ...]]:
    """PromQL is too long for a table: which fields differ, and JSON has them."""
    for change in changes:
        fields = ", ".join(field.field for field in change.fields) if change.action == "changed" else ""
        yield _SIGNS[change.action], change.name, fields
