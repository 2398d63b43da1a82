"""A weekly summary as plain text: the part of a mail that stands beside its HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from slo_engine.weekly.model import WeeklySummary
from slo_engine.weekly.page import Block, Cell, Heading, Items, Notice, Paragraph, Table, page_of


def plain_text(summary: WeeklySummary) -> str:
    """The summary as lines of plain text; of a table each row is an entry with its columns by name."""
    return "\n\n".join("\n".join(_lines(block)) for block in page_of(summary)) + "\n"


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield block.text
        yield ("=" if block.level == 1 else "-") * len(block.text)
    elif isinstance(block, (Notice, Paragraph)):
        yield block.text
    elif isinstance(block, Items):
        yield from (f"* {line}" for line in block.lines)
    else:
        yield from _rows(block)


def _rows(table: Table) -> Iterator[str]:
    for first, *rest in table.rows:
        yield f"* {first.text}"
        yield from (f"  {c.title}: {_cell(cell)}" for c, cell in zip(table.columns[1:], rest, strict=True) if cell.text)


def _cell(cell: Cell) -> str:
    return " ".join(filter(None, (cell.spark, cell.text)))
