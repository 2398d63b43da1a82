"""How commands answer: tables for people, JSON for programs, text into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    made = Table(*head, title=title, title_justify="left")
    for row in rows:
        made.add_row(*(_plain(cell) for cell in row))
    Console().print(made)


def _plain(cell: str) -> str:
    """Text from outside shown as it is: brackets are no markup."""
    return cell.replace("[", r"\[")


def or_none(value: float | None, form: str) -> str:
    """A number in a form, or that there is none."""
    return "no value" if value is None else format(value, form)


def print_json(value: Any) -> None:
    """Print anything of ours as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=_encodable)).decode())


def _encodable(value: Any) -> Any:
    """What msgspec does not know by itself: models show their fields, everything else its text."""
    return value.model_dump() if hasattr(value, "model_dump") else str(value)


def write(text: str, out: Path | None) -> None:
    """Write a text to a file, and its name to standard error; without a file to standard output."""
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    click.echo(str(out), err=True)
