"""Writes events as the files that the `files` source reads: one a source, the same bytes each time."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from collector.events import Event, happened_at
from paceline.demo.known import known
from paceline.demo.organisation import Example

_ENCODER = msgspec.json.Encoder()


@cache
def _fields(event_type: type[Event]) -> list[tuple[str, Any]]:
    """The fields of a kind with their defaults, but for the source, which the settings name."""
    return [(f.name, f.default) for f in msgspec.structs.fields(event_type) if f.name != "source"]


def line_of(event: Event) -> bytes:
    """An event as a line of JSON, without what is as usual."""
    record = {"kind": event.kind}
    for name, default in _fields(type(event)):
        value = getattr(event, name)
        if value != default:
            record[name] = value
    return _ENCODER.encode(record) + b"\n"


def write_events(example: Example, events: Iterable[Event], folder: Path) -> dict[str, int]:
    """Write what is known of events to `<source>.jsonl` in a folder; how many events each source has.

    The files are as old as what they tell: their time stamp is when they were last added to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Event]] = defaultdict(list)
    for event in _told(example, events):
        found[event.source].append(event)
    for source, its in sorted(found.items()):
        its.sort(key=lambda e: (happened_at(e), e.kind, e.native_id))
        path = folder / f"{source}.jsonl"
        path.write_bytes(b"".join(map(line_of, its)))
        written = happened_at(its[-1]).timestamp()
        os.utime(path, (written, written))
    return {source: len(its) for source, its in sorted(found.items())}


def _told(example: Example, events: Iterable[Event]) -> Iterator[Event]:
    """What is known of events at the end of the period."""
    for event in events:
        seen = known(event, example.period.until)
        if seen is not None:
            yield seen
