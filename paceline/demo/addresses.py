"""Where a running service shows a story: addresses of its pages."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from paceline.demo.period import Period
from paceline.demo.story import Story


def pages_of(story: Story, period: Period) -> list[str]:
    """The paths of the pages that show a story: its SLOs, the events behind its numbers, its last finished week."""
    return [
        *(f"/slos/{name}" for name in story.slos),
        *_explained(story, period),
        f"/weekly/{_finished(story, period)}",
    ]


def _explained(story: Story, period: Period) -> Iterator[str]:
    for command in story.commands(period):
        _, _, indicator, *options = command.split()
        chosen = [(name.removeprefix("--"), value) for name, value in zip(options[::2], options[1::2], strict=True)]
        yield f"/explain/{indicator}?{urlencode(chosen, safe='/')}"


def _finished(story: Story, period: Period) -> str:
    """The present week has no summary yet."""
    return period.label(max(story.until, 1))
