"""The door through which every source comes in, built-in or not.

A source is one method, `pull(cursor)`. Its configuration class is its factory: the `type` literal is the key in
the YAML, and `build()` returns the source. Time, retry, transactions and measurements belong to the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from collector.durations import Duration
from collector.errors import BadRecord, Mistake
from collector.events import Event
from collector.people import People


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of what a source reports. The cursor of the last page is where the next run starts.

    `rejected` are records that could not be used; the good ones beside them are kept.
    """

    events: Sequence[Event] = ()
    cursor: str
    rejected: Sequence[BadRecord] = ()
    warnings: Sequence[str] = ()


class Source(Protocol):
    """Anything that reports events."""

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Pages of events since the cursor (None: everything), in any order; overlap is harmless.

        The cursor is the source's own text and comes from what it read, never from our clock. Errors are those
        of `collector.errors`; a source neither retries nor sleeps nor logs.
        """


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What the service lends a source: a folder for its clones, a hasher for people, the configuration's folder."""

    data_dir: Path
    base_dir: Path
    people: People
    clock: Callable[[], datetime]


class SourceConfig(BaseModel):
    """Base of the settings of a source. A subclass adds `type: Literal["key"]` and `build`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$",
            description="A name of your own; it is the `source` label and part of every event's id.",
        ),
    ]
    every: Duration = Field(default=timedelta(minutes=5), description="How often to collect.")
    stale_after: Duration = Field(
        default=timedelta(hours=1),
        description="Without a successful run for this long, numbers from this source are withheld.",
    )

    def build(self, context: SourceContext) -> Source:
        """The source, ready to pull. Raises ConfigError where the settings cannot work here."""
        raise NotImplementedError

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """Mistakes that only a look at the world shows (a missing repository). `path` is the setting's name."""
        del context
        return ()
