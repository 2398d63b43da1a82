"""A weekly summary as blocks of Slack's Block Kit. Pure.

Limits: https://docs.slack.dev/reference/block-kit/blocks - 50 blocks a message, 3 000 characters of text in a section,
150 in a header. Escaping: https://docs.slack.dev/messaging/formatting-message-text#escaping.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from slo_engine.weekly.model import WeeklySummary
from slo_engine.weekly.page import Block, Cell, Heading, Items, Notice, Paragraph, Table, page_of

MOST_BLOCKS, LONGEST_SECTION, LONGEST_HEADER = 50, 3_000, 150
_MARKUP = re.compile(r"([*_~`@#])")
_JOINER = "\u2060"
"""Is not seen, and keeps the sign beside it from being markup or a mention."""


def slack(summary: WeeklySummary) -> str:
    """The message as JSON: `text` for notifications, and `blocks`. What does not fit is counted in the last block."""
    blocks = list(_blocks(page_of(summary)))
    if len(blocks) > MOST_BLOCKS:
        left = len(blocks) - (MOST_BLOCKS - 1)
        said = f"{left} parts of the summary were left out here: `paceline report --week {summary.week}` has all of it."
        blocks = [*blocks[: MOST_BLOCKS - 1], _section(said)]
    message = {"text": _plain(f"Platform summary, week {summary.week}"), "blocks": blocks}
    return json.dumps(message, ensure_ascii=False, indent=2) + "\n"


def _blocks(page: tuple[Block, ...]) -> Iterator[dict[str, Any]]:
    """The blocks of a page: lines that stand together are put into as few sections as hold them."""
    waiting: list[str] = []
    for block in page:
        if isinstance(block, Heading) and block.level == 1:
            yield from _sections(waiting)
            waiting = []
            text = _cut(block.text, LONGEST_HEADER)
            yield {
                "type": "header",
                "text": {"type": "plain_text", "text": _escaped(text, LONGEST_HEADER), "emoji": False},
            }
        elif isinstance(block, Heading):
            yield from _sections(waiting)
            waiting = [f"*{_plain(block.text)}*"]
        else:
            waiting += _lines(block)
    yield from _sections(waiting)


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Notice):
        yield f"_{_plain(block.text)}_"
    elif isinstance(block, Paragraph):
        yield f"*{_plain(block.text)}*" if block.strong else _plain(block.text)
    elif isinstance(block, Items):
        yield from (f"• {_plain(line)}" for line in block.lines)
    elif isinstance(block, Table):
        yield from (_row(block, row) for row in block.rows)


def _row(table: Table, row: tuple[Cell, ...]) -> str:
    """A row as one line: its first cell, then the others by the names of their columns."""
    pairs = zip(table.columns[1:], row[1:], strict=True)
    told = (f"{_plain(c.title.lower())}: {_cell(cell)}" for c, cell in pairs if cell.text)
    return f"• *{_plain(row[0].text)}*: {'; '.join(told)}"


def _cell(cell: Cell) -> str:
    return " ".join(filter(None, (cell.spark, _plain(cell.text))))


def _sections(lines: list[str]) -> Iterator[dict[str, Any]]:
    """Sections of some lines, none longer than may be."""
    text = ""
    for line in lines:
        # A line is cut between words: never within what stands for one sign.
        part = line if len(line) <= LONGEST_SECTION else line[: LONGEST_SECTION - 1].rpartition(" ")[0] + "…"
        if text and len(text) + 1 + len(part) > LONGEST_SECTION:
            yield _section(text)
            text = ""
        text = f"{text}\n{part}" if text else part
    if text:
        yield _section(text)


def _section(text: str) -> dict[str, Any]:
    # Verbatim: nothing in it becomes a link, a channel or a mention by itself.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _plain(text: str) -> str:
    """Plain text in mrkdwn: the three signs of its own are escaped, others kept from being markup or a mention."""
    return _MARKUP.sub(rf"{_JOINER}\1{_JOINER}", _entities(text))


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(text: str, longest: int) -> str:
    """Text of a header, whose signs count as they are sent."""
    while len(_entities(text)) > longest:
        text = f"{text[:-2]}…"
    return _entities(text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
