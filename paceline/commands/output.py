"""How commands answer: tables for people, JSON for programs, text into files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_UNBOUNDED = 10_000
"""Characters of a line that goes to a file or a program."""
_LINES = 3
"""Characters of a line that a column takes beside its text."""


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: as wide as the terminal, with long cells on several lines; elsewhere as wide as it is."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=_UNBOUNDED)
    made = Table(title=title, title_justify="left")
    for name, width in zip(head, _widths([head, *rows], console.width), strict=True):
        made.add_column(name, overflow="fold", width=width)  # cut off, a name could not be copied
    for row in rows:
        made.add_row(*(_plain(cell) for cell in row))
    console.print(made)


def _widths(rows: Sequence[Sequence[str]], most: int) -> list[int]:
    """How wide each column is: as wide as its cells while there is room, as a word where there is little.

    Where there is not even that, long words are broken, those of the head as the last.
    """
    columns = list(zip(*rows, strict=True))
    room = most - _LINES * len(columns) - 1
    wanted = [max(map(cell_len, cells)) for cells in columns]
    found = [max(map(_longest_word, cells)) for cells in columns]
    for least in (list(map(_longest_word, rows[0])), [1] * len(columns)):
        while sum(found) > room and found != least:
            spare = [(has, n) for n, has in enumerate(found) if has > least[n]]
            found[max(spare)[1]] -= 1
    while sum(found) < min(sum(wanted), room):  # those that lack least first: a column that is whole wraps no row
        lacking = [(want - has, n) for n, (want, has) in enumerate(zip(wanted, found, strict=True)) if want > has]
        found[min(lacking)[1]] += 1
    return found


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _plain(cell: str) -> str:
    """Text from outside shown as it is: brackets are no markup, and nothing moves the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in cell).replace("[", r"\[")


def or_none(value: float | None, form: str) -> str:
    """A number in a form, or that there is none."""
    return "no value" if value is None else format(value, form)


_NOTICE = "paceline.notice"


def tell(notice: str) -> None:
    """Say what the settings want to be said everywhere: above tables now, in JSON as a field, in files elsewhere."""
    context = click.get_current_context(silent=True)
    if not notice or context is None:
        return
    context.meta[_NOTICE] = notice
    if context.params.get("output", "table") == "table" and "out" not in context.params:
        click.echo(notice)


def _with_notice(value: Any) -> Any:
    """An object with the notice as its first field; lists have no room for one."""
    context = click.get_current_context(silent=True)
    notice = context.meta.get(_NOTICE) if context else None
    plain = msgspec.to_builtins(value, enc_hook=_encodable) if notice else value
    return {"notice": notice, **plain} if notice and isinstance(plain, dict) else value


def print_json(value: Any) -> None:
    """Print anything of ours as JSON."""
    value = _with_notice(value)
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
