"""The command that collects beside those that serve: `worker`."""

from __future__ import annotations

from pathlib import Path

import click

from paceline.access.mistakes import refuse_open_door
from paceline.commands.examples import examples
from paceline.commands.options import config_option, configured
from paceline.wiring import Part, build


@click.command(epilog=examples("paceline worker", "paceline worker --port 9000"))
@config_option
@click.option("--host", help="Address to listen on, instead of the setting.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, instead of the setting; 0 takes a free one.",
)
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
    server = found.settings.server
    host = host or server.host
    refuse_open_door(host, found.settings.access, found.document)
    running = build(found, part=Part.WORK)
    try:
        if running.replica is None:
            raise click.UsageError("workers need a PostgreSQL as `store`")
        work_until_stopped(running, running.replica, host, server.port if port is None else port, click.echo)
    finally:
        running.close()
