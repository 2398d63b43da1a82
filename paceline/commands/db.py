"""The commands about the store itself: `db` with `backup`, `restore`, `move`, `migrate`, `prune`, `delete-source`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from collector.errors import StoreError
from collector.store import SCHEMA_REVISION, Database, Place, TableDigest, copy_store
from paceline.commands.deleting import delete_source_command
from paceline.commands.examples import examples
from paceline.commands.options import config_option, configured, output_option
from paceline.commands.output import print_json, table
from paceline.commands.trail import keep
from paceline.wiring import build

_FILE = "paceline.db"
_SHOWN = 16
"""Characters of a digest that tell two apart for people."""


@click.group()
def db() -> None:
    """Back up, restore and move the store, verified by counts and digests of every table; delete from it."""


db.add_command(delete_source_command)


@db.command(epilog=examples("paceline db backup backup/paceline.db"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@output_option
def backup(file: Path, config: Path | None, output: str) -> None:
    """Copy the store as it is at this moment into FILE, a new SQLite database; the service may run meanwhile.

    The people key and clones are not in it.
    """
    found = configured(config)
    if file.exists():
        raise click.UsageError(f"{file} is there already; name a new file")
    with tempfile.TemporaryDirectory(dir=_folder_of(file)) as scratch:
        told = _copied(found.place, Path(scratch))
        (Path(scratch) / _FILE).rename(file)
    _tell(f"Backed up into {file}", told, output)


@db.command(epilog=examples("paceline db restore backup/paceline.db"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@output_option
def restore(file: Path, config: Path | None, output: str) -> None:
    """Copy a backup, FILE, into the store of the settings, which must be empty. FILE may be of an older Paceline."""
    found = configured(config)
    if not file.is_file():
        raise click.UsageError(f"{file} is not there; name a file that `paceline db backup` made")
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(file, Path(scratch) / _FILE)  # a migration is none of the backup's
        told = _copied(Path(scratch), found.place)
    keep(found, "db restore")
    _tell(f"Restored from {file}", told, output)


@db.command(epilog=examples("paceline db move"))
@config_option
@output_option
def move(config: Path | None, output: str) -> None:
    """Copy the database in the data directory into the PostgreSQL database of the setting `store`.

    Stop Paceline before. The database in the data directory is left as it is.
    """
    found = configured(config)
    if found.settings.store is None:
        raise click.UsageError("the settings name no `store` to move to; see docs/operations.md")
    if not (found.data_dir / _FILE).exists():
        raise StoreError(f"there is no {_FILE} in {found.data_dir} to move")
    told = _copied(found.data_dir, found.place)
    keep(found, "db move")
    _tell("Moved to PostgreSQL", told, output)


@db.command(epilog=examples("paceline db migrate"))
@config_option
@output_option
def migrate(config: Path | None, output: str) -> None:
    """Bring the store to the schema of this version, as every start does: for a job that does so before replicas start.

    Where another process is at it this one waits. A store of a newer version is refused.
    """
    found = configured(config)
    with closing(Database.open(found.place)) as database:
        before = database.found
    if output == "json":
        print_json({"from": before, "to": SCHEMA_REVISION})
    elif before == SCHEMA_REVISION:
        click.echo(f"The store has schema {SCHEMA_REVISION} already.")
    else:
        click.echo(f"The store had {f'schema {before}' if before else 'no schema'}; now it has {SCHEMA_REVISION}.")


@db.command(epilog=examples("paceline db prune --dry-run"))
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@config_option
@output_option
def prune(config: Path | None, output: str, *, dry_run: bool) -> None:
    """Delete events that are older than the setting `retention` says, as the service does once a day.

    The service may run meanwhile. No number changes; what was deleted is not taken in again.
    """
    found = configured(config)
    with closing(build(found)) as running:
        told = running.pruner.due() if dry_run else running.pruner.prune()
    if not dry_run:
        keep(found, "db prune")
    if output == "json":
        kinds = {one.kind: {"kept_since": one.kept_since, "events": one.events} for one in told}
        print_json({"dry_run": dry_run, "kinds": kinds})
        return
    title = "Events that are not kept any more" if dry_run else "Events that were deleted"
    rows = [(one.kind, f"{one.kept_since:%Y-%m-%d}", str(one.events)) for one in told]
    table(title, ("Kind", "Kept since", "Events"), rows)
    if dry_run:
        click.echo("Nothing was deleted.")


def _folder_of(file: Path) -> Path:
    folder = file.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}") from error
    return folder


def _copied(source: Place, target: Place) -> list[TableDigest]:
    with closing(Database.open(source)) as there, closing(Database.open(target)) as here:
        return copy_store(there, here)


def _tell(title: str, told: Sequence[TableDigest], output: str) -> None:
    if output == "json":
        print_json({one.table: {"rows": one.rows, "sha256": one.digest} for one in told})
        return
    rows = [(one.table, str(one.rows), one.digest[:_SHOWN]) for one in told]
    table("What is in both", ("Table", "Rows", "SHA-256"), rows)
    click.echo(f"{title}; every table holds the same.")
