"""The door through which every source comes in, built-in or not.

A source is one method, `pull(cursor)`. Its configuration class is its factory: the `type` literal is the key in
the YAML, and `build()` returns the source. Time, retry, transactions and measurements belong to the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from collector.durations import Duration
from collector.errors import BadRecord, Mistake
from collector.events import Event
from collector.findings import Findings
from collector.http import Wire
from collector.people import People
from collector.webhooks import Receiver


@dataclass(frozen=True, kw_only=True)
class Complete:
    """A whole list: of this kind, with these values in these fields, and dated since then, a source has no other ids.

    What is stored of the source beside them was deleted there. `since` is compared with `dated`, a field of the kind.
    What happened while the list was read, or just before, is left alone: a webhook may have told of it first.
    """

    kind: type[Event]
    where: Mapping[str, str]
    dated: str
    since: datetime
    native_ids: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of what a source reports. The cursor of the last page is where the next run starts.

    `rejected` are records that could not be used; the good ones beside them are kept. `truncations` say what the
    system holds and does not hand out: never an end without a word. `checkpoint`: a run that breaks later may keep
    what it has up to here, because its cursor continues exactly after this page. `complete`: whole lists, by which
    deletions are seen.
    """

    events: Sequence[Event] = ()
    cursor: str
    rejected: Sequence[BadRecord] = ()
    warnings: Sequence[str] = ()
    truncations: Sequence[str] = ()
    complete: Sequence[Complete] = ()
    checkpoint: bool = False


class Source(Protocol):
    """Anything that reports events."""

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Pages of events since the cursor (None: everything), in any order; overlap is harmless.

        The cursor is the source's own text and comes from what it read, never from our clock. Errors are those
        of `collector.errors`; a source neither retries nor sleeps nor logs.
        """


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What the service lends a source: a folder for its clones, a hasher for people, the configuration's folder.

    `wire`: how its clients reach servers. `since`: read everything from then on, whatever the cursor of earlier runs;
    None usually. `findings`: where it notes what its rules took.
    """

    data_dir: Path
    base_dir: Path
    people: People
    clock: Callable[[], datetime]
    wire: Wire = field(default_factory=Wire)
    since: datetime | None = None
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True, kw_only=True)
class About:
    """What people want to know of a source before they use it; the page in docs/sources/ and the README show it.

    `gives`: kinds of events. `tested`: against what. `scopes`: what a token must be allowed, and what for. `costs`:
    what is read, and requests for 1 000 of it. `limits`: caps of the system, and how they are met. `example`: settings
    of at most ten lines. `more`: Markdown for the page.
    """

    system: str
    gives: tuple[str, ...]
    tested: str
    example: str
    scopes: tuple[tuple[str, str], ...] = ()
    costs: tuple[tuple[str, str], ...] = ()
    limits: tuple[str, ...] = ()
    more: str = ""


class SourceConfig(BaseModel):
    """Base of the settings of a source. A subclass adds `type: Literal["key"]` and `build`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: ClassVar[About | None] = None
    punctual: ClassVar[bool] = False
    """Whether each run counts at its own minute, so that it must begin with it: a late one cannot be made up for."""

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
        """Mistakes that only a look at the world shows (a missing repository). `path` is the setting's name.

        One that is `passing` keeps nothing from starting: the source's own runs fail until it is over.
        """
        del context
        return ()

    def receiver(self, context: SourceContext) -> Receiver | None:
        """What takes its webhooks at `/webhooks/<name>`; None where it has none, or no secret opens it."""
        del context
        return None
