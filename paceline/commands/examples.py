"""Examples in the help of commands: a test parses each of them."""

from __future__ import annotations

_HEAD = "\b\nExamples:"


def examples(*lines: str) -> str:
    """The end of a command's help: command lines as a person would write them."""
    return "\n".join((_HEAD, *(f"  {line}" for line in lines)))
