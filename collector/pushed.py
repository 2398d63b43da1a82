"""Settings of sources that are told of events and never ask: their systems deliver to `/webhooks/<name>`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field, SecretStr

from collector.durations import Duration
from collector.errors import Mistake, PacelineError, SourceError
from collector.events import Event
from collector.secrets import IncomingSecret, reveal
from collector.source import Page, SourceConfig, SourceContext
from collector.times import as_rfc3339, parsed

Pairs = Sequence[tuple[Event | None, Event]]
"""Events as they were known, None for those that were not, and as they are now."""


def _as_they_are(pairs: Pairs) -> list[Event]:
    return [event for _, event in pairs]


@dataclass(frozen=True)
class Join:
    """How deliveries that each tell a part of an event become one.

    `both`: what is known of an event, and what was told of it now, as one event. `settle`: what is to be kept of events
    that were joined, and what follows from them.
    """

    both: Callable[[Event, Event], Event]
    settle: Callable[[Pairs], Sequence[Event]] = _as_they_are


class PushedConfig(SourceConfig):
    """Settings of a source that only receives. A subclass adds `type` and `receiver`."""

    webhook_secret: IncomingSecret = Field(
        description="Opens `/webhooks/<name>`: the secret that senders show or sign with; see docs/webhooks.md."
    )
    silent_after: Duration | None = Field(
        default=None,
        description="When nothing was delivered for this long, runs fail: whatever delivers has stopped. Without it, "
        "silence is a success.",
    )

    def build(self, context: SourceContext) -> Listening:
        """The source, which asks nobody."""
        return Listening(
            name=self.name,
            secret=self.webhook_secret,
            silent_after=None if context.since else self.silent_after,
            clock=context.clock,
        )

    def join(self) -> Join | None:
        """How deliveries that each tell a part of an event become one; None where each tells the whole."""
        return None

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A secret whose file cannot be read."""
        del context
        try:
            reveal(self.webhook_secret)
        except PacelineError:
            return (
                Mistake(
                    file="",
                    line=0,
                    path="webhook_secret",
                    problem="its file cannot be read",
                    expected="a file with the secret, readable by Paceline",
                ),
            )
        return ()


def cursor_of(received_at: datetime) -> str:
    """The cursor of a source that only receives, after a delivery."""
    return as_rfc3339(received_at)


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Says whether deliveries can come, and still do; what they bring is written as they come."""

    name: str
    secret: SecretStr
    silent_after: timedelta | None
    clock: Callable[[], datetime]

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """No page. The cursor is when something was delivered last.

        Raises SourceError where no secret opens the webhook, its file cannot be read, or it has been silent for too
        long: that is not the same as no events.
        """
        if not reveal(self.secret):
            raise SourceError(f"nobody may deliver to /webhooks/{self.name}; set `webhook_secret` to open it")
        if self.silent_after is not None:
            self._check_silence(None if cursor is None else parsed(cursor), self.silent_after)
        return iter(())

    def _check_silence(self, told_at: datetime | None, silent_after: timedelta) -> None:
        where = f"to /webhooks/{self.name}; look at what delivers, or correct `silent_after`"
        if told_at is None:
            raise SourceError(f"nothing was ever delivered {where}")
        if self.clock() - told_at > silent_after:
            raise SourceError(f"nothing was delivered since {told_at:%Y-%m-%d %H:%M} UTC {where}")
