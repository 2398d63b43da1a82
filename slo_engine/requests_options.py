"""What people can set for self-service: what is promised of a journey, and which tickets ask for the same."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from collector.durations import Duration
from slo_engine.name_rules import NameRules
from slo_engine.options import Options


class Limits(NamedTuple):
    """What is promised of a journey, and how long is waited, in microseconds; `patience` is in seconds."""

    target: int
    expiry: int
    grace: int
    ticket_window: int
    patience: float


class JourneyOptions(Options):
    """A journey: what it is called, what is promised, and which tickets ask for the same."""

    name: Annotated[str, Field(min_length=1)] = Field(description="What attempts call it; the label `journey`.")
    target: Duration | None = Field(
        default=None, description="How long a request may take; where it is absent, the family's `target`."
    )
    queues: NameRules = Field(default=(), description="Tickets ask for it only in these queues.")
    types: NameRules = Field(default=(), description="Tickets ask for it only if they are of these types.")
    labels: NameRules = Field(default=(), description="Tickets ask for it only with one of these labels.")
    undone_by: tuple[str, ...] = Field(default=(), description="The journeys that delete what it makes, by name.")

    @property
    def rules(self) -> tuple[NameRules, NameRules, NameRules]:
        """Its rules for tickets: a ticket asks for it that fits all kinds of rules there are."""
        return self.queues, self.types, self.labels


def _named_once(journeys: tuple[JourneyOptions, ...]) -> tuple[JourneyOptions, ...]:
    twice = [name for name, times in Counter(j.name for j in journeys).items() if times > 1]
    if twice:
        raise ValueError(f"the journey {twice[0]!r} stands here twice; expected each name once")
    return journeys


class SelfServiceOptions(Options):
    """What is promised of self-service, and which tickets stand in its place."""

    journeys: Annotated[tuple[JourneyOptions, ...], AfterValidator(_named_once)] = Field(
        default=(), description="What is special about single journeys."
    )
    target: Duration = Field(
        default=timedelta(hours=1), description="How long a request may take, where its journey does not say."
    )
    gap: Duration = Field(
        default=timedelta(minutes=60),
        description="At most so long after an attempt, the next one of the same requester, journey and target is part "
        "of the same request.",
    )
    grace: Duration = Field(
        default=timedelta(hours=24),
        description="How long after its end a request waits for its judgement; what is asked for again or deleted by "
        "then was no success.",
    )
    ticket_window: Duration = Field(
        default=timedelta(hours=24),
        description="A ticket of the same requester and journey at most so long after the start is about the request.",
    )
    abandoned_after: Duration = Field(
        default=timedelta(hours=24),
        description="A request that waited longer for its requester, and did not end otherwise, was given up.",
    )
    expires_after_targets: int = Field(
        default=4, ge=1, description="A request without an end after so many times its target has expired."
    )
    expires_after: Duration = Field(
        default=timedelta(hours=24), description="No request expires sooner than this after its start."
    )
    queues: NameRules = Field(
        default=(), description="The queues in which the platform's team is asked; all where none is named."
    )

    def limits(self, journey: str) -> Limits:
        """What is promised of a journey."""
        own = next((j.target for j in self.journeys if j.name == journey), None)
        target = micros(own or self.target)
        return Limits(
            target=target,
            expiry=max(self.expires_after_targets * target, micros(self.expires_after)),
            grace=micros(self.grace),
            ticket_window=micros(self.ticket_window),
            patience=self.abandoned_after.total_seconds(),
        )

    def undoing(self, journey: str) -> tuple[str, ...]:
        """The journeys that delete what one makes."""
        return next((j.undone_by for j in self.journeys if j.name == journey), ())


def micros(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration // timedelta(microseconds=1)
