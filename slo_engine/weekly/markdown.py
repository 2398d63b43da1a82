"""A weekly summary as Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slo_engine.weekly.model import WeeklySummary
from slo_engine.weekly.page import Block, Cell, Heading, Items, Notice, Paragraph, Table, page_of

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#@~&])")


def markdown(summary: WeeklySummary) -> str:
    """The summary as Markdown with tables; text from outside makes no markup, no mention and no link."""
    return "\n\n".join("\n".join(_lines(block)) for block in page_of(summary)) + "\n"


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Notice):
        yield f"> {_escaped(block.text)}"
    elif isinstance(block, Heading):
        yield f"{'#' * block.level} {_escaped(block.text)}"
    elif isinstance(block, Paragraph):
        yield f"**{_escaped(block.text)}**" if block.strong else _escaped(block.text)
    elif isinstance(block, Items):
        yield from (f"- {_escaped(line)}" for line in block.lines)
    else:
        yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(_escaped(c.title) for c in table.columns)} |"
    yield f"|{'|'.join('---:' if c.number else '---' for c in table.columns)}|"
    for row in table.rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(cell: Cell) -> str:
    return " ".join(filter(None, (cell.spark, _escaped(cell.text))))


def _escaped(text: str) -> str:
    """Plain text in Markdown: every sign that could be markup, a mention or the address of a link is escaped."""
    return _MARKUP.sub(r"\\\1", text).replace("://", r"\://").replace("www.", r"www\.")
