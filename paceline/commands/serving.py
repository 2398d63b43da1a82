"""The command that stays: `serve`."""

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
from paceline.wiring import Part, build, utc_now


@click.command(epilog=examples("paceline serve", "paceline serve --port 9000"))
@config_option
@listening_options
def serve(config: Path | None, host: str | None, port: int | None) -> None:
    """Collect, evaluate and serve until interrupted."""
    from paceline.server import serve as serve_service  # noqa: PLC0415 - only this command pays for the web framework

    found = configured(config)
    where = where_to_listen(found, host, port)
    need_shared_key(found)
    for note in found.notes:
        click.echo(note)
    share_memory()
    running = build(found, part=Part.SERVE)
    try:
        serve_service(running, *where, utc_now, click.echo)
    finally:
        running.close()
