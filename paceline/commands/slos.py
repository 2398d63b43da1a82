"""Commands about SLO files: `slo list`, `slo verify`, `slo import` and `slo export`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from collector.document import dump, nearest
from collector.errors import PacelineError
from paceline.commands.examples import examples
from paceline.commands.history import history
from paceline.commands.lint import lint_slos
from paceline.commands.options import config_option, configured, output_option
from paceline.commands.output import print_json, table, write
from paceline.exits import FAILED
from paceline.resources import alert_windows
from slo_engine.alert_windows import load_tiers
from slo_engine.importers import Imported, import_file
from slo_engine.openslo_export import exported_text
from slo_engine.sli_words import measured_by
from slo_engine.slo import Slo
from slo_engine.verify import Run, Verified, promtool, verify
from slo_engine.windows import parse_window
from slo_engine.words import share_text, so_many

_SHOWN_LINES = 12


@click.group()
def slo() -> None:
    """List SLOs, prove their rules, import and export their files."""


def chosen(slos: Sequence[Slo], names: Sequence[str]) -> list[Slo]:
    """The SLOs of some names, all of them where none is given. Raises UsageError for a name that no SLO has."""
    known = [one.name for one in slos]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            listed = f"did you mean {near}?" if near else f"there are {', '.join(known) or 'none'}"
            raise click.UsageError(f"no SLO is named {name}; {listed}")
    return [one for one in slos if not names or one.name in names]


@slo.command(name="list", epilog=examples("paceline slo list"))
@config_option
@output_option
def list_slos(config: Path | None, output: str) -> None:
    """List the SLOs of the files."""
    slos = configured(config).slos
    if output == "json":
        print_json([_row(one) for one in slos])
        return
    table(
        so_many(len(slos), "SLO"),
        ("SLO", "Service", "Tier", "Target", "Window", "Measured"),
        [
            (
                one.name,
                one.owner_service,
                one.tier,
                share_text(float(one.target)),
                one.window.label,
                measured_by(one.sli),
            )
            for one in slos
        ],
    )


def _row(one: Slo) -> dict[str, Any]:
    """An SLO for programs."""
    return {
        "name": one.name,
        "title": one.title,
        "service": one.owner_service,
        "team": one.team,
        "tier": one.tier,
        "target": one.target,
        "sla_target": one.sla_target,
        "window": one.window.label,
        "alert_class": one.alert_class,
        "measured": measured_by(one.sli),
        "review_at": one.review_at,
        "file": one.file,
        "line": one.line,
    }


@slo.command(name="verify", epilog=examples("paceline slo verify", "paceline slo verify checkout-latency"))
@click.argument("names", nargs=-1, metavar="[SLO]...")
@config_option
@click.option("--promtool", "program", default="promtool", show_default=True, help="The program to run.")
@output_option
def verify_slos(names: tuple[str, ...], config: Path | None, program: str, output: str) -> None:
    """Prove the rules of SLOs: promtool evaluates them, and counted events say what is right.

    Exit code 1 where they disagree.
    """
    slos = chosen(configured(config).slos, names)
    with _promtool(program) as run:
        results = _verified(slos, run)
    if output == "json":
        print_json([_result(one) for one in results])
    else:
        table(
            f"Rules of {so_many(len(slos), 'SLO')}, tried by promtool", ("SLO", "Case", "Result"), list(_cases(results))
        )
        for line in _details(results):
            click.echo(line)
    if any(one.failures for one in results):
        sys.exit(FAILED)


@contextlib.contextmanager
def _promtool(program: str) -> Iterator[Run]:
    try:
        yield promtool(program)
    except FileNotFoundError as error:
        raise PacelineError(
            f"{program} was not found; it comes with Prometheus: install it, or name it by --promtool"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PacelineError(f"{program} took longer than {error.timeout:.0f} s and was stopped") from error


def _verified(slos: Sequence[Slo], run: Run) -> list[Verified]:
    """All SLOs, saying that it goes on where somebody is looking."""
    tiers = load_tiers(alert_windows())
    console = Console(stderr=True)
    if not console.is_terminal:
        return verify(slos, tiers, run)
    with console.status(f"trying {len(slos)} SLOs"):
        return verify(slos, tiers, run)


def _result(one: Verified) -> dict[str, Any]:
    failed = {f.scenario: f.detail for f in one.failures}
    cases = [{"case": name, "ok": name not in failed, "detail": failed.get(name, "")} for name in one.scenarios]
    return {"slo": one.slo, "holds": one.holds, "cases": cases, "not_tried": one.untried}


def _cases(results: Iterable[Verified]) -> Iterator[tuple[str, str, str]]:
    """A row for each SLO and case, then what was not tried."""
    for one in results:
        failed = {f.scenario for f in one.failures}
        for name in one.scenarios:
            yield one.slo, name, "failed" if name in failed else "ok"
        for why in one.untried:
            yield one.slo, "", f"not tried: {why}"


def _details(results: Iterable[Verified]) -> Iterator[str]:
    """What differed, in promtool's words: `exp` is what counted events say, `got` what the rules made of them."""
    for one in results:
        for failure in one.failures:
            lines = failure.detail.splitlines()
            yield f"{one.slo}, {failure.scenario}:"
            yield from (f"  {line}" for line in lines[:_SHOWN_LINES])
            if len(lines) > _SHOWN_LINES:
                yield f"  … and {len(lines) - _SHOWN_LINES} more lines; --output json has them all"


@slo.command(name="import", epilog=examples("paceline slo import sloth.yaml --out slos/imported.yaml"))
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--period", default="30d", show_default=True, help="The rolling window of Sloth's SLOs, as 28d.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; standard output unless given."
)
def import_slos(files: tuple[Path, ...], period: str, out: Path | None) -> None:
    """Turn SLOs of Sloth, Pyrra, OpenSLO v1alpha or v2alpha into OpenSLO v1.

    What could not be carried over is said on standard error, with file and line.
    """
    try:
        parse_window(period)
    except ValueError as error:
        raise click.UsageError(f"--period: {error}") from error
    imported = [import_file(file, period=period) for file in files]
    _refuse_one_name_twice(files, imported)
    for note in (n for one in imported for n in one.notes):
        click.echo(str(note), err=True)
    write(dump(document for one in imported for document in one.documents), out)


def _refuse_one_name_twice(files: Sequence[Path], imported: Sequence[Imported]) -> None:
    """Within a file the importer looks."""
    first: dict[tuple[str, str], Path] = {}
    for file, one in zip(files, imported, strict=True):
        for kind, name in {(d["kind"], d["metadata"]["name"]) for d in one.documents}:
            other = first.setdefault((kind, name), file)
            if other is not file:
                raise click.UsageError(f"{other} and {file} both hold the {kind} {name}; import them one by one")


@slo.command(name="export", epilog=examples("paceline slo export --out slos.yaml"))
@config_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; standard output unless given."
)
def export_slos(config: Path | None, out: Path | None) -> None:
    """Write the SLOs as OpenSLO v1, one document each."""
    write(exported_text(configured(config).slos), out)


for _command in (history, lint_slos):
    slo.add_command(_command)
