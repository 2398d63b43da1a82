"""What several commands share: their options, and the opening of what they work on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from paceline.access.mistakes import refuse_open_door
from paceline.commands.output import tell
from paceline.logs import configure
from paceline.settings import Configuration
from paceline.wiring import Running, build, configuration

PEOPLE_KEY = "people.key"
"""Where a data directory holds the people key."""

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file; else PACELINE_CONFIG, ./paceline.yaml, else the repository in PACELINE_REPO or here.",
)
output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or for programs.",
)


def listening_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that listens."""
    port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        help="Port to listen on, instead of the setting; 0 takes a free one.",
    )
    return click.option("--host", help="Address to listen on, instead of the setting.")(port(command))


def where_to_listen(found: Configuration, host: str | None, port: int | None) -> tuple[str, int]:
    """The address and port of these options, or else of the settings. Raises ConfigError for a door that is open."""
    server = found.settings.server
    host = host or server.host
    refuse_open_door(host, found.settings.access, found.document)
    return host, server.port if port is None else port


def need_shared_key(found: Configuration) -> None:
    """Raises UsageError where this process would make a people key of its own, and those beside it have another one."""
    shares = found.settings.replicas.collect == "workers"
    if shares and not os.environ.get("PACELINE_PEOPLE_KEY") and not (found.data_dir / PEOPLE_KEY).exists():
        raise click.UsageError(
            "PACELINE_PEOPLE_KEY is not set: workers and those that serve need one key, or the same person is "
            "somebody else to each; make one by `openssl rand -hex 32`, or take what is in people.key"
        )


def labels_of(given: Iterable[str]) -> dict[str, str]:
    """What was given as `--label KEY=VALUE`. Raises UsageError for what is not of that form."""
    found = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise click.UsageError(f"--label: {text!r} is no label; expected KEY=VALUE")
        found[key] = value
    return found


def configured(config: Path | None) -> Configuration:
    """The configuration that a command works with, its notice told. Raises ConfigError with every mistake."""
    found = configuration(config, os.environ, Path.cwd())
    tell(found.settings.notice)
    return found


@contextlib.contextmanager
def opened(config: Path | None) -> Iterator[Running]:
    """The service of a configuration, closed afterwards; or the one that is lent to the command, which stays open."""
    context = click.get_current_context(silent=True)
    lent = context.find_object(Running) if context else None
    if lent is not None:
        settings = lent.service.configuration.settings
        configure(settings.logs.level, settings.logs.format)  # the log goes where this command writes
        tell(settings.notice)
        yield lent
        return
    running = build(configured(config))
    try:
        yield running
    finally:
        running.close()
