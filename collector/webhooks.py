"""What a source does with a request that a system sends it: is it genuine, and which events are in it.

Knows no server and no store: whoever listens hands a `Delivery` over, and keeps what comes back before it answers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from collector.errors import BadRecord
from collector.events import Event
from collector.secrets import is_guessable

SIGNATURE, SENT_AT = "x-paceline-signature-256", "x-paceline-sent-at"
MOST_SECONDS_AGO = 300
"""How far the time that a sender says may be from now: what clocks differ by, and what a delivery takes."""
_LONGEST_SECONDS = 12


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A request as it came. Header names are in lower case; the body is raw, because signatures are over it."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Received:
    """What was in a delivery. `id` is the sender's own for it: one that comes again changes nothing.

    `ignored` says why nothing came of it, where nothing should: a ping, or a kind that is not read.
    """

    id: str
    events: Sequence[Event] = ()
    rejected: Sequence[BadRecord] = ()
    ignored: str = ""


class Receiver(Protocol):
    """Takes the webhooks of one source."""

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether it comes from whom it should, compared in constant time, before anything of it is read."""

    def read(self, delivery: Delivery) -> Received:
        """What is in it. Raises ContractError for a body that is not as documented."""


def is_signed(secret: str, body: bytes, signature: str, *, prefix: str = "", digest: str = "sha256") -> bool:
    """Whether a hexadecimal HMAC over a body is right, after its prefix. Takes as long for a wrong one.

    A secret that can be guessed proves nothing: its file may hold less than it should, or nothing yet.
    """
    made = prefix + hmac.new(secret.encode(), body, digest).hexdigest()
    return hmac.compare_digest(made.encode(), signature.encode("utf-8", "replace")) and not is_guessable(secret)


def is_same(secret: str, given: str) -> bool:
    """Whether a token is the secret, and one that nobody guesses. Takes as long for a wrong one."""
    return hmac.compare_digest(secret.encode(), given.encode("utf-8", "replace")) and not is_guessable(secret)


def is_shown_or_signed(secret: str, delivery: Delivery) -> bool:
    """Whether the secret is shown as bearer token, or the body signed with it, as Paceline's own senders do.

    A sender may say when it signed, and sign that before the body: what somebody recorded then opens nothing later.
    """
    signature = delivery.headers.get(SIGNATURE)
    if signature is None:
        return bool(secret) and is_same(secret, bearer(delivery))
    signed, sent_at = delivery.body, delivery.headers.get(SENT_AT)
    if sent_at is not None:
        if not _is_now(sent_at, delivery.received_at):
            return False
        signed = f"{sent_at}.".encode() + signed
    return bool(secret) and is_signed(secret, signed, signature, prefix="sha256=")


def _is_now(seconds: str, at: datetime) -> bool:
    known = seconds.isascii() and seconds.isdigit() and len(seconds) <= _LONGEST_SECONDS
    return known and abs(int(seconds) - at.timestamp()) <= MOST_SECONDS_AGO


def bearer(delivery: Delivery) -> str:
    """The bearer token of a delivery, empty where it has none."""
    scheme, _, token = delivery.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def password(delivery: Delivery) -> str:
    """The password of basic credentials, empty where a delivery has none."""
    scheme, _, encoded = delivery.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
    except binascii.Error:
        return ""


def id_of(delivery: Delivery, header: str = "") -> str:
    """The sender's id from a header, else one made from the body: the same body is the same delivery."""
    return delivery.headers.get(header, "")[:200] or hashlib.sha256(delivery.body).hexdigest()
