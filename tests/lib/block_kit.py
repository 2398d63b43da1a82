"""Says what Slack would refuse of a message: its limits, and what must be escaped.

https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/messaging/formatting-message-text#escaping
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST_BLOCKS = 50
LONGEST = {"header": 150, "section": 3_000}
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")
_MENTION = re.compile(r"(?<![\u2060\w])@(?=\w)|[<>]")


def refused(message: Mapping[str, Any]) -> list[str]:
    """What is wrong with a message, in sentences; nothing where Slack takes it."""
    blocks = message["blocks"]
    found = [] if 0 < len(blocks) <= MOST_BLOCKS else [f"{len(blocks)} blocks; at most {MOST_BLOCKS}"]
    if not message["text"]:
        found.append("no text for notifications")
    for place, block in enumerate(blocks):
        found += [f"block {place}: {problem}" for problem in _of_block(block)]
    return found


def _of_block(block: Mapping[str, Any]) -> Iterator[str]:
    kind = block["type"]
    if kind not in LONGEST:
        yield f"an unknown type {kind}"
        return
    form, text = block["text"]["type"], block["text"]["text"]
    if form != ("plain_text" if kind == "header" else "mrkdwn"):
        yield f"text of type {form} in a {kind}"
    if not 0 < len(text) <= LONGEST[kind]:
        yield f"{len(text)} characters in a {kind}; 1 to {LONGEST[kind]}"
    if form == "mrkdwn" and block["text"].get("verbatim") is not True:
        yield "names and addresses become links by themselves"
    if _ENTITY.search(text) or _MENTION.search(text):
        yield f"something is not escaped: {(_ENTITY.search(text) or _MENTION.search(text))!r}"
