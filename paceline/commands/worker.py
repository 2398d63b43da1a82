"""The command that collects beside those that serve: `worker`."""

from __future__ import annotations

from pathlib import Path

import click

from collector.bulk import share_memory
from paceline.commands.examples import examples
from paceline.commands.options import (
    config_option,
    configured,
    listening_options,
    need_shared_key,
    where_to_listen,
)
from paceline.wiring import Part, build


@click.command(epilog=examples("paceline worker", "paceline worker --port 9000"))
@config_option
@listening_options
def worker(config: Path | None, host: str | None, port: int | None) -> None:
    """Collect what the elected evaluator asks for until interrupted; any number may run on one PostgreSQL.

    The settings say `replicas.collect: workers`. Health and metrics of the process itself are served meanwhile.
    """
    from paceline.worker import work_until_stopped  # noqa: PLC0415 - only this command pays for the web framework

    found = configured(config)
    if found.settings.replicas.collect != "workers":
        raise click.UsageError(
            "the settings do not say `replicas.collect: workers`; nobody would give a worker a source"
        )
    where = where_to_listen(found, host, port)
    need_shared_key(found)
    share_memory()
    running = build(found, part=Part.WORK)
    try:
        if running.replica is None:
            raise click.UsageError("workers need a PostgreSQL as `store`")
        work_until_stopped(running, running.replica, *where, click.echo)
    finally:
        running.close()
