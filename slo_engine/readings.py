"""The published lines as series with labels and values, for those who send them on. Pure.

What is sent is read off the bytes that a scrape returns, so that both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slo_engine.exposition import Exposition

_LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Family:
    """The series of one metric as they are published: `lines` is text, a series in each."""

    name: str
    help: str
    is_counter: bool
    lines: bytes

    def series(self) -> Iterator[tuple[bytes, float]]:
        """Each series as it is named in its line, and its value."""
        for line in self.lines.splitlines():
            name, _, value = line.rpartition(b" ")
            yield name, float(value)


def families(exposition: Exposition) -> Iterator[Family]:
    """The families of an exposition, in its order."""
    for head, lines in exposition.by_family():
        about, kind = head.decode().splitlines()
        _, _, name, told = about.split(" ", 3)
        yield Family(name, _unescaped(told), kind.endswith(" counter"), lines)


def labels_of(series: bytes) -> dict[str, str]:
    """The labels of a series, in the order of their names."""
    return dict(sorted((name.decode(), _unescaped(value.decode())) for name, value in _LABEL.findall(series)))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text
