"""A weekly summary as HTML that mail clients show: tables, inline styles, nothing to load. Pure.

Every element with a colour has its background beside it, so that text can be read whether a client leaves colours
alone or inverts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from slo_engine.weekly.model import WeeklySummary
from slo_engine.weekly.page import Block, Cell, Heading, Items, Notice, Paragraph, Table, page_of
from slo_engine.weekly.text import plain_text

INK, PAPER, HEAD, WARM = "#1f2328", "#ffffff", "#eaeef2", "#fff3cd"
"""Text, and what it stands on: the page, heads of tables, and what must not be missed."""
LEFT, SPENT = "#0b57a4", "#c9d1d9"
"""The two parts of a bar: what is left of a budget, and what is not."""
_FONT = "font-family:Arial,Helvetica,sans-serif;"
_PLAIN = f"color:{INK};background-color:{PAPER};"
_CELL = "padding:4px 8px;border:1px solid #8c959f;"
_WHOLE = 100


def html(summary: WeeklySummary) -> str:
    """The summary as one HTML document, without scripts, images, links and addresses."""
    title = escape(f"Platform summary, week {summary.week}")
    body = "\n".join(line for block in page_of(summary) for line in _lines(block))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n</head>\n"
        f'<body style="margin:0;padding:0;{_PLAIN}">\n'
        f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="{_PLAIN}">\n'
        f'<tr><td style="padding:16px;{_FONT}{_PLAIN}font-size:14px;line-height:1.4;">\n{body}\n</td></tr>\n'
        "</table>\n</body>\n</html>\n"
    )


def mail(summary: WeeklySummary) -> tuple[str, str]:
    """The two parts of a mail that say the same: plain text, HTML."""
    return plain_text(summary), html(summary)


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Notice):
        yield f'<p style="{_PLAIN}"><em>{escape(block.text)}</em></p>'
    elif isinstance(block, Heading):
        size = 22 if block.level == 1 else 17
        tag, style = f"h{block.level}", f"{_PLAIN}font-size:{size}px;margin:16px 0 8px;"
        yield f'<{tag} style="{style}">{escape(block.text)}</{tag}>'
    elif isinstance(block, Paragraph):
        yield _paragraph(block)
    elif isinstance(block, Items):
        items = "".join(f"<li>{escape(line)}</li>" for line in block.lines)
        yield f'<ul style="{_PLAIN}">{items}</ul>'
    else:
        yield from _table(block)


def _paragraph(block: Paragraph) -> str:
    if block.strong:
        colours = f"color:{INK};background-color:{WARM};padding:6px 8px;"
        return f'<p style="{colours}"><strong>{escape(block.text)}</strong></p>'
    return f'<p style="{_PLAIN}">{escape(block.text)}</p>'


def _table(table: Table) -> Iterator[str]:
    yield f'<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;font-size:13px;{_PLAIN}">'
    heads = "".join(
        f'<th scope="col" style="{_CELL}color:{INK};background-color:{HEAD};text-align:{_side(c.number)};">'
        f"{escape(c.title)}</th>"
        for c in table.columns
    )
    yield f"<tr>{heads}</tr>"
    for row in table.rows:
        cells = (
            f'<td style="{_CELL}text-align:{_side(c.number)};">{_cell(cell)}</td>'
            for c, cell in zip(table.columns, row, strict=True)
        )
        yield f'<tr valign="top" style="{_PLAIN}">{"".join(cells)}</tr>'
    yield "</table>"


def _side(number: bool) -> str:  # noqa: FBT001 - one word of a style
    return "right" if number else "left"


def _cell(cell: Cell) -> str:
    """A cell with its chart; the words beside it say what it shows."""
    text = escape(cell.text)
    if cell.spark:
        return f'<span aria-hidden="true" style="white-space:nowrap;">{cell.spark}</span> {text}'
    return text if cell.bar is None else f"{text}{_bar(cell.bar)}"


def _bar(share: float) -> str:
    """A share as two cells with widths in percent; the words say it too."""
    left = round(share * _WHOLE)
    parts = ((left, LEFT), (_WHOLE - left, SPENT))
    cells = "".join(
        f'<td width="{width}%" height="6" style="width:{width}%;height:6px;font-size:1px;line-height:6px;'
        f'color:{colour};background-color:{colour};">&nbsp;</td>'
        for width, colour in parts
        if width
    )
    return (
        '<table role="presentation" aria-hidden="true" width="100" cellpadding="0" cellspacing="0" '
        f'style="width:100px;{_PLAIN}"><tr>{cells}</tr></table>'
    )
