"""A source as a third party writes it, in one file: orders of tea, so many a day, until now. Tests install it.

Environment variables make it do what no source should: PACELINE_TEST_DIES_AT names the page at which it kills its
own process, PACELINE_TEST_SLEEPS the seconds it sleeps before its first page.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from pydantic import Field

from collector.events import Ticket, TicketState
from collector.source import Page, Source, SourceConfig, SourceContext

_PER_PAGE = 4_000


class TeaConfig(SourceConfig):
    """Settings of a tea house."""

    type: Literal["tea"]
    orders: int = Field(ge=1, description="How many orders there are, one an hour.")

    def build(self, context: SourceContext) -> Source:
        """The source."""
        return TeaSource(self, context)


class TeaSource:
    """Reports all orders at each pull."""

    def __init__(self, config: TeaConfig, context: SourceContext) -> None:
        self._config, self._context = config, context

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Pages of orders; every tenth was never served."""
        del cursor
        _die_at("start")
        self._sleep()
        # Whole hours, so that another run within the hour reports the same.
        until = self._context.clock().replace(minute=0, second=0, microsecond=0)
        for first in range(0, self._config.orders, _PER_PAGE):
            numbers = range(first, min(first + _PER_PAGE, self._config.orders))
            orders = []
            for number in numbers:
                ordered_at = until - timedelta(hours=number)
                served_at = ordered_at + timedelta(minutes=5 + number % 7)
                orders.append(
                    Ticket(
                        source=self._config.name,
                        native_id=f"{ordered_at:%Y-%m-%dT%H}",
                        queue="tea",
                        service="tea-house",
                        state=TicketState.OPEN if number % 10 == 5 else TicketState.RESOLVED,
                        created_at=ordered_at,
                        resolved_at=None if number % 10 == 5 else served_at,
                        author=self._context.people.hashed(f"guest{number % 9}@people.example"),
                    )
                )
            _die_at(str(first // _PER_PAGE))
            yield Page(events=orders, cursor=str(first))
        _die_at("end")

    def _sleep(self) -> None:
        seconds = os.environ.get("PACELINE_TEST_SLEEPS")
        if seconds:
            (self._context.data_dir / "slept").touch()
            time.sleep(float(seconds))


def _die_at(place: str) -> None:
    if os.environ.get("PACELINE_TEST_DIES_AT") == place:
        os.kill(os.getpid(), signal.SIGKILL)
