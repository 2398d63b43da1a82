"""Events that are pushed in Paceline's own JSON, of every kind, so that any system can report as things happen.

A record holds the fields of one event as docs/events.md lists them, without `source`: the configuration names it. One
that states no `updated_at` is as old as its delivery, and within it later records are later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

import msgspec
from pydantic import Field, SecretStr, field_validator

from collector.errors import BadRecord, ContractError
from collector.events import TYPE_OF_KIND, Event
from collector.pushed import PushedConfig
from collector.records import Records
from collector.secrets import reveal
from collector.source import About, SourceContext
from collector.webhooks import Delivery, Received, Receiver, id_of, is_shown_or_signed

ID = "x-paceline-delivery"
_A_KIND = f"expected one of {', '.join(TYPE_OF_KIND)}"


class WebhookConfig(PushedConfig):
    """Settings of a webhook that takes Paceline's own JSON."""

    about: ClassVar[About | None] = About(
        system="Any system that can send JSON",
        gives=tuple(TYPE_OF_KIND),
        tested="official schema",
        scopes=(("`webhook_secret`", "shown as bearer token, or used to sign each body"),),
        costs=(("a delivery of any number of records", "no request of Paceline's own"),),
        limits=("A delivery has at most 8 MiB. More is sent in several.",),
        example="""\
sources:
  - type: webhook
    name: releases
    webhook_secret: ${RELEASES_SECRET:-}
    kind: deployment
""",
        more="""\
`POST /webhooks/<name>` with one record as a JSON object, or several as a list. A record holds the fields that
[the reference of events](../events.md) lists; [Webhooks](../webhooks.md) shows requests with curl, and says what the
answers mean. A record that cannot be used is set aside with its place and the reason; those beside it are kept.
""",
    )

    type: Literal["webhook"]
    kind: str | None = Field(default=None, description="The kind of records that do not state one.")

    @field_validator("kind")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in TYPE_OF_KIND:
            raise ValueError(f"{value!r} is no kind of event; {_A_KIND}")
        return value

    def receiver(self, context: SourceContext) -> Receiver | None:
        """What takes the deliveries; None without a secret."""
        if not reveal(self.webhook_secret):
            return None
        records = Records(source=self.name, people=context.people, kind=self.kind)
        return RecordsReceiver(secret=self.webhook_secret, records=records)


@dataclass(frozen=True, kw_only=True)
class RecordsReceiver:
    """Takes records, from whoever shows the secret or signs with it."""

    secret: SecretStr
    records: Records

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret is shown as bearer token, or the body signed with it."""
        return is_shown_or_signed(reveal(self.secret), delivery)

    def read(self, delivery: Delivery) -> Received:
        """The events. Raises ContractError for what is no JSON, and where no record can be used."""
        try:
            found = msgspec.json.decode(delivery.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ContractError("no JSON in UTF-8; expected one record as an object, or a list of records") from None
        listed = found if isinstance(found, list) else [found]
        delivery_id = id_of(delivery, ID)
        events: list[Event] = []
        rejected: list[BadRecord] = []
        for item in self._items(listed, delivery_id, delivery):
            if isinstance(item, BadRecord):
                rejected.append(item)
            else:
                events.append(item)
        if rejected and not events:
            raise ContractError(f"none of {len(rejected)} records can be used; the first: {rejected[0].reason}")
        return Received(
            id=delivery_id, events=events, rejected=rejected, ignored="" if events else "a list without records"
        )

    def _items(self, listed: list[object], delivery_id: str, delivery: Delivery) -> Iterable[Event | BadRecord]:
        for number, record in enumerate(listed):
            stamped_at = delivery.received_at + timedelta(microseconds=number)
            try:
                yield self.records.event(record, f"delivery {delivery_id}, record {number + 1}", stamped_at)
            except BadRecord as bad:
                yield bad
