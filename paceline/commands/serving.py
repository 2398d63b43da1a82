"""The command that stays: `serve`."""

from __future__ import annotations

from pathlib import Path

import click

from paceline.access.mistakes import refuse_open_door
from paceline.commands.examples import examples
from paceline.commands.options import config_option, configured
from paceline.wiring import Part, build, utc_now


@click.command(epilog=examples("paceline serve", "paceline serve --port 9000"))
@config_option
@click.option("--host", help="Address to listen on, instead of the setting.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, instead of the setting; 0 takes a free one.",
)
def serve(config: Path | None, host: str | None, port: int | None) -> None:
    """Collect, evaluate and serve until interrupted."""
    from paceline.server import serve as serve_service  # noqa: PLC0415 - only this command pays for the web framework

    found = configured(config)
    server = found.settings.server
    host = host or server.host
    refuse_open_door(host, found.settings.access, found.document)
    for note in found.notes:
        click.echo(note)
    running = build(found, part=Part.SERVE)
    try:
        serve_service(running, host, server.port if port is None else port, utc_now, click.echo)
    finally:
        running.close()
