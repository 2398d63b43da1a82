"""The commands that delete for good: `db delete-source` and `privacy erase`."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import click

from paceline.commands.examples import examples
from paceline.commands.options import config_option, configured, output_option
from paceline.commands.output import print_json, table
from paceline.commands.trail import keep
from paceline.deleting import Proof, delete_source, erase, keyed
from paceline.exits import FAILED
from paceline.wiring import build, people_of


@click.command(
    name="delete-source",
    epilog=examples("paceline db delete-source old-jenkins", "paceline db delete-source ci --again"),
)
@click.argument("name")
@click.option("--again", is_flag=True, help="Of a source that is still in the settings: it is read anew afterwards.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@output_option
def delete_source_command(name: str, config: Path | None, output: str, *, again: bool, yes: bool) -> None:
    """Delete what the source NAME reported, where it stopped, and everything derived from it.

    The service may run meanwhile. What rested on several sources is judged anew, as if this one had never been there.
    """
    found = configured(config)
    configured_now = any(source.name == name for source in found.sources)
    if configured_now and not again:
        raise click.UsageError(
            f"{name} is still in the settings and would be read again; take it out first, or read it anew by --again"
        )
    if not yes:
        click.confirm(f"Delete everything that {name} reported, and what was derived from it?", abort=True, err=True)
    with closing(build(found)) as running:
        told = delete_source(running.database, running.service.derive, name)
    keep(found, "db delete-source", _outcome(told), name)
    _tell(
        told, output, f"Rows of {name}", f"{name} is deleted.", f"{name} is not deleted: another process wrote of it."
    )


@click.command(name="erase", epilog=examples("paceline privacy erase", "paceline privacy erase --yes <who.txt"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@output_option
def erase_command(config: Path | None, output: str, *, yes: bool) -> None:
    """Erase somebody: every trace of their logins and addresses in the store; exit code 1 where any is left.

    Their logins, addresses or names are asked for, or read from standard input, one a line: never from the command
    line, which others can see. In events they become nobody, and sources that report them again bring nothing back.
    """
    found = configured(config)
    people = people_of(found, os.environ)
    asked = sys.stdin.isatty()
    text = str(click.prompt("Login, address or name", err=True)) if asked else sys.stdin.read()
    told = [line.strip() for line in text.splitlines() if line.strip()]
    if not told:
        raise click.UsageError("nobody was told; write logins or addresses to standard input, one a line")
    reviewed = found.reviewed.hashed(people)
    keys = keyed(people, reviewed, told)
    if asked and not yes:
        click.confirm("Erase them for good?", abort=True, err=True)
    with closing(build(found)) as running:
        proof = erase(running.database, running.service.derive, keys)
    keep(found, "privacy erase", _outcome(proof))
    if keys & {*reviewed.people, *reviewed.people.values()}:
        click.echo("The files of `identities` still name them: take them out there.", err=True)
    _tell(proof, output, "Rows that tell of them", "They are erased.", "Something is left: run it again.")


def _outcome(proof: list[Proof]) -> str:
    return "something is left" if any(one.after for one in proof) else "done"


def _tell(proof: list[Proof], output: str, title: str, done: str, left: str) -> None:
    clean = not any(one.after for one in proof)
    if output == "json":
        print_json({"clean": clean, "tables": {one.table: {"before": one.before, "after": one.after} for one in proof}})
    else:
        table(title, ("Table", "Before", "After"), [(one.table, str(one.before), str(one.after)) for one in proof])
        click.echo(done if clean else left)
    sys.exit(0 if clean else FAILED)
