"""An event in one line: what it is, when it happened, where to look. Never who."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from collector.events import Event, happened_at
from collector.people import PERSON_PREFIX

_LONGEST = 80


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """An event in one line. `url` is http or https, or None."""

    id: str
    kind: str
    label: str
    at: datetime | None
    url: str | None


def line_of(event: Event) -> EventLine:
    """An event in one line. Only fields that cannot hold a person are shown: no title, and nobody's name."""
    number = getattr(event, "number", None)
    texts = [getattr(event, name, None) for name in ("version", "pipeline", "task")]
    words = [*texts, None if number is None else f"#{number}", str(getattr(event, "sha", None) or "")[:10]]
    label = one_line(" ".join(filter(None, words)))[:_LONGEST] or event.id[:10]
    return EventLine(id=event.id, kind=event.kind, label=label, at=happened_at(event), url=web_link(event.url))


def unknown(event_id: str) -> EventLine:
    """An event that is no longer stored: its id is what is left of it. A person has none that may be shown."""
    if event_id.startswith(PERSON_PREFIX):
        return EventLine(id="", kind="person", label="", at=None, url=None)
    return EventLine(id=event_id, kind="event", label=one_line(event_id)[:10], at=None, url=None)


def web_link(url: str | None) -> str | None:
    """An address that a page may link to: http or https, a host, and no credentials in it; else None."""
    if url is None or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return url if usable else None


def one_line(text: str) -> str:
    """Text from outside on one line, without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text).strip()
